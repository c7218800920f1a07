/* SPDX-License-Identifier: MIT */
/* Session resumption: what the client remembers, what the server hands out. */
#ifndef TLSREC_SESSION_H
#define TLSREC_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "tlsrec.h"

enum {
	TR_SESSIONS_MAX = 64,		/* in a context */
	TR_SESSIONS_PER_PEER = 4,
};

/* Oldest first. */
struct tr_session_cache {
	struct {
		char *peer;
		SSL_SESSION *session;
	} entries[TR_SESSIONS_MAX];
	size_t count;
};

void tr_session_init(struct tlsrec_ctx *ctx);
void tr_session_clear(struct tlsrec_ctx *ctx);

/* Client, before the first message: offers a session if there is a fitting one. */
void tr_session_offer(struct tlsrec_conn *conn);

/* Client, after the last: what sessions of this connection will carry, which come later. */
void tr_session_keep(struct tlsrec_conn *conn);

/* Client, after the handshake: whether a ticket would make a session that somebody wants. */
bool tr_session_may_come(const struct tlsrec_conn *conn);

/*
 * When no other one will come: the session is kept in the form it is saved in, for OpenSSL's has the certificates in
 * it, parsed.
 */
void tr_session_settle(struct tlsrec_conn *conn);

/* At the end of the connection. */
void tr_session_forget(struct tlsrec_conn *conn);

#endif
