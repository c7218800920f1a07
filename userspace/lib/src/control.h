/* SPDX-License-Identifier: MIT */
/* Records that are not application data, after the handshake. */
#ifndef TLSREC_CONTROL_H
#define TLSREC_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tlsrec.h"

struct tr_control {
	/*
	 * Handshake messages and alerts are byte streams of their own: one may be spread over
	 * several records, and one record may hold several.
	 */
	uint8_t *message;	/* header and what has come of the body */
	size_t message_len;
	uint8_t alert[2];
	size_t alert_len;
	bool closed;		/* close_notify has come */
	bool answer_owed;	/* no_renegotiation, for which there was no room */
	/* Records without data: how many of those that are allowed, and as of when, in seconds. */
	unsigned int spent;
	int64_t spent_since;
};

/*
 * Takes len bytes of a record of content type type, or a piece of one. Returns
 * TLSREC_CONTROL_HANDLED, _CLOSED or, with a sentence and errno, _ERROR.
 */
enum tlsrec_control tr_control_take(struct tlsrec_conn *conn, uint8_t type, const uint8_t *data,
				    size_t len);

/* Gives the answer that is owed, if there is room for it. */
void tr_control_answer(struct tlsrec_conn *conn);

/*
 * Before each record without data is taken: whether the peer may still send one, or has lived on them for too
 * long, which ends the connection with a sentence and errno. Data in between sets spent to 0.
 */
bool tr_control_allowed(struct tlsrec_conn *conn);

void tr_control_clear(struct tr_control *control);

#endif
