// SPDX-License-Identifier: MIT
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"

void set_file(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		err(1, "cannot write %s to %s", value, path);
	close(fd);
}

void be_alone(void)
{
	const struct sched_param first = { .sched_priority = 1 };

	if (sched_setscheduler(0, SCHED_FIFO, &first))
		err(1, "cannot become a real-time process");
	set_file("/proc/sys/kernel/sched_rt_runtime_us", "-1");
}

int listener_init(struct sockaddr_in *address)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*address);

	*address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (listener < 0 || bind(listener, (void *)address, len) || listen(listener, 1) ||
	    getsockname(listener, (void *)address, &len))
		err(1, "cannot listen on loopback");
	return listener;
}

void connection(int listener, const struct sockaddr_in *address, int fd[2])
{
	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd[0] < 0 || connect(fd[0], (void *)address, sizeof(*address)) ||
	    (fd[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
		err(1, "cannot connect over loopback");
}
