// SPDX-License-Identifier: GPL-2.0-only
/*
 * Receive.
 *
 *	TCP queue --copy--> buffer --decrypt in place--> rx->plain --> program
 *
 * Five bytes at the head of TCP's queue say how long the record is; when all
 * of it is there, the reader copies it into a buffer, decrypts it there and
 * hands it out. A record that was decrypted and is not read at once is on
 * rx->plain until it is, whatever keeps it: a short read, a peek, or its type.
 *
 * A record that does not fit into the receive window would never be complete
 * in the queue: the reader then takes it out piecemeal, into rx->part.
 */

#include <linux/errqueue.h>
#include <linux/pipe_fs_i.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/splice.h>

#include "buf.h"
#include "rx.h"
#include "rxq.h"
#include "stats.h"
#include "trace.h"

/* ---- what is known of the head record ---- */

/*
 * rx->head is one word so that poll can read it without the lock: zero when
 * nothing is known, else flags and, with HEAD_END, the sequence number of the
 * first byte behind the record in the low half.
 */
#define HEAD_END	BIT_ULL(32)
/* A reader has something to do or to be told, record or not. */
#define HEAD_WAKE	BIT_ULL(33)

static void rx_head_set(struct tlsrec_rx *rx, u64 head)
{
	/* Pairs with the READ_ONCE() in rx_head_ready(). */
	WRITE_ONCE(rx->head, head);
}

/* Is the head record complete? Called with and without the lock. */
static bool rx_head_ready(const struct sock *sk, const struct tlsrec_rx *rx)
{
	u64 head = READ_ONCE(rx->head);

	if (head & HEAD_WAKE)
		return true;
	/* rcv_nxt counts a FIN as one byte. */
	return head & HEAD_END &&
	       !before(READ_ONCE(tcp_sk(sk)->rcv_nxt) -
		       sock_flag(sk, SOCK_DONE), (u32)head);
}

/* Is there something for a reader? Called with and without the lock. */
static bool rx_readable(const struct sock *sk, const struct tlsrec_rx *rx)
{
	return READ_ONCE(rx->plain_ready) || rx_head_ready(sk, rx);
}

/*
 * Nothing of the queue was taken since somebody looked at it. TCP's callback
 * looks by itself.
 */
static bool rx_head_known(const struct tlsrec_rx *rx)
{
	return (rx->head & (HEAD_END | HEAD_WAKE)) == HEAD_END;
}

static void rx_fail(struct sock *sk, struct tlsrec_rx *rx, int err)
{
	rx->err = err;
	rx_head_set(rx, HEAD_WAKE);
	trace_tlsrec_fail(sk, false, rx->key.seq, err);
}

/* Bytes of the head record that are in rx->part already. */
static u32 rx_part_len(const struct tlsrec_rx *rx)
{
	return rx->part ? rx->part->len : 0;
}

/* rx_head_size() where the header is not in one piece. */
static noinline int rx_head_size_split(struct sock *sk, struct tlsrec_rx *rx,
				       const struct rxq *q)
{
	u32 have = min_t(u32, rx_part_len(rx), TLSREC_HEADER_SIZE);
	u8 header[TLSREC_HEADER_SIZE];
	int err;

	if (have + rxq_avail(sk, q) < TLSREC_HEADER_SIZE)
		return 0;
	if (have)
		memcpy(header, tlsrec_buf_data(rx->part), have);
	err = rxq_peek(sk, q, header + have, TLSREC_HEADER_SIZE - have);
	return err ? err : tlsrec_parse_header(&rx->key.fmt, header);
}

/**
 * rx_head_size() - look at the head record
 * @sk: locked
 * @rx: receive direction
 * @q: cursor
 *
 * Return: size of the whole record in bytes, 0 while its header is not there,
 * -EKEYEXPIRED, or a sticky negative errno.
 */
static int rx_head_size(struct sock *sk, struct tlsrec_rx *rx, struct rxq *q)
{
	const u8 *header = NULL;
	int size;

	if (unlikely(rx->err))
		return rx->err;
	if (unlikely(rx->expired))
		return -EKEYEXPIRED;

	if (!rx_part_len(rx))
		header = rxq_flat(sk, q, TLSREC_HEADER_SIZE);
	size = header ? tlsrec_parse_header(&rx->key.fmt, header) :
			rx_head_size_split(sk, rx, q);
	if (unlikely(size < 0))
		rx_fail(sk, rx, size);
	return size;
}

/*
 * Will the window never open far enough for the rest of the record? While its
 * key is missing that is as it should be.
 */
static bool rx_window_stuck(const struct sock *sk, const struct tlsrec_rx *rx,
			    const struct rxq *q)
{
	return !rx->expired && rxq_avail(sk, q) &&
	       tcp_epollin_ready(sk, INT_MAX);
}

