// SPDX-License-Identifier: GPL-2.0-only
/*
 * See buf.h. Each CPU keeps buffers for its next readers: one that nobody else
 * has, and a few that went to pipes, which will let go of them.
 */

#include <linux/percpu.h>

#include "buf.h"

/* What a shrunk buffer has in front of its data. */
#define SMALL_DATA	offsetof(struct tlsrec_buf, sg)

enum {
	LENT_SIZE	= 8,	/* a power of two; 256 KiB a CPU */
	LOOK_AHEAD	= 4,	/* a slow pipe must not stop the others */
};

/**
 * struct buf_cache - buffers of one CPU; each entry is changed by one operation
 * @idle: nobody else has a reference on its pages, or %NULL
 * @lent: somebody else had one, or %NULL
 * @hand: entry of @lent that was filled before all others
 */
struct buf_cache {
	struct tlsrec_buf	*idle;
	struct tlsrec_buf	*lent[LENT_SIZE];
	unsigned int		hand;
};

static DEFINE_PER_CPU(struct buf_cache, buf_cache);

/* What a driver left in its context may be key stream. */
static void buf_free(struct tlsrec_buf *buf)
{
	if (buf->order)
		memzero_explicit(&buf->crypt, sizeof(buf->crypt));
	put_page(virt_to_page(buf));
}

/* Nobody else has a reference on its pages. */
static bool buf_idle(const struct tlsrec_buf *buf)
{
	if (page_ref_count(virt_to_page(buf)) != 1)
		return false;
	/*
	 * Pairs with the release in put_page() of a pipe that had the page: it
	 * was read before it is written again.
	 */
	smp_acquire__after_ctrl_dep();
	return true;
}

/* Lend it on: the oldest of those lent is no longer ours. */
static void buf_lend(struct tlsrec_buf *buf)
{
	unsigned int i = this_cpu_inc_return(buf_cache.hand) - 1;

	buf = this_cpu_xchg(buf_cache.lent[i % LENT_SIZE], buf);
	if (buf)
		buf_free(buf);
}

/* One of those lent that has come back, or %NULL. */
static struct tlsrec_buf *buf_unlend(void)
{
	unsigned int hand = this_cpu_read(buf_cache.hand);
	unsigned int i;

	for (i = hand; i != hand + LOOK_AHEAD; i++) {
		unsigned int at = i % LENT_SIZE;
		struct tlsrec_buf *buf;

		/* Nobody else frees it while it is not there. */
		buf = this_cpu_xchg(buf_cache.lent[at], NULL);
		if (!buf)
			continue;
		if (buf_idle(buf))
			return buf;
		if (this_cpu_cmpxchg(buf_cache.lent[at], NULL, buf))
			buf_free(buf);
	}

	return NULL;
}

/**
 * tlsrec_buf_get() - a buffer for a record of any size
 * @gfp: how to allocate
 *
 * Return: the buffer, empty and on no list, or %NULL.
 */
struct tlsrec_buf *tlsrec_buf_get(gfp_t gfp)
{
	struct tlsrec_buf *buf = this_cpu_xchg(buf_cache.idle, NULL);

	if (!buf)
		buf = buf_unlend();
	if (!buf) {
		struct page *page = alloc_pages(gfp | __GFP_COMP |
						__GFP_NOWARN,
						TLSREC_BUF_ORDER);

		if (!page)
			return NULL;
		buf = page_address(page);
		buf->order = TLSREC_BUF_ORDER;
		sg_init_table(&buf->sg, 1);
		sg_set_page(&buf->sg, page, 0, 0);
		tlsrec_crypt_init(&buf->crypt);
	}

	INIT_LIST_HEAD(&buf->list);
	buf->len = 0;
	return buf;
}

/* Room for @size bytes behind @before, which has nothing behind it, or %NULL. */
static void *room_behind(struct tlsrec_buf *before, size_t size)
{
	struct page *page = virt_to_head_page(before);
	size_t at = tlsrec_buf_data(before) + before->len - page_address(page);

	at = ALIGN(at, __alignof__(*before));
	if (at + size > page_size(page))
		return NULL;
	get_page(page);
	return page_address(page) + at;
}

/**
 * tlsrec_buf_shrink() - let a record that stays take no more memory than it needs
 * @buf: a decrypted record, perhaps on a list
 * @before: the one before it on that list, with nothing behind it in its
 *	memory, or %NULL
 * @gfp: how to allocate
 *
 * Return: the buffer that is in its place now, which may be @buf.
 */
struct tlsrec_buf *tlsrec_buf_shrink(struct tlsrec_buf *buf,
				     struct tlsrec_buf *before, gfp_t gfp)
{
	size_t size = SMALL_DATA + buf->len;
	struct tlsrec_buf *small = NULL;

	if (!buf->order)
		return buf;
	if (before)
		small = room_behind(before, size);
	if (!small && size <= PAGE_SIZE)
		small = (void *)__get_free_page(gfp | __GFP_NOWARN);
	if (!small)
		return buf;

	small->order = 0;
	small->type = buf->type;
	small->off = SMALL_DATA;
	small->len = buf->len;
	memcpy(tlsrec_buf_data(small), tlsrec_buf_data(buf), buf->len);
	list_replace_init(&buf->list, &small->list);
	tlsrec_buf_put(buf);
	return small;
}

/**
 * tlsrec_buf_put() - nobody needs the buffer any more
 * @buf: on no list
 *
 * A pipe may still hold its pages: whoever lets go of them last frees it.
 */
void tlsrec_buf_put(struct tlsrec_buf *buf)
{
	/* Emergency reserves go back at once. */
	if (!buf->order || page_is_pfmemalloc(virt_to_page(buf)))
		buf_free(buf);
	else if (!buf_idle(buf))
		buf_lend(buf);
	else if (this_cpu_cmpxchg(buf_cache.idle, NULL, buf))
		buf_free(buf);
}

/**
 * tlsrec_buf_pages() - how much does a CPU keep?
 * @cpu: any
 *
 * Return: pages, or what was true a moment ago.
 */
unsigned long tlsrec_buf_pages(int cpu)
{
	const struct buf_cache *cache = per_cpu_ptr(&buf_cache, cpu);
	unsigned long nr = !!READ_ONCE(cache->idle);
	int i;

	for (i = 0; i < LENT_SIZE; i++)
		nr += !!READ_ONCE(cache->lent[i]);
	return nr << TLSREC_BUF_ORDER;
}

/**
 * tlsrec_buf_drain() - give back what a CPU keeps
 * @cpu: nobody works there
 */
void tlsrec_buf_drain(int cpu)
{
	struct buf_cache *cache = per_cpu_ptr(&buf_cache, cpu);
	int i;

	if (cache->idle)
		buf_free(cache->idle);
	for (i = 0; i < LENT_SIZE; i++)
		if (cache->lent[i])
			buf_free(cache->lent[i]);
	*cache = (struct buf_cache){ };
}

/* Give back what this CPU keeps. */
void tlsrec_buf_drain_this(void)
{
	struct tlsrec_buf *buf = this_cpu_xchg(buf_cache.idle, NULL);
	int i;

	if (buf)
		buf_free(buf);
	for (i = 0; i < LENT_SIZE; i++) {
		buf = this_cpu_xchg(buf_cache.lent[i], NULL);
		if (buf)
			buf_free(buf);
	}
}
