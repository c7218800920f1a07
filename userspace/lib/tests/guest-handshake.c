// SPDX-License-Identifier: MIT
/*
 * Handshakes over TCP whose keys go into the kernel, with plain OpenSSL or the library itself at
 * the other end. ULP=NAME chooses the ULP (default tlsrec).
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/err.h>

#include "both.h"
#include "kernel.h"
#include "peer.h"
#include "pki.h"
#include "tap.h"

enum {
	BULK = 200 * 1000,	/* bytes each way */
};

static struct pki_cert *root, *rsa, *ec;
static unsigned char pattern[BULK];

/* ---- the peer: a thread with OpenSSL in user space --------------------------------------- */

struct remote {
	/* in */
	SSL_CTX *ctx;
	const char *sni;
	SSL_SESSION *session;
	int fd;
	bool dribble;		/* send the handshake byte by byte */
	const char *behind;	/* sent in one segment with the last handshake message */
	bool half_close;	/* and close_notify and FIN in that segment, too */
	bool key_update;	/* after the handshake, before anything else */
	bool request;		/* with it, one from us */
	bool bulk;		/* send the pattern and expect it back */
	/* out */
	pthread_t thread;
	bool handshake_ok;
	bool data_ok;
	bool got_close_notify;
	bool was_resumed;
};

static void flush(const struct remote *r, SSL *ssl, bool dribble)
{
	char buf[4096];
	int n;

	while ((n = BIO_read(SSL_get_wbio(ssl), buf, dribble ? 1 : (int)sizeof(buf))) > 0)
		if (send(r->fd, buf, (size_t)n, MSG_NOSIGNAL | (dribble ? 0 : MSG_MORE)) != n)
			return;
	if (!dribble) {
		int off = 0;

		/* Corked bytes go now, as few segments. */
		setsockopt(r->fd, IPPROTO_TCP, TCP_CORK, &off, sizeof(off));
	}
}

static bool fill(const struct remote *r, SSL *ssl)
{
	char buf[20000];
	ssize_t n = recv(r->fd, buf, sizeof(buf), 0);

	if (n > 0)
		BIO_write(SSL_get_rbio(ssl), buf, (int)n);
	return n > 0;
}

static bool remote_handshake(struct remote *r, SSL *ssl)
{
	int n;

	while ((n = SSL_do_handshake(ssl)) != 1) {
		flush(r, ssl, r->dribble);
		if (SSL_get_error(ssl, n) != SSL_ERROR_WANT_READ || !fill(r, ssl))
			return false;
	}
	return true;
}

static bool remote_read(struct remote *r, SSL *ssl, void *buf, size_t len)
{
	size_t have = 0;

	while (have < len) {
		int n = SSL_read(ssl, (char *)buf + have, (int)(len - have));

		if (n > 0)
			have += (size_t)n;
		else if (SSL_get_error(ssl, n) != SSL_ERROR_WANT_READ || !fill(r, ssl))
			return false;
	}
	return true;
}

static bool remote_bulk(struct remote *r, SSL *ssl)
{
	unsigned char *back = malloc(BULK);
	bool ok;

	SSL_write(ssl, pattern, BULK);
	flush(r, ssl, false);
	ok = remote_read(r, ssl, back, BULK) && !memcmp(back, pattern, BULK);
	free(back);
	return ok;
}

static void remote_talk(struct remote *r, SSL *ssl)
{
	char byte;

	if (r->key_update)
		SSL_key_update(ssl, r->request ? SSL_KEY_UPDATE_REQUESTED
					       : SSL_KEY_UPDATE_NOT_REQUESTED);
	if (r->behind)
		SSL_write(ssl, r->behind, (int)strlen(r->behind));
	if (r->half_close)
		SSL_shutdown(ssl);
	flush(r, ssl, r->dribble);
	if (r->half_close)
		shutdown(r->fd, SHUT_WR);
	r->data_ok = !r->bulk || remote_bulk(r, ssl);
	while (remote_read(r, ssl, &byte, 1))
		;
	r->got_close_notify = SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN;
	if (!r->half_close) {
		SSL_shutdown(ssl);
		flush(r, ssl, false);
	}
}

