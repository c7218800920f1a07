// SPDX-License-Identifier: MIT
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

enum { SENTENCE_MAX = 1024 };

/* A reason is added to the sentence behind a colon. */
static void vfail(struct tr_error *err, enum tlsrec_error_kind kind, const char *reason, const char *fmt,
		  va_list ap)
{
	char raw[SENTENCE_MAX];
	size_t used;

	err->kind = kind;
	vsnprintf(raw, sizeof(raw), fmt, ap);
	used = strlen(raw);
	if (reason)
		snprintf(raw + used, sizeof(raw) - used, ": %s", reason);
	if (!err->text)
		err->text = malloc(SENTENCE_MAX);
	if (err->text)
		tlsrec_clean(err->text, SENTENCE_MAX, raw, strlen(raw), "");
}

const char *tr_error_text(const struct tr_error *err)
{
	if (err->text)
		return err->text;
	return err->kind == TLSREC_ERROR_NONE ? "" : "out of memory";
}

void tr_error_copy(struct tr_error *to, const struct tr_error *from)
{
	tr_error_clear(to);
	if (from->kind != TLSREC_ERROR_NONE)
		tr_fail(to, from->kind, "%s", tr_error_text(from));
}

int tr_fail(struct tr_error *err, enum tlsrec_error_kind kind, const char *fmt, ...)
{
	va_list ap;

	if (err->kind != TLSREC_ERROR_NONE)
		return -1;
	va_start(ap, fmt);
	vfail(err, kind, NULL, fmt, ap);
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

	if (err->kind != TLSREC_ERROR_NONE)
		return -1;
	va_start(ap, fmt);
	vfail(err, kind, openssl_reason(), fmt, ap);
	va_end(ap);
	ERR_clear_error();
	return -1;
}

void tr_error_clear(struct tr_error *err)
{
	err->kind = TLSREC_ERROR_NONE;
	if (err->text)
		*err->text = '\0';
	ERR_clear_error();
}

void tr_error_free(struct tr_error *err)
{
	free(err->text);
	err->text = NULL;
}
