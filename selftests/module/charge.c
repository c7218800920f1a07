// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What stays with a socket beyond a call is charged to the memory cgroup that the socket belongs to, and given back to the last
 * byte. What can still be refused goes no further than the limit. In a cgroup of its own: where there is no cgroup2 with memory, it cannot run.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define TOP "/tmp/tlsrec-cgroup2"

/* the one end, in the cgroup, has keys for both directions; the other is bare TCP and outside */
struct conn {
	int sk, peer;
	struct tt_key tx, rx;
	uint64_t sent;
};

FIXTURE(charge)
{
	struct conn *conn;
	int n;
	struct tt_opened *o;
	uint8_t *buf;
};

/* n: connections with an open record each, in so many MiB; many of them take a minute */
FIXTURE_VARIANT(charge)
{
	TT_VARIANT_FIELDS;
	int n, mib;
};

#define VARIANT(name, fam, ver, connections, limit) \
	FIXTURE_VARIANT_ADD(charge, name) \
	{ .family = fam, .version = ver, .cipher = TLS_CIPHER_AES_GCM_128, .n = connections, .mib = limit }

VARIANT(tls12_gcm128_ip6, TT_IP6, TLS_1_2_VERSION, 1000, 12);
VARIANT(tls13_gcm128_ip4, TT_IP4, TLS_1_3_VERSION, 5000, 64);

/* a file of this test's cgroup */
static const char *in_cgroup(const char *name)
{
	static char path[100];

	snprintf(path, sizeof(path), TOP "/charge-%d/%s", getpid(), name);
	return path;
}

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

static long memory_current(void)
{
	FILE *f = fopen(in_cgroup("memory.current"), "r");
	long n = -1;

	TT_MUST(f && fscanf(f, "%ld", &n) == 1);
	fclose(f);
	return n;
}

/* bytes charged to the cgroup for sockets, as of a moment ago */
static long charged(void)
{
	FILE *f = fopen(in_cgroup("memory.stat"), "r");
	char line[100];
	long n = -1;

	TT_MUST(f);
	while (n < 0 && fgets(line, sizeof(line), f))
		sscanf(line, "sock %ld", &n);
	fclose(f);
	TT_MUST(n >= 0);
	return n;
}

/* the kernel sums up what its processors know only now and then */
static bool wait_charged(long min, long max)
{
	uint64_t end = tt_now_ms() + 20000;
	long n;

	while (n = charged(), n < min || n > max) {
		if (tt_now_ms() > end) {
			fprintf(stderr, "# %ld bytes are charged, not %ld to %ld\n", n, min, max);
			return false;
		}
		usleep(50000);
	}
	return true;
}

FIXTURE_SETUP(charge)
{
	struct rlimit files = { 20000, 20000 };

	if (strcmp(tt_ulp_name(), "tlsrec"))
		SKIP(return, "of tlsrec only");
	mkdir(TOP, 0700);
	if (access(TOP "/cgroup.procs", F_OK) && mount("none", TOP, "cgroup2", 0, NULL))
		SKIP(return, "no cgroup2 here: %s", strerror(errno));
	if (!put(TOP "/cgroup.subtree_control", "+memory"))
		SKIP(return, "no memory controller in cgroup2");
	ASSERT_TRUE(!mkdir(in_cgroup(""), 0700));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	self->o = malloc(sizeof(*self->o));
	self->buf = malloc(1 << 20);
}

/* whose sockets are closed and whose peers have nothing to say any more is charged for nothing */
static bool all_close(FIXTURE_DATA(charge) *self)
{
	for (int i = 0; i < self->n; i++) {
		close(self->conn[i].peer);
		close(self->conn[i].sk);
	}
	self->n = 0;
	return wait_charged(0, 0);
}

FIXTURE_TEARDOWN(charge)
{
	put(in_cgroup("memory.max"), "max");
	all_close(self);
	rmdir(in_cgroup(""));
	free(self->conn);
	free(self->o);
	free(self->buf);
}

