// SPDX-License-Identifier: MIT
/* What sessions carry, saved ones that are damaged or foreign, what is said of resumed ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ocsp.h>
#include <openssl/pem.h>

#include "peer.h"
#include "pki.h"
#include "tap.h"

static struct pki_cert *root, *middle, *cert, *stranger, *client_cert;
static const char *staple_file;

/* The session of a connection with a server that shows a certificate, as bytes. */
static unsigned char *saved(struct pair *pair, size_t *len)
{
	bool ok = pair_run(pair) && pair_exchange(pair);
	unsigned char *data = ok ? tlsrec_conn_session(pair->conn, len) : NULL;

	pair_end(pair);
	if (!data)
		abort();
	return data;
}

/* 0, or -1: whether a new connection takes these bytes; the sentence if not. */
static int offer(struct tlsrec_ctx *ctx, const unsigned char *data, size_t len, char says[1024])
{
	struct tlsrec_conn *conn = tlsrec_conn_new(ctx, -1, "server.example");
	int ret = tlsrec_conn_set_session(conn, data, len);

	snprintf(says, 1024, "%s", tlsrec_conn_error(conn));
	tlsrec_conn_free(conn);
	return ret;
}

/* A full and a resumed connection say the same of the server. */
static void test_info(bool verify, struct pki_cert *shown)
{
	for (int version = TLSREC_TLS_1_2; version <= TLSREC_TLS_1_3; version++) {
		struct pair pair = pair_make(false, version, shown, root);
		struct tlsrec_info full, resumed;
		char reason[TR_RESPONSE_REASON_LEN], verdict[TR_REASON_LEN];
		char *pem[2] = { NULL, NULL };
		unsigned char *data;
		bool ok;
		size_t len;

		if (!verify)
			tlsrec_ctx_set_verify(pair.ctx, TLSREC_VERIFY_NONE);
		peer_staple(pair.peer_ctx, &staple_file);
		ok = pair_run(&pair) && pair_exchange(&pair);
		data = tlsrec_conn_session(pair.conn, &len);
		full = *tlsrec_conn_info(pair.conn);
		snprintf(reason, sizeof(reason), "%s", full.ocsp_reason);
		snprintf(verdict, sizeof(verdict), "%s", full.verdict);
		pem[0] = tlsrec_conn_peer_pem(pair.conn);
		pair_end(&pair);
		pair.session = data;
		pair.session_len = len;
		ok = ok && pair_run(&pair);
		resumed = *tlsrec_conn_info(pair.conn);
		pem[1] = tlsrec_conn_peer_pem(pair.conn);
		tap_ok(ok && resumed.resumed && resumed.verified == full.verified &&
		       full.verified == verify && resumed.ocsp == full.ocsp &&
		       !strcmp(resumed.ocsp_reason, reason) && !strcmp(resumed.verdict, verdict),
		       "resumed, TLS 1.%d, %s: \"%s\", %s", version - 0x0301,
		       verify ? "verified" : "not verified", verdict, reason);
		tap_ok(pem[0] && pem[1] && !strcmp(pem[0], pem[1]), "and the same chain");
		pair_end(&pair);
		pair_free(&pair);
		free(data);
		free(pem[0]);
		free(pem[1]);
	}
}

/* A server that says nothing has shown nothing, whatever is in the session that it is offered. */
static void test_nothing_shown(void)
{
	for (int version = TLSREC_TLS_1_2; version <= TLSREC_TLS_1_3; version++) {
		struct pair pair = pair_make(false, version, cert, root);
		const struct tlsrec_info *info;
		char *pem[2];
		bool ok;

		peer_staple(pair.peer_ctx, &staple_file);
		ok = pair_run(&pair) && pair_exchange(&pair);
		pair_end(&pair);
		socketpair(AF_UNIX, SOCK_STREAM, 0, pair.fd);
		pair.conn = tlsrec_conn_new(pair.ctx, pair.fd[0], "server.example");
		ok = ok && tlsrec_step(pair.conn) == TLSREC_WANT_READ &&
		     pair.conn->verdict.of_session;
		pem[0] = tlsrec_conn_peer_pem(pair.conn);
		close(pair.fd[1]);
		ok = ok && tlsrec_step(pair.conn) == TLSREC_ERROR;
		pem[1] = tlsrec_conn_peer_pem(pair.conn);
		info = tlsrec_conn_info(pair.conn);
		tap_ok(ok && !pem[0] && !pem[1] && !info->peer && !info->verified,
		       "TLS 1.%d: nothing was shown", version - 0x0301);
		tlsrec_conn_free(pair.conn);
		close(pair.fd[0]);
		free(pem[0]);
		free(pem[1]);
		pair_free(&pair);
	}
}

