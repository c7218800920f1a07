// SPDX-License-Identifier: MIT
/*
 * stress [MiB]: bulk data each way at once, and sockets set up, used and torn down from all sides at once.
 *
 * The bulk stream is made of blocks of 64 bytes that say who wrote them and which one they are. Every call writes whole
 * blocks and every reader asks for whole blocks, so that two writers and two readers may share each direction in any
 * order: what is asserted is that each block arrives exactly once, with each of its bytes right. Records (16384 bytes at
 * most, a multiple of 64) never cut a block.
 */
#define _GNU_SOURCE
#include "tlsrec_test.h"
#include <kselftest.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define BLOCK 64
#define CHUNK (64 << 10)

struct dir {
	int tx, rx;
	/* key updates: so many, each with a key of its own; the lock keeps the other writer's records out of an update */
	int updates, tx_gen, rx_gen;
	struct tt_key like;
	pthread_rwlock_t lock;
	uint32_t blocks;		/* per writer */
	uint8_t *seen[2];
	uint64_t bytes_in, bytes_out;
	bool nonblock;
};

struct job {
	struct dir *d;
	int id;
	const char *error;
	long detail;
	unsigned long calls, interrupted, again, partial;
	pthread_t thread;
};

static void block_make(uint8_t *b, uint32_t writer, uint32_t idx)
{
	uint64_t w[8], x = ((uint64_t)writer << 32 | idx) * 0x9e3779b97f4a7c15ull;

	w[0] = (uint64_t)writer << 32 | idx;
	for (int i = 1; i < 8; i++)
		w[i] = x += 0xd6e8feb86659fd93ull + (x >> 29);
	memcpy(b, w, sizeof(w));
}

/* the block's number, or -1 */
static int64_t block_check(const uint8_t *b)
{
	uint64_t w[8], x;

	memcpy(w, b, sizeof(w));
	x = w[0] * 0x9e3779b97f4a7c15ull;
	for (int i = 1; i < 8; i++) {
		x += 0xd6e8feb86659fd93ull + (x >> 29);
		if (w[i] != x)
			return -1;
	}
	return w[0];
}

static int job_fail(struct job *j, const char *what, long detail)
{
	if (!j->error) {
		j->error = what;
		j->detail = detail;
	}
	return -1;
}

/* what one system call did: 1 go on, 0 nothing moved, -1 failed */
static int moved(struct job *j, int fd, short ev, ssize_t n, size_t asked, const char *what)
{
	j->calls++;
	if (n < 0 && errno == EINTR) {
		j->interrupted++;
		return 0;
	}
	if (n < 0 && errno == EAGAIN) {
		j->again++;
		tt_poll(fd, ev, 1000);
		return 0;
	}
	if (n < 0)
		return job_fail(j, what, errno);
	if (n % BLOCK)
		return job_fail(j, "a call moved part of a block", n);
	j->partial += (size_t)n < asked;
	return 1;
}

static const uint8_t key_update[5] = { 24, 0, 0, 1, 0 };

static struct tt_key key_of(const struct dir *d, int gen)
{
	struct tt_key k = tt_key_make(d->like.version, d->like.cipher, d->like.seq * 1000 + gen);

	k.seq = gen;
	return k;
}

/* tell the peer and change the key, with nothing in between */
static void update_tx(struct job *j)
{
	struct dir *d = j->d;
	struct tt_key k;

	pthread_rwlock_wrlock(&d->lock);
	while (tt_send_type(d->tx, TT_HANDSHAKE, key_update, sizeof(key_update), MSG_NOSIGNAL) != sizeof(key_update)) {
		if (errno != EINTR && errno != EAGAIN) {
			job_fail(j, "sending a KeyUpdate", errno);
			break;
		}
		tt_poll(d->tx, POLLOUT, 100);
	}
	k = key_of(d, ++d->tx_gen);
	if (tt_key_set(d->tx, TLS_TX, &k))
		job_fail(j, "setting a transmit key", errno);
	pthread_rwlock_unlock(&d->lock);
}

