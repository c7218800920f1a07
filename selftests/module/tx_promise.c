// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Transmit: a splice has promised more, and none comes: its source failed, or it ended beside another writer. What was counted
 * leaves by itself, as it does from TCP.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "tx_common.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>

#include "../kusers/kmod/tlsrec_kuser.h"

TX_FIXTURE(tx_promise);

#define SELF FIXTURE_DATA(tx_promise) *self

/* All of total bytes come, without a further call; more may, in the last record. */
static bool comes(SELF, size_t total, uint64_t pos)
{
	size_t got = 0;

	while (got < total) {
		if (tt_poll(self->peer, POLLIN, 20000) <= 0) {
			fprintf(stderr, "# nothing comes after %zu of %zu bytes\n", got, total);
			return false;
		}
		if (tt_recv_rec(self->peer, &self->k, self->o) != 1 || tt_diff(self->o->data, self->o->len, pos + got) >= 0)
			return false;
		got += self->o->len;
	}
	return true;
}

/* the yardstick */
TEST(plain_tcp)
{
	int fd[2], p[2];

	tt_tcp_pair(TT_IP4, fd);
	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(100, write(p[1], pattern(100, 0), 100));
	ASSERT_EQ(100, splice(p[0], NULL, fd[0], NULL, 100, SPLICE_F_MORE));
	EXPECT_EQ(POLLIN, tt_poll(fd[1], POLLIN, 20000));
	close(fd[0]);
	close(fd[1]);
	close(p[0]);
	close(p[1]);
}

/* copied, referenced, with a full record before it, and behind the program's own MSG_MORE */
TEST_F(tx_promise, nothing_follows)
{
	static const size_t sizes[] = { 1, 100, 5000, 16000, TT_MAX + 1, 20000, 3 * TT_MAX + 100 };
	int file = make_file(1, 100000, 0), p[2];
	uint8_t *data = pattern(100, 0);

	ASSERT_EQ(0, pipe(p));
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
	for (size_t head = 0; head <= 100; head += 100) {
		loff_t off = head;

		if (head) {
			ASSERT_EQ(head, send(self->sk, data, head, MSG_MORE));
		}
		ASSERT_EQ(sizes[i], splice(file, &off, p[1], NULL, sizes[i], 0));
		ASSERT_EQ(sizes[i], splice(p[0], NULL, self->sk, NULL, sizes[i], SPLICE_F_MORE));
		ASSERT_TRUE(comes(self, head + sizes[i], 0)) TH_LOG("%zu and %zu bytes", head, sizes[i]);
	}
	/* what the program holds open by itself it has to end by itself */
	ASSERT_EQ(100, send(self->sk, data, 100, MSG_MORE));
	EXPECT_EQ(0, tt_poll(self->peer, POLLIN, 1000));
	close(file);
	close(p[0]);
	close(p[1]);
	free(data);
}

static void ignore(int sig)
{
	(void)sig;
}

/* A page of the file cannot be read. */
TEST_F(tx_promise, source_fails)
{
	size_t page = sysconf(_SC_PAGESIZE), at = 5 * page;
	int file = make_file(0, 10 * page, 0);
	uint8_t *map = mmap(NULL, 10 * page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), b;
	ssize_t n, all = 0;
	off_t off = 0;

	ASSERT_NE(MAP_FAILED, map);
	/* whoever has it mapped is told */
	signal(SIGBUS, ignore);
	map[at] = map[at];
	if (madvise(map + at, page, MADV_HWPOISON))
		SKIP(return, "this kernel does not make bad pages: %s", strerror(errno));
	if (pread(file, &b, 1, at) != -1 || errno != EIO)
		SKIP(return, "this kernel reads bad pages");
	while ((n = sendfile(self->sk, file, &off, 10 * page)) > 0)
		all += n;
	EXPECT_EQ(-1, n);
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(at, all);
	EXPECT_TRUE(comes(self, all, 0));
	munmap(map, 10 * page);
	close(file);
}

/* a connection whose peer's window is small, so that most of what is sent stays in the queue */
static void narrow(SELF, enum tt_family family)
{
	int fd[2];

	close(self->sk);
	close(self->peer);
	tt_narrow_pair(family, 10000, fd);
	self->sk = fd[0];
	self->peer = fd[1];
	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 400000);
	tt_install(self->sk, &self->k, &self->back);
}

struct writer {
	int sk;
	const uint8_t *data;
	ssize_t ret;
};

static void *write_more(void *arg)
{
	struct writer *w = arg;

	w->ret = send(w->sk, w->data, 100, MSG_MORE);
	return NULL;
}

