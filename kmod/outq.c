// SPDX-License-Identifier: GPL-2.0-only
/*
 * How much has not been sent? TCP is asked by SIOCOUTQ, SIOCOUTQNSD, TCP_INFO and,
 * for TCP_NOTSENT_LOWAT, by itself; it does not know of the records that it has
 * not been given. They count here as what they are on the wire.
 */

#include <linux/uaccess.h>

#include "compat.h"
#include "outq.h"
#include "txwork.h"

/*
 * What the module has for TCP. An open record counts, as what TCP_CORK holds back
 * does: calls have counted it, and the peer does not have it.
 */
static u32 outq_kept(const struct tlsrec_tx *tx)
{
	const struct tlsrec_work *work = tx->work;
	u32 bytes;

	if (!work)
		return 0;
	bytes = work->out_bytes;
	if (work->rec.len)
		bytes += tlsrec_overhead(&tx->key.fmt) + work->rec.len;
	return bytes;
}

/**
 * tlsrec_outq() - what ioctl(SIOCOUTQ) and ioctl(SIOCOUTQNSD) answer
 * @sk: not locked
 * @cmd: one of these
 *
 * TCP's part is counted here, too: nothing goes from one to the other meanwhile.
 * A socket of ours has left the states behind in which TCP refuses.
 *
 * Return: bytes of the stream that the peer has not acknowledged, or that were
 * not sent yet.
 */
int tlsrec_outq(struct sock *sk, int cmd)
{
	const struct tcp_sock *tp = tcp_sk(sk);
	u32 bytes;

	lock_sock(sk);
	bytes = tp->write_seq - (cmd == SIOCOUTQ ? tp->snd_una : tp->snd_nxt);
	bytes += outq_kept(&tlsrec_ctx(sk)->tx);
	release_sock(sk);
	return bytes;
}

/**
 * tlsrec_outq_info() - correct what getsockopt(TCP_INFO) has answered
 * @sk: not locked
 * @optval: a struct tcp_info that TCP has filled, or the beginning of one
 * @optlen: bytes of it
 *
 * Return: 0 or -EFAULT.
 */
int tlsrec_outq_info(struct sock *sk, char __user *optval, int __user *optlen)
{
	const int off = offsetof(struct tcp_info, tcpi_notsent_bytes);
	u32 bytes;
	int len;

	if (get_user(len, optlen))
		return -EFAULT;
	if (len <= off)
		return 0;
	len = min_t(int, len - off, sizeof(bytes));
	/* Below 0 once TCP has sent its FIN. */
	bytes = max(tlsrec_outq(sk, SIOCOUTQNSD), 0);
	return copy_to_user(optval + off, &bytes, len) ? -EFAULT : 0;
}

/**
 * tlsrec_stream_memory_free() - is there less unsent than TCP_NOTSENT_LOWAT?
 * @sk: perhaps not locked
 * @wake: asks for a program that polls, whose mark is half as high
 *
 * TCP itself, which is to take what is kept, must not wait for that to go. Nor
 * must a writer who sleeps with some of it: while somebody has the turn he alone
 * says what is kept. Programs do not wait for an open record, which waits for
 * them. Whatever TCP was given is acknowledged later than it has left @kept, so
 * an event follows for whoever was told no.
 */
bool tlsrec_stream_memory_free(const struct sock *sk, int wake)
{
	const struct tcp_sock *tp = tcp_sk(sk);
	const struct tlsrec_ctx *ctx;
	u64 bytes = 0;

	if (likely(!wake))
		return tcp_stream_memory_free(sk, 0);
	if (!tcp_stream_memory_free(sk, wake))
		return false;

	rcu_read_lock();
	ctx = rcu_dereference(inet_csk(sk)->icsk_ulp_data);
	/*
	 * Pairs with the release in tlsrec_turn_give(): not what was kept before a
	 * call that has ended, and that TCP has told all about while it slept.
	 */
	if (ctx && !smp_load_acquire(&ctx->tx.turn.held))
		bytes = READ_ONCE(ctx->tx.kept);
	rcu_read_unlock();
	if (likely(!bytes))
		return true;
	bytes += READ_ONCE(tp->write_seq) - READ_ONCE(tp->snd_nxt);
	return bytes << wake < tcp_notsent_lowat(tp);
}
