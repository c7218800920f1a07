// SPDX-License-Identifier: MIT
#include "suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "install.h"

enum { LIST_MAX = 4096 };

/* A set of ciphers has a bit for each row of tr_ciphers. */
#define ALL_CIPHERS UINT32_MAX

/* Names separated by ':', in a buffer of LIST_MAX. False when it is full. */
static bool append(char *list, const char *name)
{
	size_t used = strlen(list);
	int n = snprintf(list + used, LIST_MAX - used, "%s%s", used ? ":" : "", name);

	return n >= 0 && (size_t)n < LIST_MAX - used;
}

static uint32_t bit(const struct tr_cipher *cipher)
{
	return (uint32_t)1 << (cipher - tr_ciphers);
}

/* What a suite needs of the kernel, as a bit; 0 when no kernel or not the library can do it. */
static uint32_t cipher_bit(const SSL_CIPHER *suite)
{
	const struct tr_cipher *cipher = tr_cipher_of(suite);
	int auth = SSL_CIPHER_get_auth_nid(suite);
	int kx = SSL_CIPHER_get_kx_nid(suite);

	if (cipher &&
	    (auth == NID_auth_rsa || auth == NID_auth_ecdsa || auth == NID_auth_any) &&
	    (kx == NID_kx_ecdhe || kx == NID_kx_dhe || kx == NID_kx_rsa || kx == NID_kx_any))
		return bit(cipher);
	return 0;
}

/* RFC names of TLS 1.3 suites, unlike those of TLS 1.2, name no key exchange. */
static bool is_name13(const char *name)
{
	return !strncmp(name, "TLS_", 4) && !strstr(name, "_WITH_");
}

static bool is_listed(const SSL_CTX *ctx, const char *name)
{
	STACK_OF(SSL_CIPHER) *suites = SSL_CTX_get_ciphers(ctx);

	for (int i = 0; i < sk_SSL_CIPHER_num(suites); i++)
		if (!strcmp(SSL_CIPHER_get_name(sk_SSL_CIPHER_value(suites, i)), name))
			return true;
	return false;
}

/*
 * Whether OpenSSL knows a suite, or what else may stand in a cipher string. In a whole list it
 * passes over what it does not know. What only takes away ("!MD5") need not be there. A security
 * level ("@SECLEVEL=1") is none of the list's business and would be lost.
 */
static bool is_known(SSL_CTX *scratch, const char *name)
{
	if (*name == '!' || *name == '-' || !strcmp(name, "@STRENGTH"))
		return true;
	if (strchr(name, '@'))
		return false;
	if (is_name13(name))
		return SSL_CTX_set_ciphersuites(scratch, name) && is_listed(scratch, name);
	return SSL_CTX_set_cipher_list(scratch, name + (*name == '+'));
}

/* OpenSSL's name for what may be the RFCs'. */
static const char *name12(const char *name)
{
	const char *known = strstr(name, "_WITH_") ? OPENSSL_cipher_name(name) : NULL;

	return known && strcmp(known, "(NONE)") ? known : name;
}

static const char separators[] = ": ,;";

static int check_names(const char *list, struct tr_error *err)
{
	SSL_CTX *scratch = SSL_CTX_new(TLS_method());
	char *copy = strdup(list);
	char *save = NULL;
	int ret = scratch && copy ? 0 : tr_fail(err, TLSREC_ERROR_LOCAL, "out of memory");

	for (char *name = ret ? NULL : strtok_r(copy, separators, &save); !ret && name;
	     name = strtok_r(NULL, separators, &save))
		if (!is_known(scratch, is_name13(name) ? name : name12(name)))
			ret = tr_fail(err, TLSREC_ERROR_LOCAL,
				      "\"%s\" in the list of cipher suites is none that OpenSSL "
				      "has: see \"openssl ciphers -v ALL\"", name);
	ERR_clear_error();
	SSL_CTX_free(scratch);
	free(copy);
	return ret;
}

/* Splits a list into what OpenSSL wants for TLS 1.2 and 1.3; both of LIST_MAX. */
static bool split(const char *list, char *list12, char *list13)
{
	char *copy = strdup(list);
	char *save = NULL;
	bool ok = copy;

	for (char *name = ok ? strtok_r(copy, separators, &save) : NULL; ok && name;
	     name = strtok_r(NULL, separators, &save)) {
		if (is_name13(name))
			ok = append(list13, name);
		else
			ok = append(list12, name12(name));
	}
	free(copy);
	return ok;
}

/*
 * Lets OpenSSL read the list of one version and appends to kept what is allowed: a set of cipher
 * bits. The ciphers of what it kept.
 */
static uint32_t filter(bool version13, const char *list, uint32_t allowed, char *kept)
{
	SSL_CTX *scratch = SSL_CTX_new(TLS_method());
	int (*read_list)(SSL_CTX *ctx, const char *list) =
		version13 ? SSL_CTX_set_ciphersuites : SSL_CTX_set_cipher_list;
	STACK_OF(SSL_CIPHER) *suites = NULL;
	uint32_t used = 0;

	if (scratch && *list && read_list(scratch, list))
		suites = SSL_CTX_get_ciphers(scratch);
	for (int i = 0; i < sk_SSL_CIPHER_num(suites); i++) {
		const SSL_CIPHER *suite = sk_SSL_CIPHER_value(suites, i);
		const char *name = SSL_CIPHER_get_name(suite);
		uint32_t needed = cipher_bit(suite) & allowed;

		if (is_name13(name) != version13 || !needed)
			continue;
		if (!append(kept, name))
			break;
		used |= needed;
	}
	SSL_CTX_free(scratch);
	/* That a list means nothing for this version is no failure. */
	ERR_clear_error();
	return used;
}

