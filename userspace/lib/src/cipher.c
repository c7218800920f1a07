// SPDX-License-Identifier: MIT
#include "cipher.h"

#include <stdbool.h>
#include <string.h>

#include "kernel.h"

const struct tr_cipher tr_ciphers[TR_CIPHERS] = {
	{ "AES-128-GCM", NID_aes_128_gcm, TLS_CIPHER_AES_GCM_128, 16, TR_EXPLICIT_LEN },
	{ "AES-256-GCM", NID_aes_256_gcm, TLS_CIPHER_AES_GCM_256, 32, TR_EXPLICIT_LEN },
	{ "AES-128-CCM", NID_aes_128_ccm, TLS_CIPHER_AES_CCM_128, 16, TR_EXPLICIT_LEN },
	{ "CHACHA20-POLY1305", NID_chacha20_poly1305, TLS_CIPHER_CHACHA20_POLY1305, 32, 0 },
	{ "ARIA-128-GCM", NID_aria_128_gcm, TLS_CIPHER_ARIA_GCM_128, 16, TR_EXPLICIT_LEN },
	{ "ARIA-256-GCM", NID_aria_256_gcm, TLS_CIPHER_ARIA_GCM_256, 32, TR_EXPLICIT_LEN },
};

/* OpenSSL has one number for AES-CCM with tags of 16 and of 8 bytes. */
static bool short_tag(const SSL_CIPHER *suite)
{
	return strstr(SSL_CIPHER_standard_name(suite), "_CCM_8");
}

const struct tr_cipher *tr_cipher_of(const SSL_CIPHER *suite)
{
	int nid = SSL_CIPHER_get_cipher_nid(suite);

	for (int i = 0; i < TR_CIPHERS; i++)
		if (tr_ciphers[i].nid == nid)
			return short_tag(suite) ? NULL : &tr_ciphers[i];
	return NULL;
}
