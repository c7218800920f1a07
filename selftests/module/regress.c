// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What has broken in in-kernel TLS before and is not driven by the other suites. README.md has the table of all of it.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/wait.h>

FIXTURE(regress)
{
	int peer;		/* bare TCP */
	int sk;			/* TCP, no ULP yet */
	struct tt_key rx, tx;	/* of sk */
};

FIXTURE_VARIANT(regress)
{
	TT_VARIANT_FIELDS;
};

TT_VARIANTS(regress);

FIXTURE_SETUP(regress)
{
	int fd[2];

	tt_tcp_pair(variant->family, fd);
	self->peer = fd[0];
	self->sk = fd[1];
	self->rx = tt_key_make(variant->version, variant->cipher, 1);
	self->tx = tt_key_make(variant->version, variant->cipher, 2);
}

FIXTURE_TEARDOWN(regress)
{
	close(self->peer);
	close(self->sk);
}

static size_t take_all(int fd, size_t total, uint64_t pos)
{
	uint8_t *buf = malloc(65536);
	size_t got = 0;

	while (got < total) {
		ssize_t n = recv(fd, buf, total - got < 65536 ? total - got : 65536, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || tt_diff(buf, n, pos + got) >= 0)
			break;
		got += n;
	}
	free(buf);
	return got;
}

static int child_status(pid_t pid)
{
	int st = -1;

	waitpid(pid, &st, 0);
	return WIFEXITED(st) ? WEXITSTATUS(st) : 100 + WTERMSIG(st);
}

/*
 * A cipher whose nonce does not fit where AES-GCM's does. The cipher suite has what each of them does; here a record that
 * opens, one that does not, and one without anything in it, for the debug kernel to watch.
 */
TEST_F(regress, CVE_2022_49094_other_ciphers)
{
	for (int i = 0; i < TT_CIPHERS; i++) {
		struct tt_key k = tt_key_make(variant->version, tt_ciphers[i].type, 1), bad = tt_key_make(variant->version, tt_ciphers[i].type, 2);
		uint8_t buf[100];
		int fd[2];

		if (tt_ciphers[i].tls12_only && variant->version != TLS_1_2_VERSION)
			continue;
		if (tt_cipher_refused(variant->version, tt_ciphers[i].type)) {
			EXPECT_EQ(ENOENT, tt_cipher_refused(variant->version, tt_ciphers[i].type));
			continue;
		}
		tt_tcp_pair(variant->family, fd);
		tt_install(fd[0], &k, &k);
		tt_send_data(fd[1], &k, TT_DATA, "text", 4);
		ASSERT_EQ(4, recv(fd[0], buf, sizeof(buf), 0));
		tt_send_data(fd[1], &k, TT_DATA, NULL, 0);
		ASSERT_EQ(5, send(fd[0], "hello", 5, 0));
		tt_send_data(fd[1], &bad, TT_DATA, "text", 4);
		EXPECT_ERR_AT(EBADMSG, recv(fd[0], buf, sizeof(buf), 0), i);
		close(fd[0]);
		close(fd[1]);
	}
}

/* Room in the send buffer is announced when TLS has nothing queued: what filled it was plain data from before the key. */
TEST_F(regress, CVE_2023_1075_write_space_with_nothing_queued)
{
	struct tt_opened *o = malloc(sizeof(*o));
	uint8_t *buf = malloc(100000);
	size_t plain = 0, got = 0;

	memset(buf, 'p', 100000);
	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 20000);
	tt_nonblock(self->sk, true);
	/* Acknowledgements make room for some time. */
	do {
		ssize_t n;

		while ((n = send(self->sk, buf, 100000, 0)) > 0)
			plain += n;
	} while (tt_poll(self->sk, POLLOUT, 300) & POLLOUT);
	tt_install(self->sk, &self->tx, &self->rx);
	EXPECT_EQ(0, tt_poll(self->sk, POLLOUT, 0) & POLLOUT);
	while (got < plain) {
		ssize_t n = recv(self->peer, buf, plain - got < 100000 ? plain - got : 100000, 0);

		ASSERT_LT(0, n);
		got += n;
	}
	EXPECT_EQ(POLLOUT, tt_poll(self->sk, POLLOUT, 20000));
	ASSERT_EQ(5, send(self->sk, "hello", 5, 0));
	ASSERT_EQ(1, tt_recv_rec(self->peer, &self->tx, o));
	EXPECT_EQ(5, o->len);
	/* full again, with records this time, and closed while the space comes */
	for (int i = 0; i < 20; i++) {
		struct tt_key k = self->tx;
		int fd[2];

		tt_tcp_pair(variant->family, fd);
		tt_sockopt(fd[0], SOL_SOCKET, SO_SNDBUF, 20000);
		tt_nonblock(fd[0], true);
		tt_install(fd[0], &k, NULL);
		while (send(fd[0], buf, 100000, i & 1 ? MSG_MORE : 0) > 0)
			;
		if (i & 2)
			recv(fd[1], buf, 100000, 0);
		close(fd[0]);
		while (recv(fd[1], buf, 100000, 0) > 0)
			;
		close(fd[1]);
	}
	free(o);
	free(buf);
}

