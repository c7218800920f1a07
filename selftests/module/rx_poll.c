// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Receive: readable is a socket with a whole record, for poll and for epoll in both modes.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "rx_common.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/wait.h>

RX_FIXTURE(rx_poll);

/* readable when the whole record is there and not a byte earlier */
TEST_F(rx_poll, poll_whole_record_only)
{
	uint8_t rec[400], buf[400];
	size_t n = make(self, rec, TT_DATA, 300, 0, 0);
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = epoll_create1(0);

	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->sk, &ev));
	EXPECT_EQ(0, tt_poll(self->sk, POLLIN | POLLRDNORM, 0));
	for (size_t i = 0; i < n; i++) {
		EXPECT_EQ(0, tt_poll(self->sk, POLLIN | POLLRDNORM, 0)) TH_LOG("after %zu of %zu bytes", i, n);
		EXPECT_EQ(0, epoll_wait(ep, &ev, 1, 0)) TH_LOG("epoll after %zu of %zu bytes", i, n);
		EXPECT_ERR(EAGAIN, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
		wire(self, rec + i, 1);
		arrived(self);
	}
	EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 10000));
	EXPECT_EQ(1, epoll_wait(ep, &ev, 1, 10000));
	EXPECT_EQ(POLLOUT | POLLIN, tt_poll(self->sk, POLLIN | POLLOUT, 10000));
	/* stays readable until the last byte of it is read */
	ASSERT_EQ(299, tt_read(self->sk, buf, 299));
	EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 0));
	ASSERT_EQ(1, tt_read(self->sk, buf, 1));
	EXPECT_EQ(0, tt_poll(self->sk, POLLIN, 0));
	EXPECT_EQ(0, epoll_wait(ep, &ev, 1, 0));
	close(ep);
}

/* poll without a receive in between: nobody has looked at the record yet */
TEST_F(rx_poll, poll_only)
{
	uint8_t rec[400], buf[400];
	size_t n = make(self, rec, TT_DATA, 300, 0, 0), cut[] = { 0, 1, 4, 5, 6, 13, 20, 200, n - 1, n };

	for (size_t i = 0; i + 1 < ARRAY_SIZE(cut); i++) {
		EXPECT_EQ(0, tt_poll(self->sk, POLLIN | POLLRDNORM, 0)) TH_LOG("after %zu bytes", cut[i]);
		wire(self, rec + cut[i], cut[i + 1] - cut[i]);
		arrived(self);
	}
	EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 10000));
	ASSERT_EQ(300, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_BYTES(buf, 300, 0);
	/* a whole record with the head of another: one record's worth of readable */
	n = make(self, rec, TT_DATA, 300, 0, 0);
	wire(self, rec, n);
	n = make(self, rec, TT_DATA, 300, 0, 300);
	wire(self, rec, 100);
	arrived(self);
	EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 10000));
	ASSERT_EQ(300, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_EQ(0, tt_poll(self->sk, POLLIN, 0));
	wire(self, rec + 100, n - 100);
	EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 10000));
	ASSERT_EQ(300, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_BYTES(buf, 300, 300);
}

/* a blocked poll wakes for a record, and sleeps through the pieces of one */
TEST_F(rx_poll, poll_wakes)
{
	uint8_t rec[2000], buf[2000];
	size_t n = make(self, rec, TT_DATA, 1500, 0, 0);
	pid_t pid = write_in_child(self, rec, n, 100);

	EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 30000));
	EXPECT_EQ(1500, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_BYTES(buf, 1500, 0);
	EXPECT_EQ(0, tt_child_status(pid));
}

