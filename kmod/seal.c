// SPDX-License-Identifier: GPL-2.0-only
/* See seal.h. */

#include "seal.h"
#include "txout.h"

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
		used = txout_add(work, ends->page, ends->off, head_size);
	} else if (!txout_add(work, sg_page(sg), sg->offset + skip,
			    sg->length - skip)) {
		put_page(sg_page(sg));
	}
	while (++sg < work->dst + rec->ndst)
		if (!txout_add(work, sg_page(sg), sg->offset, sg->length))
			put_page(sg_page(sg));

	if (!rec->split)
		return;
	if (!tail_inside) {
		if (used)
			get_page(ends->page);
		used = txout_add(work, ends->page, ends->off + head_size,
				 tlsrec_tail_size(fmt));
	}
	if (!used)
		put_page(ends->page);
}

/*
 * May the cipher lack memory midway in a record that it encrypts in place? Then
 * half of it would be lost. Only a split record can have no room for its tail.
 */
static bool record_at_risk(const struct tlsrec_key *key,
			   const struct tx_record *rec)
{
	return !key->in_place || rec->uneven ||
	       (rec->split && rec->len % TXREC_BLOCK &&
		rec->room.len < tlsrec_tail_size(&key->fmt));
}

/**
 * seal_record() - encrypt the open record and add it to the batch
 * @sk: locked
 * @tx: transmit direction
 * @work: has an open record, and room in the batch
 *
 * Return: 0, -ENOMEM with the record as it was, or -EBADMSG, sticky: the record
 * is gone.
 */
int seal_record(struct sock *sk, struct tlsrec_tx *tx,
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
	bool tail_inside, type_inside = false;
	int err;

	if (rec->split && !work->dst[rec->ndst - 1].length)
		record_drop_empty(work);
	if (rec->in_place && unlikely(record_at_risk(&tx->key, rec))) {
		err = txrec_part(sk, work, fmt);
		if (err)
			return err;
	}

	/*
	 * The tail of a split record follows the payload directly when that is
	 * not whole cipher blocks, so that the inner type shares its last
	 * block; otherwise it joins the next head, apart from the pages.
	 */
	ndst = rec->ndst;
	rest = rec->room;
	rest.len += rec->tail;
	tail_inside = !rec->split ||
		      (rec->len % TXREC_BLOCK && rest.len >= tail_size);
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
		type_inside = fmt->inner_type && tail_inside &&
			      rec->copied_last;
		src[nsrc - 1].length += type_inside;
		if (fmt->inner_type && !type_inside)
			sg_set_page(&src[nsrc++], end.page, 1, end.off);
	}

	sg_mark_end(&src[nsrc - 1]);
	sg_mark_end(&work->dst[ndst - 1]);
	front = sg_virt(src);
	err = seal_crypt(tx, work, src, rec->type, rec->len, front, head);
	sg_unmark_end(&src[nsrc - 1]);
	sg_unmark_end(&work->dst[ndst - 1]);
	if (unlikely(err == -ENOMEM && !rec->in_place)) {
		/* The source is as it was, the number was not used. */
		if (tail_inside)
			work->dst[ndst - 1].length -= tail_size;
		src[rec->nsrc - 1].length -= type_inside;
		return err;
	}
	if (unlikely(err)) {
		err = -EBADMSG;
		seal_failed(sk, tx, err);
		tx->lost |= rec->counted;
		txrec_drop(work);
		return err;
	}

	if (rec->split)
		memcpy(tlsrec_slice_ptr(&rec->ends), head, head_size);
	else if (!fmt->inner_type || rec->apart)
		memcpy(sg_virt(work->dst) + fmt->aad - head_size, head,
		       head_size);
	if (rec->held)
		txrec_put_held(work);
	record_out(work, fmt, tail_inside);
	/* Give back what the record did not need. */
	if (!tail_inside)
		tail_size = 0;
	if (rest.len > tail_size)
		tlsrec_pool_trim(txrec_stream(rec), &rest, tail_size);

	work->records++;
	seal_done(sk, tx, rec->type, rec->len);
	txrec_reset(rec);
	return 0;
}

/*
 * Make the next @len bytes of @iter the source of a record in @slice, where the
 * program has them. Returns how many pages are pinned for it, which are in
 * @work->pinned, and the last source entry in @last; 0 when they have to be copied.
 */
unsigned int seal_whole_pin(struct tlsrec_work *work,
			    const struct tlsrec_format *fmt,
			    const struct tlsrec_slice *slice,
			    struct iov_iter *iter, unsigned int len,
			    struct scatterlist **last)
{
	unsigned int off = offset_in_page(tlsrec_iter_addr(iter));
	unsigned int i, nr, left = len;
	struct scatterlist *sg = work->src;
	ssize_t got;

	got = tlsrec_pin_pages(iter, len, work->pinned, TXREC_PIN_MAX);
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
