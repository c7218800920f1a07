// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Receive: record types and who is told of them, empty records, padding.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "rx_common.h"

#include <fcntl.h>
#include <sys/time.h>
#include <sys/uio.h>

RX_FIXTURE(rx_types);

TEST_F(rx_types, control_needs_room)
{
	union { struct cmsghdr h; char b[64]; } c;
	uint8_t buf[200], type;
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fl;

	say(self, TT_ALERT, 2, 0);
	say(self, TT_DATA, 100, 2);
	arrived(self);
	for (int i = 0; i < 3; i++) {
		EXPECT_ERR(EIO, recv(self->sk, buf, sizeof(buf), 0));
		EXPECT_ERR(EIO, read(self->sk, buf, sizeof(buf)));
		/* room for a header only, or for less than that */
		memset(&c, 0, sizeof(c));
		m.msg_control = &c;
		m.msg_controllen = sizeof(struct cmsghdr);
		EXPECT_ERR(EIO, recvmsg(self->sk, &m, 0));
		m.msg_controllen = 1;
		EXPECT_ERR(EIO, recvmsg(self->sk, &m, MSG_DONTWAIT));
		EXPECT_EQ(POLLIN, tt_poll(self->sk, POLLIN, 0));
	}
	/* it stayed queued; the data behind it was not delivered before it */
	ASSERT_EQ(2, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, &fl));
	EXPECT_EQ(TT_ALERT, type);
	EXPECT_EQ(MSG_EOR, fl & (MSG_EOR | MSG_CTRUNC));
	EXPECT_BYTES(buf, 2, 0);
	ASSERT_EQ(100, recv(self->sk, buf, sizeof(buf), 0));
	EXPECT_BYTES(buf, 100, 2);
	/* a data record is given without room for its type: the type is the usual one */
	say(self, TT_DATA, 100, 0);
	m.msg_control = &c;
	m.msg_controllen = 1;
	EXPECT_EQ(100, recvmsg(self->sk, &m, 0));
	EXPECT_NE(0, m.msg_flags & MSG_CTRUNC);
	EXPECT_BYTES(buf, 100, 0);
}

/* one record type per call; control records are never joined */
TEST_F(rx_types, types_in_order)
{
	struct { uint8_t type; size_t len; } seq[] = {
		{ TT_DATA, 10 }, { TT_HANDSHAKE, 20 }, { TT_HANDSHAKE, 21 }, { TT_ALERT, 2 }, { TT_DATA, 30 }, { TT_DATA, 31 },
		{ 24, 5 }, { 1, 6 }, { 255, 7 }, { TT_DATA, 1 }, { TT_ALERT, 2 },
	};
	uint8_t buf[1000], type;
	uint64_t pos = 0;

	for (int dribble = 0; dribble < 2; dribble++) {
		for (size_t i = 0; i < ARRAY_SIZE(seq); i++) {
			say(self, seq[i].type, seq[i].len, pos);
			pos += seq[i].len;
		}
		arrived(self);
		pos = 0;
		for (size_t i = 0; i < ARRAY_SIZE(seq); i++) {
			size_t len = seq[i].len;
			uint8_t want = seq[i].type;

			/* data records in a row come as one, if there is room */
			if (i + 1 < ARRAY_SIZE(seq) && want == TT_DATA && seq[i + 1].type == TT_DATA)
				len += seq[++i].len;
			if (dribble) {
				/* in two calls: the type is told both times */
				size_t part = len > 1 ? len / 2 : 0;

				if (part) {
					ASSERT_EQ(part, tt_recv_type(self->sk, buf, part, 0, &type, NULL));
					EXPECT_EQ(want, type);
				}
				ASSERT_EQ(len - part, tt_recv_type(self->sk, buf + part, sizeof(buf) - part, 0, &type, NULL));
			} else {
				ASSERT_EQ(len, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, NULL));
			}
			EXPECT_EQ(want, type);
			EXPECT_BYTES(buf, len, pos);
			pos += len;
		}
		pos = 0;
	}
}

/* a part of a control record read, the rest waits, and its type is not forgotten */
TEST_F(rx_types, control_in_parts)
{
	uint8_t buf[100], type;
	int fl;

	say(self, TT_HANDSHAKE, 60, 0);
	say(self, TT_HANDSHAKE, 60, 60);
	arrived(self);
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(30, tt_recv_type(self->sk, buf, 30, 0, &type, &fl));
		EXPECT_EQ(TT_HANDSHAKE, type);
		EXPECT_EQ(i & 1, !!(fl & MSG_EOR));
		EXPECT_BYTES(buf, 30, i * 30);
		if (!(i & 1)) {
			EXPECT_ERR(EIO, recv(self->sk, buf, 10, 0));
			EXPECT_ERR(EIO, recv(self->sk, buf, 10, MSG_PEEK));
		}
	}
}

