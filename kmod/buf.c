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

static void buf_free(struct tlsrec_buf *buf)
{
	/* What a driver left in its context may be key stream. */
	if (buf->order || buf->nr)
		memzero_explicit(&buf->crypt, sizeof(buf->crypt));
	while (buf->nr)
		put_page(sg_page(&buf->sg[buf->nr--]));
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

/* For a page: a caller who may wait does, but nobody is killed for it. */
static struct page *page_get(gfp_t gfp)
{
	return alloc_page(gfp | __GFP_NOWARN | __GFP_RETRY_MAYFAIL);
}

/* A new buffer at the start of @page, which is of this order. */
static struct tlsrec_buf *buf_init(struct page *page, unsigned int order,
				   unsigned int entries)
{
	struct tlsrec_buf *buf = page_address(page);

	buf->order = order;
	buf->nr = 0;
	sg_init_table(buf->sg, entries);
	sg_set_page(&buf->sg[0], page, 0, 0);
	tlsrec_crypt_init(&buf->crypt);
	INIT_LIST_HEAD(&buf->list);
	buf->len = 0;
	return buf;
}

/**
 * tlsrec_buf_get_pages() - a buffer of pages
 * @gfp: how to allocate
 *
 * Return: the buffer, empty and on no list, or %NULL. It has no room for payload
 * until tlsrec_buf_room() has taken some.
 */
struct tlsrec_buf *tlsrec_buf_get_pages(gfp_t gfp)
{
	struct page *page = page_get(gfp);

	if (!page)
		return NULL;
	return buf_init(page, 0, TLSREC_BUF_PAGES);
}

/**
 * tlsrec_buf_get() - a buffer for a record of any size, whole if possible
 * @gfp: how to allocate
 *
 * Return: the buffer, empty and on no list, or %NULL.
 */
struct tlsrec_buf *tlsrec_buf_get(gfp_t gfp)
{
	struct tlsrec_buf *buf = this_cpu_xchg(buf_cache.idle, NULL);
	struct page *page;

	if (!buf)
		buf = buf_unlend();
	if (buf) {
		INIT_LIST_HEAD(&buf->list);
		buf->len = 0;
		return buf;
	}

	/* As long as pages do, nothing is moved or thrown out for more. */
	page = alloc_pages((gfp & ~__GFP_DIRECT_RECLAIM) | __GFP_COMP |
			   __GFP_NOWARN | __GFP_NORETRY, TLSREC_BUF_ORDER);
	if (page)
		return buf_init(page, TLSREC_BUF_ORDER, 1);
	return tlsrec_buf_get_pages(gfp);
}

/**
 * tlsrec_buf_room() - have room for more bytes behind those there are
 * @buf: of pages
 * @n: how many more
 * @gfp: how to allocate
 *
 * Return: 0 or -ENOMEM.
 */
int tlsrec_buf_room(struct tlsrec_buf *buf, unsigned int n, gfp_t gfp)
{
	unsigned int last = tlsrec_buf_last(buf, n);

	while (buf->nr < last) {
		struct page *page = page_get(gfp);

		if (!page)
			return -ENOMEM;
		sg_set_page(&buf->sg[++buf->nr], page, 0, 0);
	}

	return 0;
}

/* See tlsrec_buf_piece(): it is of pages. */
void *tlsrec_buf_page_piece(struct tlsrec_buf *buf, unsigned int skip,
			    unsigned int *len)
{
	unsigned int off = buf->off + skip;
	unsigned int in_page = offset_in_page(off);

	*len = min_t(unsigned int, *len, PAGE_SIZE - in_page);
	return page_address(sg_page(&buf->sg[off / PAGE_SIZE])) + in_page;
}

/*
 * See tlsrec_buf_sg(): it is of pages. All entries but the first begin, and all
 * but the last end, with a page: no block of the cipher is in two of them.
 */
void tlsrec_buf_page_sg(struct tlsrec_buf *buf, unsigned int front,
			unsigned int len)
{
	unsigned int off = buf->off - front;
	struct scatterlist *sg;

	for (sg = &buf->sg[off / PAGE_SIZE]; len; sg++) {
		sg->offset = offset_in_page(off);
		sg->length = min_t(unsigned int, len, PAGE_SIZE - sg->offset);
		sg_unmark_end(sg);
		off += sg->length;
		len -= sg->length;
	}
	sg_mark_end(sg - 1);
}

/* See tlsrec_buf_read(): it is of pages. */
size_t tlsrec_buf_read_pages(struct tlsrec_buf *buf, size_t len,
			     struct iov_iter *to)
{
	size_t done = 0;

	while (done < len) {
		unsigned int n = len - done;
		void *data = tlsrec_buf_page_piece(buf, done, &n);
		size_t got = copy_to_iter(data, n, to);

		done += got;
		if (got < n)
			break;
	}

	return done;
}

/* Copy all of what is unread. */
static void buf_copy(struct tlsrec_buf *buf, void *to)
{
	unsigned int n, done;

	for (done = 0; done < buf->len; done += n) {
		void *data;

		n = buf->len - done;
		data = tlsrec_buf_piece(buf, done, &n);
		memcpy(to + done, data, n);
	}
}

/* Room for @size bytes behind @before, which has nothing behind it, or %NULL. */
static void *room_behind(struct tlsrec_buf *before, size_t size)
{
	struct page *page = virt_to_head_page(before);
	size_t at = (void *)before + before->off + before->len -
		    page_address(page);

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

	if (tlsrec_buf_small(buf))
		return buf;
	if (before && !before->nr)
		small = room_behind(before, size);
	if (!small && size <= PAGE_SIZE)
		small = (void *)__get_free_page(gfp | __GFP_NOWARN);
	if (!small)
		return buf;

	small->order = 0;
	small->nr = 0;
	small->type = buf->type;
	small->off = SMALL_DATA;
	small->len = buf->len;
	buf_copy(buf, (void *)small + SMALL_DATA);
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
