// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Calls that TCP has begun when a key comes: no plaintext behind a key, and no byte of a record eaten.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <linux/userfaultfd.h>

#define LONG (4 << 20)	/* no send buffer takes it at once */

enum way { SEND, SENDFILE, WRITERS, RECV = WRITERS, WAITALL, PEEK, SPLICE };

static const char *const names[] = { "send", "sendfile", "recv", "recv(MSG_WAITALL)", "recv(MSG_PEEK)", "splice" };

FIXTURE(sleepers) {
	int sk, peer;
	struct tt_key tx, rx;
	struct tt_opened o;
};

FIXTURE_VARIANT(sleepers) { TT_VARIANT_FIELDS; };
TT_VARIANTS(sleepers);

FIXTURE_SETUP(sleepers)
{
	int fd[2];

	tt_tcp_pair(variant->family, fd);
	self->sk = fd[0];
	self->peer = fd[1];
	self->tx = tt_key_make(variant->version, variant->cipher, 1);
	self->rx = tt_key_make(variant->version, variant->cipher, 2);
}

FIXTURE_TEARDOWN(sleepers)
{
	close(self->sk);
	close(self->peer);
}

/* A thread in one call. */
struct call {
	pthread_t thread;
	volatile pid_t tid;
	int sk;
	enum way way;
	size_t len;
	uint8_t *buf;
	volatile ssize_t result;
	volatile int err, ended;
};

static ssize_t send_file(struct call *c)
{
	int fd = memfd_create("sleepers", 0);
	ssize_t n;

	TT_MUST(fd >= 0 && write(fd, c->buf, c->len) == (ssize_t)c->len);
	c->tid = gettid();
	n = 0;
	for (off_t off = 0; off < (off_t)c->len; n = off)
		if (sendfile(c->sk, fd, &off, c->len - off) <= 0)
			return -1;
	close(fd);
	return n;
}

static ssize_t splice_in(struct call *c)
{
	int p[2];
	ssize_t n;

	TT_MUST(!pipe(p));
	c->tid = gettid();
	n = splice(c->sk, NULL, p[1], NULL, c->len, 0);
	if (n > 0)
		TT_MUST(tt_read_pipe(p[0], c->buf, n) == (size_t)n);
	close(p[0]);
	close(p[1]);
	return n;
}

static void *call_run(void *arg)
{
	struct call *c = arg;

	errno = 0;
	switch (c->way) {
	case SENDFILE:
		c->result = send_file(c);
		break;
	case SPLICE:
		c->result = splice_in(c);
		break;
	case SEND:
		c->tid = gettid();
		c->result = send(c->sk, c->buf, c->len, 0);
		break;
	default:
		c->tid = gettid();
		c->result = recv(c->sk, c->buf, c->len, c->way == WAITALL ? MSG_WAITALL : c->way == PEEK ? MSG_PEEK : 0);
	}
	c->err = errno;
	c->ended = 1;
	return NULL;
}

/* the letter of its state, and where in the kernel it is */
static char call_state(const struct call *c, char *where, size_t size)
{
	char name[64], line[256] = "";
	ssize_t n;
	char *end;
	int fd;

	where[0] = 0;
	if (!c->tid)
		return 0;
	snprintf(name, sizeof(name), "/proc/self/task/%d/wchan", c->tid);
	fd = open(name, O_RDONLY);
	n = fd < 0 ? 0 : read(fd, where, size - 1);
	where[n > 0 ? n : 0] = 0;
	close(fd);
	snprintf(name, sizeof(name), "/proc/self/task/%d/stat", c->tid);
	fd = open(name, O_RDONLY);
	n = fd < 0 ? 0 : read(fd, line, sizeof(line) - 1);
	close(fd);
	end = n > 0 ? strrchr(line, ')') : NULL;
	return end ? end[2] : 0;
}

