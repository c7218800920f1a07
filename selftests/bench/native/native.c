// SPDX-License-Identifier: MIT
/*
 * Times data paths over loopback, on a kernel for which a system call is expensive:
 *
 *	native [-r ROUNDS] SCENARIO/CONTENDER[/CONNECTIONS]...
 *
 * One thread has both ends of a connection and calls them in turn, so that there is no scheduler in what is timed. What a
 * sender costs is what its calls take, loopback with them on both sides, and a receiver that throws away what comes; what a
 * receiver costs is its calls alone. More connections than one have a process each, on a processor each, at the same time.
 *
 * The calls themselves are made and timed by modules/calls.c, so that no system call is in what is timed; OpenSSL's time in
 * user space is added.
 *
 * Each round makes a new connection of each, compares the first burst byte for byte, and prints round, name, and
 * nanoseconds per record: the median of some samples, so that what the host does in between does not count.
 */
#include <err.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "../record.h"
#include "modules/calls.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

enum {
	KIB = 1024, MIB = 1024 * KIB,
	RECORD = 16 * KIB,	/* plaintext */
	BURST = 256 * KIB,	/* sent before it is the receiver's turn */
	RECORDS = BURST / RECORD,
	BURSTS = 16,		/* in a sample */
	SAMPLES = 15,
	DATA = 4 * MIB,
	CPUS = 64,
};

/* "sendfile-burst" is not the same for OpenSSL only, which gathers the records of a burst for one send. */
enum scenario { SENDFILE, SENDFILE_BURST, SEND, RECEIVE };
static const char *const scenarios[] = { "sendfile", "sendfile-burst", "send-16k", "recv-64k" };
static const size_t call_size[] = { BURST, BURST, 16 * KIB, 64 * KIB };

enum contender { TCP, TLS, TLSREC, OPENSSL };
static const char *const contenders[] = { "tcp", "tls", "tlsrec", "openssl" };

struct run {
	const char *name;
	enum scenario scenario;
	enum contender contender;
	unsigned int connections;
};

static struct key key;
static uint8_t *data, *buffer, *wire;	/* what is sent; what came; what is on the wire */
static int data_file, calls_file;
static double tsc_per_ns;

/* ---- Calls ---- */

/* Makes calls of up to CALL bytes until LEN bytes are done; returns what they took. */
static uint64_t call(unsigned long what, int fd, uint64_t at, size_t len, size_t size)
{
	struct calls calls = { .fd = fd, .file = data_file, .data = at, .len = len, .call = size };

	if (ioctl(calls_file, what, &calls))
		err(1, "a call (%#lx of %zu bytes)", what, size);
	return calls.ticks;
}

/* ---- A connection ---- */

static void set(int fd, int level, int name, const void *value, size_t len, const char *what)
{
	if (setsockopt(fd, level, name, value, len))
		err(1, "cannot set %s", what);
}

