// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Transmit: a full send buffer: calls that wait, time out or are interrupted, and who is told when there is room.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "tx_common.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/time.h>
#include <sys/wait.h>

TX_FIXTURE(tx_space);

/* a full buffer: EAGAIN, counts to the byte, writable again after the peer has read */
TEST_F(tx_space, nonblocking)
{
	size_t chunk = 50000, sent = 0, got = 0;
	uint8_t *data = malloc(chunk);

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 40000);
	tt_nonblock(self->sk, true);
	for (int round = 0; round < 6; round++) {
		for (;;) {
			ssize_t n;

			tt_fill(data, chunk, sent);
			n = send(self->sk, data, chunk, round & 1 ? MSG_MORE : 0);
			if (n < 0) {
				ASSERT_EQ(EAGAIN, errno);
				break;
			}
			ASSERT_LT(0, n);
			sent += n;
		}
		EXPECT_EQ(0, tt_poll(self->sk, POLLOUT, 0) & POLLOUT);
		EXPECT_ERR(EAGAIN, send(self->sk, data, 1, MSG_DONTWAIT));
		while (!(tt_poll(self->sk, POLLOUT, 0) & POLLOUT)) {
			ASSERT_NE(0, tt_poll(self->peer, POLLIN, 20000));
			ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
			ASSERT_BYTES(self->o->data, self->o->len, got);
			got += self->o->len;
		}
	}
	/* all that was counted, and nothing else */
	tt_nonblock(self->sk, false);
	pid_t pid = take_in_child(self, sent + 10 - got, got, 0, true);

	tt_fill(data, 10, sent);
	ASSERT_EQ(10, send(self->sk, data, 10, 0));
	close(self->sk);
	EXPECT_EQ(0, tt_child_status(pid));
	self->sk = -1;
	free(data);
}

/* what the kernel took leaves by itself when there is room: no further call is needed */
TEST_F(tx_space, accepted_data_leaves)
{
	size_t chunk = 16384, sent = 0;
	uint8_t *data = malloc(chunk);

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 20000);
	tt_nonblock(self->sk, true);
	for (;;) {
		ssize_t n;

		tt_fill(data, chunk, sent);
		n = send(self->sk, data, chunk, 0);
		if (n < 0)
			break;
		sent += n;
	}
	EXPECT_LE(1, take(self, sent, 0));
	EXPECT_EQ(0, tt_pending(self->peer));
	free(data);
}

TEST_F(tx_space, epollout_edge)
{
	struct epoll_event ev = { .events = EPOLLOUT | EPOLLET };
	int ep = epoll_create1(0);
	size_t sent = 0, got = 0, chunk = 30000;
	uint8_t *data = malloc(chunk);

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 40000);
	tt_nonblock(self->sk, true);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->sk, &ev));
	ASSERT_EQ(1, epoll_wait(ep, &ev, 1, 1000));
	for (int round = 0; round < 5; round++) {
		for (;;) {
			ssize_t n;

			tt_fill(data, chunk, sent);
			n = send(self->sk, data, chunk, 0);
			if (n < 0)
				break;
			sent += n;
		}
		ASSERT_EQ(EAGAIN, errno);
		while (got < sent) {
			ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
			ASSERT_BYTES(self->o->data, self->o->len, got);
			got += self->o->len;
		}
		ASSERT_EQ(1, epoll_wait(ep, &ev, 1, 20000)) TH_LOG("no event when there was room again");
	}
	free(data);
	close(ep);
}

static void nothing(int sig)
{
	(void)sig;
}

static void alarms(int usec)
{
	struct sigaction sa = { .sa_handler = nothing };
	struct itimerval it = { { 0, usec }, { 0, usec } };

	TT_MUST(sigaction(SIGALRM, &sa, NULL) == 0);
	TT_MUST(setitimer(ITIMER_REAL, &it, NULL) == 0);
}

