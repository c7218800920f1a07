// SPDX-License-Identifier: GPL-2.0 OR MIT
/* What has been told and done with is not told again: poll is quiet then. */
#define _GNU_SOURCE
#include "harness.h"
#include "rx_common.h"

#include <sys/epoll.h>

RX_FIXTURE(quiet);

/* the peer goes on until the window is shut and nothing of it has moved for a while */
static void flood(struct rx *self)
{
	uint8_t junk[4096];
	int full = 0;

	memset(junk, 0xff, sizeof(junk));
	while (full < 20) {
		if (send(self->peer, junk, sizeof(junk), MSG_DONTWAIT) > 0) {
			full = 0;
			continue;
		}
		TT_MUST(errno == EAGAIN);
		full++;
		usleep(10000);
	}
}

/* a header that is none, reported; then a level-triggered reader that goes on, and a peer that does */
TEST_F(quiet, after_a_bad_header)
{
	static const uint8_t bad[][5] = { { TT_DATA, 3, 3, 0xff, 0xff }, { TT_DATA, 9, 9, 0, 100 } };
	static const int err[] = { EMSGSIZE, EINVAL };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
	for (int before = 0; before < 2; before++) {
		struct epoll_event ev = { .events = EPOLLIN };
		int ep = epoll_create1(0);
		struct rx s = { };
		uint8_t buf[100];

		ASSERT_TRUE(rx_open(&s, variant->family, variant->version, variant->cipher));
		tt_sockopt(s.sk, SOL_SOCKET, SO_RCVBUF, 1);
		tt_sockopt(s.peer, SOL_SOCKET, SO_SNDBUF, 1);
		ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, s.sk, &ev));
		wire(&s, bad[i], 5);
		if (before)
			flood(&s);
		ASSERT_EQ(POLLIN, tt_poll(s.sk, POLLIN, 20000));
		EXPECT_ERR(err[i], recv(s.sk, buf, sizeof(buf), MSG_DONTWAIT));
		EXPECT_ERR(EAGAIN, recv(s.sk, buf, sizeof(buf), MSG_DONTWAIT));
		if (!before)
			flood(&s);
		for (int j = 0; j < 5; j++) {
			EXPECT_EQ(0, tt_poll(s.sk, POLLIN, 0)) TH_LOG("poll %d of header %zu", j, i);
			EXPECT_EQ(0, epoll_wait(ep, &ev, 1, 0)) TH_LOG("epoll %d of header %zu", j, i);
			EXPECT_ERR(EAGAIN, recv(s.sk, buf, sizeof(buf), MSG_DONTWAIT));
		}
		/* the other direction lives, and who waits is told again */
		EXPECT_EQ(3, send(s.sk, "abc", 3, 0));
		EXPECT_ERR(err[i], recv(s.sk, buf, sizeof(buf), 0));
		close(ep);
		rx_close(&s);
	}
}

/* urgent bytes in line, as they are for TCP with SO_OOBINLINE: POLLPRI until the byte is read */
TEST_F(quiet, after_an_urgent_byte)
{
	int plain[2];

	tt_tcp_pair(variant->family, plain);
	tt_sockopt(plain[1], SOL_SOCKET, SO_OOBINLINE, 1);
	for (int i = 0; i < 4; i++) {
		uint8_t rec[200], buf[200];
		size_t n = make(self, rec, TT_DATA, 100, 0, i), at[] = { 0, 3, 50, n - 1 };
		struct { int peer, sk; size_t read; } end[] = {
			{ self->peer, self->sk, 100 }, { plain[0], plain[1], n },
		};

		for (int e = 0; e < 2; e++) {
			if (at[i])
				tt_write(end[e].peer, rec, at[i]);
			ASSERT_EQ(1, send(end[e].peer, rec + at[i], 1, MSG_OOB));
			if (n - at[i] - 1)
				tt_write(end[e].peer, rec + at[i] + 1, n - at[i] - 1);
			EXPECT_EQ(POLLPRI, tt_poll(end[e].sk, POLLPRI, 20000));
			ASSERT_EQ(end[e].read, tt_read(end[e].sk, buf, end[e].read));
			EXPECT_EQ(0, tt_poll(end[e].sk, POLLPRI | POLLIN, 0)) TH_LOG("round %d, %s", i, e ? "TCP" : "TLS");
		}
	}
	close(plain[0]);
	close(plain[1]);
}

TEST_HARNESS_MAIN
