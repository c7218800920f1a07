/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every difference between the kernels tlsrec builds on is here; the rest of
 * the module reads as if written for the newest one.
 */
#ifndef TLSREC_COMPAT_H
#define TLSREC_COMPAT_H

#include <linux/bvec.h>
#include <linux/mm.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/socket.h>
#include <linux/sockios.h>
#include <linux/tls.h>
#include <linux/uio.h>
#include <linux/version.h>
#include <linux/workqueue.h>
#include <net/sock.h>
#include <net/tcp.h>

#include <asm/ioctls.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#include <linux/unaligned.h>
#else
#include <asm/unaligned.h>
#endif

/* Newer than the <linux/tls.h> of some of the kernels. */
#ifndef TLS_TX_MAX_PAYLOAD_LEN
#define TLS_TX_MAX_PAYLOAD_LEN		5
#define TLS_INFO_TX_MAX_PAYLOAD_LEN	7
#endif

/*
 * sendpage() gave way to sendmsg(MSG_SPLICE_PAGES) in 6.5. Before, a splice came
 * page by page.
 */
#define TLSREC_SPLICE_BY_PAGE (LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0))

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
#define TLSREC_HAVE_SENDPAGE
#define TLSREC_MSG_NOTLAST	MSG_SENDPAGE_NOTLAST
#else
#define TLSREC_MSG_NOTLAST	0
#endif

/*
 * Before 6.15 the crypto API goes through memory page by page, whatever it is
 * a part of.
 */
#define TLSREC_WALK_BY_PAGE (LINUX_VERSION_CODE < KERNEL_VERSION(6, 15, 0))

/* What a workqueue is unless it says WQ_UNBOUND has to be said since 6.18. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
#define TLSREC_WQ_PERCPU	WQ_PERCPU
#else
#define TLSREC_WQ_PERCPU	0
#endif

typedef unsigned long (*tlsrec_shrink)(struct shrinker *shrinker,
				       struct shrink_control *sc);

/**
 * tlsrec_shrinker_start() - be asked for memory from now on
 * @name: for those who look
 * @count: how much there is
 * @scan: give some back
 *
 * Return: for tlsrec_shrinker_stop(), or %NULL.
 */
static inline struct shrinker *tlsrec_shrinker_start(const char *name,
						     tlsrec_shrink count,
						     tlsrec_shrink scan)
{
	struct shrinker *shrinker;

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
	shrinker = shrinker_alloc(0, "%s", name);
#else
	shrinker = kzalloc(sizeof(*shrinker), GFP_KERNEL);
#endif
	if (!shrinker)
		return NULL;
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	shrinker->seeks = DEFAULT_SEEKS;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
	shrinker_register(shrinker);
#else
	if (register_shrinker(shrinker, "%s", name)) {
		kfree(shrinker);
		return NULL;
	}
#endif
	return shrinker;
}

static inline void tlsrec_shrinker_stop(struct shrinker *shrinker)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
	shrinker_free(shrinker);
#else
	unregister_shrinker(shrinker);
	kfree(shrinker);
#endif
}

/* Packets whose data is in a device's memory came with 6.12. */
static inline bool tlsrec_frags_readable(const struct sk_buff *skb)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
	return skb_frags_readable(skb);
#else
	return true;
#endif
}

/*
 * Functions that struct proto and struct tcp_ulp_ops want with one signature
 * or another. Each macro makes one from a function that has the same on every
 * kernel.
 */

/* Parameters of proto.recvmsg, and a call of @prot's by one that has them */
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
#define TLSREC_RECVMSG_PARAMS(...)	__VA_ARGS__, int *addr_len
#define TLSREC_RECVMSG(prot, sk, msg, len, flags)			\
	((prot)->recvmsg(sk, msg, len, flags, addr_len))
#else
#define TLSREC_RECVMSG_PARAMS(...)	__VA_ARGS__
#define TLSREC_RECVMSG(prot, sk, msg, len, flags)			\
	((prot)->recvmsg(sk, msg, len, flags))
#endif

/* proto.recvmsg of int @fn(sk, msg, len, flags) */
#define TLSREC_RECVMSG_WRAPPER(name, fn)				\
static int name(TLSREC_RECVMSG_PARAMS(struct sock *sk,			\
				      struct msghdr *msg, size_t len,	\
				      int flags))			\
{									\
	return fn(sk, msg, len, flags);					\
}

