// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transmit: the calls of a writer, and TCP's call for more.
 *
 * A record is open while more may come (MSG_MORE), then sealed (encrypted),
 * then pushed to TCP, some of them at once. What TCP does not take is kept and
 * goes first the next time: with the next call, when TCP reports free space, or
 * when the engine tries again. So a call counts what is in records, whatever
 * ended it, as long as the connection lives.
 */

#include <linux/sched/signal.h>

#include "charge.h"
#include "proto.h"
#include "seal.h"
#include "tx.h"
#include "txout.h"

/* Has somebody put a callback of his own over ours? TCP's events may not come then. */
static bool tx_covered(const struct sock *sk)
{
	return READ_ONCE(sk->sk_write_space) != tlsrec_write_space;
}

/**
 * tlsrec_tx_look() - what the engine can do for a socket that waits
 * @ctx: its context; the socket is perhaps not locked
 */
enum tlsrec_engine_need tlsrec_tx_look(const struct tlsrec_ctx *ctx)
{
	unsigned long until = READ_ONCE(ctx->tx.until);

	/* One word says so: what it waits for may change between two. */
	if (!READ_ONCE(ctx->tx.waits))
		return TLSREC_ENGINE_NOTHING;
	if (until && time_after_eq(jiffies, until))
		return TLSREC_ENGINE_RUN;
	if (READ_ONCE(ctx->tx.kept) && tx_covered(ctx->sk))
		return TLSREC_ENGINE_RUN;
	return TLSREC_ENGINE_WAIT;
}

/*
 * Will TCP call for what is kept? Not when it has nothing in flight, not those
 * who have a callback of their own, and not for a record to be sealed when
 * nothing is before it.
 */
static bool tx_has_event(struct sock *sk, const struct tlsrec_work *work)
{
	return !tcp_rtx_and_write_queues_empty(sk) &&
	       (work->out_bytes || !work->rec.due) && !tx_covered(sk);
}

/* Is TCP as a whole short of memory? */
static inline bool tx_short(const struct sock *sk)
{
	return READ_ONCE(*sk->sk_prot->memory_pressure);
}

/* What a splice leaves waits so long for what it promised; TCP's corks do, too. */
static unsigned long tx_promise(void)
{
	return (jiffies + HZ / 5) | 1;
}

/* It waits for nothing more. */
static unsigned long tx_ended(void)
{
	return (jiffies - 1) | 1;
}

/*
 * Somebody else is to move it, or the engine after a while. A socket that waits
 * leaves the engine's lists only with its lock; one that is @fresh did not wait
 * before, and is perhaps just being taken off.
 */
static void tx_wait(struct sock *sk, bool fresh)
{
	struct tlsrec_ctx *ctx = tlsrec_ctx(sk);

	if (fresh || list_empty(&ctx->engine))
		tlsrec_engine_wait(ctx);
}

/* Something is kept: let TCP tell of every ACK, or try again. */
static void tx_watch(struct sock *sk, const struct tlsrec_work *work, bool fresh)
{
	set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
	if (tx_has_event(sk, work))
		tx_wait(sk, fresh);
	else
		tlsrec_engine_add(tlsrec_ctx(sk));
}

/**
 * tlsrec_tx_settle() - nobody works on it now
 * @sk: locked, by this task or by softirq
 * @tx: transmit direction, with a work area
 * @follows: what is kept waits for more that was promised
 *
 * The socket keeps the work area only if it must.
 */
void tlsrec_tx_settle(struct sock *sk, struct tlsrec_tx *tx, bool follows)
{
	struct tlsrec_work *work = tx->work;
	unsigned int stays = txwork_mem(work);
	unsigned int kept = work->out_bytes;
	unsigned long until = work->rec.until;
	bool fresh = !tx->waits;

	if (work->rec.due) {
		kept += work->rec.len;
		until = 0;
	}
	if (kept && follows)
		until = tx_promise();
	/* These pair with the READ_ONCE() of those who look without the lock. */
	WRITE_ONCE(tx->kept, kept);
	WRITE_ONCE(tx->until, until);
	WRITE_ONCE(tx->waits, kept || until);
	if (unlikely(kept && !follows)) {
		tx_watch(sk, work, fresh);
	} else if (until) {
		tx_wait(sk, fresh);
	} else if (!work->rec.open) {
		txwork_put(work);
		tx->work = NULL;
		stays = 0;
	}
	/*
	 * More than was charged for it before is at most a batch, which is let
	 * through if that fails; less it may be when no more follows at once.
	 */
	if (tx->charged < stays || (tx->charged > stays && !follows))
		tlsrec_charge_kept(sk, &tx->charged, stays);
}

