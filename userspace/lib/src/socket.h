/* SPDX-License-Identifier: MIT */
/* Records on a socket whose keys the kernel has. Knows the socket only, not the connection. */
#ifndef TLSREC_SOCKET_H
#define TLSREC_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { TR_NO_TYPE = -1 };	/* no record was read: end of file */

/* One record of a content type of its own. flags of sendmsg(2); 0, or -1 with errno. */
int tr_send_typed(int fd, uint8_t type, const void *data, size_t len, int flags);

/* An alert; flags of sendmsg(2). */
int tr_send_alert(int fd, int level, int description, int flags);

struct tr_received {
	int type;	/* content type, or TR_NO_TYPE */
	bool whole;	/* nothing of the record is left */
};

/* recv(2) that also tells what it was. */
ssize_t tr_recv_typed(int fd, void *buf, size_t len, int flags, struct tr_received *what);

#endif
