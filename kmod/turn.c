// SPDX-License-Identifier: GPL-2.0-only
/* Order among the writers, and among the readers, of a socket. */

#include <linux/sched/signal.h>
#include <linux/wait.h>

#include "tlsrec.h"

void tlsrec_turn_init(struct tlsrec_turn *turn)
{
	turn->held = false;
	turn->refused = false;
	init_waitqueue_head(&turn->wait);
}

/**
 * tlsrec_turn_take() - wait until nobody else works on this direction
 * @sk: locked; the lock is dropped while waiting
 * @turn: of the direction
 * @timeo: jiffies to wait, 0 for not at all; what is left of them on return
 *
 * Return: 0 with the turn taken, -EAGAIN when time is up, -EINTR or
 * -ERESTARTSYS on a signal.
 */
int tlsrec_turn_take(struct sock *sk, struct tlsrec_turn *turn, long *timeo)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	int err = 0;

	sock_owned_by_me(sk);

	if (likely(!turn->held)) {
		turn->held = true;
		return 0;
	}

	add_wait_queue(&turn->wait, &wait);
	while (turn->held) {
		if (!*timeo) {
			turn->refused = true;
			err = -EAGAIN;
			break;
		}
		if (signal_pending(current)) {
			err = sock_intr_errno(*timeo);
			break;
		}
		sk_wait_event(sk, timeo, !READ_ONCE(turn->held), &wait);
	}
	remove_wait_queue(&turn->wait, &wait);

	if (!err)
		WRITE_ONCE(turn->held, true);
	return err;
}

/**
 * tlsrec_turn_give() - let the next one work on this direction
 * @sk: locked
 * @turn: taken by the caller
 *
 * Return: somebody was refused meanwhile. The event that brought him may have
 * been the last: the caller has to report again what he leaves behind.
 */
bool tlsrec_turn_give(struct sock *sk, struct tlsrec_turn *turn)
{
	bool refused = turn->refused;

	sock_owned_by_me(sk);

	WRITE_ONCE(turn->held, false);
	/* No barrier: waiters get on the queue under the socket lock. */
	if (waitqueue_active(&turn->wait))
		wake_up(&turn->wait);
	turn->refused = false;
	return refused;
}
