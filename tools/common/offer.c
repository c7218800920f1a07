// SPDX-License-Identifier: MIT
#include "offer.h"

enum {
	OPT_ALPN = 0x300,
	OPT_TLS12,
	OPT_TLS13,
	OPT_CIPHERS,
	OPT_GROUPS,
	OPT_ULP,
};

static const struct argp_option options[] = {
	{ .doc = "What to offer:", .group = OFFER_GROUP },
	{ "alpn", OPT_ALPN, "LIST", 0,
	  "Application protocols, for example h2,http/1.1 (\"\": none; serve: http/1.1 unless given)",
	  OFFER_GROUP },
	{ "tls1.2", OPT_TLS12, NULL, 0, "TLS 1.2 only", OFFER_GROUP },
	{ "tls1.3", OPT_TLS13, NULL, 0, "TLS 1.3 only", OFFER_GROUP },
	{ "ciphers", OPT_CIPHERS, "LIST", 0,
	  "Cipher suites, separated by colons (default: AES-GCM, then ChaCha20-Poly1305)", OFFER_GROUP },
	{ "groups", OPT_GROUPS, "LIST", 0, "Key exchange groups, separated by colons", OFFER_GROUP },
	{ "ulp", OPT_ULP, "NAME", 0, "Kernel record layer to use (default tlsrec)", OFFER_GROUP_ULP },
	{ 0 },
};

void offer_defaults(struct offer_options *o)
{
	*o = (struct offer_options){
		.min_version = TLSREC_TLS_1_2,
		.max_version = TLSREC_TLS_1_3,
		.ulp = "tlsrec",
	};
}

static void only_version(struct offer_options *o, int version, struct argp_state *state)
{
	if (o->min_version == o->max_version && o->min_version != version)
		argp_error(state, "--tls1.2 and --tls1.3 exclude each other; leave both out to allow both");
	o->min_version = o->max_version = version;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct offer_options *o = state->input;

	switch (key) {
	case OPT_ALPN:
		o->alpn = arg;
		break;
	case OPT_TLS12:
		only_version(o, TLSREC_TLS_1_2, state);
		break;
	case OPT_TLS13:
		only_version(o, TLSREC_TLS_1_3, state);
		break;
	case OPT_CIPHERS:
		o->ciphers = arg;
		break;
	case OPT_GROUPS:
		o->groups = arg;
		break;
	case OPT_ULP:
		o->ulp = arg;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

const struct argp offer_argp = { .options = options, .parser = parse };

int offer_apply(const struct offer_options *o, struct tlsrec_ctx *ctx)
{
	if (tlsrec_ctx_set_ulp(ctx, o->ulp) ||
	    tlsrec_ctx_set_versions(ctx, o->min_version, o->max_version))
		return -1;
	if (o->alpn && *o->alpn && tlsrec_ctx_set_alpn(ctx, o->alpn))
		return -1;
	if (o->ciphers && tlsrec_ctx_set_ciphers(ctx, o->ciphers))
		return -1;
	return o->groups && tlsrec_ctx_set_groups(ctx, o->groups) ? -1 : 0;
}
