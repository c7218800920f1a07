// SPDX-License-Identifier: MIT
/* Handshakes that fail otherwise than by a certificate, and records that come afterwards. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"
#include "pki.h"
#include "tap.h"

static struct pki_cert *root, *ec;

/* Unlike other tests these want a peer of any version that names no server. */
static struct pair new_pair(bool we_serve)
{
	struct pair pair = pair_make(we_serve, TLS1_3_VERSION, ec, root);

	SSL_CTX_set_min_proto_version(pair.peer_ctx, TLS1_2_VERSION);
	pair.peer_sni = NULL;
	return pair;
}

static void free_pair(struct pair *pair)
{
	pair_end(pair);
	pair_free(pair);
}

static void expect_failure(struct pair *pair, enum tlsrec_error_kind kind, const char *says,
			   const char *name)
{
	bool ok = pair_run(pair);
	const char *error = tlsrec_conn_error(pair->conn);

	tap_ok(!ok && tlsrec_conn_error_kind(pair->conn) == kind && strstr(error, says), "%s: %s",
	       name, error);
	free_pair(pair);
}

static void test_nothing_in_common(void)
{
	struct pair pair = new_pair(false);

	SSL_CTX_set_max_proto_version(pair.peer_ctx, TLS1_2_VERSION);
	tlsrec_ctx_set_versions(pair.ctx, TLSREC_TLS_1_3, TLSREC_TLS_1_3);
	expect_failure(&pair, TLSREC_ERROR_ALERT, "protocol_version", "client, versions");

	pair = new_pair(true);
	SSL_CTX_set_max_proto_version(pair.peer_ctx, TLS1_2_VERSION);
	tlsrec_ctx_set_versions(pair.ctx, TLSREC_TLS_1_3, TLSREC_TLS_1_3);
	expect_failure(&pair, TLSREC_ERROR_PROTOCOL, "no TLS version in common",
		       "server, versions");

	pair = new_pair(false);
	SSL_CTX_set_max_proto_version(pair.peer_ctx, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(pair.peer_ctx, "ECDHE-ECDSA-AES128-CCM");
	expect_failure(&pair, TLSREC_ERROR_ALERT, "handshake_failure", "client, suites");

	pair = new_pair(true);
	SSL_CTX_set_ciphersuites(pair.peer_ctx, "TLS_AES_128_CCM_SHA256");
	SSL_CTX_set_min_proto_version(pair.peer_ctx, TLS1_3_VERSION);
	expect_failure(&pair, TLSREC_ERROR_PROTOCOL, "no cipher suite", "server, suites");

	pair = new_pair(true);
	SSL_CTX_set_max_proto_version(pair.peer_ctx, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(pair.peer_ctx, "ECDHE-RSA-AES128-GCM-SHA256");
	expect_failure(&pair, TLSREC_ERROR_PROTOCOL, "no cipher suite", "server, key type");
}

/* A peer that just says something and closes its direction. */
static void expect_refusal(bool we_serve, const void *data, size_t len,
			   enum tlsrec_error_kind kind, const char *says, const char *name)
{
	struct tlsrec_ctx *ctx = our_ctx(we_serve, ec, root);
	struct tlsrec_conn *conn;
	int fd[2];

	socketpair(AF_UNIX, SOCK_STREAM, 0, fd);
	conn = tlsrec_conn_new(ctx, fd[0], "server.example");
	tap_ok(we_serve || tlsrec_step(conn) == TLSREC_WANT_READ, "%s: begun", name);
	if (len && send(fd[1], data, len, 0) != (ssize_t)len)
		tap_note("short send");
	shutdown(fd[1], SHUT_WR);
	tap_ok(tlsrec_handshake(conn, 5000) == TLSREC_ERROR &&
		       tlsrec_conn_error_kind(conn) == kind &&
		       strstr(tlsrec_conn_error(conn), says),
	       "%s: %s", name, tlsrec_conn_error(conn));
	tap_ok(tlsrec_step(conn) == TLSREC_ERROR && strstr(tlsrec_conn_error(conn), says),
	       "%s: stays failed", name);
	tlsrec_conn_free(conn);
	tlsrec_ctx_free(ctx);
	close(fd[0]);
	close(fd[1]);
}

static void test_strange_peers(void)
{
	static const unsigned char alert[] = { 21, 3, 3, 0, 2, 2, 112 };
	static const unsigned char huge[] = { 22, 3, 3, 0xff, 0xff, 1, 2, 3 };

	expect_refusal(false, "HTTP/1.1 400 Bad Request\r\n", 26, TLSREC_ERROR_PROTOCOL,
		       "starts with \"HTTP/\"", "client, plain HTTP");
	expect_refusal(true, "GET / HTTP/1.1\r\n", 16, TLSREC_ERROR_PROTOCOL,
		       "starts with \"GET /\"", "server, plain HTTP");
	expect_refusal(false, NULL, 0, TLSREC_ERROR_IO, "closed the connection", "client, end");
	expect_refusal(true, NULL, 0, TLSREC_ERROR_IO, "closed the connection", "server, end");
	expect_refusal(false, alert, sizeof(alert), TLSREC_ERROR_ALERT, "unrecognized_name",
		       "client, alert");
	expect_refusal(true, huge, sizeof(huge), TLSREC_ERROR_PROTOCOL, "failed",
		       "server, record too long");
}

/*
 * One byte of the peer's is damaged. Few do not matter (the version of a record in the clear,
 * the middlebox's ChangeCipherSpec); any other must end the handshake with a sentence.
 */
static void test_damage(bool we_serve, int version)
{
	struct pair probe = new_pair(we_serve);
	size_t size, failed = 0, silent = 0, passed = 0;

	SSL_CTX_set_min_proto_version(probe.peer_ctx, version);
	SSL_CTX_set_max_proto_version(probe.peer_ctx, version);
	SSL_CTX_set_num_tickets(probe.peer_ctx, 0);
	pair_run(&probe);
	size = probe.sent;
	for (size_t flip = 1; flip <= size; flip += 11) {
		pair_end(&probe);
		probe.flip = flip;
		if (!pair_run(&probe)) {
			failed++;
			silent += probe.status == TLSREC_ERROR && !*tlsrec_conn_error(probe.conn);
		} else {
			passed++;
		}
	}
	tap_ok(failed > 20 * passed && !silent, "%s, TLS 1.%d: %zu of %zu damaged handshakes fail",
	       we_serve ? "server" : "client", version - 0x0301, failed, failed + passed);
	free_pair(&probe);
}

static void test_timeout(void)
{
	struct tlsrec_ctx *ctx = our_ctx(false, ec, root);
	struct tlsrec_conn *conn;
	int fd[2];

	socketpair(AF_UNIX, SOCK_STREAM, 0, fd);
	conn = tlsrec_conn_new(ctx, fd[0], "server.example");
	tap_ok(tlsrec_handshake(conn, 30) == TLSREC_ERROR &&
	       tlsrec_conn_error_kind(conn) == TLSREC_ERROR_TIMEOUT, "time-out: %s",
	       tlsrec_conn_error(conn));
	tlsrec_conn_free(conn);
	tlsrec_ctx_free(ctx);
	close(fd[0]);
	close(fd[1]);
}

static void test_no_certificate(void)
{
	struct tlsrec_ctx *ctx = tlsrec_server_new();
	struct tlsrec_conn *conn = tlsrec_conn_new(ctx, -1, NULL);

	tap_ok(tlsrec_step(conn) == TLSREC_ERROR &&
	       tlsrec_conn_error_kind(conn) == TLSREC_ERROR_LOCAL, "server without certificate: %s",
	       tlsrec_conn_error(conn));
	tap_ok(tlsrec_recv(conn, NULL, 1, 0) < 0 && errno == EINVAL &&
		       tlsrec_control(conn) == TLSREC_CONTROL_ERROR,
	       "no records before the handshake is over");
	tlsrec_conn_free(conn);
	tlsrec_ctx_free(ctx);
	tlsrec_conn_free(NULL);
	tlsrec_ctx_free(NULL);
}

/* ---- control records ------------------------------------------------------------------------ */

enum { TICKET_ROOM = 4096 };

/* The plaintext of both tickets the peer sent. */
static size_t read_tickets(struct pair *pair, uint8_t *out)
{
	uint8_t wire[TICKET_ROOM], plain[TR_PLAIN_MAX + 1], type;
	struct tr_dir rx = pair->conn->keys.rx;
	ssize_t n = recv(pair->fd[0], wire, sizeof(wire), MSG_DONTWAIT);
	size_t used = 0;

	for (ssize_t at = 0; at + TR_HEADER_LEN < n;) {
		size_t len = TR_HEADER_LEN + ((size_t)wire[at + 3] << 8 | wire[at + 4]);
		ssize_t got = tr_open(pair->conn->keys.version, &rx, wire + at, len, &type, plain);

		if (got < 0)
			return 0;
		memcpy(out + used, plain, (size_t)got);
		used += (size_t)got;
		at += (ssize_t)len;
	}
	return used;
}

static struct pair connected(uint8_t *tickets, size_t *len)
{
	struct pair pair = new_pair(false);

	SSL_CTX_set_min_proto_version(pair.peer_ctx, TLS1_3_VERSION);
	if (!pair_run(&pair))
		tap_note("%s", tlsrec_conn_error(pair.conn));
	*len = read_tickets(&pair, tickets);
	return pair;
}

static bool take(struct pair *pair, uint8_t type, const void *data, size_t len,
		 enum tlsrec_control want)
{
	return tr_control_take(pair->conn, type, data, len) == want;
}

static void test_tickets_taken(void)
{
	uint8_t tickets[TICKET_ROOM];
	struct pair pair;
	size_t len;
	bool ok = true;

	pair = connected(tickets, &len);
	tap_ok(len > 100 && take(&pair, TR_HANDSHAKE, tickets, len, TLSREC_CONTROL_HANDLED) &&
	       pair.ctx->sessions.count == 2, "two tickets in one record");
	free_pair(&pair);

	pair = connected(tickets, &len);
	for (size_t i = 0; i < len; i++)
		ok = ok && take(&pair, TR_HANDSHAKE, tickets + i, 1, TLSREC_CONTROL_HANDLED);
	tap_ok(ok && pair.ctx->sessions.count == 2, "two tickets in records of one byte");
	free_pair(&pair);

	pair = connected(tickets, &len);
	memcpy(tickets + len, "\x18\x00\x00\x01\x00", 5);
	errno = 0;
	pair.conn->keys.rx.seq = 7;
	tap_ok(take(&pair, TR_HANDSHAKE, tickets, len + 5, TLSREC_CONTROL_HANDLED) &&
	       pair.ctx->sessions.count == 2 && !pair.conn->keys.rx.seq,
	       "a KeyUpdate behind tickets in one record");
	free_pair(&pair);

	pair = connected(tickets, &len);
	tickets[4 + 4 + 4] = 0xff;	/* length of the ticket's nonce */
	tap_ok(take(&pair, TR_HANDSHAKE, tickets, len, TLSREC_CONTROL_ERROR) && errno == EPROTO,
	       "a malformed ticket: %s", tlsrec_conn_error(pair.conn));
	free_pair(&pair);
}

static void test_other_records(void)
{
	uint8_t tickets[TICKET_ROOM];
	struct pair pair;
	size_t len;

	pair = connected(tickets, &len);
	tap_ok(take(&pair, TR_HANDSHAKE, "", 0, TLSREC_CONTROL_HANDLED),
	       "an empty record is nothing");
	tap_ok(take(&pair, TR_ALERT, "\x01\x5a", 2, TLSREC_CONTROL_HANDLED),
	       "user_canceled is nothing");
	tap_ok(take(&pair, TR_ALERT, "\x01", 1, TLSREC_CONTROL_HANDLED) &&
	       take(&pair, TR_ALERT, "\x00", 1, TLSREC_CONTROL_CLOSED) &&
	       tlsrec_conn_closed(pair.conn) && !tlsrec_recv(pair.conn, tickets, 1, 0),
	       "close_notify in two pieces");
	free_pair(&pair);

	pair = connected(tickets, &len);
	tap_ok(take(&pair, TR_ALERT, "\x02\x14", 2, TLSREC_CONTROL_ERROR) && errno == EPROTO &&
	       tlsrec_conn_error_kind(pair.conn) == TLSREC_ERROR_ALERT, "fatal alert: %s",
	       tlsrec_conn_error(pair.conn));
	free_pair(&pair);

	pair = connected(tickets, &len);
	tap_ok(take(&pair, TR_HANDSHAKE, "\x01\x00\x00\x01\x00", 5, TLSREC_CONTROL_ERROR),
	       "a ClientHello: %s", tlsrec_conn_error(pair.conn));
	free_pair(&pair);

	pair = connected(tickets, &len);
	tap_ok(take(&pair, TR_HANDSHAKE, "\x04\xff\xff\xff\x00", 5, TLSREC_CONTROL_ERROR),
	       "a message of 16 MiB: %s", tlsrec_conn_error(pair.conn));
	free_pair(&pair);

	pair = connected(tickets, &len);
	tap_ok(take(&pair, TR_CCS, "\x01", 1, TLSREC_CONTROL_ERROR), "a ChangeCipherSpec: %s",
	       tlsrec_conn_error(pair.conn));
	free_pair(&pair);
}

/* TLS 1.2: requests to renegotiate are turned down, and the connection goes on. */
static void test_renegotiation(void)
{
	for (int serve = 0; serve < 2; serve++) {
		struct pair pair = new_pair(serve);
		const char *hello = serve ? "\x01\x00\x00\x01\x00" : "\x00\x00\x00\x00";

		SSL_CTX_set_max_proto_version(pair.peer_ctx, TLS1_2_VERSION);
		tap_ok(pair_run(&pair) &&
		       take(&pair, TR_HANDSHAKE, hello, serve ? 5 : 4, TLSREC_CONTROL_HANDLED) &&
		       take(&pair, TR_ALERT, "\x01\x64", 2, TLSREC_CONTROL_HANDLED),
		       "%s: renegotiation is turned down", serve ? "server" : "client");
		tap_ok(take(&pair, TR_HANDSHAKE, "\x18\x00\x00\x01\x00", 5, TLSREC_CONTROL_ERROR) &&
			       errno == EPROTO,
		       "%s: TLS 1.2 has no KeyUpdate", serve ? "server" : "client");
		free_pair(&pair);
	}
}

static void test_names(void)
{
	tap_ok(!strcmp(tlsrec_message_name(1), "ClientHello") &&
	       !strcmp(tlsrec_message_name(3), "unknown") &&
	       !strcmp(tlsrec_message_name(-1), "unknown") &&
	       !strcmp(tlsrec_message_name(4711), "unknown"), "names of messages");
	tap_ok(!strcmp(tlsrec_alert_name(40), "handshake_failure") &&
	       !strcmp(tlsrec_alert_name(200), "unknown"), "names of alerts");
	tap_ok(!strcmp(tlsrec_record_name(23), "application_data") &&
	       !strcmp(tlsrec_record_name(0), "unknown"), "names of records");
	tap_ok(strstr(tlsrec_version(), "OpenSSL"), "version: %s", tlsrec_version());
}

int main(void)
{
	pki_begin();
	root = pki_make(&(struct pki_spec){ .name = "root", .ca = true });
	ec = pki_make(&(struct pki_spec){ .name = "ec", .issuer = root,
					  .san = "DNS:server.example" });
	test_nothing_in_common();
	test_strange_peers();
	for (int version = TLSREC_TLS_1_2; version <= TLSREC_TLS_1_3; version++) {
		test_damage(false, version);
		test_damage(true, version);
	}
	test_timeout();
	test_no_certificate();
	test_tickets_taken();
	test_other_records();
	test_renegotiation();
	test_names();
	pki_end();
	return tap_done();
}
