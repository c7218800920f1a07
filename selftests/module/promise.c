// SPDX-License-Identifier: MIT
/*
 * promise [-n SEQUENCES] [-s SEED] [-p PROFILE] [-v]: random calls on both ends of connections, against a model.
 *
 * What is promised: a byte that a call has counted reaches the peer once and in order, and no other does, whatever ended the
 * call; what a call has taken goes out without further calls; who waits for something is told when it is there; and no call
 * says what it may not say. Each seed makes one sequence of calls: a connection of two ends with tlsrec, or of one and a bare
 * TCP socket, with records made and opened here; steps; and an end. Sequences of one thread repeat exactly by their seed,
 * those of several as far as the scheduler does.
 *
 * A sequence that goes wrong prints its seed and its last steps; -p PROFILE -s SEED -n 1 repeats it, -v prints all steps.
 */
#define _GNU_SOURCE
#include "promise.h"

#include <kselftest.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

struct watch *watch;
uint8_t *stream;
int stream_file;
static bool loud;

/* so many wrong sequences of a profile are shown */
#define SHOWN 4

static const struct profile profiles[] = {
	{ .name = "steps", .run = run_steps, .share = 40 },
	{ .name = "errors", .run = run_steps, .share = 15, .errors = true },
	{ .name = "tiny", .run = run_steps, .share = 4, .tiny = true },
	{ .name = "blocked", .run = run_blocked, .share = 15 },
	{ .name = "blocked_errors", .run = run_blocked, .share = 15, .errors = true },
	{ .name = "neighbours", .run = run_neighbours, .share = 3 },
	{ .name = "threads", .run = run_threads, .share = 3 },
	{ .name = "threads_errors", .run = run_threads, .share = 3, .errors = true },
	{ .name = "cgroup", .run = run_steps, .share = 1, .cgroup = true, .missing = ends_no_cgroup },
	{ .name = "faults", .run = run_steps, .share = 10, .faults = true, .missing = ends_no_faults },
};

#define PROFILES (sizeof(profiles) / sizeof(profiles[0]))

static const char *const families[] = { "ip4", "ip6", "mapped" };

/* Milliseconds for what must happen. */
int patience(void)
{
	return tt_timeout() > 120 ? 3 * PATIENCE_MS : PATIENCE_MS;
}

