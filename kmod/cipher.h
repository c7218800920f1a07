/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ciphers: one row of a table each, and the key state of one direction.
 */
#ifndef TLSREC_CIPHER_H
#define TLSREC_CIPHER_H

#include <crypto/aead.h>
#include <linux/scatterlist.h>
#include <linux/sockptr.h>
#include <linux/tls.h>

#include "record.h"

enum {
	TLSREC_MAX_KEY	= 32,
	/* Largest tls12_crypto_info_*: AES-GCM-256 and ChaCha20-Poly1305. */
	TLSREC_MAX_INFO	= sizeof(struct tls12_crypto_info_aes_gcm_256),
	/*
	 * Room for the context of an AEAD request. The software AEADs want
	 * 100 to 600 bytes; a driver that wants more is refused.
	 */
	TLSREC_MAX_REQSIZE = 1024,
};

/**
 * struct tlsrec_cipher - a row of the cipher table
 * @type: TLS_CIPHER_* of <linux/tls.h>
 * @alg: name for the kernel crypto API
 * @key_size: bytes of key
 * @salt_size: bytes of IV in the salt field
 * @iv_size: bytes of IV in the iv field, with the salt TLSREC_NONCE_SIZE
 * @explicit_nonce: bytes of nonce sent with each record under TLS 1.2
 */
struct tlsrec_cipher {
	u16		type;
	const char	*alg;
	u8		key_size;
	u8		salt_size;
	u8		iv_size;
	u8		explicit_nonce;
};

/**
 * struct tlsrec_key - cipher state of one direction
 * @aead: transform with the key set
 * @cipher: its row, %NULL while no key is set
 * @version: TLS_1_2_VERSION or TLS_1_3_VERSION
 * @fmt: layout of records
 * @exhausted: the record with the last sequence number was used
 * @seq: sequence number of the next record
 * @iv: salt and iv; under TLS 1.2 the iv part is the next explicit nonce
 * @key: kept for getsockopt()
 */
struct tlsrec_key {
	struct crypto_aead		*aead;
	const struct tlsrec_cipher	*cipher;
	u16				version;
	struct tlsrec_format		fmt;
	bool				exhausted;
	u64				seq;
	u8				iv[TLSREC_NONCE_SIZE];
	u8				key[TLSREC_MAX_KEY];
};

/**
 * struct tlsrec_crypt - what one cipher operation needs besides its data
 * @wait: completion of the request
 * @nonce: nonce of the record, where a driver may fetch it from
 * @aad: additional data of the record
 * @req: the request; its context follows
 * @ctx: room for that context
 *
 * Lives in memory from the page or slab allocator, never on the stack.
 */
struct tlsrec_crypt {
	struct crypto_wait	wait;
	u8			nonce[16];
	u8			aad[16];
	struct aead_request	req;
	u8			ctx[TLSREC_MAX_REQSIZE];
};

const struct tlsrec_cipher *tlsrec_cipher_find(u16 type);
size_t tlsrec_cipher_info_size(const struct tlsrec_cipher *c);
const char *tlsrec_cipher_probe(bool *generic);

int tlsrec_key_set(struct tlsrec_key *key, const void *info);
void tlsrec_key_get(const struct tlsrec_key *key, void *info);
void tlsrec_key_wipe(struct tlsrec_key *key);
void tlsrec_key_advance(struct tlsrec_key *key);

int tlsrec_crypt(struct tlsrec_key *key, struct tlsrec_crypt *crypt,
		 bool encrypt, struct scatterlist *src,
		 struct scatterlist *dst, unsigned int len);

#endif /* TLSREC_CIPHER_H */
