/* SPDX-License-Identifier: MIT */
/* The socket options: ULP first, keys last. */
#ifndef TLSREC_INSTALL_H
#define TLSREC_INSTALL_H

#include <stdbool.h>

#include "cipher.h"
#include "tlsrec.h"

/* 0, or -1 with a sentence. */
int tr_install_ulp(struct tlsrec_conn *conn);
int tr_install_keys(struct tlsrec_conn *conn);

/* The key of one direction, the first or a later one; 0, or -1 with errno. */
int tr_install_key(struct tlsrec_conn *conn, bool outgoing);

/* False if the ULP is there and refuses the cipher; true also when that cannot be found out. */
bool tr_probe_cipher(const char *ulp, const struct tr_cipher *cipher);

#endif
