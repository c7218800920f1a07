// SPDX-License-Identifier: GPL-2.0-only
/* See rxrec.h. */

#include "rxrec.h"
#include "stats.h"
#include "trace.h"

/* Where in a buffer the record begins. */
static inline unsigned int rx_begin(const struct tlsrec_rx *rx)
{
	return TLSREC_BUF_PAYLOAD - tlsrec_head_size(&rx->key.fmt);
}

/* Copy the next @n bytes of the head record behind those in a buffer of pages. */
static noinline int rx_copy_pages(struct sock *sk, struct rxq *q,
				  struct tlsrec_buf *buf, u32 n, gfp_t gfp)
{
	u32 done;
	int err;

	err = tlsrec_buf_room(buf, n, gfp);
	if (err)
		return err;
	for (done = 0; done < n; ) {
		unsigned int len = n - done;
		void *to = tlsrec_buf_piece(buf, buf->len + done, &len);

		err = rxq_copy(sk, q, to, len);
		if (err)
			return err;
		done += len;
	}

	return 0;
}

/*
 * Take @n more bytes of the head record out of the queue, to rx->part. Without
 * memory for it nothing was taken.
 */
static inline int rx_pull(struct sock *sk, struct tlsrec_rx *rx, struct rxq *q,
			  u32 n, gfp_t gfp)
{
	struct tlsrec_buf *buf = rx->part;
	int err;

	if (!buf->len)
		buf->off = rx_begin(rx);
	if (likely(buf->order))
		err = rxq_copy(sk, q, (void *)buf + buf->off + buf->len, n);
	else
		err = rx_copy_pages(sk, q, buf, n, gfp);
	if (unlikely(err)) {
		if (err != -ENOMEM)
			rxhead_fail(sk, rx, err);
		return err;
	}
	buf->len += n;
	return 0;
}

/*
 * Take out what is there of a record that is larger than the window, so that
 * the window moves on. It may stay for long: in no more memory than it needs.
 */
static int rx_unstick(struct sock *sk, struct tlsrec_rx *rx, struct rxq *q,
		      gfp_t gfp)
{
	int size = rxhead_size(sk, rx, q);
	int err;
	u32 n;

	if (size < 0)
		return size;
	if (!size)
		size = TLSREC_HEADER_SIZE;
	/* An empty one was for a whole record. */
	rxrec_drop_part(rx);
	if (!rx->part) {
		rx->part = tlsrec_buf_get_pages(gfp);
		if (!rx->part)
			return -ENOMEM;
		rx->part->off = rx_begin(rx);
	}
	n = min(size - rxhead_part_len(rx), rxq_avail(sk, q));
	if (!tlsrec_charge_kept(sk, &rx->charged, rx->plain_mem +
				tlsrec_buf_mem_with(rx->part, n)))
		return -ENOMEM;
	err = rx_pull(sk, rx, q, n, gfp);
	rxq_commit(sk, q);
	return err;
}

/*
 * Nobody reads now: leave things so that poll knows what there is, and so that
 * the rest of the head record can come. The cursor ends here.
 */
void rxrec_settle(struct sock *sk, struct tlsrec_rx *rx, struct rxq *q,
		  gfp_t gfp)
{
	rxhead_look(sk, rx, q, rxrec_covered(sk));
	rxq_commit(sk, q);
	if (rxhead_ready(sk, rx) || !rxhead_window_stuck(sk, rx, q))
		return;
	/* Without memory for it a reader has to do it. */
	if (rx_unstick(sk, rx, q, gfp)) {
		rxrec_drop_part(rx);
		rxrec_charge(sk, rx);
		rxhead_set(rx, RXHEAD_WAKE);
	}
}

/**
 * tlsrec_data_ready() - TCP has more: wake readers if it is enough
 * @sk: locked, by this task or by softirq
 */
