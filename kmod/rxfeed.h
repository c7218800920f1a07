/* SPDX-License-Identifier: GPL-2.0-only */
/* Receive, without a copy: splice(), and readers inside the kernel. */
#ifndef TLSREC_RXFEED_H
#define TLSREC_RXFEED_H

#include "tlsrec.h"

struct pipe_inode_info;

ssize_t tlsrec_splice_read(struct socket *sock, loff_t *ppos,
			   struct pipe_inode_info *pipe, size_t len,
			   unsigned int flags);
int tlsrec_read_sock(struct sock *sk, read_descriptor_t *desc,
		     sk_read_actor_t actor);

#endif /* TLSREC_RXFEED_H */
