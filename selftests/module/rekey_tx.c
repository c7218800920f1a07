// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Key updates of the transmit direction: what is under which key.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "rekey_common.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>

REKEY_FIXTURE(rekey_tx);

TEST_F(rekey_tx, generations)
{
	struct tt_key k = self->tx;

	for (int gen = 0; gen < 5; gen++) {
		for (int i = 0; i <= gen; i++) {
			tt_fill(self->data, 1000, gen);
			ASSERT_EQ(1000, send(self->sk, self->data, 1000, 0));
			ASSERT_EQ(1, tt_recv_rec(self->peer, &k, self->o));
			ASSERT_EQ(1000, self->o->len);
			ASSERT_BYTES(self->o->data, 1000, gen);
		}
		ASSERT_EQ(5, tt_send_type(self->sk, TT_HANDSHAKE, key_update, 5, 0));
		ASSERT_EQ(1, tt_recv_rec(self->peer, &k, self->o));
		ASSERT_EQ(TT_HANDSHAKE, self->o->type);
		ASSERT_TRUE(same_key(self->sk, TLS_TX, &k));
		k = generation(&k, gen);
		ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &k));
		ASSERT_TRUE(same_key(self->sk, TLS_TX, &k));
		EXPECT_COUNTS(gen + 1, 0, 0, 0, 0);
	}
	/* the other direction was not touched */
	ASSERT_TRUE(same_key(self->sk, TLS_RX, &self->rx));
	tt_send_data(self->peer, &self->rx, TT_DATA, "text", 4);
	ASSERT_EQ(4, recv(self->sk, self->buf, ROOM, 0));
	/* an update is no new socket */
	if (self->counted) {
		EXPECT_EQ(1, tt_counter("TlsCurrTxSw"));
		EXPECT_EQ(1, tt_counter("TlsCurrRxSw"));
		/* and the one that asked the kernel for the cipher */
		EXPECT_EQ(2, tt_counter("TlsTxSw"));
	}
}

/*
 * What was written with MSG_MORE before the new key came: sending the KeyUpdate closed the record, so bytes of an open one
 * came after it and belong under the new key.
 */
TEST_F(rekey_tx, open_record)
{
	struct tt_key k2 = generation(&self->tx, 1);

	ASSERT_EQ(3, send(self->sk, "abc", 3, MSG_MORE));
	ASSERT_EQ(5, tt_send_type(self->sk, TT_HANDSHAKE, key_update, 5, 0));
	ASSERT_EQ(3, send(self->sk, "def", 3, MSG_MORE));
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &k2));
	ASSERT_EQ(3, send(self->sk, "ghi", 3, 0));
	ASSERT_EQ(1, tt_recv_rec(self->peer, &self->tx, self->o));
	EXPECT_EQ(TT_DATA, self->o->type);
	EXPECT_EQ(3, self->o->len);
	EXPECT_EQ(0, memcmp(self->o->data, "abc", 3));
	ASSERT_EQ(1, tt_recv_rec(self->peer, &self->tx, self->o));
	EXPECT_EQ(TT_HANDSHAKE, self->o->type);
	ASSERT_EQ(1, tt_recv_rec(self->peer, &k2, self->o));
	EXPECT_EQ(6, self->o->len);
	EXPECT_EQ(0, memcmp(self->o->data, "defghi", 6));
}

/* the same with pages of a file in the open record, and nothing behind it but the end */
TEST_F(rekey_tx, open_record_of_pages)
{
	struct tt_key k2 = generation(&self->tx, 1);
	size_t got = 0;
	int p[2];

	ASSERT_EQ(0, pipe(p));
	tt_fill(self->data, 10000, 0);
	ASSERT_EQ(10000, write(p[1], self->data, 10000));
	ASSERT_EQ(5, tt_send_type(self->sk, TT_HANDSHAKE, key_update, 5, 0));
	ASSERT_EQ(10000, splice(p[0], NULL, self->sk, NULL, 10000, SPLICE_F_MORE));
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &k2));
	tt_fill(self->data, 10, 10000);
	ASSERT_EQ(10, send(self->sk, self->data, 10, 0));
	ASSERT_EQ(1, tt_recv_rec(self->peer, &self->tx, self->o));
	EXPECT_EQ(TT_HANDSHAKE, self->o->type);
	while (got < 10010) {
		ASSERT_EQ(1, tt_recv_rec(self->peer, &k2, self->o));
		ASSERT_BYTES(self->o->data, self->o->len, got);
		got += self->o->len;
	}
	close(p[0]);
	close(p[1]);
}

