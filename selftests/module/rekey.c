// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Key updates of TLS 1.3 by setsockopt: what is under which key, what a reader is told while the new key is missing, and
 * where a KeyUpdate may stand in the stream of handshake messages.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/wait.h>

/* RFC 8446 4.6.3, update_requested = 0 */
static const uint8_t key_update[5] = { 24, 0, 0, 1, 0 };

FIXTURE(rekey)
{
	int peer;		/* bare TCP */
	int sk;			/* both keys set */
	struct tt_key tx, rx;	/* of sk */
	struct tt_opened *o;
	uint8_t *data, *buf;
	bool counted;		/* nobody else's connections are in the counters */
};

FIXTURE_VARIANT(rekey)
{
	TT_VARIANT_FIELDS;
};

TT_VARIANT(rekey, gcm128_ip4, TT_IP4, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128);
TT_VARIANT(rekey, gcm256_ip6, TT_IP6, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256);
TT_VARIANT(rekey, ccm128_mapped, TT_MAPPED, TLS_1_3_VERSION, TLS_CIPHER_AES_CCM_128);
TT_VARIANT(rekey, chacha20_ip4, TT_IP4, TLS_1_3_VERSION, TLS_CIPHER_CHACHA20_POLY1305);

#define ROOM 100000

FIXTURE_SETUP(rekey)
{
	int fd[2];

	self->counted = tt_netns() == 0;
	if (tt_cipher_refused(variant->version, variant->cipher) == ENOENT)
		SKIP(return, "this kernel has no %s", tt_cipher(variant->cipher)->name);
	tt_tcp_pair(variant->family, fd);
	self->peer = fd[0];
	self->sk = fd[1];
	self->tx = tt_key_make(variant->version, variant->cipher, 1);
	self->rx = tt_key_make(variant->version, variant->cipher, 2);
	self->o = malloc(sizeof(*self->o));
	self->data = malloc(ROOM);
	self->buf = malloc(ROOM);
	tt_install(self->sk, &self->tx, &self->rx);
}

FIXTURE_TEARDOWN(rekey)
{
	close(self->peer);
	close(self->sk);
	free(self->o);
	free(self->data);
	free(self->buf);
}

/* The key of a generation of a direction. Sequence numbers begin anywhere, as they do when a program counts on. */
static struct tt_key generation(const struct tt_key *k, unsigned int gen)
{
	struct tt_key next = tt_key_make(k->version, k->cipher, 1000 + gen);

	next.seq = gen % 3 ? gen : 0;
	return next;
}

/* Records that go out in one write, so that they are in one segment. */
struct flight {
	uint8_t *buf;
	size_t len;
};

static void add(struct flight *f, struct tt_key *k, uint8_t type, const void *data, size_t len)
{
	struct tt_rec r = { .type = type, .data = data, .len = len };

	f->len += tt_seal(k, &r, f->buf + f->len);
}

static void add_fill(struct flight *f, struct tt_key *k, size_t len, uint64_t pos)
{
	uint8_t *data = malloc(len);

	tt_fill(data, len, pos);
	add(f, k, TT_DATA, data, len);
	free(data);
}

static void add_update(struct flight *f, struct tt_key *k)
{
	add(f, k, TT_HANDSHAKE, key_update, sizeof(key_update));
}

/* and all of it is there when this returns */
static void fly(struct flight *f, int from, int to)
{
	uint64_t base = tt_bytes_received(to);

	tt_write(from, f->buf, f->len);
	tt_wait_received(to, base + f->len);
	f->len = 0;
}

#define RECV_TYPE(expect, length) do {							\
	uint8_t __t = 0;								\
											\
	ASSERT_EQ(length, tt_recv_type(self->sk, self->buf, ROOM, 0, &__t, NULL))	\
		TH_LOG("%s", strerror(errno));						\
	ASSERT_EQ(expect, __t);								\
} while (0)

#define RECV_UPDATE() do {								\
	RECV_TYPE(TT_HANDSHAKE, 5);							\
	ASSERT_EQ(0, memcmp(self->buf, key_update, 5));					\
} while (0)

#define RECV_DATA(length, pos) do {							\
	ASSERT_EQ(length, tt_read(self->sk, self->buf, length))				\
		TH_LOG("%s", strerror(errno));						\
	ASSERT_BYTES(self->buf, length, pos);						\
} while (0)

