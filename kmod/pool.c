// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pool of chunks for each CPU and stream, see pool.h. The pool holds one
 * reference on each of its chunks, every slice handed out another one, which
 * later becomes a reference of TCP's. A chunk whose only reference is the
 * pool's has left the machine and is used again: that saves its allocation
 * and, on kernels that clear pages when they are allocated, the clearing.
 */

#include <linux/gfp.h>
#include <linux/percpu.h>
#include <linux/slab.h>

#include "pool.h"

enum {
	RING_SIZE	= 32,	/* a power of two */
	LOOK_AHEAD	= 4,	/* a slow socket must not stop the others */
};

/* Three of the largest records in one piece, or four times their payload. */
static const unsigned int chunk_order[TLSREC_NR_STREAMS] = {
	[TLSREC_BULK]	= 4,
	[TLSREC_SMALL]	= 3,
};

/**
 * struct pool - chunks of one CPU and stream; touched only with preemption
 * off on that CPU, and never from softirq
 * @cur: chunk that slices are cut from, also in @ring, or %NULL
 * @off: where its free part begins
 * @size: its size in bytes
 * @hand: ring entry to look at next
 * @ring: chunks, %NULL when not filled yet
 */
struct pool {
	struct page	*cur;
	unsigned int	off;
	unsigned int	size;
	unsigned int	hand;
	struct page	*ring[RING_SIZE];
};

struct pools {
	struct pool	stream[TLSREC_NR_STREAMS];
};

/*
 * As old as the module's memory: the parameter in sysfs that looks at it is there
 * before init and after exit.
 */
static DEFINE_PER_CPU(struct pools, pools);

/* Nobody but the pool has a reference, so nobody reads the page any more. */
static bool chunk_idle(struct page *page)
{
	if (page_ref_count(page) != 1)
		return false;
	/*
	 * Pairs with the release in put_page() of the last other holder: what
	 * it read must not be overtaken by what we are about to write.
	 */
	smp_acquire__after_ctrl_dep();
	return true;
}

static void pool_set_cur(struct pool *pool, struct page *page)
{
	pool->cur = page;
	pool->off = 0;
	pool->size = page_size(page);
}

/* Make an idle chunk the current one; the last one is warmest in the cache. */
static bool pool_recycle(struct pool *pool)
{
	unsigned int i;

	if (pool->cur && chunk_idle(pool->cur)) {
		pool->off = 0;
		return true;
	}

	for (i = 0; i < LOOK_AHEAD; i++) {
		struct page *page = pool->ring[pool->hand % RING_SIZE];

		if (!page)
			return false;
		pool->hand++;
		if (chunk_idle(page)) {
			pool_set_cur(pool, page);
			return true;
		}
	}

	return false;
}

/*
 * Put a fresh chunk into the ring. Returns the one that had to leave, for the
 * caller to drop when preemption is on again.
 */
static struct page *pool_install(struct pool *pool, struct page *page)
{
	struct page **slot = &pool->ring[pool->hand++ % RING_SIZE];
	struct page *old = *slot;

	*slot = page;
	pool_set_cur(pool, page);
	return old;
}

/* Cut a slice from the current chunk. */
static __always_inline bool
pool_cut(struct pool *pool, unsigned int min, unsigned int want,
	 unsigned int align, unsigned int phase, struct tlsrec_slice *slice)
{
	unsigned int off = pool->off;

	if (!pool->cur)
		return false;

	off += (phase - off) & (align - 1);
	if (off + min > pool->size)
		return false;

	slice->page = pool->cur;
	slice->off = off;
	slice->len = min(want, pool->size - off);
	pool->off = off + slice->len;
	page_ref_inc(pool->cur);
	return true;
}

/* Is there too much in the current chunk to go on to another one? */
static bool pool_has_much(const struct pool *pool)
{
	return pool->cur && pool->size - pool->off > pool->size / 4;
}

/* What a single page has room for is never refused. */
static bool fits_page(unsigned int min, unsigned int align, unsigned int phase)
{
	return (phase & (align - 1)) + min <= PAGE_SIZE;
}

/* Where memory is fragmented, smaller ones do, only slower. */
static struct page *chunk_alloc(unsigned int order, gfp_t gfp)
{
	struct page *page;

	for (; order; order--) {
		page = alloc_pages((gfp & ~__GFP_DIRECT_RECLAIM) | __GFP_COMP |
				   __GFP_NOWARN | __GFP_NORETRY, order);
		if (page)
			return page;
	}

	return alloc_page(gfp | __GFP_NOWARN);
}

/* The rest of the current chunk does not do: go on to another one. */
static int pool_get_slow(enum tlsrec_stream stream, unsigned int min,
			 unsigned int want, unsigned int align,
			 unsigned int phase, gfp_t gfp,
			 struct tlsrec_slice *slice)
{
	struct page *fresh, *old;
	struct pool *pool;
	bool much, ok;

	pool = &get_cpu_var(pools).stream[stream];
	much = !fits_page(min, align, phase) && pool_has_much(pool);
	ok = !much && pool_recycle(pool) &&
	     pool_cut(pool, min, want, align, phase, slice);
	put_cpu_var(pools);
	if (likely(ok))
		return 0;
	if (much)
		return -ENOSPC;