/**
 * struct tx_call - one call of a writer
 * @sk: locked
 * @tx: transmit direction, the turn is taken
 * @work: work area
 * @flags: MSG_*
 * @timeo: jiffies it may still wait
 * @copied: bytes of the message that are in records
 * @sealed: bytes of the message that are in sealed records
 * @safe: bytes of the message that TCP has
 * @corked: TCP was told that more would follow
 * @has_space: TCP wanted more, and has not been given it yet
 */
struct tx_call {
	struct sock		*sk;
	struct tlsrec_tx	*tx;
	struct tlsrec_work	*work;
	int			flags;
	long			timeo;
	size_t			copied;
	size_t			sealed;
	size_t			safe;
	bool			corked;
	bool			has_space;
};

/*
 * More does not follow at once after all: TCP is not to hold back less than a
 * segment for it. The function for that takes the lock by itself; the turn
 * keeps our state as it is.
 */
static void call_uncork(struct tx_call *call)
{
	struct sock *sk = call->sk;

	txout_uncork(sk, call->tx);
	release_sock(sk);
	tlsrec_base_proto(sk)->splice_eof(sk->sk_socket);
	lock_sock(sk);
	call->corked = false;
}

/* A shutdown() while this call slept has sealed its record. */
static void call_look(struct tx_call *call)
{
	if (!call->work->rec.open && !call->tx->err)
		call->sealed = call->copied;
}

/*
 * TCP has no memory for more. It comes when TCP's queue drains, so nothing in
 * it may be held back, be it by cork or by Nagle's algorithm; TCP does the same
 * before it sleeps. Then sleep. What the work area holds is complete here: a
 * shutdown() meanwhile pushes it.
 */
static int call_wait(struct tx_call *call)
{
	struct sock *sk = call->sk;
	bool full = !txout_wanted(sk);

	tcp_sk(sk)->nonagle |= TCP_NAGLE_PUSH;
	call_uncork(call);
	set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
	/* Asked again, it would wait a while for memory of another kind. */
	if (full && txout_wanted(sk))
		return 0;
	return sk_stream_wait_memory(sk, &call->timeo);
}

/* Push what is sealed; @more comes with this very call. */
static int call_push(struct tx_call *call, bool more)
{
	int flags = call->flags | (more ? MSG_MORE : 0);
	int err;

	if (call->work->out_bytes)
		call->corked = more;
	call->has_space = false;
	do {
		err = txout_push(call->sk, call->tx, flags);
		if (err != -EAGAIN)
			break;
		err = call_wait(call);
	} while (!err);

	call_look(call);
	if (!call->work->out_bytes)
		call->safe = call->sealed;
	return err;
}

/* Charge what a record needs before there is one. Returns whether it could. */
static bool call_charge(struct tx_call *call)
{
	unsigned int most = txwork_mem_full(call->work);
	struct tlsrec_tx *tx = call->tx;

	return tx->charged >= most || tlsrec_charge(call->sk, &tx->charged, most);
}

/* Where memory is short TCP may refuse the next record: then it is charged. */
static inline bool call_may_keep(struct tx_call *call)
{
	return likely(!tx_short(call->sk)) || call_charge(call);
}

/* Wait until TCP wants more, so that little has to be kept for it. */
static int call_wait_space(struct tx_call *call)
{
	struct sock *sk = call->sk;
	int err;

	while (1) {
		if (sk->sk_err || sk->sk_shutdown & SEND_SHUTDOWN)
			return -EPIPE;
		if (likely(txout_wanted(sk)) &&
		    call_may_keep(call))
			return 0;
		err = call_push(call, false);
		if (err)
			return err;
		if (txout_wanted(sk) && call_may_keep(call))
			continue;
		err = call_wait(call);
		if (err)
			return err;
	}
}

