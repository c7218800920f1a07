/* SPDX-License-Identifier: GPL-2.0-only */
/* The engine of what waits for memory: sockets that no event will move. */
#ifndef TLSREC_ENGINE_H
#define TLSREC_ENGINE_H

#include "tlsrec.h"

enum tlsrec_engine_need {
	TLSREC_ENGINE_NOTHING,
	TLSREC_ENGINE_WAIT,
	TLSREC_ENGINE_RUN,
};

int tlsrec_engine_init(void (*run)(struct sock *sk),
		       enum tlsrec_engine_need (*look)(const struct tlsrec_ctx *ctx));
void tlsrec_engine_exit(void);
void tlsrec_engine_add(struct tlsrec_ctx *ctx);
void tlsrec_engine_wait(struct tlsrec_ctx *ctx);
void tlsrec_engine_del(struct tlsrec_ctx *ctx);

#endif /* TLSREC_ENGINE_H */