/*
 * proto.ioctl of bool @fn(sk, cmd, &answer), whether it has one; the others are
 * of @base(sk)
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
#define TLSREC_IOCTL_WRAPPER(name, fn, base)				\
static int name(struct sock *sk, int cmd, unsigned long arg)		\
{									\
	int answer;							\
									\
	if (!(fn)(sk, cmd, &answer))					\
		return base(sk)->ioctl(sk, cmd, arg);			\
	return put_user(answer, (int __user *)arg);			\
}
#else
#define TLSREC_IOCTL_WRAPPER(name, fn, base)				\
static int name(struct sock *sk, int cmd, int *karg)			\
{									\
	if (!(fn)(sk, cmd, karg))						\
		return base(sk)->ioctl(sk, cmd, karg);			\
	return 0;							\
}
#endif

/* tcp_ulp_ops.get_info and .get_info_size, without the question who asks */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 18, 0)
#define TLSREC_GET_INFO_ARGS(...)	__VA_ARGS__
#else
#define TLSREC_GET_INFO_ARGS(...)	__VA_ARGS__, bool net_admin
#endif

/* Where in the program's memory does @iter stand? It is of such memory. */
static inline unsigned long tlsrec_iter_addr(const struct iov_iter *iter)
{
	const void __user *base;

	if (iter_is_ubuf(iter))
		base = iter->ubuf;
	else
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
		base = iter_iov(iter)->iov_base;
#else
		base = iter->iov->iov_base;
#endif
	return (unsigned long)base + iter->iov_offset;
}

/**
 * tlsrec_pin_pages() - keep pages of the program's memory where they are
 * @iter: stands at @len bytes in one segment of its memory; is advanced
 * @len: bytes, more than none
 * @pages: result, for tlsrec_unpin_pages()
 * @max: entries of @pages, enough for @len bytes
 *
 * Return: bytes in @pages, which may be fewer than @len, or a negative errno.
 */
static inline ssize_t tlsrec_pin_pages(struct iov_iter *iter, size_t len,
				       struct page **pages, unsigned int max)
{
	size_t off;

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	return iov_iter_extract_pages(iter, &pages, len, max, 0, &off);
#else
	return iov_iter_get_pages2(iter, pages, len, max, &off);
#endif
}

static inline void tlsrec_unpin_pages(struct page **pages, unsigned int nr)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	unpin_user_pages(pages, nr);
#else
	while (nr--)
		put_page(pages[nr]);
#endif
}

/**
 * tlsrec_push_pages() - hand pages to TCP without copying them
 * @sk: locked; the lock may be dropped while waiting for space
 * @bvec: what to send
 * @nr: entries of @bvec
 * @bytes: bytes in them
 * @flags: MSG_DONTWAIT, MSG_NOSIGNAL, MSG_MORE, TLSREC_MSG_NOTLAST
 *
 * Return: bytes taken, which may be fewer than @bytes, or a negative errno.
 */
static inline int tlsrec_push_pages(struct sock *sk, struct bio_vec *bvec,
				    unsigned int nr, size_t bytes, int flags)
{
#ifdef TLSREC_HAVE_SENDPAGE
	int sent = 0;

	while (nr--) {
		int more = nr ? MSG_SENDPAGE_NOTLAST : 0;
		int ret;

		ret = do_tcp_sendpages(sk, bvec->bv_page, bvec->bv_offset,
				       bvec->bv_len, flags | more |
				       MSG_NO_SHARED_FRAGS);
		if (ret < 0) {
			if (!sent)
				return ret;
			/* TCP tells what was left on the socket only once. */
			if (ret != -EAGAIN && ret != -EPIPE)
				cmpxchg(&sk->sk_err, 0, -ret);
			break;
		}
		sent += ret;
		if (ret < bvec->bv_len)
			break;
		bvec++;
	}

	return sent;
#else
	struct msghdr msg = {
		.msg_flags = flags | MSG_SPLICE_PAGES | MSG_NO_SHARED_FRAGS,
	};

	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, bvec, nr, bytes);
	return tcp_sendmsg_locked(sk, &msg, bytes);
#endif
}

#endif /* TLSREC_COMPAT_H */
