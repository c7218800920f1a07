/* SPDX-License-Identifier: MIT */
/* Who the server must be: a host name or an address, and whether a certificate is for it. */
#ifndef TLSREC_HOST_H
#define TLSREC_HOST_H

#include <stdbool.h>

#include <openssl/x509.h>

/*
 * What a program gave as host: *name becomes malloc'ed, a name without final dot or an address
 * without brackets and zone; NULL when out of memory. The result is NULL, or what is wrong with it:
 * then *name is what was given, and nothing may be checked against it.
 */
const char *tr_host_read(const char *given, char **name, bool *address);

/* A name of a host, in ASCII and without final dot. */
bool tr_host_is_name(const char *name);

/*
 * Only what the certificate has among its subject alternative names counts (RFC 9525), whole labels
 * of wildcards only.
 */
bool tr_host_matches(const char *name, bool address, X509 *cert);

#endif