void tlsrec_data_ready(struct sock *sk)
{
	struct tlsrec_ctx *ctx = tlsrec_ctx(sk);
	struct tlsrec_rx *rx;
	struct rxq q = { };

	/* Somebody who put his callback over ours may call it late. */
	if (unlikely(!ctx))
		return;

	rx = &ctx->rx;
	if (rx->turn.held) {
		rxhead_look(sk, rx, &q, rxrec_covered(sk));
		/* The reader takes more at a time than we could here. */
		if (!rxhead_ready(sk, rx) && rxhead_window_stuck(sk, rx, &q))
			rxhead_set(rx, RXHEAD_WAKE);
	} else {
		rxrec_settle(sk, rx, &q, GFP_ATOMIC);
	}
	/* A reader who sleeps takes whatever there is. */
	if (rxhead_ready(sk, rx) && (rx->turn.held || !(rx->head & RXHEAD_FEW)))
		rx->saved_data_ready(sk);
	else if (sk->sk_shutdown & RCV_SHUTDOWN)
		rx->saved_data_ready(sk);
}

/* Tell whoever waits: a user inside the kernel if one is on top of us. */
void rxrec_wake(struct sock *sk, const struct tlsrec_rx *rx)
{
	void (*data_ready)(struct sock *sk) = READ_ONCE(sk->sk_data_ready);

	if (data_ready == tlsrec_data_ready)
		data_ready = rx->saved_data_ready;
	data_ready(sk);
}

/* Nonce and additional data of a TLS 1.2 record with @sealed bytes in it. */
static noinline void rx_prepare_tls12(const struct tlsrec_key *key, u8 *record,
				      u32 sealed, u8 *nonce)
{
	const struct tlsrec_format *fmt = &key->fmt;
	u8 *payload = record + tlsrec_head_size(fmt);
	u8 header[TLSREC_HEADER_SIZE];
	u8 iv[TLSREC_NONCE_SIZE];

	memcpy(iv, key->iv, sizeof(iv));
	if (fmt->explicit_nonce)
		memcpy(iv + TLSREC_NONCE_SIZE - TLSREC_MAX_EXPLICIT,
		       record + TLSREC_HEADER_SIZE, TLSREC_MAX_EXPLICIT);
	tlsrec_nonce(fmt, nonce, iv, key->seq);

	/* Over the head. */
	memcpy(header, record, sizeof(header));
	tlsrec_put_aad(fmt, payload - fmt->aad, header, key->seq, sealed);
}

/* tlsrec_inner_content() in a buffer of pages, the last page first. */
static noinline int rx_inner_pages(struct tlsrec_buf *buf, unsigned int len)
{
	unsigned int n;
	int ret = -EBADMSG;

	while (len && ret < 0) {
		n = min_t(unsigned int, len,
			  offset_in_page(buf->off + len - 1) + 1);
		len -= n;
		ret = tlsrec_inner_content(tlsrec_buf_piece(buf, len, &n), n,
					   &buf->type);
	}

	return ret < 0 ? ret : len + ret;
}

/* tlsrec_inner_content() of the first @len bytes. */
static inline int rx_inner_content(struct tlsrec_buf *buf, unsigned int len)
{
	if (unlikely(buf->nr))
		return rx_inner_pages(buf, len);
	return tlsrec_inner_content((void *)buf + buf->off, len, &buf->type);
}

/*
 * Decrypt the record in @buf in place. Returns bytes of padding, or a negative
 * errno.
 */
