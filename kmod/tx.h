/* SPDX-License-Identifier: GPL-2.0-only */
/* Transmit: from the program's bytes to records in TCP's write queue. */
#ifndef TLSREC_TX_H
#define TLSREC_TX_H

#include "compat.h"
#include "tlsrec.h"

/* What a message may ask for. */
#define TLSREC_TX_FLAGS (MSG_MORE | MSG_DONTWAIT | MSG_NOSIGNAL | MSG_EOR | \
			 MSG_CMSG_COMPAT | MSG_SPLICE_PAGES | \
			 TLSREC_MSG_POLICY)

int tlsrec_sendmsg(struct sock *sk, struct msghdr *msg, size_t size);
void tlsrec_splice_eof(struct socket *sock);
void tlsrec_write_space(struct sock *sk);
bool tlsrec_tx_open(const struct tlsrec_tx *tx);
int tlsrec_tx_send(struct sock *sk, struct msghdr *msg, size_t sealed);
void tlsrec_tx_flush(struct sock *sk, struct tlsrec_tx *tx);
void tlsrec_tx_force(struct sock *sk, struct tlsrec_tx *tx);
void tlsrec_tx_free(struct tlsrec_tx *tx);

#endif /* TLSREC_TX_H */
