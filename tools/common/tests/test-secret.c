// SPDX-License-Identifier: MIT
/* Files with secrets: who may read them, and what is there after a failure. */
#include "common/secret.h"
#include "common/tests/tap.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/tlsrec-test-XXXXXX";

static int entries(void)
{
	DIR *d = opendir(".");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static bool holds(const char *path, const char *text)
{
	unsigned char *data;
	size_t len;
	bool same;

	if (secret_read(path, &data, &len))
		return false;
	same = len == strlen(text) && !memcmp(data, text, len);
	free(data);
	return same;
}

static int mode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? -1 : (int)st.st_mode & 07777;
}

static void put(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);

	if (fd < 0 || write(fd, text, strlen(text)) < 0 || fchmod(fd, mode) || close(fd))
		abort();
}

static void test_write(void)
{
	char old[16] = "";
	int fd;

	umask(0);
	ok(!secret_write("new", "secret", 6) && holds("new", "secret"), "a new file");
	ok(mode_of("new") == 0600, "for nobody else, whatever the umask");
	put("old", "old", 0644);
	fd = open("old", O_RDONLY);
	ok(!secret_write("old", "secret", 6) && holds("old", "secret"), "in the place of another");
	ok(mode_of("old") == 0600, "not with the mode of that");
	ok(read(fd, old, sizeof(old)) == 3 && !strcmp(old, "old"),
	   "who has the other one open has it whole");
	close(fd);
	if (symlink("old", "link"))
		abort();
	ok(!secret_write("link", "linked", 6) && holds("old", "linked"), "through a link");
	ok(!secret_write("./new", "again", 5) && holds("new", "again"), "with a folder");
	ok(entries() == 3, "and nothing else is left: %d", entries());
}

static void test_refused(void)
{
	unsigned char *data;
	size_t len;

	ok(mkfifo("pipe", 0600) == 0, "a pipe");
	ok(secret_write("pipe", "x", 1) && secret_read("pipe", &data, &len), "is no such file: %s",
	   secret_read("pipe", &data, &len));
	ok(secret_write("/dev/null", "x", 1) && !access("/dev/null", W_OK), "nor is a device");
	ok(secret_write(".", "x", 1) && secret_read(".", &data, &len), "nor a folder: %s",
	   secret_write(".", "x", 1));
	ok(secret_write("none/file", "x", 1), "no folder: %s", secret_write("none/file", "x", 1));
	ok(secret_read("none", &data, &len), "no file: %s", secret_read("none", &data, &len));
	unlink("pipe");
}

static void test_large(void)
{
	unsigned char *data;
	size_t len;

	put("large", "", 0600);
	ok(!truncate("large", SECRET_MAX) && !secret_read("large", &data, &len) &&
	   len == SECRET_MAX, "as large as may be");
	free(data);
	if (truncate("large", SECRET_MAX + 1))
		abort();
	ok(secret_read("large", &data, &len), "larger: %s", secret_read("large", &data, &len));
	unlink("large");
}

/* A disk that is full, as far as can be had here: a limit on the size of files. */
static void test_failure(void)
{
	struct rlimit before, small = { .rlim_cur = 1000 };
	static char text[5000];
	const char *wrong;
	int n = entries();

	getrlimit(RLIMIT_FSIZE, &before);
	small.rlim_max = before.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	wrong = secret_write("new", text, sizeof(text));
	setrlimit(RLIMIT_FSIZE, &before);
	ok(wrong && holds("new", "again"), "no room: what was there is there: %s", wrong);
	ok(entries() == n, "and nothing else");
}

int main(void)
{
	if (!mkdtemp(dir) || chdir(dir))
		abort();
	test_write();
	test_refused();
	test_large();
	test_failure();
	unlink("new");
	unlink("old");
	unlink("link");
	ok(!rmdir(dir), "nothing is left");
	return done();
}
