/* SPDX-License-Identifier: MIT */
/*
 * TLS records of AES-GCM made and opened in user space, with OpenSSL's EVP interface: the contender without kernel TLS,
 * and what the kernel's records are checked with.
 */
#ifndef BENCH_RECORD_H
#define BENCH_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/tls.h>

enum {
	RECORD_PLAIN = 16384,	/* most plaintext in a record */
	RECORD_ROOM = RECORD_PLAIN + 256,
};

/* One for both directions and all connections: the same data are sent again and again. */
struct key {
	bool tls13;
	unsigned int bits;
	union {
		struct tls_crypto_info info;
		struct tls12_crypto_info_aes_gcm_128 gcm128;
		struct tls12_crypto_info_aes_gcm_256 gcm256;
	} kernel;	/* for setsockopt() */
	size_t kernel_size;
	uint8_t nonce[12];
};

struct direction {
	const struct key *key;
	struct evp_cipher_ctx_st *ctx;
	uint64_t seq;
};

void key_init(struct key *key, bool tls13, unsigned int bits);
/* How much longer a record is than its plaintext. */
size_t record_overhead(const struct key *key);

void direction_init(struct direction *d, const struct key *key, bool seal);
void direction_free(struct direction *d);
/* Returns the bytes of the record. */
size_t record_seal(struct direction *d, uint8_t *record, const uint8_t *plain, size_t len);
/* Returns the bytes of the record at the beginning of LEN bytes, 0 when it is not all there. Plaintext to PLAIN. */
size_t record_open(struct direction *d, const uint8_t *record, size_t len, uint8_t *plain, size_t *plain_len);

#endif
