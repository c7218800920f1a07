// SPDX-License-Identifier: MIT
/* Certificates that must be refused, in words, and those that must not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ocsp.h>

#include "peer.h"
#include "pki.h"
#include "tap.h"

static struct pki_cert *root, *other_root, *middle;

/* A server certificate for server.example and what should come of it. */
struct trial {
	const char *name;
	struct pki_spec spec;
	const char *host;		/* default "server.example" */
	const char *says;		/* in the refusal; NULL: accepted */
	void (*adjust)(struct tlsrec_ctx *ctx);
};

static void server_with(SSL_CTX *peer, const struct pki_cert *cert)
{
	peer_use_cert(peer, cert->file, cert->key_file);
}

static struct tlsrec_ctx *client(void)
{
	struct tlsrec_ctx *ctx = tlsrec_client_new();

	tlsrec_ctx_set_ulp(ctx, NULL);
	tlsrec_ctx_set_roots(ctx, root->file, NULL);
	return ctx;
}

static bool ended_as(const struct pair *pair, bool ok, const char *says)
{
	const char *error = tlsrec_conn_error(pair->conn);

	if (!says)
		return ok && !*error;
	if (*error)
		tap_note("%s", error);
	return !ok && pair->status == TLSREC_ERROR && pair->peer_failed + pair->peer_done &&
	       tlsrec_conn_error_kind(pair->conn) == TLSREC_ERROR_VERIFY && strstr(error, says);
}

static void try(const struct trial *trial, int version)
{
	struct pair pair = { .ctx = client(), .peer_ctx = peer_ctx_new(true) };
	struct pki_spec spec = trial->spec;
	char name[64];
	bool ok;

	snprintf(name, sizeof(name), "%s-%x", trial->name, (unsigned int)version);
	for (char *p = name; *p; p++)
		*p = *p == ' ' ? '-' : *p;
	spec.name = name;
	if (!spec.san)
		spec.san = "DNS:server.example,DNS:*.wild.example,IP:192.0.2.1,IP:2001:db8::1";
	server_with(pair.peer_ctx, pki_make(&spec));
	SSL_CTX_set_min_proto_version(pair.peer_ctx, version);
	SSL_CTX_set_max_proto_version(pair.peer_ctx, version);
	pair.host = trial->host ? trial->host : "server.example";
	if (trial->adjust)
		trial->adjust(pair.ctx);
	ok = pair_run(&pair);
	tap_ok(ended_as(&pair, ok, trial->says), "%s, TLS 1.%d: %s", trial->name,
	       version == TLSREC_TLS_1_3 ? 3 : 2, trial->says ? "refused" : "accepted");
	pair_end(&pair);
	tlsrec_ctx_free(pair.ctx);
	SSL_CTX_free(pair.peer_ctx);
}

static void want_3072(struct tlsrec_ctx *ctx)
{
	tlsrec_ctx_set_min_key_bits(ctx, 3072, 256);
}

static void want_p384(struct tlsrec_ctx *ctx)
{
	tlsrec_ctx_set_min_key_bits(ctx, 2048, 384);
}

