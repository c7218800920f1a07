// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * How much has not been sent: SIOCOUTQ, SIOCOUTQNSD, TCP_INFO and TCP_NOTSENT_LOWAT count what the record layer keeps for TCP, as
 * bytes on the wire. Beside plain TCP, of which the same is true. The peer is a bare TCP socket that opens every record in user
 * space.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#ifndef TCP_NOTSENT_LOWAT
#define TCP_NOTSENT_LOWAT 25
#endif

FIXTURE(outq)
{
	int sk, peer;
	struct tt_key k;
	struct tt_opened *o;
	uint8_t *data;
	uint64_t base;		/* bytes acknowledged before the first one */
	uint64_t wire;		/* bytes that the peer has read */
};

/* tcp: no record layer */
FIXTURE_VARIANT(outq)
{
	TT_VARIANT_FIELDS;
	bool tcp;
};

#define VARIANT(name, fam, ver, ciph, plain) \
	FIXTURE_VARIANT_ADD(outq, name) { .family = fam, .version = ver, .cipher = ciph, .tcp = plain }

VARIANT(tls12_gcm128_ip6, TT_IP6, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128, false);
VARIANT(tls13_gcm256_ip4, TT_IP4, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256, false);
VARIANT(tcp_ip4, TT_IP4, 0, 0, true);
VARIANT(tcp_ip6, TT_IP6, 0, 0, true);

enum { ROOM = 4 << 20, CHUNK = 3 * TT_MAX + 100, LIMIT_MS = 60000 };

/* the peer's window is small, the send buffer is not what ends a call */
FIXTURE_SETUP(outq)
{
	int fd[2];

	tt_narrow_pair(variant->family, 10000, fd);
	self->sk = fd[0];
	self->peer = fd[1];
	if (!variant->tcp) {
		self->k = tt_key_make(variant->version, variant->cipher, 1);
		tt_install(self->sk, &self->k, NULL);
	}
	self->base = tt_bytes_acked(self->sk);
	self->o = malloc(sizeof(*self->o));
	self->data = malloc(ROOM);
	tt_fill(self->data, ROOM, 0);
}

FIXTURE_TEARDOWN(outq)
{
	close(self->sk);
	close(self->peer);
	free(self->o);
	free(self->data);
}

#define SELF FIXTURE_DATA(outq) *self

/* what so many bytes of a message become on the wire */
static size_t on_wire(SELF, size_t len, bool tcp)
{
	return tcp ? len : len + (len + TT_MAX - 1) / TT_MAX * tt_overhead(&self->k);
}

static int queued(SELF, int cmd)
{
	int n = -1;

	TT_MUST(ioctl(self->sk, cmd, &n) == 0);
	return n;
}

/* bytes that calls have counted, of which the peer has acknowledged some */
static uint64_t outstanding(SELF)
{
	uint64_t acked, n;

	do {
		acked = tt_bytes_acked(self->sk);
		n = queued(self, SIOCOUTQ);
	} while (acked != tt_bytes_acked(self->sk));
	return acked - self->base + n;
}

/* bytes that TCP has not been given */
static int kept_now(SELF)
{
	uint64_t acked;
	int n;

	do {
		acked = tt_bytes_acked(self->sk);
		n = queued(self, SIOCOUTQ) - (int)tt_tcp_queued(self->sk);
	} while (acked != tt_bytes_acked(self->sk));
	return n;
}

static uint32_t notsent(int fd)
{
	struct {
		struct tcp_info ti;
		uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
		uint32_t segs_out, segs_in, notsent_bytes;
	} i;
	socklen_t len = sizeof(i);

	TT_MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &len) == 0 && len == sizeof(i));
	return i.notsent_bytes;
}