/* Whatever way one asks, the answer is that the key is missing. */
#define EXPECT_EXPIRED() do {								\
	int __p[2];									\
											\
	ASSERT_EQ(0, pipe(__p));							\
	EXPECT_ERR(EKEYEXPIRED, recv(self->sk, self->buf, ROOM, 0));			\
	EXPECT_ERR(EKEYEXPIRED, recv(self->sk, self->buf, ROOM, MSG_DONTWAIT));		\
	EXPECT_ERR(EKEYEXPIRED, recv(self->sk, self->buf, ROOM, MSG_PEEK));		\
	EXPECT_ERR(EKEYEXPIRED, recv(self->sk, self->buf, ROOM, MSG_WAITALL));		\
	EXPECT_ERR(EKEYEXPIRED, read(self->sk, self->buf, 1));				\
	EXPECT_ERR(EKEYEXPIRED, tt_recv_type(self->sk, self->buf, ROOM, 0, NULL, NULL));	\
	EXPECT_ERR(EKEYEXPIRED, splice(self->sk, NULL, __p[1], NULL, 100, 0));		\
	EXPECT_ERR(EKEYEXPIRED, splice(self->sk, NULL, __p[1], NULL, 100, SPLICE_F_NONBLOCK));	\
	EXPECT_EQ(0, tt_poll(self->sk, POLLIN | POLLRDNORM, 0));			\
	close(__p[0]);									\
	close(__p[1]);									\
} while (0)

/* how many updates there were, with the result that programs and operators see */
#define EXPECT_COUNTS(txok, txerr, rxok, rxerr, received) do {				\
	if (self->counted) {								\
		EXPECT_EQ(txok, tt_counter("TlsTxRekeyOk"));				\
		EXPECT_EQ(txerr, tt_counter("TlsTxRekeyError"));			\
		EXPECT_EQ(rxok, tt_counter("TlsRxRekeyOk"));				\
		EXPECT_EQ(rxerr, tt_counter("TlsRxRekeyError"));			\
		EXPECT_EQ(received, tt_counter("TlsRxRekeyReceived"));			\
	}										\
} while (0)

static int same_key(int fd, int dir, const struct tt_key *want)
{
	struct tt_key got;
	const struct tt_cipher *c = tt_cipher(want->cipher);

	if (tt_key_get(fd, dir, want, &got))
		return 0;
	return got.version == want->version && got.cipher == want->cipher && got.seq == want->seq && !memcmp(got.key, want->key, c->key) &&
	       !memcmp(got.iv, want->iv, c->iv) && !memcmp(got.salt, want->salt, c->salt);
}

/* ---- transmit ---- */

TEST_F(rekey, tx)
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
		ASSERT_EQ(1, same_key(self->sk, TLS_TX, &k));
		k = generation(&k, gen);
		ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &k));
		ASSERT_EQ(1, same_key(self->sk, TLS_TX, &k));
		EXPECT_COUNTS(gen + 1, 0, 0, 0, 0);
	}
	/* the other direction was not touched */
	ASSERT_EQ(1, same_key(self->sk, TLS_RX, &self->rx));
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
TEST_F(rekey, tx_open_record)
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
TEST_F(rekey, tx_open_record_of_pages)
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
TEST_F(rekey, tx_pending_records)
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
TEST_F(rekey, tx_while_a_writer_sleeps)
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
TEST_F(rekey, tx_under_load)
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
TEST_F(rekey, tx_before_the_sequence_ends)
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

/* Options belong to the socket, not to the key. */
TEST_F(rekey, options_stay)
{
	struct tt_key k2 = generation(&self->tx, 1), r2 = generation(&self->rx, 1);
	uint16_t limit = 400, v = 0;
	unsigned int one = 1;
	socklen_t len = sizeof(v);

	ASSERT_EQ(0, setsockopt(self->sk, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &one, sizeof(one)));
	ASSERT_EQ(0, setsockopt(self->sk, SOL_TLS, TLS_TX_ZEROCOPY_RO, &one, sizeof(one)));
	ASSERT_EQ(0, setsockopt(self->sk, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &limit, sizeof(limit)));
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &k2));
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &r2));
	ASSERT_EQ(0, getsockopt(self->sk, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &v, &len));
	EXPECT_EQ(400, v);
	EXPECT_EQ(1, tt_sockopt_get(self->sk, SOL_TLS, TLS_RX_EXPECT_NO_PAD));
	EXPECT_EQ(1, tt_sockopt_get(self->sk, SOL_TLS, TLS_TX_ZEROCOPY_RO));
	ASSERT_EQ(1000, send(self->sk, self->data, 1000, 0));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(1, tt_recv_rec(self->peer, &k2, self->o));
		EXPECT_EQ(i < 2 ? 400 : 200, self->o->len);
	}
}

