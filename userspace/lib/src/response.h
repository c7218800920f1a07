/* SPDX-License-Identifier: MIT */
/* What an OCSP response says about a certificate (RFC 6960), and who signed it. */
#ifndef TLSREC_RESPONSE_H
#define TLSREC_RESPONSE_H

#include <stdbool.h>

#include <openssl/x509.h>

enum { TR_RESPONSE_REASON_LEN = 320 };

enum tr_response {
	TR_RESPONSE_GOOD,
	TR_RESPONSE_REVOKED,
	TR_RESPONSE_UNKNOWN,	/* the responder does not know the certificate */
	TR_RESPONSE_EMPTY,	/* an error of the responder's, such as tryLater, which nobody signs */
	TR_RESPONSE_OTHER,	/* about another certificate */
	TR_RESPONSE_OLD,	/* out of date, or from the future */
	TR_RESPONSE_INVALID,	/* unreadable, or signed by somebody who may not */
};

/* What is asked, and what a responder must live up to. */
struct tr_response_about {
	X509 *cert;
	X509 *issuer;		/* NULL if not at hand: nobody's signature is checked */
	X509_STORE *store;	/* has revocation lists, which a delegate must not be on; or NULL */
	int level;		/* OpenSSL's security level, for the delegate's key */
};

/* The verdict, and a sentence about it that is never empty. */
enum tr_response tr_response_judge(const struct tr_response_about *about, const unsigned char *der,
				   long len, char reason[TR_RESPONSE_REASON_LEN]);

#endif
