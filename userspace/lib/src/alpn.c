// SPDX-License-Identifier: MIT
/* Application-layer protocol negotiation, RFC 7301. */
#include <stdlib.h>
#include <string.h>

#include "ctx.h"

enum { NAME_MAX_LEN = 255, LIST_MAX_LEN = 65535 };

/* A blank behind a comma is a slip, which would become part of a name that nobody speaks. */
static bool is_name(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f)
			return false;
	return len > 0 && len <= NAME_MAX_LEN;
}

/* "h2,http/1.1" into length-prefixed names; out has one byte more than the list. */
static size_t encode(const char *list, unsigned char *out)
{
	size_t used = 0;

	for (;;) {
		size_t len = strcspn(list, ",");

		if (!is_name(list, len))
			return 0;
		out[used++] = (unsigned char)len;
		memcpy(out + used, list, len);
		used += len;
		if (!list[len])
			return used;
		list += len + 1;
	}
}

int tlsrec_ctx_set_alpn(struct tlsrec_ctx *ctx, const char *list)
{
	size_t max = strlen(list) + 1;
	unsigned char *wire = malloc(max);
	size_t len = wire ? encode(list, wire) : 0;

	tr_error_clear(&ctx->err);
	if (!len || len > LIST_MAX_LEN ||
	    SSL_CTX_set_alpn_protos(ctx->ssl, wire, (unsigned int)len)) {
		free(wire);
		return tr_fail(&ctx->err, TLSREC_ERROR_LOCAL,
			       "\"%s\" is no list of application protocols: write names of at most "
			       "%d bytes, without blanks, separated by commas, like \"h2,http/1.1\"", list,
			       NAME_MAX_LEN);
	}
	free(ctx->alpn);
	ctx->alpn = wire;
	ctx->alpn_len = len;
	return 0;
}

static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
			   const unsigned char *offered, unsigned int offered_len, void *arg)
{
	struct tlsrec_ctx *ctx = arg;
	unsigned char *chosen;

	(void)ssl;
	if (!ctx->alpn)
		return SSL_TLSEXT_ERR_NOACK;
	if (SSL_select_next_proto(&chosen, out_len, ctx->alpn, (unsigned int)ctx->alpn_len, offered,
				  offered_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

void tr_alpn_init(struct tlsrec_ctx *ctx)
{
	if (ctx->server)
		SSL_CTX_set_alpn_select_cb(ctx->ssl, select_protocol, ctx);
}
