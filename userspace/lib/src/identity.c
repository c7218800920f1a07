// SPDX-License-Identifier: MIT
/* Own certificates: loading, choosing by server name (RFC 6066 3), stapling (RFC 6066 8). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "conn.h"
#include "ctx.h"
#include "describe.h"
#include "response.h"
#include "verify.h"

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
		if (!sk_X509_push(id->chain, cert))
			X509_free(cert);
	BIO_free(bio);
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return tr_fail_openssl(err, TLSREC_ERROR_LOCAL,
				       "cannot read certificate number %d in \"%s\"",
				       sk_X509_num(id->chain) + 2, file);
	ERR_clear_error();	/* the end of the file */
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

static bool use(SSL *ssl, const struct tr_identity *id)
{
	return SSL_use_cert_and_key(ssl, id->leaf, id->key, id->chain, 1) == 1;
}

/* What OpenSSL will not use in a handshake is an error at once, not with the first client. */
static int check_usable(struct tlsrec_ctx *ctx, const char *file, const struct tr_identity *id)
{
	SSL *trial = SSL_new(ctx->ssl);
	struct tr_cert words = { 0 };
	int ret = 0;

	tr_cert_describe(&words, id->leaf);
	if (!trial || !use(trial, id))
		ret = tr_fail_openssl(&ctx->err, TLSREC_ERROR_LOCAL,
				      "the certificate in \"%s\" (%s) or one of its chain cannot be "
				      "used at OpenSSL's security level %d", file, words.view.key,
				      SSL_CTX_get_security_level(ctx->ssl));
	tr_cert_clear(&words);
	SSL_free(trial);
	return ret;
}

/*
 * A certificate that peers will refuse today is loaded all the same: a server that reloads it
 * goes on serving what it has, but whoever runs it must be told.
 */
static void warn_of(struct tlsrec_ctx *ctx, const char *file, X509 *cert)
{
	bool expired = X509_cmp_current_time(X509_get0_notAfter(cert)) < 0;
	bool early = X509_cmp_current_time(X509_get0_notBefore(cert)) > 0;
	struct tr_cert words = { 0 };
	char when[TR_TIME_LEN];

	tr_cert_describe(&words, cert);
	tr_time_words(expired ? X509_get0_notAfter(cert) : X509_get0_notBefore(cert), when);
	if (expired || early)
		tr_fail(&ctx->warning, TLSREC_ERROR_LOCAL,
			"the certificate of %s in \"%s\" %s %s: peers will refuse it",
			words.view.subject, file, expired ? "expired on" : "is not valid before", when);
	else if (tr_verify_key_too_small(ctx, cert))
		tr_fail(&ctx->warning, TLSREC_ERROR_LOCAL,
			"the key of %s in \"%s\" (%s) is smaller than peers accept", words.view.subject,
			file, words.view.key);
	tr_cert_clear(&words);
}

