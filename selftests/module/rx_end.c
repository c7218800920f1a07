// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Receive: the end of the stream, clean, too early or by a reset.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "rx_common.h"

#include <pthread.h>

RX_FIXTURE(rx_end);

/* the stream ends inside a record: an error, not a clean end; and nothing of the record */
TEST_F(rx_end, fin_inside_record)
{
	uint8_t rec[200], buf[200];
	size_t n = make(self, rec, TT_DATA, 100, 0, 0), cut[] = { 1, 4, 5, 13, 50, n - 1 };

	for (size_t i = 0; i < ARRAY_SIZE(cut); i++) {
		struct tt_key k = self->k;
		ssize_t r;
		int fd[2];

		k.seq = 0;
		tt_tcp_pair(variant->family, fd);
		tt_install(fd[1], &self->back, &k);
		tt_fill(buf, 20, 0);
		tt_send_data(fd[0], &k, TT_DATA, buf, 20);
		tt_write(fd[0], rec, cut[i]);
		shutdown(fd[0], SHUT_WR);
		ASSERT_EQ(20, recv(fd[1], buf, 20, 0));
		EXPECT_NE(0, tt_poll(fd[1], POLLIN, 10000) & POLLIN);
		memset(buf, 0x5a, sizeof(buf));
		for (int j = 0; j < 2; j++) {
			errno = 0;
			r = recv(fd[1], buf, sizeof(buf), 0);
			EXPECT_EQ(-1, r) TH_LOG("cut after %zu", cut[i]);
			EXPECT_EQ(EBADMSG, errno) TH_LOG("cut after %zu: %s", cut[i], strerror(errno));
		}
		for (size_t j = 0; j < sizeof(buf); j++) {
			ASSERT_EQ(0x5a, buf[j]);
		}
		close(fd[0]);
		close(fd[1]);
	}
}

/* a record one byte short, and the FIN counted as that byte */
TEST_F(rx_end, fin_is_not_data)
{
	uint8_t rec[200], buf[200];
	size_t n = make(self, rec, TT_DATA, 100, 0, 0);

	wire(self, rec, n - 1);
	arrived(self);
	EXPECT_EQ(0, tt_poll(self->sk, POLLIN, 0));
	shutdown(self->peer, SHUT_WR);
	ASSERT_NE(0, tt_poll(self->sk, POLLIN, 10000));
	EXPECT_ERR(EBADMSG, recv(self->sk, buf, sizeof(buf), 0));
	EXPECT_ERR(EBADMSG, recv(self->sk, buf, sizeof(buf), 0));
}

TEST_F(rx_end, peer_reset)
{
	uint8_t buf[200];
	ssize_t n;

	say(self, TT_DATA, 100, 0);
	arrived(self);
	ASSERT_EQ(50, recv(self->sk, buf, 50, 0));
	tt_reset(self->peer);
	self->peer = -1;
	ASSERT_NE(0, tt_poll(self->sk, POLLERR, 10000) & POLLERR);
	/* decrypted data may still be given, but then comes the error, once, and the end */
	n = recv(self->sk, buf, sizeof(buf), 0);
	if (n > 0) {
		EXPECT_EQ(50, n);
		EXPECT_BYTES(buf, 50, 50);
		n = recv(self->sk, buf, sizeof(buf), 0);
	}
	EXPECT_EQ(-1, n);
	EXPECT_EQ(ECONNRESET, errno);
}

struct reset_later {
	int peer, sk;
	struct tt_key k;
};

static void *reset_later(void *arg)
{
	struct reset_later *r = arg;
	struct tt_key now = r->k;

	/* the number moves when the record is taken: the reader has it, and waits for more */
	while (tt_key_get(r->sk, TLS_RX, &r->k, &now) == 0 && now.seq == 0)
		usleep(10000);
	usleep(100000);
	tt_reset(r->peer);
	return NULL;
}

/* an error that ends a wait which already has bytes is not lost */
TEST_F(rx_end, reset_after_partial_copy)
{
	struct reset_later later = { self->peer, self->sk, self->k };
	uint8_t buf[200];
	pthread_t t;

	say(self, TT_DATA, 100, 0);
	ASSERT_EQ(0, pthread_create(&t, NULL, reset_later, &later));
	ASSERT_EQ(100, recv(self->sk, buf, sizeof(buf), MSG_WAITALL));
	EXPECT_BYTES(buf, 100, 0);
	pthread_join(t, NULL);
	EXPECT_ERR(ECONNRESET, recv(self->sk, buf, sizeof(buf), 0));
	self->peer = -1;
}

TEST_HARNESS_MAIN
