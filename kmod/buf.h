/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A buffer for one received record: the ciphertext is copied in, decrypted in
 * place and read out of it. It begins with its own description, so that splice
 * can hand its pages to a pipe.
 *
 *	| struct tlsrec_buf ... | head | payload, type, padding | tag |
 *	                               ^ TLSREC_BUF_PAYLOAD
 *
 * It is either *whole*, one allocation, or of *pages*, each an allocation of its
 * own: slower, but there is no memory so fragmented that it has none of them,
 * and no more are taken than there are bytes. A record that stays is copied to
 * where it takes less, and the buffer is *small* then: the description and, from
 * @sg on, the data, in one piece, in a page or behind the record before it, if
 * that is in one piece and there is room.
 */
#ifndef TLSREC_BUF_H
#define TLSREC_BUF_H

#include <linux/list.h>
#include <linux/mm.h>
#include <linux/uio.h>

#include "cipher.h"

enum {
	TLSREC_BUF_ORDER	= 3,
	/* The start of a page, behind the description. */
	TLSREC_BUF_PAYLOAD	= 4096,
};

/* Pages that description and record are in. */
#define TLSREC_BUF_PAGES						\
	DIV_ROUND_UP(TLSREC_BUF_PAYLOAD + TLSREC_MAX_RECORD, PAGE_SIZE)

/**
 * struct tlsrec_buf - description of a buffer, at its start
 * @list: on the list of decrypted records
 * @order: of the allocation: TLSREC_BUF_ORDER when whole, else 0
 * @nr: pages behind the first, when it is of pages
 * @type: content type, once decrypted
 * @off: offset of the first byte: of the record while it is filled, of what is
 *	unread once it is decrypted
 * @len: bytes from there on
 * @sg: additional data, ciphertext and tag, which follow one another. Whole, it
 *	is one entry; of pages, each entry has its page from the time that this
 *	was taken. Small, it has its data from here on
 * @crypt: for the cipher
 */
struct tlsrec_buf {
	struct list_head	list;
	u8			order;
	u8			nr;
	u8			type;
	unsigned int		off;
	unsigned int		len;
	struct scatterlist	sg[TLSREC_BUF_PAGES];
	struct tlsrec_crypt	crypt;
};

static_assert(sizeof(struct tlsrec_buf) + TLSREC_MAX_AAD <=
	      TLSREC_BUF_PAYLOAD);
static_assert(TLSREC_BUF_PAYLOAD + TLSREC_MAX_RECORD <=
	      PAGE_SIZE << TLSREC_BUF_ORDER);

void *tlsrec_buf_page_piece(struct tlsrec_buf *buf, unsigned int skip,
			    unsigned int *len);
void tlsrec_buf_page_sg(struct tlsrec_buf *buf, unsigned int front,
			unsigned int len);
size_t tlsrec_buf_read_pages(struct tlsrec_buf *buf, size_t len,
			     struct iov_iter *to);

/**
 * tlsrec_buf_piece() - bytes of a buffer where they are
 * @buf: the buffer
 * @skip: bytes from @buf->off on to skip
 * @len: bytes wanted; result: as far as they are in one piece
 */
static inline void *tlsrec_buf_piece(struct tlsrec_buf *buf, unsigned int skip,
				     unsigned int *len)
{
	if (unlikely(buf->nr))
		return tlsrec_buf_page_piece(buf, skip, len);
	return (void *)buf + buf->off + skip;
}

/* The record's head, which is in front of a page, hence always in one piece. */
static inline void *tlsrec_buf_head(struct tlsrec_buf *buf)
{
	return (void *)buf + buf->off;
}

/**
 * tlsrec_buf_sg() - describe bytes for the cipher, in @buf->sg
 * @buf: the buffer, not small
 * @front: bytes in front of @buf->off to begin with
 * @len: bytes from there on
 */
static inline void tlsrec_buf_sg(struct tlsrec_buf *buf, unsigned int front,
				 unsigned int len)
{
	if (unlikely(!buf->order)) {
		tlsrec_buf_page_sg(buf, front, len);
		return;
	}
	buf->sg[0].offset = buf->off - front;
	buf->sg[0].length = len;
}

/**
 * tlsrec_buf_read() - copy the first bytes to a reader's memory
 * @buf: the buffer
 * @len: how many
 * @to: where to
 *
 * Return: how many it took.
 */
static inline size_t tlsrec_buf_read(struct tlsrec_buf *buf, size_t len,
				     struct iov_iter *to)
{
	if (unlikely(buf->nr))
		return tlsrec_buf_read_pages(buf, len, to);
	return copy_to_iter((void *)buf + buf->off, len, to);
}

static inline bool tlsrec_buf_small(const struct tlsrec_buf *buf)
{
	return !buf->order && !buf->nr;
}

/* Of pages: the one that the last of @n more bytes is in. */
static inline unsigned int tlsrec_buf_last(const struct tlsrec_buf *buf,
					   unsigned int n)
{
	return (buf->off + buf->len + n - 1) / PAGE_SIZE;
}

/* Bytes of the allocations that it is, or of the one that it is in. */
static inline unsigned int tlsrec_buf_mem(const struct tlsrec_buf *buf)
{
	return page_size(virt_to_head_page(buf)) + buf->nr * PAGE_SIZE;
}

/* The same when there is room for more bytes, see tlsrec_buf_room(). */
static inline unsigned int tlsrec_buf_mem_with(const struct tlsrec_buf *buf,
					       unsigned int n)
{
	unsigned int last = tlsrec_buf_last(buf, n);

	if (last <= buf->nr)
		return tlsrec_buf_mem(buf);
	return tlsrec_buf_mem(buf) + (last - buf->nr) * PAGE_SIZE;
}

/* Does one allocation have both? */
static inline bool tlsrec_buf_together(const struct tlsrec_buf *a,
				       const struct tlsrec_buf *b)
{
	return virt_to_head_page(a) == virt_to_head_page(b);
}

struct tlsrec_buf *tlsrec_buf_get(gfp_t gfp);
struct tlsrec_buf *tlsrec_buf_get_pages(gfp_t gfp);
int tlsrec_buf_room(struct tlsrec_buf *buf, unsigned int n, gfp_t gfp);
struct tlsrec_buf *tlsrec_buf_shrink(struct tlsrec_buf *buf,
				     struct tlsrec_buf *before, gfp_t gfp);
void tlsrec_buf_put(struct tlsrec_buf *buf);
unsigned long tlsrec_buf_pages(int cpu);
void tlsrec_buf_drain(int cpu);
void tlsrec_buf_drain_this(void);

#endif /* TLSREC_BUF_H */