/* Begin a call, and see it asleep: in TCP, or at the socket lock. 0, or -1 when it ended instead. */
static int call_begin(struct call *c, int sk, enum way way, size_t len, bool at_lock)
{
	uint64_t limit = tt_now_ms() + 30000;
	char where[64];

	*c = (struct call){ .sk = sk, .way = way, .len = len, .buf = calloc(1, len) };
	if (way < WRITERS)
		tt_fill(c->buf, len, 0);
	TT_MUST(!pthread_create(&c->thread, NULL, call_run, c));
	for (char state = 0; tt_now_ms() < limit && !c->ended; usleep(1000)) {
		state = call_state(c, where, sizeof(where));
		if (at_lock ? state == 'D' : state == 'S' && !strcmp(where, "wait_woken"))
			return 0;
	}
	return -1;
}

static void call_end(struct call *c)
{
	pthread_join(c->thread, NULL);
	free(c->buf);
}

static void small_buffer(int sk)
{
	tt_sockopt(sk, SOL_SOCKET, SO_SNDBUF, 8192);
}

/* A record each way, in the keys that were set. */
#define EXPECT_RECORD_OUT() do {							\
	uint8_t __b[1000];								\
											\
	tt_fill(__b, sizeof(__b), 77);							\
	ASSERT_EQ((ssize_t)sizeof(__b), send(self->sk, __b, sizeof(__b), 0));		\
	ASSERT_EQ(1, tt_recv_rec(self->peer, &self->tx, &self->o));			\
	ASSERT_EQ(sizeof(__b), self->o.len);						\
	ASSERT_BYTES(self->o.data, sizeof(__b), 77);					\
} while (0)

#define EXPECT_RECORD_IN() do {								\
	uint8_t __b[1000];								\
											\
	tt_fill(__b, sizeof(__b), 99);							\
	tt_send_data(self->peer, &self->rx, TT_DATA, __b, sizeof(__b));			\
	memset(__b, 0, sizeof(__b));							\
	ASSERT_EQ((ssize_t)sizeof(__b), recv(self->sk, __b, sizeof(__b), MSG_WAITALL));	\
	ASSERT_BYTES(__b, sizeof(__b), 99);						\
} while (0)

/* A writer sleeps in TCP's call: the key does not come before the last of his bytes has gone, in plain. */
static void writer(struct __test_metadata *_metadata, struct _test_data_sleepers *self, enum way way, bool ulp_first)
{
	uint8_t *got = malloc(LONG);
	struct call c;

	small_buffer(self->sk);
	if (ulp_first)
		ASSERT_EQ(0, tt_ulp(self->sk));
	ASSERT_EQ(0, call_begin(&c, self->sk, way, LONG, false)) TH_LOG("%s did not sleep", names[way]);
	if (!ulp_first)
		ASSERT_EQ(0, tt_ulp(self->sk));
	EXPECT_ERR(EBUSY, tt_key_set(self->sk, TLS_TX, &self->tx));
	EXPECT_ERR(EBUSY, tt_key_set(self->sk, TLS_TX, &self->tx));
	/* the other direction is free */
	EXPECT_EQ(0, tt_key_set(self->sk, TLS_RX, &self->rx));
	EXPECT_RECORD_IN();
	ASSERT_EQ(LONG, (ssize_t)tt_read(self->peer, got, LONG));
	EXPECT_BYTES(got, LONG, 0);
	pthread_join(c.thread, NULL);
	EXPECT_EQ(LONG, c.result) TH_LOG("%s: %zd, %s", names[way], c.result, strerror(c.err));
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &self->tx));
	EXPECT_RECORD_OUT();
	free(c.buf);
	free(got);
}

TEST_F(sleepers, send) { writer(_metadata, self, SEND, true); }
TEST_F(sleepers, send_before_ulp) { writer(_metadata, self, SEND, false); }
TEST_F(sleepers, sendfile) { writer(_metadata, self, SENDFILE, true); }
TEST_F(sleepers, sendfile_before_ulp) { writer(_metadata, self, SENDFILE, false); }

