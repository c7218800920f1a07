// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transmit.
 *
 * The program's bytes are copied once, to the place behind the record header
 * from where they go to the wire, and are encrypted there. Pages that come
 * from splice, and the program's own where a large record is made from nothing
 * else, are read by the cipher where they are and are never written.
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
 *
 * A record is open while more may come (MSG_MORE), then sealed (encrypted),
 * then pushed to TCP, up to TX_BATCH of them at once. What TCP does not take
 * is kept and goes first the next time: with the next call, or when TCP
 * reports free space.
 */

#include <linux/percpu.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "pool.h"
#include "stats.h"
#include "trace.h"
#include "tx.h"

enum {
	TX_SG		= 24,	/* entries of a record's scatterlists */
	TX_BATCH	= 4,	/* records pushed at once: 64 KiB of payload */
	TX_OUT		= TX_BATCH * TX_SG,

	/* Payloads up to this size are in one slice. */
	SMALL_MAX	= 3072,
	/* The least that is worth a slice of its own of a larger one. */
	PIECE_MIN	= 1024,
	/* A spliced piece below this is cheaper to copy than to reference. */
	SPLICE_MIN	= 1024,
	/* First slice of a record that grows by small writes. */
	GROW_MIN	= 1024,
	CIPHER_BLOCK	= 16,
	/* What fast ciphers take at a time, in whole cache lines. */
	CIPHER_STRIDE	= 128,
	/* Payload from which on its place in memory matters to them. */
	STRIDE_MIN	= 1024,
	/*
	 * Whole records above this size are in the bulk's chunks, and the
	 * program's pages are worth the way through its page table.
	 */
	LARGE_MIN	= 8192,
	/* Pages that the payload of a record may be in. */
	PIN_MAX		= DIV_ROUND_UP(TLSREC_MAX_PAYLOAD, PAGE_SIZE) + 1,
};

#define TX_FLAGS (MSG_MORE | MSG_DONTWAIT | MSG_NOSIGNAL | MSG_EOR | \
		  MSG_CMSG_COMPAT | MSG_SPLICE_PAGES | TLSREC_MSG_POLICY)

/**
 * struct tx_record - the open record
 * @open: there is one
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
 * @held: those of @spliced that own a reference on their page; the others
 *	borrow the caller's while his call lasts
 * @ends: see @split
 * @room: free bytes behind the payload; borrows the reference that the last
 *	target entry owns
 */
struct tx_record {
	bool			open;
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
 * @out: sealed records; each entry owns a reference on its page
 * @pinned: pages of the program that the cipher is reading
 * @crypt: for the cipher
 *
 * Taken from a per-CPU cache when a call begins, and kept by the socket only
 * while it holds an open record or bytes for TCP.
 */
struct tlsrec_work {
	struct tx_record	rec;
	unsigned int		records;
	unsigned int		out_first;
	unsigned int		out_nr;
	size_t			out_bytes;
	struct bio_vec		out[TX_OUT];
	struct scatterlist	src[TX_SG];
	struct scatterlist	dst[TX_SG];
	struct page		*pinned[PIN_MAX];
	struct tlsrec_crypt	crypt;
};

static DEFINE_PER_CPU(struct tlsrec_work *, work_cache);

/* ---- work areas ---- */

static void record_reset(struct tx_record *rec)
{
	*rec = (struct tx_record){ };
}

static struct tlsrec_work *work_get(gfp_t gfp)
{
	struct tlsrec_work *work = this_cpu_xchg(work_cache, NULL);

	if (work)
		return work;

	work = kzalloc(sizeof(*work), gfp);
	if (!work)
		return NULL;

