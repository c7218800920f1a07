// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Receiving where memory is fragmented: no two free pages are neighbours, or a record comes that the window has no room for, so
 * that it is taken out of TCP's queue a page at a time. The test module tlsrec_fragment refuses tlsrec larger pieces.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "fragmented_common.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>

#include "../kusers/kmod/tlsrec_kuser.h"

#define PAGE 4096
#define ROOM (1 << 20)

FIXTURE(fragmented)
{
	int sk, peer;		/* sk has the key */
	struct tt_key rx;
	uint8_t *wire, *got;
	size_t wire_len, bytes;	/* what the peer sends, and of how many bytes of data */
	pthread_t writer;
	long refused;
};

/* window: the receive buffer is as small as it can be */
FIXTURE_VARIANT(fragmented)
{
	TT_VARIANT_FIELDS;
	bool window;
};

#define VARIANT(name, fam, ver, ciph, win) \
	FIXTURE_VARIANT_ADD(fragmented, name) { .family = fam, .version = ver, .cipher = ciph, .window = win }

VARIANT(tls12_gcm128_ip4, TT_IP4, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128, false);
VARIANT(tls12_chacha20_ip6, TT_IP6, TLS_1_2_VERSION, TLS_CIPHER_CHACHA20_POLY1305, false);
VARIANT(tls13_gcm256_ip6, TT_IP6, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256, false);
VARIANT(tls13_ccm128_ip4, TT_IP4, TLS_1_3_VERSION, TLS_CIPHER_AES_CCM_128, false);
VARIANT(tls12_gcm256_window_ip6, TT_IP6, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_256, true);
VARIANT(tls13_gcm128_window_ip4, TT_IP4, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128, true);

FIXTURE_SETUP(fragmented)
{
	int fd[2];

	if (strcmp(tt_ulp_name(), "tlsrec"))
		SKIP(return, "of tlsrec only");
	if (!scarce_load())
		SKIP(return, "the module tlsrec_fragment does not load: it wants kprobes");
	if (tt_cipher_refused(variant->version, variant->cipher))
		SKIP(return, "this kernel has no such cipher");
	tt_tcp_pair(variant->family, fd);
	self->sk = fd[0];
	self->peer = fd[1];
	self->rx = tt_key_make(variant->version, variant->cipher, 2);
	scarce_from(PAGE + 1);
	self->refused = scarce_refused();
	if (variant->window)
		tt_sockopt(self->sk, SOL_SOCKET, SO_RCVBUF, 4096);
	tt_install(self->sk, NULL, &self->rx);
	self->wire = malloc(2 * ROOM);
	self->got = malloc(ROOM);
}

FIXTURE_TEARDOWN(fragmented)
{
	scarce_from(0);
	close(self->sk);
	close(self->peer);
	free(self->wire);
	free(self->got);
}

/* one more record of so many bytes */
static void add(FIXTURE_DATA(fragmented) *self, uint8_t type, size_t len, size_t pad)
{
	static uint8_t data[TT_MAX];
	struct tt_rec r = { .type = type, .data = data, .len = len, .pad = pad };

	tt_fill(data, len, self->bytes);
	self->wire_len += tt_seal(&self->rx, &r, self->wire + self->wire_len);
	self->bytes += len;
}

/* of every size whose end has something to do with that of a page; a small window takes its time for each */
static void add_sizes(FIXTURE_DATA(fragmented) *self, bool few)
{
	static const int near[] = { -33, -18, -17, -16, -15, -1, 0, 1, 15, 16 };

	add(self, TT_DATA, 100, 0);
	if (few) {
		add(self, TT_DATA, 2 * PAGE + 1, 0);
		add(self, TT_DATA, TT_MAX, 0);
		return;
	}
	add(self, TT_DATA, 1, 0);
	for (int page = 1; page <= 3; page++)
		for (size_t i = 0; i < ARRAY_SIZE(near); i++)
			add(self, TT_DATA, page * PAGE + near[i], 0);
	for (int i = 0; i < 3; i++)
		add(self, TT_DATA, TT_MAX - i, 0);
}

