// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Receive: reads and peeks of every size and flag. The peer of these programs is a bare TCP socket that says byte for byte
 * what is on the wire.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "rx_common.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/uio.h>

RX_FIXTURE(rx);

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
	EXPECT_EQ(0, tt_child_status(pid));
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
	ASSERT_EQ(0, tt_child_status(pid));
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
	EXPECT_EQ(0, tt_child_status(pid));
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
		ASSERT_EQ(0, tt_child_status(pid));
		n = 0;
		for (int i = 0; i < 10; i++)
			n += make(self, rec + n, TT_DATA, 100, 0, i * 100);
	}
}

TEST_F(rx, fionread)
{
	uint8_t rec[600], buf[600];
	size_t n = make(self, rec, TT_DATA, 500, 0, 0);

	EXPECT_EQ(0, tt_pending(self->sk));
	/* part of a record: nothing that could be read */
	wire(self, rec, n / 2);
	arrived(self);
	EXPECT_EQ(0, tt_pending(self->sk));
	wire(self, rec + n / 2, n - n / 2);
	arrived(self);
	/* never more than a read can give */
	EXPECT_GE(500, tt_pending(self->sk));
	EXPECT_LE(0, tt_pending(self->sk));
	ASSERT_EQ(100, recv(self->sk, buf, 100, 0));
	EXPECT_EQ(400, tt_pending(self->sk));
	ASSERT_EQ(100, recv(self->sk, buf, 100, MSG_PEEK));
	EXPECT_EQ(400, tt_pending(self->sk));
	ASSERT_EQ(400, recv(self->sk, buf, 400, 0));
	EXPECT_EQ(0, tt_pending(self->sk));
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

TEST_HARNESS_MAIN
