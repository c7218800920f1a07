/* SPDX-License-Identifier: MIT */
/* What an HTTP file server must know about files, without HTTP: ranges, types, dates, listings. */
#ifndef TLSREC_FILES_H
#define TLSREC_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

enum range {
	RANGE_WHOLE,		/* no range, or one this server may ignore: send everything */
	RANGE_PART,
	RANGE_UNSATISFIABLE,
};

/* Read a Range header (NULL if there is none) for a file of `size` bytes. */
enum range parse_range(const char *header, uint64_t size, uint64_t *first, uint64_t *count);

const char *content_type(const char *path);

/* RFC 9110 dates. http_time() returns -1 for anything but the preferred form. */
void http_date(time_t t, char buf[32]);
time_t http_time(const char *s);

/* A validator that changes when the file does, with its quotes. */
void etag(const struct stat *st, char buf[64]);

/* Whether a list of tags, as in If-Match, names this one, which is strong; weak: also as a weak one. */
bool etag_matches(const char *header, const char *tag, bool weak);

/*
 * Open what the path of a URL names, never outside of dir. Only regular files and directories are opened.
 * Returns a descriptor and fills st, or -1 with errno.
 */
int open_beneath(int dir, const char *path, struct stat *st);

/* Whether the path of a URL names a hidden file, or anything in a hidden directory; "/.well-known" is neither. */
bool has_dot_name(const char *path);

/* The path of a directory as a URL that ends in a slash; the caller frees it. */
char *url_of_directory(const char *path);

/*
 * An HTML page that lists a directory: what open_beneath() opens, and hidden files only if asked for. root is the
 * directory that the path begins at. The caller frees it. NULL with errno.
 */
char *list_directory(int root, int dir, const char *path, bool dot_files, size_t *len);

#endif
