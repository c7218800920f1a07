/* SPDX-License-Identifier: MIT */
/*
 * TLS handshake messages as JSON.
 *
 * Pure functions on bytes: no socket and no connection in sight. Whatever the bytes are, a decoder
 * returns what it could read; where they stop making sense it adds a "malformed" member that says so.
 */
#ifndef TLSREC_DECODE_H
#define TLSREC_DECODE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HS_HELLO_REQUEST = 0,
	HS_CLIENT_HELLO = 1,
	HS_SERVER_HELLO = 2,
	HS_NEW_SESSION_TICKET = 4,
	HS_END_OF_EARLY_DATA = 5,
	HS_ENCRYPTED_EXTENSIONS = 8,
	HS_CERTIFICATE = 11,
	HS_SERVER_KEY_EXCHANGE = 12,
	HS_CERTIFICATE_REQUEST = 13,
	HS_SERVER_HELLO_DONE = 14,
	HS_CERTIFICATE_VERIFY = 15,
	HS_CLIENT_KEY_EXCHANGE = 16,
	HS_FINISHED = 20,
	HS_CERTIFICATE_STATUS = 22,
	HS_KEY_UPDATE = 24,
};

enum key_exchange { KX_UNKNOWN, KX_TLS13, KX_ECDHE, KX_DHE, KX_RSA };

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

/* Names, or the number in hexadecimal where there is none. buf is used only for those. */
const char *name_version(uint16_t version, char buf[16]);
const char *name_suite(uint16_t suite, char buf[16]);

/* Bytes as lower-case hexadecimal, as a JSON string. */
json_t *json_hex(const uint8_t *p, size_t n);

#endif
