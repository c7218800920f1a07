// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Receive. The peer is a bare TCP socket that says byte for byte what is on the wire.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>

FIXTURE(rx)
{
	int peer;		/* bare TCP */
	int sk;			/* under test: receive key k, transmit key back */
	struct tt_key k, back;
	uint64_t sent;		/* bytes the peer wrote, for wait_all() */
	uint64_t base;
};

FIXTURE_VARIANT(rx)
{
	TT_VARIANT_FIELDS;
};

TT_VARIANTS(rx);

FIXTURE_SETUP(rx)
{
	int fd[2];

	tt_tcp_pair(variant->family, fd);
	self->peer = fd[0];
	self->sk = fd[1];
	self->k = tt_key_make(variant->version, variant->cipher, 1);
	self->back = tt_key_make(variant->version, variant->cipher, 2);
	self->base = tt_bytes_received(self->sk);
	tt_install(self->sk, &self->back, &self->k);
}

FIXTURE_TEARDOWN(rx)
{
	close(self->peer);
	close(self->sk);
}

#define SELF FIXTURE_DATA(rx) *self

static void wire(SELF, const void *buf, size_t len)
{
	tt_write(self->peer, buf, len);
	self->sent += len;
}

/* everything that was written has reached the socket under test */
static void arrived(SELF)
{
	tt_wait_received(self->sk, self->base + self->sent);
}

static void say(SELF, uint8_t type, size_t len, uint64_t pos)
{
	uint8_t *data = malloc(len + 1), *rec = malloc(len + 64);
	struct tt_rec r = { .type = type, .data = data, .len = len };

	tt_fill(data, len, pos);
	wire(self, rec, tt_seal(&self->k, &r, rec));
	free(data);
	free(rec);
}

static size_t make(SELF, uint8_t *rec, uint8_t type, size_t len, size_t pad, uint64_t pos)
{
	uint8_t *data = malloc(len + 1);
	struct tt_rec r = { .type = type, .data = data, .len = len, .pad = pad };
	size_t n;

	tt_fill(data, len, pos);
	n = tt_seal(&self->k, &r, rec);
	free(data);
	return n;
}

/* a child that writes all of buf and ends; the parent goes on */
static pid_t write_in_child(SELF, const void *buf, size_t len, size_t step)
{
	pid_t pid = fork();

	TT_MUST(pid >= 0);
	if (!pid) {
		tt_write_slow(self->peer, buf, len, step);
		_exit(0);
	}
	return pid;
}

static int child_ok(pid_t pid)
{
	int st;

	return waitpid(pid, &st, 0) == pid && st == 0;
}

TEST_F(rx, sizes)
{
	size_t sizes[] = { 1, 2, 15, 16, 17, 31, 255, 1000, 4075, 4095, 4096, 4097, 8192, 12345, 16383, 16384 };
	uint8_t *buf = malloc(TT_REC_MAX), type;
	int fl;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		say(self, TT_DATA, sizes[i], i * 3);
		ASSERT_EQ(sizes[i], tt_recv_type(self->sk, buf, TT_REC_MAX, 0, &type, &fl));
		EXPECT_EQ(TT_DATA, type);
		EXPECT_EQ(MSG_EOR, fl & (MSG_EOR | MSG_TRUNC | MSG_CTRUNC));
		ASSERT_BYTES(buf, sizes[i], i * 3);
	}
	free(buf);
}

TEST_F(rx, many_records_one_call)
{
	uint8_t buf[4000];

	for (int i = 0; i < 20; i++)
		say(self, TT_DATA, 100, i * 100);
	arrived(self);
	/* everything that is there, in one call */
	ASSERT_EQ(2000, recv(self->sk, buf, sizeof(buf), 0));
	EXPECT_BYTES(buf, 2000, 0);
	EXPECT_ERR(EAGAIN, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
}

TEST_F(rx, one_record_many_calls)
{
	uint8_t buf[1000], type;
	size_t off = 0;
	int fl;

	say(self, TT_DATA, 1000, 0);
	for (size_t n = 1; off < 1000; n += 7) {
		size_t want = n < 1000 - off ? n : 1000 - off;

		ASSERT_EQ(want, tt_recv_type(self->sk, buf, n, 0, &type, &fl));
		EXPECT_EQ(TT_DATA, type);
		EXPECT_BYTES(buf, want, off);
		off += want;
		/* the end of the record is marked, and only that */
		EXPECT_EQ(off == 1000, !!(fl & MSG_EOR));
	}
}

TEST_F(rx, random_sizes)
{
	uint64_t seed = 1, in = 0, out = 0;
	uint8_t *buf = malloc(100000);

	while (out < 600000) {
		if (in - out < 50000) {
			size_t n = tt_rand(&seed) % 3 ? tt_rand(&seed) % 3000 + 1 : tt_rand(&seed) % TT_MAX + 1;

			say(self, TT_DATA, n, in);
			in += n;
		} else {
			size_t n = tt_rand(&seed) % (tt_rand(&seed) % 2 ? 100000 : 500) + 1;
			ssize_t got = recv(self->sk, buf, n, 0);

			ASSERT_LT(0, got);
			ASSERT_BYTES(buf, got, out);
			out += got;
		}
	}
	free(buf);
}

/* readable when the whole record is there and not a byte earlier */
TEST_F(rx, poll_whole_record_only)
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
TEST_F(rx, poll_only)
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
TEST_F(rx, poll_wakes)
{
	uint8_t rec[2000], buf[2000];
	size_t n = make(self, rec, TT_DATA, 1500, 0, 0);
	pid_t pid = write_in_child(self, rec, n, 100);

	EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 30000));
	EXPECT_EQ(1500, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_BYTES(buf, 1500, 0);
	EXPECT_TRUE(child_ok(pid));
}

/* edge-triggered: after reading until EAGAIN every record makes an event, and half of one makes none */
TEST_F(rx, epoll_edge)
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
TEST_F(rx, epoll_edge_never_missed)
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
	EXPECT_TRUE(child_ok(pid));
	free(all);
	close(ep);
}

/* a reader who was let go after many empty records is told that there is more, though nothing more comes */
TEST_F(rx, epoll_edge_behind_empty_records)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int ep = epoll_create1(0);
	uint8_t buf[500];
	ssize_t n = -1;

	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->sk, &ev));
	for (int i = 0; i < 200; i++)
		say(self, TT_DATA, 0, 0);
	say(self, TT_DATA, 100, 0);
	arrived(self);
	for (int i = 0; i < 10 && n < 0; i++) {
		ASSERT_EQ(1, epoll_wait(ep, &ev, 1, 10000)) TH_LOG("no event, round %d", i);
		n = recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0)
			ASSERT_EQ(EAGAIN, errno);
	}
	ASSERT_EQ(100, n);
	EXPECT_BYTES(buf, 100, 0);
	close(ep);
}

