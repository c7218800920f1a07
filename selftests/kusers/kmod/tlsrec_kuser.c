// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tests: an in-kernel user of a socket, as RPC and NVMe over TCP are, that
 * does what a program tells it to. Never load it on a machine that matters.
 */

#include <linux/bvec.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/tls.h>
#include <linux/uio.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <net/sock.h>

#include "tlsrec_kuser.h"

#ifndef ITER_SOURCE
#define ITER_SOURCE	WRITE
#define ITER_DEST	READ
#endif
/* Went with 6.5. */
#ifdef MSG_SENDPAGE_NOTLAST
#define KU_HAVE_SENDPAGE
#endif
/* Came with 6.5, the number alone is in later 6.1, too. */
#ifndef MSG_SPLICE_PAGES
#define MSG_SPLICE_PAGES 0
#endif

#define KU_MAX		(4u << 20)
#define KU_PUMP_MAX	(64u << 20)
#define KU_HELD_MAX	256
#define KU_TYPE_DATA	23
/* What memory holds before something is received into it, and after a send. */
#define KU_POISON	0xa5

/* ---- memory that an iterator describes ---- */

struct ku_mem {
	unsigned int nr, piece, off;
	size_t len;
	struct page **pages;
	struct bio_vec *bvec, *gaps;
	struct kvec *kvec;
	struct xarray xa;
};

static unsigned int mem_piece_len(const struct ku_mem *m, unsigned int i)
{
	return min_t(size_t, m->piece, m->len - (size_t)i * m->piece);
}

static void *mem_piece(const struct ku_mem *m, unsigned int i)
{
	return page_address(m->pages[i]) + m->off;
}

static void mem_free(struct ku_mem *m)
{
	unsigned int i;

	if (m->pages) {
		for (i = 0; i < m->nr; i++)
			if (m->pages[i])
				put_page(m->pages[i]);
		xa_destroy(&m->xa);
	}
	kvfree(m->pages);
	kvfree(m->bvec);
	kvfree(m->gaps);
	kvfree(m->kvec);
	memset(m, 0, sizeof(*m));
}

static int mem_alloc(struct ku_mem *m, const struct ku_call *c)
{
	unsigned int i, order = c->iter == KU_ACROSS;
	unsigned int size = PAGE_SIZE << order;

	memset(m, 0, sizeof(*m));
	xa_init(&m->xa);
	if (c->len > KU_MAX || c->piece > size)
		return -EINVAL;
	m->len = c->len;
	m->piece = c->piece ? c->piece : PAGE_SIZE;
	m->off = (size - m->piece) / 2;
	m->nr = DIV_ROUND_UP(m->len, m->piece);
	if (m->nr > 65536)
		return -EINVAL;

	m->pages = kvcalloc(m->nr + 1, sizeof(*m->pages), GFP_KERNEL);
	m->bvec = kvcalloc(m->nr + 1, sizeof(*m->bvec), GFP_KERNEL);
	m->gaps = kvcalloc(m->nr + 1, 2 * sizeof(*m->gaps), GFP_KERNEL);
	m->kvec = kvcalloc(m->nr + 1, sizeof(*m->kvec), GFP_KERNEL);
	if (!m->pages || !m->bvec || !m->gaps || !m->kvec)
		goto no_memory;
	for (i = 0; i < m->nr; i++) {
		m->pages[i] = alloc_pages(GFP_KERNEL | __GFP_COMP, order);
		if (!m->pages[i])
			goto no_memory;
		memset(page_address(m->pages[i]), KU_POISON, size);
		m->bvec[i].bv_page = m->pages[i];
		m->bvec[i].bv_offset = m->off;
		m->bvec[i].bv_len = mem_piece_len(m, i);
		m->gaps[2 * i].bv_page = m->pages[i];
		m->gaps[2 * i + 1] = m->bvec[i];
		m->kvec[i].iov_base = mem_piece(m, i);
		m->kvec[i].iov_len = mem_piece_len(m, i);
		if (xa_err(xa_store(&m->xa, i, m->pages[i], GFP_KERNEL)))
			goto no_memory;
	}
	return 0;

no_memory:
	mem_free(m);
	return -ENOMEM;
}

static int mem_fill(struct ku_mem *m, const void __user *from)
{
	unsigned int i;

	for (i = 0; i < m->nr; i++)
		if (copy_from_user(mem_piece(m, i), from + (size_t)i * m->piece,
				   mem_piece_len(m, i)))
			return -EFAULT;
	return 0;
}

