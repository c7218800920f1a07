/* SPDX-License-Identifier: MIT */
/*
 * The front of the server: one event loop that accepts connections and runs all handshakes at once, without
 * ever waiting for anybody, and then hands the sockets to the HTTP server (httpd.h).
 */
#ifndef TLSREC_FRONT_H
#define TLSREC_FRONT_H

#include "httpd.h"

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>
#include <tlsrec.h>

struct front_config {
	struct tlsrec_ctx *ctx;
	const char *address;	/* NULL: all */
	long port;		/* 0: any */
	long connections;	/* limit */
	long per_address;	/* of them, for one address */
	long handshake_timeout_s;
	long request_timeout_s;	/* from the first byte to the last */
	FILE *log;		/* or NULL */
};

/* False after saying why not. There is one front in a process; config must outlive it. */
bool front_listen(const struct front_config *config);

unsigned int front_port(void);

/* Until SIGINT or SIGTERM. */
void front_run(void);

/* For httpd_config. */
ssize_t front_receive(struct visit *visit, void *buf, size_t len);
void front_on_visit(struct visit *visit, enum visit_state state);
void front_on_http_close(struct visit *visit, int fd);

/* After httpd_stop(). */
void front_free(void);

#endif
