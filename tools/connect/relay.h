/* SPDX-License-Identifier: MIT */
/* Standard input and output, joined to a connection until it is over. */
#ifndef TLSREC_RELAY_H
#define TLSREC_RELAY_H

#include "common/say.h"

#include <stdbool.h>
#include <tlsrec.h>

/*
 * half_close: the end of standard input is told to the server, and reading goes on. Says what went wrong;
 * the socket is nonblocking afterwards.
 */
enum status relay(struct tlsrec_conn *conn, bool half_close);

#endif
