// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Sockets as other parts of the kernel use them: read_sock, sendmsg and recvmsg with memory of the kernel's and with
 * pages, record types by control messages of the kernel's, callbacks replaced before or after the ULP is set. The test
 * module tlsrec_kuser makes the calls; the other end is a bare TCP socket or another TLS socket of this program.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "../kusers/kmod/tlsrec_kuser.h"

#ifndef MSG_SPLICE_PAGES
#define MSG_SPLICE_PAGES 0x8000000
#endif
#define POISON 0xa5
#define PAGE 4096

static bool kernel_before(unsigned int major, unsigned int minor)
{
	unsigned int have[2] = { 0, 0 };
	struct utsname u;

	TT_MUST(!uname(&u) && sscanf(u.release, "%u.%u", &have[0], &have[1]) == 2);
	return have[0] < major || (have[0] == major && have[1] < minor);
}

static int open_device(void)
{
	int fd = open("/dev/tlsrec_kuser", O_RDWR);

	if (fd < 0 && !system("modprobe -q tlsrec_kuser"))
		for (int i = 0; i < 100 && fd < 0; i++, usleep(20000))
			fd = open("/dev/tlsrec_kuser", O_RDWR);
	return fd;
}

/* Returns the result of the call that the kernel made, or -1000 when it made none. */
static int ku(int dev, struct ku_call *c)
{
	if (ioctl(dev, KU_CALL, c)) {
		fprintf(stderr, "# tlsrec_kuser: operation %u: %s\n", c->op, strerror(errno));
		return -1000;
	}
	return c->ret;
}

FIXTURE(kuser)
{
	int dev;
	int fd[2];		/* fd[0] is TLS and used by the kernel */
	struct tt_key tx, rx;	/* of fd[0]; the peer's counterparts follow them */
	uint8_t *buf, *got;
	struct ku_call c;
};

FIXTURE_VARIANT(kuser)
{
	TT_VARIANT_FIELDS;
};
TT_VARIANTS(kuser);

#define BUF_SIZE (4 << 20)

FIXTURE_SETUP(kuser)
{
	self->dev = open_device();
	if (self->dev < 0)
		SKIP(return, "the module tlsrec_kuser is not there: %s", strerror(errno));
	tt_tcp_pair(variant->family, self->fd);
	self->tx = tt_key_make(variant->version, variant->cipher, 1);
	self->rx = tt_key_make(variant->version, variant->cipher, 2);
	self->buf = malloc(BUF_SIZE);
	self->got = malloc(BUF_SIZE);
	TT_MUST(self->buf && self->got);
	memset(&self->c, 0, sizeof(self->c));
	self->c.fd = self->fd[0];
	self->c.buf = (uintptr_t)self->got;
}

FIXTURE_TEARDOWN(kuser)
{
	if (self->dev < 0)
		return;
	close(self->dev);
	close(self->fd[0]);
	close(self->fd[1]);
	free(self->buf);
	free(self->got);
}

#define INSTALL() tt_install(self->fd[0], &self->tx, &self->rx)

/* The peer's records of @len bytes in all, @step in each, from position @pos in the stream. */
static void peer_sends(int fd, struct tt_key *k, size_t len, size_t step, uint64_t pos)
{
	uint8_t data[TT_MAX];

	for (size_t done = 0, n; done < len; done += n) {
		n = len - done < step ? len - done : step;
		tt_fill(data, n, pos + done);
		tt_send_data(fd, k, TT_DATA, data, n);
	}
}

/* The peer takes records until it has @len bytes of data. Returns how many records, or -1 for a wrong one. */
static int peer_takes(int fd, struct tt_key *k, size_t len, uint64_t pos)
{
	static struct tt_opened o;
	int records = 0;

	for (size_t done = 0; done < len; done += o.len, records++)
		if (tt_recv_rec(fd, k, &o) != 1 || o.type != TT_DATA || done + o.len > len ||
		    tt_diff(o.data, o.len, pos + done) != -1)
			return -1;
	return records;
}

static int ku_msg(enum ku_op op, struct ku_call *c, int dev, uint8_t *data, uint32_t len, enum ku_iter iter,
		  uint32_t piece, int flags)
{
	c->op = op;
	c->buf = (uintptr_t)data;
	c->len = len;
	c->iter = iter;
	c->piece = piece;
	c->flags = flags;
	return ku(dev, c);
}

#define ku_send(...) ku_msg(KU_SEND, __VA_ARGS__)
#define ku_recv(...) ku_msg(KU_RECV, __VA_ARGS__)

/* ---- send ---- */

