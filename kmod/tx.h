/* SPDX-License-Identifier: GPL-2.0-only */
/* Transmit: from the program's bytes to records in TCP's write queue. */
#ifndef TLSREC_TX_H
#define TLSREC_TX_H

#include "compat.h"
#include "tlsrec.h"

int tlsrec_tx_init(void);
void tlsrec_tx_exit(void);
int tlsrec_sendmsg(struct sock *sk, struct msghdr *msg, size_t size);
#ifdef TLSREC_HAVE_SENDPAGE
int tlsrec_sendpage(struct sock *sk, struct page *page, int offset,
		    size_t size, int flags);
#endif
void tlsrec_splice_eof(struct socket *sock);
void tlsrec_write_space(struct sock *sk);
bool tlsrec_tx_open(const struct tlsrec_tx *tx);
void tlsrec_tx_uncork(struct sock *sk, struct tlsrec_tx *tx);
void tlsrec_tx_force(struct sock *sk, struct tlsrec_tx *tx);
void tlsrec_tx_free(struct tlsrec_tx *tx);

#endif /* TLSREC_TX_H */