/* CVE-2026-72330, CVE-2025-39682: an empty data record is not the end of the file and not in the way */
TEST_F(rx_types, empty_data)
{
	struct timeval tv = { .tv_usec = 300000 };
	uint8_t buf[500], type;

	ASSERT_EQ(0, setsockopt(self->sk, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	say(self, TT_DATA, 0, 0);
	arrived(self);
	EXPECT_ERR(EAGAIN, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_EQ(0, tt_poll(self->sk, POLLIN, 0));
	say(self, TT_DATA, 0, 0);
	EXPECT_ERR(EAGAIN, recv(self->sk, buf, sizeof(buf), 0));
	/* before, between and behind data */
	say(self, TT_DATA, 0, 0);
	say(self, TT_DATA, 100, 0);
	say(self, TT_DATA, 0, 0);
	say(self, TT_DATA, 100, 100);
	say(self, TT_DATA, 0, 0);
	arrived(self);
	ASSERT_EQ(200, tt_read(self->sk, buf, 200));
	EXPECT_BYTES(buf, 200, 0);
	EXPECT_ERR(EAGAIN, recv(self->sk, buf, sizeof(buf), MSG_DONTWAIT));
	/* a thousand in a row */
	for (int i = 0; i < 1000; i++)
		say(self, TT_DATA, 0, 0);
	say(self, TT_DATA, 100, 0);
	ASSERT_EQ(100, recv(self->sk, buf, sizeof(buf), MSG_WAITALL));
	EXPECT_BYTES(buf, 100, 0);
	/* empty, then control, then data */
	say(self, TT_DATA, 0, 0);
	say(self, TT_HANDSHAKE, 20, 0);
	say(self, TT_DATA, 0, 0);
	say(self, TT_DATA, 100, 20);
	arrived(self);
	EXPECT_ERR(EIO, recv(self->sk, buf, sizeof(buf), 0));
	ASSERT_EQ(20, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, NULL));
	EXPECT_EQ(TT_HANDSHAKE, type);
	ASSERT_EQ(100, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, NULL));
	EXPECT_EQ(TT_DATA, type);
	EXPECT_BYTES(buf, 100, 20);
	say(self, TT_DATA, 0, 0);
	shutdown(self->peer, SHUT_WR);
	EXPECT_EQ(0, recv(self->sk, buf, sizeof(buf), 0));
}

TEST_F(rx_types, empty_data_splice)
{
	uint8_t buf[100];
	int p[2];

	ASSERT_EQ(0, pipe(p));
	for (int i = 0; i < 50; i++)
		say(self, TT_DATA, 0, 0);
	arrived(self);
	EXPECT_ERR(EAGAIN, splice(self->sk, NULL, p[1], NULL, 1000, SPLICE_F_NONBLOCK));
	for (int i = 0; i < 50; i++)
		say(self, TT_DATA, 0, 0);
	say(self, TT_DATA, 100, 0);
	ASSERT_EQ(100, splice(self->sk, NULL, p[1], NULL, 1000, 0));
	ASSERT_EQ(100, tt_read_pipe(p[0], buf, 100));
	EXPECT_BYTES(buf, 100, 0);
	close(p[0]);
	close(p[1]);
}

TEST_F(rx_types, empty_data_peek)
{
	uint8_t buf[200];

	say(self, TT_DATA, 0, 0);
	say(self, TT_DATA, 100, 0);
	say(self, TT_DATA, 0, 0);
	say(self, TT_DATA, 100, 100);
	arrived(self);
	for (int i = 0; i < 3; i++) {
		ssize_t n = recv(self->sk, buf, sizeof(buf), MSG_PEEK);

		ASSERT_LE(100, n);
		EXPECT_BYTES(buf, n, 0);
	}
	ASSERT_EQ(200, tt_read(self->sk, buf, 200));
	EXPECT_BYTES(buf, 200, 0);
}

/* an empty control record: its type says that it is not the end */
TEST_F(rx_types, empty_control)
{
	uint8_t buf[100], type;
	int fl;

	say(self, TT_HANDSHAKE, 0, 0);
	say(self, TT_ALERT, 0, 0);
	say(self, TT_DATA, 100, 0);
	arrived(self);
	for (int i = 0; i < 2; i++) {
		EXPECT_ERR(EIO, recv(self->sk, buf, sizeof(buf), 0));
		EXPECT_ERR(EIO, recv(self->sk, buf, sizeof(buf), MSG_PEEK));
	}
	ASSERT_EQ(0, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, &fl));
	EXPECT_EQ(TT_HANDSHAKE, type);
	EXPECT_NE(0, fl & MSG_EOR);
	EXPECT_ERR(EIO, recv(self->sk, buf, sizeof(buf), 0));
	ASSERT_EQ(0, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, &fl));
	EXPECT_EQ(TT_ALERT, type);
	EXPECT_NE(0, fl & MSG_EOR);
	ASSERT_EQ(100, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, &fl));
	EXPECT_EQ(TT_DATA, type);
	EXPECT_BYTES(buf, 100, 0);
	EXPECT_ERR(EAGAIN, tt_recv_type(self->sk, buf, sizeof(buf), MSG_DONTWAIT, &type, &fl));
	/* and the real end has no type */
	shutdown(self->peer, SHUT_WR);
	ASSERT_EQ(0, tt_recv_type(self->sk, buf, sizeof(buf), 0, &type, &fl));
	EXPECT_EQ(0, type);
}