TEST_F(kuser, send)
{
	static const uint32_t sizes[] = { 1, 5, 4096, 16384, 16385, 50000 };
	static const uint32_t pieces[] = { 0, 1000, 37 };
	uint64_t pos = 0;

	INSTALL();
	for (enum ku_iter iter = KU_KVEC; iter <= KU_XARRAY; iter++) {
		for (unsigned int i = 0; i < 6; i++) {
			for (unsigned int p = 0; p < (iter == KU_XARRAY ? 1 : 3); p++) {
				tt_fill(self->buf, sizes[i], pos);
				ASSERT_EQ((int)sizes[i], ku_send(&self->c, self->dev, self->buf, sizes[i], iter, pieces[p], 0));
				ASSERT_EQ((int)(sizes[i] + TT_MAX - 1) / TT_MAX,
					  peer_takes(self->fd[1], &self->tx, sizes[i], pos));
				pos += sizes[i];
			}
		}
	}
}

/* MSG_SPLICE_PAGES, joined by MSG_MORE, ended by MSG_EOR, as NVMe does */
TEST_F(kuser, send_pages)
{
	static const uint32_t sizes[] = { 1, 5, 4096, 16384, 16385, 100000 };
	static const struct { enum ku_iter iter; uint32_t piece; } forms[] = {
		{ KU_BVEC, 0 }, { KU_BVEC, 1000 }, { KU_BVEC, 512 },
		{ KU_GAPS, 0 }, { KU_GAPS, 1000 }, { KU_GAPS, 512 },
		{ KU_ACROSS, 0 }, { KU_ACROSS, 5000 }, { KU_ACROSS, 8192 },
	};
	uint64_t pos = 0;

	if (kernel_before(6, 5))
		SKIP(return, "MSG_SPLICE_PAGES came with Linux 6.5");
	INSTALL();
	for (unsigned int i = 0; i < 6; i++) {
		for (unsigned int f = 0; f < sizeof(forms) / sizeof(*forms); f++) {
			tt_fill(self->buf, sizes[i], pos);
			ASSERT_EQ((int)sizes[i], ku_send(&self->c, self->dev, self->buf, sizes[i], forms[f].iter,
							 forms[f].piece, MSG_SPLICE_PAGES | MSG_EOR));
			EXPECT_LE((int)(sizes[i] + TT_MAX - 1) / TT_MAX, peer_takes(self->fd[1], &self->tx, sizes[i], pos));
			pos += sizes[i];
		}
	}
	/* header copied, pages, header copied, pages */
	tt_fill(self->buf, 16000, pos);
	ASSERT_EQ(24, ku_send(&self->c, self->dev, self->buf, 24, KU_KVEC, 0, MSG_MORE));
	ASSERT_EQ(8192, ku_send(&self->c, self->dev, self->buf + 24, 8192, KU_BVEC, 0, MSG_MORE | MSG_SPLICE_PAGES));
	ASSERT_EQ(24, ku_send(&self->c, self->dev, self->buf + 8216, 24, KU_BVEC, 0, MSG_MORE));
	ASSERT_EQ(7760, ku_send(&self->c, self->dev, self->buf + 8240, 7760, KU_BVEC, 512, MSG_EOR | MSG_SPLICE_PAGES));
	EXPECT_LT(0, peer_takes(self->fd[1], &self->tx, 16000, pos));
	EXPECT_EQ(-EINVAL, ku_send(&self->c, self->dev, self->buf, 10, KU_BVEC, 0, MSG_EOR | MSG_MORE));
}

TEST_F(kuser, sendpage)
{
	uint64_t pos = 0;

	if (!kernel_before(6, 5))
		SKIP(return, "kernel_sendpage() ended with Linux 6.5");
	INSTALL();
	for (uint32_t size = 1; size <= 100000; size = size * 3 + 7) {
		for (int across = 0; across < 2; across++) {
			tt_fill(self->buf, size, pos);
			self->c.op = KU_SENDPAGE;
			self->c.buf = (uintptr_t)self->buf;
			self->c.len = size;
			self->c.iter = across ? KU_ACROSS : KU_BVEC;
			self->c.piece = size % 2 ? 0 : 700;
			ASSERT_EQ((int)size, ku(self->dev, &self->c));
			ASSERT_LT(0, peer_takes(self->fd[1], &self->tx, size, pos));
			pos += size;
		}
	}
}

