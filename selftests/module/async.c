// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * An AEAD that completes on another CPU, later. The crypto API is made to prefer a pcrypt instance of gcm(aes); each
 * operation then sleeps for its result, and closes, signals, partial reads and errors come while one is in flight.
 * The preference stays until reboot: run this suite last.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <linux/if_alg.h>
#include <pthread.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/time.h>
#include <sys/wait.h>

static char why_not[200];
static char driver[64];

/* the best gcm(aes) that /proc/crypto knows: its driver and reference count */
static int best(char *name, size_t len, int *refs)
{
	char line[200], cur[100] = "", drv[100] = "";
	int prio = -1, p, r = 0;
	FILE *f = fopen("/proc/crypto", "r");

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "name : %99s", cur);
		sscanf(line, "driver : %99s", drv);
		sscanf(line, "refcnt : %d", &r);
		if (sscanf(line, "priority : %d", &p) == 1 && !strcmp(cur, "gcm(aes)") && p > prio) {
			prio = p;
			snprintf(name, len, "%s", drv);
		}
		if (!strcmp(cur, "gcm(aes)") && !strcmp(drv, name) && !strncmp(line, "refcnt", 6))
			*refs = r;
	}
	fclose(f);
	return prio;
}

static void prepare(void)
{
	struct tt_key k = tt_key_make(TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128, 1);
	struct sockaddr_alg sa = { .salg_family = AF_ALG, .salg_type = "aead" };
	char name[64] = "";
	int fd[2], s, refs;

	/* a socket with a key loads what there is */
	tt_tcp_pair(TT_IP4, fd);
	tt_install(fd[0], &k, NULL);
	close(fd[0]);
	close(fd[1]);
	if (best(name, sizeof(name), &refs) < 0 || strlen(name) > 50) {
		snprintf(why_not, sizeof(why_not), "no gcm(aes) in /proc/crypto");
		return;
	}
	if (strncmp(name, "pcrypt(", 7)) {
		snprintf((char *)sa.salg_name, sizeof(sa.salg_name), "pcrypt(%.50s)", name);
		s = socket(AF_ALG, SOCK_SEQPACKET, 0);
		/* Linux 7.2 makes the instance, too, and then says that it exists. */
		if (s < 0 || (bind(s, (void *)&sa, sizeof(sa)) && errno != EEXIST)) {
			snprintf(why_not, sizeof(why_not), "%.60s: %s", sa.salg_name, strerror(errno));
			return;
		}
		/* held open, so that the instance stays */
	}
	if (best(driver, sizeof(driver), &refs) < 0 || strncmp(driver, "pcrypt(", 7))
		snprintf(why_not, sizeof(why_not), "%.60s is not preferred", sa.salg_name);
}

FIXTURE(async)
{
	int fd[2];
	struct tt_key ab, ba;
};

FIXTURE_VARIANT(async)
{
	TT_VARIANT_FIELDS;
};

TT_VARIANTS(async);

FIXTURE_SETUP(async)
{
	if (why_not[0])
		SKIP(return, "%s", why_not);
	tt_tcp_pair(variant->family, self->fd);
	self->ab = tt_key_make(variant->version, variant->cipher, 1);
	self->ba = tt_key_make(variant->version, variant->cipher, 2);
	tt_install(self->fd[0], &self->ab, &self->ba);
	tt_install(self->fd[1], &self->ba, &self->ab);
}

FIXTURE_TEARDOWN(async)
{
	close(self->fd[0]);
	close(self->fd[1]);
}

/* the rest would prove nothing if the sockets did not use it */
TEST_F(async, is_used)
{
	char name[64];
	int before, after, fd[2];

	best(name, sizeof(name), &before);
	tt_tcp_pair(variant->family, fd);
	tt_install(fd[0], &self->ab, &self->ba);
	best(name, sizeof(name), &after);
	EXPECT_STREQ(driver, name);
	EXPECT_LT(before, after);
	close(fd[0]);
	close(fd[1]);
}

/* key updates: each record is under the key of its time, also the last one before an update */
TEST_F(async, rekey)
{
	static const uint8_t key_update[5] = { 24, 0, 0, 1, 0 };
	uint8_t data[3000], buf[3000], type;

	if (variant->version != TLS_1_3_VERSION)
		SKIP(return, "of TLS 1.3");
	for (int gen = 0; gen < 30; gen++) {
		struct tt_key next = tt_key_make(variant->version, variant->cipher, 100 + gen);

		tt_fill(data, sizeof(data), gen);
		ASSERT_EQ(sizeof(data), send(self->fd[0], data, sizeof(data), gen & 1 ? MSG_MORE : 0));
		ASSERT_EQ(5, tt_send_type(self->fd[0], TT_HANDSHAKE, key_update, 5, 0));
		ASSERT_EQ(0, tt_key_set(self->fd[0], TLS_TX, &next));
		ASSERT_EQ(sizeof(data), tt_read(self->fd[1], buf, sizeof(buf)));
		ASSERT_BYTES(buf, sizeof(buf), gen);
		ASSERT_EQ(5, tt_recv_type(self->fd[1], buf, sizeof(buf), 0, &type, NULL));
		EXPECT_ERR(EKEYEXPIRED, recv(self->fd[1], buf, sizeof(buf), 0));
		ASSERT_EQ(0, tt_key_set(self->fd[1], TLS_RX, &next));
	}
}

