/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What stays with a socket beyond a call is charged to it, as TCP's queues are:
 * it counts for tcp_mem and for the memory cgroup. It does not count for send
 * or receive buffer: what waits for a call of the program's must not keep TCP
 * from that what the call waits for.
 */
#ifndef TLSREC_CHARGE_H
#define TLSREC_CHARGE_H

#include <linux/bottom_half.h>
#include <net/sock.h>

/**
 * tlsrec_charge() - charge more or less than before
 * @sk: locked, by this task or by softirq
 * @charged: bytes charged so far, and afterwards
 * @want: bytes to be charged
 *
 * Return: whether it could; less always can.
 */
static inline bool tlsrec_charge(struct sock *sk, unsigned int *charged,
				 unsigned int want)
{
	int more = want - *charged, missing;

	if (more > 0) {
		/* For sending, it would make the send buffer smaller. */
		missing = more - sk->sk_forward_alloc;
		if (missing > 0 &&
		    !__sk_mem_schedule(sk, missing, SK_MEM_RECV))
			return false;
		sk_mem_charge(sk, more);
	} else if (more < 0) {
		sk_mem_uncharge(sk, -more);
	}
	*charged = want;
	return true;
}

/**
 * tlsrec_charge_kept() - the same for what is there already, or is TCP's yet
 * @sk: locked, by this task or by softirq
 * @charged: bytes charged so far, and afterwards
 * @want: bytes to be charged
 *
 * A memory cgroup at its limit is asked as it is by TCP for what it receives, in
 * softirq: it is charged beyond its limit then, and nobody is killed because
 * somebody reads.
 *
 * Return: whether it could: over tcp_mem it cannot; less always can.
 */
static inline bool tlsrec_charge_kept(struct sock *sk, unsigned int *charged,
				      unsigned int want)
{
	bool done;

	local_bh_disable();
	done = tlsrec_charge(sk, charged, want);
	local_bh_enable();
	return done;
}

#endif /* TLSREC_CHARGE_H */