/* Empty data record, then a control record, then data, into one large buffer. */
TEST_F(regress, CVE_2025_39682_empty_then_other_type)
{
	uint8_t *data = malloc(16384), *buf = malloc(65536), type;
	ssize_t n;

	tt_fill(data, 16384, 0);
	tt_install(self->sk, &self->tx, &self->rx);
	for (int i = 0; i < 5; i++) {
		tt_send_data(self->peer, &self->rx, TT_DATA, data, 0);
		tt_send_data(self->peer, &self->rx, TT_HANDSHAKE, data, 100);
		tt_send_data(self->peer, &self->rx, TT_DATA, data, 16384);
		n = tt_recv_type(self->sk, buf, 65536, 0, &type, NULL);
		if (n == 0 && type == TT_DATA)
			n = tt_recv_type(self->sk, buf, 65536, 0, &type, NULL);
		ASSERT_EQ(100, n);
		EXPECT_EQ(TT_HANDSHAKE, type);
		EXPECT_BYTES(buf, 100, 0);
		memset(buf, 0, 65536);
		ASSERT_EQ(16384, tt_recv_type(self->sk, buf, 65536, 0, &type, NULL));
		EXPECT_EQ(TT_DATA, type);
		EXPECT_BYTES(buf, 16384, 0);
		for (int j = 16384; j < 65536; j++) {
			ASSERT_EQ(0, buf[j]);
		}
		/* the empty one waits while a part of the control record is read */
		tt_send_data(self->peer, &self->rx, TT_HANDSHAKE, data, 100);
		tt_send_data(self->peer, &self->rx, TT_DATA, data, 0);
		tt_send_data(self->peer, &self->rx, TT_DATA, data, 16384);
		ASSERT_EQ(50, tt_recv_type(self->sk, buf, 50, 0, &type, NULL));
		ASSERT_EQ(50, tt_recv_type(self->sk, buf, 65536, MSG_WAITALL, &type, NULL));
		EXPECT_BYTES(buf, 50, 50);
		EXPECT_EQ(16384, take_all(self->sk, 16384, 0));
	}
	free(data);
	free(buf);
}

/* TLS 1.2 has no KeyUpdate: a handshake record that begins with its number is a record like any other. */
TEST_F(regress, tls12_handshake_beginning_with_24)
{
	uint8_t hs[100], buf[200], type;

	if (variant->version != TLS_1_2_VERSION)
		SKIP(return, "of TLS 1.2");
	memset(hs, 0, sizeof(hs));
	hs[0] = 24;
	tt_install(self->sk, &self->tx, &self->rx);
	for (int i = 0; i < 3; i++) {
		tt_send_data(self->peer, &self->rx, TT_HANDSHAKE, hs, 5);
		tt_send_data(self->peer, &self->rx, TT_DATA, "data", 4);
		ASSERT_EQ(5, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, NULL));
		EXPECT_EQ(TT_HANDSHAKE, type);
		ASSERT_EQ(4, recv(self->sk, buf, sizeof(buf), 0));
		EXPECT_EQ(0, memcmp(buf, "data", 4));
	}
}