/* A reader sleeps in TCP's call: it ends with the bytes before the key, and every record is read by the record layer. */
static void reader(struct __test_metadata *_metadata, struct _test_data_sleepers *self, enum way way, bool ulp_first)
{
	uint8_t plain[500], b[500];
	struct call c;

	tt_fill(plain, sizeof(plain), 5);
	if (ulp_first)
		ASSERT_EQ(0, tt_ulp(self->sk));
	ASSERT_EQ(0, call_begin(&c, self->sk, way, sizeof(plain), false)) TH_LOG("%s did not sleep", names[way]);
	if (!ulp_first)
		ASSERT_EQ(0, tt_ulp(self->sk));
	EXPECT_ERR(EBUSY, tt_key_set(self->sk, TLS_RX, &self->rx));
	/* the other direction is free */
	EXPECT_EQ(0, tt_key_set(self->sk, TLS_TX, &self->tx));
	EXPECT_RECORD_OUT();
	EXPECT_ERR(EBUSY, tt_key_set(self->sk, TLS_RX, &self->rx));
	tt_write(self->peer, plain, sizeof(plain));
	pthread_join(c.thread, NULL);
	ASSERT_EQ((ssize_t)sizeof(plain), c.result) TH_LOG("%s: %s", names[way], strerror(c.err));
	EXPECT_BYTES(c.buf, sizeof(plain), 5);
	if (way == PEEK) {
		ASSERT_EQ(sizeof(b), tt_read(self->sk, b, sizeof(b)));
		EXPECT_BYTES(b, sizeof(b), 5);
	}
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &self->rx));
	EXPECT_RECORD_IN();
	free(c.buf);
}

TEST_F(sleepers, recv) { reader(_metadata, self, RECV, true); }
TEST_F(sleepers, recv_before_ulp) { reader(_metadata, self, RECV, false); }
TEST_F(sleepers, waitall) { reader(_metadata, self, WAITALL, true); }
TEST_F(sleepers, waitall_before_ulp) { reader(_metadata, self, WAITALL, false); }
TEST_F(sleepers, peek) { reader(_metadata, self, PEEK, true); }
TEST_F(sleepers, peek_before_ulp) { reader(_metadata, self, PEEK, false); }
TEST_F(sleepers, splice) { reader(_metadata, self, SPLICE, true); }
TEST_F(sleepers, splice_before_ulp) { reader(_metadata, self, SPLICE, false); }

/* Both at once, on the same wait queue: neither hides the other. */
TEST_F(sleepers, reader_and_writers)
{
	uint8_t *got = malloc(2 * LONG);
	struct call r, w[2];

	small_buffer(self->sk);
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, call_begin(&w[i], self->sk, SEND, LONG, false));
	ASSERT_EQ(0, tt_ulp(self->sk));
	EXPECT_ERR(EBUSY, tt_key_set(self->sk, TLS_TX, &self->tx));
	ASSERT_EQ(0, call_begin(&r, self->sk, RECV, 100, false));
	EXPECT_ERR(EBUSY, tt_key_set(self->sk, TLS_TX, &self->tx));
	EXPECT_ERR(EBUSY, tt_key_set(self->sk, TLS_RX, &self->rx));
	tt_write(self->peer, "x", 1);
	call_end(&r);
	EXPECT_EQ(1, r.result);
	EXPECT_EQ(0, tt_key_set(self->sk, TLS_RX, &self->rx));
	EXPECT_ERR(EBUSY, tt_key_set(self->sk, TLS_TX, &self->tx));
	ASSERT_EQ(2 * LONG, (ssize_t)tt_read(self->peer, got, 2 * LONG));
	for (int i = 0; i < 2; i++) {
		call_end(&w[i]);
		EXPECT_EQ(LONG, w[i].result);
	}
	EXPECT_EQ(0, tt_key_set(self->sk, TLS_TX, &self->tx));
	EXPECT_RECORD_OUT();
	EXPECT_RECORD_IN();
	free(got);
}

struct waiter {
	pthread_t thread;
	int sk, kind;
	volatile int ready;
};

