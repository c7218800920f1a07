// SPDX-License-Identifier: GPL-2.0-only
/* See buf.h. One buffer for each CPU is kept for the next reader. */

#include <linux/percpu.h>

#include "buf.h"

/* What a shrunk buffer has in front of its data. */
#define SMALL_DATA	offsetof(struct tlsrec_buf, sg)

static DEFINE_PER_CPU(struct tlsrec_buf *, buf_cache);

/**
 * tlsrec_buf_get() - a buffer for a record of any size
 * @gfp: how to allocate
 *
 * Return: the buffer, empty and on no list, or %NULL.
 */
struct tlsrec_buf *tlsrec_buf_get(gfp_t gfp)
{
	struct tlsrec_buf *buf = this_cpu_xchg(buf_cache, NULL);

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

/**
 * tlsrec_buf_shrink() - little data in a large buffer: move it to a page
 * @buf: a decrypted record, perhaps on a list
 * @gfp: how to allocate
 *
 * Return: the buffer that is in its place now, which may be @buf.
 */
struct tlsrec_buf *tlsrec_buf_shrink(struct tlsrec_buf *buf, gfp_t gfp)
{
	struct tlsrec_buf *small;
	struct page *page;

	if (!buf->order || buf->len > PAGE_SIZE - SMALL_DATA)
		return buf;
	page = alloc_page(gfp | __GFP_NOWARN);
	if (!page)
		return buf;

	small = page_address(page);
	small->order = 0;
	small->type = buf->type;
	small->off = SMALL_DATA;
	small->len = buf->len;
	memcpy(tlsrec_buf_data(small), tlsrec_buf_data(buf), buf->len);
	list_replace_init(&buf->list, &small->list);
	tlsrec_buf_put(buf);
	return small;
}

/* What a driver left in its context may be key stream. */
static void buf_free(struct tlsrec_buf *buf)
{
	if (buf->order)
		memzero_explicit(&buf->crypt, sizeof(buf->crypt));
	put_page(virt_to_page(buf));
}

/**
 * tlsrec_buf_put() - nobody needs the buffer any more
 * @buf: on no list
 *
 * A pipe may still hold its pages: then the last of them frees it.
 */
void tlsrec_buf_put(struct tlsrec_buf *buf)
{
	struct page *page = virt_to_page(buf);

	if (buf->order && page_ref_count(page) == 1 &&
	    !page_is_pfmemalloc(page)) {
		/*
		 * Pairs with the release in put_page() of a pipe that had the
		 * page: it was read before it is written again.
		 */
		smp_acquire__after_ctrl_dep();
		if (!this_cpu_cmpxchg(buf_cache, NULL, buf))
			return;
	}
	buf_free(buf);
}

void tlsrec_buf_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		if (per_cpu(buf_cache, cpu))
			buf_free(per_cpu(buf_cache, cpu));
}
