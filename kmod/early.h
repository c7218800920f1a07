/* SPDX-License-Identifier: GPL-2.0-only */
/* The calls of a direction that has no key yet. */
#ifndef TLSREC_EARLY_H
#define TLSREC_EARLY_H

#include "compat.h"
#include "tlsrec.h"

bool early_read_begin(struct sock *sk, int flags);
void early_read_end(struct sock *sk, int flags);
bool early_reader(struct sock *sk);
bool early_writer(const struct sock *sk);
int tlsrec_early_sendmsg(struct sock *sk, struct msghdr *msg, size_t size);
int tlsrec_early_recvmsg(TLSREC_RECVMSG_PARAMS(struct sock *sk,
					       struct msghdr *msg, size_t len,
					       int flags));
ssize_t tlsrec_early_splice_read(struct socket *sock, loff_t *ppos,
				 struct pipe_inode_info *pipe, size_t len,
				 unsigned int flags);
#ifdef TLSREC_HAVE_SENDPAGE
int tlsrec_early_sendpage(struct sock *sk, struct page *page, int offset,
			  size_t size, int flags);
#endif

#endif /* TLSREC_EARLY_H */
