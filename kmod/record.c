// SPDX-License-Identifier: GPL-2.0-only
/* The TLS record format, see record.h for the layout. */

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/string.h>
#else
#include <errno.h>
#include <string.h>
#endif

#include "record.h"

/* legacy_record_version: 0x0303 for TLS 1.2 and, frozen, for TLS 1.3 */
enum { VERSION_MAJOR = 3, VERSION_MINOR = 3 };

static void put_be16(u8 *p, u16 v)
{
	p[0] = v >> 8;
	p[1] = v;
}

static u16 get_be16(const u8 *p)
{
	return p[0] << 8 | p[1];
}

/* Spelled out, compilers see one load or store in them. */
static u64 get_be64(const u8 *p)
{
	return (u64)p[0] << 56 | (u64)p[1] << 48 | (u64)p[2] << 40 |
	       (u64)p[3] << 32 | (u64)p[4] << 24 | (u64)p[5] << 16 |
	       (u64)p[6] << 8 | (u64)p[7];
}

static void put_be64(u8 *p, u64 v)
{
	p[0] = v >> 56;
	p[1] = v >> 48;
	p[2] = v >> 40;
	p[3] = v >> 32;
	p[4] = v >> 24;
	p[5] = v >> 16;
	p[6] = v >> 8;
	p[7] = v;
}

/**
 * tlsrec_format_init() - layout of the records of a connection
 * @fmt: what to fill in
 * @tls13: TLS 1.3, else TLS 1.2
 * @explicit_nonce: bytes of explicit nonce the cipher has under TLS 1.2
 */
void tlsrec_format_init(struct tlsrec_format *fmt, bool tls13,
			u8 explicit_nonce)
{
	fmt->inner_type = tls13;
	fmt->explicit_nonce = tls13 ? 0 : explicit_nonce;
	fmt->nonce_xor = tls13 || !explicit_nonce;
	fmt->aad = tls13 ? TLSREC_HEADER_SIZE : TLSREC_MAX_AAD;
}

/**
 * tlsrec_nonce() - the AEAD nonce of a record
 * @fmt: record layout
 * @nonce: result, TLSREC_NONCE_SIZE bytes
 * @iv: TLSREC_NONCE_SIZE bytes; the static IV of TLS 1.3, or the salt and the
 *	record's explicit nonce of TLS 1.2
 * @seq: record sequence number
 */
void tlsrec_nonce(const struct tlsrec_format *fmt, u8 *nonce, const u8 *iv,
		  u64 seq)
{
	enum { COUNTER = TLSREC_NONCE_SIZE - sizeof(seq) };

	memcpy(nonce, iv, TLSREC_NONCE_SIZE);
	if (fmt->nonce_xor)
		put_be64(nonce + COUNTER, get_be64(iv + COUNTER) ^ seq);
}

/**
 * tlsrec_put_head() - write what stands on the wire in front of the payload
 * @fmt: record layout
 * @head: result, tlsrec_head_size() bytes
 * @type: content type; on TLS 1.3 the wire always says application data
 * @payload: bytes of payload
 * @explicit_nonce: @fmt->explicit_nonce bytes
 */
void tlsrec_put_head(const struct tlsrec_format *fmt, u8 *head, u8 type,
		     size_t payload, const u8 *explicit_nonce)
{
	head[0] = fmt->inner_type ? TLSREC_TYPE_DATA : type;
	head[1] = VERSION_MAJOR;
	head[2] = VERSION_MINOR;
	put_be16(head + 3, payload + fmt->explicit_nonce +
			   tlsrec_tail_size(fmt));
	if (fmt->explicit_nonce)
		memcpy(head + TLSREC_HEADER_SIZE, explicit_nonce,
		       TLSREC_MAX_EXPLICIT);
}

/**
 * tlsrec_put_aad() - additional data of a record
 * @fmt: record layout
 * @aad: result, @fmt->aad bytes
 * @header: the record's header as it is on the wire. Type and version are
 *	taken from it as received, so that a change to either is noticed.
 * @seq: record sequence number
 * @payload: bytes of payload (TLS 1.2 authenticates this, not the wire length)
 */
void tlsrec_put_aad(const struct tlsrec_format *fmt, u8 *aad,
		    const u8 *header, u64 seq, size_t payload)
{
	if (fmt->inner_type) {
		memcpy(aad, header, TLSREC_HEADER_SIZE);
		return;
	}

	put_be64(aad, seq);
	memcpy(aad + 8, header, 3);
	put_be16(aad + 11, payload);
}

/**
 * tlsrec_parse_header() - size of a record from its first five bytes
 * @fmt: record layout
 * @header: TLSREC_HEADER_SIZE bytes
 *
 * Return: size of the whole record in bytes, header included; -EMSGSIZE when
 * it claims more than a record may hold (RFC 5246 6.2.3, RFC 8446 5.2),
 * -EBADMSG when less than nonce and tag need, -EINVAL for another version.
 */
int tlsrec_parse_header(const struct tlsrec_format *fmt, const u8 *header)
{
	size_t len = get_be16(header + 3);

	/* A padded record has no less payload room: type and padding count. */
	if (len > fmt->explicit_nonce + TLSREC_MAX_PAYLOAD +
		  tlsrec_tail_size(fmt))
		return -EMSGSIZE;
	if (len < fmt->explicit_nonce + TLSREC_TAG_SIZE)
		return -EBADMSG;
	if (header[1] != VERSION_MAJOR || header[2] != VERSION_MINOR)
		return -EINVAL;

	return TLSREC_HEADER_SIZE + len;
}

/**
 * tlsrec_inner_content() - take type and padding off a TLSInnerPlaintext
 * @inner: decrypted bytes without the tag (RFC 8446 5.4)
 * @len: how many
 * @type: result, the content type
 *
 * Return: bytes of content, or -EBADMSG when there is no type in it.
 */
int tlsrec_inner_content(const u8 *inner, size_t len, u8 *type)
{
	while (len && !inner[len - 1])
		len--;
	if (!len)
		return -EBADMSG;

	*type = inner[len - 1];
	return len - 1;
}

/**
 * tlsrec_find_key_update() - look for a KeyUpdate in a handshake record
 * @hs: place in the stream of messages, which need not end with a record
 * @data: payload of the record
 * @len: bytes of it
 *
 * Return: whether a KeyUpdate (RFC 8446 4.6.3) ends in these bytes.
 */
bool tlsrec_find_key_update(struct tlsrec_handshake *hs, const u8 *data,
			    size_t len)
{
	bool found = false;

	while (len) {
		size_t n;

		if (hs->have < sizeof(hs->head)) {
			hs->head[hs->have++] = *data++;
			len--;
			if (hs->have < sizeof(hs->head))
				continue;
			hs->left = hs->head[1] << 16 | get_be16(hs->head + 2);
		}

		n = len < hs->left ? len : hs->left;
		data += n;
		len -= n;
		hs->left -= n;
		if (!hs->left) {
			found |= hs->head[0] == TLSREC_HANDSHAKE_KEY_UPDATE;
			hs->have = 0;
		}
	}

	return found;
}
