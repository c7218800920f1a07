// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Receive: application data records without data. A peer may send as many of them as it likes: they are in nobody's way, nobody is
 * told of them again and again, and they hold nobody up.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "rx_common.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/time.h>

/* so many in a row, and a call has to think of others */
#define EMPTY_MAX	64
/* takes far longer to open than any time-out here */
#define FLOOD		15000
/* so often others come to their turn meanwhile */
#define SEEN		5

RX_FIXTURE(rx_empty);

/* the peer's next @n records are empty; they are added to @to */
static size_t make_empty(struct rx *self, uint8_t *to, int n)
{
	struct tt_rec r = { .type = TT_DATA, .data = "" };
	size_t len = 0;

	while (n--)
		len += tt_seal(&self->k, &r, to + len);
	return len;
}

static void say_empty(struct rx *self, int n)
{
	uint8_t *recs = malloc(n * tt_overhead(&self->k));

	TT_MUST(recs);
	wire(self, recs, make_empty(self, recs, n));
	free(recs);
}

/* records that were decrypted */
static uint64_t opened(struct rx *self)
{
	struct tt_key k;

	TT_MUST(tt_key_get(self->sk, TLS_RX, &self->k, &k) == 0);
	return k.seq;
}

/* ---- ways to read, and to ask ---- */

enum way { RECV, RECV_ALL, TYPED, SPLICE, PEEK, PEEK_ALL, INQ, WAYS };
static const char *const names[] = { "recv", "recv(MSG_WAITALL)", "recvmsg", "splice", "recv(MSG_PEEK)", "recv(MSG_PEEK | MSG_WAITALL)",
				     "FIONREAD" };

static ssize_t by_pipe(struct rx *self, void *buf, size_t len, bool wait)
{
	ssize_t n;
	int p[2];

	TT_MUST(pipe(p) == 0);
	n = splice(self->sk, NULL, p[1], NULL, len, wait ? 0 : SPLICE_F_NONBLOCK);
	if (n > 0)
		TT_MUST(tt_read_pipe(p[0], buf, n) == (size_t)n);
	close(p[0]);
	close(p[1]);
	return n;
}

static ssize_t ask(struct rx *self, enum way way, void *buf, size_t len, bool wait)
{
	int flags = wait ? 0 : MSG_DONTWAIT;
	uint8_t type;

	switch (way) {
	case TYPED:
		return tt_recv_type(self->sk, buf, len, flags, &type, NULL);
	case SPLICE:
		return by_pipe(self, buf, len, wait);
	case INQ:
		errno = EAGAIN;
		return tt_pending(self->sk) ?: -1;
	default:
		flags |= way == RECV_ALL || way == PEEK_ALL ? MSG_WAITALL : 0;
		flags |= way == PEEK || way == PEEK_ALL ? MSG_PEEK : 0;
		return recv(self->sk, buf, len, flags);
	}
}

static bool takes(enum way way)
{
	return way < PEEK;
}

/* ---- in nobody's way ---- */

/* whoever asks finds nothing, and poll says so from then on */
TEST_F(rx_empty, nothing_else)
{
	uint8_t buf[200];

	for (enum way way = 0; way < WAYS; way++)
	for (int n = 1; n < 20; n += 6) {
		say_empty(self, n);
		arrived(self);
		EXPECT_ERR_AT(EAGAIN, ask(self, way, buf, sizeof(buf), false), n);
		EXPECT_EQ(0, tt_poll(self->sk, POLLIN, 0)) TH_LOG("%s of %d records", names[way], n);
	}
	say(self, TT_DATA, 100, 0);
	ASSERT_EQ(100, recv(self->sk, buf, sizeof(buf), 0));
	EXPECT_BYTES(buf, 100, 0);
}

/* whoever asks finds what is behind them */
TEST_F(rx_empty, before_data)
{
	uint8_t buf[200];

	for (enum way way = 0; way < WAYS; way++)
	for (int n = 1; n < 20; n += 6) {
		say_empty(self, n);
		say(self, TT_DATA, 100, n);
		arrived(self);
		for (int i = 0; i < (takes(way) ? 1 : 3); i++) {
			ASSERT_EQ(100, ask(self, way, buf, sizeof(buf), false)) TH_LOG("%s behind %d records", names[way], n);
			EXPECT_EQ(takes(way) ? 0 : POLLIN, tt_poll(self->sk, POLLIN, 0));
		}
		if (!takes(way))
			ASSERT_EQ(100, recv(self->sk, buf, sizeof(buf), 0));
		EXPECT_BYTES(buf, 100, n);
		EXPECT_EQ(0, tt_poll(self->sk, POLLIN, 0));
	}
}

