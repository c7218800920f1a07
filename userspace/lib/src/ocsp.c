// SPDX-License-Identifier: MIT
#include "ocsp.h"

#include <stdio.h>

#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "conn.h"

enum {
	CLOCK_SKEW = 300,	/* seconds a responder's clock may differ from ours */
	NO_STATUS = -1,		/* value for SSL_CTX_set_tlsext_status_type(): do not ask */
	STATUS_REQUEST = 5,	/* extension number, as listed in the TLS feature extension */
};

static enum tlsrec_ocsp_verdict verdict(struct tr_ocsp *ocsp, enum tlsrec_ocsp_verdict v,
					const char *reason)
{
	snprintf(ocsp->reason, sizeof(ocsp->reason), "%s", reason);
	return v;
}

static enum tlsrec_ocsp_verdict judge_status(struct tr_ocsp *ocsp, int status, int why,
					     ASN1_GENERALIZEDTIME *revoked,
					     ASN1_GENERALIZEDTIME *from,
					     ASN1_GENERALIZEDTIME *until)
{
	char when[TR_TIME_LEN];

	if (!OCSP_check_validity(from, until, CLOCK_SKEW, -1)) {
		tr_time_words(until ? until : from, when);
		snprintf(ocsp->reason, sizeof(ocsp->reason),
			 "the OCSP response is out of date (%s %s)", until ? "good until" : "of",
			 when);
		return TLSREC_OCSP_INVALID;
	}
	switch (status) {
	case V_OCSP_CERTSTATUS_GOOD:
		return verdict(ocsp, TLSREC_OCSP_GOOD,
			       "the responder says the certificate is good");
	case V_OCSP_CERTSTATUS_REVOKED:
		tr_time_words(revoked, when);
		snprintf(ocsp->reason, sizeof(ocsp->reason),
			 "the certificate was revoked on %s (%s)", when,
			 why >= 0 ? OCSP_crl_reason_str(why) : "no reason given");
		return TLSREC_OCSP_REVOKED;
	default:
		return verdict(ocsp, TLSREC_OCSP_UNKNOWN,
			       "the responder does not know the certificate");
	}
}

/*
 * Only the issuer itself, or a responder it delegated to, may vouch: the other certificates of
 * the chain, the peer's own first of all, must not be taken for signers.
 */
static bool signed_properly(OCSP_BASICRESP *basic, X509 *issuer, X509_STORE *roots)
{
	STACK_OF(X509) *signers = sk_X509_new_null();
	bool ok = signers && sk_X509_push(signers, issuer) &&
		  OCSP_basic_verify(basic, signers, roots, OCSP_TRUSTOTHER) == 1;

	sk_X509_free(signers);
	return ok;
}

static enum tlsrec_ocsp_verdict judge_basic(struct tlsrec_conn *conn, OCSP_BASICRESP *basic,
					    X509 *leaf, X509 *issuer)
{
	struct tr_ocsp *ocsp = &conn->ocsp;
	OCSP_CERTID *id = OCSP_cert_to_id(NULL, leaf, issuer);
	ASN1_GENERALIZEDTIME *revoked, *from, *until;
	int status, why, found;

	if (!signed_properly(basic, issuer, SSL_CTX_get_cert_store(conn->ctx->ssl))) {
		OCSP_CERTID_free(id);
		return verdict(ocsp, TLSREC_OCSP_INVALID,
			       "the OCSP response is not signed by the certificate's issuer");
	}
	found = id && OCSP_resp_find_status(basic, id, &status, &why, &revoked, &from, &until);
	OCSP_CERTID_free(id);
	if (!found)
		return verdict(ocsp, TLSREC_OCSP_INVALID,
			       "the OCSP response is about another certificate");
	return judge_status(ocsp, status, why, revoked, from, until);
}

static enum tlsrec_ocsp_verdict judge(struct tlsrec_conn *conn, const unsigned char *der, long len)
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(conn->ssl);
	OCSP_RESPONSE *response;
	OCSP_BASICRESP *basic;
	enum tlsrec_ocsp_verdict v;

	/* A certificate that is itself among the roots, or one that nobody vouches for. */
	if (sk_X509_num(chain) < 2)
		return verdict(
			&conn->ocsp, TLSREC_OCSP_NONE,
			"an OCSP response was stapled, which cannot be checked: the issuer is "
			"unknown");
	response = d2i_OCSP_RESPONSE(NULL, &der, len);
	basic = response ? OCSP_response_get1_basic(response) : NULL;
	if (!response)
		v = verdict(&conn->ocsp, TLSREC_OCSP_INVALID, "the OCSP response cannot be read");
	else if (!basic || OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
		v = verdict(&conn->ocsp, TLSREC_OCSP_INVALID,
			    "the responder reports an error instead of a status");
	else
		v = judge_basic(conn, basic, sk_X509_value(chain, 0), sk_X509_value(chain, 1));
	OCSP_BASICRESP_free(basic);
	OCSP_RESPONSE_free(response);
	return v;
}

static bool must_staple(SSL *ssl)
{
	X509 *leaf = SSL_get0_peer_certificate(ssl);
	TLS_FEATURE *features = leaf ? X509_get_ext_d2i(leaf, NID_tlsfeature, NULL, NULL) : NULL;
	bool must = false;

	for (int i = 0; i < sk_ASN1_INTEGER_num(features); i++)
		must |= ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == STATUS_REQUEST;
	sk_ASN1_INTEGER_pop_free(features, ASN1_INTEGER_free);
	return must;
}

/* Whether the handshake may go on; the reason is completed if it may not. */
static bool acceptable(struct tlsrec_conn *conn)
{
	struct tr_ocsp *ocsp = &conn->ocsp;

	if (ocsp->verdict == TLSREC_OCSP_GOOD)
		return true;
	if (ocsp->verdict != TLSREC_OCSP_NONE)
		return false;
	if (must_staple(conn->ssl)) {
		verdict(ocsp, TLSREC_OCSP_NONE,
			"no usable OCSP response was stapled, which the certificate demands (must "
			"staple)");
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

/* 1: go on, 0: refuse with bad_certificate_status_response. */
static int on_status(SSL *ssl, void *arg)
{
	struct tlsrec_conn *conn = SSL_get_app_data(ssl);
	struct tr_ocsp *ocsp = &conn->ocsp;
	const unsigned char *der = NULL;
	long len = SSL_get_tlsext_status_ocsp_resp(ssl, &der);
	bool ok;

	(void)arg;
	/* A resumed session was judged when it began; nothing is stapled to it. */
	if (SSL_session_reused(ssl))
		return 1;
	if (der && len > 0)
		ocsp->verdict = judge(conn, der, len);
	else
		ocsp->verdict = verdict(ocsp, TLSREC_OCSP_NONE, "no OCSP response was stapled");
	ok = acceptable(conn) || conn->ctx->verify == TLSREC_VERIFY_NONE;
	emit(conn);
	if (!ok)
		tr_fail(&conn->err, TLSREC_ERROR_VERIFY, "the certificate of %s was refused: %s",
			tr_peer_name(conn), ocsp->reason);
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