static void connection(int fd[2])
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), size = 2 * MIB, one = 1;

	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || fd[0] < 0)
		err(1, "socket");
	/* A burst has room in them. */
	set(listener, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size), "SO_RCVBUF");
	set(fd[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size), "SO_SNDBUF");
	if (bind(listener, (void *)&address, len) || listen(listener, 1) ||
	    getsockname(listener, (void *)&address, &len) || connect(fd[0], (void *)&address, len) ||
	    (fd[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
		err(1, "cannot connect over loopback");
	set(fd[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one), "TCP_NODELAY");
	close(listener);
}

static void kernel_tls(int fd, enum contender contender, int direction)
{
	const char *ulp = contenders[contender];

	if (contender != TLS && contender != TLSREC)
		return;
	set(fd, IPPROTO_TCP, TCP_ULP, ulp, strlen(ulp), ulp);
	set(fd, SOL_TLS, direction, &key.kernel, key.kernel_size, "a key");
}

/* ---- Bursts ---- */

struct link {
	int sender, receiver;
	struct direction seal, open;
	size_t wire;	/* bytes of a burst */
};

static size_t seal_burst(struct link *link, const uint8_t *p)
{
	size_t len = 0;

	for (size_t i = 0; i < BURST; i += RECORD)
		len += record_seal(&link->seal, wire + len, p + i, RECORD);
	return len;
}

static void open_burst(struct link *link)
{
	size_t done = 0, n;

	for (size_t i = 0; i < RECORDS; i++) {
		done += record_open(&link->open, wire + done, link->wire - done, buffer + i * RECORD, &n);
		if (n != RECORD)
			errx(1, "a record of %zu bytes", n);
	}
}

/* A file is mapped for OpenSSL: the best case. It has a send for each record, as a program has that uses its record layer. */
static uint64_t send_burst(const struct run *run, struct link *link, const uint8_t *p)
{
	uint64_t begin = __rdtsc();

	if (run->contender == OPENSSL) {
		seal_burst(link, p);
		begin = __rdtsc() - begin;
		return begin + call(CALLS_SEND, link->sender, (uintptr_t)wire, link->wire,
				    run->scenario == SENDFILE_BURST ? link->wire : link->wire / RECORDS);
	}
	if (run->scenario == SENDFILE || run->scenario == SENDFILE_BURST)
		return call(CALLS_SENDFILE, link->sender, p - data, BURST, BURST);
	return call(CALLS_SEND, link->sender, (uintptr_t)p, BURST, call_size[run->scenario]);
}

static uint64_t recv_burst(const struct run *run, struct link *link)
{
	uint64_t begin, ticks;

	if (run->contender != OPENSSL)
		return call(CALLS_RECV, link->receiver, (uintptr_t)buffer, BURST, call_size[run->scenario]);
	ticks = call(CALLS_RECV, link->receiver, (uintptr_t)wire, link->wire, call_size[run->scenario]);
	begin = __rdtsc();
	open_burst(link);
	return ticks + __rdtsc() - begin;
}

static void compare(const struct run *run, const uint8_t *p)
{
	if (memcmp(buffer, p, BURST))
		errx(1, "%s: other data came than were sent", run->name);
}

static uint64_t sender(const struct run *run, struct link *link, const uint8_t *p, bool first)
{
	uint64_t ticks = send_burst(run, link, p);

	if (!first)
		return ticks + call(CALLS_DISCARD, link->receiver, (uintptr_t)buffer, link->wire, link->wire);
	call(CALLS_RECV, link->receiver, (uintptr_t)wire, link->wire, link->wire);
	if (run->contender == TCP)
		memcpy(buffer, wire, BURST);
	else
		open_burst(link);
	compare(run, p);
	return ticks;
}

/* What a receiver is to open has been sealed in user space. */
static uint64_t receiver(const struct run *run, struct link *link, const uint8_t *p)
{
	uint64_t ticks;

	if (run->contender == TCP)
		memcpy(wire, p, BURST);
	else
		seal_burst(link, p);
	call(CALLS_SEND, link->sender, (uintptr_t)wire, link->wire, link->wire);
	ticks = recv_burst(run, link);
	compare(run, p);
	return ticks;
}

/* ---- Runs ---- */

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void meet(unsigned int *there, unsigned int all)
{
	__atomic_add_fetch(there, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(there, __ATOMIC_ACQUIRE) < all)
		;
}

/* Nanoseconds per record of one connection. */
static double measure(const struct run *run, unsigned int *there)
{
	struct link link = { .wire = BURST };
	double samples[SAMPLES];
	int fd[2];

	connection(fd);
	link.sender = fd[0];
	link.receiver = fd[1];
	if (run->contender != TCP)
		link.wire += RECORDS * record_overhead(&key);
	direction_init(&link.seal, &key, true);
	direction_init(&link.open, &key, false);
	if (run->scenario == RECEIVE)
		kernel_tls(link.receiver, run->contender, 2 /* TLS_RX */);
	else
		kernel_tls(link.sender, run->contender, 1 /* TLS_TX */);
	for (int s = -1; s < SAMPLES; s++) {
		uint64_t sum = 0;

		if (!s)
			meet(there, run->connections);
		for (int b = 0; b < BURSTS; b++) {
			const uint8_t *p = data + b * BURST % DATA;

			sum += run->scenario == RECEIVE ? receiver(run, &link, p) : sender(run, &link, p, s < 0 && !b);
		}
		if (s >= 0)
			samples[s] = sum / tsc_per_ns / (BURSTS * RECORDS);
	}
	direction_free(&link.seal);
	direction_free(&link.open);
	close(fd[0]);
	close(fd[1]);
	qsort(samples, SAMPLES, sizeof(*samples), ascending);
	return samples[SAMPLES / 2];
}

static void prepare(void)
{
	data = mmap(NULL, DATA, PROT_READ, MAP_SHARED | MAP_POPULATE, data_file, 0);
	buffer = malloc(BURST + RECORD_ROOM);
	wire = malloc(RECORDS * RECORD_ROOM);
	if (data == MAP_FAILED || !buffer || !wire)
		err(1, "no memory");
	memset(buffer, 1, BURST + RECORD_ROOM);
	memset(wire, 1, RECORDS * RECORD_ROOM);
}

static void make_file(void)
{
	static uint8_t block[DATA];
	uint32_t x = 1;

	for (size_t i = 0; i < DATA; i++) {
		x = x * 1664525 + 1013904223;
		block[i] = x >> 24;
	}
	data_file = memfd_create("data", MFD_CLOEXEC);
	if (data_file < 0 || write(data_file, block, DATA) != DATA)
		err(1, "cannot write a file in memory");
}

static void loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
		err(1, "loopback");
	close(fd);
}

static void calibrate(void)
{
	struct timespec a, b, nap = { .tv_nsec = 200000000 };
	uint64_t t = __rdtsc();

	clock_gettime(CLOCK_MONOTONIC, &a);
	nanosleep(&nap, NULL);
	t = __rdtsc() - t;
	clock_gettime(CLOCK_MONOTONIC, &b);
	tsc_per_ns = t / ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec));
}

