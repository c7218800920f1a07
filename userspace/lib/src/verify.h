/* SPDX-License-Identifier: MIT */
/* Checking the peer's certificates: everything is checked, then judged, then said. */
#ifndef TLSREC_VERIFY_H
#define TLSREC_VERIFY_H

#include <stdbool.h>

#include <openssl/x509.h>

#include "tlsrec.h"

enum { TR_PROBLEMS_MAX = 16, TR_REASON_LEN = 640 };

struct tr_verdict {
	struct {
		int depth;	/* 0: the peer's own certificate */
		int code;	/* X509_V_ERR_* */
	} problems[TR_PROBLEMS_MAX];
	int count;
	bool checked;		/* a chain was looked at */
	bool refused;		/* and it ended the handshake */
	bool of_session;	/* it was what a session carries */
	char reason[TR_REASON_LEN];	/* "" when all is well */
};

void tr_verify_init(struct tlsrec_ctx *ctx);

/* Below what tlsrec_ctx_set_min_key_bits() asks for. */
bool tr_verify_key_too_small(const struct tlsrec_ctx *ctx, const X509 *cert);

/*
 * The verdict on a certificate that was shown when a session began, by today's settings, as if it
 * was shown now; issuers were sent along. Returns the chain for the OCSP response, NULL when out
 * of memory.
 */
STACK_OF(X509) *tr_verify_again(struct tlsrec_conn *conn, X509 *cert, STACK_OF(X509) *issuers);

#endif
