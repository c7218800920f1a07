/* SPDX-License-Identifier: MIT */
/* Client: the OCSP response stapled to the handshake (RFC 6960, RFC 6066 8). */
#ifndef TLSREC_OCSP_H
#define TLSREC_OCSP_H

#include "tlsrec.h"

enum { TR_OCSP_REASON_LEN = 320 };

struct tr_ocsp {
	enum tlsrec_ocsp_verdict verdict;
	char reason[TR_OCSP_REASON_LEN];
};

void tr_ocsp_init(struct tlsrec_ctx *ctx);

#endif
