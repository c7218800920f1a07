/* SPDX-License-Identifier: MIT */
/* Files with secrets: for nobody else to read, and whole or as they were before. */
#ifndef TLSREC_SECRET_H
#define TLSREC_SECRET_H

#include <stddef.h>

enum { SECRET_MAX = 1 << 20 };	/* bytes */

/* Both return NULL, or what went wrong, for the end of a sentence. *data is malloc'ed. */
const char *secret_read(const char *path, unsigned char **data, size_t *len);

/* Of a symbolic link it is the target that is replaced, by a file of mode 0600. */
const char *secret_write(const char *path, const void *data, size_t len);

#endif
