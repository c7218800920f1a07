// SPDX-License-Identifier: MIT
#include "reasons.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "conn.h"

/* A sentence in the making; what does not fit is left out, by whole characters. */
struct text {
	char *buf;
	size_t size;
	size_t used;
};

static struct text text_in(char out[TR_REASON_LEN])
{
	out[0] = '\0';
	return (struct text){ .buf = out, .size = TR_REASON_LEN };
}

static void say(struct text *text, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void say(struct text *text, const char *fmt, ...)
{
	char raw[TR_REASON_LEN] = "";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	tlsrec_clean(text->buf + text->used, text->size - text->used, raw, strlen(raw), "");
	text->used += strlen(text->buf + text->used);
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
	if (!host)
		say(text, "no host name was given to check it against");
	else if (*cert->names)
		say(text, "it is for %s, not for %s", cert->names, host);
	else
		say(text, "it has no alternative names, only the subject %s, so it is not for %s",
		    cert->subject, host);
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
		say_names(text, conn->host, w);
		break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		say(text, "its issuer (%s) is neither among the trusted roots nor sent along",
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

void tr_reason_cert(const struct tlsrec_conn *conn, X509 *cert, int depth,
		    char out[TR_REASON_LEN])
{
	const struct tr_verdict *verdict = &conn->verdict;
	struct text text = text_in(out);

	for (int i = 0; i < verdict->count; i++) {
		if (verdict->problems[i].depth != depth)
			continue;
		if (text.used)
			say(&text, "; ");
		say_problem(&text, conn, cert, verdict->problems[i].code);
	}
}

void tr_reason_chain(const struct tlsrec_conn *conn, STACK_OF(X509) *chain, int code,
		     char out[TR_REASON_LEN])
{
	struct text all = text_in(out);

	for (int depth = 0; depth < sk_X509_num(chain); depth++) {
		char one[TR_REASON_LEN];
		X509 *cert = sk_X509_value(chain, depth);
		struct tr_cert words = { 0 };

		tr_reason_cert(conn, cert, depth, one);
		if (!*one)
			continue;
		tr_cert_describe(&words, cert);
		if (depth)
			say(&all, "%sof its issuer %s: ", all.used ? "; " : "", words.view.subject);
		say(&all, "%s", one);
		tr_cert_clear(&words);
	}
	if (!all.used && code != X509_V_OK)
		say(&all, "%s", X509_verify_cert_error_string(code));
}
