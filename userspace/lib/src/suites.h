/* SPDX-License-Identifier: MIT */
/* Which cipher suites and versions are negotiated: those the kernel can carry. */
#ifndef TLSREC_SUITES_H
#define TLSREC_SUITES_H

#include "ctx.h"

/* What is negotiated unless somebody asks for something else. */
int tr_suites_default(struct tlsrec_ctx *ctx);

/*
 * Leaves out what this kernel's ULP does not have, so that it is never offered. The first
 * connection does it, under the context's lock; -1 with a sentence in ctx->unfit when nothing
 * remains.
 */
int tr_suites_settle(struct tlsrec_ctx *ctx);

#endif
