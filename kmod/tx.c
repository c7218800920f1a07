// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transmit: the calls of a writer, and TCP's call for more.
 *
 * A record is open while more may come (MSG_MORE), then sealed (encrypted),
 * then pushed to TCP, some of them at once. What TCP does not take is kept and
 * goes first the next time: with the next call, or when TCP reports free space.
 */

#include <linux/sched/signal.h>

#include "proto.h"
#include "seal.h"
#include "tx.h"
#include "txout.h"

/* The connection lives: what was taken from the program goes out in time. */
static bool err_keeps(int err)
{
	return err == -EAGAIN || err == -EINTR || err == -ERESTARTSYS ||
	       err == -ENOMEM || err == -ENOBUFS || err == -EFAULT;
}

/*
 * An error that this call does not report is for the next one: TCP tells it
 * only once, and a reader would take the reset for the end of the stream.
 */
static void tx_keep_error(struct sock *sk, int err)
{
	if (err && !err_keeps(err) && err != -EPIPE && err != -EBADMSG)
		WRITE_ONCE(sk->sk_err, -err);
}

/* Nobody works on it now: the socket keeps the work area only if it must. */
static void tx_settle(struct tlsrec_tx *tx)
{
	tx->pending = tx->work->out_bytes;
	if (txwork_idle(tx->work)) {
		txwork_put(tx->work);
		tx->work = NULL;
	}
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

/*
 * TCP has no memory for more. It comes when TCP's queue drains, so nothing in
 * it may be held back, be it by cork or by Nagle's algorithm; TCP does the same
 * before it sleeps. Then sleep. What the work area holds is complete here: a
 * shutdown() meanwhile pushes it.
 */
static int call_wait(struct tx_call *call)
{
	struct sock *sk = call->sk;
	bool full = !sk_stream_memory_free(sk);

	tcp_sk(sk)->nonagle |= TCP_NAGLE_PUSH;
	call_uncork(call);
	set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
	/* Asked again, it would wait a while for memory of another kind. */
	if (full && sk_stream_memory_free(sk))
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

	if (!call->work->out_bytes)
		call->safe = call->sealed;
	return err;
}

/* Wait until TCP wants more, so that little has to be kept for it. */
static int call_wait_space(struct tx_call *call)
{
	struct sock *sk = call->sk;
	int err;

	while (1) {
		if (sk->sk_err || sk->sk_shutdown & SEND_SHUTDOWN)
			return -EPIPE;
		if (likely(sk_stream_memory_free(sk)))
			return 0;
		err = call_push(call, false);
		if (err)
			return err;
		if (sk_stream_memory_free(sk))
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
	int err;

	if (!call->work->rec.open)
		return 0;
	err = seal_record(call->sk, call->tx, call->work);
	if (err)
		return err;
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
		return err == -EFAULT ? 0 : err;
	}
	if (!txout_add(work, slice.page, slice.off, slice.len))
		put_page(slice.page);
	work->records++;
	return len;
}

static int call_write(struct tx_call *call, struct msghdr *msg, u8 type)
{
	const struct tlsrec_format *fmt = &call->tx->key.fmt;
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
			n = txrec_fill(call->sk, work, fmt, &msg->msg_iter,
				       splice, more);
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

	if (call->tx->err)
		return call->tx->err;

	if (txout_full(call->sk, call->work)) {
		err = call_push(call, true);
		if (err)
			return err;
	}
	if (rec->open && (type || rec->type != TLSREC_TYPE_DATA ||
			  txrec_full(rec)))
		return call_close_record(call, true);
	return 0;
}

/* Take the work area up, or lay it aside as the socket's. */
static int call_start(struct tx_call *call)
{
	int err;

	if (!call->tx->work) {
		err = tlsrec_key_wake(&call->tx->key);
		if (err)
			return err;
		call->tx->work = txwork_get(call->sk->sk_allocation);
	}
	call->work = call->tx->work;
	return call->work ? 0 : -ENOMEM;
}

static void call_end(struct tx_call *call)
{
	struct tx_record *rec = &call->work->rec;

	/* Opened, but nothing came: a fault or a signal. */
	if (rec->open && !rec->len)
		txrec_drop(call->work);
	if (rec->spliced)
		txrec_hold(call->work);
	/* Users inside the kernel put callbacks of their own over ours. */
	if (call->work->out_bytes &&
	    call->sk->sk_write_space != tlsrec_write_space)
		tlsrec_tx_force(call->sk, call->tx);
	tx_settle(call->tx);
}

/* After an error: what was taken goes out as far as it can at once. */
static void call_rescue(struct tx_call *call, int err)
{
	if (!err_keeps(err) && err != -EBADMSG)
		return;
	call->timeo = 0;
	if (!(call->flags & MSG_MORE) && call->copied > call->sealed &&
	    call->work->rec.open && !seal_record(call->sk, call->tx, call->work))
		call->sealed = call->copied;
	tx_keep_error(call->sk, call_push(call, false));
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
		call_rescue(&call, err);
	else if (!(call.flags & TLSREC_MSG_NOTLAST))
		err = call_push(&call, false);
	if (call.corked)
		call_uncork(&call);
	call_end(&call);
give:
	if (tlsrec_turn_give(sk, &call.tx->turn)) {
		set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
		sk->sk_write_space(sk);
	}

	if (!err)
		return call.copied;
	/* What is kept goes out later, unless the connection is dead. */
	if (call.copied && err_keeps(err))
		return call.copied;
	if (call.safe) {
		tx_keep_error(sk, err);
		return call.safe;
	}
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
	       !tx->err && !sk->sk_err &&
	       !(sk->sk_shutdown & SEND_SHUTDOWN) && sk_stream_memory_free(sk);
}

/* TCP has the first @sent bytes of the record, or an error; keep the rest. */
static void whole_keep(struct tlsrec_tx *tx, struct tlsrec_work *work,
		       struct tlsrec_slice *slice, int sent)
{
	if (sent > 0) {
		slice->off += sent;
		slice->len -= sent;
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
		if (ret == -EFAULT)
			return 0;
		return sk_stream_error(sk, msg->msg_flags, ret);
	}

	txout_uncork(sk, tx);
	bvec_set_page(&bvec, slice.page, slice.len, slice.off);
	ret = tlsrec_push_pages(sk, &bvec, 1, slice.len,
				MSG_DONTWAIT | MSG_NOSIGNAL);
	if (unlikely(ret < (int)slice.len)) {
		if (ret < 0)
			tx_keep_error(sk, ret);
		whole_keep(tx, work, &slice, ret);
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

	if (msg->msg_flags & ~TLSREC_TX_FLAGS)
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
 * Seal and push whatever is left, without waiting. A writer that sleeps in the
 * middle of its call goes on with its open record by himself.
 */
void tlsrec_tx_flush(struct sock *sk, struct tlsrec_tx *tx)
{
	struct tlsrec_work *work = tx->work;
	int err;

	if (!work || sk->sk_err)
		return;

	err = txout_push(sk, tx, 0);
	if (!err && !tx->turn.held && work->rec.open && !tx->err &&
	    !seal_record(sk, tx, work))
		err = txout_push(sk, tx, 0);
	tx_keep_error(sk, err);

	if (!tx->turn.held)
		tx_settle(tx);
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
	/*
	 * A writer in the middle of its call pushes by itself, and finds an
	 * error by itself. Without scatter-gather TCP would copy, through
	 * memory that belongs to the task that is running.
	 */
	if (tx->pending && !tx->turn.held && !sk->sk_err &&
	    sk->sk_route_caps & NETIF_F_SG) {
		gfp_t gfp = sk->sk_allocation;

		/* This may be softirq, where TCP must not sleep for memory. */
		sk->sk_allocation = GFP_ATOMIC;
		tx_keep_error(sk, txout_push(sk, tx, 0));
		sk->sk_allocation = gfp;
		tx_settle(tx);
	}

	tx->saved_write_space(sk);
}

/**
 * tlsrec_tx_open() - is there a record that has not been sealed?
 * @tx: transmit direction, its socket locked
 */
bool tlsrec_tx_open(const struct tlsrec_tx *tx)
{
	return tx->work && tx->work->rec.open;
}

/**
 * tlsrec_tx_force() - TCP has to take what it has not taken yet
 * @sk: locked
 * @tx: transmit direction
 *
 * For when nobody would do it later. At most a batch and, unless a writer is at
 * it, the open record go to TCP whether or not the send buffer has space.
 */
void tlsrec_tx_force(struct sock *sk, struct tlsrec_tx *tx)
{
	struct tcp_sock *tp = tcp_sk(sk);
	int sndbuf = sk->sk_sndbuf;
	u32 lowat = tp->notsent_lowat;

	WRITE_ONCE(sk->sk_sndbuf, INT_MAX);
	WRITE_ONCE(tp->notsent_lowat, UINT_MAX);
	tlsrec_tx_flush(sk, tx);
	WRITE_ONCE(sk->sk_sndbuf, sndbuf);
	WRITE_ONCE(tp->notsent_lowat, lowat);
}

/* The socket is closed. */
void tlsrec_tx_free(struct tlsrec_tx *tx)
{
	if (tx->work) {
		txout_drop(tx->work);
		if (tx->work->rec.open)
			txrec_drop(tx->work);
		txwork_put(tx->work);
		tx->work = NULL;
	}
	tlsrec_key_wipe(&tx->key);
}