/* Memory for a record is short: wait as TCP does for its own. */
static int call_wait_memory(struct tx_call *call)
{
	int err;

	err = call_push(call, false);
	if (err)
		return err;
	return call_wait(call);
}

/*
 * Fill the open record. If it will stay open with more memory than it has, that
 * is charged first: what is refused then has not been taken from the program.
 */
static int call_fill(struct tx_call *call, struct iov_iter *iter, bool splice,
		     bool more)
{
	const struct tx_record *rec = &call->work->rec;

	if (more && !rec->room.len && iter->count < rec->max - rec->len &&
	    !call_charge(call))
		return -ENOMEM;
	return txrec_fill(call->sk, call->work, &call->tx->key.fmt, iter,
			  splice, more);
}

/* All of the message that is in records is sealed: make room in the batch. */
static int call_sealed(struct tx_call *call, bool more)
{
	call->sealed = call->copied;
	if (!txout_full(call->sk, call->work))
		return 0;
	return call_push(call, more);
}

/* Seal the open record, if there is one, and make room in the batch. */
static int call_close_record(struct tx_call *call, bool more)
{
	struct tx_record *rec = &call->work->rec;
	int err;

	while (rec->open) {
		err = seal_record(call->sk, call->tx, call->work);
		if (err != -ENOMEM) {
			if (err)
				return err;
			break;
		}
		/* Complete it is in any case. */
		rec->due = true;
		err = call_wait_memory(call);
		if (err)
			return err;
	}
	return call_sealed(call, more);
}

/*
 * Make the next record of the message straight from the program's memory, when
 * nothing can be added to it any more and nothing is open. Returns its bytes of
 * payload, 0 when it has to be copied, or -EBADMSG.
 */
static int call_pin_record(struct tx_call *call, struct iov_iter *iter, u8 type,
			   bool more)
{
	unsigned int max = call->tx->max_payload;
	unsigned int len = min_t(size_t, iter->count, max);
	struct tlsrec_work *work = call->work;
	struct tlsrec_slice slice;
	int err;

	if ((more && len < max) || !seal_can_pin(call->tx, iter, len))
		return 0;
	if (seal_whole_get(call->sk, &call->tx->key.fmt, len, iter, &slice))
		return 0;
	err = seal_whole(call->sk, call->tx, work, iter, type, len, true,
			 &slice);
	if (err) {
		put_page(slice.page);
		return err == -EBADMSG ? err : 0;
	}
	if (!txout_add(work, slice.page, slice.off, slice.len))
		put_page(slice.page);
	work->records++;
	return len;
}

static int call_write(struct tx_call *call, struct msghdr *msg, u8 type)
{
	bool more = call->flags & (MSG_MORE | TLSREC_MSG_NOTLAST);
	/*
	 * CCM reads the payload twice, and somebody may write to the pages in
	 * between: the tag would not be that of the bytes sent.
	 */
	bool splice = call->flags & MSG_SPLICE_PAGES &&
		      iov_iter_is_bvec(&msg->msg_iter) &&
		      !call->tx->key.cipher->ccm_flags;
	struct tlsrec_work *work = call->work;
	int n, err;

	while (msg_data_left(msg)) {
		/* Not in the middle of a record: it would stay unsent. */
		if (!call->has_space && call->copied == call->sealed) {
			err = call_wait_space(call);
			if (err)
				return err;
			call->has_space = true;
		}

		if (!work->rec.open) {
			n = call_pin_record(call, &msg->msg_iter, type, more);
			if (n < 0)
				return n;
			if (n) {
				call->copied += n;
				err = call_sealed(call, msg_data_left(msg));
				if (err)
					return err;
				continue;
			}
			txrec_open(call->tx, &work->rec, type);
		}
		if (!txrec_full(&work->rec)) {
			n = call_fill(call, &msg->msg_iter, splice, more);
			if (n == -ENOMEM) {
				err = call_wait_memory(call);
				if (err)
					return err;
				continue;
			}
			if (n < 0)
				return n;
			call->copied += n;
		}

		if (txrec_full(&work->rec) || (!msg_data_left(msg) && !more)) {
			err = call_close_record(call, msg_data_left(msg));
			if (err)
				return err;
		}
	}

	return 0;
}

