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
	if (version == TLS1_3_VERSION || !dir->cipher->explicit_len)
		return;
	for (int i = TR_IV_LEN - 1; i >= TR_SALT_LEN && ++dir->iv[i] == 0; i--)
		;
}

/*
 * A context with key, nonce and additional data in it. AES-CCM must be told the lengths first:
 * of the tag (with the tag itself when opening) and, before the additional data, of the text.
 */
static EVP_CIPHER_CTX *aead_begin(const struct tr_dir *dir, bool seal, const uint8_t *nonce,
				  const uint8_t *aad, int aad_len, size_t len, void *tag)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, dir->cipher->name, NULL);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	bool ccm = cipher && EVP_CIPHER_get_mode(cipher) == EVP_CIPH_CCM_MODE;
	int n;
	bool ok;

	ok = c && cipher && EVP_CipherInit_ex2(c, cipher, NULL, NULL, seal, NULL) &&
	     EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_IVLEN, TR_IV_LEN, NULL) &&
	     ((seal && !ccm) || EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TR_TAG_LEN, tag)) &&
	     EVP_CipherInit_ex2(c, NULL, dir->key, nonce, seal, NULL) &&
	     (!ccm || EVP_CipherUpdate(c, NULL, &n, NULL, (int)len)) &&
	     (!aad_len || EVP_CipherUpdate(c, NULL, &n, aad, aad_len));
	EVP_CIPHER_free(cipher);
	if (ok)
		return c;
	EVP_CIPHER_CTX_free(c);
	return NULL;
}

bool tr_aead_seal(const struct tr_dir *dir, const uint8_t *nonce, const uint8_t *aad, int aad_len,
		  const uint8_t *in, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *c = aead_begin(dir, true, nonce, aad, aad_len, len, NULL);
	int n;
	bool ok;

	ok = c && EVP_CipherUpdate(c, out, &n, in, (int)len) &&
	     EVP_CipherFinal_ex(c, out + len, &n) &&
	     EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TR_TAG_LEN, out + len);
	EVP_CIPHER_CTX_free(c);
	return ok;
}

bool tr_aead_open(const struct tr_dir *dir, const uint8_t *nonce, const uint8_t *aad, int aad_len,
		  const uint8_t *in, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *c = aead_begin(dir, false, nonce, aad, aad_len, len, (void *)(in + len));
	int n;
	bool ok;

	ok = c && EVP_CipherUpdate(c, out, &n, in, (int)len) > 0 &&
	     EVP_CipherFinal_ex(c, out + len, &n) > 0;
	EVP_CIPHER_CTX_free(c);
	return ok;
}

static void put_header(uint8_t *out, uint8_t type, size_t len)
{
	out[0] = type;
	put16(out + 1, TLS1_2_VERSION);
	put16(out + 3, len);
}

/* Of a record of TLS 1.2 whose explicit part stands in front of its ciphertext. */
static void nonce12(const struct tr_dir *dir, const uint8_t *explicit, uint8_t nonce[TR_IV_LEN])
{
	size_t explicit_len = dir->cipher->explicit_len;

	if (!explicit_len) {
		nonce13(dir, nonce);
		return;
	}
	memcpy(nonce, dir->iv, TR_IV_LEN);
	memcpy(nonce + TR_IV_LEN - explicit_len, explicit, explicit_len);
}

static ssize_t seal12(const struct tr_dir *dir, uint8_t type, const uint8_t *data, size_t len,
		      uint8_t *out)
{
	size_t explicit_len = dir->cipher->explicit_len;
	size_t body = explicit_len + len + TR_TAG_LEN;
	uint8_t nonce[TR_IV_LEN];
	uint8_t aad[AAD12_LEN];

	aad12(dir, type, len, aad);
	put_header(out, type, body);
	memcpy(out + TR_HEADER_LEN, dir->iv + TR_IV_LEN - explicit_len, explicit_len);
	nonce12(dir, out + TR_HEADER_LEN, nonce);
	if (!tr_aead_seal(dir, nonce, aad, AAD12_LEN, data, len,
			  out + TR_HEADER_LEN + explicit_len))
		return -1;
	return (ssize_t)(TR_HEADER_LEN + body);
}

static ssize_t seal13(const struct tr_dir *dir, uint8_t type, const uint8_t *data, size_t len,
		      uint8_t *out)
{
	uint8_t nonce[TR_IV_LEN];
	size_t body = len + 1 + TR_TAG_LEN;
	uint8_t *text = out + TR_HEADER_LEN;

	nonce13(dir, nonce);
	put_header(out, TR_DATA, body);
	memcpy(text, data, len);
	text[len] = type;
	if (!tr_aead_seal(dir, nonce, out, TR_HEADER_LEN, text, len + 1, text))
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
	size_t explicit_len = dir->cipher->explicit_len;
	uint8_t nonce[TR_IV_LEN];
	uint8_t aad[AAD12_LEN];
	size_t len;

	if (body < explicit_len + TR_TAG_LEN)
		return -1;
	len = body - explicit_len - TR_TAG_LEN;
	if (len > TR_PLAIN_MAX)
		return -1;
	nonce12(dir, record + TR_HEADER_LEN, nonce);
	aad12(dir, record[0], len, aad);
	if (!tr_aead_open(dir, nonce, aad, AAD12_LEN, record + TR_HEADER_LEN + explicit_len, len,
			  out))
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
	if (!tr_aead_open(dir, nonce, record, TR_HEADER_LEN, record + TR_HEADER_LEN, len, out))
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
