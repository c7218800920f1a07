// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Directions that have been idle are parked: they give back what their cipher needs, and take it again with the next record.
 * Nobody may notice. Takes two to three times the module's parameter idle_seconds for most tests, so it should be 1. In a
 * network namespace of its own: the counter says what is parked.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../kusers/kmod/tlsrec_kuser.h"

#define ROOM 100000

FIXTURE(idle)
{
	int peer;		/* bare TCP */
	int sk;			/* both keys set */
	struct tt_key tx, rx;	/* of sk; the peer's counterparts follow them */
	uint64_t sent, came;	/* bytes of sk's streams so far */
	struct tt_opened *o;
	uint8_t *buf;
};

FIXTURE_VARIANT(idle)
{
	TT_VARIANT_FIELDS;
};

TT_VARIANT(idle, tls12_gcm128_ip4, TT_IP4, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128);
TT_VARIANT(idle, tls13_chacha20_ip6, TT_IP6, TLS_1_3_VERSION, TLS_CIPHER_CHACHA20_POLY1305);

/* the module's parameter; 0 where nothing is ever parked */
static unsigned int idle_seconds(void)
{
	FILE *f = fopen("/sys/module/tlsrec/parameters/idle_seconds", "r");
	unsigned int seconds = 0;

	if (f && fscanf(f, "%u", &seconds) != 1)
		seconds = 0;
	if (f)
		fclose(f);
	return seconds;
}

/* until so many directions of this namespace have been parked, each time counted */
static bool wait_parked(long n)
{
	uint64_t end = tt_now_ms() + 30000 + idle_seconds() * 4000ull;

	while (tt_counter("TlsrecParked") < n) {
		if (tt_now_ms() > end) {
			fprintf(stderr, "# %ld directions parked, not %ld\n", tt_counter("TlsrecParked"), n);
			return false;
		}
		usleep(20000);
	}
	return true;
}

/* long enough for everything that is going to be parked */
static void pass_by(void)
{
	usleep(idle_seconds() * 3500000);
}

FIXTURE_SETUP(idle)
{
	int fd[2];

	if (strcmp(tt_ulp_name(), "tlsrec"))
		SKIP(return, "of tlsrec only");
	if (tt_netns())
		SKIP(return, "no network namespaces here");
	tt_tcp_pair(variant->family, fd);
	self->sk = fd[0];
	self->peer = fd[1];
	self->tx = tt_key_make(variant->version, variant->cipher, 1);
	self->rx = tt_key_make(variant->version, variant->cipher, 2);
	tt_install(self->sk, &self->tx, &self->rx);
	if (!idle_seconds())
		SKIP(return, "the module is loaded with idle_seconds=0");
	self->o = malloc(sizeof(*self->o));
	self->buf = malloc(ROOM);
}

FIXTURE_TEARDOWN(idle)
{
	close(self->peer);
	close(self->sk);
	free(self->o);
	free(self->buf);
}

/* the peer finds the next bytes of sk's stream in its records */
static bool peer_gets(FIXTURE_DATA(idle) *self, size_t len)
{
	for (size_t got = 0; got < len; got += self->o->len) {
		if (tt_recv_rec(self->peer, &self->tx, self->o) != 1 || self->o->type != TT_DATA || got + self->o->len > len ||
		    tt_diff(self->o->data, self->o->len, self->sent + got) != -1)
			return false;
	}
	self->sent += len;
	return true;
}

static bool sends(FIXTURE_DATA(idle) *self, size_t len)
{
	tt_fill(self->buf, len, self->sent);
	return send(self->sk, self->buf, len, 0) == (ssize_t)len && peer_gets(self, len);
}

/* and the reverse; a record at a time */
static void peer_sends(FIXTURE_DATA(idle) *self, size_t len)
{
	tt_fill(self->buf, len, self->came);
	for (size_t n, done = 0; done < len; done += n) {
		n = len - done < TT_MAX ? len - done : TT_MAX;
		tt_send_data(self->peer, &self->rx, TT_DATA, self->buf + done, n);
	}
}

static bool gets(FIXTURE_DATA(idle) *self, size_t len)
{
	bool right = tt_read(self->sk, self->buf, len) == len && tt_diff(self->buf, len, self->came) == -1;

	self->came += len;
	return right;
}

static bool both_ways(FIXTURE_DATA(idle) *self, size_t len)
{
	if (!sends(self, len))
		return false;
	peer_sends(self, len);
	return gets(self, len);
}

