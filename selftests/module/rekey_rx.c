// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Key updates of the receive direction: what a reader is told while the new key is missing.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "rekey_common.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

REKEY_FIXTURE(rekey_rx);

/* Data, the update and data under the new key, all in one segment. */
TEST_F(rekey_rx, generations)
{
	struct flight f = { self->buf, 0 };
	struct tt_key k = self->rx;
	int bytes;

	for (int gen = 0; gen < 4; gen++) {
		struct tt_key next = generation(&k, gen);

		self->rx = next;
		add_fill(&f, &k, 1000, 0);
		add_update(&f, &k);
		add_fill(&f, &next, 500, 1000);
		fly(&f, self->peer, self->sk);
		RECV_DATA(1000, 0);
		/* what a pipe or a plain read cannot carry stays until somebody can */
		EXPECT_ERR(EIO, recv(self->sk, self->buf, ROOM, 0));
		EXPECT_ERR(EIO, recv(self->sk, self->buf, ROOM, MSG_PEEK));
		EXPECT_ERR(EIO, recv(self->sk, self->buf, ROOM, MSG_DONTWAIT));
		RECV_UPDATE();
		EXPECT_EXPIRED();
		EXPECT_TRUE(same_key(self->sk, TLS_RX, &k));
		EXPECT_COUNTS(0, 0, gen, 0, gen + 1);
		ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &self->rx));
		EXPECT_COUNTS(0, 0, gen + 1, 0, gen + 1);
		EXPECT_TRUE(same_key(self->sk, TLS_RX, &self->rx));
		EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 0));
		if (!tt_ulp_is_intree()) {
			ASSERT_EQ(0, ioctl(self->sk, FIONREAD, &bytes));
			EXPECT_EQ(500, bytes);
		}
		RECV_DATA(500, 1000);
		k = next;
		EXPECT_TRUE(same_key(self->sk, TLS_RX, &k));
		ASSERT_ERRNO_AGAIN(recv(self->sk, self->buf, ROOM, MSG_DONTWAIT));
	}
	/* transmit goes on as before */
	ASSERT_TRUE(same_key(self->sk, TLS_TX, &self->tx));
	ASSERT_EQ(4, send(self->sk, "text", 4, 0));
	ASSERT_EQ(1, tt_recv_rec(self->peer, &self->tx, self->o));
}

/* While the key is missing: sending works, and more data comes, and nothing of it is taken for plaintext. */
TEST_F(rekey_rx, while_expired)
{
	struct flight f = { self->buf, 0 };
	struct tt_key next = generation(&self->rx, 1), k = next;
	int bytes = -1;

	add_update(&f, &self->rx);
	fly(&f, self->peer, self->sk);
	RECV_UPDATE();
	for (int i = 0; i < 5; i++) {
		EXPECT_EXPIRED();
		if (!tt_ulp_is_intree()) {
			ASSERT_EQ(0, ioctl(self->sk, FIONREAD, &bytes));
			EXPECT_EQ(0, bytes);
		}
		add_fill(&f, &k, 300, i * 300);
		fly(&f, self->peer, self->sk);
		ASSERT_EQ(4, send(self->sk, "text", 4, 0));
		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->tx, self->o));
	}
	EXPECT_EXPIRED();
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &next));
	RECV_DATA(1500, 0);
}

/*
 * A large buffer: the call that returns the data has looked at the update already. It has not been read for that: poll must
 * say that there is something, or a program that polls never learns of it.
 */
TEST_F(rekey_rx, poll_until_it_is_read)
{
	struct flight f = { self->buf, 0 };

	add_fill(&f, &self->rx, 100, 0);
	add_update(&f, &self->rx);
	fly(&f, self->peer, self->sk);
	ASSERT_EQ(100, recv(self->sk, self->buf, ROOM, 0));
	EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 0));
	/* the same after a look at it, and between the parts of it */
	ASSERT_EQ(5, tt_recv_type(self->sk, self->buf, ROOM, MSG_PEEK, NULL, NULL));
	EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 0));
	ASSERT_EQ(2, tt_recv_type(self->sk, self->buf, 2, 0, NULL, NULL));
	EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 0));
	RECV_TYPE(TT_HANDSHAKE, 3);
	EXPECT_EXPIRED();
}

