// SPDX-License-Identifier: MIT
/* What a context trusts: roots and revocation lists. */
#include <sys/stat.h>

#include <openssl/x509.h>

#include "ctx.h"

/* Revocation lists stand in the same store as the roots and stay when these are replaced. */
static bool keep_crls(X509_STORE *from, X509_STORE *to)
{
	STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(from);

	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
		X509_CRL *crl = X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(objects, i));

		if (crl && !X509_STORE_add_crl(to, crl))
			return false;
	}
	return true;
}

/* OpenSSL looks into it only when it needs a certificate. */
static bool is_directory(const char *name)
{
	struct stat st;

	return !stat(name, &st) && S_ISDIR(st.st_mode);
}

int tlsrec_ctx_set_roots(struct tlsrec_ctx *ctx, const char *file, const char *dir)
{
	X509_STORE *store = X509_STORE_new();
	STACK_OF(X509_NAME) *names = NULL;

	tr_error_clear(&ctx->err);
	if (!file && !dir) {
		tr_fail(&ctx->err, TLSREC_ERROR_LOCAL, "neither a file nor a directory of root "
			"certificates was given");
		goto err_store;
	}
	if (dir && !is_directory(dir)) {
		tr_fail(&ctx->err, TLSREC_ERROR_LOCAL,
			"\"%s\" is no directory of root certificates", dir);
		goto err_store;
	}
	if (!store || !keep_crls(SSL_CTX_get_cert_store(ctx->ssl), store)) {
		tr_fail(&ctx->err, TLSREC_ERROR_LOCAL, "out of memory");
		goto err_store;
	}
	if ((file && !X509_STORE_load_file(store, file)) ||
	    (dir && !X509_STORE_load_path(store, dir))) {
		tr_fail_openssl(&ctx->err, TLSREC_ERROR_LOCAL,
				"cannot read root certificates (PEM) from \"%s\"",
				file ? file : dir);
		goto err_store;
	}
	/* What is given is trusted, also an intermediate or a server's own certificate. */
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	if (ctx->server && file)
		names = SSL_load_client_CA_file(file);
	if (names)
		SSL_CTX_set_client_CA_list(ctx->ssl, names);
	SSL_CTX_set_cert_store(ctx->ssl, store);
	ctx->roots_given = true;
	return 0;
err_store:
	X509_STORE_free(store);
	return -1;
}

int tr_trust_check(const struct tlsrec_ctx *ctx, struct tr_error *err)
{
	if (!ctx->server || ctx->verify == TLSREC_VERIFY_NONE || ctx->roots_given)
		return 0;
	return tr_fail(err, TLSREC_ERROR_LOCAL,
		       "a server that asks its clients for certificates needs the roots that these "
		       "lead to: give them (tlsrec_ctx_set_roots); those of the system are for "
		       "servers on the web");
}

int tlsrec_ctx_add_crls(struct tlsrec_ctx *ctx, const char *file)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx->ssl);
	X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());

	tr_error_clear(&ctx->err);
	if (!lookup || X509_load_crl_file(lookup, file, X509_FILETYPE_PEM) <= 0)
		return tr_fail_openssl(&ctx->err, TLSREC_ERROR_LOCAL,
				       "cannot read revocation lists (PEM) from \"%s\"", file);
	/* Not on the store, where it would also bind the responders of OCSP. */
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx->ssl),
				    X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return 0;
}