/* ---- receive: what a reader is told ---- */

/* Data, the update and data under the new key, all in one segment. */
TEST_F(rekey, rx)
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
		EXPECT_EQ(1, same_key(self->sk, TLS_RX, &k));
		EXPECT_COUNTS(0, 0, gen, 0, gen + 1);
		ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &self->rx));
		EXPECT_COUNTS(0, 0, gen + 1, 0, gen + 1);
		EXPECT_EQ(1, same_key(self->sk, TLS_RX, &self->rx));
		EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 0));
		if (!tt_ulp_is_intree()) {
			ASSERT_EQ(0, ioctl(self->sk, FIONREAD, &bytes));
			EXPECT_EQ(500, bytes);
		}
		RECV_DATA(500, 1000);
		k = next;
		EXPECT_EQ(1, same_key(self->sk, TLS_RX, &k));
		ASSERT_ERRNO_AGAIN(recv(self->sk, self->buf, ROOM, MSG_DONTWAIT));
	}
	/* transmit goes on as before */
	ASSERT_EQ(1, same_key(self->sk, TLS_TX, &self->tx));
	ASSERT_EQ(4, send(self->sk, "text", 4, 0));
	ASSERT_EQ(1, tt_recv_rec(self->peer, &self->tx, self->o));
}

/* While the key is missing: sending works, and more data comes, and nothing of it is taken for plaintext. */
TEST_F(rekey, rx_while_expired)
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
TEST_F(rekey, rx_poll_until_it_is_read)
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
TEST_F(rekey, rx_several)
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
TEST_F(rekey, rx_key_before_data)
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
TEST_F(rekey, rx_peek)
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
TEST_F(rekey, rx_key_before_it_is_read)
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
TEST_F(rekey, rx_byte_by_byte)
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
TEST_F(rekey, rx_end_while_expired)
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

TEST_F(rekey, rx_reset_while_expired)
{
	struct flight f = { self->buf, 0 };
	struct tt_key next = generation(&self->rx, 1);
	struct linger lg = { 1, 0 };
	ssize_t n;

	add_update(&f, &self->rx);
	fly(&f, self->peer, self->sk);
	RECV_UPDATE();
	setsockopt(self->peer, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg));
	close(self->peer);
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
TEST_F(rekey, rx_blocked_readers)
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
TEST_F(rekey, rx_wake_up)
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
TEST_F(rekey, rx_key_from_another_process)
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

/* ---- refusals ---- */

static int set_length(int fd, int dir, const struct tt_key *k, int grow)
{
	union { union tt_info i; uint8_t room[128]; } u;
	socklen_t len;

	memset(&u, 0, sizeof(u));
	len = tt_key_pack(k, &u.i);
	return setsockopt(fd, SOL_TLS, dir, &u, len + grow);
}

/* An update that is refused changes nothing, is counted, and the right one is still taken. */
TEST_F(rekey, refusals)
{
	uint16_t other = variant->cipher == TLS_CIPHER_AES_GCM_128 ? TLS_CIPHER_CHACHA20_POLY1305 : TLS_CIPHER_AES_GCM_128;
	struct tt_key version = tt_key_make(TLS_1_2_VERSION, variant->cipher, 9), cipher = tt_key_make(variant->version, other, 9);
	struct tt_key aria = tt_key_make(TLS_1_3_VERSION, TLS_CIPHER_ARIA_GCM_128, 9), none = tt_key_make(0x0305, variant->cipher, 9);
	struct tt_key next = generation(&self->rx, 1), k = next, tx2 = generation(&self->tx, 5);
	struct flight f = { self->buf, 0 };
	socklen_t len = tt_cipher(variant->cipher)->info;
	int errors = 0;

	for (int expired = 0; expired < 2; expired++) {
		for (int dir = TLS_TX; dir <= TLS_RX; dir++) {
			EXPECT_ERR(EINVAL, tt_key_set(self->sk, dir, &version));
			EXPECT_ERR(EINVAL, tt_key_set(self->sk, dir, &cipher));
			EXPECT_ERR(EINVAL, tt_key_set(self->sk, dir, &aria));
			EXPECT_ERR(EINVAL, tt_key_set(self->sk, dir, &none));
			EXPECT_ERR(EINVAL, set_length(self->sk, dir, &next, -1));
			EXPECT_ERR(EINVAL, set_length(self->sk, dir, &next, 1));
			EXPECT_ERR(EINVAL, set_length(self->sk, dir, &next, 4 - (int)len));
			EXPECT_ERR(EFAULT, setsockopt(self->sk, SOL_TLS, dir, (void *)16, len));
			/* too short to be anything is no update */
			EXPECT_ERR(EINVAL, setsockopt(self->sk, SOL_TLS, dir, &next, 3));
			EXPECT_ERR(EINVAL, setsockopt(self->sk, SOL_TLS, dir, &next, 0));
		}
		errors += 8;
		EXPECT_COUNTS(0, errors, 0, errors, expired);
		EXPECT_EQ(1, same_key(self->sk, TLS_TX, &self->tx));
		EXPECT_EQ(1, same_key(self->sk, TLS_RX, &self->rx));
		ASSERT_EQ(4, send(self->sk, "text", 4, 0));
		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->tx, self->o));
		if (expired)
			break;
		add_fill(&f, &self->rx, 60, 0);
		add_update(&f, &self->rx);
		add_fill(&f, &k, 60, 60);
		fly(&f, self->peer, self->sk);
		RECV_DATA(60, 0);
		RECV_UPDATE();
	}
	EXPECT_EXPIRED();
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &next));
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &tx2));
	EXPECT_COUNTS(1, errors, 1, errors, 1);
	RECV_DATA(60, 60);
	ASSERT_EQ(4, send(self->sk, "text", 4, 0));
	ASSERT_EQ(1, tt_recv_rec(self->peer, &tx2, self->o));
}