/* poll, epoll in both modes, select: sleep until the socket is readable */
static void *waiter_run(void *arg)
{
	struct waiter *w = arg;
	struct epoll_event ev = { .events = EPOLLIN | (w->kind == 2 ? EPOLLET : 0) };
	fd_set set;
	int ep;

	if (w->kind == 0) {
		w->ready = tt_poll(w->sk, POLLIN, 60000) == POLLIN;
	} else if (w->kind == 3) {
		FD_ZERO(&set);
		FD_SET(w->sk, &set);
		w->ready = select(w->sk + 1, &set, NULL, NULL, NULL) == 1;
	} else {
		ep = epoll_create1(0);
		TT_MUST(!epoll_ctl(ep, EPOLL_CTL_ADD, w->sk, &ev));
		w->ready = epoll_wait(ep, &ev, 1, 60000) == 1;
		close(ep);
	}
	return NULL;
}

/* Who only waits for the socket takes nothing: the keys come. */
TEST_F(sleepers, pollers)
{
	struct waiter w[4] = { 0 };
	char b;

	for (int i = 0; i < 4; i++) {
		w[i].sk = self->sk;
		w[i].kind = i;
		ASSERT_EQ(0, pthread_create(&w[i].thread, NULL, waiter_run, &w[i]));
	}
	usleep(100000);	/* let them sleep: the result is the same if they do not */
	ASSERT_EQ(0, tt_ulp(self->sk));
	EXPECT_ERR(EAGAIN, recv(self->sk, &b, 1, MSG_DONTWAIT));
	EXPECT_ERR(EAGAIN, recv(self->sk, &b, 1, MSG_DONTWAIT | MSG_PEEK));
	EXPECT_EQ(0, tt_key_set(self->sk, TLS_RX, &self->rx));
	EXPECT_EQ(0, tt_key_set(self->sk, TLS_TX, &self->tx));
	tt_send_data(self->peer, &self->rx, TT_DATA, "hello", 5);
	for (int i = 0; i < 4; i++) {
		pthread_join(w[i].thread, NULL);
		EXPECT_EQ(1, w[i].ready) TH_LOG("kind %d", i);
	}
}

/* Calls of the record layer's own sleep while their keys are updated. */
TEST_F(sleepers, key_update)
{
	struct tt_key tx2 = tt_key_make(variant->version, variant->cipher, 3), rx2 = tt_key_make(variant->version, variant->cipher, 4);
	int want = variant->version == TLS_1_3_VERSION ? 0 : EBUSY;
	struct call r, w;

	small_buffer(self->sk);
	tt_install(self->sk, &self->tx, NULL);
	ASSERT_EQ(0, call_begin(&w, self->sk, SEND, LONG, false));
	/* not a writer of TCP's */
	EXPECT_EQ(0, tt_key_set(self->sk, TLS_RX, &self->rx));
	ASSERT_EQ(0, call_begin(&r, self->sk, RECV, 100, false));
	EXPECT_ERR(want, tt_key_set(self->sk, TLS_TX, &tx2));
	EXPECT_ERR(want, tt_key_set(self->sk, TLS_RX, &rx2));
	tt_send_data(self->peer, want ? &self->rx : &rx2, TT_DATA, "hello", 5);
	call_end(&r);
	EXPECT_EQ(5, r.result) TH_LOG("%s", strerror(r.err));
	shutdown(self->sk, SHUT_RDWR);
	while (read(self->peer, self->o.data, sizeof(self->o.data)) > 0)
		;
	call_end(&w);
}

/* Memory whose first touch waits for a thread of ours: a call that reads it stays where it is, with its locks. */
struct trap {
	int uffd;
	uint8_t *page;
	struct uffdio_copy copy;
};

