/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* A cipher that has no memory when a test says so: the test module tlsrec_oom. */
#ifndef OOM_COMMON_H
#define OOM_COMMON_H

#include "tlsrec_test.h"

/* new keys of this cipher get one that can fail, until oom_unload() */
void oom_load(uint16_t version, uint16_t cipher);
/* 0 when no socket has it any more */
int oom_unload(void);

/* the n-th "encrypt" or "decrypt" from here on fails */
void oom_fail(const char *what, int nth);
/* and so many after it */
void oom_fail_more(int more);
/* what fails to encrypt has written to its target before */
void oom_spoil(bool on);
/* the last failure has happened */
bool oom_failed(const char *what);

#endif