TEST_F(rx, peek)
{
	uint8_t buf[2000], type;
	int fl;

	EXPECT_ERR(EAGAIN, recv(self->sk, buf, 10, MSG_PEEK | MSG_DONTWAIT));
	for (int i = 0; i < 5; i++)
		say(self, TT_DATA, 200, i * 200);
	arrived(self);
	for (int i = 0; i < 3; i++) {
		memset(buf, 0, sizeof(buf));
		ASSERT_EQ(10, recv(self->sk, buf, 10, MSG_PEEK));
		EXPECT_BYTES(buf, 10, 0);
		/* a buffer larger than the record: at least the record, and never something else */
		ssize_t n = tt_recv_type(self->sk, buf, 500, MSG_PEEK, &type, &fl);

		ASSERT_LE(200, n);
		EXPECT_GE(500, n);
		EXPECT_EQ(TT_DATA, type);
		EXPECT_BYTES(buf, n, 0);
		n = recv(self->sk, buf, 2000, MSG_PEEK);
		ASSERT_LE(200, n);
		EXPECT_BYTES(buf, n, 0);
		EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 0));
	}
	/* peek after a part was read */
	ASSERT_EQ(50, recv(self->sk, buf, 50, 0));
	EXPECT_BYTES(buf, 50, 0);
	ASSERT_EQ(100, recv(self->sk, buf, 100, MSG_PEEK));
	EXPECT_BYTES(buf, 100, 50);
	ASSERT_EQ(950, recv(self->sk, buf, 2000, 0));
	EXPECT_BYTES(buf, 950, 50);
	EXPECT_ERR(EAGAIN, recv(self->sk, buf, 10, MSG_PEEK | MSG_DONTWAIT));
}

TEST_F(rx, peek_waitall)
{
	uint8_t rec[3000], buf[1000];
	size_t n = 0;
	pid_t pid;

	for (int i = 0; i < 5; i++)
		n += make(self, rec + n, TT_DATA, 200, 0, i * 200);
	pid = write_in_child(self, rec, n, 50);
	ssize_t got = recv(self->sk, buf, 1000, MSG_PEEK | MSG_WAITALL);

	EXPECT_LE(200, got);
	EXPECT_BYTES(buf, got, 0);
	EXPECT_EQ(1000, tt_read(self->sk, buf, 1000));
	EXPECT_BYTES(buf, 1000, 0);
	EXPECT_TRUE(child_ok(pid));
}

/* CVE-2024-58239 */
TEST_F(rx, peek_data_and_control)
{
	uint8_t buf[1000], type;

	say(self, TT_DATA, 100, 0);
	say(self, TT_HANDSHAKE, 50, 100);
	say(self, TT_DATA, 100, 150);
	arrived(self);
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(100, tt_recv_type(self->sk, buf, sizeof(buf), MSG_PEEK, &type, NULL));
		EXPECT_EQ(TT_DATA, type);
		EXPECT_BYTES(buf, 100, 0);
	}
	ASSERT_EQ(30, recv(self->sk, buf, 30, 0));
	ASSERT_EQ(70, tt_recv_type(self->sk, buf, sizeof(buf), MSG_PEEK, &type, NULL));
	ASSERT_EQ(70, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, NULL));
	EXPECT_BYTES(buf, 70, 30);
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(50, tt_recv_type(self->sk, buf, sizeof(buf), MSG_PEEK, &type, NULL));
		EXPECT_EQ(TT_HANDSHAKE, type);
		EXPECT_BYTES(buf, 50, 100);
		EXPECT_ERR(EIO, recv(self->sk, buf, sizeof(buf), MSG_PEEK));
		EXPECT_ERR(EIO, recv(self->sk, buf, sizeof(buf), 0));
	}
	ASSERT_EQ(50, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, NULL));
	EXPECT_EQ(TT_HANDSHAKE, type);
	EXPECT_BYTES(buf, 50, 100);
	ASSERT_EQ(100, tt_recv_type(self->sk, buf, sizeof(buf), MSG_PEEK, &type, NULL));
	EXPECT_EQ(TT_DATA, type);
	ASSERT_EQ(100, recv(self->sk, buf, sizeof(buf), 0));
	EXPECT_BYTES(buf, 100, 150);
}

TEST_F(rx, waitall)
{
	size_t n = 0, total = 100 * 300;
	uint8_t *all = malloc(total * 2), *buf = malloc(total + 10);
	pid_t pid;

	for (int i = 0; i < 100; i++)
		n += make(self, all + n, TT_DATA, 300, 0, i * 300);
	pid = write_in_child(self, all, n, 77);
	ASSERT_EQ(total - 10, recv(self->sk, buf, total - 10, MSG_WAITALL));
	EXPECT_BYTES(buf, total - 10, 0);
	ASSERT_TRUE(child_ok(pid));
	shutdown(self->peer, SHUT_WR);
	/* the end of the stream ends the wait, with what there is */
	ASSERT_EQ(10, recv(self->sk, buf, 100, MSG_WAITALL));
	EXPECT_BYTES(buf, 10, total - 10);
	EXPECT_EQ(0, recv(self->sk, buf, 100, MSG_WAITALL));
	free(all);
	free(buf);
}

/* a record of another type ends the wait too */
TEST_F(rx, waitall_stops_at_control)
{
	uint8_t buf[1000], type;

	say(self, TT_DATA, 100, 0);
	say(self, TT_ALERT, 2, 0);
	ASSERT_EQ(100, recv(self->sk, buf, sizeof(buf), MSG_WAITALL));
	EXPECT_BYTES(buf, 100, 0);
	ASSERT_EQ(2, tt_recv_type(self->sk, buf, sizeof(buf), MSG_WAITALL, &type, NULL));
	EXPECT_EQ(TT_ALERT, type);
}

static volatile int interrupting;

static void *interrupt_main(void *arg)
{
	pthread_t *t = arg;

	while (interrupting) {
		usleep(50000);
		pthread_kill(*t, SIGUSR1);
	}
	return NULL;
}

static void nothing(int sig)
{
	(void)sig;
}

/* a signal ends a wait: with what was copied if there is something, else EINTR; nothing gets lost */
TEST_F(rx, signals)
{
	struct sigaction sa = { .sa_handler = nothing };
	uint8_t buf[1000];
	pthread_t t, me = pthread_self();

	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	interrupting = 1;
	ASSERT_EQ(0, pthread_create(&t, NULL, interrupt_main, &me));
	EXPECT_ERR(EINTR, recv(self->sk, buf, sizeof(buf), 0));
	say(self, TT_DATA, 100, 0);
	ASSERT_EQ(100, recv(self->sk, buf, sizeof(buf), MSG_WAITALL));
	EXPECT_BYTES(buf, 100, 0);
	EXPECT_ERR(EINTR, recv(self->sk, buf, sizeof(buf), 0));
	interrupting = 0;
	pthread_join(t, NULL);
	say(self, TT_DATA, 100, 100);
	ASSERT_EQ(100, recv(self->sk, buf, 100, 0));
	EXPECT_BYTES(buf, 100, 100);
}

