// SPDX-License-Identifier: GPL-2.0-only
/* Cipher table, keys, and the one place that calls the crypto API. */

#include <linux/module.h>
#include <linux/string.h>

#include "cipher.h"
#include "compat.h"

#define CIPHER_ROW(_type, _alg, _info, _explicit)			\
	{								\
		.type		= _type,				\
		.alg		= _alg,					\
		.info_size	= sizeof(struct _info),			\
		.key_size	= sizeof_field(struct _info, key),	\
		.salt_size	= sizeof_field(struct _info, salt),	\
		.iv_size	= sizeof_field(struct _info, iv),	\
		.explicit_nonce	= _explicit,				\
		.iv_off		= offsetof(struct _info, iv),		\
		.key_off	= offsetof(struct _info, key),		\
		.salt_off	= offsetof(struct _info, salt),		\
		.seq_off	= offsetof(struct _info, rec_seq),	\
	}

#define CHECK_ROW(_info)						\
	static_assert(sizeof(struct _info) <= TLSREC_MAX_INFO);		\
	static_assert(sizeof_field(struct _info, key) <= TLSREC_MAX_KEY); \
	static_assert(sizeof_field(struct _info, salt) +		\
		      sizeof_field(struct _info, iv) == TLSREC_NONCE_SIZE); \
	static_assert(sizeof_field(struct _info, rec_seq) == sizeof(u64))

CHECK_ROW(tls12_crypto_info_aes_gcm_128);
CHECK_ROW(tls12_crypto_info_aes_gcm_256);

static const struct tlsrec_cipher ciphers[] = {
	CIPHER_ROW(TLS_CIPHER_AES_GCM_128, "gcm(aes)",
		   tls12_crypto_info_aes_gcm_128, 8),
	CIPHER_ROW(TLS_CIPHER_AES_GCM_256, "gcm(aes)",
		   tls12_crypto_info_aes_gcm_256, 8),
};

/**
 * tlsrec_cipher_find() - row of a cipher
 * @type: TLS_CIPHER_* of <linux/tls.h>
 *
 * Return: the row, or %NULL when tlsrec has no such cipher.
 */
const struct tlsrec_cipher *tlsrec_cipher_find(u16 type)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ciphers); i++)
		if (ciphers[i].type == type)
			return &ciphers[i];

	return NULL;
}

/* Table-driven AES and GHASH: correct, and ten times slower than AES-NI. */
static bool is_generic(const char *driver)
{
	return strstr(driver, "aes-generic") || strstr(driver, "aes-lib") ||
	       strstr(driver, "aes-fixed-time") ||
	       strstr(driver, "ghash-generic");
}

/**
 * tlsrec_cipher_probe() - which driver the first cipher will use
 * @generic: result, it is one without CPU support for the cipher
 *
 * Return: the driver's name, to be freed with kfree(), or an ERR_PTR().
 */
const char *tlsrec_cipher_probe(bool *generic)
{
	struct crypto_aead *aead = crypto_alloc_aead(ciphers[0].alg, 0, 0);
	const char *driver;

	if (IS_ERR(aead))
		return ERR_CAST(aead);

	driver = kstrdup(crypto_tfm_alg_driver_name(crypto_aead_tfm(aead)),
			 GFP_KERNEL);
	crypto_free_aead(aead);
	if (!driver)
		return ERR_PTR(-ENOMEM);

	*generic = is_generic(driver);
	return driver;
}

/**
 * tlsrec_key_set() - set up a direction from what setsockopt() brought
 * @key: zeroed
 * @info: struct tls12_crypto_info_* of a known cipher and version
 *
 * Return: 0, or -ENOENT (no such algorithm in this kernel), -EOPNOTSUPP (a
 * driver that needs more memory than tlsrec gives), -ENOMEM, or what the
 * driver says. @key is unchanged then.
 */