static void test_trials(void)
{
	const struct trial trials[] = {
		{ "good", { .issuer = root }, NULL, NULL, NULL },
		{ "good with intermediate",
		  { .issuer = middle, .chain = middle },
		  NULL,
		  NULL,
		  NULL },
		{ "name in capitals", { .issuer = root }, "SERVER.EXAMPLE", NULL, NULL },
		{ "name with final dot", { .issuer = root }, "server.example.", NULL, NULL },
		{ "wildcard", { .issuer = root }, "a.wild.example", NULL, NULL },
		{ "wildcard two levels",
		  { .issuer = root },
		  "a.b.wild.example",
		  "not for a.b.wild.example",
		  NULL },
		{ "IPv4", { .issuer = root }, "192.0.2.1", NULL, NULL },
		{ "IPv6", { .issuer = root }, "2001:db8::1", NULL, NULL },
		{ "IPv6 in brackets", { .issuer = root }, "[2001:db8::1]", NULL, NULL },
		{ "IPv6 with zone", { .issuer = root }, "2001:db8::1%lo", NULL, NULL },
		{ "wrong host",
		  { .issuer = root },
		  "other.example",
		  "not for other.example",
		  NULL },
		{ "wrong IPv4", { .issuer = root }, "192.0.2.2", "not for 192.0.2.2", NULL },
		{ "wrong IPv6", { .issuer = root }, "2001:db8::2", "not for 2001:db8::2", NULL },
		{ "expired",
		  { .issuer = root, .from_days = -20, .to_days = -10 },
		  NULL,
		  "it expired on 20",
		  NULL },
		{ "not yet valid",
		  { .issuer = root, .from_days = 5 },
		  NULL,
		  "not valid before 20",
		  NULL },
		{ "unknown issuer", { .issuer = other_root }, NULL, "CN=other-root", NULL },
		{ "missing intermediate", { .issuer = middle }, NULL, "CN=middle", NULL },
		{ "signed by itself", { .key = NULL }, NULL, "signed by itself", NULL },
		{ "untrusted root sent along",
		  { .issuer = other_root, .chain = other_root },
		  NULL,
		  "not among the trusted ones",
		  NULL },
		{ "client certificate only",
		  { .issuer = root, .usage = "clientAuth" },
		  NULL,
		  "key usage",
		  NULL },
		{ "RSA 1024", { .issuer = root, .key = "RSA1024" }, NULL, "RSA 1024 bits", NULL },
		{ "RSA 2048 where 3072 is wanted",
		  { .issuer = root, .key = "RSA" },
		  NULL,
		  "RSA needs 3072 bits here",
		  want_3072 },
		{ "P-256 where 384 is wanted", { .issuer = root }, NULL, "EC P-256", want_p384 },
		{ "expired and for another host",
		  { .issuer = root, .from_days = -20, .to_days = -10 },
		  "other.example",
		  "not for other.example",
		  NULL },
		{ "must staple without staple",
		  { .issuer = root, .must_staple = true },
		  NULL,
		  "must staple",
		  NULL },
	};

	for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
		try(&trials[i], TLSREC_TLS_1_2);
		try(&trials[i], TLSREC_TLS_1_3);
	}
}

static void test_no_host(void)
{
	struct pair pair = { .ctx = client(), .peer_ctx = peer_ctx_new(true) };

	bool ok = pair_run(&pair);

	tap_ok(!ok && tlsrec_conn_error_kind(pair.conn) == TLSREC_ERROR_LOCAL, "no host name: %s",
	       tlsrec_conn_error(pair.conn));
	pair_end(&pair);
	tlsrec_ctx_free(pair.ctx);
	SSL_CTX_free(pair.peer_ctx);
}

/* Without enforcement everything is still looked at and said. */
static void test_report_only(void)
{
	struct pki_cert *cert = pki_make(&(struct pki_spec){
		.name = "report", .issuer = other_root, .san = "DNS:x.example" });
	struct pair pair = { .ctx = client(), .peer_ctx = peer_ctx_new(true),
			     .host = "server.example" };
	const struct tlsrec_info *info;

	tlsrec_ctx_set_verify(pair.ctx, TLSREC_VERIFY_NONE);
	server_with(pair.peer_ctx, cert);
	tap_ok(pair_run(&pair) && pair_exchange(&pair), "report only: the handshake succeeds");
	info = tlsrec_conn_info(pair.conn);
	tap_ok(!info->verified && strstr(info->verdict, "not for server.example") &&
	       strstr(info->verdict, "other-root"), "report only: %s", info->verdict);
	tap_ok(info->peer && !strcmp(info->peer->subject, "CN=report") &&
	       !strcmp(info->peer->issuer, "CN=other-root") &&
	       !strcmp(info->peer->names, "x.example") && !strcmp(info->peer->key, "EC P-256"),
	       "report only: the certificate is described");
	pair_end(&pair);
	tlsrec_ctx_free(pair.ctx);
	SSL_CTX_free(pair.peer_ctx);
}

static void test_peer_pem(void)
{
	struct pki_cert *cert = pki_make(&(struct pki_spec){
		.name = "pem", .issuer = middle, .chain = middle, .san = "DNS:server.example" });
	struct pair pair = { .ctx = client(), .peer_ctx = peer_ctx_new(true),
			     .host = "server.example" };
	char *pem;
	char *second;

	server_with(pair.peer_ctx, cert);
	tap_ok(pair_run(&pair), "chain as PEM: handshake");
	pem = tlsrec_conn_peer_pem(pair.conn);
	second = pem ? strstr(pem + 1, "-----BEGIN") : NULL;
	tap_ok(second && !strstr(second + 1, "-----BEGIN"), "chain as PEM: two certificates");
	free(pem);
	pair_end(&pair);
	tlsrec_ctx_free(pair.ctx);
	SSL_CTX_free(pair.peer_ctx);
}

