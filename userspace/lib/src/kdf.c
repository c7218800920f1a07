// SPDX-License-Identifier: MIT
#include "kdf.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

enum {
	SEED_MAX = 16 + 2 * TR_RANDOM_LEN + EVP_MAX_MD_SIZE,	/* longest label and seed */
	LABEL_MAX = 255,
};

static const char label_prefix[] = "tls13 ";

static int derive(const char *name, const OSSL_PARAM *params, uint8_t *out, size_t out_len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, name, NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	int ok = ctx && EVP_KDF_derive(ctx, out, out_len, params) == 1;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok ? 0 : -1;
}

static OSSL_PARAM octets(const char *key, const uint8_t *data, size_t len)
{
	return OSSL_PARAM_construct_octet_string(key, (void *)data, len);
}

static OSSL_PARAM digest(const EVP_MD *md)
{
	return OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
						(char *)EVP_MD_get0_name(md), 0);
}

int tr_prf12(const EVP_MD *md, const uint8_t *secret, size_t secret_len, const char *label,
	     const uint8_t *seed, size_t seed_len, uint8_t *out, size_t out_len)
{
	uint8_t full[SEED_MAX];
	size_t label_len = strlen(label);

	if (label_len > sizeof(full) || seed_len > sizeof(full) - label_len)
		return -1;
	memcpy(full, label, label_len);
	memcpy(full + label_len, seed, seed_len);

	const OSSL_PARAM params[] = {
		digest(md),
		octets(OSSL_KDF_PARAM_SECRET, secret, secret_len),
		octets(OSSL_KDF_PARAM_SEED, full, label_len + seed_len),
		OSSL_PARAM_construct_end(),
	};

	return derive("TLS1-PRF", params, out, out_len);
}

static const uint8_t *take(const uint8_t *from, uint8_t *to, size_t len)
{
	memcpy(to, from, len);
	return from + len;
}

int tr_keys12(const EVP_MD *md, const uint8_t *master, size_t master_len,
	      const uint8_t client_random[TR_RANDOM_LEN],
	      const uint8_t server_random[TR_RANDOM_LEN], const struct tr_cipher *cipher,
	      struct tr_dir *client, struct tr_dir *server)
{
	uint8_t seed[2 * TR_RANDOM_LEN];
	uint8_t block[2 * (TR_KEY_MAX + TR_IV_LEN)];
	size_t key_len = cipher->key_len;
	size_t iv_len = TR_IV_LEN - cipher->explicit_len;
	const uint8_t *next = block;
	int ret = -1;

	/* The key expansion, unlike the master secret, has the server's random first. */
	memcpy(seed, server_random, TR_RANDOM_LEN);
	memcpy(seed + TR_RANDOM_LEN, client_random, TR_RANDOM_LEN);
	if (tr_prf12(md, master, master_len, "key expansion", seed, sizeof(seed), block,
		     2 * (key_len + iv_len)))
		goto out;

	client->cipher = cipher;
	server->cipher = cipher;
	next = take(next, client->key, key_len);
	next = take(next, server->key, key_len);
	next = take(next, client->iv, iv_len);
	take(next, server->iv, iv_len);
	ret = 0;
out:
	OPENSSL_cleanse(block, sizeof(block));
	return ret;
}

int tr_expand_label(const EVP_MD *md, const uint8_t *secret, size_t secret_len,
		    const char *label, const uint8_t *context, size_t context_len,
		    uint8_t *out, size_t out_len)
{
	/* struct HkdfLabel { uint16 length; opaque label<7..255>; opaque context<0..255>; } */
	uint8_t info[2 + 1 + LABEL_MAX + 1 + 255];
	const size_t prefix_len = sizeof(label_prefix) - 1;
	size_t label_len = prefix_len + strlen(label);
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	uint8_t *p = info;

	if (label_len > LABEL_MAX || context_len > 255 || out_len > UINT16_MAX)
		return -1;
	*p++ = (uint8_t)(out_len >> 8);
	*p++ = (uint8_t)out_len;
	*p++ = (uint8_t)label_len;
	memcpy(p, label_prefix, prefix_len);
	memcpy(p + prefix_len, label, label_len - prefix_len);
	p += label_len;
	*p++ = (uint8_t)context_len;
	if (context_len)
		memcpy(p, context, context_len);
	p += context_len;

	const OSSL_PARAM params[] = {
		digest(md),
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		octets(OSSL_KDF_PARAM_KEY, secret, secret_len),
		octets(OSSL_KDF_PARAM_INFO, info, (size_t)(p - info)),
		OSSL_PARAM_construct_end(),
	};

	return derive("HKDF", params, out, out_len);
}

int tr_keys13(const EVP_MD *md, const uint8_t *secret, const struct tr_cipher *cipher,
	      struct tr_dir *dir)
{
	size_t secret_len = (size_t)EVP_MD_get_size(md);

	dir->cipher = cipher;
	if (tr_expand_label(md, secret, secret_len, "key", NULL, 0, dir->key, cipher->key_len))
		return -1;
	return tr_expand_label(md, secret, secret_len, "iv", NULL, 0, dir->iv, TR_IV_LEN);
}

int tr_next_secret(const EVP_MD *md, uint8_t *secret)
{
	uint8_t next[EVP_MAX_MD_SIZE];
	size_t len = (size_t)EVP_MD_get_size(md);
	int ret = tr_expand_label(md, secret, len, "traffic upd", NULL, 0, next, len);

	if (!ret)
		memcpy(secret, next, len);
	OPENSSL_cleanse(next, sizeof(next));
	return ret;
}
