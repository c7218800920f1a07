/* SPDX-License-Identifier: MIT */
/* What is wrong with certificates, in words. */
#ifndef TLSREC_REASONS_H
#define TLSREC_REASONS_H

#include <openssl/x509.h>

#include "verify.h"

/* All problems found with the certificate at depth, joined; "" if there are none. */
void tr_reason_cert(const struct tlsrec_conn *conn, X509 *cert, int depth,
		    char out[TR_REASON_LEN]);

/*
 * The verdict on the whole chain, as the end of a sentence that starts with the peer's own
 * certificate. code speaks where no certificate is to blame.
 */
void tr_reason_chain(const struct tlsrec_conn *conn, STACK_OF(X509) *chain, int code,
		     char out[TR_REASON_LEN]);

#endif
