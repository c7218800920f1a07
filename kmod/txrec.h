/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The open record: from the program's bytes to scatterlists.
 *
 * The program's bytes are copied once, to the place behind the record header
 * from where they go to the wire, and are encrypted there, if the cipher cannot
 * fail midway. Pages that come from splice are read by the cipher where they are
 * and are never written.
 */
#ifndef TLSREC_TXREC_H
#define TLSREC_TXREC_H

#include <linux/uio.h>

#include "txwork.h"

enum {
	/* A spliced piece below this is cheaper to copy than to reference. */
	TXREC_SPLICE_MIN = 1024,
	TXREC_BLOCK	= 16,	/* what a cipher works on */
	/* What fast ciphers take at a time, in whole cache lines. */
	TXREC_STRIDE	= 128,
	/* Payload from which on its place in memory matters to them. */
	TXREC_STRIDE_MIN = 1024,
	/*
	 * Whole records above this size are in the bulk's chunks, and the
	 * program's pages are worth the way through its page table.
	 */
	TXREC_LARGE	= 8192,
};

static inline void txrec_reset(struct tx_record *rec)
{
	*rec = (struct tx_record){ };
}

static inline void txrec_open(const struct tlsrec_tx *tx, struct tx_record *rec,
			      u8 type)
{
	rec->open = true;
	rec->type = type;
	rec->max = tx->max_payload;
}

/* An entry for the tail must stay free. */
static inline bool txrec_full(const struct tx_record *rec)
{
	return rec->len == rec->max || rec->nsrc >= TXREC_SG - 1 ||
	       (rec->ndst >= TXREC_SG - 1 && !rec->room.len);
}

static inline enum tlsrec_stream txrec_stream(const struct tx_record *rec)
{
	return rec->split ? TLSREC_BULK : TLSREC_SMALL;
}

/* @n bytes of room became payload. */
static inline void txrec_take_room(struct tlsrec_work *work, unsigned int n)
{
	struct tx_record *rec = &work->rec;

	work->dst[rec->ndst - 1].length += n;
	rec->room.off += n;
	rec->room.len -= n;
	rec->len += n;
}

void txrec_hold(struct tlsrec_work *work);
void txrec_put_held(struct tlsrec_work *work);
void txrec_drop(struct tlsrec_work *work);
int txrec_part(struct sock *sk, struct tlsrec_work *work,
	       const struct tlsrec_format *fmt);
int txrec_fill(struct sock *sk, struct tlsrec_work *work,
	       const struct tlsrec_format *fmt, struct iov_iter *iter,
	       bool splice, bool more);

#endif /* TLSREC_TXREC_H */