TEST_F(idle, again_and_again)
{
	ASSERT_TRUE(both_ways(self, 40000));
	for (int i = 1; i <= 3; i++) {
		ASSERT_TRUE(wait_parked(2 * i));
		ASSERT_TRUE(both_ways(self, i == 2 ? 40000 : 100)) TH_LOG("after %d times", i);
	}
}

/* before the first record; each way alone */
TEST_F(idle, never_used)
{
	ASSERT_TRUE(wait_parked(2));
	ASSERT_TRUE(sends(self, 5));
	ASSERT_TRUE(wait_parked(3));
	peer_sends(self, 5);
	ASSERT_TRUE(gets(self, 5));
	ASSERT_TRUE(wait_parked(4));
	ASSERT_TRUE(both_ways(self, 5));
}

/* what is used all the time is not parked */
TEST_F(idle, in_use)
{
	uint64_t now = tt_now_ms(), last, end = now + idle_seconds() * 4000, pause = 0;

	do {
		ASSERT_TRUE(both_ways(self, 10));
		last = now;
		now = tt_now_ms();
		if (now - last > pause)
			pause = now - last;
	} while (now < end);
	if (pause > idle_seconds() * 500)
		SKIP(return, "the machine has paused for %u ms", (unsigned int)pause);
	EXPECT_EQ(0, tt_counter("TlsrecParked"));
}

/* every cipher, under each version that has it */
TEST_F(idle, ciphers)
{
	struct {
		int fd[2];
		struct tt_key ab, ba;
		const char *name;
	} pair[TT_CIPHERS], *p = pair, *q;

	for (int i = 0; i < TT_CIPHERS; i++) {
		const struct tt_cipher *c = &tt_ciphers[i];

		if ((c->tls12_only && variant->version != TLS_1_2_VERSION) || tt_cipher_refused(variant->version, c->type))
			continue;
		p->name = c->name;
		p->ab = tt_key_make(variant->version, c->type, 1);
		p->ba = tt_key_make(variant->version, c->type, 2);
		tt_tcp_pair(variant->family, p->fd);
		tt_install(p->fd[0], &p->ab, &p->ba);
		tt_send_data(p->fd[1], &p->ba, TT_DATA, "before", 6);
		ASSERT_EQ(6, recv(p->fd[0], self->buf, 100, 0));
		ASSERT_EQ(6, send(p->fd[0], "before", 6, 0));
		ASSERT_EQ(1, tt_recv_rec(p->fd[1], &p->ab, self->o));
		p++;
	}
	ASSERT_TRUE(wait_parked(2 + 2 * (p - pair)));
	for (q = pair; q < p; q++) {
		tt_send_data(q->fd[1], &q->ba, TT_DATA, "behind", 6);
		ASSERT_EQ(6, recv(q->fd[0], self->buf, 100, 0)) TH_LOG("%s", q->name);
		EXPECT_EQ(0, memcmp("behind", self->buf, 6));
		ASSERT_EQ(6, send(q->fd[0], "behind", 6, 0));
		ASSERT_EQ(1, tt_recv_rec(q->fd[1], &q->ab, self->o)) TH_LOG("%s", q->name);
		EXPECT_EQ(0, memcmp("behind", self->o->data, 6));
		close(q->fd[0]);
		close(q->fd[1]);
	}
}

TEST_F(idle, options)
{
	const struct tt_cipher *c = tt_cipher(variant->cipher);
	struct tt_key tx, rx;
	int one = 1;

	for (int i = 0; i < 3; i++)
		ASSERT_TRUE(sends(self, 100));
	peer_sends(self, 100);
	ASSERT_TRUE(gets(self, 100));
	ASSERT_TRUE(wait_parked(2));
	ASSERT_EQ(0, tt_key_get(self->sk, TLS_TX, &self->tx, &tx));
	ASSERT_EQ(0, tt_key_get(self->sk, TLS_RX, &self->rx, &rx));
	EXPECT_EQ(3u, tx.seq);
	EXPECT_EQ(1u, rx.seq);
	EXPECT_EQ(0, memcmp(tx.key, self->tx.key, c->key));
	EXPECT_EQ(0, memcmp(rx.key, self->rx.key, c->key));
	EXPECT_EQ(0, memcmp(tx.salt, self->tx.salt, c->salt));
	EXPECT_EQ(variant->version, tx.version);
	EXPECT_EQ(variant->cipher, tx.cipher);
	EXPECT_EQ(0, setsockopt(self->sk, SOL_TLS, TLS_TX_ZEROCOPY_RO, &one, sizeof(one)));
	if (variant->version == TLS_1_2_VERSION) {
		EXPECT_ERR(EBUSY, tt_key_set(self->sk, TLS_TX, &self->tx));
		EXPECT_ERR(EBUSY, tt_key_set(self->sk, TLS_RX, &self->rx));
	}
	/* none of that woke it */
	pass_by();
	EXPECT_EQ(2, tt_counter("TlsrecParked"));
	ASSERT_TRUE(both_ways(self, 100));
}

