// SPDX-License-Identifier: GPL-2.0-only
/* See txrec.h. */

#include "compat.h"
#include "txrec.h"
#include "seal.h"

enum {
	/* Payloads up to this size are in one slice. */
	SMALL_MAX	= 3072,
	/* The least that is worth a slice of its own of a larger one. */
	PIECE_MIN	= 1024,
	/* First slice of a record that grows by small writes. */
	GROW_MIN	= 1024,
	/* Pages that all of a record fits in, with tails to spare. */
	WHOLE_PAGES	= DIV_ROUND_UP(TLSREC_MAX_RECORD, PAGE_SIZE) + 1,
};

/* The caller goes, the record stays: it needs references of its own. */
void txrec_hold(struct tlsrec_work *work)
{
	struct tx_record *rec = &work->rec;
	unsigned long borrowed = rec->spliced & ~rec->held;
	unsigned int i;

	for_each_set_bit(i, &borrowed, TXREC_SG)
		get_page(sg_page(&work->src[i]));
	rec->held |= rec->spliced;
}

/* Drop the references of the source: it has been read. */
void txrec_put_held(struct tlsrec_work *work)
{
	struct tx_record *rec = &work->rec;
	unsigned int i;

	for_each_set_bit(i, &rec->held, TXREC_SG) {
		struct scatterlist *sg = &work->src[i];

		if (!(rec->spliced & BIT(i)))
			memzero_explicit(sg_virt(sg), sg->length);
		put_page(sg_page(sg));
	}
	rec->held = 0;
}

