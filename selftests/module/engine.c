// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What is kept for TCP leaves without the program's help, on every route, under memory pressure, and after any failure of an
 * attempt; and when the stream ends before, then not as if that had been all. The peer is a bare TCP socket that opens every
 * record in user space.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/wait.h>

FIXTURE(engine)
{
	struct tt_key k;
	struct tt_opened *o;
};

FIXTURE_VARIANT(engine)
{
	TT_VARIANT_FIELDS;
};

TT_VARIANT(engine, tls12_gcm128_ip6, TT_IP6, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128);
TT_VARIANT(engine, tls13_gcm256_ip4, TT_IP4, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256);

FIXTURE_SETUP(engine)
{
	self->k = tt_key_make(variant->version, variant->cipher, 1);
	self->o = malloc(sizeof(*self->o));
}

FIXTURE_TEARDOWN(engine)
{
	free(self->o);
}

#define SELF FIXTURE_DATA(engine) *self

enum { CHUNK = 3 * 16384 + 100 };

/* send until nothing is taken any more; what was counted */
static size_t fill(int fd)
{
	uint8_t *data = malloc(CHUNK);
	size_t sent = 0;
	ssize_t n;

	do {
		tt_fill(data, CHUNK, sent);
		n = send(fd, data, CHUNK, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			sent += n;
	} while (n > 0);
	TT_MUST(errno == EAGAIN);
	free(data);
	return sent;
}

/* The peer reads so many bytes, none of them wrong, and each in reasonable time. */
static bool take(SELF, int peer, size_t from, size_t total)
{
	for (size_t got = from; got < total; got += self->o->len) {
		if (tt_poll(peer, POLLIN, 20000) <= 0) {
			fprintf(stderr, "# nothing comes after %zu of %zu bytes\n", got, total);
			return false;
		}
		if (tt_recv_rec(peer, &self->k, self->o) != 1 || tt_diff(self->o->data, self->o->len, got) >= 0) {
			fprintf(stderr, "# wrong after %zu of %zu bytes\n", got, total);
			return false;
		}
	}
	return true;
}

/* --- a route without scatter-gather, where TCP copies --- */

static bool md5(int fd, const char *peer)
{
	struct tcp_md5sig m = { .tcpm_keylen = 6, .tcpm_key = "secret" };
	struct sockaddr_in *a = (void *)&m.tcpm_addr;

	a->sin_family = AF_INET;
	TT_MUST(inet_pton(AF_INET, peer, &a->sin_addr) == 1);
	return setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &m, sizeof(m)) == 0;
}

static void enter(const char *ns)
{
	int fd = open(ns, O_RDONLY);

	TT_MUST(fd >= 0 && setns(fd, CLONE_NEWNET) == 0);
	close(fd);
}

