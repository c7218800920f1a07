// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Transmit. The peer is a bare TCP socket that opens every record in user space: what is on the wire is checked to the
 * byte, and no byte may be lost or come twice whatever happens to the call that sent it.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>

FIXTURE(tx)
{
	int sk;			/* under test: transmit key k, receive key back */
	int peer;		/* bare TCP */
	struct tt_key k, back;
	struct tt_opened *o;
};

FIXTURE_VARIANT(tx)
{
	TT_VARIANT_FIELDS;
};

TT_VARIANTS(tx);

FIXTURE_SETUP(tx)
{
	int fd[2];

	tt_tcp_pair(variant->family, fd);
	self->sk = fd[0];
	self->peer = fd[1];
	self->k = tt_key_make(variant->version, variant->cipher, 1);
	self->back = tt_key_make(variant->version, variant->cipher, 2);
	self->o = malloc(sizeof(*self->o));
	tt_install(self->sk, &self->k, &self->back);
}

FIXTURE_TEARDOWN(tx)
{
	close(self->peer);
	close(self->sk);
	free(self->o);
}

#define SELF FIXTURE_DATA(tx) *self

/* read records until total bytes of data came, all as they should be; the number of records, or -1 */
static int take(SELF, size_t total, uint64_t pos)
{
	int records = 0;

	for (size_t got = 0; got < total; records++) {
		ssize_t at;

		if (tt_recv_rec(self->peer, &self->k, self->o) != 1) {
			fprintf(stderr, "# record %d after %zu of %zu bytes does not open\n", records, got, total);
			return -1;
		}
		if (self->o->type != TT_DATA || !self->o->len || self->o->len > TT_MAX || self->o->pad) {
			fprintf(stderr, "# record %d: type %u, length %zu\n", records, self->o->type, self->o->len);
			return -1;
		}
		at = tt_diff(self->o->data, self->o->len, pos + got);
		if (at >= 0) {
			fprintf(stderr, "# wrong byte at %zu\n", got + at);
			return -1;
		}
		got += self->o->len;
		if (got > total) {
			fprintf(stderr, "# %zu bytes came instead of %zu\n", got, total);
			return -1;
		}
	}
	return records;
}

/* a child that takes total bytes, slowly if asked, and then wants the end of the stream if asked */
static pid_t take_in_child(SELF, size_t total, uint64_t pos, int delay_us, bool end)
{
	pid_t pid = fork();
	size_t got = 0;

	TT_MUST(pid >= 0);
	if (pid)
		return pid;
	close(self->sk);
	while (got < total) {
		if (tt_recv_rec(self->peer, &self->k, self->o) != 1 || self->o->type != TT_DATA)
			_exit(2);
		if (tt_diff(self->o->data, self->o->len, pos + got) >= 0)
			_exit(3);
		got += self->o->len;
		if (delay_us)
			usleep(delay_us);
	}
	if (got != total)
		_exit(4);
	if (end && tt_recv_rec(self->peer, &self->k, self->o) != 0)
		_exit(5);
	_exit(0);
}

static int child_status(pid_t pid)
{
	int st = -1;

	waitpid(pid, &st, 0);
	return WIFEXITED(st) ? WEXITSTATUS(st) : 100 + WTERMSIG(st);
}

static int pending(int fd)
{
	int n = -1;

	TT_MUST(ioctl(fd, FIONREAD, &n) == 0);
	return n;
}

static uint8_t *pattern(size_t len, uint64_t pos)
{
	uint8_t *p = malloc(len + 1);

	TT_MUST(p);
	tt_fill(p, len, pos);
	return p;
}

TEST_F(tx, wire_format)
{
	size_t sizes[] = { 1, 2, 15, 16, 17, 100, 255, 1000, 4075, 4096, 5000, 8191, 12345, 16383, 16384 };
	uint8_t *wire = malloc(TT_REC_MAX), *mine = malloc(TT_REC_MAX), *data = malloc(TT_MAX);

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t want = sizes[i] + tt_overhead(&self->k), n;
		struct tt_rec r = { .type = TT_DATA, .data = data, .len = sizes[i] };
		struct tt_key k = self->k;

		tt_fill(data, sizes[i], i);
		ASSERT_EQ(sizes[i], send(self->sk, data, sizes[i], 0));
		ASSERT_EQ(want, tt_read(self->peer, wire, want));
		EXPECT_EQ(0, pending(self->peer));
		ASSERT_EQ(0, tt_open(&k, wire, want, self->o));
		EXPECT_EQ(TT_DATA, self->o->outer_type);
		EXPECT_EQ(0x0303, self->o->outer_version);
		EXPECT_EQ(TT_DATA, self->o->type);
		EXPECT_EQ(0, self->o->pad);
		EXPECT_EQ(sizes[i], self->o->len);
		/* TLS 1.3 leaves nothing open: bit for bit what user space makes */
		n = tt_seal(&self->k, &r, mine);
		EXPECT_EQ(want, n);
		if (variant->version == TLS_1_3_VERSION) {
			EXPECT_EQ(0, memcmp(mine, wire, want));
		} else {
			EXPECT_EQ(0, memcmp(mine, wire, 5));
			EXPECT_BYTES(self->o->data, sizes[i], i);
		}
	}
	free(wire);
	free(mine);
	free(data);
}

/* How a message of so many bytes is cut into records: full ones, then the rest. */
static bool whole_records(SELF, const uint8_t *data, size_t len, size_t max)
{
	for (size_t done = 0; done < len; done += self->o->len) {
		size_t want = len - done < max ? len - done : max;

		if (tt_recv_rec(self->peer, &self->k, self->o) != 1 || self->o->type != TT_DATA || self->o->pad)
			return false;
		if (self->o->len != want || memcmp(self->o->data, data + done, want))
			return false;
	}
	return pending(self->peer) == 0;
}

/*
 * Around the sizes where a message gets a record of its own, another place in memory, or a second record; in one piece of
 * the program's memory and in three, of which one is empty.
 */
TEST_F(tx, size_boundaries)
{
	uint16_t max[] = { 64, 1000, 8192, 8193, TT_MAX - 1, TT_MAX };
	size_t size[] = { 1, 16, 64, 1000, 1024, 3072, 4096, 8192, TT_MAX };
	uint8_t *data = pattern(TT_MAX + 100, 0);

	for (size_t m = 0; m < ARRAY_SIZE(max); m++) {
		ASSERT_EQ(0, setsockopt(self->sk, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &max[m], sizeof(max[m])));
		for (size_t i = 0; i <= ARRAY_SIZE(size); i++)
		for (int off = -1; off <= 1; off++) {
			size_t n = (i < ARRAY_SIZE(size) ? size[i] : max[m]) + off;
			struct iovec iov[3] = { { data + n % 7, n / 3 }, { data, 0 }, { data + n % 7 + n / 3, n - n / 3 } };

			ASSERT_EQ(n, send(self->sk, data + n % 7, n, 0));
			ASSERT_TRUE(whole_records(self, data + n % 7, n, max[m])) TH_LOG("%zu bytes, at most %u", n, max[m]);
			ASSERT_EQ(n, writev(self->sk, iov, 3));
			ASSERT_TRUE(whole_records(self, data + n % 7, n, max[m])) TH_LOG("%zu bytes in pieces, at most %u", n, max[m]);
		}
	}
	free(data);
}