	fresh = chunk_alloc(chunk_order[stream], gfp);
	if (!fresh)
		return -ENOMEM;

	if (unlikely((phase & (align - 1)) + min > page_size(fresh))) {
		put_page(fresh);
		return -ENOSPC;
	}
	if (unlikely(page_is_pfmemalloc(fresh))) {
		/* From the emergency reserves: TCP must give it back at once. */
		slice->page = fresh;
		slice->off = phase & (align - 1);
		slice->len = min_t(unsigned int, want,
				   page_size(fresh) - slice->off);
		return 0;
	}

	/* This may be another CPU by now, which is as good. */
	pool = &get_cpu_var(pools).stream[stream];
	old = pool_install(pool, fresh);
	pool_cut(pool, min, want, align, phase, slice);
	put_cpu_var(pools);
	if (old)
		put_page(old);
	return 0;
}

/**
 * tlsrec_pool_get() - get a slice
 * @stream: which kind
 * @min: bytes it must have; from @phase on not more than PAGE_SIZE, or -ENOSPC
 *	may be the answer
 * @want: bytes it should have
 * @align: power of two
 * @phase: the slice's offset is @phase modulo @align
 * @gfp: how to allocate when no chunk is free; may sleep if this says so
 * @slice: result; its length is from @min to @want
 *
 * Return: 0, -ENOMEM, or -ENOSPC: @min bytes have to be in several pieces,
 * since memory is fragmented or too much of a chunk would be lost.
 */
int tlsrec_pool_get(enum tlsrec_stream stream, unsigned int min,
		    unsigned int want, unsigned int align, unsigned int phase,
		    gfp_t gfp, struct tlsrec_slice *slice)
{
	struct pool *pool = &get_cpu_var(pools).stream[stream];
	bool ok = pool_cut(pool, min, want, align, phase, slice);

	put_cpu_var(pools);
	if (likely(ok))
		return 0;
	return pool_get_slow(stream, min, want, align, phase, gfp, slice);
}

/**
 * tlsrec_pool_extend() - make a slice longer where it is
 * @stream: where it came from
 * @min: bytes it must have more
 * @want: bytes it should have more
 * @slice: as handed out by tlsrec_pool_get(); its length grows
 *
 * Return: whether it could: what is behind the slice may be somebody else's.
 */
bool tlsrec_pool_extend(enum tlsrec_stream stream, unsigned int min,
			unsigned int want, struct tlsrec_slice *slice)
{
	struct pool *pool = &get_cpu_var(pools).stream[stream];
	unsigned int end = slice->off + slice->len;
	bool ok;

	ok = pool->cur == slice->page && pool->off == end &&
	     end + min <= pool->size;
	if (ok) {
		slice->len += min(want, pool->size - end);
		pool->off = slice->off + slice->len;
	}
	put_cpu_var(pools);
	return ok;
}

/**
 * tlsrec_pool_trim() - keep only the first bytes of a slice
 * @stream: where it came from
 * @slice: as handed out by tlsrec_pool_get()
 * @len: bytes to keep
 *
 * The rest goes back if the slice was the last one cut, else it stays unused
 * until the chunk is recycled.
 */
void tlsrec_pool_trim(enum tlsrec_stream stream, struct tlsrec_slice *slice,
		      unsigned int len)
{
	struct pool *pool = &get_cpu_var(pools).stream[stream];

	if (pool->cur == slice->page && pool->off == slice->off + slice->len)
		pool->off = slice->off + len;
	put_cpu_var(pools);
	slice->len = len;
}

/**
 * tlsrec_pool_pages() - how much does a CPU keep?
 * @cpu: any
 *
 * Return: pages, or what was true a moment ago.
 */
unsigned long tlsrec_pool_pages(int cpu)
{
	const struct pools *p = per_cpu_ptr(&pools, cpu);
	unsigned long pages = 0;
	int stream, i;

	/* Rings are filled from their start. Chunks may be gone by now. */
	for (stream = 0; stream < TLSREC_NR_STREAMS; stream++)
		for (i = 0; i < RING_SIZE; i++) {
			if (!READ_ONCE(p->stream[stream].ring[i]))
				break;
			pages += 1 << chunk_order[stream];
		}

	return pages;
}

/* What TCP still has of the chunks, it frees. */
static void pools_drain(struct pools *p)
{
	int stream, i;

	for (stream = 0; stream < TLSREC_NR_STREAMS; stream++)
		for (i = 0; i < RING_SIZE; i++)
			if (p->stream[stream].ring[i])
				put_page(p->stream[stream].ring[i]);
}

/**
 * tlsrec_pool_drain() - give back what a CPU keeps
 * @cpu: nobody works there
 */
void tlsrec_pool_drain(int cpu)
{
	struct pools *p = per_cpu_ptr(&pools, cpu);

	pools_drain(p);
	*p = (struct pools){ };
}

/* Give back what this CPU keeps; it may sleep. */
void tlsrec_pool_drain_this(void)
{
	struct pools *p = &get_cpu_var(pools);
	struct pools old = *p;

	*p = (struct pools){ };
	put_cpu_var(pools);
	pools_drain(&old);
}
