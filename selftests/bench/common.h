/* SPDX-License-Identifier: MIT */
/* What the programs that count instructions in a guest have in common. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <netinet/in.h>
#include <stdint.h>

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

/* Counts instructions, in a guest that run -C made. */
static inline uint64_t time_stamp(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) :: "memory");
	return (uint64_t)high << 32 | low;
}

void set_file(const char *path, const char *value);
/* Nobody else runs while something is counted. */
void be_alone(void);

/* A listener on loopback, and both ends of a connection to it: who connects, who is connected to. */
int listener_init(struct sockaddr_in *address);
void connection(int listener, const struct sockaddr_in *address, int fd[2]);

#endif
