// SPDX-License-Identifier: MIT
/*
 * Request and answer: how long until an answer of as many bytes as the request is there? In a guest whose clock goes by
 * instructions and jumps over what it waits for, so a wait for an acknowledgement shows, and nothing else disturbs.
 *
 *	latency CONTENDER MTU NODELAY SIZE...
 *
 * prints for each size: CONTENDER MTU NODELAY SIZE MEAN WORST, microseconds.
 */
#include <err.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "record.h"

#ifndef TCP_ULP
#define TCP_ULP 31
#endif

enum { MOST = 1 << 18, WARM_UP = 10, ROUNDS = 20 };

static char buffer[MOST];

static void set_keys(int fd, const char *contender)
{
	struct key key;

	if (!strcmp(contender, "tcp"))
		return;
	key_init(&key, true, 128);
	if (setsockopt(fd, SOL_TCP, TCP_ULP, contender, strlen(contender)) ||
	    setsockopt(fd, SOL_TLS, TLS_TX, &key.kernel, key.kernel_size) ||
	    setsockopt(fd, SOL_TLS, TLS_RX, &key.kernel, key.kernel_size))
		err(1, "%s", contender);
}

static void say(int fd, size_t len)
{
	if (send(fd, buffer, len, 0) != (ssize_t)len)
		err(1, "send");
}

static void hear(int fd, size_t len)
{
	while (len) {
		ssize_t n = recv(fd, buffer, len, 0);

		if (n <= 0)
			err(1, "recv");
		len -= n;
	}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
	int fd[2], listener, nodelay;
	struct sockaddr_in address;
	pid_t server;

	if (argc < 5)
		errx(2, "usage: latency CONTENDER MTU NODELAY SIZE...");
	nodelay = atoi(argv[3]);
	listener = listener_init(&address);
	for (int i = 4; i < argc; i++) {
		size_t size = strtoul(argv[i], NULL, 10);
		double begin, took, sum = 0, worst = 0;

		if (!size || size > MOST)
			errx(2, "no size: %s", argv[i]);
		connection(listener, &address, fd);
		for (int end = 0; end < 2; end++) {
			if (setsockopt(fd[end], SOL_TCP, TCP_NODELAY, &nodelay, sizeof(nodelay)))
				err(1, "TCP_NODELAY");
			set_keys(fd[end], argv[1]);
		}
		server = fork();
		if (server < 0)
			err(1, "fork");
		if (!server) {
			for (int round = 0; round < WARM_UP + ROUNDS; round++) {
				hear(fd[1], size);
				say(fd[1], size);
			}
			_exit(0);
		}
		for (int round = 0; round < WARM_UP + ROUNDS; round++) {
			begin = now();
			say(fd[0], size);
			hear(fd[0], size);
			took = now() - begin;
			if (round < WARM_UP)
				continue;
			sum += took;
			if (took > worst)
				worst = took;
		}
		if (waitpid(server, NULL, 0) != server)
			err(1, "waitpid");
		close(fd[0]);
		close(fd[1]);
		printf("latency %s %s %d %zu %.1f %.1f\n", argv[1], argv[2], nodelay, size, sum / ROUNDS, worst);
		fflush(stdout);
	}
	return 0;
}
