// SPDX-License-Identifier: MIT
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void say(const char *fmt, ...)
{
	va_list ap;

	flockfile(stderr);
	fputs("tlsrec: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	funlockfile(stderr);
}

bool parse_number(const char *s, long min, long max, long *value)
{
	char *end;
	long v;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	v = strtol(s, &end, 10);
	if (errno || *end || v < min || v > max)
		return false;
	*value = v;
	return true;
}

static const char *set_host(struct endpoint *ep, const char *host, size_t len)
{
	if (!len)
		return "the host name is empty";
	if (len >= sizeof(ep->host))
		return "the host name is too long";
	memcpy(ep->host, host, len);
	ep->host[len] = '\0';
	return NULL;
}

const char *parse_endpoint(const char *arg, uint16_t default_port, struct endpoint *ep)
{
	const char *port = NULL, *colon = strchr(arg, ':'), *end, *wrong;
	long number = default_port;

	if (strstr(arg, "://"))
		return "give a host name, not a URL";
	if (strpbrk(arg, "/ \t\r\n"))
		return "a host name has no slashes or blanks in it";
	if (*arg == '[') {
		end = strchr(arg, ']');
		if (!end)
			return "the closing bracket is missing";
		if (end[1] && end[1] != ':')
			return "after the bracket comes a colon and the port, or nothing";
		wrong = set_host(ep, arg + 1, (size_t)(end - arg - 1));
		if (end[1])
			port = end + 2;
	} else if (colon && strchr(colon + 1, ':')) {
		wrong = set_host(ep, arg, strlen(arg));
	} else if (colon) {
		wrong = set_host(ep, arg, (size_t)(colon - arg));
		port = colon + 1;
	} else {
		wrong = set_host(ep, arg, strlen(arg));
	}
	if (wrong)
		return wrong;
	if (port && !parse_number(port, 1, 65535, &number))
		return "a port is a number from 1 to 65535";
	snprintf(ep->port, sizeof(ep->port), "%u", (unsigned int)(uint16_t)number);
	return NULL;
}

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

int tcp_connect(const struct endpoint *ep, int family, int timeout_ms, char *peer, size_t peer_size)
{
	struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list, *ai;
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
		say("cannot connect to %s: %s.", peer, strerror(err));
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	freeaddrinfo(list);
	return fd;
}