/* Find out what is known of the head record, for poll and wake-ups. */
static void rx_look(struct sock *sk, struct tlsrec_rx *rx, struct rxq *q)
{
	u64 head = 0;
	int size;

	/*
	 * Always anew: with SO_OOBINLINE off TCP takes urgent bytes out of the
	 * stream by itself, and what was the header then is none.
	 */
	size = rx_head_size(sk, rx, q);
	if (size < 0)
		return;
	/* Who has put his callback over ours may not call us when it comes. */
	if (!size && READ_ONCE(sk->sk_data_ready) != tlsrec_data_ready)
		size = TLSREC_HEADER_SIZE;
	if (size)
		head = HEAD_END | (u32)(tcp_sk(sk)->copied_seq + q->taken +
					size - rx_part_len(rx));
	rx_head_set(rx, head);
}

/* ---- one record: from the queue to plaintext ---- */

/*
 * For a reader, which is a task. Users inside the kernel may say GFP_ATOMIC for
 * TCP's small needs; a record's buffer would often fail with that.
 */
static gfp_t rx_gfp(const struct sock *sk)
{
	return gfpflags_allow_blocking(sk->sk_allocation) ? sk->sk_allocation :
							    GFP_NOIO;
}

/* Take @n more bytes of the head record out of the queue. */
static inline int rx_pull(struct sock *sk, struct tlsrec_rx *rx, struct rxq *q,
			  u32 n, gfp_t gfp)
{
	struct tlsrec_buf *buf = rx->part;
	int err;

	if (!buf) {
		buf = tlsrec_buf_get(gfp);
		if (!buf)
			return -ENOMEM;
		rx->part = buf;
	}
	if (!buf->len)
		buf->off = TLSREC_BUF_PAYLOAD - tlsrec_head_size(&rx->key.fmt);

	err = rxq_copy(sk, q, tlsrec_buf_data(buf) + buf->len, n);
	if (err) {
		rx_fail(sk, rx, err);
		return err;
	}
	buf->len += n;
	return 0;
}

/*
 * Take out what is there of a record that is larger than the window, so that
 * the window moves on.
 */
static int rx_unstick(struct sock *sk, struct tlsrec_rx *rx, struct rxq *q,
		      gfp_t gfp)
{
	int size = rx_head_size(sk, rx, q);
	int err;

	if (size < 0)
		return size;
	if (!size)
		size = TLSREC_HEADER_SIZE;
	err = rx_pull(sk, rx, q, min(size - rx_part_len(rx), rxq_avail(sk, q)),
		      gfp);
	rxq_commit(sk, q);
	return err;
}

/*
 * Nobody reads now: leave things so that poll knows what there is, and so that
 * the rest of the head record can come. The cursor ends here.
 */
static void rx_settle(struct sock *sk, struct tlsrec_rx *rx, struct rxq *q,
		      gfp_t gfp)
{
	rx_look(sk, rx, q);
	rxq_commit(sk, q);
	if (rx_head_ready(sk, rx) || !rx_window_stuck(sk, rx, q))
		return;
	/* Without memory for it a reader has to do it. */
	if (rx_unstick(sk, rx, q, gfp))
		rx_head_set(rx, rx->head | HEAD_WAKE);
}

/**
 * tlsrec_data_ready() - TCP has more: wake readers if it is enough
 * @sk: locked, by this task or by softirq
 */
void tlsrec_data_ready(struct sock *sk)
{
	struct tlsrec_ctx *ctx = tlsrec_ctx(sk);
	struct tlsrec_rx *rx;
	struct rxq q = { };

	/* Somebody who put his callback over ours may call it late. */
	if (unlikely(!ctx))
		return;

	rx = &ctx->rx;
	if (rx->turn.held) {
		rx_look(sk, rx, &q);
		/* The reader takes more at a time than we could here. */
		if (!rx_head_ready(sk, rx) && rx_window_stuck(sk, rx, &q))
			rx_head_set(rx, rx->head | HEAD_WAKE);
	} else {
		rx_settle(sk, rx, &q, GFP_ATOMIC);
	}
	if (rx_head_ready(sk, rx) || sk->sk_shutdown & RCV_SHUTDOWN)
		rx->saved_data_ready(sk);
}

/* Tell whoever waits: a user inside the kernel if one is on top of us. */
static void rx_wake(struct sock *sk, const struct tlsrec_rx *rx)
{
	void (*data_ready)(struct sock *sk) = READ_ONCE(sk->sk_data_ready);

	if (data_ready == tlsrec_data_ready)
		data_ready = rx->saved_data_ready;
	data_ready(sk);
}

