// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Transmit: sendfile, splice, vmsplice.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "tx_common.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

TX_FIXTURE(tx_splice);

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

TEST_F(tx_splice, sendfile)
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
		EXPECT_EQ(0, tt_child_status(pid));
		EXPECT_TRUE(file_is(fd, sizes[i], i)) TH_LOG("the file was changed");
		close(fd);
	}
}

TEST_F(tx_splice, sendfile_offsets)
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
TEST_F(tx_splice, sendfile_empty)
{
	int fd = make_file(0, 0, 0);

	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(0, sendfile(self->sk, fd, NULL, 1000));
	}
	EXPECT_EQ(0, tt_pending(self->peer));
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
TEST_F(tx_splice, sendfile_truncated)
{
	size_t len = 3000000, total = 0;
	int fd = make_file(0, len, 0);
	pthread_t t;
	pid_t pid = take_in_child(self, 0, 0, 0, false);

	EXPECT_EQ(0, tt_child_status(pid));
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
	EXPECT_EQ(0, tt_child_status(pid));
	close(fd);
}

/* somebody writes to the file meanwhile: any bytes may go out, but every record must open */
TEST_F(tx_splice, sendfile_modified_file)
{
	int fd = make_file(0, SCRIBBLED, 0);
	uint8_t *map = mmap(NULL, SCRIBBLED, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	pthread_t t;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, (void *)map);
	scribble = 1;
	ASSERT_EQ(0, pthread_create(&t, NULL, scribbler, map));
	pid = fork();
	if (!pid) {
		for (int i = 0; i < 5; i++)
			if (send_file(self->sk, fd, 0, SCRIBBLED))
				_exit(1);
		_exit(0);
	}
	for (size_t got = 0; got < 5 * SCRIBBLED; got += self->o->len) {
		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
	}
	EXPECT_EQ(0, tt_child_status(pid));
	scribble = 0;
	pthread_join(t, NULL);
	close(fd);
}

/* what was sent does not change when the file does afterwards */
TEST_F(tx_splice, sendfile_is_a_snapshot)
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
TEST_F(tx_splice, sendfile_nonblocking)
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
		if (tt_pending(self->peer) < 5) {
			tt_poll(sent < len ? self->sk : self->peer, sent < len ? POLLOUT : POLLIN, 20000);
			if (tt_pending(self->peer) < 5)
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

TEST_F(tx_splice, send_then_sendfile)
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

TEST_F(tx_splice, splice_from_pipe)
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
TEST_F(tx_splice, splice_mixed)
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
		EXPECT_EQ(0, tt_pending(self->peer));
	}
	free(data);
	close(p[0]);
	close(p[1]);
}

/* one record of many pages with a byte each */
TEST_F(tx_splice, splice_many_pieces)
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
TEST_F(tx_splice, splice_more_corks)
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
TEST_F(tx_splice, splice_onto_full_record)
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

TEST_F(tx_splice, vmsplice)
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
TEST_F(tx_splice, splice_from_tls)
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
	EXPECT_EQ(0, tt_child_status(feeder));
	EXPECT_EQ(0, tt_child_status(taker));
	free(all);
	free(data);
}

TEST_HARNESS_MAIN
