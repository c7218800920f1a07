// SPDX-License-Identifier: MIT
/* Ranges, content types, dates, validators, paths and listings of the file server. */
#include "common/tests/tap.h"
#include "serve/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *header;
	uint64_t size;
	enum range want;
	uint64_t first, count;
} ranges[] = {
	{ NULL, 100, RANGE_WHOLE, 0, 0 },
	{ "bytes=0-0", 100, RANGE_PART, 0, 1 },
	{ "bytes=0-99", 100, RANGE_PART, 0, 100 },
	{ "bytes=0-100", 100, RANGE_PART, 0, 100 },
	{ "bytes=10-19", 100, RANGE_PART, 10, 10 },
	{ "BYTES=10-19", 100, RANGE_PART, 10, 10 },
	{ "bytes=99-", 100, RANGE_PART, 99, 1 },
	{ "bytes=0-", 100, RANGE_PART, 0, 100 },
	{ "bytes=-1", 100, RANGE_PART, 99, 1 },
	{ "bytes=-100", 100, RANGE_PART, 0, 100 },
	{ "bytes=-101", 100, RANGE_PART, 0, 100 },
	{ "bytes=5-18446744073709551615", 100, RANGE_PART, 5, 95 },
	{ "bytes=5-99999999999999999999999", 100, RANGE_PART, 5, 95 },
	{ "bytes=100-", 100, RANGE_UNSATISFIABLE, 0, 0 },
	{ "bytes=100-200", 100, RANGE_UNSATISFIABLE, 0, 0 },
	{ "bytes=-0", 100, RANGE_UNSATISFIABLE, 0, 0 },
	{ "bytes=0-", 0, RANGE_UNSATISFIABLE, 0, 0 },
	{ "bytes=-5", 0, RANGE_UNSATISFIABLE, 0, 0 },
	{ "bytes=18446744073709551615-", 100, RANGE_UNSATISFIABLE, 0, 0 },
	{ "bytes=99999999999999999999999-", 100, RANGE_UNSATISFIABLE, 0, 0 },
	{ "bytes=19-10", 100, RANGE_WHOLE, 0, 0 },
	{ "bytes=0-1,5-6", 100, RANGE_WHOLE, 0, 0 },
	{ "bytes=", 100, RANGE_WHOLE, 0, 0 },
	{ "bytes=-", 100, RANGE_WHOLE, 0, 0 },
	{ "bytes=5", 100, RANGE_WHOLE, 0, 0 },
	{ "bytes=a-b", 100, RANGE_WHOLE, 0, 0 },
	{ "bytes=1-b", 100, RANGE_WHOLE, 0, 0 },
	{ "bytes= 1-2", 100, RANGE_WHOLE, 0, 0 },
	{ "items=0-1", 100, RANGE_WHOLE, 0, 0 },
	{ "", 100, RANGE_WHOLE, 0, 0 },
};

static void test_ranges(void)
{
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		uint64_t first = 0, count = 0;
		enum range got = parse_range(ranges[i].header, ranges[i].size, &first, &count);

		ok(got == ranges[i].want &&
		   (got != RANGE_PART || (first == ranges[i].first && count == ranges[i].count)),
		   "Range \"%s\" of %ju bytes", ranges[i].header ? ranges[i].header : "(none)",
		   (uintmax_t)ranges[i].size);
	}
}

static void test_tags(void)
{
	static const struct {
		const char *header;
		bool weak, strong;
	} lists[] = {
		{ "\"a-1\"", true, true },
		{ " \"a-1\" ", true, true },
		{ "\"b\", \"a-1\"", true, true },
		{ "\"b\",,\t\"a-1\",", true, true },
		{ "W/\"a-1\"", true, false },
		{ "W/\"b\", \"a-1\"", true, true },
		{ "*", true, true },
		{ " * ", true, true },
		{ "*, \"b\"", false, false },
		{ "", false, false },
		{ "a-1", false, false },
		{ "\"a\"", false, false },
		{ "\"x\"a-1\"", false, false },
		{ "\"xa-1\"", false, false },
		{ "\"a-1", false, false },
		{ "\"", false, false },
		{ "W/", false, false },
	};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		ok(etag_matches(lists[i].header, "\"a-1\"", true) == lists[i].weak &&
		   etag_matches(lists[i].header, "\"a-1\"", false) == lists[i].strong,
		   "a list of tags: %s", lists[i].header);
}

static void test_dot_names(void)
{
	static const char *const hidden[] = { "/.git", "/.git/config", "/a/.htpasswd", "/..hidden", "/.well-knownx",
					      "/a/.well-known/b", "//.a", "/.a/..", "/...", "/.well-known/.key" };
	static const char *const shown[] = { "/", "/a.b", "/a./b", "/./a", "/../a", "/a/..", "/.well-known",
					     "/.well-known/acme-challenge/x", "//.well-known/x", "" };

	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		ok(has_dot_name(hidden[i]), "\"%s\" is hidden", hidden[i]);
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		ok(!has_dot_name(shown[i]), "\"%s\" is not hidden", shown[i]);
}

