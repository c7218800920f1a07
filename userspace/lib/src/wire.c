// SPDX-License-Identifier: MIT
#include "wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How many bytes may follow before the next boundary: end of header, end of record. */
static size_t cut_room(const struct tr_cut *cut)
{
	return cut->left ? cut->left : (size_t)(TR_HEADER_LEN - cut->have);
}

/* Accounts for len bytes, no more than cut_room(). */
static void cut_advance(struct tr_cut *cut, const uint8_t *data, size_t len)
{
	if (cut->left) {
		size_t keep = smaller(len, sizeof(cut->nonce) - cut->nonce_len);

		memcpy(cut->nonce + cut->nonce_len, data, keep);
		cut->nonce_len += (uint8_t)keep;
		cut->left -= (uint16_t)len;
		return;
	}
	if (!cut->have)
		cut->nonce_len = 0;
	memcpy(cut->header + cut->have, data, len);
	cut->have += (uint8_t)len;
	if (cut->have == TR_HEADER_LEN) {
		cut->left = (uint16_t)(cut->header[3] << 8 | cut->header[4]);
		cut->have = 0;
	}
}

/* The first byte of every record is its content type. */
static bool looks_like_tls(const struct tr_cut *cut, const uint8_t *data)
{
	return cut->left || cut->have || (data[0] >= TR_CCS && data[0] <= TR_DATA);
}

static int feed_read(BIO *bio, struct tr_wire *wire, char *buf, size_t len)
{
	len = smaller(len, wire->feed_len);
	if (!len) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(buf, wire->feed, len);
	wire->feed += len;
	wire->feed_len -= len;
	return (int)len;
}

static int wire_read(BIO *bio, char *buf, int len)
{
	struct tr_wire *wire = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (len <= 0)
		return 0;
	if (wire->detached)
		return feed_read(bio, wire, buf, (size_t)len);
	do
		n = recv(wire->fd, buf, smaller((size_t)len, cut_room(&wire->in)), MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		wire->not_tls |= !looks_like_tls(&wire->in, (uint8_t *)buf);
		cut_advance(&wire->in, (uint8_t *)buf, (size_t)n);
		return wire->not_tls ? -1 : (int)n;
	}
	if (!n) {
		wire->eof = true;
		return 0;
	}
	if (errno == EAGAIN)
		BIO_set_retry_read(bio);
	else
		wire->err = errno;
	return -1;
}

static void note_sent(struct tr_cut *cut, const uint8_t *data, size_t len)
{
	while (len) {
		size_t n = smaller(len, cut_room(cut));

		cut_advance(cut, data, n);
		data += n;
		len -= n;
	}
}

static int wire_write(BIO *bio, const char *buf, int len)
{
	struct tr_wire *wire = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (len <= 0)
		return 0;
	if (wire->detached) {
		wire->err = EPIPE;
		return -1;
	}
	do
		n = send(wire->fd, buf, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0) {
		note_sent(&wire->out, (const uint8_t *)buf, (size_t)n);
		return (int)n;
	}
	if (errno == EAGAIN)
		BIO_set_retry_write(bio);
	else
		wire->err = errno;
	return -1;
}

static long wire_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	const struct tr_wire *wire = BIO_get_data(bio);

	(void)num;
	(void)ptr;
	switch (cmd) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return wire->eof;
	default:
		return 0;
	}
}

BIO_METHOD *tr_wire_method(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "tlsrec socket");

	if (method && BIO_meth_set_read(method, wire_read) &&
	    BIO_meth_set_write(method, wire_write) && BIO_meth_set_ctrl(method, wire_ctrl))
		return method;
	BIO_meth_free(method);
	return NULL;
}

BIO *tr_wire_bio(BIO_METHOD *method, struct tr_wire *wire)
{
	BIO *bio = BIO_new(method);

	if (bio) {
		BIO_set_data(bio, wire);
		BIO_set_init(bio, 1);
	}
	return bio;
}