/* Nonce and additional data of a TLS 1.2 record with @sealed bytes in it. */
static noinline void rx_prepare_tls12(const struct tlsrec_key *key, u8 *record,
				      u32 sealed, u8 *nonce)
{
	const struct tlsrec_format *fmt = &key->fmt;
	u8 *payload = record + tlsrec_head_size(fmt);
	u8 header[TLSREC_HEADER_SIZE];
	u8 iv[TLSREC_NONCE_SIZE];

	memcpy(iv, key->iv, sizeof(iv));
	if (fmt->explicit_nonce)
		memcpy(iv + TLSREC_NONCE_SIZE - TLSREC_MAX_EXPLICIT,
		       record + TLSREC_HEADER_SIZE, TLSREC_MAX_EXPLICIT);
	tlsrec_nonce(fmt, nonce, iv, key->seq);

	/* Over the head. */
	memcpy(header, record, sizeof(header));
	tlsrec_put_aad(fmt, payload - fmt->aad, header, key->seq, sealed);
}

/*
 * Decrypt the record in @buf in place. Returns bytes of padding, or a negative
 * errno.
 */
static int rx_decrypt(struct tlsrec_rx *rx, struct tlsrec_buf *buf)
{
	const struct tlsrec_format *fmt = &rx->key.fmt;
	u8 *record = tlsrec_buf_data(buf);
	u32 head = tlsrec_head_size(fmt);
	u32 sealed = buf->len - head - TLSREC_TAG_SIZE;
	u8 *nonce = tlsrec_crypt_nonce(&buf->crypt);
	int len = sealed;
	int err;

	/*
	 * The additional data goes right in front of the payload, where the
	 * head is, so that all of it is one entry; under TLS 1.3 it is there.
	 */
	buf->type = record[0];
	if (fmt->inner_type) {
		/* Always application data outside (RFC 8446 5.2). */
		if (buf->type != TLSREC_TYPE_DATA)
			return -EBADMSG;
		tlsrec_nonce(fmt, nonce, rx->key.iv, rx->key.seq);
	} else {
		rx_prepare_tls12(&rx->key, record, sealed, nonce);
	}

	buf->off += head;
	buf->sg.offset = buf->off - fmt->aad;
	buf->sg.length = fmt->aad + sealed + TLSREC_TAG_SIZE;
	err = tlsrec_crypt(&rx->key, &buf->crypt, false, &buf->sg, &buf->sg,
			   sealed + TLSREC_TAG_SIZE);
	if (err)
		return err;

	if (fmt->inner_type)
		len = tlsrec_inner_content(tlsrec_buf_data(buf), sealed,
					   &buf->type);
	if (len < 0)
		return len;
	buf->len = len;
	return sealed - len - fmt->inner_type;
}

/* The record in rx->part is complete: decrypt it. It is nowhere then. */
static struct tlsrec_buf *rx_open_record(struct sock *sk, struct tlsrec_rx *rx)
{
	struct tlsrec_buf *buf = rx->part;
	int padding;

	rx->part = NULL;
	rx_head_set(rx, 0);

	padding = rx->key.exhausted ? -EBADMSG : rx_decrypt(rx, buf);
	if (padding < 0) {
		tlsrec_stat_add(sk, TLSREC_DECRYPT_ERROR, 1);
		tlsrec_buf_put(buf);
		rx_fail(sk, rx, -EBADMSG);
		return ERR_PTR(-EBADMSG);
	}
	if (padding && rx->no_pad)
		tlsrec_stat_add(sk, TLSREC_RX_NO_PAD_VIOL, 1);

	tlsrec_stat_record(sk, TLSREC_RX_RECORDS, buf->len);
	trace_tlsrec_record_rx(sk, rx->key.seq, buf->type, buf->len);
	tlsrec_key_advance(&rx->key);

	if (unlikely(buf->type == TLSREC_TYPE_HANDSHAKE) &&
	    rx->key.version == TLS_1_3_VERSION &&
	    tlsrec_find_key_update(&rx->handshake, tlsrec_buf_data(buf),
				   buf->len)) {
		rx->expired = true;
		tlsrec_stat_add(sk, TLSREC_RX_REKEY_RECEIVED, 1);
	}

	return buf;
}

/* Not all of the newest record is read yet. */
static void rx_plain_add(struct tlsrec_rx *rx, struct tlsrec_buf *buf)
{
	if (!list_empty(&buf->list))
		return;
	list_add_tail(&buf->list, &rx->plain);
	rx->plain_mem += tlsrec_buf_mem(buf);
}

