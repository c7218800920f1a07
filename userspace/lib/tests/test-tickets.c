// SPDX-License-Identifier: MIT
/* A server's tickets and their keys, and its list of sessions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "peer.h"
#include "pki.h"
#include "tap.h"

enum { HOUR = 3600 };

static struct pki_cert *root, *cert;

/* One connection at a time; the session it offers, or NULL, and the one that comes of it. */
static bool connect_with(struct pair *pair, SSL_SESSION *offered, SSL_SESSION **got, bool *resumed)
{
	bool ok;

	pair->peer_session = offered;
	ok = pair_run(pair) && pair_exchange(pair);
	*resumed = ok && tlsrec_conn_info(pair->conn)->resumed;
	if (ok && got) {
		*got = SSL_get1_session(pair->peer);
		SSL_SESSION_set_timeout(*got, 100 * HOUR);
	}
	pair_end(pair);
	pair->peer_session = NULL;
	return ok;
}

static bool is_zero(const void *data, size_t len)
{
	const unsigned char *p = data;

	while (len && !*p) {
		p++;
		len--;
	}
	return !len;
}

/* Keys that are over are not only not used, they are gone. */
static bool rest_is_wiped(const struct tr_ticket_keys *ring)
{
	return is_zero(&ring->keys[ring->count],
		       (TR_TICKET_KEYS - ring->count) * sizeof(ring->keys[0]));
}

static void test_rotation(void)
{
	for (int version = TLSREC_TLS_1_2; version <= TLSREC_TLS_1_3; version++) {
		struct pair pair = pair_make(true, version, cert, root);
		struct tr_ticket_keys *ring = &pair.ctx->ticket_keys;
		SSL_SESSION *first, *second, *third;
		struct tr_ticket_key oldest;
		bool resumed;

		clock_move_to(0);
		tlsrec_ctx_set_session_lifetime(pair.ctx, HOUR);
		connect_with(&pair, NULL, &first, &resumed);
		oldest = ring->keys[0];
		tap_ok(ring->count == 1 && !is_zero(oldest.cipher, sizeof(oldest.cipher)),
		       "TLS 1.%d: a key is made for the first ticket", version - 0x0301);
		clock_move_to(HOUR / 2 - 60);
		connect_with(&pair, NULL, &second, &resumed);
		tap_ok(ring->count == 1, "it is used for half of a session's lifetime");
		clock_move_to(HOUR / 2 + 60);
		connect_with(&pair, first, &third, &resumed);
		tap_ok(ring->count == 2 && resumed, "then there is another, and the old one opens");
		tap_ok(memcmp(ring->keys[0].cipher, oldest.cipher, sizeof(oldest.cipher)) &&
		       memcmp(ring->keys[0].mac, oldest.mac, sizeof(oldest.mac)) &&
		       memcmp(ring->keys[0].name, oldest.name, sizeof(oldest.name)),
		       "which is quite another");
		clock_move_to(HOUR - 30);
		connect_with(&pair, third, NULL, &resumed);
		tap_ok(resumed, "a ticket renewed under it is good");
		clock_move_to(HOUR + HOUR / 2 - 120);
		connect_with(&pair, second, NULL, &resumed);
		tap_ok(resumed, "the old one opens as long as its sessions live");
		clock_move_to(HOUR + HOUR / 2 + 60);
		connect_with(&pair, NULL, NULL, &resumed);
		tap_ok(ring->count <= 3 && rest_is_wiped(ring) &&
		       memcmp(ring->keys[ring->count - 1].name, oldest.name, sizeof(oldest.name)),
		       "and is wiped after that");
		clock_move_to(-HOUR);
		connect_with(&pair, NULL, NULL, &resumed);
		tap_ok(ring->keys[0].made <= time(NULL), "a clock put back: another key");
		for (int i = 0; i < 20; i++) {
			clock_move_to((10 + i) * HOUR / 2);
			connect_with(&pair, NULL, NULL, &resumed);
		}
		tap_ok(ring->count <= TR_TICKET_KEYS && rest_is_wiped(ring), "there are never many");
		SSL_SESSION_free(first);
		SSL_SESSION_free(second);
		SSL_SESSION_free(third);
		pair_free(&pair);
		clock_move_to(0);
	}
}

