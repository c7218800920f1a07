/* SPDX-License-Identifier: MIT */
/* Calls of a socket, many in one ioctl() of /proc/calls, and what they took. */
#ifndef NATIVE_CALLS_H
#define NATIVE_CALLS_H

#include <linux/ioctl.h>
#include <linux/types.h>

struct calls {
	__s32 fd;	/* the socket */
	__s32 file;	/* to send from by sendfile() */
	__u64 data;	/* what to send, or where to receive; offset in the file */
	__u64 len;	/* bytes, of all calls together */
	__u64 call;	/* bytes of a call, at most */
	__u64 ticks;	/* out: time stamp counter from the first call to the last */
};

#define CALLS_SEND	_IOWR('t', 1, struct calls)
#define CALLS_SENDFILE	_IOWR('t', 2, struct calls)
#define CALLS_RECV	_IOWR('t', 3, struct calls)
#define CALLS_DISCARD	_IOWR('t', 4, struct calls)	/* recv() with MSG_TRUNC */

#endif