static void *writes(void *arg)
{
	FIXTURE_DATA(fragmented) *self = arg;

	tt_write(self->peer, self->wire, self->wire_len);
	return NULL;
}

/* while they come, this task reads */
static void begin(FIXTURE_DATA(fragmented) *self)
{
	TT_MUST(!pthread_create(&self->writer, NULL, writes, self));
}

static bool end(FIXTURE_DATA(fragmented) *self)
{
	TT_MUST(!pthread_join(self->writer, NULL));
	return tt_diff(self->got, self->bytes, 0) == -1;
}

/* larger pieces were asked for, and refused */
#define EXPECT_FRAGMENTED() do {						\
	if (!variant->window)							\
		EXPECT_LT(self->refused, scarce_refused());		\
} while (0)

#define READ(how, ...) do {							\
	begin(self);								\
	for (size_t got = 0; got < self->bytes; ) {				\
		ssize_t r = how(self, got, ##__VA_ARGS__);			\
		ASSERT_LT(0, r) TH_LOG("at %zu of %zu: %s", got, self->bytes, strerror(errno)); \
		got += r;							\
	}									\
	ASSERT_TRUE(end(self));							\
} while (0)

static ssize_t by_recv(FIXTURE_DATA(fragmented) *self, size_t got, size_t most, int flags)
{
	size_t left = self->bytes - got;

	return recv(self->sk, self->got + got, left < most ? left : most, flags);
}

TEST_F(fragmented, recv)
{
	add_sizes(self, variant->window);
	READ(by_recv, ROOM, 0);
	EXPECT_FRAGMENTED();
}

TEST_F(fragmented, wait_for_all)
{
	add_sizes(self, variant->window);
	READ(by_recv, ROOM, MSG_WAITALL);
	EXPECT_FRAGMENTED();
}

TEST_F(fragmented, short_reads)
{
	add_sizes(self, variant->window);
	READ(by_recv, 1021, 0);
	EXPECT_FRAGMENTED();
}

static ssize_t by_peek(FIXTURE_DATA(fragmented) *self, size_t got)
{
	ssize_t n = recv(self->sk, self->got + got, self->bytes - got, MSG_PEEK), r;

	if (n <= 0 || tt_diff(self->got + got, n, got) != -1)
		return -1;
	/* half of it leaves a rest behind */
	r = recv(self->sk, self->got + got, n / 2 + 1, 0);
	return r == n / 2 + 1 ? r : -1;
}

TEST_F(fragmented, peek)
{
	add_sizes(self, variant->window);
	READ(by_peek);
	EXPECT_FRAGMENTED();
}

static ssize_t by_fionread(FIXTURE_DATA(fragmented) *self, size_t got)
{
	int n = 0;

	if (tt_poll(self->sk, POLLIN, 60000) != POLLIN || ioctl(self->sk, FIONREAD, &n) || n <= 0)
		return -1;
	return recv(self->sk, self->got + got, n, 0) == n ? n : -1;
}

TEST_F(fragmented, fionread)
{
	add_sizes(self, variant->window);
	READ(by_fionread);
	EXPECT_FRAGMENTED();
}

static ssize_t by_splice(FIXTURE_DATA(fragmented) *self, size_t got, const int p[2], size_t most)
{
	ssize_t n = splice(self->sk, NULL, p[1], NULL, most, 0);

	if (n > 0 && tt_read_pipe(p[0], self->got + got, n) != (size_t)n)
		return -1;
	return n;
}

TEST_F(fragmented, splice)
{
	int p[2];

	ASSERT_EQ(0, pipe(p));
	add_sizes(self, variant->window);
	READ(by_splice, p, ROOM);
	EXPECT_FRAGMENTED();
}