/* One reader got the KeyUpdate; the other one is told that a key is missing until it is set. */
static void update_rx(struct job *j, const uint8_t *msg, ssize_t len)
{
	struct dir *d = j->d;
	struct tt_key k = key_of(d, d->rx_gen + 1);

	if (len != sizeof(key_update) || memcmp(msg, key_update, len))
		job_fail(j, "not the KeyUpdate that was sent", len);
	d->rx_gen++;
	if (tt_key_set(d->rx, TLS_RX, &k))
		job_fail(j, "setting a receive key", errno);
}

static void *write_job(void *arg)
{
	struct job *j = arg;
	struct dir *d = j->d;
	uint64_t seed = 77 + j->id * 5 + d->tx;
	uint8_t *buf = malloc(CHUNK);
	int mem = memfd_create("stress", 0), p[2];
	uint32_t idx = 0;

	TT_MUST(buf && mem >= 0 && pipe(p) == 0);
	while (idx < d->blocks && !j->error) {
		int how = tt_rand(&seed) % 8;
		uint32_t max = how < 3 ? CHUNK / BLOCK : 16384 / BLOCK;
		uint32_t n = tt_rand(&seed) % 4 ? 1 + tt_rand(&seed) % 40 : 1 + tt_rand(&seed) % max;
		bool last, more;
		size_t len, done = 0;

		/* bulk needs large calls: most of the bytes go in full records */
		if (tt_rand(&seed) % 3 == 0)
			n = max;
		if (n > d->blocks - idx)
			n = d->blocks - idx;
		last = idx + n == d->blocks;
		more = !last && tt_rand(&seed) % 4 == 0;
		len = n * BLOCK;
		for (uint32_t i = 0; i < n; i++)
			block_make(buf + i * BLOCK, j->id, idx + i);
		if (how == 0)
			TT_MUST(pwrite(mem, buf, len, 0) == (ssize_t)len);
		if (how == 1) {
			if (len > 60000)
				len = n = 0;
			else
				TT_MUST(write(p[1], buf, len) == (ssize_t)len);
		}
		while (!j->id && !j->error && d->tx_gen < d->updates && idx >= (uint64_t)d->blocks * (d->tx_gen + 1) / (d->updates + 1))
			update_tx(j);
		while (done < len) {
			int flags = (more ? MSG_MORE : tt_rand(&seed) % 4 == 0 ? MSG_EOR : 0) | MSG_NOSIGNAL |
				(d->nonblock || tt_rand(&seed) % 8 == 0 ? MSG_DONTWAIT : 0);
			off_t off = done;
			struct iovec iov[2] = { { buf + done, (len - done) / 2 }, { buf + done + (len - done) / 2, len - done - (len - done) / 2 } };
			struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
			ssize_t r;
			int ok;

			pthread_rwlock_rdlock(&d->lock);
			switch (how) {
			case 0:
				r = sendfile(d->tx, mem, &off, len - done);
				break;
			case 1:
				r = splice(p[0], NULL, d->tx, NULL, len - done, more ? SPLICE_F_MORE : 0);
				break;
			case 2:
			case 3:
				r = sendmsg(d->tx, &m, flags);
				break;
			case 4:
				r = last ? send(d->tx, buf + done, len - done, MSG_NOSIGNAL) : write(d->tx, buf + done, len - done);
				break;
			default:
				r = send(d->tx, buf + done, len - done, flags);
			}
			pthread_rwlock_unlock(&d->lock);
			ok = moved(j, d->tx, POLLOUT, r, len - done, "send");
			if (ok < 0)
				goto out;
			if (ok) {
				done += r;
				__sync_fetch_and_add(&d->bytes_out, r);
			}
		}
		idx += n;
	}
	while (!j->id && !j->error && d->tx_gen < d->updates)
		update_tx(j);
out:
	close(mem);
	close(p[0]);
	close(p[1]);
	free(buf);
	return NULL;
}

static int take_blocks(struct job *j, const uint8_t *buf, size_t len, bool count)
{
	struct dir *d = j->d;

	for (size_t i = 0; i < len; i += BLOCK) {
		int64_t id = block_check(buf + i);
		uint32_t writer = id >> 32, idx = id;

		if (id < 0 || writer > 1 || idx >= d->blocks)
			return job_fail(j, "a block with wrong bytes", i);
		if (!count)
			continue;
		if (__sync_lock_test_and_set(&d->seen[writer][idx], 1))
			return job_fail(j, "a block came twice", idx);
	}
	if (count)
		__sync_fetch_and_add(&d->bytes_in, len);
	return 0;
}

