/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What the programs about scarce memory share: the test module tlsrec_fragment, which refuses it to tlsrec. */
#ifndef FRAGMENTED_COMMON_H
#define FRAGMENTED_COMMON_H

#include <stdbool.h>
#include "tlsrec_test.h"

/* the module is there, and refuses nothing yet; if not, it wants kprobes */
bool scarce_load(void);
/* pieces of so many bytes and more are refused from now on, be they new or kept by processors; 0: none is */
void scarce_from(unsigned long bytes);
/* transforms of ciphers are refused, or not */
void scarce_transforms(bool refused);
/* what was refused so far, and how much of that in softirq */
long scarce_refused(void);
long scarce_refused_softirq(void);

/* so many bytes come next, in records that end with them; @pos: of the stream, moves on */
bool comes(int peer, struct tt_key *k, struct tt_opened *o, uint64_t *pos, size_t len);

/* A connection whose only key is that of one direction is idle until that is parked. Others of the namespace may not be. */
bool wait_parked(long before);
long parked(void);

#endif
