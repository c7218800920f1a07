// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A count is exact: a byte that a call counted reaches the peer once, in order, a byte that it did not count is not sent,
 * whatever ended the call. Here it is errors that come while the connection lives: ICMP messages, what recvmmsg() leaves
 * on the socket, and calls that TCP refuses. The peer is a bare TCP socket that opens every record in user space.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>

FIXTURE(count)
{
	int sk;			/* under test: transmit key k, receive key back */
	int peer;		/* bare TCP */
	int file;		/* what is sent, by position */
	int pipe[2];
	int raw;		/* for ICMP */
	uint32_t seq;		/* sequence number when tcpi_bytes_acked was acked */
	uint64_t acked;
	struct tt_key k, back;
	struct tt_opened *o;
	uint64_t wire;		/* bytes of the records that the peer has opened */
};

FIXTURE_VARIANT(count)
{
	TT_VARIANT_FIELDS;
};

TT_VARIANT(count, tls12_gcm128_ip4, TT_IP4, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128);
TT_VARIANT(count, tls13_gcm256_ip4, TT_IP4, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256);
TT_VARIANT(count, tls13_gcm128_ip6, TT_IP6, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128);
TT_VARIANT(count, tls13_ccm128_mapped, TT_MAPPED, TLS_1_3_VERSION, TLS_CIPHER_AES_CCM_128);

#define SELF FIXTURE_DATA(count) *self

enum { TOTAL = 1 << 20 };

static void repair(int fd, int on)
{
	TT_MUST(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) == 0);
}

static void repair_queue(int fd, int queue)
{
	TT_MUST(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)) == 0);
}

/* a connection, and what it takes to forge ICMP messages for it */
static void connection(SELF, const FIXTURE_VARIANT(count) *variant)
{
	socklen_t len = sizeof(self->seq);
	int fd[2];

	/* a small window makes small segments, so that TCP takes a batch in part */
	tt_narrow_pair(variant->family, 10000, fd);
	self->sk = fd[0];
	self->peer = fd[1];
	self->k = tt_key_make(variant->version, variant->cipher, 1);
	self->back = tt_key_make(variant->version, variant->cipher, 2);
	repair(self->sk, 1);
	repair_queue(self->sk, TCP_SEND_QUEUE);
	TT_MUST(getsockopt(self->sk, IPPROTO_TCP, TCP_QUEUE_SEQ, &self->seq, &len) == 0);
	repair(self->sk, -1);
	self->acked = tt_bytes_acked(self->sk);
	self->wire = 0;
	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 30000);
	tt_install(self->sk, &self->k, &self->back);
}

FIXTURE_SETUP(count)
{
	uint8_t *data = malloc(TOTAL);

	connection(self, variant);
	self->o = malloc(sizeof(*self->o));
	self->file = memfd_create("count", 0);
	tt_fill(data, TOTAL, 0);
	ASSERT_EQ(TOTAL, write(self->file, data, TOTAL));
	free(data);
	ASSERT_EQ(0, pipe(self->pipe));
	self->raw = variant->family == TT_IP6 ? socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6) : socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	ASSERT_LE(0, self->raw);
}

FIXTURE_TEARDOWN(count)
{
	close(self->peer);
	close(self->sk);
	close(self->file);
	close(self->pipe[0]);
	close(self->pipe[1]);
	close(self->raw);
	free(self->o);
}

/* --- ways to leave an error on a living socket --- */

enum { BY_ICMP, BY_RECVMMSG, N_BY };
static const int by_errno[N_BY] = { EHOSTUNREACH, EIO };