/* Several records before it and several updates in one segment, read with buffers of all sizes. */
TEST_F(rekey_rx, several)
{
	for (int size = 0; size < 4; size++) {
		uint8_t *wire = malloc(ROOM);
		struct flight f = { wire, 0 };
		uint64_t pos = 0, got = 0;

		for (int gen = 0; gen < 3; gen++) {
			for (int i = 0; i < 5; i++, pos += 200)
				add_fill(&f, &self->rx, 200, pos);
			if (gen < 2) {
				add_update(&f, &self->rx);
				self->rx = generation(&self->rx, gen + 10 * size);
			}
		}
		fly(&f, self->peer, self->sk);
		free(wire);
		for (int gen = 0; gen < 3; gen++) {
			struct tt_key next = generation(&self->rx, gen + 10 * size);

			while (got < 1000u * (gen + 1)) {
				static const size_t sizes[] = { 1, 199, 250, ROOM };
				ssize_t n = recv(self->sk, self->buf, sizes[size], size == 3 && gen < 2 ? MSG_WAITALL : 0);

				ASSERT_LT(0, n) TH_LOG("%s", strerror(errno));
				ASSERT_BYTES(self->buf, n, got);
				got += n;
			}
			ASSERT_EQ(1000 * (gen + 1), got);
			if (gen == 2)
				break;
			EXPECT_ERR(EIO, recv(self->sk, self->buf, ROOM, 0));
			RECV_UPDATE();
			EXPECT_EXPIRED();
			ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &next));
		}
		/* what follows goes on under the last key */
	}
	EXPECT_COUNTS(0, 0, 8, 0, 8);
}

/* The new key comes while nothing is there to read with it. */
TEST_F(rekey_rx, key_before_data)
{
	struct flight f = { self->buf, 0 };
	struct tt_key next = generation(&self->rx, 1);

	add_update(&f, &self->rx);
	fly(&f, self->peer, self->sk);
	RECV_UPDATE();
	EXPECT_EXPIRED();
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &next));
	EXPECT_EQ(0, tt_poll(self->sk, POLLIN, 0));
	ASSERT_ERRNO_AGAIN(recv(self->sk, self->buf, ROOM, MSG_DONTWAIT));
	add_fill(&f, &next, 100, 0);
	fly(&f, self->peer, self->sk);
	EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 0));
	RECV_DATA(100, 0);
}

/* A peek shows the update as often as one likes, and takes nothing. */
TEST_F(rekey_rx, peek)
{
	struct flight f = { self->buf, 0 };
	struct tt_key next = generation(&self->rx, 1), k = next;
	uint8_t type;
	int p[2];

	ASSERT_EQ(0, pipe(p));
	add_fill(&f, &self->rx, 50, 0);
	add_update(&f, &self->rx);
	add_fill(&f, &k, 60, 50);
	fly(&f, self->peer, self->sk);
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(50, recv(self->sk, self->buf, ROOM, MSG_PEEK));
		ASSERT_BYTES(self->buf, 50, 0);
	}
	RECV_DATA(50, 0);
	for (int i = 0; i < 3; i++) {
		EXPECT_ERR(EIO, recv(self->sk, self->buf, ROOM, MSG_PEEK));
		EXPECT_ERR(EINVAL, splice(self->sk, NULL, p[1], NULL, 100, 0));
		ASSERT_EQ(5, tt_recv_type(self->sk, self->buf, ROOM, MSG_PEEK, &type, NULL));
		EXPECT_EQ(TT_HANDSHAKE, type);
		EXPECT_EQ(0, memcmp(self->buf, key_update, 5));
	}
	RECV_UPDATE();
	EXPECT_EXPIRED();
	EXPECT_COUNTS(0, 0, 0, 0, 1);
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &next));
	ASSERT_EQ(60, recv(self->sk, self->buf, ROOM, MSG_PEEK));
	ASSERT_EQ(60, splice(self->sk, NULL, p[1], NULL, 100, 0));
	ASSERT_EQ(60, tt_read_pipe(p[0], self->buf, 60));
	EXPECT_BYTES(self->buf, 60, 50);
	EXPECT_COUNTS(0, 0, 1, 0, 1);
	close(p[0]);
	close(p[1]);
}