/* the explicit nonce of TLS 1.2 under one key must never come twice, however the records were made */
TEST_F(tx, nonces_never_repeat)
{
	uint64_t *seen = calloc(700, sizeof(*seen));
	int n = 0, p[2];
	char buf[100] = "";

	if (variant->version != TLS_1_2_VERSION)
		SKIP(goto out, "TLS 1.3 has no explicit nonce");
	ASSERT_EQ(0, pipe(p));
	for (int i = 0; i < 300; i++) {
		int made = 1;

		switch (i % 4) {
		case 0:
			ASSERT_EQ(50, send(self->sk, buf, 50, 0));
			break;
		case 1:
			ASSERT_EQ(2, tt_send_type(self->sk, TT_ALERT, buf, 2, 0));
			break;
		case 2:
			ASSERT_EQ(10, send(self->sk, buf, 10, MSG_MORE));
			ASSERT_EQ(2, tt_send_type(self->sk, TT_HANDSHAKE, buf, 2, 0));
			made = 2;
			break;
		case 3:
			ASSERT_EQ(100, write(p[1], buf, 100));
			ASSERT_EQ(100, splice(p[0], NULL, self->sk, NULL, 100, 0));
			break;
		}
		while (made--) {
			ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
			memcpy(&seen[n], self->o->nonce, 8);
			for (int j = 0; j < n; j++) {
				ASSERT_NE(seen[j], seen[n]);
			}
			n++;
		}
	}
out:
	free(seen);
}

/* large sends make full records */
TEST_F(tx, full_records)
{
	size_t sizes[] = { 16384, 16385, 32768, 40000, 65536, 100000, 163840 };
	uint64_t pos = 0;

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 1 << 20);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint8_t *data = pattern(sizes[i], pos);
		size_t done = 0;
		pid_t pid = fork();

		if (!pid) {
			ssize_t n = send(self->sk, data, sizes[i], 0);

			_exit(n == (ssize_t)sizes[i] ? 0 : 1);
		}
		while (done < sizes[i]) {
			size_t left = sizes[i] - done;

			ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
			EXPECT_EQ(left > TT_MAX ? TT_MAX : left, self->o->len);
			ASSERT_BYTES(self->o->data, self->o->len, pos + done);
			done += self->o->len;
		}
		EXPECT_EQ(0, child_status(pid));
		pos += sizes[i];
		free(data);
	}
}

TEST_F(tx, write_and_writev)
{
	uint8_t *data = pattern(30000, 0);
	struct iovec iov[300];
	size_t total = 0;

	ASSERT_EQ(1000, write(self->sk, data, 1000));
	EXPECT_EQ(1, take(self, 1000, 0));
	/* many pieces, empty ones among them, one record */
	for (int i = 0; i < 300; i++) {
		iov[i] = (struct iovec){ data + total, i % 60 };
		total += i % 60;
	}
	ASSERT_EQ(total, writev(self->sk, iov, 300));
	EXPECT_EQ(1, take(self, total, 0));
	/* across the end of a record */
	iov[0] = (struct iovec){ data, 16000 };
	iov[1] = (struct iovec){ data + 16000, 14000 };
	ASSERT_EQ(30000, writev(self->sk, iov, 2));
	EXPECT_EQ(2, take(self, 30000, 0));
	/* nothing at all */
	EXPECT_EQ(0, send(self->sk, data, 0, 0));
	EXPECT_EQ(0, write(self->sk, data, 0));
	ASSERT_EQ(1, send(self->sk, data, 1, 0));
	EXPECT_EQ(1, take(self, 1, 0));
	EXPECT_EQ(0, pending(self->peer));
	free(data);
}

TEST_F(tx, msg_more)
{
	uint8_t *data = pattern(40000, 0);

	/* held until a call without it */
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(10, send(self->sk, data + i * 10, 10, MSG_MORE));
	}
	usleep(50000);
	EXPECT_EQ(0, pending(self->peer));
	ASSERT_EQ(10, send(self->sk, data + 200, 10, 0));
	EXPECT_EQ(1, take(self, 210, 0));
	/* MSG_EOR ends a record like any send */
	ASSERT_EQ(10, send(self->sk, data, 10, MSG_MORE));
	ASSERT_EQ(10, send(self->sk, data + 10, 10, MSG_EOR));
	EXPECT_EQ(1, take(self, 20, 0));
	/* a full record goes although more is to come; the rest waits */
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(5000, send(self->sk, data + i * 5000, 5000, MSG_MORE));
	}
	EXPECT_EQ(1, take(self, TT_MAX, 0));
	usleep(50000);
	EXPECT_EQ(0, pending(self->peer));
	ASSERT_EQ(100, write(self->sk, data + 20000, 100));
	EXPECT_EQ(1, take(self, 20100 - TT_MAX, TT_MAX));
	/* a multiple of the record, all with MSG_MORE */
	ASSERT_EQ(2 * TT_MAX, send(self->sk, data, 2 * TT_MAX, MSG_MORE));
	ASSERT_EQ(1, send(self->sk, data + 2 * TT_MAX, 1, 0));
	EXPECT_LE(3, take(self, 2 * TT_MAX + 1, 0));
	free(data);
}

/* held data goes as a record of its own before a record of another type */
TEST_F(tx, msg_more_then_control)
{
	uint8_t *data = pattern(200, 0);

	ASSERT_EQ(100, send(self->sk, data, 100, MSG_MORE));
	ASSERT_EQ(2, tt_send_type(self->sk, TT_ALERT, data, 2, 0));
	EXPECT_EQ(1, take(self, 100, 0));
	ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
	EXPECT_EQ(TT_ALERT, self->o->type);
	EXPECT_EQ(2, self->o->len);
	EXPECT_BYTES(self->o->data, 2, 0);
	/* also when the type is the same */
	ASSERT_EQ(100, send(self->sk, data, 100, MSG_MORE));
	ASSERT_EQ(100, tt_send_type(self->sk, TT_DATA, data + 100, 100, 0));
	EXPECT_LE(1, take(self, 200, 0));
	free(data);
}