/* Throw the record away; what it holds may be plaintext. */
void txrec_drop(struct tlsrec_work *work)
{
	struct tx_record *rec = &work->rec;
	unsigned int i;

	txrec_put_held(work);
	if (rec->split)
		put_page(rec->ends.page);
	for (i = rec->split; i < rec->ndst; i++) {
		struct scatterlist *sg = &work->dst[i];

		memzero_explicit(sg_virt(sg), sg->length);
		put_page(sg_page(sg));
	}
	txrec_reset(rec);
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
	unsigned int over = (rec->len + len) % TXREC_BLOCK;

	/* Short of what was wanted: let the next slice begin a cipher block. */
	if (slice->len < size && over < len) {
		tlsrec_pool_trim(txrec_stream(rec), slice, slice->len - over);
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
 * Begin a record of @len bytes that is in one piece. -ENOSPC: there is no place
 * for that.
 */
static int record_begin_whole(struct sock *sk, struct tlsrec_work *work,
			      const struct tlsrec_format *fmt, unsigned int len)
{
	struct tx_record *rec = &work->rec;
	struct tlsrec_slice *room = &rec->room;
	int err;

	err = seal_whole_get(sk, fmt, len, NULL, room);
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
		want = min(round_up(want, TXREC_BLOCK), left);

	if (rec->tail && !in_phase && record_extend(rec, want))
		return 0;

	rec->uneven |= rec->len % TXREC_BLOCK;
	if (!rec->ndst && (in_phase || (rest > left && left > SMALL_MAX))) {
		err = record_split(sk, work, fmt);
		if (err)
			return err;
	}
	front = rec->ndst ? 0 : fmt->aad;
	size = front + want;
	/* With @more these are whole blocks, unless they fill the record up. */
	if (!rec->split || want % TXREC_BLOCK)
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
		align = want < TXREC_STRIDE_MIN ? TXREC_BLOCK : TXREC_STRIDE;
	if (in_phase)
		phase = round_down(phase, TXREC_BLOCK);
	else
		phase = -front & (align - 1);
	err = -ENOSPC;
	if (rec->split && want > TXREC_LARGE)
		err = tlsrec_pool_get(TLSREC_BULK, size, size, align, phase,
				      sk->sk_allocation, &slice);
	if (err == -ENOSPC)
		err = tlsrec_pool_get(txrec_stream(rec), min, size, align,
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

	if (!rec->ndst && !in_phase && len > TXREC_LARGE &&
	    (!more || len == rec->max)) {
		err = record_begin_whole(sk, work, fmt, len);
		if (err != -ENOSPC)
			return err;
	}
	return record_grow_pieces(sk, work, fmt, rest, more, splice, in_phase,
				  phase);
}

static void record_add_copied(struct tlsrec_work *work, unsigned int n)
{
	struct tx_record *rec = &work->rec;

	rec->in_place = true;
	if (rec->copied_last) {
		work->src[rec->nsrc - 1].length += n;
	} else if (rec->nsrc) {
		sg_set_page(&work->src[rec->nsrc++], rec->room.page, n,
			    rec->room.off);
		rec->copied_last = true;
	}
	txrec_take_room(work, n);
}

/* The source is what was the target up to here; its last may be empty yet. */
static void record_keep_source(struct tlsrec_work *work)
{
	struct tx_record *rec = &work->rec;
	unsigned int i;

	for (i = 0; i < rec->ndst && work->dst[i].length; i++)
		work->src[i] = work->dst[i];
	rec->nsrc = i;
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
	int err;

	if (!rec->room.len) {
		err = record_grow(sk, work, fmt, rest, more, true, phase);
		if (err)
			return err;
	}
	if (!rec->nsrc)
		record_keep_source(work);
	return 0;
}

/*
 * Get memory for all of a record of @len bytes, if need be in pieces, of which the
 * last has all of the tail. Returns how many they are, or -ENOMEM.
 */
static int part_get(struct sock *sk, const struct tlsrec_format *fmt,
		    unsigned int len, struct tlsrec_slice *slices)
{
	unsigned int tail = tlsrec_tail_size(fmt);
	unsigned int left = fmt->aad + len + tail;
	int n = 0, err;

	err = seal_whole_get(sk, fmt, len, NULL, slices);
	if (err != -ENOSPC)
		return err ? err : 1;

	while (left) {
		struct tlsrec_slice *slice = &slices[n];

		err = tlsrec_pool_get(TLSREC_SMALL,
				      min_t(unsigned int, left, PAGE_SIZE),
				      left, 1, 0, sk->sk_allocation, slice);
		if (err) {
			while (n--)
				put_page(slices[n].page);
			return err;
		}
		if (slice->len < left && left - slice->len < tail)
			tlsrec_pool_trim(TLSREC_SMALL, slice,
					 slice->len - tail);
		left -= slice->len;
		n++;
	}
	return n;
}

/**
 * txrec_part() - give a record that has all its payload a target apart
 * @sk: locked
 * @work: the writer's, with an open record; is sealed next
 * @fmt: record layout
 *
 * What was copied is a source of the cipher's then, like spliced pages, and is as
 * it was when the cipher fails midway. The same record is sealed again then: to
 * something else its nonce is never applied.
 *
 * Return: 0, or -ENOMEM with the record as it was.
 */
int txrec_part(struct sock *sk, struct tlsrec_work *work,
	       const struct tlsrec_format *fmt)
{
	unsigned int i, tail = tlsrec_tail_size(fmt);
	struct tlsrec_slice slices[WHOLE_PAGES], *last;
	struct tx_record *rec = &work->rec;
	struct tlsrec_slice rest = rec->room;
	int n;

	n = part_get(sk, fmt, rec->len, slices);
	if (n < 0)
		return n;

	if (!rec->nsrc) {
		record_keep_source(work);
		rec->copied_last = rec->nsrc == rec->ndst;
	}
	rest.len += rec->tail;
	/* The inner type is read with the payload if there is a place for it. */
	if (rec->copied_last && rest.len) {
		*(u8 *)tlsrec_slice_ptr(&rest) = rec->type;
		tlsrec_pool_trim(txrec_stream(rec), &rest, 1);
	} else {
		rec->copied_last = false;
	}

	for (i = rec->split; i < rec->nsrc; i++) {
		if (rec->spliced & BIT(i))
			continue;
		get_page(sg_page(&work->src[i]));
		rec->held |= BIT(i);
	}
	for (i = rec->split; i < rec->ndst; i++)
		put_page(sg_page(&work->dst[i]));
	if (rec->split)
		put_page(rec->ends.page);

	for (i = 0; i < n; i++)
		sg_set_page(&work->dst[i], slices[i].page, slices[i].len,
			    slices[i].off);
	last = &slices[n - 1];
	work->dst[n - 1].length -= tail;
	rec->room = *last;
	rec->room.off += last->len - tail;
	rec->room.len = 0;
	rec->tail = tail;
	rec->ndst = n;
	rec->max = rec->len;
	rec->split = false;
	rec->in_place = false;
	rec->apart = true;
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

	if (left < TXREC_SPLICE_MIN)
		return 0;
	n = bv->bv_len - skip;
	if (n < TXREC_SPLICE_MIN)
		return 0;
	/* Off a cipher block the cipher would need memory of its own. */
	n = round_down(min(n, left), TXREC_BLOCK);

	*off = bv->bv_offset + skip;
	*page = bv->bv_page + *off / PAGE_SIZE;
	*off %= PAGE_SIZE;
	if (!sendpage_ok(*page))
		return 0;
	if (*off + n <= PAGE_SIZE)
		return n;
	if (TLSREC_WALK_BY_PAGE && *off % TXREC_BLOCK)
		return round_down(PAGE_SIZE - *off, TXREC_BLOCK);
	/* A reference is for one allocation, the bio_vec may be of several. */
	head = compound_head(*page);
	rest = page_size(head) - (*page - head) * PAGE_SIZE - *off;
	return n > rest ? round_down(rest, TXREC_BLOCK) : n;
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
	const struct scatterlist *end = &work->src[TXREC_SG - 1];
	struct scatterlist *sg = NULL;
	const struct bio_vec *bv;
	struct page *page;
	int err;

	piece_settle(iter);
	if (rec->len % TXREC_BLOCK || max(rec->nsrc, rec->ndst) >= TXREC_SG - 1)
		return 0;
	left = min_t(size_t, iter->count, rec->max - rec->len);
	if (more || left < iter->count)
		left = round_down(left, TXREC_BLOCK);

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
				left = round_down(rec->room.len, TXREC_BLOCK);
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
	txrec_take_room(work, added);
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
	unsigned int over = rec->len % TXREC_BLOCK;

	if (over && n >= TXREC_SPLICE_MIN)
		return TXREC_BLOCK - over;
	return n;
}

/**
 * txrec_fill() - move bytes from the message into the open record
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
int txrec_fill(struct sock *sk, struct tlsrec_work *work,
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