/* signals without SA_RESTART: short counts and EINTR, no byte lost or repeated */
TEST_F(tx_space, signals)
{
	size_t total = 1500000, sent = 0;
	uint64_t seed = 7;
	uint8_t *data = malloc(100000);
	pid_t pid;
	int eintr = 0, part = 0;

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 30000);
	tt_sockopt(self->peer, SOL_SOCKET, SO_RCVBUF, 30000);
	pid = take_in_child(self, total, 0, 500, false);
	alarms(3000);
	while (sent < total) {
		size_t len = 1 + tt_rand(&seed) % 100000;
		ssize_t n;

		if (len > total - sent)
			len = total - sent;
		tt_fill(data, len, sent);
		n = send(self->sk, data, len, tt_rand(&seed) % 4 || len == total - sent ? 0 : MSG_MORE);
		if (n < 0) {
			ASSERT_EQ(EINTR, errno);
			eintr++;
			continue;
		}
		ASSERT_LT(0, n);
		part += (size_t)n < len;
		sent += n;
	}
	alarms(0);
	/* the last piece may have been cut short with MSG_MORE not set: it is a record already */
	EXPECT_EQ(0, tt_child_status(pid));
	TH_LOG("%d EINTR, %d short counts", eintr, part);
	free(data);
}

TEST_F(tx_space, signals_sendfile)
{
	size_t total = 1000000;
	int fd = make_file(1, total, 0);
	off_t off = 0;
	pid_t pid;

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 30000);
	tt_sockopt(self->peer, SOL_SOCKET, SO_RCVBUF, 30000);
	pid = take_in_child(self, total, 0, 500, false);
	alarms(3000);
	while ((size_t)off < total) {
		off_t before = off;
		ssize_t n = sendfile(self->sk, fd, &off, total - off);

		if (n < 0) {
			ASSERT_EQ(EINTR, errno);
		} else {
			ASSERT_EQ(n, off - before);
		}
	}
	alarms(0);
	EXPECT_EQ(0, tt_child_status(pid));
	EXPECT_TRUE(file_is(fd, total, 0));
	close(fd);
}

/* CVE-2023-54306: two writers, a closed window, and a signal that must get through to both */
TEST_F(tx_space, killed_while_waiting)
{
	static uint8_t big[400000];
	pid_t pid[2];
	uint64_t end;

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 20000);
	for (int i = 0; i < 2; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			for (;;)
				send(self->sk, big, sizeof(big), 0);
		}
	}
	sleep(1);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, kill(pid[i], SIGTERM));
	}
	end = tt_now_ms() + 30000;
	for (int i = 0; i < 2; i++) {
		int st, r;

		while (!(r = waitpid(pid[i], &st, WNOHANG)) && tt_now_ms() < end)
			usleep(10000);
		EXPECT_EQ(pid[i], r) TH_LOG("writer %d does not die", i);
	}
	/* the stream is in order all the same: nothing but whole records */
	tt_nonblock(self->sk, true);
	for (int i = 0; i < 3 && tt_pending(self->peer) > 5; i++) {
		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
	}
}

TEST_F(tx_space, sndbuf_tiny)
{
	size_t total = 60000;
	uint8_t *data = pattern(total, 0);
	pid_t pid;

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 1);
	tt_sockopt(self->peer, SOL_SOCKET, SO_RCVBUF, 1);
	pid = take_in_child(self, total, 0, 0, true);
	ASSERT_EQ(total, send(self->sk, data, total, 0));
	close(self->sk);
	EXPECT_EQ(0, tt_child_status(pid));
	self->sk = -1;
	free(data);
}

