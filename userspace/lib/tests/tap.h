/* SPDX-License-Identifier: MIT */
/* Test Anything Protocol: one line per assertion, the plan at the end. */
#ifndef TLSREC_TEST_TAP_H
#define TLSREC_TEST_TAP_H

#include <stdbool.h>
#include <stddef.h>

/* "ok N name" or "not ok N name"; returns cond. */
bool tap_ok(bool cond, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Equality of bytes; prints both as hexadecimal when they differ. */
bool tap_bytes(const void *got, const void *want, size_t len, const char *name);

/* "ok N name # SKIP why". */
void tap_skip(const char *name, const char *why);

/* "# text". */
void tap_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Prints the plan; the exit status of main(). */
int tap_done(void);

/* Bytes from hexadecimal with any spaces in it; the number of bytes. Aborts on a bad digit. */
size_t tap_unhex(const char *hex, unsigned char *out, size_t size);

#endif