TEST_F(rx, dontwait)
{
	uint8_t rec[200], buf[200];
	size_t n = make(self, rec, TT_DATA, 100, 0, 0);

	EXPECT_ERR(EAGAIN, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
	wire(self, rec, n - 1);
	arrived(self);
	EXPECT_ERR(EAGAIN, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_ERR(EAGAIN, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT | MSG_WAITALL));
	tt_nonblock(self->sk, true);
	EXPECT_ERR(EAGAIN, read(self->sk, buf, sizeof(buf)));
	wire(self, rec + n - 1, 1);
	arrived(self);
	EXPECT_EQ(100, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT | MSG_WAITALL));
	EXPECT_BYTES(buf, 100, 0);
	EXPECT_ERR(EAGAIN, read(self->sk, buf, sizeof(buf)));
}

/* whatever MSG_TRUNC does to the copy, it takes what it says it takes */
TEST_F(rx, msg_trunc)
{
	uint8_t buf[300];

	say(self, TT_DATA, 300, 0);
	arrived(self);
	ASSERT_EQ(100, recv(self->sk, buf, 100, MSG_TRUNC));
	ASSERT_EQ(200, recv(self->sk, buf, 300, 0));
	EXPECT_BYTES(buf, 200, 100);
}

TEST_F(rx, empty_buffer)
{
	uint8_t buf[100];

	say(self, TT_DATA, 100, 0);
	arrived(self);
	EXPECT_EQ(0, recv(self->sk, buf, 0, MSG_DONTWAIT));
	EXPECT_EQ(100, recv(self->sk, buf, 100, 0));
	EXPECT_BYTES(buf, 100, 0);
}

TEST_F(rx, rcvlowat)
{
	uint8_t rec[4000], buf[4000];
	size_t n = 0;
	pid_t pid;

	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVLOWAT, 900);
	for (int i = 0; i < 5; i++)
		n += make(self, rec + n, TT_DATA, 200, 0, i * 200);
	pid = write_in_child(self, rec, n, 60);
	ssize_t got = recv(self->sk, buf, sizeof(buf), 0);

	EXPECT_LE(900, got);
	EXPECT_BYTES(buf, got, 0);
	EXPECT_TRUE(child_ok(pid));
}

/* a low-water mark above what comes: poll and epoll must not lose the record when it is lowered to where it was */
TEST_F(rx, rcvlowat_and_poll)
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

TEST_F(rx, rcvtimeo)
{
	struct timeval tv = { .tv_usec = 200000 };
	uint8_t rec[200], buf[200];
	size_t n = make(self, rec, TT_DATA, 100, 0, 0);

	ASSERT_EQ(0, setsockopt(self->sk, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	EXPECT_ERR(EAGAIN, recv(self->sk, buf, sizeof(buf), 0));
	wire(self, rec, 50);
	EXPECT_ERR(EAGAIN, recv(self->sk, buf, sizeof(buf), 0));
	wire(self, rec + 50, n - 50);
	EXPECT_EQ(100, recv(self->sk, buf, 200, MSG_WAITALL));
	EXPECT_BYTES(buf, 100, 0);
	EXPECT_ERR(EAGAIN, recv(self->sk, buf, sizeof(buf), 0));
}

static int pipe_has(int fd)
{
	int n = 0;

	TT_MUST(ioctl(fd, FIONREAD, &n) == 0);
	return n;
}

TEST_F(rx, splice)
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
TEST_F(rx, splice_stays)
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
TEST_F(rx, splice_again)
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
TEST_F(rx, splice_full_pipe)
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
			if (!pipe_has(p[0])) {
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
	EXPECT_TRUE(child_ok(pid));
	free(all);
	close(p[0]);
	close(p[1]);
}

TEST_F(rx, splice_control)
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
TEST_F(rx, splice_stream)
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
	EXPECT_TRUE(child_ok(pid));
	free(all);
	free(buf);
}

struct reader {
	int fd;
	uint8_t *seen;
	int bad;
};

#define BLOCK 64
#define BLOCKS 600

/* each record is one block; a call takes one record: no block may be torn, lost or seen twice */
static void *reader(void *arg)
{
	struct reader *r = arg;

	for (;;) {
		uint8_t b[BLOCK];
		ssize_t n = recv(r->fd, b, BLOCK, 0);
		uint32_t id;

		if (n == 0)
			return NULL;
		memcpy(&id, b, 4);
		if (n != BLOCK || id >= BLOCKS || tt_diff(b + 4, BLOCK - 4, id * 1000) >= 0) {
			r->bad++;
			return NULL;
		}
		__sync_fetch_and_add(&r->seen[id], 1);
	}
}

TEST_F(rx, several_readers)
{
	uint8_t *all = malloc(BLOCKS * (BLOCK + 64)), *seen = calloc(BLOCKS, 1);
	struct reader r[4];
	pthread_t t[4];
	size_t n = 0;

	for (uint32_t i = 0; i < BLOCKS; i++) {
		uint8_t b[BLOCK];
		struct tt_rec rec = { .type = TT_DATA, .data = b, .len = BLOCK };

		memcpy(b, &i, 4);
		tt_fill(b + 4, BLOCK - 4, i * 1000);
		n += tt_seal(&self->k, &rec, all + n);
	}
	for (int i = 0; i < 4; i++) {
		r[i] = (struct reader){ .fd = self->sk, .seen = seen };
		ASSERT_EQ(0, pthread_create(&t[i], NULL, reader, &r[i]));
	}
	for (size_t i = 0; i < n; i += 1000)
		tt_write(self->peer, all + i, n - i < 1000 ? n - i : 1000);
	shutdown(self->peer, SHUT_WR);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		EXPECT_EQ(0, r[i].bad);
	}
	for (int i = 0; i < BLOCKS; i++) {
		EXPECT_EQ(1, seen[i]) TH_LOG("block %d", i);
	}
	free(all);
	free(seen);
}

/* the receive buffer is smaller than a record: the window must move although no record is complete */
static void small_window(struct __test_metadata *_metadata, SELF, size_t rec_len, int count, size_t step, int how)
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
	EXPECT_TRUE(child_ok(pid));
	free(all);
	free(buf);
}

TEST_F(rx, rcvbuf_smaller_than_record)
{
	small_window(_metadata, self, TT_MAX, 6, 100000, 0);
}

TEST_F(rx, rcvbuf_smaller_than_record_poll)
{
	small_window(_metadata, self, TT_MAX, 6, 100000, 1);
}

/* CVE-2025-38471: one-byte segments in a tiny buffer make TCP collapse its queue */
TEST_F(rx, rcvbuf_tiny_segments)
{
	small_window(_metadata, self, 2500, 2, 1, 0);
}

TEST_F(rx, rcvbuf_tiny_segments_poll)
{
	small_window(_metadata, self, 2500, 2, 3, 1);
}

/* a socket that only ever blocks in poll, while the window is full and the record is not complete */
TEST_F(rx, rcvbuf_epoll_edge)
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
	EXPECT_TRUE(child_ok(pid));
	free(all);
	free(buf);
	close(ep);
}

