// SPDX-License-Identifier: MIT
/* Own certificates: loading, choosing by server name (RFC 6066 3), stapling (RFC 6066 8). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "conn.h"
#include "ctx.h"

enum { STAPLE_MAX = 64 * 1024 };

static int no_password(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static void identity_clear(struct tr_identity *id)
{
	X509_free(id->leaf);
	sk_X509_pop_free(id->chain, X509_free);
	EVP_PKEY_free(id->key);
	OPENSSL_free(id->staple);
}

static int load_chain(struct tr_error *err, const char *file, struct tr_identity *id)
{
	BIO *bio = BIO_new_file(file, "r");
	X509 *cert;

	if (!bio)
		return tr_fail_openssl(err, TLSREC_ERROR_LOCAL,
				       "cannot open the certificate file \"%s\"", file);
	id->leaf = PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL);
	id->chain = sk_X509_new_null();
	if (!id->leaf || !id->chain) {
		BIO_free(bio);
		return tr_fail_openssl(err, TLSREC_ERROR_LOCAL,
				       "cannot read a PEM certificate from \"%s\"", file);
	}
	while ((cert = PEM_read_bio_X509(bio, NULL, no_password, NULL)))
		sk_X509_push(id->chain, cert);
	ERR_clear_error();	/* the end of the file */
	BIO_free(bio);
	return 0;
}

static int load_key(struct tr_error *err, const char *file, struct tr_identity *id)
{
	BIO *bio = BIO_new_file(file, "r");

	if (!bio)
		return tr_fail_openssl(err, TLSREC_ERROR_LOCAL,
				       "cannot open the private key file \"%s\"", file);
	id->key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	BIO_free(bio);
	if (!id->key)
		return tr_fail_openssl(err, TLSREC_ERROR_LOCAL,
				       "cannot read a PEM private key without password from \"%s\"",
				       file);
	if (!X509_check_private_key(id->leaf, id->key))
		return tr_fail_openssl(
			err, TLSREC_ERROR_LOCAL,
			"the private key in \"%s\" does not belong to the certificate", file);
	return 0;
}

int tlsrec_ctx_add_cert(struct tlsrec_ctx *ctx, const char *chain_file, const char *key_file)
{
	struct tr_identity id = { 0 };
	struct tr_identity *grown;

	tr_error_clear(&ctx->err);
	if (load_chain(&ctx->err, chain_file, &id) ||
	    load_key(&ctx->err, key_file ? key_file : chain_file, &id))
		goto err_id;
	grown = realloc(ctx->identities, (ctx->identity_count + 1) * sizeof(*grown));
	if (!grown) {
		tr_fail(&ctx->err, TLSREC_ERROR_LOCAL, "out of memory");
		goto err_id;
	}
	ctx->identities = grown;
	ctx->identities[ctx->identity_count++] = id;
	return 0;
err_id:
	identity_clear(&id);
	return -1;
}

static unsigned char *read_file(struct tr_error *err, const char *name, size_t *len)
{
	FILE *file = fopen(name, "re");
	unsigned char *data = file ? OPENSSL_malloc(STAPLE_MAX) : NULL;

	*len = data ? fread(data, 1, STAPLE_MAX, file) : 0;
	if (!*len)
		tr_fail(err, TLSREC_ERROR_LOCAL, "cannot read the OCSP response file \"%s\": %s",
			name, file ? "it is empty" : strerror(errno));
	if (file)
		fclose(file);
	if (*len)
		return data;
	OPENSSL_free(data);
	return NULL;
}

static bool is_ocsp_response(const unsigned char *data, size_t len)
{
	OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &data, (long)len);

	OCSP_RESPONSE_free(response);
	return response;
}

int tlsrec_ctx_set_staple(struct tlsrec_ctx *ctx, int cert, const char *der_file)
{
	size_t index = cert < 0 ? ctx->identity_count - 1 : (size_t)cert;
	unsigned char *data;
	unsigned char *old;
	size_t len;

	tr_error_clear(&ctx->err);
	if (index >= ctx->identity_count)
		return tr_fail(
			&ctx->err, TLSREC_ERROR_LOCAL,
			"there is no certificate %d to staple an OCSP response to: add it first",
			cert);
	data = read_file(&ctx->err, der_file, &len);
	if (!data)
		return -1;
	if (!is_ocsp_response(data, len)) {
		OPENSSL_free(data);
		return tr_fail_openssl(&ctx->err, TLSREC_ERROR_LOCAL,
				       "\"%s\" is no OCSP response (DER)", der_file);
	}
	pthread_mutex_lock(&ctx->lock);
	old = ctx->identities[index].staple;
	ctx->identities[index].staple = data;
	ctx->identities[index].staple_len = len;
	pthread_mutex_unlock(&ctx->lock);
	OPENSSL_free(old);
	return 0;
}