static void *remote_main(void *arg)
{
	struct remote *r = arg;
	SSL *ssl = SSL_new(r->ctx);

	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	if (r->sni)
		SSL_set_tlsext_host_name(ssl, r->sni);
	if (r->session)
		SSL_set_session(ssl, r->session);
	if (SSL_CTX_get_ssl_method(r->ctx) == TLS_server_method())
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	r->handshake_ok = remote_handshake(r, ssl);
	r->was_resumed = SSL_session_reused(ssl);
	if (r->handshake_ok)
		remote_talk(r, ssl);
	else
		flush(r, ssl, false);
	shutdown(r->fd, SHUT_WR);
	SSL_free(ssl);
	return NULL;
}

/* ---- one connection between us and the peer -------------------------------- */

struct link {
	struct tlsrec_ctx *ctx;
	struct remote remote;
	struct tlsrec_conn *conn;
	int fd;
};

static bool link_start(struct link *link, int family, bool nonblocking)
{
	int fd[2];

	if (tcp_pair(family, fd)) {
		tap_note("no TCP connection: %s", strerror(errno));
		exit(EXIT_FAILURE);
	}
	link->fd = fd[0];
	link->remote.fd = fd[1];
	if (nonblocking)
		fcntl(link->fd, F_SETFL, O_NONBLOCK);
	pthread_create(&link->remote.thread, NULL, remote_main, &link->remote);
	link->conn = tlsrec_conn_new(link->ctx, link->fd, "server.example");
	if (tlsrec_handshake(link->conn, TIMEOUT_MS) == TLSREC_DONE)
		return true;
	tap_note("%s", tlsrec_conn_error(link->conn));
	return false;
}

static void link_end(struct link *link)
{
	shutdown(link->fd, SHUT_RDWR);
	pthread_join(link->remote.thread, NULL);
	close(link->fd);
	close(link->remote.fd);
	tlsrec_conn_free(link->conn);
	link->conn = NULL;
}

static bool receive(struct link *link, void *buf, size_t len)
{
	struct pollfd p = { .fd = link->fd, .events = POLLIN };
	size_t have = 0;

	while (have < len) {
		ssize_t n = tlsrec_recv(link->conn, (char *)buf + have, len - have, 0);

		if (n > 0) {
			have += (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			if (poll(&p, 1, TIMEOUT_MS) <= 0)
				return false;
		} else {
			tap_note("recv: %zd, %s, %s", n, strerror(errno),
				 tlsrec_conn_error(link->conn));
			return false;
		}
	}
	return true;
}

static bool expect(struct link *link, const char *text)
{
	char buf[PEER_TEXT];
	size_t len = strlen(text);

	return receive(link, buf, len) && !memcmp(buf, text, len);
}

static bool send_all(int fd, const unsigned char *data, size_t len)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n > 0) {
			data += n;
			len -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			poll(&p, 1, TIMEOUT_MS);
		} else {
			tap_note("send: %s", strerror(errno));
			return false;
		}
	}
	return true;
}

/* The peer's pattern comes in and goes back, then both sides say goodbye. */
static bool talk(struct link *link)
{
	unsigned char *buf = malloc(BULK);
	struct pollfd p = { .fd = link->fd, .events = POLLIN };
	char byte;
	ssize_t n;
	bool ok;

	ok = receive(link, buf, BULK) && !memcmp(buf, pattern, BULK) &&
	     send_all(link->fd, buf, BULK) && !tlsrec_close_notify(link->fd);
	free(buf);
	if (!ok)
		return false;
	while ((n = tlsrec_recv(link->conn, &byte, 1, 0)) < 0 && errno == EAGAIN)
		poll(&p, 1, TIMEOUT_MS);
	if (n || !tlsrec_conn_closed(link->conn))
		tap_note("end: %zd, closed %d, %s", n, tlsrec_conn_closed(link->conn),
			 tlsrec_conn_error(link->conn));
	return !n && tlsrec_conn_closed(link->conn);
}

/* ---- configurations ------------------------------------------------------- */