/* records that do not begin or end with the segment, in every phase */
TEST_F(rx, dribble)
{
	uint8_t rec[4000], buf[2000];
	size_t n = 0;

	for (int i = 0; i < 10; i++)
		n += make(self, rec + n, TT_DATA, 100, 0, i * 100);
	for (size_t step = 1; step < 300; step = step * 2 + 1) {
		pid_t pid = write_in_child(self, rec, n, step);

		ASSERT_EQ(1000, tt_read(self->sk, buf, 1000));
		EXPECT_BYTES(buf, 1000, 0);
		ASSERT_TRUE(child_ok(pid));
		n = 0;
		for (int i = 0; i < 10; i++)
			n += make(self, rec + n, TT_DATA, 100, 0, i * 100);
	}
}

TEST_F(rx, control_needs_room)
{
	union { struct cmsghdr h; char b[64]; } c;
	uint8_t buf[200], type;
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fl;

	say(self, TT_ALERT, 2, 0);
	say(self, TT_DATA, 100, 2);
	arrived(self);
	for (int i = 0; i < 3; i++) {
		EXPECT_ERR(EIO, recv(self->sk, buf, sizeof(buf), 0));
		EXPECT_ERR(EIO, read(self->sk, buf, sizeof(buf)));
		/* room for a header only, or for less than that */
		memset(&c, 0, sizeof(c));
		m.msg_control = &c;
		m.msg_controllen = sizeof(struct cmsghdr);
		EXPECT_ERR(EIO, recvmsg(self->sk, &m, 0));
		m.msg_controllen = 1;
		EXPECT_ERR(EIO, recvmsg(self->sk, &m, MSG_DONTWAIT));
		EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 0));
	}
	/* it stayed queued; the data behind it was not delivered before it */
	ASSERT_EQ(2, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, &fl));
	EXPECT_EQ(TT_ALERT, type);
	EXPECT_EQ(MSG_EOR, fl & (MSG_EOR | MSG_CTRUNC));
	EXPECT_BYTES(buf, 2, 0);
	ASSERT_EQ(100, recv(self->sk, buf, sizeof(buf), 0));
	EXPECT_BYTES(buf, 100, 2);
	/* a data record is given without room for its type: the type is the usual one */
	say(self, TT_DATA, 100, 0);
	m.msg_control = &c;
	m.msg_controllen = 1;
	EXPECT_EQ(100, recvmsg(self->sk, &m, 0));
	EXPECT_NE(0, m.msg_flags & MSG_CTRUNC);
	EXPECT_BYTES(buf, 100, 0);
}

/* one record type per call; control records are never joined */
TEST_F(rx, types_in_order)
{
	struct { uint8_t type; size_t len; } seq[] = {
		{ TT_DATA, 10 }, { TT_HANDSHAKE, 20 }, { TT_HANDSHAKE, 21 }, { TT_ALERT, 2 }, { TT_DATA, 30 }, { TT_DATA, 31 },
		{ 24, 5 }, { 1, 6 }, { 255, 7 }, { TT_DATA, 1 }, { TT_ALERT, 2 },
	};
	uint8_t buf[1000], type;
	uint64_t pos = 0;

	for (int dribble = 0; dribble < 2; dribble++) {
		for (size_t i = 0; i < ARRAY_SIZE(seq); i++) {
			say(self, seq[i].type, seq[i].len, pos);
			pos += seq[i].len;
		}
		arrived(self);
		pos = 0;
		for (size_t i = 0; i < ARRAY_SIZE(seq); i++) {
			size_t len = seq[i].len;
			uint8_t want = seq[i].type;

			/* data records in a row come as one, if there is room */
			if (i + 1 < ARRAY_SIZE(seq) && want == TT_DATA && seq[i + 1].type == TT_DATA)
				len += seq[++i].len;
			if (dribble) {
				/* in two calls: the type is told both times */
				size_t part = len > 1 ? len / 2 : 0;

				if (part) {
					ASSERT_EQ(part, tt_recv_type(self->sk, buf, part, 0, &type, NULL));
					EXPECT_EQ(want, type);
				}
				ASSERT_EQ(len - part, tt_recv_type(self->sk, buf + part, sizeof(buf) - part, 0, &type, NULL));
			} else {
				ASSERT_EQ(len, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, NULL));
			}
			EXPECT_EQ(want, type);
			EXPECT_BYTES(buf, len, pos);
			pos += len;
		}
		pos = 0;
	}
}

/* a part of a control record read, the rest waits, and its type is not forgotten */
TEST_F(rx, control_in_parts)
{
	uint8_t buf[100], type;
	int fl;

	say(self, TT_HANDSHAKE, 60, 0);
	say(self, TT_HANDSHAKE, 60, 60);
	arrived(self);
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(30, tt_recv_type(self->sk, buf, 30, 0, &type, &fl));
		EXPECT_EQ(TT_HANDSHAKE, type);
		EXPECT_EQ(i & 1, !!(fl & MSG_EOR));
		EXPECT_BYTES(buf, 30, i * 30);
		if (!(i & 1)) {
			EXPECT_ERR(EIO, recv(self->sk, buf, 10, 0));
			EXPECT_ERR(EIO, recv(self->sk, buf, 10, MSG_PEEK));
		}
	}
}