/* send until nothing more is taken; what was counted, and in *wire what that is on the wire */
static size_t fill(SELF, bool tcp, uint64_t *wire)
{
	size_t sent = 0;
	ssize_t n;

	*wire = 0;
	while ((n = send(self->sk, self->data + sent, CHUNK, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0) {
		sent += n;
		*wire += on_wire(self, n, tcp);
	}
	TT_MUST(errno == EAGAIN);
	return sent;
}

/* the peer reads one record, or some bytes, that begin at pos; how many bytes of data */
static ssize_t take(SELF, bool tcp, uint64_t pos)
{
	static uint8_t buf[TT_MAX];
	ssize_t n;

	if (tt_poll(self->peer, POLLIN, LIMIT_MS) <= 0)
		return -1;
	if (tcp) {
		n = recv(self->peer, buf, sizeof(buf), 0);
		if (n <= 0 || tt_diff(buf, n, pos) >= 0)
			return -1;
		self->wire += n;
		return n;
	}
	if (tt_recv_rec(self->peer, &self->k, self->o) != 1 || tt_diff(self->o->data, self->o->len, pos) >= 0)
		return -1;
	self->wire += self->o->wire_len;
	return self->o->len;
}

static bool drained(SELF)
{
	uint64_t end = tt_now_ms() + LIMIT_MS;

	while (queued(self, SIOCOUTQ)) {
		if (tt_now_ms() > end)
			return false;
		usleep(1000);
	}
	return true;
}

/* Until the peer has everything the queue is not empty, and what it has is exact. */
TEST_F(outq, until_the_peer_has_it)
{
	uint64_t wire;
	size_t sent, got = 0;

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 30000);
	EXPECT_EQ(0, queued(self, SIOCOUTQ));
	sent = fill(self, variant->tcp, &wire);
	if (!variant->tcp && wire == tt_bytes_taken(self->sk) - self->base)
		TH_LOG("an acknowledgement has come: TCP has all of it");
	EXPECT_EQ(wire, outstanding(self));
	EXPECT_EQ((uint32_t)queued(self, SIOCOUTQNSD), notsent(self->sk));
	EXPECT_LT(0, queued(self, SIOCOUTQNSD));
	while (got < sent) {
		ssize_t n;

		EXPECT_EQ(wire, outstanding(self));
		n = take(self, variant->tcp, got);
		ASSERT_LT(0, n) TH_LOG("after %zu of %zu bytes", got, sent);
		got += n;
		if (self->wire < wire && !queued(self, SIOCOUTQ))
			/* it may have come meanwhile, but it has come */
			EXPECT_EQ(wire, self->wire + tt_pending(self->peer));
	}
	EXPECT_EQ(wire, self->wire);
	EXPECT_TRUE(drained(self));
	EXPECT_EQ(0, queued(self, SIOCOUTQNSD));
	EXPECT_EQ(0, notsent(self->sk));
}

/* What waits for the rest of its record has not been sent either; TCP says the same of what a cork holds. */
TEST_F(outq, open_record)
{
	static const int len[] = { 1, 100, 3000 };
	int sum = 0, over = variant->tcp ? 0 : tt_overhead(&self->k);

	tt_sockopt(self->sk, IPPROTO_TCP, TCP_CORK, variant->tcp);
	for (size_t i = 0; i < ARRAY_SIZE(len); i++) {
		ASSERT_EQ(len[i], send(self->sk, self->data + sum, len[i], MSG_MORE));
		sum += len[i];
		EXPECT_EQ(sum + over, queued(self, SIOCOUTQ));
		EXPECT_EQ(sum + over, queued(self, SIOCOUTQNSD));
		EXPECT_EQ((uint32_t)(sum + over), notsent(self->sk));
		/* it waits for the program: so he must not wait for it */
		tt_sockopt(self->sk, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4 * (sum + over));
		EXPECT_EQ(POLLOUT, tt_poll(self->sk, POLLOUT, 0));
		if (!variant->tcp) {
			tt_sockopt(self->sk, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1);
			EXPECT_EQ(POLLOUT, tt_poll(self->sk, POLLOUT, 0));
		}
	}
	tt_sockopt(self->sk, IPPROTO_TCP, TCP_CORK, 0);
	ASSERT_EQ(10, send(self->sk, self->data + sum, 10, 0));
	sum += 10;
	for (int got = 0; got < sum; ) {
		ssize_t n = take(self, variant->tcp, got);

		ASSERT_LT(0, n);
		got += n;
	}
	EXPECT_TRUE(drained(self));
}

/* As much of the struct as the program has room for, and not a byte more. */
TEST_F(outq, info_lengths)
{
	/* where the kernel has the field, whatever the C library knows of it */
	enum { AT = 144, ALL = 512 };
	uint8_t full[ALL], buf[ALL];
	uint64_t wire;
	uint32_t unsent;
	socklen_t size = ALL, len;
	int at;

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 30000);
	fill(self, variant->tcp, &wire);
	/* the window is closed: nothing moves */
	unsent = queued(self, SIOCOUTQNSD);
	ASSERT_LT(0, unsent);
	ASSERT_EQ(0, getsockopt(self->sk, IPPROTO_TCP, TCP_INFO, full, &size));
	ASSERT_LT(AT + 4, size);
	EXPECT_EQ(0, memcmp(full + AT, &unsent, 4));
	for (int want = 0; want <= ALL; want++) {
		memset(buf, 0xa5, sizeof(buf));
		len = want;
		ASSERT_EQ(0, getsockopt(self->sk, IPPROTO_TCP, TCP_INFO, buf, &len));
		ASSERT_EQ((socklen_t)want < size ? (socklen_t)want : size, len);
		for (at = len; at < ALL; at++)
			ASSERT_EQ(0xa5, buf[at]) TH_LOG("%d bytes were asked for, byte %d was written", want, at);
		for (at = AT; at < AT + 4 && at < (int)len; at++)
			ASSERT_EQ(full[at], buf[at]) TH_LOG("%d bytes were asked for", want);
	}
	len = ALL;
	EXPECT_ERR(EFAULT, getsockopt(self->sk, IPPROTO_TCP, TCP_INFO, (void *)8, &len));
	EXPECT_ERR(EFAULT, getsockopt(self->sk, IPPROTO_TCP, TCP_INFO, buf, (void *)8));
}

