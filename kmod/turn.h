/* SPDX-License-Identifier: GPL-2.0-only */
/* Order among the writers, and among the readers, of a socket. */
#ifndef TLSREC_TURN_H
#define TLSREC_TURN_H

#include <net/sock.h>

/**
 * struct tlsrec_turn - who may work on one direction
 * @held: somebody does; read without the lock by waiters, who check again
 *	under it
 * @refused: somebody who does not wait was sent away with -EAGAIN though there
 *	may be something for him; read without the lock by poll
 * @wait: those who want to
 */
struct tlsrec_turn {
	bool			held;
	bool			refused;
	wait_queue_head_t	wait;
};

void tlsrec_turn_init(struct tlsrec_turn *turn);
int tlsrec_turn_wait(struct sock *sk, struct tlsrec_turn *turn, long *timeo);

/**
 * tlsrec_turn_take() - wait until nobody else works on this direction
 * @sk: locked; the lock is dropped while waiting
 * @turn: of the direction
 * @timeo: jiffies to wait, 0 for not at all; what is left of them on return
 *
 * Return: 0 with the turn taken, -EAGAIN when time is up, -EINTR or
 * -ERESTARTSYS on a signal.
 */
static inline int tlsrec_turn_take(struct sock *sk, struct tlsrec_turn *turn,
				   long *timeo)
{
	sock_owned_by_me(sk);

	if (unlikely(turn->held))
		return tlsrec_turn_wait(sk, turn, timeo);
	turn->held = true;
	return 0;
}

/**
 * tlsrec_turn_give() - let the next one work on this direction
 * @sk: locked
 * @turn: taken by the caller
 *
 * Return: somebody was refused meanwhile. The event that brought him may have
 * been the last: the caller has to report again what he leaves behind.
 */
static inline bool tlsrec_turn_give(struct sock *sk, struct tlsrec_turn *turn)
{
	bool refused = turn->refused;

	sock_owned_by_me(sk);

	/*
	 * Who finds nobody here finds what he has left, too. Pairs with the acquire
	 * in tlsrec_stream_memory_free().
	 */
	smp_store_release(&turn->held, false);
	/* No barrier: waiters get on the queue under the socket lock. */
	if (waitqueue_active(&turn->wait))
		wake_up(&turn->wait);
	WRITE_ONCE(turn->refused, false);
	return refused;
}

#endif /* TLSREC_TURN_H */
