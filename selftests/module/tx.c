// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Transmit: how messages become records. The peer of these programs is a bare TCP socket that opens every record in user
 * space: what is on the wire is checked to the byte, and no byte may be lost or come twice whatever happens to the call that
 * sent it.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "tx_common.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

TX_FIXTURE(tx);

TEST_F(tx, wire_format)
{
	size_t sizes[] = { 1, 2, 15, 16, 17, 100, 255, 1000, 4075, 4096, 5000, 8191, 12345, 16383, 16384 };
	uint8_t *wire = malloc(TT_REC_MAX), *mine = malloc(TT_REC_MAX), *data = malloc(TT_MAX);

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t want = sizes[i] + tt_overhead(&self->k), n;
		struct tt_rec r = { .type = TT_DATA, .data = data, .len = sizes[i] };
		struct tt_key k = self->k;

		tt_fill(data, sizes[i], i);
		ASSERT_EQ(sizes[i], send(self->sk, data, sizes[i], 0));
		ASSERT_EQ(want, tt_read(self->peer, wire, want));
		EXPECT_EQ(0, tt_pending(self->peer));
		ASSERT_EQ(0, tt_open(&k, wire, want, self->o));
		EXPECT_EQ(TT_DATA, self->o->outer_type);
		EXPECT_EQ(0x0303, self->o->outer_version);
		EXPECT_EQ(TT_DATA, self->o->type);
		EXPECT_EQ(0, self->o->pad);
		EXPECT_EQ(sizes[i], self->o->len);
		/* TLS 1.3 leaves nothing open: bit for bit what user space makes */
		n = tt_seal(&self->k, &r, mine);
		EXPECT_EQ(want, n);
		if (variant->version == TLS_1_3_VERSION) {
			EXPECT_EQ(0, memcmp(mine, wire, want));
		} else {
			EXPECT_EQ(0, memcmp(mine, wire, 5));
			EXPECT_BYTES(self->o->data, sizes[i], i);
		}
	}
	free(wire);
	free(mine);
	free(data);
}

/* How a message of so many bytes is cut into records: full ones, then the rest. */
static bool whole_records(struct tx *self, const uint8_t *data, size_t len, size_t max)
{
	for (size_t done = 0; done < len; done += self->o->len) {
		size_t want = len - done < max ? len - done : max;

		if (tt_recv_rec(self->peer, &self->k, self->o) != 1 || self->o->type != TT_DATA || self->o->pad)
			return false;
		if (self->o->len != want || memcmp(self->o->data, data + done, want))
			return false;
	}
	return tt_pending(self->peer) == 0;
}

/*
 * Around the sizes where a message gets a record of its own, another place in memory, or a second record; in one piece of
 * the program's memory and in three, of which one is empty.
 */
TEST_F(tx, size_boundaries)
{
	uint16_t max[] = { 64, 1000, 8192, 8193, TT_MAX - 1, TT_MAX };
	size_t size[] = { 1, 16, 64, 1000, 1024, 3072, 4096, 8192, TT_MAX };
	uint8_t *data = pattern(TT_MAX + 100, 0);

	for (size_t m = 0; m < ARRAY_SIZE(max); m++) {
		ASSERT_EQ(0, setsockopt(self->sk, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &max[m], sizeof(max[m])));
		for (size_t i = 0; i <= ARRAY_SIZE(size); i++)
		for (int off = -1; off <= 1; off++) {
			size_t n = (i < ARRAY_SIZE(size) ? size[i] : max[m]) + off;
			struct iovec iov[3] = { { data + n % 7, n / 3 }, { data, 0 }, { data + n % 7 + n / 3, n - n / 3 } };

			ASSERT_EQ(n, send(self->sk, data + n % 7, n, 0));
			ASSERT_TRUE(whole_records(self, data + n % 7, n, max[m])) TH_LOG("%zu bytes, at most %u", n, max[m]);
			ASSERT_EQ(n, writev(self->sk, iov, 3));
			ASSERT_TRUE(whole_records(self, data + n % 7, n, max[m])) TH_LOG("%zu bytes in pieces, at most %u", n, max[m]);
		}
	}
	free(data);
}

