// SPDX-License-Identifier: MIT
#include "verify.h"

#include "conn.h"
#include "describe.h"
#include "host.h"
#include "reasons.h"

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

bool tr_verify_key_too_small(const struct tlsrec_ctx *ctx, const X509 *cert)
{
	const EVP_PKEY *key = X509_get0_pubkey(cert);
	bool rsa = key && (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS"));

	return !key || EVP_PKEY_get_bits(key) < (rsa ? ctx->min_rsa_bits : ctx->min_ec_bits);
}

static void check_keys(struct tlsrec_conn *conn, STACK_OF(X509) *chain)
{
	for (int i = 0; i < sk_X509_num(chain); i++)
		if (tr_verify_key_too_small(conn->ctx, sk_X509_value(chain, i)))
			add_problem(&conn->verdict, i, i ? X509_V_ERR_CA_KEY_TOO_SMALL
							 : X509_V_ERR_EE_KEY_TOO_SMALL);
}

/* A client that gave no name has not asked who it is talking to, so it does not know. */
static void check_host(struct tlsrec_conn *conn, X509 *cert)
{
	if (!conn->ctx->server &&
	    (!conn->host || !tr_host_matches(conn->host, conn->host_is_address, cert)))
		add_problem(&conn->verdict, 0, X509_V_ERR_HOSTNAME_MISMATCH);
}

static void emit_cert(struct tlsrec_conn *conn, X509 *cert, int depth)
{
	char reason[TR_REASON_LEN];
	struct tr_cert words = { 0 };
	struct tlsrec_event event = { .type = TLSREC_EVENT_CERT };

	if (!conn->ctx->event_fn)
		return;
	tr_reason_cert(conn, cert, depth, reason);
	tr_cert_describe(&words, cert);
	event.u.cert.cert = &words.view;
	event.u.cert.depth = depth;
	event.u.cert.ok = !*reason;
	event.u.cert.reason = reason;
	tr_emit(conn, &event);
	tr_cert_clear(&words);
}

/* Looks at everything and says what is wrong with it, in the connection's verdict. */
static void judge(struct tlsrec_conn *conn, X509_STORE_CTX *store)
{
	struct tr_verdict *verdict = &conn->verdict;
	STACK_OF(X509) *chain;
	int code = X509_V_OK;

	*verdict = (struct tr_verdict){ 0 };
	X509_STORE_CTX_set_verify_cb(store, collect);
	/* collect() lets every error pass: what still fails has no certificate to blame. */
	if (X509_verify_cert(store) <= 0)
		code = X509_STORE_CTX_get_error(store);
	chain = X509_STORE_CTX_get0_chain(store);
	check_keys(conn, chain);
	check_host(conn, X509_STORE_CTX_get0_cert(store));
	if (verdict->count)
		code = verdict->problems[0].code;
	verdict->checked = true;
	tr_reason_chain(conn, chain, code, verdict->reason);
	X509_STORE_CTX_set_error(store, code);
	verdict->refused = code != X509_V_OK && conn->ctx->verify != TLSREC_VERIFY_NONE;
}

/* Takes the place of X509_verify_cert() in a handshake: 1 to go on. */
static int verify_chain(X509_STORE_CTX *store, void *arg)
{
	struct tlsrec_conn *conn = conn_of(store);
	STACK_OF(X509) *chain;

	(void)arg;
	judge(conn, store);
	chain = X509_STORE_CTX_get0_chain(store);
	for (int i = sk_X509_num(chain) - 1; i >= 0; i--)
		emit_cert(conn, sk_X509_value(chain, i), i);
	return !conn->verdict.refused;
}

/* What OpenSSL asks of a handshake's certificates is asked of these. */
static bool ask_as_in_handshake(const struct tlsrec_conn *conn, X509_STORE_CTX *store)
{
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(store);
	const char *purpose = conn->ctx->server ? "ssl_client" : "ssl_server";

	X509_VERIFY_PARAM_set_auth_level(param, SSL_get_security_level(conn->ssl));
	return X509_STORE_CTX_set_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx(),
					  conn->ssl) &&
	       X509_STORE_CTX_set_default(store, purpose) &&
	       X509_VERIFY_PARAM_set1(param, SSL_get0_param(conn->ssl));
}

STACK_OF(X509) *tr_verify_again(struct tlsrec_conn *conn, X509 *cert, STACK_OF(X509) *issuers)
{
	X509_STORE_CTX *store = X509_STORE_CTX_new();
	X509_STORE *roots = SSL_CTX_get_cert_store(conn->ctx->ssl);
	STACK_OF(X509) *chain = NULL;

	if (store && X509_STORE_CTX_init(store, roots, cert, issuers) &&
	    ask_as_in_handshake(conn, store)) {
		judge(conn, store);
		chain = X509_STORE_CTX_get1_chain(store);
	}
	X509_STORE_CTX_free(store);
	return chain;
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
	return 0;
}

int tlsrec_ctx_set_min_key_bits(struct tlsrec_ctx *ctx, int rsa, int ec)
{
	ctx->min_rsa_bits = rsa;
	ctx->min_ec_bits = ec;
	return 0;
}
