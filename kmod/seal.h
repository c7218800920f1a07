/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sealing: one record is encrypted, be it the open one or a whole message that
 * needs no open record.
 */
#ifndef TLSREC_SEAL_H
#define TLSREC_SEAL_H

#include "compat.h"
#include "stats.h"
#include "trace.h"
#include "txrec.h"

/*
 * Get a slice with exactly the room for a record of @len bytes of payload. They
 * are copied there, or encrypted from the next bytes of @pin, where the program
 * has them. Returns what tlsrec_pool_get() does. Inline, as seal_whole() is: it
 * is much of what a small record costs.
 */
static __always_inline int
seal_whole_get(struct sock *sk, const struct tlsrec_format *fmt,
	       unsigned int len, const struct iov_iter *pin,
	       struct tlsrec_slice *slice)
{
	unsigned int size = fmt->aad + len + tlsrec_tail_size(fmt);
	unsigned int align, phase = -fmt->aad;

	align = len < TXREC_STRIDE_MIN ? TXREC_BLOCK : TXREC_STRIDE;
	if (TLSREC_WALK_BY_PAGE && pin) {
		/* The cipher crosses from page to page in both at once. */
		align = PAGE_SIZE;
		phase += tlsrec_iter_addr(pin);
	}
	return tlsrec_pool_get(len > TXREC_LARGE ? TLSREC_BULK : TLSREC_SMALL,
			       size, size, align, phase & (align - 1),
			       sk->sk_allocation, slice);
}

/**
 * seal_crypt() - encrypt with the next sequence number
 * @tx: transmit direction
 * @work: @work->dst is the target: room for the additional data, the payload,
 *	its tail
 * @src: the source, behind room for the additional data; may be the target
 * @type: content type
 * @len: bytes of payload
 * @front: the source's room for the additional data
 * @head: result, tlsrec_head_size() bytes for the wire, which under TLS 1.3
 *	are the additional data
 *
 * Return: 0, -ENOMEM with the target spoilt and the sequence number unused, or
 * -EBADMSG: it must not be used again.
 */
static __always_inline int
seal_crypt(struct tlsrec_tx *tx, struct tlsrec_work *work,
	   struct scatterlist *src, u8 type, unsigned int len, u8 *front,
	   u8 *head)
{
	const struct tlsrec_format *fmt = &tx->key.fmt;
	struct tlsrec_key *key = &tx->key;
	int err;

	/* The last number is for a control record: a KeyUpdate, an alert. */
	if (unlikely(key->exhausted ||
		     (key->seq == U64_MAX && type == TLSREC_TYPE_DATA)))
		return -EBADMSG;

	tlsrec_put_head(fmt, head, type, len,
			key->iv + TLSREC_NONCE_SIZE - TLSREC_MAX_EXPLICIT);
	tlsrec_put_aad(fmt, front, head, key->seq, len);
	tlsrec_nonce(fmt, tlsrec_crypt_nonce(&work->crypt), key->iv, key->seq);
	err = tlsrec_crypt(key, &work->crypt, true, src, work->dst,
			   len + fmt->inner_type);
	if (unlikely(err))
		return err == -ENOMEM ? err : -EBADMSG;
	return 0;
}

static inline void seal_done(struct sock *sk, struct tlsrec_tx *tx, u8 type,
			     unsigned int len)
{
	tlsrec_stat_record(sk, TLSREC_TX_RECORDS, len);
	trace_tlsrec_record_tx(sk, tx->key.seq, type, len);
	tlsrec_key_advance(&tx->key);
}

/* Nothing can be sent any more, unless it was memory that was short. */
static inline void seal_failed(struct sock *sk, struct tlsrec_tx *tx, int err)
{
	if (err == -ENOMEM)
		return;
	tx->err = err;
	trace_tlsrec_fail(sk, true, tx->key.seq, err);
}

/*
 * Can the cipher read the next @len bytes where the program has them? Not CCM: it
 * reads them twice, and the program may write to them in between.
 */
static __always_inline bool seal_can_pin(const struct tlsrec_tx *tx,
					 const struct iov_iter *iter,
					 unsigned int len)
{
	return len > TXREC_LARGE && user_backed_iter(iter) &&
	       iov_iter_single_seg_count(iter) >= len &&
	       IS_ALIGNED(tlsrec_iter_addr(iter), TXREC_BLOCK) &&
	       !tx->key.cipher->ccm_flags;
}

unsigned int seal_whole_pin(struct tlsrec_work *work,
			    const struct tlsrec_format *fmt,
			    const struct tlsrec_slice *slice,
			    struct iov_iter *iter, unsigned int len,
			    struct scatterlist **last);

/**
 * seal_whole() - make a record of the next bytes of a message
 * @sk: locked
 * @tx: transmit direction
 * @work: has no open record
 * @iter: the message
 * @type: content type
 * @len: bytes of payload
 * @pin: seal_can_pin()
 * @slice: of seal_whole_get(); becomes the record
 *
 * Return: 0, -EFAULT or -ENOMEM with @iter as it was, or -EBADMSG, sticky. After
 * an error there is no plaintext in the slice.
 */
static __always_inline int
seal_whole(struct sock *sk, struct tlsrec_tx *tx, struct tlsrec_work *work,
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
		nr = seal_whole_pin(work, fmt, slice, iter, len, &last);
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
		iov_iter_revert(iter, len);
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

int seal_record(struct sock *sk, struct tlsrec_tx *tx,
		struct tlsrec_work *work);

#endif /* TLSREC_SEAL_H */
