/* SPDX-License-Identifier: MIT */
/* Failures as sentences. */
#ifndef TLSREC_ERROR_H
#define TLSREC_ERROR_H

#include "tlsrec.h"

/*
 * Zeroed to begin with. Most objects never fail, so the sentence takes no room in them; once there is one, its
 * place stays, for programs may keep a pointer to it.
 */
struct tr_error {
	enum tlsrec_error_kind kind;
	char *text;
};

/* The sentence; "" when there is none. */
const char *tr_error_text(const struct tr_error *err);

/*
 * All return -1, for use in a return statement. The first failure of an object stays. What is in the
 * sentence need not be clean.
 */
int tr_fail(struct tr_error *err, enum tlsrec_error_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same with ": " and the reason OpenSSL gives in this thread's error queue. */
int tr_fail_openssl(struct tr_error *err, enum tlsrec_error_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Forgets the failure and empties OpenSSL's error queue. */
void tr_error_clear(struct tr_error *err);

/* In place of what to says. */
void tr_error_copy(struct tr_error *to, const struct tr_error *from);

/* At the end of the object. */
void tr_error_free(struct tr_error *err);

#endif
