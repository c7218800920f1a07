/* SPDX-License-Identifier: GPL-2.0-only */
/* What idle connections give back. */
#ifndef TLSREC_IDLE_H
#define TLSREC_IDLE_H

#include "tlsrec.h"

void tlsrec_idle_add(struct tlsrec_ctx *ctx);
void tlsrec_idle_del(struct tlsrec_ctx *ctx);
void tlsrec_idle_exit(void);

#endif /* TLSREC_IDLE_H */