	sg_init_table(work->src, TX_SG);
	sg_init_table(work->dst, TX_SG);
	/* Records end where they end, not with the table. */
	sg_unmark_end(&work->src[TX_SG - 1]);
	sg_unmark_end(&work->dst[TX_SG - 1]);
	tlsrec_crypt_init(&work->crypt);
	return work;
}

/* Nothing in it any more. */
static void work_put(struct tlsrec_work *work)
{
	if (this_cpu_cmpxchg(work_cache, NULL, work))
		kfree_sensitive(work);
}

static bool work_idle(const struct tlsrec_work *work)
{
	return !work->rec.open && !work->out_bytes;
}

/* ---- the open record ---- */

static void record_open(const struct tlsrec_tx *tx, struct tx_record *rec,
			u8 type)
{
	rec->open = true;
	rec->type = type;
	rec->max = tx->max_payload;
}

/* An entry for the tail must stay free. */
static bool record_full(const struct tx_record *rec)
{
	return rec->len == rec->max || rec->nsrc >= TX_SG - 1 ||
	       (rec->ndst >= TX_SG - 1 && !rec->room.len);
}

/* The caller goes, the record stays: it needs references of its own. */
static void record_hold(struct tlsrec_work *work)
{
	struct tx_record *rec = &work->rec;
	unsigned long borrowed = rec->spliced & ~rec->held;
	unsigned int i;

	for_each_set_bit(i, &borrowed, TX_SG)
		get_page(sg_page(&work->src[i]));
	rec->held = rec->spliced;
}

/* Drop the references on spliced pages: they have been read. */
static void record_put_held(struct tlsrec_work *work)
{
	struct tx_record *rec = &work->rec;
	unsigned int i;

	for_each_set_bit(i, &rec->held, TX_SG)
		put_page(sg_page(&work->src[i]));
	rec->held = 0;
}

static enum tlsrec_stream record_stream(const struct tx_record *rec)
{
	return rec->split ? TLSREC_BULK : TLSREC_SMALL;
}

/* Throw the record away; what it holds may be plaintext. */
static void record_drop(struct tlsrec_work *work)
{
	struct tx_record *rec = &work->rec;
	unsigned int i;

	record_put_held(work);
	if (rec->split)
		put_page(rec->ends.page);
	for (i = rec->split; i < rec->ndst; i++) {
		struct scatterlist *sg = &work->dst[i];

		memzero_explicit(sg_virt(sg), sg->length);
		put_page(sg_page(sg));
	}
	record_reset(rec);
}

/*
 * Begin a record whose payload has a place in pages of its own. What its tail
 * needs is taken now, so that sealing needs no memory.
 */
static int record_split(struct sock *sk, struct tlsrec_work *work,
			const struct tlsrec_format *fmt)
{
	unsigned int size = tlsrec_overhead(fmt);
	struct tx_record *rec = &work->rec;
	int err;

	err = tlsrec_pool_get(TLSREC_SMALL, size, size, 1, 0,
			      sk->sk_allocation, &rec->ends);
	if (err)
		return err;
	rec->split = true;
	sg_set_buf(&work->dst[rec->ndst++], work->crypt.aad, fmt->aad);
	return 0;
}

/*
 * The room is now that of @slice, which has @front bytes before it and the
 * record's tail behind it; @size bytes were wanted.
 */
static void record_set_room(struct tx_record *rec, struct tlsrec_slice *slice,
			    unsigned int front, unsigned int size)
{
	unsigned int len = slice->len - front - rec->tail;
	unsigned int over = (rec->len + len) % CIPHER_BLOCK;

	/* Short of what was wanted: let the next slice begin a cipher block. */
	if (slice->len < size && over < len) {
		tlsrec_pool_trim(record_stream(rec), slice, slice->len - over);
		len -= over;
	}
	rec->room.page = slice->page;
	rec->room.off = slice->off + front;
	rec->room.len = len;
}

/* What the record has may become longer where it is, by up to @want bytes. */
static bool record_extend(struct tx_record *rec, unsigned int want)
{
	unsigned int min = min_t(unsigned int, want, PIECE_MIN);
	struct tlsrec_slice slice = rec->room;

	slice.len = rec->tail;
	if (!tlsrec_pool_extend(TLSREC_SMALL, min, want, &slice))
		return false;
	record_set_room(rec, &slice, 0, rec->tail + want);
	return true;
}

/*
 * Get a slice with exactly the room for a record of @len bytes of payload. They
 * are copied there, or encrypted from the next bytes of @pin, where the program
 * has them. Returns what tlsrec_pool_get() does. Inline, as whole_seal() is: it
 * is much of what a small record costs.
 */
static __always_inline int
whole_get(struct sock *sk, const struct tlsrec_format *fmt, unsigned int len,
	  const struct iov_iter *pin, struct tlsrec_slice *slice)
{
	unsigned int size = fmt->aad + len + tlsrec_tail_size(fmt);
	unsigned int align, phase = -fmt->aad;

	align = len < STRIDE_MIN ? CIPHER_BLOCK : CIPHER_STRIDE;
	if (TLSREC_WALK_BY_PAGE && pin) {
		/* The cipher crosses from page to page in both at once. */
		align = PAGE_SIZE;
		phase += tlsrec_iter_addr(pin);
	}
	return tlsrec_pool_get(len > LARGE_MIN ? TLSREC_BULK : TLSREC_SMALL,
			       size, size, align, phase & (align - 1),
			       sk->sk_allocation, slice);
}

/*
 * Begin a record of @len bytes that is in one piece. -ENOSPC: there is no place
 * for that.
 */
static int record_begin_whole(struct sock *sk, struct tlsrec_work *work,
			      const struct tlsrec_format *fmt, unsigned int len)
{
	struct tx_record *rec = &work->rec;
	struct tlsrec_slice *room = &rec->room;
	int err;

	err = whole_get(sk, fmt, len, NULL, room);
	if (err) {
		room->len = 0;
		return err;
	}
	sg_set_page(work->dst, room->page, fmt->aad, room->off);
	rec->ndst = 1;
	rec->tail = tlsrec_tail_size(fmt);
	room->off += fmt->aad;
	room->len = len;
	return 0;
}

/* Get memory for more payload, as far as there is some: see record_grow(). */
static int record_grow_pieces(struct sock *sk, struct tlsrec_work *work,
			      const struct tlsrec_format *fmt, size_t rest,
			      bool more, bool splice, bool in_phase,
			      unsigned int phase)
{
	struct tx_record *rec = &work->rec;
	unsigned int left = rec->max - rec->len;
	unsigned int want = min_t(size_t, rest, left);
	bool small = !splice && want <= SMALL_MAX;
	unsigned int front, size, min, align;
	struct tlsrec_slice slice;
	int err;

	if (want == left)
		more = false;
	if (more && small)
		want = max3(want, rec->len, (unsigned int)GROW_MIN);
	else if (more)
		want = left;
	if (more)
		want = min(round_up(want, CIPHER_BLOCK), left);

	if (rec->tail && !in_phase && record_extend(rec, want))
		return 0;

	if (!rec->ndst && (in_phase || (rest > left && left > SMALL_MAX))) {
		err = record_split(sk, work, fmt);
		if (err)
			return err;
	}
	front = rec->ndst ? 0 : fmt->aad;
	size = front + want;
	if (!rec->split || (!more && want % CIPHER_BLOCK))
		size += tlsrec_tail_size(fmt);
	min = small && !more ? size : min_t(unsigned int, size, PIECE_MIN);

	/*
	 * Pages full of payload make the fewest pieces of several records; and
	 * where the source is in its pages, the cipher crosses from page to
	 * page in both at once.
	 */
	if (rec->split || in_phase)
		align = PAGE_SIZE;
	else
		align = want < STRIDE_MIN ? CIPHER_BLOCK : CIPHER_STRIDE;
	if (!in_phase)
		phase = -front & (align - 1);
	err = -ENOSPC;
	if (rec->split && want > LARGE_MIN)
		err = tlsrec_pool_get(TLSREC_BULK, size, size, align, phase,
				      sk->sk_allocation, &slice);
	if (err == -ENOSPC)
		err = tlsrec_pool_get(record_stream(rec), min, size, align,
				      phase, sk->sk_allocation, &slice);
	if (err)
		return err;
	rec->tail = rec->split ? 0 : tlsrec_tail_size(fmt);
	sg_set_page(&work->dst[rec->ndst++], slice.page, front, slice.off);
	rec->copied_last = false;
	record_set_room(rec, &slice, front, size);
	return 0;
}

/*
 * Get memory for more payload, of which the message has @rest bytes. With @more
 * it is not the last message of the record, unless that fills it up. With
 * @splice they are at offset @phase of a page.
 */
static int record_grow(struct sock *sk, struct tlsrec_work *work,
		       const struct tlsrec_format *fmt, size_t rest,
		       bool more, bool splice, unsigned int phase)
{
	/* A chunk may be a single page, see tlsrec_pool_get(). */
	bool in_phase = TLSREC_WALK_BY_PAGE && splice &&
			phase <= PAGE_SIZE - PIECE_MIN;
	struct tx_record *rec = &work->rec;
	unsigned int len = min_t(size_t, rest, rec->max);
	int err;

	if (!rec->ndst && !in_phase && len > LARGE_MIN &&
	    (!more || len == rec->max)) {
		err = record_begin_whole(sk, work, fmt, len);
		if (err != -ENOSPC)
			return err;
	}
	return record_grow_pieces(sk, work, fmt, rest, more, splice, in_phase,
				  phase);
}

/* @n bytes of room became payload. */
static void record_take_room(struct tlsrec_work *work, unsigned int n)
{
	struct tx_record *rec = &work->rec;

	work->dst[rec->ndst - 1].length += n;
	rec->room.off += n;
	rec->room.len -= n;
	rec->len += n;
}

static void record_add_copied(struct tlsrec_work *work, unsigned int n)
{
	struct tx_record *rec = &work->rec;

	if (rec->copied_last) {
		work->src[rec->nsrc - 1].length += n;
	} else if (rec->nsrc) {
		sg_set_page(&work->src[rec->nsrc++], rec->room.page, n,
			    rec->room.off);
		rec->copied_last = true;
	}
	record_take_room(work, n);
}

/*
 * Make ready for source entries of their own: with room for what they hold, of
 * which the message has @rest bytes, at offset @phase of a page.
 */
static int record_begin_source(struct sock *sk, struct tlsrec_work *work,
			       const struct tlsrec_format *fmt, size_t rest,
			       bool more, unsigned int phase)
{
	struct tx_record *rec = &work->rec;
	unsigned int i;
	int err;

	if (!rec->room.len) {
		err = record_grow(sk, work, fmt, rest, more, true, phase);
		if (err)
			return err;
	}
	if (rec->nsrc)
		return 0;

	/* Up to here the source is the target; the last may be empty yet. */
	for (i = 0; i < rec->ndst && work->dst[i].length; i++)
		work->src[i] = work->dst[i];
	rec->nsrc = i;
	return 0;
}

/* Skip what is empty, so that the iterator stands at its next byte. */
static void piece_settle(struct iov_iter *iter)
{
	while (iter->count && iter->iov_offset == iter->bvec->bv_len) {
		iter->iov_offset = 0;
		iter->bvec++;
		iter->nr_segs--;
	}
}

/*
 * How much of @bv, from @skip on, can the cipher read in place as one piece of
 * at most @left bytes? Its page and offset, too. @bv is looked at only when
 * there are bytes left.
 */
static unsigned int spliced_piece(const struct bio_vec *bv, unsigned int skip,
				  unsigned int left, struct page **page,
				  unsigned int *off)
{
	struct page *head;
	unsigned long rest;
	unsigned int n;

	if (left < SPLICE_MIN)
		return 0;
	n = bv->bv_len - skip;
	if (n < SPLICE_MIN)
		return 0;
	/* Only the end of a record may be off a cipher block. */
	n = n < left ? round_down(n, CIPHER_BLOCK) : left;

	*off = bv->bv_offset + skip;
	*page = bv->bv_page + *off / PAGE_SIZE;
	*off %= PAGE_SIZE;
	if (!sendpage_ok(*page))
		return 0;
	if (*off + n <= PAGE_SIZE)
		return n;
	/* A reference is for one allocation, the bio_vec may be of several. */
	head = compound_head(*page);
	rest = page_size(head) - (*page - head) * PAGE_SIZE - *off;
	return n > rest ? round_down(rest, CIPHER_BLOCK) : n;
}

/*
 * Whole pages, of which files have most, as far as they go: spliced_piece() in
 * a fraction of the instructions. Returns the first free entry from @sg on.
 */
static struct scatterlist *spliced_pages(const struct bio_vec **bv,
					 unsigned int *left,
					 struct scatterlist *sg,
					 const struct scatterlist *end)
{
	const struct bio_vec *b = *bv;
	unsigned int n = *left;

	while (sg < end && n >= PAGE_SIZE && b->bv_len == PAGE_SIZE &&
	       !b->bv_offset && sendpage_ok(b->bv_page)) {
		sg_set_page(sg++, b->bv_page, PAGE_SIZE, 0);
		n -= PAGE_SIZE;
		b++;
	}
	*bv = b;
	*left = n;
	return sg;
}

/**
 * record_splice() - add pieces of the message that can be read in place
 * @sk: locked
 * @work: the writer's
 * @fmt: record layout
 * @iter: the message, of pages that may be referenced
 * @more: the record will stay open behind the end of @iter
 *
 * Return: bytes added, 0 when the next piece has to be copied, or -ENOMEM.
 */
static int record_splice(struct sock *sk, struct tlsrec_work *work,
			 const struct tlsrec_format *fmt,
			 struct iov_iter *iter, bool more)
{
	struct tx_record *rec = &work->rec;
	unsigned int n, off, skip, left, added = 0;
	const struct scatterlist *end = &work->src[TX_SG - 1];
	struct scatterlist *sg = NULL;
	const struct bio_vec *bv;
	struct page *page;
	int err;