/* TLS 1.2 has no updates: the second key is refused in both directions, and the first goes on. */
TEST_F(rekey, tls12)
{
	struct tt_key tx = tt_key_make(TLS_1_2_VERSION, variant->cipher, 1), rx = tt_key_make(TLS_1_2_VERSION, variant->cipher, 2);
	int fd[2];

	tt_tcp_pair(variant->family, fd);
	tt_install(fd[1], &tx, &rx);
	for (int i = 0; i < 3; i++) {
		tt_send_data(fd[0], &rx, TT_HANDSHAKE, key_update, 5);
		tt_send_data(fd[0], &rx, TT_DATA, "data", 4);
		ASSERT_EQ(5, tt_recv_type(fd[1], self->buf, ROOM, 0, NULL, NULL));
		EXPECT_EQ(POLLIN, tt_poll(fd[1], POLLIN, 10000));
		ASSERT_EQ(4, recv(fd[1], self->buf, ROOM, 0));
		EXPECT_ERR(EBUSY, tt_key_set(fd[1], TLS_TX, &tx));
		EXPECT_ERR(EBUSY, tt_key_set(fd[1], TLS_RX, &rx));
		EXPECT_COUNTS(0, i + 1, 0, i + 1, 0);
		ASSERT_EQ(5, tt_send_type(fd[1], TT_HANDSHAKE, key_update, 5, 0));
		ASSERT_EQ(1, tt_recv_rec(fd[0], &tx, self->o));
	}
	close(fd[0]);
	close(fd[1]);
}

/* The same for what the peer sends: its last number is that of the KeyUpdate. */
TEST_F(rekey, rx_before_the_sequence_ends)
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
TEST_F(rekey, rx_key_under_a_sleeping_reader)
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
TEST_F(rekey, rx_fionread)
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
TEST_F(rekey, rx_wrong_key)
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
TEST_F(rekey, rx_old_key_behind_it)
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

/* ---- the key at unusual times ---- */

/* Without an update: what was decrypted stays, the next record is under the new key. */
TEST_F(rekey, rx_unasked)
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
TEST_F(rekey, rx_part_of_a_record)
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

/* On sockets that are finished in one way or another an update may fail, and does nothing bad. */
TEST_F(rekey, at_the_end)
{
	for (int how = 0; how < 5; how++) {
		struct tt_key rx = tt_key_make(variant->version, variant->cipher, 2), tx = tt_key_make(variant->version, variant->cipher, 1);
		struct tt_key rx2 = generation(&rx, 1), tx2 = generation(&tx, 2);
		struct linger lg = { 1, 0 };
		int fd[2];

		tt_tcp_pair(variant->family, fd);
		tt_install(fd[1], &tx, &rx);
		send(fd[1], "open", 4, MSG_MORE);
		switch (how) {
		case 0:
			shutdown(fd[1], SHUT_RDWR);
			break;
		case 1:
			setsockopt(fd[0], SOL_SOCKET, SO_LINGER, &lg, sizeof(lg));
			close(fd[0]);
			fd[0] = -1;
			break;
		case 2:
			shutdown(fd[0], SHUT_WR);
			tt_poll(fd[1], POLLIN, 10000);
			break;
		case 3:
			tt_write(fd[0], "\x17\x03\x03\xff\xff.....", 10);
			tt_poll(fd[1], POLLIN, 10000);
			EXPECT_ERR(EMSGSIZE, recv(fd[1], self->buf, ROOM, 0));
			break;
		case 4:
			shutdown(fd[1], SHUT_WR);
			break;
		}
		for (int i = 0; i < 2; i++) {
			tt_key_set(fd[1], TLS_TX, &tx2);
			tt_key_set(fd[1], TLS_RX, &rx2);
			send(fd[1], "text", 4, MSG_NOSIGNAL | MSG_DONTWAIT);
			recv(fd[1], self->buf, ROOM, MSG_DONTWAIT);
			tt_poll(fd[1], POLLIN | POLLOUT, 0);
		}
		close(fd[1]);
		if (fd[0] >= 0)
			close(fd[0]);
	}
}

