// SPDX-License-Identifier: GPL-2.0 OR MIT
/* A peek sees what a read would give, however many records it came in. */
#define _GNU_SOURCE
#include "harness.h"
#include "rx_common.h"

#include <fcntl.h>
#include <sys/wait.h>

RX_FIXTURE(peek);

/* many tiny records in a tiny buffer, all of them in TCP's queue before */
TEST_F(peek, waitall_of_tiny_records)
{
	static const int bufs[] = { 2048, 32768, 0 };

	for (size_t b = 0; b < ARRAY_SIZE(bufs); b++) {
		uint8_t buf[40];

		if (bufs[b])
			tt_sockopt(self->sk, SOL_SOCKET, SO_RCVBUF, bufs[b]);
		for (int round = 0; round < 3; round++) {
			for (int i = 0; i < 40; i++) {
				say(self, TT_DATA, 1, i);
				/* one after the other: TCP has room for as many bytes, not for as many packets */
				arrived(self);
			}
			for (int i = 0; i < 2; i++) {
				memset(buf, 0, sizeof(buf));
				ASSERT_EQ(40, recv(self->sk, buf, 40, MSG_PEEK | MSG_WAITALL)) TH_LOG("SO_RCVBUF %d", bufs[b]);
				ASSERT_BYTES(buf, 40, 0);
			}
			ASSERT_EQ(40, recv(self->sk, buf, 40, MSG_PEEK | MSG_DONTWAIT));
			ASSERT_EQ(40, recv(self->sk, buf, 40, 0));
			ASSERT_BYTES(buf, 40, 0);
			EXPECT_ERR(EAGAIN, recv(self->sk, buf, 40, MSG_DONTWAIT));
		}
	}
}

/* they come while it waits */
TEST_F(peek, waitall_wakes)
{
	uint8_t rec[40 * 60], buf[40];
	size_t n = 0;
	pid_t pid;

	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVBUF, 2048);
	for (int i = 0; i < 40; i++)
		n += make(self, rec + n, TT_DATA, 1, 0, i);
	pid = write_in_child(self, rec, n, 17);
	ASSERT_EQ(40, recv(self->sk, buf, 40, MSG_PEEK | MSG_WAITALL));
	ASSERT_BYTES(buf, 40, 0);
	EXPECT_EQ(0, tt_child_status(pid));
	ASSERT_EQ(40, recv(self->sk, buf, 40, 0));
	ASSERT_BYTES(buf, 40, 0);
}

/* everything that SO_RCVBUF let in, in records of one size */
TEST_F(peek, all_that_is_there)
{
	static const size_t sizes[] = { 1, 7, 100, 1500, 2100, 4060, 4070, 5000, 8200, 16384 };
	uint8_t *buf = malloc(200000);

	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVBUF, 60000);
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		size_t len = sizes[s], nr = 40000 / (len + 29), total = nr * len;

		for (size_t i = 0; i < nr; i++) {
			say(self, TT_DATA, len, i * len);
			arrived(self);
		}
		for (int i = 0; i < 2; i++) {
			ASSERT_EQ(total, recv(self->sk, buf, 200000, MSG_PEEK | MSG_DONTWAIT)) TH_LOG("%zu records of %zu", nr, len);
			ASSERT_BYTES(buf, total, 0);
		}
		ASSERT_EQ(total, recv(self->sk, buf, 200000, 0));
		ASSERT_BYTES(buf, total, 0);
	}
	free(buf);
}

/* what does not end is not waited for: more than the buffer may hold is not kept */
TEST_F(peek, more_than_the_buffer)
{
	size_t n = 0, total = 40 * TT_MAX, got = 0;
	uint8_t *all = malloc(2 * total), *buf = malloc(total);
	ssize_t r;
	pid_t pid;

	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVBUF, 20000);
	for (int i = 0; i < 40; i++)
		n += make(self, all + n, TT_DATA, TT_MAX, 0, i * TT_MAX);
	pid = write_in_child(self, all, n, n);
	r = recv(self->sk, buf, total, MSG_PEEK | MSG_WAITALL);
	ASSERT_LT(40000 - TT_MAX, r);
	ASSERT_GT(40000 + 2 * TT_MAX, r);
	ASSERT_BYTES(buf, r, 0);
	while (got < total) {
		r = recv(self->sk, buf, total, 0);
		ASSERT_LT(0, r);
		ASSERT_BYTES(buf, r, got);
		got += r;
	}
	EXPECT_EQ(0, tt_child_status(pid));
	free(all);
	free(buf);
}

