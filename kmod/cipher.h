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
	 * 100 to 600 bytes, ARIA's with AVX-512 keep 1 KiB of key stream there
	 * besides; a driver that wants more is refused.
	 */
	TLSREC_MAX_REQSIZE = 2048,
	TLSREC_IV_FRONT	= 8,
};

/**
 * struct tlsrec_cipher - a row of the cipher table
 * @type: TLS_CIPHER_* of <linux/tls.h>
 * @alg: name for the kernel crypto API
 * @key_size: bytes of key
 * @salt_size: bytes of IV in the salt field
 * @iv_size: bytes of IV in the iv field, with the salt TLSREC_NONCE_SIZE
 * @explicit_nonce: bytes of nonce sent with each record under TLS 1.2
 * @ccm_flags: what the kernel's CCM wants in front of the nonce, 0 for others
 * @only_tls12: TLS 1.3 does not have it
 * @in_place: its drivers need no memory for records that are encrypted where
 *	they lie, on blocks of 16 bytes
 */
struct tlsrec_cipher {
	u16		type;
	const char	*alg;
	u8		key_size;
	u8		salt_size;
	u8		iv_size;
	u8		explicit_nonce;
	u8		ccm_flags;
	bool		only_tls12;
	bool		in_place;
};

/**
 * struct tlsrec_key - cipher state of one direction
 * @aead: transform with the key set; %NULL while parked, see idle.c
 * @cipher: its row, %NULL while no key is set
 * @version: TLS_1_2_VERSION or TLS_1_3_VERSION
 * @fmt: layout of records
 * @exhausted: the record with the last sequence number was used
 * @used: since tlsrec_key_idle() asked last
 * @in_place: the cipher's @in_place, and true of @aead
 * @seq: sequence number of the next record
 * @iv: salt and iv; where there is an explicit nonce, iv is the next one
 * @key: kept for getsockopt() and for another transform
 */
struct tlsrec_key {
	struct crypto_aead		*aead;
	const struct tlsrec_cipher	*cipher;
	u16				version;
	struct tlsrec_format		fmt;
	bool				exhausted;
	bool				used;
	bool				in_place;
	u64				seq;
	u8				iv[TLSREC_NONCE_SIZE];
	u8				key[TLSREC_MAX_KEY];
};

/**
 * struct tlsrec_crypt - what one cipher operation needs besides its data
 * @wait: completion of the request
 * @iv: room for CCM's flags, nonce of the record, and room for CCM's counter,
 *	where a driver may fetch and count; see tlsrec_crypt_nonce()
 * @aad: additional data of a record that has it apart from its payload
 * @req: the request; its context follows
 * @ctx: room for that context
 *
 * Lives in memory from the page or slab allocator, never on the stack.
 */
struct tlsrec_crypt {
	struct crypto_wait	wait;
	u8			iv[TLSREC_IV_FRONT + TLSREC_NONCE_SIZE + 4];
	u8			aad[16];
	struct aead_request	req;
	u8			ctx[TLSREC_MAX_REQSIZE];
};

/* Where the nonce goes: aligned, with room in front. */
static inline u8 *tlsrec_crypt_nonce(struct tlsrec_crypt *crypt)
{
	return crypt->iv + TLSREC_IV_FRONT;
}

const struct tlsrec_cipher *tlsrec_cipher_find(u16 type);
size_t tlsrec_cipher_info_size(const struct tlsrec_cipher *c);
const char *tlsrec_cipher_probe(bool *generic);

int tlsrec_key_set(struct tlsrec_key *key, const void *info);
void tlsrec_key_get(const struct tlsrec_key *key, void *info);
void tlsrec_key_wipe(struct tlsrec_key *key);
struct crypto_aead *tlsrec_key_idle(struct tlsrec_key *key);
int tlsrec_key_unpark(struct tlsrec_key *key);

/**
 * tlsrec_key_wake() - be ready for tlsrec_crypt()
 * @key: set
 *
 * Called before anything that cannot be undone. It stays awake for as long as
 * the socket is locked.
 *
 * Return: 0, or -ENOMEM for now.
 */
static inline int tlsrec_key_wake(struct tlsrec_key *key)
{
	return likely(key->aead) ? 0 : tlsrec_key_unpark(key);
}

void tlsrec_crypt_init(struct tlsrec_crypt *crypt);
int tlsrec_crypt(struct tlsrec_key *key, struct tlsrec_crypt *crypt,
		 bool encrypt, struct scatterlist *src,
		 struct scatterlist *dst, unsigned int len);

/* Go on to the next record: sequence number and explicit nonce. */
static inline void tlsrec_key_advance(struct tlsrec_key *key)
{
	u8 *explicit = key->iv + key->cipher->salt_size;

	if (!++key->seq)
		key->exhausted = true;
	if (key->fmt.explicit_nonce)
		tlsrec_put_be64(explicit, tlsrec_get_be64(explicit) + 1);
}

#endif /* TLSREC_CIPHER_H */