TEST_F(rx_types, padding)
{
	size_t pads[] = { 0, 1, 2, 15, 16, 17, 100, 255, 256, 4096, 10000, 16000 };
	uint8_t *rec = malloc(TT_REC_MAX), *buf = malloc(TT_REC_MAX), type;

	if (variant->version != TLS_1_3_VERSION)
		SKIP(goto out, "padding is of TLS 1.3");
	for (size_t i = 0; i < ARRAY_SIZE(pads); i++)
	for (int len = 0; len < 3; len++) {
		size_t l = len * 100;

		for (int ctrl = 0; ctrl < 2; ctrl++) {
			wire(self, rec, make(self, rec, ctrl ? TT_ALERT : TT_DATA, l, pads[i], i));
			if (!ctrl && !l) {
				arrived(self);
				ASSERT_ERRNO_AGAIN(recv(self->sk, buf, TT_MAX, MSG_DONTWAIT));
				continue;
			}
			memset(buf, 0x5a, TT_REC_MAX);
			ASSERT_EQ(l, tt_recv_type(self->sk, buf, TT_MAX, 0, &type, NULL));
			EXPECT_EQ(ctrl ? TT_ALERT : TT_DATA, type);
			EXPECT_BYTES(buf, l, i);
			for (size_t j = l; j < TT_REC_MAX; j++) {
				ASSERT_EQ(0x5a, buf[j]) TH_LOG("pad %zu: written behind the data at %zu", pads[i], j);
			}
		}
	}
	/* data that ends in zeros is data */
	memset(buf, 0, 1000);
	struct tt_rec r = { .type = TT_DATA, .data = buf, .len = 1000, .pad = 1000 };

	wire(self, rec, tt_seal(&self->k, &r, rec));
	memset(buf, 0x5a, 1000);
	ASSERT_EQ(1000, recv(self->sk, buf, TT_MAX, 0));
	for (int i = 0; i < 1000; i++) {
		ASSERT_EQ(0, buf[i]);
	}
out:
	free(rec);
	free(buf);
}

/* CVE-2026-74611: padded and control records into several pieces of user memory */
TEST_F(rx_types, padding_iovecs)
{
	uint8_t *rec = malloc(TT_REC_MAX), mem[4][600];

	if (variant->version != TLS_1_3_VERSION)
		SKIP(goto out, "padding is of TLS 1.3");
	for (int pad = 0; pad < 500; pad += 83)
	for (int len = 1; len < 300; len += 71) {
		struct iovec iov[4];

		memset(mem, 0x5a, sizeof(mem));
		for (int i = 0; i < 4; i++)
			iov[i] = (struct iovec){ mem[i], i == 3 ? 500 : 50 };
		wire(self, rec, make(self, rec, TT_DATA, len, pad, 9));
		ASSERT_EQ(len, readv(self->sk, iov, 4));
		for (int i = 0, off = 0; i < 4; i++) {
			int l = i == 3 ? 500 : 50, in = len - off < 0 ? 0 : len - off > l ? l : len - off;

			ASSERT_BYTES(mem[i], in, 9 + off);
			for (int j = in; j < 600; j++) {
				ASSERT_EQ(0x5a, mem[i][j]) TH_LOG("len %d pad %d piece %d at %d", len, pad, i, j);
			}
			off += l;
		}
	}
out:
	free(rec);
}

TEST_HARNESS_MAIN
