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
};

/* From the connection's SSL object and what was seen; 0, or -1 with a sentence. */
int tr_keys_derive(struct tlsrec_conn *conn);

/* "AES-128-GCM". */
const char *tr_cipher_name(size_t key_len);

#endif
