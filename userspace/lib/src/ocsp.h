/* SPDX-License-Identifier: MIT */
/* Client: the OCSP response stapled to the handshake (RFC 6960, RFC 6066 8). */
#ifndef TLSREC_OCSP_H
#define TLSREC_OCSP_H

#include <stdbool.h>

#include <openssl/x509.h>

#include "response.h"
#include "tlsrec.h"

struct tr_ocsp {
	enum tlsrec_ocsp_verdict verdict;
	bool refused;	/* the certificate is none to rely on */
	char reason[TR_RESPONSE_REASON_LEN];
};

void tr_ocsp_init(struct tlsrec_ctx *ctx);

/*
 * Judges a stapled response (DER; len 0: none) about the first certificate of a verified chain.
 * Whether the handshake may go on.
 */
bool tr_ocsp_judge(struct tlsrec_conn *conn, STACK_OF(X509) *chain, const unsigned char *der,
		   long len);

#endif