static void test_damaged(void)
{
	for (int version = TLSREC_TLS_1_2; version <= TLSREC_TLS_1_3; version++) {
		struct pair pair = pair_make(false, version, cert, root);
		unsigned char *data, *copy;
		char says[1024];
		int taken = 0;
		size_t len;

		peer_staple(pair.peer_ctx, &staple_file);
		data = saved(&pair, &len);
		copy = malloc(len + 1);
		tap_ok(!offer(pair.ctx, data, len, says), "TLS 1.%d, whole: taken%s",
		       version - 0x0301, says);
		/* Each in a piece of memory of its own, so that tools see what is read behind it. */
		for (size_t n = 0; n < len; n++) {
			unsigned char *part = malloc(n ? n : 1);

			memcpy(part, data, n);
			taken += !offer(pair.ctx, part, n, says);
			free(part);
		}
		tap_ok(!taken && strstr(says, "no session that this library saved"),
		       "TLS 1.%d, the beginning of it: %s", version - 0x0301, says);
		memcpy(copy, data, len);
		copy[len] = 0;
		tap_ok(offer(pair.ctx, copy, len + 1, says) < 0, "TLS 1.%d, a byte more: %s",
		       version - 0x0301, says);
		/* What of it is secret cannot be told from damage; the server can. */
		for (size_t i = 0; i < len; i++) {
			memcpy(copy, data, len);
			copy[i] ^= (unsigned char)(1 << i % 8);
			taken += !offer(pair.ctx, copy, len, says);
		}
		tap_ok(taken < (int)len / 3, "TLS 1.%d, bits changed: %d of %zu taken",
		       version - 0x0301, taken, len);
		free(data);
		free(copy);
		pair_free(&pair);
	}
}

/* OpenSSL's own forms of a session, which say nothing of the peer's issuers and of time. */
static void test_foreign(void)
{
	struct pair pair = pair_make(false, TLSREC_TLS_1_3, cert, root);
	bool ok = pair_run(&pair) && pair_exchange(&pair);
	unsigned char *der = NULL;
	int len = i2d_SSL_SESSION(pair.conn->session, &der);
	BIO *bio = BIO_new(BIO_s_mem());
	char says[1024];
	char *pem;
	long pem_len;

	PEM_write_bio_SSL_SESSION(bio, pair.conn->session);
	pem_len = BIO_get_mem_data(bio, &pem);
	pair_end(&pair);
	tap_ok(ok && offer(pair.ctx, der, (size_t)len, says) < 0, "OpenSSL's DER: %s", says);
	tap_ok(offer(pair.ctx, (unsigned char *)pem, (size_t)pem_len, says) < 0, "PEM: %s", says);
	tap_ok(offer(pair.ctx, NULL, 0, says) < 0, "nothing: %s", says);
	BIO_free(bio);
	OPENSSL_free(der);
	pair_free(&pair);
}

/* A session that no certificate began. */
static unsigned char *without_certificate(int version, size_t *len)
{
	static const unsigned char id[32] = { 1 };
	struct tr_evidence evidence = { .time = time(NULL), .asked = true };
	SSL_CTX *ssl = SSL_CTX_new(TLS_method());
	SSL *any = SSL_new(ssl);
	SSL_SESSION *session = SSL_SESSION_new();
	const unsigned char suite12[] = { 0xc0, 0x2b }, suite13[] = { 0x13, 0x01 };
	unsigned char *head, *data, *p;
	size_t n;
	int m;

	SSL_SESSION_set_protocol_version(session, version);
	SSL_SESSION_set_cipher(session,
			       SSL_CIPHER_find(any, version == TLSREC_TLS_1_3 ? suite13 : suite12));
	SSL_SESSION_set1_id(session, id, sizeof(id));
	SSL_SESSION_set1_master_key(session, id, sizeof(id));
	evidence.issuers = sk_X509_new_null();
	/* The digest of no certificates. */
	EVP_Digest("", 0, evidence.own, NULL, EVP_sha256(), NULL);
	head = tr_evidence_encode(&evidence, &n);
	m = i2d_SSL_SESSION(session, NULL);
	*len = 8 + 4 + n + (size_t)m;
	data = malloc(*len);
	memcpy(data, "TLSRECs\1\0\0", 10);
	data[10] = (unsigned char)(n >> 8);
	data[11] = (unsigned char)n;
	memcpy(data + 12, head, n);
	p = data + 12 + n;
	i2d_SSL_SESSION(session, &p);
	free(head);
	sk_X509_free(evidence.issuers);
	SSL_SESSION_free(session);
	SSL_free(any);
	SSL_CTX_free(ssl);
	return data;
}

static void test_no_certificate(void)
{
	for (int verify = 0; verify < 2; verify++)
		for (int version = TLSREC_TLS_1_2; version <= TLSREC_TLS_1_3; version++) {
			struct tlsrec_ctx *ctx = our_ctx(false, NULL, root);
			size_t len;
			unsigned char *data = without_certificate(version, &len);
			char says[1024];

			tlsrec_ctx_set_verify(ctx, verify ? TLSREC_VERIFY_REQUIRE
							  : TLSREC_VERIFY_NONE);
			tap_ok(offer(ctx, data, len, says) < 0 && strstr(says, "no certificate"),
			       "no certificate, TLS 1.%d, %s: %s", version - 0x0301,
			       verify ? "verified" : "not verified", says);
			free(data);
			tlsrec_ctx_free(ctx);
		}
}