/* Forget a record that has been read. */
static void rx_plain_del(struct tlsrec_rx *rx, struct tlsrec_buf *buf)
{
	if (list_empty(&buf->list)) {
		/* Nobody else has seen the buffer: the next record's. */
		buf->len = 0;
		rx->part = buf;
		return;
	}
	rx->plain_mem -= tlsrec_buf_mem(buf);
	list_del_init(&buf->list);
	tlsrec_buf_put(buf);
}

/* The next record may be long in coming. */
static void rx_part_drop(struct tlsrec_rx *rx)
{
	if (rx->part && !rx->part->len) {
		tlsrec_buf_put(rx->part);
		rx->part = NULL;
	}
}

/* A record stays on rx->plain: in no more memory than it needs. */
static struct tlsrec_buf *rx_plain_keep(struct sock *sk, struct tlsrec_rx *rx,
					struct tlsrec_buf *buf)
{
	rx->plain_mem -= tlsrec_buf_mem(buf);
	buf = tlsrec_buf_shrink(buf, sk->sk_allocation);
	rx->plain_mem += tlsrec_buf_mem(buf);
	return buf;
}

/**
 * rx_try_next() - decrypt the head record if all of it is there
 * @sk: locked
 * @rx: receive direction
 * @q: cursor
 *
 * Return: the record, for rx_plain_add() or rx_plain_del() before the lock is
 * dropped; %NULL when it is not there yet; -ENOMEM, -EKEYEXPIRED, or a sticky
 * errno.
 */
static struct tlsrec_buf *rx_try_next(struct sock *sk, struct tlsrec_rx *rx,
				      struct rxq *q)
{
	int size = rx_head_size(sk, rx, q);
	u32 missing;
	int err;

	if (unlikely(size < 0))
		return ERR_PTR(size);

	missing = size - rx_part_len(rx);
	if (!size || rxq_avail(sk, q) < missing) {
		/* What was taken already may be what the window waits for. */
		rxq_commit(sk, q);
		if (!rx_window_stuck(sk, rx, q))
			return NULL;
		return ERR_PTR(rx_unstick(sk, rx, q, rx_gfp(sk)));
	}

	err = tlsrec_key_wake(&rx->key);
	if (!err)
		err = rx_pull(sk, rx, q, missing, rx_gfp(sk));
	if (unlikely(err))
		return ERR_PTR(err);
	return rx_open_record(sk, rx);
}

/* Returned once the stream has ended: 0, or how it was cut short. */
static int rx_end(struct sock *sk, struct tlsrec_rx *rx)
{
	struct rxq q = { };

	/* Bytes of a record are missing: somebody cut the stream short. */
	if (sock_flag(sk, SOCK_DONE) &&
	    (rx_part_len(rx) || rxq_avail(sk, &q))) {
		rx_fail(sk, rx, -EBADMSG);
		return -EBADMSG;
	}
	return 0;
}

/* The sticky error, as often as a caller needs to see it. */
static int rx_sticky(struct tlsrec_rx *rx, long timeo)
{
	/*
	 * Behind a bad header there is nothing to authenticate and so nothing
	 * more to find out: programs that poll are told once.
	 */
	if (rx->err != -EBADMSG && rx->err_reported && !timeo)
		return -EAGAIN;
	rx->err_reported = true;
	if (rx->err != -EBADMSG)
		rx_head_set(rx, 0);
	return rx->err;
}

/* Sleep until there is something for a reader, or time is up, or a signal. */
static void rx_sleep(struct sock *sk, struct tlsrec_rx *rx, long *timeo)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	int lowat = sk->sk_rcvlowat;

	/*
	 * TCP reports data once SO_RCVLOWAT bytes are in its queue, but some
	 * of the bytes that count have left the queue and been decrypted.
	 */
	WRITE_ONCE(sk->sk_rcvlowat, 1);
	add_wait_queue(sk_sleep(sk), &wait);
	sk_set_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	sk_wait_event(sk, timeo, rx_head_ready(sk, rx) ||
		      READ_ONCE(sk->sk_err) ||
		      READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN, &wait);
	sk_clear_bit(SOCKWQ_ASYNC_WAITDATA, sk);
	remove_wait_queue(sk_sleep(sk), &wait);
	/* Unless somebody has set another one meanwhile. */
	if (sk->sk_rcvlowat == 1)
		WRITE_ONCE(sk->sk_rcvlowat, lowat);
}

/* ---- the reader ---- */

/**
 * struct rx_call - one call of a reader
 * @sk: locked
 * @rx: receive direction, the turn is taken
 * @q: cursor
 * @timeo: jiffies it may still wait
 * @empty: records without data that it has seen
 */
struct rx_call {
	struct sock		*sk;
	struct tlsrec_rx	*rx;
	struct rxq		q;
	long			timeo;
	unsigned int		empty;
};

