// SPDX-License-Identifier: MIT
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "tap.h"

enum { MAX_ROUNDS = 200000 };

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "the test's own peer failed: %s\n", what);
	ERR_print_errors_fp(stderr);
	abort();
}

SSL_CTX *peer_ctx_new(bool server)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	must(ctx, "SSL_CTX_new");
	SSL_CTX_set_security_level(ctx, 0);
	if (server)
		SSL_CTX_set_dh_auto(ctx, 1);
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"peer", 4);
	return ctx;
}

void peer_use_cert(SSL_CTX *ctx, const char *file, const char *key_file)
{
	must(SSL_CTX_use_certificate_chain_file(ctx, file) == 1, file);
	must(SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) == 1, key_file);
}

static int staple(SSL *ssl, void *arg)
{
	const char *file = *(const char **)arg;
	unsigned char *der;
	size_t len;
	FILE *f;

	if (!file)
		return SSL_TLSEXT_ERR_NOACK;
	f = fopen(file, "rb");
	must(f != NULL, file);
	der = OPENSSL_malloc(8192);
	len = fread(der, 1, 8192, f);
	fclose(f);
	SSL_set_tlsext_status_ocsp_resp(ssl, der, (long)len);
	return SSL_TLSEXT_ERR_OK;
}

void peer_staple(SSL_CTX *ctx, const char **file)
{
	SSL_CTX_set_tlsext_status_cb(ctx, staple);
	SSL_CTX_set_tlsext_status_arg(ctx, file);
}

void peer_hold_to(SSL_CTX *peer, int version, const char *suites)
{
	must(SSL_CTX_set_min_proto_version(peer, version) &&
	     SSL_CTX_set_max_proto_version(peer, version), "version");
	if (suites)
		must(version == TLS1_3_VERSION ? SSL_CTX_set_ciphersuites(peer, suites)
					       : SSL_CTX_set_cipher_list(peer, suites), suites);
}

struct tlsrec_ctx *our_ctx(bool server, const struct pki_cert *cert, const struct pki_cert *root)
{
	struct tlsrec_ctx *ctx = server ? tlsrec_server_new() : tlsrec_client_new();

	must(ctx && !tlsrec_ctx_set_ulp(ctx, NULL), "context");
	if (server)
		must(!tlsrec_ctx_add_cert(ctx, cert->file, cert->key_file), cert->file);
	else
		must(!tlsrec_ctx_set_roots(ctx, root->file, NULL), root->file);
	return ctx;
}

struct pair pair_make(bool we_serve, int version, const struct pki_cert *cert,
		      const struct pki_cert *root)
{
	struct pair pair = {
		.ctx = our_ctx(we_serve, cert, root),
		.peer_ctx = peer_ctx_new(!we_serve),
		.host = "server.example",
		.peer_sni = "server.example",
	};

	peer_hold_to(pair.peer_ctx, version, NULL);
	if (!we_serve)
		peer_use_cert(pair.peer_ctx, cert->file, cert->key_file);
	return pair;
}

void pair_free(struct pair *pair)
{
	tlsrec_ctx_free(pair->ctx);
	SSL_CTX_free(pair->peer_ctx);
}

static void pair_start(struct pair *pair)
{
	bool peer_is_server = !pair->ctx->server;

	const int tiny = 1;

	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair->fd), "socketpair");
	if (pair->dribble)
		setsockopt(pair->fd[0], SOL_SOCKET, SO_SNDBUF, &tiny, sizeof(tiny));
	pair->conn = tlsrec_conn_new(pair->ctx, pair->fd[0], pair->host);
	if (pair->session)
		tlsrec_conn_set_session(pair->conn, pair->session, pair->session_len);
	pair->peer = SSL_new(pair->peer_ctx);
	must(pair->conn && pair->peer, "allocation");
	SSL_set_bio(pair->peer, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	if (pair->peer_sni)
		SSL_set_tlsext_host_name(pair->peer, pair->peer_sni);
	if (pair->peer_session)
		SSL_set_session(pair->peer, pair->peer_session);
	if (peer_is_server)
		SSL_set_accept_state(pair->peer);
	else
		SSL_set_connect_state(pair->peer);
	pair->status = TLSREC_WANT_READ;
	pair->peer_done = false;
	pair->peer_failed = false;
	pair->sent = 0;
}

/* Bytes from the socket to the peer, or the end of the stream. */
static void peer_receive(struct pair *pair)
{
	char buf[20000];
	ssize_t n = recv(pair->fd[1], buf, pair->dribble ? 1 : sizeof(buf), MSG_DONTWAIT);

	if (n > 0)
		BIO_write(SSL_get_rbio(pair->peer), buf, (int)n);
	else if (!n)
		BIO_set_mem_eof_return(SSL_get_rbio(pair->peer), 0);
}

/* Bytes from the peer to the socket, all in one piece or just one, if there is room. */
static void peer_send(struct pair *pair)
{
	struct pollfd room = { .fd = pair->fd[1], .events = POLLOUT };
	char buf[40000];
	int n = 0;

	if (poll(&room, 1, 0) == 1)
		n = BIO_read(SSL_get_wbio(pair->peer), buf,
			     pair->dribble ? 1 : (int)sizeof(buf));
	if (n <= 0)
		return;
	if (pair->flip > pair->sent && pair->flip <= pair->sent + (size_t)n)
		buf[pair->flip - pair->sent - 1] ^= 0x10;
	pair->sent += (size_t)n;
	must(send(pair->fd[1], buf, (size_t)n, MSG_NOSIGNAL) == n || errno == EPIPE, "send");
}