/* Tickets under other keys, or changed ones, are not taken, and in nobody's way. */
static void test_other_server(void)
{
	for (int version = TLSREC_TLS_1_2; version <= TLSREC_TLS_1_3; version++) {
		struct pair pair = pair_make(true, version, cert, root);
		struct pair other = pair_make(true, version, cert, root);
		SSL_SESSION *session;
		bool resumed;

		connect_with(&pair, NULL, &session, &resumed);
		tap_ok(connect_with(&other, session, NULL, &resumed) && !resumed,
		       "TLS 1.%d: another server's ticket", version - 0x0301);
		pair.ctx->ticket_keys.keys[0].mac[0] ^= 1;
		tap_ok(connect_with(&pair, session, NULL, &resumed) && !resumed,
		       "TLS 1.%d: a ticket that is not authentic", version - 0x0301);
		SSL_SESSION_free(session);
		pair_free(&pair);
		pair_free(&other);
	}
}

/* What a server says of a ticket's lifetime is what is left of the session. */
static void test_hint(void)
{
	struct pair pair = pair_make(true, TLSREC_TLS_1_3, cert, root);
	SSL_SESSION *first, *second;
	unsigned long hint;
	bool resumed;

	tlsrec_ctx_set_session_lifetime(pair.ctx, HOUR);
	connect_with(&pair, NULL, &first, &resumed);
	hint = SSL_SESSION_get_ticket_lifetime_hint(first);
	tap_ok(hint > HOUR - 60 && hint <= HOUR, "the first ticket: %lu seconds", hint);
	clock_move_to(HOUR - 300);
	connect_with(&pair, first, &second, &resumed);
	hint = SSL_SESSION_get_ticket_lifetime_hint(second);
	tap_ok(resumed && hint <= 300, "of a resumption near the end: %lu seconds", hint);
	clock_move_to(0);
	SSL_SESSION_free(first);
	SSL_SESSION_free(second);
	pair_free(&pair);
}

static void test_ids(void)
{
	struct pair pair = pair_make(true, TLSREC_TLS_1_2, cert, root);
	SSL_SESSION *session;
	bool resumed;

	SSL_CTX_set_options(pair.peer_ctx, SSL_OP_NO_TICKET);
	tlsrec_ctx_set_session_lifetime(pair.ctx, HOUR);
	for (int i = 0; i < 3; i++)
		connect_with(&pair, NULL, NULL, &resumed);
	connect_with(&pair, NULL, &session, &resumed);
	tap_ok(pair.ctx->ids.count == 4, "IDs: %zu sessions are kept", pair.ctx->ids.count);
	tap_ok(connect_with(&pair, session, NULL, &resumed) && resumed &&
	       connect_with(&pair, session, NULL, &resumed) && resumed &&
	       pair.ctx->ids.count == 4, "IDs, TLS 1.2: resumed twice");
	clock_move_to(HOUR + 60);
	tap_ok(connect_with(&pair, session, NULL, &resumed) && !resumed, "IDs: over");
	tap_ok(pair.ctx->ids.count == 1, "IDs: what is over is gone: %zu", pair.ctx->ids.count);
	SSL_SESSION_free(session);
	clock_move_to(0);
	pair_free(&pair);

	pair = pair_make(true, TLSREC_TLS_1_3, cert, root);
	tlsrec_ctx_set_resume(pair.ctx, TLSREC_RESUME_IDS);
	connect_with(&pair, NULL, &session, &resumed);
	tap_ok(connect_with(&pair, session, NULL, &resumed) && resumed &&
	       connect_with(&pair, session, NULL, &resumed) && !resumed,
	       "IDs, TLS 1.3: resumed once");
	SSL_SESSION_free(session);
	pair_free(&pair);
}

static void test_settings(void)
{
	struct tlsrec_ctx *ctx = tlsrec_server_new();

	tap_ok(!tlsrec_ctx_set_session_lifetime(ctx, 1) &&
	       !tlsrec_ctx_set_session_lifetime(ctx, 604800), "lifetimes that can be");
	tap_ok(tlsrec_ctx_set_session_lifetime(ctx, 0) < 0, "%s", tlsrec_ctx_error(ctx));
	tap_ok(tlsrec_ctx_set_session_lifetime(ctx, 604801) < 0, "%s", tlsrec_ctx_error(ctx));
	tlsrec_ctx_free(ctx);
}

int main(void)
{
	pki_begin();
	root = pki_make(&(struct pki_spec){ .name = "root", .ca = true });
	cert = pki_make(&(struct pki_spec){ .name = "server", .issuer = root,
					    .san = "DNS:server.example" });
	test_rotation();
	test_other_server();
	test_hint();
	test_ids();
	test_settings();
	pki_end();
	return tap_done();
}