/*
 * rx_try_next() gave no record: wait for what it needs. Returns 1 to try again,
 * 0 at the end of the stream, or a negative errno.
 */
static int call_wait(struct rx_call *call, int err, size_t copied,
		     size_t target)
{
	struct tlsrec_rx *rx = call->rx;
	struct sock *sk = call->sk;
	struct rxq q = { };

	if (err == -ENOMEM || err == -EKEYEXPIRED)
		return err;
	if (err)
		return copied ? err : rx_sticky(rx, call->timeo);

	/* Cursor and knowledge end here: the queue may change. */
	rxq_commit(sk, &call->q);
	if (sk_flush_backlog(sk))
		return 1;
	rx_look(sk, rx, &q);
	if (copied >= target)
		return -EAGAIN;
	if (rx_head_ready(sk, rx))
		return 1;

	if (sk->sk_err)
		return copied ? -sk->sk_err : sock_error(sk);
	if (sk->sk_shutdown & RCV_SHUTDOWN || sock_flag(sk, SOCK_DONE))
		return rx_end(sk, rx);
	if (sk->sk_state == TCP_CLOSE)
		return -ENOTCONN;
	if (!call->timeo)
		return -EAGAIN;
	if (signal_pending(current))
		return sock_intr_errno(call->timeo);
	rx_part_drop(rx);
	rx_sleep(sk, rx, &call->timeo);
	return 1;
}

/* Bytes taken before TCP may open the window for them. */
#define RX_COMMIT	SZ_64K

/* Let ACKs and data that came in meanwhile not wait for bulk decryption. */
static void call_breathe(struct rx_call *call)
{
	if (READ_ONCE(call->sk->sk_backlog.tail)) {
		rxq_commit(call->sk, &call->q);
		sk_flush_backlog(call->sk);
	} else if (call->q.taken >= RX_COMMIT) {
		rxq_commit(call->sk, &call->q);
		cond_resched();
	}
}

/**
 * call_next() - wait for the next record
 * @call: the lock is dropped while waiting
 * @copied: bytes the caller will return anyway; errors then stay for later
 * @target: bytes from which on the caller does not want to wait for more
 *
 * Return: the record, as from rx_try_next(); %NULL at the end of the stream; or
 * a negative errno.
 */
static inline struct tlsrec_buf *call_next(struct rx_call *call, size_t copied,
					   size_t target)
{
	struct tlsrec_buf *buf;
	int ret;

	call_breathe(call);
	do {
		buf = rx_try_next(call->sk, call->rx, &call->q);
		if (!IS_ERR_OR_NULL(buf))
			return buf;
		ret = call_wait(call, PTR_ERR(buf), copied, target);
	} while (ret > 0);

	return ERR_PTR(ret);
}

static int call_start(struct rx_call *call, struct sock *sk, bool nonblock)
{
	call->sk = sk;
	call->rx = &tlsrec_ctx(sk)->rx;
	call->q = (struct rxq){ };
	call->empty = 0;
	call->timeo = sock_rcvtimeo(sk, nonblock);
	return tlsrec_turn_take(sk, &call->rx->turn, &call->timeo);
}

static void call_end(struct rx_call *call)
{
	struct tlsrec_rx *rx = call->rx;
	struct tlsrec_buf *buf;

	buf = list_first_entry_or_null(&rx->plain, struct tlsrec_buf, list);
	if (buf)
		rx_plain_keep(call->sk, rx, buf);
	/* Pairs with the READ_ONCE() in rx_readable(). */
	WRITE_ONCE(rx->plain_ready, !!buf);
	/* Who was given plaintext that lay there has changed nothing else. */
	if (rx->err)
		rxq_commit(call->sk, &call->q);
	else if (!rx_head_known(rx))
		rx_settle(call->sk, rx, &call->q, rx_gfp(call->sk));
	rx_part_drop(rx);
	if (tlsrec_turn_give(call->sk, &rx->turn) && rx_readable(call->sk, rx))
		rx_wake(call->sk, rx);
}

/* May a peek decrypt one more record ahead of what was read? */
static bool may_read_ahead(const struct rx_call *call)
{
	return call->rx->plain_mem <= call->sk->sk_rcvbuf;
}

/* So many in a row, and a caller who does not wait is let go. */
#define EMPTY_MAX	64

/*
 * A record brought nothing. A peer may send as many of these as it likes, and
 * must not keep the caller here with them.
 */
static int call_empty(struct rx_call *call)
{
	if (signal_pending(current))
		return sock_intr_errno(call->timeo);
	if (++call->empty >= EMPTY_MAX && !call->timeo) {
		/* There may be more, and no event would say so. */
		call->rx->turn.refused = true;
		return -EAGAIN;
	}
	cond_resched();
	return 0;
}

