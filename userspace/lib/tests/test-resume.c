// SPDX-License-Identifier: MIT
/* Session resumption, both sides, both kinds, both versions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"
#include "pki.h"
#include "tap.h"

static struct pki_cert *root, *cert, *client_cert;

static struct pair new_pair(bool we_serve, int version)
{
	return pair_make(we_serve, version, cert, root);
}

static bool resumed(struct pair *pair)
{
	return tlsrec_conn_info(pair->conn)->resumed && SSL_session_reused(pair->peer);
}

/* Two connections; whether the second was resumed. Fails if data does not pass on both. */
static bool twice(struct pair *pair, const char *what)
{
	bool second = false;
	bool ok = true;

	pair->behind = "right behind Finished";
	for (int i = 0; i < 2; i++) {
		ok = ok && pair_run(pair) && pair_exchange(pair);
		if (!ok)
			tap_note("%s", tlsrec_conn_error(pair->conn));
		second = ok && resumed(pair);
		SSL_SESSION_free(pair->peer_session);
		pair->peer_session = ok ? SSL_get1_session(pair->peer) : NULL;
		pair_end(pair);
	}
	SSL_SESSION_free(pair->peer_session);
	pair->peer_session = NULL;
	tap_ok(ok, "%s: data passes", what);
	return second;
}

static void test_kinds(void)
{
	static const enum tlsrec_resume modes[] = {
		TLSREC_RESUME_TICKETS, TLSREC_RESUME_IDS, TLSREC_RESUME_OFF,
	};
	static const char *const words[] = { "tickets", "IDs", "off" };
	char what[64];

	for (int version = TLSREC_TLS_1_2; version <= TLSREC_TLS_1_3; version++)
		for (int serve = 0; serve < 2; serve++)
			for (int m = 0; m < 3; m++) {
				struct pair pair = new_pair(serve, version);
				bool want = modes[m] != TLSREC_RESUME_OFF;

				snprintf(what, sizeof(what), "%s, TLS 1.%d, %s",
					 serve ? "server" : "client", version - 0x0301,
					 words[m]);
				tlsrec_ctx_set_resume(pair.ctx, modes[m]);
				if (!serve && modes[m] == TLSREC_RESUME_IDS)
					SSL_CTX_set_options(pair.peer_ctx, SSL_OP_NO_TICKET);
				/* A server without resumption gives nothing to resume. */
				tap_ok(twice(&pair, what) == want, "%s: %s", what,
				       want ? "resumed" : "not resumed");
				pair_free(&pair);
			}
}

static void test_blob(void)
{
	for (int version = TLSREC_TLS_1_2; version <= TLSREC_TLS_1_3; version++) {
		struct pair pair = new_pair(false, version);
		struct pair later = new_pair(false, version);
		struct tlsrec_conn *conn;
		unsigned char *data;
		size_t len = 0;
		bool ok;

		ok = pair_run(&pair) && pair_exchange(&pair);
		data = tlsrec_conn_session(pair.conn, &len);
		pair_end(&pair);
		tap_ok(ok && data && len, "blob, TLS 1.%d: there is one", version - 0x0301);

		/* The other context knows nothing but the blob; the server is the same. */
		SSL_CTX_free(later.peer_ctx);
		later.peer_ctx = pair.peer_ctx;
		SSL_CTX_up_ref(later.peer_ctx);
		later.session = data;
		later.session_len = len;
		tap_ok(pair_run(&later) && resumed(&later) && pair_exchange(&later) &&
		       tlsrec_conn_info(later.conn)->verified, "blob, TLS 1.%d: resumes",
		       version - 0x0301);
		pair_end(&later);

		later.session_len = 10;
		tlsrec_ctx_set_resume(later.ctx, TLSREC_RESUME_OFF);
		tap_ok(pair_run(&later) && !resumed(&later) && !*tlsrec_conn_error(later.conn),
		       "blob, TLS 1.%d: a refused one is not in the way", version - 0x0301);
		pair_end(&later);

		conn = tlsrec_conn_new(later.ctx, -1, "other.example");
		tap_ok(tlsrec_conn_set_session(conn, data, len) < 0, "blob, TLS 1.%d: %s",
		       version - 0x0301, tlsrec_conn_error(conn));
		tlsrec_conn_free(conn);
		conn = tlsrec_conn_new(later.ctx, -1, "server.example");
		tap_ok(tlsrec_conn_set_session(conn, data, 10) < 0, "blob, TLS 1.%d: %s",
		       version - 0x0301, tlsrec_conn_error(conn));
		tlsrec_conn_free(conn);
		free(data);
		pair_free(&pair);
		pair_free(&later);
	}
}

