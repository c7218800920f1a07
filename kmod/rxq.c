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

/* See rxq_fin(). */
bool rxq_fin_queued(const struct sock *sk)
{
	const struct sk_buff *last = skb_peek_tail(&sk->sk_receive_queue);

	return last && TCP_SKB_CB(last)->tcp_flags & TCPHDR_FIN;
}

/* Where in @skb the cursor stands. */
static u32 skb_off(const struct sock *sk, const struct rxq *q,
		   const struct sk_buff *skb)
{
	return tcp_sk(sk)->copied_seq + q->taken - TCP_SKB_CB(skb)->seq;
}

/* The next fragment of the packet, if there is one. */
static inline bool next_frag(struct rxq *q)
{
	if (q->frag == q->frag_end)
		return false;

	q->at = skb_frag_address(q->frag);
	q->left = skb_frag_size(q->frag);
	q->frag++;
	return true;
}

/* Find the byte at @off, which is in this packet. */
static bool find_in_skb(struct rxq *q, struct sk_buff *skb, u32 off)
{
	const struct skb_shared_info *info = skb_shinfo(skb);
	const skb_frag_t *frag = info->frags;
	u32 head = skb_headlen(skb);

	q->skb = skb;
	q->frag = frag;
	q->frag_end = frag;
	if (unlikely(!is_flat(skb)))
		return false;

	q->frag_end = frag + info->nr_frags;
	if (off < head) {
		q->at = skb->data + off;
		q->left = head - off;
		return true;
	}

	for (off -= head; frag != q->frag_end; frag++) {
		u32 size = skb_frag_size(frag);

		if (off < size) {
			q->frag = frag + 1;
			q->at = skb_frag_address(frag) + off;
			q->left = size - off;
			return true;
		}
		off -= size;
	}

	q->frag = frag;
	return false;
}

/**
 * rxq_find() - find the next bytes, when @q->left is 0
 * @sk: locked
 * @q: cursor
 *
 * Return: they are at @q->at; else there are none, or they are in @q->skb but
 * have to be copied from there with skb_copy_bits().
 */
bool rxq_find(const struct sock *sk, struct rxq *q)
{
	const struct sk_buff_head *queue = &sk->sk_receive_queue;
	struct sk_buff *skb = q->skb;

	sock_owned_by_me(sk);

	/* The bytes of a packet follow one another. */
	while (next_frag(q))
		if (q->left)
			return true;

	/*
	 * Packets may overlap: the place in each is found from its sequence
	 * number, not from the end of the one before.
	 */
	if (!skb)
		skb = skb_peek(queue);
	for (; skb; skb = skb_peek_next(skb, queue)) {
		u32 off = skb_off(sk, q, skb);

		if (off < skb->len)
			return find_in_skb(q, skb, off);
	}

	return false;
}

/* Copy from a packet that cannot be read in place. Returns how many bytes. */
static int copy_bits(const struct sock *sk, struct rxq *q, void *to, u32 len)
{
	u32 off, n;

	if (!q->skb)
		return -EFAULT;
	off = skb_off(sk, q, q->skb);
	if (off >= q->skb->len)
		return -EFAULT;
	n = min(len, q->skb->len - off);
	return skb_copy_bits(q->skb, off, to, n) ? -EFAULT : n;
}

/**
 * rxq_copy() - copy bytes at the cursor and move it behind them
 * @sk: locked
 * @q: cursor; after an error at the same byte or a later one
 * @to: where to
 * @len: how many; at most rxq_avail()
 *
 * Return: 0, or -EFAULT when the bytes are not there or not readable.
 */
int rxq_copy(const struct sock *sk, struct rxq *q, void *to, u32 len)
{
	while (len) {
		int n;

		if (q->left || (next_frag(q) && q->left) || rxq_find(sk, q)) {
			n = min(len, q->left);
			tlsrec_copy(to, q->at, n);
			q->at += n;
			q->left -= n;
		} else {
			n = copy_bits(sk, q, to, len);
			if (n < 0)
				return n;
		}
		to += n;
		len -= n;
		q->taken += n;
	}

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
 * rxq_rewind() - go back over bytes that were copied, to copy them again
 * @q: cursor
 * @len: how many; since rxq_commit()
 */
void rxq_rewind(struct rxq *q, u32 len)
{
	*q = (struct rxq){ .taken = q->taken - len };
}

/**
 * rxq_commit() - tell TCP what was taken, so that it can free and acknowledge
 * @sk: locked
 * @q: cursor, at the head of the queue afterwards
 */
void rxq_commit(struct sock *sk, struct rxq *q)
{
	struct tcp_sock *tp = tcp_sk(sk);

	if (q->taken)
		tcp_read_done(sk, q->taken);
	*q = (struct rxq){ };
	/* As TCP does where an urgent byte was read in line. */
	if (unlikely(tp->urg_data) && after(tp->copied_seq, tp->urg_seq)) {
		WRITE_ONCE(tp->urg_data, 0);
		tcp_fast_path_check(sk);
	}
}