/* a peer that reads records under this key and, from the first that does not open, under the next ones */
struct taker {
	int fd;
	struct tt_key key, next[64];
	int gens, gen;
	uint64_t got, want;
	const char *bad;
};

static void *take(void *arg)
{
	struct taker *t = arg;
	uint8_t *rec = malloc(5 + TT_REC_MAX);
	struct tt_opened *o = malloc(sizeof(*o));

	while (t->got < t->want && !t->bad) {
		size_t n = tt_read(t->fd, rec, 5), len = rec[3] << 8 | rec[4];

		if (n != 5 || len > TT_REC_MAX || tt_read(t->fd, rec + 5, len) != len) {
			t->bad = "the stream ended too early";
			break;
		}
		while (tt_open(&t->key, rec, 5 + len, o)) {
			if (t->gen == t->gens) {
				t->bad = "a record is under no key, or under one from before";
				goto out;
			}
			t->key = t->next[t->gen++];
		}
		if (o->type == TT_DATA && tt_diff(o->data, o->len, t->got) >= 0)
			t->bad = "wrong bytes";
		if (o->type == TT_DATA)
			t->got += o->len;
	}
out:
	free(rec);
	free(o);
	return NULL;
}

static void taker_init(struct taker *t, int fd, const struct tt_key *k, int gens)
{
	memset(t, 0, sizeof(*t));
	t->fd = fd;
	t->key = *k;
	t->gens = gens;
	for (int i = 0; i < gens; i++)
		t->next[i] = generation(k, i);
}

/* Sealed before, out of the door afterwards: these records stay under the key that they were sealed with. */
TEST_F(rekey_tx, pending_records)
{
	struct taker *t = malloc(sizeof(*t));
	uint64_t sent = 0;

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 30000);
	tt_nonblock(self->sk, true);
	taker_init(t, self->peer, &self->tx, 3);
	for (int gen = 0; gen < 4; gen++) {
		/* until nothing goes any more: what is counted then is sealed, but TCP has not taken all of it */
		for (int idle = 0; idle < (gen == 3 ? 1 : 3);) {
			ssize_t n;

			tt_fill(self->data, 20000, sent);
			n = send(self->sk, self->data, 20000, MSG_NOSIGNAL);
			if (n < 0) {
				ASSERT_EQ(EAGAIN, errno);
				idle++;
				usleep(1000);
				continue;
			}
			sent += n;
		}
		if (gen == 3)
			break;
		ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &t->next[gen]));
		/* some room for the next ones: half of it stays */
		t->want = t->got + (sent - t->got) / 2;
		take(t);
		ASSERT_EQ(NULL, t->bad) TH_LOG("%s", t->bad);
		tt_poll(self->sk, POLLOUT, 1000);
	}
	t->want = sent;
	take(t);
	EXPECT_EQ(NULL, t->bad) TH_LOG("%s", t->bad);
	EXPECT_EQ(sent, t->got);
	/* the last key is in force */
	tt_nonblock(self->sk, false);
	tt_fill(self->data, 100, sent);
	ASSERT_EQ(100, send(self->sk, self->data, 100, 0));
	t->want = sent + 100;
	take(t);
	EXPECT_EQ(NULL, t->bad) TH_LOG("%s", t->bad);
	EXPECT_EQ(3, t->gen);
	free(t);
}

struct writer {
	int fd;
	size_t total, step;
	/* not to be passed, when there is one */
	size_t limit;
	const char *bad;
	volatile bool done;
};

static void *write_all(void *arg)
{
	struct writer *w = arg;
	uint8_t *data = malloc(w->step);

	for (size_t at = 0; at < w->total && !w->bad;) {
		size_t n = w->total - at < w->step ? w->total - at : w->step, done = 0;

		for (size_t limit; (limit = __atomic_load_n(&w->limit, __ATOMIC_RELAXED)) && at > limit;)
			usleep(100);
		tt_fill(data, n, at);
		while (done < n) {
			ssize_t r = send(w->fd, data + done, n - done, MSG_NOSIGNAL);

			if (r <= 0) {
				w->bad = strerror(errno);
				break;
			}
			done += r;
		}
		at += n;
	}
	free(data);
	w->done = true;
	return NULL;
}

