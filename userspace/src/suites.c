// SPDX-License-Identifier: MIT
#include "suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_MAX = 4096 };

/* Names separated by ':', in a buffer of LIST_MAX. False when it is full. */
static bool append(char *list, const char *name)
{
	size_t used = strlen(list);
	int n = snprintf(list + used, LIST_MAX - used, "%s%s", used ? ":" : "", name);

	return n >= 0 && (size_t)n < LIST_MAX - used;
}

static bool kernel_can(const SSL_CIPHER *cipher)
{
	int auth = SSL_CIPHER_get_auth_nid(cipher);
	int kx = SSL_CIPHER_get_kx_nid(cipher);
	int bulk = SSL_CIPHER_get_cipher_nid(cipher);

	return (bulk == NID_aes_128_gcm || bulk == NID_aes_256_gcm) &&
	       (auth == NID_auth_rsa || auth == NID_auth_ecdsa || auth == NID_auth_any) &&
	       (kx == NID_kx_ecdhe || kx == NID_kx_dhe || kx == NID_kx_rsa || kx == NID_kx_any);
}

/* RFC names of TLS 1.3 suites, unlike those of TLS 1.2, name no key exchange. */
static bool is_name13(const char *name)
{
	return !strncmp(name, "TLS_", 4) && !strstr(name, "_WITH_");
}

static bool kernel_can13(const char *name)
{
	return !strcmp(name, "TLS_AES_128_GCM_SHA256") || !strcmp(name, "TLS_AES_256_GCM_SHA384");
}

/* Splits a list into what OpenSSL wants for TLS 1.2 and 1.3; both of LIST_MAX. */
static bool split(const char *list, char *list12, char *list13)
{
	char *copy = strdup(list);
	char *save = NULL;
	bool ok = copy;

	for (char *name = ok ? strtok_r(copy, ": ,", &save) : NULL; ok && name;
	     name = strtok_r(NULL, ": ,", &save)) {
		if (!is_name13(name)) {
			const char *known = strstr(name, "_WITH_") ? OPENSSL_cipher_name(name)
								   : name;

			ok = append(list12, known && strcmp(known, "(NONE)") ? known : name);
		} else if (kernel_can13(name)) {
			ok = append(list13, name);
		}
	}
	free(copy);
	return ok;
}

/* Lets OpenSSL read a TLS 1.2 cipher string, then keeps what the kernel can carry. */
static bool filter12(const char *list, char *kept)
{
	SSL_CTX *scratch = SSL_CTX_new(TLS_method());
	STACK_OF(SSL_CIPHER) *ciphers = NULL;

	if (scratch && SSL_CTX_set_cipher_list(scratch, list))
		ciphers = SSL_CTX_get_ciphers(scratch);
	for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
		const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);
		const char *name = SSL_CIPHER_get_name(cipher);

		if (!is_name13(name) && kernel_can(cipher) && !append(kept, name))
			break;
	}
	SSL_CTX_free(scratch);
	return *kept;
}

/* The range of versions asked for, less the versions without a suite. */
static int apply_versions(struct tlsrec_ctx *ctx)
{
	int min = ctx->min_version;
	int max = ctx->max_version;

	if (!ctx->suites12)
		min = TLSREC_TLS_1_3;
	if (!ctx->suites13)
		max = TLSREC_TLS_1_2;
	if (min > max)
		return tr_fail(&ctx->err, TLSREC_ERROR_LOCAL,
			       "no cipher suite is left for the versions asked for: allow another "
			       "version, or name a suite of that version");
	if (!SSL_CTX_set_min_proto_version(ctx->ssl, min) ||
	    !SSL_CTX_set_max_proto_version(ctx->ssl, max))
		return tr_fail_openssl(&ctx->err, TLSREC_ERROR_LOCAL,
				       "cannot restrict the protocol versions");
	return 0;
}

static int set_suites(struct tlsrec_ctx *ctx, const char *list)
{
	char list12[LIST_MAX] = "";
	char list13[LIST_MAX] = "";
	char kept[LIST_MAX] = "";

	if (!split(list, list12, list13))
		return tr_fail(&ctx->err, TLSREC_ERROR_LOCAL,
			       "the list of cipher suites is too long");
	ctx->suites12 = *list12 && filter12(list12, kept);
	ctx->suites13 = *list13;
	if (!ctx->suites12 && !ctx->suites13)
		return tr_fail(&ctx->err, TLSREC_ERROR_LOCAL,
			       "no cipher suite in \"%s\" can be used: the kernel carries AES-GCM "
			       "with ECDHE, DHE or RSA key exchange", list);
	if ((ctx->suites12 && !SSL_CTX_set_cipher_list(ctx->ssl, kept)) ||
	    (ctx->suites13 && !SSL_CTX_set_ciphersuites(ctx->ssl, list13)))
		return tr_fail_openssl(&ctx->err, TLSREC_ERROR_LOCAL,
				       "cannot use the cipher suites \"%s\"", list);
	return apply_versions(ctx);
}

int tr_suites_default(struct tlsrec_ctx *ctx)
{
	return set_suites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
			       "ECDHE+AESGCM:DHE+AESGCM:RSA+AESGCM");
}

int tlsrec_ctx_set_ciphers(struct tlsrec_ctx *ctx, const char *list)
{
	tr_error_clear(&ctx->err);
	return set_suites(ctx, list);
}

int tlsrec_ctx_set_versions(struct tlsrec_ctx *ctx, int min, int max)
{
	tr_error_clear(&ctx->err);
	if (min < TLSREC_TLS_1_2 || max > TLSREC_TLS_1_3 || min > max)
		return tr_fail(&ctx->err, TLSREC_ERROR_LOCAL,
			       "versions 0x%04x to 0x%04x are not possible: the kernel carries TLS "
			       "1.2 (0x0303) and TLS 1.3 (0x0304)", (unsigned int)min,
			       (unsigned int)max);
	ctx->min_version = min;
	ctx->max_version = max;
	return apply_versions(ctx);
}
