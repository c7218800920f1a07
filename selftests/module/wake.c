// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Nobody sleeps beside a record. One thread waits, in each way there is; another does to the socket, as fast as it can, what opens
 * records, keeps them, or gives them back. Each round is one record, and the waiter has to come back for it. Nothing depends on how
 * long anything takes: a round is lost when the record is there and the waiter has not come in LIMIT.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>

#define LIMIT	30	/* seconds */
#define ROUNDS	150
#define LEN	100	/* bytes of a record */

FIXTURE(wake)
{
	int peer, sk;
	int ep;			/* for the waiter, -1 when it uses none */
	int ring;
	void *sq, *cq, *sqes;
	struct io_uring_params params;
	int pipe[2];		/* for the neighbour */
	struct tt_key k, back;

	void (*wait)(struct _test_data_wake *self);
	void (*neighbour)(struct _test_data_wake *self);
	sem_t came;		/* the waiter, or the neighbour, has the round's last byte */
	size_t taken;		/* bytes, by whom ever */
	bool over;
	int may_take;		/* bytes that the neighbour may take in this round */
	int wrong;		/* errno of something that may not fail */
};

FIXTURE_VARIANT(wake)
{
	TT_VARIANT_FIELDS;
};

TT_VARIANT(wake, tls12_gcm128_ip4, TT_IP4, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128);
TT_VARIANT(wake, tls13_gcm256_ip6, TT_IP6, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256);

#define SELF FIXTURE_DATA(wake) *self

FIXTURE_SETUP(wake)
{
	int fd[2];

	tt_tcp_pair(variant->family, fd);
	self->peer = fd[0];
	self->sk = fd[1];
	self->k = tt_key_make(variant->version, variant->cipher, 1);
	self->back = tt_key_make(variant->version, variant->cipher, 2);
	tt_install(self->sk, &self->back, &self->k);
	self->ep = -1;
	self->ring = -1;
	TT_MUST(pipe2(self->pipe, O_NONBLOCK) == 0);
	TT_MUST(sem_init(&self->came, 0, 0) == 0);
}

FIXTURE_TEARDOWN(wake)
{
	close(self->peer);
	close(self->sk);
	close(self->pipe[0]);
	close(self->pipe[1]);
}

static void took(SELF, ssize_t n)
{
	if (n > 0 && __atomic_add_fetch(&self->taken, n, __ATOMIC_SEQ_CST) % LEN == 0)
		sem_post(&self->came);
}

/* ---- ways to wait; each takes what there is afterwards ---- */

static void take_all(SELF)
{
	char buf[4 * LEN];
	ssize_t n;

	do {
		n = recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT);
		took(self, n);
	} while (n > 0);
	if (n < 0 && errno != EAGAIN)
		self->wrong = errno;
}

static void by_recv(SELF)
{
	char buf[4 * LEN];
	ssize_t n = recv(self->sk, buf, sizeof(buf), 0);

	took(self, n);
	if (n < 0)
		self->wrong = errno;
}

static void by_poll(SELF)
{
	tt_poll(self->sk, POLLIN, -1);
	take_all(self);
}

static void by_select(SELF)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(self->sk, &set);
	select(self->sk + 1, &set, NULL, NULL, NULL);
	take_all(self);
}

static void by_epoll(SELF, uint32_t events)
{
	struct epoll_event ev = { .events = events };

	if (self->ep < 0) {
		self->ep = epoll_create1(0);
		TT_MUST(self->ep >= 0);
		TT_MUST(epoll_ctl(self->ep, EPOLL_CTL_ADD, self->sk, &ev) == 0);
	}
	TT_MUST(epoll_wait(self->ep, &ev, 1, -1) == 1);
	take_all(self);
}

static void by_epoll_level(SELF)
{
	by_epoll(self, EPOLLIN);
}

static void by_epoll_edge(SELF)
{
	by_epoll(self, EPOLLIN | EPOLLET);
}

