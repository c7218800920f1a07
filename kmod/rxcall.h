/* SPDX-License-Identifier: GPL-2.0-only */
/* A reader's call: his turn, and one record after the other, waited for. */
#ifndef TLSREC_RXCALL_H
#define TLSREC_RXCALL_H

#include <linux/sizes.h>

#include "rxrec.h"

/**
 * struct rx_call - one call of a reader
 * @sk: locked
 * @rx: receive direction, the turn is taken
 * @q: cursor
 * @timeo: jiffies it may still wait
 * @empty: records without data that it has seen
 * @until: when time is up, in jiffies, if it has seen any
 */
struct rx_call {
	struct sock		*sk;
	struct tlsrec_rx	*rx;
	struct rxq		q;
	long			timeo;
	unsigned int		empty;
	unsigned long		until;
};

/* Bytes taken before TCP may open the window for them. */
#define RXCALL_COMMIT	SZ_64K

/* Let ACKs and data that came in meanwhile not wait for bulk decryption. */
static inline void rxcall_breathe(struct rx_call *call)
{
	if (READ_ONCE(call->sk->sk_backlog.tail)) {
		rxq_commit(call->sk, &call->q);
		sk_flush_backlog(call->sk);
	} else if (call->q.taken >= RXCALL_COMMIT) {
		rxq_commit(call->sk, &call->q);
		cond_resched();
	}
}

int rxcall_wait(struct rx_call *call, int err, size_t copied, size_t target);

/**
 * rxcall_next() - wait for the next record
 * @call: the lock is dropped while waiting
 * @copied: bytes the caller will return anyway; errors then stay for later
 * @target: bytes from which on the caller does not want to wait for more
 *
 * Return: the record, as from rxrec_next(); %NULL at the end of the stream; or
 * a negative errno.
 */
static inline struct tlsrec_buf *rxcall_next(struct rx_call *call,
					     size_t copied, size_t target)
{
	struct tlsrec_buf *buf;
	int ret;

	rxcall_breathe(call);
	do {
		buf = rxrec_next(call->sk, call->rx, &call->q);
		if (!IS_ERR_OR_NULL(buf))
			return buf;
		ret = rxcall_wait(call, PTR_ERR(buf), copied, target);
	} while (ret > 0);

	return ERR_PTR(ret);
}

int rxcall_start(struct rx_call *call, struct sock *sk, bool nonblock);
void rxcall_end(struct rx_call *call);
int rxcall_empty(struct rx_call *call, bool enough);

#endif /* TLSREC_RXCALL_H */
