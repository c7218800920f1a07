// SPDX-License-Identifier: GPL-2.0-only
/* Cipher table, keys, and the one place that calls the crypto API. */

#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/string.h>

#include "cipher.h"
#include "compat.h"

/* RFC 3610 2.3: the bytes that count blocks, less one; the nonce has 12. */
enum { CCM_FLAGS = 15 - TLSREC_NONCE_SIZE - 1 };

#define CIPHER(name, ...) {					\
	.type		= TLS_CIPHER_##name,			\
	.key_size	= TLS_CIPHER_##name##_KEY_SIZE,		\
	.salt_size	= TLS_CIPHER_##name##_SALT_SIZE,	\
	.iv_size	= TLS_CIPHER_##name##_IV_SIZE,		\
	__VA_ARGS__						\
}

/* RFC 5288, 6655, 7905, 8998 and 6209; the last is of TLS 1.2 alone. */
static const struct tlsrec_cipher ciphers[] = {
	CIPHER(AES_GCM_128, .alg = "gcm(aes)", .explicit_nonce = 8,
	       .in_place = true),
	CIPHER(AES_GCM_256, .alg = "gcm(aes)", .explicit_nonce = 8,
	       .in_place = true),
	CIPHER(AES_CCM_128, .alg = "ccm(aes)", .explicit_nonce = 8,
	       .ccm_flags = CCM_FLAGS),
	CIPHER(CHACHA20_POLY1305, .alg = "rfc7539(chacha20,poly1305)"),
	CIPHER(SM4_GCM, .alg = "gcm(sm4)", .explicit_nonce = 8),
	CIPHER(SM4_CCM, .alg = "ccm(sm4)", .explicit_nonce = 8,
	       .ccm_flags = CCM_FLAGS),
	CIPHER(ARIA_GCM_128, .alg = "gcm(aria)", .explicit_nonce = 8,
	       .only_tls12 = true),
	CIPHER(ARIA_GCM_256, .alg = "gcm(aria)", .explicit_nonce = 8,
	       .only_tls12 = true),
};

/*
 * Every struct tls12_crypto_info_* is a struct tls_crypto_info and then, all
 * bytes, iv, key, salt and an 8-byte sequence number.
 */
enum { IV_OFF = sizeof(struct tls_crypto_info) };

static size_t key_off(const struct tlsrec_cipher *c)
{
	return IV_OFF + c->iv_size;
}

static size_t salt_off(const struct tlsrec_cipher *c)
{
	return key_off(c) + c->key_size;
}

static size_t seq_off(const struct tlsrec_cipher *c)
{
	return salt_off(c) + c->salt_size;
}

static_assert(offsetof(struct tls12_crypto_info_aes_gcm_256, key) ==
	      sizeof(struct tls_crypto_info) + TLS_CIPHER_AES_GCM_256_IV_SIZE);
static_assert(offsetof(struct tls12_crypto_info_aes_gcm_256, rec_seq) ==
	      TLSREC_MAX_INFO - sizeof(u64));

/**
 * tlsrec_cipher_info_size() - size of a cipher's struct tls12_crypto_info_*
 * @c: row of the cipher
 */
size_t tlsrec_cipher_info_size(const struct tlsrec_cipher *c)
{
	return seq_off(c) + sizeof(u64);
}

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

/* A transform with a key, or an ERR_PTR(). */
static struct crypto_aead *make_aead(const struct tlsrec_cipher *c,
				     const u8 *key)
{
	struct crypto_aead *aead;
	int err;

	/*
	 * Ask for asynchronous drivers too: the AES-NI one is marked so, and
	 * the best of the synchronous ones is table-driven.
	 */
	aead = crypto_alloc_aead(c->alg, 0, 0);
	if (IS_ERR(aead))
		return aead;

	err = -EOPNOTSUPP;
	if (crypto_aead_reqsize(aead) > TLSREC_MAX_REQSIZE)
		goto err_aead;
	err = crypto_aead_setkey(aead, key, c->key_size);
	if (err)
		goto err_aead;
	err = crypto_aead_setauthsize(aead, TLSREC_TAG_SIZE);
	if (err)
		goto err_aead;
	return aead;

err_aead:
	crypto_free_aead(aead);
	return ERR_PTR(err);
}

/*
 * Use @aead. One that is made of several, as its name shows, may have a part that
 * works on more than a block at a time, and needs memory where those are not in one
 * piece.
 */
static void key_use(struct tlsrec_key *key, const struct tlsrec_cipher *c,
		    struct crypto_aead *aead)
{
	struct crypto_tfm *tfm = crypto_aead_tfm(aead);

	key->aead = aead;
	key->in_place = c->in_place &&
			!strchr(crypto_tfm_alg_driver_name(tfm), '(');
}

