// SPDX-License-Identifier: GPL-2.0-only
/*
 * What TCP has not taken goes with its next event. When there will be none,
 * since TCP has nothing in flight and it was memory that was short, the socket
 * is put on a list here, and a work item tries again in a while.
 *
 * Some wait for what may not come: TCP's events, which come to us only as long as
 * nobody puts a callback of his own over ours, and the rest of a splice. These are
 * on another list, and are looked at now and then.
 */

#include <linux/sched/mm.h>
#include <linux/workqueue.h>

#include "engine.h"

enum {
	ENGINE_MIN_MS	= 10,
	ENGINE_MAX_MS	= 200,
	WAIT_MS		= 200,
	WAIT_BATCH	= 256,	/* sockets in one hold of the lock */
};

static void (*engine_run)(struct sock *sk);
static enum tlsrec_engine_need (*engine_look)(const struct tlsrec_ctx *ctx);
/* Not the system's: it may be needed to get memory. */
static struct workqueue_struct *engine_queue;

static LIST_HEAD(engine_list);
/* One that waits for nothing any more may stay. */
static LIST_HEAD(wait_list);
/* Wait so long before the next round; twice as long after one in vain. */
static unsigned int engine_ms = ENGINE_MIN_MS;
/*
 * Protects all three. A socket on a list is alive, since tlsrec_close() takes it
 * off first. Taken inside of the socket lock, and softirq takes it, too; the
 * other way round there is only an attempt.
 */
static DEFINE_SPINLOCK(engine_lock);

static void engine_tick(struct work_struct *work);
static DECLARE_DELAYED_WORK(engine_work, engine_tick);
static void wait_tick(struct work_struct *work);
static DECLARE_DELAYED_WORK(wait_work, wait_tick);

static void engine_schedule(void)
{
	queue_delayed_work(engine_queue, &engine_work,
			   msecs_to_jiffies(engine_ms));
}

static void wait_schedule(void)
{
	queue_delayed_work(engine_queue, &wait_work,
			   msecs_to_jiffies(WAIT_MS));
}

/*
 * lock_sock() for a socket that is on the list, unless it would have to wait:
 * whoever has the socket may sleep for as long as he likes, in a page fault for
 * instance, and others are behind it on the list.
 */
static bool engine_lock_sock(struct sock *sk)
{
	if (!spin_trylock(&sk->sk_lock.slock))
		return false;
	if (sock_owned_by_user_nocheck(sk)) {
		spin_unlock(&sk->sk_lock.slock);
		return false;
	}
	sk->sk_lock.owned = 1;
	mutex_acquire(&sk->sk_lock.dep_map, 0, 1, _RET_IP_);
	spin_unlock(&sk->sk_lock.slock);
	return true;
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
		sk = ctx->sk;
		if (!engine_lock_sock(sk)) {
			list_move_tail(&ctx->engine, &engine_list);
			continue;
		}
		list_del_init(&ctx->engine);
		/* Who closes it waits for the lock, and frees it behind us. */
		sock_hold(sk);
		spin_unlock_bh(&engine_lock);
		engine_run(sk);
		release_sock(sk);
		sock_put(sk);
		cond_resched();
		spin_lock_bh(&engine_lock);
	}
	if (list_empty(&engine_list)) {
		engine_ms = ENGINE_MIN_MS;
	} else {
		engine_ms = min_t(unsigned int, 2 * engine_ms, ENGINE_MAX_MS);
		engine_schedule();
	}
	spin_unlock_bh(&engine_lock);
	memalloc_noio_restore(noio);
}

/**
 * tlsrec_engine_add() - try again in a while
 * @ctx: of a socket that is locked, by a task or by softirq
 */
void tlsrec_engine_add(struct tlsrec_ctx *ctx)
{
	spin_lock_bh(&engine_lock);
	/* From the other list, too. */
	list_move_tail(&ctx->engine, &engine_list);
	engine_schedule();
	spin_unlock_bh(&engine_lock);
}

/* Without the lock of a socket: what has changed is seen the next time. */
static void wait_look(struct tlsrec_ctx *ctx)
{
	switch (engine_look(ctx)) {
	case TLSREC_ENGINE_NOTHING:
		list_del_init(&ctx->engine);
		break;
	case TLSREC_ENGINE_WAIT:
		list_move_tail(&ctx->engine, &wait_list);
		break;
	case TLSREC_ENGINE_RUN:
		list_move_tail(&ctx->engine, &engine_list);
		engine_schedule();
		break;
	}
}

static void wait_tick(struct work_struct *work)
{
	unsigned int i = 0;
	LIST_HEAD(todo);

	spin_lock_bh(&engine_lock);
	list_splice_init(&wait_list, &todo);
	while (!list_empty(&todo)) {
		wait_look(list_first_entry(&todo, struct tlsrec_ctx, engine));
		if (++i % WAIT_BATCH)
			continue;
		spin_unlock_bh(&engine_lock);
		cond_resched();
		spin_lock_bh(&engine_lock);
	}
	if (!list_empty(&wait_list))
		wait_schedule();
	spin_unlock_bh(&engine_lock);
}

/**
 * tlsrec_engine_wait() - look after it now and then
 * @ctx: of a socket that is locked, by a task or by softirq, and waits for TCP or
 *	for the rest of a splice
 */
void tlsrec_engine_wait(struct tlsrec_ctx *ctx)
{
	spin_lock_bh(&engine_lock);
	if (list_empty(&ctx->engine)) {
		list_add_tail(&ctx->engine, &wait_list);
		wait_schedule();
	}
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
 * @look: what a socket that waits is in need of; asked without its lock
 *
 * Return: 0 or -ENOMEM.
 */
int tlsrec_engine_init(void (*run)(struct sock *sk),
		       enum tlsrec_engine_need (*look)(const struct tlsrec_ctx *ctx))
{
	engine_run = run;
	engine_look = look;
	engine_queue = alloc_workqueue("tlsrec",
				       WQ_UNBOUND | WQ_MEM_RECLAIM, 1);
	return engine_queue ? 0 : -ENOMEM;
}

/* No socket is left, so nothing is added. */
void tlsrec_engine_exit(void)
{
	cancel_delayed_work_sync(&wait_work);
	cancel_delayed_work_sync(&engine_work);
	destroy_workqueue(engine_queue);
}
