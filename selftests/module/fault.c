// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Fault injection: each allocation (and each copy from or to user memory) of each operation fails once. The operation may
 * fail, but what it counted is on the wire or in the buffer, the rest is not, and what can go on goes on. Needs a kernel with
 * CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC and CONFIG_FAULT_INJECTION_DEBUG_FS: the rig's debug kernel. Leaks are looked
 * for by kmemleak at the end.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>

FIXTURE(fault)
{
	struct tt_opened *o;
};

FIXTURE_VARIANT(fault)
{
	TT_VARIANT_FIELDS;
};

TT_VARIANT(fault, tls12_gcm128_ip4, TT_IP4, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128);
TT_VARIANT(fault, tls13_gcm256_ip6, TT_IP6, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256);
TT_VARIANT(fault, tls13_chacha20_mapped, TT_MAPPED, TLS_1_3_VERSION, TLS_CIPHER_CHACHA20_POLY1305);

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), ok;

	if (fd < 0)
		return -1;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok ? 0 : -1;
}

static int nth_fd = -1;

FIXTURE_SETUP(fault)
{
	const char *dirs[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	char path[100];

	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR);
	if (nth_fd < 0 || access("/sys/kernel/debug/failslab", F_OK))
		SKIP(return, "this kernel has no fault injection: it is for the debug kernel");
	for (int i = 0; i < 3; i++) {
		/* allocations that may sleep fail as well, of any size, without a trace in the log for each */
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/ignore-gfp-wait", dirs[i]);
		put(path, "N");
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/min-order", dirs[i]);
		put(path, "0");
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/ignore-gfp-highmem", dirs[i]);
		put(path, "N");
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/verbose", dirs[i]);
		put(path, "0");
	}
	self->o = malloc(sizeof(*self->o));
}

FIXTURE_TEARDOWN(fault)
{
	free(self->o);
	close(nth_fd);
}

#define MOST 400

/* make the key twice, once for each end */
#define KEYS()									\
	struct tt_key tx = tt_key_make(variant->version, variant->cipher, 1), rx = tt_key_make(variant->version, variant->cipher, 2)

/* CVE-2026-52974: set-up fails half way, is tried again, and works */
TEST_F(fault, setsockopt)
{
	int faults = 0;

	for (int step = 0; step < 3; step++)
	for (int n = 1; n < MOST; n++) {
		KEYS();
		int fd[2], r;
		bool hit;
		char b[5];

		tt_tcp_pair(variant->family, fd);
		if (step > 0) {
			ASSERT_EQ(0, tt_ulp(fd[0]));
		}
		tt_fault_arm(nth_fd, n);
		r = step == 0 ? tt_ulp(fd[0]) : tt_key_set(fd[0], step == 1 ? TLS_TX : TLS_RX, step == 1 ? &tx : &rx);
		hit = tt_fault_hit(nth_fd);
		faults += hit;
		if (r) {
			EXPECT_TRUE(hit);
			EXPECT_EQ(0, step == 0 ? tt_ulp(fd[0]) : tt_key_set(fd[0], step == 1 ? TLS_TX : TLS_RX, step == 1 ? &tx : &rx))
				TH_LOG("step %d, fault %d: %s at the second try", step, n, strerror(errno));
		}
		if (step == 0) {
			ASSERT_EQ(0, tt_key_set(fd[0], TLS_TX, &tx));
		}
		tt_install(fd[1], step == 2 ? &rx : NULL, step == 2 ? NULL : &tx);
		ASSERT_EQ(5, send(fd[step == 2], "hello", 5, 0));
		ASSERT_EQ(5, tt_read(fd[step != 2], b, 5));
		close(fd[0]);
		close(fd[1]);
		if (!hit)
			break;
	}
	EXPECT_LT(2, faults);
}

/* A record goes through in the direction, under the key. */
static bool passes(int dir, const int *fd, struct tt_key *k, struct tt_opened *o)
{
	char b[5];

	if (dir == TLS_TX)
		return send(fd[0], "hello", 5, 0) == 5 && tt_recv_rec(fd[1], k, o) == 1;
	tt_send_data(fd[1], k, TT_DATA, "hello", 5);
	return recv(fd[0], b, 5, 0) == 5;
}

