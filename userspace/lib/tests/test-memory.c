// SPDX-License-Identifier: MIT
/*
 * What a finished connection keeps. Many are made and kept, so that what allocators and OpenSSL keep for
 * themselves does not count.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "peer.h"
#include "pki.h"
#include "tap.h"

enum { CONNECTIONS = 40, KIB = 1024 };

static struct pki_cert *root, *cert;

/* Bytes in use on the heap; 0 when nobody counts them, as with sanitizers. */
static size_t in_use(void)
{
	return mallinfo2().uordblks;
}

/* One that is over, with nothing left of the peer. */
static struct tlsrec_conn *finished(struct pair *pair)
{
	struct tlsrec_conn *conn;

	if (!pair_run(pair) || !pair_exchange(pair))
		tap_note("%s", tlsrec_conn_error(pair->conn));
	conn = pair->conn;
	pair->conn = NULL;
	pair_end(pair);
	return conn;
}

static void test_kept(bool we_serve, int version, enum tlsrec_resume resume, size_t most)
{
	struct pair pair = pair_make(we_serve, version, cert, root);
	struct tlsrec_conn *conn[2 * CONNECTIONS];
	unsigned char keys[80];
	size_t before = 0, kept;

	tlsrec_ctx_set_resume(pair.ctx, resume);
	SSL_CTX_set_session_cache_mode(pair.peer_ctx, SSL_SESS_CACHE_OFF);
	/* The first half fills what there is to fill. */
	for (int i = 0; i < 2 * CONNECTIONS; i++) {
		/*
		 * A peer that forgot, so that each connection has a session and certificates of its own. A client of TLS 1.3
		 * that keeps sessions would have them in OpenSSL's form, of any size.
		 */
		RAND_bytes(keys, sizeof(keys));
		if (version == TLSREC_TLS_1_2)
			SSL_CTX_set_tlsext_ticket_keys(pair.peer_ctx, keys, sizeof(keys));
		if (i == CONNECTIONS)
			before = in_use();
		conn[i] = finished(&pair);
	}
	kept = (in_use() - before) / CONNECTIONS;
	tap_ok(kept <= most, "U8: %s, TLS 1.%d, %s: a finished connection keeps %zu bytes",
	       we_serve ? "server" : "client", (version & 15) - 1, resume ? "tickets" : "no resumption", kept);
	for (int i = 0; i < 2 * CONNECTIONS; i++)
		tlsrec_conn_free(conn[i]);
	pair_free(&pair);
}

int main(int argc, char **argv)
{
	static const char tunable[] = "glibc.malloc.tcache_count=0";
	/* What is in it counts as used. */
	if (argc && !getenv("GLIBC_TUNABLES")) {
		setenv("GLIBC_TUNABLES", tunable, 1);
		execv("/proc/self/exe", argv);
	}
	pki_begin();
	root = pki_make(&(struct pki_spec){ .name = "root", .ca = true });
	if (!in_use()) {
		tap_skip("U8: memory of finished connections", "nobody counts it");
		pki_end();
		return tap_done();
	}
	cert = pki_make(&(struct pki_spec){ .name = "ec", .san = "DNS:server.example", .issuer = root });
	for (int resume = TLSREC_RESUME_OFF; resume <= TLSREC_RESUME_TICKETS; resume++) {
		test_kept(true, TLSREC_TLS_1_2, resume, 4 * KIB);
		test_kept(true, TLSREC_TLS_1_3, resume, 4 * KIB);
		test_kept(false, TLSREC_TLS_1_2, resume, 4 * KIB);
		test_kept(false, TLSREC_TLS_1_3, resume, resume ? 20 * KIB : 4 * KIB);
	}
	pki_end();
	return tap_done();
}
