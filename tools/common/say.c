// SPDX-License-Identifier: MIT
#include "say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <tlsrec.h>

void say(const char *fmt, ...)
{
	char raw[2048], clean[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	tlsrec_clean(clean, sizeof(clean), raw, strlen(raw), "");
	fprintf(stderr, "tlsrec: %s\n", clean);
}
