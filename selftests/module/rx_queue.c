// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Receive: what TCP does with its queue by itself, or for who asks it: bytes from before the key, urgent bytes, zero-copy
 * reads, control messages.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "rx_common.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/uio.h>

RX_FIXTURE(rx_queue);

/* bytes that are there before the key */
TEST_F(rx_queue, queued_before_key)
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

/* CVE-2025-39946: urgent bytes, dribbled into a tiny buffer, with a garbage header */
TEST_F(rx_queue, urgent_bytes)
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
TEST_F(rx_queue, urgent_twice_in_header)
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

TEST_F(rx_queue, urgent_garbage_header)
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
TEST_F(rx_queue, tcp_zerocopy_receive)
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

TEST_F(rx_queue, peek_off)
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
TEST_F(rx_queue, errqueue)
{
	uint8_t buf[100];

	EXPECT_ERR(EAGAIN, recv(self->sk, buf, sizeof(buf), MSG_ERRQUEUE));
	say(self, TT_DATA, 100, 0);
	arrived(self);
	EXPECT_ERR(EAGAIN, recv(self->sk, buf, sizeof(buf), MSG_ERRQUEUE));
	ASSERT_EQ(100, recv(self->sk, buf, sizeof(buf), 0));
}

/* MSG_OOB on receive has no meaning for records */
TEST_F(rx_queue, recv_oob)
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
TEST_F(rx_queue, timestamps)
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