/* Content type of the message: 0 when it does not say. */
static int cmsg_record_type(struct msghdr *msg, u8 *type)
{
	struct cmsghdr *cmsg;
	int err = -EINVAL;

	for_each_cmsghdr(cmsg, msg) {
		if (!CMSG_OK(msg, cmsg))
			return -EINVAL;
		if (cmsg->cmsg_level != SOL_TLS)
			continue;
		if (cmsg->cmsg_type != TLS_SET_RECORD_TYPE ||
		    cmsg->cmsg_len < CMSG_LEN(sizeof(*type)) ||
		    msg->msg_flags & MSG_MORE)
			return -EINVAL;
		*type = *(u8 *)CMSG_DATA(cmsg);
		/* No content type, but TLS 1.3's padding. */
		if (!*type)
			return -EINVAL;
		err = 0;
	}

	return err;
}

/* What must go before the message: kept records, a record of another type. */
static int call_begin(struct tx_call *call, u8 type)
{
	struct tx_record *rec = &call->work->rec;
	int err;

	err = txout_refusal(call->sk);
	if (err)
		return err;
	/* It is for this call, which takes nothing then. */
	if (call->sk->sk_err)
		return -EPIPE;
	if (call->tx->err)
		return call->tx->err;

	if (txout_full(call->sk, call->work)) {
		err = call_push(call, true);
		if (err)
			return err;
	}
	if (rec->open && (type || rec->type != TLSREC_TYPE_DATA ||
			  rec->due || txrec_full(rec)))
		return call_close_record(call, true);
	return 0;
}

/* Take the work area up, when there is memory for one and for its cipher. */
static int call_start(struct tx_call *call)
{
	struct tlsrec_tx *tx = call->tx;
	int err;

	while (!tx->work) {
		if (!tlsrec_key_wake(&tx->key))
			tx->work = txwork_get(call->sk->sk_allocation);
		if (tx->work)
			break;
		err = call_wait(call);
		if (err)
			return err;
	}
	call->work = tx->work;
	return 0;
}

/*
 * An error has ended the call. What is in records is counted and goes out, so
 * the last of them is complete now, unless the program has announced more. A
 * splice announces it by itself, and after an error nobody says that it ended.
 */
static void call_rescue(struct tx_call *call)
{
	struct tx_record *rec = &call->work->rec;
	bool splice = call->flags & MSG_SPLICE_PAGES;
	int err;

	call->timeo = 0;
	call_look(call);
	if (rec->open && rec->len && !txout_refusal(call->sk)) {
		if (splice)
			rec->due = true;
		if (call->copied > call->sealed &&
		    (splice || !(call->flags & MSG_MORE))) {
			err = seal_record(call->sk, call->tx, call->work);
			if (!err)
				call->sealed = call->copied;
			rec->due = err == -ENOMEM;
		}
	}
	/* Its record was lost. */
	if (call->tx->err)
		call->copied = call->sealed;
	call_push(call, false);
}

/* The connection is dead: nothing that TCP has not taken goes anywhere. */
static void tx_bury(struct tlsrec_work *work)
{
	txout_drop(work);
	if (work->rec.open)
		txrec_drop(work);
}

/* Lay the work area aside as the socket's. @err has ended the call. */
static void call_end(struct tx_call *call, int err)
{
	bool follows = !err && call->flags & TLSREC_MSG_NOTLAST;
	struct tx_record *rec = &call->work->rec;

	if (unlikely(err) && txout_refusal(call->sk) == -EPIPE) {
		tx_bury(call->work);
		call->copied = call->safe;
	}
	/* Opened, but nothing came: a fault or a signal. */
	if (rec->open && !rec->len)
		txrec_drop(call->work);
	if (rec->spliced)
		txrec_hold(call->work);
	rec->counted = rec->open;
	if (rec->ended)
		rec->until = tx_ended();
	else if (call->copied)
		rec->until = rec->open && call->flags & MSG_SPLICE_PAGES ?
			     tx_promise() : 0;
	/* Users inside the kernel put callbacks of their own over ours. */
	if (call->work->out_bytes && tx_covered(call->sk))
		txout_force(call->sk, call->tx);
	tlsrec_tx_settle(call->sk, call->tx, follows);
}