/*
 * A key update, or a first key of any of the ciphers, that fails half way: the key in use stays in use, with its sequence
 * number; what was not counted as done can be done again.
 */
TEST_F(fault, rekey)
{
	int faults = 0;

	if (variant->version != TLS_1_3_VERSION || variant->cipher != TLS_CIPHER_AES_GCM_256)
		SKIP(return, "of TLS 1.3, for all ciphers at once");
	for (int c = 0; c < TT_CIPHERS; c++)
	for (int dir = TLS_TX; dir <= TLS_RX; dir++)
	for (int n = 1; n < MOST; n++) {
		uint16_t cipher = tt_ciphers[c].type;
		struct tt_key old = tt_key_make(variant->version, cipher, 1), next = tt_key_make(variant->version, cipher, 2), got, k;
		int fd[2], r;
		bool hit;

		if (tt_ciphers[c].tls12_only || tt_cipher_refused(variant->version, cipher) == ENOENT)
			break;
		tt_tcp_pair(variant->family, fd);
		tt_install(fd[0], dir == TLS_TX ? &old : NULL, dir == TLS_RX ? &old : NULL);
		k = old;
		/* one record under the old key, so that its sequence number is not that of the new one */
		ASSERT_TRUE(passes(dir, fd, &k, self->o));
		tt_fault_arm(nth_fd, n);
		r = tt_key_set(fd[0], dir, &next);
		hit = tt_fault_hit(nth_fd);
		faults += hit;
		ASSERT_EQ(0, tt_key_get(fd[0], dir, &old, &got));
		if (r) {
			EXPECT_TRUE(hit);
			EXPECT_EQ(0, memcmp(got.key, old.key, tt_ciphers[c].key));
			EXPECT_EQ(1, got.seq);
			ASSERT_TRUE(passes(dir, fd, &k, self->o));
			ASSERT_EQ(0, tt_key_set(fd[0], dir, &next));
		} else {
			EXPECT_EQ(0, memcmp(got.key, next.key, tt_ciphers[c].key));
			EXPECT_EQ(0, got.seq);
		}
		ASSERT_TRUE(passes(dir, fd, &next, self->o));
		close(fd[0]);
		close(fd[1]);
		if (!hit)
			break;
	}
	EXPECT_LT(6, faults);
	TH_LOG("%d faults", faults);
}

/* The reader that takes the KeyUpdate fails: it is there still, and the key is missing only once. */
TEST_F(fault, recv_key_update)
{
	static const uint8_t msg[205] = { 4, 0, 0, 196, [200] = 24, 0, 0, 1, 0 };

	if (variant->version != TLS_1_3_VERSION)
		SKIP(return, "of TLS 1.3");
	for (int how = 0; how < 3; how++)
	for (int n = 1; n < MOST; n++) {
		KEYS();
		struct tt_key k = rx, next = tt_key_make(variant->version, variant->cipher, 9);
		uint8_t buf[300], type = 0;
		int fd[2], p[2];
		uint64_t base;
		ssize_t r;
		bool hit;

		ASSERT_EQ(0, pipe(p));
		tt_tcp_pair(variant->family, fd);
		base = tt_bytes_received(fd[0]);
		tt_install(fd[0], &tx, &rx);
		/* the update is in the second record, behind most of a ticket */
		tt_send_data(fd[1], &k, TT_HANDSHAKE, msg, 100);
		tt_send_data(fd[1], &k, TT_HANDSHAKE, msg + 100, 105);
		tt_send_data(fd[1], &next, TT_DATA, "hello", 5);
		tt_wait_received(fd[0], base + 210 + 3 * tt_overhead(&k));
		ASSERT_EQ(100, tt_recv_type(fd[0], buf, sizeof(buf), 0, &type, NULL));
		tt_fault_arm(nth_fd, n);
		if (how == 0)
			r = tt_recv_type(fd[0], buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT, &type, NULL);
		else if (how == 1)
			r = tt_recv_type(fd[0], buf, 1, MSG_DONTWAIT, &type, NULL);
		else
			r = splice(fd[0], NULL, p[1], NULL, 100, SPLICE_F_NONBLOCK);
		hit = tt_fault_hit(nth_fd);
		r = how == 1 && r == 1;
		ASSERT_EQ(105 - r, tt_recv_type(fd[0], buf, sizeof(buf), 0, &type, NULL)) TH_LOG("how %d fault %d: %s", how, n, strerror(errno));
		EXPECT_EQ(TT_HANDSHAKE, type);
		EXPECT_EQ(0, memcmp(buf, msg + 100 + r, 105 - r));
		EXPECT_ERR(EKEYEXPIRED, recv(fd[0], buf, sizeof(buf), 0));
		next.seq = 0;
		ASSERT_EQ(0, tt_key_set(fd[0], TLS_RX, &next));
		ASSERT_EQ(5, recv(fd[0], buf, sizeof(buf), 0));
		close(fd[0]);
		close(fd[1]);
		close(p[0]);
		close(p[1]);
		if (!hit)
			break;
	}
}

