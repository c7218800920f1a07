/* SPDX-License-Identifier: MIT */
/* What a finished handshake leaves for the kernel. */
#ifndef TLSREC_KEYS_H
#define TLSREC_KEYS_H

#include "kdf.h"
#include "tlsrec.h"

struct tr_keys {
	int version;		/* TLSREC_TLS_1_2 or _1_3 */
	struct tr_dir tx;
	struct tr_dir rx;
	/* Where OpenSSL stands on a client with TLS 1.3: it goes on to read tickets, no more. */
	struct tr_dir fed;
	/* TLS 1.3: application traffic secrets, which the next ones come from. */
	const EVP_MD *md;
	uint8_t tx_secret[EVP_MAX_MD_SIZE];
	uint8_t rx_secret[EVP_MAX_MD_SIZE];
};

/* From the connection's SSL object and what was seen; 0, or -1 with a sentence. */
int tr_keys_derive(struct tlsrec_conn *conn);

#endif
