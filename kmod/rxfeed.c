// SPDX-License-Identifier: GPL-2.0-only
/*
 * Receive, without a copy: application data for splice() and for readers inside
 * the kernel.
 */

#include <linux/fs.h>
#include <linux/splice.h>

#include "rxcall.h"
#include "rxfeed.h"

static void pipe_page_put(struct splice_pipe_desc *spd, unsigned int i)
{
	put_page(spd->pages[i]);
}

/* Give a pipe references to the pages of a record. Returns bytes it took. */
static ssize_t splice_buf(struct tlsrec_buf *buf, struct pipe_inode_info *pipe,
			  size_t len)
{
	struct page *pages[TLSREC_BUF_PAGES];
	struct partial_page partial[ARRAY_SIZE(pages)];
	struct splice_pipe_desc spd = {
		.pages		= pages,
		.partial	= partial,
		.nr_pages_max	= ARRAY_SIZE(pages),
		.ops		= &nosteal_pipe_buf_ops,
		.spd_release	= pipe_page_put,
	};
	unsigned int n, done;

	len = min_t(size_t, len, buf->len);
	for (done = 0; done < len; done += n) {
		unsigned int off;
		void *data;

		n = len - done;
		data = tlsrec_buf_piece(buf, done, &n);
		off = offset_in_page(data);
		n = min_t(unsigned int, n, PAGE_SIZE - off);
		pages[spd.nr_pages] = virt_to_page(data);
		get_page(pages[spd.nr_pages]);
		partial[spd.nr_pages].offset = off;
		partial[spd.nr_pages].len = n;
		partial[spd.nr_pages].private = 0;
		spd.nr_pages++;
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
			buf = rxcall_next(call, copied, 1);
			if (IS_ERR_OR_NULL(buf)) {
				ret = PTR_ERR(buf);
				break;
			}
			rxrec_keep(rx, buf);
		}
		/* There is no way to tell the type. */
		ret = -EINVAL;
		if (buf->type != TLSREC_TYPE_DATA)
			break;
		if (unlikely(!buf->len)) {
			rxrec_drop(rx, buf);
			ret = rxcall_empty(call, copied);
			if (ret)
				break;
			continue;
		}
		ret = take(call, buf, arg);
		if (ret <= 0)
			break;
		copied += ret;
		buf->off += ret;
		buf->len -= ret;
		if (!buf->len)
			rxrec_drop(rx, buf);
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
	ret = rxcall_start(&call, sk, nonblock);
	if (!ret) {
		ret = rx_feed(&call, take_splice, &s, &s.left);
		rxcall_end(&call);
	}
	release_sock(sk);
	return ret;
}

struct rx_actor {
	read_descriptor_t	*desc;
	sk_read_actor_t		actor;
};

/* Make the bytes of a record those of a packet, which has none yet. */
static void actor_pages(struct sk_buff *skb, struct tlsrec_buf *buf)
{
	unsigned int n, done, nr = 0;

	for (done = 0; done < buf->len; done += n) {
		struct page *page;
		void *data;

		n = buf->len - done;
		data = tlsrec_buf_piece(buf, done, &n);
		page = virt_to_head_page(data);
		get_page(page);
		skb_add_rx_frag(skb, nr, page, data - page_address(page), n,
				nr ? 0 : tlsrec_buf_mem(buf));
		nr++;
	}
}

/* The actor may keep the packet: it has a reference on the record's pages. */
static ssize_t take_actor(struct rx_call *call, struct tlsrec_buf *buf,
			  void *arg)
{
	struct rx_actor *a = arg;
	struct sk_buff *skb;
	ssize_t n;

	skb = alloc_skb(0, call->sk->sk_allocation);
	if (!skb)
		return -ENOMEM;
	actor_pages(skb, buf);
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

	ret = rxcall_start(&call, sk, true);
	if (ret)
		return ret;
	ret = rx_feed(&call, take_actor, &a, &desc->count);
	if (unlikely(ret == -ENOMEM)) {
		/* For NVMe any other error is the end; as above, and an event. */
		desc->error = -ENOMEM;
		call.rx->turn.refused = true;
		ret = -EAGAIN;
	}
	rxcall_end(&call);
	return ret;
}
