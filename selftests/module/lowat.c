// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * SO_RCVLOWAT. What of a record has left TCP's queue counts, and the option is the program's: it reads what it has set, whoever
 * sleeps.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "rx_common.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

RX_FIXTURE(lowat);

/* a thread in one system call after the other: the state that the kernel has it in */
static bool asleep(pid_t tid)
{
	char path[64], text[512], *state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	TT_MUST(f && fgets(text, sizeof(text), f));
	fclose(f);
	state = strrchr(text, ')');
	return state && state[2] == 'S';
}

struct sleeper {
	int sk, ep;		/* epoll when there is one, else poll */
	size_t len;		/* recv of so many bytes instead */
	ssize_t result;
	pid_t tid;
	pthread_t thread;
	uint8_t buf[1000];
};

static void *sleeper_main(void *arg)
{
	struct sleeper *s = arg;
	struct epoll_event ev;

	__atomic_store_n(&s->tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	if (s->len)
		s->result = recv(s->sk, s->buf, s->len, 0);
	else if (s->ep >= 0)
		s->result = epoll_wait(s->ep, &ev, 1, 30000);
	else
		s->result = tt_poll(s->sk, POLLIN, 30000) == POLLIN;
	return NULL;
}

static void put_to_sleep(struct sleeper *s)
{
	s->tid = 0;
	TT_MUST(pthread_create(&s->thread, NULL, sleeper_main, s) == 0);
	while (!__atomic_load_n(&s->tid, __ATOMIC_SEQ_CST) || !asleep(s->tid))
		usleep(1000);
}

static ssize_t woken(struct sleeper *s)
{
	pthread_join(s->thread, NULL);
	return s->result;
}

static int mark(struct rx *self)
{
	return tt_sockopt_get(self->sk, SOL_SOCKET, SO_RCVLOWAT);
}

/*
 * The window is too small for the record, so its start is taken out of the queue. The rest is less than the mark, but the record
 * is not.
 */
TEST_F(lowat, rest_below_the_mark)
{
	static const size_t sizes[] = { 16384, 16000, 9000, 12345, 15000, 11111 };
	uint8_t *rec = malloc(TT_REC_MAX), *buf = malloc(TT_MAX);
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = epoll_create1(0), low;

	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->sk, &ev));
	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVBUF, 1);
	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVLOWAT, 100000);
	low = mark(self);
	for (size_t i = 0; i < 2 * ARRAY_SIZE(sizes); i++) {
		size_t len = sizes[i / 2], n = make(self, rec, TT_DATA, len, 0, i), rest = 10 + 7 * i;
		struct sleeper s = { .sk = self->sk, .ep = i % 2 ? ep : -1 };

		for (size_t at = 0, step; at < n - rest; at += step) {
			step = at + 500 < n - rest ? 500 : n - rest - at;
			wire(self, rec + at, step);
			arrived(self);
		}
		EXPECT_EQ(0, tt_poll(self->sk, POLLIN, 0));
		put_to_sleep(&s);
		wire(self, rec + n - rest, rest);
		ASSERT_EQ(1, woken(&s)) TH_LOG("round %zu: asleep beside a record of %zu", i, len);
		EXPECT_EQ(low, mark(self));
		ASSERT_EQ(len, tt_read(self->sk, buf, len));
		ASSERT_BYTES(buf, len, i);
	}
	close(ep);
	free(rec);
	free(buf);
}

/* one thread sleeps for 50 bytes, another says that one is enough from now on, for him or for the next */
TEST_F(lowat, set_while_a_reader_sleeps)
{
	struct sleeper s = { .sk = self->sk, .len = 500 };
	uint8_t buf[100];

	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVLOWAT, 50);
	put_to_sleep(&s);
	EXPECT_EQ(50, mark(self));
	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVLOWAT, 1);
	EXPECT_EQ(1, mark(self));
	say(self, TT_DATA, 60, 0);
	ASSERT_EQ(60, woken(&s));
	EXPECT_BYTES(s.buf, 60, 0);
	EXPECT_EQ(1, mark(self));
	for (int i = 0; i < 3; i++) {
		struct sleeper p = { .sk = self->sk, .ep = -1 };

		put_to_sleep(&p);
		say(self, TT_DATA, 10, i);
		ASSERT_EQ(1, woken(&p)) TH_LOG("message %d wakes nobody", i);
		ASSERT_EQ(10, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
		EXPECT_BYTES(buf, 10, i);
	}
}

/* as it was, for the one who sleeps and after him, though each of his records is less */
TEST_F(lowat, seen_while_a_reader_sleeps)
{
	struct sleeper s = { .sk = self->sk, .len = 500 };

	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVLOWAT, 50);
	put_to_sleep(&s);
	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(50, mark(self));
		say(self, TT_DATA, 10, i * 10);
		arrived(self);
	}
	ASSERT_EQ(50, woken(&s));
	EXPECT_BYTES(s.buf, 50, 0);
	EXPECT_EQ(50, mark(self));
}

/* what it is for: less than the mark wakes nobody, lowering it does */
TEST_F(lowat, poll_waits_for_the_mark)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = epoll_create1(0);
	uint8_t buf[1000];

	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->sk, &ev));
	for (int i = 0; i < 4; i++) {
		struct sleeper s = { .sk = self->sk, .ep = i % 2 ? ep : -1 };

		tt_sockopt(self->sk, SOL_SOCKET, SO_RCVLOWAT, 500);
		put_to_sleep(&s);
		for (int j = 0; j < 3; j++) {
			say(self, TT_DATA, 100, j * 100);
			arrived(self);
			EXPECT_EQ(0, tt_poll(self->sk, POLLIN, 0));
			EXPECT_EQ(0, epoll_wait(ep, &ev, 1, 0));
		}
		if (i < 2) {
			say(self, TT_DATA, 100, 300);
			say(self, TT_DATA, 100, 400);
		} else {
			tt_sockopt(self->sk, SOL_SOCKET, SO_RCVLOWAT, 100);
		}
		ASSERT_EQ(1, woken(&s));
		ASSERT_EQ(i < 2 ? 500 : 300, tt_read(self->sk, buf, i < 2 ? 500 : 300));
		EXPECT_BYTES(buf, 300, 0);
	}
	close(ep);
}

/* whoever does not wait gets what there is, and what is decrypted is there for everybody */
TEST_F(lowat, part_of_a_record)
{
	uint8_t buf[1000];

	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVLOWAT, 500);
	say(self, TT_DATA, 100, 0);
	arrived(self);
	ASSERT_EQ(40, recv(self->sk, buf, 40, MSG_DONTWAIT));
	EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 0));
	ASSERT_EQ(60, recv(self->sk, buf + 40, 100, MSG_DONTWAIT));
	EXPECT_BYTES(buf, 100, 0);
	EXPECT_EQ(0, tt_poll(self->sk, POLLIN, 0));
}

/* the stream ends below the mark */
TEST_F(lowat, end)
{
	struct sleeper s = { .sk = self->sk, .len = 500 };

	tt_sockopt(self->sk, SOL_SOCKET, SO_RCVLOWAT, 400);
	put_to_sleep(&s);
	say(self, TT_DATA, 10, 0);
	shutdown(self->peer, SHUT_WR);
	ASSERT_EQ(10, woken(&s));
	EXPECT_BYTES(s.buf, 10, 0);
	EXPECT_EQ(0, recv(self->sk, s.buf, 10, 0));
}

TEST_HARNESS_MAIN