/* a peek has seen one behind the data: it is not there when the data is read */
TEST_F(rx_empty, behind_data)
{
	uint8_t buf[200];

	for (int n = 1; n < 20; n += 6) {
		say(self, TT_DATA, 100, n);
		say_empty(self, n);
		arrived(self);
		ASSERT_EQ(100, recv(self->sk, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT));
		EXPECT_BYTES(buf, 100, n);
		ASSERT_EQ(100, recv(self->sk, buf, 100, MSG_DONTWAIT));
		EXPECT_BYTES(buf, 100, n);
		EXPECT_EQ(0, tt_poll(self->sk, POLLIN, 0));
		EXPECT_ERR(EAGAIN, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
	}
}

/* a call that does not wait gives up some time, and there is an event then: it gets to the data, and quickly */
TEST_F(rx_empty, many_before_data)
{
	for (enum way way = 0; way < WAYS; way++)
	for (int edge = 0; edge < 2; edge++) {
		struct epoll_event ev = { .events = EPOLLIN | (edge ? EPOLLET : 0) };
		int ep = epoll_create1(0), rounds;
		uint8_t buf[200];
		ssize_t n = -1;

		ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->sk, &ev));
		say_empty(self, 1000);
		say(self, TT_DATA, 100, way);
		arrived(self);
		for (rounds = 0; n < 0 && rounds < 2 * 1000 / EMPTY_MAX; rounds++) {
			ASSERT_EQ(1, epoll_wait(ep, &ev, 1, 20000)) TH_LOG("no event for %s, round %d", names[way], rounds);
			n = ask(self, way, buf, sizeof(buf), false);
			if (n < 0)
				ASSERT_EQ(EAGAIN, errno);
		}
		ASSERT_EQ(100, n) TH_LOG("%s, %d rounds", names[way], rounds);
		if (!takes(way))
			ASSERT_EQ(100, recv(self->sk, buf, sizeof(buf), 0));
		EXPECT_BYTES(buf, 100, way);
		EXPECT_EQ(0, tt_poll(self->sk, POLLIN, 0));
		close(ep);
	}
}

/* what has data goes back with that, however many come behind it, and who waits in epoll is told of what he leaves */
TEST_F(rx_empty, many_behind_data)
{
	static const enum way ways[] = { RECV, TYPED, SPLICE, PEEK };

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
	for (int wait = 0; wait < 2; wait++) {
		struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
		uint64_t before = opened(self);
		int ep = epoll_create1(0);
		uint8_t buf[200];

		ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->sk, &ev));
		say(self, TT_DATA, 100, i);
		say_empty(self, 1000);
		arrived(self);
		ASSERT_EQ(1, epoll_wait(ep, &ev, 1, 20000));
		ASSERT_EQ(100, ask(self, ways[i], buf, sizeof(buf), wait));
		EXPECT_GE(before + 2 * EMPTY_MAX, opened(self)) TH_LOG("%s went through the empty ones", names[ways[i]]);
		if (ways[i] == PEEK)
			ASSERT_EQ(100, recv(self->sk, buf, 100, MSG_DONTWAIT));
		EXPECT_BYTES(buf, 100, i);
		for (int rounds = 0; opened(self) < before + 1001; rounds++) {
			ASSERT_GT(2 * 1000 / EMPTY_MAX, rounds);
			ASSERT_EQ(1, epoll_wait(ep, &ev, 1, 20000)) TH_LOG("no event behind %s, round %d", names[ways[i]], rounds);
			EXPECT_ERR(EAGAIN, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
		}
		EXPECT_EQ(0, tt_poll(self->sk, POLLIN, 0));
		close(ep);
	}
}

/* a peek that waits is not content with more of them than SO_RCVBUF would hold */
TEST_F(rx_empty, more_than_the_buffer)
{
	static const enum way ways[] = { PEEK, PEEK_ALL };
	uint8_t *recs = malloc(5000 * tt_overhead(&self->k) + 1000), buf[200];

	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVBUF, 20000);
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		/* with MSG_WAITALL they are between data */
		size_t first = ways[i] == PEEK_ALL ? 100 : 0, n = 0;
		pid_t pid;

		if (first)
			n += make(self, recs, TT_DATA, first, 0, 0);
		n += make_empty(self, recs + n, 5000);
		n += make(self, recs + n, TT_DATA, 100, 0, first);
		pid = write_in_child(self, recs, n, n);
		ASSERT_EQ(first + 100, ask(self, ways[i], buf, first + 100, true)) TH_LOG("%s", names[ways[i]]);
		EXPECT_BYTES(buf, first + 100, 0);
		EXPECT_EQ(0, tt_child_status(pid));
		ASSERT_EQ(first + 100, tt_read(self->sk, buf, first + 100));
		EXPECT_BYTES(buf, first + 100, 0);
	}
	free(recs);
}

