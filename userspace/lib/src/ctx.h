/* SPDX-License-Identifier: MIT */
/* A configuration, shared by connections. */
#ifndef TLSREC_CTX_H
#define TLSREC_CTX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "error.h"
#include "hosts.h"
#include "ids.h"
#include "session.h"
#include "ticket.h"

/* Own certificate. */
struct tr_identity {
	X509 *leaf;
	STACK_OF(X509) *chain;
	EVP_PKEY *key;
	unsigned char *staple;	/* OCSP response, DER, under the context's lock */
	size_t staple_len;
	bool fallback;		/* shown where no name decides */
};

struct tlsrec_ctx {
	atomic_int refs;
	bool server;
	SSL_CTX *ssl;
	BIO_METHOD *bio_method;
	struct tr_error err;
	struct tr_error warning;	/* what the last call for an own certificate found */

	char *ulp;			/* NULL: install nothing */
	int min_version;
	int max_version;
	char *suites;			/* what was asked for */
	uint32_t asked;			/* ciphers of it: see suites.c */
	uint32_t enabled;		/* less those that the kernel lacks */
	bool settled;			/* what the kernel lacks was left out */
	struct tr_error unfit;		/* and nothing remained */
	bool suites12;			/* some suite of TLS 1.2 is enabled */
	bool suites13;
	unsigned char *alpn;		/* wire format: length, name, length, name */
	size_t alpn_len;

	struct tr_identity *identities;
	size_t identity_count;
	struct tr_hosts hosts;		/* which are for whom: indices into identities */
	bool strict_sni;

	enum tlsrec_verify verify;
	bool roots_given;
	int min_rsa_bits;
	int min_ec_bits;
	enum tlsrec_ocsp_mode ocsp;
	enum tlsrec_resume resume;
	int session_lifetime;		/* seconds from the full handshake on */

	tlsrec_event_fn *event_fn;
	void *event_arg;

	pthread_mutex_t lock;		/* staples and sessions: all that changes in use */
	struct tr_session_cache sessions;	/* client */
	struct tr_ids ids;			/* server */
	struct tr_ticket_keys ticket_keys;
};

/* One more user; tlsrec_ctx_free() ends it. */
struct tlsrec_ctx *tr_ctx_ref(struct tlsrec_ctx *ctx);

/* trust.c: a server that asks for certificates knows whom to trust. 0 or -1. */
int tr_trust_check(const struct tlsrec_ctx *ctx, struct tr_error *err);

/* identity.c: certificates a server or client shows. */
void tr_identities_init(struct tlsrec_ctx *ctx);
void tr_identities_clear(struct tlsrec_ctx *ctx);

/* alpn.c: application protocol negotiation. */
void tr_alpn_init(struct tlsrec_ctx *ctx);

#endif