TEST_F(tx, control_records)
{
	int types[] = { 20, TT_ALERT, TT_HANDSHAKE, 24, 1, 100, 255 };
	uint8_t *data = pattern(20000, 0);
	size_t done;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		ASSERT_EQ(2 + i, tt_send_type(self->sk, types[i], data, 2 + i, i & 1 ? MSG_EOR : 0));
		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
		EXPECT_EQ(types[i], self->o->type);
		EXPECT_EQ(variant->version == TLS_1_3_VERSION ? TT_DATA : types[i], self->o->outer_type);
		EXPECT_EQ(2 + i, self->o->len);
		EXPECT_BYTES(self->o->data, 2 + i, 0);
	}
	/* longer than a record: more than one of that type */
	ASSERT_EQ(20000, tt_send_type(self->sk, TT_HANDSHAKE, data, 20000, 0));
	for (done = 0; done < 20000; done += self->o->len) {
		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
		EXPECT_EQ(TT_HANDSHAKE, self->o->type);
		ASSERT_BYTES(self->o->data, self->o->len, done);
	}
	EXPECT_EQ(20000, done);
	/* an empty one: sent as such or not at all, and no trouble behind it */
	EXPECT_EQ(0, tt_send_type(self->sk, TT_ALERT, data, 0, 0));
	ASSERT_EQ(10, send(self->sk, data, 10, 0));
	ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
	if (self->o->type == TT_ALERT) {
		EXPECT_EQ(0, self->o->len);
		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
	}
	EXPECT_EQ(TT_DATA, self->o->type);
	EXPECT_EQ(10, self->o->len);
	free(data);
}

/* files: a memory file, and one in a directory with whatever file system that is */
static int make_file(int kind, size_t len, uint64_t pos)
{
	char name[] = "/tmp/tlsrec-test-XXXXXX";
	uint8_t *data = pattern(len, pos);
	int fd = kind ? mkstemp(name) : memfd_create("tlsrec", 0);

	TT_MUST(fd >= 0);
	if (kind)
		unlink(name);
	TT_MUST(len == 0 || pwrite(fd, data, len, 0) == (ssize_t)len);
	free(data);
	return fd;
}

static bool file_is(int fd, size_t len, uint64_t pos)
{
	uint8_t *data = malloc(len + 1);
	bool ok = pread(fd, data, len + 1, 0) == (ssize_t)len && tt_diff(data, len, pos) < 0;

	free(data);
	return ok;
}

static int send_file(int sk, int fd, off_t off, size_t len)
{
	while (len) {
		ssize_t n = sendfile(sk, fd, &off, len);

		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			tt_poll(sk, POLLOUT, 1000);
			continue;
		}
		if (n <= 0)
			return -1;
		len -= n;
	}
	return 0;
}

TEST_F(tx, sendfile)
{
	size_t sizes[] = { 1, 100, 4095, 4096, 4097, 16384, 16385, 70000, 300000 };

	for (int kind = 0; kind < 2; kind++)
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		int fd = make_file(kind, sizes[i], i), full = 0, rest = 0;
		pid_t pid = fork();
		size_t got = 0;

		if (!pid)
			_exit(send_file(self->sk, fd, 0, sizes[i]) ? 1 : 0);
		while (got < sizes[i]) {
			ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
			ASSERT_BYTES(self->o->data, self->o->len, i + got);
			got += self->o->len;
			if (self->o->len == TT_MAX)
				full++;
			else
				rest++;
		}
		EXPECT_EQ(sizes[i], got);
		/* full records, but for the end of each piece that sendfile hands over */
		EXPECT_EQ(sizes[i] / TT_MAX, full);
		EXPECT_GE(1, rest);
		EXPECT_EQ(0, child_status(pid));
		EXPECT_TRUE(file_is(fd, sizes[i], i)) TH_LOG("the file was changed");
		close(fd);
	}
}

TEST_F(tx, sendfile_offsets)
{
	size_t len = 50000;
	int fd = make_file(1, len, 0);
	off_t off;

	/* odd offsets */
	for (off = 1; off < 40000; off = off * 3 + 1) {
		off_t o = off;

		ASSERT_EQ(5000, sendfile(self->sk, fd, &o, 5000));
		EXPECT_EQ(off + 5000, o);
		EXPECT_LE(1, take(self, 5000, off));
	}
	/* past the end: what there is */
	off = len - 100;
	ASSERT_EQ(100, sendfile(self->sk, fd, &off, 1000));
	EXPECT_EQ((off_t)len, off);
	EXPECT_EQ(1, take(self, 100, len - 100));
	EXPECT_EQ(0, sendfile(self->sk, fd, &off, 1000));
	EXPECT_EQ(0, sendfile(self->sk, fd, &off, 0));
	/* the file's own position */
	ASSERT_EQ(777, lseek(fd, 777, SEEK_SET));
	ASSERT_EQ(1000, sendfile(self->sk, fd, NULL, 1000));
	EXPECT_EQ(1777, lseek(fd, 0, SEEK_CUR));
	EXPECT_EQ(1, take(self, 1000, 777));
	EXPECT_TRUE(file_is(fd, len, 0));
	close(fd);
}

/* CVE-2023-52767 */
TEST_F(tx, sendfile_empty)
{
	int fd = make_file(0, 0, 0);

	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(0, sendfile(self->sk, fd, NULL, 1000));
	}
	EXPECT_EQ(0, pending(self->peer));
	/* with a record open, which the end of the splice then closes or leaves */
	ASSERT_EQ(3, send(self->sk, "abc", 3, MSG_MORE));
	EXPECT_EQ(0, sendfile(self->sk, fd, NULL, 1000));
	ASSERT_EQ(3, send(self->sk, "def", 3, 0));
	size_t got = 0;
	char all[7] = "";

	while (got < 6) {
		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
		ASSERT_GE(6, got + self->o->len);
		memcpy(all + got, self->o->data, self->o->len);
		got += self->o->len;
	}
	EXPECT_STREQ("abcdef", all);
	close(fd);
}

static void *truncate_soon(void *arg)
{
	usleep(20000);
	TT_MUST(ftruncate(*(int *)arg, 30000) == 0);
	return NULL;
}

/* the file gets shorter while it is sent: the count says how much went, and it did */
TEST_F(tx, sendfile_truncated)
{
	size_t len = 3000000, total = 0;
	int fd = make_file(0, len, 0);
	pthread_t t;
	pid_t pid = take_in_child(self, 0, 0, 0, false);

	EXPECT_EQ(0, child_status(pid));
	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 20000);
	ASSERT_EQ(0, pthread_create(&t, NULL, truncate_soon, &fd));
	tt_nonblock(self->sk, true);
	uint64_t give_up = tt_now_ms() + 30000, got = 0;

	while (tt_now_ms() < give_up) {
		ssize_t n = sendfile(self->sk, fd, NULL, 100000);

		if (n == 0)
			break;
		if (n < 0) {
			ASSERT_EQ(EAGAIN, errno);
			ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
			ASSERT_BYTES(self->o->data, self->o->len, got);
			got += self->o->len;
			usleep(1000);
			continue;
		}
		total += n;
	}
	pthread_join(t, NULL);
	/* a mark at the end: everything before it is what sendfile counted */
	tt_nonblock(self->sk, false);
	pid = fork();
	if (!pid) {
		send(self->sk, "END", 3, 0);
		_exit(0);
	}
	for (;;) {
		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
		if (self->o->len >= 3 && !memcmp(self->o->data + self->o->len - 3, "END", 3)) {
			got += self->o->len - 3;
			break;
		}
		got += self->o->len;
	}
	EXPECT_EQ(total, got);
	EXPECT_EQ(0, child_status(pid));
	close(fd);
}