/* edge-triggered: after reading until EAGAIN every record makes an event, and half of one makes none */
TEST_F(rx_poll, epoll_edge)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	uint8_t rec[3000], buf[3000];
	int ep = epoll_create1(0);

	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->sk, &ev));
	EXPECT_EQ(0, epoll_wait(ep, &ev, 1, 0));
	for (int i = 0; i < 40; i++) {
		size_t len = 1 + i * 50, n = make(self, rec, TT_DATA, len, 0, i), half = 1 + (n - 2) * i / 40;

		wire(self, rec, half);
		arrived(self);
		ASSERT_EQ(0, epoll_wait(ep, &ev, 1, 0)) TH_LOG("event for %zu of %zu bytes", half, n);
		wire(self, rec + half, n - half);
		ASSERT_EQ(1, epoll_wait(ep, &ev, 1, 20000)) TH_LOG("no event for a record of %zu", n);
		EXPECT_NE(0, ev.events & EPOLLIN);
		/* once */
		ASSERT_EQ(0, epoll_wait(ep, &ev, 1, 0));
		ASSERT_EQ(len, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
		ASSERT_BYTES(buf, len, i);
		ASSERT_ERRNO_AGAIN(recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
	}
	/* two records in one segment, read one by one up to EAGAIN */
	for (int i = 0; i < 20; i++) {
		size_t a = make(self, rec, TT_DATA, 100, 0, 0), b = make(self, rec + a, TT_DATA, 100, 0, 100);

		wire(self, rec, a + b);
		ASSERT_EQ(1, epoll_wait(ep, &ev, 1, 20000));
		arrived(self);
		ASSERT_EQ(100, recv(self->sk, buf, 100, MSG_DONTWAIT));
		ASSERT_EQ(100, recv(self->sk, buf, 100, MSG_DONTWAIT));
		ASSERT_BYTES(buf, 100, 100);
		ASSERT_ERRNO_AGAIN(recv(self->sk, buf, 100, MSG_DONTWAIT));
		/* the second record may have been announced on its own */
		epoll_wait(ep, &ev, 1, 0);
	}
	/* end of file is an event */
	shutdown(self->peer, SHUT_WR);
	ASSERT_EQ(1, epoll_wait(ep, &ev, 1, 20000));
	EXPECT_EQ(0, recv(self->sk, buf, 100, MSG_DONTWAIT));
	close(ep);
}

/* a program that waits for an edge, reads some, and waits again must be told of what came meanwhile */
TEST_F(rx_poll, epoll_edge_never_missed)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int ep = epoll_create1(0);
	size_t total = 300 * 700, got = 0;
	uint8_t *all = malloc(total * 2), buf[5000];
	size_t n = 0;
	pid_t pid;

	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->sk, &ev));
	for (int i = 0; i < 300; i++)
		n += make(self, all + n, TT_DATA, 700, 0, i * 700);
	pid = write_in_child(self, all, n, 333);
	while (got < total) {
		ASSERT_EQ(1, epoll_wait(ep, &ev, 1, 30000)) TH_LOG("event missed at %zu", got);
		for (;;) {
			ssize_t r = recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT);

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
	close(ep);
}

/* Reads so many bytes, after as many events as it takes: each either brings them, or EAGAIN and another one. */
static void read_by_events(struct __test_metadata *_metadata, FIXTURE_DATA(rx_poll) *self, int ep, int rounds,
			   uint8_t *buf, size_t size, ssize_t len)
{
	struct epoll_event ev;
	ssize_t n = -1;

	for (int i = 0; i < rounds && n < 0; i++) {
		ASSERT_EQ(1, epoll_wait(ep, &ev, 1, 10000)) TH_LOG("no event, round %d", i);
		n = recv(self->sk, buf, size, MSG_DONTWAIT);
		if (n < 0)
			ASSERT_EQ(EAGAIN, errno);
	}
	ASSERT_EQ(len, n);
}

/* a reader who was let go after many empty records is told that there is more, though nothing more comes */
TEST_F(rx_poll, epoll_edge_behind_empty_records)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int ep = epoll_create1(0);
	uint8_t buf[500];

	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->sk, &ev));
	for (int i = 0; i < 200; i++)
		say(self, TT_DATA, 0, 0);
	say(self, TT_DATA, 100, 0);
	arrived(self);
	read_by_events(_metadata, self, ep, 10, buf, sizeof(buf), 100);
	EXPECT_BYTES(buf, 100, 0);
	close(ep);
}

