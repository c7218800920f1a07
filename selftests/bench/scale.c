// SPDX-License-Identifier: MIT
/*
 * Measures what many connections cost, over loopback, of plain TCP (tcp), the in-tree module (tls) and tlsrec:
 *
 *	scale memory CONTENDER SOCKETS
 *	scale setup CONTENDER REPETITIONS
 *	scale connections CONTENDER RECORD REPETITIONS N...
 *	scale cpus CONTENDER ROUNDS
 *
 * memory: what the kernel says of its memory, after each step that a connection takes.
 * setup: instructions of selecting the ULP, of each key, of close().
 * connections: instructions per record, sent and received, in turns over 1 to N connections.
 * cpus: seconds for records, sent and received, on one processor, and for twice as many on two with a connection each. The
 * contender "none" calls nothing and says what the machine gives.
 *
 * Instructions are counted in a guest whose time stamp counter does (run -C).
 */
#include <err.h>
#include <errno.h>
#include <glob.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "record.h"

static struct key key;
static struct sockaddr_in address;
static int listener;
static uint8_t data[RECORD_PLAIN], buffer[RECORD_PLAIN];

static bool is_tls(const char *contender)
{
	return !strcmp(contender, "tls") || !strcmp(contender, "tlsrec");
}

static void set_ulp(int fd, const char *contender)
{
	if (is_tls(contender) && setsockopt(fd, SOL_TCP, TCP_ULP, contender, strlen(contender)))
		err(1, "cannot select the ULP %s", contender);
}

static void set_key(int fd, const char *contender, int direction)
{
	if (is_tls(contender) && setsockopt(fd, SOL_TLS, direction, &key.kernel, key.kernel_size))
		err(1, "cannot set %s", direction == TLS_TX ? "TLS_TX" : "TLS_RX");
}

static void set_all(int fd, const char *contender)
{
	set_ulp(fd, contender);
	set_key(fd, contender, TLS_TX);
	set_key(fd, contender, TLS_RX);
}

static void send_all(int fd, size_t len)
{
	if (send(fd, data, len, 0) != (ssize_t)len)
		err(1, "send");
}

static void recv_all(int fd, size_t len)
{
	if (recv(fd, buffer, len, MSG_WAITALL) != (ssize_t)len)
		err(1, "recv");
}

static void compare(size_t len)
{
	if (memcmp(buffer, data, len))
		errx(1, "what came is not what was sent");
	memset(buffer, 0, len);
}

/* Nothing of the connection stays behind, no TIME_WAIT. */
static void abort_connection(const int fd[2])
{
	const struct linger none = { .l_onoff = 1 };

	for (int i = 0; i < 2; i++) {
		if (setsockopt(fd[i], SOL_SOCKET, SO_LINGER, &none, sizeof(none)))
			err(1, "SO_LINGER");
		close(fd[i]);
	}
}

static int (*make_connections(size_t n))[2]
{
	int (*fd)[2] = calloc(n, sizeof(*fd));

	if (!fd)
		err(1, "no memory");
	for (size_t i = 0; i < n; i++)
		connection(listener, &address, fd[i]);
	return fd;
}

/* ---- Memory ---- */

static void print_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char line[1024];

	if (!file)
		err(1, "%s", path);
	printf("file %s\n", path);
	while (fgets(line, sizeof(line), file))
		fputs(line, stdout);
	fclose(file);
}

/* Makes every cache give up what it has for its processors, which would count as in use. */
static void shrink_caches(void)
{
	glob_t caches;

	if (glob("/sys/kernel/slab/*/shrink", 0, NULL, &caches))
		errx(1, "the kernel's caches are not in /sys/kernel/slab");
	for (size_t i = 0; i < caches.gl_pathc; i++)
		set_file(caches.gl_pathv[i], "1");
	globfree(&caches);
}

/* What is freed behind RCU's back needs its time, too. */
static void print_memory(const char *stage, unsigned int seconds)
{
	sleep(seconds);
	shrink_caches();
	set_file("/proc/sys/vm/stat_refresh", "1");
	printf("stage %s\n", stage);
	print_file("/proc/slabinfo");
	print_file("/proc/meminfo");
	print_file("/proc/zoneinfo");
	puts("end");
	fflush(stdout);
}

static void exchange(const int fd[2])
{
	for (int i = 0; i < 6; i++) {
		send_all(fd[i % 2], sizeof(data));
		recv_all(fd[!(i % 2)], sizeof(data));
		compare(sizeof(data));
	}
}