/* ---- revocation lists ---- */

static void try_crl(const char *name, struct pki_cert *cert, const char *crl, bool before_roots,
		    const char *says)
{
	struct pair pair = { .ctx = tlsrec_client_new(), .peer_ctx = peer_ctx_new(true),
			     .host = "server.example" };
	bool ok;

	tlsrec_ctx_set_ulp(pair.ctx, NULL);
	if (before_roots)
		tlsrec_ctx_add_crls(pair.ctx, crl);
	tlsrec_ctx_set_roots(pair.ctx, root->file, NULL);
	if (!before_roots)
		tlsrec_ctx_add_crls(pair.ctx, crl);
	server_with(pair.peer_ctx, cert);
	ok = pair_run(&pair);
	tap_ok(ended_as(&pair, ok, says), "revocation list: %s", name);
	pair_end(&pair);
	tlsrec_ctx_free(pair.ctx);
	SSL_CTX_free(pair.peer_ctx);
}

static void test_crl(void)
{
	struct pki_cert *cert = pki_make(&(struct pki_spec){
		.name = "crl", .issuer = root, .san = "DNS:server.example" });
	struct pki_cert *below = pki_make(&(struct pki_spec){
		.name = "crl-below", .issuer = middle, .chain = middle,
		.san = "DNS:server.example" });
	const char *clean = pki_crl("clean.crl", root, NULL, 10);

	try_crl("not in it", cert, clean, false, NULL);
	try_crl("not in it, list given before the roots", cert, clean, true, NULL);
	try_crl("revoked", cert, pki_crl("revoked.crl", root, cert, 10), false, "it is revoked");
	try_crl("revoked, list given before the roots", cert,
		pki_crl("revoked2.crl", root, cert, 10), true, "it is revoked");
	try_crl("out of date", cert, pki_crl("old.crl", root, NULL, -1), false, "out of date");
	try_crl("only of another issuer", cert, pki_crl("other.crl", other_root, NULL, 10), false,
		"no revocation list");
	try_crl("issuer covered, leaf not", below, clean, false, "no revocation list");
	try_crl("leaf covered, issuer not", below, pki_crl("middle.crl", middle, NULL, 10), false,
		NULL);
	try_crl("issuer revoked", below, pki_crl("middle2.crl", root, middle, 10), false,
		"it is revoked");
}

/* ---- OCSP ---- */

static void try_ocsp(const char *name, const struct pki_cert *cert, const char *file,
		     enum tlsrec_ocsp_mode mode, enum tlsrec_ocsp_verdict want, const char *says)
{
	static const int versions[] = { TLSREC_TLS_1_2, TLSREC_TLS_1_3 };

	for (int i = 0; i < 2; i++) {
		struct pair pair = { .ctx = client(), .peer_ctx = peer_ctx_new(true),
				     .host = "server.example" };
		bool ok;

		tlsrec_ctx_set_ocsp(pair.ctx, mode);
		server_with(pair.peer_ctx, cert);
		SSL_CTX_set_max_proto_version(pair.peer_ctx, versions[i]);
		peer_staple(pair.peer_ctx, &file);
		ok = pair_run(&pair);
		tap_ok(ended_as(&pair, ok, says) && tlsrec_conn_info(pair.conn)->ocsp == want,
		       "OCSP: %s, TLS 1.%d", name, 2 + i);
		pair_end(&pair);
		tlsrec_ctx_free(pair.ctx);
		SSL_CTX_free(pair.peer_ctx);
	}
}