/* The splice ends while another writer, who has promised more, waits for space. */
TEST_F(tx_promise, ends_beside_a_writer)
{
	struct ku_call c = { .op = KU_SPLICE_EOF };
	uint64_t limit = tt_now_ms() + 30000;
	uint8_t *data = pattern(60200, 0);
	int p[2], dev;
	struct writer w;
	pthread_t t;

	if (access("/dev/tlsrec_kuser", F_OK) && system("modprobe -q tlsrec_kuser"))
		SKIP(return, "the module tlsrec_kuser is not there");
	while ((dev = open("/dev/tlsrec_kuser", O_RDWR)) < 0 && tt_now_ms() < limit)
		usleep(20000);
	ASSERT_LE(0, dev);
	narrow(self, variant->family);
	c.fd = self->sk;
	if (ioctl(dev, KU_CALL, &c) && errno == EOPNOTSUPP)
		SKIP(return, "before Linux 6.5 nobody says that a splice has ended");
	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(60000, send(self->sk, data, 60000, 0));
	ASSERT_EQ(100, write(p[1], data + 60000, 100));
	ASSERT_EQ(100, splice(p[0], NULL, self->sk, NULL, 100, SPLICE_F_MORE));
	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 1);
	w = (struct writer){ self->sk, data + 60100, 0 };
	ASSERT_EQ(0, pthread_create(&t, NULL, write_more, &w));
	/* he has the turn */
	while (tt_now_ms() < limit && send(self->sk, "", 0, MSG_DONTWAIT) >= 0)
		usleep(1000);
	ASSERT_EQ(0, ioctl(dev, KU_CALL, &c));
	/* His own bytes wait for him if the splice's were sealed before he came. */
	EXPECT_TRUE(comes(self, 60100, 0));
	ASSERT_EQ(0, pthread_join(t, NULL));
	EXPECT_EQ(100, w.ret);
	close(dev);
	close(p[0]);
	close(p[1]);
	free(data);
}

struct splicer {
	int from, sk;
	pid_t tid;
	ssize_t ret;
};

static void *splice_more(void *arg)
{
	struct splicer *s = arg;

	__atomic_store_n(&s->tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	s->ret = splice(s->from, NULL, s->sk, NULL, 100, SPLICE_F_MORE);
	return NULL;
}

/* asleep, or through */
static bool asleep(pid_t tid)
{
	char path[64], text[512] = "", *state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	if (f && !fgets(text, sizeof(text), f))
		*text = 0;
	if (f)
		fclose(f);
	state = strrchr(text, ')');
	return !state || state[2] == 'S';
}

/*
 * What was kept goes with the call that leaves a record open: the socket waits for something else then, and the engine must not
 * have forgotten it in between. (It does so seldom, unless it is made slow between its looks at the one and at the other.)
 */
TEST_F(tx_promise, behind_what_is_kept)
{
	enum { ROOM = 1 << 20, MESSAGE = 3 * TT_MAX + 100 };
	uint8_t *data = pattern(ROOM, 0);
	struct splicer s;
	pthread_t t;
	ssize_t n;
	int p[2];

	narrow(self, variant->family);
	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 30000);
	ASSERT_EQ(0, pipe(p));
	for (int i = 0; i < 3; i++) {
		size_t all = 0;

		s = (struct splicer){ p[0], self->sk, 0, 0 };
		/* a late acknowledgement makes room once more */
		while ((n = send(self->sk, data + all, MESSAGE, MSG_DONTWAIT)) > 0 ||
		       (usleep(100000), n = send(self->sk, data + all, MESSAGE, MSG_DONTWAIT)) > 0) {
			all += n;
			ASSERT_GT(ROOM - MESSAGE - 100, all);
		}
		ASSERT_EQ(EAGAIN, errno);
		ASSERT_EQ(100, write(p[1], data + all, 100));
		ASSERT_EQ(0, pthread_create(&t, NULL, splice_more, &s));
		/* he has the turn: no event takes what is kept from him */
		while (!__atomic_load_n(&s.tid, __ATOMIC_SEQ_CST) || !asleep(s.tid))
			usleep(1000);
		EXPECT_TRUE(comes(self, all + 100, 0)) TH_LOG("round %d", i);
		ASSERT_EQ(0, pthread_join(t, NULL));
		EXPECT_EQ(100, s.ret);
	}
	close(p[0]);
	close(p[1]);
	free(data);
}

TEST_HARNESS_MAIN
