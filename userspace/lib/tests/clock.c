// SPDX-License-Identifier: MIT
#include "clock.h"

#include <sys/time.h>
#include <time.h>

static long moved;

void clock_move_to(long offset)
{
	moved = offset;
}

/*
 * In the place of the C library's, also for OpenSSL, whose newer versions use the second one.
 */
__attribute__((visibility("default"))) time_t time(time_t *out)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	now.tv_sec += moved;
	if (out)
		*out = now.tv_sec;
	return now.tv_sec;
}

__attribute__((visibility("default"))) int gettimeofday(struct timeval *restrict out,
						       void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	out->tv_sec = now.tv_sec + moved;
	out->tv_usec = now.tv_nsec / 1000;
	return 0;
}