/**
 * tlsrec_key_set() - set up a direction from what setsockopt() brought
 * @key: zeroed, or in use with the same cipher and version
 * @info: struct tls12_crypto_info_* of a known cipher and version
 *
 * Return: 0, or -ENOENT (no such algorithm in this kernel), -EOPNOTSUPP (a
 * driver that needs more memory than tlsrec gives), -ENOMEM, or what the
 * driver says. @key is unchanged then. Nothing that put_info() reads without the
 * lock changes when @key was in use.
 */
int tlsrec_key_set(struct tlsrec_key *key, const void *info)
{
	const struct tls_crypto_info *ci = info;
	const struct tlsrec_cipher *c = tlsrec_cipher_find(ci->cipher_type);
	struct crypto_aead *aead, *old = key->aead;

	aead = make_aead(c, info + key_off(c));
	if (IS_ERR(aead))
		return PTR_ERR(aead);

	tlsrec_format_init(&key->fmt, ci->version == TLS_1_3_VERSION,
			   c->explicit_nonce);
	memcpy(key->iv, info + salt_off(c), c->salt_size);
	memcpy(key->iv + c->salt_size, info + IV_OFF, c->iv_size);
	memcpy(key->key, info + key_off(c), c->key_size);
	key->seq = get_unaligned_be64(info + seq_off(c));
	key->exhausted = false;
	key->used = true;
	key->version = ci->version;
	key_use(key, c, aead);
	/* Pairs with the acquire in key_cipher(), which has no lock. */
	smp_store_release(&key->cipher, c);
	if (old)
		crypto_free_aead(old);
	return 0;
}

/**
 * tlsrec_key_get() - the reverse of tlsrec_key_set(), as of now
 * @key: set
 * @info: result, tlsrec_cipher_info_size() bytes
 */
void tlsrec_key_get(const struct tlsrec_key *key, void *info)
{
	const struct tlsrec_cipher *c = key->cipher;
	struct tls_crypto_info *ci = info;

	ci->version = key->version;
	ci->cipher_type = c->type;
	memcpy(info + salt_off(c), key->iv, c->salt_size);
	memcpy(info + IV_OFF, key->iv + c->salt_size, c->iv_size);
	memcpy(info + key_off(c), key->key, c->key_size);
	put_unaligned_be64(key->seq, info + seq_off(c));
}

void tlsrec_key_wipe(struct tlsrec_key *key)
{
	if (key->aead)
		crypto_free_aead(key->aead);
	memzero_explicit(key, sizeof(*key));
}

/**
 * tlsrec_key_idle() - park a key that has not been used since the last call
 * @key: of a direction
 *
 * Return: a transform for the caller to free where he may sleep, or %NULL when
 * it was used, is parked, or not set.
 */
struct crypto_aead *tlsrec_key_idle(struct tlsrec_key *key)
{
	struct crypto_aead *aead = key->aead;

	if (key->used) {
		key->used = false;
		return NULL;
	}
	key->aead = NULL;
	return aead;
}

/* See tlsrec_key_wake(): it is parked. */
int tlsrec_key_unpark(struct tlsrec_key *key)
{
	/* Its allocations must not wait for I/O that may wait for us. */
	unsigned int noio = memalloc_noio_save();
	struct crypto_aead *aead = make_aead(key->cipher, key->key);

	memalloc_noio_restore(noio);
	/* It has worked before: whatever it is, it may work again. */
	if (IS_ERR(aead))
		return -ENOMEM;
	key_use(key, key->cipher, aead);
	return 0;
}

/**
 * tlsrec_crypt_init() - what is the same for all operations
 * @crypt: new
 */
void tlsrec_crypt_init(struct tlsrec_crypt *crypt)
{
	crypto_init_wait(&crypt->wait);
	aead_request_set_callback(&crypt->req, CRYPTO_TFM_REQ_MAY_BACKLOG |
				  CRYPTO_TFM_REQ_MAY_SLEEP,
				  crypto_req_done, &crypt->wait);
}

/**
 * tlsrec_crypt() - encrypt or decrypt one record and wait for the result
 * @key: cipher state, after tlsrec_key_wake()
 * @crypt: from tlsrec_crypt_init(); the nonce is filled in
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
	u8 ccm_flags = key->cipher->ccm_flags;
	struct aead_request *req = &crypt->req;
	u8 *iv = tlsrec_crypt_nonce(crypt);
	int err;

	if (ccm_flags)
		*--iv = ccm_flags;

	key->used = true;
	aead_request_set_tfm(req, key->aead);
	aead_request_set_ad(req, key->fmt.aad);
	aead_request_set_crypt(req, src, dst, len, iv);

	err = encrypt ? crypto_aead_encrypt(req) : crypto_aead_decrypt(req);

	/*
	 * A driver that answers later (cryptd when the FPU is in use, an
	 * accelerator) is waited for here: nothing outlives the call.
	 */
	return crypto_wait_req(err, &crypt->wait);
}
