// SPDX-License-Identifier: MIT
#include "verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "conn.h"
#include "describe.h"

static struct tlsrec_conn *conn_of(X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());

	return SSL_get_app_data(ssl);
}

static bool has_problem(const struct tr_verdict *verdict, int code)
{
	for (int i = 0; i < verdict->count; i++)
		if (verdict->problems[i].code == code)
			return true;
	return false;
}

/* Errors that only repeat that the issuer is unknown. */
static bool is_echo(const struct tr_verdict *verdict, int code)
{
	if (code != X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE && code != X509_V_ERR_CERT_UNTRUSTED)
		return false;
	return has_problem(verdict, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY) ||
	       has_problem(verdict, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT) ||
	       has_problem(verdict, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT) ||
	       has_problem(verdict, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN);
}

static void add_problem(struct tr_verdict *verdict, int depth, int code)
{
	if (verdict->count == TR_PROBLEMS_MAX || is_echo(verdict, code))
		return;
	for (int i = 0; i < verdict->count; i++)
		if (verdict->problems[i].code == code && verdict->problems[i].depth == depth)
			return;
	verdict->problems[verdict->count].depth = depth;
	verdict->problems[verdict->count++].code = code;
}

/* Called for every certificate and every error; goes on whatever it is, to see everything. */
static int collect(int ok, X509_STORE_CTX *store)
{
	int depth = X509_STORE_CTX_get_error_depth(store);
	int code = X509_STORE_CTX_get_error(store);

	/* Issuers are checked against the lists at hand; they need not have one. */
	if (!ok && (code != X509_V_ERR_UNABLE_TO_GET_CRL || !depth))
		add_problem(&conn_of(store)->verdict, depth, code);
	return 1;
}

static bool key_too_small(const struct tlsrec_ctx *ctx, const X509 *cert)
{
	const EVP_PKEY *key = X509_get0_pubkey(cert);
	bool rsa = key && (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS"));

	return !key || EVP_PKEY_get_bits(key) < (rsa ? ctx->min_rsa_bits : ctx->min_ec_bits);
}

static void check_keys(struct tlsrec_conn *conn, STACK_OF(X509) *chain)
{
	for (int i = 0; i < sk_X509_num(chain); i++)
		if (key_too_small(conn->ctx, sk_X509_value(chain, i)))
			add_problem(&conn->verdict, i, i ? X509_V_ERR_CA_KEY_TOO_SMALL
							 : X509_V_ERR_EE_KEY_TOO_SMALL);
}

struct text {
	char *buf;
	size_t size;
	size_t used;
};

static void say(struct text *text, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void say(struct text *text, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text->buf + text->used, text->size - text->used, fmt, ap);
	va_end(ap);
	if (n > 0)
		text->used += (size_t)n < text->size - text->used ? (size_t)n
								  : text->size - text->used - 1;
}

static void say_dates(struct text *text, const X509 *cert, bool expired)
{
	char when[TR_TIME_LEN];

	tr_time_words(expired ? X509_get0_notAfter(cert) : X509_get0_notBefore(cert), when);
	say(text, expired ? "it expired on %s" : "it is not valid before %s", when);
}

static void say_size(struct text *text, const struct tlsrec_ctx *ctx,
		     const struct tlsrec_cert *cert)
{
	say(text, "its key (%s) is too small: RSA needs %d bits here, elliptic curves %d, and both "
	    "OpenSSL's security level %d", cert->key, ctx->min_rsa_bits, ctx->min_ec_bits,
	    SSL_CTX_get_security_level(ctx->ssl));
}

static void say_names(struct text *text, const char *host, const struct tlsrec_cert *cert)
{
	say(text, "it is for %s, not for %s", *cert->names ? cert->names : cert->subject, host);
}

/* One problem of one certificate, as the rest of a sentence about it. */
static void say_problem(struct text *text, const struct tlsrec_conn *conn, X509 *cert, int code)
{
	struct tr_cert words = { 0 };
	const struct tlsrec_cert *w = &words.view;

	tr_cert_describe(&words, cert);
	switch (code) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		say_dates(text, cert, true);
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		say_dates(text, cert, false);
		break;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		say_names(text, conn->host ? conn->host : "", w);
		break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		say(text,
		    "its issuer (%s) is not among the trusted roots, nor was a certificate of it "
		    "sent",
		    w->issuer);
		break;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		say(text, "it is signed by itself and not among the trusted roots");
		break;
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		say(text, "it is a root that is not among the trusted ones");
		break;
	case X509_V_ERR_CERT_REVOKED:
		say(text, "it is revoked, says the revocation list of its issuer (%s)", w->issuer);
		break;
	case X509_V_ERR_UNABLE_TO_GET_CRL:
		say(text, "there is no revocation list of its issuer (%s)", w->issuer);
		break;
	case X509_V_ERR_CRL_HAS_EXPIRED:
		say(text, "the revocation list of its issuer (%s) is out of date", w->issuer);
		break;
	case X509_V_ERR_INVALID_PURPOSE:
		say(text, "it may not be used to identify a %s (key usage)",
		    conn->ctx->server ? "client" : "server");
		break;
	case X509_V_ERR_EE_KEY_TOO_SMALL:
	case X509_V_ERR_CA_KEY_TOO_SMALL:
		say_size(text, conn->ctx, w);
		break;
	default:
		say(text, "%s", X509_verify_cert_error_string(code));
	}
	tr_cert_clear(&words);
}

