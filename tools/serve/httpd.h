/* SPDX-License-Identifier: MIT */
/* Files over HTTP/1.1 on sockets that somebody else has prepared. Nothing here knows of TLS. */
#ifndef TLSREC_HTTPD_H
#define TLSREC_HTTPD_H

#include <stdbool.h>
#include <sys/socket.h>

/* One connection, made by whoever hands over the socket, freed here with free(). */
struct visit {
	char peer[64];
	char note[128];		/* for the log */
	void *connection;	/* for receive and on_close */
};

struct httpd_config {
	int dir;
	unsigned int connections;	/* limit */
	unsigned int idle_timeout_s;
	unsigned int threads;
	bool quiet;
	/* Both are called from any thread. In place of recv(2), whose result and errno it has: */
	ssize_t (*receive)(struct visit *visit, void *buf, size_t len);
	/* Before the socket of a connection is closed; -1: it is closed already. */
	void (*on_close)(struct visit *visit, int fd);
};

/* False after saying why not. There is one server in a process. */
bool httpd_start(const struct httpd_config *config);

/* Takes the socket and the visit, whatever happens; on_close is called for it in any case. */
void httpd_add(int fd, const struct sockaddr *sa, socklen_t len, struct visit *visit);

/* Ends all connections. */
void httpd_stop(void);

#endif