static int trap_make(struct trap *t, const void *content, size_t len)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	long page = sysconf(_SC_PAGESIZE);
	uint8_t *source;

	t->uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (t->uffd < 0 || ioctl(t->uffd, UFFDIO_API, &api))
		return -1;
	t->page = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	source = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	TT_MUST(t->page != MAP_FAILED && source != MAP_FAILED);
	memcpy(source, content, len);
	reg.range.start = (uintptr_t)t->page;
	reg.range.len = page;
	TT_MUST(!ioctl(t->uffd, UFFDIO_REGISTER, &reg));
	t->copy = (struct uffdio_copy){ .dst = (uintptr_t)t->page, .src = (uintptr_t)source, .len = page };
	return 0;
}

/* somebody has touched it and waits */
static void trap_sprung(struct trap *t)
{
	struct uffd_msg msg;

	TT_MUST(read(t->uffd, &msg, sizeof(msg)) == sizeof(msg) && msg.event == UFFD_EVENT_PAGEFAULT);
}

static void trap_open(struct trap *t)
{
	TT_MUST(!ioctl(t->uffd, UFFDIO_COPY, &t->copy));
	close(t->uffd);
}

struct keying {
	pthread_t thread;
	int sk, dir, result;
	socklen_t len;
	void *info;
};

static void *keying_run(void *arg)
{
	struct keying *k = arg;

	k->result = setsockopt(k->sk, SOL_TLS, k->dir, k->info, k->len);
	return NULL;
}

/* The key is on its way into the socket, which is locked, and a call that chose TCP waits for the lock. */
static void on_the_way(struct __test_metadata *_metadata, struct _test_data_sleepers *self, enum way way)
{
	struct keying k = { .sk = self->sk, .dir = way < WRITERS ? TLS_TX : TLS_RX };
	uint8_t plain[500];
	union tt_info info;
	struct call c;
	struct trap t;

	k.len = tt_key_pack(way < WRITERS ? &self->tx : &self->rx, &info);
	if (trap_make(&t, &info, k.len))
		SKIP(return, "kernel without userfaultfd");
	k.info = t.page;
	tt_fill(plain, sizeof(plain), way < WRITERS ? 0 : 5);
	if (way >= WRITERS)
		tt_send_data(self->peer, &self->rx, TT_DATA, plain, sizeof(plain));
	ASSERT_EQ(0, tt_ulp(self->sk));
	ASSERT_EQ(0, pthread_create(&k.thread, NULL, keying_run, &k));
	trap_sprung(&t);
	ASSERT_EQ(0, call_begin(&c, self->sk, way, sizeof(plain), true)) TH_LOG("%s did not wait for the lock", names[way]);
	trap_open(&t);
	pthread_join(k.thread, NULL);
	ASSERT_EQ(0, k.result);
	pthread_join(c.thread, NULL);
	ASSERT_EQ((ssize_t)sizeof(plain), c.result) TH_LOG("%s: %s", names[way], strerror(c.err));
	if (way < WRITERS) {
		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->tx, &self->o));
		ASSERT_EQ(sizeof(plain), self->o.len);
		EXPECT_BYTES(self->o.data, sizeof(plain), 0);
		EXPECT_RECORD_OUT();
	} else {
		EXPECT_BYTES(c.buf, sizeof(plain), 5);
		if (way == PEEK)
			ASSERT_EQ(sizeof(plain), tt_read(self->sk, plain, sizeof(plain)));
		EXPECT_RECORD_IN();
	}
	free(c.buf);
}

TEST_F(sleepers, on_the_way_send) { on_the_way(_metadata, self, SEND); }
TEST_F(sleepers, on_the_way_sendfile) { on_the_way(_metadata, self, SENDFILE); }
TEST_F(sleepers, on_the_way_recv) { on_the_way(_metadata, self, RECV); }
TEST_F(sleepers, on_the_way_waitall) { on_the_way(_metadata, self, WAITALL); }
TEST_F(sleepers, on_the_way_peek) { on_the_way(_metadata, self, PEEK); }
TEST_F(sleepers, on_the_way_splice) { on_the_way(_metadata, self, SPLICE); }

TEST_HARNESS_MAIN