static volatile int scribble;

static void *scribbler(void *arg)
{
	uint8_t *map = arg;

	for (unsigned int i = 0; scribble; i++)
		map[i * 7919 % 200000] = i;
	return NULL;
}

/* somebody writes to the file meanwhile: any bytes may go out, but every record must open */
TEST_F(tx, sendfile_modified_file)
{
	int fd = make_file(0, 200000, 0);
	uint8_t *map = mmap(NULL, 200000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	pthread_t t;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, (void *)map);
	scribble = 1;
	ASSERT_EQ(0, pthread_create(&t, NULL, scribbler, map));
	pid = fork();
	if (!pid) {
		for (int i = 0; i < 5; i++)
			if (send_file(self->sk, fd, 0, 200000))
				_exit(1);
		_exit(0);
	}
	for (size_t got = 0; got < 5 * 200000; got += self->o->len) {
		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
	}
	EXPECT_EQ(0, child_status(pid));
	scribble = 0;
	pthread_join(t, NULL);
	close(fd);
}

/* what was sent does not change when the file does afterwards */
TEST_F(tx, sendfile_is_a_snapshot)
{
	int fd = make_file(0, 20000, 0);
	uint8_t *other = pattern(20000, 99999);

	ASSERT_EQ(0, send_file(self->sk, fd, 0, 20000));
	ASSERT_EQ(20000, pwrite(fd, other, 20000, 0));
	EXPECT_LE(1, take(self, 20000, 0));
	ASSERT_EQ(0, send_file(self->sk, fd, 0, 20000));
	EXPECT_LE(1, take(self, 20000, 99999));
	free(other);
	close(fd);
}

/* the buffer full, again and again: counts and offsets to the byte */
TEST_F(tx, sendfile_nonblocking)
{
	size_t len = 600000, sent = 0, got = 0;
	int fd = make_file(1, len, 0);
	off_t off = 0;

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 30000);
	tt_sockopt(self->peer, SOL_SOCKET, SO_RCVBUF, 30000);
	tt_nonblock(self->sk, true);
	while (got < len) {
		ssize_t n = sent < len ? sendfile(self->sk, fd, &off, len - sent) : 0;

		if (n > 0)
			sent += n;
		else if (sent < len) {
			ASSERT_EQ(EAGAIN, errno);
		}
		EXPECT_EQ(sent, (size_t)off);
		/* a record that was counted may need another push to leave: writable is when to look again */
		if (pending(self->peer) < 5) {
			tt_poll(sent < len ? self->sk : self->peer, sent < len ? POLLOUT : POLLIN, 20000);
			if (pending(self->peer) < 5)
				continue;
		}
		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
		ASSERT_BYTES(self->o->data, self->o->len, got);
		got += self->o->len;
	}
	EXPECT_EQ(len, sent);
	EXPECT_EQ(len, got);
	EXPECT_TRUE(file_is(fd, len, 0));
	close(fd);
}

TEST_F(tx, send_then_sendfile)
{
	int fd = make_file(1, 10000, 100);
	uint8_t *data = pattern(100, 0);

	/* a header with MSG_MORE in front of a file, as servers do */
	ASSERT_EQ(100, send(self->sk, data, 100, MSG_MORE));
	ASSERT_EQ(10000, sendfile(self->sk, fd, NULL, 10000));
	EXPECT_LE(1, take(self, 10100, 0));
	EXPECT_TRUE(file_is(fd, 10000, 100));
	free(data);
	close(fd);
}

TEST_F(tx, splice_from_pipe)
{
	uint8_t *data = pattern(50000, 0);
	int p[2];

	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(10000, write(p[1], data, 10000));
	ASSERT_EQ(10000, splice(p[0], NULL, self->sk, NULL, 10000, 0));
	EXPECT_LE(1, take(self, 10000, 0));
	/* in pieces that end anywhere */
	ASSERT_EQ(50000, write(p[1], data, 50000));
	for (size_t done = 0, n; done < 50000; done += n) {
		n = 50000 - done < 777 ? 50000 - done : 777;
		ASSERT_EQ(n, splice(p[0], NULL, self->sk, NULL, n, 0));
		EXPECT_LE(1, take(self, n, done));
	}
	free(data);
	close(p[0]);
	close(p[1]);
}

/* CVE-2024-0646, CVE-2026-64046, CVE-2026-64047: splice and write in one record, in many small pieces */
TEST_F(tx, splice_mixed)
{
	uint64_t seed = 3;
	uint8_t *data = pattern(200000, 0);
	int p[2];

	ASSERT_EQ(0, pipe(p));
	for (int round = 0; round < 20; round++) {
		size_t n = 0;

		for (int i = 0; i < 120; i++) {
			size_t len = round % 2 ? 1 + tt_rand(&seed) % 3 : 1 + tt_rand(&seed) % 400;
			bool last = i == 119;

			if (tt_rand(&seed) % 3) {
				ASSERT_EQ(len, write(p[1], data + n, len));
				ASSERT_EQ(len, splice(p[0], NULL, self->sk, NULL, len, last ? 0 : SPLICE_F_MORE));
			} else {
				ASSERT_EQ(len, send(self->sk, data + n, len, last ? 0 : MSG_MORE));
			}
			n += len;
		}
		ASSERT_LE(1, take(self, n, 0));
		EXPECT_EQ(0, pending(self->peer));
	}
	free(data);
	close(p[0]);
	close(p[1]);
}

/* one record of many pages with a byte each */
TEST_F(tx, splice_many_pieces)
{
	size_t page = sysconf(_SC_PAGESIZE), n = 400;
	int fd = make_file(0, n * page, 0), p[2];

	ASSERT_EQ(0, pipe(p));
	uint8_t *want = malloc(n);

	for (size_t i = 0; i < n; i++) {
		loff_t off = i * page + i % 100;

		ASSERT_EQ(1, pread(fd, want + i, 1, off));
		ASSERT_EQ(1, splice(fd, &off, p[1], NULL, 1, 0));
		ASSERT_EQ(1, splice(p[0], NULL, self->sk, NULL, 1, i + 1 < n ? SPLICE_F_MORE : 0));
	}
	for (size_t got = 0; got < n; got += self->o->len) {
		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
		ASSERT_GE(n, got + self->o->len);
		ASSERT_EQ(0, memcmp(want + got, self->o->data, self->o->len));
	}
	EXPECT_TRUE(file_is(fd, n * page, 0));
	free(want);
	close(fd);
	close(p[0]);
	close(p[1]);
}

