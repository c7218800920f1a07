/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What the programs about key updates share: a socket with both keys and a bare TCP socket, and the keys of later generations. */
#ifndef REKEY_COMMON_H
#define REKEY_COMMON_H

#include "tlsrec_test.h"

#include <fcntl.h>

struct rekey {
	int peer;		/* bare TCP */
	int sk;			/* both keys set */
	struct tt_key tx, rx;	/* of sk */
	struct tt_opened *o;
	uint8_t *data, *buf;
	bool counted;		/* nobody else's connections are in the counters */
};

#define ROOM 100000		/* of data and buf */

#undef FIXTURE_DATA
#define FIXTURE_DATA(fixture) struct rekey

#define REKEY_FIXTURE(fixture)									\
	TT_FIXTURE(fixture, rekey)								\
	TT_VARIANT(fixture, gcm128_ip4, TT_IP4, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128);	\
	TT_VARIANT(fixture, gcm256_ip6, TT_IP6, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256);	\
	TT_VARIANT(fixture, ccm128_mapped, TT_MAPPED, TLS_1_3_VERSION, TLS_CIPHER_AES_CCM_128);	\
	TT_VARIANT(fixture, chacha20_ip4, TT_IP4, TLS_1_3_VERSION, TLS_CIPHER_CHACHA20_POLY1305)

/* false when the kernel has no such cipher */
bool rekey_open(struct rekey *self, enum tt_family family, uint16_t version, uint16_t cipher);
void rekey_close(struct rekey *self);

/* RFC 8446 4.6.3, update_requested = 0 */
extern const uint8_t key_update[5];

/* The key of a generation of a direction. Sequence numbers begin anywhere, as they do when a program counts on. */
struct tt_key generation(const struct tt_key *k, unsigned int gen);
bool same_key(int fd, int dir, const struct tt_key *want);

/* Records that go out in one write, so that they are in one segment. */
struct flight {
	uint8_t *buf;
	size_t len;
};

void add(struct flight *f, struct tt_key *k, uint8_t type, const void *data, size_t len);
void add_fill(struct flight *f, struct tt_key *k, size_t len, uint64_t pos);
void add_update(struct flight *f, struct tt_key *k);
/* and all of it is there when this returns */
void fly(struct flight *f, int from, int to);

#define RECV_TYPE(expect, length) do {							\
	uint8_t __t = 0;								\
											\
	ASSERT_EQ(length, tt_recv_type(self->sk, self->buf, ROOM, 0, &__t, NULL))	\
		TH_LOG("%s", strerror(errno));						\
	ASSERT_EQ(expect, __t);								\
} while (0)

#define RECV_UPDATE() do {								\
	RECV_TYPE(TT_HANDSHAKE, 5);							\
	ASSERT_EQ(0, memcmp(self->buf, key_update, 5));					\
} while (0)

#define RECV_DATA(length, pos) do {							\
	ASSERT_EQ(length, tt_read(self->sk, self->buf, length))				\
		TH_LOG("%s", strerror(errno));						\
	ASSERT_BYTES(self->buf, length, pos);						\
} while (0)

/* Whatever way one asks, the answer is that the key is missing. */
#define EXPECT_EXPIRED() do {								\
	int __p[2];									\
											\
	ASSERT_EQ(0, pipe(__p));							\
	EXPECT_ERR(EKEYEXPIRED, recv(self->sk, self->buf, ROOM, 0));			\
	EXPECT_ERR(EKEYEXPIRED, recv(self->sk, self->buf, ROOM, MSG_DONTWAIT));		\
	EXPECT_ERR(EKEYEXPIRED, recv(self->sk, self->buf, ROOM, MSG_PEEK));		\
	EXPECT_ERR(EKEYEXPIRED, recv(self->sk, self->buf, ROOM, MSG_WAITALL));		\
	EXPECT_ERR(EKEYEXPIRED, read(self->sk, self->buf, 1));				\
	EXPECT_ERR(EKEYEXPIRED, tt_recv_type(self->sk, self->buf, ROOM, 0, NULL, NULL));	\
	EXPECT_ERR(EKEYEXPIRED, splice(self->sk, NULL, __p[1], NULL, 100, 0));		\
	EXPECT_ERR(EKEYEXPIRED, splice(self->sk, NULL, __p[1], NULL, 100, SPLICE_F_NONBLOCK));	\
	EXPECT_EQ(0, tt_poll(self->sk, POLLIN | POLLRDNORM, 0));			\
	close(__p[0]);									\
	close(__p[1]);									\
} while (0)

/* how many updates there were, with the result that programs and operators see */
#define EXPECT_COUNTS(txok, txerr, rxok, rxerr, received) do {				\
	if (self->counted) {								\
		EXPECT_EQ(txok, tt_counter("TlsTxRekeyOk"));				\
		EXPECT_EQ(txerr, tt_counter("TlsTxRekeyError"));			\
		EXPECT_EQ(rxok, tt_counter("TlsRxRekeyOk"));				\
		EXPECT_EQ(rxerr, tt_counter("TlsRxRekeyError"));			\
		EXPECT_EQ(received, tt_counter("TlsRxRekeyReceived"));			\
	}										\
} while (0)

#endif
