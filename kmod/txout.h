/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The batch: sealed records on their way to TCP, up to TXOUT_BATCH of them at
 * once. What TCP does not take is kept and goes first the next time.
 */
#ifndef TLSREC_TXOUT_H
#define TLSREC_TXOUT_H

#include "txwork.h"

/*
 * Add a piece to what TCP gets. Returns whether it needed an entry of its own,
 * which takes over a reference on the page.
 */
static inline bool txout_add(struct tlsrec_work *work, struct page *page,
			     unsigned int off, unsigned int len)
{
	struct bio_vec *bv = work->out + work->out_nr;

	work->out_bytes += len;
	if (work->out_nr > work->out_first && bv[-1].bv_page == page &&
	    bv[-1].bv_offset + bv[-1].bv_len == off) {
		bv[-1].bv_len += len;
		return false;
	}
	bvec_set_page(bv, page, len, off);
	work->out_nr++;
	return true;
}

/*
 * Does TCP want more? sk_stream_memory_free() without the way through our proto,
 * which has nothing to add for a writer.
 */
static inline bool txout_wanted(const struct sock *sk)
{
	return READ_ONCE(sk->sk_wmem_queued) < READ_ONCE(sk->sk_sndbuf) &&
	       tcp_stream_memory_free(sk, 0);
}

/* Enough sealed for one push? Not more than TCP has space for, too. */
static inline bool txout_full(const struct sock *sk,
			      const struct tlsrec_work *work)
{
	return work->records >= TXOUT_BATCH ||
	       (int)work->out_bytes >= sk_stream_wspace(sk);
}

/* Why TCP takes nothing, now or ever; 0 when it does. */
static inline int txout_refusal(const struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	if (sk->sk_shutdown & SEND_SHUTDOWN ||
	    !((1 << sk->sk_state) & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT)))
		return -EPIPE;
	if (unlikely(tp->repair && tp->repair_queue != TCP_SEND_QUEUE))
		return -EINVAL;
	return 0;
}

void txout_drop(struct tlsrec_work *work);
void txout_uncork(struct sock *sk, struct tlsrec_tx *tx);
int txout_push(struct sock *sk, struct tlsrec_tx *tx, int flags);
void txout_force(struct sock *sk, struct tlsrec_tx *tx);

#endif /* TLSREC_TXOUT_H */
