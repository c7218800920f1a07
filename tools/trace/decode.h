/* SPDX-License-Identifier: MIT */
/*
 * TLS handshake messages as JSON.
 *
 * Pure functions on bytes: no socket and no connection in sight. Whatever the bytes are, a decoder
 * returns what it could read; where they stop making sense it adds a "malformed" member that says so.
 */
#ifndef TLSREC_DECODE_H
#define TLSREC_DECODE_H

#include "names.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* What earlier messages decided about the shape of later ones. Start from zero. */
struct decode_state {
	uint16_t version;
	uint16_t suite;
	enum key_exchange kx;
};

/*
 * Decode one handshake message, its four-byte header included. Returns an object with "message" (the
 * name in the RFCs), "bytes" and the fields in the order of the wire; NULL only when memory is short.
 */
json_t *decode_handshake(struct decode_state *st, const uint8_t *msg, size_t len);

/* Decode an alert: "level" and "description". */
json_t *decode_alert(const uint8_t *msg, size_t len);

#endif
