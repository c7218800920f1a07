// SPDX-License-Identifier: MIT
/* Own certificates, staples and lists that are no good: said when they are given, not by peers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ocsp.h>

#include "peer.h"
#include "pki.h"
#include "tap.h"

static struct pki_cert *root, *cert;

/* ---- roots for clients ---- */

static void test_no_roots(void)
{
	struct pki_cert *client = pki_make(&(struct pki_spec){ .name = "client", .issuer = root });
	static const enum tlsrec_verify modes[] = { TLSREC_VERIFY_REQUEST, TLSREC_VERIFY_REQUIRE };

	/* What the system trusts says nothing about clients, though it would here. */
	setenv("SSL_CERT_FILE", root->file, 1);
	for (int i = 0; i < 2; i++) {
		struct pair pair = pair_make(true, TLS1_3_VERSION, cert, root);
		bool ok;

		tlsrec_ctx_set_verify(pair.ctx, modes[i]);
		peer_use_cert(pair.peer_ctx, client->file, client->key_file);
		tap_ok(tlsrec_ctx_probe(pair.ctx) && strstr(tlsrec_ctx_error(pair.ctx), "roots"),
		       "U10: no roots for clients: %s", tlsrec_ctx_error(pair.ctx));
		ok = pair_run(&pair);
		tap_ok(!ok && tlsrec_conn_error_kind(pair.conn) == TLSREC_ERROR_LOCAL &&
		       strstr(tlsrec_conn_error(pair.conn), "roots") &&
		       !tlsrec_conn_info(pair.conn)->verified, "U10: and none is let in");
		pair_end(&pair);
		tlsrec_ctx_set_roots(pair.ctx, root->file, NULL);
		tap_ok(!tlsrec_ctx_probe(pair.ctx) && pair_run(&pair) &&
		       tlsrec_conn_info(pair.conn)->verified, "U10: with roots it is");
		pair_end(&pair);
		pair_free(&pair);
	}
	unsetenv("SSL_CERT_FILE");
}

/* ---- certificates ---- */

static void test_dates(void)
{
	const struct {
		struct pki_spec spec;
		const char *says;
	} trials[] = {
		{ { .name = "fine", .issuer = root, .san = "DNS:server.example" }, "" },
		{ { .name = "expired", .issuer = root, .from_days = -9, .to_days = -2 }, "expired on 20" },
		{ { .name = "early", .issuer = root, .from_days = 3 }, "not valid before 20" },
	};
	struct pki_cert *old = pki_make(&(struct pki_spec){
		.name = "old", .ca = true, .issuer = root, .from_days = -9, .to_days = -2 });
	struct pki_cert *below = pki_make(&(struct pki_spec){
		.name = "below", .issuer = old, .chain = old, .san = "DNS:server.example" });

	for (int serve = 0; serve < 2; serve++) {
		struct tlsrec_ctx *ctx = serve ? tlsrec_server_new() : tlsrec_client_new();

		for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
			struct pki_cert *own = pki_make(&trials[i].spec);
			bool ok = !tlsrec_ctx_add_cert(ctx, own->file, own->key_file);
			const char *warning = tlsrec_ctx_warning(ctx);

			tap_ok(ok && strstr(warning, trials[i].says) && !*warning == !*trials[i].says,
			       "U10: %s: %s", trials[i].spec.name, warning);
		}
		tap_ok(!tlsrec_ctx_add_cert(ctx, below->file, below->key_file) &&
		       strstr(tlsrec_ctx_warning(ctx), "CN=old"), "U10: issuer: %s",
		       tlsrec_ctx_warning(ctx));
		tap_ok(!tlsrec_ctx_add_cert(ctx, cert->file, cert->key_file) &&
		       !*tlsrec_ctx_warning(ctx), "U10: the next is no cause to warn");
		tlsrec_ctx_free(ctx);
	}
}

static void test_keys(void)
{
	struct pki_cert *small = pki_make(&(struct pki_spec){ .name = "small", .issuer = root,
							      .key = "RSA1024" });
	struct pki_cert *rsa = pki_make(&(struct pki_spec){ .name = "rsa", .issuer = root,
							    .key = "RSA" });
	struct tlsrec_ctx *ctx = tlsrec_server_new();

	SSL_CTX_set_security_level(ctx->ssl, 2);
	tap_ok(tlsrec_ctx_add_cert(ctx, small->file, small->key_file) && !ctx->identity_count &&
	       strstr(tlsrec_ctx_error(ctx), "RSA 1024 bits"), "U10: %s", tlsrec_ctx_error(ctx));
	SSL_CTX_set_security_level(ctx->ssl, 1);
	tap_ok(!tlsrec_ctx_add_cert(ctx, small->file, small->key_file) &&
	       strstr(tlsrec_ctx_warning(ctx), "RSA 1024 bits"), "U10: where OpenSSL takes it: %s",
	       tlsrec_ctx_warning(ctx));
	tlsrec_ctx_set_min_key_bits(ctx, 3072, 256);
	tap_ok(!tlsrec_ctx_add_cert(ctx, rsa->file, rsa->key_file) &&
	       strstr(tlsrec_ctx_warning(ctx), "RSA 2048 bits"), "U10: %s", tlsrec_ctx_warning(ctx));
	tlsrec_ctx_free(ctx);
}

