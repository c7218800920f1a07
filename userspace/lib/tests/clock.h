/* SPDX-License-Identifier: MIT */
/* The time of day for a test program with all its libraries; timers do not know of it. */
#ifndef TLSREC_TEST_CLOCK_H
#define TLSREC_TEST_CLOCK_H

/* Seconds from the real time. */
void clock_move_to(long offset);

#endif
