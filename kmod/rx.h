/* SPDX-License-Identifier: GPL-2.0-only */
/* Receive: from records in TCP's receive queue to the program's bytes. */
#ifndef TLSREC_RX_H
#define TLSREC_RX_H

#include "tlsrec.h"

int tlsrec_recvmsg(struct sock *sk, struct msghdr *msg, size_t len, int flags);
int tlsrec_inq(struct sock *sk);

#endif /* TLSREC_RX_H */