TEST_F(idle, key_update)
{
	static const uint8_t update[5] = { 24, 0, 0, 1, 0 };
	uint8_t type = 0;

	if (variant->version != TLS_1_3_VERSION)
		SKIP(return, "of TLS 1.3");
	ASSERT_TRUE(both_ways(self, 100));
	ASSERT_TRUE(wait_parked(2));
	self->tx = tt_key_make(variant->version, variant->cipher, 8);
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &self->tx));
	ASSERT_TRUE(sends(self, 100));
	/* one that comes to a parked direction, and then a key for it while it is parked again */
	tt_send_data(self->peer, &self->rx, TT_HANDSHAKE, update, sizeof(update));
	ASSERT_EQ(5, tt_recv_type(self->sk, self->buf, 100, 0, &type, NULL));
	EXPECT_EQ(TT_HANDSHAKE, type);
	ASSERT_TRUE(wait_parked(4));
	EXPECT_ERR(EKEYEXPIRED, recv(self->sk, self->buf, 100, 0));
	self->rx = tt_key_make(variant->version, variant->cipher, 9);
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &self->rx));
	ASSERT_TRUE(both_ways(self, 100));
	ASSERT_TRUE(wait_parked(6));
	ASSERT_TRUE(both_ways(self, 100));
}

/* what has been taken from the program is not left without its key */
TEST_F(idle, open_record)
{
	tt_fill(self->buf, 200, 0);
	ASSERT_EQ(100, send(self->sk, self->buf, 100, MSG_MORE));
	ASSERT_TRUE(wait_parked(1));
	pass_by();
	EXPECT_EQ(1, tt_counter("TlsrecParked"));
	ASSERT_EQ(100, send(self->sk, self->buf + 100, 100, 0));
	ASSERT_EQ(1, tt_recv_rec(self->peer, &self->tx, self->o));
	EXPECT_EQ(200u, self->o->len);
	EXPECT_BYTES(self->o->data, 200, 0);
	ASSERT_TRUE(wait_parked(2));
	/* opened by one that was parked, and sealed by the end of the stream */
	ASSERT_EQ(100, send(self->sk, self->buf, 100, MSG_MORE));
	pass_by();
	EXPECT_EQ(2, tt_counter("TlsrecParked"));
	ASSERT_EQ(0, shutdown(self->sk, SHUT_WR));
	ASSERT_EQ(1, tt_recv_rec(self->peer, &self->tx, self->o));
	EXPECT_EQ(100u, self->o->len);
	EXPECT_BYTES(self->o->data, 100, 0);
}

TEST_F(idle, full_buffer)
{
	size_t done = 0;
	ssize_t n;

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 20000);
	tt_sockopt(self->peer, SOL_SOCKET, SO_RCVBUF, 20000);
	do {
		tt_fill(self->buf, ROOM, done);
		n = send(self->sk, self->buf, ROOM, MSG_DONTWAIT);
		done += n > 0 ? n : 0;
	} while (n > 0 && done < 100 * ROOM);
	ASSERT_LT(done, 100 * ROOM);
	ASSERT_TRUE(wait_parked(1));
	ASSERT_TRUE(peer_gets(self, done));
	ASSERT_TRUE(wait_parked(2));
	ASSERT_TRUE(both_ways(self, 100));
}

TEST_F(idle, control)
{
	uint8_t type = 0;

	ASSERT_TRUE(wait_parked(2));
	ASSERT_EQ(2, tt_send_type(self->sk, TT_ALERT, "\1\0", 2, 0));
	ASSERT_EQ(1, tt_recv_rec(self->peer, &self->tx, self->o));
	EXPECT_EQ(TT_ALERT, self->o->type);
	tt_send_data(self->peer, &self->rx, TT_ALERT, "\1\0", 2);
	ASSERT_EQ(2, tt_recv_type(self->sk, self->buf, 100, 0, &type, NULL));
	EXPECT_EQ(TT_ALERT, type);
}

TEST_F(idle, splice)
{
	int file = memfd_create("idle", 0), p[2];
	off_t off = 0;

	ASSERT_EQ(0, pipe(p));
	tt_fill(self->buf, 40000, 0);
	ASSERT_EQ(40000, write(file, self->buf, 40000));
	ASSERT_TRUE(wait_parked(2));
	ASSERT_EQ(40000, sendfile(self->sk, file, &off, 40000));
	ASSERT_TRUE(peer_gets(self, 40000));
	peer_sends(self, 1000);
	ASSERT_EQ(1000, splice(self->sk, NULL, p[1], NULL, 1000, 0));
	ASSERT_EQ(1000u, tt_read_pipe(p[0], self->buf, 1000));
	EXPECT_BYTES(self->buf, 1000, 0);
	close(file);
	close(p[0]);
	close(p[1]);
}