static void ring_open(SELF)
{
	struct io_uring_params *p = &self->params;

	memset(p, 0, sizeof(*p));
	self->ring = syscall(SYS_io_uring_setup, 4, p);
	TT_MUST(self->ring >= 0);
	self->sq = mmap(NULL, p->sq_off.array + p->sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, self->ring, IORING_OFF_SQ_RING);
	self->cq = mmap(NULL, p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE, MAP_SHARED,
			self->ring, IORING_OFF_CQ_RING);
	self->sqes = mmap(NULL, p->sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED, self->ring,
			  IORING_OFF_SQES);
	TT_MUST(self->sq != MAP_FAILED && self->cq != MAP_FAILED && self->sqes != MAP_FAILED);
}

/* one request, one completion */
static void by_io_uring(SELF)
{
	struct io_uring_sqe *sqe;
	uint32_t *tail, *head;

	if (self->ring < 0)
		ring_open(self);
	sqe = self->sqes;
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_POLL_ADD;
	sqe->fd = self->sk;
	sqe->poll32_events = POLLIN;
	tail = self->sq + self->params.sq_off.tail;
	((uint32_t *)(self->sq + self->params.sq_off.array))[*tail & 3] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	TT_MUST(syscall(SYS_io_uring_enter, self->ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
	head = self->cq + self->params.cq_off.head;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	take_all(self);
}

static const struct {
	const char *name;
	void (*wait)(SELF);
} ways[] = {
	{ "recv", by_recv },
	{ "poll", by_poll },
	{ "select", by_select },
	{ "epoll", by_epoll_level },
	{ "epoll, edge", by_epoll_edge },
	{ "io_uring", by_io_uring },
};

static void *waiter(void *arg)
{
	SELF = arg;

	while (!__atomic_load_n(&self->over, __ATOMIC_SEQ_CST))
		self->wait(self);
	return NULL;
}

/* ---- neighbours ---- */

static void *neighbour(void *arg)
{
	SELF = arg;

	while (!__atomic_load_n(&self->over, __ATOMIC_SEQ_CST))
		self->neighbour(self);
	return NULL;
}

static void asks_fionread(SELF)
{
	int n = 0;

	TT_MUST(ioctl(self->sk, FIONREAD, &n) == 0);
	if (n % LEN)
		self->wrong = EINVAL;
}

static void peeks(SELF)
{
	char buf[2 * LEN];

	recv(self->sk, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);
}

static void peeks_at_one_byte(SELF)
{
	char c;

	recv(self->sk, &c, 1, MSG_PEEK | MSG_DONTWAIT);
}

/* asleep in it when the record comes, with the turn */
static void peeks_and_waits(SELF)
{
	char buf[LEN];

	recv(self->sk, buf, sizeof(buf), MSG_PEEK);
}

static bool may_take(SELF)
{
	return __atomic_load_n(&self->may_take, __ATOMIC_SEQ_CST) > 0;
}

/* a byte of each record: the rest is for whoever waits */
static void reads_one_byte(SELF)
{
	ssize_t n;
	char c;

	if (!may_take(self))
		return;
	n = recv(self->sk, &c, 1, MSG_DONTWAIT);
	if (n == 1)
		__atomic_sub_fetch(&self->may_take, 1, __ATOMIC_SEQ_CST);
	took(self, n);
}

static void reads_nothing(SELF)
{
	char c;

	recv(self->sk, &c, 0, MSG_DONTWAIT);
	/* a fault: it takes none of it */
	recv(self->sk, (void *)16, 1, MSG_DONTWAIT);
}

static void splices_one_byte(SELF)
{
	ssize_t n;
	char c;

	if (!may_take(self))
		return;
	n = splice(self->sk, NULL, self->pipe[1], NULL, 1, SPLICE_F_NONBLOCK);
	if (n != 1)
		return;
	__atomic_sub_fetch(&self->may_take, 1, __ATOMIC_SEQ_CST);
	TT_MUST(read(self->pipe[0], &c, 1) == 1);
	took(self, n);
}

static void uses_options(SELF)
{
	struct tt_key k;
	struct tcp_info info;
	socklen_t len = sizeof(info);

	tt_key_get(self->sk, TLS_RX, &self->k, &k);
	getsockopt(self->sk, IPPROTO_TCP, TCP_INFO, &info, &len);
	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVLOWAT, 1);
	setsockopt(self->sk, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &(int){ 1 }, sizeof(int));
	tt_sockopt(self->sk, SOL_SOCKET, SO_OOBINLINE, 1);
	tt_sockopt(self->sk, IPPROTO_TCP, TCP_QUICKACK, 1);
}

static void polls(SELF)
{
	tt_poll(self->sk, POLLIN | POLLPRI | POLLOUT, 0);
}

/* ---- a matrix ---- */

static bool round_of(SELF, int i)
{
	struct timespec until;
	uint8_t data[LEN];
	int err;

	tt_fill(data, LEN, i);
	__atomic_store_n(&self->may_take, 1, __ATOMIC_SEQ_CST);
	tt_send_data(self->peer, &self->k, TT_DATA, data, LEN);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LIMIT;
	do {
		err = sem_timedwait(&self->came, &until) ? errno : 0;
	} while (err == EINTR);
	return !err;
}

static void farewell(SELF)
{
	uint8_t data[LEN] = { };

	tt_send_data(self->peer, &self->k, TT_DATA, data, LEN);
}

static void beside(struct __test_metadata *_metadata, SELF, void (*what)(SELF))
{
	self->neighbour = what;
	for (size_t w = 0; w < ARRAY_SIZE(ways); w++) {
		pthread_t a, b;

		self->wait = ways[w].wait;
		self->over = false;
		self->taken = 0;
		while (sem_trywait(&self->came) == 0)
			;
		ASSERT_EQ(0, pthread_create(&a, NULL, waiter, self));
		ASSERT_EQ(0, pthread_create(&b, NULL, neighbour, self));
		for (int i = 0; i < ROUNDS; i++) {
			ASSERT_TRUE(round_of(self, i)) TH_LOG("%s sleeps beside a record, round %d", ways[w].name, i);
			ASSERT_EQ(0, self->wrong) TH_LOG("%s, round %d: %s", ways[w].name, i, strerror(self->wrong));
		}
		ASSERT_EQ(ROUNDS * LEN, self->taken);
		__atomic_store_n(&self->over, true, __ATOMIC_SEQ_CST);
		/* both may be asleep, and the first may leave nothing to the second */
		farewell(self);
		pthread_join(a, NULL);
		farewell(self);
		pthread_join(b, NULL);
		take_all(self);
		if (self->ep >= 0)
			close(self->ep);
		self->ep = -1;
	}
}

#define BESIDE(what) TEST_F(wake, what) { beside(_metadata, self, what); }

BESIDE(asks_fionread)
BESIDE(peeks)
BESIDE(peeks_at_one_byte)
BESIDE(peeks_and_waits)
BESIDE(reads_one_byte)
BESIDE(reads_nothing)
BESIDE(splices_one_byte)
BESIDE(uses_options)
BESIDE(polls)

static void *peek_more(void *arg)
{
	SELF = arg;
	char buf[3 * LEN];
	ssize_t n = recv(self->sk, buf, sizeof(buf), MSG_PEEK | MSG_WAITALL);

	self->wrong = n == sizeof(buf) ? 0 : EINVAL;
	return NULL;
}

/* who is sent away because a reader sleeps with what there is does not go round and round, and is called when it is his turn */
TEST_F(wake, sent_away)
{
	char buf[4 * LEN];
	pthread_t t;
	int n = 0;

	farewell(self);
	ASSERT_EQ(POLLIN, tt_poll(self->sk, POLLIN, LIMIT * 1000));
	ASSERT_EQ(0, pthread_create(&t, NULL, peek_more, self));
	/* it has looked at the record, so FIONREAD, which is sent away as well, counts none */
	do {
		TT_MUST(ioctl(self->sk, FIONREAD, &n) == 0);
	} while (n);
	ASSERT_ERRNO_AGAIN(recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
	for (int i = 0; i < 10; i++)
		EXPECT_EQ(0, tt_poll(self->sk, POLLIN, 0));
	farewell(self);
	farewell(self);
	ASSERT_EQ(POLLIN, tt_poll(self->sk, POLLIN, LIMIT * 1000));
	pthread_join(t, NULL);
	EXPECT_EQ(0, self->wrong);
	EXPECT_EQ(3 * LEN, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
}

TEST_HARNESS_MAIN