/* CVE-2026-72330, CVE-2025-39682: an empty data record is not the end of the file and not in the way */
TEST_F(rx, empty_data)
{
	struct timeval tv = { .tv_usec = 300000 };
	uint8_t buf[500], type;

	ASSERT_EQ(0, setsockopt(self->sk, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	say(self, TT_DATA, 0, 0);
	arrived(self);
	EXPECT_ERR(EAGAIN, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_EQ(0, tt_poll(self->sk, POLLIN, 0));
	say(self, TT_DATA, 0, 0);
	EXPECT_ERR(EAGAIN, recv(self->sk, buf, sizeof(buf), 0));
	/* before, between and behind data */
	say(self, TT_DATA, 0, 0);
	say(self, TT_DATA, 100, 0);
	say(self, TT_DATA, 0, 0);
	say(self, TT_DATA, 100, 100);
	say(self, TT_DATA, 0, 0);
	arrived(self);
	ASSERT_EQ(200, tt_read(self->sk, buf, 200));
	EXPECT_BYTES(buf, 200, 0);
	EXPECT_ERR(EAGAIN, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
	/* a thousand in a row */
	for (int i = 0; i < 1000; i++)
		say(self, TT_DATA, 0, 0);
	say(self, TT_DATA, 100, 0);
	ASSERT_EQ(100, recv(self->sk, buf, sizeof(buf), MSG_WAITALL));
	EXPECT_BYTES(buf, 100, 0);
	/* empty, then control, then data */
	say(self, TT_DATA, 0, 0);
	say(self, TT_HANDSHAKE, 20, 0);
	say(self, TT_DATA, 0, 0);
	say(self, TT_DATA, 100, 20);
	arrived(self);
	EXPECT_ERR(EIO, recv(self->sk, buf, sizeof(buf), 0));
	ASSERT_EQ(20, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, NULL));
	EXPECT_EQ(TT_HANDSHAKE, type);
	ASSERT_EQ(100, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, NULL));
	EXPECT_EQ(TT_DATA, type);
	EXPECT_BYTES(buf, 100, 20);
	say(self, TT_DATA, 0, 0);
	shutdown(self->peer, SHUT_WR);
	EXPECT_EQ(0, recv(self->sk, buf, sizeof(buf), 0));
}

TEST_F(rx, empty_data_splice)
{
	uint8_t buf[100];
	int p[2];

	ASSERT_EQ(0, pipe(p));
	for (int i = 0; i < 50; i++)
		say(self, TT_DATA, 0, 0);
	arrived(self);
	EXPECT_ERR(EAGAIN, splice(self->sk, NULL, p[1], NULL, 1000, SPLICE_F_NONBLOCK));
	for (int i = 0; i < 50; i++)
		say(self, TT_DATA, 0, 0);
	say(self, TT_DATA, 100, 0);
	ASSERT_EQ(100, splice(self->sk, NULL, p[1], NULL, 1000, 0));
	ASSERT_EQ(100, tt_read_pipe(p[0], buf, 100));
	EXPECT_BYTES(buf, 100, 0);
	close(p[0]);
	close(p[1]);
}

TEST_F(rx, empty_data_peek)
{
	uint8_t buf[200];

	say(self, TT_DATA, 0, 0);
	say(self, TT_DATA, 100, 0);
	say(self, TT_DATA, 0, 0);
	say(self, TT_DATA, 100, 100);
	arrived(self);
	for (int i = 0; i < 3; i++) {
		ssize_t n = recv(self->sk, buf, sizeof(buf), MSG_PEEK);

		ASSERT_LE(100, n);
		EXPECT_BYTES(buf, n, 0);
	}
	ASSERT_EQ(200, tt_read(self->sk, buf, 200));
	EXPECT_BYTES(buf, 200, 0);
}

/* an empty control record: its type says that it is not the end */
TEST_F(rx, empty_control)
{
	uint8_t buf[100], type;
	int fl;

	say(self, TT_HANDSHAKE, 0, 0);
	say(self, TT_ALERT, 0, 0);
	say(self, TT_DATA, 100, 0);
	arrived(self);
	for (int i = 0; i < 2; i++) {
		EXPECT_ERR(EIO, recv(self->sk, buf, sizeof(buf), 0));
		EXPECT_ERR(EIO, recv(self->sk, buf, sizeof(buf), MSG_PEEK));
	}
	ASSERT_EQ(0, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, &fl));
	EXPECT_EQ(TT_HANDSHAKE, type);
	EXPECT_NE(0, fl & MSG_EOR);
	EXPECT_ERR(EIO, recv(self->sk, buf, sizeof(buf), 0));
	ASSERT_EQ(0, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, &fl));
	EXPECT_EQ(TT_ALERT, type);
	EXPECT_NE(0, fl & MSG_EOR);
	ASSERT_EQ(100, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, &fl));
	EXPECT_EQ(TT_DATA, type);
	EXPECT_BYTES(buf, 100, 0);
	EXPECT_ERR(EAGAIN, tt_recv_type(self->sk, buf, sizeof(buf), MSG_DONTWAIT, &type, &fl));
	/* and the real end has no type */
	shutdown(self->peer, SHUT_WR);
	ASSERT_EQ(0, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, &fl));
	EXPECT_EQ(0, type);
}

/* headers that cannot be, each behind a good record that must still be delivered */
TEST_F(rx, bad_header)
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
TEST_F(rx, bad_header_alone)
{
	uint8_t h[5] = { 23, 3, 3, 0xff, 0xff }, buf[10];

	wire(self, h, 5);
	arrived(self);
	EXPECT_NE(0, tt_poll(self->sk, POLLIN, 10000));
	EXPECT_ERR(EMSGSIZE, recv(self->sk, buf, sizeof(buf), 0));
}

/* the largest record there may be, and one byte more */
TEST_F(rx, largest_record)
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
TEST_F(rx, flipped_bits)
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
TEST_F(rx, flipped_outer_type)
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
TEST_F(rx, bad_in_large_read)
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
	EXPECT_EQ(0, pipe_has(p[0]));
}

TEST_F(rx, replay_skip_reorder)
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

TEST_F(rx, padding)
{
	size_t pads[] = { 0, 1, 2, 15, 16, 17, 100, 255, 256, 4096, 10000, 16000 };
	uint8_t *rec = malloc(TT_REC_MAX), *buf = malloc(TT_REC_MAX), type;

	if (variant->version != TLS_1_3_VERSION)
		SKIP(goto out, "padding is of TLS 1.3");
	for (size_t i = 0; i < ARRAY_SIZE(pads); i++)
	for (int len = 0; len < 3; len++) {
		size_t l = len * 100;

		for (int ctrl = 0; ctrl < 2; ctrl++) {
			wire(self, rec, make(self, rec, ctrl ? TT_ALERT : TT_DATA, l, pads[i], i));
			if (!ctrl && !l) {
				arrived(self);
				ASSERT_ERRNO_AGAIN(recv(self->sk, buf, TT_MAX, MSG_DONTWAIT));
				continue;
			}
			memset(buf, 0x5a, TT_REC_MAX);
			ASSERT_EQ(l, tt_recv_type(self->sk, buf, TT_MAX, 0, &type, NULL));
			EXPECT_EQ(ctrl ? TT_ALERT : TT_DATA, type);
			EXPECT_BYTES(buf, l, i);
			for (size_t j = l; j < TT_REC_MAX; j++) {
				ASSERT_EQ(0x5a, buf[j]) TH_LOG("pad %zu: written behind the data at %zu", pads[i], j);
			}
		}
	}
	/* data that ends in zeros is data */
	memset(buf, 0, 1000);
	struct tt_rec r = { .type = TT_DATA, .data = buf, .len = 1000, .pad = 1000 };

	wire(self, rec, tt_seal(&self->k, &r, rec));
	memset(buf, 0x5a, 1000);
	ASSERT_EQ(1000, recv(self->sk, buf, TT_MAX, 0));
	for (int i = 0; i < 1000; i++) {
		ASSERT_EQ(0, buf[i]);
	}
out:
	free(rec);
	free(buf);
}

/* CVE-2026-74611: padded and control records into several pieces of user memory */
TEST_F(rx, padding_iovecs)
{
	uint8_t *rec = malloc(TT_REC_MAX), mem[4][600];

	if (variant->version != TLS_1_3_VERSION)
		SKIP(goto out, "padding is of TLS 1.3");
	for (int pad = 0; pad < 500; pad += 83)
	for (int len = 1; len < 300; len += 71) {
		struct iovec iov[4];

		memset(mem, 0x5a, sizeof(mem));
		for (int i = 0; i < 4; i++)
			iov[i] = (struct iovec){ mem[i], i == 3 ? 500 : 50 };
		wire(self, rec, make(self, rec, TT_DATA, len, pad, 9));
		ASSERT_EQ(len, readv(self->sk, iov, 4));
		for (int i = 0, off = 0; i < 4; i++) {
			int l = i == 3 ? 500 : 50, in = len - off < 0 ? 0 : len - off > l ? l : len - off;

			ASSERT_BYTES(mem[i], in, 9 + off);
			for (int j = in; j < 600; j++) {
				ASSERT_EQ(0x5a, mem[i][j]) TH_LOG("len %d pad %d piece %d at %d", len, pad, i, j);
			}
			off += l;
		}
	}
out:
	free(rec);
}

