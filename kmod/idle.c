// SPDX-License-Identifier: GPL-2.0-only
/*
 * Directions that have been idle give back what their cipher needs.
 *
 * A transform of the crypto API is about 1 KiB, most of what an idle connection
 * costs. It can be made again from the key, which is kept anyway: with the next
 * record, see tlsrec_key_wake(). Once in idle_seconds a work item goes through
 * all sockets that have a key, and parks each direction that has not been used
 * since it came by last.
 */

#include <linux/module.h>
#include <linux/workqueue.h>

#include "idle.h"
#include "stats.h"

static unsigned int idle_seconds = 10;
module_param(idle_seconds, uint, 0444);
MODULE_PARM_DESC(idle_seconds,
		 "seconds without a record after which a connection gives memory back until the next one; 0: never (default: 10)");

/* Sockets in one hold of the lock. */
#define IDLE_BATCH	32

/* Every socket with a key, unless nothing is ever parked. */
static LIST_HEAD(idle_list);
/*
 * Protects the list. A socket on it is alive, since tlsrec_close() takes it off
 * first: so the work item holds this lock while it looks at one. Taken inside
 * of the socket lock; the other way round there is only an attempt.
 */
static DEFINE_SPINLOCK(idle_lock);

static void idle_tick(struct work_struct *work);
static DECLARE_DELAYED_WORK(idle_work, idle_tick);

static void idle_schedule(void)
{
	queue_delayed_work(system_power_efficient_wq, &idle_work,
			   (unsigned long)idle_seconds * HZ);
}

/* Returns how many transforms were put into @aeads. */
static unsigned int park(struct tlsrec_ctx *ctx, struct crypto_aead **aeads)
{
	struct sock *sk = ctx->sk;
	struct crypto_aead *aead;
	unsigned int nr = 0;

	/* Whoever holds it is at work on the socket: it is not idle. */
	if (!spin_trylock(&sk->sk_lock.slock))
		return 0;
	/*
	 * A task that works on the socket owns it. And whoever has other wishes
	 * for memory is inside the kernel, and may be needed to get some.
	 */
	if (sock_owned_by_user(sk) || sk->sk_allocation != GFP_KERNEL)
		goto unlock;

	/* Not under a writer: an open record must not need memory. */
	aead = NULL;
	if (!ctx->tx.work && !ctx->tx.turn.held)
		aead = tlsrec_key_idle(&ctx->tx.key);
	if (aead)
		aeads[nr++] = aead;
	/* A reader may be asleep: with the next record it wakes the key. */
	aead = tlsrec_key_idle(&ctx->rx.key);
	if (aead)
		aeads[nr++] = aead;
	if (nr)
		tlsrec_stat_add(sk, TLSREC_PARKED, nr);

unlock:
	spin_unlock(&sk->sk_lock.slock);
	return nr;
}

static void idle_tick(struct work_struct *work)
{
	struct crypto_aead *aeads[2 * IDLE_BATCH];
	struct tlsrec_ctx *ctx;
	LIST_HEAD(todo);
	unsigned int i, nr;

	/* Softirq wants the spinlocks of sockets. */
	spin_lock_bh(&idle_lock);
	list_splice_init(&idle_list, &todo);
	while (!list_empty(&todo)) {
		for (i = nr = 0; i < IDLE_BATCH && !list_empty(&todo); i++) {
			ctx = list_first_entry(&todo, struct tlsrec_ctx, idle);
			list_move_tail(&ctx->idle, &idle_list);
			nr += park(ctx, aeads + nr);
		}
		spin_unlock_bh(&idle_lock);
		while (nr)
			crypto_free_aead(aeads[--nr]);
		cond_resched();
		spin_lock_bh(&idle_lock);
	}
	if (!list_empty(&idle_list))
		idle_schedule();
	spin_unlock_bh(&idle_lock);
}

/**
 * tlsrec_idle_add() - a socket has a key
 * @ctx: its context, the socket is locked
 */
void tlsrec_idle_add(struct tlsrec_ctx *ctx)
{
	if (!idle_seconds)
		return;

	spin_lock_bh(&idle_lock);
	if (list_empty(&ctx->idle))
		list_add_tail(&ctx->idle, &idle_list);
	idle_schedule();
	spin_unlock_bh(&idle_lock);
}

/**
 * tlsrec_idle_del() - a socket is closed; nobody looks at it here afterwards
 * @ctx: its context
 */
void tlsrec_idle_del(struct tlsrec_ctx *ctx)
{
	spin_lock_bh(&idle_lock);
	list_del_init(&ctx->idle);
	spin_unlock_bh(&idle_lock);
}

/* No socket is left, so it does not start again. */
void tlsrec_idle_exit(void)
{
	cancel_delayed_work_sync(&idle_work);
}
