/* SPDX-License-Identifier: MIT */
/*
 * The BIO between OpenSSL and the socket. It hands OpenSSL one record at a time, first the header,
 * then the rest, and asks the socket for no byte beyond it: whatever stands behind the last
 * handshake message stays in the TCP queue, for the kernel to decrypt. It never blocks.
 */
#ifndef TLSREC_WIRE_H
#define TLSREC_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/bio.h>

#include "record.h"

/* Where in a record one direction of the byte stream stands. */
struct tr_cut {
	uint8_t header[TR_HEADER_LEN];
	uint8_t have;				/* header bytes so far */
	uint16_t left;				/* body bytes to come */
	uint8_t nonce[TR_EXPLICIT_LEN];		/* first bytes of the last record's body */
	uint8_t nonce_len;
};

struct tr_wire {
	int fd;
	struct tr_cut in;
	struct tr_cut out;
	bool eof;		/* the peer closed its direction */
	bool not_tls;		/* what came first is no TLS record; see in.header */
	int err;		/* errno of a failed send or recv */
	/* After the handshake OpenSSL is fed from memory instead. */
	bool detached;
	const uint8_t *feed;
	size_t feed_len;
};

/* One per context; NULL when out of memory. */
BIO_METHOD *tr_wire_method(void);

/* A BIO on wire, which must outlive it. */
BIO *tr_wire_bio(BIO_METHOD *method, struct tr_wire *wire);

#endif