/* A program that peeks at the update and sets the key at once: it can be read afterwards, and nothing is missing then. */
TEST_F(rekey_rx, key_before_it_is_read)
{
	for (int part = 0; part < 5; part++) {
		struct flight f = { self->buf, 0 };
		struct tt_key next = generation(&self->rx, part), k = next;

		add_update(&f, &self->rx);
		add_fill(&f, &k, 60, 0);
		fly(&f, self->peer, self->sk);
		ASSERT_EQ(5, tt_recv_type(self->sk, self->buf, ROOM, MSG_PEEK, NULL, NULL));
		if (part) {
			ASSERT_EQ(part, tt_recv_type(self->sk, self->buf, part, 0, NULL, NULL));
		}
		ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &next));
		RECV_TYPE(TT_HANDSHAKE, 5 - part);
		EXPECT_EQ(0, memcmp(self->buf, key_update + part, 5 - part));
		RECV_DATA(60, 0);
		self->rx = k;
	}
	EXPECT_COUNTS(0, 0, 5, 0, 5);
}

/* One byte at a time: nothing is missing before the last. */
TEST_F(rekey_rx, byte_by_byte)
{
	struct flight f = { self->buf, 0 };
	struct tt_key next = generation(&self->rx, 1), k = next;

	add_update(&f, &self->rx);
	add_fill(&f, &k, 60, 0);
	fly(&f, self->peer, self->sk);
	for (int i = 0; i < 5; i++) {
		uint8_t b = 99, type;
		int flags;

		ASSERT_EQ(1, tt_recv_type(self->sk, &b, 1, 0, &type, &flags));
		EXPECT_EQ(TT_HANDSHAKE, type);
		EXPECT_EQ(key_update[i], b);
		EXPECT_EQ(i == 4 ? MSG_EOR : 0, flags & MSG_EOR);
	}
	EXPECT_EXPIRED();
	EXPECT_COUNTS(0, 0, 0, 0, 1);
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &next));
	RECV_DATA(60, 0);
}

/* The peer says the update and is gone. */
TEST_F(rekey_rx, end_while_expired)
{
	struct flight f = { self->buf, 0 };
	struct tt_key next = generation(&self->rx, 1), k = next;

	add_update(&f, &self->rx);
	add_fill(&f, &k, 60, 0);
	fly(&f, self->peer, self->sk);
	ASSERT_EQ(0, shutdown(self->peer, SHUT_WR));
	/* the end of the stream can be awaited, what is before it cannot be read */
	ASSERT_EQ(POLLRDHUP, tt_poll(self->sk, POLLRDHUP, 20000));
	RECV_UPDATE();
	EXPECT_EQ(POLLRDHUP, tt_poll(self->sk, POLLRDHUP, 0));
	EXPECT_ERR(EKEYEXPIRED, recv(self->sk, self->buf, ROOM, 0));
	EXPECT_ERR(EKEYEXPIRED, recv(self->sk, self->buf, ROOM, MSG_DONTWAIT));
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &next));
	RECV_DATA(60, 0);
	EXPECT_EQ(0, recv(self->sk, self->buf, ROOM, 0));
}

TEST_F(rekey_rx, reset_while_expired)
{
	struct flight f = { self->buf, 0 };
	struct tt_key next = generation(&self->rx, 1);
	ssize_t n;

	add_update(&f, &self->rx);
	fly(&f, self->peer, self->sk);
	RECV_UPDATE();
	tt_reset(self->peer);
	self->peer = -1;
	EXPECT_NE(0, tt_poll(self->sk, POLLIN, 10000) & (POLLERR | POLLHUP));
	n = recv(self->sk, self->buf, ROOM, 0);
	EXPECT_EQ(-1, n);
	EXPECT_TRUE(errno == EKEYEXPIRED || errno == ECONNRESET);
	if (errno == EKEYEXPIRED) {
		tt_key_set(self->sk, TLS_RX, &next);
		EXPECT_ERR(ECONNRESET, recv(self->sk, self->buf, ROOM, 0));
	}
}