static void *read_job(void *arg)
{
	struct job *j = arg;
	struct dir *d = j->d;
	uint64_t seed = 1234 + j->id + d->rx;
	uint8_t *buf = malloc(CHUNK);
	bool control = false;
	int p[2];

	TT_MUST(buf && pipe(p) == 0);
	while (!j->error) {
		size_t len = BLOCK * (tt_rand(&seed) % 2 ? CHUNK / BLOCK : 1 + tt_rand(&seed) % (CHUNK / BLOCK));
		int how = tt_rand(&seed) % 8, dont = d->nonblock || tt_rand(&seed) % 8 == 0 ? MSG_DONTWAIT : 0, ok;
		uint8_t type = TT_DATA;
		bool count = true;
		ssize_t r;

		/* something that only this kind of call can read */
		if (control)
			how = 3;
		control = false;
		switch (how) {
		case 0:
			count = false;
			r = recv(d->rx, buf, len, MSG_PEEK | dont);
			break;
		case 1:
		case 2:
			if (len > 32768)
				len = 32768;
			r = splice(d->rx, NULL, p[1], NULL, len, dont ? SPLICE_F_NONBLOCK : 0);
			if (r > 0) {
				size_t got = 0;

				while (got < (size_t)r) {
					ssize_t k = read(p[0], buf + got, r - got);

					if (k < 0 && errno == EINTR)
						continue;
					TT_MUST(k > 0);
					got += k;
				}
			}
			break;
		case 3:
			r = tt_recv_type(d->rx, buf, len, dont, &type, NULL);
			if (r > 0 && type == TT_HANDSHAKE && d->updates) {
				update_rx(j, buf, r);
				continue;
			}
			if (r > 0 && type != TT_DATA) {
				job_fail(j, "a record type nobody sent", type);
				goto out;
			}
			break;
		case 4:
			r = read(d->rx, buf, len);
			break;
		default:
			r = recv(d->rx, buf, len, dont);
		}
		if (r < 0 && d->updates) {
			control = errno == EIO || errno == EINVAL;
			if (errno == EKEYEXPIRED)
				usleep(200);
			if (control || errno == EKEYEXPIRED)
				continue;
		}
		ok = moved(j, d->rx, POLLIN, r, len, how == 0 ? "peek" : how < 3 ? "splice" : "recv");
		if (ok < 0)
			break;
		if (ok && r == 0)
			break;
		if (ok && take_blocks(j, buf, r, count))
			break;
	}
out:
	close(p[0]);
	close(p[1]);
	free(buf);
	return NULL;
}

static void nothing(int sig)
{
	(void)sig;
}

static void alarms(int usec)
{
	struct sigaction sa = { .sa_handler = nothing };
	struct itimerval it = { { 0, usec }, { 0, usec } };

	TT_MUST(sigaction(SIGALRM, &sa, NULL) == 0);
	TT_MUST(setitimer(ITIMER_REAL, &it, NULL) == 0);
}

struct bulk {
	const char *name;
	uint16_t version, cipher;
	enum tt_family family;
	int sndbuf, rcvbuf;	/* 0: as it is */
	bool nonblock;
	int alarm_us;
	int updates;		/* of the key, in each direction */
};

/*
 * The receive buffer holds two segments of loopback's 64 KiB at least: with less, older TCP sends by its window probe timer
 * only, five times a second. Receive buffers smaller than a record are for the rx suite.
 */
static const struct bulk bulks[] = {
	{ "tls13_gcm128_ip4", TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128, TT_IP4, 0, 0, false, 2000, 100 },
	{ "tls12_gcm128_ip6_small_buffers", TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128, TT_IP6, 40000, 150000, false, 3000, 0 },
	{ "tls13_gcm256_ip6_nonblock", TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256, TT_IP6, 100000, 0, true, 2000, 100 },
	{ "tls12_gcm256_mapped_small_sndbuf", TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_256, TT_MAPPED, 20000, 0, false, 5000, 0 },
};

