/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What the programs about transmitting share: a socket with keys, and a bare TCP socket that opens its records. */
#ifndef TX_COMMON_H
#define TX_COMMON_H

#include "tlsrec_test.h"

struct tx {
	int sk;			/* under test: transmit key k, receive key back */
	int peer;		/* bare TCP */
	struct tt_key k, back;
	struct tt_opened *o;
};

#undef FIXTURE_DATA
#define FIXTURE_DATA(fixture) struct tx

#define TX_FIXTURE(fixture)	\
	TT_FIXTURE(fixture, tx)	\
	TT_VARIANTS(fixture)

bool tx_open(struct tx *self, enum tt_family family, uint16_t version, uint16_t cipher);
void tx_close(struct tx *self);

/* read records until total bytes of data came, all as they should be; the number of records, or -1 */
int take(struct tx *self, size_t total, uint64_t pos);
/* a child that takes total bytes, slowly if asked, and then wants the end of the stream if asked */
pid_t take_in_child(struct tx *self, size_t total, uint64_t pos, int delay_us, bool end);

/* memory with the pattern from pos on */
uint8_t *pattern(size_t len, uint64_t pos);
/* the same as a file: 0 in memory, 1 in a directory with whatever file system that is */
int make_file(int kind, size_t len, uint64_t pos);
bool file_is(int fd, size_t len, uint64_t pos);

/* a thread that writes to SCRIBBLED bytes at arg while scribble is set */
#define SCRIBBLED 200000
extern volatile int scribble;
void *scribbler(void *arg);

#endif
