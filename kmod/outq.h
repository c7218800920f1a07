/* SPDX-License-Identifier: GPL-2.0-only */
/* How much has not been sent: TCP's answers, and what TCP does not know of. */
#ifndef TLSREC_OUTQ_H
#define TLSREC_OUTQ_H

#include "tlsrec.h"

int tlsrec_outq(struct sock *sk, int cmd);
int tlsrec_outq_info(struct sock *sk, char __user *optval, int __user *optlen);
bool tlsrec_stream_memory_free(const struct sock *sk, int wake);

#endif /* TLSREC_OUTQ_H */
