/* SPDX-License-Identifier: MIT */
/* Server: tickets (RFC 5077, RFC 8446 4.6.1), what they carry and under which keys. */
#ifndef TLSREC_TICKET_H
#define TLSREC_TICKET_H

#include <stddef.h>
#include <stdint.h>

#include "tlsrec.h"

/* A key makes tickets for half of a session's lifetime, and opens them for that much longer. */
enum { TR_TICKET_KEYS = 4 };

struct tr_ticket_key {
	unsigned char name[16];
	unsigned char cipher[32];
	unsigned char mac[32];
	int64_t made;			/* seconds since 1970 */
};

/* Newest first, under the context's lock. */
struct tr_ticket_keys {
	struct tr_ticket_key keys[TR_TICKET_KEYS];
	size_t count;
};

void tr_ticket_init(struct tlsrec_ctx *ctx);
void tr_ticket_clear(struct tlsrec_ctx *ctx);

#endif
