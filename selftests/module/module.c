// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The module as such: loaded by the name of its ULP, not unloaded while a socket uses it, clean afterwards. Nothing else may
 * use tlsrec while this suite runs.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int unload(void)
{
	return syscall(SYS_delete_module, "tlsrec", O_NONBLOCK);
}

static bool loaded(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/module/%s/refcnt", name);
	return !access(path, F_OK);
}

/* sockets of tests that ended may still be on their way out */
static int unload_soon(void)
{
	uint64_t end = tt_now_ms() + 20000;

	while (loaded("tlsrec") && tt_now_ms() < end) {
		if (!unload())
			return 0;
		usleep(50000);
	}
	return loaded("tlsrec") ? -1 : 0;
}

static int ping(int from, int to)
{
	char b[5] = "";

	return send(from, "hello", 5, 0) == 5 && tt_read(to, b, 5) == 5 && !memcmp(b, "hello", 5) ? 0 : -1;
}

FIXTURE(module)
{
	int fd[2];
	struct tt_key ab, ba;
};

FIXTURE_SETUP(module)
{
	if (strcmp(tt_ulp_name(), "tlsrec"))
		SKIP(return, "of tlsrec only");
	tt_tcp_pair(TT_IP4, self->fd);
	self->ab = tt_key_make(TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128, 1);
	self->ba = tt_key_make(TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128, 2);
}

FIXTURE_TEARDOWN(module)
{
	close(self->fd[0]);
	close(self->fd[1]);
}

TEST_F(module, loaded_by_name)
{
	ASSERT_EQ(0, unload_soon());
	EXPECT_FALSE(loaded("tlsrec"));
	EXPECT_NE(0, access("/proc/net/tlsrec_stat", F_OK));
	tt_install(self->fd[0], &self->ab, &self->ba);
	EXPECT_TRUE(loaded("tlsrec"));
	EXPECT_EQ(0, access("/proc/net/tlsrec_stat", F_OK));
}

TEST_F(module, not_unloaded_in_use)
{
	ASSERT_EQ(0, tt_ulp(self->fd[0]));
	EXPECT_EQ(-1, unload());
	ASSERT_EQ(0, tt_key_set(self->fd[0], TLS_TX, &self->ab));
	EXPECT_EQ(-1, unload());
	tt_install(self->fd[1], NULL, &self->ab);
	EXPECT_EQ(-1, unload());
	EXPECT_TRUE(loaded("tlsrec"));
	EXPECT_EQ(0, ping(self->fd[0], self->fd[1]));
	/* one is enough to hold it */
	close(self->fd[0]);
	self->fd[0] = -1;
	EXPECT_EQ(-1, unload());
	close(self->fd[1]);
	self->fd[1] = -1;
	EXPECT_EQ(0, unload_soon());
}

/* a refused ULP holds nothing */
TEST_F(module, refused_ulp_holds_nothing)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);

	for (int i = 0; i < 10; i++) {
		EXPECT_ERR(ENOTCONN, tt_ulp(s));
	}
	EXPECT_EQ(0, unload_soon());
	close(s);
}

TEST_F(module, again_and_again)
{
	for (int i = 0; i < 8; i++) {
		struct tt_key ab = self->ab, ba = self->ba;
		int fd[2];

		tt_tcp_pair(i % 3, fd);
		tt_install(fd[0], &ab, &ba);
		tt_install(fd[1], &ba, &ab);
		EXPECT_EQ(0, ping(fd[0], fd[1]));
		/* data left behind in both directions */
		ASSERT_EQ(5, send(fd[0], "hello", 5, 0));
		ASSERT_EQ(5, send(fd[1], "hello", 5, MSG_MORE));
		close(fd[0]);
		close(fd[1]);
		ASSERT_EQ(0, unload_soon());
	}
	/* left as it was found */
	tt_install(self->fd[0], &self->ab, NULL);
}

/* unloading races with sockets that come and go */
TEST_F(module, unload_race)
{
	pid_t pid[2];
	int n = 0;

	for (int i = 0; i < 2; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			for (int j = 0; j < 100; j++) {
				struct tt_key ab = self->ab, ba = self->ba;
				int fd[2];

				tt_tcp_pair(TT_IP4, fd);
				if (!tt_ulp(fd[0]) && !tt_key_set(fd[0], TLS_TX, &ab)) {
					tt_install(fd[1], &ba, &ab);
					if (ping(fd[0], fd[1]))
						_exit(1);
				}
				close(fd[0]);
				close(fd[1]);
			}
			_exit(0);
		}
	}
	for (int i = 0; i < 2; i++) {
		int st, r;

		while (!(r = waitpid(pid[i], &st, WNOHANG)))
			n += !unload();
		EXPECT_EQ(pid[i], r);
		EXPECT_EQ(0, st);
	}
	TH_LOG("unloaded %d times", n);
	tt_install(self->fd[0], &self->ab, NULL);
}

