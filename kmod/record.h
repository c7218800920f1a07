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
#include <linux/types.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
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
void tlsrec_nonce(const struct tlsrec_format *fmt, u8 *nonce, const u8 *iv,
		  u64 seq);
void tlsrec_put_head(const struct tlsrec_format *fmt, u8 *head, u8 type,
		     size_t payload, const u8 *explicit_nonce);
void tlsrec_put_aad(const struct tlsrec_format *fmt, u8 *aad,
		    const u8 *header, u64 seq, size_t payload);
int tlsrec_parse_header(const struct tlsrec_format *fmt, const u8 *header);
int tlsrec_inner_content(const u8 *inner, size_t len, u8 *type);
bool tlsrec_find_key_update(struct tlsrec_handshake *hs, const u8 *data,
			    size_t len);

#endif /* TLSREC_RECORD_H */