/* A session begun without verification must not pass where it is required. */
static void test_unverified_blob(void)
{
	struct pki_cert *stranger = pki_make(&(struct pki_spec){
		.name = "stranger", .san = "DNS:server.example" });

	for (int version = TLSREC_TLS_1_2; version <= TLSREC_TLS_1_3; version++) {
		struct pair pair = new_pair(false, version);
		struct pair later = new_pair(false, version);
		unsigned char *data;
		size_t len;
		bool ok;

		peer_use_cert(pair.peer_ctx, stranger->file, stranger->key_file);
		tlsrec_ctx_set_verify(pair.ctx, TLSREC_VERIFY_NONE);
		ok = pair_run(&pair) && pair_exchange(&pair);
		data = tlsrec_conn_session(pair.conn, &len);
		pair_end(&pair);
		SSL_CTX_free(later.peer_ctx);
		later.peer_ctx = pair.peer_ctx;
		SSL_CTX_up_ref(later.peer_ctx);
		later.session = data;
		later.session_len = len;
		ok = ok && data && !pair_run(&later);
		tap_ok(ok && tlsrec_conn_error_kind(later.conn) == TLSREC_ERROR_VERIFY,
		       "unverified session, TLS 1.%d: %s", version - 0x0301,
		       ok ? tlsrec_conn_error(later.conn) : "");
		pair_end(&later);
		free(data);
		pair_free(&pair);
		pair_free(&later);
	}
}

/* The kernel that had the cipher of a session may be another than today's. */
static void test_other_cipher(void)
{
	struct pair pair = new_pair(false, TLSREC_TLS_1_2);
	struct tlsrec_conn *conn;
	unsigned char *data;
	size_t len;
	bool ok;

	tlsrec_ctx_set_ciphers(pair.ctx, "ECDHE-ECDSA-CHACHA20-POLY1305");
	ok = pair_run(&pair) && pair_exchange(&pair);
	data = tlsrec_conn_session(pair.conn, &len);
	pair_end(&pair);
	tlsrec_ctx_set_ciphers(pair.ctx, "ECDHE-ECDSA-AES128-GCM-SHA256");
	conn = tlsrec_conn_new(pair.ctx, -1, "server.example");
	tap_ok(ok && tlsrec_conn_set_session(conn, data, len) < 0,
	       "a session of TLS 1.2 with another suite: %s", tlsrec_conn_error(conn));
	tlsrec_conn_free(conn);
	ok = pair_run(&pair) && pair_exchange(&pair);
	tap_ok(ok && !resumed(&pair), "and none from the cache is offered, either");
	pair_end(&pair);
	free(data);
	pair_free(&pair);
}

static void test_cache_bounds(void)
{
	struct pair pair = new_pair(false, TLSREC_TLS_1_3);
	bool ok = true;

	SSL_CTX_set_num_tickets(pair.peer_ctx, 10);
	for (int i = 0; i < 3; i++) {
		ok = ok && pair_run(&pair) && pair_exchange(&pair);
		pair_end(&pair);
	}
	tap_ok(ok && pair.ctx->sessions.count == TR_SESSIONS_PER_PEER,
	       "cache: %zu sessions with one server", pair.ctx->sessions.count);
	SSL_CTX_set_num_tickets(pair.peer_ctx, 0);
	ok = pair_run(&pair) && resumed(&pair);
	tap_ok(ok && pair.ctx->sessions.count == TR_SESSIONS_PER_PEER - 1,
	       "cache: a ticket of TLS 1.3 is used once");
	pair_end(&pair);
	pair.host = "SERVER.example";
	SSL_CTX_set_num_tickets(pair.peer_ctx, 2);
	ok = pair_run(&pair) && !resumed(&pair);
	tap_ok(ok, "cache: another name, another session");
	pair_end(&pair);
	pair_free(&pair);
}

/* The certificate of a resumed client is the one it showed first. */
static void test_client_cert(void)
{
	for (int version = TLSREC_TLS_1_2; version <= TLSREC_TLS_1_3; version++) {
		struct pair pair = new_pair(true, version);
		bool ok;

		tlsrec_ctx_set_roots(pair.ctx, root->file, NULL);
		tlsrec_ctx_set_verify(pair.ctx, TLSREC_VERIFY_REQUIRE);
		peer_use_cert(pair.peer_ctx, client_cert->file, client_cert->key_file);
		ok = pair_run(&pair) && pair_exchange(&pair);
		pair.peer_session = ok ? SSL_get1_session(pair.peer) : NULL;
		pair_end(&pair);
		ok = ok && pair_run(&pair);
		tap_ok(ok && resumed(&pair) && tlsrec_conn_info(pair.conn)->verified &&
		       !strcmp(tlsrec_conn_info(pair.conn)->peer->subject, "CN=client"),
		       "client certificate in a resumed session, TLS 1.%d", version - 0x0301);
		pair_end(&pair);
		SSL_SESSION_free(pair.peer_session);
		pair_free(&pair);
	}
}

int main(void)
{
	pki_begin();
	root = pki_make(&(struct pki_spec){ .name = "root", .ca = true });
	cert = pki_make(&(struct pki_spec){ .name = "server", .issuer = root,
					    .san = "DNS:server.example" });
	client_cert = pki_make(&(struct pki_spec){ .name = "client", .issuer = root });
	test_kinds();
	test_blob();
	test_unverified_blob();
	test_other_cipher();
	test_cache_bounds();
	test_client_cert();
	pki_end();
	return tap_done();
}