/* All problems of one certificate, joined. */
static void say_certificate(struct text *text, const struct tlsrec_conn *conn, X509 *cert,
			    int depth)
{
	const struct tr_verdict *verdict = &conn->verdict;

	for (int i = 0; i < verdict->count; i++) {
		if (verdict->problems[i].depth != depth)
			continue;
		if (text->used)
			say(text, "; ");
		say_problem(text, conn, cert, verdict->problems[i].code);
	}
}

static void emit_cert(struct tlsrec_conn *conn, X509 *cert, int depth)
{
	char reason[TR_REASON_LEN] = "";
	struct text text = { reason, sizeof(reason), 0 };
	struct tr_cert words = { 0 };
	struct tlsrec_event event = { .type = TLSREC_EVENT_CERT };

	if (!conn->ctx->event_fn)
		return;
	say_certificate(&text, conn, cert, depth);
	tr_cert_describe(&words, cert);
	event.u.cert.cert = &words.view;
	event.u.cert.depth = depth;
	event.u.cert.ok = !text.used;
	event.u.cert.reason = reason;
	tr_emit(conn, &event);
	tr_cert_clear(&words);
}

/* The verdict on the whole chain, as the end of a sentence that starts with the peer's own. */
static void conclude(struct tlsrec_conn *conn, STACK_OF(X509) *chain, int code)
{
	struct text all = { conn->verdict.reason, sizeof(conn->verdict.reason), 0 };

	for (int depth = 0; depth < sk_X509_num(chain); depth++) {
		char buf[TR_REASON_LEN] = "";
		struct text one = { buf, sizeof(buf), 0 };
		X509 *cert = sk_X509_value(chain, depth);
		struct tr_cert words = { 0 };

		say_certificate(&one, conn, cert, depth);
		if (!one.used)
			continue;
		tr_cert_describe(&words, cert);
		if (depth)
			say(&all, "%sof its issuer %s: ", all.used ? "; " : "", words.view.subject);
		say(&all, "%s", buf);
		tr_cert_clear(&words);
	}
	if (!all.used && code != X509_V_OK)
		say(&all, "%s", X509_verify_cert_error_string(code));
}

/* Takes the place of X509_verify_cert() in a handshake: 1 to go on. */
static int verify_chain(X509_STORE_CTX *store, void *arg)
{
	struct tlsrec_ctx *ctx = arg;
	struct tlsrec_conn *conn = conn_of(store);
	struct tr_verdict *verdict = &conn->verdict;
	STACK_OF(X509) *chain;
	int code = X509_V_OK;

	X509_STORE_CTX_set_verify_cb(store, collect);
	/* collect() lets every error pass: what still fails has no certificate to blame. */
	if (X509_verify_cert(store) <= 0)
		code = X509_STORE_CTX_get_error(store);
	chain = X509_STORE_CTX_get0_chain(store);
	check_keys(conn, chain);
	if (verdict->count)
		code = verdict->problems[0].code;
	verdict->checked = true;
	conclude(conn, chain, code);
	for (int i = sk_X509_num(chain) - 1; i >= 0; i--)
		emit_cert(conn, sk_X509_value(chain, i), i);
	X509_STORE_CTX_set_error(store, code);
	verdict->refused = code != X509_V_OK && ctx->verify != TLSREC_VERIFY_NONE;
	return !verdict->refused;
}