static uint16_t checksum(const void *p, size_t len)
{
	const uint16_t *w = p;
	uint32_t sum = 0;

	for (size_t i = 0; i < len / 2; i++)
		sum += w[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* A router says that the host is unreachable, and quotes a segment that is in flight. */
static void icmp4(SELF)
{
	struct {
		struct icmphdr icmp;
		struct { uint8_t vl, tos; uint16_t len, id, frag; uint8_t ttl, proto; uint16_t sum; uint32_t from, to; } ip;
		uint16_t source, dest;
		uint32_t seq;
	} m = {
		.icmp = { .type = ICMP_DEST_UNREACH, .code = ICMP_HOST_UNREACH },
		.ip = { .vl = 0x45, .len = htons(1000), .ttl = 60, .proto = IPPROTO_TCP },
	};
	struct sockaddr_storage from, to;
	socklen_t len = sizeof(from);
	struct sockaddr_in *f = (void *)&from, *t = (void *)&to, dst = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	TT_MUST(getsockname(self->sk, (void *)&from, &len) == 0);
	len = sizeof(to);
	TT_MUST(getpeername(self->sk, (void *)&to, &len) == 0);
	/* sockaddr_in6 has the port at the same place; all addresses here are 127.0.0.1 */
	m.ip.from = m.ip.to = dst.sin_addr.s_addr;
	m.source = f->sin_port;
	m.dest = t->sin_port;
	m.seq = htonl(self->seq + (tt_bytes_acked(self->sk) - self->acked));
	m.ip.sum = checksum(&m.ip, sizeof(m.ip));
	m.icmp.checksum = checksum(&m, sizeof(m));
	TT_MUST(sendto(self->raw, &m, sizeof(m), 0, (void *)&dst, sizeof(dst)) == sizeof(m));
}

static void icmp6(SELF)
{
	struct {
		struct icmp6hdr icmp;
		struct { uint32_t flow; uint16_t len; uint8_t next, hop; struct in6_addr from, to; } ip;
		uint16_t source, dest;
		uint32_t seq;
	} m = {
		/* the kernel fills in the checksum */
		.icmp = { .icmp6_type = ICMPV6_DEST_UNREACH, .icmp6_code = ICMPV6_ADDR_UNREACH },
		.ip = { .flow = htonl(6U << 28), .len = htons(1000), .next = IPPROTO_TCP, .hop = 60 },
	};
	struct sockaddr_in6 from, to;
	socklen_t len = sizeof(from);

	TT_MUST(getsockname(self->sk, (void *)&from, &len) == 0);
	len = sizeof(to);
	TT_MUST(getpeername(self->sk, (void *)&to, &len) == 0);
	m.ip.from = from.sin6_addr;
	m.ip.to = to.sin6_addr;
	m.source = from.sin6_port;
	m.dest = to.sin6_port;
	m.seq = htonl(self->seq + (tt_bytes_acked(self->sk) - self->acked));
	to = from;
	to.sin6_port = 0;
	TT_MUST(sendto(self->raw, &m, sizeof(m), 0, (void *)&to, sizeof(to)) == sizeof(m));
}

/* A thread that reads two messages gets the first one; that there is no room for the second one's type, the next call hears. */
static void recvmmsg_leaves(SELF)
{
	char b[2];
	struct iovec iov[2] = { { b, 1 }, { b + 1, 1 } };
	struct mmsghdr m[2] = { { .msg_hdr = { .msg_iov = iov, .msg_iovlen = 1 } }, { .msg_hdr = { .msg_iov = iov + 1, .msg_iovlen = 1 } } };
	uint64_t before = tt_bytes_received(self->sk);
	uint8_t type;
	int r;

	tt_send_data(self->peer, &self->back, TT_DATA, "x", 1);
	tt_send_data(self->peer, &self->back, TT_HANDSHAKE, "\4", 1);
	tt_wait_received(self->sk, before + 2 + 2 * tt_overhead(&self->back));
	r = recvmmsg(self->sk, m, 2, MSG_DONTWAIT, NULL);
	/* an error that was there already is told by recvmmsg() first */
	if (r < 0)
		r = recvmmsg(self->sk, m, 2, MSG_DONTWAIT, NULL);
	TT_MUST(r == 1);
	TT_MUST(tt_recv_type(self->sk, b, 1, MSG_DONTWAIT, &type, NULL) == 1 && type == TT_HANDSHAKE);
}

static void leave_error(SELF, const FIXTURE_VARIANT(count) *variant, int by)
{
	if (by == BY_RECVMMSG)
		recvmmsg_leaves(self);
	else if (variant->family == TT_IP6)
		icmp6(self);
	else
		icmp4(self);
}

/* whether ICMP errors are errors of the socket, or soft ones */
static void recverr(SELF, const FIXTURE_VARIANT(count) *variant, int on)
{
	if (variant->family != TT_IP4)
		tt_sockopt(self->sk, IPPROTO_IPV6, IPV6_RECVERR, on);
	if (variant->family != TT_IP6)
		tt_sockopt(self->sk, IPPROTO_IP, IP_RECVERR, on);
}

/* --- ways to send --- */

enum { SEND, SENDMSG, SENDMMSG, SENDFILE, SPLICE, SEND_MORE, N_WAYS };

static int splice_errors;

/* from position at on; what it counted */
static ssize_t send_by(SELF, int way, const uint8_t *data, size_t at, size_t len, int flags)
{
	struct iovec iov[3] = { { (void *)(data + at), len / 3 }, { (void *)(data + at + len / 3), len / 3 },
				{ (void *)(data + at + 2 * (len / 3)), len - 2 * (len / 3) } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 3 };
	struct mmsghdr m[3] = { { .msg_hdr = { .msg_iov = iov, .msg_iovlen = 1 } }, { .msg_hdr = { .msg_iov = iov + 1, .msg_iovlen = 1 } },
				{ .msg_hdr = { .msg_iov = iov + 2, .msg_iovlen = 1 } } };
	loff_t off = at;
	ssize_t r, n = 0;

	switch (way) {
	case SENDMSG:
		return sendmsg(self->sk, &msg, flags);
	case SENDMMSG:
		r = sendmmsg(self->sk, m, 3, flags);
		for (int i = 0; i < r; i++)
			n += m[i].msg_len;
		/* what did not go whole ends it: nothing may follow */
		for (int i = 0; i + 1 < r; i++)
			if (m[i].msg_len != iov[i].iov_len)
				TT_DIE("sendmmsg() goes on behind a short message");
		return r < 0 ? r : n;
	case SENDFILE:
		return sendfile(self->sk, self->file, &off, len);
	case SPLICE:
		r = splice(self->file, &off, self->pipe[1], NULL, len > 60000 ? 60000 : len, 0);
		TT_MUST(r > 0);
		while (n < r) {
			ssize_t got = splice(self->pipe[0], NULL, self->sk, NULL, r - n, flags & MSG_DONTWAIT ? SPLICE_F_NONBLOCK : 0);

			if (got > 0)
				n += got;
			else if (errno == EHOSTUNREACH || errno == EIO)
				splice_errors++;
			else
				break;
		}
		/* what the pipe keeps is sent from the file the next time */
		while (n < r) {
			uint8_t sink[4096];

			r -= read(self->pipe[0], sink, r - n < 4096 ? r - n : 4096);
		}
		return n ? n : -1;
	case SEND_MORE:
		return send(self->sk, data + at, len, flags | (at + len < TOTAL ? MSG_MORE : 0));
	default:
		return send(self->sk, data + at, len, flags);
	}
}

struct writer {
	FIXTURE_DATA(count) *self;
	const uint8_t *data;
	int way;
	_Atomic int tid;
	_Atomic bool done;
	int errors, other, shorts;
};

static void *writer(void *arg)
{
	struct writer *w = arg;
	uint64_t seed = w->way;

	w->tid = syscall(SYS_gettid);
	for (size_t at = 0; at < TOTAL;) {
		size_t len = 1 + tt_rand(&seed) % 300000;
		ssize_t n;

		if (len > TOTAL - at)
			len = TOTAL - at;
		n = send_by(w->self, w->way, w->data, at, len, MSG_NOSIGNAL);
		if (n < 0 && (errno == EHOSTUNREACH || errno == EIO)) {
			w->errors++;
		} else if (n < 0) {
			w->other = errno;
			break;
		} else {
			w->shorts += n < (ssize_t)len;
			at += n;
		}
	}
	shutdown(w->self->sk, SHUT_WR);
	w->done = true;
	return NULL;
}

/* until the thread sleeps in its call, or is through */
static void wait_asleep(struct writer *w)
{
	char path[64], text[256];

	while (!w->tid)
		sched_yield();
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", w->tid);
	while (!w->done) {
		int fd = open(path, O_RDONLY);
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
		char *state;

		if (fd >= 0)
			close(fd);
		if (n <= 0)
			return;
		text[n] = 0;
		state = strrchr(text, ')');
		if (state && state[2] == 'S')
			return;
		usleep(1000);
	}
}

/* one record more, as it should be: bytes in it, 0 at the end, -1 */
static ssize_t take(SELF, size_t at)
{
	int r = tt_recv_rec(self->peer, &self->k, self->o);
	ssize_t wrong;

	if (r < 1)
		return r;
	self->wire += self->o->wire_len;
	wrong = tt_diff(self->o->data, self->o->len, at);
	if (wrong >= 0 || self->o->type != TT_DATA) {
		fprintf(stderr, "# type %u, wrong byte at %zu\n", self->o->type, at + wrong);
		return -1;
	}
	return self->o->len;
}

/* a writer goes on from its count whenever an error has ended its call */
#define BLOCKED(way_, by) do {									\
	struct writer w = { .self = self, .way = way_, .data = mmap(NULL, TOTAL, PROT_READ, MAP_SHARED, self->file, 0) }; \
	pthread_t t;										\
	size_t got = 0;										\
	ssize_t n = 1;										\
												\
	recverr(self, variant, 1);								\
	ASSERT_EQ(0, pthread_create(&t, NULL, writer, &w));					\
	while (n > 0) {										\
		size_t until = got + 60000;							\
												\
		if (!w.done) {									\
			wait_asleep(&w);							\
			if (!w.done)								\
				leave_error(self, variant, by);					\
		}										\
		for (; n > 0 && got < until; got += n)						\
			n = take(self, got);							\
	}											\
	ASSERT_EQ(0, n) TH_LOG("after %zu bytes", got);						\
	pthread_join(t, NULL);									\
	EXPECT_EQ(0, w.other) TH_LOG("%s", strerror(w.other));					\
	EXPECT_EQ(TOTAL, got);									\
	EXPECT_LT(0, w.errors + w.shorts + splice_errors);					\
	munmap((void *)w.data, TOTAL);								\
} while (0)

TEST_F(count, icmp_send)		{ BLOCKED(SEND, BY_ICMP); }
TEST_F(count, icmp_sendmsg)		{ BLOCKED(SENDMSG, BY_ICMP); }
TEST_F(count, icmp_sendmmsg)		{ BLOCKED(SENDMMSG, BY_ICMP); }
TEST_F(count, icmp_sendfile)		{ BLOCKED(SENDFILE, BY_ICMP); }
TEST_F(count, icmp_splice)		{ BLOCKED(SPLICE, BY_ICMP); }
TEST_F(count, icmp_more)		{ BLOCKED(SEND_MORE, BY_ICMP); }
TEST_F(count, recvmmsg_send)		{ BLOCKED(SEND, BY_RECVMMSG); }
TEST_F(count, recvmmsg_sendfile)	{ BLOCKED(SENDFILE, BY_RECVMMSG); }
TEST_F(count, recvmmsg_splice)		{ BLOCKED(SPLICE, BY_RECVMMSG); }
TEST_F(count, recvmmsg_more)		{ BLOCKED(SEND_MORE, BY_RECVMMSG); }

/* send until nothing is taken any more; what was counted, more than TCP has */
static size_t fill(SELF, int way)
{
	const uint8_t *data = mmap(NULL, TOTAL, PROT_READ, MAP_SHARED, self->file, 0);
	size_t sent = 0;
	ssize_t n;

	tt_nonblock(self->sk, true);
	while ((n = send_by(self, way, data, sent, 300000, MSG_DONTWAIT)) > 0)
		sent += n;
	TT_MUST(n < 0 && errno == EAGAIN);
	TT_MUST(sent + 300000 < TOTAL);
	munmap((void *)data, TOTAL);
	return sent;
}

/* The peer gets what was counted though an error is there and nobody calls; then the next call tells it, and the one after goes on. */
TEST_F(count, nobody_calls)
{
	recverr(self, variant, 1);
	for (int by = 0; by < N_BY; by++)
	for (int way = 0; way < SEND_MORE; way++) {
		size_t sent = fill(self, way), got = 0;
		uint64_t had = tt_bytes_taken(self->sk) - self->acked;
		ssize_t n;
		char b;

		leave_error(self, variant, by);
		while (got < sent) {
			ASSERT_EQ(1, tt_poll(self->peer, POLLIN, 20000)) TH_LOG("by %d way %d: %zu of %zu bytes", by, way, got, sent);
			n = take(self, got);
			ASSERT_LT(0, n) TH_LOG("by %d way %d: after %zu of %zu bytes", by, way, got, sent);
			got += n;
		}
		ASSERT_EQ(sent, got);
		EXPECT_TRUE(had < self->wire || way == SPLICE);
		EXPECT_EQ(POLLERR, tt_poll(self->sk, 0, 10000));
		EXPECT_ERR(by_errno[by], send(self->sk, "x", 1, MSG_DONTWAIT));
		tt_fill(&b, 1, 0);
		EXPECT_EQ(1, send(self->sk, &b, 1, MSG_DONTWAIT));
		ASSERT_EQ(1, take(self, 0));
	}
}

/* the same when the stream ends, and the error is still there */
TEST_F(count, end)
{
	for (int by = 0; by < N_BY; by++)
	for (int how = 0; how < 2; how++) {
		size_t sent, got = 0;
		uint64_t had;
		ssize_t n;

		if (by || how) {
			close(self->peer);
			connection(self, variant);
		}
		recverr(self, variant, 1);
		sent = fill(self, SEND);
		had = tt_bytes_taken(self->sk) - self->acked;
		leave_error(self, variant, by);
		if (how) {
			close(self->sk);
		} else {
			ASSERT_EQ(0, shutdown(self->sk, SHUT_WR));
		}
		while ((n = take(self, got)) > 0)
			got += n;
		EXPECT_EQ(0, n);
		EXPECT_EQ(sent, got) TH_LOG("by %d how %d", by, how);
		EXPECT_LT(had, self->wire);
		if (!how)
			close(self->sk);
	}
}

/* an error that is there when the call begins is the call's, and nothing is taken */
TEST_F(count, before_the_call)
{
	const uint8_t *data = mmap(NULL, TOTAL, PROT_READ, MAP_SHARED, self->file, 0);
	size_t len[] = { 1, 100, 16384, 50000 };

	recverr(self, variant, 1);
	for (int by = 0; by < N_BY; by++)
	for (int way = 0; way < N_WAYS; way++)
	for (size_t i = 0; i < ARRAY_SIZE(len); i++) {
		if (way == SPLICE)
			continue;
		leave_error(self, variant, by);
		EXPECT_ERR(by_errno[by], send_by(self, way, data, 7, len[i], 0));
	}
	ASSERT_EQ(100, send(self->sk, data, 100, 0));
	ASSERT_EQ(100, take(self, 0));
	munmap((void *)data, TOTAL);
}

/* ICMP errors without IP_RECVERR are no errors of the call: it goes on */
TEST_F(count, soft_errors)
{
	struct writer w = { .self = self, .way = SEND, .data = mmap(NULL, TOTAL, PROT_READ, MAP_SHARED, self->file, 0) };
	size_t got = 0;
	pthread_t t;
	ssize_t n = 1;

	ASSERT_EQ(0, pthread_create(&t, NULL, writer, &w));
	for (; n > 0; got += n) {
		wait_asleep(&w);
		leave_error(self, variant, BY_ICMP);
		n = take(self, got);
	}
	pthread_join(t, NULL);
	EXPECT_EQ(0, n);
	EXPECT_EQ(TOTAL, got);
	EXPECT_EQ(0, w.errors + w.other + w.shorts);
	munmap((void *)w.data, TOTAL);
}

/* a socket in repair, with no queue or the wrong one: what is refused is not sent */
TEST_F(count, repair)
{
	const uint8_t *data = mmap(NULL, TOTAL, PROT_READ, MAP_SHARED, self->file, 0);
	int queue[] = { TCP_NO_QUEUE, TCP_RECV_QUEUE };

	for (int open = 0; open < 2; open++)
	for (int q = 0; q < 2; q++)
	for (int way = 0; way < N_WAYS; way++) {
		size_t at = 0;

		if (way == SPLICE)
			continue;
		if (open) {
			ASSERT_EQ(5, send(self->sk, data, 5, MSG_MORE));
			at = 5;
		}
		repair(self->sk, 1);
		repair_queue(self->sk, queue[q]);
		for (size_t len = 1; len < 60000; len *= 7)
			EXPECT_ERR(EINVAL, send_by(self, way, data, 100, len, 0));
		repair(self->sk, -1);
		ASSERT_EQ(10, send(self->sk, data + at, 10, 0));
		ASSERT_EQ(at + 10, take(self, 0));
	}
	munmap((void *)data, TOTAL);
}

TEST_HARNESS_MAIN
