/* SPDX-License-Identifier: MIT */
/* Files over HTTP/1.1 on sockets that somebody else has prepared. Nothing here knows of TLS. */
#ifndef TLSREC_HTTPD_H
#define TLSREC_HTTPD_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

/* One connection, made by whoever hands over the socket. */
struct visit {
	char peer[64];
	char note[128];		/* for the log */
	/* The server's own: */
	struct request *request;
	bool asking;		/* something was read of a request whose answer is not over */
	char start[96];		/* with what it begins */
	size_t start_len;
	struct timespec since;
};

enum visit_state {
	VISIT_WAITS,		/* for the first byte of a request */
	VISIT_ASKS,		/* for the rest of it */
	VISIT_ANSWERED,		/* gets its answer */
};

struct httpd_config {
	int dir;
	bool dot_files;			/* serve and list names that begin with a dot */
	unsigned int connections;	/* limit */
	unsigned int descriptors;	/* all that may be in use are below this */
	unsigned int idle_timeout_s;
	unsigned int threads;
	FILE *log;			/* or NULL */
	/* These are called from any thread. In place of recv(2), whose result and errno it has: */
	ssize_t (*receive)(struct visit *visit, void *buf, size_t len);
	/* In the beginning it waits. */
	void (*on_state)(struct visit *visit, enum visit_state state);
	/* Gives the visit back, before its socket is closed; -1: it is closed already. */
	void (*on_close)(struct visit *visit, int fd);
};

/* False after saying why not. There is one server in a process. */
bool httpd_start(const struct httpd_config *config);

/* Takes the socket and the visit, whatever happens; on_close is called for it in any case. */
void httpd_add(int fd, const struct sockaddr *sa, socklen_t len, struct visit *visit);

/* Ends all connections. */
void httpd_stop(void);

#endif
