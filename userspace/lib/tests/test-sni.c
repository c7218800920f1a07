// SPDX-License-Identifier: MIT
/* Many certificates: the right one for each name, at the price of one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/x509v3.h>

#include "hosts.h"
#include "peer.h"
#include "pki.h"
#include "tap.h"

enum { MANY = 1000, RUNS = 15 };

static struct pki_cert *root;

/* Finds exactly what OpenSSL's comparison of one name with one certificate finds. */
static void test_as_openssl(void)
{
	static const char *const certs[] = {
		"DNS:a.example", "DNS:A.Example", "DNS:*.example", "DNS:*.a.example", "DNS:*",
		"DNS:*.b.a.example,DNS:c.a.example", "DNS:x*.a.example", "DNS:a.*.example",
		"DNS:*.*.example", "DNS:xn--a.a.example", "DNS:_x.a.example", "DNS:example",
		"DNS:a.example.", "DNS:.a.example", "DNS:*.a.example.", "IP:192.0.2.1",
		"email:a@a.example", "DNS:*a.example", "DNS:**.a.example", "DNS:a..example",
	};
	static const char *const names[] = {
		"a.example", "A.EXAMPLE", "b.a.example", "c.a.example", "c.b.a.example", "x.a.example",
		"xy.a.example", "a.b.example", "xn--a.a.example", "xn--b.a.example", "_x.a.example",
		"_y.a.example", "example", "*.a.example", "*.example", "a.example.", ".a.example",
		"b.a.example.", "192.0.2.1", "a@a.example", "", ".", "*", "ba.example", "a..example",
		"..a.example",
	};
	const unsigned int flags =
		X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
	size_t found = 0, compared = 0;

	for (size_t c = 0; c < sizeof(certs) / sizeof(certs[0]); c++) {
		struct pki_cert *cert = pki_make(&(struct pki_spec){ .name = "cert", .san = certs[c] });
		struct tr_hosts hosts = { 0 };

		tr_hosts_add(&hosts, cert->x509, 0);
		for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
			bool ours = tr_hosts_find(&hosts, names[n]);
			bool theirs = *names[n] &&
				      X509_check_host(cert->x509, names[n], 0, flags, NULL) == 1;
			/* Names that no host has are nobody's here. */
			bool host = *names[n] && *names[n] != '.' && !strchr(names[n], '*') &&
				    !strstr(names[n], "..") && names[n][strlen(names[n]) - 1] != '.';

			found += ours;
			compared++;
			if (ours != (host && theirs))
				tap_ok(false, "U11: \"%s\" and %s: %d, OpenSSL %d", names[n], certs[c],
				       ours, theirs);
		}
		tr_hosts_clear(&hosts);
	}
	tap_ok(found > 10 && compared > 400, "U11: %zu of %zu names are found, as by OpenSSL", found,
	       compared);
}

/* Names, wildcards and several certificates for one name, among many. */
static void test_table(void)
{
	struct tr_hosts hosts = { 0 };
	bool ok = true;

	for (int i = 0; i < MANY; i++) {
		char san[128];
		struct pki_cert *cert;

		snprintf(san, sizeof(san), "DNS:h%d.example,DNS:*.h%d.example,DNS:h%d.example", i, i,
			 i / 2);
		cert = pki_make(&(struct pki_spec){ .name = "cert", .san = san });
		ok = ok && !tr_hosts_add(&hosts, cert->x509, (size_t)i);
	}
	for (int i = 0; i < MANY; i++) {
		const struct tr_hosts_entry *exact, *wild;
		char name[64];

		snprintf(name, sizeof(name), "H%d.example", i);
		exact = tr_hosts_find(&hosts, name);
		snprintf(name, sizeof(name), "x.h%d.Example", i);
		wild = tr_hosts_find(&hosts, name);
		ok = ok && wild && wild->count == 1 && wild->numbers[0] == (size_t)i && exact &&
		     exact->numbers[0] == (size_t)i &&
		     exact->count == (i >= MANY / 2 || !i ? i ? 1 : 2 : 3);
		for (size_t n = 1; ok && n < exact->count; n++)
			ok = exact->numbers[n] > exact->numbers[n - 1];
	}
	tap_ok(ok && !tr_hosts_find(&hosts, "h1000.example"), "U11: %d certificates by name", MANY);
	tr_hosts_clear(&hosts);
}

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The cheapest of some handshakes, so that it does not matter what else the machine does. */
static double cheapest(struct pair *pair, const char *name, bool *ok)
{
	double least = 1e9;

	pair->peer_sni = name;
	for (int i = 0; i < RUNS; i++) {
		double start = cpu_seconds(), took;

		*ok = pair_run(pair) && *ok;
		took = cpu_seconds() - start;
		least = took < least ? took : least;
		pair_end(pair);
	}
	return least;
}

static void test_price(void)
{
	static const char *const names[] = { "h0.many.example", "h999.many.example", "h.w7.example",
					     "nobody.example", NULL };
	struct pki_cert *first = NULL;
	struct tlsrec_ctx *many = NULL;
	double one;
	bool ok = true;

	for (int i = 0; i < MANY; i++) {
		char san[128];
		struct pki_cert *cert;

		snprintf(san, sizeof(san), "DNS:h%d.many.example,DNS:*.w%d.example", i, i);
		cert = pki_make(&(struct pki_spec){ .name = "many", .issuer = root, .san = san });
		if (!first)
			many = our_ctx(true, cert, root);
		else
			ok = ok && !tlsrec_ctx_add_cert(many, cert->file, cert->key_file);
		first = first ? first : cert;
	}
	first = pki_make(&(struct pki_spec){ .name = "one", .issuer = root,
					     .san = "DNS:h0.many.example" });
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct pair pair = pair_make(true, version, first, root);
		struct tlsrec_ctx *ctx = pair.ctx;

		one = cheapest(&pair, "h0.many.example", &ok);
		pair.ctx = many;
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			double cost = cheapest(&pair, names[i], &ok);

			tap_ok(ok && cost < 1.5 * one,
			       "U11: TLS 1.%d, %s: %.2f ms with %d certificates, %.2f with one",
			       version - TLS1_1_VERSION + 1, names[i] ? names[i] : "no name",
			       cost * 1e3, MANY, one * 1e3);
		}
		pair.ctx = ctx;
		pair_free(&pair);
	}
	tlsrec_ctx_free(many);
}

int main(void)
{
	pki_begin();
	root = pki_make(&(struct pki_spec){ .name = "root", .ca = true });
	test_as_openssl();
	test_table();
	test_price();
	pki_end();
	return tap_done();
}
