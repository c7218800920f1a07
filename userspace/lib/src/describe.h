/* SPDX-License-Identifier: MIT */
/* Certificates and keys in words. */
#ifndef TLSREC_DESCRIBE_H
#define TLSREC_DESCRIBE_H

#include <openssl/x509.h>

#include "tlsrec.h"

enum { TR_CERT_TEXTS = 7, TR_TIME_LEN = 32 };

/* A description and the strings it points to. */
struct tr_cert {
	struct tlsrec_cert view;
	char *texts[TR_CERT_TEXTS];
};

/* Strings that cannot be had (out of memory) are "". */
void tr_cert_describe(struct tr_cert *out, X509 *cert);
void tr_cert_clear(struct tr_cert *cert);

/* "2026-11-20 18:14 UTC". */
void tr_time_words(const ASN1_TIME *time, char out[TR_TIME_LEN]);

#endif