/**
 * tlsrec_tx_send() - a message, and what is kept of earlier ones
 * @sk: locked; the lock is dropped while waiting
 * @msg: what is left of the message
 * @sealed: bytes of it that are in records already
 *
 * Return: bytes taken, with @sealed, or a negative errno.
 */
int tlsrec_tx_send(struct sock *sk, struct msghdr *msg, size_t sealed)
{
	struct tx_call call = {
		.sk = sk,
		.tx = &tlsrec_ctx(sk)->tx,
		.flags = msg->msg_flags,
		.timeo = sock_sndtimeo(sk, msg->msg_flags & MSG_DONTWAIT),
		.copied = sealed,
		.sealed = sealed,
	};
	u8 type = 0;
	int err;

	if ((msg->msg_flags & (MSG_MORE | MSG_EOR)) == (MSG_MORE | MSG_EOR))
		return -EINVAL;
	if (unlikely(msg->msg_controllen)) {
		err = cmsg_record_type(msg, &type);
		if (err)
			return err;
	}

	err = tlsrec_turn_take(sk, &call.tx->turn, &call.timeo);
	if (err)
		return err;
	err = call_start(&call);
	if (err)
		goto give;

	err = call_begin(&call, type);
	if (!err)
		err = call_write(&call, msg, type ? type : TLSREC_TYPE_DATA);
	if (err)
		call_rescue(&call);
	else if (!(call.flags & TLSREC_MSG_NOTLAST))
		err = call_push(&call, false);
	if (call.corked)
		call_uncork(&call);
	call_end(&call, err);
give:
	if (tlsrec_turn_give(sk, &call.tx->turn)) {
		set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
		sk->sk_write_space(sk);
	}

	if (!err)
		return call.copied;
	/* It was memory that was short: TCP will not say when there is some. */
	if (err == -EAGAIN && tcp_rtx_and_write_queues_empty(sk))
		tlsrec_engine_add(tlsrec_ctx(sk));
	/* The error stays where it is, for the next call. */
	if (call.copied)
		return call.copied;
	return sk_stream_error(sk, msg->msg_flags, err);
}

/* A message that becomes one record, and nothing is in its way? */
static bool is_whole(const struct sock *sk, const struct tlsrec_tx *tx,
		     const struct msghdr *msg)
{
	size_t len = iov_iter_count(&msg->msg_iter);

	return len && len <= tx->max_payload &&
	       !(msg->msg_flags & (MSG_MORE | MSG_EOR | MSG_SPLICE_PAGES)) &&
	       !msg->msg_controllen && !tx->work && !tx->turn.held &&
	       !tx->err && !sk->sk_err && !txout_refusal(sk) &&
	       txout_wanted(sk) && !tx_short(sk);
}

/*
 * TCP has the first @ret bytes of the record, or says @ret; keep the rest. What
 * TCP has said is not lost.
 */
static void whole_keep(struct sock *sk, struct tlsrec_tx *tx,
		       struct tlsrec_work *work, struct tlsrec_slice *slice,
		       int ret)
{
	if (ret > 0) {
		slice->off += ret;
		slice->len -= ret;
	} else if (ret != -EAGAIN && ret != -EPIPE) {
		cmpxchg(&sk->sk_err, 0, -ret);
	}
	txout_add(work, slice->page, slice->off, slice->len);
	work->records = 1;
	tx->work = work;
}

/**
 * tx_send_whole() - send a message as one record, the short way
 * @sk: locked
 * @tx: transmit direction
 * @msg: is_whole()
 * @pin: seal_can_pin()
 *
 * The lock is held all the time, and the message is sealed all at once: there is
 * neither a turn to take nor an open record. Whatever is out of the ordinary is
 * left to tlsrec_tx_send().
 *
 * Return: as tlsrec_tx_send(), or 0 with nothing done.
 */
