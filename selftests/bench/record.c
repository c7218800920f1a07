// SPDX-License-Identifier: MIT
#include <err.h>
#include <string.h>

#include <openssl/evp.h>

#include "record.h"

enum { HEADER = 5, EXPLICIT_NONCE = 8, TAG = 16, APPLICATION_DATA = 23 };

static void store16(uint8_t *p, size_t v)
{
	p[0] = v >> 8;
	p[1] = v;
}

static void store64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = v >> (56 - 8 * i);
}

void key_init(struct key *key, bool tls13, unsigned int bits)
{
	memset(key, 0, sizeof(*key));
	key->tls13 = tls13;
	key->bits = bits;
	key->kernel.info.version = tls13 ? TLS_1_3_VERSION : TLS_1_2_VERSION;
	for (unsigned int i = 0; i < sizeof(key->nonce); i++)
		key->nonce[i] = 0xa0 + i;
	/* The key is zero, which is as good as any here. The two structures differ in the key's length. */
	if (bits == 128) {
		key->kernel.info.cipher_type = TLS_CIPHER_AES_GCM_128;
		memcpy(key->kernel.gcm128.salt, key->nonce, 4);
		memcpy(key->kernel.gcm128.iv, key->nonce + 4, 8);
		key->kernel_size = sizeof(key->kernel.gcm128);
	} else {
		key->kernel.info.cipher_type = TLS_CIPHER_AES_GCM_256;
		memcpy(key->kernel.gcm256.salt, key->nonce, 4);
		memcpy(key->kernel.gcm256.iv, key->nonce + 4, 8);
		key->kernel_size = sizeof(key->kernel.gcm256);
	}
}

/* What stands before the ciphertext. */
static size_t head_of(const struct key *key)
{
	return key->tls13 ? HEADER : HEADER + EXPLICIT_NONCE;
}

size_t record_overhead(const struct key *key)
{
	return head_of(key) + key->tls13 + TAG;
}

void direction_init(struct direction *d, const struct key *key, bool seal)
{
	static const uint8_t zero[32];

	d->key = key;
	d->seq = 0;
	d->ctx = EVP_CIPHER_CTX_new();
	if (!d->ctx || EVP_CipherInit_ex(d->ctx, key->bits == 128 ? EVP_aes_128_gcm() : EVP_aes_256_gcm(), NULL, zero,
					 NULL, seal) != 1)
		errx(1, "OpenSSL has no AES-GCM");
}

void direction_free(struct direction *d)
{
	EVP_CIPHER_CTX_free(d->ctx);
}

/* Nonce and additional data of the next record, whose header is there. */
static bool begin(struct direction *d, const uint8_t *record, size_t plain_len)
{
	uint8_t nonce[12], aad[13];
	size_t aad_len;
	int out;

	memcpy(nonce, d->key->nonce, sizeof(nonce));
	if (d->key->tls13) {
		uint8_t seq[8];

		store64(seq, d->seq);
		for (int i = 0; i < 8; i++)
			nonce[4 + i] ^= seq[i];
		aad_len = HEADER;
		memcpy(aad, record, HEADER);
	} else {
		memcpy(nonce + 4, record + HEADER, EXPLICIT_NONCE);
		aad_len = 13;
		store64(aad, d->seq);
		memcpy(aad + 8, record, 3);
		store16(aad + 11, plain_len);
	}
	d->seq++;
	return EVP_CipherInit_ex(d->ctx, NULL, NULL, NULL, nonce, -1) == 1 &&
	       EVP_CipherUpdate(d->ctx, NULL, &out, aad, aad_len) == 1;
}

size_t record_seal(struct direction *d, uint8_t *record, const uint8_t *plain, size_t len)
{
	static const uint8_t type = APPLICATION_DATA;
	size_t all = len + record_overhead(d->key), head = head_of(d->key);
	uint8_t *body = record + head;
	int out;

	record[0] = APPLICATION_DATA;
	store16(record + 1, 0x0303);
	store16(record + 3, all - HEADER);
	if (!d->key->tls13)
		store64(record + HEADER, d->seq);
	if (!begin(d, record, len) || EVP_CipherUpdate(d->ctx, body, &out, plain, len) != 1 ||
	    (d->key->tls13 && EVP_CipherUpdate(d->ctx, body + len, &out, &type, 1) != 1) ||
	    EVP_CipherFinal_ex(d->ctx, body, &out) != 1 ||
	    EVP_CIPHER_CTX_ctrl(d->ctx, EVP_CTRL_AEAD_GET_TAG, TAG, record + all - TAG) != 1)
		errx(1, "OpenSSL does not encrypt");
	return all;
}

size_t record_open(struct direction *d, const uint8_t *record, size_t len, uint8_t *plain, size_t *plain_len)
{
	size_t head = head_of(d->key), all, body;
	int out;

	if (len < HEADER)
		return 0;
	all = HEADER + (record[3] << 8 | record[4]);
	if (len < all)
		return 0;
	body = all - head - TAG;
	if (record[0] != APPLICATION_DATA || all < head + TAG || body > RECORD_PLAIN + 1)
		errx(1, "what came is not a record of data");
	*plain_len = body - d->key->tls13;
	if (!begin(d, record, *plain_len) || EVP_CipherUpdate(d->ctx, plain, &out, record + head, body) != 1 ||
	    EVP_CIPHER_CTX_ctrl(d->ctx, EVP_CTRL_AEAD_SET_TAG, TAG, (void *)(record + all - TAG)) != 1 ||
	    EVP_CipherFinal_ex(d->ctx, plain + body, &out) != 1)
		errx(1, "record %llu is not authentic", (unsigned long long)d->seq - 1);
	if (d->key->tls13 && plain[body - 1] != APPLICATION_DATA)
		errx(1, "record %llu is not data", (unsigned long long)d->seq - 1);
	return all;
}