static void test_when(void)
{
	struct pair pair = pair_make(true, TLSREC_TLS_1_3, cert, root);
	struct pair other = pair_make(false, TLSREC_TLS_1_3, cert, root);
	unsigned char *data;
	size_t len;

	data = saved(&other, &len);
	pair_run(&pair);
	tap_ok(tlsrec_conn_set_session(pair.conn, data, len) < 0, "a server: %s",
	       tlsrec_conn_error(pair.conn));
	pair_end(&pair);
	pair_run(&other);
	tap_ok(tlsrec_conn_set_session(other.conn, data, len) < 0, "after the first step: %s",
	       tlsrec_conn_error(other.conn));
	pair_end(&other);
	free(data);
	pair_free(&pair);
	pair_free(&other);
}

static void forget(void *arg, struct tlsrec_conn *conn, const struct tlsrec_event *event)
{
	(void)arg;
	(void)event;
	conn->verdict.of_session = false;
}

/* Should a session ever be resumed that was not judged, then that is the end. */
static void test_not_judged(void)
{
	for (int serve = 0; serve < 2; serve++) {
		struct pair pair = pair_make(serve, TLSREC_TLS_1_2, cert, root);
		bool ok = pair_run(&pair) && pair_exchange(&pair);

		pair.peer_session = SSL_get1_session(pair.peer);
		pair_end(&pair);
		tlsrec_ctx_set_event_fn(pair.ctx, forget, NULL);
		ok = ok && !pair_run(&pair);
		tap_ok(ok && pair.status == TLSREC_ERROR, "not judged: %s",
		       tlsrec_conn_error(pair.conn));
		tap_ok(!tlsrec_conn_info(pair.conn)->verified, "and not verified");
		pair_end(&pair);
		SSL_SESSION_free(pair.peer_session);
		pair_free(&pair);
	}
}

/* An offered session is nobody's before the server has shown that it has it, too. */
static void test_broken_off(void)
{
	for (int version = TLSREC_TLS_1_2; version <= TLSREC_TLS_1_3; version++)
		for (size_t at = 1; at <= 400; at += 7) {
			struct pair pair = pair_make(false, version, cert, root);
			bool ok = pair_run(&pair) && pair_exchange(&pair);
			const struct tlsrec_info *info;

			pair_end(&pair);
			pair.flip = at;
			if (pair_run(&pair))
				at = 400;	/* behind the last byte of the handshake */
			info = tlsrec_conn_info(pair.conn);
			if (!ok || (pair.status != TLSREC_DONE && (info->verified || info->peer)))
				tap_ok(false, "TLS 1.%d, byte %zu damaged: verified %d",
				       version - 0x0301, at, info->verified);
			pair_end(&pair);
			pair_free(&pair);
		}
	tap_ok(true, "broken off: nobody is verified");
}

/* A chain that is too long for tickets: the client is served, and not resumed. */
static void test_long_chain(void)
{
	const char *path = pki_path("long.pem");
	char command[3 * PKI_PATH + 64];

	snprintf(command, sizeof(command), "{ cat %s; for i in $(seq 90); do cat %s; done; } >%s",
		 client_cert->file, middle->file, path);
	if (system(command))
		abort();
	for (int version = TLSREC_TLS_1_2; version <= TLSREC_TLS_1_3; version++) {
		struct pair pair = pair_make(true, version, cert, root);
		bool ok;

		tlsrec_ctx_set_roots(pair.ctx, root->file, NULL);
		tlsrec_ctx_set_verify(pair.ctx, TLSREC_VERIFY_REQUIRE);
		peer_use_cert(pair.peer_ctx, path, client_cert->key_file);
		ok = pair_run(&pair) && pair_exchange(&pair);
		pair.peer_session = SSL_get1_session(pair.peer);
		pair_end(&pair);
		ok = ok && pair_run(&pair) && pair_exchange(&pair);
		tap_ok(ok && !tlsrec_conn_info(pair.conn)->resumed &&
		       tlsrec_conn_info(pair.conn)->verified, "a long chain, TLS 1.%d%s",
		       version - 0x0301, tlsrec_conn_error(pair.conn));
		pair_end(&pair);
		SSL_SESSION_free(pair.peer_session);
		pair_free(&pair);
	}
}

int main(void)
{
	pki_begin();
	root = pki_make(&(struct pki_spec){ .name = "root", .ca = true });
	middle = pki_make(&(struct pki_spec){ .name = "middle", .ca = true, .issuer = root });
	cert = pki_make(&(struct pki_spec){ .name = "server", .issuer = middle, .chain = middle,
					    .san = "DNS:server.example" });
	client_cert = pki_make(&(struct pki_spec){ .name = "client", .issuer = middle });
	stranger = pki_make(&(struct pki_spec){ .name = "stranger", .san = "DNS:server.example" });
	staple_file = pki_ocsp("good.der", cert, middle, middle, V_OCSP_CERTSTATUS_GOOD, 5);
	test_info(true, cert);
	test_info(false, stranger);
	test_nothing_shown();
	test_damaged();
	test_foreign();
	test_no_certificate();
	test_when();
	test_not_judged();
	test_broken_off();
	test_long_chain();
	pki_end();
	return tap_done();
}