	piece_settle(iter);
	if (rec->len % CIPHER_BLOCK || max(rec->nsrc, rec->ndst) >= TX_SG - 1)
		return 0;
	left = min_t(size_t, iter->count, rec->max - rec->len);
	if (more || left < iter->count)
		left = round_down(left, CIPHER_BLOCK);

	bv = iter->bvec;
	skip = iter->iov_offset;
	while (sg != end) {
		n = spliced_piece(bv, skip, left, &page, &off);
		if (!n)
			break;
		if (!sg) {
			err = record_begin_source(sk, work, fmt, iter->count,
						  more, off);
			if (err)
				return err;
			sg = &work->src[rec->nsrc];
			if (left > rec->room.len)
				left = round_down(rec->room.len, CIPHER_BLOCK);
			added = left;
			n = min(n, left);
			if (!n)
				break;
		}
		sg_set_page(sg++, page, n, off);
		left -= n;
		skip += n;
		if (skip == bv->bv_len) {
			bv++;
			skip = 0;
			sg = spliced_pages(&bv, &left, sg, end);
		}
	}
	if (!added)
		return 0;

	added -= left;
	iter->nr_segs -= bv - iter->bvec;
	iter->bvec = bv;
	iter->iov_offset = skip;
	iter->count -= added;

	n = sg - work->src;
	rec->spliced |= GENMASK(n - 1, rec->nsrc);
	rec->nsrc = n;
	rec->copied_last = false;
	record_take_room(work, added);
	return added;
}

/*
 * Bytes to copy before the next piece can be read in place: up to the next
 * cipher block, or the whole of a piece that is small or not fit for it.
 */
static unsigned int copied_piece(const struct iov_iter *iter,
				 const struct tx_record *rec)
{
	unsigned int n = iter->bvec->bv_len - iter->iov_offset;
	unsigned int over = rec->len % CIPHER_BLOCK;

	if (over && n >= SPLICE_MIN)
		return CIPHER_BLOCK - over;
	return n;
}

/**
 * record_fill() - move bytes from the message into the open record
 * @sk: locked
 * @work: the writer's
 * @fmt: record layout
 * @iter: the message
 * @splice: @iter is of pages that may be referenced
 * @more: the record will stay open behind the end of @iter
 *
 * Return: bytes moved, at least one, or -ENOMEM or -EFAULT with the record
 * and @iter as they were.
 */
static int record_fill(struct sock *sk, struct tlsrec_work *work,
		       const struct tlsrec_format *fmt, struct iov_iter *iter,
		       bool splice, bool more)
{
	struct tx_record *rec = &work->rec;
	unsigned int n;
	size_t got;
	int err;

	if (splice) {
		err = record_splice(sk, work, fmt, iter, more);
		if (err)
			return err;
	}

	if (!rec->room.len) {
		err = record_grow(sk, work, fmt, iter->count, more, false, 0);
		if (err)
			return err;
	}

	n = min_t(size_t, iter->count, rec->max - rec->len);
	n = min(n, rec->room.len);
	if (splice)
		n = min(n, copied_piece(iter, rec));
	got = copy_from_iter(tlsrec_slice_ptr(&rec->room), n, iter);
	if (unlikely(got < n)) {
		iov_iter_revert(iter, got);
		memzero_explicit(tlsrec_slice_ptr(&rec->room), got);
		return -EFAULT;
	}
	record_add_copied(work, n);
	return n;
}

/* ---- sealing ---- */

/*
 * Add a piece to what TCP gets. Returns whether it needed an entry of its own,
 * which takes over a reference on the page.
 */
static bool out_add(struct tlsrec_work *work, struct page *page,
		    unsigned int off, unsigned int len)
{
	struct bio_vec *bv = work->out + work->out_nr;

	work->out_bytes += len;
	if (work->out_nr > work->out_first && bv[-1].bv_page == page &&
	    bv[-1].bv_offset + bv[-1].bv_len == off) {
		bv[-1].bv_len += len;
		return false;
	}
	bvec_set_page(bv, page, len, off);
	work->out_nr++;
	return true;
}

/*
 * A fault has left the last target entry empty. Some ciphers take that for the
 * end of the list; and the tail of a split record would come behind it.
 */
static void record_drop_empty(struct tlsrec_work *work)
{
	struct tx_record *rec = &work->rec;

	tlsrec_pool_trim(TLSREC_BULK, &rec->room, 0);
	put_page(sg_page(&work->dst[--rec->ndst]));
}

/* The record is encrypted: its pieces are for TCP. */
static void record_out(struct tlsrec_work *work, const struct tlsrec_format *fmt,
		       bool tail_inside)
{
	unsigned int head_size = tlsrec_head_size(fmt);
	struct tx_record *rec = &work->rec;
	struct tlsrec_slice *ends = &rec->ends;
	struct scatterlist *sg = work->dst;
	unsigned int skip = fmt->aad - head_size;
	bool used = false;

	if (rec->split) {
		used = out_add(work, ends->page, ends->off, head_size);
	} else if (!out_add(work, sg_page(sg), sg->offset + skip,
			    sg->length - skip)) {
		put_page(sg_page(sg));
	}
	while (++sg < work->dst + rec->ndst)
		if (!out_add(work, sg_page(sg), sg->offset, sg->length))
			put_page(sg_page(sg));

	if (!rec->split)
		return;
	if (!tail_inside) {
		if (used)
			get_page(ends->page);
		used = out_add(work, ends->page, ends->off + head_size,
			       tlsrec_tail_size(fmt));
	}
	if (!used)
		put_page(ends->page);
}

/**
 * seal_crypt() - encrypt with the next sequence number
 * @tx: transmit direction
 * @work: @work->dst is the target: room for the additional data, the payload,
 *	its tail
 * @src: the source, with the room that the target begins with; may be the
 *	target
 * @type: content type
 * @len: bytes of payload
 * @front: the room for the additional data
 * @head: result, tlsrec_head_size() bytes for the wire, which under TLS 1.3
 *	are the additional data
 *
 * Return: 0 or -EBADMSG: the sequence number must not be used again.
 */
static __always_inline int
seal_crypt(struct tlsrec_tx *tx, struct tlsrec_work *work,
	   struct scatterlist *src, u8 type, unsigned int len, u8 *front,
	   u8 *head)
{
	const struct tlsrec_format *fmt = &tx->key.fmt;
	struct tlsrec_key *key = &tx->key;

	/* The last number is for a control record: a KeyUpdate, an alert. */
	if (unlikely(key->exhausted ||
		     (key->seq == U64_MAX && type == TLSREC_TYPE_DATA)))
		return -EBADMSG;

	tlsrec_put_head(fmt, head, type, len,
			key->iv + TLSREC_NONCE_SIZE - TLSREC_MAX_EXPLICIT);
	tlsrec_put_aad(fmt, front, head, key->seq, len);
	tlsrec_nonce(fmt, tlsrec_crypt_nonce(&work->crypt), key->iv, key->seq);
	if (unlikely(tlsrec_crypt(key, &work->crypt, true, src, work->dst,
				  len + fmt->inner_type)))
		return -EBADMSG;
	return 0;
}

static void seal_done(struct sock *sk, struct tlsrec_tx *tx, u8 type,
		      unsigned int len)
{
	tlsrec_stat_record(sk, TLSREC_TX_RECORDS, len);
	trace_tlsrec_record_tx(sk, tx->key.seq, type, len);
	tlsrec_key_advance(&tx->key);
}

static void seal_failed(struct sock *sk, struct tlsrec_tx *tx, int err)
{
	tx->err = err;
	trace_tlsrec_fail(sk, true, tx->key.seq, err);
}

/**
 * record_seal() - encrypt the open record and add it to the batch
 * @sk: locked
 * @tx: transmit direction
 * @work: has an open record, and room in the batch
 *
 * Return: 0, or -EBADMSG, sticky: the record is gone.
 */
static int record_seal(struct sock *sk, struct tlsrec_tx *tx,
		       struct tlsrec_work *work)
{
	const struct tlsrec_format *fmt = &tx->key.fmt;
	unsigned int head_size = tlsrec_head_size(fmt);
	unsigned int tail_size = tlsrec_tail_size(fmt);
	struct tx_record *rec = &work->rec;
	struct scatterlist *src = work->dst;
	struct tlsrec_slice rest, end;
	unsigned int ndst, nsrc;
	u8 head[TLSREC_MAX_HEAD], *front;
	bool tail_inside;
	int err;

