/* SPDX-License-Identifier: GPL-2.0-only */
/* Which functions a socket's calls go to: TCP's, or ours in front of them. */
#ifndef TLSREC_PROTO_H
#define TLSREC_PROTO_H

#include "tlsrec.h"

/* Puts functions into copies of TCP's, for sockets with the keys @tx and @rx. */
typedef void (*tlsrec_proto_fill)(struct proto *prot, struct proto_ops *ops,
				  bool tx, bool rx);

const struct proto *tlsrec_base_proto(const struct sock *sk);
const struct proto_ops *tlsrec_base_ops(const struct sock *sk);
int tlsrec_proto_build(struct sock *sk, tlsrec_proto_fill fill);
void tlsrec_update_proto(struct sock *sk, const struct tlsrec_ctx *ctx);
bool tlsrec_in_sockmap(const struct sock *sk);

#endif /* TLSREC_PROTO_H */
