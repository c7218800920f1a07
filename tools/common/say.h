/* SPDX-License-Identifier: MIT */
/* What a command has to say when it ends: an exit status, a sentence. */
#ifndef TLSREC_SAY_H
#define TLSREC_SAY_H

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

/* One sentence on standard error, with the name of the program in front; what is in it need not be clean. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