static void test_ocsp(void)
{
	static const char names[] = "DNS:server.example";
	struct pki_cert *cert = pki_make(&(struct pki_spec){ .name = "ocsp", .issuer = root,
							     .san = names });
	struct pki_cert *twin = pki_make(&(struct pki_spec){ .name = "twin", .issuer = root,
							     .san = names });
	struct pki_cert *must = pki_make(&(struct pki_spec){ .name = "must", .issuer = root,
							     .san = names, .must_staple = true });
	struct pki_cert *responder = pki_make(&(struct pki_spec){
		.name = "responder", .issuer = root, .usage = "OCSPSigning" });
	struct pki_cert *below = pki_make(&(struct pki_spec){
		.name = "ocsp-below", .issuer = middle, .chain = middle, .san = names });
	const int good = V_OCSP_CERTSTATUS_GOOD;
	const char *file = pki_ocsp("good.der", cert, root, root, good, 5);

	try_ocsp("good", cert, file, TLSREC_OCSP_REQUIRE, TLSREC_OCSP_GOOD, NULL);
	try_ocsp("good, must staple", must, pki_ocsp("must.der", must, root, root, good, 5),
		 TLSREC_OCSP_ASK, TLSREC_OCSP_GOOD, NULL);
	try_ocsp("good, signed by a delegate", cert,
		 pki_ocsp("delegate.der", cert, root, responder, good, 5), TLSREC_OCSP_REQUIRE,
		 TLSREC_OCSP_GOOD, NULL);
	try_ocsp("good, signed by an intermediate authority", below,
		 pki_ocsp("below.der", below, middle, middle, good, 5), TLSREC_OCSP_REQUIRE,
		 TLSREC_OCSP_GOOD, NULL);
	try_ocsp("revoked", cert,
		 pki_ocsp("revoked.der", cert, root, root, V_OCSP_CERTSTATUS_REVOKED, 5),
		 TLSREC_OCSP_ASK, TLSREC_OCSP_REVOKED, "revoked on 20");
	try_ocsp("unknown", cert,
		 pki_ocsp("unknown.der", cert, root, root, V_OCSP_CERTSTATUS_UNKNOWN, 5),
		 TLSREC_OCSP_ASK, TLSREC_OCSP_UNKNOWN, "does not know");
	try_ocsp("out of date", cert, pki_ocsp("old.der", cert, root, root, good, -1),
		 TLSREC_OCSP_ASK, TLSREC_OCSP_INVALID, "out of date");
	try_ocsp("about another certificate", cert,
		 pki_ocsp("twin.der", twin, root, root, good, 5), TLSREC_OCSP_ASK,
		 TLSREC_OCSP_INVALID, "another certificate");
	try_ocsp("signed by a stranger", cert,
		 pki_ocsp("stranger.der", cert, root, other_root, good, 5), TLSREC_OCSP_ASK,
		 TLSREC_OCSP_INVALID, "not signed by");
	try_ocsp("signed by the certificate itself", cert,
		 pki_ocsp("itself.der", cert, root, cert, good, 5), TLSREC_OCSP_ASK,
		 TLSREC_OCSP_INVALID, "not signed by");
	try_ocsp("missing and required", cert, NULL, TLSREC_OCSP_REQUIRE, TLSREC_OCSP_NONE,
		 "no OCSP response was stapled");
	try_ocsp("missing and not required", cert, NULL, TLSREC_OCSP_ASK, TLSREC_OCSP_NONE, NULL);
	try_ocsp("not asked for", cert, file, TLSREC_OCSP_OFF, TLSREC_OCSP_NONE, NULL);
	try_ocsp("garbage", cert, root->file, TLSREC_OCSP_ASK, TLSREC_OCSP_INVALID,
		 "cannot be read");
}

/* A certificate that is trusted by itself has no issuer to check the response with. */
static void test_ocsp_pinned(void)
{
	struct pki_cert *cert = pki_make(&(struct pki_spec){
		.name = "pinned", .issuer = other_root, .san = "DNS:server.example" });
	static const enum tlsrec_ocsp_mode modes[] = { TLSREC_OCSP_ASK, TLSREC_OCSP_REQUIRE };

	const char *file =
		pki_ocsp("pinned.der", cert, other_root, other_root, V_OCSP_CERTSTATUS_GOOD, 5);
	for (int i = 0; i < 2; i++) {
		struct pair pair = { .ctx = client(), .peer_ctx = peer_ctx_new(true),
				     .host = "server.example" };
		bool ok;

		tlsrec_ctx_set_roots(pair.ctx, cert->file, NULL);
		tlsrec_ctx_set_ocsp(pair.ctx, modes[i]);
		server_with(pair.peer_ctx, cert);
		peer_staple(pair.peer_ctx, &file);
		ok = pair_run(&pair);
		tap_ok(ended_as(&pair, ok, i ? "issuer is unknown" : NULL),
		       "OCSP: certificate trusted by itself, %s", i ? "required" : "asked for");
		pair_end(&pair);
		tlsrec_ctx_free(pair.ctx);
		SSL_CTX_free(pair.peer_ctx);
	}
}