static void memory(const char *contender, size_t sockets)
{
	enum { SOON = 5, IDLE = 60 };
	size_t n = sockets / 2;
	int first[2], (*fd)[2];

	/* What the kernel makes once is there. */
	connection(listener, &address, first);
	set_all(first[0], contender);
	set_all(first[1], contender);
	exchange(first);

	print_memory("none", IDLE);
	fd = make_connections(n);
	print_memory("tcp", SOON);
	for (size_t i = 0; i < sockets; i++)
		set_ulp(fd[i / 2][i % 2], contender);
	print_memory("ulp", SOON);
	for (size_t i = 0; i < sockets; i++)
		set_key(fd[i / 2][i % 2], contender, TLS_TX);
	print_memory("tx", SOON);
	for (size_t i = 0; i < sockets; i++)
		set_key(fd[i / 2][i % 2], contender, TLS_RX);
	print_memory("tx_rx", SOON);
	for (size_t i = 0; i < n; i++)
		exchange(fd[i]);
	print_memory("used", SOON);
	print_memory("idle", IDLE);
	/* Whatever was done about memory: they work. */
	for (size_t i = 0; i < n; i++) {
		exchange(fd[i]);
		abort_connection(fd[i]);
	}
	abort_connection(first);
	print_memory("closed", IDLE);
	free(fd);
}

/* ---- Set-up and tear-down ---- */

static void setup(const char *contender, unsigned int repetitions)
{
	enum { CONNECTIONS = 200 };

	be_alone();
	/* The first repetition is to warm up. */
	for (unsigned int r = 0; r <= repetitions; r++) {
		uint64_t ulp = 0, tx = 0, rx = 0, end = 0;

		for (int i = 0; i < CONNECTIONS; i++) {
			uint64_t stamp[5];
			int fd[2];

			connection(listener, &address, fd);
			stamp[0] = time_stamp();
			set_ulp(fd[0], contender);
			stamp[1] = time_stamp();
			set_key(fd[0], contender, TLS_TX);
			stamp[2] = time_stamp();
			set_key(fd[0], contender, TLS_RX);
			stamp[3] = time_stamp();
			close(fd[0]);
			stamp[4] = time_stamp();
			close(fd[1]);
			ulp += stamp[1] - stamp[0];
			tx += stamp[2] - stamp[1];
			rx += stamp[3] - stamp[2];
			end += stamp[4] - stamp[3];
		}
		if (r)
			printf("setup %s %.0f %.0f %.0f %.0f\n", contender, (double)ulp / CONNECTIONS, (double)tx / CONNECTIONS,
			       (double)rx / CONNECTIONS, (double)end / CONNECTIONS);
		fflush(stdout);
		sleep(70);	/* until TIME_WAIT is over */
	}
}

/* ---- From 1 to many connections ---- */

/* Returns the instructions; where it has to wait, which is not counted as any, it says so in WAITS. */
static uint64_t recv_counted(int fd, size_t len, unsigned int *waits)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t sum = 0;

	for (size_t got = 0; got < len;) {
		uint64_t begin = time_stamp();
		ssize_t n = recv(fd, buffer + got, len - got, MSG_DONTWAIT);

		sum += time_stamp() - begin;
		if (n > 0) {
			got += n;
			continue;
		}
		if (!n || errno != EAGAIN || poll(&p, 1, 60000) != 1)
			err(1, "recv");
		++*waits;
	}
	return sum;
}

/* Each has a record on its way before the first is received. Returns how often it had to wait. */
static unsigned int rounds(int (*fd)[2], size_t n, size_t record, size_t count, uint64_t sum[2])
{
	unsigned int waits = 0;

	sum[0] = sum[1] = 0;
	for (size_t done = 0; done < count; done += n) {
		for (size_t i = 0; i < n; i++) {
			uint64_t begin = time_stamp();

			send_all(fd[i][0], record);
			sum[0] += time_stamp() - begin;
		}
		for (size_t i = 0; i < n; i++) {
			sum[1] += recv_counted(fd[i][1], record, &waits);
			compare(record);
		}
	}
	return waits;
}

