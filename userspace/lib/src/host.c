// SPDX-License-Identifier: MIT
#include "host.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509v3.h>

enum { HOST_NAME_MAX_LEN = 253, LABEL_MAX_LEN = 63 };

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

static bool is_ipv4(const char *text)
{
	struct in_addr addr;

	return inet_pton(AF_INET, text, &addr) == 1;
}

static bool is_ipv6(const char *text)
{
	struct in6_addr addr;

	return inet_pton(AF_INET6, text, &addr) == 1;
}

/* OpenSSL takes an empty name for none, and one that begins with a dot for all that end so. */
static const char *name_problem(const char *name)
{
	if (!*name)
		return "it is empty";
	if (strlen(name) > HOST_NAME_MAX_LEN)
		return "it is longer than 253 bytes";
	for (const char *label = name;; label++) {
		size_t len = strcspn(label, ".");
		size_t good = strspn(label, letters);

		if (good < len && (unsigned char)label[good] >= 0x80)
			return "write it in ASCII, as certificates do (xn--...)";
		if (good < len)
			return "it has a character that host names do not have";
		if (!len)
			return "a label between two dots, or before the first, is empty";
		if (len > LABEL_MAX_LEN)
			return "a label of it is longer than 63 bytes";
		label += len;
		if (!*label)
			return NULL;
	}
}

bool tr_host_is_name(const char *name)
{
	return !name_problem(name);
}

/* "[fe80::1%eth0]" and "fe80::1%eth0" are the address fe80::1. */
static const char *read_address(char *name, bool *address)
{
	size_t len = strlen(name);
	bool brackets = *name == '[';
	char *zone;

	if (brackets && (len < 2 || name[len - 1] != ']'))
		return "the closing bracket is missing";
	if (brackets) {
		memmove(name, name + 1, len - 2);
		name[len - 2] = '\0';
	}
	zone = strchr(name, '%');
	if (zone && zone[1])
		*zone = '\0';
	*address = is_ipv6(name) || (!zone && is_ipv4(name));
	if (brackets && !*address)
		return "in brackets stand addresses only";
	if (zone && zone[1] && !*address)
		*zone = '%';
	return NULL;
}

const char *tr_host_read(const char *given, char **name, bool *address)
{
	const char *wrong;
	size_t len;

	*name = strdup(given);
	if (!*name)
		return NULL;
	wrong = read_address(*name, address);
	if (wrong || *address)
		goto out;
	len = strlen(*name);
	if (len > 1 && (*name)[len - 1] == '.')
		(*name)[len - 1] = '\0';
	wrong = name_problem(*name);
out:
	/* What was read is not longer than what was given, which is what has to be complained of. */
	if (wrong)
		strcpy(*name, given);
	return wrong;
}

bool tr_host_matches(const char *name, bool address, X509 *cert)
{
	const unsigned int flags =
		X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;

	if (address)
		return X509_check_ip_asc(cert, name, 0) == 1;
	return X509_check_host(cert, name, 0, flags, NULL) == 1;
}