struct reader {
	int fd;
	ssize_t n;
	int err;
	uint8_t type, buf[200];
	pthread_t thread;
};

static void *read_one(void *arg)
{
	struct reader *r = arg;

	r->n = tt_recv_type(r->fd, r->buf, sizeof(r->buf), 0, &r->type, NULL);
	r->err = errno;
	return NULL;
}

/* Three are asleep when the update comes: one gets it, the others are told. */
TEST_F(rekey_rx, blocked_readers)
{
	struct reader r[3];
	int got = 0, expired = 0;

	for (int i = 0; i < 3; i++) {
		r[i] = (struct reader){ .fd = self->sk };
		ASSERT_EQ(0, pthread_create(&r[i].thread, NULL, read_one, &r[i]));
	}
	usleep(100000);
	tt_send_data(self->peer, &self->rx, TT_HANDSHAKE, key_update, 5);
	for (int i = 0; i < 3; i++) {
		pthread_join(r[i].thread, NULL);
		got += r[i].n == 5 && r[i].type == TT_HANDSHAKE;
		expired += r[i].n == -1 && r[i].err == EKEYEXPIRED;
	}
	EXPECT_EQ(1, got);
	EXPECT_EQ(2, expired);
}

struct waiter {
	int fd, how, ep;
	int result;
	pthread_t thread;
};

static void *wait_ready(void *arg)
{
	struct waiter *w = arg;
	struct epoll_event ev;

	if (w->how == 0)
		w->result = tt_poll(w->fd, POLLIN, 30000);
	else
		w->result = epoll_wait(w->ep, &ev, 1, 30000) == 1 ? (int)ev.events : 0;
	return NULL;
}

/* A program that sleeps in poll or in an edge-triggered epoll is woken by the key when there is something for it, or by what comes later. */
TEST_F(rekey_rx, wake_up)
{
	for (int how = 0; how < 2; how++)
	for (int late = 0; late < 2; late++) {
		struct tt_key rx = tt_key_make(variant->version, variant->cipher, 2), next = generation(&rx, how + late), k = next;
		struct waiter w = { .how = how };
		struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
		struct flight f = { self->buf, 0 };
		int fd[2];

		tt_tcp_pair(variant->family, fd);
		tt_install(fd[1], NULL, &rx);
		w.fd = fd[1];
		w.ep = epoll_create1(EPOLL_CLOEXEC);
		ASSERT_EQ(0, epoll_ctl(w.ep, EPOLL_CTL_ADD, fd[1], &ev));
		add_update(&f, &rx);
		if (!late)
			add_fill(&f, &k, 60, 0);
		fly(&f, fd[0], fd[1]);
		ASSERT_EQ(1, epoll_wait(w.ep, &ev, 1, 10000));
		ASSERT_EQ(5, tt_recv_type(fd[1], self->buf, ROOM, 0, NULL, NULL));
		EXPECT_ERR(EKEYEXPIRED, recv(fd[1], self->buf, ROOM, MSG_DONTWAIT));
		EXPECT_EQ(0, epoll_wait(w.ep, &ev, 1, 0));
		ASSERT_EQ(0, pthread_create(&w.thread, NULL, wait_ready, &w));
		usleep(50000);
		ASSERT_EQ(0, tt_key_set(fd[1], TLS_RX, &next));
		if (late) {
			usleep(50000);
			add_fill(&f, &k, 60, 0);
			fly(&f, fd[0], fd[1]);
		}
		pthread_join(w.thread, NULL);
		EXPECT_EQ(POLLIN, w.result & POLLIN) TH_LOG("how %d late %d", how, late);
		EXPECT_EQ(60, recv(fd[1], self->buf, ROOM, MSG_DONTWAIT));
		close(w.ep);
		close(fd[0]);
		close(fd[1]);
	}
}