static __always_inline int
tx_send_whole(struct sock *sk, struct tlsrec_tx *tx, struct msghdr *msg,
	      bool pin)
{
	unsigned int len = msg_data_left(msg);
	struct tlsrec_slice slice;
	struct tlsrec_work *work;
	struct bio_vec bvec;
	int ret;

	if (tlsrec_key_wake(&tx->key))
		return 0;
	work = txwork_get(sk->sk_allocation);
	if (!work)
		return 0;
	ret = seal_whole_get(sk, &tx->key.fmt, len, pin ? &msg->msg_iter : NULL,
			     &slice);
	if (ret) {
		txwork_put(work);
		return 0;
	}
	ret = seal_whole(sk, tx, work, &msg->msg_iter, TLSREC_TYPE_DATA, len,
			 pin, &slice);
	if (unlikely(ret)) {
		put_page(slice.page);
		txwork_put(work);
		return ret == -EBADMSG ? ret : 0;
	}

	txout_uncork(sk, tx);
	bvec_set_page(&bvec, slice.page, slice.len, slice.off);
	ret = tlsrec_push_pages(sk, &bvec, 1, slice.len,
				MSG_DONTWAIT | MSG_NOSIGNAL);
	if (unlikely(ret < (int)slice.len)) {
		whole_keep(sk, tx, work, &slice, ret);
		return tlsrec_tx_send(sk, msg, len);
	}
	put_page(slice.page);
	txwork_put(work);
	return len;
}

/* Apart, so that small records are not slowed down by what they do not need. */
static noinline int tx_send_pinned(struct sock *sk, struct tlsrec_tx *tx,
				   struct msghdr *msg)
{
	return tx_send_whole(sk, tx, msg, true);
}

/**
 * tlsrec_sendmsg() - sendmsg() of a socket with a transmit key
 * @sk: not locked
 * @msg: the message; MSG_SPLICE_PAGES with a bvec iterator references pages
 * @size: its size in bytes
 *
 * Return: bytes taken, or a negative errno as in the design's table.
 */
int tlsrec_sendmsg(struct sock *sk, struct msghdr *msg, size_t size)
{
	struct tlsrec_tx *tx;
	int ret = 0;

	if (msg->msg_flags & TLSREC_TX_REFUSED)
		return -EOPNOTSUPP;
	/* Only sendpage() may promise that more comes at once. */
	msg->msg_flags &= ~TLSREC_MSG_NOTLAST;

	lock_sock(sk);
	tx = &tlsrec_ctx(sk)->tx;
	if (is_whole(sk, tx, msg)) {
		if (seal_can_pin(tx, &msg->msg_iter, msg_data_left(msg)))
			ret = tx_send_pinned(sk, tx, msg);
		else
			ret = tx_send_whole(sk, tx, msg, false);
	}
	if (!ret)
		ret = tlsrec_tx_send(sk, msg, 0);
	release_sock(sk);
	return ret;
}

/*
 * Push what is kept, and seal the open record if nothing is added to it, or is
 * from now on since it is @complete. Returns whether nothing is left.
 */
static bool tx_drain(struct sock *sk, struct tlsrec_tx *tx, bool complete,
		     void (*push)(struct sock *sk, struct tlsrec_tx *tx))
{
	struct tlsrec_work *work = tx->work;
	struct tx_record *rec = &work->rec;
	int err;

	if (complete && rec->open && rec->len)
		rec->due = true;
	push(sk, tx);
	/* A full batch has no room. */
	if (work->out_bytes)
		return false;
	if (!rec->due)
		return true;
	err = seal_record(sk, tx, work);
	rec->due = err == -ENOMEM;
	if (err)
		return false;
	push(sk, tx);
	return !work->out_bytes;
}

static void push_some(struct sock *sk, struct tlsrec_tx *tx)
{
	txout_push(sk, tx, 0);
}

/**
 * tlsrec_tx_flush() - seal and push whatever is left, without waiting
 * @sk: locked
 * @tx: transmit direction
 *
 * A writer that sleeps in the middle of its call goes on by himself. If he leaves
 * the record open, it waits for nothing more then; in the middle of his call it
 * is not cut off.
 */
void tlsrec_tx_flush(struct sock *sk, struct tlsrec_tx *tx)
{
	if (!tx->work)
		return;
	if (tx->turn.held) {
		tx->work->rec.ended |= tx->work->rec.len > 0;
		return;
	}
	tx_drain(sk, tx, true, push_some);
	tlsrec_tx_settle(sk, tx, false);
}

/**
 * tlsrec_tx_retry() - memory was short, perhaps it is not any more; or a splice
 * promised more, and perhaps has had its time
 * @sk: locked, by a task
 */
