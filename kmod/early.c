// SPDX-License-Identifier: GPL-2.0-only
/*
 * A direction without a key is TCP's. A call of TCP's that is still under way
 * when the key comes would send plaintext behind it, or take ciphertext from
 * under the record layer; so none may be.
 *
 * A writer is TCP's while he holds the socket lock, which he gives away only to
 * sleep, and sk_write_pending counts those who do. He who was on his way to the
 * lock finds the key there.
 *
 * TCP's readers take the lock by themselves, so they are counted, from the moment
 * that they found no key to their end. Readers from before the ULP are not among
 * them, but can be seen while they sleep.
 *
 * What began before the ULP was set, and is neither asleep nor at the lock when
 * the key comes, nobody can see.
 */

#include <linux/wait.h>

#include "early.h"
#include "proto.h"
#include "rx.h"
#include "rxfeed.h"
#include "tx.h"
#include "txpage.h"

/* The error queue has no bytes of the stream. */
static bool takes_bytes(int flags)
{
	return !(flags & MSG_ERRQUEUE);
}

/**
 * early_read_begin() - may TCP read for this call?
 * @sk: not locked
 * @flags: MSG_*
 *
 * Return: yes, and then early_read_end() ends it; no, there is a key.
 */
bool early_read_begin(struct sock *sk, int flags)
{
	struct tlsrec_rx *rx;
	bool early;

	if (!takes_bytes(flags))
		return true;
	lock_sock(sk);
	rx = &tlsrec_ctx(sk)->rx;
	early = !rx->key.cipher;
	if (early)
		rx->early++;
	release_sock(sk);
	return early;
}

void early_read_end(struct sock *sk, int flags)
{
	if (!takes_bytes(flags))
		return;
	lock_sock(sk);
	tlsrec_ctx(sk)->rx.early--;
	release_sock(sk);
}

/* Sleepers on the socket's queue that are TCP's; pollers have other functions. */
static unsigned int sleepers(struct sock *sk)
{
	wait_queue_head_t *queue = sk_sleep(sk);
	wait_queue_entry_t *entry;
	unsigned int nr = 0;

	spin_lock_irq(&queue->lock);
	list_for_each_entry(entry, &queue->head, entry)
		nr += entry->func == woken_wake_function;
	spin_unlock_irq(&queue->lock);
	return nr;
}

/**
 * early_reader() - is somebody in a read of TCP's?
 * @sk: locked, without a receive key
 */
bool early_reader(struct sock *sk)
{
	/* Writers sleep in the same way on the same queue. */
	return tlsrec_ctx(sk)->rx.early ||
	       sleepers(sk) > (unsigned int)sk->sk_write_pending;
}

/**
 * early_writer() - is somebody in a write of TCP's?
 * @sk: locked, without a transmit key
 */
bool early_writer(const struct sock *sk)
{
	return sk->sk_write_pending;
}

/**
 * tlsrec_early_sendmsg() - sendmsg() of a socket without a transmit key
 * @sk: not locked
 * @msg: the message
 * @size: its size in bytes
 *
 * Return: what tcp_sendmsg() does, or with a key meanwhile tlsrec_sendmsg().
 */
int tlsrec_early_sendmsg(struct sock *sk, struct msghdr *msg, size_t size)
{
	int ret;

	lock_sock(sk);
	if (unlikely(tlsrec_ctx(sk)->tx.key.cipher)) {
		release_sock(sk);
		return tlsrec_sendmsg(sk, msg, size);
	}
	ret = tcp_sendmsg_locked(sk, msg, size);
	release_sock(sk);
	return ret;
}

#ifdef TLSREC_HAVE_SENDPAGE
/* The same for a page of a splice. */
int tlsrec_early_sendpage(struct sock *sk, struct page *page, int offset,
			  size_t size, int flags)
{
	int ret;

	lock_sock(sk);
	if (unlikely(tlsrec_ctx(sk)->tx.key.cipher)) {
		release_sock(sk);
		return tlsrec_sendpage(sk, page, offset, size, flags);
	}
	ret = tcp_sendpage_locked(sk, page, offset, size, flags);
	release_sock(sk);
	return ret;
}
#endif

/* recvmsg() of a socket without a receive key, or with one meanwhile. */
int tlsrec_early_recvmsg(TLSREC_RECVMSG_PARAMS(struct sock *sk,
					       struct msghdr *msg, size_t len,
					       int flags))
{
	int ret;

	if (!early_read_begin(sk, flags))
		return tlsrec_recvmsg(sk, msg, len, flags);
	ret = TLSREC_RECVMSG(tlsrec_base_proto(sk), sk, msg, len, flags);
	early_read_end(sk, flags);
	return ret;
}

/**
 * tlsrec_early_splice_read() - splice() from a socket without a receive key
 * @sock: the socket
 * @ppos: unused
 * @pipe: locked
 * @len: bytes at most
 * @flags: SPLICE_F_*
 *
 * Return: what TCP's does, or with a key meanwhile tlsrec_splice_read().
 */
ssize_t tlsrec_early_splice_read(struct socket *sock, loff_t *ppos,
				 struct pipe_inode_info *pipe, size_t len,
				 unsigned int flags)
{
	struct sock *sk = sock->sk;
	ssize_t ret;

	if (!early_read_begin(sk, 0))
		return tlsrec_splice_read(sock, ppos, pipe, len, flags);
	ret = tlsrec_base_ops(sk)->splice_read(sock, ppos, pipe, len, flags);
	early_read_end(sk, 0);
	return ret;
}