/* idle connections: unloaded with work to do, and told not to do any */
TEST_F(module, idle_seconds)
{
	uint64_t end = tt_now_ms() + 30000;
	long parked = -1;

	ASSERT_EQ(0, unload_soon());
	ASSERT_EQ(0, system("modprobe tlsrec idle_seconds=1"));
	parked = tt_counter("TlsrecParked");
	tt_install(self->fd[0], &self->ab, &self->ba);
	tt_install(self->fd[1], &self->ba, &self->ab);
	while (tt_counter("TlsrecParked") < parked + 4 && tt_now_ms() < end)
		usleep(20000);
	EXPECT_EQ(parked + 4, tt_counter("TlsrecParked"));
	EXPECT_EQ(0, ping(self->fd[0], self->fd[1]));
	close(self->fd[0]);
	close(self->fd[1]);
	ASSERT_EQ(0, unload_soon());
	/* what was forgotten would run now */
	sleep(2);
	ASSERT_EQ(0, system("modprobe tlsrec idle_seconds=0"));
	tt_tcp_pair(TT_IP4, self->fd);
	tt_install(self->fd[0], &self->ab, &self->ba);
	sleep(3);
	EXPECT_EQ(0, tt_counter("TlsrecParked"));
	close(self->fd[0]);
	close(self->fd[1]);
	self->fd[0] = self->fd[1] = -1;
	ASSERT_EQ(0, unload_soon());
}

/* what the operator is told when it loads */
TEST_F(module, log_line)
{
	int kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK), found = 0;
	char line[2048];
	ssize_t n;

	ASSERT_LE(0, kmsg);
	ASSERT_EQ(0, unload_soon());
	lseek(kmsg, 0, SEEK_END);
	ASSERT_EQ(0, tt_ulp(self->fd[0]));
	while ((n = read(kmsg, line, sizeof(line) - 1)) > 0) {
		line[n] = 0;
		found += strstr(line, "tlsrec: version ") && strstr(line, "gcm");
	}
	close(kmsg);
	EXPECT_EQ(1, found);
}

/* /proc/net/tls_stat has the lines of the newest in-tree module, in its order and form, whatever the kernel's own would have */
static const char *tls_stat_is_wrong(void)
{
	static const char * const names[] = {
		"TlsCurrTxSw", "TlsCurrRxSw", "TlsCurrTxDevice", "TlsCurrRxDevice", "TlsTxSw", "TlsRxSw", "TlsTxDevice", "TlsRxDevice",
		"TlsDecryptError", "TlsRxDeviceResync", "TlsDecryptRetry", "TlsRxNoPadViolation", "TlsRxRekeyOk", "TlsRxRekeyError",
		"TlsTxRekeyOk", "TlsTxRekeyError", "TlsRxRekeyReceived",
	};
	FILE *f = fopen("/proc/net/tls_stat", "r");
	char line[256], want[256];
	unsigned long v;
	size_t n = 0;

	if (!f)
		return "it is not there";
	while (fgets(line, sizeof(line), f)) {
		if (n == ARRAY_SIZE(names))
			return "a line too many";
		if (sscanf(line, "%*s %lu", &v) != 1)
			return "a line without a number";
		snprintf(want, sizeof(want), "%-32s\t%lu\n", names[n++], v);
		if (strcmp(line, want))
			return "another line, or in another form";
	}
	fclose(f);
	return n == ARRAY_SIZE(names) ? NULL : "lines are missing";
}

/* in the place of the in-tree module */
TEST_F(module, replace_tls)
{
	char name[16] = "";
	socklen_t len = sizeof(name);
	int st;

	if (loaded("tls"))
		SKIP(return, "the in-tree module is loaded");
	ASSERT_EQ(0, unload_soon());
	st = system("modprobe tlsrec replace_tls=1");
	ASSERT_EQ(0, st);
	EXPECT_EQ(NULL, tls_stat_is_wrong()) TH_LOG("tls_stat: %s", tls_stat_is_wrong());
	EXPECT_EQ(0, access("/proc/net/tlsrec_stat", F_OK));
	ASSERT_EQ(0, setsockopt(self->fd[0], IPPROTO_TCP, TCP_ULP, "tls", 3));
	ASSERT_EQ(0, getsockopt(self->fd[0], IPPROTO_TCP, TCP_ULP, name, &len));
	EXPECT_STREQ("tls", name);
	ASSERT_EQ(0, tt_key_set(self->fd[0], TLS_TX, &self->ab));
	tt_install(self->fd[1], NULL, &self->ab);
	EXPECT_EQ(0, ping(self->fd[0], self->fd[1]));
	EXPECT_FALSE(loaded("tls"));
	EXPECT_EQ(-1, unload());
	close(self->fd[0]);
	close(self->fd[1]);
	self->fd[0] = self->fd[1] = -1;
	ASSERT_EQ(0, unload_soon());
	EXPECT_NE(0, access("/proc/net/tls_stat", F_OK));
	/* and without the parameter it leaves the name alone */
	st = system("modprobe tlsrec");
	ASSERT_EQ(0, st);
	EXPECT_NE(0, access("/proc/net/tls_stat", F_OK));
}

TEST_HARNESS_MAIN
