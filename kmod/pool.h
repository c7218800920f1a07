/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory for ciphertext on its way out: slices of large pages that are used
 * again as soon as TCP has let go of them.
 */
#ifndef TLSREC_POOL_H
#define TLSREC_POOL_H

#include <linux/mm.h>

/**
 * enum tlsrec_stream - where a slice comes from
 * @TLSREC_BULK: payload of large records, page by page
 * @TLSREC_SMALL: heads and tails of those, and whole small records. Apart from
 *	the bulk, so that a slow socket does not hold a large chunk with a small
 *	record.
 */
enum tlsrec_stream { TLSREC_BULK, TLSREC_SMALL, TLSREC_NR_STREAMS };

/**
 * struct tlsrec_slice - a piece of a chunk; owns a reference on @page
 * @page: head page of the chunk
 * @off: offset from the start of the chunk
 * @len: bytes
 */
struct tlsrec_slice {
	struct page	*page;
	unsigned int	off;
	unsigned int	len;
};

static inline void *tlsrec_slice_ptr(const struct tlsrec_slice *slice)
{
	return page_address(slice->page) + slice->off;
}

unsigned long tlsrec_pool_pages(int cpu);
void tlsrec_pool_drain(int cpu);
void tlsrec_pool_drain_this(void);
int tlsrec_pool_get(enum tlsrec_stream stream, unsigned int min,
		    unsigned int want, unsigned int align, unsigned int phase,
		    gfp_t gfp, struct tlsrec_slice *slice);
bool tlsrec_pool_extend(enum tlsrec_stream stream, unsigned int min,
			unsigned int want, struct tlsrec_slice *slice);
void tlsrec_pool_trim(enum tlsrec_stream stream, struct tlsrec_slice *slice,
		      unsigned int len);

#endif /* TLSREC_POOL_H */
