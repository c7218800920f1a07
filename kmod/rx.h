/* SPDX-License-Identifier: GPL-2.0-only */
/* Receive: from records in TCP's receive queue to the program's bytes. */
#ifndef TLSREC_RX_H
#define TLSREC_RX_H

#include <linux/poll.h>

#include "compat.h"
#include "tlsrec.h"

struct pipe_inode_info;

void tlsrec_rx_exit(void);
int tlsrec_recvmsg(struct sock *sk, struct msghdr *msg, size_t len, int flags
		   TLSREC_RECVMSG_LAST_ARG);
ssize_t tlsrec_splice_read(struct socket *sock, loff_t *ppos,
			   struct pipe_inode_info *pipe, size_t len,
			   unsigned int flags);
__poll_t tlsrec_poll(struct file *file, struct socket *sock,
		     struct poll_table_struct *wait);
int tlsrec_ioctl(struct sock *sk, int cmd, tlsrec_ioctl_arg arg);
bool tlsrec_sock_is_readable(struct sock *sk);
void tlsrec_data_ready(struct sock *sk);
void tlsrec_rx_start(struct sock *sk, struct tlsrec_rx *rx);
void tlsrec_rx_free(struct tlsrec_rx *rx);

#endif /* TLSREC_RX_H */