static int rx_decrypt(struct tlsrec_rx *rx, struct tlsrec_buf *buf)
{
	const struct tlsrec_format *fmt = &rx->key.fmt;
	u8 *record = tlsrec_buf_head(buf);
	u32 head = tlsrec_head_size(fmt);
	u32 sealed = buf->len - head - TLSREC_TAG_SIZE;
	u8 *nonce = tlsrec_crypt_nonce(&buf->crypt);
	int len = sealed;
	int err;

	/*
	 * The additional data goes right in front of the payload, where the
	 * head is, so that all of it is one entry; under TLS 1.3 it is there.
	 */
	buf->type = record[0];
	if (fmt->inner_type) {
		/* Always application data outside (RFC 8446 5.2). */
		if (buf->type != TLSREC_TYPE_DATA)
			return -EBADMSG;
		tlsrec_nonce(fmt, nonce, rx->key.iv, rx->key.seq);
	} else {
		rx_prepare_tls12(&rx->key, record, sealed, nonce);
	}

	buf->off += head;
	tlsrec_buf_sg(buf, fmt->aad, fmt->aad + sealed + TLSREC_TAG_SIZE);
	err = tlsrec_crypt(&rx->key, &buf->crypt, false, buf->sg, buf->sg,
			   sealed + TLSREC_TAG_SIZE);
	if (err)
		return err;

	if (fmt->inner_type)
		len = rx_inner_content(buf, sealed);
	if (len < 0)
		return len;
	buf->len = len;
	return sealed - len - fmt->inner_type;
}

/* tlsrec_find_key_update() in a record. */
static bool rx_find_key_update(struct tlsrec_rx *rx, struct tlsrec_buf *buf)
{
	unsigned int n, done;
	bool found = false;

	for (done = 0; done < buf->len; done += n) {
		const u8 *data;

		n = buf->len - done;
		data = tlsrec_buf_piece(buf, done, &n);
		found |= tlsrec_find_key_update(&rx->handshake, data, n);
	}

	return found;
}

/*
 * The cipher had no memory. What is in the queue is read again; of what was taken
 * out of it before nothing was changed, since the cipher needs memory, if at all,
 * to begin: no block of its data is in two pieces. (If something was, the record
 * does not authenticate then.)
 */
static void rx_unopen(struct tlsrec_rx *rx, struct rxq *q,
		      struct tlsrec_buf *buf, u32 queued)
{
	rxq_rewind(q, queued);
	buf->off = rx_begin(rx);
	buf->len -= queued;
	rx->part = buf;
}

/*
 * The record in rx->part is complete: decrypt it. It is nowhere then. Only
 * @queued bytes of it are still in the queue.
 */
static struct tlsrec_buf *rx_open_record(struct sock *sk, struct tlsrec_rx *rx,
					 struct rxq *q, u32 queued)
{
	struct tlsrec_buf *buf = rx->part;
	u8 head[TLSREC_MAX_HEAD];
	u32 taken = buf->len - queued;
	int padding;

	rx->part = NULL;
	/* For poll it is where it was until the call has gone on. */
	rxhead_set(rx, RXHEAD_WAKE);
	/* The additional data will lie over it. */
	if (unlikely(taken))
		memcpy(head, tlsrec_buf_head(buf),
		       tlsrec_head_size(&rx->key.fmt));

	padding = rx->key.exhausted ? -EBADMSG : rx_decrypt(rx, buf);
	if (unlikely(padding == -ENOMEM)) {
		rx_unopen(rx, q, buf, queued);
		if (taken)
			memcpy(tlsrec_buf_head(buf), head,
			       tlsrec_head_size(&rx->key.fmt));
		return ERR_PTR(-ENOMEM);
	}
	if (padding < 0) {
		tlsrec_stat_add(sk, TLSREC_DECRYPT_ERROR, 1);
		tlsrec_buf_put(buf);
		rxhead_fail(sk, rx, -EBADMSG);
		return ERR_PTR(-EBADMSG);
	}
	if (padding && rx->no_pad)
		tlsrec_stat_add(sk, TLSREC_RX_NO_PAD_VIOL, 1);

	tlsrec_stat_record(sk, TLSREC_RX_RECORDS, buf->len);
	trace_tlsrec_record_rx(sk, rx->key.seq, buf->type, buf->len);
	tlsrec_key_advance(&rx->key);