TEST_F(rx, no_content_type)
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

static int readable(int fd)
{
	int n = -1;

	TT_MUST(ioctl(fd, FIONREAD, &n) == 0);
	return n;
}

TEST_F(rx, fionread)
{
	uint8_t rec[600], buf[600];
	size_t n = make(self, rec, TT_DATA, 500, 0, 0);

	EXPECT_EQ(0, readable(self->sk));
	/* part of a record: nothing that could be read */
	wire(self, rec, n / 2);
	arrived(self);
	EXPECT_EQ(0, readable(self->sk));
	wire(self, rec + n / 2, n - n / 2);
	arrived(self);
	/* never more than a read can give */
	EXPECT_GE(500, readable(self->sk));
	EXPECT_LE(0, readable(self->sk));
	ASSERT_EQ(100, recv(self->sk, buf, 100, 0));
	EXPECT_EQ(400, readable(self->sk));
	ASSERT_EQ(100, recv(self->sk, buf, 100, MSG_PEEK));
	EXPECT_EQ(400, readable(self->sk));
	ASSERT_EQ(400, recv(self->sk, buf, 400, 0));
	EXPECT_EQ(0, readable(self->sk));
}

/* the stream ends inside a record: an error, not a clean end; and nothing of the record */
TEST_F(rx, fin_inside_record)
{
	uint8_t rec[200], buf[200];
	size_t n = make(self, rec, TT_DATA, 100, 0, 0), cut[] = { 1, 4, 5, 13, 50, n - 1 };

	for (size_t i = 0; i < ARRAY_SIZE(cut); i++) {
		struct tt_key k = self->k;
		ssize_t r;
		int fd[2];

		k.seq = 0;
		tt_tcp_pair(variant->family, fd);
		tt_install(fd[1], &self->back, &k);
		tt_fill(buf, 20, 0);
		tt_send_data(fd[0], &k, TT_DATA, buf, 20);
		tt_write(fd[0], rec, cut[i]);
		shutdown(fd[0], SHUT_WR);
		ASSERT_EQ(20, recv(fd[1], buf, 20, 0));
		EXPECT_NE(0, tt_poll(fd[1], POLLIN, 10000) & POLLIN);
		memset(buf, 0x5a, sizeof(buf));
		for (int j = 0; j < 2; j++) {
			errno = 0;
			r = recv(fd[1], buf, sizeof(buf), 0);
			EXPECT_EQ(-1, r) TH_LOG("cut after %zu", cut[i]);
			EXPECT_EQ(EBADMSG, errno) TH_LOG("cut after %zu: %s", cut[i], strerror(errno));
		}
		for (size_t j = 0; j < sizeof(buf); j++) {
			ASSERT_EQ(0x5a, buf[j]);
		}
		close(fd[0]);
		close(fd[1]);
	}
}

/* a record one byte short, and the FIN counted as that byte */
TEST_F(rx, fin_is_not_data)
{
	uint8_t rec[200], buf[200];
	size_t n = make(self, rec, TT_DATA, 100, 0, 0);

	wire(self, rec, n - 1);
	arrived(self);
	EXPECT_EQ(0, tt_poll(self->sk, POLLIN, 0));
	shutdown(self->peer, SHUT_WR);
	ASSERT_NE(0, tt_poll(self->sk, POLLIN, 10000));
	EXPECT_ERR(EBADMSG, recv(self->sk, buf, sizeof(buf), 0));
	EXPECT_ERR(EBADMSG, recv(self->sk, buf, sizeof(buf), 0));
}

static void reset(int fd)
{
	struct linger lg = { 1, 0 };

	TT_MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)) == 0);
	close(fd);
}

TEST_F(rx, peer_reset)
{
	uint8_t buf[200];
	ssize_t n;

	say(self, TT_DATA, 100, 0);
	arrived(self);
	ASSERT_EQ(50, recv(self->sk, buf, 50, 0));
	reset(self->peer);
	self->peer = -1;
	ASSERT_NE(0, tt_poll(self->sk, POLLERR, 10000) & POLLERR);
	/* decrypted data may still be given, but then comes the error, once, and the end */
	n = recv(self->sk, buf, sizeof(buf), 0);
	if (n > 0) {
		EXPECT_EQ(50, n);
		EXPECT_BYTES(buf, 50, 50);
		n = recv(self->sk, buf, sizeof(buf), 0);
	}
	EXPECT_EQ(-1, n);
	EXPECT_EQ(ECONNRESET, errno);
}

struct reset_later {
	int peer, sk;
	struct tt_key k;
};

static void *reset_later(void *arg)
{
	struct reset_later *r = arg;
	struct tt_key now = r->k;

	/* the number moves when the record is taken: the reader has it, and waits for more */
	while (tt_key_get(r->sk, TLS_RX, &r->k, &now) == 0 && now.seq == 0)
		usleep(10000);
	usleep(100000);
	reset(r->peer);
	return NULL;
}

/* an error that ends a wait which already has bytes is not lost */
TEST_F(rx, reset_after_partial_copy)
{
	struct reset_later later = { self->peer, self->sk, self->k };
	uint8_t buf[200];
	pthread_t t;

	say(self, TT_DATA, 100, 0);
	ASSERT_EQ(0, pthread_create(&t, NULL, reset_later, &later));
	ASSERT_EQ(100, recv(self->sk, buf, sizeof(buf), MSG_WAITALL));
	EXPECT_BYTES(buf, 100, 0);
	pthread_join(t, NULL);
	EXPECT_ERR(ECONNRESET, recv(self->sk, buf, sizeof(buf), 0));
	self->peer = -1;
}

TEST_F(rx, efault)
{
	long page = sysconf(_SC_PAGESIZE);
	uint8_t buf[1000], *map, type;
	ssize_t n;

	map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)map);
	ASSERT_EQ(0, munmap(map + page, page));
	say(self, TT_DATA, 1000, 0);
	say(self, TT_HANDSHAKE, 100, 1000);
	say(self, TT_DATA, 1000, 1100);
	arrived(self);
	/* all of it bad */
	EXPECT_ERR(EFAULT, recv(self->sk, (void *)16, 1000, 0));
	EXPECT_ERR(EFAULT, recv(self->sk, (void *)16, 1000, MSG_PEEK));
	EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 0));
	/* the first 100 bytes good: they may be counted or not, but what was not counted comes again */
	n = recv(self->sk, map + page - 100, 1000, 0);
	ASSERT_GE(100, n);
	if (n < 0) {
		EXPECT_EQ(EFAULT, errno);
		n = 0;
	} else {
		EXPECT_BYTES(map + page - 100, n, 0);
	}
	ASSERT_EQ(1000 - n, recv(self->sk, buf, 1000, 0));
	EXPECT_BYTES(buf, 1000 - n, n);
	/* a control record */
	EXPECT_ERR(EFAULT, tt_recv_type(self->sk, (void *)16, 100, 0, &type, NULL));
	ASSERT_EQ(100, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, NULL));
	EXPECT_EQ(TT_HANDSHAKE, type);
	EXPECT_BYTES(buf, 100, 1000);
	ASSERT_EQ(1000, recv(self->sk, buf, 1000, 0));
	EXPECT_BYTES(buf, 1000, 1100);
}