TEST_F(engine, no_scatter_gather)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = inet_addr("10.9.0.2") };
	socklen_t len = sizeof(addr);
	char here[64], there[64], cmd[200];
	int l, sk, peer, sync[2];
	size_t sent;
	pid_t pid;
	char b;

	if (variant->family != TT_IP4)
		SKIP(return, "made for IPv4");
	sk = socket(AF_INET, SOCK_STREAM, 0);
	if (!md5(sk, "10.9.0.2"))
		SKIP(return, "this kernel has no TCP_MD5SIG");
	close(sk);
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	ASSERT_EQ(0, pipe(sync));
	pid = fork();
	if (!pid) {
		TT_MUST(unshare(CLONE_NEWNET) == 0);
		TT_MUST(write(sync[1], "x", 1) == 1);
		pause();
		_exit(0);
	}
	ASSERT_EQ(1, read(sync[0], &b, 1));
	snprintf(here, sizeof(here), "/proc/%d/ns/net", getpid());
	snprintf(there, sizeof(there), "/proc/%d/ns/net", pid);
	snprintf(cmd, sizeof(cmd), "ip link add v0 type veth peer name v1 && ip link set v1 netns %d && ip addr add 10.9.0.1/24 dev v0 && "
		 "ip link set v0 up && ethtool -K v0 sg off >/dev/null", pid);
	ASSERT_EQ(0, system(cmd));
	l = open(here, O_RDONLY);
	snprintf(here, sizeof(here), "/proc/self/fd/%d", l);
	enter(there);
	ASSERT_EQ(0, system("ip addr add 10.9.0.2/24 dev v1 && ip link set v1 up"));
	l = socket(AF_INET, SOCK_STREAM, 0);
	ASSERT_TRUE(md5(l, "10.9.0.1"));
	tt_sockopt(l, SOL_SOCKET, SO_RCVBUF, 10000);
	ASSERT_EQ(0, bind(l, (void *)&addr, sizeof(addr)));
	ASSERT_EQ(0, listen(l, 1));
	ASSERT_EQ(0, getsockname(l, (void *)&addr, &len));
	enter(here);
	sk = socket(AF_INET, SOCK_STREAM, 0);
	ASSERT_TRUE(md5(sk, "10.9.0.2"));
	ASSERT_EQ(0, connect(sk, (void *)&addr, sizeof(addr)));
	peer = accept(l, NULL, NULL);
	ASSERT_LE(0, peer);
	tt_sockopt(sk, SOL_SOCKET, SO_SNDBUF, 30000);
	tt_install(sk, &self->k, NULL);
	sent = fill(sk);
	EXPECT_TRUE(take(self, peer, 0, sent));
	close(sk);
	close(peer);
	close(l);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* --- TCP as a whole is out of memory --- */

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	TT_MUST(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static char tcp_mem[100];

static void pressure(bool on)
{
	const char *path = "/proc/sys/net/ipv4/tcp_mem";

	if (on) {
		int fd = open(path, O_RDONLY);

		TT_MUST(fd >= 0 && read(fd, tcp_mem, sizeof(tcp_mem) - 1) > 0);
		close(fd);
	}
	put(path, on ? "1 1 1" : tcp_mem);
}

/*
 * The stream ends while TCP has no memory, and it has not got all that was counted; SO_SNDBUF set, and not. All of it goes,
 * or the peer sees a reset: for a closed socket TCP itself may decide so.
 */
TEST_F(engine, end_under_pressure)
{
	for (int lock = 0; lock < 2; lock++)
	for (int how = 0; how < 2; how++) {
		struct tt_key k = self->k;
		uint64_t wire = 0, base, had;
		size_t sent, got = 0;
		int fd[2], r;

		tt_narrow_pair(variant->family, 10000, fd);
		if (lock)
			tt_sockopt(fd[0], SOL_SOCKET, SO_SNDBUF, 30000);
		base = tt_bytes_taken(fd[0]);
		tt_install(fd[0], &k, NULL);
		sent = fill(fd[0]);
		had = tt_bytes_taken(fd[0]) - base;
		pressure(true);
		if (how)
			close(fd[0]);
		else
			shutdown(fd[0], SHUT_WR);
		pressure(false);
		while ((r = tt_recv_rec(fd[1], &self->k, self->o)) == 1 && tt_diff(self->o->data, self->o->len, got) < 0) {
			got += self->o->len;
			wire += self->o->wire_len;
		}
		if (r < 0) {
			EXPECT_EQ(ECONNRESET, errno);
			EXPECT_TRUE(how) TH_LOG("lock %d: %zu of %zu bytes", lock, got, sent);
		} else {
			EXPECT_EQ(sent, got);
			EXPECT_LT(had, wire);
		}
		self->k = k;
		if (!how)
			close(fd[0]);
		close(fd[1]);
	}
}

/* --- what cannot go any more --- */

/* A record that cannot be sealed when the stream ends, since there is no sequence number for it: a reset, not an end. */
TEST_F(engine, lost_is_a_reset)
{
	for (int how = 0; how < 3; how++) {
		struct tt_key k = self->k;
		int fd[2];
		char b;

		k.seq = UINT64_MAX;
		tt_tcp_pair(variant->family, fd);
		tt_install(fd[0], &k, NULL);
		ASSERT_EQ(5, send(fd[0], "hello", 5, MSG_MORE));
		if (how == 2)
			EXPECT_ERR(EBADMSG, send(fd[0], "hello", 5, 0));
		if (how == 1)
			shutdown(fd[0], SHUT_WR);
		else
			close(fd[0]);
		EXPECT_ERR(ECONNRESET, recv(fd[1], &b, 1, 0));
		if (how == 1) {
			EXPECT_ERR(ECONNRESET, send(fd[0], "x", 1, MSG_NOSIGNAL));
			EXPECT_ERR(EPIPE, send(fd[0], "x", 1, MSG_NOSIGNAL));
			close(fd[0]);
		}
		close(fd[1]);
	}
}

/* The same where nothing was counted that did not go: the end is a clean one. */
TEST_F(engine, not_counted_is_not_lost)
{
	struct tt_key k = self->k;
	int fd[2];
	char b;

	k.seq = UINT64_MAX;
	tt_tcp_pair(variant->family, fd);
	tt_install(fd[0], &k, NULL);
	EXPECT_ERR(EBADMSG, send(fd[0], "hello", 5, 0));
	EXPECT_ERR(EBADMSG, send(fd[0], "hello", 5, MSG_MORE));
	close(fd[0]);
	EXPECT_EQ(0, recv(fd[1], &b, 1, 0));
	close(fd[1]);
}

/* --- every allocation fails once: the debug kernel --- */

static int nth_fd = -1;

static bool faults(void)
{
	const char *dirs[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	const char *set[][2] = { { "ignore-gfp-wait", "N" }, { "min-order", "0" }, { "ignore-gfp-highmem", "N" }, { "verbose", "0" } };
	char path[100];

	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR);
	if (nth_fd < 0 || access("/sys/kernel/debug/failslab", F_OK))
		return false;
	for (size_t d = 0; d < ARRAY_SIZE(dirs); d++)
		for (size_t i = 0; i < ARRAY_SIZE(set); i++) {
			snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", dirs[d], set[i][0]);
			if (!access(path, F_OK))
				put(path, set[i][1]);
		}
	return true;
}

#define NO_FAULTS "this kernel has no fault injection: it is for the debug kernel"

/*
 * One call on an idle connection, which does not wait, and one allocation of it fails; then nothing is called any more. What
 * was counted comes, and whoever was told to wait is woken, at the edge, and can go on. A file has no pages that the program
 * could write to; its odd end leaves the cipher off its blocks.
 */
TEST_F(engine, faults)
{
	size_t len[] = { 100, 5000, 16384, 40000, 70001 };
	uint8_t *data = malloc(70002);
	int file = memfd_create("engine", 0), hits = 0, waits = 0;

	if (!faults())
		SKIP(return, NO_FAULTS);
	tt_fill(data, 70002, 0);
	ASSERT_EQ(70001, write(file, data, 70001));
	for (int way = 0; way < 3; way++)
	for (size_t l = 0; l < ARRAY_SIZE(len); l++)
	for (int n = 1; n < 400; n++) {
		struct epoll_event ev = { .events = EPOLLOUT | EPOLLET };
		struct tt_key k = self->k;
		int fd[2], ep = epoll_create1(0);
		off_t off = 0;
		ssize_t r;
		bool hit, ok;
		int err;

		tt_tcp_pair(variant->family, fd);
		tt_nonblock(fd[0], true);
		tt_install(fd[0], &k, NULL);
		ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], &ev));
		ASSERT_EQ(1, epoll_wait(ep, &ev, 1, 10000));
		tt_fault_arm(nth_fd, n);
		if (way == 0)
			r = send(fd[0], data, len[l], MSG_NOSIGNAL);
		else if (way == 1)
			r = sendfile(fd[0], file, &off, len[l]);
		else
			r = tt_send_type(fd[0], TT_DATA, data, len[l], MSG_NOSIGNAL);
		err = r < 0 ? errno : 0;
		hit = tt_fault_hit(nth_fd);
		hits += hit;
		if (r < 0) {
			/* a copy from the program may fail as well, and what sendfile() needs besides */
			EXPECT_TRUE(hit && (err == EAGAIN || err == EFAULT || (way == 1 && err == ENOMEM))) TH_LOG("way %d length %zu fault %d: %s", way, len[l], n, strerror(err));
			r = 0;
		}
		ok = take(self, fd[1], 0, r);
		EXPECT_TRUE(ok) TH_LOG("way %d length %zu fault %d: counted %zd", way, len[l], n, r);
		if (ok && err == EAGAIN) {
			waits++;
			EXPECT_EQ(1, epoll_wait(ep, &ev, 1, 10000)) TH_LOG("way %d length %zu fault %d: not woken", way, len[l], n);
		}
		if (ok) {
			EXPECT_EQ(1, send(fd[0], data + r, 1, 0)) TH_LOG("way %d length %zu fault %d: %s", way, len[l], n, strerror(errno));
			EXPECT_TRUE(take(self, fd[1], r, r + 1));
		}
		self->k = k;
		close(fd[0]);
		close(fd[1]);
		close(ep);
		if (!hit)
			break;
	}
	EXPECT_LT(20, hits);
	TH_LOG("%d faults, %d waits", hits, waits);
	free(data);
	close(file);
}