	if (rec->split && !work->dst[rec->ndst - 1].length)
		record_drop_empty(work);

	/*
	 * The tail of a split record follows the payload directly when that is
	 * not whole cipher blocks, so that the inner type shares its last
	 * block; otherwise it joins the next head, apart from the pages.
	 */
	ndst = rec->ndst;
	rest = rec->room;
	rest.len += rec->tail;
	tail_inside = !rec->split ||
		      (rec->len % CIPHER_BLOCK && rest.len >= tail_size);
	end = rest;
	if (tail_inside) {
		work->dst[ndst - 1].length += tail_size;
	} else {
		end = rec->ends;
		end.off += head_size;
		sg_set_page(&work->dst[ndst++], end.page, tail_size, end.off);
	}
	if (fmt->inner_type)
		*(u8 *)tlsrec_slice_ptr(&end) = rec->type;

	nsrc = ndst;
	if (rec->nsrc) {
		src = work->src;
		nsrc = rec->nsrc;
		if (fmt->inner_type) {
			if (tail_inside && rec->copied_last)
				src[nsrc - 1].length++;
			else
				sg_set_page(&src[nsrc++], end.page, 1, end.off);
		}
	}

	sg_mark_end(&src[nsrc - 1]);
	sg_mark_end(&work->dst[ndst - 1]);
	front = sg_virt(work->dst);
	err = seal_crypt(tx, work, src, rec->type, rec->len, front, head);
	sg_unmark_end(&src[nsrc - 1]);
	sg_unmark_end(&work->dst[ndst - 1]);
	if (unlikely(err)) {
		seal_failed(sk, tx, err);
		record_drop(work);
		return err;
	}

	if (rec->split)
		memcpy(tlsrec_slice_ptr(&rec->ends), head, head_size);
	else if (!fmt->inner_type)
		memcpy(front + fmt->aad - head_size, head, head_size);
	if (rec->held)
		record_put_held(work);
	record_out(work, fmt, tail_inside);
	/* Give back what the record did not need. */
	if (!tail_inside)
		tail_size = 0;
	if (rest.len > tail_size)
		tlsrec_pool_trim(record_stream(rec), &rest, tail_size);

	work->records++;
	seal_done(sk, tx, rec->type, rec->len);
	record_reset(rec);
	return 0;
}

/* ---- whole records ---- */

/*
 * Can the cipher read the next @len bytes where the program has them? Not CCM: it
 * reads them twice, and the program may write to them in between.
 */
static __always_inline bool can_pin(const struct tlsrec_tx *tx,
				    const struct iov_iter *iter,
				    unsigned int len)
{
	return len > LARGE_MIN && user_backed_iter(iter) &&
	       iov_iter_single_seg_count(iter) >= len &&
	       IS_ALIGNED(tlsrec_iter_addr(iter), CIPHER_BLOCK) &&
	       !tx->key.cipher->ccm_flags;
}

/*
 * Make the next @len bytes of @iter the source of a record in @slice, where the
 * program has them. Returns how many pages are pinned for it, which are in
 * @work->pinned, and the last source entry in @last; 0 when they have to be copied.
 */
static noinline unsigned int whole_pin(struct tlsrec_work *work,
				       const struct tlsrec_format *fmt,
				       const struct tlsrec_slice *slice,
				       struct iov_iter *iter, unsigned int len,
				       struct scatterlist **last)
{
	unsigned int off = offset_in_page(tlsrec_iter_addr(iter));
	unsigned int i, nr, left = len;
	struct scatterlist *sg = work->src;
	ssize_t got;

	got = tlsrec_pin_pages(iter, len, work->pinned, PIN_MAX);
	if (got <= 0)
		return 0;
	nr = DIV_ROUND_UP(off + got, PAGE_SIZE);
	if (unlikely(got < len)) {
		tlsrec_unpin_pages(work->pinned, nr);
		iov_iter_revert(iter, got);
		return 0;
	}