/* less than a segment waits for what a splice promises: not for long, and not with another cork than the program's */
TEST_F(tx, splice_more_corks)
{
	int fd = make_file(1, 5 * TT_MAX, 0), p[2], unsent;
	uint8_t *data = pattern(100, 2 * TT_MAX);

	ASSERT_EQ(0, pipe(p));
	for (int own = 0; own < 2; own++) {
		loff_t off = 0;

		tt_sockopt(self->sk, IPPROTO_TCP, TCP_CORK, own);
		ASSERT_EQ(4 * TT_MAX, splice(fd, &off, p[1], NULL, 4 * TT_MAX, 0));
		ASSERT_EQ(4 * TT_MAX, splice(p[0], NULL, self->sk, NULL, 4 * TT_MAX, SPLICE_F_MORE));
		EXPECT_EQ(4, take(self, 4 * TT_MAX, 0));
		ASSERT_EQ(TT_MAX, splice(fd, &off, p[1], NULL, TT_MAX, 0));
		ASSERT_EQ(TT_MAX, splice(p[0], NULL, self->sk, NULL, TT_MAX, 0));
		ASSERT_EQ(0, ioctl(self->sk, SIOCOUTQNSD, &unsent));
		if (!own)
			EXPECT_EQ(0, unsent);
		EXPECT_EQ(own, tt_sockopt_get(self->sk, IPPROTO_TCP, TCP_CORK));
		EXPECT_EQ(1, take(self, TT_MAX, 4 * TT_MAX));
	}
	/* a cork of the program's own, put on meanwhile, stays on */
	for (loff_t off = 0; off < 2 * TT_MAX;) {
		tt_sockopt(self->sk, IPPROTO_TCP, TCP_CORK, 0);
		ASSERT_EQ(TT_MAX, splice(fd, &off, p[1], NULL, TT_MAX, 0));
		ASSERT_EQ(TT_MAX, splice(p[0], NULL, self->sk, NULL, TT_MAX, SPLICE_F_MORE));
		EXPECT_EQ(0, tt_sockopt_get(self->sk, IPPROTO_TCP, TCP_CORK));
		tt_sockopt(self->sk, IPPROTO_TCP, TCP_CORK, 1);
	}
	ASSERT_EQ(100, send(self->sk, data, 100, 0));
	EXPECT_EQ(1, tt_sockopt_get(self->sk, IPPROTO_TCP, TCP_CORK));
	tt_sockopt(self->sk, IPPROTO_TCP, TCP_CORK, 0);
	EXPECT_EQ(3, take(self, 2 * TT_MAX + 100, 0));
	/* the file has less than what sendfile asks for */
	for (off_t off = 0, n; (n = sendfile(self->sk, fd, &off, 6 * TT_MAX));)
		ASSERT_LT(0, n);
	EXPECT_EQ(0, tt_sockopt_get(self->sk, IPPROTO_TCP, TCP_CORK));
	EXPECT_EQ(5, take(self, 5 * TT_MAX, 0));
	close(fd);
	close(p[0]);
	close(p[1]);
	free(data);
}

/* CVE-2026-74610: full to the brim with MSG_MORE, then splice */
TEST_F(tx, splice_onto_full_record)
{
	uint8_t *data = pattern(TT_MAX * 2, 0);
	int p[2];

	ASSERT_EQ(0, pipe(p));
	for (int less = 0; less < 3; less++) {
		size_t n = TT_MAX - less;

		ASSERT_EQ(n, send(self->sk, data, n, MSG_MORE));
		ASSERT_EQ(100, write(p[1], data + n, 100));
		ASSERT_EQ(100, splice(p[0], NULL, self->sk, NULL, 100, less == 1 ? SPLICE_F_MORE : 0));
		ASSERT_EQ(10, send(self->sk, data + n + 100, 10, 0));
		ASSERT_LE(2, take(self, n + 110, 0));
	}
	free(data);
	close(p[0]);
	close(p[1]);
}

TEST_F(tx, vmsplice)
{
	size_t page = sysconf(_SC_PAGESIZE), len = 8 * page;
	uint8_t *mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec iov = { mem, len };
	int p[2];

	ASSERT_NE(MAP_FAILED, (void *)mem);
	ASSERT_EQ(0, pipe(p));
	tt_fill(mem, len, 0);
	ASSERT_EQ(len, vmsplice(p[1], &iov, 1, 0));
	ASSERT_EQ(len, splice(p[0], NULL, self->sk, NULL, len, 0));
	/* encrypted by now: the memory is the program's again, and as it was */
	EXPECT_BYTES(mem, len, 0);
	memset(mem, 0, len);
	EXPECT_LE(1, take(self, len, 0));
	close(p[0]);
	close(p[1]);
}

/* from a TLS socket into a TLS socket */
TEST_F(tx, splice_from_tls)
{
	struct tt_key in = tt_key_make(variant->version, variant->cipher, 5);
	size_t total = 200000, n = 0;
	uint8_t *all = malloc(2 * total), *data = pattern(total, 0);
	pid_t feeder, taker;
	int fd[2], p[2];

	tt_tcp_pair(variant->family, fd);
	tt_install(fd[1], NULL, &in);
	ASSERT_EQ(0, pipe(p));
	for (size_t i = 0; i < total; i += 5000) {
		struct tt_rec r = { .type = TT_DATA, .data = data + i, .len = 5000 };

		n += tt_seal(&in, &r, all + n);
	}
	taker = take_in_child(self, total, 0, 0, false);
	feeder = fork();
	if (!feeder) {
		tt_write(fd[0], all, n);
		_exit(0);
	}
	for (size_t done = 0; done < total;) {
		ssize_t r = splice(fd[1], NULL, p[1], NULL, 65536, 0);

		ASSERT_LT(0, r);
		done += r;
		while (r) {
			ssize_t w = splice(p[0], NULL, self->sk, NULL, r, done < total ? SPLICE_F_MORE : 0);

			ASSERT_LT(0, w);
			r -= w;
		}
	}
	EXPECT_EQ(0, child_status(feeder));
	EXPECT_EQ(0, child_status(taker));
	free(all);
	free(data);
}

/* a full buffer: EAGAIN, counts to the byte, writable again after the peer has read */
TEST_F(tx, nonblocking)
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
	EXPECT_EQ(0, child_status(pid));
	self->sk = -1;
	free(data);
}

/* what the kernel took leaves by itself when there is room: no further call is needed */
TEST_F(tx, accepted_data_leaves)
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
	EXPECT_EQ(0, pending(self->peer));
	free(data);
}

TEST_F(tx, epollout_edge)
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
TEST_F(tx, signals)
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
	EXPECT_EQ(0, child_status(pid));
	TH_LOG("%d EINTR, %d short counts", eintr, part);
	free(data);
}

TEST_F(tx, signals_sendfile)
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
	EXPECT_EQ(0, child_status(pid));
	EXPECT_TRUE(file_is(fd, total, 0));
	close(fd);
}

struct writer {
	int fd, id, count, bad;
};

/* each message goes with one call and is shorter than a record: it must come out whole */
static void *writer(void *arg)
{
	struct writer *w = arg;
	uint64_t seed = w->id;
	uint8_t *buf = malloc(TT_MAX);

	for (int i = 0; i < w->count; i++) {
		uint32_t len = 12 + (tt_rand(&seed) % 4 ? tt_rand(&seed) % 1000 : tt_rand(&seed) % (TT_MAX - 12)), hd[3] = { w->id, i, len };
		struct iovec iov[2] = { { buf, 12 }, { buf + 12, len - 12 } };
		struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };

		memcpy(buf, hd, 12);
		tt_fill(buf + 12, len - 12, w->id * 1000 + i);
		if (sendmsg(w->fd, &m, MSG_NOSIGNAL) != (ssize_t)len)
			w->bad++;
	}
	free(buf);
	return NULL;
}

