// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Receive: records larger than the receive buffer.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "rx_common.h"

#include <sys/epoll.h>

RX_FIXTURE(rx_window);

/* the receive buffer is smaller than a record: the window must move although no record is complete */
static void small_window(struct __test_metadata *_metadata, struct rx *self, size_t rec_len, int count, size_t step, int how)
{
	size_t total = rec_len * count, n = 0, got = 0;
	uint8_t *all = malloc(total + count * 64), *buf = malloc(rec_len);
	pid_t pid;

	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVBUF, 1);
	for (int i = 0; i < count; i++)
		n += make(self, all + n, TT_DATA, rec_len, 0, i * rec_len);
	pid = write_in_child(self, all, n, step);
	while (got < total) {
		ssize_t r;

		if (how) {
			ASSERT_LT(0, tt_poll(self->sk, POLLIN, 60000)) TH_LOG("stalled at %zu of %zu", got, total);
		}
		r = recv(self->sk, buf, rec_len, how ? MSG_DONTWAIT : 0);
		if (r < 0 && how) {
			ASSERT_EQ(EAGAIN, errno);
			continue;
		}
		ASSERT_LT(0, r);
		ASSERT_BYTES(buf, r, got);
		got += r;
	}
	EXPECT_EQ(0, tt_child_status(pid));
	free(all);
	free(buf);
}

TEST_F(rx_window, rcvbuf_smaller_than_record)
{
	small_window(_metadata, self, TT_MAX, 6, 100000, 0);
}

TEST_F(rx_window, rcvbuf_smaller_than_record_poll)
{
	small_window(_metadata, self, TT_MAX, 6, 100000, 1);
}

/* CVE-2025-38471: one-byte segments in a tiny buffer make TCP collapse its queue */
TEST_F(rx_window, rcvbuf_tiny_segments)
{
	small_window(_metadata, self, 2500, 2, 1, 0);
}

TEST_F(rx_window, rcvbuf_tiny_segments_poll)
{
	small_window(_metadata, self, 2500, 2, 3, 1);
}

/* a socket that only ever blocks in poll, while the window is full and the record is not complete */
TEST_F(rx_window, rcvbuf_epoll_edge)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	uint8_t *all = malloc(200000), *buf = malloc(TT_MAX);
	int ep = epoll_create1(0);
	size_t n = 0, got = 0;
	pid_t pid;

	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVBUF, 1);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->sk, &ev));
	for (int i = 0; i < 5; i++)
		n += make(self, all + n, TT_DATA, TT_MAX, 0, i * TT_MAX);
	pid = write_in_child(self, all, n, 100000);
	while (got < 5 * TT_MAX) {
		ASSERT_EQ(1, epoll_wait(ep, &ev, 1, 60000)) TH_LOG("stalled at %zu", got);
		for (;;) {
			ssize_t r = recv(self->sk, buf, TT_MAX, MSG_DONTWAIT);

			if (r < 0) {
				ASSERT_EQ(EAGAIN, errno);
				break;
			}
			ASSERT_LT(0, r);
			ASSERT_BYTES(buf, r, got);
			got += r;
		}
	}
	EXPECT_EQ(0, tt_child_status(pid));
	free(all);
	free(buf);
	close(ep);
}

TEST_HARNESS_MAIN
