// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * No memory at all for a writer who does not wait, and nothing of his on its way: EAGAIN, and when there is memory again an event
 * that says so, also to those who are told of changes alone (EPOLLET). No event of TCP's would come.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "fragmented_common.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

FIXTURE(fragmented_none)
{
	int sk, peer, file, ep;
	struct tt_key k;
	struct tt_opened *o;
	uint8_t *data;
	uint64_t pos;		/* bytes that came */
	long parked;
};

FIXTURE_VARIANT(fragmented_none)
{
	TT_VARIANT_FIELDS;
};

TT_VARIANT(fragmented_none, tls12_gcm128_ip6, TT_IP6, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128);
TT_VARIANT(fragmented_none, tls13_gcm256_ip4, TT_IP4, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256);

enum { PAGE = 4096, ROOM = 1 << 20, LIMIT_MS = 30000 };

FIXTURE_SETUP(fragmented_none)
{
	struct epoll_event ev = { .events = EPOLLOUT | EPOLLET };
	int fd[2];

	if (strcmp(tt_ulp_name(), "tlsrec"))
		SKIP(return, "of tlsrec only");
	if (!scarce_load())
		SKIP(return, "the module tlsrec_fragment does not load: it wants kprobes");
	ASSERT_EQ(0, tt_netns());
	tt_tcp_pair(variant->family, fd);
	self->sk = fd[0];
	self->peer = fd[1];
	tt_nonblock(self->sk, true);
	self->k = tt_key_make(variant->version, variant->cipher, 1);
	tt_install(self->sk, &self->k, NULL);
	self->o = malloc(sizeof(*self->o));
	self->data = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	TT_MUST(self->data != MAP_FAILED);
	tt_fill(self->data, ROOM, 0);
	self->file = memfd_create("fragmented", 0);
	TT_MUST(write(self->file, self->data, ROOM) == ROOM);
	self->ep = epoll_create1(0);
	ASSERT_EQ(0, epoll_ctl(self->ep, EPOLL_CTL_ADD, self->sk, &ev));
}

FIXTURE_TEARDOWN(fragmented_none)
{
	scarce_from(0);
	scarce_transforms(false);
	close(self->ep);
	close(self->sk);
	close(self->peer);
	close(self->file);
	free(self->o);
	munmap(self->data, ROOM);
}

#define SELF FIXTURE_DATA(fragmented_none) *self

/* so many bytes come next, and are acknowledged: nothing is in a queue */
static bool take(SELF, size_t len)
{
	uint64_t limit = tt_now_ms() + LIMIT_MS;

	if (!comes(self->peer, &self->k, self->o, &self->pos, len))
		return false;
	while (tt_tcp_queued(self->sk))
		if (tt_now_ms() > limit)
			return false;
	return true;
}

enum { SMALL, RECORD, LONG, MORE, TYPE, FROM_FILE, N_WAYS };

static const size_t lengths[N_WAYS] = { 100, TT_MAX, 40000, 100, 100, 10000 };

static ssize_t sends(SELF, int way)
{
	size_t len = lengths[way];
	off_t off = self->pos;

	switch (way) {
	case MORE:
		return send(self->sk, self->data + off, len, MSG_MORE);
	case TYPE:
		return tt_send_type(self->sk, TT_DATA, self->data + off, len, 0);
	case FROM_FILE:
		return sendfile(self->sk, self->file, &off, len);
	case RECORD:
		/* read where it is */
		memmove(self->data + ROOM - 4 * TT_MAX, self->data + off, len);
		return send(self->sk, self->data + ROOM - 4 * TT_MAX, len, 0);
	default:
		return send(self->sk, self->data + off, len, 0);
	}
}

/* what there is none of: a work area; a page for the record; a transform of the cipher, since the key is parked */
enum { WORK, SLICE, TRANSFORM };