static pid_t feed(int fd, size_t total)
{
	pid_t pid = fork();
	uint64_t seed = 3;
	uint8_t *data;

	TT_MUST(pid >= 0);
	if (pid)
		return pid;
	data = malloc(total);
	tt_fill(data, total, 0);
	for (size_t done = 0; done < total;) {
		size_t n = 1 + tt_rand(&seed) % 30000;
		bool last = n >= total - done;
		ssize_t r = send(fd, data + done, last ? total - done : n, !last && n % 3 == 0 ? MSG_MORE : 0);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			_exit(1);
		done += r;
	}
	_exit(0);
}

static void nothing(int sig)
{
	(void)sig;
}

/* partial reads and peeks, with and without a storm of signals */
TEST_F(async, stream)
{
	size_t total = 400000;
	uint8_t *buf = malloc(30000);
	uint64_t seed = 5;

	for (int storm = 0; storm < 2; storm++) {
		struct sigaction sa = { .sa_handler = nothing };
		struct itimerval it = { { 0, 3000 }, { 0, 3000 } };
		pid_t pid = feed(self->fd[0], total);
		size_t got = 0;
		int st;

		if (storm) {
			ASSERT_EQ(0, sigaction(SIGALRM, &sa, NULL));
			ASSERT_EQ(0, setitimer(ITIMER_REAL, &it, NULL));
		}
		while (got < total) {
			bool peek = tt_rand(&seed) % 3 == 0;
			ssize_t r = recv(self->fd[1], buf, 1 + tt_rand(&seed) % 30000, peek ? MSG_PEEK : 0);

			if (r < 0) {
				ASSERT_EQ(EINTR, errno);
				continue;
			}
			ASSERT_LT(0, r);
			ASSERT_BYTES(buf, r, got);
			if (!peek)
				got += r;
		}
		memset(&it, 0, sizeof(it));
		setitimer(ITIMER_REAL, &it, NULL);
		ASSERT_EQ(pid, waitpid(pid, &st, 0));
		EXPECT_EQ(0, st);
	}
	free(buf);
}

TEST_F(async, sendfile_and_splice)
{
	size_t total = 300000;
	uint8_t *data = malloc(total), *buf = malloc(65536);
	int file = memfd_create("async", 0), p[2], st;
	pid_t pid;

	tt_fill(data, total, 0);
	ASSERT_EQ(total, write(file, data, total));
	ASSERT_EQ(0, pipe(p));
	pid = fork();
	if (!pid) {
		off_t off = 0;

		while ((size_t)off < total)
			if (sendfile(self->fd[0], file, &off, total - off) <= 0)
				_exit(1);
		_exit(0);
	}
	for (size_t got = 0; got < total;) {
		ssize_t r = splice(self->fd[1], NULL, p[1], NULL, 30000, 0);

		ASSERT_LT(0, r);
		ASSERT_EQ(r, tt_read_pipe(p[0], buf, r));
		ASSERT_BYTES(buf, r, got);
		got += r;
	}
	ASSERT_EQ(pid, waitpid(pid, &st, 0));
	EXPECT_EQ(0, st);
	free(data);
	free(buf);
	close(file);
}

/* a record that does not authenticate behind good ones: those first, then the error, and it stays */
TEST_F(async, error)
{
	struct tt_key k = self->ab;
	uint8_t rec[300], buf[1000], data[100];
	struct tt_rec r = { .type = TT_DATA, .data = data, .len = sizeof(data) };
	int fd[2];
	size_t n;

	tt_tcp_pair(variant->family, fd);
	tt_install(fd[1], NULL, &self->ab);
	tt_fill(data, sizeof(data), 0);
	tt_send_rec(fd[0], &k, &r);
	tt_send_rec(fd[0], &k, &r);
	n = tt_seal(&k, &r, rec);
	rec[40] ^= 1;
	tt_write(fd[0], rec, n);
	ASSERT_EQ(100, tt_read(fd[1], buf, 100));
	EXPECT_BYTES(buf, 100, 0);
	ASSERT_EQ(100, tt_read(fd[1], buf, 100));
	for (int i = 0; i < 3; i++) {
		EXPECT_ERR(EBADMSG, recv(fd[1], buf, sizeof(buf), 0));
	}
	close(fd[0]);
	close(fd[1]);
}

/* killed at any point of sending or receiving: the sockets are closed with whatever was in flight */
TEST_F(async, killed_in_flight)
{
	static uint8_t big[200000];

	for (int i = 0; i < 60; i++) {
		struct tt_key ab = self->ab, ba = self->ba;
		pid_t pid[2];
		int fd[2];

		tt_tcp_pair(variant->family, fd);
		tt_install(fd[0], &ab, &ba);
		tt_install(fd[1], &ba, &ab);
		for (int j = 0; j < 2; j++) {
			pid[j] = fork();
			if (!pid[j]) {
				for (;;) {
					if (j)
						send(fd[0], big, sizeof(big), MSG_NOSIGNAL);
					else
						recv(fd[1], big, 1000, 0);
				}
			}
		}
		close(fd[i & 1]);
		usleep(i * 300);
		kill(pid[i & 1], SIGKILL);
		if (i & 2) {
			struct linger lg = { 1, 0 };

			setsockopt(fd[!(i & 1)], SOL_SOCKET, SO_LINGER, &lg, sizeof(lg));
		}
		close(fd[!(i & 1)]);
		usleep(1000);
		kill(pid[!(i & 1)], SIGKILL);
		waitpid(pid[0], NULL, 0);
		waitpid(pid[1], NULL, 0);
	}
}

int main(int argc, char **argv)
{
	prepare();
	return test_harness_run(argc, argv);
}
