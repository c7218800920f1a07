// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Transmit: the program's memory, which may not be there or change, and the kernel's, which must come back.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "tx_common.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/uio.h>

TX_FIXTURE(tx_memory);

/* memory that is not there: what was counted is on the wire, and nothing else */
TEST_F(tx_memory, efault)
{
	long page = sysconf(_SC_PAGESIZE);
	uint8_t *map = mmap(NULL, 10 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t cut[] = { 0, 1, 100, 4096, 16383, 16384, 16385, 30000 };

	ASSERT_NE(MAP_FAILED, (void *)map);
	ASSERT_EQ(0, munmap(map + 9 * page, page));
	for (int more = 0; more < 2; more++)
	for (size_t i = 0; i < ARRAY_SIZE(cut); i++) {
		uint8_t *at = cut[i] ? map + 9 * page - cut[i] : (void *)16, tail[20];
		ssize_t n;

		if (cut[i])
			tt_fill(at, cut[i], 10);
		tt_fill(tail, sizeof(tail), 0);
		if (more) {
			ASSERT_EQ(10, send(self->sk, tail, 10, MSG_MORE));
		}
		n = send(self->sk, at, 40000, more ? MSG_MORE : 0);
		if (n < 0) {
			EXPECT_EQ(EFAULT, errno);
		} else {
			EXPECT_GE(cut[i], (size_t)n);
		}
		n = n < 0 ? 0 : n;
		tt_fill(tail, 10, 10 + n);
		ASSERT_EQ(10, send(self->sk, tail, 10, 0));
		EXPECT_LE(1, take(self, (more ? 10 : 0) + n + 10, more ? 0 : 10)) TH_LOG("cut at %zu, %zd counted", cut[i], n);
		EXPECT_EQ(0, tt_pending(self->peer));
	}
}

/* Bytes of free memory. */
static long mem_free(void)
{
	long kib = 0, n = 0;
	char name[32];
	FILE *f = fopen("/proc/meminfo", "r");

	while (fscanf(f, "%31s %ld%*[^\n]", name, &n) == 2)
		if (!strcmp(name, "MemFree:"))
			kib = n;
	fclose(f);
	return kib * 1024;
}

/*
 * A message of one record, and memory that ends within it, or has a hole: nothing of it is sent but what the call counts,
 * and the next one is as if there had been none. Memory used for it comes back.
 */
TEST_F(tx_memory, efault_in_a_record)
{
	size_t page = sysconf(_SC_PAGESIZE), len[] = { 100, 1100, 8192, 9000, TT_MAX };
	uint8_t *map = mmap(NULL, 8 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), after[50];
	static uint8_t wire[TT_REC_MAX];
	long before = 0;

	ASSERT_NE(MAP_FAILED, (void *)map);
	ASSERT_EQ(0, munmap(map + 6 * page, 2 * page));
	for (int pieces = 1; pieces <= 3; pieces += 2)
	for (size_t i = 0; i < ARRAY_SIZE(len); i++)
	for (size_t cut = 0; cut < len[i]; cut = cut * 3 + 1) {
		uint8_t *at = map + 6 * page - cut;
		struct iovec iov[3] = { { at, pieces == 1 ? len[i] : cut }, { (void *)page, 0 }, { (void *)(page - 16), len[i] - cut } };
		ssize_t n;

		tt_fill(at, cut, 7);
		n = writev(self->sk, iov, pieces);
		if (n < 0) {
			EXPECT_EQ(EFAULT, errno);
			n = 0;
		}
		EXPECT_GE(cut, (size_t)n);
		if (n) {
			ASSERT_LE(1, take(self, n, 7));
		}
		tt_fill(after, sizeof(after), 3);
		ASSERT_EQ(sizeof(after), send(self->sk, after, sizeof(after), 0));
		ASSERT_EQ(1, take(self, sizeof(after), 3)) TH_LOG("%zu of %zu bytes there", cut, len[i]);
		EXPECT_EQ(0, tt_pending(self->peer));
	}
	for (int i = 0; i < 6000; i++) {
		if (i == 1000)
			before = mem_free();
		EXPECT_EQ(-1, send(self->sk, (void *)16, i & 1 ? TT_MAX : 5000, 0));
	}
	EXPECT_GT(20 << 20, before - mem_free());
	/* And so does that of records that were sent. */
	for (int i = 0; i < 3000; i++) {
		ASSERT_EQ(TT_MAX, send(self->sk, map, TT_MAX, 0));
		tt_read(self->peer, wire, TT_MAX + tt_overhead(&self->k));
	}
	EXPECT_GT(20 << 20, before - mem_free());
	munmap(map, 6 * page);
}

/*
 * Wherever in a page a message begins, and whatever kind of memory it is in: what it was when the call was made is sent,
 * though the program writes to it right afterwards, or has no memory there any more.
 */
TEST_F(tx_memory, memory_of_the_program)
{
	size_t page = sysconf(_SC_PAGESIZE), size = 16 * page, len[] = { 8192, 8193, 12345, TT_MAX, TT_MAX + 8193, 3 * TT_MAX - 7 };
	size_t off[] = { 0, 1, 8, 16, 100, page - 16, page - 1 };
	static uint8_t wire[TT_REC_MAX];
	long before = 0;

	for (int kind = 0; kind < 3; kind++)
	for (int more = 0; more < 2; more++)
	for (size_t i = 0; i < ARRAY_SIZE(len); i++)
	for (size_t o = 0; o < ARRAY_SIZE(off); o++) {
		int fd = kind ? memfd_create("memory", 0) : -1;
		uint8_t *map, *data = pattern(size, 5), tail[10];

		/* anonymous; a file's; a file's that may only be read */
		if (kind) {
			ASSERT_EQ(size, pwrite(fd, data, size, 0));
			map = mmap(NULL, size, kind == 1 ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
		} else {
			map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		}
		ASSERT_NE(MAP_FAILED, (void *)map);
		if (!kind)
			memcpy(map, data, size);
		ASSERT_EQ(len[i], send(self->sk, map + off[o], len[i], more ? MSG_MORE : 0));
		if (kind < 2)
			memset(map, 0xee, size);
		ASSERT_EQ(0, munmap(map, size));
		if (kind)
			close(fd);
		memcpy(tail, data + off[o] + len[i], sizeof(tail));
		ASSERT_EQ(sizeof(tail), send(self->sk, tail, sizeof(tail), 0));
		ASSERT_LE(1, take(self, len[i] + sizeof(tail), 5 + off[o])) TH_LOG("%zu bytes at %zu, kind %d", len[i], off[o], kind);
		EXPECT_EQ(0, tt_pending(self->peer));
		free(data);
	}
	/* No page of it is held on to. */
	for (int i = 0; i < 2500; i++) {
		uint8_t *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

		ASSERT_NE(MAP_FAILED, (void *)map);
		ASSERT_EQ(TT_MAX, send(self->sk, map + 16, TT_MAX, 0));
		tt_read(self->peer, wire, TT_MAX + tt_overhead(&self->k));
		ASSERT_EQ(0, munmap(map, size));
		if (i == 500)
			before = mem_free();
	}
	EXPECT_GT(20 << 20, before - mem_free());
}

/* A program that writes to what it sends: any bytes may go out, but every record must open. */
TEST_F(tx_memory, written_to_while_sent)
{
	uint8_t *data = aligned_alloc(4096, 13 * TT_MAX);
	pthread_t t;

	memset(data, 1, 13 * TT_MAX);
	scribble = 1;
	ASSERT_EQ(0, pthread_create(&t, NULL, scribbler, data));
	for (int i = 0; i < 300; i++) {
		size_t n = (1 + i % 2) * TT_MAX;

		ASSERT_EQ(n, send(self->sk, data + i % 12 * TT_MAX, n, 0));
		for (size_t got = 0; got < n; got += self->o->len) {
			ASSERT_EQ(1, tt_recv_rec(self->peer, &self->k, self->o));
		}
	}
	scribble = 0;
	pthread_join(t, NULL);
	free(data);
}

/* Calls that fault where a record goes on in other memory, and a second connection in between. */
TEST_F(tx_memory, efault_many_slices)
{
	struct tt_key other = tt_key_make(variant->version, variant->cipher, 7);
	uint8_t byte = 0, *bad = mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t data[1024 + 16];
	int fd[2], p[2], file;
	size_t sent = 1024;
	cpu_set_t cpu;

	/* What the connections share is each processor's. */
	CPU_ZERO(&cpu);
	CPU_SET(0, &cpu);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpu), &cpu));
	ASSERT_NE(MAP_FAILED, (void *)bad);
	tt_tcp_pair(variant->family, fd);
	tt_install(fd[0], &other, NULL);
	tt_fill(data, sent, 0);
	ASSERT_EQ(1024, send(self->sk, data, sent, MSG_MORE));
	for (int i = 0; i < 22; i++) {
		ASSERT_EQ(1, send(fd[0], &byte, 1, 0));
		EXPECT_EQ(-1, send(self->sk, bad, i < 21 ? 1 : 3000, 0));
		EXPECT_EQ(EFAULT, errno);
		if (i == 21)
			break;
		tt_fill(data, 1, sent);
		ASSERT_EQ(1, send(self->sk, data, 1, MSG_MORE));
		sent++;
	}
	tt_fill(data, 16, sent);
	ASSERT_EQ(16 - sent % 16, send(self->sk, data, 16 - sent % 16, MSG_MORE));
	sent += 16 - sent % 16;
	file = make_file(1, 2048, sent);
	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(2048, splice(file, NULL, p[1], NULL, 2048, 0));
	ASSERT_EQ(2048, splice(p[0], NULL, self->sk, NULL, 2048, 0));
	EXPECT_LE(1, take(self, sent + 2048, 0));
	close(p[0]);
	close(p[1]);
	close(file);
	close(fd[0]);
	close(fd[1]);
	munmap(bad, 65536);
}

/* Small records that nobody reads: not a page for each. */
TEST_F(tx_memory, small_records_memory)
{
	uint16_t max = 64;
	int size = 4 << 20;
	uint8_t *data = calloc(1, 65536);
	ssize_t sent = 0, n;
	long before;

	ASSERT_EQ(0, setsockopt(self->sk, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &max, sizeof(max)));
	ASSERT_EQ(0, setsockopt(self->sk, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)));
	tt_nonblock(self->sk, true);
	before = mem_free();
	while (sent < 2 << 20 && (n = send(self->sk, data, 65536, 0)) > 0)
		sent += n;
	EXPECT_LT(1 << 20, sent);
	/* Together with TCP's own descriptions of packets. */
	EXPECT_GT(10 * sent, before - mem_free());
	free(data);
}

TEST_HARNESS_MAIN