/* A session ticket after the handshake: a control record, and the data behind it arrives. */
TEST_F(regress, tls13_ticket_then_data)
{
	uint8_t nst[200], buf[300], type;

	if (variant->version != TLS_1_3_VERSION)
		SKIP(return, "of TLS 1.3");
	tt_fill(nst, sizeof(nst), 0);
	memcpy(nst, "\x04\x00\x00\xc4", 4);
	tt_install(self->sk, &self->tx, &self->rx);
	for (int i = 0; i < 2; i++)
		tt_send_data(self->peer, &self->rx, TT_HANDSHAKE, nst, sizeof(nst));
	tt_send_data(self->peer, &self->rx, TT_DATA, "data", 4);
	for (int i = 0; i < 2; i++) {
		EXPECT_ERR(EIO, read(self->sk, buf, sizeof(buf)));
		ASSERT_EQ(sizeof(nst), tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, NULL));
		EXPECT_EQ(TT_HANDSHAKE, type);
	}
	ASSERT_EQ(4, read(self->sk, buf, sizeof(buf)));
}

/* Every receive that OpenSSL makes wants MSG_EOR and no MSG_CTRUNC (its pull request 28861). */
TEST_F(regress, openssl_reads)
{
	union { struct cmsghdr h; char b[CMSG_SPACE(1)]; } c;
	uint8_t *data = malloc(16384), *buf = malloc(16384 + 256);
	struct iovec iov = { buf, 16384 + 256 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c };

	tt_fill(data, 16384, 0);
	tt_install(self->sk, &self->tx, &self->rx);
	for (size_t len = 1; len <= 16384; len *= 2) {
		tt_send_data(self->peer, &self->rx, len & 5 ? TT_DATA : TT_HANDSHAKE, data, len);
		m.msg_controllen = sizeof(c.b);
		m.msg_flags = 0;
		ASSERT_EQ(len, recvmsg(self->sk, &m, 0));
		EXPECT_EQ(MSG_EOR, m.msg_flags & (MSG_EOR | MSG_CTRUNC));
		EXPECT_BYTES(buf, len, 0);
	}
	free(data);
	free(buf);
}

/* --- segments that no TCP of ours would send, made by hand --- */

static uint16_t checksum(const void *a, size_t la, const void *b, size_t lb)
{
	const uint8_t *p = a;
	uint32_t s = 0;

	for (size_t i = 0; i < la; i++)
		s += i & 1 ? p[i] : p[i] << 8;
	p = b;
	for (size_t i = 0; i < lb; i++)
		s += i & 1 ? p[i] : p[i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return htons(~s & 0xffff);
}

struct forge {
	int raw;
	struct sockaddr_in from, to;
	uint32_t seq, ack;
};

/* the numbers of a live connection, from the repair interface */
static int forge_init(struct forge *f, int fd)
{
	int on = 1, off = -1, q = TCP_SEND_QUEUE;
	socklen_t len = sizeof(f->from);

	getsockname(fd, (void *)&f->from, &len);
	len = sizeof(f->to);
	getpeername(fd, (void *)&f->to, &len);
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)))
		return -1;
	len = sizeof(f->seq);
	TT_MUST(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &q, sizeof(q)) == 0);
	TT_MUST(getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &f->seq, &len) == 0);
	q = TCP_RECV_QUEUE;
	TT_MUST(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &q, sizeof(q)) == 0);
	TT_MUST(getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &f->ack, &len) == 0);
	/* -1: out of repair without a window probe */
	TT_MUST(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)) == 0);
	f->raw = socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
	return f->raw < 0 ? -1 : 0;
}

static void forge_send(struct forge *f, const uint8_t *stream, size_t from, size_t to)
{
	struct { uint32_t s, d; uint8_t zero, proto; uint16_t len; } __attribute__((packed)) ph;
	uint8_t seg[20 + 1400];
	struct tcphdr *th = (void *)seg;
	size_t len = to - from;

	memset(seg, 0, 20);
	th->source = f->from.sin_port;
	th->dest = f->to.sin_port;
	th->seq = htonl(f->seq + from);
	th->ack_seq = htonl(f->ack);
	th->doff = 5;
	th->ack = 1;
	th->psh = 1;
	th->window = htons(65535);
	memcpy(seg + 20, stream + from, len);
	ph.s = f->from.sin_addr.s_addr;
	ph.d = f->to.sin_addr.s_addr;
	ph.zero = 0;
	ph.proto = IPPROTO_TCP;
	ph.len = htons(20 + len);
	th->check = checksum(&ph, sizeof(ph), seg, 20 + len);
	TT_MUST(sendto(f->raw, seg, 20 + len, 0, (void *)&f->to, sizeof(f->to)) == (ssize_t)(20 + len));
}