TEST_F(tx, several_writers)
{
	struct writer w[3];
	pthread_t t[3];
	int next[3] = { 0 };

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 20000);
	for (int i = 0; i < 3; i++) {
		w[i] = (struct writer){ self->sk, i, 150, 0 };
		ASSERT_EQ(0, pthread_create(&t[i], NULL, writer, &w[i]));
	}
	for (int i = 0; i < 450; i++) {
		uint32_t hd[3];

		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
		ASSERT_LE(12, self->o->len);
		memcpy(hd, self->o->data, 12);
		ASSERT_GT(3, hd[0]);
		ASSERT_EQ(next[hd[0]], (int)hd[1]) TH_LOG("writer %u", hd[0]);
		ASSERT_EQ(self->o->len, hd[2]) TH_LOG("a record with something else in it");
		ASSERT_BYTES(self->o->data + 12, hd[2] - 12, hd[0] * 1000 + hd[1]);
		next[hd[0]]++;
	}
	for (int i = 0; i < 3; i++) {
		pthread_join(t[i], NULL);
		EXPECT_EQ(0, w[i].bad);
	}
}

/* CVE-2023-54306: two writers, a closed window, and a signal that must get through to both */
TEST_F(tx, killed_while_waiting)
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
	for (int i = 0; i < 3 && pending(self->peer) > 5; i++) {
		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
	}
}

/* the number after 2^64 - 1 is 0, with which the key was used already: an error, and for good */
TEST_F(tx, sequence_wrap)
{
	struct tt_key k = self->k, rd;
	int fd[2], ok = 0, file = make_file(0, 100, 0);

	k.seq = UINT64_MAX - 2;
	rd = k;
	tt_tcp_pair(variant->family, fd);
	tt_install(fd[0], &k, NULL);
	while (ok < 10 && send(fd[0], "0123456789", 10, MSG_NOSIGNAL) == 10)
		ok++;
	EXPECT_EQ(EBADMSG, errno);
	EXPECT_LE(2, ok);
	EXPECT_GE(3, ok);
	for (int i = 0; i < 3; i++) {
		EXPECT_ERR(EBADMSG, send(fd[0], "x", 1, MSG_NOSIGNAL));
		EXPECT_ERR(EBADMSG, send(fd[0], "x", 1, MSG_NOSIGNAL | MSG_MORE));
		EXPECT_ERR(EBADMSG, tt_send_type(fd[0], TT_ALERT, "xx", 2, MSG_NOSIGNAL));
		EXPECT_EQ(-1, sendfile(fd[0], file, NULL, 100));
	}
	shutdown(fd[0], SHUT_WR);
	for (int i = 0; i < ok; i++) {
		ASSERT_EQ(1, tt_recv_rec(fd[1], &rd, self->o));
		EXPECT_EQ(10, self->o->len);
	}
	/* nothing under a number used before; a record that was refused may not be there either */
	EXPECT_EQ(0, tt_recv_rec(fd[1], &rd, self->o));
	close(fd[0]);
	close(fd[1]);
	close(file);
}

TEST_F(tx, cork_and_nagle)
{
	uint8_t *data = pattern(60000, 0);

	tt_sockopt(self->sk, IPPROTO_TCP, TCP_NODELAY, 0);
	tt_sockopt(self->sk, IPPROTO_TCP, TCP_CORK, 1);
	for (int i = 0; i < 50; i++) {
		ASSERT_EQ(100, send(self->sk, data + i * 100, 100, 0));
	}
	tt_sockopt(self->sk, IPPROTO_TCP, TCP_CORK, 0);
	EXPECT_EQ(50, take(self, 5000, 0));
	for (int i = 0; i < 50; i++) {
		ASSERT_EQ(100, send(self->sk, data + i * 100, 100, 0));
	}
	EXPECT_EQ(50, take(self, 5000, 0));
	free(data);
}

TEST_F(tx, sndbuf_tiny)
{
	size_t total = 60000;
	uint8_t *data = pattern(total, 0);
	pid_t pid;

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 1);
	tt_sockopt(self->peer, SOL_SOCKET, SO_RCVBUF, 1);
	pid = take_in_child(self, total, 0, 0, true);
	ASSERT_EQ(total, send(self->sk, data, total, 0));
	close(self->sk);
	EXPECT_EQ(0, child_status(pid));
	self->sk = -1;
	free(data);
}

TEST_F(tx, sndtimeo)
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
	EXPECT_EQ(0, child_status(pid));
	free(data);
}

static void reset(int fd)
{
	struct linger lg = { 1, 0 };

	TT_MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)) == 0);
	close(fd);
}

TEST_F(tx, peer_reset)
{
	int i;

	ASSERT_EQ(5, send(self->sk, "hello", 5, MSG_MORE));
	reset(self->peer);
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
	reset(*(int *)arg);
	return NULL;
}

/* the reset comes while a writer sleeps */
TEST_F(tx, reset_while_waiting)
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
TEST_F(tx, full_buffer_then_end)
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

/* A connection whose other end has next to no window: TCP takes little at a time. */
static void narrow_pair(enum tt_family family, int *fd)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int l = tt_listener(family, &addr, &len);

	tt_sockopt(l, SOL_SOCKET, SO_RCVBUF, 1);
	fd[0] = tt_connect(family, &addr, len);
	fd[1] = accept(l, NULL, NULL);
	TT_MUST(fd[1] >= 0);
	close(l);
	tt_sockopt(fd[0], IPPROTO_TCP, TCP_NODELAY, 1);
}

/*
 * TCP takes a part of a record: the call counts all of it, since it was encrypted. The rest is kept, and goes before
 * anything else: what others write meanwhile, another record of the same writer, the end of the stream.
 */
