// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transmit.
 *
 * The program's bytes are copied once, to the place behind the record header
 * from where they go to the wire, and are encrypted there. Pages that come
 * from splice are read by the cipher where they are and are never written.
 *
 *	             copied          spliced        copied
 *	source   [            ][  page cache  ][            ]
 *	                 |              |             |
 *	target  head [ payload of the record, slices of the pool ] tail
 *	           \______________________|_______________________/
 *	                     a few bio_vecs for TCP
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

	/* Records up to this size go to the wire in one piece of memory. */
	LINEAR_MAX	= 3072,
	/* A spliced piece below this is cheaper to copy than to reference. */
	SPLICE_MIN	= 1024,
	/* First slice of a record that grows by small writes. */
	GROW_MIN	= 1024,
	CIPHER_BLOCK	= 16,
};

#define TX_FLAGS (MSG_MORE | MSG_DONTWAIT | MSG_NOSIGNAL | MSG_EOR | \
		  MSG_CMSG_COMPAT | MSG_SPLICE_PAGES | TLSREC_MSG_POLICY)

/**
 * struct tx_record - the open record
 * @open: there is one
 * @type: content type
 * @copied_last: the last source entry ends where @room begins
 * @linear: header, payload and tail are in one slice
 * @ends: otherwise, room for header and tail
 * @stream: where @room came from
 * @len: bytes of payload
 * @max: bytes of payload it may have
 * @nsrc: source entries in use, the additional data included
 * @ndst: target entries in use, the additional data included
 * @spliced: bit mask of the source entries that own a page reference
 * @room: free bytes behind the payload; borrows the reference that the last
 *	target entry owns
 */
struct tx_record {
	bool			open;
	u8			type;
	bool			copied_last;
	bool			linear;
	struct tlsrec_slice	ends;
	enum tlsrec_stream	stream;
	unsigned int		len;
	unsigned int		max;
	unsigned int		nsrc;
	unsigned int		ndst;
	unsigned long		spliced;
	struct tlsrec_slice	room;
};

/**
 * struct tlsrec_work - what a writer works on
 * @rec: the open record
 * @src: its source; entry 0 is the additional data
 * @dst: its target; entry 0 is the additional data, the others own a
 *	reference on their page
 * @records: sealed records in @out
 * @out_first: first entry of @out that TCP has not taken whole
 * @out_nr: entries of @out in use
 * @out_bytes: bytes from @out_first on
 * @out: sealed records; each entry owns a reference on its page
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
	struct tlsrec_crypt	crypt;
};

static DEFINE_PER_CPU(struct tlsrec_work *, work_cache);

/* ---- work areas ---- */