TEST_F(tx_space, sndtimeo)
{
	struct timeval tv = { .tv_usec = 200000 };
	size_t chunk = 300000, sent = 0;
	uint8_t *data = malloc(chunk);
	int i;

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 20000);
	ASSERT_EQ(0, setsockopt(self->sk, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	for (i = 0; i < 1000; i++) {
		ssize_t n;

		tt_fill(data, chunk, sent);
		n = send(self->sk, data, chunk, 0);
		if (n < 0)
			break;
		sent += n;
	}
	ASSERT_GT(1000, i);
	EXPECT_EQ(EAGAIN, errno);
	pid_t pid = take_in_child(self, sent + 10, 0, 0, false);

	tv.tv_sec = 60;
	ASSERT_EQ(0, setsockopt(self->sk, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	tt_fill(data, 10, sent);
	ASSERT_EQ(10, send(self->sk, data, 10, 0));
	EXPECT_EQ(0, tt_child_status(pid));
	free(data);
}

/*
 * TCP takes a part of a record: the call counts all of it, since it was encrypted. The rest is kept, and goes before
 * anything else: what others write meanwhile, another record of the same writer, the end of the stream.
 */
TEST_F(tx_space, push_comes_up_short)
{
	size_t sizes[] = { 3000, 8000, 8192, 8193, TT_MAX };
	uint8_t *data = pattern(3 * TT_MAX, 0);

	for (int how = 0; how < 5; how++)
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct tt_key k = self->k, rd = self->k;
		size_t n = sizes[i], want = n, got = 0;
		pid_t pid[2] = { 0, 0 };
		int fd[2];

		/* The other end has next to no window: TCP takes little at a time. */
		tt_narrow_pair(variant->family, 1, fd);
		/* Space is for what can be sent at once, memory is there. */
		tt_sockopt(fd[0], IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1);
		tt_install(fd[0], &k, NULL);
		if (how == 4) {
			/* A writer that may wait: others come after all of it. */
			pid[1] = fork();
			if (!pid[1])
				_exit(send(fd[0], data, n, 0) == (ssize_t)n ? 0 : 1);
			for (int t = 0; t < 1000 && tt_pending(fd[1]) < 5; t++)
				usleep(1000);
		} else {
			ASSERT_EQ(n, send(fd[0], data, n, MSG_DONTWAIT));
		}
		EXPECT_GT(n, tt_tcp_queued(fd[0]) + tt_pending(fd[1])) TH_LOG("TCP has all of it: nothing is tested");
		EXPECT_ERR(EAGAIN, send(fd[0], data + n, 10, MSG_DONTWAIT));
		switch (how) {
		case 1:
		case 4:
			want = n + TT_MAX;
			pid[0] = fork();
			if (!pid[0])
				_exit(send(fd[0], data + n, TT_MAX, 0) == TT_MAX ? 0 : 1);
			usleep(20000);
			break;
		case 2:
			ASSERT_EQ(0, shutdown(fd[0], SHUT_WR));
			break;
		case 3:
			close(fd[0]);
			break;
		}
		for (; got < want; got += self->o->len) {
			ASSERT_EQ(1, tt_recv_rec(fd[1], &rd, self->o)) TH_LOG("how %d, %zu bytes: after %zu", how, n, got);
			EXPECT_EQ(got ? want - n : n, self->o->len);
			ASSERT_BYTES(self->o->data, self->o->len, got);
		}
		for (int p = 0; p < 2; p++) {
			if (pid[p]) {
				EXPECT_EQ(0, tt_child_status(pid[p]));
			}
		}
		if (how != 3)
			close(fd[0]);
		EXPECT_EQ(0, tt_recv_rec(fd[1], &rd, self->o));
		close(fd[1]);
	}
	free(data);
}

/* one time-out for one call, however many records it tries to send */
TEST_F(tx_space, sndtimeo_once)
{
	static uint8_t big[1000000];
	struct timeval tv = { .tv_sec = 5 };
	uint64_t t0, t1;

	if (variant->version != TLS_1_3_VERSION || variant->family != TT_IP4)
		SKIP(return, "slow: in one variant only");
	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 100000);
	ASSERT_EQ(0, setsockopt(self->sk, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	t0 = tt_now_ms();
	while (send(self->sk, big, sizeof(big), 0) == sizeof(big))
		t0 = tt_now_ms();
	t1 = tt_now_ms();
	EXPECT_GT(9500, t1 - t0);
}

TEST_HARNESS_MAIN