/* Our server staples to whom asks. */
static void test_stapling(void)
{
	struct pki_cert *cert = pki_make(&(struct pki_spec){
		.name = "stapled", .issuer = root, .san = "DNS:server.example" });
	const char *file = pki_ocsp("stapled.der", cert, root, root, V_OCSP_CERTSTATUS_GOOD, 5);
	struct pair pair = { .ctx = tlsrec_server_new(), .peer_ctx = peer_ctx_new(false) };
	const unsigned char *der;

	tlsrec_ctx_set_ulp(pair.ctx, NULL);
	tap_ok(tlsrec_ctx_set_staple(pair.ctx, -1, file), "stapling: no certificate yet");
	tlsrec_ctx_add_cert(pair.ctx, cert->file, cert->key_file);
	tap_ok(!tlsrec_ctx_set_staple(pair.ctx, -1, file) &&
	       !tlsrec_ctx_set_staple(pair.ctx, 0, file), "stapling: set, and set again");
	tap_ok(tlsrec_ctx_set_staple(pair.ctx, 0, "/nonexistent"), "stapling: %s",
	       tlsrec_ctx_error(pair.ctx));
	tap_ok(tlsrec_ctx_set_staple(pair.ctx, 0, cert->file), "stapling: %s",
	       tlsrec_ctx_error(pair.ctx));
	SSL_CTX_set_tlsext_status_type(pair.peer_ctx, TLSEXT_STATUSTYPE_ocsp);
	tap_ok(pair_run(&pair) && SSL_get_tlsext_status_ocsp_resp(pair.peer, &der) > 0,
	       "stapling: the client gets it");
	pair_end(&pair);
	tlsrec_ctx_free(pair.ctx);
	SSL_CTX_free(pair.peer_ctx);
}

/* ---- client certificates ---- */

static void try_client(const char *name, enum tlsrec_verify mode, const struct pki_cert *cert,
		       bool accepted, const char *says)
{
	struct pki_cert *server = pki_make(&(struct pki_spec){
		.name = "for-clients", .issuer = root, .san = "DNS:server.example" });
	static const int versions[] = { TLSREC_TLS_1_2, TLSREC_TLS_1_3 };

	for (int i = 0; i < 2; i++) {
		struct pair pair = { .ctx = tlsrec_server_new(), .peer_ctx = peer_ctx_new(false) };
		bool ok;

		tlsrec_ctx_set_ulp(pair.ctx, NULL);
		tlsrec_ctx_add_cert(pair.ctx, server->file, server->key_file);
		tlsrec_ctx_set_roots(pair.ctx, root->file, NULL);
		tlsrec_ctx_set_verify(pair.ctx, mode);
		SSL_CTX_set_max_proto_version(pair.peer_ctx, versions[i]);
		if (cert)
			peer_use_cert(pair.peer_ctx, cert->file, cert->key_file);
		ok = pair_run(&pair);
		tap_ok(accepted ? ok && pair_exchange(&pair) : ended_as(&pair, ok, says),
		       "client certificate: %s, TLS 1.%d", name, 2 + i);
		if (accepted)
			tap_ok(tlsrec_conn_info(pair.conn)->verified == (cert && mode) &&
			       !!tlsrec_conn_info(pair.conn)->peer == (cert && mode),
			       "client certificate: %s, TLS 1.%d: answers", name, 2 + i);
		pair_end(&pair);
		tlsrec_ctx_free(pair.ctx);
		SSL_CTX_free(pair.peer_ctx);
	}
}

static void test_clients(void)
{
	struct pki_cert *good = pki_make(&(struct pki_spec){ .name = "client", .issuer = root });
	struct pki_cert *stranger = pki_make(&(struct pki_spec){ .name = "stranger",
								 .issuer = other_root });
	struct pki_cert *server_only = pki_make(&(struct pki_spec){
		.name = "server-only", .issuer = root, .usage = "serverAuth" });
	struct pki_cert *expired = pki_make(&(struct pki_spec){
		.name = "old-client", .issuer = root, .from_days = -9, .to_days = -2 });

	try_client("not asked for", TLSREC_VERIFY_NONE, good, true, NULL);
	try_client("requested, given", TLSREC_VERIFY_REQUEST, good, true, NULL);
	try_client("requested, not given", TLSREC_VERIFY_REQUEST, NULL, true, NULL);
	try_client("required, given", TLSREC_VERIFY_REQUIRE, good, true, NULL);
	try_client("required, not given", TLSREC_VERIFY_REQUIRE, NULL, false,
		   "showed no certificate");
	try_client("requested, of a stranger", TLSREC_VERIFY_REQUEST, stranger, false,
		   "other-root");
	try_client("required, for servers only", TLSREC_VERIFY_REQUIRE, server_only, false,
		   "identify a client");
	try_client("required, expired", TLSREC_VERIFY_REQUIRE, expired, false, "it expired on");
}