static const struct variant {
	const char *name;
	int version;
	const char *suite;
	struct pki_cert **cert;
} variants[] = {
	{ "1.2 ECDHE-RSA 128", TLSREC_TLS_1_2, "ECDHE-RSA-AES128-GCM-SHA256", &rsa },
	{ "1.2 ECDHE-ECDSA 256", TLSREC_TLS_1_2, "ECDHE-ECDSA-AES256-GCM-SHA384", &ec },
	{ "1.2 DHE-RSA 256", TLSREC_TLS_1_2, "DHE-RSA-AES256-GCM-SHA384", &rsa },
	{ "1.2 RSA 128", TLSREC_TLS_1_2, "AES128-GCM-SHA256", &rsa },
	{ "1.3 128", TLSREC_TLS_1_3, "TLS_AES_128_GCM_SHA256", &ec },
	{ "1.3 256", TLSREC_TLS_1_3, "TLS_AES_256_GCM_SHA384", &rsa },
	{ "1.2 ChaCha20", TLSREC_TLS_1_2, "ECDHE-RSA-CHACHA20-POLY1305", &rsa },
	{ "1.3 ChaCha20", TLSREC_TLS_1_3, "TLS_CHACHA20_POLY1305_SHA256", &ec },
	{ "1.2 CCM", TLSREC_TLS_1_2, "ECDHE-ECDSA-AES128-CCM", &ec },
	{ "1.3 CCM", TLSREC_TLS_1_3, "TLS_AES_128_CCM_SHA256", &ec },
	{ "1.2 ARIA 128", TLSREC_TLS_1_2, "ECDHE-ARIA128-GCM-SHA256", &rsa },
	{ "1.2 ARIA 256", TLSREC_TLS_1_2, "ECDHE-ECDSA-ARIA256-GCM-SHA384", &ec },
};

enum { VARIANTS = sizeof(variants) / sizeof(variants[0]) };

/* Says so when this kernel lacks the variant's cipher. */
static bool lacking(const struct variant *v)
{
	struct tlsrec_ctx *ctx = kernel_ctx(false, NULL, root);
	bool lacks;

	tlsrec_ctx_set_ciphers(ctx, v->suite);
	lacks = tlsrec_ctx_probe(ctx);
	if (lacks)
		tap_skip(v->name, tlsrec_ctx_error(ctx));
	tlsrec_ctx_free(ctx);
	return lacks;
}

static void make_link(struct link *link, bool we_serve, const struct variant *v)
{
	SSL_CTX *peer = peer_ctx_new(!we_serve);

	memset(link, 0, sizeof(*link));
	peer_hold_to(peer, v->version, v->suite);
	if (!we_serve)
		peer_use_cert(peer, (*v->cert)->file, (*v->cert)->key_file);
	link->ctx = kernel_ctx(we_serve, *v->cert, root);
	tlsrec_ctx_set_ciphers(link->ctx, v->suite);
	link->remote.ctx = peer;
	link->remote.bulk = true;
	if (we_serve)
		link->remote.sni = "server.example";
}

static void free_link(struct link *link)
{
	tlsrec_ctx_free(link->ctx);
	SSL_CTX_free(link->remote.ctx);
}

/* ---- tests ---------------------------------------------------------------- */

static void test_variant(bool we_serve, const struct variant *v, int family, bool nonblocking,
			 const char *behind, bool dribble)
{
	struct link link;
	bool ok;

	make_link(&link, we_serve, v);
	link.remote.behind = behind;
	link.remote.dribble = dribble;
	ok = link_start(&link, family, nonblocking) && (!behind || expect(&link, behind)) &&
	     talk(&link);
	link_end(&link);
	tap_ok(ok && link.remote.data_ok && link.remote.got_close_notify, "%s, %s, %s%s%s%s",
	       we_serve ? "server" : "client", v->name, family == AF_INET6 ? "IPv6" : "IPv4",
	       nonblocking ? ", nonblocking" : "", behind ? ", data behind Finished" : "",
	       dribble ? ", byte by byte" : "");
	free_link(&link);
}

static void test_variants(void)
{
	for (int i = 0; i < VARIANTS; i++) {
		if (lacking(&variants[i]))
			continue;
		for (int serve = 0; serve < 2; serve++) {
			test_variant(serve, &variants[i], AF_INET, false, NULL, false);
			test_variant(serve, &variants[i], AF_INET6, true, "right behind", false);
		}
	}
	for (int serve = 0; serve < 2; serve++) {
		test_variant(serve, &variants[0], AF_INET, true, "drops", true);
		test_variant(serve, &variants[4], AF_INET6, false, "drops", true);
	}
}