static void refuse(SELF, int what)
{
	if (what == TRANSFORM) {
		TT_MUST(wait_parked(self->parked));
		self->parked = parked();
		scarce_transforms(true);
	} else {
		scarce_from(what == SLICE ? PAGE : 1);
	}
}

static void allow(void)
{
	scarce_from(0);
	scarce_transforms(false);
}

static void none(struct __test_metadata *_metadata, SELF, int what)
{
	struct epoll_event ev;

	for (int way = 0; way < N_WAYS; way++) {
		size_t len = lengths[way];
		long before;

		refuse(self, what);
		before = scarce_refused();
		while (epoll_wait(self->ep, &ev, 1, 0) == 1)
			;
		EXPECT_ERR_AT(EAGAIN, sends(self, way), way);
		EXPECT_LT(before, scarce_refused()) TH_LOG("way %d: nothing was refused: nothing is tested", way);
		EXPECT_EQ(0, tt_tcp_queued(self->sk));
		allow();
		ASSERT_EQ(1, epoll_wait(self->ep, &ev, 1, LIMIT_MS)) TH_LOG("way %d: not told", way);
		EXPECT_EQ(EPOLLOUT, ev.events);
		ASSERT_EQ((ssize_t)len, sends(self, way)) TH_LOG("way %d: %s", way, strerror(errno));
		if (way == MORE) {
			ASSERT_EQ(1, send(self->sk, self->data + self->pos + len++, 1, 0));
		}
		ASSERT_TRUE(take(self, len)) TH_LOG("way %d", way);
	}
}

TEST_F(fragmented_none, no_work_area)
{
	none(_metadata, self, WORK);
}

TEST_F(fragmented_none, no_slice)
{
	none(_metadata, self, SLICE);
}

TEST_F(fragmented_none, parked)
{
	none(_metadata, self, TRANSFORM);
}

/* it goes on being told for as long as it tries in vain */
TEST_F(fragmented_none, again_and_again)
{
	struct epoll_event ev;

	for (int what = WORK; what <= SLICE; what++) {
		refuse(self, what);
		while (epoll_wait(self->ep, &ev, 1, 0) == 1)
			;
		for (int i = 0; i < 5; i++) {
			EXPECT_ERR_AT(EAGAIN, sends(self, RECORD), i);
			ASSERT_EQ(1, epoll_wait(self->ep, &ev, 1, LIMIT_MS)) TH_LOG("round %d: not told", i);
		}
		allow();
		ASSERT_EQ(TT_MAX, sends(self, RECORD));
		ASSERT_TRUE(take(self, TT_MAX));
	}
}

static void *sends_record(void *arg)
{
	SELF = arg;

	return (void *)(sends(self, RECORD));
}

/* one who waits goes on by himself */
TEST_F(fragmented_none, waits)
{
	tt_nonblock(self->sk, false);
	for (int what = WORK; what <= TRANSFORM; what++) {
		uint64_t end = tt_now_ms() + LIMIT_MS;
		long before;
		pthread_t t;
		void *ret;

		if (what == TRANSFORM) {
			/* on a slow machine it was parked before the records of the other rounds */
			ASSERT_EQ(100, send(self->sk, self->data + self->pos, 100, 0));
			self->parked = parked();
			ASSERT_TRUE(take(self, 100));
		}
		refuse(self, what);
		before = scarce_refused();
		ASSERT_EQ(0, pthread_create(&t, NULL, sends_record, self));
		/* it has tried twice */
		while (scarce_refused() < before + 2 && tt_now_ms() < end)
			usleep(1000);
		EXPECT_LE(before + 2, scarce_refused());
		EXPECT_EQ(0, tt_tcp_queued(self->sk));
		allow();
		ASSERT_EQ(0, pthread_join(t, &ret));
		ASSERT_EQ(TT_MAX, (ssize_t)ret);
		ASSERT_TRUE(take(self, TT_MAX));
	}
}

TEST_HARNESS_MAIN
