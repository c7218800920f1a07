/* SPDX-License-Identifier: MIT */
/* Both ends of a TCP connection by the library, their keys in the kernel. ULP=NAME chooses the ULP (default tlsrec). */
#ifndef TLSREC_TEST_BOTH_H
#define TLSREC_TEST_BOTH_H

#include <stdbool.h>

#include "pki.h"
#include "tlsrec.h"

enum { TIMEOUT_MS = 30000 };

/* Ends the program when the kernel has no such ULP. */
void both_need_ulp(void);

/* As our_ctx(), with the ULP. */
struct tlsrec_ctx *kernel_ctx(bool server, const struct pki_cert *cert, const struct pki_cert *root);

/* A TCP connection to ourselves: 0 or -1. */
int tcp_pair(int family, int fd[2]);

struct both {
	/* Set before both_start(), or 0: a version to hold to. */
	int version;
	bool bare;	/* the client's keys stay in its object, for records that no kernel makes */

	/* Set by it: client, server. */
	struct tlsrec_ctx *ctx[2];
	struct tlsrec_conn *conn[2];
	int fd[2];
};

bool both_start(struct both *both, const struct pki_cert *root, const struct pki_cert *cert);
void both_end(struct both *both);

#endif
