/* SPDX-License-Identifier: MIT */
/*
 * Key derivation of TLS 1.2 and 1.3: pure functions, no socket, no connection.
 *
 * All return 0, or -1 when OpenSSL refuses (out of memory, digest not available). Lengths are
 * in bytes. Callers wipe what they get.
 */
#ifndef TLSREC_KDF_H
#define TLSREC_KDF_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "cipher.h"

enum {
	TR_RANDOM_LEN = 32,	/* ClientHello.random, ServerHello.random */
	TR_MASTER_LEN = 48,	/* TLS 1.2 master secret */
};

/* Key of one direction and the record number it goes on with. */
struct tr_dir {
	const struct tr_cipher *cipher;
	uint8_t key[TR_KEY_MAX];
	/*
	 * The static IV (RFC 8446 5.3, RFC 7905 2). TLS 1.2 with an explicit nonce: the salt,
	 * then that of the next record to be sent; on the receiving side the latter means
	 * nothing.
	 */
	uint8_t iv[TR_IV_LEN];
	uint64_t seq;
};

/* P_hash of RFC 5246 5: out = PRF(secret, label, seed). */
int tr_prf12(const EVP_MD *md, const uint8_t *secret, size_t secret_len, const char *label,
	     const uint8_t *seed, size_t seed_len, uint8_t *out, size_t out_len);

/*
 * Key block of RFC 5246 6.3 for an AEAD suite: no MAC keys, then both keys, then both implicit
 * nonces (RFC 5288 3, RFC 7905 2). Fills cipher, key and what comes of iv.
 */
int tr_keys12(const EVP_MD *md, const uint8_t *master, size_t master_len,
	      const uint8_t client_random[TR_RANDOM_LEN],
	      const uint8_t server_random[TR_RANDOM_LEN], const struct tr_cipher *cipher,
	      struct tr_dir *client, struct tr_dir *server);

/* HKDF-Expand-Label of RFC 8446 7.1; label without the "tls13 " in front. */
int tr_expand_label(const EVP_MD *md, const uint8_t *secret, size_t secret_len,
		    const char *label, const uint8_t *context, size_t context_len,
		    uint8_t *out, size_t out_len);

/* Traffic key and IV of RFC 8446 7.3 from a traffic secret of the digest's length. */
int tr_keys13(const EVP_MD *md, const uint8_t *secret, const struct tr_cipher *cipher,
	      struct tr_dir *dir);

/* application_traffic_secret_N+1 of RFC 8446 7.2, in place. */
int tr_next_secret(const EVP_MD *md, uint8_t *secret);

#endif
