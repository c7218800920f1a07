// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Transmit: a cipher that has no memory for one operation and works afterwards (the test module tlsrec_oom), whether it says so
 * before it began or when its target is spoilt. A call that may wait does; any other says what it took, and whoever waits for an
 * event gets one. What was counted comes, once and in order, and the connection lives.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "oom_common.h"
#include "tx_common.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "../kusers/kmod/tlsrec_kuser.h"

#ifndef MSG_SPLICE_PAGES
#define MSG_SPLICE_PAGES 0x8000000
#endif

FIXTURE(oom_tx);
FIXTURE_VARIANT(oom_tx) { TT_VARIANT_FIELDS; };

#define BOTH(name, cipher)								\
	TT_VARIANT(oom_tx, tls12_##name, TT_IP4, TLS_1_2_VERSION, TLS_CIPHER_##cipher);	\
	TT_VARIANT(oom_tx, tls13_##name, TT_IP6, TLS_1_3_VERSION, TLS_CIPHER_##cipher)

BOTH(gcm128, AES_GCM_128);
BOTH(gcm256, AES_GCM_256);
BOTH(ccm128, AES_CCM_128);
BOTH(chacha20, CHACHA20_POLY1305);
BOTH(sm4_gcm, SM4_GCM);
BOTH(sm4_ccm, SM4_CCM);
TT_VARIANT(oom_tx, tls12_aria128, TT_IP4, TLS_1_2_VERSION, TLS_CIPHER_ARIA_GCM_128);
TT_VARIANT(oom_tx, tls12_aria256, TT_IP4, TLS_1_2_VERSION, TLS_CIPHER_ARIA_GCM_256);

FIXTURE_SETUP(oom_tx)
{
	self->sk = -1;
	if (tt_cipher_refused(variant->version, variant->cipher))
		SKIP(return, "this kernel has no %s", tt_cipher(variant->cipher)->name);
	oom_load(variant->version, variant->cipher);
	tx_open(self, variant->family, variant->version, variant->cipher);
}

FIXTURE_TEARDOWN(oom_tx)
{
	if (self->sk < 0)
		return;
	tx_close(self);
	EXPECT_EQ(0, oom_unload());
}

enum { TOTAL = 40000, HEAD = 50 };

enum way {
	SEND,		/* from where the cipher can read it */
	SEND_OFF,	/* from where it has to be copied */
	SEND_SMALL,	/* a record a call */
	WRITEV,
	MORE,		/* records that grow by pieces of any size */
	SENDFILE,
	MORE_FILE,	/* the answer's head, then the file */
	SPLICE,		/* small pieces and pages mixed */
	KERNEL,		/* sendmsg of the kernel's memory */
	KERNEL_SPLICE,	/* and of its pages */
	N_WAYS
};

struct source {
	uint8_t *data;		/* TOTAL bytes, on a page */
	uint8_t *off;		/* the same, off a block */
	int file;
	int pipe[2];
	int dev;
};

static int kernel_call(const struct source *s, int sk, enum ku_op op, enum ku_iter iter, size_t done, int flags)
{
	struct ku_call c = {
		.fd = sk, .op = op, .buf = (uintptr_t)s->data + done, .len = TOTAL - done, .iter = iter, .piece = 3000,
		.flags = flags | MSG_NOSIGNAL,
	};

	if (ioctl(s->dev, KU_CALL, &c) < 0)
		return -1;
	if (c.ret >= 0)
		return c.ret;
	errno = -c.ret;
	return -1;
}

/* one call that goes on behind done bytes */
static ssize_t call(const struct source *s, int sk, enum way way, size_t done, int flags)
{
	static const size_t steps[] = { 1, 700, 3000, 37, 16384, 5, 9001, 100, 4096, 2047 };
	struct iovec iov[2] = { { s->off + done, (TOTAL - done) / 2 } };
	size_t left = TOTAL - done, n = left;
	off_t off = done;

	switch (way) {
	case SEND:
		return send(sk, s->data + done, left, flags);
	case SEND_OFF:
		return send(sk, s->off + done, left, flags);
	case SEND_SMALL:
		return send(sk, s->data + done, left < 1000 ? left : 1000, flags);
	case WRITEV:
		iov[1] = (struct iovec){ s->data + done + iov[0].iov_len, left - iov[0].iov_len };
		return writev(sk, iov, 2);
	case MORE:
		n = steps[done % ARRAY_SIZE(steps)];
		return send(sk, s->data + done, n < left ? n : left, flags | (n < left ? MSG_MORE : 0));
	case MORE_FILE:
		if (done < HEAD)
			return send(sk, s->data + done, HEAD - done, flags | MSG_MORE);
		/* fall through */
	case SENDFILE:
		return sendfile(sk, s->file, &off, left);
	case SPLICE:
		return splice(s->pipe[0], NULL, sk, NULL, left, 0);
	case KERNEL:
		return kernel_call(s, sk, KU_SEND, KU_KVEC, done, flags);
	default:
		/* before Linux 6.5 there is kernel_sendpage() */
		n = kernel_call(s, sk, KU_SENDPAGE, KU_BVEC, done, flags);
		if ((ssize_t)n < 0 && errno == EOPNOTSUPP)
			n = kernel_call(s, sk, KU_SEND, KU_BVEC, done, flags | MSG_SPLICE_PAGES);
		return n;
	}
}

static void fill_pipe(const struct source *s)
{
	for (size_t at = 0, n; at < TOTAL; at += n) {
		bool small = at / 7000 % 2;
		struct iovec iov;

		n = small ? 300 : 8192;
		n = n < TOTAL - at ? n : TOTAL - at;
		iov = (struct iovec){ s->data + at, n };
		TT_MUST((small ? write(s->pipe[1], iov.iov_base, n) : vmsplice(s->pipe[1], &iov, 1, 0)) == (ssize_t)n);
	}
}

static void make_source(struct source *s)
{
	s->data = mmap(NULL, 2 * TOTAL + 10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	TT_MUST(s->data != MAP_FAILED);
	s->off = s->data + TOTAL + 7;
	tt_fill(s->data, TOTAL, 0);
	tt_fill(s->off, TOTAL, 0);
	s->file = make_file(0, TOTAL, 0);
	TT_MUST(!pipe(s->pipe));
	if (access("/dev/tlsrec_kuser", F_OK))
		TT_MUST(!system("modprobe -q tlsrec_kuser"));
	for (int i = 0; i < 100 && access("/dev/tlsrec_kuser", F_OK); i++)
		usleep(20000);
	s->dev = open("/dev/tlsrec_kuser", O_RDWR);
	TT_MUST(s->dev >= 0);
}

static void end_source(struct source *s)
{
	munmap(s->data, 2 * TOTAL + 10000);
	close(s->file);
	close(s->pipe[0]);
	close(s->pipe[1]);
	close(s->dev);
}

TEST_F(oom_tx, every_way)
{
	struct epoll_event ev = { .events = EPOLLOUT | EPOLLET };
	int ep = epoll_create1(0);
	struct source s;

	make_source(&s);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->sk, &ev));
	for (int block = 0; block < 2; block++)
	for (int how = 0; how < 6; how++)
	for (enum way way = 0; way < N_WAYS; way++) {
		size_t done = 0;
		ssize_t r;

		if (way == SPLICE)
			fill_pipe(&s);
		tt_nonblock(self->sk, !block);
		oom_fail_more(how / 4);
		oom_spoil(how >= 2);
		oom_fail("encrypt", 1 + how % 2);
		while (done < TOTAL) {
			r = call(&s, self->sk, way, done, MSG_NOSIGNAL | (block ? 0 : MSG_DONTWAIT));
			if (r < 0) {
				ASSERT_TRUE(errno == EAGAIN || errno == ENOMEM)
					TH_LOG("way %d, how %d: %s", way, how, strerror(errno));
				ASSERT_FALSE(block) TH_LOG("way %d, how %d: %s", way, how, strerror(errno));
				ASSERT_EQ(1, epoll_wait(ep, &ev, 1, 30000)) TH_LOG("no event, way %d, how %d", way, how);
				continue;
			}
			ASSERT_LT(0, r);
			done += r;
		}
		ASSERT_EQ(TOTAL, done);
		ASSERT_LT(0, take(self, TOTAL, 0)) TH_LOG("way %d, how %d, block %d", way, how, block);
		ASSERT_TRUE(oom_failed("encrypt")) TH_LOG("way %d, how %d", way, how);
	}
	close(ep);
	end_source(&s);
}

/* The stream ends with an open record: it goes, or the peer sees that something is missing. */
TEST_F(oom_tx, end)
{
	uint8_t *data = pattern(20000, 0);

	for (int more = 1; more <= 100; more += 99) {
		size_t got = 0;
		int ok;

		for (size_t at = 0; at < 5000; at += 250)
			ASSERT_EQ(250, send(self->sk, data + at, 250, MSG_MORE));
		oom_spoil(true);
		oom_fail_more(more);
		oom_fail("encrypt", 1);
		if (more == 1) {
			ASSERT_EQ(0, shutdown(self->sk, SHUT_WR));
		} else {
			close(self->sk);
			self->sk = open("/dev/null", O_RDONLY);
		}
		while ((ok = recv(self->peer, self->o->data, 1, MSG_PEEK)) > 0 && tt_recv_rec(self->peer, &self->k, self->o) == 1) {
			ASSERT_BYTES(self->o->data, self->o->len, got);
			got += self->o->len;
		}
		if (more == 1) {
			EXPECT_EQ(0, ok);
			EXPECT_EQ(5000, got);
		} else {
			EXPECT_EQ(-1, ok);
			EXPECT_EQ(ECONNRESET, errno);
			EXPECT_EQ(0, got);
		}
		if (more == 1) {
			tx_close(self);
			tx_open(self, variant->family, variant->version, variant->cipher);
		}
	}
	free(data);
}

TEST_HARNESS_MAIN