void tlsrec_tx_retry(struct sock *sk)
{
	struct tlsrec_tx *tx = &tlsrec_ctx(sk)->tx;
	bool late;

	/* A writer in the middle of its call tries by itself. */
	if (tx->work && !tx->turn.held) {
		late = tx->work->rec.until &&
		       time_after_eq(jiffies, tx->work->rec.until);
		if (txout_refusal(sk) == -EPIPE)
			tx_bury(tx->work);
		else
			tx_drain(sk, tx, late, push_some);
		tlsrec_tx_settle(sk, tx, false);
	}
	if (test_bit(SOCK_NOSPACE, &sk->sk_socket->flags))
		sk->sk_write_space(sk);
}

/**
 * tlsrec_splice_eof() - a splice said more would come, and none did
 * @sock: the socket
 */
void tlsrec_splice_eof(struct socket *sock)
{
	struct sock *sk = sock->sk;

	lock_sock(sk);
	tlsrec_tx_flush(sk, &tlsrec_ctx(sk)->tx);
	txout_uncork(sk, &tlsrec_ctx(sk)->tx);
	release_sock(sk);
	tlsrec_base_proto(sk)->splice_eof(sock);
}

/*
 * This may be softirq, where TCP must not sleep for memory; and without
 * scatter-gather it copies, through a page that had better not be that of the
 * task that is running.
 */
static void tx_push_atomic(struct sock *sk, struct tlsrec_tx *tx)
{
	bool task_frag = sk->sk_use_task_frag;
	gfp_t gfp = sk->sk_allocation;

	sk->sk_allocation = GFP_ATOMIC;
	sk->sk_use_task_frag = false;
	txout_push(sk, tx, 0);
	sk->sk_use_task_frag = task_frag;
	sk->sk_allocation = gfp;
	tlsrec_tx_settle(sk, tx, false);
}

/**
 * tlsrec_write_space() - TCP has space again: first for kept records
 * @sk: locked, by this task or by softirq
 */
void tlsrec_write_space(struct sock *sk)
{
	struct tlsrec_ctx *ctx = tlsrec_ctx(sk);
	struct tlsrec_tx *tx;

	/* Somebody who put his callback over ours may call it late. */
	if (unlikely(!ctx))
		return;

	tx = &ctx->tx;
	/* A writer in the middle of its call pushes by itself. */
	if (tx->kept && !tx->turn.held)
		tx_push_atomic(sk, tx);

	tx->saved_write_space(sk);
	/* TCP takes the bit away when it has space, but there is more to come. */
	if (tx->kept)
		set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
}

/**
 * tlsrec_tx_open() - is there a record that has not been sealed?
 * @tx: transmit direction, its socket locked
 */
bool tlsrec_tx_open(const struct tlsrec_tx *tx)
{
	return tx->work && tx->work->rec.open;
}

/* What has no memory is tried again, as close() must not wait for it. */
#define FINISH_TRIES	4

/**
 * tlsrec_tx_finish() - TCP has to take what it has not taken yet
 * @sk: locked
 * @tx: transmit direction
 *
 * The stream ends: at most a batch and the open record go to TCP whether or not
 * the send buffer has space. A writer who sleeps adds nothing any more.
 *
 * Return: whether TCP has all that calls have counted. If not, the peer must not
 * see a clean end.
 */
bool tlsrec_tx_finish(struct sock *sk, struct tlsrec_tx *tx)
{
	int tries = FINISH_TRIES;
	bool done;

	/* It has ended, one way or the other. */
	if (txout_refusal(sk) == -EPIPE)
		return true;
	if (!tx->work)
		return !tx->lost;
	while (!tx_drain(sk, tx, true, txout_force) && !tx->err && --tries)
		;
	done = txwork_idle(tx->work) && !tx->lost;
	if (!tx->turn.held)
		tlsrec_tx_settle(sk, tx, false);
	return done;
}

/* The socket is closed. */
void tlsrec_tx_free(struct tlsrec_tx *tx)
{
	if (tx->work) {
		tx_bury(tx->work);
		txwork_put(tx->work);
		tx->work = NULL;
	}
	tlsrec_key_wipe(&tx->key);
}