	sg_set_page(sg, slice->page, fmt->aad, slice->off);
	for (i = 0; i < nr; i++) {
		unsigned int n = min_t(unsigned int, left, PAGE_SIZE - off);

		sg_set_page(++sg, work->pinned[i], n, off);
		left -= n;
		off = 0;
	}
	if (fmt->inner_type)
		sg_set_page(++sg, slice->page, 1, slice->off + fmt->aad + len);
	*last = sg;
	return nr;
}

/**
 * whole_seal() - make a record of the next bytes of a message
 * @sk: locked
 * @tx: transmit direction
 * @work: has no open record
 * @iter: the message
 * @type: content type
 * @len: bytes of payload
 * @pin: can_pin()
 * @slice: of whole_get(); becomes the record
 *
 * Return: 0, -EFAULT with @iter as it was, or -EBADMSG, sticky. After an error
 * there is no plaintext in the slice.
 */
static __always_inline int
whole_seal(struct sock *sk, struct tlsrec_tx *tx, struct tlsrec_work *work,
	   struct iov_iter *iter, u8 type, unsigned int len, bool pin,
	   struct tlsrec_slice *slice)
{
	const struct tlsrec_format *fmt = &tx->key.fmt;
	unsigned int skip = fmt->aad - tlsrec_head_size(fmt);
	struct scatterlist *last, *dst = work->dst, *src = dst;
	u8 head[TLSREC_MAX_HEAD], *front = tlsrec_slice_ptr(slice);
	unsigned int nr = 0;
	int err;