TEST_F(tx, push_comes_up_short)
{
	size_t sizes[] = { 3000, 8000, 8192, 8193, TT_MAX };
	uint8_t *data = pattern(3 * TT_MAX, 0);

	for (int how = 0; how < 5; how++)
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct tt_key k = self->k, rd = self->k;
		size_t n = sizes[i], want = n, got = 0;
		pid_t pid[2] = { 0, 0 };
		int fd[2], queued;

		narrow_pair(variant->family, fd);
		/* Space is for what can be sent at once, memory is there. */
		tt_sockopt(fd[0], IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1);
		tt_install(fd[0], &k, NULL);
		if (how == 4) {
			/* A writer that may wait: others come after all of it. */
			pid[1] = fork();
			if (!pid[1])
				_exit(send(fd[0], data, n, 0) == (ssize_t)n ? 0 : 1);
			for (int t = 0; t < 1000 && pending(fd[1]) < 5; t++)
				usleep(1000);
		} else {
			ASSERT_EQ(n, send(fd[0], data, n, MSG_DONTWAIT));
		}
		TT_MUST(ioctl(fd[0], TIOCOUTQ, &queued) == 0);
		EXPECT_GT(n, (size_t)(queued + pending(fd[1]))) TH_LOG("TCP has all of it: nothing is tested");
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
				EXPECT_EQ(0, child_status(pid[p]));
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
TEST_F(tx, sndtimeo_once)
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

static volatile sig_atomic_t pipes;

static void on_pipe(int sig)
{
	(void)sig;
	pipes++;
}

TEST_F(tx, sigpipe)
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
static bool reset_when_full(SELF, const uint8_t *data, size_t len)
{
	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 20000);
	while (send(self->sk, data, len, MSG_DONTWAIT) > 0)
		;
	if (errno != EAGAIN)
		return false;
	reset(self->peer);
	self->peer = -1;
	return tt_poll(self->sk, POLLERR, 10000) & POLLERR;
}

/* a reset is told as such, once, to a writer with records that TCP did not take; SIGPIPE is for those who go on */
TEST_F(tx, reset_with_full_buffer)
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
TEST_F(tx, reset_before_shutdown)
{
	static uint8_t big[100000];

	ASSERT_TRUE(reset_when_full(self, big, sizeof(big)));
	shutdown(self->sk, SHUT_WR);
	EXPECT_ERR(ECONNRESET, recv(self->sk, big, 10, 0));
}

/* memory that is not there: what was counted is on the wire, and nothing else */
TEST_F(tx, efault)
{
	long page = sysconf(_SC_PAGESIZE);
	uint8_t *map = mmap(NULL, 10 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t cut[] = { 0, 1, 100, 4096, 16383, 16384, 16385, 30000 };

	ASSERT_NE(MAP_FAILED, (void *)map);
	ASSERT_EQ(0, munmap(map + 9 * page, page));
	for (int more = 0; more < 2; more++)
	for (size_t i = 0; i < ARRAY_SIZE(cut); i++) {
		uint8_t *at = cut[i] ? map + 9 * page - cut[i] : (void *)16, tail[20];
		ssize_t n;

		if (cut[i])
			tt_fill(at, cut[i], 10);
		tt_fill(tail, sizeof(tail), 0);
		if (more) {
			ASSERT_EQ(10, send(self->sk, tail, 10, MSG_MORE));
		}
		n = send(self->sk, at, 40000, more ? MSG_MORE : 0);
		if (n < 0) {
			EXPECT_EQ(EFAULT, errno);
		} else {
			EXPECT_GE(cut[i], (size_t)n);
		}
		n = n < 0 ? 0 : n;
		tt_fill(tail, 10, 10 + n);
		ASSERT_EQ(10, send(self->sk, tail, 10, 0));
		EXPECT_LE(1, take(self, (more ? 10 : 0) + n + 10, more ? 0 : 10)) TH_LOG("cut at %zu, %zd counted", cut[i], n);
		EXPECT_EQ(0, pending(self->peer));
	}
}

/* Bytes of free memory. */
static long mem_free(void)
{
	long kib = 0, n = 0;
	char name[32];
	FILE *f = fopen("/proc/meminfo", "r");

	while (fscanf(f, "%31s %ld%*[^\n]", name, &n) == 2)
		if (!strcmp(name, "MemFree:"))
			kib = n;
	fclose(f);
	return kib * 1024;
}

/*
 * A message of one record, and memory that ends within it, or has a hole: nothing of it is sent but what the call counts,
 * and the next one is as if there had been none. Memory used for it comes back.
 */
TEST_F(tx, efault_in_a_record)
{
	size_t page = sysconf(_SC_PAGESIZE), len[] = { 100, 1100, 8192, 9000, TT_MAX };
	uint8_t *map = mmap(NULL, 8 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), after[50];
	static uint8_t wire[TT_REC_MAX];
	long before = 0;

	ASSERT_NE(MAP_FAILED, (void *)map);
	ASSERT_EQ(0, munmap(map + 6 * page, 2 * page));
	for (int pieces = 1; pieces <= 3; pieces += 2)
	for (size_t i = 0; i < ARRAY_SIZE(len); i++)
	for (size_t cut = 0; cut < len[i]; cut = cut * 3 + 1) {
		uint8_t *at = map + 6 * page - cut;
		struct iovec iov[3] = { { at, pieces == 1 ? len[i] : cut }, { (void *)page, 0 }, { (void *)(page - 16), len[i] - cut } };
		ssize_t n;

		tt_fill(at, cut, 7);
		n = writev(self->sk, iov, pieces);
		if (n < 0) {
			EXPECT_EQ(EFAULT, errno);
			n = 0;
		}
		EXPECT_GE(cut, (size_t)n);
		if (n) {
			ASSERT_LE(1, take(self, n, 7));
		}
		tt_fill(after, sizeof(after), 3);
		ASSERT_EQ(sizeof(after), send(self->sk, after, sizeof(after), 0));
		ASSERT_EQ(1, take(self, sizeof(after), 3)) TH_LOG("%zu of %zu bytes there", cut, len[i]);
		EXPECT_EQ(0, pending(self->peer));
	}
	for (int i = 0; i < 6000; i++) {
		if (i == 1000)
			before = mem_free();
		EXPECT_EQ(-1, send(self->sk, (void *)16, i & 1 ? TT_MAX : 5000, 0));
	}
	EXPECT_GT(20 << 20, before - mem_free());
	/* And so does that of records that were sent. */
	for (int i = 0; i < 3000; i++) {
		ASSERT_EQ(TT_MAX, send(self->sk, map, TT_MAX, 0));
		tt_read(self->peer, wire, TT_MAX + tt_overhead(&self->k));
	}
	EXPECT_GT(20 << 20, before - mem_free());
	munmap(map, 6 * page);
}

/*
 * Wherever in a page a message begins, and whatever kind of memory it is in: what it was when the call was made is sent,
 * though the program writes to it right afterwards, or has no memory there any more.
 */
TEST_F(tx, memory_of_the_program)
{
	size_t page = sysconf(_SC_PAGESIZE), size = 16 * page, len[] = { 8192, 8193, 12345, TT_MAX, TT_MAX + 8193, 3 * TT_MAX - 7 };
	size_t off[] = { 0, 1, 8, 16, 100, page - 16, page - 1 };
	static uint8_t wire[TT_REC_MAX];
	long before = 0;

	for (int kind = 0; kind < 3; kind++)
	for (int more = 0; more < 2; more++)
	for (size_t i = 0; i < ARRAY_SIZE(len); i++)
	for (size_t o = 0; o < ARRAY_SIZE(off); o++) {
		int fd = kind ? memfd_create("memory", 0) : -1;
		uint8_t *map, *data = pattern(size, 5), tail[10];

		/* anonymous; a file's; a file's that may only be read */
		if (kind) {
			ASSERT_EQ(size, pwrite(fd, data, size, 0));
			map = mmap(NULL, size, kind == 1 ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
		} else {
			map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		}
		ASSERT_NE(MAP_FAILED, (void *)map);
		if (!kind)
			memcpy(map, data, size);
		ASSERT_EQ(len[i], send(self->sk, map + off[o], len[i], more ? MSG_MORE : 0));
		if (kind < 2)
			memset(map, 0xee, size);
		ASSERT_EQ(0, munmap(map, size));
		if (kind)
			close(fd);
		memcpy(tail, data + off[o] + len[i], sizeof(tail));
		ASSERT_EQ(sizeof(tail), send(self->sk, tail, sizeof(tail), 0));
		ASSERT_LE(1, take(self, len[i] + sizeof(tail), 5 + off[o])) TH_LOG("%zu bytes at %zu, kind %d", len[i], off[o], kind);
		EXPECT_EQ(0, pending(self->peer));
		free(data);
	}
	/* No page of it is held on to. */
	for (int i = 0; i < 2500; i++) {
		uint8_t *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

		ASSERT_NE(MAP_FAILED, (void *)map);
		ASSERT_EQ(TT_MAX, send(self->sk, map + 16, TT_MAX, 0));
		tt_read(self->peer, wire, TT_MAX + tt_overhead(&self->k));
		ASSERT_EQ(0, munmap(map, size));
		if (i == 500)
			before = mem_free();
	}
	EXPECT_GT(20 << 20, before - mem_free());
}

/* A program that writes to what it sends: any bytes may go out, but every record must open. */
TEST_F(tx, written_to_while_sent)
{
	uint8_t *data = aligned_alloc(4096, 13 * TT_MAX);
	pthread_t t;

	memset(data, 1, 13 * TT_MAX);
	scribble = 1;
	ASSERT_EQ(0, pthread_create(&t, NULL, scribbler, data));
	for (int i = 0; i < 300; i++) {
		size_t n = (1 + i % 2) * TT_MAX;

		ASSERT_EQ(n, send(self->sk, data + i % 12 * TT_MAX, n, 0));
		for (size_t got = 0; got < n; got += self->o->len) {
			ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
		}
	}
	scribble = 0;
	pthread_join(t, NULL);
	free(data);
}

/* Calls that fault where a record goes on in other memory, and a second connection in between. */
TEST_F(tx, efault_many_slices)
{
	struct tt_key other = tt_key_make(variant->version, variant->cipher, 7);
	uint8_t byte = 0, *bad = mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t data[1024 + 16];
	int fd[2], p[2], file;
	size_t sent = 1024;
	cpu_set_t cpu;

	/* What the connections share is each processor's. */
	CPU_ZERO(&cpu);
	CPU_SET(0, &cpu);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpu), &cpu));
	ASSERT_NE(MAP_FAILED, (void *)bad);
	tt_tcp_pair(variant->family, fd);
	tt_install(fd[0], &other, NULL);
	tt_fill(data, sent, 0);
	ASSERT_EQ(1024, send(self->sk, data, sent, MSG_MORE));
	for (int i = 0; i < 22; i++) {
		ASSERT_EQ(1, send(fd[0], &byte, 1, 0));
		EXPECT_EQ(-1, send(self->sk, bad, i < 21 ? 1 : 3000, 0));
		EXPECT_EQ(EFAULT, errno);
		if (i == 21)
			break;
		tt_fill(data, 1, sent);
		ASSERT_EQ(1, send(self->sk, data, 1, MSG_MORE));
		sent++;
	}
	tt_fill(data, 16, sent);
	ASSERT_EQ(16 - sent % 16, send(self->sk, data, 16 - sent % 16, MSG_MORE));
	sent += 16 - sent % 16;
	file = make_file(1, 2048, sent);
	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(2048, splice(file, NULL, p[1], NULL, 2048, 0));
	ASSERT_EQ(2048, splice(p[0], NULL, self->sk, NULL, 2048, 0));
	EXPECT_LE(1, take(self, sent + 2048, 0));
	close(p[0]);
	close(p[1]);
	close(file);
	close(fd[0]);
	close(fd[1]);
	munmap(bad, 65536);
}

