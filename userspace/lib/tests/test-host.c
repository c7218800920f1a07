// SPDX-License-Identifier: MIT
/* Nothing is verified without a name to verify, and only alternative names count. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host.h"
#include "peer.h"
#include "pki.h"
#include "tap.h"

static struct pki_cert *root, *someone;

/* What a host is, as far as it is one. */
static void test_names(void)
{
	static const struct {
		const char *given, *name;
		bool address;
	} good[] = {
		{ "a", "a", false },
		{ "server.example", "server.example", false },
		{ "server.example.", "server.example", false },
		{ "xn--bcher-kva.example", "xn--bcher-kva.example", false },
		{ "_tcp.Server-1.example", "_tcp.Server-1.example", false },
		{ "192.0.2.1", "192.0.2.1", true },
		{ "[192.0.2.1]", "192.0.2.1", true },
		{ "::1", "::1", true },
		{ "[2001:db8::1]", "2001:db8::1", true },
		{ "fe80::1%eth0", "fe80::1", true },
		{ "[fe80::1%eth0]", "fe80::1", true },
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		bool address = false;
		char *name;
		const char *wrong = tr_host_read(good[i].given, &name, &address);

		tap_ok(!wrong && !strcmp(name, good[i].name) && address == good[i].address,
		       "\"%s\" is a host", good[i].given);
		free(name);
	}
}

/* A server whose certificate is as good as can be, for somebody else. Not a byte goes to it. */
static void test_no_name(void)
{
	static char label64[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example";
	static char longest[600];
	static const char *const hosts[] = {
		"", ".", "..", "[", "]", "[]", "[.]", "%", "[::1", "::1]", "[::1]x", "[::1%]", "::1%",
		".example", ".someone.example", "someone..example", "someone.example..",
		"someone.example ", " someone.example", "some one.example", "someone.example\n",
		"someone.example:443", "*.example", "*", "[someone.example]", "192.0.2.1%eth0",
		"b\xc3\xbc" "cher.example", "someone\x7f.example", "someone/example", label64, longest,
	};
	struct pki_cert *wild = pki_make(&(struct pki_spec){
		.name = "wild", .issuer = root,
		.san = "DNS:someone.example,DNS:*.someone.example,DNS:*.example,IP:::1" });

	for (size_t i = 0; i + 1 < sizeof(longest); i++)
		longest[i] = i % 60 == 59 ? '.' : 'a';
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		for (int none = 0; none < 2; none++) {
			struct pair pair = pair_make(false, TLS1_3_VERSION, wild, root);
			char byte;
			bool ok;

			pair.host = hosts[i];
			if (none)
				tlsrec_ctx_set_verify(pair.ctx, TLSREC_VERIFY_NONE);
			ok = pair_run(&pair);
			tap_ok(!ok && pair.status == TLSREC_ERROR &&
			       tlsrec_conn_error_kind(pair.conn) == TLSREC_ERROR_LOCAL &&
			       strstr(tlsrec_conn_error(pair.conn), "no certificate can be for") &&
			       !tlsrec_conn_info(pair.conn)->verified &&
			       recv(pair.fd[1], &byte, 1, MSG_DONTWAIT) == 0,
			       "U1%s: %s", none ? ", report only" : "", tlsrec_conn_error(pair.conn));
			pair_end(&pair);
			pair_free(&pair);
		}
	}
}

/* Without a name only by saying so, and then nobody is verified. */
static void test_null(void)
{
	struct pair pair = pair_make(false, TLS1_3_VERSION, someone, root);
	const struct tlsrec_info *info;
	bool ok;

	pair.host = NULL;
	ok = pair_run(&pair);
	tap_ok(!ok && tlsrec_conn_error_kind(pair.conn) == TLSREC_ERROR_LOCAL,
	       "U1: no name: %s", tlsrec_conn_error(pair.conn));
	pair_end(&pair);
	tlsrec_ctx_set_verify(pair.ctx, TLSREC_VERIFY_NONE);
	tap_ok(pair_run(&pair) && pair_exchange(&pair), "U1: no name, report only: connected");
	info = tlsrec_conn_info(pair.conn);
	tap_ok(!info->verified && strstr(info->verdict, "no host name was given"),
	       "U1: no name, report only: %s", info->verdict);
	pair_end(&pair);
	pair_free(&pair);
}

/* The common name of the subject is no host name. */
static void test_common_name(void)
{
	static const char *const names[] = { NULL, "IP:192.0.2.1", "email:me@server.example",
					     "DNS:other.example" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct pki_cert *cert = pki_make(&(struct pki_spec){
			.name = "server.example", .issuer = root, .san = names[i] });
		struct pair pair = pair_make(false, TLS1_2_VERSION + (int)i % 2, cert, root);
		bool ok = pair_run(&pair);

		tap_ok(!ok && tlsrec_conn_error_kind(pair.conn) == TLSREC_ERROR_VERIFY &&
		       strstr(tlsrec_conn_error(pair.conn), "not for server.example") &&
		       !tlsrec_conn_info(pair.conn)->verified, "U11: common name: %s",
		       tlsrec_conn_error(pair.conn));
		pair_end(&pair);
		pair_free(&pair);
	}
}

/* Somebody who has the certificate, and not its key. */
static void test_not_proven(void)
{
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct pki_cert *cert = pki_make(&(struct pki_spec){
			.name = "proof", .issuer = root, .san = "DNS:server.example" });
		struct pair pair = pair_make(false, version, cert, root);
		size_t seen = 0, failed = 0, claimed = 0;

		pair_run(&pair);
		for (size_t flip = pair.sent; flip > 0; flip -= flip < 13 ? flip : 13) {
			pair_end(&pair);
			pair.flip = flip;
			if (pair_run(&pair))
				continue;
			failed++;
			seen += tlsrec_conn_info(pair.conn)->peer != NULL;
			claimed += tlsrec_conn_info(pair.conn)->verified;
		}
		tap_ok(failed && seen && !claimed,
		       "TLS 1.%d: of %zu failed handshakes, %zu with a certificate, none is verified",
		       version - TLS1_1_VERSION + 1, failed, seen);
		pair_end(&pair);
		pair_free(&pair);
	}
}

int main(void)
{
	pki_begin();
	root = pki_make(&(struct pki_spec){ .name = "root", .ca = true });
	someone = pki_make(&(struct pki_spec){
		.name = "someone", .issuer = root, .san = "DNS:someone.example" });
	test_names();
	test_no_name();
	test_null();
	test_common_name();
	test_not_proven();
	pki_end();
	return tap_done();
}
