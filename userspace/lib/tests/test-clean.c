// SPDX-License-Identifier: MIT
/* U4: whatever a peer says, what is shown of it is valid UTF-8 without anything unseen, and all of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "describe.h"
#include "error.h"
#include "noise.h"
#include "tap.h"

static const struct {
	const char *name, *in;
	size_t len;
	const char *also, *out;
} texts[] = {
#define TEXT(name, in, also, out) { name, in, sizeof(in) - 1, also, out }
	TEXT("plain text", "a.example \"x\" \\ ~", "", "a.example \"x\" \\ ~"),
	TEXT("quotes", "a\"b\\c", "\"\\", "a\\x22b\\x5cc"),
	TEXT("letters of the world", "zo\xc3\xab \xe4\xbd\xa0 \xf0\x9f\x99\x82", "",
	     "zo\xc3\xab \xe4\xbd\xa0 \xf0\x9f\x99\x82"),
	TEXT("C0, NUL and DEL", "a\0\x1b[31m\r\n\t\x7f", "", "a\\x00\\x1b[31m\\x0d\\x0a\\x09\\x7f"),
	TEXT("C1 as characters", "\xc2\x9b" "2J\xc2\x85", "", "\\u009b2J\\u0085"),
	TEXT("C1 as bytes", "\x9b" "2J", "", "\\x9b2J"),
	TEXT("overrides", "exe\xe2\x80\xae" "fdp\xe2\x81\xa6\xe2\x81\xa9", "",
	     "exe\\u202efdp\\u2066\\u2069"),
	TEXT("no width", "pay\xe2\x80\x8bpal\xe2\x80\x8d\xef\xbb\xbf\xc2\xad", "",
	     "pay\\u200bpal\\u200d\\ufeff\\u00ad"),
	TEXT("separators of lines", "a\xe2\x80\xa8" "b\xe2\x80\xa9", "", "a\\u2028b\\u2029"),
	TEXT("tags", "\xf3\xa0\x81\x81", "", "\\U000e0041"),
	TEXT("noncharacters", "\xef\xbf\xbe\xef\xb7\x90\xf0\x9f\xbf\xbf", "", "\\ufffe\\ufdd0\\U0001ffff"),
	TEXT("a byte that begins nothing", "a\x80\xff", "", "a\\x80\\xff"),
	TEXT("a character cut short", "a\xe2\x82", "", "a\\xe2\\x82"),
	TEXT("another one in the middle", "\xe2\xc3\xa9", "", "\\xe2\xc3\xa9"),
	TEXT("overlong", "\xc0\xaf\xe0\x80\x9b\xf0\x80\x80\x9b", "",
	     "\\xc0\\xaf\\xe0\\x80\\x9b\\xf0\\x80\\x80\\x9b"),
	TEXT("a surrogate", "\xed\xa0\x80", "", "\\xed\\xa0\\x80"),
	TEXT("behind the last character", "\xf4\x90\x80\x80\xf8\x88\x80\x80\x80", "",
	     "\\xf4\\x90\\x80\\x80\\xf8\\x88\\x80\\x80\\x80"),
};

static void test_texts(void)
{
	char buf[128];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		size_t n = tlsrec_clean(buf, sizeof(buf), texts[i].in, texts[i].len, texts[i].also);

		tap_ok(n == strlen(texts[i].out) && !strcmp(buf, texts[i].out) && is_clean(buf), "%s: %s",
		       texts[i].name, buf);
	}
}

static void test_cut(void)
{
	static const char in[] = "a\xe2\x82\xac\x1b";
	static const char *const want[] = { "", "", "a", "a", "a", "a\xe2\x82\xac", "a\xe2\x82\xac", "a\xe2\x82\xac",
					    "a\xe2\x82\xac", "a\xe2\x82\xac\\x1b" };
	bool good = true;
	char buf[16];

	for (size_t size = 0; size < sizeof(want) / sizeof(want[0]); size++) {
		memset(buf, '#', sizeof(buf));
		good &= tlsrec_clean(buf, size, in, sizeof(in) - 1, "") == 8;
		good &= size ? !strcmp(buf, want[size]) : buf[0] == '#';
		good &= buf[size] == '#';
	}
	tap_ok(good, "a cut is between characters, and nothing is written behind it");
}

static void test_noise(void)
{
	unsigned char in[64];
	char buf[512], again[512];
	bool good = true;

	for (int i = 0; i < 200000 && good; i++) {
		size_t len = make_noise(in, sizeof(in));
		size_t n = tlsrec_clean(buf, sizeof(buf), in, len, "");

		good = n == strlen(buf) && is_clean(buf) && n >= len;
		good &= tlsrec_clean(again, sizeof(again), buf, n, "") == n && !strcmp(buf, again);
	}
	tap_ok(good, "random bytes come out clean, and clean text as it is");
}

/* Everything in it says what data says; what OpenSSL does not take for a name is left out of it. */
static X509 *make_cert(const void *data, int len, int string)
{
	static const int types[] = { GEN_DNS, GEN_EMAIL, GEN_URI };
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	X509_NAME *name = X509_NAME_new();
	X509 *cert = X509_new();

	X509_NAME_add_entry_by_NID(name, NID_commonName, string, data, len, -1, 0);
	X509_set_subject_name(cert, name);
	X509_set_issuer_name(cert, name);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		add_name(names, types[i], V_ASN1_IA5STRING, data, len);
	add_name(names, GEN_OTHERNAME, V_ASN1_UTF8STRING, data, len);
	X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0);
	GENERAL_NAMES_free(names);
	X509_NAME_free(name);
	return cert;
}

