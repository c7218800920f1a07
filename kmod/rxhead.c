// SPDX-License-Identifier: GPL-2.0-only
/* See rxhead.h. */

#include "rxhead.h"
#include "trace.h"

void rxhead_fail(struct sock *sk, struct tlsrec_rx *rx, int err)
{
	rx->err = err;
	rxhead_set(rx, RXHEAD_WAKE);
	trace_tlsrec_fail(sk, false, rx->key.seq, err);
}

/* rxhead_size() where the header is not in one piece. */
int rxhead_size_split(struct sock *sk, struct tlsrec_rx *rx,
		      const struct rxq *q)
{
	u32 have = min_t(u32, rxhead_part_len(rx), TLSREC_HEADER_SIZE);
	u8 header[TLSREC_HEADER_SIZE];
	int err;

	if (have + rxq_avail(sk, q) < TLSREC_HEADER_SIZE)
		return 0;
	if (have)
		memcpy(header, tlsrec_buf_head(rx->part), have);
	err = rxq_peek(sk, q, header + have, TLSREC_HEADER_SIZE - have);
	return err ? err : tlsrec_parse_header(&rx->key.fmt, header);
}

/*
 * Would TCP's poll say that there is too little? What has left its queue for
 * rx->part counts, and whoever left plaintext unread has been told.
 */
static bool rx_few(const struct sock *sk, const struct tlsrec_rx *rx,
		   const struct rxq *q)
{
	u32 bytes = rxhead_part_len(rx) + rxq_avail(sk, q);

	return bytes < sk->sk_rcvlowat && list_empty(&rx->plain) &&
	       !tcp_epollin_ready(sk, INT_MAX);
}

/**
 * rxhead_look() - find out what is known of the head record
 * @sk: locked
 * @rx: receive direction
 * @q: cursor, at the head record
 * @covered: somebody has put his callback over ours, and may not call us when
 *	the record's header comes
 */
void rxhead_look(struct sock *sk, struct tlsrec_rx *rx, struct rxq *q,
		 bool covered)
{
	u64 head = 0;
	int size;

	/*
	 * Always anew: with SO_OOBINLINE off TCP takes urgent bytes out of the
	 * stream by itself, and what was the header then is none.
	 */
	size = rxhead_size(sk, rx, q);
	if (unlikely(size < 0)) {
		/* An error has its own WAKE; the next key has not come. */
		if (!rx->err)
			rxhead_set(rx, 0);
		return;
	}
	if (!size && covered)
		size = TLSREC_HEADER_SIZE;
	if (size)
		head = RXHEAD_END | (u32)(tcp_sk(sk)->copied_seq + q->taken +
					size - rxhead_part_len(rx));
	if (unlikely(sk->sk_rcvlowat > 1) && rx_few(sk, rx, q))
		head |= RXHEAD_FEW;
	rxhead_set(rx, head);
}

/**
 * tlsrec_sock_is_readable() - would a reader get something at once?
 * @sk: not locked
 */
bool tlsrec_sock_is_readable(struct sock *sk)
{
	struct tlsrec_ctx *ctx;
	bool readable;

	rcu_read_lock();
	ctx = rcu_dereference(inet_csk(sk)->icsk_ulp_data);
	/*
	 * While a reader sleeps with the turn, one who does not wait would be
	 * sent away again; he is woken when the turn is given back.
	 */
	readable = ctx && !READ_ONCE(ctx->rx.turn.refused) &&
		   rxhead_readable(sk, &ctx->rx);
	rcu_read_unlock();
	return readable;
}

/**
 * tlsrec_poll() - TCP's, but readable only when a whole record is
 * @file: of the socket
 * @sock: the socket
 * @wait: poll table
 */
__poll_t tlsrec_poll(struct file *file, struct socket *sock,
		     struct poll_table_struct *wait)
{
	struct sock *sk = sock->sk;
	__poll_t mask = tcp_poll(file, sock, wait);

	/* The end of the stream is always readable. */
	if (READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN)
		return mask;
	if (!tlsrec_sock_is_readable(sk))
		mask &= ~(EPOLLIN | EPOLLRDNORM);
	return mask;
}