struct shared {
	unsigned int there, done;
	double ns[CPUS];
};

static void on_processor(unsigned int cpu, unsigned int connection, const struct run *run, struct shared *shared)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		err(1, "there is no processor %u", cpu);
	if (connection < run->connections) {
		prepare();
		shared->ns[connection] = measure(run, &shared->there);
		__atomic_add_fetch(&shared->done, 1, __ATOMIC_ACQ_REL);
	}
	/* As long as each processor has something to do, the host leaves it where its caches are. */
	while (__atomic_load_n(&shared->done, __ATOMIC_ACQUIRE) < run->connections)
		;
	_exit(0);
}

/* Records per nanosecond of all connections, the first of them on processor FIRST. */
static double together(const struct run *run, unsigned int first, unsigned int cpus)
{
	struct shared *shared;
	double rate = 0;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		err(1, "mmap");
	fflush(stdout);
	for (unsigned int i = 0; i < cpus; i++) {
		pid_t pid = fork();

		if (pid < 0)
			err(1, "fork");
		if (!pid)
			on_processor((first + i) % cpus, i, run, shared);
	}
	for (unsigned int i = 0; i < cpus; i++) {
		int status;

		if (wait(&status) < 0 || status)
			errx(1, "%s failed", run->name);
	}
	for (unsigned int i = 0; i < run->connections; i++)
		rate += 1 / shared->ns[i];
	munmap(shared, sizeof(*shared));
	return rate;
}

/* Nanoseconds per record. Processors are not all alike: each has its turn. */
static double execute(const struct run *run)
{
	unsigned int cpus = sysconf(_SC_NPROCESSORS_ONLN), turns = cpus / run->connections;
	double rate = 0;

	if (!turns)
		errx(1, "%s: there are %u processors", run->name, cpus);
	for (unsigned int i = 0; i < turns; i++)
		rate += together(run, i * run->connections, cpus);
	return turns / rate;
}

static unsigned int find(const char *const *names, unsigned int n, const char *name)
{
	for (unsigned int i = 0; i < n; i++)
		if (!strcmp(names[i], name))
			return i;
	errx(2, "unknown: %s", name);
}

static void parse(struct run *run, const char *name)
{
	char scenario[16], contender[16];

	run->name = name;
	run->connections = 1;
	if (sscanf(name, "%15[^/]/%15[^/]/%u", scenario, contender, &run->connections) < 2 ||
	    !run->connections || run->connections > CPUS)
		errx(2, "'%s' is no SCENARIO/CONTENDER[/CONNECTIONS]", name);
	run->scenario = find(scenarios, sizeof(scenarios) / sizeof(*scenarios), scenario);
	run->contender = find(contenders, sizeof(contenders) / sizeof(*contenders), contender);
}

int main(int argc, char **argv)
{
	unsigned int rounds = 1, n;
	struct run *runs;
	int option;

	while ((option = getopt(argc, argv, "r:")) != -1) {
		if (option != 'r')
			return 2;
		rounds = atoi(optarg);
	}
	n = argc - optind;
	runs = calloc(n, sizeof(*runs));
	if (!runs)
		err(1, "no memory");
	for (unsigned int i = 0; i < n; i++)
		parse(&runs[i], argv[optind + i]);
	key_init(&key, true, 128);
	make_file();
	calls_file = open("/proc/calls", O_RDWR | O_CLOEXEC);
	if (calls_file < 0)
		err(1, "/proc/calls");
	loopback_up();
	calibrate();
	for (unsigned int r = 0; r < rounds; r++)
		/* There and back: who comes first changes. */
		for (unsigned int i = 0; i < n; i++) {
			const struct run *run = &runs[r % 2 ? n - 1 - i : i];

			printf("round %u %s %.1f\n", r, run->name, execute(run));
		}
	return 0;
}