static void peer_step(struct pair *pair)
{
	int n;

	peer_receive(pair);
	if (!pair->peer_done && !pair->peer_failed) {
		ERR_clear_error();
		n = SSL_do_handshake(pair->peer);
		if (n == 1) {
			pair->peer_done = true;
			if (pair->behind)
				must(SSL_write(pair->peer, pair->behind,
					       (int)strlen(pair->behind)) > 0,
				     "SSL_write");
		} else if (SSL_get_error(pair->peer, n) != SSL_ERROR_WANT_READ) {
			pair->peer_failed = true;
		}
	}
	peer_send(pair);
}

static bool peer_flushed(const struct pair *pair)
{
	return !BIO_pending(SSL_get_wbio(pair->peer));
}

bool pair_run(struct pair *pair)
{
	bool over = false;

	pair_start(pair);
	for (int i = 0; !over && i < MAX_ROUNDS; i++) {
		if (pair->status > TLSREC_DONE)
			pair->status = tlsrec_step(pair->conn);
		if (pair->status == TLSREC_ERROR)
			shutdown(pair->fd[0], SHUT_WR);
		peer_step(pair);
		if (pair->peer_failed && peer_flushed(pair))
			shutdown(pair->fd[1], SHUT_WR);
		over = pair->status <= TLSREC_DONE && (pair->peer_done || pair->peer_failed);
	}
	return pair->status == TLSREC_DONE && pair->peer_done;
}

void pair_end(struct pair *pair)
{
	if (pair->peer_done)
		SSL_set_shutdown(pair->peer, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(pair->peer);
	tlsrec_conn_free(pair->conn);
	close(pair->fd[0]);
	close(pair->fd[1]);
	pair->conn = NULL;
	pair->peer = NULL;
}

/* Exactly one record from our end of the socket, moving the peer's bytes meanwhile. */
static size_t read_record(struct pair *pair, unsigned char *record)
{
	size_t have = 0;
	size_t want = TR_HEADER_LEN;

	for (int i = 0; have < want && i < MAX_ROUNDS; i++) {
		ssize_t n = recv(pair->fd[0], record + have, want - have, MSG_DONTWAIT);

		if (n > 0)
			have += (size_t)n;
		else
			peer_send(pair);
		if (have >= TR_HEADER_LEN)
			want = TR_HEADER_LEN + ((size_t)record[3] << 8 | record[4]);
	}
	return have == want ? have : 0;
}

bool pair_expect(struct pair *pair, const char *text)
{
	static unsigned char record[TR_RECORD_MAX + 512], plain[TR_PLAIN_MAX + 1];
	size_t len = strlen(text);

	for (;;) {
		struct tr_dir rx = pair->conn->keys.rx;
		size_t n = read_record(pair, record);
		uint8_t type;
		ssize_t got =
			n ? tr_open(pair->conn->keys.version, &rx, record, n, &type, plain) : -1;

		if (got < 0) {
			tap_note("record of %zu bytes is not authentic under sequence number %llu",
				 n, (unsigned long long)pair->conn->keys.rx.seq);
			return false;
		}
		pair->conn->keys.rx = rx;
		if (type == TR_DATA)
			return (size_t)got == len && !memcmp(plain, text, len);
		if (tr_control_take(pair->conn, type, plain, (size_t)got) !=
		    TLSREC_CONTROL_HANDLED) {
			tap_note("%s", tlsrec_conn_error(pair->conn));
			return false;
		}
	}
}

bool pair_seal(struct pair *pair, struct tr_dir *dir, uint8_t type, const void *data, size_t len)
{
	unsigned char record[TR_RECORD_MAX];
	ssize_t n = tr_seal(pair->conn->keys.version, dir, type, data, len, record);

	return n > 0 && send(pair->fd[0], record, (size_t)n, MSG_NOSIGNAL) == n;
}

bool pair_send(struct pair *pair, const char *text)
{
	char got[PEER_TEXT];
	int len;

	if (!pair_seal(pair, &pair->conn->keys.tx, TR_DATA, text, strlen(text)))
		return false;
	for (int i = 0; i < MAX_ROUNDS; i++) {
		peer_receive(pair);
		ERR_clear_error();
		len = SSL_read(pair->peer, got, sizeof(got));
		if (len > 0)
			return (size_t)len == strlen(text) && !memcmp(got, text, (size_t)len);
		if (SSL_get_error(pair->peer, len) != SSL_ERROR_WANT_READ)
			return false;
	}
	return false;
}

bool pair_receive(struct pair *pair)
{
	must(SSL_write(pair->peer, "from the peer", 13) == 13, "SSL_write");
	return pair_expect(pair, "from the peer");
}

bool pair_exchange(struct pair *pair)
{
	if (pair->behind && !pair_expect(pair, pair->behind))
		return false;
	return pair_receive(pair) && pair_send(pair, "to the peer") &&
	       pair_send(pair, "and once more");
}