/* the explicit nonce of TLS 1.2 under one key must never come twice, however the records were made */
TEST_F(tx, nonces_never_repeat)
{
	uint64_t *seen = calloc(700, sizeof(*seen));
	int n = 0, p[2];
	char buf[100] = "";

	if (variant->version != TLS_1_2_VERSION)
		SKIP(goto out, "TLS 1.3 has no explicit nonce");
	ASSERT_EQ(0, pipe(p));
	for (int i = 0; i < 300; i++) {
		int made = 1;

		switch (i % 4) {
		case 0:
			ASSERT_EQ(50, send(self->sk, buf, 50, 0));
			break;
		case 1:
			ASSERT_EQ(2, tt_send_type(self->sk, TT_ALERT, buf, 2, 0));
			break;
		case 2:
			ASSERT_EQ(10, send(self->sk, buf, 10, MSG_MORE));
			ASSERT_EQ(2, tt_send_type(self->sk, TT_HANDSHAKE, buf, 2, 0));
			made = 2;
			break;
		case 3:
			ASSERT_EQ(100, write(p[1], buf, 100));
			ASSERT_EQ(100, splice(p[0], NULL, self->sk, NULL, 100, 0));
			break;
		}
		while (made--) {
			ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
			memcpy(&seen[n], self->o->nonce, 8);
			for (int j = 0; j < n; j++) {
				ASSERT_NE(seen[j], seen[n]);
			}
			n++;
		}
	}
out:
	free(seen);
}

/* large sends make full records */
TEST_F(tx, full_records)
{
	size_t sizes[] = { 16384, 16385, 32768, 40000, 65536, 100000, 163840 };
	uint64_t pos = 0;

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 1 << 20);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint8_t *data = pattern(sizes[i], pos);
		size_t done = 0;
		pid_t pid = fork();

		if (!pid) {
			ssize_t n = send(self->sk, data, sizes[i], 0);

			_exit(n == (ssize_t)sizes[i] ? 0 : 1);
		}
		while (done < sizes[i]) {
			size_t left = sizes[i] - done;

			ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
			EXPECT_EQ(left > TT_MAX ? TT_MAX : left, self->o->len);
			ASSERT_BYTES(self->o->data, self->o->len, pos + done);
			done += self->o->len;
		}
		EXPECT_EQ(0, tt_child_status(pid));
		pos += sizes[i];
		free(data);
	}
}

TEST_F(tx, write_and_writev)
{
	uint8_t *data = pattern(30000, 0);
	struct iovec iov[300];
	size_t total = 0;

	ASSERT_EQ(1000, write(self->sk, data, 1000));
	EXPECT_EQ(1, take(self, 1000, 0));
	/* many pieces, empty ones among them, one record */
	for (int i = 0; i < 300; i++) {
		iov[i] = (struct iovec){ data + total, i % 60 };
		total += i % 60;
	}
	ASSERT_EQ(total, writev(self->sk, iov, 300));
	EXPECT_EQ(1, take(self, total, 0));
	/* across the end of a record */
	iov[0] = (struct iovec){ data, 16000 };
	iov[1] = (struct iovec){ data + 16000, 14000 };
	ASSERT_EQ(30000, writev(self->sk, iov, 2));
	EXPECT_EQ(2, take(self, 30000, 0));
	/* nothing at all */
	EXPECT_EQ(0, send(self->sk, data, 0, 0));
	EXPECT_EQ(0, write(self->sk, data, 0));
	ASSERT_EQ(1, send(self->sk, data, 1, 0));
	EXPECT_EQ(1, take(self, 1, 0));
	EXPECT_EQ(0, tt_pending(self->peer));
	free(data);
}

TEST_F(tx, msg_more)
{
	uint8_t *data = pattern(40000, 0);

	/* held until a call without it */
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(10, send(self->sk, data + i * 10, 10, MSG_MORE));
	}
	usleep(50000);
	EXPECT_EQ(0, tt_pending(self->peer));
	ASSERT_EQ(10, send(self->sk, data + 200, 10, 0));
	EXPECT_EQ(1, take(self, 210, 0));
	/* MSG_EOR ends a record like any send */
	ASSERT_EQ(10, send(self->sk, data, 10, MSG_MORE));
	ASSERT_EQ(10, send(self->sk, data + 10, 10, MSG_EOR));
	EXPECT_EQ(1, take(self, 20, 0));
	/* a full record goes although more is to come; the rest waits */
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(5000, send(self->sk, data + i * 5000, 5000, MSG_MORE));
	}
	EXPECT_EQ(1, take(self, TT_MAX, 0));
	usleep(50000);
	EXPECT_EQ(0, tt_pending(self->peer));
	ASSERT_EQ(100, write(self->sk, data + 20000, 100));
	EXPECT_EQ(1, take(self, 20100 - TT_MAX, TT_MAX));
	/* a multiple of the record, all with MSG_MORE */
	ASSERT_EQ(2 * TT_MAX, send(self->sk, data, 2 * TT_MAX, MSG_MORE));
	ASSERT_EQ(1, send(self->sk, data + 2 * TT_MAX, 1, 0));
	EXPECT_LE(3, take(self, 2 * TT_MAX + 1, 0));
	free(data);
}