/* Closed with the key missing and data waiting for it. */
TEST_F(rekey, close_while_expired)
{
	struct flight f = { self->buf, 0 };
	struct tt_key next = generation(&self->rx, 1);

	add_fill(&f, &self->rx, 60, 0);
	add_update(&f, &self->rx);
	for (int i = 0; i < 5; i++)
		add_fill(&f, &next, 10000, 0);
	fly(&f, self->peer, self->sk);
	ASSERT_EQ(60, recv(self->sk, self->buf, ROOM, 0));
	RECV_UPDATE();
	close(self->sk);
	self->sk = -1;
	if (self->counted) {
		EXPECT_EQ(0, tt_counter("TlsCurrRxSw"));
		EXPECT_EQ(0, tt_counter("TlsCurrTxSw"));
	}
}

/* ---- where a KeyUpdate may stand ---- */

/* RFC 8446 4.6.1: type, length, and this many bytes that could be anything */
static size_t ticket(uint8_t *p, size_t body, uint8_t fill)
{
	p[0] = 4;
	p[1] = body >> 16;
	p[2] = body >> 8 & 0xff;
	p[3] = body & 0xff;
	memset(p + 4, fill, body);
	return body + 4;
}

/* Hand a stream of handshake messages over in records of these sizes; 0: all that is left */
static void send_messages(struct flight *f, struct tt_key *k, const uint8_t *msgs, size_t len, const size_t *cut)
{
	while (len) {
		size_t n = *cut && *cut < len ? *cut : len;

		add(f, k, TT_HANDSHAKE, msgs, n);
		msgs += n;
		len -= n;
		if (*cut)
			cut++;
	}
}

/*
 * Whatever the messages are and however they are cut into records: each record comes out as it went in, the key expires with
 * the record that a KeyUpdate ends in, and not before.
 */
static const char *read_messages(int sk, const uint8_t *msgs, size_t len, const size_t *cut, bool update)
{
	static uint8_t buf[TT_MAX];
	uint8_t type;

	while (len) {
		size_t n = *cut && *cut < len ? *cut : len;

		if (tt_poll(sk, POLLIN, 10000) != POLLIN)
			return "a part is not readable";
		if (tt_recv_type(sk, buf, sizeof(buf), 0, &type, NULL) != (ssize_t)n || type != TT_HANDSHAKE || memcmp(buf, msgs, n))
			return "a part is not what was sent";
		msgs += n;
		len -= n;
		if (*cut)
			cut++;
	}
	if (!update)
		return NULL;
	if (recv(sk, buf, sizeof(buf), 0) != -1 || errno != EKEYEXPIRED)
		return "the update was not noticed";
	if (tt_poll(sk, POLLIN, 0))
		return "readable without a key";
	return NULL;
}

struct shape {
	const char *name;
	size_t tickets[4];		/* bodies of messages before it */
	uint8_t fill;
	bool update;
	size_t cut[9];
};

