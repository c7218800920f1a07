// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Transmit: the end of the stream, ours or the other end's.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "tx_common.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

TX_FIXTURE(tx_end);

TEST_F(tx_end, peer_reset)
{
	int i;

	ASSERT_EQ(5, send(self->sk, "hello", 5, MSG_MORE));
	tt_reset(self->peer);
	self->peer = -1;
	for (i = 0; i < 1000; i++)
		if (send(self->sk, "hello", 5, MSG_NOSIGNAL) < 0)
			break;
	ASSERT_GT(1000, i);
	EXPECT_TRUE(errno == ECONNRESET || errno == EPIPE) TH_LOG("%s", strerror(errno));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(-1, send(self->sk, "hello", 5, MSG_NOSIGNAL | (i ? MSG_MORE : 0)));
		EXPECT_TRUE(errno == ECONNRESET || errno == EPIPE) TH_LOG("%s", strerror(errno));
	}
}

static void *reset_later(void *arg)
{
	usleep(300000);
	tt_reset(*(int *)arg);
	return NULL;
}

/* the reset comes while a writer sleeps */
TEST_F(tx_end, reset_while_waiting)
{
	static uint8_t big[4000000];
	pthread_t t;
	ssize_t n;

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 20000);
	ASSERT_EQ(0, pthread_create(&t, NULL, reset_later, &self->peer));
	n = send(self->sk, big, sizeof(big), MSG_NOSIGNAL);
	EXPECT_GT((ssize_t)sizeof(big), n);
	pthread_join(t, NULL);
	self->peer = -1;
	EXPECT_EQ(-1, send(self->sk, big, 10, MSG_NOSIGNAL));
	EXPECT_EQ(-1, send(self->sk, big, 10, MSG_NOSIGNAL));
}

/* what send() took is sent before the end of the stream, whichever end it is */
TEST_F(tx_end, full_buffer_then_end)
{
	size_t chunk = 16384 * 3 + 100;
	uint8_t *data = malloc(chunk);

	for (int how = 0; how < 6; how++) {
		struct sockaddr_storage addr;
		struct tt_key k = self->k, rd = self->k;
		socklen_t len;
		size_t sent = 0, got = 0;
		int l = tt_listener(variant->family, &addr, &len), fd[2];

		/* a small window from the first segment on makes small segments, and updates of it in the midst of a push */
		if (how >= 2)
			tt_sockopt(l, SOL_SOCKET, SO_RCVBUF, how < 4 ? 1 : 10000);
		fd[0] = tt_connect(variant->family, &addr, len);
		fd[1] = accept(l, NULL, NULL);
		close(l);
		tt_sockopt(fd[0], SOL_SOCKET, SO_SNDBUF, 30000);
		tt_install(fd[0], &k, NULL);
		for (;;) {
			ssize_t n;

			tt_fill(data, chunk, sent);
			n = send(fd[0], data, chunk, MSG_DONTWAIT);
			if (n < 0)
				break;
			sent += n;
		}
		ASSERT_EQ(EAGAIN, errno);
		if (how & 1)
			close(fd[0]);
		else {
			ASSERT_EQ(0, shutdown(fd[0], SHUT_WR));
		}
		for (; got < sent; got += self->o->len) {
			ASSERT_EQ(1, tt_recv_rec(fd[1], &rd, self->o)) TH_LOG("how %d: %zu of %zu bytes", how, got, sent);
			ASSERT_BYTES(self->o->data, self->o->len, got);
		}
		EXPECT_EQ(sent, got);
		EXPECT_EQ(0, tt_recv_rec(fd[1], &rd, self->o));
		if (!(how & 1))
			close(fd[0]);
		close(fd[1]);
	}
	free(data);
}

static volatile sig_atomic_t pipes;

static void on_pipe(int sig)
{
	(void)sig;
	pipes++;
}

TEST_F(tx_end, sigpipe)
{
	struct sigaction sa = { .sa_handler = on_pipe };

	ASSERT_EQ(0, sigaction(SIGPIPE, &sa, NULL));
	ASSERT_EQ(0, shutdown(self->sk, SHUT_WR));
	EXPECT_ERR(EPIPE, send(self->sk, "x", 1, MSG_NOSIGNAL));
	EXPECT_EQ(0, pipes);
	EXPECT_ERR(EPIPE, send(self->sk, "x", 1, 0));
	EXPECT_EQ(1, pipes);
	EXPECT_ERR(EPIPE, write(self->sk, "x", 1));
	EXPECT_EQ(2, pipes);
}

/* the send buffer runs full, then the other end resets the connection; whether it went so */
static bool reset_when_full(struct tx *self, const uint8_t *data, size_t len)
{
	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 20000);
	while (send(self->sk, data, len, MSG_DONTWAIT) > 0)
		;
	if (errno != EAGAIN)
		return false;
	tt_reset(self->peer);
	self->peer = -1;
	return tt_poll(self->sk, POLLERR, 10000) & POLLERR;
}

/* a reset is told as such, once, to a writer with records that TCP did not take; SIGPIPE is for those who go on */
TEST_F(tx_end, reset_with_full_buffer)
{
	struct sigaction sa = { .sa_handler = on_pipe };
	static uint8_t big[100000];

	ASSERT_EQ(0, sigaction(SIGPIPE, &sa, NULL));
	ASSERT_TRUE(reset_when_full(self, big, sizeof(big)));
	EXPECT_ERR(ECONNRESET, send(self->sk, big, 10, 0));
	EXPECT_EQ(0, pipes);
	EXPECT_ERR(EPIPE, send(self->sk, big, 10, 0));
	EXPECT_EQ(1, pipes);
}

/* the last words of a shutdown cannot be said after a reset, but the reset is not taken for the end of the stream */
TEST_F(tx_end, reset_before_shutdown)
{
	static uint8_t big[100000];

	ASSERT_TRUE(reset_when_full(self, big, sizeof(big)));
	shutdown(self->sk, SHUT_WR);
	EXPECT_ERR(ECONNRESET, recv(self->sk, big, 10, 0));
}

/* A splice that goes on behind a reset takes nothing more, page by page neither. */
TEST_F(tx_end, splice_after_reset)
{
	size_t page = sysconf(_SC_PAGESIZE);
	int file = make_file(0, 4 * page, 0), p[2];
	loff_t off = 0;

	signal(SIGPIPE, SIG_IGN);
	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(4 * page, splice(file, &off, p[1], NULL, 4 * page, 0));
	ASSERT_EQ(page, splice(p[0], NULL, self->sk, NULL, page, SPLICE_F_MORE));
	tt_reset(self->peer);
	self->peer = open("/dev/null", O_RDONLY);
	ASSERT_TRUE(tt_poll(self->sk, 0, 20000) & POLLERR);
	EXPECT_ERR(ECONNRESET, splice(p[0], NULL, self->sk, NULL, 3 * page, SPLICE_F_MORE));
	EXPECT_ERR(EPIPE, splice(p[0], NULL, self->sk, NULL, 3 * page, SPLICE_F_MORE));
	close(file);
	close(p[0]);
	close(p[1]);
}

TEST_HARNESS_MAIN