/* A cipher that this kernel lacks is not negotiated, although both sides prefer it. */
static void test_lacking(void)
{
	static const char both[] = "ECDHE-ECDSA-ARIA256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384";
	const struct variant v = { "1.2 ARIA or AES", TLSREC_TLS_1_2, both, &ec };
	const struct variant aria = { "ARIA alone", TLSREC_TLS_1_2,
				      "ECDHE-ECDSA-ARIA256-GCM-SHA384", &ec };
	const char *want = lacking(&aria) ? "AES-256-GCM" : "ARIA-256-GCM";

	for (int serve = 0; serve < 2; serve++) {
		struct link link;
		bool ok;

		make_link(&link, serve, &v);
		ok = link_start(&link, AF_INET, false);
		ok = ok && !strcmp(tlsrec_conn_info(link.conn)->cipher, want) && talk(&link);
		link_end(&link);
		tap_ok(ok && link.remote.data_ok, "%s, %s: %s", serve ? "server" : "client",
		       v.name, want);
		free_link(&link);
	}
}

/* The request, close_notify and FIN arrive before the server has its keys. */
static void test_half_close(void)
{
	for (int i = 0; i <= 4; i += 4) {
		struct link link;
		char byte;
		bool ok;

		make_link(&link, true, &variants[i]);
		link.remote.bulk = false;
		link.remote.behind = "GET / and no more";
		link.remote.half_close = true;
		ok = link_start(&link, AF_INET, false) && expect(&link, link.remote.behind) &&
		     !tlsrec_recv(link.conn, &byte, 1, 0) && tlsrec_conn_closed(link.conn) &&
		     send_all(link.fd, pattern, 1000) && !tlsrec_close_notify(link.fd);
		link_end(&link);
		tap_ok(ok && link.remote.got_close_notify,
		       "server, %s: a client that closes its direction at once is served",
		       variants[i].name);
		free_link(&link);
	}
}

/* What the kernel was given and what it has counted since. */
static bool kernel_seq(int fd, int option, const struct tlsrec_info *info, uint64_t want)
{
	union {
		struct tls_crypto_info info;
		unsigned char bytes[sizeof(struct tls12_crypto_info_aes_gcm_256)];
	} ci = { 0 };
	bool short_key = strstr(info->cipher, "128-");
	socklen_t len = short_key ? sizeof(struct tls12_crypto_info_aes_gcm_128) : sizeof(ci);
	const unsigned char *seq = ci.bytes + len - 8;
	uint64_t got = 0;

	if (getsockopt(fd, SOL_TLS, option, &ci, &len)) {
		tap_note("getsockopt: %s", strerror(errno));
		return false;
	}
	for (int i = 0; i < 8; i++)
		got = got << 8 | seq[i];
	return ci.info.version == info->version && got == want;
}

static void test_kernel_seq(void)
{
	for (int i = 0; i < VARIANTS; i++) {
		struct link link;
		const struct tlsrec_info *info;
		bool ok;

		if (lacking(&variants[i]))
			continue;

		make_link(&link, true, &variants[i]);
		ok = link_start(&link, AF_INET, false);
		info = tlsrec_conn_info(link.conn);
		ok = ok && kernel_seq(link.fd, TLS_TX, info, info->tx_seq) && talk(&link);
		/* 200,000 bytes in one call are 13 records; close_notify is one more. */
		ok = ok && kernel_seq(link.fd, TLS_TX, info, info->tx_seq + 13 + 1);
		link_end(&link);
		tap_ok(ok && info->tx_seq == (variants[i].version == TLSREC_TLS_1_3 ? 2 : 1),
		       "server, %s: sequence numbers in the kernel", variants[i].name);
		free_link(&link);
	}
}

