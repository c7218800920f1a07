// SPDX-License-Identifier: GPL-2.0-only
/* Order among the writers, and among the readers, of a socket. */

#include <linux/sched/signal.h>
#include <linux/wait.h>

#include "turn.h"

void tlsrec_turn_init(struct tlsrec_turn *turn)
{
	turn->held = false;
	turn->refused = false;
	init_waitqueue_head(&turn->wait);
}

/* See tlsrec_turn_take(): somebody else has the turn. */
int tlsrec_turn_wait(struct sock *sk, struct tlsrec_turn *turn, long *timeo)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	int err = 0;

	add_wait_queue(&turn->wait, &wait);
	while (turn->held) {
		if (!*timeo) {
			WRITE_ONCE(turn->refused, true);
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