/**
 * struct rx_msg - what a recvmsg() has found so far
 * @msg: the program's
 * @wants_type: it has room for the content type
 * @peek: records stay
 * @type: of the records of this call, 0 before the first
 * @eor: the last byte returned is the last of its record
 * @copied: bytes returned
 * @skip: with @peek, the last record that was looked at
 */
struct rx_msg {
	struct msghdr		*msg;
	bool			wants_type;
	bool			peek;
	u8			type;
	bool			eor;
	size_t			copied;
	struct tlsrec_buf	*skip;
};

/*
 * One call returns records of one type. Returns 1 if this record may be part
 * of it, 0 if it belongs to the next call, -EIO if the caller has no room to
 * be told what it is.
 */
static int msg_type(struct rx_msg *m, const struct tlsrec_buf *buf)
{
	u8 type = buf->type;
	int err;

	if (m->type)
		return m->type == type;
	if (!type)
		return -EBADMSG;

	/*
	 * Also without room, for MSG_CTRUNC: by that flag sunrpc knows that it
	 * has to ask for the type. Application data needs no telling.
	 */
	err = put_cmsg(m->msg, SOL_TLS, TLS_GET_RECORD_TYPE, sizeof(type),
		       &type);
	if (type != TLSREC_TYPE_DATA &&
	    (err || m->msg->msg_flags & MSG_CTRUNC))
		return -EIO;

	/* An empty record says nothing to one who does not ask for types. */
	if (m->wants_type || buf->len)
		m->type = type;
	return 1;
}

static struct tlsrec_buf *msg_next_buf(struct rx_call *call, struct rx_msg *m)
{
	struct list_head *plain = &call->rx->plain;
	struct list_head *next = m->skip ? m->skip->list.next : plain->next;

	return next == plain ? NULL : list_entry(next, struct tlsrec_buf, list);
}

/* Copy from one record. Returns 1 to go on, 0 when the call is done. */
static int msg_copy(struct rx_call *call, struct rx_msg *m,
		    struct tlsrec_buf *buf, size_t len)
{
	unsigned int n = min_t(size_t, buf->len, len);
	unsigned int got;
	bool whole;

	got = copy_to_iter(tlsrec_buf_data(buf), n, &m->msg->msg_iter);
	m->copied += got;
	whole = got == buf->len;
	m->eor = whole;

	if (m->peek) {
		rx_plain_add(call->rx, buf);
		m->skip = rx_plain_keep(call->sk, call->rx, buf);
	} else if (whole) {
		rx_plain_del(call->rx, buf);
	} else {
		rx_plain_add(call->rx, buf);
		buf->off += got;
		buf->len -= got;
	}

	if (got < n)
		return -EFAULT;
	return whole && (!m->type || m->type == TLSREC_TYPE_DATA);
}

static int rx_recv(struct rx_call *call, struct rx_msg *m, size_t len,
		   size_t target)
{
	struct tlsrec_buf *buf;
	int ret;

	while (m->copied < len) {
		buf = msg_next_buf(call, m);
		if (!buf) {
			if (m->peek && !may_read_ahead(call))
				return -EAGAIN;
			buf = call_next(call, m->copied, target);
			if (IS_ERR_OR_NULL(buf))
				return PTR_ERR(buf);
		}

		ret = msg_type(m, buf);
		if (ret <= 0) {
			rx_plain_add(call->rx, buf);
			return ret;
		}
		ret = msg_copy(call, m, buf, len - m->copied);
		if (ret <= 0)
			return ret;
		ret = m->copied ? 0 : call_empty(call);
		if (ret)
			return ret;
	}

	return 0;
}

static int rx_recvmsg(struct sock *sk, struct msghdr *msg, size_t len,
		      int flags)
{
	struct rx_msg m = {
		.msg = msg,
		.wants_type = msg->msg_controllen,
		.peek = flags & MSG_PEEK,
	};
	struct rx_call call;
	int err;

	err = call_start(&call, sk, flags & MSG_DONTWAIT);
	if (err)
		return err;
	err = rx_recv(&call, &m, len,
		      sock_rcvlowat(sk, flags & MSG_WAITALL, len));
	if (m.eor)
		msg->msg_flags |= MSG_EOR;
	call_end(&call);
	return m.copied ? m.copied : err;
}

