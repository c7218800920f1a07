/* SPDX-License-Identifier: MIT */
/* The extensions of handshake messages. */
#ifndef TLSREC_EXTENSION_H
#define TLSREC_EXTENSION_H

#include "bytes.h"

/* The list of them in a message of type `msg`, since what one looks like depends on that. */
json_t *decode_extensions(struct cur *c, int msg);

/* The version a ServerHello decides on: that of supported_versions if it is there. */
uint16_t hello_version(uint16_t legacy, struct cur ext);

/* A list of names, which TLS 1.2 has in its CertificateRequest. */
json_t *certificate_authorities(struct cur *c);

#endif