/* records of any size, looked at, read in parts and spliced in any order; pipes keep what they were given */
TEST_F(peek, random)
{
	uint8_t *buf = malloc(200000);
	uint64_t seed = 1, sent = 0, got = 0, piped = 0;
	size_t in_pipe = 0;
	int p[2];

	ASSERT_EQ(0, pipe2(p, O_NONBLOCK));
	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVBUF, 100000);
	for (int i = 0; i < 1500; i++) {
		size_t len = tt_rand(&seed) % 4 ? tt_rand(&seed) % 300 : tt_rand(&seed) % 9000;
		ssize_t r = 0;

		if (sent - got < 40000) {
			say(self, TT_DATA, len + 1, sent);
			sent += len + 1;
			arrived(self);
		}
		switch (tt_rand(&seed) % 4) {
		case 0:
			ASSERT_EQ(sent - got, recv(self->sk, buf, 200000, MSG_PEEK | MSG_DONTWAIT)) TH_LOG("step %d", i);
			ASSERT_BYTES(buf, sent - got, got);
			break;
		case 1:
			r = recv(self->sk, buf, 1 + tt_rand(&seed) % 3000, MSG_DONTWAIT);
			ASSERT_LT(0, r);
			ASSERT_BYTES(buf, r, got);
			/* a pipe holds what comes next in the stream, or nothing */
			if (in_pipe) {
				uint8_t *piece = buf + r;

				ASSERT_EQ(in_pipe, tt_read_pipe(p[0], piece, in_pipe));
				ASSERT_BYTES(piece, in_pipe, piped);
				in_pipe = 0;
			}
			break;
		case 2:
			r = splice(self->sk, NULL, p[1], NULL, 1 + tt_rand(&seed) % 3000, SPLICE_F_NONBLOCK);
			if (r < 0) {
				ASSERT_EQ(EAGAIN, errno);
				r = 0;
				break;
			}
			if (!in_pipe)
				piped = got;
			in_pipe += r;
			break;
		default:
			r = recv(self->sk, buf, 1 + tt_rand(&seed) % 3000, MSG_PEEK | MSG_DONTWAIT);
			ASSERT_LT(0, r);
			ASSERT_BYTES(buf, r, got);
			r = 0;
		}
		got += r;
		if (sent == got) {
			say(self, TT_DATA, 1, sent++);
			arrived(self);
		}
	}
	close(p[0]);
	close(p[1]);
	free(buf);
}

/* the end of the stream, and a record of another type, end it as they end a read */
TEST_F(peek, waitall_ends)
{
	uint8_t buf[100], type;

	for (int i = 0; i < 10; i++)
		say(self, TT_DATA, 1, i);
	say(self, TT_ALERT, 2, 0);
	ASSERT_EQ(10, recv(self->sk, buf, sizeof(buf), MSG_PEEK | MSG_WAITALL));
	ASSERT_EQ(10, recv(self->sk, buf, sizeof(buf), MSG_WAITALL));
	ASSERT_BYTES(buf, 10, 0);
	ASSERT_EQ(2, tt_recv_type(self->sk, buf, sizeof(buf), MSG_PEEK, &type, NULL));
	ASSERT_EQ(2, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, NULL));
	EXPECT_EQ(TT_ALERT, type);
	say(self, TT_DATA, 1, 0);
	shutdown(self->peer, SHUT_WR);
	ASSERT_EQ(1, recv(self->sk, buf, sizeof(buf), MSG_PEEK | MSG_WAITALL));
	ASSERT_EQ(1, recv(self->sk, buf, sizeof(buf), MSG_WAITALL));
	ASSERT_EQ(0, recv(self->sk, buf, sizeof(buf), MSG_PEEK | MSG_WAITALL));
}

TEST_HARNESS_MAIN
