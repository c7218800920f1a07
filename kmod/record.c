// SPDX-License-Identifier: GPL-2.0-only
/* The TLS record format, see record.h for the layout. */

#ifdef __KERNEL__
#include <linux/errno.h>
#else
#include <errno.h>
#endif

#include "record.h"

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
	size_t len = tlsrec_get_be16(header + 3);

	/* A padded record has no less payload room: type and padding count. */
	if (len > fmt->explicit_nonce + TLSREC_MAX_PAYLOAD +
		  tlsrec_tail_size(fmt))
		return -EMSGSIZE;
	if (len < fmt->explicit_nonce + TLSREC_TAG_SIZE)
		return -EBADMSG;
	if (header[1] != TLSREC_VERSION_MAJOR || header[2] != TLSREC_VERSION_MINOR)
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
			hs->left = hs->head[1] << 16 | tlsrec_get_be16(hs->head + 2);
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