/* the fault in the second of two records: what the first gave is not taken back */
TEST_F(rx, efault_second_record)
{
	long page = sysconf(_SC_PAGESIZE);
	uint8_t buf[1000], *map;
	ssize_t n;

	map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)map);
	ASSERT_EQ(0, munmap(map + page, page));
	say(self, TT_DATA, 300, 0);
	say(self, TT_DATA, 300, 300);
	arrived(self);
	n = recv(self->sk, map + page - 350, 600, 0);
	ASSERT_LE(300, n);
	ASSERT_GE(350, n);
	EXPECT_BYTES(map + page - 350, n, 0);
	ASSERT_EQ(600 - n, recv(self->sk, buf, sizeof(buf), 0));
	EXPECT_BYTES(buf, 600 - n, n);
}

TEST_F(rx, iovecs)
{
	uint8_t *buf = malloc(100000), *joined = malloc(100000);
	struct iovec iov[512];
	size_t total = 0;
	ssize_t n;

	for (int i = 0; i < 3; i++)
		say(self, TT_DATA, TT_MAX, i * TT_MAX);
	arrived(self);
	for (int i = 0; i < 512; i++) {
		iov[i] = (struct iovec){ buf + total + i, i % 200 };
		total += i % 200;
	}
	for (size_t got = 0, at; got < 3 * TT_MAX; got += n) {
		n = readv(self->sk, iov, 512);
		ASSERT_LT(0, n);
		at = 0;
		for (int i = 0; i < 512 && at < (size_t)n; i++) {
			size_t l = iov[i].iov_len < n - at ? iov[i].iov_len : n - at;

			memcpy(joined + at, iov[i].iov_base, l);
			at += l;
		}
		ASSERT_BYTES(joined, n, got);
	}
	free(buf);
	free(joined);
}

/* bytes that are there before the key */
TEST_F(rx, queued_before_key)
{
	for (int n_rec = 0; n_rec < 4; n_rec++)
	for (int extra = 0; extra < 2; extra++) {
		struct tt_key k = self->k;
		uint8_t rec[1000], buf[1000];
		struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
		int fd[2], ep = epoll_create1(0);
		uint64_t base;
		size_t n = 0, half = 0;

		tt_tcp_pair(variant->family, fd);
		base = tt_bytes_received(fd[1]);
		/* plain text of the handshake goes first, and only it is read before the switch */
		memcpy(rec, "hello", 5);
		n = 5;
		for (int i = 0; i < n_rec + extra; i++) {
			uint8_t data[100];
			struct tt_rec r = { .type = TT_DATA, .data = data, .len = 100 };

			tt_fill(data, 100, i * 100);
			half = n;
			n += tt_seal(&k, &r, rec + n);
		}
		half = extra ? (half + n) / 2 : n;
		tt_write(fd[0], rec, half);
		tt_wait_received(fd[1], base + half);
		ASSERT_EQ(5, tt_read(fd[1], buf, 5));
		ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, fd[1], &ev));
		if (n_rec || extra)
			epoll_wait(ep, &ev, 1, 0);
		k = self->k;
		tt_install(fd[1], &self->back, &k);
		EXPECT_EQ(n_rec ? POLLIN : 0, tt_poll(fd[1], POLLIN, 0)) TH_LOG("%d records, %d", n_rec, extra);
		if (n_rec) {
			ASSERT_EQ(n_rec * 100, tt_read(fd[1], buf, n_rec * 100));
			EXPECT_BYTES(buf, n_rec * 100, 0);
		}
		EXPECT_ERR(EAGAIN, recv(fd[1], buf, 100, MSG_DONTWAIT));
		if (extra) {
			epoll_wait(ep, &ev, 1, 0);
			tt_write(fd[0], rec + half, n - half);
			EXPECT_EQ(1, epoll_wait(ep, &ev, 1, 20000));
			ASSERT_EQ(100, recv(fd[1], buf, 100, MSG_DONTWAIT));
			EXPECT_BYTES(buf, 100, n_rec * 100);
		}
		close(fd[0]);
		close(fd[1]);
		close(ep);
	}
}

/* a poll that is asleep when the key comes, with the record already there */
TEST_F(rx, key_wakes_poll)
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

/* CVE-2025-39946: urgent bytes, dribbled into a tiny buffer, with a garbage header */
TEST_F(rx, urgent_bytes)
{
	uint8_t rec[1500], buf[1500];
	size_t n = make(self, rec, TT_DATA, 1000, 0, 0);

	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVBUF, 1);
	for (size_t i = 0; i < n; i++) {
		ASSERT_EQ(1, send(self->peer, rec + i, 1, i % 50 == 7 ? MSG_OOB : 0));
	}
	usleep(100000);
	/* urgent bytes are part of the stream (then the record is whole) or are not (then it is broken): no other bytes, no crash */
	for (int i = 0; i < 5; i++) {
		ssize_t r = recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT);

		if (r > 0) {
			EXPECT_EQ(1000, r);
			EXPECT_BYTES(buf, r, 0);
		}
	}
	memset(rec, 0xff, sizeof(rec));
	for (size_t i = 0; i < 1000; i++)
		send(self->peer, rec + i, 1, (i % 3 ? MSG_OOB : 0) | MSG_DONTWAIT);
	for (int i = 0; i < 5; i++) {
		EXPECT_GE(0, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
	}
	tt_poll(self->sk, POLLIN, 0);
}

/*
 * A second urgent pointer makes TCP step over the first urgent byte by itself: what was the header before is none now. The
 * reader may see an error, but may not go round for ever.
 */
