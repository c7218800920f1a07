// SPDX-License-Identifier: MIT
#include "record.h"

#include <string.h>

#include <openssl/ssl.h>

enum {
	AAD12_LEN = 8 + 1 + 2 + 2,	/* seq_num, type, version, length */
};

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put64(uint8_t *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

static const EVP_CIPHER *gcm(const struct tr_dir *dir)
{
	return dir->key_len == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm();
}

/* RFC 8446 5.3: the IV xor the sequence number, padded on the left. */
static void nonce13(const struct tr_dir *dir, uint8_t nonce[TR_IV_LEN])
{
	uint8_t seq[8];

	put64(seq, dir->seq);
	memcpy(nonce, dir->iv, TR_IV_LEN);
	for (int i = 0; i < 8; i++)
		nonce[TR_IV_LEN - 8 + i] ^= seq[i];
}

static void aad12(const struct tr_dir *dir, uint8_t type, size_t len, uint8_t aad[AAD12_LEN])
{
	put64(aad, dir->seq);
	aad[8] = type;
	put16(aad + 9, TLS1_2_VERSION);
	put16(aad + 11, len);
}

static void advance(int version, struct tr_dir *dir)
{
	dir->seq++;
	if (version == TLS1_3_VERSION)
		return;
	for (int i = TR_IV_LEN - 1; i >= TR_SALT_LEN && ++dir->iv[i] == 0; i--)
		;
}

bool tr_gcm_seal(const struct tr_dir *dir, const uint8_t *nonce, const uint8_t *aad, int aad_len,
		 const uint8_t *in, size_t in_len, const uint8_t *tail, int tail_len, uint8_t *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	uint8_t *end = out + in_len + tail_len;
	int n;
	bool ok;

	ok = c && EVP_EncryptInit_ex(c, gcm(dir), NULL, dir->key, nonce) &&
	     (!aad_len || EVP_EncryptUpdate(c, NULL, &n, aad, aad_len)) &&
	     (!in_len || EVP_EncryptUpdate(c, out, &n, in, (int)in_len)) &&
	     (!tail_len || EVP_EncryptUpdate(c, out + in_len, &n, tail, tail_len)) &&
	     EVP_EncryptFinal_ex(c, end, &n) &&
	     EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TR_TAG_LEN, end);
	EVP_CIPHER_CTX_free(c);
	return ok;
}

bool tr_gcm_open(const struct tr_dir *dir, const uint8_t *nonce, const uint8_t *aad, int aad_len,
		 const uint8_t *in, size_t in_len, uint8_t *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n;
	bool ok;

	ok = c && EVP_DecryptInit_ex(c, gcm(dir), NULL, dir->key, nonce) &&
	     (!aad_len || EVP_DecryptUpdate(c, NULL, &n, aad, aad_len)) &&
	     (!in_len || EVP_DecryptUpdate(c, out, &n, in, (int)in_len)) &&
	     EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TR_TAG_LEN, (void *)(in + in_len)) &&
	     EVP_DecryptFinal_ex(c, out + in_len, &n) > 0;
	EVP_CIPHER_CTX_free(c);
	return ok;
}

static void put_header(uint8_t *out, uint8_t type, size_t len)
{
	out[0] = type;
	put16(out + 1, TLS1_2_VERSION);
	put16(out + 3, len);
}

static ssize_t seal12(const struct tr_dir *dir, uint8_t type, const uint8_t *data, size_t len,
		      uint8_t *out)
{
	uint8_t aad[AAD12_LEN];
	size_t body = TR_EXPLICIT_LEN + len + TR_TAG_LEN;

	aad12(dir, type, len, aad);
	put_header(out, type, body);
	memcpy(out + TR_HEADER_LEN, dir->iv + TR_SALT_LEN, TR_EXPLICIT_LEN);
	if (!tr_gcm_seal(dir, dir->iv, aad, AAD12_LEN, data, len, NULL, 0,
			 out + TR_HEADER_LEN + TR_EXPLICIT_LEN))
		return -1;
	return (ssize_t)(TR_HEADER_LEN + body);
}

static ssize_t seal13(const struct tr_dir *dir, uint8_t type, const uint8_t *data, size_t len,
		      uint8_t *out)
{
	uint8_t nonce[TR_IV_LEN];
	size_t body = len + 1 + TR_TAG_LEN;

	nonce13(dir, nonce);
	put_header(out, TR_DATA, body);
	if (!tr_gcm_seal(dir, nonce, out, TR_HEADER_LEN, data, len, &type, 1,
			 out + TR_HEADER_LEN))
		return -1;
	return (ssize_t)(TR_HEADER_LEN + body);
}

ssize_t tr_seal(int version, struct tr_dir *dir, uint8_t type, const uint8_t *data, size_t len,
		uint8_t *out)
{
	ssize_t n;

	if (len > TR_PLAIN_MAX)
		return -1;
	n = version == TLS1_3_VERSION ? seal13(dir, type, data, len, out)
				      : seal12(dir, type, data, len, out);
	if (n > 0)
		advance(version, dir);
	return n;
}

static ssize_t open12(const struct tr_dir *dir, const uint8_t *record, size_t body, uint8_t *type,
		      uint8_t *out)
{
	uint8_t nonce[TR_IV_LEN];
	uint8_t aad[AAD12_LEN];
	size_t len;

	if (body < TR_EXPLICIT_LEN + TR_TAG_LEN)
		return -1;
	len = body - TR_EXPLICIT_LEN - TR_TAG_LEN;
	if (len > TR_PLAIN_MAX)
		return -1;
	memcpy(nonce, dir->iv, TR_SALT_LEN);
	memcpy(nonce + TR_SALT_LEN, record + TR_HEADER_LEN, TR_EXPLICIT_LEN);
	aad12(dir, record[0], len, aad);
	if (!tr_gcm_open(dir, nonce, aad, AAD12_LEN, record + TR_HEADER_LEN + TR_EXPLICIT_LEN,
			 len, out))
		return -1;
	*type = record[0];
	return (ssize_t)len;
}

static ssize_t open13(const struct tr_dir *dir, const uint8_t *record, size_t body, uint8_t *type,
		      uint8_t *out)
{
	uint8_t nonce[TR_IV_LEN];
	size_t len;

	if (body < 1 + TR_TAG_LEN || record[0] != TR_DATA)
		return -1;
	len = body - TR_TAG_LEN;
	if (len > TR_PLAIN_MAX + 1)
		return -1;
	nonce13(dir, nonce);
	if (!tr_gcm_open(dir, nonce, record, TR_HEADER_LEN, record + TR_HEADER_LEN, len, out))
		return -1;
	while (len && !out[len - 1])
		len--;
	if (!len)
		return -1;
	*type = out[--len];
	return (ssize_t)len;
}

ssize_t tr_open(int version, struct tr_dir *dir, const uint8_t *record, size_t len,
		uint8_t *type, uint8_t *out)
{
	size_t body;
	ssize_t n;

	if (len < TR_HEADER_LEN)
		return -1;
	body = (size_t)record[3] << 8 | record[4];
	if (body != len - TR_HEADER_LEN)
		return -1;
	n = version == TLS1_3_VERSION ? open13(dir, record, body, type, out)
				      : open12(dir, record, body, type, out);
	if (n >= 0)
		advance(version, dir);
	return n;
}
