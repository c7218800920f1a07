/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a writer works on: the open record, and sealed records that TCP has not
 * taken yet.
 *
 *	             copied          spliced        copied
 *	source   [            ][  page cache  ][            ]
 *	                 |              |             |
 *	target  head [ payload of the record, slices of the pool ] tail
 *	           \______________________|_______________________/
 *	                     a few bio_vecs for TCP
 *
 * The additional data stands in front of the payload while the cipher works,
 * so that most records are one scatterlist entry; the head then replaces it.
 */
#ifndef TLSREC_TXWORK_H
#define TLSREC_TXWORK_H

#include <linux/bvec.h>
#include <linux/log2.h>

#include "cipher.h"
#include "pool.h"
#include "tlsrec.h"

enum {
	TXREC_SG	= 24,	/* entries of a record's scatterlists */
	TXOUT_BATCH	= 4,	/* records pushed at once: 64 KiB of payload */
	TXOUT_MAX	= TXOUT_BATCH * TXREC_SG,
	/* Pages that the payload of a record may be in. */
	TXREC_PIN_MAX	= DIV_ROUND_UP(TLSREC_MAX_PAYLOAD, PAGE_SIZE) + 1,
};

/**
 * struct tx_record - the open record
 * @open: there is one
 * @due: it waits for nothing more, but could not be sealed yet
 * @counted: bytes of calls that have ended are in it
 * @in_place: some of its source is its target
 * @apart: nothing of its source is its target, see txrec_part()
 * @uneven: a piece that it was copied to ends off a cipher block
 * @ended: a splice has left some of it, and will not go on
 * @type: content type
 * @split: head and tail are in @ends; otherwise the first target entry begins
 *	with room for the additional data, and @tail bytes are behind @room
 * @copied_last: the last source entry ends where @room begins
 * @tail: bytes behind @room that are kept for the record's tail
 * @len: bytes of payload
 * @max: bytes of payload it may have
 * @nsrc: source entries in use; only when something was spliced
 * @ndst: target entries in use
 * @spliced: bit mask of the source entries that are not ours to write to
 * @held: those that own a reference on their page. Others of @spliced borrow the
 *	caller's while his call lasts
 * @until: a splice has left it open for what it said would follow: in jiffies,
 *	how long that waits; 0 if none has
 * @ends: see @split
 * @room: free bytes behind the payload; borrows the reference that the last
 *	target entry owns
 */
struct tx_record {
	bool			open;
	bool			due;
	bool			counted;
	bool			in_place;
	bool			apart;
	bool			uneven;
	bool			ended;
	u8			type;
	bool			split;
	bool			copied_last;
	unsigned int		tail;
	unsigned int		len;
	unsigned int		max;
	unsigned int		nsrc;
	unsigned int		ndst;
	unsigned long		spliced;
	unsigned long		held;
	unsigned long		until;
	struct tlsrec_slice	ends;
	struct tlsrec_slice	room;
};

/**
 * struct tlsrec_work - what a writer works on
 * @rec: the open record
 * @src: its source, when something was spliced: entry 0 begins with the
 *	additional data
 * @dst: its target, otherwise also its source: entry 0 begins with the
 *	additional data. Each owns a reference on its page, but for entry 0 of
 *	a split record, which is in @crypt
 * @records: sealed records in @out
 * @out_first: first entry of @out that TCP has not taken whole
 * @out_nr: entries of @out in use
 * @out_bytes: bytes from @out_first on
 * @out: sealed records, TXOUT_MAX entries; each owns a reference on its page
 * @pinned: pages of the program that the cipher is reading
 * @crypt: for the cipher
 *
 * Taken from a per-CPU cache when a call begins, and kept by the socket only
 * while it holds an open record or bytes for TCP. In two pieces, neither of which
 * needs more than a single page.
 */
struct tlsrec_work {
	struct tx_record	rec;
	unsigned int		records;
	unsigned int		out_first;
	unsigned int		out_nr;
	size_t			out_bytes;
	struct bio_vec		*out;
	struct scatterlist	src[TXREC_SG];
	struct scatterlist	dst[TXREC_SG];
	struct page		*pinned[TXREC_PIN_MAX];
	struct tlsrec_crypt	crypt;
};

#define TXWORK_OUT	(TXOUT_MAX * sizeof(struct bio_vec))

/* Where memory is fragmented there are only single pages. */
static_assert(sizeof(struct tlsrec_work) <= PAGE_SIZE);
static_assert(TXWORK_OUT <= PAGE_SIZE);

/* Bytes that the allocator takes for one. */
#define TXWORK_SIZE	(roundup_pow_of_two(sizeof(struct tlsrec_work)) + \
			 roundup_pow_of_two(TXWORK_OUT))

static inline bool txwork_idle(const struct tlsrec_work *work)
{
	return !work->rec.open && !work->out_bytes;
}

/*
 * More than a full record has, with room, and with pages that are others'. Charged
 * at once, so much is refused by a memory cgroup at its limit, which kills nobody.
 */
#define TXWORK_RECORD	(10 * PAGE_SIZE)

/* Bytes of memory that it has, as far as they are its own. */
static inline unsigned int txwork_mem(const struct tlsrec_work *work)
{
	const struct tx_record *rec = &work->rec;
	unsigned int mem = TXWORK_SIZE + work->out_bytes;

	if (rec->open)
		mem += rec->len + rec->room.len + rec->tail;
	/* Others' pages, which nobody else may need any more. */
	if (rec->held)
		mem += rec->len;
	return mem;
}

/* The same when its record is full, or when it has one that is. */
static inline unsigned int txwork_mem_full(const struct tlsrec_work *work)
{
	return TXWORK_SIZE + work->out_bytes + TXWORK_RECORD;
}

struct tlsrec_work *txwork_get(gfp_t gfp);
void txwork_put(struct tlsrec_work *work);
unsigned long txwork_pages(int cpu);
void txwork_drain(int cpu);
void txwork_drain_this(void);

#endif /* TLSREC_TXWORK_H */