struct sender {
	int fd;
	const uint8_t *data;
	ssize_t ret;
};

static void *sends(void *arg)
{
	struct sender *s = arg;

	s->ret = send(s->fd, s->data, ROOM / 4, 0);
	return NULL;
}

/* Another thread asks while a send waits for space. */
TEST_F(outq, beside_a_blocked_send)
{
	struct sender s = { self->sk, self->data, -1 };
	uint64_t wire = on_wire(self, ROOM / 4, variant->tcp), end = tt_now_ms() + LIMIT_MS, all = 0, last = 1;
	size_t got = 0;
	pthread_t t;

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 30000);
	ASSERT_EQ(0, pthread_create(&t, NULL, sends, &s));
	/* it sleeps when nothing moves */
	for (int same = 0; same < 50 && tt_now_ms() < end; usleep(2000)) {
		last = all;
		all = outstanding(self);
		same = all && all == last ? same + 1 : 0;
	}
	EXPECT_EQ(0, pthread_tryjoin_np(t, NULL) == 0);
	EXPECT_LT(0, all);
	EXPECT_GT(wire, all);
	if (!variant->tcp)
		EXPECT_GT(all, tt_bytes_taken(self->sk) - self->base) TH_LOG("TCP has all of it: nothing is tested");
	EXPECT_EQ((uint32_t)queued(self, SIOCOUTQNSD), notsent(self->sk));
	while (got < ROOM / 4) {
		ssize_t n = take(self, variant->tcp, got);

		ASSERT_LT(0, n) TH_LOG("after %zu bytes", got);
		got += n;
		/* what the peer has, and what has not left yet, was counted by nobody else */
		EXPECT_GE(wire, outstanding(self));
		EXPECT_LE(self->wire, outstanding(self));
	}
	ASSERT_EQ(0, pthread_join(t, NULL));
	EXPECT_EQ(ROOM / 4, s.ret);
	EXPECT_EQ(wire, outstanding(self));
	EXPECT_TRUE(drained(self));
}