static int mem_give(struct ku_mem *m, void __user *to)
{
	unsigned int i;

	for (i = 0; i < m->nr; i++)
		if (copy_to_user(to + (size_t)i * m->piece, mem_piece(m, i),
				 mem_piece_len(m, i)))
			return -EFAULT;
	return 0;
}

static int mem_iter(struct ku_mem *m, struct iov_iter *iter, int dir, u32 kind)
{
	switch (kind) {
	case KU_KVEC:
		iov_iter_kvec(iter, dir, m->kvec, m->nr, m->len);
		return 0;
	case KU_BVEC:
	case KU_ACROSS:
		iov_iter_bvec(iter, dir, m->bvec, m->nr, m->len);
		return 0;
	case KU_GAPS:
		iov_iter_bvec(iter, dir, m->gaps, 2 * m->nr, m->len);
		return 0;
	case KU_XARRAY:
		if (m->piece != PAGE_SIZE)
			return -EINVAL;
		iov_iter_xarray(iter, dir, &m->xa, 0, m->len);
		return 0;
	case KU_DISCARD:
		if (dir != ITER_DEST)
			return -EINVAL;
		iov_iter_discard(iter, dir, m->len);
		return 0;
	}
	return -EINVAL;
}

/* ---- sendmsg, recvmsg ---- */

union ku_control {
	struct cmsghdr	cmsg;
	u8		buf[CMSG_SPACE(sizeof(u8))];
};

static int do_send(struct socket *sock, struct ku_call *c)
{
	struct msghdr msg = { .msg_flags = c->flags };
	union ku_control control = { };
	struct ku_mem m;
	unsigned int i;
	int err;

	err = mem_alloc(&m, c);
	if (err)
		return err;
	err = mem_fill(&m, u64_to_user_ptr(c->buf));
	if (!err)
		err = mem_iter(&m, &msg.msg_iter, ITER_SOURCE, c->iter);
	if (err)
		goto out;

	if (c->type) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		control.cmsg.cmsg_level = SOL_TLS;
		control.cmsg.cmsg_type = TLS_SET_RECORD_TYPE;
		control.cmsg.cmsg_len = CMSG_LEN(sizeof(u8));
		*(u8 *)CMSG_DATA(&control.cmsg) = c->type;
	}

	if (c->iter == KU_KVEC)
		c->ret = kernel_sendmsg(sock, &msg, m.kvec, m.nr, m.len);
	else
		c->ret = sock_sendmsg(sock, &msg);

	/* Who copied does not care; who was given the pages may. */
	if (!(c->flags & MSG_SPLICE_PAGES))
		for (i = 0; i < m.nr; i++)
			memset(page_address(m.pages[i]), KU_POISON, PAGE_SIZE);
out:
	mem_free(&m);
	return err;
}

static int do_sendpage(struct socket *sock, struct ku_call *c)
{
#ifdef KU_HAVE_SENDPAGE
	struct ku_mem m;
	unsigned int i;
	int err, ret;

	err = mem_alloc(&m, c);
	if (err)
		return err;
	err = mem_fill(&m, u64_to_user_ptr(c->buf));
	c->ret = 0;
	for (i = 0; !err && i < m.nr; i++) {
		int more = i + 1 < m.nr ? MSG_MORE | MSG_SENDPAGE_NOTLAST : 0;

		ret = kernel_sendpage(sock, m.pages[i], m.off,
				      mem_piece_len(&m, i), c->flags | more);
		if (ret < 0 && !c->ret)
			c->ret = ret;
		if (ret < 0)
			break;
		c->ret += ret;
		if (ret < mem_piece_len(&m, i))
			break;
	}
	mem_free(&m);
	return err;
#else
	return -EOPNOTSUPP;
#endif
}

static int do_splice_eof(struct socket *sock)
{
#ifdef KU_HAVE_SENDPAGE
	return -EOPNOTSUPP;
#else
	READ_ONCE(sock->ops)->splice_eof(sock);
	return 0;
#endif
}