static const struct shape shapes[] = {
	{ "alone", { 0 }, 0, true, { 0 } },
	{ "behind a ticket", { 180 }, 0xaa, true, { 0 } },
	{ "behind two tickets", { 180, 33 }, 0xaa, true, { 0 } },
	{ "behind a ticket of 24s", { 180 }, 24, true, { 0 } },
	{ "cut behind its type", { 0 }, 0, true, { 1, 0 } },
	{ "cut in its length", { 0 }, 0, true, { 2, 0 } },
	{ "cut in its length, later", { 0 }, 0, true, { 3, 0 } },
	{ "cut behind its length", { 0 }, 0, true, { 4, 0 } },
	{ "five records", { 0 }, 0, true, { 1, 1, 1, 1, 1 } },
	{ "a ticket cut before the update", { 180 }, 24, true, { 184, 0 } },
	{ "a ticket cut in its length", { 180 }, 24, true, { 2, 0 } },
	{ "a ticket cut in its body", { 180 }, 24, true, { 100, 0 } },
	{ "a ticket in three, with the update", { 180 }, 24, true, { 50, 100, 0 } },
	{ "a ticket in two, the update in two", { 180 }, 24, true, { 100, 86, 0 } },
	{ "no update, a ticket of 24s", { 180 }, 24, false, { 0 } },
	{ "no update, a ticket of 24s in parts", { 180 }, 24, false, { 4, 5, 1, 1, 1, 0 } },
	{ "no update, many tickets in odd parts", { 3, 1, 180, 7 }, 24, false, { 5, 1, 2, 3, 5, 7, 11, 0 } },
	{ "an update behind many", { 3, 1, 180, 7 }, 24, true, { 5, 1, 2, 3, 5, 7, 11, 0 } },
	{ "no update, a ticket in two full records", { 20000 }, 24, false, { 16384, 0 } },
	{ "an update behind a ticket in two full records", { 20000 }, 24, true, { 16384, 0 } },
	{ "no update, a message of 65536 bytes", { 65536 }, 24, false, { 16384, 16384, 16384, 16384, 0 } },
};

TEST_F(rekey, where_it_stands)
{
	uint8_t *msgs = malloc(200000), *wire = malloc(200000);

	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		const struct shape *s = &shapes[i];
		struct tt_key rx = tt_key_make(variant->version, variant->cipher, 2), next = generation(&rx, i), k = next;
		struct flight f = { wire, 0 };
		const char *bad;
		size_t len = 0;
		int fd[2];
		pid_t pid;

		tt_tcp_pair(variant->family, fd);
		tt_install(fd[1], NULL, &rx);
		for (int t = 0; t < 4 && s->tickets[t]; t++)
			len += ticket(msgs + len, s->tickets[t], s->fill);
		if (s->update) {
			memcpy(msgs + len, key_update, 5);
			len += 5;
		}
		send_messages(&f, &rx, msgs, len, s->cut);
		add_fill(&f, s->update ? &k : &rx, 60, 0);
		/* more than fits into the window */
		pid = fork();
		if (!pid) {
			tt_write(fd[0], wire, f.len);
			_exit(0);
		}
		bad = read_messages(fd[1], msgs, len, s->cut, s->update);
		EXPECT_EQ(NULL, bad) TH_LOG("%s: %s", s->name, bad);
		if (s->update) {
			ASSERT_EQ(0, tt_key_set(fd[1], TLS_RX, &next));
		}
		EXPECT_EQ(60, recv(fd[1], self->buf, ROOM, 0)) TH_LOG("%s: %s", s->name, strerror(errno));
		EXPECT_BYTES(self->buf, 60, 0);
		waitpid(pid, NULL, 0);
		close(fd[0]);
		close(fd[1]);
	}
	free(msgs);
	free(wire);
}

/* Random messages, random cuts, with and without updates, one connection: nothing is noticed that is not there. */
TEST_F(rekey, random_messages)
{
	uint8_t *msgs = malloc(ROOM);
	uint64_t seed = variant->cipher;
	int updates = 0;

	for (int round = 0; round < 60; round++) {
		struct flight f = { self->buf, 0 };
		struct tt_key next = generation(&self->rx, round), k = next;
		size_t len = 0, cut[64] = { 0 };
		bool update = tt_rand(&seed) % 2;
		const char *bad;

		for (int i = tt_rand(&seed) % 4; i > 0; i--)
			len += ticket(msgs + len, tt_rand(&seed) % 60, tt_rand(&seed) % 2 ? 24 : 0);
		if (update || !len) {
			update = true;
			memcpy(msgs + len, key_update, 5);
			len += 5;
		}
		for (int i = tt_rand(&seed) % 60; i > 0; i--)
			cut[i - 1] = 1 + tt_rand(&seed) % 9;
		send_messages(&f, &self->rx, msgs, len, cut);
		add_fill(&f, update ? &k : &self->rx, 60, 0);
		fly(&f, self->peer, self->sk);
		bad = read_messages(self->sk, msgs, len, cut, update);
		ASSERT_EQ(NULL, bad) TH_LOG("round %d: %s", round, bad);
		if (update) {
			ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &next));
			self->rx = k;
			updates++;
		}
		RECV_DATA(60, 0);
	}
	EXPECT_COUNTS(0, 0, updates, 0, updates);
	free(msgs);
}

