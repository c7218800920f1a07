// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Receive: records that cannot be, do not open or come in the wrong order.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "rx_common.h"

#include <fcntl.h>

RX_FIXTURE(rx_hostile);

/* headers that cannot be, each behind a good record that must still be delivered */
TEST_F(rx_hostile, bad_header)
{
	bool tls13 = variant->version == TLS_1_3_VERSION;
	struct { uint8_t h[5]; int err; const char *what; } bad[] = {
		{ { 23, 3, 3, 0xff, 0xff }, EMSGSIZE, "length 65535" },
		{ { 23, 3, 3, 0x42, 0x00 }, EMSGSIZE, "length 2^14 + 512" },
		{ { 22, 3, 3, 0x50, 0x00 }, EMSGSIZE, "long control record" },
		{ { 23, 3, 3, 0, 0 }, EBADMSG, "length 0" },
		{ { 23, 3, 3, 0, 1 }, EBADMSG, "length 1" },
		{ { 23, 3, 3, 0, tls13 ? 15 : 23 }, EBADMSG, "shorter than what every record has" },
		{ { 23, 3, 1, 0, 100 }, EINVAL, "version 3.1" },
		{ { 23, 3, 4, 0, 100 }, EINVAL, "version 3.4" },
		{ { 23, 2, 3, 0, 100 }, EINVAL, "version 2.3" },
		{ { 'H', 'T', 'T', 'P', '/' }, EMSGSIZE, "plain text" },
		{ { 0, 0, 0, 0, 0 }, EBADMSG, "zeros" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
	for (int good = 0; good < 2; good++) {
		struct tt_key k = self->k;
		uint8_t junk[300], buf[300];
		int fd[2], p[2], type_err = 0;

		ASSERT_EQ(0, pipe(p));
		tt_tcp_pair(variant->family, fd);
		tt_install(fd[1], &self->back, &k);
		memset(junk, 0x41, sizeof(junk));
		memcpy(junk, bad[i].h, 5);
		if (good) {
			tt_fill(buf, 100, 0);
			tt_send_data(fd[0], &k, TT_DATA, buf, 100);
		}
		tt_write(fd[0], junk, sizeof(junk));
		if (good) {
			ASSERT_EQ(100, recv(fd[1], buf, sizeof(buf), 0)) TH_LOG("%s", bad[i].what);
			EXPECT_BYTES(buf, 100, 0);
		} else {
			EXPECT_NE(0, tt_poll(fd[1], POLLIN, 10000) & (POLLIN | POLLERR)) TH_LOG("%s", bad[i].what);
		}
		memset(buf, 0x5a, sizeof(buf));
		errno = 0;
		EXPECT_EQ(-1, recv(fd[1], buf, sizeof(buf), 0));
		type_err = errno;
		/* more than one thing can be wrong with garbage */
		if (bad[i].h[0] == 'H' || !bad[i].h[0]) {
			EXPECT_TRUE(type_err == EMSGSIZE || type_err == EINVAL || type_err == EBADMSG) TH_LOG("%s: %s", bad[i].what, strerror(type_err));
		} else {
			EXPECT_EQ(bad[i].err, type_err) TH_LOG("%s: %s", bad[i].what, strerror(type_err));
		}
		/* for good: no data and no end of file from a stream that cannot be understood */
		for (int again = 0; again < 4; again++) {
			errno = 0;
			EXPECT_EQ(-1, recv(fd[1], buf, sizeof(buf), MSG_DONTWAIT | (again & 1 ? MSG_PEEK : 0)));
			EXPECT_TRUE(errno == type_err || errno == EAGAIN) TH_LOG("%s, again: %s", bad[i].what, strerror(errno));
		}
		EXPECT_EQ(-1, splice(fd[1], NULL, p[1], NULL, 100, SPLICE_F_NONBLOCK));
		for (size_t j = 0; j < sizeof(buf); j++) {
			ASSERT_EQ(0x5a, buf[j]);
		}
		close(fd[0]);
		close(fd[1]);
		close(p[0]);
		close(p[1]);
	}
}

/* the header is judged as soon as it is there, not when the record it promises is complete */
TEST_F(rx_hostile, bad_header_alone)
{
	uint8_t h[5] = { 23, 3, 3, 0xff, 0xff }, buf[10];

	wire(self, h, 5);
	arrived(self);
	EXPECT_NE(0, tt_poll(self->sk, POLLIN, 10000));
	EXPECT_ERR(EMSGSIZE, recv(self->sk, buf, sizeof(buf), 0));
}

/* the largest record there may be, and one byte more */
TEST_F(rx_hostile, largest_record)
{
	bool tls13 = variant->version == TLS_1_3_VERSION;
	uint8_t *rec = malloc(TT_REC_MAX), *buf = malloc(TT_REC_MAX);
	size_t n = make(self, rec, TT_DATA, TT_MAX, 0, 0);

	wire(self, rec, n);
	ASSERT_EQ(TT_MAX, tt_read(self->sk, buf, TT_MAX));
	EXPECT_BYTES(buf, TT_MAX, 0);
	if (tls13) {
		/* padding up to the brim */
		wire(self, rec, make(self, rec, TT_DATA, 100, TT_MAX - 100, 7));
		ASSERT_EQ(100, recv(self->sk, buf, TT_MAX, 0));
		EXPECT_BYTES(buf, 100, 7);
	}
	n = make(self, rec, TT_DATA, TT_MAX + 1, 0, 0);
	wire(self, rec, n);
	EXPECT_ERR(EMSGSIZE, recv(self->sk, buf, TT_REC_MAX, 0));
	free(rec);
	free(buf);
}

/* every class of bits of a record, flipped one at a time: nothing of it may come out, now or later */
TEST_F(rx_hostile, flipped_bits)
{
	size_t len = 100;
	uint8_t rec[300], buf[300];

	for (int good = 0; good < 2; good++)
	for (size_t at = 0; at < tt_overhead(&self->k) + len; at++) {
		struct tt_key k = self->k;
		uint8_t data[100];
		struct tt_rec r = { .type = TT_DATA, .data = data, .len = len };
		size_t n;
		int fd[2], err;

		/* bytes in the middle of the ciphertext are all alike */
		if (at > 20 && at < 115)
			at = 115;
		tt_tcp_pair(variant->family, fd);
		tt_install(fd[1], &self->back, &k);
		tt_fill(data, len, 0);
		if (good)
			tt_send_rec(fd[0], &k, &r);
		n = tt_seal(&k, &r, rec);
		rec[at] ^= at % 3 == 0 ? 1 : 1 << (at % 8);
		if (at == 0)
			rec[0] = TT_HANDSHAKE;
		if (at == 3)
			rec[3] ^= 0x80;
		/* a length that is too small makes a second record of the rest: more bytes, so that the first is complete */
		tt_write(fd[0], rec, n);
		memset(data, 0, sizeof(data));
		tt_write(fd[0], data, sizeof(data));
		if (good) {
			ASSERT_EQ(len, recv(fd[1], buf, sizeof(buf), 0));
		}
		memset(buf, 0x5a, sizeof(buf));
		errno = 0;
		ASSERT_EQ(-1, recv(fd[1], buf, sizeof(buf), 0)) TH_LOG("byte %zu", at);
		err = errno;
		if (at == 1 || at == 2) {
			EXPECT_EQ(EINVAL, err) TH_LOG("byte %zu", at);
		} else if (at == 3) {
			EXPECT_EQ(EMSGSIZE, err) TH_LOG("byte %zu", at);
		} else {
			EXPECT_EQ(EBADMSG, err) TH_LOG("byte %zu: %s", at, strerror(err));
		}
		for (int again = 0; again < 3; again++) {
			ssize_t ret = again ? recv(fd[1], buf, sizeof(buf), MSG_DONTWAIT | MSG_PEEK) :
				tt_recv_type(fd[1], buf, sizeof(buf), MSG_DONTWAIT, NULL, NULL);

			EXPECT_EQ(-1, ret) TH_LOG("byte %zu, again", at);
			if (err == EBADMSG) {
				EXPECT_EQ(EBADMSG, errno) TH_LOG("byte %zu, again: %s", at, strerror(errno));
			}
		}
		for (size_t j = 0; j < sizeof(buf); j++) {
			ASSERT_EQ(0x5a, buf[j]) TH_LOG("byte %zu: something was written at %zu", at, j);
		}
		close(fd[0]);
		close(fd[1]);
	}
}

/* TLS 1.3: the outer type is authenticated as received, whatever it was changed to */
TEST_F(rx_hostile, flipped_outer_type)
{
	int types[] = { 0, 20, 21, 22, 24, 255 };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct tt_key k = self->k;
		uint8_t rec[200], buf[200], type;
		struct tt_rec r = { .type = TT_DATA, .data = "secret", .len = 6 };
		int fd[2];
		size_t n;

		tt_tcp_pair(variant->family, fd);
		tt_install(fd[1], &self->back, &k);
		n = tt_seal(&k, &r, rec);
		rec[0] = types[i];
		tt_write(fd[0], rec, n);
		EXPECT_ERR(EBADMSG, tt_recv_type(fd[1], buf, sizeof(buf), 0, &type, NULL));
		close(fd[0]);
		close(fd[1]);
	}
}

/* an error that comes while a call already has bytes is told by the next one */
TEST_F(rx_hostile, bad_in_large_read)
{
	uint8_t rec[1000], buf[1000];
	size_t n;
	int p[2];

	say(self, TT_DATA, 100, 0);
	say(self, TT_DATA, 100, 100);
	n = make(self, rec, TT_DATA, 100, 0, 0);
	rec[n - 1] ^= 1;
	wire(self, rec, n);
	say(self, TT_DATA, 100, 300);
	arrived(self);
	ASSERT_EQ(200, recv(self->sk, buf, sizeof(buf), MSG_WAITALL));
	EXPECT_BYTES(buf, 200, 0);
	for (int i = 0; i < 3; i++) {
		EXPECT_ERR(EBADMSG, recv(self->sk, buf, sizeof(buf), 0));
	}
	ASSERT_EQ(0, pipe(p));
	EXPECT_ERR(EBADMSG, splice(self->sk, NULL, p[1], NULL, 100, SPLICE_F_NONBLOCK));
	EXPECT_EQ(0, tt_pending(p[0]));
}

TEST_F(rx_hostile, replay_skip_reorder)
{
	for (int what = 0; what < 3; what++) {
		struct tt_key k = self->k;
		uint8_t rec[2][100], buf[100];
		struct tt_rec r = { .type = TT_DATA, .data = "0123456789", .len = 10 };
		size_t n;
		int fd[2];

		tt_tcp_pair(variant->family, fd);
		tt_install(fd[1], &self->back, &k);
		n = tt_seal(&k, &r, rec[0]);
		tt_seal(&k, &r, rec[1]);
		if (what == 0) {
			tt_write(fd[0], rec[0], n);
			ASSERT_EQ(10, recv(fd[1], buf, sizeof(buf), 0));
			tt_write(fd[0], rec[0], n);
		} else {
			tt_write(fd[0], rec[1], n);
			if (what == 2)
				tt_write(fd[0], rec[0], n);
		}
		EXPECT_ERR(EBADMSG, recv(fd[1], buf, sizeof(buf), 0));
		close(fd[0]);
		close(fd[1]);
	}
}

TEST_F(rx_hostile, no_content_type)
{
	size_t lens[] = { 0, 1, 50, 5000 };
	static uint8_t zero[5000], rec[6000], buf[100];

	if (variant->version != TLS_1_3_VERSION)
		SKIP(return, "the inner content type is of TLS 1.3");
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		struct tt_key k = self->k;
		struct tt_rec r = { .type = 0, .data = zero, .len = lens[i] };
		int fd[2];

		tt_tcp_pair(variant->family, fd);
		tt_install(fd[1], &self->back, &k);
		tt_write(fd[0], rec, tt_seal(&k, &r, rec));
		for (int j = 0; j < 3; j++) {
			EXPECT_ERR(EBADMSG, recv(fd[1], buf, sizeof(buf), 0));
		}
		close(fd[0]);
		close(fd[1]);
	}
}

TEST_HARNESS_MAIN