/* A chain that cannot be read to its end is not a shorter one. */
static void test_damaged_chain(void)
{
	struct pki_cert *chain = pki_make(&(struct pki_spec){
		.name = "chain", .issuer = root, .chain = root, .san = "DNS:server.example" });
	struct tlsrec_ctx *ctx = tlsrec_server_new();
	char text[8192];
	FILE *f = fopen(chain->file, "r+");
	size_t len = fread(text, 1, sizeof(text) - 1, f);

	text[len] = '\0';
	fseek(f, strstr(strstr(text, "-----END"), "-----BEGIN") - text + 60, SEEK_SET);
	fputs("!!!!", f);
	fclose(f);
	tap_ok(tlsrec_ctx_add_cert(ctx, chain->file, chain->key_file) &&
	       strstr(tlsrec_ctx_error(ctx), "certificate number 2"), "U10: %s",
	       tlsrec_ctx_error(ctx));
	tlsrec_ctx_free(ctx);
}

/* ---- staples ---- */

static void test_staples(void)
{
	const int good = V_OCSP_CERTSTATUS_GOOD;
	struct pki_cert *twin = pki_make(&(struct pki_spec){ .name = "twin", .issuer = root });
	struct pki_cert *stranger = pki_make(&(struct pki_spec){ .name = "stranger", .ca = true });
	struct pki_cert *whole = pki_make(&(struct pki_spec){
		.name = "whole", .issuer = root, .chain = root });
	const struct {
		const char *name;
		const struct pki_cert *cert;
		const char *file;
		const char *error, *warning;
	} trials[] = {
		{ "good", cert, pki_ocsp("good", cert, root, root, good, 5), "", "" },
		{ "good, issuer at hand", whole, pki_ocsp("whole", whole, root, root, good, 5), "", "" },
		{ "another certificate", cert, pki_ocsp("twin", twin, root, root, good, 5),
		  "another certificate", "" },
		{ "another certificate, issuer at hand", whole,
		  pki_ocsp("twin2", twin, root, root, good, 5), "another certificate", "" },
		{ "another issuer", whole, pki_ocsp("other", whole, stranger, root, good, 5),
		  "another certificate", "" },
		{ "a stranger", whole, pki_ocsp("stranger", whole, root, stranger, good, 5),
		  "not signed by", "" },
		{ "out of date", cert, pki_ocsp("old", cert, root, root, good, -1), "", "out of date" },
		{ "revoked", cert, pki_ocsp("revoked", cert, root, root, V_OCSP_CERTSTATUS_REVOKED, 5),
		  "", "was revoked on" },
		{ "unknown", cert, pki_ocsp("unknown", cert, root, root, V_OCSP_CERTSTATUS_UNKNOWN, 5),
		  "", "does not know" },
	};

	for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
		struct tlsrec_ctx *ctx = our_ctx(true, trials[i].cert, root);
		int ret = tlsrec_ctx_set_staple(ctx, 0, trials[i].file);
		const char *error = tlsrec_ctx_error(ctx);
		const char *warning = tlsrec_ctx_warning(ctx);

		tap_ok(!ret == !*trials[i].error && !*error == !*trials[i].error &&
		       strstr(error, trials[i].error) && !*warning == !*trials[i].warning &&
		       strstr(warning, trials[i].warning), "U10: staple: %s: %s%s", trials[i].name,
		       error, warning);
		tlsrec_ctx_free(ctx);
	}
}

/* ---- lists ---- */