static void make_stream(void)
{
	stream_file = memfd_create("promise", MFD_CLOEXEC);
	TT_MUST(stream_file >= 0 && ftruncate(stream_file, STREAM_MAX) == 0);
	stream = mmap(NULL, STREAM_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, stream_file, 0);
	TT_MUST(stream != MAP_FAILED);
	tt_fill(stream, STREAM_MAX, 0);
	watch = mmap(NULL, sizeof(*watch), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	TT_MUST(watch != MAP_FAILED);
}

static void sequence(const struct profile *p, enum tt_family family, uint64_t seed)
{
	struct seq *s = calloc(1, sizeof(*s));

	TT_MUST(s);
	s->profile = p;
	s->family = family;
	s->seed = seed;
	/* far from the ones of neighbouring seeds */
	s->rnd = seed * PROFILES * 3 + (p - profiles) * 3 + family;
	s->rnd = (uint64_t)tt_rand(&s->rnd) << 32 | tt_rand(&s->rnd);
	watch->seed = seed;
	say_begin(s, loud);
	p->run(s);
	watch->sequences++;
	free(s);
}

static void child(const struct profile *p, enum tt_family family, uint64_t seed, uint64_t end)
{
	if (p->tiny)
		ends_small_segments();
	for (; seed < end; seed++)
		sequence(p, family, seed);
	fflush(stdout);
	_exit(0);
}

static void show_stacks(pid_t pid)
{
	char cmd[200];

	snprintf(cmd, sizeof(cmd), "for t in /proc/%d/task/*; do echo \"# $(cat $t/wchan)\"; sed 's/^/#   /' $t/stack; done; "
		 "ss -tinm 2>/dev/null | sed 's/^/# /'", pid);
	if (system(cmd))
		ksft_print_msg("no stacks\n");
}

/* Wait for the process: its status, or -1 when its sequence hangs. */
static int supervise(pid_t pid)
{
	uint64_t seed = watch->seed, since = tt_now_ms(), told = since;
	int status;

	while (!waitpid(pid, &status, WNOHANG)) {
		uint64_t now = tt_now_ms();

		usleep(5000);
		if (watch->seed != seed) {
			seed = watch->seed;
			since = now;
		}
		if (now - told > 30000) {
			told = now;
			ksft_print_msg("%llu sequences, %llu calls\n", (unsigned long long)watch->sequences, (unsigned long long)watch->calls);
			fflush(stdout);
		}
		if (now - since < 15ull * patience())
			continue;
		ksft_print_msg("seed %llu hangs\n", (unsigned long long)seed);
		fflush(stdout);
		show_stacks(pid);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		return -1;
	}
	return status;
}

/* @n sequences from @seed on: how many of them went wrong. */
static int run(const struct profile *p, enum tt_family family, uint64_t seed, uint64_t n)
{
	uint64_t end = seed + n;
	int bad = 0;

	while (seed < end && bad < SHOWN) {
		pid_t pid;
		int status;

		fflush(stdout);
		watch->seed = seed;
		watch->failed = false;
		pid = fork();
		TT_MUST(pid >= 0);
		if (!pid)
			child(p, family, seed, end);
		status = supervise(pid);
		if (!status)
			break;
		bad++;
		seed = watch->seed + 1;
		if (!watch->failed)
			ksft_print_msg("%s: seed %llu ended with status %#x\n", p->name, (unsigned long long)watch->seed, status);
	}
	return bad;
}

static void test(const struct profile *p, enum tt_family family, uint64_t seed, uint64_t n)
{
	uint64_t calls = watch->calls, sequences = watch->sequences, faults = watch->faults, given_up = watch->given_up, begin = tt_now_ms();
	const char *missing = p->missing ? p->missing() : NULL;
	int bad;

	if (missing) {
		ksft_test_result_skip("promise.%s.%s # SKIP %s\n", p->name, families[family], missing);
		return;
	}
	if (p->cgroup)
		ends_quiet_console(true);
	bad = run(p, family, seed, n);
	if (p->cgroup)
		ends_quiet_console(false);
	ksft_print_msg("%s.%s: %llu sequences, %llu calls, %llu ms, %d wrong\n", p->name, families[family],
		       (unsigned long long)(watch->sequences - sequences), (unsigned long long)(watch->calls - calls),
		       (unsigned long long)(tt_now_ms() - begin), bad);
	/* a limit that nobody feels tests nothing */
	if (p->cgroup && n > 5 && ends_cgroup_limited() <= 0) {
		ksft_print_msg("the cgroup's limit was not felt\n");
		bad++;
	}
	if (p->faults) {
		ksft_print_msg("%llu faults, %llu streams given up\n", (unsigned long long)(watch->faults - faults),
			       (unsigned long long)(watch->given_up - given_up));
		bad += n > 5 && watch->faults == faults;
	}
	ksft_test_result(!bad, "promise.%s.%s\n", p->name, families[family]);
}

int main(int argc, char **argv)
{
	uint64_t n = 3000, seed = 1;
	const char *only = NULL;
	int opt, tests = 0;

	while ((opt = getopt(argc, argv, "n:s:p:v")) != -1) {
		switch (opt) {
		case 'n':
			n = strtoull(optarg, NULL, 0);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'p':
			only = optarg;
			break;
		case 'v':
			loud = true;
			break;
		default:
			fprintf(stderr, "promise [-n SEQUENCES] [-s SEED] [-p PROFILE[.FAMILY]] [-v]\n");
			return 2;
		}
	}
	signal(SIGPIPE, SIG_IGN);
	make_stream();
	ksft_print_header();
	ksft_print_msg("seed %llu\n", (unsigned long long)seed);
	for (int pass = 0; pass < 2; pass++) {
		if (pass)
			ksft_set_plan(tests);
		for (size_t i = 0; i < PROFILES * 3; i++) {
			const struct profile *p = &profiles[i / 3];
			char name[50];

			snprintf(name, sizeof(name), "%s.%s", p->name, families[i % 3]);
			if (only && strcmp(only, p->name) && strcmp(only, name))
				continue;
			tests++;
			if (pass)
				test(p, i % 3, seed, only ? n : (n * p->share / 100 + 2) / 3);
		}
	}
	ksft_finished();
}