/* @n connections; send buffer and receive buffer as small as they can be, when @small */
static void connections(FIXTURE_DATA(charge) *self, const FIXTURE_VARIANT(charge) *variant, int n, bool small)
{
	int domain = variant->family == TT_IP4 ? AF_INET : AF_INET6;
	struct sockaddr_storage addr;
	socklen_t len;
	int listener = tt_listener(variant->family, &addr, &len);

	/* with segments as large as lo has them TCP would wait long for such a window to open */
	if (small)
		tt_sockopt(listener, IPPROTO_TCP, TCP_MAXSEG, 1000);
	self->conn = calloc(n, sizeof(*self->conn));
	TT_MUST(self->conn);
	/* a socket belongs to the cgroup of who makes it */
	TT_MUST(put(in_cgroup("cgroup.procs"), "0"));
	for (; self->n < n; self->n++)
		TT_MUST((self->conn[self->n].sk = socket(domain, SOCK_STREAM, 0)) >= 0);
	TT_MUST(put(TOP "/cgroup.procs", "0"));
	for (struct conn *c = self->conn; c < self->conn + n; c++) {
		if (small) {
			tt_sockopt(c->sk, IPPROTO_TCP, TCP_MAXSEG, 1000);
			tt_sockopt(c->sk, SOL_SOCKET, SO_SNDBUF, 1);
			tt_sockopt(c->sk, SOL_SOCKET, SO_RCVBUF, 8000);
		}
		TT_MUST(!connect(c->sk, (struct sockaddr *)&addr, len));
		TT_MUST((c->peer = accept(listener, NULL, NULL)) >= 0);
		if (small)
			tt_sockopt(c->peer, SOL_SOCKET, SO_RCVBUF, 20000);
		tt_sockopt(c->sk, IPPROTO_TCP, TCP_NODELAY, 1);
		c->tx = tt_key_make(variant->version, variant->cipher, 1);
		c->rx = tt_key_make(variant->version, variant->cipher, 2);
		tt_install(c->sk, &c->tx, &c->rx);
	}
	close(listener);
}

static ssize_t sends(FIXTURE_DATA(charge) *self, struct conn *c, size_t len, int flags)
{
	ssize_t n;

	tt_fill(self->buf, len, c->sent);
	n = send(c->sk, self->buf, len, flags);
	if (n > 0)
		c->sent += n;
	return n;
}

/* all that was counted comes, and is right */
static bool peer_gets(FIXTURE_DATA(charge) *self, struct conn *c)
{
	for (uint64_t got = 0; got < c->sent; got += self->o->len)
		if (tt_recv_rec(c->peer, &c->tx, self->o) != 1 || self->o->type != TT_DATA || got + self->o->len > c->sent ||
		    tt_diff(self->o->data, self->o->len, got) != -1)
			return false;
	return true;
}

static bool is_refusal(int err)
{
	return err == EAGAIN || err == ENOMEM || err == ENOBUFS;
}

/* records that are not complete, of more connections than the cgroup has memory for */
TEST_F(charge, open_records)
{
	enum { LEN = 16000 };
	int n = 0, refused = 0;
	long max = (long)variant->mib << 20;
	char limit[20];

	connections(self, variant, variant->n, false);
	snprintf(limit, sizeof(limit), "%ld", max);
	ASSERT_TRUE(put(in_cgroup("memory.max"), limit));
	for (struct conn *c = self->conn; c < self->conn + self->n; c++) {
		if (sends(self, c, LEN, MSG_MORE | MSG_DONTWAIT) == LEN)
			n++;
		else if (is_refusal(errno))
			refused++;
		else
			break;
	}
	TH_LOG("%d open records", n);
	EXPECT_EQ(self->n, n + refused) TH_LOG("%s", strerror(errno));
	EXPECT_LT(100, n);
	EXPECT_LT(0, refused);
	EXPECT_GE(max, memory_current());
	EXPECT_TRUE(wait_charged((long)n * LEN, max));
	/* all of them go on, when there is memory */
	ASSERT_TRUE(put(in_cgroup("memory.max"), "max"));
	for (struct conn *c = self->conn; c < self->conn + self->n; c++) {
		ASSERT_EQ(100, sends(self, c, 100, 0));
		ASSERT_TRUE(peer_gets(self, c)) TH_LOG("connection %d", (int)(c - self->conn));
	}
	EXPECT_TRUE(wait_charged(0, 1 << 20));
	EXPECT_TRUE(all_close(self));
}

