// SPDX-License-Identifier: GPL-2.0-only
/* See txout.h. */

#include "compat.h"
#include "txout.h"

void txout_drop(struct tlsrec_work *work)
{
	const struct bio_vec *bv = work->out + work->out_first;
	const struct bio_vec *end = work->out + work->out_nr;

	for (; bv < end; bv++)
		put_page(bv->bv_page);
	work->out_bytes = 0;
	work->out_first = 0;
	work->out_nr = 0;
	work->records = 0;
}

/* TCP has taken @n bytes of the batch. */
static void out_advance(struct tlsrec_work *work, size_t n)
{
	struct bio_vec *bv = &work->out[work->out_first];

	work->out_bytes -= n;
	if (likely(!work->out_bytes)) {
		txout_drop(work);
		return;
	}

	for (; n >= bv->bv_len; bv++) {
		n -= bv->bv_len;
		put_page(bv->bv_page);
		work->out_first++;
	}
	bv->bv_offset += n;
	bv->bv_len -= n;
}

/*
 * A splice that comes page by page goes to TCP in many calls. What one of them
 * leaves behind whole segments goes together with what follows. MSG_MORE
 * alone keeps TCP from sending it only until the next ACK, which on a fast path
 * comes before the next pages have been read and encrypted. As with every
 * TCP_CORK, TCP does not wait for more than 200 ms.
 */
static void tx_cork(struct sock *sk, struct tlsrec_tx *tx)
{
	struct tcp_sock *tp = tcp_sk(sk);

	/* With little space left it might be what the space is waiting for. */
	if (TLSREC_SPLICE_BY_PAGE && !(tp->nonagle & TCP_NAGLE_CORK) &&
	    sk_stream_is_writeable(sk)) {
		tp->nonagle |= TCP_NAGLE_CORK;
		tx->corked = true;
	}
}

/**
 * txout_uncork() - a cork that is on is not ours any more
 * @sk: locked
 * @tx: transmit direction
 */
void txout_uncork(struct sock *sk, struct tlsrec_tx *tx)
{
	if (TLSREC_SPLICE_BY_PAGE && tx->corked) {
		tcp_sk(sk)->nonagle &= ~TCP_NAGLE_CORK;
		tx->corked = false;
	}
}

/* A segment that was not full is on its way: Nagle's algorithm holds the next. */
static bool nagle_holds(const struct tcp_sock *tp)
{
	return after(tp->snd_sml, tp->snd_una) &&
	       !after(tp->snd_sml, tp->snd_nxt);
}

/*
 * Nagle's algorithm is about who writes little at a time, and knows him by ends
 * of messages, segments that are not full. TCP makes such segments of the middle
 * of a message, too: a packet has room for MAX_SKB_FRAGS pieces, which are pages
 * at most, and records do not fill theirs. It would hold the end of the message
 * back until the peer, who lacks it, acknowledges the middle. So it is off while
 * a message goes to TCP, unless an earlier end is on its way. Returns whether.
 */
static bool nagle_off(struct tcp_sock *tp)
{
	if (tp->nonagle & (TCP_NAGLE_OFF | TCP_NAGLE_CORK) || nagle_holds(tp))
		return false;
	tp->nonagle |= TCP_NAGLE_OFF;
	return true;
}

/*
 * On again, after nagle_off(); @end is where tp->snd_sml was, and the end of the
 * message is with TCP unless there is @more, to come or kept.
 */
static void nagle_on(struct tcp_sock *tp, u32 end, bool more)
{
	tp->nonagle &= ~TCP_NAGLE_OFF;
	if (more || tp->snd_sml != tp->write_seq)
		tp->snd_sml = end;
	/* What windows have stopped, nothing else is to stop afterwards. */
	if (!more && tp->snd_nxt != tp->write_seq)
		tp->nonagle |= TCP_NAGLE_PUSH;
}

/*
 * An error that was left on the socket (by an ICMP message, or recvmmsg()) while
 * the connection lives is for the program's next call. TCP takes nothing as long
 * as it is there, and tells it only once: so it is put aside.
 */
static int error_take(struct sock *sk)
{
	return likely(!sk->sk_err) ? 0 : xchg(&sk->sk_err, 0);
}

