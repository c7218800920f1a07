/* SPDX-License-Identifier: MIT */
/* The socket options: ULP first, keys last. All return 0, or -1 with a sentence. */
#ifndef TLSREC_INSTALL_H
#define TLSREC_INSTALL_H

#include "tlsrec.h"

int tr_install_ulp(struct tlsrec_conn *conn);
int tr_install_keys(struct tlsrec_conn *conn);

#endif
