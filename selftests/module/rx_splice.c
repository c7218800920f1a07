// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Receive: splice into a pipe.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "rx_common.h"

#include <fcntl.h>

RX_FIXTURE(rx_splice);

TEST_F(rx_splice, splice)
{
	uint8_t buf[TT_MAX];
	int p[2];

	ASSERT_EQ(0, pipe(p));
	EXPECT_ERR(EAGAIN, splice(self->sk, NULL, p[1], NULL, 100, SPLICE_F_NONBLOCK));
	for (int i = 0; i < 4; i++) {
		size_t len = i == 3 ? TT_MAX : 100 + i * 1000, got = 0;

		say(self, TT_DATA, len, i);
		while (got < len) {
			ssize_t n = splice(self->sk, NULL, p[1], NULL, i == 1 ? 333 : TT_MAX, 0);

			ASSERT_LT(0, n);
			ASSERT_EQ(n, tt_read_pipe(p[0], buf, n));
			ASSERT_BYTES(buf, n, i + got);
			got += n;
		}
		ASSERT_EQ(len, got);
	}
	/* a part by recv, the rest by splice, and the other way round */
	say(self, TT_DATA, 1000, 0);
	ASSERT_EQ(100, recv(self->sk, buf, 100, 0));
	ASSERT_EQ(200, splice(self->sk, NULL, p[1], NULL, 200, 0));
	ASSERT_EQ(200, tt_read_pipe(p[0], buf, 200));
	EXPECT_BYTES(buf, 200, 100);
	ASSERT_EQ(100, recv(self->sk, buf, 100, MSG_PEEK));
	EXPECT_BYTES(buf, 100, 300);
	ASSERT_EQ(300, splice(self->sk, NULL, p[1], NULL, 300, 0));
	ASSERT_EQ(300, tt_read_pipe(p[0], buf, 300));
	EXPECT_BYTES(buf, 300, 300);
	ASSERT_EQ(400, recv(self->sk, buf, 1000, 0));
	EXPECT_BYTES(buf, 400, 600);
	shutdown(self->peer, SHUT_WR);
	EXPECT_EQ(0, splice(self->sk, NULL, p[1], NULL, 100, 0));
	close(p[0]);
	close(p[1]);
}

/* what is in the pipe is a copy of its own: later records do not change it */
TEST_F(rx_splice, splice_stays)
{
	uint8_t buf[4000];
	int p[2];

	ASSERT_EQ(0, pipe(p));
	say(self, TT_DATA, 4000, 0);
	ASSERT_EQ(4000, splice(self->sk, NULL, p[1], NULL, 4000, 0));
	for (int i = 1; i < 6; i++) {
		say(self, TT_DATA, 4000, i * 4000);
		ASSERT_EQ(4000, tt_read(self->sk, buf, 4000));
	}
	ASSERT_EQ(4000, tt_read_pipe(p[0], buf, 4000));
	EXPECT_BYTES(buf, 4000, 0);
}

/* memory that a pipe has let go of is used again, and no other */
TEST_F(rx_splice, splice_again)
{
	uint8_t buf[TT_MAX];
	int p[2], in = 0, out = 0;

	ASSERT_EQ(0, pipe(p));
	ASSERT_LT(0, fcntl(p[0], F_SETPIPE_SZ, 1 << 20));
	for (int round = 0; round < 60; round++) {
		for (; in - out <= round * 5 % 13; in++) {
			say(self, TT_DATA, TT_MAX, in);
			ASSERT_EQ(TT_MAX, splice(self->sk, NULL, p[1], NULL, TT_MAX, 0));
		}
		ASSERT_EQ(TT_MAX, tt_read_pipe(p[0], buf, TT_MAX));
		ASSERT_BYTES(buf, TT_MAX, out++);
	}
	close(p[0]);
	close(p[1]);
}