static void *reader(void *arg)
{
	FIXTURE_DATA(idle) *self = arg;

	return gets(self, 100) ? self : NULL;
}

/* who sleeps in a read does not keep the direction from it */
TEST_F(idle, reader_asleep)
{
	pthread_t t;
	void *right;

	ASSERT_EQ(0, pthread_create(&t, NULL, reader, self));
	ASSERT_TRUE(wait_parked(2));
	tt_fill(self->o->data, 100, 0);
	tt_send_data(self->peer, &self->rx, TT_DATA, self->o->data, 100);
	ASSERT_EQ(0, pthread_join(t, &right));
	EXPECT_NE(NULL, right);
	EXPECT_TRUE(both_ways(self, 100));
}

TEST_F(idle, poll)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int ep = epoll_create1(0), bytes = 0;

	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->sk, &ev));
	ASSERT_TRUE(wait_parked(2));
	EXPECT_EQ(POLLOUT, tt_poll(self->sk, POLLIN | POLLOUT, 0));
	peer_sends(self, 100);
	ASSERT_EQ(1, epoll_wait(ep, &ev, 1, 20000));
	EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 0));
	ASSERT_EQ(0, ioctl(self->sk, FIONREAD, &bytes));
	EXPECT_EQ(100, bytes);
	ASSERT_EQ(100, recv(self->sk, self->buf, ROOM, MSG_PEEK));
	/* decrypted, and not read */
	ASSERT_TRUE(wait_parked(3));
	ASSERT_TRUE(gets(self, 100));
	/* half a record comes, and then it is parked */
	struct tt_rec r = { .type = TT_DATA, .data = self->o->data, .len = 100 };
	size_t n;

	tt_fill(self->o->data, 100, 100);
	n = tt_seal(&self->rx, &r, self->buf);
	tt_write(self->peer, self->buf, n / 2);
	pass_by();
	EXPECT_ERR(EAGAIN, recv(self->sk, self->o->data, 100, MSG_DONTWAIT));
	tt_write(self->peer, self->buf + n / 2, n - n / 2);
	EXPECT_TRUE(gets(self, 100));
	close(ep);
}

/* a bad record is as bad as ever */
TEST_F(idle, bad_record)
{
	struct tt_rec r = { .type = TT_DATA, .data = "0123456789", .len = 10 };
	size_t n;

	ASSERT_TRUE(wait_parked(2));
	n = tt_seal(&self->rx, &r, self->buf);
	self->buf[n - 1] ^= 1;
	tt_write(self->peer, self->buf, n);
	EXPECT_ERR(EBADMSG, recv(self->sk, self->buf, ROOM, 0));
	ASSERT_TRUE(wait_parked(3));
	EXPECT_ERR(EBADMSG, recv(self->sk, self->buf, ROOM, 0));
	EXPECT_TRUE(sends(self, 100));
}

TEST_F(idle, shutdown)
{
	ASSERT_TRUE(wait_parked(2));
	ASSERT_EQ(0, shutdown(self->sk, SHUT_WR));
	EXPECT_EQ(0, tt_recv_rec(self->peer, &self->tx, self->o));
	peer_sends(self, 100);
	EXPECT_TRUE(gets(self, 100));
	ASSERT_TRUE(wait_parked(3));
	ASSERT_EQ(0, shutdown(self->peer, SHUT_WR));
	EXPECT_EQ(0, recv(self->sk, self->buf, 100, 0));
}

TEST_F(idle, close)
{
	ASSERT_TRUE(wait_parked(2));
	close(self->sk);
	self->sk = -1;
	EXPECT_EQ(0, tt_recv_rec(self->peer, &self->tx, self->o));
	EXPECT_EQ(0, tt_counter("TlsCurrTxSw"));
	EXPECT_EQ(0, tt_counter("TlsCurrRxSw"));
}

static void *sender(void *arg)
{
	void **a = arg;

	return (void *)send((int)(intptr_t)a[0], a[1], 100, 0);
}

