// SPDX-License-Identifier: MIT
#include "address.h"

#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* An IPv4 peer of a socket for both families is shown as what it is. */
static bool unmap(const struct sockaddr *sa, struct sockaddr_in *in)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

	if (sa->sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		return false;
	*in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = in6->sin6_port };
	memcpy(&in->sin_addr, &in6->sin6_addr.s6_addr[12], sizeof(in->sin_addr));
	return true;
}

const char *address_text(const struct sockaddr *sa, socklen_t len, char *buf, size_t size)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];
	struct sockaddr_in in;

	if (unmap(sa, &in)) {
		sa = (const struct sockaddr *)&in;
		len = sizeof(in);
	}
	if (getnameinfo(sa, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(buf, size, "(unknown address)");
	else
		snprintf(buf, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
	return buf;
}

/* Returns 0 or an errno. The socket is left in blocking mode. */
static int connect_within(int fd, const struct sockaddr *sa, socklen_t len, int timeout_ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int err = 0, n;

	if (connect(fd, sa, len) && errno != EINPROGRESS)
		return errno;
	do {
		n = poll(&pfd, 1, timeout_ms);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno;
	if (!n)
		return ETIMEDOUT;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size))
		return errno;
	if (!err && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK))
		return errno;
	return err;
}

/* The attempts that failed, in one sentence; of very many the last ones are left out. */
static void note_failure(char *why, size_t size, const char *peer, int err)
{
	size_t len = strlen(why);
	int n = snprintf(why + len, size - len, "%s%s: %s", len ? "; " : "", peer, strerror(err));

	if (n < 0 || (size_t)n >= size - len)
		why[len] = '\0';
}

int tcp_connect(const struct endpoint *ep, int family, int timeout_ms, char *peer, size_t peer_size)
{
	struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list, *ai;
	char why[1024] = "";
	int err, fd = -1;

	err = getaddrinfo(ep->host, ep->port, &hints, &list);
	if (err) {
		say("cannot look up \"%s\": %s.", ep->host,
		    err == EAI_SYSTEM ? strerror(errno) : gai_strerror(err));
		return -1;
	}
	for (ai = list; ai; ai = ai->ai_next) {
		address_text(ai->ai_addr, ai->ai_addrlen, peer, peer_size);
		fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		err = fd < 0 ? errno
			     : connect_within(fd, ai->ai_addr, ai->ai_addrlen, timeout_ms);
		if (!err)
			break;
		note_failure(why, sizeof(why), peer, err);
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	freeaddrinfo(list);
	if (fd < 0)
		say("cannot connect to %s.", why);
	return fd;
}
