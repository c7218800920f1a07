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
 * @skb: packet that the next bytes are in, or that the last ones were in; %NULL
 *	for the head of the queue
 * @frag: fragment of @skb behind the one that @at is in
 * @frag_end: end of its fragments; @frag where they cannot be read in place
 * @at: the next bytes, as far as they are in one piece
 * @left: how many that are; 0 when they are yet to be found
 * @taken: bytes copied that TCP does not know of yet
 */
struct rxq {
	struct sk_buff		*skb;
	const skb_frag_t	*frag;
	const skb_frag_t	*frag_end;
	const u8		*at;
	u32			left;
	u32			taken;
};

bool rxq_fin_queued(const struct sock *sk);

/*
 * rcv_nxt counts a FIN as one byte, which leaves the queue with the last byte or
 * stays behind it.
 */
static inline bool rxq_fin(const struct sock *sk)
{
	return unlikely(sk->sk_shutdown & RCV_SHUTDOWN) && rxq_fin_queued(sk);
}

/* Bytes of the stream behind the cursor. */
static inline u32 rxq_avail(const struct sock *sk, const struct rxq *q)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	return tp->rcv_nxt - tp->copied_seq - q->taken - rxq_fin(sk);
}

bool rxq_find(const struct sock *sk, struct rxq *q);
int rxq_peek(const struct sock *sk, const struct rxq *q, void *to, u32 len);
int rxq_copy(const struct sock *sk, struct rxq *q, void *to, u32 len);
void rxq_rewind(struct rxq *q, u32 len);
void rxq_commit(struct sock *sk, struct rxq *q);

/**
 * rxq_flat() - bytes at the cursor where they are, if they are in one piece
 * @sk: locked
 * @q: cursor
 * @len: how many, not 0; need not be there
 *
 * Return: the bytes, valid as long as the cursor is, or %NULL when they have to
 * be copied.
 */
static inline const u8 *rxq_flat(const struct sock *sk, struct rxq *q, u32 len)
{
	if (!q->left && !rxq_find(sk, q))
		return NULL;
	return q->left >= len ? q->at : NULL;
}

#endif /* TLSREC_RXQ_H */
