/* SPDX-License-Identifier: MIT */
/*
 * What a session carries so that its peer can be judged again: a resumed handshake shows no
 * certificate, and settings and time move on.
 */
#ifndef TLSREC_EVIDENCE_H
#define TLSREC_EVIDENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "tlsrec.h"

enum { TR_OWN_LEN = 32, TR_WHY_LEN = 768 };

/* Does not change once it exists, so that sessions share it. */
struct tr_evidence {
	atomic_int refs;
	int64_t time;			/* of the full handshake, seconds since 1970 */
	STACK_OF(X509) *issuers;	/* sent along with the certificate, which OpenSSL keeps */
	bool asked;			/* client: for an OCSP response; */
	unsigned char *staple;		/* what came, DER */
	size_t staple_len;
	unsigned char own[TR_OWN_LEN];	/* client: which own certificates it could show */
};

/* What the session that a connection has just made carries. */
bool tr_evidence_attach(struct tlsrec_conn *conn, SSL_SESSION *session);

/* Of a session, NULL if it has none. */
const struct tr_evidence *tr_evidence_of(const SSL_SESSION *session);

/*
 * Judges a session as a full handshake would judge its peer now, with the verdict in the
 * connection. "" if it may be resumed, else the reason.
 */
void tr_evidence_judge(struct tlsrec_conn *conn, const SSL_SESSION *session, char why[TR_WHY_LEN]);

/* Takes that verdict back: the session is not used. */
void tr_evidence_dismiss(struct tlsrec_conn *conn);

/* As bytes, malloc'ed; NULL when out of memory. */
unsigned char *tr_evidence_encode(const struct tr_evidence *evidence, size_t *len);

/* From bytes into a session; false if they are not exactly what was encoded, or memory ends. */
bool tr_evidence_decode(SSL_SESSION *session, const unsigned char *data, size_t len);

void tr_evidence_release(struct tr_evidence *evidence);

#endif