/* where everybody is, for whoever has to find out why */
static void stalled(const struct dir d[2], const struct job j[8])
{
	for (int i = 0; i < 8; i++)
		if (j[i].error)
			ksft_print_msg("%s %d.%d: %s (%ld)\n", i < 4 ? "writer" : "reader", i & 1, j[i].id, j[i].error, j[i].detail);
	ksft_print_msg("stalled: sent %llu + %llu, received %llu + %llu\n", (unsigned long long)d[0].bytes_out, (unsigned long long)d[1].bytes_out,
		       (unsigned long long)d[0].bytes_in, (unsigned long long)d[1].bytes_in);
	fflush(stdout);
	if (system("for t in /proc/$PPID/task/*; do echo \"# $(cat $t/wchan)\"; sed 's/^/#   /' $t/stack; done; ss -tinm 2>/dev/null | sed 's/^/# /'"))
		ksft_print_msg("no stacks\n");
	ksft_exit_fail_msg("no byte moved for 90 s\n");
}

static void join(struct job j[8], int i, const struct dir d[2])
{
	/* a stall is a failure too, and must not look like a hung machine */
	uint64_t quiet = tt_now_ms(), last = 0;

	while (pthread_tryjoin_np(j[i].thread, NULL)) {
		uint64_t sum = d[0].bytes_in + d[1].bytes_in + d[0].bytes_out + d[1].bytes_out;

		if (sum != last) {
			last = sum;
			quiet = tt_now_ms();
		}
		if (tt_now_ms() - quiet > 90000)
			stalled(d, j);
		usleep(20000);
	}
}

static bool bulk_run(const struct bulk *b, size_t bytes)
{
	struct tt_key ab, ba;
	pthread_rwlockattr_t attr;
	struct dir d[2];
	struct job j[8];
	sigset_t set;
	uint64_t t0 = tt_now_ms();
	bool ok = true;
	int fd[2];

	memset(d, 0, sizeof(d));
	memset(j, 0, sizeof(j));
	tt_tcp_pair(b->family, fd);
	for (int i = 0; i < 2; i++) {
		if (b->sndbuf)
			tt_sockopt(fd[i], SOL_SOCKET, SO_SNDBUF, b->sndbuf);
		if (b->rcvbuf)
			tt_sockopt(fd[i], SOL_SOCKET, SO_RCVBUF, b->rcvbuf);
		if (b->nonblock)
			tt_nonblock(fd[i], true);
	}
	/* an update waits for calls under way only */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	for (int i = 0; i < 2; i++) {
		d[i].like = (struct tt_key){ .version = b->version, .cipher = b->cipher, .seq = i + 1 };
		d[i].updates = b->updates;
		pthread_rwlock_init(&d[i].lock, &attr);
	}
	ab = key_of(&d[0], 0);
	ba = key_of(&d[1], 0);
	tt_install(fd[0], &ab, &ba);
	tt_install(fd[1], &ba, &ab);
	for (int i = 0; i < 2; i++) {
		d[i].tx = fd[i];
		d[i].rx = fd[!i];
		d[i].nonblock = b->nonblock;
		d[i].blocks = bytes / 2 / BLOCK;
		for (int w = 0; w < 2; w++) {
			d[i].seen[w] = calloc(d[i].blocks, 1);
			TT_MUST(d[i].seen[w]);
		}
	}
	for (int i = 0; i < 8; i++) {
		j[i].d = &d[i & 1];
		j[i].id = i / 2 % 2;
		TT_MUST(pthread_create(&j[i].thread, NULL, i < 4 ? write_job : read_job, &j[i]) == 0);
	}
	/* the storm is for the workers */
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	alarms(b->alarm_us);
	for (int i = 0; i < 4; i++)
		join(j, i, d);
	shutdown(fd[0], SHUT_WR);
	shutdown(fd[1], SHUT_WR);
	for (int i = 4; i < 8; i++)
		join(j, i, d);
	alarms(0);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	for (int i = 0; i < 8; i++) {
		ksft_print_msg("%s %d.%d: %lu calls, %lu interrupted, %lu EAGAIN, %lu short\n", i < 4 ? "writer" : "reader", i & 1, j[i].id,
			       j[i].calls, j[i].interrupted, j[i].again, j[i].partial);
		if (j[i].error) {
			ok = false;
			ksft_print_msg("%s %d.%d: %s (%ld)\n", i < 4 ? "writer" : "reader", i & 1, j[i].id, j[i].error, j[i].detail);
		}
	}
	for (int i = 0; i < 2; i++) {
		size_t missing = 0;

		for (int w = 0; w < 2; w++) {
			for (uint32_t k = 0; k < d[i].blocks; k++)
				missing += !d[i].seen[w][k];
			free(d[i].seen[w]);
		}
		if (missing) {
			ok = false;
			ksft_print_msg("direction %d: %zu blocks did not arrive\n", i, missing);
		}
		if (d[i].tx_gen != b->updates || d[i].rx_gen != b->updates) {
			ok = false;
			ksft_print_msg("direction %d: of %d key updates %d were sent and %d received\n", i, b->updates, d[i].tx_gen, d[i].rx_gen);
		}
		pthread_rwlock_destroy(&d[i].lock);
	}
	ksft_print_msg("%s: %zu MiB each way in %llu ms\n", b->name, bytes >> 20, (unsigned long long)(tt_now_ms() - t0));
	close(fd[0]);
	close(fd[1]);
	return ok;
}