	if (unlikely(buf->type == TLSREC_TYPE_HANDSHAKE) &&
	    rx->key.version == TLS_1_3_VERSION &&
	    rx_find_key_update(rx, buf)) {
		rx->expired = true;
		tlsrec_stat_add(sk, TLSREC_RX_REKEY_RECEIVED, 1);
	}

	return buf;
}

/* A record stays on rx->plain: in no more memory than it needs. */
struct tlsrec_buf *rxrec_shrink(struct sock *sk, struct tlsrec_rx *rx,
				struct tlsrec_buf *buf)
{
	struct tlsrec_buf *before = NULL;

	if (tlsrec_buf_small(buf) || rxrec_shared(rx, buf))
		return buf;
	if (!list_is_first(&buf->list, &rx->plain))
		before = list_prev_entry(buf, list);

	rx->plain_mem -= tlsrec_buf_mem(buf);
	buf = tlsrec_buf_shrink(buf, before, sk->sk_allocation);
	if (!before || !tlsrec_buf_together(buf, before))
		rx->plain_mem += tlsrec_buf_mem(buf);
	return buf;
}

/**
 * rxrec_next() - decrypt the head record if all of it is there
 * @sk: locked
 * @rx: receive direction
 * @q: cursor
 *
 * Return: the record, for rxrec_keep() or rxrec_drop() before the lock is
 * dropped; %NULL when it is not there yet; -ENOMEM, -EKEYEXPIRED, or a sticky
 * errno.
 */
struct tlsrec_buf *rxrec_next(struct sock *sk, struct tlsrec_rx *rx,
			      struct rxq *q)
{
	int size = rxhead_size(sk, rx, q);
	u32 missing;
	int err;

	if (unlikely(size < 0))
		return ERR_PTR(size);

	missing = size - rxhead_part_len(rx);
	if (!size || rxq_avail(sk, q) < missing) {
		/* What was taken already may be what the window waits for. */
		rxq_commit(sk, q);
		if (!rxhead_window_stuck(sk, rx, q))
			return NULL;
		return ERR_PTR(rx_unstick(sk, rx, q, rxrec_gfp(sk)));
	}

	if (!rx->part)
		rx->part = tlsrec_buf_get(rxrec_gfp(sk));
	if (unlikely(!rx->part))
		return ERR_PTR(-ENOMEM);
	err = tlsrec_key_wake(&rx->key);
	if (!err)
		err = rx_pull(sk, rx, q, missing, rxrec_gfp(sk));
	if (unlikely(err))
		return ERR_PTR(err);
	return rx_open_record(sk, rx, q, missing);
}

/**
 * tlsrec_rx_start() - a key is set; there may be records for it already
 * @sk: locked
 * @rx: receive direction
 */
void tlsrec_rx_start(struct sock *sk, struct tlsrec_rx *rx)
{
	struct rxq q = { };

	/* Urgent bytes are part of their record. */
	sock_set_flag(sk, SOCK_URGINLINE);
	/*
	 * TCP is to call us whenever something comes: it counts only what is in
	 * its queue when it asks for SO_RCVLOWAT bytes. It does so anyway once
	 * the stream has ended, and this is how it knows.
	 */
	sock_set_flag(sk, SOCK_DONE);
	/* Messages do not span keys (RFC 8446 5.1). */
	rx->handshake = (struct tlsrec_handshake){ };
	rx->expired = false;
	rxrec_settle(sk, rx, &q, rxrec_gfp(sk));
	if (rxhead_readable(sk, rx))
		rxrec_wake(sk, rx);
}

/* The socket is closed. */
void tlsrec_rx_free(struct tlsrec_rx *rx)
{
	struct tlsrec_buf *buf, *next;

	list_for_each_entry_safe(buf, next, &rx->plain, list)
		rxrec_drop(rx, buf);
	if (rx->part)
		tlsrec_buf_put(rx->part);
	rx->part = NULL;
	tlsrec_key_wipe(&rx->key);
}
