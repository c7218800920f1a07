// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Key updates of TLS 1.3 by setsockopt: which are taken, on which sockets, and both directions at once under load.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "rekey_common.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

REKEY_FIXTURE(rekey);

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
		EXPECT_TRUE(same_key(self->sk, TLS_TX, &self->tx));
		EXPECT_TRUE(same_key(self->sk, TLS_RX, &self->rx));
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

/* On sockets that are finished in one way or another an update may fail, and does nothing bad. */
TEST_F(rekey, at_the_end)
{
	for (int how = 0; how < 5; how++) {
		struct tt_key rx = tt_key_make(variant->version, variant->cipher, 2), tx = tt_key_make(variant->version, variant->cipher, 1);
		struct tt_key rx2 = generation(&rx, 1), tx2 = generation(&tx, 2);
		int fd[2];

		tt_tcp_pair(variant->family, fd);
		tt_install(fd[1], &tx, &rx);
		send(fd[1], "open", 4, MSG_MORE);
		switch (how) {
		case 0:
			shutdown(fd[1], SHUT_RDWR);
			break;
		case 1:
			tt_reset(fd[0]);
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