/* held data goes as a record of its own before a record of another type */
TEST_F(tx, msg_more_then_control)
{
	uint8_t *data = pattern(200, 0);

	ASSERT_EQ(100, send(self->sk, data, 100, MSG_MORE));
	ASSERT_EQ(2, tt_send_type(self->sk, TT_ALERT, data, 2, 0));
	EXPECT_EQ(1, take(self, 100, 0));
	ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
	EXPECT_EQ(TT_ALERT, self->o->type);
	EXPECT_EQ(2, self->o->len);
	EXPECT_BYTES(self->o->data, 2, 0);
	/* also when the type is the same */
	ASSERT_EQ(100, send(self->sk, data, 100, MSG_MORE));
	ASSERT_EQ(100, tt_send_type(self->sk, TT_DATA, data + 100, 100, 0));
	EXPECT_LE(1, take(self, 200, 0));
	free(data);
}

TEST_F(tx, control_records)
{
	int types[] = { 20, TT_ALERT, TT_HANDSHAKE, 24, 1, 100, 255 };
	uint8_t *data = pattern(20000, 0);
	size_t done;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		ASSERT_EQ(2 + i, tt_send_type(self->sk, types[i], data, 2 + i, i & 1 ? MSG_EOR : 0));
		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
		EXPECT_EQ(types[i], self->o->type);
		EXPECT_EQ(variant->version == TLS_1_3_VERSION ? TT_DATA : types[i], self->o->outer_type);
		EXPECT_EQ(2 + i, self->o->len);
		EXPECT_BYTES(self->o->data, 2 + i, 0);
	}
	/* longer than a record: more than one of that type */
	ASSERT_EQ(20000, tt_send_type(self->sk, TT_HANDSHAKE, data, 20000, 0));
	for (done = 0; done < 20000; done += self->o->len) {
		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
		EXPECT_EQ(TT_HANDSHAKE, self->o->type);
		ASSERT_BYTES(self->o->data, self->o->len, done);
	}
	EXPECT_EQ(20000, done);
	/* an empty one: sent as such or not at all, and no trouble behind it */
	EXPECT_EQ(0, tt_send_type(self->sk, TT_ALERT, data, 0, 0));
	ASSERT_EQ(10, send(self->sk, data, 10, 0));
	ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
	if (self->o->type == TT_ALERT) {
		EXPECT_EQ(0, self->o->len);
		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
	}
	EXPECT_EQ(TT_DATA, self->o->type);
	EXPECT_EQ(10, self->o->len);
	free(data);
}

struct writer {
	int fd, id, count, bad;
};

/* each message goes with one call and is shorter than a record: it must come out whole */
static void *writer(void *arg)
{
	struct writer *w = arg;
	uint64_t seed = w->id;
	uint8_t *buf = malloc(TT_MAX);

	for (int i = 0; i < w->count; i++) {
		uint32_t len = 12 + (tt_rand(&seed) % 4 ? tt_rand(&seed) % 1000 : tt_rand(&seed) % (TT_MAX - 12)), hd[3] = { w->id, i, len };
		struct iovec iov[2] = { { buf, 12 }, { buf + 12, len - 12 } };
		struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };

		memcpy(buf, hd, 12);
		tt_fill(buf + 12, len - 12, w->id * 1000 + i);
		if (sendmsg(w->fd, &m, MSG_NOSIGNAL) != (ssize_t)len)
			w->bad++;
	}
	free(buf);
	return NULL;
}

TEST_F(tx, several_writers)
{
	struct writer w[3];
	pthread_t t[3];
	int next[3] = { 0 };

	tt_sockopt(self->sk, SOL_SOCKET, SO_SNDBUF, 20000);
	for (int i = 0; i < 3; i++) {
		w[i] = (struct writer){ self->sk, i, 150, 0 };
		ASSERT_EQ(0, pthread_create(&t[i], NULL, writer, &w[i]));
	}
	for (int i = 0; i < 450; i++) {
		uint32_t hd[3];

		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
		ASSERT_LE(12, self->o->len);
		memcpy(hd, self->o->data, 12);
		ASSERT_GT(3, hd[0]);
		ASSERT_EQ(next[hd[0]], (int)hd[1]) TH_LOG("writer %u", hd[0]);
		ASSERT_EQ(self->o->len, hd[2]) TH_LOG("a record with something else in it");
		ASSERT_BYTES(self->o->data + 12, hd[2] - 12, hd[0] * 1000 + hd[1]);
		next[hd[0]]++;
	}
	for (int i = 0; i < 3; i++) {
		pthread_join(t[i], NULL);
		EXPECT_EQ(0, w[i].bad);
	}
}

