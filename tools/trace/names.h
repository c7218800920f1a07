/* SPDX-License-Identifier: MIT */
/* The names that the RFCs give to numbers. */
#ifndef TLSREC_NAMES_H
#define TLSREC_NAMES_H

#include "bytes.h"

/* HandshakeType */
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

/* The last of a table has no name. */
struct name {
	uint32_t value;
	const char *name;
};

extern const struct name message_names[];
extern const struct name group_names[];
extern const struct name sigalg_names[];

/* Names, or the number in hexadecimal where there is none. buf is used only for those. */
const char *name_version(uint16_t version, char buf[16]);
const char *name_suite(uint16_t suite, char buf[16]);

/* The same as JSON strings; a number of `width` bytes. */
json_t *json_name(const struct name *table, uint32_t value, size_t width);
json_t *json_version(uint16_t version);
json_t *json_suite(uint16_t suite);

/* A vector of numbers of `width` bytes each, by name. */
json_t *name_list(struct cur v, const struct name *table, size_t width);

enum key_exchange suite_kx(uint16_t suite);

#endif
