// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What processors keep for their next calls comes back when memory is short, and when they go offline; nobody who sends or
 * receives notices. The parameter spare_kib of the module says how much there is.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>

#define BURST (2 << 20)
/* what a burst leaves on a processor, at the least */
#define MUCH 1024

FIXTURE(shrink)
{
	int from, to;
	uint8_t *buf;
	uint64_t sent, came;
};

FIXTURE_VARIANT(shrink)
{
	TT_VARIANT_FIELDS;
};

TT_VARIANT(shrink, tls12_gcm128_ip4, TT_IP4, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128);
TT_VARIANT(shrink, tls13_gcm256_ip6, TT_IP6, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256);

FIXTURE_SETUP(shrink)
{
	struct tt_key key = tt_key_make(variant->version, variant->cipher, 1);
	int fd[2], size = 2 * BURST;

	if (strcmp(tt_ulp_name(), "tlsrec"))
		SKIP(return, "of tlsrec only");
	tt_tcp_pair(variant->family, fd);
	self->from = fd[0];
	self->to = fd[1];
	ASSERT_EQ(0, setsockopt(self->from, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)));
	tt_install(self->from, &key, NULL);
	tt_install(self->to, NULL, &key);
	self->buf = malloc(BURST);
}

FIXTURE_TEARDOWN(shrink)
{
	close(self->from);
	close(self->to);
	free(self->buf);
}

static long spare(void)
{
	FILE *f = fopen("/sys/module/tlsrec/parameters/spare_kib", "r");
	long kib = -1;

	if (f && fscanf(f, "%ld", &kib) != 1)
		kib = -1;
	if (f)
		fclose(f);
	return kib;
}

static void write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	TT_MUST(fd >= 0);
	TT_MUST(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* as if memory were short: every shrinker is called */
static void press(void)
{
	write_to("/proc/sys/vm/drop_caches", "2");
}

/* until not more than this is kept */
static bool wait_spare(long kib)
{
	uint64_t end = tt_now_ms() + 30000;

	while (spare() > kib && tt_now_ms() < end)
		usleep(10000);
	if (spare() <= kib)
		return true;
	fprintf(stderr, "# %ld KiB are kept\n", spare());
	return false;
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	TT_MUST(sched_setaffinity(0, sizeof(set), &set) == 0);
}

/* more than TCP sends before it is acknowledged: the processor needs many chunks */
static bool sends(FIXTURE_DATA(shrink) *self, size_t len)
{
	tt_fill(self->buf, len, self->sent);
	for (size_t n, done = 0; done < len; done += n) {
		n = len - done < 100000 ? len - done : 100000;
		if (send(self->from, self->buf + done, n, 0) != (ssize_t)n)
			return false;
	}
	self->sent += len;
	return true;
}

static bool gets(FIXTURE_DATA(shrink) *self, size_t len)
{
	bool right = tt_read(self->to, self->buf, len) == len && tt_diff(self->buf, len, self->came) == -1;

	self->came += len;
	return right;
}

static bool bursts(FIXTURE_DATA(shrink) *self)
{
	return sends(self, BURST) && gets(self, BURST);
}

/* of all processors, whether or not they are used again */
TEST_F(shrink, memory_short)
{
	int n = sysconf(_SC_NPROCESSORS_ONLN);

	ASSERT_LE(0, spare()) TH_LOG("the module does not say what it keeps");
	for (int cpu = 0; cpu < n; cpu++) {
		run_on(cpu);
		ASSERT_TRUE(bursts(self));
	}
	EXPECT_LT(n * MUCH, spare());
	run_on(0);
	press();
	EXPECT_TRUE(wait_spare(0));
	for (int cpu = 0; cpu < n; cpu++) {
		run_on(cpu);
		ASSERT_TRUE(bursts(self));
	}
}

/* what is on its way stays what it is */
TEST_F(shrink, on_its_way)
{
	run_on(0);
	ASSERT_TRUE(sends(self, BURST));
	EXPECT_LT(MUCH, spare());
	press();
	EXPECT_TRUE(wait_spare(0));
	/* others may have those pages now */
	for (int i = 0; i < 20; i++) {
		void *p = malloc(BURST);

		memset(p, i, BURST);
		free(p);
	}
	ASSERT_TRUE(gets(self, BURST));
	ASSERT_TRUE(bursts(self));
}

/* an open record goes on in the chunk that its processor has given back */
TEST_F(shrink, open_record)
{
	run_on(0);
	press();
	ASSERT_TRUE(wait_spare(0));
	for (int i = 0; i < 40; i++) {
		tt_fill(self->buf, 700, self->sent);
		ASSERT_EQ(700, send(self->from, self->buf, 700, MSG_MORE));
		self->sent += 700;
		if (i % 4)
			continue;
		press();
		EXPECT_TRUE(wait_spare(0));
	}
	ASSERT_TRUE(sends(self, 10));
	ASSERT_TRUE(gets(self, 28010));
}

static void *presses(void *arg)
{
	bool *end = arg;

	while (!__atomic_load_n(end, __ATOMIC_RELAXED)) {
		press();
		usleep(1000);
	}
	return NULL;
}

TEST_F(shrink, while_it_is_used)
{
	bool end = false;
	pthread_t t;
	bool right = true;

	ASSERT_EQ(0, pthread_create(&t, NULL, presses, &end));
	for (int i = 0; i < 20 && right; i++)
		right = bursts(self);
	__atomic_store_n(&end, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(t, NULL));
	EXPECT_TRUE(right);
}

#define ONLINE "/sys/devices/system/cpu/cpu1/online"

TEST_F(shrink, processor_offline)
{
	cpu_set_t all;

	if (access(ONLINE, W_OK))
		SKIP(return, "there is no second processor, or it cannot go offline");
	TT_MUST(sched_getaffinity(0, sizeof(all), &all) == 0);
	run_on(0);
	press();
	ASSERT_TRUE(wait_spare(0));
	run_on(1);
	ASSERT_TRUE(bursts(self));
	EXPECT_LT(MUCH, spare());
	ASSERT_TRUE(sends(self, 100000));
	TT_MUST(sched_setaffinity(0, sizeof(all), &all) == 0);
	write_to(ONLINE, "0");
	/* softirq on the other one may have kept something */
	EXPECT_TRUE(wait_spare(MUCH / 4));
	EXPECT_TRUE(gets(self, 100000));
	EXPECT_TRUE(bursts(self));
	press();
	EXPECT_TRUE(wait_spare(0));
	write_to(ONLINE, "1");
	run_on(1);
	ASSERT_TRUE(bursts(self));
	EXPECT_LT(MUCH, spare());
}

TEST_HARNESS_MAIN
