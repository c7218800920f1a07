// SPDX-License-Identifier: GPL-2.0-only
/*
 * Receive: recvmsg(), and what it would give.
 *
 * Five bytes at the head of TCP's queue say how long the record is; when all
 * of it is there, the reader copies it into a buffer, decrypts it there and
 * hands it out. A record that was decrypted and is not read at once is on
 * rx->plain until it is, whatever keeps it: a short read, a peek, or its type.
 */

#include <linux/errqueue.h>

#include "rx.h"
#include "rxcall.h"

/**
 * struct rx_msg - what a recvmsg() has found so far
 * @msg: the program's
 * @wants_type: it has room for the content type
 * @peek: records stay
 * @type: of the records of this call, 0 before the first
 * @eor: the last byte returned is the last of its record
 * @copied: bytes returned
 * @skip: with @peek, the last record that was looked at
 * @ahead: with @peek, bytes that these records were in TCP's queue, at least
 * @unpaid: with @peek, they could not all be charged
 */
struct rx_msg {
	struct msghdr		*msg;
	bool			wants_type;
	bool			peek;
	u8			type;
	bool			eor;
	size_t			copied;
	struct tlsrec_buf	*skip;
	size_t			ahead;
	bool			unpaid;
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

/* The record is done with: who asks has been told its type. */
static int msg_nothing(struct rx_call *call, struct rx_msg *m,
		       struct tlsrec_buf *buf, size_t target)
{
	rxrec_drop(call->rx, buf);
	m->eor = true;
	return rxcall_empty(call, m->copied >= target);
}

/*
 * May a peek decrypt one more record ahead of what is read? As long as it could
 * be in TCP's queue beside those before it, and these are charged.
 */
static bool msg_may_look(const struct rx_call *call, const struct rx_msg *m)
{
	return !m->peek || (m->ahead <= call->sk->sk_rcvbuf && !m->unpaid);
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

	got = tlsrec_buf_read(buf, n, &m->msg->msg_iter);
	m->copied += got;
	whole = got == buf->len;
	m->eor = whole;

	if (m->peek) {
		rxrec_keep(call->rx, buf);
		m->skip = rxrec_shrink(call->sk, call->rx, buf);
		m->ahead += tlsrec_overhead(&call->rx->key.fmt) + m->skip->len;
		m->unpaid = !rxrec_charge(call->sk, call->rx);
	} else if (whole) {
		rxrec_drop(call->rx, buf);
	} else {
		rxrec_keep(call->rx, buf);
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
			if (!msg_may_look(call, m))
				return -EAGAIN;
			buf = rxcall_next(call, m->copied, target);
			if (IS_ERR_OR_NULL(buf))
				return PTR_ERR(buf);
		}

		ret = msg_type(m, buf);
		if (ret <= 0) {
			rxrec_keep(call->rx, buf);
			return ret;
		}
		if (unlikely(rxrec_nothing(buf))) {
			ret = msg_nothing(call, m, buf, target);
			if (ret)
				return ret;
			continue;
		}
		ret = msg_copy(call, m, buf, len - m->copied);
		if (ret <= 0)
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

	err = rxcall_start(&call, sk, flags & MSG_DONTWAIT);
	if (err)
		return err;
	err = rx_recv(&call, &m, len,
		      sock_rcvlowat(sk, flags & MSG_WAITALL, len));
	if (m.eor)
		msg->msg_flags |= MSG_EOR;
	rxcall_end(&call);
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

/* Plaintext that a read() would return now, for FIONREAD. */
static int rx_bytes(struct sock *sk)
{
	struct tlsrec_buf *buf;
	struct rx_call call;
	int bytes = 0;

	if (rxcall_start(&call, sk, true))
		return 0;

	/* Only decryption tells how much of a record is padding. */
	while (list_empty(&call.rx->plain)) {
		buf = rxrec_next(sk, call.rx, &call.q);
		if (IS_ERR_OR_NULL(buf))
			break;
		if (!rxrec_nothing(buf)) {
			rxrec_keep(call.rx, buf);
			break;
		}
		rxrec_drop(call.rx, buf);
		if (rxcall_empty(&call, false))
			break;
	}
	list_for_each_entry(buf, &call.rx->plain, list) {
		if (buf->type != TLSREC_TYPE_DATA)
			break;
		bytes += buf->len;
	}
	rxcall_end(&call);
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
