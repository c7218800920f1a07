/* SPDX-License-Identifier: MIT */
/* One handshake. */
#ifndef TLSREC_CONN_H
#define TLSREC_CONN_H

#include "control.h"
#include "ctx.h"
#include "evidence.h"
#include "info.h"
#include "keys.h"
#include "ocsp.h"
#include "update.h"
#include "verify.h"
#include "watch.h"
#include "wire.h"

enum tr_state {
	TR_NEW,
	TR_HANDSHAKE_RUNNING,
	TR_OVER,		/* keys are where they belong */
	TR_FAILED,
};

struct tlsrec_conn {
	struct tlsrec_ctx *ctx;
	SSL *ssl;		/* NULL once nothing needs it any more */
	enum tr_state state;
	void *data;
	struct tr_error err;

	char *host;		/* NULL: a server, or a client that checks no name */
	bool host_is_address;
	const char *host_wrong;	/* why it can be no host; NULL: it can */
	char *sni;		/* server name to send; NULL: host, "": none */

	struct tr_wire wire;
	struct tr_watch watch;
	struct tr_verdict verdict;
	struct tr_ocsp ocsp;
	struct tr_keys keys;
	struct tr_evidence *evidence; /* of this handshake, if it is a full one */
	SSL_SESSION *session; /* newest one for later, or before the first step the one to offer */
	unsigned char *saved; /* or this: see tr_session_settle() */
	size_t saved_len;
	unsigned char *chain;	/* what the peer showed, without ssl: see keep_chain() */
	size_t chain_len;
	struct tr_control control;
	struct tr_update update;
	struct tr_info info;
};

/* The peer, for sentences: the host's name, "the server" or "the client". */
const char *tr_peer_name(const struct tlsrec_conn *conn);

/* explain.c: why OpenSSL gave up. Returns -1. */
int tr_explain(struct tlsrec_conn *conn);

#endif