static int do_recv(struct socket *sock, struct ku_call *c)
{
	struct msghdr msg = { };
	union ku_control control = { };
	struct ku_mem m;
	int err;

	if (c->room > sizeof(control))
		return -EINVAL;
	err = mem_alloc(&m, c);
	if (err)
		return err;
	err = mem_iter(&m, &msg.msg_iter, ITER_DEST, c->iter);
	if (err)
		goto out;

	if (c->room) {
		msg.msg_control = &control;
		msg.msg_controllen = c->room;
	}
	if (c->iter == KU_KVEC)
		c->ret = kernel_recvmsg(sock, &msg, m.kvec, m.nr, m.len, c->flags);
	else
		c->ret = sock_recvmsg(sock, &msg, c->flags);
	c->msg_flags = msg.msg_flags;
	c->type = 0;
	if (control.cmsg.cmsg_level == SOL_TLS &&
	    control.cmsg.cmsg_type == TLS_GET_RECORD_TYPE)
		c->type = *(u8 *)CMSG_DATA(&control.cmsg);
	err = mem_give(&m, u64_to_user_ptr(c->buf));
out:
	mem_free(&m);
	return err;
}

/* ---- read_sock ---- */

struct ku_held {
	struct sk_buff *skb;
	unsigned int off, len;
};

/* What the device's file holds. */
struct ku_file {
	struct mutex		lock;	/* one call at a time */
	struct ku_held		held[KU_HELD_MAX];
	unsigned int		nr_held;
	struct ku_pump		*pump;
};

struct ku_reader {
	struct ku_call	*c;
	struct ku_file	*f;
	u8		*buf;
	u32		room;
};

/* Both ways in which users of read_sock get at the bytes must agree. */
static int take(struct ku_reader *r, struct sk_buff *skb, unsigned int offset,
		unsigned int n)
{
	struct kvec kvec;
	struct iov_iter iter;
	u8 sample[64];
	u32 part = min_t(u32, n, sizeof(sample));

	if (n > r->room - r->c->got)
		return -ENOBUFS;
	if (skb_copy_bits(skb, offset, r->buf + r->c->got, n))
		return -EFAULT;
	kvec.iov_base = sample;
	kvec.iov_len = part;
	iov_iter_kvec(&iter, ITER_DEST, &kvec, 1, part);
	if (skb_copy_datagram_iter(skb, offset + n - part, &iter, part))
		return -EFAULT;
	if (memcmp(sample, r->buf + r->c->got + n - part, part))
		return -EILSEQ;
	r->c->got += n;
	return n;
}

static int hold(struct ku_reader *r, struct sk_buff *skb, unsigned int offset,
		unsigned int n)
{
	struct ku_held *h = &r->f->held[r->f->nr_held];

	if (r->f->nr_held == KU_HELD_MAX)
		return -ENOBUFS;
	h->skb = skb_clone(skb, GFP_KERNEL);
	if (!h->skb)
		return -ENOMEM;
	h->off = offset;
	h->len = n;
	r->f->nr_held++;
	r->c->got += n;
	return n;
}

static int actor(read_descriptor_t *desc, struct sk_buff *skb,
		 unsigned int offset, size_t len)
{
	struct ku_reader *r = desc->arg.data;
	struct ku_call *c = r->c;
	u32 n = len, until = c->limit > c->got ? c->limit - c->got : 0;
	int ret;

	c->calls++;
	if (offset + len > skb->len)
		return -EOVERFLOW;

	switch (c->actor) {
	case KU_PART:
		n = min(n, c->limit);
		break;
	case KU_REFUSE:
		n = min(n, until);
		if (!n)
			return 0;
		break;
	case KU_FAIL:
		n = min(n, until);
		if (!n)
			return c->error;
		break;
	case KU_HOLD:
		return hold(r, skb, offset, n);
	}
	ret = take(r, skb, offset, n);
	if (c->actor == KU_STOP && c->got >= c->limit)
		desc->count = 0;
	return ret;
}

static int do_read_sock(struct ku_file *f, struct socket *sock,
			struct ku_call *c)
{
	struct ku_reader r = { .c = c, .f = f, .room = c->len };
	read_descriptor_t desc = { .arg.data = &r, .count = 1 };
	struct sock *sk = sock->sk;
	int err = 0;

	if (c->len > KU_MAX)
		return -EINVAL;
	r.buf = kvmalloc(c->len + 1, GFP_KERNEL);
	if (!r.buf)
		return -ENOMEM;
	c->calls = 0;
	c->got = 0;

	lock_sock(sk);
	c->ret = READ_ONCE(sock->ops)->read_sock(sk, &desc, actor);
	release_sock(sk);

	c->count = desc.count;
	if (c->actor != KU_HOLD &&
	    copy_to_user(u64_to_user_ptr(c->buf), r.buf, c->got))
		err = -EFAULT;
	kvfree(r.buf);
	return err;
}

