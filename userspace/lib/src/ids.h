/* SPDX-License-Identifier: MIT */
/* Server: sessions that stay here, by their IDs (TLS 1.2) or handles (TLS 1.3). */
#ifndef TLSREC_IDS_H
#define TLSREC_IDS_H

#include <stddef.h>
#include <sys/queue.h>

#include "tlsrec.h"

enum { TR_IDS_MAX = 20480, TR_IDS_BUCKETS = 4096 };

struct tr_id;
TAILQ_HEAD(tr_id_order, tr_id);
LIST_HEAD(tr_id_bucket, tr_id);

/* Under the context's lock. */
struct tr_ids {
	struct tr_id_order order;	/* oldest first */
	struct tr_id_bucket *buckets;	/* NULL until there is one */
	size_t count;
};

void tr_ids_init(struct tlsrec_ctx *ctx);
void tr_ids_clear(struct tlsrec_ctx *ctx);

#endif