/* an alert as RPC sends one when it closes, between data */
TEST_F(kuser, send_type)
{
	uint8_t alert[2] = { 1, 0 };
	struct tt_opened o;

	INSTALL();
	tt_fill(self->buf, 100, 0);
	ASSERT_EQ(100, ku_send(&self->c, self->dev, self->buf, 100, KU_KVEC, 0, 0));
	self->c.type = TT_ALERT;
	for (enum ku_iter iter = KU_KVEC; iter <= KU_BVEC; iter++) {
		ASSERT_EQ(2, ku_send(&self->c, self->dev, alert, 2, iter, 0, MSG_DONTWAIT));
	}
	EXPECT_EQ(-EINVAL, ku_send(&self->c, self->dev, alert, 2, KU_KVEC, 0, MSG_MORE));
	self->c.type = 0;
	ASSERT_EQ(100, ku_send(&self->c, self->dev, self->buf, 100, KU_BVEC, 0, MSG_DONTWAIT));

	EXPECT_EQ(1, peer_takes(self->fd[1], &self->tx, 100, 0));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(1, tt_recv_rec(self->fd[1], &self->tx, &o));
		EXPECT_EQ(TT_ALERT, o.type);
		EXPECT_EQ(2u, o.len);
		EXPECT_EQ(0, memcmp(o.data, alert, 2));
	}
	EXPECT_EQ(1, peer_takes(self->fd[1], &self->tx, 100, 0));
}

/* ---- receive ---- */

TEST_F(kuser, recv)
{
	static const uint32_t sizes[] = { 1, 5, 4096, 16384, 40000 };
	static const uint32_t pieces[] = { 0, 1000, 37 };
	uint64_t pos = 0;

	INSTALL();
	for (enum ku_iter iter = KU_KVEC; iter <= KU_XARRAY; iter++) {
		for (unsigned int i = 0; i < 5; i++) {
			for (unsigned int p = 0; p < (iter == KU_XARRAY ? 1 : 3); p++) {
				/* CMSG_LEN(1): no more room than is needed */
				self->c.room = p & 1 ? 17 : 0;
				peer_sends(self->fd[1], &self->rx, sizes[i], 3001, pos);
				ASSERT_EQ((int)sizes[i], ku_recv(&self->c, self->dev, self->got, sizes[i], iter, pieces[p],
								 MSG_WAITALL));
				EXPECT_EQ(self->c.room ? TT_DATA : 0u, self->c.type);
				ASSERT_BYTES(self->got, sizes[i], pos);
				pos += sizes[i];
			}
		}
	}
}

/* more room than there is: what is behind stays as it was */
TEST_F(kuser, recv_room)
{
	uint64_t pos = 0;

	INSTALL();
	for (enum ku_iter iter = KU_KVEC; iter <= KU_XARRAY; iter++) {
		peer_sends(self->fd[1], &self->rx, 5000, 5000, pos);
		ASSERT_EQ(5000, ku_recv(&self->c, self->dev, self->got, 9000, iter, 0, 0));
		EXPECT_TRUE(self->c.msg_flags & MSG_EOR);
		ASSERT_BYTES(self->got, 5000, pos);
		for (int i = 5000; i < 9000; i++) {
			ASSERT_EQ(POISON, self->got[i]);
		}
		EXPECT_EQ(-EAGAIN, ku_recv(&self->c, self->dev, self->got, 100, iter, 0, MSG_DONTWAIT));
		pos += 5000;
	}
	peer_sends(self->fd[1], &self->rx, 9000, 9000, pos);
	ASSERT_EQ(5000, ku_recv(&self->c, self->dev, self->got, 5000, KU_DISCARD, 0, MSG_DONTWAIT | MSG_WAITALL));
	ASSERT_EQ(4000, ku_recv(&self->c, self->dev, self->got, 4000, KU_KVEC, 0, 0));
	ASSERT_BYTES(self->got, 4000, pos + 5000);
}

/*
 * RPC receives without control buffer, learns by MSG_CTRUNC that there would have been something to say, and asks for the
 * type only when it got nothing.
 */