TEST_F(fragmented, splice_in_parts)
{
	int p[2];

	ASSERT_EQ(0, pipe(p));
	add_sizes(self, variant->window);
	READ(by_splice, p, 3001);
	EXPECT_FRAGMENTED();
}

/* the pipe has the pages when the buffer is long gone */
TEST_F(fragmented, splice_keeps)
{
	size_t got = 0;
	int p[2];

	ASSERT_EQ(0, pipe(p));
	add(self, TT_DATA, TT_MAX, 0);
	add(self, TT_DATA, TT_MAX, 0);
	add(self, TT_DATA, 10000, 0);
	begin(self);
	while (got < TT_MAX + 1000u) {
		ssize_t n = splice(self->sk, NULL, p[1], NULL, TT_MAX + 1000 - got, 0);

		ASSERT_LT(0, n);
		got += n;
	}
	ASSERT_EQ(self->bytes - got, tt_read(self->sk, self->got + got, self->bytes - got));
	ASSERT_EQ(got, tt_read_pipe(p[0], self->got, got));
	EXPECT_TRUE(end(self));
	EXPECT_FRAGMENTED();
}

static ssize_t by_read_sock(FIXTURE_DATA(fragmented) *self, size_t got, int dev, enum ku_actor actor)
{
	struct ku_call c = { .fd = self->sk, .op = KU_READ_SOCK, .buf = (uintptr_t)(self->got + got), .len = ROOM - got,
			     .actor = actor, .limit = 3001 };

	if (tt_poll(self->sk, POLLIN, 60000) != POLLIN || ioctl(dev, KU_CALL, &c))
		return -1;
	if (c.ret == -EAGAIN)
		return 0;
	if (c.ret > 0 && actor == KU_HOLD) {
		c.op = KU_HELD;
		if (ioctl(dev, KU_CALL, &c))
			return -1;
	}
	return c.ret;
}

static int kuser(void)
{
	int dev = open("/dev/tlsrec_kuser", O_RDWR);

	if (dev < 0 && !system("modprobe -q tlsrec_kuser"))
		for (int i = 0; i < 100 && dev < 0; i++, usleep(20000))
			dev = open("/dev/tlsrec_kuser", O_RDWR);
	return dev;
}

TEST_F(fragmented, read_sock)
{
	static const enum ku_actor actors[] = { KU_ALL, KU_PART, KU_HOLD };
	int dev = kuser();

	if (dev < 0)
		SKIP(return, "the module tlsrec_kuser is not there: %s", strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(actors); i++) {
		size_t from = self->bytes, got = from;

		self->wire_len = 0;
		add_sizes(self, variant->window);
		begin(self);
		while (got < self->bytes) {
			ssize_t r = by_read_sock(self, got, dev, actors[i]);

			ASSERT_LE(0, r) TH_LOG("actor %zu at %zu of %zu: %zd", i, got, self->bytes, r);
			got += r;
		}
		ASSERT_TRUE(end(self)) TH_LOG("actor %zu", i);
	}
	close(dev);
	EXPECT_FRAGMENTED();
}

/* the type and the end of the data are looked for from behind, over pages of zeros */
TEST_F(fragmented, padding)
{
	if (variant->version != TLS_1_3_VERSION)
		SKIP(return, "of TLS 1.3");
	for (int len = PAGE - 2; len <= PAGE + 2 && !variant->window; len++)
		for (size_t pad = 0; pad <= 3 * PAGE - 2; pad += PAGE / 2 - 1)
			add(self, TT_DATA, len, pad);
	add(self, TT_DATA, 1, TT_MAX - 1);
	add(self, TT_DATA, 0, TT_MAX);
	add(self, TT_DATA, TT_MAX, 0);
	READ(by_recv, ROOM, 0);
	EXPECT_FRAGMENTED();
}