/* connections opened, used for a moment and dropped in whatever state, in processes that are killed at any time */
static void churn_child(int id)
{
	uint64_t seed = id;
	uint8_t *buf = malloc(100000);

	memset(buf, 0, 100000);
	for (;;) {
		uint16_t ver = tt_rand(&seed) % 2 ? TLS_1_3_VERSION : TLS_1_2_VERSION;
		uint16_t ciph = tt_rand(&seed) % 2 ? TLS_CIPHER_AES_GCM_256 : TLS_CIPHER_AES_GCM_128;
		struct tt_key ab = tt_key_make(ver, ciph, 1), ba = tt_key_make(ver, ciph, 2);
		int fd[2];

		tt_tcp_pair(tt_rand(&seed) % 3, fd);
		tt_install(fd[0], &ab, tt_rand(&seed) % 4 ? &ba : NULL);
		tt_install(fd[1], &ba, tt_rand(&seed) % 4 ? &ab : NULL);
		for (int i = tt_rand(&seed) % 8; i > 0; i--) {
			int a = tt_rand(&seed) % 2;

			switch (tt_rand(&seed) % 7) {
			case 0:
				send(fd[a], buf, tt_rand(&seed) % 100000, MSG_NOSIGNAL | MSG_DONTWAIT);
				break;
			case 1:
				send(fd[a], buf, tt_rand(&seed) % 1000, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE);
				break;
			case 2:
				recv(fd[a], buf, tt_rand(&seed) % 20000, MSG_DONTWAIT);
				break;
			case 3:
				recv(fd[a], buf, 10, MSG_DONTWAIT | MSG_PEEK);
				break;
			case 4:
				shutdown(fd[a], tt_rand(&seed) % 3);
				break;
			case 5:
				/* an update under TLS 1.3, one end only: what follows does not open */
				tt_key_set(fd[a], tt_rand(&seed) % 2 ? TLS_TX : TLS_RX, &ab);
				break;
			case 6:
				tt_send_type(fd[a], TT_HANDSHAKE, key_update, sizeof(key_update), MSG_NOSIGNAL | MSG_DONTWAIT);
				break;
			}
		}
		if (tt_rand(&seed) % 4 == 0) {
			struct linger lg = { 1, 0 };

			setsockopt(fd[0], SOL_SOCKET, SO_LINGER, &lg, sizeof(lg));
		}
		close(fd[tt_rand(&seed) % 2]);
		/* the other is left to the next round, to exit, or to the kill */
		if (tt_rand(&seed) % 64 == 0)
			_exit(0);
		close(fd[0]);
		close(fd[1]);
	}
}

static bool churn(int seconds)
{
	uint64_t end = tt_now_ms() + seconds * 1000ull, seed = 5;
	pid_t pid[6] = { 0 };
	int started = 0;
	bool ok = true;

	while (tt_now_ms() < end || started < 30) {
		int i = tt_rand(&seed) % 6, st;

		if (pid[i]) {
			kill(pid[i], SIGKILL);
			if (waitpid(pid[i], &st, 0) != pid[i] || (WIFEXITED(st) && WEXITSTATUS(st)))
				ok = false;
		}
		pid[i] = fork();
		if (!pid[i])
			churn_child(started);
		started++;
		usleep(tt_rand(&seed) % 100000);
	}
	for (int i = 0; i < 6; i++) {
		if (pid[i]) {
			kill(pid[i], SIGKILL);
			waitpid(pid[i], NULL, 0);
		}
	}
	ksft_print_msg("%d processes\n", started);
	return ok;
}