/* Segments that overlap what came before, in and out of order: no desync, every byte once. */
TEST_F(regress, overlapping_segments)
{
	size_t total = 60 * 300, n = 0, front = 0;
	uint8_t *stream = malloc(2 * total), data[300], buf[400];
	uint64_t seed = 1, got = 0;
	struct tt_key k = self->rx;
	struct forge f;

	if (variant->family != TT_IP4)
		SKIP(return, "made for IPv4");
	if (forge_init(&f, self->peer))
		SKIP(return, "no TCP repair or raw sockets here");
	for (int i = 0; i < 60; i++) {
		struct tt_rec r = { .type = TT_DATA, .data = data, .len = 300 };

		tt_fill(data, 300, i * 300);
		n += tt_seal(&k, &r, stream + n);
	}
	tt_install(self->sk, &self->tx, &self->rx);
	while (front < n) {
		/* from somewhere behind what is there to somewhere ahead; now and then with a hole that the next one fills */
		size_t a = front - tt_rand(&seed) % (front < 500 ? front + 1 : 500), b = front + 1 + tt_rand(&seed) % 500;

		if (b > n)
			b = n;
		if (tt_rand(&seed) % 3 == 0 && b + 200 < n) {
			forge_send(&f, stream, b + 50, b + 200);
			forge_send(&f, stream, b + 20, b + 120);
			forge_send(&f, stream, a, b + 60);
			front = b + 200;
		} else {
			forge_send(&f, stream, a, b);
			front = b;
		}
		for (;;) {
			ssize_t r = recv(self->sk, buf, 1 + tt_rand(&seed) % 400, MSG_DONTWAIT);

			if (r < 0) {
				ASSERT_EQ(EAGAIN, errno) TH_LOG("after %zu of %zu bytes of stream", front, n);
				break;
			}
			ASSERT_LT(0, r);
			ASSERT_BYTES(buf, r, got);
			got += r;
		}
	}
	EXPECT_EQ(total, got + take_all(self->sk, total - got, got));
	close(f.raw);
	free(stream);
}

/* The same at the moment when the key is installed: a queue that begins in the middle of a segment. */
TEST_F(regress, overlap_at_the_switch)
{
	uint8_t stream[2000], data[300], buf[400];
	size_t n = 7;
	struct tt_key k = self->rx;
	struct forge f;

	if (variant->family != TT_IP4)
		SKIP(return, "made for IPv4");
	if (forge_init(&f, self->peer))
		SKIP(return, "no TCP repair or raw sockets here");
	memcpy(stream, "helloya", 7);
	for (int i = 0; i < 5; i++) {
		struct tt_rec r = { .type = TT_DATA, .data = data, .len = 300 };

		tt_fill(data, 300, i * 300);
		n += tt_seal(&k, &r, stream + n);
	}
	forge_send(&f, stream, 0, 400);
	ASSERT_EQ(7, tt_read(self->sk, buf, 7));
	forge_send(&f, stream, 200, 700);
	tt_install(self->sk, &self->tx, &self->rx);
	forge_send(&f, stream, 300, 900);
	forge_send(&f, stream, 800, n);
	EXPECT_EQ(1500, take_all(self->sk, 1500, 0));
	close(f.raw);
}

/* --- a network that loses, repeats and reorders --- */

static int bad_network(void)
{
	if (unshare(CLONE_NEWNET))
		return -1;
	if (system("ip link set lo mtu 1500 gso_max_segs 1 up 2>/dev/null") && system("ip link set lo mtu 1500 up"))
		return -1;
	return system("modprobe -q sch_netem; tc qdisc add dev lo root netem delay 2ms 1ms loss 2% duplicate 2% reorder 20% 50% limit 2000 2>&1");
}

/*
 * FreeBSD's kernel TLS sent old payload with valid MACs when a page was used again too early; retransmission is where it
 * shows. Each byte is compared, all of them come from a file.
 */
