// SPDX-License-Identifier: MIT
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- ranges ---- */

static const char *digits(const char *s, uint64_t *value)
{
	uint64_t v = 0;

	if (*s < '0' || *s > '9')
		return NULL;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			v = UINT64_MAX;
	*value = v;
	return s;
}

static enum range suffix_range(const char *s, uint64_t size, uint64_t *first, uint64_t *count)
{
	uint64_t n;

	s = digits(s, &n);
	if (!s || *s)
		return RANGE_WHOLE;
	if (!n || !size)
		return RANGE_UNSATISFIABLE;
	*count = n < size ? n : size;
	*first = size - *count;
	return RANGE_PART;
}

enum range parse_range(const char *header, uint64_t size, uint64_t *first, uint64_t *count)
{
	uint64_t last = UINT64_MAX;
	const char *s;

	if (!header || strncasecmp(header, "bytes=", 6))
		return RANGE_WHOLE;
	s = header + 6;
	if (*s == '-')
		return suffix_range(s + 1, size, first, count);
	s = digits(s, first);
	if (!s || *s++ != '-')
		return RANGE_WHOLE;
	if (*s) {
		s = digits(s, &last);
		/* Several ranges, or garbage: RFC 9110 lets a server send the whole. */
		if (!s || *s || last < *first)
			return RANGE_WHOLE;
	}
	if (*first >= size)
		return RANGE_UNSATISFIABLE;
	if (last >= size)
		last = size - 1;
	*count = last - *first + 1;
	return RANGE_PART;
}

/* ---- headers ---- */

const char *content_type(const char *path)
{
	static const char *const types[][2] = {
		{ "html", "text/html; charset=utf-8" },
		{ "htm", "text/html; charset=utf-8" },
		{ "txt", "text/plain; charset=utf-8" },
		{ "md", "text/markdown; charset=utf-8" },
		{ "css", "text/css; charset=utf-8" },
		{ "js", "text/javascript; charset=utf-8" },
		{ "json", "application/json" },
		{ "xml", "application/xml" },
		{ "pdf", "application/pdf" },
		{ "wasm", "application/wasm" },
		{ "svg", "image/svg+xml" },
		{ "png", "image/png" },
		{ "jpg", "image/jpeg" },
		{ "jpeg", "image/jpeg" },
		{ "gif", "image/gif" },
		{ "webp", "image/webp" },
		{ "ico", "image/x-icon" },
		{ "mp3", "audio/mpeg" },
		{ "ogg", "audio/ogg" },
		{ "mp4", "video/mp4" },
		{ "webm", "video/webm" },
		{ "gz", "application/gzip" },
		{ "xz", "application/x-xz" },
		{ "zst", "application/zstd" },
		{ "zip", "application/zip" },
		{ "tar", "application/x-tar" },
	};
	const char *slash = strrchr(path, '/'), *dot;

	dot = strrchr(slash ? slash : path, '.');
	for (size_t i = 0; dot && i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcasecmp(dot + 1, types[i][0]))
			return types[i][1];
	return "application/octet-stream";
}

#define HTTP_DATE "%a, %d %b %Y %H:%M:%S GMT"

void http_date(time_t t, char buf[32])
{
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(buf, 32, HTTP_DATE, &tm))
		buf[0] = '\0';
}

time_t http_time(const char *s)
{
	struct tm tm = { 0 };
	const char *end = strptime(s, HTTP_DATE, &tm);

	return end && !*end ? timegm(&tm) : -1;
}

