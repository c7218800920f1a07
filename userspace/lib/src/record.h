/* SPDX-License-Identifier: MIT */
/*
 * AEAD record protection in user space: TLS 1.2 (RFC 5246 6.2.3.3, RFC 5288, RFC 7905) and
 * TLS 1.3 (RFC 8446 5.2). Pure functions.
 */
#ifndef TLSREC_RECORD_H
#define TLSREC_RECORD_H

#include <stdbool.h>
#include <sys/types.h>

#include "kdf.h"

enum {
	TR_HEADER_LEN = 5,
	TR_PLAIN_MAX = 16384,
	/* Header, explicit nonce (1.2) or content type (1.3), tag. */
	TR_RECORD_MAX = TR_HEADER_LEN + TR_EXPLICIT_LEN + TR_PLAIN_MAX + TR_TAG_LEN,

	TR_CCS = 20,
	TR_ALERT = 21,
	TR_HANDSHAKE = 22,
	TR_DATA = 23,
};

/*
 * The cipher and key of dir on len bytes, in place or from in to out; the nonce has TR_IV_LEN
 * bytes, the tag follows the ciphertext. False when OpenSSL refuses or, opening, when the tag is
 * wrong.
 */
bool tr_aead_seal(const struct tr_dir *dir, const uint8_t *nonce, const uint8_t *aad, int aad_len,
		  const uint8_t *in, size_t len, uint8_t *out);
bool tr_aead_open(const struct tr_dir *dir, const uint8_t *nonce, const uint8_t *aad, int aad_len,
		  const uint8_t *in, size_t len, uint8_t *out);

/*
 * One record of content type type around len bytes, at most TR_PLAIN_MAX, into out, which has
 * room for TR_RECORD_MAX. Moves dir on to the next record. Returns the record's length with
 * header, or -1.
 */
ssize_t tr_seal(int version, struct tr_dir *dir, uint8_t type, const uint8_t *data, size_t len,
		uint8_t *out);

/*
 * The reverse: record is one whole record with header; out has room for TR_PLAIN_MAX + 1. Gives
 * the (inner) content type and the plaintext's length without padding, or -1 when the record is
 * malformed or not authentic; dir moves on only on success.
 */
ssize_t tr_open(int version, struct tr_dir *dir, const uint8_t *record, size_t len,
		uint8_t *type, uint8_t *out);

#endif
