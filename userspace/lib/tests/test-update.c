// SPDX-License-Identifier: MIT
/*
 * Key updates of TLS 1.3, both ways, against plain OpenSSL. Without a kernel that seals it, the
 * library's KeyUpdate message arrives as it is; the test seals it with the key of that moment.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "peer.h"
#include "pki.h"
#include "tap.h"

static struct pki_cert *root, *cert;

static const char *const suites[] = {
	"TLS_AES_128_GCM_SHA256",
	"TLS_AES_256_GCM_SHA384",
	"TLS_CHACHA20_POLY1305_SHA256",
	"TLS_AES_128_CCM_SHA256",
};

static struct pair connected(bool we_serve, const char *suite)
{
	struct pair pair = pair_make(we_serve, TLS1_3_VERSION, cert, root);

	tlsrec_ctx_set_ciphers(pair.ctx, suite);
	peer_hold_to(pair.peer_ctx, TLS1_3_VERSION, suite);
	if (!pair_run(&pair) || !pair_exchange(&pair))
		tap_note("no connection to begin with: %s", tlsrec_conn_error(pair.conn));
	return pair;
}

static void end(struct pair *pair)
{
	pair_end(pair);
	pair_free(pair);
}

/* The library has just sent a KeyUpdate, which the peer gets under the key before. */
static bool pass_on(struct pair *pair, struct tr_dir *old, bool request)
{
	const uint8_t want[] = { TR_KEY_UPDATE, 0, 0, 1, request };
	uint8_t got[16];

	return recv(pair->fd[1], got, sizeof(got), MSG_DONTWAIT) == sizeof(want) &&
	       !memcmp(got, want, sizeof(want)) &&
	       pair_seal(pair, old, TR_HANDSHAKE, got, sizeof(want));
}

static void test_suite(bool we_serve, const char *suite)
{
	const char *role = we_serve ? "server" : "client";
	struct pair pair = connected(we_serve, suite);
	struct tlsrec_conn *conn = pair.conn;
	struct tr_dir old;
	bool ok = true;

	for (int i = 0; ok && i < 3; i++)
		ok = SSL_key_update(pair.peer, SSL_KEY_UPDATE_NOT_REQUESTED) &&
		     pair_exchange(&pair);
	tap_ok(ok && conn->keys.rx.seq == 1, "%s, %s: the peer's key changes, three times", role,
	       suite);

	old = conn->keys.tx;
	ok = SSL_key_update(pair.peer, SSL_KEY_UPDATE_REQUESTED) && pair_receive(&pair);
	tap_ok(ok && !tlsrec_key_update_wanted(conn) && pass_on(&pair, &old, false) &&
		       pair_exchange(&pair) && conn->keys.tx.seq == 2,
	       "%s, %s: and ours, which it asked for", role, suite);

	old = conn->keys.tx;
	tap_ok(!tlsrec_key_update(conn, 0) && pass_on(&pair, &old, false) &&
		       pair_exchange(&pair) && conn->keys.rx.seq == 3,
	       "%s, %s: our key changes", role, suite);

	old = conn->keys.tx;
	ok = !tlsrec_key_update(conn, 1) && pass_on(&pair, &old, true) &&
	     pair_send(&pair, "your turn");
	tap_ok(ok && pair_exchange(&pair) && conn->keys.rx.seq == 1,
	       "%s, %s: and the peer's, when asked", role, suite);
	end(&pair);
}

static void test_separate_writer(void)
{
	struct pair pair = connected(false, suites[0]);
	struct tr_dir old = pair.conn->keys.tx;
	bool ok;

	tlsrec_conn_set_separate_writer(pair.conn, 1);
	ok = SSL_key_update(pair.peer, SSL_KEY_UPDATE_REQUESTED) && pair_receive(&pair);
	tap_ok(ok && tlsrec_key_update_wanted(pair.conn) &&
		       !memcmp(&old, &pair.conn->keys.tx, sizeof(old)),
	       "separate writer: the reader does not answer");
	tap_ok(!tlsrec_key_update(pair.conn, 0) && !tlsrec_key_update_wanted(pair.conn) &&
		       pass_on(&pair, &old, false) && pair_exchange(&pair),
	       "separate writer: the writer does");
	shutdown(pair.fd[0], SHUT_WR);
	tap_ok(tlsrec_key_update(pair.conn, 0) < 0 && errno == EPIPE &&
		       !*tlsrec_conn_error(pair.conn),
	       "separate writer: a failure is in errno");
	end(&pair);
}

