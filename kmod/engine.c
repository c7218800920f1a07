// SPDX-License-Identifier: GPL-2.0-only
/*
 * What TCP has not taken goes with its next event. When there will be none,
 * since TCP has nothing in flight and it was memory that was short, the socket
 * is put on a list here, and a work item tries again in a while.
 */

#include <linux/sched/mm.h>
#include <linux/workqueue.h>

#include "engine.h"

enum {
	ENGINE_MIN_MS	= 10,
	ENGINE_MAX_MS	= 200,
};

static void (*engine_run)(struct sock *sk);
/* Not the system's: it may be needed to get memory. */
static struct workqueue_struct *engine_queue;

static LIST_HEAD(engine_list);
/* Wait so long before the next round; twice as long after one in vain. */
static unsigned int engine_ms = ENGINE_MIN_MS;
/*
 * Protects both. A socket on the list is alive, since tlsrec_close() takes it
 * off first. Taken inside of the socket lock, and softirq takes it, too.
 */
static DEFINE_SPINLOCK(engine_lock);

static void engine_tick(struct work_struct *work);
static DECLARE_DELAYED_WORK(engine_work, engine_tick);

/* It may have been closed while the list was not locked. */
static void engine_try(struct sock *sk)
{
	lock_sock(sk);
	if (tlsrec_ctx(sk))
		engine_run(sk);
	release_sock(sk);
}

static void engine_tick(struct work_struct *work)
{
	/* No socket may wait for I/O that waits for one behind it. */
	unsigned int noio = memalloc_noio_save();
	struct tlsrec_ctx *ctx;
	struct sock *sk;
	LIST_HEAD(todo);

	spin_lock_bh(&engine_lock);
	list_splice_init(&engine_list, &todo);
	while (!list_empty(&todo)) {
		ctx = list_first_entry(&todo, struct tlsrec_ctx, engine);
		list_del_init(&ctx->engine);
		sk = ctx->sk;
		sock_hold(sk);
		spin_unlock_bh(&engine_lock);
		engine_try(sk);
		sock_put(sk);
		cond_resched();
		spin_lock_bh(&engine_lock);
	}
	if (list_empty(&engine_list))
		engine_ms = ENGINE_MIN_MS;
	else
		engine_ms = min_t(unsigned int, 2 * engine_ms, ENGINE_MAX_MS);
	spin_unlock_bh(&engine_lock);
	memalloc_noio_restore(noio);
}

/**
 * tlsrec_engine_add() - try again in a while
 * @ctx: of a socket that is locked, by a task or by softirq
 */
void tlsrec_engine_add(struct tlsrec_ctx *ctx)
{
	/* Taken off, it is looked at when it is not locked any more. */
	if (!list_empty(&ctx->engine))
		return;

	spin_lock_bh(&engine_lock);
	list_add_tail(&ctx->engine, &engine_list);
	queue_delayed_work(engine_queue, &engine_work,
			   msecs_to_jiffies(engine_ms));
	spin_unlock_bh(&engine_lock);
}

/**
 * tlsrec_engine_del() - a socket is closed, nobody adds it again
 * @ctx: its context
 */
void tlsrec_engine_del(struct tlsrec_ctx *ctx)
{
	spin_lock_bh(&engine_lock);
	list_del_init(&ctx->engine);
	spin_unlock_bh(&engine_lock);
}

/**
 * tlsrec_engine_init() - before there is a socket
 * @run: tries again with a socket that is locked, and adds it if that was in
 *	vain
 *
 * Return: 0 or -ENOMEM.
 */
int tlsrec_engine_init(void (*run)(struct sock *sk))
{
	engine_run = run;
	engine_queue = alloc_workqueue("tlsrec",
				       WQ_UNBOUND | WQ_MEM_RECLAIM, 1);
	return engine_queue ? 0 : -ENOMEM;
}

/* No socket is left, so nothing is added. */
void tlsrec_engine_exit(void)
{
	cancel_delayed_work_sync(&engine_work);
	destroy_workqueue(engine_queue);
}
