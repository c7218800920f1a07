// SPDX-License-Identifier: MIT
#include "tap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int count;
static int failures;

bool tap_ok(bool cond, const char *fmt, ...)
{
	va_list ap;

	printf("%s %d ", cond ? "ok" : "not ok", ++count);
	failures += !cond;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	return cond;
}

static void print_hex(const char *what, const unsigned char *data, size_t len)
{
	printf("# %s ", what);
	for (size_t i = 0; i < len; i++)
		printf("%02x", data[i]);
	putchar('\n');
}

bool tap_bytes(const void *got, const void *want, size_t len, const char *name)
{
	bool same = !memcmp(got, want, len);

	if (!tap_ok(same, "%s", name)) {
		print_hex("got ", got, len);
		print_hex("want", want, len);
	}
	return same;
}

void tap_skip(const char *name, const char *why)
{
	printf("ok %d %s # SKIP %s\n", ++count, name, why);
}

void tap_note(const char *fmt, ...)
{
	va_list ap;

	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

int tap_done(void)
{
	printf("1..%d\n", count);
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *p = c ? strchr(digits, c) : NULL;

	if (!p) {
		fprintf(stderr, "bad hexadecimal digit '%c' in a test vector\n", c);
		abort();
	}
	return (int)(p - digits);
}

size_t tap_unhex(const char *hex, unsigned char *out, size_t size)
{
	size_t n = 0;

	for (; *hex; hex++) {
		if (*hex == ' ')
			continue;
		if (n == size)
			abort();
		out[n] = (unsigned char)(digit(*hex) << 4);
		out[n++] |= (unsigned char)digit(*++hex);
	}
	return n;
}