/* One thread is asleep in the middle of a write: the key changes at a record's edge, without waiting for it. */
TEST_F(rekey_tx, while_a_writer_sleeps)
{
	struct writer w = { .fd = self->sk, .total = 600000, .step = 600000 };
	struct taker *t = malloc(sizeof(*t));
	pthread_t thread;

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 30000);
	tt_sockopt(self->peer, SOL_SOCKET, SO_RCVBUF, 30000);
	taker_init(t, self->peer, &self->tx, 1);
	ASSERT_EQ(0, pthread_create(&thread, NULL, write_all, &w));
	for (int quiet = 0, last = -1; quiet < 50; quiet++) {
		int in = 0;

		ioctl(self->peer, FIONREAD, &in);
		if (in != last)
			quiet = 0;
		last = in;
		usleep(2000);
	}
	ASSERT_EQ(false, w.done);
	/* nobody reads: if this waited for the writer, it would wait for ever */
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &t->next[0]));
	ASSERT_EQ(false, w.done);
	t->want = w.total;
	take(t);
	pthread_join(thread, NULL);
	EXPECT_EQ(NULL, w.bad) TH_LOG("%s", w.bad);
	EXPECT_EQ(NULL, t->bad) TH_LOG("%s", t->bad);
	EXPECT_EQ(w.total, t->got);
	EXPECT_EQ(1, t->gen);
	free(t);
}

/* A writer that never stops, and keys that change under it: every record is under one key, in their order. */
TEST_F(rekey_tx, under_load)
{
	struct writer w = { .fd = self->sk, .total = 3000000, .step = 7777 };
	const size_t stretch = w.total / 80;
	struct taker *t = malloc(sizeof(*t));
	pthread_t thread[2];
	int n;

	/* the writer is ahead of the keys, but not done before the last of them */
	w.limit = 8 * stretch;
	taker_init(t, self->peer, &self->tx, 64);
	t->want = w.total;
	ASSERT_EQ(0, pthread_create(&thread[0], NULL, take, t));
	ASSERT_EQ(0, pthread_create(&thread[1], NULL, write_all, &w));
	for (n = 0; n < 64; n++) {
		while (!w.done && __atomic_load_n(&t->got, __ATOMIC_RELAXED) < n * stretch)
			usleep(100);
		ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &t->next[n]));
		__atomic_store_n(&w.limit, (n + 8) * stretch, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&w.limit, 0, __ATOMIC_RELAXED);
	pthread_join(thread[1], NULL);
	pthread_join(thread[0], NULL);
	EXPECT_EQ(NULL, w.bad) TH_LOG("%s", w.bad);
	EXPECT_EQ(NULL, t->bad) TH_LOG("%s", t->bad);
	EXPECT_EQ(w.total, t->got);
	EXPECT_EQ(64, t->gen);
	EXPECT_COUNTS(n, 0, 0, 0, 0);
	free(t);
}

/* The last sequence number is used up, but before that a new key came. */
TEST_F(rekey_tx, before_the_sequence_ends)
{
	struct tt_key k2 = generation(&self->tx, 1), k3 = generation(&self->tx, 2), peer;

	k2.seq = ~0ull - 1;
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &k2));
	ASSERT_EQ(4, send(self->sk, "last", 4, 0));
	ASSERT_EQ(1, tt_recv_rec(self->peer, &k2, self->o));
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &k3));
	peer = k3;
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(4, send(self->sk, "next", 4, 0));
		ASSERT_EQ(1, tt_recv_rec(self->peer, &peer, self->o));
	}
	/* the last number is the KeyUpdate's own: there is one more key */
	if (!tt_ulp_is_intree()) {
		k2.seq = ~0ull;
		ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &k2));
		ASSERT_EQ(5, tt_send_type(self->sk, TT_HANDSHAKE, key_update, 5, 0));
		ASSERT_EQ(1, tt_recv_rec(self->peer, &k2, self->o));
		ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &k3));
		peer = k3;
		ASSERT_EQ(4, send(self->sk, "next", 4, 0));
		ASSERT_EQ(1, tt_recv_rec(self->peer, &peer, self->o));
	}
	/* too late: what has failed stays so, or goes on under the new key alone */
	k2.seq = ~0ull;
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &k2));
	while (send(self->sk, "more", 4, MSG_NOSIGNAL) == 4) {
		ASSERT_EQ(1, tt_recv_rec(self->peer, &k2, self->o));
	}
	EXPECT_EQ(EBADMSG, errno);
	if (tt_key_set(self->sk, TLS_TX, &k3) == 0 && send(self->sk, "more", 4, MSG_NOSIGNAL) == 4) {
		EXPECT_EQ(1, tt_recv_rec(self->peer, &k3, self->o));
	}
}

TEST_HARNESS_MAIN