static void test_lists(void)
{
	static const struct {
		int (*set)(struct tlsrec_ctx *ctx, const char *list);
		const char *list, *says;
	} bad[] = {
		{ tlsrec_ctx_set_ciphers, "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA265",
		  "\"ECDHE-RSA-AES128-GCM-SHA265\"" },
		{ tlsrec_ctx_set_ciphers, "TLS_AES_128_GCM_SHA256:TLS_AES_128_GMC_SHA256",
		  "\"TLS_AES_128_GMC_SHA256\"" },
		{ tlsrec_ctx_set_ciphers, "TLS_AES_128_GCM_SHA256;TYPO", "\"TYPO\"" },
		{ tlsrec_ctx_set_ciphers, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:TLS_RSA_WITH_X",
		  "\"TLS_RSA_WITH_X\"" },
		{ tlsrec_ctx_set_ciphers, "ECDHE+AESGCM:DHE+AESGMC", "\"DHE+AESGMC\"" },
		{ tlsrec_ctx_set_ciphers, "ECDHE+AESGCM:+TYPO", "\"+TYPO\"" },
		{ tlsrec_ctx_set_ciphers, "ECDHE+AESGCM:@SECLEVEL=0", "\"@SECLEVEL=0\"" },
		{ tlsrec_ctx_set_ciphers, "DEFAULT@SECLEVEL=0", "\"DEFAULT@SECLEVEL=0\"" },
		{ tlsrec_ctx_set_ciphers, "", "no cipher suite" },
		{ tlsrec_ctx_set_ciphers, ":", "no cipher suite" },
		{ tlsrec_ctx_set_groups, "X25519:P-257", "P-257" },
		{ tlsrec_ctx_set_groups, "", "groups" },
		{ tlsrec_ctx_set_groups, "X25519:", "groups" },
		{ tlsrec_ctx_set_sigalgs, "ecdsa_secp256r1_sha256:typo", "typo" },
		{ tlsrec_ctx_set_sigalgs, "", "signature algorithms" },
		{ tlsrec_ctx_set_alpn, "h2, http/1.1", "blanks" },
		{ tlsrec_ctx_set_alpn, "h2,http/1.1\n", "blanks" },
		{ tlsrec_ctx_set_alpn, "h2,", "protocols" },
		{ tlsrec_ctx_set_alpn, "", "protocols" },
		{ tlsrec_ctx_set_ulp, "", "ULP" },
	};
	static const char *const good[] = {
		"ECDHE+AESGCM:!RC4:-PSK:+AES256", "ALL:TLS_AES_128_GCM_SHA256", "DEFAULT",
		"AES128-GCM-SHA256", "TLS_RSA_WITH_AES_128_GCM_SHA256", "HIGH:!aNULL:!MD5",
		"ECDHE-RSA-AES128-GCM-SHA256, AES128-SHA", "ECDHE+AESGCM:@STRENGTH",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct tlsrec_ctx *ctx = our_ctx(true, cert, root);

		tap_ok(bad[i].set(ctx, bad[i].list) && strstr(tlsrec_ctx_error(ctx), bad[i].says),
		       "U11: %s", tlsrec_ctx_error(ctx));
		tlsrec_ctx_free(ctx);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct tlsrec_ctx *ctx = our_ctx(true, cert, root);

		tap_ok(!tlsrec_ctx_set_ciphers(ctx, good[i]), "U11: \"%s\" is taken%s", good[i],
		       tlsrec_ctx_error(ctx));
		tlsrec_ctx_free(ctx);
	}
}

/* Without forward secrecy only where it is asked for. */
static void test_key_exchange(void)
{
	struct pki_cert *rsa = pki_make(&(struct pki_spec){
		.name = "kx", .issuer = root, .key = "RSA", .san = "DNS:server.example" });

	for (int serve = 0; serve < 2; serve++) {
		struct pair pair = pair_make(serve, TLS1_2_VERSION, rsa, root);

		peer_hold_to(pair.peer_ctx, TLS1_2_VERSION, "kRSA+AESGCM");
		tap_ok(!pair_run(&pair), "U11: no RSA key exchange, %s", serve ? "server" : "client");
		pair_end(&pair);
		tlsrec_ctx_set_ciphers(pair.ctx, "AES128-GCM-SHA256");
		tap_ok(pair_run(&pair) && !strcmp(tlsrec_conn_info(pair.conn)->kex, "RSA"),
		       "U11: unless it is named, %s", serve ? "server" : "client");
		pair_end(&pair);
		pair_free(&pair);
	}
}

int main(void)
{
	pki_begin();
	root = pki_make(&(struct pki_spec){ .name = "root", .ca = true });
	cert = pki_make(&(struct pki_spec){ .name = "cert", .issuer = root,
					    .san = "DNS:server.example" });
	test_no_roots();
	test_dates();
	test_keys();
	test_damaged_chain();
	test_staples();
	test_lists();
	test_key_exchange();
	pki_end();
	return tap_done();
}
