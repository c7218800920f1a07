// SPDX-License-Identifier: MIT
#include "ctx.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "ocsp.h"
#include "suites.h"
#include "verify.h"
#include "watch.h"
#include "wire.h"

enum {
	DEFAULT_RSA_BITS = 2048,
	DEFAULT_EC_BITS = 256,
	DEFAULT_TICKETS = 2,
	MAX_TICKETS = 16,
	SERVER_LIFETIME = 2 * 60 * 60,
	CLIENT_LIFETIME = 24 * 60 * 60,
	WHY_LEN = 512,
};

static const char default_ulp[] = "tlsrec";

const char *tlsrec_version(void)
{
	static const char version[] = TLSREC_VERSION " (" OPENSSL_VERSION_TEXT ")";

	return version;
}

/* What no program may switch on, whatever the system's openssl.cnf says. */
static void set_fixed_options(SSL_CTX *ssl)
{
	SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE);
#ifdef SSL_OP_ENABLE_KTLS
	SSL_CTX_clear_options(ssl, SSL_OP_ENABLE_KTLS);
#endif
	SSL_CTX_set_read_ahead(ssl, 0);
	SSL_CTX_set_max_early_data(ssl, 0);
	SSL_CTX_set_recv_max_early_data(ssl, 0);
}

static int init_ssl(struct tlsrec_ctx *ctx)
{
	ctx->ssl = SSL_CTX_new(ctx->server ? TLS_server_method() : TLS_client_method());
	ctx->bio_method = tr_wire_method();
	if (!ctx->ssl || !ctx->bio_method)
		return -1;
	SSL_CTX_set_app_data(ctx->ssl, ctx);
	set_fixed_options(ctx->ssl);
	if (tr_suites_default(ctx))
		return -1;
	if (ctx->server)
		SSL_CTX_set_dh_auto(ctx->ssl, 1);
	else
		SSL_CTX_set_default_verify_paths(ctx->ssl);
	tr_identities_init(ctx);
	tr_alpn_init(ctx);
	tr_verify_init(ctx);
	tr_ocsp_init(ctx);
	tr_watch_init(ctx);
	tr_session_init(ctx);
	return 0;
}

static struct tlsrec_ctx *ctx_new(bool server)
{
	struct tlsrec_ctx *ctx = calloc(1, sizeof(*ctx));

	if (!ctx)
		return NULL;
	atomic_init(&ctx->refs, 1);
	pthread_mutex_init(&ctx->lock, NULL);
	ctx->server = server;
	ctx->ulp = strdup(default_ulp);
	ctx->min_version = TLSREC_TLS_1_2;
	ctx->max_version = TLSREC_TLS_1_3;
	ctx->min_rsa_bits = DEFAULT_RSA_BITS;
	ctx->min_ec_bits = DEFAULT_EC_BITS;
	ctx->ocsp = TLSREC_OCSP_ASK;
	ctx->verify = server ? TLSREC_VERIFY_NONE : TLSREC_VERIFY_REQUIRE;
	if (!ctx->ulp || init_ssl(ctx) || tlsrec_ctx_set_resume(ctx, TLSREC_RESUME_TICKETS) ||
	    tlsrec_ctx_set_session_lifetime(ctx, server ? SERVER_LIFETIME : CLIENT_LIFETIME) ||
	    (server && tlsrec_ctx_set_tickets(ctx, DEFAULT_TICKETS))) {
		tlsrec_ctx_free(ctx);
		return NULL;
	}
	ERR_clear_error();
	return ctx;
}

struct tlsrec_ctx *tlsrec_client_new(void)
{
	return ctx_new(false);
}

struct tlsrec_ctx *tlsrec_server_new(void)
{
	return ctx_new(true);
}

struct tlsrec_ctx *tr_ctx_ref(struct tlsrec_ctx *ctx)
{
	atomic_fetch_add(&ctx->refs, 1);
	return ctx;
}

void tlsrec_ctx_free(struct tlsrec_ctx *ctx)
{
	if (!ctx || atomic_fetch_sub(&ctx->refs, 1) != 1)
		return;
	tr_session_clear(ctx);
	tr_identities_clear(ctx);
	SSL_CTX_free(ctx->ssl);
	BIO_meth_free(ctx->bio_method);
	pthread_mutex_destroy(&ctx->lock);
	tr_error_free(&ctx->err);
	tr_error_free(&ctx->warning);
	tr_error_free(&ctx->unfit);
	free(ctx->alpn);
	free(ctx->suites);
	free(ctx->ulp);
	free(ctx);
}

const char *tlsrec_ctx_error(const struct tlsrec_ctx *ctx)
{
	return tr_error_text(&ctx->err);
}

const char *tlsrec_ctx_warning(const struct tlsrec_ctx *ctx)
{
	return tr_error_text(&ctx->warning);
}

int tlsrec_ctx_set_ulp(struct tlsrec_ctx *ctx, const char *name)
{
	char *copy = NULL;

	tr_error_clear(&ctx->err);
	if (name && !*name)
		return tr_fail(&ctx->err, TLSREC_ERROR_LOCAL,
			       "the name of the ULP is empty: give \"tlsrec\" or \"tls\"");
	if (name) {
		copy = strdup(name);
		if (!copy)
			return tr_fail(&ctx->err, TLSREC_ERROR_LOCAL, "out of memory");
	}
	free(ctx->ulp);
	ctx->ulp = copy;
	ctx->settled = false;
	return 0;
}

int tlsrec_ctx_probe(struct tlsrec_ctx *ctx)
{
	char why[WHY_LEN];
	int unfit;

	tr_error_clear(&ctx->err);
	if (tr_trust_check(ctx, &ctx->err))
		return -1;
	if (ctx->ulp && tlsrec_probe(ctx->ulp, why, sizeof(why)))
		return tr_fail(&ctx->err, TLSREC_ERROR_KERNEL, "%s", why);
	pthread_mutex_lock(&ctx->lock);
	unfit = tr_suites_settle(ctx);
	pthread_mutex_unlock(&ctx->lock);
	if (unfit)
		tr_error_copy(&ctx->err, &ctx->unfit);
	return unfit;
}

int tlsrec_ctx_set_groups(struct tlsrec_ctx *ctx, const char *list)
{
	tr_error_clear(&ctx->err);
	if (SSL_CTX_set1_groups_list(ctx->ssl, list))
		return 0;
	return tr_fail_openssl(&ctx->err, TLSREC_ERROR_LOCAL,
			       "cannot use the key exchange groups \"%s\"", list);
}

int tlsrec_ctx_set_sigalgs(struct tlsrec_ctx *ctx, const char *list)
{
	tr_error_clear(&ctx->err);
	if (SSL_CTX_set1_sigalgs_list(ctx->ssl, list))
		return 0;
	return tr_fail_openssl(&ctx->err, TLSREC_ERROR_LOCAL,
			       "cannot use the signature algorithms \"%s\"", list);
}

int tlsrec_ctx_set_tickets(struct tlsrec_ctx *ctx, int count)
{
	tr_error_clear(&ctx->err);
	if (count < 0 || count > MAX_TICKETS)
		return tr_fail(&ctx->err, TLSREC_ERROR_LOCAL,
			       "%d tickets per connection are not possible: choose 0 to %d", count,
			       MAX_TICKETS);
	SSL_CTX_set_num_tickets(ctx->ssl, (size_t)count);
	return 0;
}

int tlsrec_ctx_set_event_fn(struct tlsrec_ctx *ctx, tlsrec_event_fn *fn, void *arg)
{
	ctx->event_fn = fn;
	ctx->event_arg = arg;
	return 0;
}