static void error_put_back(struct sock *sk, int err)
{
	/* Not over a newer one: they are written without the lock, too. */
	if (err && !cmpxchg(&sk->sk_err, 0, err))
		/* Whoever looked meanwhile has not seen it. */
		sk_error_report(sk);
}

/* Was it an error that came only now? Put it aside, and TCP may take more. */
static bool error_came(const struct sock *sk, int ret, int *err)
{
	if (ret == -EAGAIN)
		return false;
	/* -EPIPE: it was there, and somebody was told before TCP could be. */
	if (ret != -EPIPE)
		*err = -ret;
	return !txout_refusal(sk);
}

/* How often one may come while a batch is handed to TCP. */
#define ERRORS_MAX	8

/**
 * txout_push() - hand the batch to TCP, without waiting
 * @sk: locked
 * @tx: transmit direction, with a work area
 * @flags: MSG_* of the call
 *
 * Return: 0 when all of it was taken, -EAGAIN with the rest kept, or what
 * txout_refusal() says.
 */
int txout_push(struct sock *sk, struct tlsrec_tx *tx, int flags)
{
	bool splice = flags & MSG_SPLICE_PAGES;
	struct tlsrec_work *work = tx->work;
	int ret, err, tries = ERRORS_MAX;
	struct tcp_sock *tp = tcp_sk(sk);
	bool held = tx->turn.held;
	u32 end = tp->snd_sml;
	bool nagle, more;

	flags &= MSG_MORE | TLSREC_MSG_NOTLAST;
	more = flags;
	txout_uncork(sk, tx);
	ret = txout_refusal(sk);
	if (unlikely(ret))
		return work->out_bytes ? ret : 0;
	/* Who waits, and who gets a signal, is decided by the caller. */
	flags |= MSG_DONTWAIT | MSG_NOSIGNAL;

	err = error_take(sk);
	/* TCP reports free space from inside of this, too. */
	tx->turn.held = true;
	nagle = nagle_off(tp);
	while (work->out_bytes) {
		ret = tlsrec_push_pages(sk, work->out + work->out_first,
					work->out_nr - work->out_first,
					work->out_bytes, flags);
		if (likely(ret > 0))
			out_advance(work, ret);
		else if (!error_came(sk, ret, &err) || !--tries)
			break;
	}
	if (nagle)
		nagle_on(tp, end, more || work->out_bytes);
	tx->turn.held = held;
	if (unlikely(err))
		error_put_back(sk, err);

	if (work->out_bytes)
		return txout_refusal(sk) ? : -EAGAIN;
	if (splice && flags & MSG_MORE)
		tx_cork(sk, tx);
	return 0;
}

/* In vain, before TCP is said to take nothing at all. */
#define FORCE_TRIES	4

/**
 * txout_force() - hand the batch to TCP whether or not it has space
 * @sk: locked
 * @tx: transmit direction, with a work area
 *
 * For when nobody would do it later. Beyond its limits TCP is given memory for a
 * socket that is over its send buffer, which so is made as small as is allowed
 * for a packet; TCP must not make it smaller yet.
 */
void txout_force(struct sock *sk, struct tlsrec_tx *tx)
{
	struct tlsrec_work *work = tx->work;
	struct tcp_sock *tp = tcp_sk(sk);
	u32 lowat = tp->notsent_lowat;
	u8 locks = sk->sk_userlocks;
	int sndbuf = sk->sk_sndbuf;
	int tries = FORCE_TRIES;
	size_t left;

	sk->sk_userlocks |= SOCK_SNDBUF_LOCK;
	WRITE_ONCE(tp->notsent_lowat, UINT_MAX);
	while (work->out_bytes && tries && !txout_refusal(sk)) {
		left = work->out_bytes;
		WRITE_ONCE(sk->sk_sndbuf, sk->sk_wmem_queued + 1);
		txout_push(sk, tx, 0);
		if (work->out_bytes == left)
			tries--;
	}
	WRITE_ONCE(tp->notsent_lowat, lowat);
	WRITE_ONCE(sk->sk_sndbuf, sndbuf);
	sk->sk_userlocks = locks;
}