void etag(const struct stat *st, char buf[64])
{
	snprintf(buf, 64, "\"%" PRIx64 "-%" PRIx64 "-%" PRIx64 ".%lx\"", (uint64_t)st->st_ino,
		 (uint64_t)st->st_size, (uint64_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
}

bool etag_matches(const char *header, const char *tag, bool weak)
{
	size_t len = strlen(tag);
	const char *s = header + strspn(header, " \t"), *end;
	bool is_weak;

	if (*s == '*')
		return !s[1 + strspn(s + 1, " \t")];
	for (; *s; s = end + strspn(end, ", \t")) {
		is_weak = !strncmp(s, "W/", 2);
		s += is_weak ? 2 : 0;
		/* What is no list of tags names none. */
		end = *s == '"' ? strchr(s + 1, '"') : NULL;
		if (!end)
			return false;
		end++;
		if ((weak || !is_weak) && (size_t)(end - s) == len && !memcmp(s, tag, len))
			return true;
	}
	return false;
}

/* ---- paths ---- */

static bool is_dot_name(const char *name, size_t len)
{
	return len && *name == '.' && !(len == 1 || (len == 2 && name[1] == '.'));
}

bool has_dot_name(const char *path)
{
	bool first = true;

	while (*path) {
		size_t len = strcspn(path, "/");
		/* RFC 8615: names that everybody may ask for, for example to issue certificates. */
		bool known = first && len == strlen(".well-known") && !strncmp(path, ".well-known", len);

		if (is_dot_name(path, len) && !known)
			return true;
		first &= !len;
		path += len;
		path += *path == '/';
	}
	return false;
}

int open_beneath(int dir, const char *path, struct stat *st)
{
	/* O_NONBLOCK: opening a fifo must not wait for a writer. */
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int fd;

	while (*path == '/')
		path++;
	fd = (int)syscall(SYS_openat2, dir, *path ? path : ".", &how, sizeof(how));
	if (fd < 0)
		return -1;
	if (fstat(fd, st) || (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))) {
		close(fd);
		errno = EACCES;
		return -1;
	}
	return fd;
}

/* ---- listings ---- */

static void put_html(FILE *f, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '&':
			fputs("&amp;", f);
			break;
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		default:
			fputc(*s, f);
		}
	}
}

/* Bytes of a URL; a slash only where `also` has one. */
static void put_url(FILE *f, const char *s, const char *also)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	for (; *s; s++)
		fprintf(f, strchr(plain, *s) || strchr(also, *s) ? "%c" : "%%%02X",
			(unsigned char)*s);
}

char *url_of_directory(const char *path)
{
	char *url = NULL;
	size_t len;
	FILE *f;

	f = open_memstream(&url, &len);
	if (!f)
		return NULL;
	/* Two slashes in front would be read as the name of another host. */
	while (path[0] == '/' && path[1] == '/')
		path++;
	put_url(f, path, "/");
	fputc('/', f);
	return fclose(f) ? NULL : url;
}

static int not_here_or_above(const struct dirent *d)
{
	return strcmp(d->d_name, ".") && strcmp(d->d_name, "..");
}

/* What a link leads to counts; where it is not followed, the file is not there. */
static bool stat_entry(int root, int dir, const char *path, const char *name, struct stat *st)
{
	char *whole;
	int fd;

	if (fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW))
		return false;
	if (!S_ISLNK(st->st_mode))
		return true;
	if (asprintf(&whole, "%s/%s", path, name) < 0)
		return false;
	fd = open_beneath(root, whole, st);
	free(whole);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void put_entry(FILE *f, const char *name, const struct stat *st)
{
	bool is_dir = S_ISDIR(st->st_mode);
	char date[32];

	if (!is_dir && !S_ISREG(st->st_mode))
		return;
	http_date(st->st_mtim.tv_sec, date);
	/* "./" keeps a name with a colon in it from being read as a scheme. */
	fputs("<tr><td><a href=\"./", f);
	put_url(f, name, "");
	fputs(is_dir ? "/\">" : "\">", f);
	put_html(f, name);
	fputs(is_dir ? "/</a></td><td></td>" : "</a></td>", f);
	if (!is_dir)
		fprintf(f, "<td align=\"right\">%jd</td>", (intmax_t)st->st_size);
	fprintf(f, "<td>%s</td></tr>\n", date);
}

char *list_directory(int root, int dir, const char *path, bool dot_files, size_t *len)
{
	struct dirent **names;
	struct stat st;
	char *page = NULL;
	int n, failed;
	FILE *f;

	n = scandirat(dir, ".", &names, not_here_or_above, alphasort);
	if (n < 0)
		return NULL;
	f = open_memstream(&page, len);
	if (f) {
		fputs("<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>", f);
		put_html(f, path);
		fputs("</title>\n<h1>", f);
		put_html(f, path);
		fputs("</h1>\n<table cellpadding=\"4\">\n", f);
		if (strcmp(path, "/"))
			fputs("<tr><td><a href=\"../\">../</a></td></tr>\n", f);
		for (int i = 0; i < n; i++)
			if ((dot_files || names[i]->d_name[0] != '.') &&
			    stat_entry(root, dir, path, names[i]->d_name, &st))
				put_entry(f, names[i]->d_name, &st);
		fputs("</table>\n", f);
		failed = ferror(f);
		if (fclose(f) || failed) {
			free(page);
			page = NULL;
		}
	}
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
	return page;
}