/* the number after 2^64 - 1 is 0, with which the key was used already: an error, and for good */
TEST_F(tx, sequence_wrap)
{
	struct tt_key k = self->k, rd;
	int fd[2], ok = 0, file = make_file(0, 100, 0);

	k.seq = UINT64_MAX - 2;
	rd = k;
	tt_tcp_pair(variant->family, fd);
	tt_install(fd[0], &k, NULL);
	while (ok < 10 && send(fd[0], "0123456789", 10, MSG_NOSIGNAL) == 10)
		ok++;
	EXPECT_EQ(EBADMSG, errno);
	EXPECT_LE(2, ok);
	EXPECT_GE(3, ok);
	for (int i = 0; i < 3; i++) {
		EXPECT_ERR(EBADMSG, send(fd[0], "x", 1, MSG_NOSIGNAL));
		EXPECT_ERR(EBADMSG, send(fd[0], "x", 1, MSG_NOSIGNAL | MSG_MORE));
		EXPECT_ERR(EBADMSG, tt_send_type(fd[0], TT_ALERT, "xx", 2, MSG_NOSIGNAL));
		EXPECT_EQ(-1, sendfile(fd[0], file, NULL, 100));
	}
	shutdown(fd[0], SHUT_WR);
	for (int i = 0; i < ok; i++) {
		ASSERT_EQ(1, tt_recv_rec(fd[1], &rd, self->o));
		EXPECT_EQ(10, self->o->len);
	}
	/* nothing under a number used before; a record that was refused may not be there either */
	EXPECT_EQ(0, tt_recv_rec(fd[1], &rd, self->o));
	close(fd[0]);
	close(fd[1]);
	close(file);
}

TEST_F(tx, cork_and_nagle)
{
	uint8_t *data = pattern(60000, 0);

	tt_sockopt(self->sk, IPPROTO_TCP, TCP_NODELAY, 0);
	tt_sockopt(self->sk, IPPROTO_TCP, TCP_CORK, 1);
	for (int i = 0; i < 50; i++) {
		ASSERT_EQ(100, send(self->sk, data + i * 100, 100, 0));
	}
	tt_sockopt(self->sk, IPPROTO_TCP, TCP_CORK, 0);
	EXPECT_EQ(50, take(self, 5000, 0));
	for (int i = 0; i < 50; i++) {
		ASSERT_EQ(100, send(self->sk, data + i * 100, 100, 0));
	}
	EXPECT_EQ(50, take(self, 5000, 0));
	free(data);
}

/* sendmsg in every size, with every flag that is allowed, one stream */
TEST_F(tx, random_stream)
{
	size_t total = 1000000, sent = 0;
	uint64_t seed = 11;
	uint8_t *data = malloc(200000);
	int fd = make_file(1, total, 0), p[2];
	pid_t pid = take_in_child(self, total, 0, 0, true);

	ASSERT_EQ(0, pipe(p));
	while (sent < total) {
		size_t len = 1 + (tt_rand(&seed) % 3 ? tt_rand(&seed) % 3000 : tt_rand(&seed) % 60000);
		off_t off = sent;
		bool more = tt_rand(&seed) % 2;
		ssize_t n;

		if (len >= total - sent) {
			len = total - sent;
			more = false;
		}
		switch (tt_rand(&seed) % 4) {
		case 0:
			n = sendfile(self->sk, fd, &off, len);
			break;
		case 1:
			n = splice(fd, &off, p[1], NULL, len, 0);
			ASSERT_LT(0, n);
			for (ssize_t left = n; left;) {
				ssize_t w = splice(p[0], NULL, self->sk, NULL, left, more ? SPLICE_F_MORE : 0);

				ASSERT_LT(0, w);
				left -= w;
			}
			break;
		case 2: {
			struct iovec iov[3] = { { data, len / 3 }, { data + len / 3, len / 2 }, };
			struct msghdr m = { .msg_iov = iov, .msg_iovlen = 3 };

			iov[2] = (struct iovec){ data + len / 3 + len / 2, len - len / 3 - len / 2 };
			tt_fill(data, len, sent);
			n = sendmsg(self->sk, &m, more ? MSG_MORE : MSG_EOR);
			break;
		}
		default:
			tt_fill(data, len, sent);
			n = send(self->sk, data, len, more ? MSG_MORE : 0);
		}
		ASSERT_LT(0, n);
		sent += n;
	}
	close(self->sk);
	self->sk = -1;
	EXPECT_EQ(0, tt_child_status(pid));
	EXPECT_TRUE(file_is(fd, total, 0));
	free(data);
	close(fd);
}

TEST_HARNESS_MAIN
