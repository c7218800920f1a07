/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The TLS record format: pure functions on bytes. No socket and no allocation
 * here, so that the same file also compiles into the user-space unit test.
 *
 * TLS 1.2 (RFC 5246 6.2.3.3) on the wire; ChaCha20-Poly1305 (RFC 7905) has no
 * explicit nonce, GCM and CCM (RFC 5288 3, RFC 6655 3) have eight bytes:
 *
 *	type(1) version(2) length(2) explicit nonce(0, 8) | payload | tag(16)
 *
 * TLS 1.3 (RFC 8446 5.2); the inner type and the padding are encrypted:
 *
 *	23(1) 0x0303(2) length(2) | payload inner type(1) padding | tag(16)
 *
 * "head" is everything in front of the payload, "tail" everything behind it in
 * a record without padding.
 */
#ifndef TLSREC_RECORD_H
#define TLSREC_RECORD_H

#ifdef __KERNEL__
#include <linux/string.h>
#include <linux/types.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
#endif

enum {
	TLSREC_HEADER_SIZE	= 5,
	TLSREC_NONCE_SIZE	= 12,
	TLSREC_TAG_SIZE		= 16,
	TLSREC_MAX_PAYLOAD	= 16384,
	TLSREC_MIN_SIZE_LIMIT	= 64,	/* RFC 8449 4 */
	TLSREC_MAX_EXPLICIT	= 8,
	TLSREC_MAX_HEAD		= TLSREC_HEADER_SIZE + TLSREC_MAX_EXPLICIT,
	TLSREC_MAX_TAIL		= 1 + TLSREC_TAG_SIZE,
	TLSREC_MAX_AAD		= 13,
	TLSREC_MAX_RECORD	= TLSREC_MAX_HEAD + TLSREC_MAX_PAYLOAD +
				  TLSREC_MAX_TAIL,
};

/* legacy_record_version: 0x0303 for TLS 1.2 and, frozen, for TLS 1.3 */
enum { TLSREC_VERSION_MAJOR = 3, TLSREC_VERSION_MINOR = 3 };

/* Content types, RFC 8446 B.1 */
enum {
	TLSREC_TYPE_CHANGE_CIPHER_SPEC	= 20,
	TLSREC_TYPE_ALERT		= 21,
	TLSREC_TYPE_HANDSHAKE		= 22,
	TLSREC_TYPE_DATA		= 23,
};

/* Handshake types, RFC 8446 B.3 */
enum { TLSREC_HANDSHAKE_KEY_UPDATE = 24 };

/**
 * struct tlsrec_format - how records of one version and cipher are laid out
 * @inner_type: bytes of encrypted content type behind the payload (TLS 1.3: 1)
 * @explicit_nonce: bytes of nonce behind the header
 * @nonce_xor: the nonce is the IV xor the sequence number (RFC 8446 5.3,
 *	RFC 7905 2), otherwise the salt followed by the explicit nonce
 * @aad: size of the additional authenticated data in bytes
 */
struct tlsrec_format {
	u8	inner_type;
	u8	explicit_nonce;
	u8	nonce_xor;
	u8	aad;
};

static inline size_t tlsrec_head_size(const struct tlsrec_format *fmt)
{
	return TLSREC_HEADER_SIZE + fmt->explicit_nonce;
}

static inline size_t tlsrec_tail_size(const struct tlsrec_format *fmt)
{
	return fmt->inner_type + TLSREC_TAG_SIZE;
}

static inline size_t tlsrec_overhead(const struct tlsrec_format *fmt)
{
	return tlsrec_head_size(fmt) + tlsrec_tail_size(fmt);
}

/**
 * struct tlsrec_handshake - where in a stream of handshake messages one is
 * @head: type and length of the message, RFC 8446 4
 * @have: bytes of @head that have come
 * @left: bytes of the message that have not, once @head has
 *
 * All zero in front of a message.
 */
struct tlsrec_handshake {
	u8	head[4];
	u8	have;
	u32	left;
};

void tlsrec_format_init(struct tlsrec_format *fmt, bool tls13,
			u8 explicit_nonce);
int tlsrec_parse_header(const struct tlsrec_format *fmt, const u8 *header);
int tlsrec_inner_content(const u8 *inner, size_t len, u8 *type);
bool tlsrec_find_key_update(struct tlsrec_handshake *hs, const u8 *data,
			    size_t len);

/* What every record needs stands here, so that it costs no calls. */

static inline void tlsrec_put_be16(u8 *p, u16 v)
{
	p[0] = v >> 8;
	p[1] = v;
}

static inline u16 tlsrec_get_be16(const u8 *p)
{
	return p[0] << 8 | p[1];
}

/* Spelled out, compilers see one load or store in them. */
static inline u64 tlsrec_get_be64(const u8 *p)
{
	return (u64)p[0] << 56 | (u64)p[1] << 48 | (u64)p[2] << 40 |
	       (u64)p[3] << 32 | (u64)p[4] << 24 | (u64)p[5] << 16 |
	       (u64)p[6] << 8 | (u64)p[7];
}

static inline void tlsrec_put_be64(u8 *p, u64 v)
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
 * tlsrec_nonce() - the AEAD nonce of a record
 * @fmt: record layout
 * @nonce: result, TLSREC_NONCE_SIZE bytes
 * @iv: TLSREC_NONCE_SIZE bytes; the static IV of TLS 1.3, or the salt and the
 *	record's explicit nonce of TLS 1.2
 * @seq: record sequence number
 */
static __always_inline void tlsrec_nonce(const struct tlsrec_format *fmt,
					 u8 *nonce, const u8 *iv, u64 seq)
{
	enum { COUNTER = TLSREC_NONCE_SIZE - sizeof(seq) };

	memcpy(nonce, iv, TLSREC_NONCE_SIZE);
	if (fmt->nonce_xor)
		tlsrec_put_be64(nonce + COUNTER,
				tlsrec_get_be64(iv + COUNTER) ^ seq);
}

/**
 * tlsrec_put_head() - write what stands on the wire in front of the payload
 * @fmt: record layout
 * @head: result, tlsrec_head_size() bytes
 * @type: content type; on TLS 1.3 the wire always says application data
 * @payload: bytes of payload
 * @explicit_nonce: @fmt->explicit_nonce bytes
 */
static __always_inline void tlsrec_put_head(const struct tlsrec_format *fmt,
					    u8 *head, u8 type, size_t payload,
					    const u8 *explicit_nonce)
{
	head[0] = fmt->inner_type ? TLSREC_TYPE_DATA : type;
	head[1] = TLSREC_VERSION_MAJOR;
	head[2] = TLSREC_VERSION_MINOR;
	tlsrec_put_be16(head + 3, payload + fmt->explicit_nonce +
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
static inline void tlsrec_put_aad(const struct tlsrec_format *fmt, u8 *aad,
				  const u8 *header, u64 seq, size_t payload)
{
	if (fmt->inner_type) {
		memcpy(aad, header, TLSREC_HEADER_SIZE);
		return;
	}

	tlsrec_put_be64(aad, seq);
	memcpy(aad + 8, header, 3);
	tlsrec_put_be16(aad + 11, payload);
}

#endif /* TLSREC_RECORD_H */
