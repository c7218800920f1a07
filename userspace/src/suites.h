/* SPDX-License-Identifier: MIT */
/* Which cipher suites and versions are negotiated: those the kernel can carry. */
#ifndef TLSREC_SUITES_H
#define TLSREC_SUITES_H

#include "ctx.h"

/* Every suite that is possible, in OpenSSL's order of preference. */
int tr_suites_default(struct tlsrec_ctx *ctx);

#endif