/* a call that has the socket locked for long: here it waits for the memory that it is to copy from */
TEST_F(idle, socket_locked)
{
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_copy copy = { .len = 4096 };
	struct uffd_msg msg;
	void *page, *args[2], *ret;
	pthread_t t;
	long parked;

	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api))
		SKIP(return, "no userfaultfd here");
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	range.range.start = (uintptr_t)page;
	range.range.len = 4096;
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_REGISTER, &range));
	args[0] = (void *)(intptr_t)self->sk;
	args[1] = page;
	ASSERT_EQ(0, pthread_create(&t, NULL, sender, args));
	ASSERT_EQ(sizeof(msg), read(uffd, &msg, sizeof(msg)));
	parked = tt_counter("TlsrecParked");
	pass_by();
	EXPECT_EQ(parked, tt_counter("TlsrecParked"));
	tt_fill(self->buf, 4096, 0);
	copy.dst = (uintptr_t)page;
	copy.src = (uintptr_t)self->buf;
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_COPY, &copy));
	ASSERT_EQ(0, pthread_join(t, &ret));
	EXPECT_EQ(100, (long)ret);
	EXPECT_TRUE(peer_gets(self, 100));
	ASSERT_TRUE(wait_parked(2));
	EXPECT_TRUE(both_ways(self, 100));
	munmap(page, 4096);
	close(uffd);
}

/* whoever may be needed to get memory is not made to need some */
TEST_F(idle, user_in_the_kernel)
{
	struct ku_call c = { .op = KU_PUMP, .flags = KU_PUMP_NOIO };
	int dev, fd[2], status;

	status = system("modprobe -q tlsrec_kuser");
	dev = open("/dev/tlsrec_kuser", O_RDWR);
	for (int i = 0; i < 100 && dev < 0 && !status; i++, usleep(20000))
		dev = open("/dev/tlsrec_kuser", O_RDWR);
	if (dev < 0)
		SKIP(return, "the module tlsrec_kuser is not there: %s", strerror(errno));
	tt_tcp_pair(variant->family, fd);
	c.fd = fd[0];
	ASSERT_EQ(0, ioctl(dev, KU_CALL, &c));
	tt_install(fd[0], &self->tx, &self->rx);
	ASSERT_TRUE(wait_parked(2));
	pass_by();
	EXPECT_EQ(2, tt_counter("TlsrecParked"));
	c.op = KU_PUMP_END;
	ASSERT_EQ(0, ioctl(dev, KU_CALL, &c));
	ASSERT_TRUE(wait_parked(4));
	close(fd[0]);
	close(fd[1]);
	close(dev);
}

/*
 * Many sockets at once that fall asleep, wake, come and go: each of the processes has some, and goes from one to the other
 * with pauses that end when the work item comes by.
 */
enum { PROCESSES = 4, SOCKETS = 100 };

static bool ping(int from, int to, uint64_t pos)
{
	uint8_t out[300], in[300];

	tt_fill(out, sizeof(out), pos);
	return send(from, out, sizeof(out), 0) == sizeof(out) && tt_read(to, in, sizeof(in)) == sizeof(in) &&
	       tt_diff(in, sizeof(in), pos) == -1;
}

static int races(const struct tt_key *ab, const struct tt_key *ba, enum tt_family family, uint64_t seed)
{
	uint64_t end = tt_now_ms() + (4 + 4 * idle_seconds()) * 1000ull;
	static int fd[SOCKETS][2];

	for (unsigned int n = 0; tt_now_ms() < end; n++) {
		int *f = fd[n % SOCKETS];

		if (!f[0] || tt_rand(&seed) % 64 == 0) {
			if (f[0]) {
				close(f[n & 1]);
				close(f[!(n & 1)]);
			}
			tt_tcp_pair(family, f);
			tt_install(f[0], ab, ba);
			tt_install(f[1], ba, ab);
		}
		if (!ping(f[n & 1], f[!(n & 1)], n))
			return 1;
		/* most of them pause for longer than it takes to be parked, while others go on */
		if (n % SOCKETS == 0 && tt_rand(&seed) % 2)
			usleep(idle_seconds() * 2000000 + tt_rand(&seed) % 300000);
	}
	return 0;
}

TEST_F(idle, races)
{
	pid_t pid[PROCESSES];

	for (int i = 0; i < PROCESSES; i++) {
		pid[i] = fork();
		if (!pid[i])
			_exit(races(&self->tx, &self->rx, variant->family, i + 1));
	}
	for (int i = 0; i < PROCESSES; i++) {
		int st;

		ASSERT_EQ(pid[i], waitpid(pid[i], &st, 0));
		EXPECT_EQ(0, st);
	}
	TH_LOG("%ld times parked", tt_counter("TlsrecParked"));
	EXPECT_LT(100, tt_counter("TlsrecParked"));
	EXPECT_TRUE(both_ways(self, 100));
}

TEST_HARNESS_MAIN