	if (pin)
		nr = whole_pin(work, fmt, slice, iter, len, &last);
	if (nr) {
		src = work->src;
		sg_mark_end(last);
	} else {
		size_t got = copy_from_iter(front + fmt->aad, len, iter);

		if (unlikely(got < len)) {
			iov_iter_revert(iter, got);
			err = -EFAULT;
			goto wipe;
		}
	}
	if (fmt->inner_type)
		front[fmt->aad + len] = type;
	sg_set_page(dst, slice->page, slice->len, slice->off);
	sg_mark_end(dst);
	err = seal_crypt(tx, work, src, type, len, front, head);
	sg_unmark_end(dst);
	if (nr) {
		sg_unmark_end(last);
		tlsrec_unpin_pages(work->pinned, nr);
	}
	if (unlikely(err)) {
		seal_failed(sk, tx, err);
		goto wipe;
	}
	if (!fmt->inner_type)
		memcpy(front + skip, head, tlsrec_head_size(fmt));
	slice->off += skip;
	slice->len -= skip;
	seal_done(sk, tx, type, len);
	return 0;

wipe:
	memzero_explicit(front, slice->len);
	return err;
}

/* ---- pushing ---- */

static void out_drop(struct tlsrec_work *work)
{
	const struct bio_vec *bv = work->out + work->out_first;
	const struct bio_vec *end = work->out + work->out_nr;

	for (; bv < end; bv++)
		put_page(bv->bv_page);
	work->out_bytes = 0;
	work->out_first = 0;
	work->out_nr = 0;
	work->records = 0;
}

/* TCP has taken @n bytes of the batch. */
static void out_advance(struct tlsrec_work *work, size_t n)
{
	struct bio_vec *bv = &work->out[work->out_first];

	work->out_bytes -= n;
	if (likely(!work->out_bytes)) {
		out_drop(work);
		return;
	}

	for (; n >= bv->bv_len; bv++) {
		n -= bv->bv_len;
		put_page(bv->bv_page);
		work->out_first++;
	}
	bv->bv_offset += n;
	bv->bv_len -= n;
}

/*
 * A splice that comes page by page goes to TCP in many calls. What one of them
 * leaves behind whole segments goes together with what follows. MSG_MORE
 * alone keeps TCP from sending it only until the next ACK, which on a fast path
 * comes before the next pages have been read and encrypted. As with every
 * TCP_CORK, TCP does not wait for more than 200 ms.
 */
static void tx_cork(struct sock *sk, struct tlsrec_tx *tx)
{
	struct tcp_sock *tp = tcp_sk(sk);

	/* With little space left it might be what the space is waiting for. */
	if (TLSREC_SPLICE_BY_PAGE && !(tp->nonagle & TCP_NAGLE_CORK) &&
	    sk_stream_is_writeable(sk)) {
		tp->nonagle |= TCP_NAGLE_CORK;
		tx->corked = true;
	}
}

/**
 * tlsrec_tx_uncork() - a cork that is on is not ours any more
 * @sk: locked
 * @tx: transmit direction
 */
void tlsrec_tx_uncork(struct sock *sk, struct tlsrec_tx *tx)
{
	if (TLSREC_SPLICE_BY_PAGE && tx->corked) {
		tcp_sk(sk)->nonagle &= ~TCP_NAGLE_CORK;
		tx->corked = false;
	}
}

/*
 * Hand the batch to TCP, without waiting. Returns 0 when all of it was taken,
 * else a negative errno with the rest kept.
 */
static int tx_push(struct sock *sk, struct tlsrec_tx *tx, int flags)
{
	bool splice = flags & MSG_SPLICE_PAGES;
	struct tlsrec_work *work = tx->work;
	bool held = tx->turn.held;
	int ret = 0;

	flags &= MSG_MORE | TLSREC_MSG_NOTLAST;
	tlsrec_tx_uncork(sk, tx);
	/* Who waits, and who gets a signal, is decided by the caller. */
	flags |= MSG_DONTWAIT | MSG_NOSIGNAL;

	/* TCP reports free space from inside of this, too. */
	tx->turn.held = true;
	while (work->out_bytes) {
		ret = tlsrec_push_pages(sk, work->out + work->out_first,
					work->out_nr - work->out_first,
					work->out_bytes, flags);
		if (ret <= 0)
			break;
		out_advance(work, ret);
	}
	tx->turn.held = held;

	if (work->out_bytes)
		return ret ? ret : -EAGAIN;
	if (splice && flags & MSG_MORE)
		tx_cork(sk, tx);
	return 0;
}

/* The connection lives: what was taken from the program goes out in time. */
static bool err_keeps(int err)
{
	return err == -EAGAIN || err == -EINTR || err == -ERESTARTSYS ||
	       err == -ENOMEM || err == -ENOBUFS || err == -EFAULT;
}

/*
 * An error that this call does not report is for the next one: TCP tells it
 * only once, and a reader would take the reset for the end of the stream.
 */
static void tx_keep_error(struct sock *sk, int err)
{
	if (err && !err_keeps(err) && err != -EPIPE && err != -EBADMSG)
		WRITE_ONCE(sk->sk_err, -err);
}

/* Nobody works on it now: the socket keeps the work area only if it must. */
static void tx_settle(struct tlsrec_tx *tx)
{
	tx->pending = tx->work->out_bytes;
	if (work_idle(tx->work)) {
		work_put(tx->work);
		tx->work = NULL;
	}
}

/* ---- the writer ---- */

/**
 * struct tx_call - one call of a writer
 * @sk: locked
 * @tx: transmit direction, the turn is taken
 * @work: work area
 * @flags: MSG_*
 * @timeo: jiffies it may still wait
 * @copied: bytes of the message that are in records
 * @sealed: bytes of the message that are in sealed records
 * @safe: bytes of the message that TCP has
 * @corked: TCP was told that more would follow
 * @has_space: TCP wanted more, and has not been given it yet
 */
struct tx_call {
	struct sock		*sk;
	struct tlsrec_tx	*tx;
	struct tlsrec_work	*work;
	int			flags;
	long			timeo;
	size_t			copied;
	size_t			sealed;
	size_t			safe;
	bool			corked;
	bool			has_space;
};

/*
 * More does not follow at once after all: TCP is not to hold back less than a
 * segment for it. The function for that takes the lock by itself; the turn
 * keeps our state as it is.
 */
static void call_uncork(struct tx_call *call)
{
	struct sock *sk = call->sk;

	tlsrec_tx_uncork(sk, call->tx);
	release_sock(sk);
	tlsrec_base_proto(sk)->splice_eof(sk->sk_socket);
	lock_sock(sk);
	call->corked = false;
}

/*
 * TCP has no memory for more. It comes when TCP's queue drains, so nothing in
 * it may be held back, be it by cork or by Nagle's algorithm; TCP does the same
 * before it sleeps. Then sleep. What the work area holds is complete here: a
 * shutdown() meanwhile pushes it.
 */
static int call_wait(struct tx_call *call)
{
	struct sock *sk = call->sk;
	bool full = !sk_stream_memory_free(sk);

	tcp_sk(sk)->nonagle |= TCP_NAGLE_PUSH;
	call_uncork(call);
	set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
	/* Asked again, it would wait a while for memory of another kind. */
	if (full && sk_stream_memory_free(sk))
		return 0;
	return sk_stream_wait_memory(sk, &call->timeo);
}

/* Push what is sealed; @more comes with this very call. */
static int call_push(struct tx_call *call, bool more)
{
	int flags = call->flags | (more ? MSG_MORE : 0);
	int err;

	if (call->work->out_bytes)
		call->corked = more;
	call->has_space = false;
	do {
		err = tx_push(call->sk, call->tx, flags);
		if (err != -EAGAIN)
			break;
		err = call_wait(call);
	} while (!err);

	if (!call->work->out_bytes)
		call->safe = call->sealed;
	return err;
}

/* Wait until TCP wants more, so that little has to be kept for it. */
static int call_wait_space(struct tx_call *call)
{
	struct sock *sk = call->sk;
	int err;

	while (1) {
		if (sk->sk_err || sk->sk_shutdown & SEND_SHUTDOWN)
			return -EPIPE;
		if (likely(sk_stream_memory_free(sk)))
			return 0;
		err = call_push(call, false);
		if (err)
			return err;
		if (sk_stream_memory_free(sk))
			continue;
		err = call_wait(call);
		if (err)
			return err;
	}
}

/* Memory for a record is short: wait as TCP does for its own. */
static int call_wait_memory(struct tx_call *call)
{
	int err;

	err = call_push(call, false);
	if (err)
		return err;
	return call_wait(call);
}

/* Enough sealed for one push? Not more than TCP has space for, too. */
static bool batch_full(const struct sock *sk, const struct tlsrec_work *work)
{
	return work->records >= TX_BATCH ||
	       (int)work->out_bytes >= sk_stream_wspace(sk);
}

/* All of the message that is in records is sealed: make room in the batch. */
static int call_sealed(struct tx_call *call, bool more)
{
	call->sealed = call->copied;
	if (!batch_full(call->sk, call->work))
		return 0;
	return call_push(call, more);
}

/* Seal the open record, if there is one, and make room in the batch. */
static int call_close_record(struct tx_call *call, bool more)
{
	int err;

	if (!call->work->rec.open)
		return 0;
	err = record_seal(call->sk, call->tx, call->work);
	if (err)
		return err;
	return call_sealed(call, more);
}

/*
 * Make the next record of the message straight from the program's memory, when
 * nothing can be added to it any more and nothing is open. Returns its bytes of
 * payload, 0 when it has to be copied, or -EBADMSG.
 */
static int call_pin_record(struct tx_call *call, struct iov_iter *iter, u8 type,
			   bool more)
{
	unsigned int max = call->tx->max_payload;
	unsigned int len = min_t(size_t, iter->count, max);
	struct tlsrec_work *work = call->work;
	struct tlsrec_slice slice;
	int err;

	if ((more && len < max) || !can_pin(call->tx, iter, len))
		return 0;
	if (whole_get(call->sk, &call->tx->key.fmt, len, iter, &slice))
		return 0;
	err = whole_seal(call->sk, call->tx, work, iter, type, len, true,
			 &slice);
	if (err) {
		put_page(slice.page);
		return err == -EFAULT ? 0 : err;
	}
	if (!out_add(work, slice.page, slice.off, slice.len))
		put_page(slice.page);
	work->records++;
	return len;
}

static int call_write(struct tx_call *call, struct msghdr *msg, u8 type)
{
	const struct tlsrec_format *fmt = &call->tx->key.fmt;
	bool more = call->flags & (MSG_MORE | TLSREC_MSG_NOTLAST);
	/*
	 * CCM reads the payload twice, and somebody may write to the pages in
	 * between: the tag would not be that of the bytes sent.
	 */
	bool splice = call->flags & MSG_SPLICE_PAGES &&
		      iov_iter_is_bvec(&msg->msg_iter) &&
		      !call->tx->key.cipher->ccm_flags;
	struct tlsrec_work *work = call->work;
	int n, err;

	while (msg_data_left(msg)) {
		/* Not in the middle of a record: it would stay unsent. */
		if (!call->has_space && call->copied == call->sealed) {
			err = call_wait_space(call);
			if (err)
				return err;
			call->has_space = true;
		}

		if (!work->rec.open) {
			n = call_pin_record(call, &msg->msg_iter, type, more);
			if (n < 0)
				return n;
			if (n) {
				call->copied += n;
				err = call_sealed(call, msg_data_left(msg));
				if (err)
					return err;
				continue;
			}
			record_open(call->tx, &work->rec, type);
		}
		if (!record_full(&work->rec)) {
			n = record_fill(call->sk, work, fmt, &msg->msg_iter,
					splice, more);
			if (n == -ENOMEM) {
				err = call_wait_memory(call);
				if (err)
					return err;
				continue;
			}
			if (n < 0)
				return n;
			call->copied += n;
		}

		if (record_full(&work->rec) || (!msg_data_left(msg) && !more)) {
			err = call_close_record(call, msg_data_left(msg));
			if (err)
				return err;
		}
	}

	return 0;
}

/* Content type of the message: 0 when it does not say. */
static int cmsg_record_type(struct msghdr *msg, u8 *type)
{
	struct cmsghdr *cmsg;
	int err = -EINVAL;

	for_each_cmsghdr(cmsg, msg) {
		if (!CMSG_OK(msg, cmsg))
			return -EINVAL;
		if (cmsg->cmsg_level != SOL_TLS)
			continue;
		if (cmsg->cmsg_type != TLS_SET_RECORD_TYPE ||
		    cmsg->cmsg_len < CMSG_LEN(sizeof(*type)) ||
		    msg->msg_flags & MSG_MORE)
			return -EINVAL;
		*type = *(u8 *)CMSG_DATA(cmsg);
		/* No content type, but TLS 1.3's padding. */
		if (!*type)
			return -EINVAL;
		err = 0;
	}

	return err;
}

/* What must go before the message: kept records, a record of another type. */
static int call_begin(struct tx_call *call, u8 type)
{
	struct tx_record *rec = &call->work->rec;
	int err;

	if (call->tx->err)
		return call->tx->err;

	if (batch_full(call->sk, call->work)) {
		err = call_push(call, true);
		if (err)
			return err;
	}
	if (rec->open && (type || rec->type != TLSREC_TYPE_DATA ||
			  record_full(rec)))
		return call_close_record(call, true);
	return 0;
}

/* Take the work area up, or lay it aside as the socket's. */
static int call_start(struct tx_call *call)
{
	int err;

	if (!call->tx->work) {
		err = tlsrec_key_wake(&call->tx->key);
		if (err)
			return err;
		call->tx->work = work_get(call->sk->sk_allocation);
	}
	call->work = call->tx->work;
	return call->work ? 0 : -ENOMEM;
}

static void call_end(struct tx_call *call)
{
	struct tx_record *rec = &call->work->rec;

	/* Opened, but nothing came: a fault or a signal. */
	if (rec->open && !rec->len)
		record_drop(call->work);
	if (rec->spliced)
		record_hold(call->work);
	/* Users inside the kernel put callbacks of their own over ours. */
	if (call->work->out_bytes &&
	    call->sk->sk_write_space != tlsrec_write_space)
		tlsrec_tx_force(call->sk, call->tx);
	tx_settle(call->tx);
}

/* After an error: what was taken goes out as far as it can at once. */
static void call_rescue(struct tx_call *call, int err)
{
	if (!err_keeps(err) && err != -EBADMSG)
		return;
	call->timeo = 0;
	if (!(call->flags & MSG_MORE) && call->copied > call->sealed &&
	    call->work->rec.open && !record_seal(call->sk, call->tx, call->work))
		call->sealed = call->copied;
	tx_keep_error(call->sk, call_push(call, false));
}

/**
 * tx_send() - a message, and what is kept of earlier ones
 * @sk: locked; the lock is dropped while waiting
 * @msg: what is left of the message
 * @sealed: bytes of it that are in records already
 *
 * Return: bytes taken, with @sealed, or a negative errno.
 */
static int tx_send(struct sock *sk, struct msghdr *msg, size_t sealed)
{
	struct tx_call call = {
		.sk = sk,
		.tx = &tlsrec_ctx(sk)->tx,
		.flags = msg->msg_flags,
		.timeo = sock_sndtimeo(sk, msg->msg_flags & MSG_DONTWAIT),
		.copied = sealed,
		.sealed = sealed,
	};
	u8 type = 0;
	int err;

	if ((msg->msg_flags & (MSG_MORE | MSG_EOR)) == (MSG_MORE | MSG_EOR))
		return -EINVAL;
	if (unlikely(msg->msg_controllen)) {
		err = cmsg_record_type(msg, &type);
		if (err)
			return err;
	}

	err = tlsrec_turn_take(sk, &call.tx->turn, &call.timeo);
	if (err)
		return err;
	err = call_start(&call);
	if (err)
		goto give;

	err = call_begin(&call, type);
	if (!err)
		err = call_write(&call, msg, type ? type : TLSREC_TYPE_DATA);
	if (err)
		call_rescue(&call, err);
	else if (!(call.flags & TLSREC_MSG_NOTLAST))
		err = call_push(&call, false);
	if (call.corked)
		call_uncork(&call);
	call_end(&call);
give:
	if (tlsrec_turn_give(sk, &call.tx->turn)) {
		set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
		sk->sk_write_space(sk);
	}

	if (!err)
		return call.copied;
	/* What is kept goes out later, unless the connection is dead. */
	if (call.copied && err_keeps(err))
		return call.copied;
	if (call.safe) {
		tx_keep_error(sk, err);
		return call.safe;
	}
	return sk_stream_error(sk, msg->msg_flags, err);
}

/* ---- the short way ---- */

/* A message that becomes one record, and nothing is in its way? */
static bool is_whole(const struct sock *sk, const struct tlsrec_tx *tx,
		     const struct msghdr *msg)
{
	size_t len = iov_iter_count(&msg->msg_iter);

	return len && len <= tx->max_payload &&
	       !(msg->msg_flags & (MSG_MORE | MSG_EOR | MSG_SPLICE_PAGES)) &&
	       !msg->msg_controllen && !tx->work && !tx->turn.held &&
	       !tx->err && !sk->sk_err &&
	       !(sk->sk_shutdown & SEND_SHUTDOWN) && sk_stream_memory_free(sk);
}

/* TCP has the first @sent bytes of the record, or an error; keep the rest. */
static void whole_keep(struct tlsrec_tx *tx, struct tlsrec_work *work,
		       struct tlsrec_slice *slice, int sent)
{
	if (sent > 0) {
		slice->off += sent;
		slice->len -= sent;
	}
	out_add(work, slice->page, slice->off, slice->len);
	work->records = 1;
	tx->work = work;
}

/**
 * tx_send_whole() - send a message as one record, the short way
 * @sk: locked
 * @tx: transmit direction
 * @msg: is_whole()
 * @pin: can_pin()
 *
 * The lock is held all the time, and the message is sealed all at once: there is
 * neither a turn to take nor an open record. Whatever is out of the ordinary is
 * left to tx_send().
 *
 * Return: as tx_send(), or 0 with nothing done.
 */
static __always_inline int
tx_send_whole(struct sock *sk, struct tlsrec_tx *tx, struct msghdr *msg,
	      bool pin)
{
	unsigned int len = msg_data_left(msg);
	struct tlsrec_slice slice;
	struct tlsrec_work *work;
	struct bio_vec bvec;
	int ret;

	if (tlsrec_key_wake(&tx->key))
		return 0;
	work = work_get(sk->sk_allocation);
	if (!work)
		return 0;
	ret = whole_get(sk, &tx->key.fmt, len, pin ? &msg->msg_iter : NULL,
			&slice);
	if (ret) {
		work_put(work);
		return 0;
	}
	ret = whole_seal(sk, tx, work, &msg->msg_iter, TLSREC_TYPE_DATA, len,
			 pin, &slice);
	if (unlikely(ret)) {
		put_page(slice.page);
		work_put(work);
		if (ret == -EFAULT)
			return 0;
		return sk_stream_error(sk, msg->msg_flags, ret);
	}

	tlsrec_tx_uncork(sk, tx);
	bvec_set_page(&bvec, slice.page, slice.len, slice.off);
	ret = tlsrec_push_pages(sk, &bvec, 1, slice.len,
				MSG_DONTWAIT | MSG_NOSIGNAL);
	if (unlikely(ret < (int)slice.len)) {
		if (ret < 0)
			tx_keep_error(sk, ret);
		whole_keep(tx, work, &slice, ret);
		return tx_send(sk, msg, len);
	}
	put_page(slice.page);
	work_put(work);
	return len;
}

/* Apart, so that small records are not slowed down by what they do not need. */
static noinline int tx_send_pinned(struct sock *sk, struct tlsrec_tx *tx,
				   struct msghdr *msg)
{
	return tx_send_whole(sk, tx, msg, true);
}

/**
 * tlsrec_sendmsg() - sendmsg() of a socket with a transmit key
 * @sk: not locked
 * @msg: the message; MSG_SPLICE_PAGES with a bvec iterator references pages
 * @size: its size in bytes
 *
 * Return: bytes taken, or a negative errno as in the design's table.
 */
int tlsrec_sendmsg(struct sock *sk, struct msghdr *msg, size_t size)
{
	struct tlsrec_tx *tx;
	int ret = 0;

	if (msg->msg_flags & ~TX_FLAGS)
		return -EOPNOTSUPP;
	/* Only sendpage() may promise that more comes at once. */
	msg->msg_flags &= ~TLSREC_MSG_NOTLAST;

	lock_sock(sk);
	tx = &tlsrec_ctx(sk)->tx;
	if (is_whole(sk, tx, msg)) {
		if (can_pin(tx, &msg->msg_iter, msg_data_left(msg)))
			ret = tx_send_pinned(sk, tx, msg);
		else
			ret = tx_send_whole(sk, tx, msg, false);
	}
	if (!ret)
		ret = tx_send(sk, msg, 0);
	release_sock(sk);
	return ret;
}

/*
 * Seal and push whatever is left, without waiting. A writer that sleeps in the
 * middle of its call goes on with its open record by himself.
 */
static void tx_flush(struct sock *sk, struct tlsrec_tx *tx)
{
	struct tlsrec_work *work = tx->work;
	int err;

	if (!work || sk->sk_err)
		return;

	err = tx_push(sk, tx, 0);
	if (!err && !tx->turn.held && work->rec.open && !tx->err &&
	    !record_seal(sk, tx, work))
		err = tx_push(sk, tx, 0);
	tx_keep_error(sk, err);

	if (!tx->turn.held)
		tx_settle(tx);
}

#ifdef TLSREC_HAVE_SENDPAGE
/* May a record be sealed that goes to TCP with others, in a later call? */
static bool batch_may_grow(const struct sock *sk, const struct tlsrec_tx *tx)
{
	const struct tlsrec_work *work = tx->work;

	/* Users inside the kernel put callbacks of their own over ours. */
	return work->records < TX_BATCH - 1 &&
	       (int)work->out_bytes + 2 * tx->max_payload <
	       sk_stream_wspace(sk) &&
	       sk->sk_write_space == tlsrec_write_space;
}

/*
 * A page that is not the first of its record, and not the last of the splice:
 * most of what a call does is of no concern for it. Returns its size, 0 when it
 * takes a whole call, or a negative errno.
 */
static int tx_append_page(struct sock *sk, struct page *page, int offset,
			  size_t size, int flags)
{
	struct tlsrec_tx *tx = &tlsrec_ctx(sk)->tx;
	struct tlsrec_work *work = tx->work;
	struct tx_record *rec;
	bool full;
	int err;

	if (!work || tx->turn.held || !(flags & TLSREC_MSG_NOTLAST))
		return 0;
	rec = &work->rec;
	if (!rec->open || rec->type != TLSREC_TYPE_DATA || !rec->spliced ||
	    rec->nsrc >= TX_SG - 2)
		return 0;
	if (size < SPLICE_MIN || size > rec->room.len ||
	    size > rec->max - rec->len ||
	    (rec->len | size) % CIPHER_BLOCK || !sendpage_ok(page))
		return 0;
	full = size == rec->max - rec->len;
	if (full && !batch_may_grow(sk, tx))
		return 0;

	sg_set_page(&work->src[rec->nsrc], page, size, offset);
	rec->spliced |= BIT(rec->nsrc);
	if (!full) {
		/* The page goes with the call. */
		get_page(page);
		rec->held |= BIT(rec->nsrc);
	}
	rec->nsrc++;
	rec->copied_last = false;
	record_take_room(work, size);
	if (!full)
		return size;

	err = record_seal(sk, tx, work);
	if (err) {
		tx_flush(sk, tx);
		return err;
	}
	tx->pending = true;
	return size;
}

static noinline int tx_send_page(struct sock *sk, struct page *page, int offset,
				 size_t size, int flags)
{
	struct msghdr msg = { .msg_flags = flags | MSG_SPLICE_PAGES };
	struct bio_vec bvec;

	bvec_set_page(&bvec, page, size, offset);
	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, &bvec, 1, size);
	return tx_send(sk, &msg, 0);
}