/* A program that waits for its mark by epoll is told whenever there is less, and only then. */
TEST_F(outq, lowat)
{
	static const int marks[] = { 1, 20000, 100000 };
	size_t sent = 0, got = 0;
	int waits = 0;

	for (size_t m = 0; m < ARRAY_SIZE(marks); m++) {
		struct epoll_event ev = { .events = EPOLLOUT | EPOLLET };
		int ep = epoll_create1(0), mark = marks[m];
		size_t total = (m + 1) * (ROOM / 16);

		tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 1 << 20);
		tt_sockopt(self->sk, IPPROTO_TCP, TCP_NOTSENT_LOWAT, mark);
		ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->sk, &ev));
		while (got < total) {
			ssize_t n;

			if (sent < total && epoll_wait(ep, &ev, 1, 0) == 1) {
				/* it only becomes less */
				EXPECT_GT(mark, 2 * queued(self, SIOCOUTQNSD));
				waits++;
				while (sent < total && (n = send(self->sk, self->data + sent, 1 + (total - sent - 1) % CHUNK, MSG_DONTWAIT)) > 0)
					sent += n;
			}
			if (sent == got) {
				ASSERT_EQ(1, epoll_wait(ep, &ev, 1, LIMIT_MS)) TH_LOG("mark %d: not told after %zu bytes", mark, got);
				ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_MOD, self->sk, &(struct epoll_event){ .events = EPOLLOUT | EPOLLET }));
				continue;
			}
			n = take(self, variant->tcp, got);
			ASSERT_LT(0, n) TH_LOG("mark %d: %zu of %zu bytes came", mark, got, sent);
			got += n;
		}
		EXPECT_TRUE(drained(self));
		EXPECT_EQ(POLLOUT, tt_poll(self->sk, POLLOUT, 0));
		close(ep);
	}
	EXPECT_LT(10, waits);
}

/* --- TCP takes nothing though it has little: memory is short --- */

static char tcp_mem[100];

static void pressure(bool on)
{
	int fd = open("/proc/sys/net/ipv4/tcp_mem", O_RDWR);
	const char *text = on ? "1 1 1" : tcp_mem;

	TT_MUST(fd >= 0);
	if (on)
		TT_MUST(read(fd, tcp_mem, sizeof(tcp_mem) - 1) > 0);
	TT_MUST(pwrite(fd, text, strlen(text), 0) == (ssize_t)strlen(text));
	close(fd);
}

/* so much of TCP's memory is taken that what processors may take ahead of its count does not matter */
static void hoard(enum tt_family family, const uint8_t *data, int fd[2])
{
	int size = 8 << 20;

	tt_tcp_pair(family, fd);
	TT_MUST(!setsockopt(fd[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)));
	while (send(fd[0], data, ROOM, MSG_DONTWAIT) > 0)
		;
}

/* What is kept counts for the mark, and when it has gone whoever waits is told. */
TEST_F(outq, lowat_of_what_is_kept)
{
	struct epoll_event ev = { .events = EPOLLOUT | EPOLLET };
	size_t sent = 30000, got = 0;
	int unsent, kept, ep = epoll_create1(0), fd[2];
	ssize_t n;

	if (variant->tcp)
		SKIP(return, "TCP keeps nothing elsewhere");
	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 1 << 20);
	ASSERT_EQ(sent, (size_t)send(self->sk, self->data, sent, MSG_DONTWAIT));
	unsent = queued(self, SIOCOUTQNSD);
	ASSERT_EQ(0, kept_now(self));
	ASSERT_LT(0, unsent);
	hoard(variant->family, self->data, fd);
	pressure(true);
	for (int i = 0; i < 10; i++) {
		n = send(self->sk, self->data + sent, TT_MAX, MSG_DONTWAIT);
		if (n > 0)
			sent += n;
	}
	kept = kept_now(self);
	unsent = queued(self, SIOCOUTQNSD) - kept;
	TH_LOG("%d bytes are kept, TCP has %d to send", kept, unsent);
	/* TCP alone has less than the mark */
	tt_sockopt(self->sk, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 2 * unsent + 2);
	EXPECT_EQ(0, tt_poll(self->sk, POLLOUT, 0));
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->sk, &ev));
	EXPECT_EQ(0, epoll_wait(ep, &ev, 1, 0));
	tt_sockopt(self->sk, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 2 * (unsent + kept) + 2);
	EXPECT_EQ(POLLOUT, tt_poll(self->sk, POLLOUT, 0));
	tt_sockopt(self->sk, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 2 * unsent + 2);
	while (epoll_wait(ep, &ev, 1, 0) == 1)
		;
	pressure(false);
	EXPECT_LT(0, kept) TH_LOG("nothing is kept: nothing is tested");
	for (; got < sent; got += n) {
		n = take(self, false, got);
		ASSERT_LT(0, n) TH_LOG("%zu of %zu bytes came", got, sent);
	}
	EXPECT_EQ(1, epoll_wait(ep, &ev, 1, LIMIT_MS));
	EXPECT_TRUE(drained(self));
	close(ep);
	close(fd[0]);
	close(fd[1]);
}

TEST_HARNESS_MAIN