/* The key is set by another process that has the socket, too. */
TEST_F(rekey_rx, key_from_another_process)
{
	struct flight f = { self->buf, 0 };
	struct tt_key next = generation(&self->rx, 1), k = next;
	int st;
	pid_t pid;

	add_update(&f, &self->rx);
	add_fill(&f, &k, 60, 0);
	fly(&f, self->peer, self->sk);
	RECV_UPDATE();
	EXPECT_EXPIRED();
	pid = fork();
	if (!pid) {
		usleep(50000);
		_exit(tt_key_set(self->sk, TLS_RX, &next) ? 1 : 0);
	}
	EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 30000));
	RECV_DATA(60, 0);
	ASSERT_EQ(pid, waitpid(pid, &st, 0));
	EXPECT_EQ(0, st);
}

/* The same for what the peer sends: its last number is that of the KeyUpdate. */
TEST_F(rekey_rx, before_the_sequence_ends)
{
	struct tt_key last = generation(&self->rx, 1), next = generation(&self->rx, 2), k = next;
	struct flight f = { self->buf, 0 };

	if (tt_ulp_is_intree())
		SKIP(return, "the in-tree module gives up at the last number");
	last.seq = ~0ull - 1;
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &last));
	add_fill(&f, &last, 60, 0);
	add_update(&f, &last);
	add_fill(&f, &k, 60, 60);
	fly(&f, self->peer, self->sk);
	RECV_DATA(60, 0);
	RECV_UPDATE();
	EXPECT_EXPIRED();
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &next));
	RECV_DATA(60, 60);
}

/* A reader sleeps, with nothing there or with a part of a record, when a key comes that nobody announced. */
TEST_F(rekey_rx, key_under_a_sleeping_reader)
{
	for (int part = 0; part < 30; part += 7) {
		struct tt_key next = generation(&self->rx, part), k = next;
		struct tt_rec rec = { .type = TT_DATA, .data = "something new", .len = 13 };
		struct reader r = { .fd = self->sk };
		size_t n = tt_seal(&k, &rec, self->buf);

		tt_write(self->peer, self->buf, part);
		ASSERT_EQ(0, pthread_create(&r.thread, NULL, read_one, &r));
		usleep(20000);
		ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &next));
		usleep(1000);
		tt_write(self->peer, self->buf + part, n - part);
		pthread_join(r.thread, NULL);
		EXPECT_EQ(13, r.n) TH_LOG("part %d: %s", part, strerror(r.err));
		EXPECT_EQ(0, memcmp(r.buf, "something new", 13));
		self->rx = k;
	}
}

/* Asking how much there is takes nothing, and a KeyUpdate is no data. */
TEST_F(rekey_rx, fionread)
{
	struct flight f = { self->buf, 0 };
	struct tt_key next = generation(&self->rx, 1), k = next;
	int bytes = -1;

	if (tt_ulp_is_intree())
		SKIP(return, "the in-tree module counts ciphertext");
	add_update(&f, &self->rx);
	add_fill(&f, &k, 60, 0);
	fly(&f, self->peer, self->sk);
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, ioctl(self->sk, FIONREAD, &bytes));
		EXPECT_EQ(0, bytes);
		EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 0));
	}
	RECV_UPDATE();
	EXPECT_EXPIRED();
	EXPECT_COUNTS(0, 0, 0, 0, 1);
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &next));
	ASSERT_EQ(0, ioctl(self->sk, FIONREAD, &bytes));
	EXPECT_EQ(60, bytes);
	RECV_DATA(60, 0);
}

/* Not the peer's key: the records do not open, and nothing comes out of them, also not with a better key later. */
TEST_F(rekey_rx, wrong_key)
{
	struct flight f = { self->buf, 0 };
	struct tt_key next = generation(&self->rx, 1), k = next, wrong = generation(&self->rx, 2);

	add_update(&f, &self->rx);
	add_fill(&f, &k, 60, 0);
	fly(&f, self->peer, self->sk);
	RECV_UPDATE();
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &wrong));
	for (int i = 0; i < 3; i++) {
		EXPECT_ERR(EBADMSG, recv(self->sk, self->buf, ROOM, 0));
	}
	if (self->counted) {
		EXPECT_LE(1, tt_counter("TlsDecryptError"));
	}
	if (!tt_ulp_is_intree()) {
		EXPECT_ERR(EBADMSG, tt_key_set(self->sk, TLS_RX, &next));
		EXPECT_ERR(EBADMSG, recv(self->sk, self->buf, ROOM, 0));
		EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 0) & POLLIN);
	}
}