int tlsrec_sendpage(struct sock *sk, struct page *page, int offset,
		    size_t size, int flags)
{
	int ret;

	if (flags & ~TX_FLAGS)
		return -EOPNOTSUPP;
	/* A splice ends between two pages then, whatever it has promised. */
	if (signal_pending(current))
		flags &= ~(MSG_MORE | TLSREC_MSG_NOTLAST);

	lock_sock(sk);
	ret = tx_append_page(sk, page, offset, size, flags);
	if (!ret)
		ret = tx_send_page(sk, page, offset, size, flags);
	release_sock(sk);
	return ret;
}
#endif

/**
 * tlsrec_splice_eof() - a splice said more would come, and none did
 * @sock: the socket
 */
void tlsrec_splice_eof(struct socket *sock)
{
	struct sock *sk = sock->sk;

	lock_sock(sk);
	tx_flush(sk, &tlsrec_ctx(sk)->tx);
	tlsrec_tx_uncork(sk, &tlsrec_ctx(sk)->tx);
	release_sock(sk);
	tlsrec_base_proto(sk)->splice_eof(sock);
}

/**
 * tlsrec_write_space() - TCP has space again: first for kept records
 * @sk: locked, by this task or by softirq
 */
void tlsrec_write_space(struct sock *sk)
{
	struct tlsrec_ctx *ctx = tlsrec_ctx(sk);
	struct tlsrec_tx *tx;

	/* Somebody who put his callback over ours may call it late. */
	if (unlikely(!ctx))
		return;

	tx = &ctx->tx;
	/*
	 * A writer in the middle of its call pushes by itself, and finds an
	 * error by itself. Without scatter-gather TCP would copy, through
	 * memory that belongs to the task that is running.
	 */
	if (tx->pending && !tx->turn.held && !sk->sk_err &&
	    sk->sk_route_caps & NETIF_F_SG) {
		gfp_t gfp = sk->sk_allocation;

		/* This may be softirq, where TCP must not sleep for memory. */
		sk->sk_allocation = GFP_ATOMIC;
		tx_keep_error(sk, tx_push(sk, tx, 0));
		sk->sk_allocation = gfp;
		tx_settle(tx);
	}

	tx->saved_write_space(sk);
}

