/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is known of the head record, the next one that TCP has or will have, and
 * poll, which asks for it.
 */
#ifndef TLSREC_RXHEAD_H
#define TLSREC_RXHEAD_H

#include <linux/poll.h>

#include "buf.h"
#include "rxq.h"
#include "tlsrec.h"

/*
 * rx->head is one word so that poll can read it without the lock: zero when
 * nothing is known, else flags and, with RXHEAD_END, the sequence number of the
 * first byte behind the record in the low half.
 */
#define RXHEAD_END	BIT_ULL(32)
/*
 * A reader has something to do or to be told, record or not; or one is taking
 * records, and what they leave is known when he is done.
 */
#define RXHEAD_WAKE	BIT_ULL(33)
/* What there is are fewer bytes than poll waits for, by SO_RCVLOWAT. */
#define RXHEAD_FEW	BIT_ULL(34)

static inline void rxhead_set(struct tlsrec_rx *rx, u64 head)
{
	/*
	 * Whoever finds that the record is gone from here finds plain_ready set
	 * if it is there now. Pairs with the smp_rmb() in rxhead_readable().
	 */
	smp_wmb();
	/* Pairs with the READ_ONCE() in rxhead_come(). */
	WRITE_ONCE(rx->head, head);
}

/* Is the head record complete? Called with the lock. */
static inline bool rxhead_ready(const struct sock *sk,
				const struct tlsrec_rx *rx)
{
	u64 head = rx->head;

	if (head & RXHEAD_WAKE)
		return true;
	return head & RXHEAD_END &&
	       !before(tcp_sk(sk)->rcv_nxt - rxq_fin(sk), (u32)head);
}

/*
 * The same without the lock, where a FIN counts as a byte: who asks wants to know
 * of the end of the stream, too.
 */
static inline bool rxhead_come(const struct sock *sk,
			       const struct tlsrec_rx *rx)
{
	u64 head = READ_ONCE(rx->head);

	if (head & RXHEAD_WAKE)
		return true;
	return head & RXHEAD_END &&
	       !before(READ_ONCE(tcp_sk(sk)->rcv_nxt), (u32)head);
}

/*
 * Is there something for poll? Called with and without the lock.
 *
 * Once it is true it stays so until the last byte is read, whoever takes the
 * record on its way from the queue to the program: he would not wake those who
 * were told that there is nothing.
 */
static inline bool rxhead_readable(const struct sock *sk,
				   const struct tlsrec_rx *rx)
{
	if (!(READ_ONCE(rx->head) & RXHEAD_FEW) && rxhead_come(sk, rx))
		return true;
	/* Pairs with the smp_wmb() in rxhead_set(). */
	smp_rmb();
	/* Pairs with the WRITE_ONCE() of rxrec_keep() and rxrec_drop(). */
	return READ_ONCE(rx->plain_ready);
}

/*
 * Nothing of the queue was taken since somebody looked at it. TCP's callback
 * looks by itself.
 */
static inline bool rxhead_known(const struct tlsrec_rx *rx)
{
	return (rx->head & (RXHEAD_END | RXHEAD_WAKE)) == RXHEAD_END;
}

/* Bytes of the head record that are in rx->part already. */
static inline u32 rxhead_part_len(const struct tlsrec_rx *rx)
{
	return rx->part ? rx->part->len : 0;
}

void rxhead_fail(struct sock *sk, struct tlsrec_rx *rx, int err);
int rxhead_size_split(struct sock *sk, struct tlsrec_rx *rx,
		      const struct rxq *q);

/**
 * rxhead_size() - look at the head record
 * @sk: locked
 * @rx: receive direction
 * @q: cursor
 *
 * Return: size of the whole record in bytes, 0 while its header is not there,
 * -EKEYEXPIRED, or a sticky negative errno.
 */
static inline int rxhead_size(struct sock *sk, struct tlsrec_rx *rx,
			      struct rxq *q)
{
	const u8 *header = NULL;
	int size;

	if (unlikely(rx->err))
		return rx->err;
	if (unlikely(rx->expired))
		return -EKEYEXPIRED;

	if (!rxhead_part_len(rx))
		header = rxq_flat(sk, q, TLSREC_HEADER_SIZE);
	size = header ? tlsrec_parse_header(&rx->key.fmt, header) :
			rxhead_size_split(sk, rx, q);
	if (unlikely(size < 0))
		rxhead_fail(sk, rx, size);
	return size;
}

/*
 * Will the window never open far enough for the rest of the record? While its
 * key is missing, and behind an error, that is as it should be.
 */
static inline bool rxhead_window_stuck(const struct sock *sk,
				       const struct tlsrec_rx *rx,
				       const struct rxq *q)
{
	return !rx->expired && !rx->err && rxq_avail(sk, q) &&
	       tcp_epollin_ready(sk, INT_MAX);
}

void rxhead_look(struct sock *sk, struct tlsrec_rx *rx, struct rxq *q,
		 bool covered);
bool tlsrec_sock_is_readable(struct sock *sk);
__poll_t tlsrec_poll(struct file *file, struct socket *sock,
		     struct poll_table_struct *wait);

#endif /* TLSREC_RXHEAD_H */