/* Something else between the parts of a message: forbidden (RFC 8446 5.1), and the records come as they are all the same. */
TEST_F(rekey, interleaved)
{
	static const uint8_t between[] = { TT_ALERT, TT_DATA, 99 };

	for (size_t i = 0; i < ARRAY_SIZE(between); i++) {
		struct tt_key rx = tt_key_make(variant->version, variant->cipher, 2);
		uint8_t type = 0;
		int fd[2];

		tt_tcp_pair(variant->family, fd);
		tt_install(fd[1], NULL, &rx);
		tt_send_data(fd[0], &rx, TT_HANDSHAKE, key_update, 2);
		tt_send_data(fd[0], &rx, between[i], "\1\0", 2);
		tt_send_data(fd[0], &rx, TT_HANDSHAKE, key_update + 2, 3);
		ASSERT_EQ(2, tt_recv_type(fd[1], self->buf, ROOM, 0, &type, NULL));
		EXPECT_EQ(TT_HANDSHAKE, type);
		ASSERT_EQ(2, tt_recv_type(fd[1], self->buf, ROOM, 0, &type, NULL));
		EXPECT_EQ(between[i], type);
		ASSERT_EQ(3, tt_recv_type(fd[1], self->buf, ROOM, 0, &type, NULL));
		EXPECT_EQ(TT_HANDSHAKE, type);
		close(fd[0]);
		close(fd[1]);
	}
}

/* Padding is no part of a message, and an empty record none of a part. */
TEST_F(rekey, padded)
{
	struct tt_rec first = { .type = TT_HANDSHAKE, .data = key_update, .len = 2, .pad = 300 };
	struct tt_rec rest = { .type = TT_HANDSHAKE, .data = key_update + 2, .len = 3, .pad = 24 };
	struct tt_key next = generation(&self->rx, 1), k = next;
	uint8_t type;

	tt_send_rec(self->peer, &self->rx, &first);
	tt_send_data(self->peer, &self->rx, TT_HANDSHAKE, NULL, 0);
	tt_send_rec(self->peer, &self->rx, &rest);
	tt_send_data(self->peer, &k, TT_DATA, "data", 4);
	ASSERT_EQ(2, tt_recv_type(self->sk, self->buf, ROOM, 0, &type, NULL));
	ASSERT_EQ(0, tt_recv_type(self->sk, self->buf, ROOM, 0, &type, NULL));
	ASSERT_EQ(3, tt_recv_type(self->sk, self->buf, ROOM, 0, &type, NULL));
	EXPECT_EXPIRED();
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &next));
	ASSERT_EQ(4, recv(self->sk, self->buf, ROOM, 0));
}

/* An alert or data that looks like one is none. */
TEST_F(rekey, other_types)
{
	uint8_t type;

	tt_send_data(self->peer, &self->rx, TT_ALERT, key_update, 5);
	tt_send_data(self->peer, &self->rx, TT_DATA, key_update, 5);
	tt_send_data(self->peer, &self->rx, 26, key_update, 5);
	tt_send_data(self->peer, &self->rx, TT_DATA, "data", 4);
	ASSERT_EQ(5, tt_recv_type(self->sk, self->buf, ROOM, 0, &type, NULL));
	ASSERT_EQ(5, tt_recv_type(self->sk, self->buf, ROOM, 0, &type, NULL));
	ASSERT_EQ(5, tt_recv_type(self->sk, self->buf, ROOM, 0, &type, NULL));
	EXPECT_EQ(26, type);
	ASSERT_EQ(4, recv(self->sk, self->buf, ROOM, 0));
	EXPECT_COUNTS(0, 0, 0, 0, 0);
}

/* ---- load: both ends in the kernel, both directions, keys that change all the time ---- */

#define GENS 40

struct side {
	int fd, out;			/* out: 0 writes and reads key stream a, 1 the other */
	size_t total;
	uint64_t sent, got;
	int tx_gen, rx_gen;
	struct tt_key like;
	const char *bad;
	int err;
	pthread_t thread[2];
};

static struct tt_key stream_key(const struct side *s, int stream, int gen)
{
	struct tt_key k = tt_key_make(s->like.version, s->like.cipher, 5000 + 1000 * stream + gen);

	k.seq = gen;
	return k;
}