/**
 * tlsrec_tx_open() - is there a record that has not been sealed?
 * @tx: transmit direction, its socket locked
 */
bool tlsrec_tx_open(const struct tlsrec_tx *tx)
{
	return tx->work && tx->work->rec.open;
}

/**
 * tlsrec_tx_force() - TCP has to take what it has not taken yet
 * @sk: locked
 * @tx: transmit direction
 *
 * For when nobody would do it later. At most a batch and, unless a writer is at
 * it, the open record go to TCP whether or not the send buffer has space.
 */
void tlsrec_tx_force(struct sock *sk, struct tlsrec_tx *tx)
{
	struct tcp_sock *tp = tcp_sk(sk);
	int sndbuf = sk->sk_sndbuf;
	u32 lowat = tp->notsent_lowat;

	WRITE_ONCE(sk->sk_sndbuf, INT_MAX);
	WRITE_ONCE(tp->notsent_lowat, UINT_MAX);
	tx_flush(sk, tx);
	WRITE_ONCE(sk->sk_sndbuf, sndbuf);
	WRITE_ONCE(tp->notsent_lowat, lowat);
}

/* The socket is closed. */
void tlsrec_tx_free(struct tlsrec_tx *tx)
{
	if (tx->work) {
		out_drop(tx->work);
		if (tx->work->rec.open)
			record_drop(tx->work);
		work_put(tx->work);
		tx->work = NULL;
	}
	tlsrec_key_wipe(&tx->key);
}

int tlsrec_tx_init(void)
{
	return tlsrec_pool_init();
}

void tlsrec_tx_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		kfree_sensitive(per_cpu(work_cache, cpu));
	tlsrec_pool_exit();
}
