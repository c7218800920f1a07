// SPDX-License-Identifier: MIT
/* Host and port arguments, numbers. */
#include "common/address.h"
#include "common/arguments.h"
#include "common/tests/tap.h"

#include <netdb.h>
#include <string.h>

static const struct {
	const char *arg, *host, *port;
} good[] = {
	{ "example.org", "example.org", "443" },
	{ "example.org:8443", "example.org", "8443" },
	{ "example.org:1", "example.org", "1" },
	{ "example.org:65535", "example.org", "65535" },
	{ "192.0.2.1", "192.0.2.1", "443" },
	{ "192.0.2.1:4433", "192.0.2.1", "4433" },
	{ "[2001:db8::1]", "2001:db8::1", "443" },
	{ "[2001:db8::1]:4433", "2001:db8::1", "4433" },
	{ "2001:db8::1", "2001:db8::1", "443" },
	{ "::1", "::1", "443" },
	{ "[::1]:443", "::1", "443" },
	{ "fe80::1%eth0", "fe80::1%eth0", "443" },
	{ "[fe80::1%eth0]:8443", "fe80::1%eth0", "8443" },
};

static const char *const bad[] = {
	"", ":443", "example.org:", "example.org:0", "example.org:65536", "example.org:-1",
	"example.org:+1", "example.org: 443", "example.org:443x", "example.org:0x1bb",
	"example.org:99999999999999999999", "example.org:https", "[", "[::1", "[]", "[]:443", "[::1]443",
	"[::1]:", "[::1]:0", "[::1]:70000", "https://example.org", "https://example.org/",
	"example.org/index.html", "example .org", "example.org:443/",
};

static void test_endpoints(void)
{
	struct endpoint ep;
	const char *wrong;
	char longname[400];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		memset(&ep, 0, sizeof(ep));
		wrong = parse_endpoint(good[i].arg, 443, &ep);
		ok(!wrong && !strcmp(ep.host, good[i].host) && !strcmp(ep.port, good[i].port),
		   "\"%s\" is host %s port %s", good[i].arg, good[i].host, good[i].port);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		wrong = parse_endpoint(bad[i], 443, &ep);
		ok(wrong, "\"%s\" is refused: %s", bad[i], wrong ? wrong : "(it was not)");
	}
	memset(longname, 'a', sizeof(longname));
	longname[255] = '\0';
	ok(!parse_endpoint(longname, 443, &ep) && strlen(ep.host) == 255,
	   "a name of 255 bytes is taken");
	memset(longname, 'a', sizeof(longname));
	longname[256] = '\0';
	ok(parse_endpoint(longname, 443, &ep), "a name of 256 bytes is refused");
}

static void test_numbers(void)
{
	long v = 0;

	ok(parse_number("0", 0, 9, &v) && v == 0, "0 is a number");
	ok(parse_number("9", 0, 9, &v) && v == 9, "the largest allowed number is taken");
	ok(!parse_number("10", 0, 9, &v), "a larger one is refused");
	ok(!parse_number("", 0, 9, &v), "nothing is not a number");
	ok(!parse_number("-1", -5, 9, &v), "a sign is refused");
	ok(!parse_number(" 1", 0, 9, &v), "a blank in front is refused");
	ok(!parse_number("1s", 0, 9, &v), "a letter behind is refused");
	ok(!parse_number("99999999999999999999999", 0, 9, &v), "overflow is refused");
}

static void test_addresses(void)
{
	static const char *const texts[][2] = {
		{ "::1", "[::1]:443" },
		{ "192.0.2.7", "192.0.2.7:443" },
		{ "::ffff:192.0.2.7", "192.0.2.7:443" },
	};
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST }, *ai;
	char text[64];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (getaddrinfo(texts[i][0], "443", &hints, &ai))
			continue;
		ok(!strcmp(address_text(ai->ai_addr, ai->ai_addrlen, text, sizeof(text)), texts[i][1]),
		   "%s is written %s", texts[i][0], text);
		freeaddrinfo(ai);
	}
}

int main(void)
{
	test_endpoints();
	test_numbers();
	test_addresses();
	return done();
}