int tlsrec_ctx_set_strict_sni(struct tlsrec_ctx *ctx, int on)
{
	ctx->strict_sni = on;
	return 0;
}

static bool matches(const struct tr_identity *id, const char *name, unsigned int flags)
{
	return name && X509_check_host(id->leaf, name, 0, flags, NULL) == 1;
}

/* How well an identity fits a name: 2 exactly, 1 by wildcard, 0 not at all. */
static int fit(const struct tr_identity *id, const char *name)
{
	if (matches(id, name, X509_CHECK_FLAG_NO_WILDCARDS))
		return 2;
	return matches(id, name, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
}

static int best_fit(const struct tlsrec_ctx *ctx, const char *name)
{
	int best = 0;

	for (size_t i = 0; i < ctx->identity_count; i++) {
		int f = fit(&ctx->identities[i], name);

		if (f > best)
			best = f;
	}
	return best;
}

/* The same host with another type of key: to be offered together. */
static bool same_names(const struct tr_identity *a, const struct tr_identity *b)
{
	int i = X509_get_ext_by_NID(a->leaf, NID_subject_alt_name, -1);
	int j = X509_get_ext_by_NID(b->leaf, NID_subject_alt_name, -1);

	if (i < 0 || j < 0)
		return a == b;
	return !ASN1_STRING_cmp(X509_EXTENSION_get_data(X509_get_ext(a->leaf, i)),
				X509_EXTENSION_get_data(X509_get_ext(b->leaf, j)));
}

/* A name that nobody has, or none: the first identity; on a client, whatever fits the request. */
static bool is_default(const struct tlsrec_ctx *ctx, const struct tr_identity *id)
{
	return !ctx->server || same_names(id, &ctx->identities[0]);
}

static bool use(SSL *ssl, const struct tr_identity *id)
{
	return SSL_use_cert_and_key(ssl, id->leaf, id->key, id->chain, 1) == 1;
}

/*
 * OpenSSL keeps one certificate per key type and takes what the peer can verify. So all that fit
 * the name equally well go in, the first of each key type last, since later ones replace.
 */
static int choose(SSL *ssl, void *arg)
{
	struct tlsrec_ctx *ctx = arg;
	const char *name = ctx->server ? SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) : NULL;
	int best = best_fit(ctx, name);

	SSL_certs_clear(ssl);
	for (size_t i = ctx->identity_count; i-- > 0;) {
		const struct tr_identity *id = &ctx->identities[i];
		bool wanted = best ? fit(id, name) == best : is_default(ctx, id);

		if (wanted && !use(ssl, id))
			return 0;
	}
	return 1;
}

/* Confirms a name that a certificate has; a name nobody has is an error only if strict. */
static int confirm_name(SSL *ssl, int *alert, void *arg)
{
	struct tlsrec_ctx *ctx = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct tlsrec_conn *conn = SSL_get_app_data(ssl);

	if (!name || best_fit(ctx, name))
		return name ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
	if (!ctx->strict_sni)
		return SSL_TLSEXT_ERR_NOACK;
	tr_fail(&conn->err, TLSREC_ERROR_PROTOCOL,
		"the client asks for \"%s\", and no certificate here has that name", name);
	*alert = SSL_AD_UNRECOGNIZED_NAME;
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* OpenSSL asks after it has chosen the certificate. */
static int staple(SSL *ssl, void *arg)
{
	struct tlsrec_ctx *ctx = arg;
	X509 *shown = SSL_get_certificate(ssl);
	unsigned char *copy = NULL;
	size_t len = 0;

	pthread_mutex_lock(&ctx->lock);
	for (size_t i = 0; i < ctx->identity_count && !copy; i++) {
		const struct tr_identity *id = &ctx->identities[i];

		if (shown && id->staple && !X509_cmp(id->leaf, shown)) {
			copy = OPENSSL_memdup(id->staple, id->staple_len);
			len = id->staple_len;
		}
	}
	pthread_mutex_unlock(&ctx->lock);
	if (!copy)
		return SSL_TLSEXT_ERR_NOACK;
	SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)len);
	return SSL_TLSEXT_ERR_OK;
}

void tr_identities_init(struct tlsrec_ctx *ctx)
{
	SSL_CTX_set_cert_cb(ctx->ssl, choose, ctx);
	if (!ctx->server)
		return;
	SSL_CTX_set_tlsext_servername_callback(ctx->ssl, confirm_name);
	SSL_CTX_set_tlsext_servername_arg(ctx->ssl, ctx);
	SSL_CTX_set_tlsext_status_cb(ctx->ssl, staple);
	SSL_CTX_set_tlsext_status_arg(ctx->ssl, ctx);
}

void tr_identities_clear(struct tlsrec_ctx *ctx)
{
	for (size_t i = 0; i < ctx->identity_count; i++)
		identity_clear(&ctx->identities[i]);
	free(ctx->identities);
}