TEST_F(fragmented, only_padding)
{
	struct tt_rec r = { .pad = TT_MAX };

	if (variant->version != TLS_1_3_VERSION)
		SKIP(return, "of TLS 1.3");
	add(self, TT_DATA, 10, 0);
	self->wire_len += tt_seal(&self->rx, &r, self->wire + self->wire_len);
	begin(self);
	ASSERT_EQ(10, recv(self->sk, self->got, ROOM, 0));
	EXPECT_ERR(EBADMSG, recv(self->sk, self->got + 10, ROOM, 0));
	EXPECT_TRUE(end(self));
}

TEST_F(fragmented, control)
{
	uint8_t type = 0;

	add(self, TT_ALERT, 10000, 0);
	begin(self);
	ASSERT_EQ(5000, tt_recv_type(self->sk, self->got, 5000, 0, &type, NULL));
	EXPECT_EQ(TT_ALERT, type);
	ASSERT_EQ(5000, tt_recv_type(self->sk, self->got + 5000, ROOM, 0, &type, NULL));
	EXPECT_EQ(TT_ALERT, type);
	EXPECT_TRUE(end(self));
	EXPECT_FRAGMENTED();
}

/* a KeyUpdate behind a ticket, around the end of a page */
TEST_F(fragmented, key_update)
{
	static uint8_t data[TT_MAX];
	struct tt_rec r = { .type = TT_HANDSHAKE, .data = data };
	uint8_t type = 0;

	if (variant->version != TLS_1_3_VERSION)
		SKIP(return, "of TLS 1.3");
	for (int before = 2 * PAGE - 6; before <= 2 * PAGE + 1; before++) {
		memset(data, 0, sizeof(data));
		data[0] = 4;
		data[2] = (before - 4) >> 8;
		data[3] = before - 4;
		memcpy(data + before, "\x18\0\0\1", 5);
		r.len = before + 5;
		self->wire_len = tt_seal(&self->rx, &r, self->wire);
		self->bytes = 0;
		begin(self);
		ASSERT_EQ(before + 5, tt_recv_type(self->sk, self->got, ROOM, 0, &type, NULL)) TH_LOG("%s", strerror(errno));
		EXPECT_EQ(TT_HANDSHAKE, type);
		EXPECT_EQ(0, memcmp(data, self->got, r.len));
		EXPECT_TRUE(end(self));
		EXPECT_ERR(EKEYEXPIRED, recv(self->sk, self->got, 1, MSG_DONTWAIT));
		self->rx = tt_key_make(variant->version, variant->cipher, before);
		ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &self->rx));
	}
	EXPECT_FRAGMENTED();
}

TEST_F(fragmented, bad_record)
{
	add(self, TT_DATA, 15000, 0);
	self->wire[self->wire_len / 2] ^= 1;
	begin(self);
	EXPECT_ERR(EBADMSG, recv(self->sk, self->got, ROOM, 0));
	EXPECT_TRUE(self->bytes && !pthread_join(self->writer, NULL));
	EXPECT_FRAGMENTED();
}

/* a byte at a time, taken by softirq: it never asks for more than a page, and the window moves on */
TEST_F(fragmented, softirq)
{
	uint64_t limit = tt_now_ms() + 60000;
	int queued = 1;

	if (!variant->window)
		SKIP(return, "of small windows");
	add(self, TT_DATA, TT_MAX, 0);
	tt_write(self->peer, self->wire, self->wire_len - 1);
	while (!ioctl(self->peer, TIOCOUTQ, &queued) && queued && tt_now_ms() < limit)
		usleep(1000);
	EXPECT_EQ(0, queued);
	EXPECT_EQ(0, tt_poll(self->sk, POLLIN, 0));
	EXPECT_EQ(self->refused, scarce_refused());
	EXPECT_EQ(0, scarce_refused_softirq());
	tt_write(self->peer, self->wire + self->wire_len - 1, 1);
	EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 60000));
	EXPECT_EQ(TT_MAX, recv(self->sk, self->got, ROOM, 0));
	EXPECT_BYTES(self->got, TT_MAX, 0);
}

TEST_HARNESS_MAIN