static void connections(const char *contender, size_t record, unsigned int repetitions, size_t n)
{
	enum { RECORDS = 2000, NO_LIMIT_PAGES = 1 << 20 };
	size_t count = (RECORDS + n - 1) / n * n;
	char limits[64];
	int (*fd)[2];

	snprintf(limits, sizeof(limits), "%d %d %d", NO_LIMIT_PAGES, NO_LIMIT_PAGES, NO_LIMIT_PAGES);
	set_file("/proc/sys/net/ipv4/tcp_mem", limits);
	fd = make_connections(n);
	for (size_t i = 0; i < n; i++) {
		const int one = 1;

		if (setsockopt(fd[i][0], SOL_TCP, TCP_NODELAY, &one, sizeof(one)))
			err(1, "TCP_NODELAY");
		set_all(fd[i][0], contender);
		set_all(fd[i][1], contender);
	}
	/* The first repetition is to warm up. */
	for (unsigned int r = 0; r <= repetitions; r++) {
		uint64_t sum[2];
		unsigned int waits = rounds(fd, n, record, count, sum);

		if (r)
			printf("connections %s %zu %zu %.1f %.1f %u\n", contender, record, n, (double)sum[0] / count,
			       (double)sum[1] / count, waits);
		fflush(stdout);
	}
	for (size_t i = 0; i < n; i++)
		abort_connection(fd[i]);
	free(fd);
	sleep(2);
}

/* ---- Two processors ---- */

struct worker {
	pthread_t thread;
	const char *contender;
	int cpu;
	int fd[2];
	unsigned int records;
	uint8_t in[RECORD_PLAIN];
};

static pthread_barrier_t start;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void one_record(struct worker *w)
{
	enum { PASSES = 32 };

	if (strcmp(w->contender, "none")) {
		send_all(w->fd[0], sizeof(data));
		if (recv(w->fd[1], w->in, sizeof(w->in), MSG_WAITALL) != sizeof(w->in))
			err(1, "recv");
		return;
	}
	for (int pass = 0; pass < PASSES; pass++)
		for (size_t i = 0; i < sizeof(data); i += sizeof(uint64_t))
			__asm__ volatile("" :: "r"(*(volatile uint64_t *)(data + i)));
}

static void *work(void *argument)
{
	struct worker *w = argument;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(w->cpu, &cpus);
	if (pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus))
		errx(1, "there is no processor %d", w->cpu);
	pthread_barrier_wait(&start);
	for (unsigned int i = 0; i < w->records; i++)
		one_record(w);
	if (strcmp(w->contender, "none") && memcmp(w->in, data, sizeof(data)))
		errx(1, "what came is not what was sent");
	return NULL;
}

/* Whoever reads this looks then at what the host's processors have done for the guest's, which are idle around it. */
static void say(const char *format, ...)
{
	enum { READ_US = 400000 };
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	fflush(stdout);
	usleep(READ_US);
}

static void run_workers(struct worker *workers, unsigned int n)
{
	double begin;

	say("begin\n");
	begin = now();
	pthread_barrier_init(&start, NULL, n);
	for (unsigned int i = 0; i < n; i++)
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			errx(1, "cannot make a thread");
	for (unsigned int i = 0; i < n; i++)
		pthread_join(workers[i].thread, NULL);
	pthread_barrier_destroy(&start);
	say("cpus %s %u %.3f\n", workers->contender, n * workers->records, now() - begin);
}

static void cpus(const char *contender, unsigned int rounds)
{
	/* About a second each. */
	enum { TLS_RECORDS = 1500, OTHER_RECORDS = 12000 };
	static struct worker workers[2];

	for (int i = 0; i < 2; i++) {
		workers[i].contender = contender;
		workers[i].cpu = i;
		workers[i].records = is_tls(contender) ? TLS_RECORDS : OTHER_RECORDS;
		connection(listener, &address, workers[i].fd);
		set_all(workers[i].fd[0], contender);
		set_all(workers[i].fd[1], contender);
	}
	/* The first round is to warm up. */
	for (unsigned int r = 0; r <= rounds; r++) {
		run_workers(workers, 1);
		run_workers(workers, 2);
	}
	for (int i = 0; i < 2; i++)
		abort_connection(workers[i].fd);
}

int main(int argc, char **argv)
{
	struct rlimit files = { 65536, 65536 };

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = i * 2654435761u >> 24;
	key_init(&key, true, 128);
	if (setrlimit(RLIMIT_NOFILE, &files))
		err(1, "RLIMIT_NOFILE");
	listener = listener_init(&address);
	if (argc == 4 && !strcmp(argv[1], "memory")) {
		memory(argv[2], atoi(argv[3]));
	} else if (argc == 4 && !strcmp(argv[1], "setup")) {
		setup(argv[2], atoi(argv[3]));
	} else if (argc > 5 && !strcmp(argv[1], "connections")) {
		be_alone();
		for (int i = 5; i < argc; i++)
			connections(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[i]));
	} else if (argc == 4 && !strcmp(argv[1], "cpus")) {
		cpus(argv[2], atoi(argv[3]));
	} else {
		errx(2, "memory, setup, connections or cpus? (see scale.c)");
	}
	return 0;
}