TEST_F(regress, freebsd_replayed_payload)
{
	size_t total = 1500000, page = 4096;
	uint8_t *data = malloc(total);
	int fd[2], file = memfd_create("payload", 0);
	pid_t pid;

	if (bad_network())
		SKIP(return, "no network namespaces or no netem here");
	tt_tcp_pair(variant->family, fd);
	tt_sockopt(fd[0], SOL_SOCKET, SO_SNDBUF, 200000);
	tt_install(fd[0], &self->tx, &self->rx);
	tt_install(fd[1], &self->rx, &self->tx);
	pid = fork();
	if (!pid)
		_exit(take_all(fd[1], total, 0) == total ? 0 : 1);
	tt_fill(data, total, 0);
	/* the file is written over as soon as it was sent */
	for (size_t done = 0; done < total;) {
		size_t n = total - done < 16 * page ? total - done : 16 * page;
		off_t off = 0;

		ASSERT_EQ(n, pwrite(file, data + done, n, 0));
		while ((size_t)off < n) {
			ASSERT_LT(0, sendfile(fd[0], file, &off, n - off));
		}
		done += n;
	}
	EXPECT_EQ(0, child_status(pid));
	close(fd[0]);
	close(fd[1]);
	close(file);
	free(data);
}

/* the same road for records that user memory is sent from, read with a small buffer */
TEST_F(regress, lossy_network)
{
	size_t total = 1000000;
	uint8_t *data = malloc(total);
	uint64_t seed = 4;
	int fd[2];
	pid_t pid;

	if (bad_network())
		SKIP(return, "no network namespaces or no netem here");
	tt_tcp_pair(variant->family, fd);
	tt_sockopt(fd[1], SOL_SOCKET, SO_RCVBUF, 10000);
	tt_install(fd[0], &self->tx, &self->rx);
	tt_install(fd[1], &self->rx, &self->tx);
	pid = fork();
	if (!pid)
		_exit(take_all(fd[1], total, 0) == total ? 0 : 1);
	tt_fill(data, total, 0);
	for (size_t done = 0; done < total;) {
		size_t n = 1 + tt_rand(&seed) % 30000;
		ssize_t r = send(fd[0], data + done, n < total - done ? n : total - done, MSG_NOSIGNAL);

		ASSERT_LT(0, r);
		done += r;
	}
	EXPECT_EQ(0, child_status(pid));
	close(fd[0]);
	close(fd[1]);
	free(data);
}

/* --- close against everything --- */

static void *sender(void *arg)
{
	static uint8_t big[100000];
	int fd = *(int *)arg;

	while (send(fd, big, sizeof(big), MSG_NOSIGNAL) > 0)
		;
	return NULL;
}

static void *receiver(void *arg)
{
	uint8_t buf[5000];
	int fd = *(int *)arg;

	while (recv(fd, buf, sizeof(buf), 0) > 0)
		;
	return NULL;
}

/* shutdown from a third thread while one sends and one receives, both asleep */
TEST_F(regress, CVE_2026_23240_shutdown_under_pressure)
{
	for (int i = 0; i < 12; i++) {
		struct tt_key rx = self->rx, tx = self->tx;
		pthread_t t[2];
		int fd[2];

		tt_tcp_pair(variant->family, fd);
		tt_sockopt(fd[0], SOL_SOCKET, SO_SNDBUF, 20000);
		tt_install(fd[0], &tx, &rx);
		tt_install(fd[1], &rx, &tx);
		ASSERT_EQ(0, pthread_create(&t[0], NULL, sender, &fd[0]));
		ASSERT_EQ(0, pthread_create(&t[1], NULL, receiver, &fd[0]));
		usleep(1000 * i);
		switch (i % 3) {
		case 0:
			shutdown(fd[0], SHUT_RDWR);
			break;
		case 1: {
			struct linger lg = { 1, 0 };

			setsockopt(fd[1], SOL_SOCKET, SO_LINGER, &lg, sizeof(lg));
			close(fd[1]);
			fd[1] = -1;
			break;
		}
		case 2:
			shutdown(fd[0], SHUT_WR);
			shutdown(fd[1], SHUT_WR);
			break;
		}
		pthread_join(t[0], NULL);
		pthread_join(t[1], NULL);
		close(fd[0]);
		if (fd[1] >= 0)
			close(fd[1]);
	}
}

TEST_HARNESS_MAIN
