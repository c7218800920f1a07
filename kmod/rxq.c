// SPDX-License-Identifier: GPL-2.0-only
/* See rxq.h. */

#include "compat.h"
#include "copy.h"
#include "rxq.h"

/* Is all of the packet in memory that is mapped? */
static bool is_flat(const struct sk_buff *skb)
{
	return !IS_ENABLED(CONFIG_HIGHMEM) && !skb_has_frag_list(skb) &&
	       tlsrec_frags_readable(skb);
}

/*
 * Copy from one packet, beginning at the cursor's fragment. Packets hold one
 * record or more in up to 17 fragments: each is found once, not once a record.
 */
static int copy_skb(struct rxq *q, void *to, u32 off, u32 len)
{
	const struct sk_buff *skb = q->skb;
	const skb_frag_t *frags = skb_shinfo(skb)->frags;
	u32 head = skb_headlen(skb);

	if (unlikely(!is_flat(skb)))
		return skb_copy_bits(skb, off, to, len);

	if (off < head) {
		u32 n = min(len, head - off);

		tlsrec_copy(to, skb->data + off, n);
		to += n;
		off += n;
		len -= n;
	}
	if (q->frag_off < head)
		q->frag_off = head;

	while (len) {
		const skb_frag_t *frag = &frags[q->frag];
		u32 size = skb_frag_size(frag);
		u32 skip = off - q->frag_off;

		if (skip < size) {
			u32 n = min(len, size - skip);

			tlsrec_copy(to, skb_frag_address(frag) + skip, n);
			to += n;
			off += n;
			len -= n;
			if (!len)
				break;
		}
		q->frag_off += size;
		q->frag++;
	}

	return 0;
}

/**
 * rxq_copy() - copy bytes at the cursor and move it behind them
 * @sk: locked
 * @q: cursor
 * @to: where to
 * @len: how many; at most rxq_avail()
 *
 * Return: 0, or -EFAULT when the bytes are not there or not readable.
 */
int rxq_copy(const struct sock *sk, struct rxq *q, void *to, u32 len)
{
	const struct sk_buff_head *queue = &sk->sk_receive_queue;
	u32 seq = tcp_sk(sk)->copied_seq + q->taken;
	u32 left = len;

	sock_owned_by_me(sk);

	if (!q->skb)
		q->skb = skb_peek(queue);
	while (left) {
		u32 off, n;

		if (unlikely(!q->skb))
			return -EFAULT;
		/*
		 * Segments may overlap: the place in each is found from its
		 * sequence number, not from the end of the one before.
		 */
		off = seq - TCP_SKB_CB(q->skb)->seq;
		if (off < q->skb->len) {
			n = min(left, q->skb->len - off);
			if (copy_skb(q, to, off, n))
				return -EFAULT;
			to += n;
			seq += n;
			left -= n;
			if (!left)
				break;
		}
		q->skb = skb_peek_next(q->skb, queue);
		q->frag = 0;
		q->frag_off = 0;
	}

	q->taken += len;
	return 0;
}

/**
 * rxq_peek() - copy bytes at the cursor and leave it where it is
 * @sk: locked
 * @q: cursor
 * @to: where to
 * @len: how many; at most rxq_avail()
 *
 * Return: 0, or -EFAULT when the bytes are not there or not readable.
 */
int rxq_peek(const struct sock *sk, const struct rxq *q, void *to, u32 len)
{
	struct rxq copy = *q;

	return rxq_copy(sk, &copy, to, len);
}

/**
 * rxq_flat() - bytes at the cursor where they are, if they are in one piece
 * @sk: locked
 * @q: cursor
 * @len: how many; at most rxq_avail()
 *
 * Return: the bytes, valid as long as the cursor is, or %NULL when they have to
 * be copied.
 */
const u8 *rxq_flat(const struct sock *sk, const struct rxq *q, u32 len)
{
	const struct sk_buff *skb = q->skb;
	const skb_frag_t *frag;
	u32 off, frag_off;

	if (!skb)
		skb = skb_peek(&sk->sk_receive_queue);
	if (!skb)
		return NULL;
	off = tcp_sk(sk)->copied_seq + q->taken - TCP_SKB_CB(skb)->seq;
	if (off + len <= skb_headlen(skb))
		return skb->data + off;

	frag_off = max(q->frag_off, skb_headlen(skb));
	if (off < frag_off || q->frag >= skb_shinfo(skb)->nr_frags ||
	    !is_flat(skb))
		return NULL;
	frag = &skb_shinfo(skb)->frags[q->frag];
	off -= frag_off;
	if (off + len > skb_frag_size(frag))
		return NULL;
	return skb_frag_address(frag) + off;
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
	*q = (struct rxq){ };
}