/* one that waits goes on when there is memory */
TEST_F(charge, waits)
{
	struct timeval tv = { .tv_sec = 1 };
	struct conn *c;
	int n = 0;

	connections(self, variant, 2000, false);
	c = self->conn + self->n - 1;
	ASSERT_TRUE(put(in_cgroup("memory.max"), "24M"));
	for (struct conn *p = self->conn; p < c; p++)
		n += sends(self, p, 16000, MSG_MORE | MSG_DONTWAIT) == 16000;
	ASSERT_LT(n, self->n - 1);
	ASSERT_EQ(0, setsockopt(c->sk, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	EXPECT_ERR(EAGAIN, sends(self, c, 16000, MSG_MORE));
	for (struct conn *p = self->conn; p < self->conn + n; p++)
		close(p->sk), p->sk = -1;
	tv.tv_sec = 60;
	ASSERT_EQ(0, setsockopt(c->sk, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	ASSERT_EQ(16000, sends(self, c, 16000, MSG_MORE));
	ASSERT_EQ(10, sends(self, c, 10, 0));
	EXPECT_TRUE(peer_gets(self, c));
	EXPECT_TRUE(all_close(self));
}

/* a record that grows by small writes, and what it costs again when it is gone */
TEST_F(charge, one_record)
{
	struct conn *c;
	long before;

	connections(self, variant, 1, false);
	c = self->conn;
	for (int i = 0; i < 1000; i++)
		ASSERT_EQ(16, sends(self, c, 16, MSG_MORE));
	EXPECT_TRUE(wait_charged(16000, 200000));
	ASSERT_EQ(16, sends(self, c, 16, 0));
	EXPECT_TRUE(peer_gets(self, c));
	before = charged();
	ASSERT_EQ(16000, sends(self, c, 16000, MSG_MORE));
	EXPECT_TRUE(wait_charged(16000, 200000)) TH_LOG("%ld before", before);
	/* closed with all of it */
	EXPECT_TRUE(all_close(self));
}

/* the peers read nothing: what TCP does not take any more is charged like what it takes */
TEST_F(charge, sealed_records)
{
	enum { N = 4 };
	uint64_t kept = 0;

	connections(self, variant, N, true);
	for (struct conn *c = self->conn; c < self->conn + N; c++) {
		do {
			while (sends(self, c, 60000, MSG_DONTWAIT) > 0)
				;
			EXPECT_TRUE(is_refusal(errno));
		} while (tt_poll(c->sk, POLLOUT, 100));
		kept += c->sent - tt_bytes_received(c->peer);
	}
	EXPECT_TRUE(wait_charged(kept, LONG_MAX)) TH_LOG("%lu bytes are kept", (unsigned long)kept);
	for (struct conn *c = self->conn; c < self->conn + N; c++) {
		ASSERT_TRUE(peer_gets(self, c)) TH_LOG("connection %d", (int)(c - self->conn));
	}
	EXPECT_TRUE(wait_charged(0, N * 4096));
	EXPECT_TRUE(all_close(self));
}

/* records that the window has no room for, all but their last byte */
TEST_F(charge, partial_records)
{
	enum { N = 4 };
	struct tt_rec r = { .type = TT_DATA, .data = self->buf, .len = TT_MAX };
	uint8_t *wire = malloc(TT_REC_MAX);
	size_t len = 0;

	connections(self, variant, N, true);
	tt_fill(self->buf, TT_MAX, 0);
	for (struct conn *c = self->conn; c < self->conn + N; c++) {
		len = tt_seal(&c->rx, &r, wire);
		tt_write(c->peer, wire, len - 1);
	}
	for (struct conn *c = self->conn; c < self->conn + N; c++)
		tt_wait_received(c->sk, len - 1);
	EXPECT_TRUE(wait_charged((long)N * TT_MAX, LONG_MAX));
	for (struct conn *c = self->conn; c < self->conn + N; c++) {
		tt_write(c->peer, wire + len - 1, 1);
		ASSERT_EQ(TT_MAX, recv(c->sk, self->buf, TT_MAX, MSG_WAITALL));
		ASSERT_BYTES(self->buf, TT_MAX, 0);
	}
	EXPECT_TRUE(wait_charged(0, N * 4096));
	EXPECT_TRUE(all_close(self));
	free(wire);
}

/* records that were read in part, or looked at; closed like that */
TEST_F(charge, records_read_in_part)
{
	enum { N = 200 };

	connections(self, variant, N, false);
	tt_fill(self->buf, 2 * TT_MAX, 0);
	for (struct conn *c = self->conn; c < self->conn + N; c++) {
		tt_send_data(c->peer, &c->rx, TT_DATA, self->buf, TT_MAX);
		tt_send_data(c->peer, &c->rx, TT_DATA, self->buf + TT_MAX, TT_MAX);
	}
	for (struct conn *c = self->conn; c < self->conn + N; c++) {
		bool part = (c - self->conn) % 2;
		size_t n = part ? TT_MAX + 1 : TT_MAX;

		ASSERT_EQ(n, recv(c->sk, self->buf, n, MSG_WAITALL | (part ? 0 : MSG_PEEK)));
	}
	EXPECT_TRUE(wait_charged((long)N * TT_MAX, LONG_MAX));
	for (struct conn *c = self->conn; c < self->conn + N; c += 3) {
		size_t rest = (c - self->conn) % 2 ? TT_MAX - 1 : 2 * TT_MAX;

		ASSERT_EQ(rest, tt_read(c->sk, self->buf, rest));
		ASSERT_BYTES(self->buf, rest, 2 * TT_MAX - rest);
	}
	EXPECT_TRUE(all_close(self));
}

/* small records share memory: a peek keeps them, reads give it back in parts, and some are closed with theirs */
TEST_F(charge, small_records)
{
	enum { N = 20, RECORDS = 1000, LEN = 30 };
	enum { ALL = RECORDS * LEN, HALF = ALL / 2 + LEN / 2 };

	connections(self, variant, N, false);
	tt_fill(self->buf, ALL, 0);
	for (struct conn *c = self->conn; c < self->conn + N; c++)
		for (int i = 0; i < RECORDS; i++)
			tt_send_data(c->peer, &c->rx, TT_DATA, self->buf + i * LEN, LEN);
	for (struct conn *c = self->conn; c < self->conn + N; c++) {
		ASSERT_EQ(ALL, recv(c->sk, self->buf, ALL, MSG_PEEK | MSG_WAITALL));
		ASSERT_BYTES(self->buf, ALL, 0);
	}
	/* not a page for each of them */
	EXPECT_TRUE(wait_charged((long)N * ALL, (long)N * RECORDS * 256));
	for (struct conn *c = self->conn; c < self->conn + N; c++) {
		ASSERT_EQ(HALF, tt_read(c->sk, self->buf, HALF));
		ASSERT_BYTES(self->buf, HALF, 0);
	}
	EXPECT_TRUE(wait_charged((long)N * HALF, (long)N * RECORDS * 128));
	for (struct conn *c = self->conn; c < self->conn + N / 2; c++) {
		ASSERT_EQ(ALL - HALF, tt_read(c->sk, self->buf, ALL - HALF));
		ASSERT_BYTES(self->buf, ALL - HALF, HALF);
	}
	EXPECT_TRUE(wait_charged(0, (long)N / 2 * RECORDS * 128));
	EXPECT_TRUE(all_close(self));
}

static long memory_event(const char *name)
{
	FILE *f = fopen(in_cgroup("memory.events"), "r");
	char line[100], format[40];
	long n = -1;

	TT_MUST(f);
	snprintf(format, sizeof(format), "%s %%ld", name);
	while (n < 0 && fgets(line, sizeof(line), f))
		sscanf(line, format, &n);
	fclose(f);
	TT_MUST(n >= 0);
	return n;
}

/*
 * In a cgroup that has no memory left, records that were looked at or read in part are charged all the same, since they are there;
 * and nobody is killed because somebody reads.
 */
TEST_F(charge, reads_at_the_limit)
{
	enum { N = 150, RECORDS = 3, ALL = RECORDS * TT_MAX };

	connections(self, variant, N, false);
	ASSERT_TRUE(put(in_cgroup("memory.max"), "2M"));
	tt_fill(self->buf, ALL, 0);
	for (struct conn *c = self->conn; c < self->conn + N; c++) {
		bool part = (c - self->conn) % 2;
		size_t n = part ? 2 * TT_MAX + 1 : ALL;

		for (int i = 0; i < RECORDS; i++)
			tt_send_data(c->peer, &c->rx, TT_DATA, self->buf + i * TT_MAX, TT_MAX);
		/* what comes while somebody has the socket TCP charges on his behalf, and that may kill */
		tt_wait_received(c->sk, RECORDS * (TT_MAX + tt_overhead(&c->rx)));
		ASSERT_EQ(n, recv(c->sk, self->buf + ALL, n, part ? 0 : MSG_PEEK));
	}
	EXPECT_TRUE(wait_charged((long)N / 2 * (ALL + TT_MAX), LONG_MAX));
	EXPECT_EQ(0, memory_event("oom"));
	for (struct conn *c = self->conn; c < self->conn + N; c++) {
		size_t rest = (c - self->conn) % 2 ? TT_MAX - 1 : ALL;

		ASSERT_EQ(rest, tt_read(c->sk, self->buf, rest));
		ASSERT_BYTES(self->buf, rest, ALL - rest);
	}
	EXPECT_TRUE(wait_charged(0, N * 4096));
	EXPECT_TRUE(all_close(self));
}

TEST_HARNESS_MAIN
