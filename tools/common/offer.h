/* SPDX-License-Identifier: MIT */
/* What client and server can be told alike: what to negotiate, and who gets the keys. */
#ifndef TLSREC_OFFER_H
#define TLSREC_OFFER_H

#include <argp.h>
#include <tlsrec.h>

struct offer_options {
	const char *alpn, *ciphers, *groups;
	int min_version, max_version;
	const char *ulp;
};

void offer_defaults(struct offer_options *o);

/*
 * A child parser; its input is a struct offer_options. --help shows its options in the parent's groups
 * OFFER_GROUP, whose heading it brings along, and OFFER_GROUP_ULP.
 */
extern const struct argp offer_argp;

enum { OFFER_GROUP = 4, OFFER_GROUP_ULP = 6 };

/* 0, or -1 with the reason in the context. */
int offer_apply(const struct offer_options *o, struct tlsrec_ctx *ctx);

#endif