static void *side_write(void *arg)
{
	struct side *s = arg;
	uint64_t seed = 17 + s->out;
	uint8_t *data = malloc(40000);

	while (s->sent < s->total && !s->bad) {
		size_t n = 1 + tt_rand(&seed) % (tt_rand(&seed) % 4 ? 3000 : 40000), done = 0;

		if (n > s->total - s->sent)
			n = s->total - s->sent;
		tt_fill(data, n, s->sent);
		while (done < n) {
			ssize_t r = send(s->fd, data + done, n - done, MSG_NOSIGNAL | (tt_rand(&seed) % 3 ? 0 : MSG_MORE));

			if (r <= 0) {
				s->bad = "send";
				s->err = errno;
				goto out;
			}
			done += r;
		}
		s->sent += n;
		if (s->tx_gen < GENS && s->sent >= s->total / (GENS + 1) * (s->tx_gen + 1)) {
			struct tt_key k = stream_key(s, s->out, ++s->tx_gen);

			if (tt_send_type(s->fd, TT_HANDSHAKE, key_update, 5, MSG_NOSIGNAL) != 5 || tt_key_set(s->fd, TLS_TX, &k)) {
				s->bad = "update of the transmit key";
				s->err = errno;
			}
		}
	}
out:
	shutdown(s->fd, SHUT_WR);
	free(data);
	return NULL;
}

static void *side_read(void *arg)
{
	struct side *s = arg;
	uint64_t seed = 71 + s->out;
	uint8_t *buf = malloc(50000);
	int p[2];

	TT_MUST(pipe(p) == 0);
	while (!s->bad) {
		int how = tt_rand(&seed) % 4;
		size_t len = 1 + tt_rand(&seed) % 50000;
		uint8_t type = TT_DATA;
		ssize_t n;

		if (how == 0) {
			n = splice(s->fd, NULL, p[1], NULL, len, 0);
			if (n > 0 && tt_read_pipe(p[0], buf, n) != (size_t)n)
				s->bad = "pipe";
			if (n < 0 && errno == EINVAL)
				continue;
		} else if (how == 1) {
			n = recv(s->fd, buf, len, 0);
			if (n < 0 && errno == EIO)
				continue;
		} else {
			n = tt_recv_type(s->fd, buf, len < 5 ? 5 : len, how == 2 ? MSG_PEEK : 0, &type, NULL);
		}
		if (n < 0) {
			s->bad = "recv";
			s->err = errno;
			break;
		}
		if (n == 0)
			break;
		if (type == TT_HANDSHAKE) {
			struct tt_key k = stream_key(s, !s->out, s->rx_gen + 1);

			if (how == 2)
				continue;
			s->rx_gen++;
			if (n != 5 || memcmp(buf, key_update, 5))
				s->bad = "not the update that was sent";
			if (recv(s->fd, buf, len, 0) != -1 || errno != EKEYEXPIRED)
				s->bad = "no need for a key";
			if (tt_key_set(s->fd, TLS_RX, &k)) {
				s->bad = "update of the receive key";
				s->err = errno;
			}
			continue;
		}
		if (type != TT_DATA || tt_diff(buf, n, s->got) >= 0)
			s->bad = "wrong bytes";
		else if (how != 2)
			s->got += n;
	}
	close(p[0]);
	close(p[1]);
	free(buf);
	return NULL;
}

TEST_F(rekey, load)
{
	struct side s[2];
	int fd[2];

	tt_tcp_pair(variant->family, fd);
	for (int i = 0; i < 2; i++) {
		struct tt_key tx, rx;

		s[i] = (struct side){ .fd = fd[i], .out = i, .total = 4000000, .like = self->tx };
		tx = stream_key(&s[i], i, 0);
		rx = stream_key(&s[i], !i, 0);
		tt_install(fd[i], &tx, &rx);
	}
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, pthread_create(&s[i].thread[0], NULL, side_write, &s[i]));
		ASSERT_EQ(0, pthread_create(&s[i].thread[1], NULL, side_read, &s[i]));
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(s[i].thread[0], NULL);
		pthread_join(s[i].thread[1], NULL);
	}
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(NULL, s[i].bad) TH_LOG("side %d: %s (%s), generation %d and %d, %zu bytes out, %zu in", i, s[i].bad,
						 strerror(s[i].err), s[i].tx_gen, s[i].rx_gen, (size_t)s[i].sent, (size_t)s[i].got);
		EXPECT_EQ(s[i].total, s[i].got);
		EXPECT_EQ(GENS, s[i].tx_gen);
		EXPECT_EQ(GENS, s[i].rx_gen);
		close(fd[i]);
	}
	EXPECT_COUNTS(2 * GENS, 0, 2 * GENS, 0, 2 * GENS);
}

TEST_HARNESS_MAIN
