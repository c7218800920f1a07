// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Flags of send(): what means nothing to TCP means nothing here, what would send plaintext or something else than a record
 * is refused, and nothing of it is sent.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <sys/uio.h>

FIXTURE(flags)
{
	int fd[2];
	struct tt_key k;
	struct tt_opened *o;
};

FIXTURE_VARIANT(flags)
{
	TT_VARIANT_FIELDS;
};

TT_VARIANTS(flags);

FIXTURE_SETUP(flags)
{
	self->k = tt_key_make(variant->version, variant->cipher, 1);
	self->o = malloc(sizeof(*self->o));
	tt_tcp_pair(variant->family, self->fd);
	tt_install(self->fd[0], &self->k, NULL);
}

FIXTURE_TEARDOWN(flags)
{
	close(self->fd[0]);
	close(self->fd[1]);
	free(self->o);
}

/* --- what TCP looks at --- */
#define REFUSED (MSG_OOB | MSG_ZEROCOPY | MSG_FASTOPEN)
#define MEANT (MSG_DONTWAIT | MSG_EOR | MSG_NOSIGNAL | MSG_MORE)

static bool arrives(FIXTURE_DATA(flags) *self, const char *text, size_t len)
{
	return tt_recv_rec(self->fd[1], &self->k, self->o) == 1 && self->o->type == TT_DATA && self->o->len == len &&
	       !memcmp(self->o->data, text, len);
}

TEST_F(flags, each)
{
	/* without the highest bit, which says that the caller is a 32-bit program */
	for (int bit = 0; bit < 31; bit++) {
		int flag = 1 << bit;

		if (flag & MEANT)
			continue;
		if (flag & REFUSED) {
			EXPECT_ERR_AT(EOPNOTSUPP, send(self->fd[0], "no", 2, flag), bit);
			continue;
		}
		EXPECT_EQ(5, send(self->fd[0], "hello", 5, flag)) TH_LOG("bit %d: %s", bit, strerror(errno));
		ASSERT_TRUE(arrives(self, "hello", 5)) TH_LOG("bit %d", bit);
	}
}

TEST_F(flags, all_that_mean_nothing)
{
	int flags = 0x7fffffff & ~REFUSED & ~MEANT;

	ASSERT_EQ(5, send(self->fd[0], "hello", 5, flags | MSG_DONTWAIT));
	ASSERT_TRUE(arrives(self, "hello", 5));
	ASSERT_EQ(5, send(self->fd[0], "hello", 5, flags | MSG_MORE));
	ASSERT_EQ(5, send(self->fd[0], "again", 5, flags | MSG_EOR));
	ASSERT_TRUE(arrives(self, "helloagain", 10));
}

TEST_F(flags, sendmmsg)
{
	struct iovec iov[3] = { { "one", 3 }, { "two", 3 }, { "three", 5 } };
	struct mmsghdr m[3];

	for (int flag = 0; flag <= MSG_WAITALL; flag += MSG_WAITALL) {
		memset(m, 0, sizeof(m));
		for (int i = 0; i < 3; i++) {
			m[i].msg_hdr.msg_iov = iov + i;
			m[i].msg_hdr.msg_iovlen = 1;
		}
		ASSERT_EQ(3, sendmmsg(self->fd[0], m, 3, flag));
		for (int i = 0; i < 3; i++) {
			EXPECT_EQ(iov[i].iov_len, m[i].msg_len);
			ASSERT_TRUE(arrives(self, iov[i].iov_base, iov[i].iov_len));
		}
	}
}

TEST_HARNESS_MAIN
