// SPDX-License-Identifier: GPL-2.0-only
/* See rxcall.h. */

#include <linux/sched/signal.h>

#include "rxcall.h"

/* States with nothing more to come from the peer. */
#define RX_ENDED	(TCPF_CLOSE_WAIT | TCPF_CLOSING | TCPF_LAST_ACK | \
			 TCPF_CLOSE)

/* Returned once the stream has ended: 0, or how it was cut short. */
static int rx_end(struct sock *sk, struct tlsrec_rx *rx)
{
	struct rxq q = { };

	/* Bytes of a record are missing: somebody cut the stream short. */
	if ((1 << sk->sk_state) & RX_ENDED &&
	    (rxhead_part_len(rx) || rxq_avail(sk, &q))) {
		rxhead_fail(sk, rx, -EBADMSG);
		return -EBADMSG;
	}
	return 0;
}

/* The sticky error, as often as a caller needs to see it. */
static int rx_sticky(const struct sock *sk, struct tlsrec_rx *rx, long timeo)
{
	/*
	 * Behind a bad header there is nothing to authenticate and so nothing
	 * more to find out: programs that poll are told once. Once the stream has
	 * ended poll says so for ever, and there is no better word for it.
	 */
	if (rx->err != -EBADMSG && rx->err_reported && !timeo &&
	    !(sk->sk_shutdown & RCV_SHUTDOWN))
		return -EAGAIN;
	rx->err_reported = true;
	if (rx->err != -EBADMSG)
		rxhead_set(rx, 0);
	return rx->err;
}

/* Sleep until there is something for a reader, or time is up, or a signal. */
static void rx_sleep(struct sock *sk, struct tlsrec_rx *rx, long *timeo)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);

	add_wait_queue(sk_sleep(sk), &wait);
	sk_set_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	sk_wait_event(sk, timeo, rxhead_come(sk, rx) ||
		      READ_ONCE(sk->sk_err) ||
		      READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN, &wait);
	sk_clear_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	remove_wait_queue(sk_sleep(sk), &wait);
}

/*
 * rxrec_next() gave no record: wait for what it needs. Returns 1 to try again,
 * 0 at the end of the stream, or a negative errno.
 */
int rxcall_wait(struct rx_call *call, int err, size_t copied,
		size_t target)
{
	struct tlsrec_rx *rx = call->rx;
	struct sock *sk = call->sk;
	struct rxq q = { };

	if (err == -ENOMEM) {
		/* Nothing else will come for what is left. */
		WRITE_ONCE(rx->turn.refused, true);
		return err;
	}
	if (err == -EKEYEXPIRED)
		return err;
	if (err)
		return copied ? err : rx_sticky(sk, rx, call->timeo);

	/* Cursor and knowledge end here: the queue may change. */
	rxq_commit(sk, &call->q);
	if (sk_flush_backlog(sk))
		return 1;
	rxhead_look(sk, rx, &q, rxrec_covered(sk));
	if (copied >= target)
		return -EAGAIN;
	if (rxhead_ready(sk, rx))
		return 1;

	if (sk->sk_err)
		return copied ? -sk->sk_err : sock_error(sk);
	if (sk->sk_shutdown & RCV_SHUTDOWN)
		return rx_end(sk, rx);
	if (sk->sk_state == TCP_CLOSE)
		return -ENOTCONN;
	if (!call->timeo)
		return -EAGAIN;
	if (signal_pending(current))
		return sock_intr_errno(call->timeo);
	rxrec_drop_part(rx);
	rx_sleep(sk, rx, &call->timeo);
	return 1;
}

int rxcall_start(struct rx_call *call, struct sock *sk, bool nonblock)
{
	call->sk = sk;
	call->rx = &tlsrec_ctx(sk)->rx;
	call->q = (struct rxq){ };
	call->empty = 0;
	call->timeo = sock_rcvtimeo(sk, nonblock);
	return tlsrec_turn_take(sk, &call->rx->turn, &call->timeo);
}

void rxcall_end(struct rx_call *call)
{
	struct tlsrec_rx *rx = call->rx;
	struct tlsrec_buf *buf;

	buf = list_first_entry_or_null(&rx->plain, struct tlsrec_buf, list);
	if (buf)
		rxrec_shrink(call->sk, rx, buf);
	/* Who was given plaintext that lay there has changed nothing else. */
	if (rx->err)
		rxq_commit(call->sk, &call->q);
	else if (!rxhead_known(rx))
		rxrec_settle(call->sk, rx, &call->q, rxrec_gfp(call->sk));
	rxrec_drop_part(rx);
	rxrec_charge(call->sk, rx);
	if (tlsrec_turn_give(call->sk, &rx->turn) &&
	    rxhead_readable(call->sk, rx))
		rxrec_wake(call->sk, rx);
}

/* So many, and a caller thinks of others. */
#define EMPTY_MAX	64

/*
 * What sleeping takes from the time that a call may wait, the records without
 * data do, too.
 */
static bool rx_time_is_up(struct rx_call *call)
{
	long left = call->until - jiffies;

	if (call->timeo != MAX_SCHEDULE_TIMEOUT)
		call->timeo = max(left, 0L);
	return !call->timeo;
}

/*
 * Give the lock away, as one who sleeps does. Who waits for it is woken by that,
 * and needs a moment to be there before it is taken again.
 */
static void rx_let_others(struct rx_call *call)
{
	struct sock *sk = call->sk;
	struct rxq q = { };
	bool wanted;

	rxq_commit(sk, &call->q);
	rxhead_look(sk, call->rx, &q, rxrec_covered(sk));
	/* No barrier: who comes later is seen the next time. */
	wanted = waitqueue_active(&sk->sk_lock.wq);
	release_sock(sk);
	if (wanted)
		schedule_timeout_interruptible(1);
	else
		cond_resched();
	lock_sock(sk);
}

/**
 * rxcall_empty() - a record brought nothing
 * @call: the lock may be dropped, if it may wait
 * @enough: the caller has what he would wait for
 *
 * A peer may send as many of these as it likes, and must not keep the caller
 * here with them, nor others away from the socket.
 *
 * Return: 0 to go on, or a negative errno.
 */
int rxcall_empty(struct rx_call *call, bool enough)
{
	if (!call->empty)
		call->until = jiffies + call->timeo;
	if (++call->empty % EMPTY_MAX) {
		cond_resched();
		return 0;
	}

	if (enough || rx_time_is_up(call)) {
		/* There may be more, and no event would say so. */
		WRITE_ONCE(call->rx->turn.refused, true);
		return -EAGAIN;
	}
	if (signal_pending(current))
		return sock_intr_errno(call->timeo);
	rx_let_others(call);
	return 0;
}