/**
 * tlsrec_recvmsg() - recvmsg() of a socket with a receive key
 * @sk: not locked
 * @msg: where to; a control buffer gets the content type
 * @len: bytes of room in it
 * @flags: MSG_*
 *
 * Return: bytes of plaintext, 0 at the end of the stream or for an empty
 * control record, or a negative errno: -EMSGSIZE, -EBADMSG, -EINVAL (sticky,
 * see rx_sticky()), -EIO (a control record and no room for its type; it
 * stays), -EKEYEXPIRED (a KeyUpdate was read and TLS_RX not set since),
 * -EAGAIN, -EINTR, -ERESTARTSYS, -ENOMEM, or the socket's error.
 */
int tlsrec_recvmsg(struct sock *sk, struct msghdr *msg, size_t len, int flags)
{
	int ret;

	if (unlikely(flags & MSG_ERRQUEUE))
		return sock_recv_errqueue(sk, msg, len, SOL_IP, IP_RECVERR);
	if (unlikely(flags & MSG_OOB))
		return -EOPNOTSUPP;

	lock_sock(sk);
	ret = rx_recvmsg(sk, msg, len, flags);
	release_sock(sk);
	return ret;
}

static void pipe_page_put(struct splice_pipe_desc *spd, unsigned int i)
{
	put_page(spd->pages[i]);
}

/* Give a pipe references to the pages of a record. Returns bytes it took. */
static ssize_t splice_buf(struct tlsrec_buf *buf, struct pipe_inode_info *pipe,
			  size_t len)
{
	struct page *pages[1 << TLSREC_BUF_ORDER];
	struct partial_page partial[ARRAY_SIZE(pages)];
	struct splice_pipe_desc spd = {
		.pages		= pages,
		.partial	= partial,
		.nr_pages_max	= ARRAY_SIZE(pages),
		.ops		= &nosteal_pipe_buf_ops,
		.spd_release	= pipe_page_put,
	};
	void *data = tlsrec_buf_data(buf);

	len = min_t(size_t, len, buf->len);
	while (len) {
		unsigned int off = offset_in_page(data);
		unsigned int n = min_t(size_t, len, PAGE_SIZE - off);

		pages[spd.nr_pages] = virt_to_page(data);
		get_page(pages[spd.nr_pages]);
		partial[spd.nr_pages].offset = off;
		partial[spd.nr_pages].len = n;
		partial[spd.nr_pages].private = 0;
		spd.nr_pages++;
		data += n;
		len -= n;
	}

	return splice_to_pipe(pipe, &spd);
}

/*
 * Takes bytes from the front of a record of application data. Returns how many,
 * 0 or a negative errno to be called no more.
 */
typedef ssize_t (*rx_take)(struct rx_call *call, struct tlsrec_buf *buf,
			   void *arg);

/* Feed @take with application data while @wanted is not zero. */
static ssize_t rx_feed(struct rx_call *call, rx_take take, void *arg,
		       const size_t *wanted)
{
	struct tlsrec_rx *rx = call->rx;
	struct tlsrec_buf *buf;
	ssize_t copied = 0, ret = 0;

	while (*wanted) {
		buf = list_first_entry_or_null(&rx->plain, struct tlsrec_buf,
					       list);
		if (!buf) {
			buf = call_next(call, copied, 1);
			if (IS_ERR_OR_NULL(buf)) {
				ret = PTR_ERR(buf);
				break;
			}
			rx_plain_add(rx, buf);
		}
		/* There is no way to tell the type. */
		ret = -EINVAL;
		if (buf->type != TLSREC_TYPE_DATA)
			break;
		if (buf->len) {
			ret = take(call, buf, arg);
			if (ret <= 0)
				break;
			copied += ret;
			buf->off += ret;
			buf->len -= ret;
			if (buf->len)
				continue;
		}
		rx_plain_del(rx, buf);
		ret = copied ? 0 : call_empty(call);
		if (ret)
			break;
	}

	return copied ? copied : ret;
}

struct rx_splice {
	struct pipe_inode_info	*pipe;
	size_t			left;
};

static ssize_t take_splice(struct rx_call *call, struct tlsrec_buf *buf,
			   void *arg)
{
	struct rx_splice *s = arg;
	ssize_t n = splice_buf(buf, s->pipe, s->left);

	if (n > 0)
		s->left -= n;
	return n;
}

/**
 * tlsrec_splice_read() - splice() from a socket with a receive key to a pipe
 * @sock: the socket
 * @ppos: unused
 * @pipe: locked
 * @len: bytes at most
 * @flags: SPLICE_F_*
 *
 * Return: bytes, 0 at the end of the stream, -EINVAL when the next record is
 * not application data, or another negative errno as from recvmsg().
 */