static void record_reset(struct tx_record *rec)
{
	memset(rec, 0, sizeof(*rec));
	rec->nsrc = 1;
	rec->ndst = 1;
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
	record_reset(&work->rec);
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

static void record_open(const struct tlsrec_tx *tx, struct tlsrec_work *work,
			u8 type)
{
	work->rec.open = true;
	work->rec.type = type;
	work->rec.max = tx->max_payload;
	sg_set_buf(&work->src[0], work->crypt.aad, tx->key.fmt.aad);
	sg_set_buf(&work->dst[0], work->crypt.aad, tx->key.fmt.aad);
}

/* The entry for the tag and one for the inner type must stay free. */
static bool record_full(const struct tx_record *rec)
{
	return rec->len == rec->max || rec->nsrc >= TX_SG - 2 ||
	       (rec->ndst >= TX_SG - 2 && !rec->room.len);
}

/* Drop the references on spliced pages: they have been read. */
static void record_put_spliced(struct tlsrec_work *work)
{
	struct tx_record *rec = &work->rec;
	unsigned int i;

	for_each_set_bit(i, &rec->spliced, TX_SG)
		put_page(sg_page(&work->src[i]));
	rec->spliced = 0;
}

/* Throw the record away; what it holds may be plaintext. */
static void record_drop(struct tlsrec_work *work)
{
	struct tx_record *rec = &work->rec;
	unsigned int i;

	record_put_spliced(work);
	if (rec->ends.page)
		put_page(rec->ends.page);
	for (i = 1; i < rec->ndst; i++) {
		struct scatterlist *sg = &work->dst[i];

		memzero_explicit(sg_virt(sg), sg->length);
		put_page(sg_page(sg));
	}
	record_reset(rec);
}

/*
 * Add a slice to the record's target, for @want more bytes of payload. With
 * @more the record will stay open and probably grow beyond that.
 */
static int record_grow(struct sock *sk, struct tlsrec_work *work,
		       const struct tlsrec_format *fmt, unsigned int want,
		       bool more, bool splice, unsigned int phase)
{
	struct tx_record *rec = &work->rec;
	unsigned int left = rec->max - rec->len;
	unsigned int head = tlsrec_head_size(fmt);
	unsigned int tail = tlsrec_tail_size(fmt);
	struct tlsrec_slice *room = &rec->room;
	unsigned int min = 1, align, size;
	int err;

	if (!rec->len && !splice && !more && want <= LINEAR_MAX) {
		/* The payload is aligned, the header stands before it. */
		rec->linear = true;
		rec->stream = TLSREC_SMALL;
		align = CIPHER_BLOCK;
		phase = -head & (CIPHER_BLOCK - 1);
		size = head + want + tail;
		min = size;
	} else if (splice || want > LINEAR_MAX) {
		/*
		 * Page by page and in phase with the source: the cipher then
		 * crosses page boundaries of both at once.
		 */
		rec->stream = TLSREC_BULK;
		align = PAGE_SIZE;
		size = more ? left : want;
		if (!more && want % CIPHER_BLOCK)
			size += tail;
		min = min_t(unsigned int, size, PAGE_SIZE - phase);
	} else {
		rec->stream = TLSREC_SMALL;
		align = CIPHER_BLOCK;
		phase = 0;
		size = more ? max3(want, rec->len, (unsigned int)GROW_MIN) :
			      want + tail;
		size = round_up(min(size, left + tail), CIPHER_BLOCK);
		min = CIPHER_BLOCK;
	}

	/* Taken now, so that sealing needs no memory. */
	if (!rec->linear && !rec->ends.page) {
		err = tlsrec_pool_get(TLSREC_SMALL, head + tail, head + tail, 1,
				      0, sk->sk_allocation, &rec->ends);
		if (err)
			return err;
	}
	err = tlsrec_pool_get(rec->stream, min, size, align, phase,
			      sk->sk_allocation, room);
	if (err) {
		rec->linear = false;
		return err;
	}

	/* Short of what was wanted: let the next slice begin a cipher block. */
	if (room->len < size) {
		unsigned int over = (rec->len + room->len) % CIPHER_BLOCK;

		if (over < room->len)
			tlsrec_pool_trim(rec->stream, room, room->len - over);
	}

	if (rec->linear) {
		room->off += head;
		room->len -= head;
	}

	sg_set_buf(&work->dst[rec->ndst++], tlsrec_slice_ptr(room), 0);
	rec->copied_last = false;
	return 0;
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

	if (rec->copied_last)
		work->src[rec->nsrc - 1].length += n;
	else
		sg_set_buf(&work->src[rec->nsrc++],
			   tlsrec_slice_ptr(&rec->room), n);
	rec->copied_last = true;
	record_take_room(work, n);
}

static void record_add_spliced(struct tlsrec_work *work, struct page *page,
			       unsigned int off, unsigned int n)
{
	struct tx_record *rec = &work->rec;

	get_page(page);
	rec->spliced |= BIT(rec->nsrc);
	sg_set_page(&work->src[rec->nsrc++], page, n, off);
	rec->copied_last = false;
	record_take_room(work, n);
}

/*
 * Is the next piece of the iterator one that the cipher can read in place?
 * Then its page, offset and usable length.
 */
static unsigned int spliced_piece(const struct iov_iter *iter,
				  const struct tx_record *rec, bool last,
				  struct page **page, unsigned int *off)
{
	const struct bio_vec *bv = iter->bvec;
	struct page *head;
	unsigned long rest;
	unsigned int n = min_t(size_t, bv->bv_len - iter->iov_offset,
			       iov_iter_count(iter));

	n = min_t(unsigned int, n, rec->max - rec->len);
	if (n < SPLICE_MIN || rec->len % CIPHER_BLOCK)
		return 0;
	/* Only the end of a record may be off a cipher block. */
	if (!last || n < iov_iter_count(iter))
		n = round_down(n, CIPHER_BLOCK);

	*off = bv->bv_offset + iter->iov_offset;
	*page = bv->bv_page + *off / PAGE_SIZE;
	*off %= PAGE_SIZE;
	if (!sendpage_ok(*page))
		return 0;
	/* The reference is for one allocation, the bio_vec may be of several. */
	head = compound_head(*page);
	rest = page_size(head) - (*page - head) * PAGE_SIZE - *off;
	if (n > rest)
		n = round_down(rest, CIPHER_BLOCK);
	return n;
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
	size_t left = iov_iter_count(iter);
	unsigned int n, want, off = 0;
	struct page *page = NULL;
	size_t got;
	int err;

	want = min_t(size_t, left, rec->max - rec->len);
	if (splice)
		iov_iter_advance(iter, 0);	/* skips what is empty */
	n = splice ? spliced_piece(iter, rec, !more, &page, &off) : 0;

	if (!rec->room.len) {
		/* A record that this call fills up is not going to grow. */
		bool grows = more && rec->len + want < rec->max;

		err = record_grow(sk, work, fmt, want, grows, n > 0, off);
		if (err)
			return err;
	}

	if (n) {
		if (n > rec->room.len)
			n = round_down(rec->room.len, CIPHER_BLOCK);
		if (n) {
			record_add_spliced(work, page, off, n);
			iov_iter_advance(iter, n);
			return n;
		}
	}

	n = min(want, rec->room.len);
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

/* Add a piece to what TCP gets; takes over the reference on the page. */
static void out_add(struct tlsrec_work *work, struct page *page,
		    unsigned int off, unsigned int len)
{
	work->out_bytes += len;
	if (work->out_nr > work->out_first) {
		struct bio_vec *last = &work->out[work->out_nr - 1];

		if (last->bv_page == page &&
		    last->bv_offset + last->bv_len == off) {
			last->bv_len += len;
			put_page(page);
			return;
		}
	}
	bvec_set_page(&work->out[work->out_nr++], page, len, off);
}

static void out_add_buf(struct tlsrec_work *work, void *buf, unsigned int len)
{
	struct page *page = virt_to_head_page(buf);

	out_add(work, page, buf - page_address(page), len);
}

/**
 * record_seal() - encrypt the open record and add it to the batch
 * @sk: locked
 * @tx: transmit direction
 * @work: has an open record, and room in the batch
 *
 * Return: 0, or -EBADMSG, sticky: the record is gone, and its sequence number
 * must not be used again.
 */
static int record_seal(struct sock *sk, struct tlsrec_tx *tx,
		       struct tlsrec_work *work)
{
	const struct tlsrec_format *fmt = &tx->key.fmt;
	unsigned int head_size = tlsrec_head_size(fmt);
	unsigned int tail_size = tlsrec_tail_size(fmt);
	struct tx_record *rec = &work->rec;
	struct tlsrec_crypt *crypt = &work->crypt;
	struct tlsrec_slice *ends = &rec->ends;
	unsigned int i, ndst, nsrc;
	struct scatterlist *src;
	bool tail_inside;
	u8 *head, *tail;
	int err;

	/* The last number is for a control record: a KeyUpdate, an alert. */
	if (tx->key.exhausted ||
	    (tx->key.seq == U64_MAX && rec->type == TLSREC_TYPE_DATA)) {
		err = -EBADMSG;
		goto fail;
	}

	/*
	 * The tail follows the payload directly when that is not whole cipher
	 * blocks, so that the inner type shares its last block; otherwise it
	 * joins the next header, apart from the page-aligned payload.
	 */
	tail_inside = rec->linear ||
		      (rec->len % CIPHER_BLOCK && rec->room.len >= tail_size);
	if (tail_inside)
		tail = tlsrec_slice_ptr(&rec->room);
	else
		tail = tlsrec_slice_ptr(ends) + head_size;
	if (rec->linear)
		head = sg_virt(&work->dst[1]) - head_size;
	else
		head = tlsrec_slice_ptr(ends);

	/* Inner type, then tag, on both lists. */
	ndst = rec->ndst;
	nsrc = rec->nsrc;
	if (fmt->inner_type) {
		*tail = rec->type;
		if (tail_inside)
			work->dst[ndst - 1].length++;
		else
			sg_set_buf(&work->dst[ndst++], tail, 1);
		if (tail_inside && rec->copied_last)
			work->src[nsrc - 1].length++;
		else
			sg_set_buf(&work->src[nsrc++], tail, 1);
	}
	sg_set_buf(&work->dst[ndst++], tail + fmt->inner_type,
		   TLSREC_TAG_SIZE);

	tlsrec_put_head(fmt, head, rec->type, rec->len,
			tx->key.iv + TLSREC_NONCE_SIZE - TLSREC_MAX_EXPLICIT);
	tlsrec_put_aad(fmt, crypt->aad, head, tx->key.seq, rec->len);
	tlsrec_nonce(fmt, tlsrec_crypt_nonce(crypt), tx->key.iv, tx->key.seq);

	src = rec->spliced ? work->src : work->dst;
	sg_mark_end(&work->src[nsrc - 1]);
	sg_mark_end(&work->dst[ndst - 1]);
	err = tlsrec_crypt(&tx->key, crypt, true, src, work->dst,
			   rec->len + fmt->inner_type);
	sg_unmark_end(&work->src[nsrc - 1]);
	sg_unmark_end(&work->dst[ndst - 1]);
	if (unlikely(err)) {
		err = -EBADMSG;
		goto fail;
	}

	record_put_spliced(work);
	if (rec->linear) {
		out_add_buf(work, head, head_size + rec->len + tail_size);
	} else {
		out_add(work, ends->page, ends->off, head_size);
		for (i = 1; i < rec->ndst; i++)
			out_add_buf(work, sg_virt(&work->dst[i]),
				    work->dst[i].length);
		if (tail_inside) {
			/* Behind what was just added: the same entry. */
			work->out[work->out_nr - 1].bv_len += TLSREC_TAG_SIZE;
			work->out_bytes += TLSREC_TAG_SIZE;
		} else {
			get_page(ends->page);
			out_add(work, ends->page, ends->off + head_size,
				tail_size);
		}
	}
	if (rec->room.len) {
		/* Give back what the record did not need. */
		struct tlsrec_slice *room = &rec->room;

		tlsrec_pool_trim(rec->stream, room,
				 tail_inside ? tail_size : 0);
	}

	work->records++;
	tlsrec_stat_add(sk, TLSREC_TX_RECORDS, 1);
	tlsrec_stat_add(sk, TLSREC_TX_BYTES, rec->len);
	trace_tlsrec_record_tx(sk, tx->key.seq, rec->type, rec->len);
	tlsrec_key_advance(&tx->key);
	record_reset(rec);
	return 0;

fail:
	tx->err = err;
	trace_tlsrec_fail(sk, true, tx->key.seq, err);
	record_drop(work);
	return err;
}

/* ---- pushing ---- */

/* TCP has taken @n bytes of the batch. */
static void out_advance(struct tlsrec_work *work, size_t n)
{
	work->out_bytes -= n;
	while (n) {
		struct bio_vec *bv = &work->out[work->out_first];
		size_t part = min_t(size_t, n, bv->bv_len);

		bv->bv_offset += part;
		bv->bv_len -= part;
		n -= part;
		if (bv->bv_len)
			break;
		put_page(bv->bv_page);
		work->out_first++;
	}
	if (!work->out_bytes) {
		work->out_first = 0;
		work->out_nr = 0;
		work->records = 0;
	}
}

static void out_drop(struct tlsrec_work *work)
{
	out_advance(work, work->out_bytes);
}

/*
 * Hand the batch to TCP, without waiting. Returns 0 when all of it was taken,
 * else a negative errno with the rest kept.
 */
static int tx_push(struct sock *sk, struct tlsrec_tx *tx, int flags)
{
	struct tlsrec_work *work = tx->work;
	bool held = tx->turn.held;
	int ret = 0;

	flags &= MSG_MORE | TLSREC_MSG_NOTLAST;
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

	if (!work->out_bytes)
		return 0;
	return ret ? ret : -EAGAIN;
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
};

/*
 * More does not follow at once after all: TCP is not to hold back less than a
 * segment for it. The function for that takes the lock by itself; the turn
 * keeps our state as it is.
 */
static void call_uncork(struct tx_call *call)
{
	struct sock *sk = call->sk;

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

/* Seal the open record, if there is one, and make room in the batch. */
static int call_close_record(struct tx_call *call, bool more)
{
	int err;

	if (!call->work->rec.open)
		return 0;
	err = record_seal(call->sk, call->tx, call->work);
	if (err)
		return err;
	call->sealed = call->copied;
	if (!batch_full(call->sk, call->work))
		return 0;
	return call_push(call, more);
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
		if (call->copied == call->sealed) {
			err = call_wait_space(call);
			if (err)
				return err;
		}

		if (!work->rec.open)
			record_open(call->tx, work, type);
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

	if (call->work->out_bytes) {
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
	if (!call->tx->work)
		call->tx->work = work_get(call->sk->sk_allocation);
	call->work = call->tx->work;
	return call->work ? 0 : -ENOMEM;
}

static void call_end(struct tx_call *call)
{
	struct tx_record *rec = &call->work->rec;

	/* Opened, but nothing came: a fault or a signal. */
	if (rec->open && !rec->len)
		record_drop(call->work);
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

static int tx_send(struct sock *sk, struct msghdr *msg)
{
	struct tx_call call = {
		.sk = sk,
		.tx = &tlsrec_ctx(sk)->tx,
		.flags = msg->msg_flags,
		.timeo = sock_sndtimeo(sk, msg->msg_flags & MSG_DONTWAIT),
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
	else
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
	int ret;

	if (msg->msg_flags & ~TX_FLAGS)
		return -EOPNOTSUPP;

	lock_sock(sk);
	ret = tx_send(sk, msg);
	release_sock(sk);
	return ret;
}

#ifdef TLSREC_HAVE_SENDPAGE
int tlsrec_sendpage(struct sock *sk, struct page *page, int offset,
		    size_t size, int flags)
{
	struct msghdr msg = { .msg_flags = flags | MSG_SPLICE_PAGES };
	struct bio_vec bvec;

	bvec_set_page(&bvec, page, size, offset);
	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, &bvec, 1, size);
	return tlsrec_sendmsg(sk, &msg, size);
}
#endif

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

/**
 * tlsrec_splice_eof() - a splice said more would come, and none did
 * @sock: the socket
 */
void tlsrec_splice_eof(struct socket *sock)
{
	struct sock *sk = sock->sk;

	lock_sock(sk);
	tx_flush(sk, &tlsrec_ctx(sk)->tx);
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
