// SPDX-License-Identifier: GPL-2.0-only
/* See rxq.h. */

#include "rxq.h"

static int copy(const struct sock *sk, struct rxq *q, void *to, u32 len,
		bool take)
{
	const struct sk_buff_head *queue = &sk->sk_receive_queue;
	u32 seq = tcp_sk(sk)->copied_seq + q->taken;
	struct sk_buff *skb = q->skb;
	u32 left = len;

	sock_owned_by_me(sk);

	if (!skb)
		skb = skb_peek(queue);
	while (left) {
		u32 off, n;

		if (unlikely(!skb))
			return -EFAULT;
		/*
		 * Segments may overlap: the place in each is found from its
		 * sequence number, not from the end of the one before.
		 */
		off = seq - TCP_SKB_CB(skb)->seq;
		if (off < skb->len) {
			n = min(left, skb->len - off);
			if (skb_copy_bits(skb, off, to, n))
				return -EFAULT;
			if (take)
				q->skb = skb;
			to += n;
			seq += n;
			left -= n;
			if (!left)
				break;
		}
		skb = skb_peek_next(skb, queue);
	}

	if (take)
		q->taken += len;
	return 0;
}

/**
 * rxq_peek() - copy bytes at the cursor and leave the cursor where it is
 * @sk: locked
 * @q: cursor
 * @to: where to
 * @len: how many; at most rxq_avail()
 *
 * Return: 0, or -EFAULT when the bytes are not there or not readable.
 */
int rxq_peek(const struct sock *sk, struct rxq *q, void *to, u32 len)
{
	return copy(sk, q, to, len, false);
}

/* The same, and the bytes count as taken. */
int rxq_copy(const struct sock *sk, struct rxq *q, void *to, u32 len)
{
	return copy(sk, q, to, len, true);
}

/**
 * rxq_commit() - tell TCP what was taken, so that it can free and acknowledge
 * @sk: locked
 * @q: cursor, at the head of the queue afterwards
 */
void rxq_commit(struct sock *sk, struct rxq *q)
{
	if (q->taken)
		tcp_read_done(sk, q->taken);
	q->taken = 0;
	q->skb = NULL;
}
