// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Nagle's algorithm, which is on unless a program says otherwise: what is written little by little waits for an
 * acknowledgement, and the end of a message does not wait for that of its middle.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#define ROUNDS 12

FIXTURE(nagle) {
	int fd[2];
};

FIXTURE_VARIANT(nagle) {
	enum tt_family family;
	uint16_t version, cipher;
	bool plain;	/* TCP, by which these are measured */
};

FIXTURE_VARIANT_ADD(nagle, tcp) { .family = TT_IP4, .plain = true };
TT_VARIANTS(nagle);

FIXTURE_SETUP(nagle)
{
	tt_tcp_pair(variant->family, self->fd);
	if (!variant->plain) {
		struct tt_key a = tt_key_make(variant->version, variant->cipher, 1);
		struct tt_key b = tt_key_make(variant->version, variant->cipher, 2);

		tt_install(self->fd[0], &a, &b);
		tt_install(self->fd[1], &b, &a);
	}
	for (int i = 0; i < 2; i++)
		tt_sockopt(self->fd[i], IPPROTO_TCP, TCP_NODELAY, 0);
}

FIXTURE_TEARDOWN(nagle)
{
	close(self->fd[0]);
	close(self->fd[1]);
}

/* the C library's struct tcp_info ends where the kernel's had 2012's fields */
struct info {
	struct tcp_info ti;
	uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
	uint32_t segs_out, segs_in, notsent_bytes, min_rtt, data_segs_in, data_segs_out;
};

static struct info info(int fd)
{
	struct info i = { 0 };
	socklen_t len = sizeof(i);

	TT_MUST(!getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &len));
	return i;
}

static void send_all(int fd, int file, const uint8_t *buf, size_t len)
{
	if (file < 0)
		return tt_write(fd, buf, len);
	for (off_t off = 0; off < (off_t)len; )
		TT_MUST(sendfile(fd, file, &off, len - off) > 0);
}

/* Is something not sent until an acknowledgement comes? Before the call that wrote it, TCP said before. */
static bool is_held(int fd, const struct info *before)
{
	uint64_t limit = tt_now_ms() + 30000;
	struct info now;

	do {
		now = info(fd);
		if (!now.notsent_bytes)
			return false;
	} while (now.bytes_acked == before->bytes_acked && tt_now_ms() < limit);
	return true;
}

/*
 * The peer's acknowledgements are delayed, and it answers nothing. A message follows when the one before was acknowledged.
 * Returns how many did not go out without an acknowledgement.
 */
static int held(int fd[2], bool file, size_t len)
{
	uint8_t *buf = malloc(len), *got = malloc(len);
	int mem = -1, count = 0;

	tt_fill(buf, len, 0);
	if (file) {
		mem = memfd_create("nagle", 0);
		TT_MUST(mem >= 0 && write(mem, buf, len) == (ssize_t)len);
	}
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t limit = tt_now_ms() + 30000;
		struct info before = info(fd[0]);

		tt_sockopt(fd[1], IPPROTO_TCP, TCP_QUICKACK, 0);
		send_all(fd[0], mem, buf, len);
		count += is_held(fd[0], &before);
		TT_MUST(tt_read(fd[1], got, len) == len && tt_diff(got, len, 0) < 0);
		while (info(fd[0]).ti.tcpi_unacked && tt_now_ms() < limit)
			usleep(1000);
		TT_MUST(!info(fd[0]).ti.tcpi_unacked);
	}
	if (mem >= 0)
		close(mem);
	free(buf);
	free(got);
	return count;
}

static const size_t sizes[] = { 1, 1000, 16384, 20000, 33000, 54000, 60000, 65000, 70000, 80000, 100000, 130000 };

/* All of a message goes out, however TCP divides it. */
TEST_F(nagle, message)
{
	/* the window opens: so far that it is not what a message waits for */
	held(self->fd, false, 200000);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_EQ(0, held(self->fd, false, sizes[i])) TH_LOG("%zu bytes", sizes[i]);
	}
}

TEST_F(nagle, file)
{
	held(self->fd, true, 200000);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_EQ(0, held(self->fd, true, sizes[i])) TH_LOG("%zu bytes", sizes[i]);
	}
}

/* Many small ones while none is acknowledged: few segments. */
TEST_F(nagle, little_by_little)
{
	struct info before;
	uint8_t buf[20];

	tt_fill(buf, sizeof(buf), 0);
	for (int mss = 0; mss < 2; mss++) {
		before = info(self->fd[0]);
		tt_sockopt(self->fd[1], IPPROTO_TCP, TCP_QUICKACK, 0);
		for (int i = 0; i < 300; i++)
			tt_write(self->fd[0], buf, sizeof(buf));
		for (int i = 0; i < 300; i++)
			ASSERT_EQ(sizeof(buf), tt_read(self->fd[1], buf, sizeof(buf)));
		EXPECT_GT(150, info(self->fd[0]).data_segs_out - before.data_segs_out);
		/* the same after a large one */
		held(self->fd, false, 65000);
	}
}

/* A small message behind the end of a large one that is on its way waits, as ever. */
TEST_F(nagle, after_an_end)
{
	uint8_t *buf = calloc(1, 65000);
	int waited = 0;

	held(self->fd, false, 200000);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t limit = tt_now_ms() + 30000;

		tt_sockopt(self->fd[1], IPPROTO_TCP, TCP_QUICKACK, 0);
		tt_write(self->fd[0], buf, 65000);
		tt_write(self->fd[0], buf, 10);
		waited += info(self->fd[0]).notsent_bytes > 0;
		ASSERT_EQ(65010, (int)tt_read(self->fd[1], buf, 65000) + (int)tt_read(self->fd[1], buf, 10));
		while (info(self->fd[0]).ti.tcpi_unacked && tt_now_ms() < limit)
			usleep(1000);
	}
	/* an acknowledgement may come early */
	EXPECT_LT(0, waited);
	free(buf);
}

TEST_HARNESS_MAIN
