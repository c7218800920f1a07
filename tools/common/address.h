/* SPDX-License-Identifier: MIT */
/* Addresses of the network: in words, and a connection to one. */
#ifndef TLSREC_ADDRESS_H
#define TLSREC_ADDRESS_H

#include "arguments.h"

#include <sys/socket.h>

/* "ADDRESS:PORT" or "[ADDRESS]:PORT" for people and logs. */
const char *address_text(const struct sockaddr *sa, socklen_t len, char *buf, size_t size);

/*
 * A connected TCP socket to the first address of ep that answers within timeout_ms, or -1 after saying
 * why. family is AF_UNSPEC, AF_INET or AF_INET6.
 */
int tcp_connect(const struct endpoint *ep, int family, int timeout_ms, char *peer, size_t peer_size);

#endif