/* The same at the end of the stream: all of it and an end, or a reset. */
TEST_F(engine, faults_at_the_end)
{
	int hits = 0, resets = 0;

	if (!faults())
		SKIP(return, NO_FAULTS);
	for (int how = 0; how < 2; how++)
	for (int n = 1; n < 100; n++) {
		struct tt_key k = self->k;
		size_t sent, got = 0;
		int fd[2], r;
		bool hit;

		tt_narrow_pair(variant->family, 10000, fd);
		tt_sockopt(fd[0], SOL_SOCKET, SO_SNDBUF, 30000);
		tt_install(fd[0], &k, NULL);
		sent = fill(fd[0]);
		tt_fault_arm(nth_fd, n);
		if (how)
			close(fd[0]);
		else
			shutdown(fd[0], SHUT_WR);
		hit = tt_fault_hit(nth_fd);
		hits += hit;
		while ((r = tt_recv_rec(fd[1], &self->k, self->o)) == 1 && tt_diff(self->o->data, self->o->len, got) < 0)
			got += self->o->len;
		if (r < 0) {
			EXPECT_TRUE(hit && errno == ECONNRESET);
			resets++;
		} else {
			EXPECT_EQ(sent, got) TH_LOG("how %d fault %d", how, n);
		}
		self->k = k;
		if (!how)
			close(fd[0]);
		close(fd[1]);
		if (!hit)
			break;
	}
	EXPECT_LT(2, hits);
	TH_LOG("%d faults, %d resets", hits, resets);
}

TEST_HARNESS_MAIN
