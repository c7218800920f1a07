/* SPDX-License-Identifier: MIT */
/* Records on a socket whose keys the kernel has. */
#ifndef TLSREC_SOCKET_H
#define TLSREC_SOCKET_H

#include <stddef.h>
#include <stdint.h>

/* One record of a content type of its own. flags of sendmsg(2); 0, or -1 with errno. */
int tr_send_typed(int fd, uint8_t type, const void *data, size_t len, int flags);

#endif