TEST_F(kuser, recv_like_rpc)
{
	uint8_t alert[2] = { 1, 90 };

	INSTALL();
	peer_sends(self->fd[1], &self->rx, 100, 100, 0);
	tt_send_data(self->fd[1], &self->rx, TT_ALERT, alert, 2);
	tt_send_data(self->fd[1], &self->rx, TT_HANDSHAKE, "ticket", 6);
	peer_sends(self->fd[1], &self->rx, 100, 100, 100);

	/* by MSG_EOR RPC would take a part of a reply for all of it, if MSG_CTRUNC did not tell it apart */
	ASSERT_EQ(100, ku_recv(&self->c, self->dev, self->got, 200, KU_BVEC, 0, 0));
	EXPECT_TRUE(self->c.msg_flags & MSG_CTRUNC);
	ASSERT_BYTES(self->got, 100, 0);
	ASSERT_EQ(-EIO, ku_recv(&self->c, self->dev, self->got, 200, KU_BVEC, 0, MSG_DONTWAIT));
	EXPECT_TRUE(self->c.msg_flags & MSG_CTRUNC);
	ASSERT_EQ(-EIO, ku_recv(&self->c, self->dev, self->got, 200, KU_DISCARD, 0, MSG_DONTWAIT));

	self->c.room = 24;
	ASSERT_EQ(2, ku_recv(&self->c, self->dev, self->got, 2, KU_KVEC, 0, MSG_DONTWAIT));
	EXPECT_EQ((uint32_t)TT_ALERT, self->c.type);
	EXPECT_FALSE(self->c.msg_flags & MSG_CTRUNC);
	EXPECT_TRUE(self->c.msg_flags & MSG_EOR);
	EXPECT_EQ(0, memcmp(self->got, alert, 2));

	/* a record that is longer than the buffer: MSG_EOR with its end only */
	ASSERT_EQ(2, ku_recv(&self->c, self->dev, self->got, 2, KU_KVEC, 0, MSG_DONTWAIT));
	EXPECT_EQ((uint32_t)TT_HANDSHAKE, self->c.type);
	EXPECT_FALSE(self->c.msg_flags & MSG_EOR);
	ASSERT_EQ(4, ku_recv(&self->c, self->dev, self->got, 64, KU_KVEC, 0, MSG_DONTWAIT));
	EXPECT_EQ((uint32_t)TT_HANDSHAKE, self->c.type);
	EXPECT_TRUE(self->c.msg_flags & MSG_EOR);
	EXPECT_EQ(0, memcmp(self->got, "cket", 4));

	self->c.room = 0;
	ASSERT_EQ(100, ku_recv(&self->c, self->dev, self->got, 100, KU_XARRAY, 0, 0));
	ASSERT_BYTES(self->got, 100, 100);
}

/* ---- read_sock ---- */

static int ku_read_sock(struct ku_call *c, int dev, uint8_t *to, enum ku_actor actor, uint32_t limit)
{
	c->op = KU_READ_SOCK;
	c->buf = (uintptr_t)to;
	c->len = BUF_SIZE;
	c->actor = actor;
	c->limit = limit;
	return ku(dev, c);
}

#define PEER_SENDS(len, step, pos) do {								\
	peer_sends(self->fd[1], &self->rx, len, step, pos);					\
	tt_wait_sent(self->fd[1]);								\
} while (0)

/* the peer's bytes were acknowledged, so they are in the queue of fd[0] */
static void tt_wait_sent(int fd)
{
	uint64_t end = tt_now_ms() + 60000;
	int queued = 1;

	while (!ioctl(fd, TIOCOUTQ, &queued) && queued && tt_now_ms() < end)
		usleep(1000);
	TT_MUST(!queued);
}