TEST_F(rx, urgent_twice_in_header)
{
	for (int in_line = 0; in_line < 3; in_line++) {
		struct tt_key k = self->k;
		uint8_t rec[1000], buf[1000];
		struct tt_rec r = { .type = TT_DATA, .data = buf, .len = 771 };
		int fd[2];
		size_t n;

		tt_tcp_pair(variant->family, fd);
		tt_install(fd[1], &self->back, &k);
		/* 2: as the module leaves it */
		if (in_line < 2)
			tt_sockopt(fd[1], SOL_SOCKET, SO_OOBINLINE, in_line);
		tt_fill(buf, sizeof(buf), 0);
		n = tt_seal(&k, &r, rec);
		ASSERT_EQ(1, send(fd[0], rec, 1, MSG_OOB));
		ASSERT_EQ(20, send(fd[0], rec + 1, 20, 0));
		usleep(20000);
		EXPECT_ERR(EAGAIN, recv(fd[1], buf, sizeof(buf), MSG_DONTWAIT));
		ASSERT_EQ(1, send(fd[0], rec + 21, 1, MSG_OOB));
		ASSERT_EQ(n - 22, send(fd[0], rec + 22, n - 22, 0));
		usleep(20000);
		for (int i = 0; i < 5; i++) {
			ssize_t got = recv(fd[1], buf, sizeof(buf), MSG_DONTWAIT);

			if (got > 0) {
				EXPECT_EQ(771, got);
				EXPECT_BYTES(buf, got, 0);
			}
			tt_poll(fd[1], POLLIN, 0);
		}
		shutdown(fd[0], SHUT_WR);
		EXPECT_GE(0, recv(fd[1], buf, sizeof(buf), 0));
		close(fd[0]);
		close(fd[1]);
	}
}

/* half closed on our side, as clients do after their request: poll tells the truth all the same */
TEST_F(rx, poll_after_shutdown_write)
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

TEST_F(rx, urgent_garbage_header)
{
	uint8_t rec[10], buf[100];

	memset(rec, 0xff, sizeof(rec));
	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVBUF, 1);
	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(1, send(self->peer, rec, 1, MSG_OOB));
		usleep(2000);
		tt_poll(self->sk, POLLIN, 0);
		EXPECT_GE(0, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
	}
	shutdown(self->peer, SHUT_WR);
	for (int i = 0; i < 3; i++) {
		EXPECT_GE(0, recv(self->sk, buf, sizeof(buf), 0));
	}
}

#define TT_TCP_ZEROCOPY_RECEIVE 35

struct zc {
	uint64_t address;
	uint32_t length, recv_skip_hint, inq;
	int32_t err;
	uint64_t copybuf_address;
	int32_t copybuf_len;
	uint32_t flags;
	uint64_t msg_control;
	uint64_t msg_controllen;
	uint32_t msg_flags, reserved;
};

/* CVE-2025-38616: TCP's own ways to take data from the queue must not disturb the records in it */
TEST_F(rx, tcp_zerocopy_receive)
{
	long page = sysconf(_SC_PAGESIZE);
	static uint8_t copy[20000], buf[20000];
	struct zc zc;
	socklen_t len;
	ssize_t n;
	void *map;

	say(self, TT_DATA, 10000, 0);
	arrived(self);
	memset(&zc, 0, sizeof(zc));
	zc.copybuf_address = (uintptr_t)copy;
	zc.copybuf_len = sizeof(copy);
	len = sizeof(zc);
	getsockopt(self->sk, IPPROTO_TCP, TT_TCP_ZEROCOPY_RECEIVE, &zc, &len);
	map = mmap(NULL, 4 * page, PROT_READ, MAP_SHARED, self->sk, 0);
	if (map != MAP_FAILED) {
		memset(&zc, 0, sizeof(zc));
		zc.address = (uintptr_t)map;
		zc.length = 4 * page;
		len = sizeof(zc);
		getsockopt(self->sk, IPPROTO_TCP, TT_TCP_ZEROCOPY_RECEIVE, &zc, &len);
	}
	/* either it was refused and the data is whole, or the stream is broken and says so: never wrong bytes */
	n = recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT);
	if (n > 0) {
		EXPECT_BYTES(buf, n, 0);
	} else {
		EXPECT_EQ(-1, n);
	}
	say(self, TT_DATA, 5000, 10000);
	arrived(self);
	ssize_t m = recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT);

	if (m > 0) {
		EXPECT_BYTES(buf, m, 10000);
	}
	/* with part of a record read, plaintext waits and the queue is TCP's */
	if (n == 10000 && m == 5000) {
		say(self, TT_DATA, 5000, 0);
		ASSERT_EQ(100, recv(self->sk, buf, 100, 0));
		memset(&zc, 0, sizeof(zc));
		zc.copybuf_address = (uintptr_t)copy;
		zc.copybuf_len = sizeof(copy);
		len = sizeof(zc);
		getsockopt(self->sk, IPPROTO_TCP, TT_TCP_ZEROCOPY_RECEIVE, &zc, &len);
		ASSERT_EQ(4900, recv(self->sk, buf, sizeof(buf), 0));
		EXPECT_BYTES(buf, 4900, 100);
	}
}

TEST_F(rx, peek_off)
{
	uint8_t buf[200];
	int off = 10;

	say(self, TT_DATA, 100, 0);
	arrived(self);
	/* supported or not: reading is not disturbed, and a peek gives the stream from one place or the other */
	int r = setsockopt(self->sk, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off));

	ssize_t n = recv(self->sk, buf, sizeof(buf), MSG_PEEK);

	EXPECT_TRUE((n == 100 && tt_diff(buf, n, 0) < 0) || (!r && n == 90 && tt_diff(buf, n, 10) < 0));
	ASSERT_EQ(100, recv(self->sk, buf, sizeof(buf), 0));
	EXPECT_BYTES(buf, 100, 0);
}

/* MSG_ERRQUEUE is TCP's business and must not be mistaken for data */
TEST_F(rx, errqueue)
{
	uint8_t buf[100];

	EXPECT_ERR(EAGAIN, recv(self->sk, buf, sizeof(buf), MSG_ERRQUEUE));
	say(self, TT_DATA, 100, 0);
	arrived(self);
	EXPECT_ERR(EAGAIN, recv(self->sk, buf, sizeof(buf), MSG_ERRQUEUE));
	ASSERT_EQ(100, recv(self->sk, buf, sizeof(buf), 0));
}

/* MSG_OOB on receive has no meaning for records */
TEST_F(rx, recv_oob)
{
	uint8_t buf[100];

	say(self, TT_DATA, 50, 0);
	arrived(self);
	ssize_t n = recv(self->sk, buf, sizeof(buf), MSG_OOB | MSG_DONTWAIT);

	if (n > 0) {
		EXPECT_BYTES(buf, n, 0);
	} else {
		ASSERT_EQ(50, recv(self->sk, buf, sizeof(buf), 0));
	}
}

/* the timestamps, hop limits and the like that TCP gives in control messages stay apart from the record type */
TEST_F(rx, timestamps)
{
	union { struct cmsghdr h; char b[512]; } c;
	uint8_t buf[100], type = 0;
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c) };
	struct cmsghdr *h;

	tt_sockopt(self->sk, SOL_SOCKET, SO_TIMESTAMP, 1);
	say(self, TT_DATA, 50, 0);
	ASSERT_EQ(50, recvmsg(self->sk, &m, 0));
	for (h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
		if (h->cmsg_level == SOL_TLS && h->cmsg_type == TLS_GET_RECORD_TYPE)
			type = *CMSG_DATA(h);
	EXPECT_EQ(TT_DATA, type);
}

TEST_HARNESS_MAIN
