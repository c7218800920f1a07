/* SPDX-License-Identifier: MIT */
/* The ciphers of <linux/tls.h> that OpenSSL can negotiate: one row each. */
#ifndef TLSREC_CIPHER_H
#define TLSREC_CIPHER_H

#include <stdint.h>

#include <openssl/ssl.h>

enum {
	TR_KEY_MAX = 32,
	TR_SALT_LEN = 4,	/* implicit part of a TLS 1.2 nonce that has an explicit one */
	TR_EXPLICIT_LEN = 8,	/* its explicit part (RFC 5288 3) */
	TR_IV_LEN = TR_SALT_LEN + TR_EXPLICIT_LEN,
	TR_TAG_LEN = 16,
};

struct tr_cipher {
	const char *name;	/* for people and for EVP_CIPHER_fetch(): "AES-128-GCM" */
	int nid;		/* what SSL_CIPHER_get_cipher_nid() says */
	uint16_t type;		/* TLS_CIPHER_* of <linux/tls.h> */
	uint8_t key_len;
	/*
	 * Bytes of nonce in each record of TLS 1.2: TR_EXPLICIT_LEN, or 0 where the nonce is
	 * made as in TLS 1.3 (RFC 7905 2). The rest of it comes out of the key block.
	 */
	uint8_t explicit_len;
};

enum { TR_CIPHERS = 6 };
extern const struct tr_cipher tr_ciphers[TR_CIPHERS];

/* The row of a suite; NULL when the kernel has no such cipher or wants a longer tag. */
const struct tr_cipher *tr_cipher_of(const SSL_CIPHER *suite);

#endif
