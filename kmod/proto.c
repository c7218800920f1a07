// SPDX-License-Identifier: GPL-2.0-only
/*
 * A socket's calls go through its struct proto and struct proto_ops. tlsrec
 * has copies of TCP's for each address family and each combination of set
 * keys, with its own functions in the places that matter for it, so a call
 * needs no question of what the socket can do.
 */

#include <linux/skmsg.h>

#include "proto.h"

enum { FAMILY_V4, FAMILY_V6, NR_FAMILIES };

/**
 * struct family - protos of an address family
 * @base: TCP's own, %NULL until the first socket of the family came
 * @base_ops: likewise
 * @prot: indexed by whether TLS_TX is set and whether TLS_RX is
 * @ops: likewise
 */
struct family {
	struct proto		*base;
	const struct proto_ops	*base_ops;
	struct proto		prot[2][2];
	struct proto_ops	ops[2][2];
};

static struct family families[NR_FAMILIES];
/* Orders the building of a family's protos. */
static DEFINE_MUTEX(families_lock);

/* The family never changes: IPV6_ADDRFORM is refused for foreign protos. */
static struct family *family_of(const struct sock *sk)
{
	return &families[sk->sk_family == AF_INET6 ? FAMILY_V6 : FAMILY_V4];
}

/**
 * tlsrec_base_proto() - TCP's functions for a socket that is ours
 * @sk: a socket
 */
const struct proto *tlsrec_base_proto(const struct sock *sk)
{
	/* Pairs with the release in tlsrec_proto_build(). */
	return smp_load_acquire(&family_of(sk)->base);
}

/**
 * tlsrec_base_ops() - likewise
 * @sk: a socket that is ours, so that its family's are known
 */
const struct proto_ops *tlsrec_base_ops(const struct sock *sk)
{
	return family_of(sk)->base_ops;
}

static void family_fill(struct family *f, const struct proto *base,
			const struct proto_ops *base_ops,
			tlsrec_proto_fill fill)
{
	int tx, rx;

	f->base_ops = base_ops;
	for (tx = 0; tx < 2; tx++) {
		for (rx = 0; rx < 2; rx++) {
			struct proto *prot = &f->prot[tx][rx];
			struct proto_ops *ops = &f->ops[tx][rx];

			*prot = *base;
			*ops = *base_ops;
			fill(prot, ops, tx, rx);
		}
	}
}

/**
 * tlsrec_proto_build() - build the protos of a socket's family, unless they are
 * @sk: locked
 * @fill: puts in the module's functions
 *
 * TCP over IPv6 may be a module, so its proto is known only from a socket that
 * has it.
 *
 * Return: 0, or -EINVAL: somebody else has put functions of his own there.
 */
int tlsrec_proto_build(struct sock *sk, tlsrec_proto_fill fill)
{
	struct family *f = family_of(sk);
	struct proto *base = READ_ONCE(sk->sk_prot);

	/* Pairs with the release below. */
	if (!smp_load_acquire(&f->base)) {
		mutex_lock(&families_lock);
		if (!f->base) {
			family_fill(f, base, sk->sk_socket->ops, fill);
			/* The tables are complete when they are announced. */
			smp_store_release(&f->base, base);
		}
		mutex_unlock(&families_lock);
	}

	return f->base == base ? 0 : -EINVAL;
}

/**
 * tlsrec_update_proto() - let calls see which keys are set
 * @sk: locked
 * @ctx: its context, complete
 */
void tlsrec_update_proto(struct sock *sk, const struct tlsrec_ctx *ctx)
{
	struct family *f = family_of(sk);
	bool tx = ctx->tx.key.cipher, rx = ctx->rx.key.cipher;

	/*
	 * A call on another CPU that finds the new functions takes the socket
	 * lock before it looks at the context; poll, which does not, reads
	 * words that are valid from the start.
	 */
	WRITE_ONCE(sk->sk_socket->ops, &f->ops[tx][rx]);
	WRITE_ONCE(sk->sk_prot, &f->prot[tx][rx]);
}

/**
 * tlsrec_in_sockmap() - has BPF put the socket into a sockmap?
 * @sk: a socket
 */
bool tlsrec_in_sockmap(const struct sock *sk)
{
	bool yes;

	rcu_read_lock();
	yes = sk_psock(sk);
	rcu_read_unlock();
	return yes;
}