/* The range of versions asked for, less the versions without a suite. */
static int apply_versions(struct tlsrec_ctx *ctx, struct tr_error *err)
{
	int min = ctx->min_version;
	int max = ctx->max_version;

	if (!ctx->suites12)
		min = TLSREC_TLS_1_3;
	if (!ctx->suites13)
		max = TLSREC_TLS_1_2;
	if (min > max)
		return tr_fail(err, TLSREC_ERROR_LOCAL,
			       "no cipher suite is left for the versions asked for: allow another "
			       "version, or name a suite of that version");
	if (!SSL_CTX_set_min_proto_version(ctx->ssl, min) ||
	    !SSL_CTX_set_max_proto_version(ctx->ssl, max))
		return tr_fail_openssl(err, TLSREC_ERROR_LOCAL,
				       "cannot restrict the protocol versions");
	return 0;
}

/* Enables what was asked for and is allowed; fails when that is nothing. */
static int apply(struct tlsrec_ctx *ctx, uint32_t allowed, struct tr_error *err)
{
	char list12[LIST_MAX] = "";
	char list13[LIST_MAX] = "";
	char kept12[LIST_MAX] = "";
	char kept13[LIST_MAX] = "";

	if (!split(ctx->suites, list12, list13))
		return tr_fail(err, TLSREC_ERROR_LOCAL, "the list of cipher suites is too long");
	ctx->enabled = filter(false, list12, allowed, kept12) |
		       filter(true, list13, allowed, kept13);
	ctx->suites12 = *kept12;
	ctx->suites13 = *kept13;
	if (!ctx->enabled)
		return tr_fail(err, TLSREC_ERROR_LOCAL,
			       "no cipher suite in \"%s\" can be used: there are AES-GCM, AES-CCM "
			       "(128 bits, not CCM_8), ChaCha20-Poly1305 and ARIA-GCM, with ECDHE, DHE "
			       "or RSA key exchange", ctx->suites);
	if ((ctx->suites12 && !SSL_CTX_set_cipher_list(ctx->ssl, kept12)) ||
	    (ctx->suites13 && !SSL_CTX_set_ciphersuites(ctx->ssl, kept13)))
		return tr_fail_openssl(err, TLSREC_ERROR_LOCAL,
				       "cannot use the cipher suites \"%s\"", ctx->suites);
	return apply_versions(ctx, err);
}

static int set_suites(struct tlsrec_ctx *ctx, const char *list)
{
	char *copy = strdup(list);

	if (!copy)
		return tr_fail(&ctx->err, TLSREC_ERROR_LOCAL, "out of memory");
	free(ctx->suites);
	ctx->suites = copy;
	ctx->settled = false;
	if (apply(ctx, ALL_CIPHERS, &ctx->err))
		return -1;
	ctx->asked = ctx->enabled;
	return 0;
}

/*
 * With forward secrecy. AES-GCM every record layer has. ChaCha20 is there for peers that have
 * nothing else; whoever wants CCM or ARIA says so.
 */
int tr_suites_default(struct tlsrec_ctx *ctx)
{
	return set_suites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
			       "TLS_CHACHA20_POLY1305_SHA256:ECDHE+AESGCM:DHE+AESGCM:"
			       "ECDHE+CHACHA20:DHE+CHACHA20");
}

/* The ciphers asked for, less those this kernel does not have. */
static uint32_t carried(const struct tlsrec_ctx *ctx)
{
	uint32_t can = ctx->asked;

	for (int i = 0; ctx->ulp && i < TR_CIPHERS; i++) {
		const struct tr_cipher *cipher = &tr_ciphers[i];
		bool gcm = cipher->nid == NID_aes_128_gcm || cipher->nid == NID_aes_256_gcm;

		if (!gcm && can & bit(cipher) && !tr_probe_cipher(ctx->ulp, cipher))
			can &= ~bit(cipher);
	}
	return can;
}

int tr_suites_settle(struct tlsrec_ctx *ctx)
{
	struct tr_error why = { .kind = TLSREC_ERROR_NONE };
	uint32_t can;

	if (ctx->settled)
		return ctx->unfit.kind ? -1 : 0;
	ctx->settled = true;
	tr_error_clear(&ctx->unfit);
	can = carried(ctx);
	if (can == ctx->enabled || !apply(ctx, can, &why))
		return 0;
	tr_error_free(&why);
	return tr_fail(&ctx->unfit, TLSREC_ERROR_KERNEL,
		       "the ULP \"%s\" on this kernel does not have the ciphers of \"%s\": allow "
		       "AES-GCM, which it has, or load the kernel's module for the cipher", ctx->ulp,
		       ctx->suites);
}

int tlsrec_ctx_set_ciphers(struct tlsrec_ctx *ctx, const char *list)
{
	tr_error_clear(&ctx->err);
	return check_names(list, &ctx->err) ? -1 : set_suites(ctx, list);
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
	ctx->settled = false;
	return apply_versions(ctx, &ctx->err);
}