int tlsrec_key_set(struct tlsrec_key *key, const void *info)
{
	const struct tls_crypto_info *ci = info;
	const struct tlsrec_cipher *c = tlsrec_cipher_find(ci->cipher_type);
	struct crypto_aead *aead;
	int err;

	/*
	 * Ask for asynchronous drivers too: the AES-NI one is marked so, and
	 * the best of the synchronous ones is table-driven.
	 */
	aead = crypto_alloc_aead(c->alg, 0, 0);
	if (IS_ERR(aead))
		return PTR_ERR(aead);

	err = -EOPNOTSUPP;
	if (crypto_aead_reqsize(aead) > TLSREC_MAX_REQSIZE)
		goto err_aead;
	err = crypto_aead_setkey(aead, info + c->key_off, c->key_size);
	if (err)
		goto err_aead;
	err = crypto_aead_setauthsize(aead, TLSREC_TAG_SIZE);
	if (err)
		goto err_aead;

	tlsrec_format_init(&key->fmt, ci->version == TLS_1_3_VERSION,
			   c->explicit_nonce);
	memcpy(key->iv, info + c->salt_off, c->salt_size);
	memcpy(key->iv + c->salt_size, info + c->iv_off, c->iv_size);
	memcpy(key->key, info + c->key_off, c->key_size);
	key->seq = get_unaligned_be64(info + c->seq_off);
	key->version = ci->version;
	key->aead = aead;
	/* Pairs with the acquire in put_info(), which has no lock. */
	smp_store_release(&key->cipher, c);
	return 0;

err_aead:
	crypto_free_aead(aead);
	return err;
}

/**
 * tlsrec_key_get() - the reverse of tlsrec_key_set(), as of now
 * @key: set
 * @info: result, @key->cipher->info_size bytes
 */
void tlsrec_key_get(const struct tlsrec_key *key, void *info)
{
	const struct tlsrec_cipher *c = key->cipher;
	struct tls_crypto_info *ci = info;

	ci->version = key->version;
	ci->cipher_type = c->type;
	memcpy(info + c->salt_off, key->iv, c->salt_size);
	memcpy(info + c->iv_off, key->iv + c->salt_size, c->iv_size);
	memcpy(info + c->key_off, key->key, c->key_size);
	put_unaligned_be64(key->seq, info + c->seq_off);
}

void tlsrec_key_wipe(struct tlsrec_key *key)
{
	if (key->aead)
		crypto_free_aead(key->aead);
	memzero_explicit(key, sizeof(*key));
}

/* Go on to the next record: sequence number and explicit nonce. */
void tlsrec_key_advance(struct tlsrec_key *key)
{
	u8 *explicit = key->iv + key->cipher->salt_size;

	if (!++key->seq)
		key->exhausted = true;
	if (key->fmt.explicit_nonce)
		put_unaligned_be64(get_unaligned_be64(explicit) + 1, explicit);
}

/**
 * tlsrec_crypt() - encrypt or decrypt one record and wait for the result
 * @key: cipher state
 * @crypt: nonce and additional data are filled in
 * @encrypt: direction
 * @src: additional data, then the input (with the tag when decrypting)
 * @dst: additional data, then the output; may be @src
 * @len: bytes of input
 *
 * Return: 0, -EBADMSG when authentication failed, or another negative errno.
 */
int tlsrec_crypt(struct tlsrec_key *key, struct tlsrec_crypt *crypt,
		 bool encrypt, struct scatterlist *src,
		 struct scatterlist *dst, unsigned int len)
{
	struct aead_request *req = &crypt->req;
	int err;

	crypto_init_wait(&crypt->wait);
	aead_request_set_tfm(req, key->aead);
	aead_request_set_callback(req, CRYPTO_TFM_REQ_MAY_BACKLOG |
				  CRYPTO_TFM_REQ_MAY_SLEEP,
				  crypto_req_done, &crypt->wait);
	aead_request_set_ad(req, key->fmt.aad);
	aead_request_set_crypt(req, src, dst, len, crypt->nonce);

	err = encrypt ? crypto_aead_encrypt(req) : crypto_aead_decrypt(req);

	/*
	 * A driver that answers later (cryptd when the FPU is in use, an
	 * accelerator) is waited for here: nothing outlives the call.
	 */
	return crypto_wait_req(err, &crypt->wait);
}