/* A plain read() meets a ticket: EIO, then tlsrec_control() makes a session of it. */
static void test_control(void)
{
	struct link link;
	struct pollfd p;
	char buf[64];
	int handled = 0;
	ssize_t n = -1;
	bool ok;

	make_link(&link, false, &variants[4]);
	link.remote.behind = "after tickets";
	ok = link_start(&link, AF_INET, false);
	p = (struct pollfd){ .fd = link.fd, .events = POLLIN };
	poll(&p, 1, TIMEOUT_MS);
	tap_ok(ok && read(link.fd, buf, sizeof(buf)) < 0 && errno == EIO,
	       "client, 1.3: a ticket fails a plain read with EIO");
	while (ok && tlsrec_control(link.conn) == TLSREC_CONTROL_HANDLED) {
		handled++;
		poll(&p, 1, TIMEOUT_MS);
	}
	tap_ok(handled == 2, "client, 1.3: two tickets were handled (%d)", handled);
	tap_ok(tlsrec_control(link.conn) == TLSREC_CONTROL_DATA, "client, 1.3: then data is next");
	if (handled == 2)
		n = read(link.fd, buf, strlen(link.remote.behind));
	tap_ok(n == (ssize_t)strlen(link.remote.behind) &&
		       !memcmp(buf, link.remote.behind, (size_t)n),
	       "client, 1.3: and a plain read gets it");
	tap_ok(talk(&link), "client, 1.3: the connection goes on");
	tap_ok(tlsrec_control(link.conn) == TLSREC_CONTROL_CLOSED,
	       "client, 1.3: the end is known to tlsrec_control()");
	link_end(&link);
	free_link(&link);
}

/* Tickets read from the kernel, and those of TLS 1.2, resume the next connection. */
static void test_resume(void)
{
	static const enum tlsrec_resume modes[] = { TLSREC_RESUME_TICKETS, TLSREC_RESUME_IDS };

	for (int i = 0; i <= 4; i += 4) {
		for (size_t m = 0; m < 2; m++) {
			struct link link;
			unsigned char *saved = NULL;
			size_t len = 0;
			bool ok;

			make_link(&link, false, &variants[i]);
			if (modes[m] == TLSREC_RESUME_IDS)
				SSL_CTX_set_options(link.remote.ctx, SSL_OP_NO_TICKET);
			tlsrec_ctx_set_resume(link.ctx, modes[m]);
			ok = link_start(&link, AF_INET, false) && talk(&link);
			saved = tlsrec_conn_session(link.conn, &len);
			link_end(&link);
			ok = ok && saved;
			if (ok) {
				int fd[2];

				tcp_pair(AF_INET, fd);
				link.fd = fd[0];
				link.remote.fd = fd[1];
				pthread_create(&link.remote.thread, NULL, remote_main,
					       &link.remote);
				link.conn = tlsrec_conn_new(link.ctx, link.fd, "server.example");
				tlsrec_conn_set_session(link.conn, saved, len);
				ok = tlsrec_handshake(link.conn, TIMEOUT_MS) == TLSREC_DONE &&
				     tlsrec_conn_info(link.conn)->resumed && talk(&link);
				link_end(&link);
			}
			tap_ok(ok && link.remote.was_resumed, "client, %s: resumption by %s",
			       variants[i].name, m ? "session ID or handle" : "ticket");
			free(saved);
			free_link(&link);
		}
	}
}

/* ---- both ends by the library ------------------------------------------------ */

static void test_both_ends(void)
{
	struct both both = { 0 };
	char buf[16];
	ssize_t n;

	tap_ok(both_start(&both, root, ec), "both ends in the kernel: handshake");
	tap_ok(send(both.fd[1], "hello", 5, 0) == 5 &&
	       tlsrec_recv(both.conn[0], buf, sizeof(buf), 0) == 5 && !memcmp(buf, "hello", 5),
	       "both ends in the kernel: server to client, behind tickets");
	tap_ok(send(both.fd[0], "hi", 2, 0) == 2 &&
	       tlsrec_recv(both.conn[1], buf, sizeof(buf), 0) == 2 && !memcmp(buf, "hi", 2),
	       "both ends in the kernel: client to server");
	n = tlsrec_recv(both.conn[0], buf, 1, MSG_DONTWAIT);
	tap_ok(n < 0 && errno == EAGAIN && tlsrec_control(both.conn[0]) == TLSREC_CONTROL_NONE,
	       "both ends in the kernel: nothing more for now");
	tlsrec_send_alert(both.fd[1], 2, 49);
	n = tlsrec_recv(both.conn[0], buf, 1, 0);
	tap_ok(n < 0 && errno == EPROTO && strstr(tlsrec_conn_error(both.conn[0]), "access_denied"),
	       "both ends in the kernel: a fatal alert: %s", tlsrec_conn_error(both.conn[0]));
	both_end(&both);
}

