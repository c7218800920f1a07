/* SPDX-License-Identifier: MIT */
/* What the subcommands of tlsrec share: exit statuses, messages, arguments, name look-up. */
#ifndef TLSREC_COMMON_H
#define TLSREC_COMMON_H

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum status {
	STATUS_OK = 0,
	STATUS_LOCAL = 1,	/* something on this machine: a file, memory, a permission */
	STATUS_USAGE = 2,
	STATUS_CONNECT = 3,	/* no connection, or lost before the handshake was over */
	STATUS_VERIFY = 4,	/* the peer's identity was refused */
	STATUS_PROTOCOL = 5,	/* the handshake or a record was wrong, or the peer sent an alert */
	STATUS_TRUNCATED = 6,	/* the stream ended without close_notify */
	STATUS_KERNEL = 7,	/* the kernel would not take the connection over */
};

/* One sentence on standard error, with the name of the program in front. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

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

/* "ADDRESS:PORT" or "[ADDRESS]:PORT" for people and logs. */
const char *address_text(const struct sockaddr *sa, socklen_t len, char *buf, size_t size);

/*
 * A connected TCP socket to the first address of ep that answers within timeout_ms, or -1 after saying
 * why. family is AF_UNSPEC, AF_INET or AF_INET6.
 */
int tcp_connect(const struct endpoint *ep, int family, int timeout_ms, char *peer, size_t peer_size);

int serve_main(int argc, char **argv);
int connect_main(int argc, char **argv);
int trace_main(int argc, char **argv);

#endif