TEST_F(kuser, read_sock_all)
{
	static const uint32_t steps[] = { 16384, 1000, 5 };
	uint64_t pos = 0;

	INSTALL();
	EXPECT_EQ(-EAGAIN, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
	EXPECT_EQ(0u, self->c.calls);
	for (int i = 0; i < 3; i++) {
		uint32_t len = steps[i] * 3 + 1, records = 4;

		PEER_SENDS(len, steps[i], pos);
		ASSERT_EQ((int)len, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
		EXPECT_EQ(len, self->c.got);
		EXPECT_LE(records, self->c.calls);
		EXPECT_EQ(1u, self->c.count);
		ASSERT_BYTES(self->got, len, pos);
		pos += len;
		EXPECT_EQ(-EAGAIN, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
	}
	/* half a record is none */
	{
		uint8_t rec[TT_REC_MAX], data[1000];
		struct tt_rec r = { .type = TT_DATA, .data = data, .len = 1000 };
		size_t n;

		tt_fill(data, 1000, pos);
		n = tt_seal(&self->rx, &r, rec);
		tt_write(self->fd[1], rec, n - 1);
		tt_wait_sent(self->fd[1]);
		EXPECT_EQ(-EAGAIN, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
		tt_write(self->fd[1], rec + n - 1, 1);
		tt_wait_sent(self->fd[1]);
		ASSERT_EQ(1000, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
		ASSERT_BYTES(self->got, 1000, pos);
	}
	/* the end */
	shutdown(self->fd[1], SHUT_WR);
	EXPECT_EQ(1, tt_poll(self->fd[0], POLLIN, 10000));
	EXPECT_EQ(0, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
	EXPECT_EQ(0u, self->c.calls);
}

/* an actor that takes a little each time is called until all is taken */
TEST_F(kuser, read_sock_in_parts)
{
	INSTALL();
	PEER_SENDS(40000, 16000, 0);
	ASSERT_EQ(40000, ku_read_sock(&self->c, self->dev, self->got, KU_PART, 333));
	EXPECT_LE(40000u / 333, self->c.calls);
	ASSERT_BYTES(self->got, 40000, 0);
}

/* desc->count = 0 stops it, and nothing is lost */
TEST_F(kuser, read_sock_stops)
{
	INSTALL();
	PEER_SENDS(3000, 1000, 0);
	ASSERT_EQ(1000, ku_read_sock(&self->c, self->dev, self->got, KU_STOP, 1));
	EXPECT_EQ(0u, self->c.count);
	EXPECT_EQ(1u, self->c.calls);
	ASSERT_BYTES(self->got, 1000, 0);
	ASSERT_EQ(1000, ku_recv(&self->c, self->dev, self->got, 1000, KU_KVEC, 0, MSG_DONTWAIT));
	ASSERT_BYTES(self->got, 1000, 1000);
	ASSERT_EQ(1000, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
	ASSERT_BYTES(self->got, 1000, 2000);
}

/* an actor that takes nothing, or fails, before or after it took something */
TEST_F(kuser, read_sock_refuses)
{
	INSTALL();
	self->c.error = -EXFULL;
	PEER_SENDS(30000, 10000, 0);
	EXPECT_EQ(0, ku_read_sock(&self->c, self->dev, self->got, KU_REFUSE, 0));
	EXPECT_EQ(1u, self->c.calls);
	EXPECT_EQ(-EXFULL, ku_read_sock(&self->c, self->dev, self->got, KU_FAIL, 0));
	EXPECT_EQ(1u, self->c.calls);
	/* in the middle of a record, then at the end of one */
	EXPECT_EQ(3000, ku_read_sock(&self->c, self->dev, self->got, KU_FAIL, 3000));
	ASSERT_BYTES(self->got, 3000, 0);
	EXPECT_EQ(7000, ku_read_sock(&self->c, self->dev, self->got, KU_REFUSE, 7000));
	ASSERT_BYTES(self->got, 7000, 3000);
	/* readable it is, as plaintext is left */
	EXPECT_EQ(1, tt_poll(self->fd[0], POLLIN, 0));
	EXPECT_EQ(5, ku_read_sock(&self->c, self->dev, self->got, KU_REFUSE, 5));
	ASSERT_BYTES(self->got, 5, 10000);
	ASSERT_EQ(19995, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
	ASSERT_BYTES(self->got, 19995, 10005);
}

/* what is not data stops it, stays, and can be read with its type */
TEST_F(kuser, read_sock_and_control)
{
	uint8_t alert[2] = { 1, 90 };

	INSTALL();
	PEER_SENDS(100, 100, 0);
	tt_send_data(self->fd[1], &self->rx, TT_ALERT, alert, 2);
	PEER_SENDS(100, 100, 100);
	ASSERT_EQ(100, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
	ASSERT_BYTES(self->got, 100, 0);
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(-EINVAL, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
		EXPECT_EQ(0u, self->c.calls);
	}
	self->c.room = 24;
	ASSERT_EQ(2, ku_recv(&self->c, self->dev, self->got, 2, KU_KVEC, 0, MSG_DONTWAIT));
	EXPECT_EQ((uint32_t)TT_ALERT, self->c.type);
	ASSERT_EQ(100, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
	ASSERT_BYTES(self->got, 100, 100);
}

/* an empty record (TLS 1.3 allows it) is neither the end nor an obstacle */
TEST_F(kuser, read_sock_empty)
{
	INSTALL();
	tt_send_data(self->fd[1], &self->rx, TT_DATA, "", 0);
	PEER_SENDS(100, 100, 0);
	tt_send_data(self->fd[1], &self->rx, TT_DATA, "", 0);
	PEER_SENDS(100, 100, 100);
	ASSERT_EQ(200, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
	EXPECT_EQ(2u, self->c.calls);
	ASSERT_BYTES(self->got, 200, 0);
	tt_send_data(self->fd[1], &self->rx, TT_DATA, "", 0);
	tt_wait_sent(self->fd[1]);
	EXPECT_EQ(-EAGAIN, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
}

/* any number of them hold nobody up: what has data goes back with it, and each call gets further */
TEST_F(kuser, read_sock_many_empty)
{
	struct tt_key first = self->rx, now;
	int rounds = 0, ret;

	INSTALL();
	PEER_SENDS(100, 100, 0);
	for (int i = 0; i < 1000; i++)
		tt_send_data(self->fd[1], &self->rx, TT_DATA, "", 0);
	PEER_SENDS(100, 100, 100);
	tt_wait_sent(self->fd[1]);
	ASSERT_EQ(100, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
	ASSERT_BYTES(self->got, 100, 0);
	ASSERT_EQ(0, tt_key_get(self->fd[0], TLS_RX, &self->rx, &now));
	EXPECT_GT(first.seq + 200, now.seq);
	do {
		EXPECT_EQ(POLLIN, tt_poll(self->fd[0], POLLIN, 0));
		ret = ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0);
	} while (ret == -EAGAIN && rounds++ < 100);
	ASSERT_EQ(100, ret);
	ASSERT_BYTES(self->got, 100, 100);
}

/* a record that does not authenticate is an error, after what came before it */
TEST_F(kuser, read_sock_bad)
{
	uint8_t rec[TT_REC_MAX];
	struct tt_rec r = { .type = TT_DATA, .data = "hello", .len = 5 };
	size_t n;

	INSTALL();
	PEER_SENDS(100, 100, 0);
	n = tt_seal(&self->rx, &r, rec);
	rec[n - 1] ^= 1;
	tt_write(self->fd[1], rec, n);
	tt_wait_sent(self->fd[1]);
	ASSERT_EQ(100, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
	ASSERT_BYTES(self->got, 100, 0);
	EXPECT_EQ(-EBADMSG, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
	EXPECT_EQ(0u, self->c.calls);
}

/* packets that somebody keeps hold what they held when others are read meanwhile */
TEST_F(kuser, read_sock_held)
{
	INSTALL();
	PEER_SENDS(50000, 12000, 0);
	ASSERT_EQ(50000, ku_read_sock(&self->c, self->dev, self->got, KU_HOLD, 0));
	for (int i = 0; i < 8; i++) {
		PEER_SENDS(50000, 12000, 50000 + i * 50000);
		ASSERT_EQ(50000, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
		ASSERT_BYTES(self->got, 50000, 50000 + i * 50000);
	}
	self->c.op = KU_HELD;
	self->c.buf = (uintptr_t)self->got;
	self->c.len = BUF_SIZE;
	ASSERT_NE(-1000, ku(self->dev, &self->c));
	EXPECT_EQ(50000u, self->c.got);
	ASSERT_BYTES(self->got, 50000, 0);
}

/* read_sock, recvmsg, peek and splice may take turns at the same stream, also within a record */
TEST_F(kuser, read_sock_with_others)
{
	uint64_t pos = 0, state = 7;
	int pipefd[2];

	INSTALL();
	ASSERT_EQ(0, pipe(pipefd));
	PEER_SENDS(50000, 2999, 0);
	while (pos < 50000) {
		uint32_t want = 1 + tt_rand(&state) % 4000;
		ssize_t n;

		if (want > 50000 - pos)
			want = 50000 - pos;
		switch (tt_rand(&state) % 4) {
		case 0:
			n = ku_read_sock(&self->c, self->dev, self->got, KU_REFUSE, want);
			break;
		case 1:
			n = ku_recv(&self->c, self->dev, self->got, want, tt_rand(&state) % 3, 0, MSG_DONTWAIT);
			break;
		case 2:
			n = recv(self->fd[0], self->got, want, MSG_PEEK | MSG_DONTWAIT);
			ASSERT_LT(0, n);
			ASSERT_BYTES(self->got, n, pos);
			continue;
		default:
			n = splice(self->fd[0], NULL, pipefd[1], NULL, want, SPLICE_F_NONBLOCK);
			if (n > 0)
				ASSERT_EQ((size_t)n, tt_read_pipe(pipefd[0], self->got, n));
			break;
		}
		ASSERT_LT(0, n);
		ASSERT_BYTES(self->got, n, pos);
		pos += n;
	}
	close(pipefd[0]);
	close(pipefd[1]);
}

/* a key update in the stream: what came before it, then the sign that a key is wanted, then the rest */
TEST_F(kuser, read_sock_key_update)
{
	uint8_t update[5] = { 24, 0, 0, 1, 0 };
	struct tt_key next;

	if (variant->version != TLS_1_3_VERSION)
		SKIP(return, "key updates are of TLS 1.3");
	INSTALL();
	next = tt_key_make(variant->version, variant->cipher, 3);
	PEER_SENDS(100, 100, 0);
	tt_send_data(self->fd[1], &self->rx, TT_HANDSHAKE, update, 5);
	self->rx = next;
	PEER_SENDS(100, 100, 100);
	ASSERT_EQ(100, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
	EXPECT_EQ(-EINVAL, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
	self->c.room = 24;
	ASSERT_EQ(5, ku_recv(&self->c, self->dev, self->got, 100, KU_KVEC, 0, MSG_DONTWAIT));
	EXPECT_EQ((uint32_t)TT_HANDSHAKE, self->c.type);
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(-EKEYEXPIRED, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
		EXPECT_EQ(-EKEYEXPIRED, ku_recv(&self->c, self->dev, self->got, 100, KU_KVEC, 0, MSG_DONTWAIT));
	}
	ASSERT_EQ(0, tt_key_set(self->fd[0], TLS_RX, &next));
	ASSERT_EQ(100, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
	ASSERT_BYTES(self->got, 100, 100);
}

/* without a receive key read_sock is TCP's */
TEST_F(kuser, read_sock_before_the_key)
{
	tt_install(self->fd[0], &self->tx, NULL);
	tt_write(self->fd[1], "plain", 5);
	tt_wait_sent(self->fd[1]);
	ASSERT_EQ(5, ku_read_sock(&self->c, self->dev, self->got, KU_ALL, 0));
	EXPECT_EQ(0, memcmp(self->got, "plain", 5));
}

/* ---- callbacks replaced ---- */

static int ku_pump(struct ku_call *c, int dev, int fd, uint32_t flags)
{
	c->op = KU_PUMP;
	c->fd = fd;
	c->flags = flags;
	return ku(dev, c);
}

/* What the pump has by now; @look starts its work once, as if a callback had come. */
static int ku_pump_state(struct ku_call *c, int dev, uint8_t *to, bool look)
{
	c->op = KU_PUMP_STATE;
	c->buf = (uintptr_t)to;
	c->len = BUF_SIZE;
	c->flags = look;
	return ku(dev, c);
}

/* Waits until the pump has @bytes or an error. */
static int ku_pump_wait(struct ku_call *c, int dev, uint8_t *to, uint32_t bytes)
{
	uint64_t end = tt_now_ms() + 60000;
	int ret;

	do {
		ret = ku_pump_state(c, dev, to, false);
		if (ret || c->got >= bytes)
			return ret;
		usleep(5000);
	} while (tt_now_ms() < end);
	fprintf(stderr, "# the pump has %u of %u bytes\n", c->got, bytes);
	return -ETIMEDOUT;
}

/* NVMe's host does not call the callbacks that were there, its target does; RPC had its own before the ULP came */
enum order { AFTER, AFTER_CHAINED, BEFORE };

static void pumped(struct __test_metadata *_metadata, FIXTURE_DATA(kuser) *self, enum order order, uint32_t flags)
{
	if (order == AFTER_CHAINED)
		flags |= KU_PUMP_CHAIN;
	if (order != BEFORE)
		INSTALL();
	ASSERT_EQ(0, ku_pump(&self->c, self->dev, self->fd[0], flags));
	if (order == BEFORE)
		INSTALL();
	/* with the key set there may be something already: they all look once */
	ASSERT_EQ(0, ku_pump_state(&self->c, self->dev, self->got, true));

	peer_sends(self->fd[1], &self->rx, 1 << 20, 16384, 0);
	peer_sends(self->fd[1], &self->rx, 100000, 777, 1 << 20);
	ASSERT_EQ(0, ku_pump_wait(&self->c, self->dev, self->got, (1 << 20) + 100000));
	ASSERT_EQ((1u << 20) + 100000, self->c.got);
	ASSERT_BYTES(self->got, (1 << 20) + 100000, 0);
	EXPECT_LT(0u, self->c.ready);

	/* one byte at a time on the wire, and the end */
	{
		uint8_t rec[TT_REC_MAX];
		struct tt_rec r = { .type = TT_DATA, .data = "hello", .len = 5 };
		size_t n = tt_seal(&self->rx, &r, rec);

		tt_write_slow(self->fd[1], rec, n, 1);
	}
	ASSERT_EQ(0, ku_pump_wait(&self->c, self->dev, self->got, (1 << 20) + 100005));
	EXPECT_EQ(0, memcmp(self->got + (1 << 20) + 100000, "hello", 5));
	shutdown(self->fd[1], SHUT_WR);
	EXPECT_EQ(1, ku_pump_wait(&self->c, self->dev, self->got, -1));

	/* what goes the other way, more than fits, to a peer who is late */
	{
		uint32_t len = 3 << 20;

		tt_fill(self->buf, len, 0);
		self->c.op = KU_PUMP_SEND;
		self->c.buf = (uintptr_t)self->buf;
		self->c.len = len;
		self->c.piece = 0;
		ASSERT_NE(-1000, ku(self->dev, &self->c));
		usleep(300000);
		ASSERT_LT(0, peer_takes(self->fd[1], &self->tx, len, 0));
		ASSERT_EQ(1, ku_pump_state(&self->c, self->dev, self->got, false));
		EXPECT_EQ(0u, self->c.left);
		EXPECT_EQ(0, self->c.error);
	}
	self->c.op = KU_PUMP_END;
	ASSERT_NE(-1000, ku(self->dev, &self->c));
}

TEST_F(kuser, pump_like_nvme_host)
{
	pumped(_metadata, self, AFTER, kernel_before(6, 5) ? 0 : KU_PUMP_SPLICE);
}

TEST_F(kuser, pump_like_nvme_target)
{
	pumped(_metadata, self, AFTER_CHAINED, KU_PUMP_RECVMSG | (kernel_before(6, 5) ? 0 : KU_PUMP_SPLICE));
}

TEST_F(kuser, pump_like_rpc)
{
	pumped(_metadata, self, BEFORE, KU_PUMP_RECVMSG);
}

TEST_F(kuser, pump_before_with_read_sock)
{
	pumped(_metadata, self, BEFORE, 0);
}

/*
 * What was taken goes out, also when the socket had taken it before TCP had room for all of it, and the user, who has
 * nothing more to send, does not tell the callbacks that were there.
 */
TEST_F(kuser, pump_sends_the_tail)
{
	uint64_t pos = 0;

	INSTALL();
	tt_sockopt(self->fd[0], SOL_SOCKET, SO_SNDBUF, 30000);
	tt_sockopt(self->fd[1], SOL_SOCKET, SO_RCVBUF, 30000);
	ASSERT_EQ(0, ku_pump(&self->c, self->dev, self->fd[0], kernel_before(6, 5) ? 0 : KU_PUMP_SPLICE));
	for (uint32_t len = 20000; len < 160000; len += 5000) {
		bool ended = true;

		tt_fill(self->buf, len, pos);
		self->c.op = KU_PUMP_SEND;
		self->c.buf = (uintptr_t)self->buf;
		self->c.len = len;
		self->c.piece = 0;
		ASSERT_NE(-1000, ku(self->dev, &self->c));
		usleep(20000);
		for (uint32_t have = 0; have < len && ended;) {
			static struct tt_opened o;

			ended = tt_poll(self->fd[1], POLLIN, 10000) == 1;
			if (!ended)
				break;
			ASSERT_EQ(1, tt_recv_rec(self->fd[1], &self->tx, &o));
			ASSERT_BYTES(o.data, o.len, pos + have);
			have += o.len;
		}
		ku_pump_state(&self->c, self->dev, self->got, false);
		ASSERT_TRUE(ended)
			TH_LOG("%u bytes, of which %u were not taken", len, self->c.left);
		pos += len;
	}
}

/* records that are not data between data, for one who receives as RPC does; the callbacks tell of each */
TEST_F(kuser, pump_control)
{
	uint8_t alert[2] = { 1, 90 };

	ASSERT_EQ(0, ku_pump(&self->c, self->dev, self->fd[0], KU_PUMP_RECVMSG));
	INSTALL();
	ASSERT_EQ(0, ku_pump_state(&self->c, self->dev, self->got, true));
	for (int i = 0; i < 50; i++) {
		tt_send_data(self->fd[1], &self->rx, TT_ALERT, alert, 2);
		peer_sends(self->fd[1], &self->rx, 1000, 1000, i * 1000);
		tt_send_data(self->fd[1], &self->rx, TT_HANDSHAKE, "ticket", 6);
	}
	peer_sends(self->fd[1], &self->rx, 1000, 1000, 50000);
	ASSERT_EQ(0, ku_pump_wait(&self->c, self->dev, self->got, 51000));
	EXPECT_EQ(51000u, self->c.got);
	ASSERT_BYTES(self->got, 51000, 0);
	EXPECT_EQ(100u, self->c.control);
}

/* closed with callbacks still replaced, and data on the way */
TEST_F(kuser, pump_closed)
{
	for (int i = 0; i < 8; i++) {
		struct tt_key tx = self->tx, rx = self->rx;
		int fd[2];

		tt_tcp_pair(variant->family, fd);
		if (i & 1)
			ASSERT_EQ(0, ku_pump(&self->c, self->dev, fd[0], i & 2 ? KU_PUMP_CHAIN : 0));
		tt_install(fd[0], &tx, &rx);
		if (!(i & 1))
			ASSERT_EQ(0, ku_pump(&self->c, self->dev, fd[0], i & 2 ? KU_PUMP_CHAIN : 0));
		peer_sends(fd[1], &rx, 200000, 16384, 0);
		if (i & 4)
			close(fd[1]);
		close(fd[0]);
		self->c.op = KU_PUMP_END;
		ASSERT_NE(-1000, ku(self->dev, &self->c));
		if (!(i & 4))
			close(fd[1]);
	}
}

TEST_HARNESS_MAIN
