// SPDX-License-Identifier: GPL-2.0-only
/* See txpage.h. */

#include <linux/sched/signal.h>

#include "seal.h"
#include "tx.h"
#include "txout.h"
#include "txpage.h"

#ifdef TLSREC_HAVE_SENDPAGE
/* May a record be sealed that goes to TCP with others, in a later call? */
static bool batch_may_grow(const struct sock *sk, const struct tlsrec_tx *tx)
{
	const struct tlsrec_work *work = tx->work;

	/* Users inside the kernel put callbacks of their own over ours. */
	return work->records < TXOUT_BATCH - 1 &&
	       (int)work->out_bytes + 2 * tx->max_payload <
	       sk_stream_wspace(sk) &&
	       sk->sk_write_space == tlsrec_write_space;
}

/*
 * A page that is not the first of its record, and not the last of the splice:
 * most of what a call does is of no concern for it. Returns its size, 0 when it
 * takes a whole call, or a negative errno.
 */
static int tx_append_page(struct sock *sk, struct page *page, int offset,
			  size_t size, int flags)
{
	struct tlsrec_tx *tx = &tlsrec_ctx(sk)->tx;
	struct tlsrec_work *work = tx->work;
	struct tx_record *rec;
	bool full;
	int err;

	if (!work || tx->turn.held || !(flags & TLSREC_MSG_NOTLAST) ||
	    sk->sk_err || txout_refusal(sk))
		return 0;
	rec = &work->rec;
	if (!rec->open || rec->due || rec->type != TLSREC_TYPE_DATA || !rec->spliced ||
	    rec->nsrc >= TXREC_SG - 2)
		return 0;
	if (size < TXREC_SPLICE_MIN || size > rec->room.len ||
	    size > rec->max - rec->len ||
	    (rec->len | size) % TXREC_BLOCK || !sendpage_ok(page))
		return 0;
	full = size == rec->max - rec->len;
	if (full && !batch_may_grow(sk, tx))
		return 0;

	sg_set_page(&work->src[rec->nsrc], page, size, offset);
	rec->spliced |= BIT(rec->nsrc);
	if (!full) {
		/* The page goes with the call. */
		get_page(page);
		rec->held |= BIT(rec->nsrc);
	}
	rec->nsrc++;
	rec->copied_last = false;
	txrec_take_room(work, size);
	if (!full)
		return size;

	err = seal_record(sk, tx, work);
	if (err == -ENOMEM) {
		rec->due = true;
		txrec_hold(work);
		err = 0;
	}
	tlsrec_tx_settle(sk, tx, !err);
	return err ? err : size;
}

static noinline int tx_send_page(struct sock *sk, struct page *page, int offset,
				 size_t size, int flags)
{
	struct msghdr msg = { .msg_flags = flags | MSG_SPLICE_PAGES };
	struct bio_vec bvec;

	bvec_set_page(&bvec, page, size, offset);
	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, &bvec, 1, size);
	return tlsrec_tx_send(sk, &msg, 0);
}

int tlsrec_sendpage(struct sock *sk, struct page *page, int offset,
		    size_t size, int flags)
{
	int ret;

	if (flags & TLSREC_TX_REFUSED)
		return -EOPNOTSUPP;
	/* A splice ends between two pages then, whatever it has promised. */
	if (signal_pending(current))
		flags &= ~(MSG_MORE | TLSREC_MSG_NOTLAST);

	lock_sock(sk);
	ret = tx_append_page(sk, page, offset, size, flags);
	if (!ret)
		ret = tx_send_page(sk, page, offset, size, flags);
	release_sock(sk);
	return ret;
}
#endif