/* CVE-2023-28466, CVE-2024-36489: one thread installs while others ask, send and receive on the same socket */
struct race {
	int fd;
	volatile int *go;
	int what;
	struct tt_key k, r;
	const char *bad;
};

static void *race_job(void *arg)
{
	struct race *x = arg;
	struct tt_key got;
	char buf[64], name[16];
	socklen_t len;

	while (!*x->go)
		;
	for (int i = 0; i < 60; i++) {
		ssize_t n;

		switch (x->what) {
		case 0:
			tt_ulp(x->fd);
			tt_key_set(x->fd, TLS_TX, &x->k);
			tt_key_set(x->fd, TLS_RX, &x->r);
			return NULL;
		case 1:
			/* unset is EBUSY, no ULP yet is ENOPROTOOPT or the like; a key must be the key */
			if (tt_key_get(x->fd, i & 1 ? TLS_TX : TLS_RX, &x->k, &got) == 0 &&
			    memcmp(got.key, i & 1 ? x->k.key : x->r.key, 16))
				x->bad = "getsockopt gave another key";
			break;
		case 2:
			n = send(x->fd, "race", 4, MSG_NOSIGNAL | MSG_DONTWAIT);
			if (n < 0 && errno != EAGAIN)
				x->bad = "send failed";
			break;
		case 3:
			recv(x->fd, buf, sizeof(buf), MSG_DONTWAIT);
			tt_poll(x->fd, POLLIN | POLLOUT, 0);
			len = sizeof(name);
			getsockopt(x->fd, IPPROTO_TCP, TCP_ULP, name, &len);
			break;
		}
	}
	return NULL;
}

static bool races(int rounds)
{
	bool ok = true;

	for (int i = 0; i < rounds; i++) {
		volatile int go = 0;
		struct race r[5];
		pthread_t t[5];
		int fd[2];

		tt_tcp_pair(i % 3, fd);
		for (int j = 0; j < 5; j++) {
			int ver = i & 1 ? TLS_1_2_VERSION : TLS_1_3_VERSION;

			/* two install: one of them wins each step */
			r[j] = (struct race){ .fd = fd[0], .go = &go, .what = j == 4 ? 0 : j };
			r[j].k = tt_key_make(ver, TLS_CIPHER_AES_GCM_128, 1);
			r[j].r = tt_key_make(ver, TLS_CIPHER_AES_GCM_128, 2);
			TT_MUST(pthread_create(&t[j], NULL, race_job, &r[j]) == 0);
		}
		go = 1;
		for (int j = 0; j < 5; j++) {
			pthread_join(t[j], NULL);
			if (r[j].bad) {
				ksft_print_msg("round %d: %s\n", i, r[j].bad);
				ok = false;
			}
		}
		close(fd[0]);
		close(fd[1]);
	}
	return ok;
}

int main(int argc, char **argv)
{
	const char *env = getenv("STRESS_MIB");
	long mib = argc > 1 ? atol(argv[1]) : env ? atol(env) : 1024;
	size_t n = sizeof(bulks) / sizeof(bulks[0]);
	int fd[2], seconds = mib < 256 ? 5 : 15;

	if (mib < 1) {
		fprintf(stderr, "stress: the volume must be a number of MiB, not '%s'\n", argc > 1 ? argv[1] : env);
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	ksft_print_header();
	tt_tcp_pair(TT_IP4, fd);
	if (tt_ulp(fd[0]))
		ksft_exit_fail_msg("ULP %s: %s\n", tt_ulp_name(), strerror(errno));
	close(fd[0]);
	close(fd[1]);
	ksft_set_plan(n + 2);
	for (size_t i = 0; i < n; i++)
		ksft_test_result(bulk_run(&bulks[i], (mib << 20) / n), "stress.bulk.%s\n", bulks[i].name);
	ksft_test_result(churn(seconds), "stress.churn\n");
	ksft_test_result(races(mib < 256 ? 50 : 300), "stress.races\n");
	ksft_finished();
}