/* ---- key updates ------------------------------------------------------------- */

/* The kernel's own record layer has them since Linux 6.14. */
static bool can_update(void)
{
	struct both both = { 0 };
	bool can = both_start(&both, root, ec) && !tlsrec_key_update(both.conn[0], 0);

	both_end(&both);
	return can;
}

/* Without them the peer's update is an honest error, not garbage. */
static void test_no_key_update(void)
{
	struct link link;
	char buf[16];
	bool ok;

	make_link(&link, true, &variants[5]);
	link.remote.bulk = false;
	link.remote.key_update = true;
	link.remote.behind = "under the next key";
	ok = link_start(&link, AF_INET, false) &&
	     tlsrec_recv(link.conn, buf, sizeof(buf), 0) < 0 && errno == EKEYEXPIRED;
	tap_ok(ok && tlsrec_conn_error_kind(link.conn) == TLSREC_ERROR_KERNEL,
	       "server, 1.3: the kernel cannot update keys: %s", tlsrec_conn_error(link.conn));
	link_end(&link);
	free_link(&link);
}

/*
 * 200,000 bytes are 13 records, close_notify is one more: all of them under the new key, whose
 * first record is number 0.
 */
static void test_peer_updates(bool we_serve, const struct variant *v, bool request)
{
	struct link link;
	const struct tlsrec_info *info;
	bool ok;

	make_link(&link, we_serve, v);
	link.remote.key_update = true;
	link.remote.request = request;
	ok = link_start(&link, AF_INET, request);
	info = tlsrec_conn_info(link.conn);
	ok = ok && talk(&link) &&
	     kernel_seq(link.fd, TLS_TX, info, 13 + 1 + (request ? 0 : info->tx_seq));
	link_end(&link);
	tap_ok(ok && link.remote.data_ok && link.remote.got_close_notify,
	       "%s, %s: the peer updates its key%s", we_serve ? "server" : "client", v->name,
	       request ? " and asks for ours" : "");
	free_link(&link);
}

static void test_we_update(bool we_serve, const struct variant *v)
{
	struct link link;
	const struct tlsrec_info *info;
	bool ok;

	make_link(&link, we_serve, v);
	ok = link_start(&link, AF_INET, false) && !tlsrec_key_update(link.conn, 1) &&
	     !tlsrec_key_update(link.conn, 0) && talk(&link);
	info = tlsrec_conn_info(link.conn);
	ok = ok && kernel_seq(link.fd, TLS_TX, info, 13 + 1);
	link_end(&link);
	tap_ok(ok && link.remote.data_ok && link.remote.got_close_notify,
	       "%s, %s: we update our key, twice", we_serve ? "server" : "client", v->name);
	free_link(&link);
}

/* Plain read() and write(), with a look at what read() cannot carry. */
static void test_plain_read(void)
{
	struct both both = { 0 };
	char buf[16];
	ssize_t n;

	tap_ok(both_start(&both, root, ec) && !tlsrec_key_update(both.conn[0], 1) &&
	       write(both.fd[0], "ping", 4) == 4, "plain read: a request under the next key");
	n = read(both.fd[1], buf, sizeof(buf));
	tap_ok(n < 0 && errno == EIO, "plain read: a key update fails it with EIO");
	tap_ok(tlsrec_control(both.conn[1]) == TLSREC_CONTROL_HANDLED &&
	       !tlsrec_key_update_wanted(both.conn[1]), "plain read: and is handled");
	n = read(both.fd[1], buf, sizeof(buf));
	tap_ok(n == 4 && !memcmp(buf, "ping", 4) && write(both.fd[1], "pong", 4) == 4,
	       "plain read: the request comes through");
	n = tlsrec_recv(both.conn[0], buf, sizeof(buf), 0);
	tap_ok(n == 4 && !memcmp(buf, "pong", 4),
	       "plain read: the answer comes back, behind tickets and the key update asked for");
	both_end(&both);
}

static void test_key_updates(void)
{
	if (!can_update()) {
		tap_skip("key updates", "this record layer takes no second key");
		test_no_key_update();
		return;
	}
	for (int i = 0; i < VARIANTS; i++) {
		if (variants[i].version != TLSREC_TLS_1_3 || lacking(&variants[i]))
			continue;
		for (int serve = 0; serve < 2; serve++) {
			test_peer_updates(serve, &variants[i], false);
			test_peer_updates(serve, &variants[i], true);
			test_we_update(serve, &variants[i]);
		}
	}
	test_plain_read();
}