static int count(const char *s, const char *what)
{
	int n = 0;

	while ((s = strstr(s, what))) {
		s += strlen(what);
		n++;
	}
	return n;
}

static void test_certificate(void)
{
	static const char evil[] = "a, b\x1b]0;x\x07\xc2\x9b\xe2\x80\xae";
	X509 *cert = make_cert(evil, sizeof(evil) - 1, V_ASN1_UTF8STRING);
	struct tr_cert words = { 0 };

	tr_cert_describe(&words, cert);
	tap_ok(is_clean(words.view.subject) && strstr(words.view.subject, "\\u009b\\u202e"),
	       "a subject: %s", words.view.subject);
	tap_ok(is_clean(words.view.issuer) && *words.view.issuer, "an issuer");
	tap_ok(is_clean(words.view.names) && count(words.view.names, "]0;x\\x07\\u009b") == 4,
	       "alternative names, an otherName among them: %s", words.view.names);
	tap_ok(count(words.view.names, ", ") == 3, "a comma in a name does not make it two");
	tr_cert_clear(&words);
	X509_free(cert);
}

static void test_random_certificates(void)
{
	static const int strings[] = { V_ASN1_UTF8STRING, V_ASN1_BMPSTRING, V_ASN1_UNIVERSALSTRING, V_ASN1_T61STRING,
				       V_ASN1_PRINTABLESTRING };
	struct tr_cert words = { 0 };
	unsigned char noise[40];
	bool good = true;
	int seen = 0;

	for (int i = 0; i < 2000 && good; i++) {
		size_t len = make_noise(noise, sizeof(noise) - 1) + 1;
		X509 *cert = make_cert(noise, (int)len, strings[i % 5]);

		tr_cert_describe(&words, cert);
		good = is_clean(words.view.subject) && is_clean(words.view.issuer) && is_clean(words.view.names) &&
		       !*words.view.subject == !X509_NAME_entry_count(X509_get_subject_name(cert)) &&
		       count(words.view.names, ", ") == 3;
		seen += X509_NAME_entry_count(X509_get_subject_name(cert));
		X509_free(cert);
	}
	tr_cert_clear(&words);
	tap_ok(good && seen > 100, "random names of certificates come out clean, and none is missing");
}

static void test_sentence(void)
{
	struct tr_error err = { 0 };

	tr_fail(&err, TLSREC_ERROR_LOCAL, "cannot open \"%s\"", "x\x1b[2J\xc2\x9b\xff\n");
	tap_ok(is_clean(err.text) && strstr(err.text, "x\\x1b[2J\\u009b\\xff\\x0a"), "a sentence: %s", err.text);
}

int main(void)
{
	srand(1);
	test_texts();
	test_cut();
	test_noise();
	test_certificate();
	test_random_certificates();
	test_sentence();
	return tap_done();
}
