/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One record at a time: from TCP's queue to plaintext.
 *
 *	TCP queue --copy--> buffer --decrypt in place--> rx->plain
 *
 * A record that does not fit into the receive window would never be complete
 * in the queue: it is then taken out piecemeal, into rx->part.
 */
#ifndef TLSREC_RXREC_H
#define TLSREC_RXREC_H

#include "charge.h"
#include "rxhead.h"

/*
 * For a reader, which is a task. Users inside the kernel may say GFP_ATOMIC for
 * TCP's small needs; a record's buffer would often fail with that.
 */
static inline gfp_t rxrec_gfp(const struct sock *sk)
{
	return gfpflags_allow_blocking(sk->sk_allocation) ? sk->sk_allocation :
							    GFP_NOIO;
}

void tlsrec_data_ready(struct sock *sk);

/* Has somebody put his callback over ours? Users inside the kernel do. */
static inline bool rxrec_covered(const struct sock *sk)
{
	return READ_ONCE(sk->sk_data_ready) != tlsrec_data_ready;
}

/* A record that is kept does not have its memory to itself. */
static inline bool rxrec_shared(const struct tlsrec_rx *rx,
				struct tlsrec_buf *buf)
{
	return !list_is_last(&buf->list, &rx->plain) &&
	       tlsrec_buf_together(buf, list_next_entry(buf, list));
}

/* Not all of the newest record is read yet. */
static inline void rxrec_keep(struct tlsrec_rx *rx, struct tlsrec_buf *buf)
{
	if (!list_empty(&buf->list))
		return;
	list_add_tail(&buf->list, &rx->plain);
	rx->plain_mem += tlsrec_buf_mem(buf);
	/* Pairs with the READ_ONCE() in rxhead_readable(). */
	WRITE_ONCE(rx->plain_ready, true);
}

/*
 * Application data without data: nobody is told of it, and so it is dropped at
 * once by whoever finds it, not only by those who read.
 */
static inline bool rxrec_nothing(const struct tlsrec_buf *buf)
{
	return !buf->len && buf->type == TLSREC_TYPE_DATA;
}

/* Forget a record that has been read. */
static inline void rxrec_drop(struct tlsrec_rx *rx, struct tlsrec_buf *buf)
{
	if (list_empty(&buf->list)) {
		/* Nobody else has seen the buffer: the next record's. */
		buf->len = 0;
		rx->part = buf;
		return;
	}
	if (!rxrec_shared(rx, buf))
		rx->plain_mem -= tlsrec_buf_mem(buf);
	list_del_init(&buf->list);
	tlsrec_buf_put(buf);
	/* Pairs with the READ_ONCE() in rxhead_readable(). */
	if (list_empty(&rx->plain))
		WRITE_ONCE(rx->plain_ready, false);
}

/* The next record may be long in coming. */
static inline void rxrec_drop_part(struct tlsrec_rx *rx)
{
	if (rx->part && !rx->part->len) {
		tlsrec_buf_put(rx->part);
		rx->part = NULL;
	}
}

/*
 * Charge what stays. More than was charged before, TCP has just let go of: so much
 * is let through. Returns whether it could.
 */
static inline bool rxrec_charge(struct sock *sk, struct tlsrec_rx *rx)
{
	unsigned int stays = rx->plain_mem;

	if (rx->part)
		stays += tlsrec_buf_mem(rx->part);
	return rx->charged == stays ||
	       tlsrec_charge_kept(sk, &rx->charged, stays);
}

void rxrec_settle(struct sock *sk, struct tlsrec_rx *rx, struct rxq *q,
		  gfp_t gfp);
void rxrec_wake(struct sock *sk, const struct tlsrec_rx *rx);
struct tlsrec_buf *rxrec_shrink(struct sock *sk, struct tlsrec_rx *rx,
				struct tlsrec_buf *buf);
struct tlsrec_buf *rxrec_next(struct sock *sk, struct tlsrec_rx *rx,
			      struct rxq *q);
void tlsrec_rx_start(struct sock *sk, struct tlsrec_rx *rx);
void tlsrec_rx_free(struct tlsrec_rx *rx);

#endif /* TLSREC_RXREC_H */
