/* SPDX-License-Identifier: MIT */
/*
 * What OpenSSL lets us see of a handshake: record headers, messages, alerts, secrets. From it
 * come the events, and the number of records that went each way under the final keys.
 */
#ifndef TLSREC_WATCH_H
#define TLSREC_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"
#include "tlsrec.h"

enum { TR_NO_ALERT = -1 };

struct tr_flow {
	uint64_t records;		/* under the keys in force */
	int alert;			/* description of the last one, or TR_NO_ALERT */
	uint8_t header[TR_HEADER_LEN];	/* of a record whose inner type is still to come */
	bool header_pending;
};

struct tr_watch {
	struct tr_flow in;
	struct tr_flow out;
	uint8_t last_message;		/* type of the last message from the peer */
	/* Application traffic secrets of TLS 1.3. */
	uint8_t client_secret[EVP_MAX_MD_SIZE];
	uint8_t server_secret[EVP_MAX_MD_SIZE];
};

void tr_watch_init(struct tlsrec_ctx *ctx);
void tr_watch_attach(struct tlsrec_conn *conn);
void tr_watch_clear(struct tr_watch *watch);

/* Gives the event a time and hands it to the context's function, if there is one. */
void tr_emit(struct tlsrec_conn *conn, struct tlsrec_event *event);

#endif