bool tr_verify_host(const struct tlsrec_conn *conn, X509 *cert)
{
	if (conn->ctx->verify == TLSREC_VERIFY_NONE || !conn->host)
		return true;
	if (!cert)
		return false;
	if (conn->host_is_address)
		return X509_check_ip_asc(cert, conn->host, 0) == 1;
	return X509_check_host(cert, conn->host, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) ==
	       1;
}

int tr_verify_set_host(struct tlsrec_conn *conn)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(conn->ssl);

	if (!conn->host)
		return 0;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (conn->host_is_address ? X509_VERIFY_PARAM_set1_ip_asc(param, conn->host)
				  : X509_VERIFY_PARAM_set1_host(param, conn->host, 0))
		return 0;
	return tr_fail_openssl(&conn->err, TLSREC_ERROR_LOCAL, "\"%s\" is no name of a host",
			       conn->host);
}

static void apply_mode(struct tlsrec_ctx *ctx)
{
	int mode = SSL_VERIFY_PEER;

	if (ctx->server && ctx->verify == TLSREC_VERIFY_NONE)
		mode = SSL_VERIFY_NONE;
	if (ctx->server && ctx->verify == TLSREC_VERIFY_REQUIRE)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ctx->ssl, mode, NULL);
}

void tr_verify_init(struct tlsrec_ctx *ctx)
{
	SSL_CTX_set_cert_verify_callback(ctx->ssl, verify_chain, ctx);
	apply_mode(ctx);
}

int tlsrec_ctx_set_verify(struct tlsrec_ctx *ctx, enum tlsrec_verify mode)
{
	tr_error_clear(&ctx->err);
	if (!ctx->server && mode == TLSREC_VERIFY_REQUEST)
		return tr_fail(
			&ctx->err, TLSREC_ERROR_LOCAL,
			"a client cannot leave the server's certificate optional: use NONE or "
			"REQUIRE");
	ctx->verify = mode;
	apply_mode(ctx);
	/* Reading the system's roots takes time that servers without client certificates save. */
	if (ctx->server && mode != TLSREC_VERIFY_NONE && !ctx->roots_given)
		SSL_CTX_set_default_verify_paths(ctx->ssl);
	return 0;
}

int tlsrec_ctx_set_min_key_bits(struct tlsrec_ctx *ctx, int rsa, int ec)
{
	ctx->min_rsa_bits = rsa;
	ctx->min_ec_bits = ec;
	return 0;
}

/* Revocation lists stand in the same store as the roots and stay when these are replaced. */
static bool keep_crls(X509_STORE *from, X509_STORE *to)
{
	STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(from);

	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
		X509_CRL *crl = X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(objects, i));

		if (crl && !X509_STORE_add_crl(to, crl))
			return false;
	}
	return true;
}

int tlsrec_ctx_set_roots(struct tlsrec_ctx *ctx, const char *file, const char *dir)
{
	X509_STORE *store = X509_STORE_new();
	STACK_OF(X509_NAME) *names = NULL;

	tr_error_clear(&ctx->err);
	if (!store || !keep_crls(SSL_CTX_get_cert_store(ctx->ssl), store)) {
		tr_fail(&ctx->err, TLSREC_ERROR_LOCAL, "out of memory");
		goto err_store;
	}
	if ((file && !X509_STORE_load_file(store, file)) ||
	    (dir && !X509_STORE_load_path(store, dir))) {
		tr_fail_openssl(&ctx->err, TLSREC_ERROR_LOCAL,
				"cannot read root certificates (PEM) from \"%s\"",
				file ? file : dir);
		goto err_store;
	}
	/* What is given is trusted, also an intermediate or a server's own certificate. */
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	if (ctx->server && file)
		names = SSL_load_client_CA_file(file);
	if (names)
		SSL_CTX_set_client_CA_list(ctx->ssl, names);
	SSL_CTX_set_cert_store(ctx->ssl, store);
	ctx->roots_given = true;
	return 0;
err_store:
	X509_STORE_free(store);
	return -1;
}

int tlsrec_ctx_add_crls(struct tlsrec_ctx *ctx, const char *file)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx->ssl);
	X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());

	tr_error_clear(&ctx->err);
	if (!lookup || X509_load_crl_file(lookup, file, X509_FILETYPE_PEM) <= 0)
		return tr_fail_openssl(&ctx->err, TLSREC_ERROR_LOCAL,
				       "cannot read revocation lists (PEM) from \"%s\"", file);
	/* Not on the store, where it would also bind the responders of OCSP. */
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx->ssl),
				    X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return 0;
}