static void warn_of_all(struct tlsrec_ctx *ctx, const char *file, const struct tr_identity *id)
{
	warn_of(ctx, file, id->leaf);
	for (int i = 0; i < sk_X509_num(id->chain); i++)
		warn_of(ctx, file, sk_X509_value(id->chain, i));
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

int tlsrec_ctx_add_cert(struct tlsrec_ctx *ctx, const char *chain_file, const char *key_file)
{
	struct tr_identity id = { 0 };
	struct tr_identity *grown;

	tr_error_clear(&ctx->err);
	tr_error_clear(&ctx->warning);
	if (load_chain(&ctx->err, chain_file, &id) ||
	    load_key(&ctx->err, key_file ? key_file : chain_file, &id) ||
	    check_usable(ctx, chain_file, &id))
		goto err_id;
	grown = realloc(ctx->identities, (ctx->identity_count + 1) * sizeof(*grown));
	if (grown)
		ctx->identities = grown;
	if (!grown || tr_hosts_add(&ctx->hosts, id.leaf, ctx->identity_count)) {
		tr_fail(&ctx->err, TLSREC_ERROR_LOCAL, "out of memory");
		goto err_id;
	}
	/* A name that nobody has, or none: the first one; on a client, whatever fits the request. */
	id.fallback = !ctx->server || !ctx->identity_count ||
		      same_names(&id, &ctx->identities[0]);
	ctx->identities[ctx->identity_count++] = id;
	warn_of_all(ctx, chain_file, &id);
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

/* Who issued a certificate, as far as that is in its file. */
static X509 *issuer_of(const struct tr_identity *id)
{
	if (X509_check_issued(id->leaf, id->leaf) == X509_V_OK)
		return id->leaf;
	for (int i = 0; i < sk_X509_num(id->chain); i++)
		if (X509_check_issued(sk_X509_value(id->chain, i), id->leaf) == X509_V_OK)
			return sk_X509_value(id->chain, i);
	return NULL;
}

/* What would never help is an error; what was right once, or the truth that hurts, a warning. */
static int check_staple(struct tlsrec_ctx *ctx, const struct tr_identity *id, const char *file,
			const unsigned char *der, size_t len)
{
	const struct tr_response_about about = {
		.cert = id->leaf,
		.issuer = issuer_of(id),
		.level = SSL_CTX_get_security_level(ctx->ssl),
	};
	char reason[TR_RESPONSE_REASON_LEN];

	switch (tr_response_judge(&about, der, (long)len, reason)) {
	case TR_RESPONSE_GOOD:
		return 0;
	case TR_RESPONSE_OLD:
	case TR_RESPONSE_REVOKED:
	case TR_RESPONSE_UNKNOWN:
		tr_fail(&ctx->warning, TLSREC_ERROR_LOCAL, "\"%s\": %s: clients will refuse it", file,
			reason);
		return 0;
	default:
		return tr_fail(&ctx->err, TLSREC_ERROR_LOCAL, "cannot staple \"%s\": %s", file,
			       reason);
	}
}

int tlsrec_ctx_set_staple(struct tlsrec_ctx *ctx, int cert, const char *der_file)
{
	size_t index = cert < 0 ? ctx->identity_count - 1 : (size_t)cert;
	unsigned char *data;
	unsigned char *old;
	size_t len;

	tr_error_clear(&ctx->err);
	tr_error_clear(&ctx->warning);
	if (index >= ctx->identity_count)
		return tr_fail(
			&ctx->err, TLSREC_ERROR_LOCAL,
			"there is no certificate %d to staple an OCSP response to: add it first",
			cert);
	data = read_file(&ctx->err, der_file, &len);
	if (!data)
		return -1;
	if (check_staple(ctx, &ctx->identities[index], der_file, data, len)) {
		OPENSSL_free(data);
		return -1;
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

/*
 * OpenSSL keeps one certificate per key type and takes what the peer can verify. So all that fit
 * the name equally well, exactly or by wildcard, go in, the first of each key type last, since
 * later ones replace.
 */
static int choose(SSL *ssl, void *arg)
{
	struct tlsrec_ctx *ctx = arg;
	const char *name = ctx->server ? SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) : NULL;
	const struct tr_hosts_entry *fit = name ? tr_hosts_find(&ctx->hosts, name) : NULL;

	SSL_certs_clear(ssl);
	for (size_t i = fit ? fit->count : 0; i-- > 0;)
		if (!use(ssl, &ctx->identities[fit->numbers[i]]))
			return 0;
	for (size_t i = fit ? 0 : ctx->identity_count; i-- > 0;)
		if (ctx->identities[i].fallback && !use(ssl, &ctx->identities[i]))
			return 0;
	return 1;
}

/* Confirms a name that a certificate has; a name nobody has is an error only if strict. */
static int confirm_name(SSL *ssl, int *alert, void *arg)
{
	struct tlsrec_ctx *ctx = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct tlsrec_conn *conn = SSL_get_app_data(ssl);

	if (!name || tr_hosts_find(&ctx->hosts, name))
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

		if (id->leaf == shown && id->staple) {
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
	tr_hosts_clear(&ctx->hosts);
}
