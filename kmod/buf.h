/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A buffer for one received record: the ciphertext is copied in, decrypted in
 * place and read out of it. The buffer is the pages of one allocation and
 * begins with its own description, so that splice can hand its pages to a pipe.
 * A record that stays is copied to where it takes less: behind the one before it,
 * if there is room, or to a page. It has its description in front there, too.
 *
 *	| struct tlsrec_buf ... | head | payload, type, padding | tag |
 *	                               ^ TLSREC_BUF_PAYLOAD
 */
#ifndef TLSREC_BUF_H
#define TLSREC_BUF_H

#include <linux/list.h>
#include <linux/mm.h>

#include "cipher.h"

enum {
	TLSREC_BUF_ORDER	= 3,
	/* The start of a page, behind the description. */
	TLSREC_BUF_PAYLOAD	= 4096,
};

/**
 * struct tlsrec_buf - description of a buffer, at its start
 * @list: on the list of decrypted records
 * @order: of the allocation; 0 where it is a copy in whatever memory
 * @type: content type, once decrypted
 * @off: offset of the first byte: of the record while it is filled, of what is
 *	unread once it is decrypted
 * @len: bytes from there on
 * @sg: additional data, ciphertext and tag, which follow one another: a part of
 *	the buffer; used only when @order is TLSREC_BUF_ORDER, as is what follows
 * @crypt: for the cipher
 */
struct tlsrec_buf {
	struct list_head	list;
	unsigned int		order;
	u8			type;
	unsigned int		off;
	unsigned int		len;
	struct scatterlist	sg;
	struct tlsrec_crypt	crypt;
};

static_assert(sizeof(struct tlsrec_buf) + TLSREC_MAX_AAD <=
	      TLSREC_BUF_PAYLOAD);
static_assert(TLSREC_BUF_PAYLOAD + TLSREC_MAX_RECORD <=
	      PAGE_SIZE << TLSREC_BUF_ORDER);

static inline void *tlsrec_buf_data(struct tlsrec_buf *buf)
{
	return (void *)buf + buf->off;
}

/* Bytes of the allocation that it is, or is in. */
static inline unsigned int tlsrec_buf_mem(const struct tlsrec_buf *buf)
{
	return page_size(virt_to_head_page(buf));
}

/* Does one allocation have both? */
static inline bool tlsrec_buf_together(const struct tlsrec_buf *a,
				       const struct tlsrec_buf *b)
{
	return virt_to_head_page(a) == virt_to_head_page(b);
}

struct tlsrec_buf *tlsrec_buf_get(gfp_t gfp);
struct tlsrec_buf *tlsrec_buf_shrink(struct tlsrec_buf *buf,
				     struct tlsrec_buf *before, gfp_t gfp);
void tlsrec_buf_put(struct tlsrec_buf *buf);
unsigned long tlsrec_buf_pages(int cpu);
void tlsrec_buf_drain(int cpu);
void tlsrec_buf_drain_this(void);

#endif /* TLSREC_BUF_H */