/* empty records without end behind a byte: whoever asked for more is let go with the byte, and told that there is more */
TEST_F(rx_poll, epoll_edge_behind_a_byte_and_empty_records)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int ep = epoll_create1(0), p[2];
	uint8_t buf[500];
	ssize_t n = -1;

	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->sk, &ev));
	for (int how = 0; how < 3; how++) {
		say(self, TT_DATA, 1, 0);
		for (int i = 0; i < 1000; i++)
			say(self, TT_DATA, 0, 0);
		say(self, TT_DATA, 100, 1);
		arrived(self);
		ASSERT_EQ(1, epoll_wait(ep, &ev, 1, 10000));
		if (how == 2)
			n = splice(self->sk, NULL, p[1], NULL, sizeof(buf), 0);
		else
			n = recv(self->sk, buf, sizeof(buf), how ? 0 : MSG_DONTWAIT);
		ASSERT_EQ(1, n);
		if (how == 2)
			ASSERT_EQ(1, read(p[0], buf, 1));
		EXPECT_BYTES(buf, 1, 0);
		read_by_events(_metadata, self, ep, 50, buf, sizeof(buf), 100);
		EXPECT_BYTES(buf, 100, 1);
	}
	/* who wants all of it gets all of it */
	say(self, TT_DATA, 1, 0);
	for (int i = 0; i < 200; i++)
		say(self, TT_DATA, 0, 0);
	say(self, TT_DATA, 100, 1);
	ASSERT_EQ(101, recv(self->sk, buf, 101, MSG_WAITALL));
	EXPECT_BYTES(buf, 101, 0);
	close(p[0]);
	close(p[1]);
	close(ep);
}

/* a low-water mark above what comes: poll and epoll must not lose the record when it is lowered to where it was */
TEST_F(rx_poll, rcvlowat_and_poll)
{
	uint8_t buf[400];

	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVLOWAT, 1);
	say(self, TT_DATA, 100, 0);
	EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 10000));
	ASSERT_EQ(100, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVLOWAT, 150);
	say(self, TT_DATA, 100, 0);
	say(self, TT_DATA, 100, 100);
	EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 10000));
	ASSERT_EQ(200, recv(self->sk, buf, sizeof(buf), 0));
	EXPECT_BYTES(buf, 200, 0);
}

/* a poll that is asleep when the key comes, with the record already there */
TEST_F(rx_poll, key_wakes_poll)
{
	struct tt_key k = self->k;
	uint8_t buf[100];
	int fd[2], st;
	pid_t pid;

	tt_tcp_pair(variant->family, fd);
	ASSERT_EQ(0, tt_ulp(fd[1]));
	ASSERT_EQ(0, tt_key_set(fd[1], TLS_RX, &k));
	pid = fork();
	if (!pid)
		_exit(tt_poll(fd[1], POLLIN, 30000) == POLLIN ? 0 : 1);
	usleep(100000);
	tt_fill(buf, 100, 0);
	tt_send_data(fd[0], &k, TT_DATA, buf, 100);
	ASSERT_EQ(pid, waitpid(pid, &st, 0));
	EXPECT_EQ(0, st);
	close(fd[0]);
	close(fd[1]);
}

/* half closed on our side, as clients do after their request: poll tells the truth all the same */
TEST_F(rx_poll, poll_after_shutdown_write)
{
	uint8_t rec[400], buf[400];
	size_t n = make(self, rec, TT_DATA, 300, 0, 0);

	wire(self, rec, 100);
	arrived(self);
	ASSERT_EQ(0, shutdown(self->sk, SHUT_WR));
	usleep(20000);
	EXPECT_EQ(0, tt_poll(self->sk, POLLIN | POLLRDNORM, 0));
	wire(self, rec + 100, n - 100);
	EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 10000));
	ASSERT_EQ(300, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_BYTES(buf, 300, 0);
	EXPECT_EQ(0, tt_poll(self->sk, POLLIN, 0));
	shutdown(self->peer, SHUT_WR);
	EXPECT_NE(0, tt_poll(self->sk, POLLIN, 10000) & POLLIN);
	EXPECT_EQ(0, recv(self->sk, buf, sizeof(buf), 0));
}

TEST_HARNESS_MAIN