enum { SEND_SMALL, SEND_PIECES, SEND_LARGE, SEND_MORE, SEND_CONTROL, SENDFILE, SPLICE, SPLICE_MORE, SEND_UNEVEN, N_SEND };

/* Bytes that are in the record already. */
static size_t lead(int how)
{
	return how == SEND_MORE || how == SPLICE_MORE ? 50 : how == SEND_UNEVEN ? 1024 : 0;
}

/*
 * The open record has room for so many bytes that it ends off a cipher block, and what is behind it in memory is another
 * socket's.
 */
static void make_uneven(const int *fd, const int *other)
{
	uint8_t *bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	TT_MUST(bad != MAP_FAILED);
	TT_MUST(send(fd[0], bad, 3001, 0) < 0 && errno == EFAULT);
	TT_MUST(send(other[0], "x", 1, 0) == 1);
	munmap(bad, 4096);
}

/* what was counted came, the rest did not, nothing is wrong, and the stream goes on */
TEST_F(fault, send)
{
	uint8_t *data = malloc(70000);
	int file = memfd_create("fault", 0), faults = 0, other[2];
	cpu_set_t one;
	KEYS();

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(one), &one));
	tt_tcp_pair(variant->family, other);
	tt_install(other[0], &tx, &rx);
	tt_fill(data, 70000, 0);
	ASSERT_EQ(70000, write(file, data, 70000));
	for (int how = 0; how < N_SEND; how++)
	for (int n = 1; n < MOST; n++) {
		struct iovec iov[2] = { { data, 4000 }, { data + 4000, 6000 } };
		struct timeval tv = { .tv_sec = 5 };
		struct tt_key k = tx;
		off_t off = 0;
		size_t want = how == SEND_SMALL || how == SEND_MORE || how == SEND_CONTROL ? 100 : how == SEND_LARGE ? 40000 :
			      how == SEND_PIECES || how == SEND_UNEVEN ? 10000 : 20000, got = 0, dotted = 0;
		uint8_t type = how == SEND_CONTROL ? TT_HANDSHAKE : TT_DATA;
		int fd[2], p[2];
		ssize_t r, tail;
		bool hit, end = false;

		ASSERT_EQ(0, pipe(p));
		tt_tcp_pair(variant->family, fd);
		ASSERT_EQ(0, setsockopt(fd[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
		tt_install(fd[0], &tx, &rx);
		if (how == SPLICE || how == SPLICE_MORE) {
			ASSERT_EQ(want, write(p[1], data, want));
		}
		if (lead(how)) {
			/* not the record's first bytes */
			uint8_t dots[1024];

			memset(dots, '.', sizeof(dots));
			ASSERT_EQ(lead(how), send(fd[0], dots, lead(how), MSG_MORE));
		}
		if (how == SEND_UNEVEN)
			make_uneven(fd, other);
		tt_fault_arm(nth_fd, n);
		switch (how) {
		case SENDFILE:
			r = sendfile(fd[0], file, &off, want);
			break;
		case SPLICE:
			r = splice(p[0], NULL, fd[0], NULL, want, 0);
			break;
		case SPLICE_MORE:
			r = splice(p[0], NULL, fd[0], NULL, want, SPLICE_F_MORE);
			break;
		case SEND_CONTROL:
			r = tt_send_type(fd[0], type, data, want, MSG_NOSIGNAL);
			break;
		case SEND_PIECES:
			r = writev(fd[0], iov, 2);
			break;
		default:
			r = send(fd[0], data, want, MSG_NOSIGNAL | (how == SEND_MORE ? MSG_MORE : 0));
		}
		hit = tt_fault_hit(nth_fd);
		faults += hit;
		if (r < 0) {
			EXPECT_TRUE(hit) TH_LOG("%s without a fault", strerror(errno));
		}
		/* a mark that ends the stream */
		tail = send(fd[0], "THE TAIL", 8, MSG_NOSIGNAL);
		EXPECT_EQ(8, tail) TH_LOG("how %d fault %d: %s", how, n, strerror(errno));
		shutdown(fd[0], SHUT_WR);
		/* control records and data are checked as one stream: the type says where each belongs */
		while (!end) {
			int ok = tt_recv_rec(fd[1], &k, self->o);
			size_t skip = 0, len;

			ASSERT_LE(0, ok) TH_LOG("how %d fault %d: a record does not open", how, n);
			if (!ok)
				break;
			len = self->o->len;
			while (dotted < lead(how) && skip < len) {
				ASSERT_EQ('.', self->o->data[skip]);
				skip++;
				dotted++;
			}
			if (len >= 8 && !memcmp(self->o->data + len - 8, "THE TAIL", 8)) {
				end = true;
				len -= 8;
			}
			if (len <= skip)
				continue;
			EXPECT_EQ(type, self->o->type);
			ASSERT_EQ(-1, tt_diff(self->o->data + skip, len - skip, got)) TH_LOG("how %d fault %d: wrong bytes", how, n);
			got += len - skip;
		}
		EXPECT_TRUE(end);
		EXPECT_EQ(r < 0 ? 0 : (size_t)r, got) TH_LOG("how %d fault %d: counted %zd, came %zu", how, n, r, got);
		close(fd[0]);
		close(fd[1]);
		close(p[0]);
		close(p[1]);
		if (!hit)
			break;
	}
	EXPECT_LT(20, faults);
	TH_LOG("%d faults", faults);
	close(other[0]);
	close(other[1]);
	free(data);
	close(file);
}

static int fragment_fd = -1;

/* Allocations of more than a page, by this task, always fail. */
static void fragment_init(void)
{
	const char *dir = "/sys/kernel/debug/fail_page_alloc/";
	const char *set[][2] = { { "task-filter", "Y" }, { "interval", "1" }, { "times", "-1" }, { "min-order", "1" }, { "probability", "100" } };
	char path[100];

	fragment_fd = open("/proc/thread-self/make-it-fail", O_WRONLY);
	TT_MUST(fragment_fd >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(set); i++) {
		snprintf(path, sizeof(path), "%s%s", dir, set[i][0]);
		TT_MUST(put(path, set[i][1]) == 0);
	}
}

static void fragment(bool on)
{
	TT_MUST(pwrite(fragment_fd, on ? "1" : "0", 1, 0) == 1);
}

/* No two pages of free memory are neighbours: slower, but nothing else. Nobody reads, so that no memory is used again. */
TEST_F(fault, fragmented_memory)
{
	size_t total = 2 << 20, sent = 0, got = 0;
	int file = memfd_create("fault", 0), size = 8 << 20, fd[2];
	uint8_t *data = malloc(total);
	struct timeval tv = { .tv_sec = 10 };
	uint64_t seed = 5;
	ssize_t r = 0;
	cpu_set_t cpu;
	KEYS();

	/* The pool is each processor's. */
	CPU_ZERO(&cpu);
	CPU_SET(0, &cpu);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpu), &cpu));
	tt_fill(data, total, 0);
	ASSERT_EQ(total, write(file, data, total));
	tt_tcp_pair(variant->family, fd);
	ASSERT_EQ(0, setsockopt(fd[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)));
	ASSERT_EQ(0, setsockopt(fd[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	tt_install(fd[0], &tx, &rx);
	/* What a call needs besides is there, and is used again. */
	ASSERT_EQ(100, send(fd[0], data, 100, 0));
	ASSERT_EQ(100, sendfile(fd[0], file, (off_t[]){ 100 }, 100));
	sent = 200;
	fragment_init();
	fragment(true);
	while (sent < total) {
		size_t len = 1 + tt_rand(&seed) % (sent % 3 ? 3200 : 40000);
		off_t off = sent;

		if (len > total - sent)
			len = total - sent;
		r = tt_rand(&seed) % 4 ? send(fd[0], data + sent, len, MSG_NOSIGNAL) : sendfile(fd[0], file, &off, len);
		if (r != (ssize_t)len)
			break;
		sent += r;
	}
	fragment(false);
	EXPECT_EQ(total, sent) TH_LOG("after %zu bytes: %zd, %s", sent, r, strerror(errno));
	for (; got < sent; got += self->o->len) {
		ASSERT_EQ(1, tt_recv_rec(fd[1], &tx, self->o));
		ASSERT_EQ(-1, tt_diff(self->o->data, self->o->len, got));
	}
	EXPECT_EQ(sent, got);
	ASSERT_EQ(0, put("/sys/kernel/debug/fail_page_alloc/probability", "0"));
	close(fragment_fd);
	close(fd[0]);
	close(fd[1]);
	close(file);
	free(data);
}

enum { RECV_WHOLE, RECV_PART, RECV_TWO, RECV_PEEK, RECV_CONTROL, RECV_SPLICE, RECV_SMALL_WINDOW, N_RECV };

/* CVE-2025-38018 and its like: after the fault everything can still be read, or the error stays */
TEST_F(fault, recv)
{
	uint8_t *data = malloc(40000), *buf = malloc(40000);
	int faults = 0, broken = 0;

	for (int how = 0; how < N_RECV; how++)
	for (int n = 1; n < MOST; n++) {
		KEYS();
		struct tt_key k = rx;
		size_t total = how == RECV_SMALL_WINDOW ? 2000 : 16384 + 3000, got = 0;
		uint8_t type = how == RECV_CONTROL ? TT_HANDSHAKE : TT_DATA, t = 0;
		int fd[2], p[2];
		uint64_t base;
		ssize_t r = -1;
		bool hit;

		ASSERT_EQ(0, pipe(p));
		tt_tcp_pair(variant->family, fd);
		base = tt_bytes_received(fd[0]);
		tt_install(fd[0], &tx, &rx);
		if (how == RECV_SMALL_WINDOW)
			tt_sockopt(fd[0], SOL_SOCKET, SO_RCVBUF, 1);
		tt_fill(data, total, 0);
		if (how == RECV_SMALL_WINDOW) {
			tt_send_data(fd[1], &k, type, data, total);
		} else {
			tt_send_data(fd[1], &k, type, data, 16384);
			tt_send_data(fd[1], &k, type, data + 16384, 3000);
			tt_wait_received(fd[0], base + total + 2 * tt_overhead(&k));
		}
		memset(buf, 0x5a, 40000);
		tt_poll(fd[0], POLLIN, 10000);
		tt_fault_arm(nth_fd, n);
		switch (how) {
		case RECV_PART:
			r = recv(fd[0], buf, 1000, MSG_DONTWAIT);
			break;
		case RECV_PEEK:
			r = recv(fd[0], buf, 20000, MSG_PEEK | MSG_DONTWAIT);
			break;
		case RECV_CONTROL:
			r = tt_recv_type(fd[0], buf, 20000, MSG_DONTWAIT, &t, NULL);
			break;
		case RECV_SPLICE:
			r = splice(fd[0], NULL, p[1], NULL, 20000, SPLICE_F_NONBLOCK);
			break;
		case RECV_WHOLE:
			r = recv(fd[0], buf, 16384, MSG_DONTWAIT);
			break;
		default:
			r = recv(fd[0], buf, 40000, MSG_DONTWAIT);
		}
		hit = tt_fault_hit(nth_fd);
		faults += hit;
		if (r > 0) {
			if (how == RECV_SPLICE) {
				ASSERT_EQ(r, tt_read_pipe(p[0], buf, r));
			}
			ASSERT_EQ(-1, tt_diff(buf, r, 0)) TH_LOG("how %d fault %d: wrong bytes", how, n);
			got = how == RECV_PEEK ? 0 : r;
		} else {
			EXPECT_EQ(-1, r) TH_LOG("how %d fault %d: looks like the end", how, n);
			EXPECT_TRUE(hit || errno == EAGAIN);
		}
		shutdown(fd[1], SHUT_WR);
		while (got < total) {
			r = tt_recv_type(fd[0], buf, 40000, 0, &t, NULL);
			if (r <= 0)
				break;
			EXPECT_EQ(type, t);
			ASSERT_EQ(-1, tt_diff(buf, r, got)) TH_LOG("how %d fault %d: wrong bytes behind it", how, n);
			got += r;
		}
		if (got < total) {
			EXPECT_TRUE(hit);
			EXPECT_EQ(-1, r) TH_LOG("how %d fault %d: %zu of %zu bytes and then the end", how, n, got, total);
			EXPECT_EQ(EBADMSG, errno) TH_LOG("how %d fault %d: %s", how, n, strerror(errno));
			EXPECT_ERR(EBADMSG, recv(fd[0], buf, 40000, 0));
			broken++;
		}
		close(fd[0]);
		close(fd[1]);
		close(p[0]);
		close(p[1]);
		if (!hit)
			break;
	}
	EXPECT_LT(10, faults);
	TH_LOG("%d faults, %d streams given up", faults, broken);
	free(data);
	free(buf);
}

/* the end cannot fail, whatever is still to be sent or read */
TEST_F(fault, close)
{
	static uint8_t big[100000];

	for (int load = 0; load < 4; load++)
	for (int n = 1; n < MOST; n++) {
		KEYS();
		struct tt_key k = rx;
		int fd[2];
		bool hit;

		tt_tcp_pair(variant->family, fd);
		tt_sockopt(fd[0], SOL_SOCKET, SO_SNDBUF, 20000);
		tt_install(fd[0], &tx, &rx);
		tt_send_data(fd[1], &k, TT_DATA, big, 1000);
		if (load & 1)
			send(fd[0], "held", 4, MSG_MORE);
		if (load & 2)
			while (send(fd[0], big, sizeof(big), MSG_DONTWAIT) > 0)
				;
		tt_poll(fd[0], POLLIN, 10000);
		recv(fd[0], big, 10, MSG_DONTWAIT);
		tt_fault_arm(nth_fd, n);
		if (load == 1)
			shutdown(fd[0], SHUT_WR);
		close(fd[0]);
		hit = tt_fault_hit(nth_fd);
		close(fd[1]);
		if (!hit)
			break;
	}
}

/*
 * A parked direction that gets no memory for its cipher: that is all it says, nothing was taken from the program or is lost of
 * what has come, and the next call goes on.
 */
TEST_F(fault, wake)
{
	enum { SOCKETS = 60 };
	struct {
		int fd[2];
		struct tt_key tx, rx;
	} s[SOCKETS];
	uint64_t end = tt_now_ms() + 100000;
	int n, nomem[2] = { 0, 0 };
	bool hit[3] = { true, true, true };
	char buf[100];
	ssize_t r;

	if (tt_netns())
		SKIP(return, "no network namespaces here");
	for (n = 0; n < SOCKETS; n++) {
		s[n].tx = tt_key_make(variant->version, variant->cipher, 1);
		s[n].rx = tt_key_make(variant->version, variant->cipher, 2);
		tt_tcp_pair(variant->family, s[n].fd);
		tt_install(s[n].fd[0], &s[n].tx, &s[n].rx);
	}
	/* a counter that is not there is an in-tree module */
	while (tt_counter("TlsrecParked") >= 0 && tt_counter("TlsrecParked") < 2 * SOCKETS && tt_now_ms() < end)
		usleep(100000);
	if (tt_counter("TlsrecParked") < 0)
		SKIP(return, "of tlsrec only");
	ASSERT_EQ(2 * SOCKETS, tt_counter("TlsrecParked"));
	for (n = 0; n < SOCKETS && (hit[0] || hit[1] || hit[2]); n++) {
		int *fd = s[n].fd;

		/* a message of one record tries again by itself, unless it has a flag like this one */
		tt_fault_arm(nth_fd, n / 2 + 1);
		r = send(fd[0], "hello", 5, MSG_DONTWAIT | (n % 2 ? MSG_EOR : 0));
		hit[n % 2] = tt_fault_hit(nth_fd);
		if (r < 0) {
			EXPECT_TRUE(hit[n % 2]);
			EXPECT_TRUE(errno == ENOMEM || errno == EAGAIN || errno == EFAULT)
				TH_LOG("fault %d: %s", n / 2 + 1, strerror(errno));
			nomem[0] += errno == EAGAIN;
		}
		/* if TCP had no memory for the first, then this brings it */
		ASSERT_EQ(6, send(fd[0], "behind", 6, 0)) TH_LOG("fault %d: %s", n / 2 + 1, strerror(errno));
		if (r >= 0) {
			ASSERT_EQ(5, r);
			ASSERT_EQ(1, tt_recv_rec(fd[1], &s[n].tx, self->o));
			EXPECT_EQ(0, memcmp("hello", self->o->data, 5));
		}
		ASSERT_EQ(1, tt_recv_rec(fd[1], &s[n].tx, self->o));
		EXPECT_EQ(6u, self->o->len);
		EXPECT_EQ(0, memcmp("behind", self->o->data, 6));

		tt_send_data(fd[1], &s[n].rx, TT_DATA, "hello", 5);
		ASSERT_EQ(POLLIN, tt_poll(fd[0], POLLIN, 10000));
		tt_fault_arm(nth_fd, n / 2 + 1);
		r = recv(fd[0], buf, sizeof(buf), 0);
		hit[2] = tt_fault_hit(nth_fd);
		if (r < 0) {
			EXPECT_TRUE(hit[2]);
			EXPECT_TRUE(errno == ENOMEM || errno == EFAULT) TH_LOG("fault %d: %s", n / 2 + 1, strerror(errno));
			nomem[1] += errno == ENOMEM;
			EXPECT_EQ(POLLIN, tt_poll(fd[0], POLLIN, 0));
			r = recv(fd[0], buf, sizeof(buf), 0);
		}
		ASSERT_EQ(5, r) TH_LOG("fault %d: %s", n / 2 + 1, strerror(errno));
		EXPECT_EQ(0, memcmp("hello", buf, 5));
	}
	EXPECT_LT(n, SOCKETS);
	EXPECT_LT(0, nomem[0]);
	EXPECT_LT(0, nomem[1]);
	TH_LOG("no memory: sender %d times, receiver %d times", nomem[0], nomem[1]);
	for (n = 0; n < SOCKETS; n++) {
		close(s[n].fd[0]);
		close(s[n].fd[1]);
	}
}

TEST_F(fault, getsockopt)
{
	for (int n = 1; n < MOST; n++) {
		KEYS();
		struct tt_key got;
		int fd[2];
		bool hit;

		tt_tcp_pair(variant->family, fd);
		tt_install(fd[0], &tx, &rx);
		tt_fault_arm(nth_fd, n);
		tt_key_get(fd[0], TLS_TX, &tx, &got);
		tt_key_get(fd[0], TLS_RX, &rx, &got);
		hit = tt_fault_hit(nth_fd);
		ASSERT_EQ(0, tt_key_get(fd[0], TLS_TX, &tx, &got));
		EXPECT_EQ(0, memcmp(got.key, tx.key, 16));
		close(fd[0]);
		close(fd[1]);
		if (!hit)
			break;
	}
}

/* a fixture of its own, so that it runs last: what all of the above left behind */
FIXTURE(leaks)
{
	int unused;
};

FIXTURE_SETUP(leaks)
{
}

FIXTURE_TEARDOWN(leaks)
{
}

TEST_F(leaks, none)
{
	static char report[65536];
	const char *path = "/sys/kernel/debug/kmemleak";
	ssize_t n = 0;
	int fd;

	if (access(path, F_OK))
		SKIP(return, "no kmemleak here");
	/* an object must be some seconds old, and not be found by two scans */
	sleep(7);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, put(path, "scan"));
		sleep(1);
	}
	fd = open(path, O_RDONLY);
	ASSERT_LE(0, fd);
	while (n < (ssize_t)sizeof(report) - 1) {
		ssize_t r = read(fd, report + n, sizeof(report) - 1 - n);

		if (r <= 0)
			break;
		n += r;
	}
	close(fd);
	if (strstr(report, "tlsrec"))
		fprintf(stderr, "%s\n", report);
	EXPECT_EQ(NULL, strstr(report, "tlsrec"));
}

TEST_HARNESS_MAIN
