// SPDX-License-Identifier: MIT
#include "arguments.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