static int do_held(struct ku_file *f, struct ku_call *c)
{
	u32 left = c->len;
	unsigned int i;
	int err = 0;
	u8 *buf;

	if (c->len > KU_MAX)
		return -EINVAL;
	buf = kvzalloc(c->len + 1, GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	for (i = 0; i < f->nr_held; i++) {
		struct ku_held *h = &f->held[i];
		u32 n = min(left, h->len);

		if (skb_copy_bits(h->skb, h->off, buf + c->len - left, n))
			err = -EFAULT;
		left -= n;
		kfree_skb(h->skb);
	}
	f->nr_held = 0;
	c->got = c->len - left;
	if (copy_to_user(u64_to_user_ptr(c->buf), buf, c->got))
		err = -EFAULT;
	kvfree(buf);
	return err;
}

/* ---- a user with callbacks of its own ---- */

/**
 * struct ku_pump - takes all that comes, and sends, from a work item
 * @sock: the socket, held by its file
 * @flags: enum ku_pump_flags
 * @work: does everything
 * @lock: against the program that looks
 * @old_ready: callback that was there
 * @old_space: callback that was there
 * @old_state: callback that was there
 * @old_allocation: sk_allocation that was there
 * @in: what has come
 * @got: bytes of it
 * @err: why no more comes: a negative errno, or 1 at the end of the stream
 * @out: what is to be sent
 * @sent: bytes of it that the socket has taken
 * @out_err: why no more can be sent
 * @control: records that were not data
 * @ready: calls of data_ready
 * @softirq: of these, in softirq
 * @space: calls of write_space
 */
struct ku_pump {
	struct socket		*sock;
	u32			flags;
	struct work_struct	work;
	struct mutex		lock;	/* against the program that looks */
	void			(*old_ready)(struct sock *sk);
	void			(*old_space)(struct sock *sk);
	void			(*old_state)(struct sock *sk);
	gfp_t			old_allocation;
	u8			*in;
	u32			got;
	int			err;
	struct ku_mem		out;
	u32			sent;
	int			out_err;
	u32			control;
	atomic_t		ready, softirq, space;
};

static struct workqueue_struct *pump_wq;

static void pump_ready(struct sock *sk)
{
	struct ku_pump *p;

	read_lock_bh(&sk->sk_callback_lock);
	p = sk->sk_user_data;
	if (p) {
		atomic_inc(&p->ready);
		if (in_serving_softirq())
			atomic_inc(&p->softirq);
		if (p->flags & KU_PUMP_CHAIN)
			p->old_ready(sk);
		queue_work(pump_wq, &p->work);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

static void pump_space(struct sock *sk)
{
	struct ku_pump *p;

	read_lock_bh(&sk->sk_callback_lock);
	p = sk->sk_user_data;
	if (p && sk_stream_is_writeable(sk)) {
		atomic_inc(&p->space);
		clear_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
		if (p->flags & KU_PUMP_CHAIN)
			p->old_space(sk);
		queue_work(pump_wq, &p->work);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

static void pump_state(struct sock *sk)
{
	struct ku_pump *p;

	read_lock_bh(&sk->sk_callback_lock);
	p = sk->sk_user_data;
	if (p) {
		p->old_state(sk);
		queue_work(pump_wq, &p->work);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

/* As NVMe does: one page at a time, what belongs together joined by MSG_MORE. */
static void pump_send(struct ku_pump *p)
{
	struct ku_mem *m = &p->out;

	while (p->sent < m->len && !p->out_err) {
		unsigned int i = p->sent / m->piece, off = p->sent % m->piece;
		struct msghdr msg = { .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL };
		unsigned int n = mem_piece_len(m, i) - off;
		struct bio_vec bvec = {
			.bv_page = m->pages[i],
			.bv_offset = m->off + off,
			.bv_len = n,
		};
		int ret;

		msg.msg_flags |= p->sent + n < m->len ? MSG_MORE : MSG_EOR;
		if (p->flags & KU_PUMP_SPLICE)
			msg.msg_flags |= MSG_SPLICE_PAGES;
		iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, &bvec, 1, n);
		ret = sock_sendmsg(p->sock, &msg);
		if (ret == -EAGAIN)
			return;
		if (ret <= 0)
			p->out_err = ret ? ret : -EIO;
		else
			p->sent += ret;
	}
}

static int pump_actor(read_descriptor_t *desc, struct sk_buff *skb,
		      unsigned int offset, size_t len)
{
	struct ku_pump *p = desc->arg.data;

	if (len > KU_PUMP_MAX - p->got)
		return -ENOBUFS;
	if (skb_copy_bits(skb, offset, p->in + p->got, len))
		return -EFAULT;
	p->got += len;
	return len;
}

static int pump_read_sock(struct ku_pump *p)
{
	read_descriptor_t desc = { .arg.data = p, .count = 1 };
	struct sock *sk = p->sock->sk;
	int ret;

	lock_sock(sk);
	ret = READ_ONCE(p->sock->ops)->read_sock(sk, &desc, pump_actor);
	release_sock(sk);
	return ret;
}

/* As RPC does: a control buffer only once one is needed. */
static int pump_recvmsg(struct ku_pump *p)
{
	union ku_control control = { };
	struct msghdr msg = { };
	struct kvec kvec = {
		.iov_base = p->in + p->got,
		.iov_len = min(KU_PUMP_MAX - p->got, 100000u),
	};
	u8 alert[2];
	int ret;

	iov_iter_kvec(&msg.msg_iter, ITER_DEST, &kvec, 1, kvec.iov_len);
	ret = sock_recvmsg(p->sock, &msg, MSG_DONTWAIT);
	if (ret > 0)
		p->got += ret;
	if (!(msg.msg_flags & MSG_CTRUNC) || (ret && ret != -EIO))
		return ret;

	kvec.iov_base = alert;
	kvec.iov_len = sizeof(alert);
	msg = (struct msghdr){
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	iov_iter_kvec(&msg.msg_iter, ITER_DEST, &kvec, 1, kvec.iov_len);
	ret = sock_recvmsg(p->sock, &msg, MSG_DONTWAIT);
	if (ret < 0)
		return ret;
	if (control.cmsg.cmsg_level != SOL_TLS ||
	    *(u8 *)CMSG_DATA(&control.cmsg) == KU_TYPE_DATA)
		return -EPROTO;
	if (msg.msg_flags & MSG_EOR)
		p->control++;
	return 1;
}

static void pump_work(struct work_struct *work)
{
	struct ku_pump *p = container_of(work, struct ku_pump, work);
	int ret;

	mutex_lock(&p->lock);
	pump_send(p);
	while (!p->err) {
		ret = p->flags & KU_PUMP_RECVMSG ? pump_recvmsg(p) :
						   pump_read_sock(p);
		if (ret == -EAGAIN)
			break;
		if (ret <= 0)
			p->err = ret ? ret : 1;
		cond_resched();
	}
	mutex_unlock(&p->lock);
}

static int pump_start(struct ku_file *f, struct socket *sock, u32 flags)
{
	struct sock *sk = sock->sk;
	struct ku_pump *p;

	if (f->pump)
		return -EBUSY;
	p = kzalloc(sizeof(*p), GFP_KERNEL);
	if (!p)
		return -ENOMEM;
	p->in = vzalloc(KU_PUMP_MAX);
	if (!p->in) {
		kfree(p);
		return -ENOMEM;
	}
	p->sock = sock;
	p->flags = flags;
	INIT_WORK(&p->work, pump_work);
	mutex_init(&p->lock);
	xa_init(&p->out.xa);
	get_file(sock->file);
	f->pump = p;

	write_lock_bh(&sk->sk_callback_lock);
	sk->sk_user_data = p;
	p->old_ready = sk->sk_data_ready;
	p->old_space = sk->sk_write_space;
	p->old_state = sk->sk_state_change;
	sk->sk_data_ready = pump_ready;
	sk->sk_write_space = pump_space;
	sk->sk_state_change = pump_state;
	p->old_allocation = sk->sk_allocation;
	if (flags & KU_PUMP_NOIO)
		sk->sk_allocation = GFP_NOIO;
	write_unlock_bh(&sk->sk_callback_lock);
	return 0;
}

static void pump_end(struct ku_file *f)
{
	struct ku_pump *p = f->pump;
	struct sock *sk;

	if (!p)
		return;
	sk = p->sock->sk;
	write_lock_bh(&sk->sk_callback_lock);
	sk->sk_user_data = NULL;
	sk->sk_data_ready = p->old_ready;
	sk->sk_write_space = p->old_space;
	sk->sk_state_change = p->old_state;
	sk->sk_allocation = p->old_allocation;
	write_unlock_bh(&sk->sk_callback_lock);
	cancel_work_sync(&p->work);
	fput(p->sock->file);
	mem_free(&p->out);
	vfree(p->in);
	kfree(p);
	f->pump = NULL;
}

static int pump_take_send(struct ku_pump *p, struct ku_call *c)
{
	int err = -EBUSY;

	mutex_lock(&p->lock);
	if (p->sent == p->out.len) {
		mem_free(&p->out);
		p->sent = 0;
		err = mem_alloc(&p->out, c);
		if (!err)
			err = mem_fill(&p->out, u64_to_user_ptr(c->buf));
		if (err)
			mem_free(&p->out);
	}
	mutex_unlock(&p->lock);
	queue_work(pump_wq, &p->work);
	return err;
}

static int pump_tell(struct ku_pump *p, struct ku_call *c)
{
	int err = 0;

	/* The work is started by callbacks; here only for what was there first. */
	if (c->flags)
		queue_work(pump_wq, &p->work);
	mutex_lock(&p->lock);
	c->got = p->got;
	c->ret = p->err;
	c->error = p->out_err;
	c->left = p->out.len - p->sent;
	c->control = p->control;
	c->ready = atomic_read(&p->ready);
	c->softirq = atomic_read(&p->softirq);
	c->space = atomic_read(&p->space);
	if (copy_to_user(u64_to_user_ptr(c->buf), p->in, min(c->len, p->got)))
		err = -EFAULT;
	mutex_unlock(&p->lock);
	return err;
}

/* ---- the device ---- */

static int on_socket(struct ku_file *f, struct ku_call *c)
{
	struct socket *sock;
	int err;

	sock = sockfd_lookup(c->fd, &err);
	if (!sock)
		return err;
	switch (c->op) {
	case KU_SEND:
		err = do_send(sock, c);
		break;
	case KU_SENDPAGE:
		err = do_sendpage(sock, c);
		break;
	case KU_SPLICE_EOF:
		err = do_splice_eof(sock);
		break;
	case KU_RECV:
		err = do_recv(sock, c);
		break;
	case KU_READ_SOCK:
		err = do_read_sock(f, sock, c);
		break;
	case KU_PUMP:
		err = pump_start(f, sock, c->flags);
		break;
	default:
		err = -EINVAL;
	}
	sockfd_put(sock);
	return err;
}

static int on_pump(struct ku_file *f, struct ku_call *c)
{
	if (!f->pump)
		return -ENOTCONN;
	switch (c->op) {
	case KU_PUMP_SEND:
		return pump_take_send(f->pump, c);
	case KU_PUMP_STATE:
		return pump_tell(f->pump, c);
	default:
		pump_end(f);
		return 0;
	}
}

static long ku_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct ku_file *f = file->private_data;
	struct ku_call c;
	int err;

	if (cmd != KU_CALL)
		return -ENOTTY;
	if (copy_from_user(&c, (void __user *)arg, sizeof(c)))
		return -EFAULT;

	if (mutex_lock_interruptible(&f->lock))
		return -EINTR;
	if (c.op == KU_HELD)
		err = do_held(f, &c);
	else if (c.op >= KU_PUMP_SEND)
		err = on_pump(f, &c);
	else
		err = on_socket(f, &c);
	mutex_unlock(&f->lock);

	if (!err && copy_to_user((void __user *)arg, &c, sizeof(c)))
		err = -EFAULT;
	return err;
}

static int ku_open(struct inode *inode, struct file *file)
{
	struct ku_file *f = kvzalloc(sizeof(*f), GFP_KERNEL);

	if (!f)
		return -ENOMEM;
	mutex_init(&f->lock);
	file->private_data = f;
	return 0;
}

static int ku_release(struct inode *inode, struct file *file)
{
	struct ku_file *f = file->private_data;

	pump_end(f);
	while (f->nr_held)
		kfree_skb(f->held[--f->nr_held].skb);
	kvfree(f);
	return 0;
}

static const struct file_operations ku_fops = {
	.owner		= THIS_MODULE,
	.open		= ku_open,
	.release	= ku_release,
	.unlocked_ioctl	= ku_ioctl,
};

static struct miscdevice ku_device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "tlsrec_kuser",
	.fops	= &ku_fops,
	.mode	= 0600,
};

static int __init ku_init(void)
{
	int err;

	pump_wq = alloc_workqueue("tlsrec_kuser", WQ_UNBOUND, 0);
	if (!pump_wq)
		return -ENOMEM;
	err = misc_register(&ku_device);
	if (err)
		destroy_workqueue(pump_wq);
	return err;
}

static void __exit ku_exit(void)
{
	misc_deregister(&ku_device);
	destroy_workqueue(pump_wq);
}

module_init(ku_init);
module_exit(ku_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("In-kernel user of a TLS socket, for tests");
