/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TCP's receive queue, read in place. The queue may be collapsed, merged or
 * added to whenever the socket lock is not held, or the backlog is processed;
 * so a cursor lives only while neither happens, and rxq_commit() ends it.
 */
#ifndef TLSREC_RXQ_H
#define TLSREC_RXQ_H

#include <net/tcp.h>

/**
 * struct rxq - a cursor into the receive queue
 * @skb: where the last copy ended, %NULL for the head of the queue
 * @frag: fragment of @skb where it ended
 * @frag_off: offset of that fragment in @skb
 * @taken: bytes copied that TCP does not know of yet
 */
struct rxq {
	struct sk_buff	*skb;
	unsigned int	frag;
	u32		frag_off;
	u32		taken;
};

/* Bytes of the stream behind the cursor. rcv_nxt counts a FIN as one. */
static inline u32 rxq_avail(const struct sock *sk, const struct rxq *q)
{
	const struct tcp_sock *tp = tcp_sk(sk);
	u32 avail = tp->rcv_nxt - tp->copied_seq - q->taken;

	return avail && sock_flag(sk, SOCK_DONE) ? avail - 1 : avail;
}

const u8 *rxq_flat(const struct sock *sk, const struct rxq *q, u32 len);
int rxq_peek(const struct sock *sk, const struct rxq *q, void *to, u32 len);
int rxq_copy(const struct sock *sk, struct rxq *q, void *to, u32 len);
void rxq_commit(struct sock *sk, struct rxq *q);

#endif /* TLSREC_RXQ_H */
