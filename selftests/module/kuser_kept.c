// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A program sends, and hands its socket over to a user inside the kernel while records are kept for TCP. His callbacks are over
 * those that would have moved them, he calls nothing, and all of it goes out.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#ifndef TCP_NOTSENT_LOWAT
#define TCP_NOTSENT_LOWAT 25
#endif

#include "../kusers/kmod/tlsrec_kuser.h"

FIXTURE(kuser_kept)
{
	int sk, peer, dev;
	struct tt_key k;
	struct tt_opened *o;
};

FIXTURE_VARIANT(kuser_kept)
{
	TT_VARIANT_FIELDS;
};

TT_VARIANT(kuser_kept, tls12_gcm128_ip6, TT_IP6, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128);
TT_VARIANT(kuser_kept, tls13_gcm256_ip4, TT_IP4, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256);

enum { CHUNK = 3 * TT_MAX + 100, LIMIT_MS = 30000 };

FIXTURE_SETUP(kuser_kept)
{
	int fd[2];

	self->dev = open("/dev/tlsrec_kuser", O_RDWR);
	if (self->dev < 0 && !system("modprobe -q tlsrec_kuser"))
		for (int i = 0; i < 100 && self->dev < 0; i++, usleep(20000))
			self->dev = open("/dev/tlsrec_kuser", O_RDWR);
	if (self->dev < 0)
		SKIP(return, "the module tlsrec_kuser is not there: %s", strerror(errno));
	tt_narrow_pair(variant->family, 10000, fd);
	self->sk = fd[0];
	self->peer = fd[1];
	/* TCP takes nothing more as long as the window is closed */
	tt_sockopt(self->sk, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1);
	self->k = tt_key_make(variant->version, variant->cipher, 1);
	tt_install(self->sk, &self->k, NULL);
	self->o = malloc(sizeof(*self->o));
}

FIXTURE_TEARDOWN(kuser_kept)
{
	close(self->sk);
	close(self->peer);
	close(self->dev);
	free(self->o);
}

/* bytes that TCP was not given */
static int kept(int fd)
{
	int queued;

	TT_MUST(ioctl(fd, SIOCOUTQ, &queued) == 0);
	return queued - (int)tt_tcp_queued(fd);
}

/* send until nothing is taken, and nothing that comes late from the peer changes that; what was counted */
static size_t fill(int fd)
{
	uint8_t *data = malloc(CHUNK);
	uint64_t end = tt_now_ms() + LIMIT_MS;
	size_t sent = 0;
	ssize_t n;

	do {
		TT_MUST(tt_now_ms() < end);
		while (tt_fill(data, CHUNK, sent), n = send(fd, data, CHUNK, MSG_DONTWAIT | MSG_NOSIGNAL), n > 0)
			sent += n;
		TT_MUST(errno == EAGAIN);
		for (int i = 0; i < 50 && kept(fd); i++)
			usleep(10000);
	} while (!kept(fd));
	free(data);
	return sent;
}

TEST_F(kuser_kept, handed_over)
{
	struct ku_call c = { .fd = self->sk, .op = KU_PUMP };
	size_t sent = fill(self->sk);

	ASSERT_EQ(0, ioctl(self->dev, KU_CALL, &c));
	ASSERT_EQ(0, c.ret);
	EXPECT_LT(0, kept(self->sk)) TH_LOG("nothing is kept: nothing is tested");
	for (size_t got = 0; got < sent; got += self->o->len) {
		ASSERT_LT(0, tt_poll(self->peer, POLLIN, LIMIT_MS)) TH_LOG("nothing comes after %zu of %zu bytes", got, sent);
		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
		ASSERT_BYTES(self->o->data, self->o->len, got);
	}
	c.op = KU_PUMP_END;
	EXPECT_EQ(0, ioctl(self->dev, KU_CALL, &c));
}

TEST_HARNESS_MAIN
