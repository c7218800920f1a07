// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Where a KeyUpdate may stand in the stream of handshake messages.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "rekey_common.h"

#include <sys/wait.h>

REKEY_FIXTURE(rekey_messages);

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

TEST_F(rekey_messages, where_it_stands)
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
TEST_F(rekey_messages, random_messages)
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
TEST_F(rekey_messages, interleaved)
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
TEST_F(rekey_messages, padded)
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
TEST_F(rekey_messages, other_types)
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

TEST_HARNESS_MAIN
