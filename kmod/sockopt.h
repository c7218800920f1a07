/* SPDX-License-Identifier: GPL-2.0-only */
/* Socket options of the SOL_TLS level. */
#ifndef TLSREC_SOCKOPT_H
#define TLSREC_SOCKOPT_H

#include <linux/sockptr.h>

struct sock;

int tlsrec_setsockopt(struct sock *sk, int level, int optname,
		      sockptr_t optval, unsigned int optlen);
int tlsrec_getsockopt(struct sock *sk, int level, int optname,
		      char __user *optval, int __user *optlen);

#endif /* TLSREC_SOCKOPT_H */
