// SPDX-License-Identifier: MIT
#include "ocsp.h"

#include <stdio.h>

#include <openssl/x509v3.h>

#include "conn.h"

enum {
	NO_STATUS = -1,		/* value for SSL_CTX_set_tlsext_status_type(): do not ask */
	STATUS_REQUEST = 5,	/* extension number, as listed in the TLS feature extension */
};

static void set_reason(struct tr_ocsp *ocsp, const char *reason)
{
	snprintf(ocsp->reason, sizeof(ocsp->reason), "%s", reason);
}

static enum tlsrec_ocsp_verdict verdict_of(enum tr_response answer)
{
	switch (answer) {
	case TR_RESPONSE_GOOD:
		return TLSREC_OCSP_GOOD;
	case TR_RESPONSE_REVOKED:
		return TLSREC_OCSP_REVOKED;
	case TR_RESPONSE_UNKNOWN:
		return TLSREC_OCSP_UNKNOWN;
	case TR_RESPONSE_EMPTY:
		return TLSREC_OCSP_NONE;
	default:
		return TLSREC_OCSP_INVALID;
	}
}

static void judge(struct tlsrec_conn *conn, STACK_OF(X509) *chain, const unsigned char *der,
		  long len)
{
	SSL_CTX *ssl = conn->ctx->ssl;
	bool lists = X509_VERIFY_PARAM_get_flags(SSL_CTX_get0_param(ssl)) & X509_V_FLAG_CRL_CHECK;
	struct tr_response_about about = {
		.store = lists ? SSL_CTX_get_cert_store(ssl) : NULL,
		.level = SSL_CTX_get_security_level(ssl),
	};
	struct tr_ocsp *ocsp = &conn->ocsp;

	ocsp->verdict = TLSREC_OCSP_NONE;
	if (!der || len <= 0) {
		set_reason(ocsp, "no OCSP response was stapled");
	} else if (sk_X509_num(chain) < 2) {
		/* A certificate that is itself among the roots, or one nobody vouches for. */
		set_reason(ocsp, "an OCSP response was stapled, which cannot be checked: the issuer "
				 "is unknown");
	} else {
		about.cert = sk_X509_value(chain, 0);
		about.issuer = sk_X509_value(chain, 1);
		ocsp->verdict = verdict_of(tr_response_judge(&about, der, len, ocsp->reason));
	}
}

static bool must_staple(const X509 *leaf)
{
	TLS_FEATURE *features = leaf ? X509_get_ext_d2i(leaf, NID_tlsfeature, NULL, NULL) : NULL;
	bool must = false;

	for (int i = 0; i < sk_ASN1_INTEGER_num(features); i++)
		must |= ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == STATUS_REQUEST;
	sk_ASN1_INTEGER_pop_free(features, ASN1_INTEGER_free);
	return must;
}

/* Whether the handshake may go on; the reason is completed if it may not. */
static bool acceptable(struct tlsrec_conn *conn, const X509 *leaf)
{
	struct tr_ocsp *ocsp = &conn->ocsp;

	if (ocsp->verdict == TLSREC_OCSP_GOOD)
		return true;
	if (ocsp->verdict != TLSREC_OCSP_NONE)
		return false;
	if (must_staple(leaf)) {
		set_reason(ocsp, "no usable OCSP response was stapled, which the certificate "
				 "demands (must staple)");
		return false;
	}
	return conn->ctx->ocsp != TLSREC_OCSP_REQUIRE;
}

static void emit(struct tlsrec_conn *conn)
{
	struct tlsrec_event event = {
		.type = TLSREC_EVENT_OCSP,
		.u.ocsp = { .verdict = conn->ocsp.verdict, .reason = conn->ocsp.reason },
	};

	tr_emit(conn, &event);
}

bool tr_ocsp_judge(struct tlsrec_conn *conn, STACK_OF(X509) *chain, const unsigned char *der,
		   long len)
{
	judge(conn, chain, der, len);
	conn->ocsp.refused = !acceptable(conn, sk_X509_value(chain, 0));
	return !conn->ocsp.refused || conn->ctx->verify == TLSREC_VERIFY_NONE;
}

/* 1: go on, 0: refuse with bad_certificate_status_response. */
static int on_status(SSL *ssl, void *arg)
{
	struct tlsrec_conn *conn = SSL_get_app_data(ssl);
	const unsigned char *der = NULL;
	long len = SSL_get_tlsext_status_ocsp_resp(ssl, &der);
	bool ok;

	(void)arg;
	/* What was stapled when a session began was judged before the session was offered. */
	if (SSL_session_reused(ssl))
		return 1;
	ok = tr_ocsp_judge(conn, SSL_get0_verified_chain(ssl), der, len);
	emit(conn);
	if (!ok)
		tr_fail(&conn->err, TLSREC_ERROR_VERIFY, "the certificate of %s was refused: %s",
			tr_peer_name(conn), conn->ocsp.reason);
	return ok;
}

static void apply_mode(struct tlsrec_ctx *ctx)
{
	SSL_CTX_set_tlsext_status_type(ctx->ssl, ctx->ocsp == TLSREC_OCSP_OFF
							 ? NO_STATUS
							 : TLSEXT_STATUSTYPE_ocsp);
}

void tr_ocsp_init(struct tlsrec_ctx *ctx)
{
	if (ctx->server)
		return;
	SSL_CTX_set_tlsext_status_cb(ctx->ssl, on_status);
	apply_mode(ctx);
}

int tlsrec_ctx_set_ocsp(struct tlsrec_ctx *ctx, enum tlsrec_ocsp_mode mode)
{
	tr_error_clear(&ctx->err);
	if (ctx->server)
		return tr_fail(&ctx->err, TLSREC_ERROR_LOCAL,
			       "servers do not ask for OCSP responses; they staple them "
			       "(tlsrec_ctx_set_staple)");
	ctx->ocsp = mode;
	apply_mode(ctx);
	return 0;
}