/* whoever asks for types may be told of one; the record of another type behind it comes once and whole */
TEST_F(rx_empty, before_control)
{
	uint8_t buf[200], type;
	ssize_t n;

	for (enum way way = 0; way < WAYS; way++) {
		say_empty(self, 3);
		say(self, TT_ALERT, 20, way);
		arrived(self);
		if (way != TYPED)
			EXPECT_ERR(way == INQ ? EAGAIN : way == SPLICE ? EINVAL : EIO, ask(self, way, buf, sizeof(buf), false));
		EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 0));
		for (int peek = 1; peek >= 0; peek--) {
			do {
				n = tt_recv_type(self->sk, buf, sizeof(buf), peek ? MSG_PEEK : 0, &type, NULL);
			} while (n == 0 && type == TT_DATA);
			ASSERT_EQ(20, n);
			EXPECT_EQ(TT_ALERT, type);
			EXPECT_BYTES(buf, 20, way);
		}
		EXPECT_EQ(0, tt_poll(self->sk, POLLIN, 0));
	}
}

/* ---- they hold nobody up ---- */

struct reader {
	struct rx *rx;
	enum way way;
	ssize_t n;
	int err;
	uint8_t buf[200];
};

static void *reads(void *arg)
{
	struct reader *r = arg;

	r->n = ask(r->rx, r->way, r->buf, 100, true);
	r->err = r->n < 0 ? errno : 0;
	return NULL;
}

static void flood(struct rx *self)
{
	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20);
	say_empty(self, FLOOD);
	arrived(self);
}

/* Until a reader has opened some of those from @before on: false when it has all of them first. */
static bool midway(struct rx *self, uint64_t before)
{
	uint64_t now;

	do {
		now = opened(self);
	} while (now == before);
	return now < before + FLOOD;
}

static const enum way waiting[] = { RECV, RECV_ALL, TYPED, SPLICE, PEEK };

/* Others send and ask while a reader is busy with them: how often they came to their turn before he was through, up to SEEN. */
static int come_between(struct rx *self)
{
	uint64_t before = opened(self), now, last = 0;
	uint8_t out[100];
	int seen = 0;

	flood(self);
	if (!midway(self, before))
		return 0;
	do {
		TT_MUST(send(self->sk, "x", 1, MSG_DONTWAIT) == 1);
		tt_read(self->peer, out, 1 + tt_overhead(&self->back));
		TT_MUST(tt_pending(self->sk) == 0);
		now = opened(self);
		seen += now < before + FLOOD && now != last;
		last = now;
	} while (now < before + FLOOD && seen < SEEN);
	return seen;
}

TEST_F(rx_empty, others_get_the_lock)
{
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		struct reader r = { .rx = self, .way = waiting[i] };
		int seen = 0;
		pthread_t t;

		ASSERT_EQ(0, pthread_create(&t, NULL, reads, &r));
		/* on a busy machine they may not run at all while he does */
		for (int round = 0; seen < SEEN && round < 20; round++)
			seen += come_between(self);
		EXPECT_LE(SEEN, seen) TH_LOG("beside %s", names[r.way]);
		say(self, TT_DATA, 100, i);
		ASSERT_EQ(0, pthread_join(t, NULL));
		ASSERT_EQ(100, r.n) TH_LOG("%s: %s", names[r.way], strerror(r.err));
		EXPECT_BYTES(r.buf, 100, i);
		if (!takes(r.way))
			ASSERT_EQ(100, recv(self->sk, r.buf, 100, 0));
	}
}

static void nothing(int sig)
{
	(void)sig;
}

/* a signal ends the call of a reader who is busy with them */
TEST_F(rx_empty, signal)
{
	struct sigaction sa = { .sa_handler = nothing };

	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		struct reader r = { .rx = self, .way = waiting[i] };
		uint64_t before = opened(self);
		pthread_t t;

		flood(self);
		ASSERT_EQ(0, pthread_create(&t, NULL, reads, &r));
		EXPECT_TRUE(midway(self, before)) TH_LOG("%s", names[r.way]);
		pthread_kill(t, SIGUSR1);
		ASSERT_EQ(0, pthread_join(t, NULL));
		EXPECT_EQ(-1, r.n);
		EXPECT_EQ(EINTR, r.err) TH_LOG("%s: %s", names[r.way], strerror(r.err));
		EXPECT_GT(before + FLOOD, opened(self));
		say(self, TT_DATA, 100, i);
		ASSERT_EQ(100, recv(self->sk, r.buf, 100, 0));
		EXPECT_BYTES(r.buf, 100, i);
	}
}

/* and so does its time-out */
TEST_F(rx_empty, timeout)
{
	struct timeval tv = { .tv_usec = 1000 }, none = { };

	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		struct reader r = { .rx = self, .way = waiting[i] };
		uint64_t before = opened(self);

		ASSERT_EQ(0, setsockopt(self->sk, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
		flood(self);
		reads(&r);
		EXPECT_EQ(-1, r.n);
		EXPECT_EQ(EAGAIN, r.err) TH_LOG("%s: %s", names[r.way], strerror(r.err));
		EXPECT_GT(before + FLOOD, opened(self)) TH_LOG("%s took all of them first", names[r.way]);
		ASSERT_EQ(0, setsockopt(self->sk, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none)));
		say(self, TT_DATA, 100, i);
		ASSERT_EQ(100, recv(self->sk, r.buf, 100, 0));
		EXPECT_BYTES(r.buf, 100, i);
	}
}

TEST_HARNESS_MAIN
