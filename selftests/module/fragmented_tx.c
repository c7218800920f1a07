// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Sending where memory is fragmented: no two free pages are neighbours. It is slower, and nothing else: also the first record of
 * a connection that was parked.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "fragmented_common.h"

#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/time.h>

FIXTURE(fragmented_tx)
{
	int sk, peer, file;
	struct tt_key k;
	struct tt_opened *o;
	uint8_t *data;
	uint64_t pos;		/* bytes that came */
	long refused;
};

FIXTURE_VARIANT(fragmented_tx)
{
	TT_VARIANT_FIELDS;
};

TT_VARIANT(fragmented_tx, tls12_gcm128_ip4, TT_IP4, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128);
TT_VARIANT(fragmented_tx, tls13_gcm256_ip6, TT_IP6, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256);
TT_VARIANT(fragmented_tx, tls13_ccm128_ip4, TT_IP4, TLS_1_3_VERSION, TLS_CIPHER_AES_CCM_128);
TT_VARIANT(fragmented_tx, tls12_chacha20_ip6, TT_IP6, TLS_1_2_VERSION, TLS_CIPHER_CHACHA20_POLY1305);

enum { PAGE = 4096, ROOM = 2 << 20 };

FIXTURE_SETUP(fragmented_tx)
{
	struct timeval tv = { .tv_sec = 20 };
	int fd[2];

	if (strcmp(tt_ulp_name(), "tlsrec"))
		SKIP(return, "of tlsrec only");
	if (!scarce_load())
		SKIP(return, "the module tlsrec_fragment does not load: it wants kprobes");
	if (tt_cipher_refused(variant->version, variant->cipher))
		SKIP(return, "this kernel has no such cipher");
	ASSERT_EQ(0, tt_netns());
	tt_tcp_pair(variant->family, fd);
	self->sk = fd[0];
	self->peer = fd[1];
	self->k = tt_key_make(variant->version, variant->cipher, 1);
	tt_install(self->sk, &self->k, NULL);
	/* a call that finds no memory waits, and does not end the test's time */
	ASSERT_EQ(0, setsockopt(self->sk, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	self->o = malloc(sizeof(*self->o));
	self->data = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	TT_MUST(self->data != MAP_FAILED);
	tt_fill(self->data, ROOM, 0);
	self->file = memfd_create("fragmented", 0);
	TT_MUST(write(self->file, self->data, ROOM) == ROOM);
	self->refused = scarce_refused();
}

FIXTURE_TEARDOWN(fragmented_tx)
{
	scarce_from(0);
	close(self->sk);
	close(self->peer);
	close(self->file);
	free(self->o);
	munmap(self->data, ROOM);
}

/* so many bytes come next */
static bool take(FIXTURE_DATA(fragmented_tx) *self, size_t len)
{
	return comes(self->peer, &self->k, self->o, &self->pos, len);
}

/* of every size whose end has something to do with that of a page or of a record */
static const int sizes[] = { 1, 100, 1024, 3000, PAGE - 100, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 1, 3 * PAGE - 17,
			     TT_MAX - 1, TT_MAX, TT_MAX + 1, 3 * TT_MAX + 5, 100000 };

#define SENDS(call) do {									\
	scarce_from(PAGE + 1);									\
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {					\
		int len = sizes[i];								\
												\
		ASSERT_EQ(len, (call)) TH_LOG("%d bytes: %s", len, strerror(errno));		\
		ASSERT_TRUE(take(self, len)) TH_LOG("%d bytes", len);				\
	}											\
	EXPECT_LT(self->refused, scarce_refused()) TH_LOG("nothing was refused: nothing is tested"); \
} while (0)

TEST_F(fragmented_tx, send)
{
	SENDS(send(self->sk, self->data + self->pos, len, 0));
}

/* pages of the program's that begin and end with those of memory */
TEST_F(fragmented_tx, send_aligned)
{
	SENDS(send(self->sk, memmove(self->data + ROOM / 2, self->data + self->pos, len), len, 0));
}

static ssize_t by_file(FIXTURE_DATA(fragmented_tx) *self, size_t len)
{
	off_t off = self->pos;

	return sendfile(self->sk, self->file, &off, len);
}

TEST_F(fragmented_tx, sendfile)
{
	SENDS(by_file(self, len));
}

static ssize_t in_pieces(FIXTURE_DATA(fragmented_tx) *self, int len)
{
	int done = 0;

	while (done < len) {
		int n = len - done < 900 ? len - done : 900;

		if (send(self->sk, self->data + self->pos + done, n, done + n < len ? MSG_MORE : 0) != n)
			return -1;
		done += n;
	}
	return done;
}

TEST_F(fragmented_tx, pieces)
{
	SENDS(in_pieces(self, len));
}

/* without a transform, a work area or a slice */
TEST_F(fragmented_tx, parked)
{
	static const int len[] = { 100, TT_MAX, 50000 };

	for (size_t i = 0; i < ARRAY_SIZE(len); i++) {
		ASSERT_TRUE(wait_parked(i)) TH_LOG("%ld are parked", parked());
		scarce_from(PAGE + 1);
		ASSERT_EQ(len[i], send(self->sk, self->data + self->pos, len[i], 0)) TH_LOG("%s", strerror(errno));
		ASSERT_TRUE(take(self, len[i]));
		scarce_from(0);
	}
	EXPECT_LT(self->refused, scarce_refused());
}

TEST_HARNESS_MAIN
