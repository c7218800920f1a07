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
	char reason[TR_REASON_LEN];	/* "" when all is well */
};

void tr_verify_init(struct tlsrec_ctx *ctx);

/* Below what tlsrec_ctx_set_min_key_bits() asks for. */
bool tr_verify_key_too_small(const struct tlsrec_ctx *ctx, const X509 *cert);

/*
 * Client: whether the certificate is for this connection's host; true when nothing has to be
 * verified. For sessions, whose certificate is not shown again.
 */
bool tr_verify_host(const struct tlsrec_conn *conn, X509 *cert);

#endif
