// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Receive: a cipher that has no memory for one operation and works afterwards (the test module tlsrec_oom). The call says so,
 * everything stays where it is, whoever waits for an event gets one, and the next call goes on as if nothing had been.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "oom_common.h"
#include "rx_common.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

RX_FIXTURE(oom);

/* the socket gets a cipher that can fail; nobody else's new keys are to have it */
static void weaken(struct rx *self, enum tt_family family, uint16_t version, uint16_t cipher)
{
	oom_load(version, cipher);
	rx_close(self);
	*self = (struct rx){ };
	TT_MUST(rx_open(self, family, version, cipher));
}

#define WEAKEN() weaken(self, variant->family, variant->version, variant->cipher)

/* the last socket that has it goes with this */
#define RECOVER() do {						\
	close(self->sk);					\
	self->sk = open("/dev/null", O_RDONLY);			\
	EXPECT_EQ(0, oom_unload());				\
} while (0)

/* READ_TWO: an empty record first, so that nothing is read before the failure */
enum { READ, PEEK, SPLICE, ASK, READ_TWO, N_HOW };

/* each way to take a record, which is in TCP's queue, or of which only the end is */
TEST_F(oom, receive)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	uint8_t *buf = malloc(40000);
	int ep = epoll_create1(0), p[2];
	uint64_t pos = 0;

	WEAKEN();
	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->sk, &ev));
	for (int small = 0; small < 2; small++)
	for (int how = 0; how < N_HOW; how++) {
		size_t len = small ? TT_MAX : 3000;
		uint8_t *rec = malloc(TT_REC_MAX);
		int bytes = -1;
		ssize_t r;
		size_t n;

		if (small)
			tt_sockopt(self->sk, SOL_SOCKET, SO_RCVBUF, 1);
		if (how == READ_TWO)
			say(self, TT_DATA, 0, 0);
		n = make(self, rec, TT_DATA, len, 0, pos);
		tt_write_slow(self->peer, rec, n, 1000);
		self->sent += n;
		if (!small)
			arrived(self);
		ASSERT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 30000));
		while (epoll_wait(ep, &ev, 1, 0) > 0)
			;
		oom_fail("decrypt", how == READ_TWO ? 2 : 1);
		switch (how) {
		case PEEK:
			r = recv(self->sk, buf, 40000, MSG_PEEK | MSG_DONTWAIT);
			break;
		case SPLICE:
			r = splice(self->sk, NULL, p[1], NULL, 40000, SPLICE_F_NONBLOCK);
			break;
		case ASK:
			ASSERT_EQ(0, ioctl(self->sk, FIONREAD, &bytes));
			EXPECT_EQ(0, bytes);
			errno = ENOMEM;
			r = -1;
			break;
		default:
			r = recv(self->sk, buf, 40000, how == READ ? MSG_DONTWAIT : 0);
		}
		ASSERT_TRUE(oom_failed("decrypt"));
		ASSERT_EQ(-1, r) TH_LOG("how %d, small %d", how, small);
		ASSERT_EQ(ENOMEM, errno) TH_LOG("how %d, small %d: %s", how, small, strerror(errno));
		EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 0));
		/* nothing else will come for what is there */
		if (how != ASK)
			ASSERT_EQ(1, epoll_wait(ep, &ev, 1, 30000)) TH_LOG("no event after it, how %d, small %d", how, small);
		ASSERT_EQ(len, tt_read(self->sk, buf, len)) TH_LOG("how %d, small %d", how, small);
		ASSERT_BYTES(buf, len, pos);
		EXPECT_ERR(EAGAIN, recv(self->sk, buf, 1, MSG_DONTWAIT));
		pos += len;
		free(rec);
	}
	/* the other direction has not noticed */
	EXPECT_EQ(3, send(self->sk, "abc", 3, 0));
	close(ep);
	close(p[0]);
	close(p[1]);
	free(buf);
	RECOVER();
}

/* the second of two records: the first is what the call returns */
TEST_F(oom, behind_a_record)
{
	uint8_t buf[4000];

	WEAKEN();
	for (int i = 0; i < 4; i++) {
		say(self, TT_DATA, 1000, 0);
		say(self, TT_DATA, 1000, 1000);
		arrived(self);
		oom_fail("decrypt", 2);
		ASSERT_EQ(1000, recv(self->sk, buf, sizeof(buf), i % 2 ? 0 : MSG_DONTWAIT));
		ASSERT_TRUE(oom_failed("decrypt"));
		ASSERT_EQ(1000, recv(self->sk, buf + 1000, sizeof(buf) - 1000, MSG_DONTWAIT));
		EXPECT_BYTES(buf, 2000, 0);
	}
	RECOVER();
}

/* many in a row change nothing either */
TEST_F(oom, again_and_again)
{
	uint8_t buf[1000];

	WEAKEN();
	say(self, TT_DATA, 1000, 0);
	arrived(self);
	for (int i = 0; i < 100; i++) {
		oom_fail("decrypt", 1);
		EXPECT_ERR_AT(ENOMEM, recv(self->sk, buf, sizeof(buf), i % 2 ? 0 : MSG_DONTWAIT), i);
	}
	ASSERT_EQ(1000, recv(self->sk, buf, sizeof(buf), 0));
	EXPECT_BYTES(buf, 1000, 0);
	RECOVER();
}

TEST_HARNESS_MAIN
