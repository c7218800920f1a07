/* SPDX-License-Identifier: MIT */
/* Key update of TLS 1.3 (RFC 8446 4.6.3, 7.2), one direction at a time. */
#ifndef TLSREC_UPDATE_H
#define TLSREC_UPDATE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "tlsrec.h"

enum {
	TR_KEY_UPDATE = 24,	/* HandshakeType */
	TR_KEY_UPDATE_LEN = 5,	/* of the whole message */
};

struct tr_update {
	atomic_bool wanted;	/* by the peer: an answer is owed */
	bool separate_writer;	/* whoever writes gives it */
};

/*
 * The peer's KeyUpdate has been read, and it asks for ours or not: the next receiving key goes into
 * the kernel, and an answer out. 0, or -1 with a sentence.
 */
int tr_update_take(struct tlsrec_conn *conn, bool requested);

/* Gives the answer that is owed, if there is room for it. 0, or -1 with a sentence. */
int tr_update_answer(struct tlsrec_conn *conn);

#endif
