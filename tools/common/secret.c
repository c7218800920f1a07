// SPDX-License-Identifier: MIT
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char not_regular[] = "it is no regular file";

/* A byte more than may be, to see whether there are more. */
static const char *read_all(int fd, unsigned char *data, size_t *len)
{
	ssize_t n = 1;

	*len = 0;
	while (n > 0 && *len <= SECRET_MAX) {
		n = read(fd, data + *len, SECRET_MAX + 1 - *len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n < 0)
			return strerror(errno);
		else
			*len += (size_t)n;
	}
	return *len > SECRET_MAX ? "it is larger than 1 MiB" : NULL;
}

const char *secret_read(const char *path, unsigned char **data, size_t *len)
{
	/* O_NONBLOCK: a pipe without a writer is no reason to wait. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *wrong = NULL;
	struct stat st;

	*data = NULL;
	if (fd < 0)
		return strerror(errno);
	if (fstat(fd, &st))
		wrong = strerror(errno);
	else if (!S_ISREG(st.st_mode))
		wrong = not_regular;
	else if (!(*data = malloc(SECRET_MAX + 1)))
		wrong = strerror(ENOMEM);
	else
		wrong = read_all(fd, *data, len);
	close(fd);
	if (!wrong)
		return NULL;
	if (*data)
		explicit_bzero(*data, SECRET_MAX + 1);
	free(*data);
	*data = NULL;
	return wrong;
}

static bool write_all(int fd, const unsigned char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return !fsync(fd);
}

/* The new name is on the disk when the folder is. */
static bool sync_folder(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	bool ok = fd >= 0 && (!fsync(fd) || errno == EINVAL);

	if (fd >= 0)
		close(fd);
	free(copy);
	return ok;
}

/* Beside the old file, since only there a new one can take its place at once. */
static bool replace(const char *target, const void *data, size_t len)
{
	char *name;
	bool ok;
	int err;
	int fd;

	if (asprintf(&name, "%s.XXXXXX", target) < 0)
		return false;
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0) {
		free(name);
		return false;
	}
	ok = !fchmod(fd, 0600) && write_all(fd, data, len);
	ok = !close(fd) && ok;
	ok = ok && !rename(name, target);
	err = errno;
	if (!ok)
		unlink(name);
	free(name);
	errno = err;
	return ok && sync_folder(target);
}

const char *secret_write(const char *path, const void *data, size_t len)
{
	char *target = realpath(path, NULL);
	const char *wrong = NULL;
	struct stat st;

	if (!target && errno != ENOENT)
		return strerror(errno);
	if (target && !stat(target, &st) && !S_ISREG(st.st_mode))
		wrong = not_regular;
	else if (!replace(target ? target : path, data, len))
		wrong = strerror(errno);
	free(target);
	return wrong;
}
