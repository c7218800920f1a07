/* SPDX-License-Identifier: MIT */
/* Numbers, hosts and ports on the command line. */
#ifndef TLSREC_ARGUMENTS_H
#define TLSREC_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>

struct endpoint {
	char host[256];
	char port[6];
};

/*
 * HOST, HOST:PORT, [ADDRESS], [ADDRESS]:PORT or a bare IPv6 address. Returns NULL, or a sentence that
 * says what is wrong with it.
 */
const char *parse_endpoint(const char *arg, uint16_t default_port, struct endpoint *ep);

/* A decimal number between min and max and nothing else. */
bool parse_number(const char *s, long min, long max, long *value);

#endif