static void test_headers(void)
{
	struct stat st = { .st_ino = 1, .st_size = 2, .st_mtim = { 3, 4 } };
	char date[32], tag[64], tag2[64];

	ok(!strncmp(content_type("a/b.HTML"), "text/html", 9), "the case of an extension does not matter");
	ok(!strcmp(content_type("a.b/c"), "application/octet-stream"), "a dot in a directory is no extension");
	ok(!strcmp(content_type("x.tar.gz"), "application/gzip"), "the last extension counts");
	http_date(784111777, date);
	ok(!strcmp(date, "Sun, 06 Nov 1994 08:49:37 GMT"), "a date is written as RFC 9110 wants it");
	ok(http_time(date) == 784111777, "and read again");
	ok(http_time("yesterday") == -1 && http_time("") == -1, "what is not a date is refused");
	etag(&st, tag);
	st.st_mtim.tv_nsec = 5;
	etag(&st, tag2);
	ok(strcmp(tag, tag2), "a file changed within the second gets another tag");
	ok(etag_matches(tag, tag, true) && etag_matches("*", tag, true) && !etag_matches(tag2, tag, true),
	   "If-None-Match compares tags");
	test_tags();
}

static void test_directory_url(void)
{
	static const char *const urls[][2] = {
		{ "/a", "/a/" },
		{ "/a b/c?d", "/a%20b/c%3Fd/" },
		{ "//evil.example", "/evil.example/" },
		{ "///evil.example", "/evil.example/" },
		{ "/a\r\nSet-Cookie: x", "/a%0D%0ASet-Cookie%3A%20x/" },
	};

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		char *url = url_of_directory(urls[i][0]);

		ok(url && !strcmp(url, urls[i][1]), "a directory is redirected to %s", urls[i][1]);
		free(url);
	}
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		perror(path);
	close(fd);
}

static bool opens(int dir, const char *path)
{
	struct stat st;
	int fd = open_beneath(dir, path, &st);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void test_paths(void)
{
	static const char *const outside[] = {
		"..", "/..", "/../", "../secret", "/../secret", "/sub/../../secret", "/sub/../../../secret",
		"//..//secret", "/out", "/outdir/secret", "/abs", "/proc-link/cwd/secret", "/none", "/fifo",
		"/index.html/", "/index.html/x", "/sub/..hidden", "/etc/passwd",
	};
	static const char *const inside[] = {
		"", "/", "//", "/.", "/index.html", "//index.html", "/sub", "/sub/", "/sub/a b.txt",
		"/sub/../index.html", "/in",
	};
	char top[] = "/tmp/tlsrec-test-XXXXXX", cmd[64], *page;
	size_t len = 0;
	int dir, sub;

	if (!mkdtemp(top) || chdir(top)) {
		ok(false, "a temporary directory");
		return;
	}
	put("secret", "secret");
	if (mkdir("www", 0755) || chdir("www") || mkdir("sub", 0755) || mkfifo("fifo", 0644) ||
	    symlink("../secret", "out") || symlink("..", "outdir") ||
	    symlink("/etc/passwd", "abs") || symlink("sub/a b.txt", "in") ||
	    symlink("/proc/self", "proc-link") || symlink("../index.html", "sub/up") ||
	    symlink("../../secret", "sub/out"))
		perror(top);
	put("index.html", "hello");
	put("sub/a b.txt", "hello");
	put("a:b<&>\"'%?#.txt", "x");
	put(".hidden", "x");
	dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
		ok(!opens(dir, outside[i]), "\"%s\" is not served", outside[i]);
	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++)
		ok(opens(dir, inside[i]), "\"%s\" is served", inside[i]);
	page = list_directory(dir, dir, "/<sub>/", false, &len);
	ok(page && len == strlen(page), "a directory is listed");
	ok(page && strstr(page, "href=\"./a%3Ab%3C%26%3E%22%27%25%3F%23.txt\"") &&
	   strstr(page, "a:b&lt;&amp;&gt;&quot;") && strstr(page, "&lt;sub&gt;"),
	   "names are quoted in the listing");
	ok(page && strstr(page, "href=\"./sub/\"") && !strstr(page, "hidden"),
	   "directories end in a slash, hidden files stay hidden");
	free(page);
	page = list_directory(dir, dir, "/", false, &len);
	ok(page && strstr(page, "./in\"") && !strstr(page, "./out") && !strstr(page, "./abs") && !strstr(page, "./proc"),
	   "links are listed only if they stay inside");
	free(page);
	page = list_directory(dir, dir, "/", true, &len);
	ok(page && strstr(page, "./.hidden\"") && !strstr(page, "./.\"") && !strstr(page, "./..\""),
	   "hidden files are listed on demand");
	free(page);
	sub = open("sub", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	page = list_directory(dir, sub, "/sub/", false, &len);
	ok(page && strstr(page, "./up\"") && !strstr(page, "./out\""), "also in a directory below");
	free(page);
	close(sub);
	close(dir);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", top);
	if (chdir("/") || system(cmd))
		perror(cmd);
}

int main(void)
{
	test_ranges();
	test_headers();
	test_dot_names();
	test_directory_url();
	test_paths();
	return done();
}
