/* SPDX-License-Identifier: GPL-2.0-only */
/* Receive: from records in TCP's receive queue to the program's bytes. */
#ifndef TLSREC_RX_H
#define TLSREC_RX_H

#include <linux/poll.h>

#include "compat.h"
#include "tlsrec.h"

struct pipe_inode_info;

void tlsrec_rx_exit(void);
ssize_t tlsrec_splice_read(struct socket *sock, loff_t *ppos,
			   struct pipe_inode_info *pipe, size_t len,
			   unsigned int flags);
int tlsrec_read_sock(struct sock *sk, read_descriptor_t *desc,
		     sk_read_actor_t actor);
__poll_t tlsrec_poll(struct file *file, struct socket *sock,
		     struct poll_table_struct *wait);
bool tlsrec_sock_is_readable(struct sock *sk);
void tlsrec_data_ready(struct sock *sk);
void tlsrec_rx_start(struct sock *sk, struct tlsrec_rx *rx);
void tlsrec_rx_free(struct tlsrec_rx *rx);

#endif /* TLSREC_RX_H */
