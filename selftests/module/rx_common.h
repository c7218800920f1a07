/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What the programs about receiving share: a socket with keys, and a bare TCP socket that makes its records. */
#ifndef RX_COMMON_H
#define RX_COMMON_H

#include "tlsrec_test.h"

struct rx {
	int peer;		/* bare TCP */
	int sk;			/* under test: receive key k, transmit key back */
	struct tt_key k, back;
	uint64_t sent;		/* bytes the peer wrote, for arrived() */
	uint64_t base;
};

#undef FIXTURE_DATA
#define FIXTURE_DATA(fixture) struct rx

#define RX_FIXTURE(fixture)	\
	TT_FIXTURE(fixture, rx)	\
	TT_VARIANTS(fixture)

bool rx_open(struct rx *self, enum tt_family family, uint16_t version, uint16_t cipher);
void rx_close(struct rx *self);

/* the peer writes these bytes */
void wire(struct rx *self, const void *buf, size_t len);
/* everything that was written has reached the socket under test */
void arrived(struct rx *self);
/* the peer sends a record of the pattern from pos on */
void say(struct rx *self, uint8_t type, size_t len, uint64_t pos);
/* the next record, to be sent later; its length on the wire */
size_t make(struct rx *self, uint8_t *rec, uint8_t type, size_t len, size_t pad, uint64_t pos);
/* a child that writes all of buf and ends; the parent goes on */
pid_t write_in_child(struct rx *self, const void *buf, size_t len, size_t step);

#endif
