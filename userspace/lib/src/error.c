// SPDX-License-Identifier: MIT
#include "error.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

void tr_printable(char *text)
{
	for (; *text; text++)
		if (iscntrl((unsigned char)*text))
			*text = '?';
}

static void vfail(struct tr_error *err, enum tlsrec_error_kind kind, const char *fmt, va_list ap)
{
	err->kind = kind;
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	tr_printable(err->text);
}

int tr_fail(struct tr_error *err, enum tlsrec_error_kind kind, const char *fmt, ...)
{
	va_list ap;

	if (err->kind != TLSREC_ERROR_NONE)
		return -1;
	va_start(ap, fmt);
	vfail(err, kind, fmt, ap);
	va_end(ap);
	return -1;
}

/* The oldest entry is the cause; later ones are callers passing it on. */
static const char *openssl_reason(void)
{
	unsigned long code = ERR_peek_error();
	const char *reason;

	if (!code)
		return "no reason given";
	if (ERR_SYSTEM_ERROR(code))
		return strerror(ERR_GET_REASON(code));
	reason = ERR_reason_error_string(code);
	return reason ? reason : "unknown reason";
}

int tr_fail_openssl(struct tr_error *err, enum tlsrec_error_kind kind, const char *fmt, ...)
{
	va_list ap;
	size_t used;

	if (err->kind != TLSREC_ERROR_NONE)
		return -1;
	va_start(ap, fmt);
	vfail(err, kind, fmt, ap);
	va_end(ap);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", openssl_reason());
	ERR_clear_error();
	return -1;
}

void tr_error_clear(struct tr_error *err)
{
	err->kind = TLSREC_ERROR_NONE;
	err->text[0] = '\0';
	ERR_clear_error();
}
