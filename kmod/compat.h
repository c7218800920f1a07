/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every difference between the kernels tlsrec builds on is here; the rest of
 * the module reads as if written for the newest one.
 */
#ifndef TLSREC_COMPAT_H
#define TLSREC_COMPAT_H

#include <linux/bvec.h>
#include <linux/socket.h>
#include <linux/tls.h>
#include <linux/uio.h>
#include <linux/version.h>
#include <net/sock.h>
#include <net/tcp.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#include <linux/unaligned.h>
#else
#include <asm/unaligned.h>
#endif

/* Newer than the <linux/tls.h> of some of the kernels. */
#ifndef TLS_TX_MAX_PAYLOAD_LEN
#define TLS_TX_MAX_PAYLOAD_LEN	5
#endif

/* sendpage() gave way to sendmsg(MSG_SPLICE_PAGES) in 6.5. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
#define TLSREC_HAVE_SENDPAGE
#define TLSREC_MSG_NOTLAST	MSG_SENDPAGE_NOTLAST
#define TLSREC_MSG_POLICY	(MSG_SENDPAGE_NOPOLICY | MSG_SENDPAGE_NOTLAST)
#else
#define TLSREC_MSG_NOTLAST	0
#define TLSREC_MSG_POLICY	MSG_SENDPAGE_NOPOLICY
#endif

/* ioctl of struct proto takes a kernel pointer since 6.5. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
typedef unsigned long tlsrec_ioctl_arg;

static inline int tlsrec_ioctl_answer(tlsrec_ioctl_arg arg, int value)
{
	return put_user(value, (int __user *)arg);
}
#else
typedef int *tlsrec_ioctl_arg;

static inline int tlsrec_ioctl_answer(tlsrec_ioctl_arg arg, int value)
{
	*arg = value;
	return 0;
}
#endif

/* recvmsg of struct proto has an unused last argument before 7.0. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
#define TLSREC_RECVMSG_LAST_ARG	, int *addr_len
#else
#define TLSREC_RECVMSG_LAST_ARG
#endif

/* get_info and get_info_size of struct tcp_ulp_ops know the asker's rights. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 18, 0)
#define TLSREC_GET_INFO_LAST_ARG
#else
#define TLSREC_GET_INFO_LAST_ARG	, bool net_admin
#endif

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

		ret = tcp_sendpage_locked(sk, bvec->bv_page, bvec->bv_offset,
					  bvec->bv_len, flags | more |
					  MSG_NO_SHARED_FRAGS);
		if (ret < 0)
			return sent ? sent : ret;
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