static void test_truncation(void)
{
	struct both both = { 0 };
	char buf[16];

	tap_ok(both_start(&both, root, ec), "truncation: handshake");
	shutdown(both.fd[1], SHUT_WR);
	tap_ok(tlsrec_recv(both.conn[0], buf, sizeof(buf), 0) < 0 && errno == ECONNRESET &&
	       !tlsrec_conn_closed(both.conn[0]) &&
	       tlsrec_control(both.conn[0]) == TLSREC_CONTROL_EOF,
	       "U10: an end without close_notify is an error: %s", tlsrec_conn_error(both.conn[0]));
	both_end(&both);
}

/* The connection object can go; the socket stays. */
static void test_free_early(void)
{
	struct both both = { 0 };
	char buf[16] = "";

	tap_ok(both_start(&both, root, ec), "objects freed: handshake");
	for (int i = 0; i < 2; i++) {
		tlsrec_conn_free(both.conn[i]);
		both.conn[i] = NULL;
		tlsrec_ctx_free(both.ctx[i]);
		both.ctx[i] = NULL;
	}
	tap_ok(send(both.fd[0], "still here", 10, 0) == 10 &&
	       recv(both.fd[1], buf, sizeof(buf), 0) == 10 && !memcmp(buf, "still here", 10),
	       "objects freed: the sockets go on");
	both_end(&both);
}

static void test_sendfile(void)
{
	struct both both = { 0 };
	FILE *f = tmpfile();
	char *buf = malloc(BULK);
	size_t have = 0;
	off_t off = 0;
	bool ok;

	fwrite(pattern, 1, 50000, f);
	fflush(f);
	ok = both_start(&both, root, ec) && sendfile(both.fd[0], fileno(f), &off, 50000) == 50000;
	while (ok && have < 50000) {
		ssize_t n = recv(both.fd[1], buf + have, BULK - have, 0);

		ok = n > 0;
		have += ok ? (size_t)n : 0;
	}
	tap_ok(ok && !memcmp(buf, pattern, 50000), "sendfile from end to end");
	both_end(&both);
	free(buf);
	fclose(f);
}

static void test_no_ulp(void)
{
	struct tlsrec_ctx *ctx = kernel_ctx(false, NULL, root);
	struct tlsrec_conn *conn;
	char why[256];
	int fd[2];

	tap_ok(tlsrec_probe("nosuch", why, sizeof(why)) < 0, "no such ULP, probe: %s", why);
	tlsrec_ctx_set_ulp(ctx, "nosuch");
	tcp_pair(AF_INET, fd);
	conn = tlsrec_conn_new(ctx, fd[0], "server.example");
	tap_ok(tlsrec_handshake(conn, TIMEOUT_MS) == TLSREC_ERROR &&
	       tlsrec_conn_error_kind(conn) == TLSREC_ERROR_KERNEL, "no such ULP: %s",
	       tlsrec_conn_error(conn));
	tap_ok(recv(fd[1], why, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN,
	       "no such ULP: nothing was sent");
	tlsrec_conn_free(conn);
	tlsrec_ctx_free(ctx);
	close(fd[0]);
	close(fd[1]);
}

int main(void)
{
	static const char names[] = "DNS:server.example";

	both_need_ulp();
	for (size_t i = 0; i < BULK; i++)
		pattern[i] = (unsigned char)(i * 7 + i / 251);
	pki_begin();
	root = pki_make(&(struct pki_spec){ .name = "root", .ca = true });
	rsa = pki_make(&(struct pki_spec){ .name = "rsa", .key = "RSA", .san = names,
					   .issuer = root });
	ec = pki_make(&(struct pki_spec){ .name = "ec", .san = names, .issuer = root });
	test_variants();
	test_lacking();
	test_half_close();
	test_kernel_seq();
	test_control();
	test_resume();
	test_both_ends();
	test_key_updates();
	test_truncation();
	test_free_early();
	test_sendfile();
	test_no_ulp();
	pki_end();
	return tap_done();
}