/* A record that is under the old key still, behind the update. */
TEST_F(rekey_rx, old_key_behind_it)
{
	struct flight f = { self->buf, 0 };
	struct tt_key next = generation(&self->rx, 1);

	add_update(&f, &self->rx);
	add_fill(&f, &self->rx, 60, 0);
	fly(&f, self->peer, self->sk);
	RECV_UPDATE();
	EXPECT_EXPIRED();
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &next));
	EXPECT_ERR(EBADMSG, recv(self->sk, self->buf, ROOM, 0));
}

/* Without an update: what was decrypted stays, the next record is under the new key. */
TEST_F(rekey_rx, unasked)
{
	struct flight f = { self->buf, 0 };
	struct tt_key next = generation(&self->rx, 1), k = next;

	add_fill(&f, &self->rx, 100, 0);
	add_fill(&f, &self->rx, 100, 100);
	fly(&f, self->peer, self->sk);
	ASSERT_EQ(200, recv(self->sk, self->buf, ROOM, MSG_PEEK));
	ASSERT_EQ(30, recv(self->sk, self->buf, 30, 0));
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &next));
	add_fill(&f, &k, 100, 200);
	fly(&f, self->peer, self->sk);
	RECV_DATA(270, 30);
	EXPECT_COUNTS(0, 0, 1, 0, 0);
}

/* A part of the next record is there, header or not, when the key comes; with a window that is smaller than the record, too. */
TEST_F(rekey_rx, part_of_a_record)
{
	static const size_t parts[] = { 1, 4, 5, 6, 100, 9000 };

	for (int small = 0; small < 2; small++)
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
	for (int asked = 0; asked < 2; asked++) {
		struct tt_key rx = tt_key_make(variant->version, variant->cipher, 2), next = generation(&rx, i), k = next;
		struct tt_rec r = { .type = TT_DATA, .data = self->data, .len = TT_MAX };
		size_t n, part = parts[i], got = 0;
		uint64_t base;
		int fd[2];
		pid_t pid;

		if (small && part > 100)
			continue;
		tt_tcp_pair(variant->family, fd);
		if (small)
			tt_sockopt(fd[1], SOL_SOCKET, SO_RCVBUF, 1);
		tt_install(fd[1], NULL, &rx);
		tt_fill(self->data, TT_MAX, 0);
		n = tt_seal(&k, &r, self->buf);
		if (asked) {
			tt_send_data(fd[0], &rx, TT_HANDSHAKE, key_update, 5);
			ASSERT_EQ(5, tt_recv_type(fd[1], self->data, ROOM, 0, NULL, NULL));
		}
		base = tt_bytes_received(fd[1]);
		tt_write(fd[0], self->buf, part);
		tt_wait_received(fd[1], base + part);
		if (asked) {
			EXPECT_ERR(EKEYEXPIRED, recv(fd[1], self->data, ROOM, MSG_DONTWAIT));
		} else {
			ASSERT_ERRNO_AGAIN(recv(fd[1], self->data, ROOM, MSG_DONTWAIT));
		}
		pid = -1;
		for (int step = 0; step < 2; step++) {
			/* the rest: where it is not under the old key, already before the new one comes */
			if (step == !asked) {
				pid = fork();
				if (!pid) {
					tt_write(fd[0], self->buf + part, n - part);
					_exit(0);
				}
			} else {
				if (asked) {
					/* a window that is full does not make it readable */
					tt_wait_received(fd[1], base + part + 200);
					EXPECT_EQ(0, tt_poll(fd[1], POLLIN, 20));
				}
				ASSERT_EQ(0, tt_key_set(fd[1], TLS_RX, &next));
			}
		}
		while (got < TT_MAX) {
			ssize_t m = recv(fd[1], self->data, TT_MAX - got, 0);

			ASSERT_LT(0, m) TH_LOG("small %d part %zu asked %d: %s", small, parts[i], asked, strerror(errno));
			ASSERT_BYTES(self->data, m, got);
			got += m;
		}
		waitpid(pid, NULL, 0);
		close(fd[0]);
		close(fd[1]);
	}
}

TEST_HARNESS_MAIN