/* A socket that takes nothing more delays the answer, and one that is shut has none. */
static void test_no_room(void)
{
	struct pair pair = connected(true, suites[0]);
	struct tr_dir old = pair.conn->keys.tx;
	char stuff[4096];
	size_t stuffed = 0;
	bool ok;

	memset(stuff, 0, sizeof(stuff));
	while (send(pair.fd[0], stuff, sizeof(stuff), MSG_DONTWAIT) > 0)
		stuffed++;
	ok = SSL_key_update(pair.peer, SSL_KEY_UPDATE_REQUESTED) && pair_receive(&pair);
	tap_ok(ok && tlsrec_key_update_wanted(pair.conn) && old.seq == pair.conn->keys.tx.seq,
	       "no room: the answer stays owed");
	while (recv(pair.fd[1], stuff, sizeof(stuff), MSG_DONTWAIT) > 0)
		;
	tlsrec_control(pair.conn);
	tap_ok(stuffed && !tlsrec_key_update_wanted(pair.conn) && pass_on(&pair, &old, false) &&
		       pair_exchange(&pair),
	       "room again: and goes out with the next call");
	shutdown(pair.fd[0], SHUT_WR);
	ok = SSL_key_update(pair.peer, SSL_KEY_UPDATE_REQUESTED) && pair_receive(&pair);
	tap_ok(ok && pair_receive(&pair), "nothing can be sent any more: reading goes on");
	tap_ok(tlsrec_key_update(pair.conn, 0) < 0 && errno == EPIPE, "an update of our own: %s",
	       tlsrec_conn_error(pair.conn));
	end(&pair);
}

/* OpenSSL, which makes sessions of tickets, saw no update: they come through all the same. */
static void test_tickets_behind(void)
{
	struct pair pair = connected(false, suites[1]);
	size_t before = pair.ctx->sessions.count;
	bool ok;

	ok = SSL_key_update(pair.peer, SSL_KEY_UPDATE_NOT_REQUESTED) && pair_receive(&pair) &&
	     SSL_new_session_ticket(pair.peer) && pair_receive(&pair);
	tap_ok(ok && pair.ctx->sessions.count == before + 1, "a ticket behind a key update");
	end(&pair);
}

static void test_refused(void)
{
	static const struct {
		const char *what, *bytes;
		size_t len;
	} cases[] = {
		{ "neither 0 nor 1", "\x18\x00\x00\x01\x02", 5 },
		{ "no body", "\x18\x00\x00\x00", 4 },
		{ "two bytes", "\x18\x00\x00\x02\x00\x00", 6 },
		{ "another message behind it", "\x18\x00\x00\x01\x00\x18\x00\x00\x01\x00", 10 },
		{ "a byte behind it", "\x18\x00\x00\x01\x00\x04", 6 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pair pair = connected(false, suites[0]);
		struct tr_dir old = pair.conn->keys.rx;

		tap_ok(tr_control_take(pair.conn, TR_HANDSHAKE, (const uint8_t *)cases[i].bytes,
				       cases[i].len) == TLSREC_CONTROL_ERROR &&
			       errno == EPROTO && !memcmp(&old, &pair.conn->keys.rx, sizeof(old)),
		       "refused, %s: %s", cases[i].what, tlsrec_conn_error(pair.conn));
		end(&pair);
	}
}

static void test_split(void)
{
	struct pair pair = connected(false, suites[0]);
	bool ok = true;

	for (int i = 0; i < TR_KEY_UPDATE_LEN; i++)
		ok = ok && pair.conn->keys.rx.seq &&
		     tr_control_take(pair.conn, TR_HANDSHAKE,
				     (const uint8_t *)"\x18\x00\x00\x01\x00" + i, 1) ==
			     TLSREC_CONTROL_HANDLED;
	tap_ok(ok && !pair.conn->keys.rx.seq, "a KeyUpdate in records of one byte");
	end(&pair);
}

static void test_version12(void)
{
	struct pair pair = pair_make(true, TLS1_2_VERSION, cert, root);

	tap_ok(pair_run(&pair) && tlsrec_key_update(pair.conn, 0) < 0 && errno == EINVAL,
	       "TLS 1.2 has no key update");
	end(&pair);
}

int main(void)
{
	pki_begin();
	root = pki_make(&(struct pki_spec){ .name = "root", .ca = true });
	cert = pki_make(&(struct pki_spec){ .name = "server", .issuer = root,
					    .san = "DNS:server.example" });
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
		for (int serve = 0; serve < 2; serve++)
			test_suite(serve, suites[i]);
	test_separate_writer();
	test_no_room();
	test_tickets_behind();
	test_refused();
	test_split();
	test_version12();
	pki_end();
	return tap_done();
}