/* And our client shows one when asked. */
static void test_our_client_cert(void)
{
	struct pki_cert *cert = pki_make(&(struct pki_spec){ .name = "ours", .issuer = root });
	struct pki_cert *server = pki_make(&(struct pki_spec){
		.name = "asking", .issuer = root, .san = "DNS:server.example" });
	static const int versions[] = { TLSREC_TLS_1_2, TLSREC_TLS_1_3 };

	for (int i = 0; i < 2; i++) {
		struct pair pair = { .ctx = client(), .peer_ctx = peer_ctx_new(true),
				     .host = "server.example" };

		tlsrec_ctx_add_cert(pair.ctx, cert->file, cert->key_file);
		server_with(pair.peer_ctx, server);
		SSL_CTX_set_max_proto_version(pair.peer_ctx, versions[i]);
		SSL_CTX_load_verify_file(pair.peer_ctx, root->file);
		SSL_CTX_set_verify(pair.peer_ctx,
				   SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
		tap_ok(pair_run(&pair) && pair_exchange(&pair) &&
		       !X509_cmp(SSL_get0_peer_certificate(pair.peer), cert->x509),
		       "our client shows its certificate, TLS 1.%d", 2 + i);
		pair_end(&pair);
		tlsrec_ctx_free(pair.ctx);
		SSL_CTX_free(pair.peer_ctx);
	}
}

static void test_files(void)
{
	struct pki_cert *a = pki_make(&(struct pki_spec){ .name = "file-a" });
	struct pki_cert *b = pki_make(&(struct pki_spec){ .name = "file-b" });
	struct tlsrec_ctx *ctx = tlsrec_server_new();

	tap_ok(tlsrec_ctx_add_cert(ctx, "/nonexistent.pem", NULL), "files: %s",
	       tlsrec_ctx_error(ctx));
	tap_ok(tlsrec_ctx_add_cert(ctx, a->key_file, a->key_file), "files: %s",
	       tlsrec_ctx_error(ctx));
	tap_ok(tlsrec_ctx_add_cert(ctx, a->file, NULL), "files: %s", tlsrec_ctx_error(ctx));
	tap_ok(tlsrec_ctx_add_cert(ctx, a->file, b->key_file), "files: %s", tlsrec_ctx_error(ctx));
	tap_ok(tlsrec_ctx_set_roots(ctx, "/nonexistent.pem", NULL), "files: %s",
	       tlsrec_ctx_error(ctx));
	tap_ok(tlsrec_ctx_set_roots(ctx, NULL, a->file), "files: %s", tlsrec_ctx_error(ctx));
	tap_ok(tlsrec_ctx_set_roots(ctx, NULL, NULL), "files: %s", tlsrec_ctx_error(ctx));
	tap_ok(tlsrec_ctx_add_crls(ctx, a->file), "files: %s", tlsrec_ctx_error(ctx));
	tap_ok(!tlsrec_ctx_add_cert(ctx, a->file, a->key_file) && !*tlsrec_ctx_error(ctx),
	       "files: a good pair is taken");
	tlsrec_ctx_free(ctx);
}

int main(void)
{
	pki_begin();
	root = pki_make(&(struct pki_spec){ .name = "root", .ca = true });
	other_root = pki_make(&(struct pki_spec){ .name = "other-root", .ca = true });
	middle = pki_make(&(struct pki_spec){ .name = "middle", .ca = true, .issuer = root });
	test_trials();
	test_no_host();
	test_report_only();
	test_peer_pem();
	test_crl();
	test_ocsp();
	test_ocsp_pinned();
	test_stapling();
	test_clients();
	test_our_client_cert();
	test_files();
	pki_end();
	return tap_done();
}