/* a pipe with little room takes little, and the rest is still there */
TEST_F(rx_splice, splice_full_pipe)
{
	static uint8_t buf[200000];
	size_t total = 10 * 15000, got = 0;
	uint8_t *all = malloc(2 * total);
	size_t n = 0;
	pid_t pid;
	int p[2];

	ASSERT_EQ(0, pipe(p));
	ASSERT_LE(4096, fcntl(p[1], F_SETPIPE_SZ, 4096));
	for (int i = 0; i < 10; i++)
		n += make(self, all + n, TT_DATA, 15000, 0, i * 15000);
	pid = write_in_child(self, all, n, 5000);
	while (got < total) {
		ssize_t r = splice(self->sk, NULL, p[1], NULL, 65536, SPLICE_F_NONBLOCK);

		if (r < 0) {
			ASSERT_EQ(EAGAIN, errno);
			if (!tt_pending(p[0])) {
				ASSERT_NE(0, tt_poll(self->sk, POLLIN, 20000));
				continue;
			}
		}
		ASSERT_NE(0, r);
		r = read(p[0], buf, 3000);
		ASSERT_LT(0, r);
		ASSERT_BYTES(buf, r, got);
		got += r;
	}
	EXPECT_EQ(0, tt_child_status(pid));
	free(all);
	close(p[0]);
	close(p[1]);
}

TEST_F(rx_splice, splice_control)
{
	uint8_t buf[200], type;
	int p[2];

	ASSERT_EQ(0, pipe(p));
	say(self, TT_DATA, 50, 0);
	say(self, TT_HANDSHAKE, 20, 50);
	say(self, TT_DATA, 50, 70);
	arrived(self);
	ASSERT_EQ(50, splice(self->sk, NULL, p[1], NULL, 1000, 0));
	for (int i = 0; i < 3; i++) {
		EXPECT_ERR(EINVAL, splice(self->sk, NULL, p[1], NULL, 1000, 0));
	}
	EXPECT_ERR(EIO, recv(self->sk, buf, sizeof(buf), 0));
	EXPECT_ERR(EINVAL, splice(self->sk, NULL, p[1], NULL, 1000, 0));
	ASSERT_EQ(20, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, NULL));
	EXPECT_EQ(TT_HANDSHAKE, type);
	EXPECT_BYTES(buf, 20, 50);
	ASSERT_EQ(50, splice(self->sk, NULL, p[1], NULL, 1000, 0));
	ASSERT_EQ(100, tt_read_pipe(p[0], buf, 100));
	EXPECT_BYTES(buf, 50, 0);
	EXPECT_BYTES(buf + 50, 50, 70);
	close(p[0]);
	close(p[1]);
}

/* sendfile and splice out of the socket into a file, over a pipe: many records, odd sizes */
TEST_F(rx_splice, splice_stream)
{
	uint64_t seed = 5;
	size_t total = 0, n = 0, got = 0;
	uint8_t *all = malloc(2 << 20), *buf = malloc(70000);
	pid_t pid;
	int p[2];

	ASSERT_EQ(0, pipe(p));
	while (total < 400000) {
		size_t len = tt_rand(&seed) % 5 ? tt_rand(&seed) % 9000 + 1 : TT_MAX;

		n += make(self, all + n, TT_DATA, len, 0, total);
		total += len;
	}
	pid = write_in_child(self, all, n, 30000);
	while (got < total) {
		ssize_t r;

		if (tt_rand(&seed) % 3) {
			r = splice(self->sk, NULL, p[1], NULL, tt_rand(&seed) % 65536 + 1, 0);
			ASSERT_LT(0, r);
			ASSERT_EQ(r, tt_read_pipe(p[0], buf, r));
		} else {
			r = recv(self->sk, buf, tt_rand(&seed) % 5000 + 1, 0);
			ASSERT_LT(0, r);
		}
		ASSERT_BYTES(buf, r, got);
		got += r;
	}
	EXPECT_EQ(0, tt_child_status(pid));
	free(all);
	free(buf);
}

TEST_HARNESS_MAIN
