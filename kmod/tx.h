/* SPDX-License-Identifier: GPL-2.0-only */
/* Transmit: from the program's bytes to records in TCP's write queue. */
#ifndef TLSREC_TX_H
#define TLSREC_TX_H

#include "compat.h"
#include "engine.h"
#include "tlsrec.h"

/*
 * What a message may not ask for: records have no urgent bytes, ciphertext is
 * not in the program's pages, and a SYN carries no record. Other flags that mean
 * nothing to TCP mean nothing here.
 */
#define TLSREC_TX_REFUSED (MSG_OOB | MSG_ZEROCOPY | MSG_FASTOPEN)

int tlsrec_sendmsg(struct sock *sk, struct msghdr *msg, size_t size);
void tlsrec_splice_eof(struct socket *sock);
void tlsrec_write_space(struct sock *sk);
enum tlsrec_engine_need tlsrec_tx_look(const struct tlsrec_ctx *ctx);
bool tlsrec_tx_open(const struct tlsrec_tx *tx);
int tlsrec_tx_send(struct sock *sk, struct msghdr *msg, size_t sealed);
void tlsrec_tx_settle(struct sock *sk, struct tlsrec_tx *tx, bool follows);
void tlsrec_tx_flush(struct sock *sk, struct tlsrec_tx *tx);
void tlsrec_tx_retry(struct sock *sk);
bool tlsrec_tx_finish(struct sock *sk, struct tlsrec_tx *tx);
void tlsrec_tx_free(struct tlsrec_tx *tx);

#endif /* TLSREC_TX_H */