/* Small records that nobody reads: not a page for each. */
TEST_F(tx, small_records_memory)
{
	uint16_t max = 64;
	int size = 4 << 20;
	uint8_t *data = calloc(1, 65536);
	ssize_t sent = 0, n;
	long before;

	ASSERT_EQ(0, setsockopt(self->sk, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &max, sizeof(max)));
	ASSERT_EQ(0, setsockopt(self->sk, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)));
	tt_nonblock(self->sk, true);
	before = mem_free();
	while (sent < 2 << 20 && (n = send(self->sk, data, 65536, 0)) > 0)
		sent += n;
	EXPECT_LT(1 << 20, sent);
	/* Together with TCP's own descriptions of packets. */
	EXPECT_GT(10 * sent, before - mem_free());
	free(data);
}

/* sendmsg in every size, with every flag that is allowed, one stream */
TEST_F(tx, random_stream)
{
	size_t total = 1000000, sent = 0;
	uint64_t seed = 11;
	uint8_t *data = malloc(200000);
	int fd = make_file(1, total, 0), p[2];
	pid_t pid = take_in_child(self, total, 0, 0, true);

	ASSERT_EQ(0, pipe(p));
	while (sent < total) {
		size_t len = 1 + (tt_rand(&seed) % 3 ? tt_rand(&seed) % 3000 : tt_rand(&seed) % 60000);
		off_t off = sent;
		bool more = tt_rand(&seed) % 2;
		ssize_t n;

		if (len >= total - sent) {
			len = total - sent;
			more = false;
		}
		switch (tt_rand(&seed) % 4) {
		case 0:
			n = sendfile(self->sk, fd, &off, len);
			break;
		case 1:
			n = splice(fd, &off, p[1], NULL, len, 0);
			ASSERT_LT(0, n);
			for (ssize_t left = n; left;) {
				ssize_t w = splice(p[0], NULL, self->sk, NULL, left, more ? SPLICE_F_MORE : 0);

				ASSERT_LT(0, w);
				left -= w;
			}
			break;
		case 2: {
			struct iovec iov[3] = { { data, len / 3 }, { data + len / 3, len / 2 }, };
			struct msghdr m = { .msg_iov = iov, .msg_iovlen = 3 };

			iov[2] = (struct iovec){ data + len / 3 + len / 2, len - len / 3 - len / 2 };
			tt_fill(data, len, sent);
			n = sendmsg(self->sk, &m, more ? MSG_MORE : MSG_EOR);
			break;
		}
		default:
			tt_fill(data, len, sent);
			n = send(self->sk, data, len, more ? MSG_MORE : 0);
		}
		ASSERT_LT(0, n);
		sent += n;
	}
	close(self->sk);
	self->sk = -1;
	EXPECT_EQ(0, child_status(pid));
	EXPECT_TRUE(file_is(fd, total, 0));
	free(data);
	close(fd);
}

TEST_HARNESS_MAIN