ssize_t tlsrec_splice_read(struct socket *sock, loff_t *ppos,
			   struct pipe_inode_info *pipe, size_t len,
			   unsigned int flags)
{
	struct sock *sk = sock->sk;
	bool nonblock = flags & SPLICE_F_NONBLOCK ||
			(sock->file && sock->file->f_flags & O_NONBLOCK);
	struct rx_splice s = { .pipe = pipe, .left = len };
	struct rx_call call;
	ssize_t ret;

	lock_sock(sk);
	ret = call_start(&call, sk, nonblock);
	if (!ret) {
		ret = rx_feed(&call, take_splice, &s, &s.left);
		call_end(&call);
	}
	release_sock(sk);
	return ret;
}

/* ---- readers inside the kernel ---- */

struct rx_actor {
	read_descriptor_t	*desc;
	sk_read_actor_t		actor;
};

/* The actor may keep the packet: it has a reference on the record's pages. */
static ssize_t take_actor(struct rx_call *call, struct tlsrec_buf *buf,
			  void *arg)
{
	struct rx_actor *a = arg;
	struct page *page = virt_to_page(buf);
	struct sk_buff *skb;
	ssize_t n;

	skb = alloc_skb(0, call->sk->sk_allocation);
	if (!skb)
		return -ENOMEM;
	get_page(page);
	skb_add_rx_frag(skb, 0, page, buf->off, buf->len, tlsrec_buf_mem(buf));
	n = a->actor(a->desc, skb, 0, buf->len);
	consume_skb(skb);
	return n;
}

/**
 * tlsrec_read_sock() - let a function of the kernel's read application data
 * @sk: locked by the caller, or by softirq, which gets -EAGAIN
 * @desc: for @actor, which is called while its count is not zero
 * @actor: takes bytes of a packet and says how many it took
 *
 * Never waits for data, but decryption may sleep.
 *
 * Return: bytes taken, 0 at the end of the stream, -EINVAL when the next record
 * is not application data, what @actor returned if it took nothing, or another
 * negative errno as from recvmsg().
 */
int tlsrec_read_sock(struct sock *sk, read_descriptor_t *desc,
		     sk_read_actor_t actor)
{
	struct rx_actor a = { .desc = desc, .actor = actor };
	struct rx_call call;
	int ret;

	if (!sock_owned_by_user_nocheck(sk)) {
		/* By this the stream parser knows to come again as a task. */
		desc->error = -ENOMEM;
		return -EAGAIN;
	}

	ret = call_start(&call, sk, true);
	if (ret)
		return ret;
	ret = rx_feed(&call, take_actor, &a, &desc->count);
	call_end(&call);
	return ret;
}

/* ---- poll and the like ---- */

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
	readable = ctx && rx_readable(sk, &ctx->rx);
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

/* Plaintext that a read() would return now, for FIONREAD. */
static int rx_bytes(struct sock *sk)
{
	struct tlsrec_buf *buf;
	struct rx_call call;
	int bytes = 0;

	if (call_start(&call, sk, true))
		return 0;

	/* Only decryption tells how much of a record is padding. */
	if (list_empty(&call.rx->plain)) {
		buf = rx_try_next(sk, call.rx, &call.q);
		if (!IS_ERR_OR_NULL(buf))
			rx_plain_add(call.rx, buf);
	}
	list_for_each_entry(buf, &call.rx->plain, list) {
		if (buf->type != TLSREC_TYPE_DATA)
			break;
		bytes += buf->len;
	}
	call_end(&call);
	return bytes;
}

/**
 * tlsrec_inq() - what ioctl(FIONREAD) answers: bytes of plaintext
 * @sk: not locked
 */
int tlsrec_inq(struct sock *sk)
{
	int bytes;

	lock_sock(sk);
	bytes = rx_bytes(sk);
	release_sock(sk);
	return bytes;
}

/**
 * tlsrec_rx_start() - a key is set; there may be records for it already
 * @sk: locked
 * @rx: receive direction
 */
void tlsrec_rx_start(struct sock *sk, struct tlsrec_rx *rx)
{
	struct rxq q = { };

	/* Urgent bytes are part of their record. */
	sock_set_flag(sk, SOCK_URGINLINE);
	/* Messages do not span keys (RFC 8446 5.1). */
	rx->handshake = (struct tlsrec_handshake){ };
	rx->expired = false;
	rx_settle(sk, rx, &q, rx_gfp(sk));
	if (rx_readable(sk, rx))
		rx_wake(sk, rx);
}

/* The socket is closed. */
void tlsrec_rx_free(struct tlsrec_rx *rx)
{
	struct tlsrec_buf *buf, *next;

	list_for_each_entry_safe(buf, next, &rx->plain, list)
		rx_plain_del(rx, buf);
	if (rx->part)
		tlsrec_buf_put(rx->part);
	rx->part = NULL;
	tlsrec_key_wipe(&rx->key);
}

void tlsrec_rx_exit(void)
{
	tlsrec_buf_exit();
}
