// SPDX-License-Identifier: MIT
/*
 * U4: random bytes of the hurtful kind wherever peers, files and certificates have a say: on the terminal, in the log and in
 * JSON there is nothing but clean UTF-8, and nothing is missing.
 */
#include "common/say.h"
#include "common/tests/tap.h"
#include "serve/log.h"
#include "trace/certificate.h"
#include "trace/decode.h"
#include "trace/render.h"

#include "../userspace/lib/tests/noise.h"
#include <fcntl.h>
#include <openssl/x509v3.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- what was printed ---- */

static int memory, kept;

static void capture(FILE *f)
{
	fflush(f);
	kept = dup(fileno(f));
	memory = memfd_create("output", MFD_CLOEXEC);
	dup2(memory, fileno(f));
}

/* Lines of text that are clean, one at least; their number, or -1. */
static int captured(FILE *f)
{
	static char text[1 << 20];
	char *line = text, *end;
	int lines = 0;
	ssize_t n;

	fflush(f);
	dup2(kept, fileno(f));
	close(kept);
	n = pread(memory, text, sizeof(text) - 1, 0);
	close(memory);
	if (n < 0 || memchr(text, '\0', (size_t)n))
		return -1;
	text[n] = '\0';
	for (; (end = strchr(line, '\n')); line = end + 1, lines++) {
		*end = '\0';
		if (!is_clean(line))
			return -1;
	}
	return *line ? -1 : lines;
}

/* Without NUL. */
static size_t make_text(char *out, size_t size)
{
	size_t n = make_noise((unsigned char *)out, size - 1);

	for (size_t i = 0; i < n; i++)
		out[i] = out[i] ? out[i] : 'x';
	out[n] = '\0';
	return n;
}

static void test_sentences(void)
{
	char text[200];
	bool good = true;

	for (int i = 0; i < 2000 && good; i++) {
		make_text(text, sizeof(text));
		capture(stderr);
		say("cannot open \"%s\".", text);
		good = captured(stderr) == 1;
	}
	ok(good, "a sentence is one clean line");
}

static void test_log(void)
{
	char text[200];
	bool good = true;

	for (int i = 0; i < 2000 && good; i++) {
		make_text(text, sizeof(text));
		capture(stdout);
		log_request(stdout, &(struct log_request){ .peer = "[::1]:1", .line = text, .note = "TLS 1.3" });
		log_event(stdout, "[::1]:1", "no connection", text);
		good = captured(stdout) == 2;
	}
	ok(good, "a request, and the end of a connection, are one clean line each in the log");
}

/* ---- certificates ---- */

/* In DER. OpenSSL reads no subject whose string is not what its type says. */
static uint8_t *make_certificate(EVP_PKEY *key, size_t *len)
{
	static const int types[] = { GEN_DNS, GEN_EMAIL, GEN_URI, GEN_IPADD };
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	unsigned char noise[60];
	uint8_t *der = NULL;
	X509 *x = X509_new();
	size_t n;

	n = make_noise(noise, sizeof(noise) - 1) + 1;
	X509_NAME_add_entry_by_NID(X509_get_subject_name(x), NID_commonName, V_ASN1_T61STRING, noise, (int)n, -1, 0);
	X509_NAME_add_entry_by_NID(X509_get_issuer_name(x), NID_commonName, V_ASN1_OCTET_STRING, noise, (int)n, -1, 0);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		add_name(names, types[i], V_ASN1_IA5STRING, noise, n);
	add_name(names, GEN_OTHERNAME, V_ASN1_UTF8STRING, noise, n);
	X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0);
	GENERAL_NAMES_free(names);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 1000);
	X509_set_pubkey(x, key);
	X509_sign(x, key, EVP_sha256());
	*len = (size_t)i2d_X509(x, &der);
	X509_free(x);
	return der;
}

static bool all_there(const json_t *o)
{
	static const char *const members[] = { "subject", "issuer", "not_before", "not_after", "names", "key",
					       "signed_with", "sha256", "bytes" };

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (!json_object_get(o, members[i]))
			return false;
	return json_array_size(json_object_get(o, "names")) == 5;
}

/* Shows and takes it. */
static bool shown_clean(json_t *event)
{
	static const struct render_options options;
	char *text = json_dumps(event, JSON_COMPACT);
	bool good = text && is_clean(text);

	capture(stdout);
	render_event(event, &options);
	good &= captured(stdout) > 0;
	free(text);
	json_decref(event);
	return good;
}

static json_t *as_event(json_t *fields)
{
	json_object_set_new(fields, "event", json_string("Certificate"));
	json_object_set_new(fields, "time_ms", json_real(1));
	return fields;
}

static void test_certificates(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	bool good = true;
	uint8_t *der;
	json_t *o;
	size_t n;

	for (int i = 0; i < 300 && good; i++) {
		der = make_certificate(key, &n);
		o = decode_x509(der, n);
		good = all_there(o);
		good &= shown_clean(as_event(o));
		OPENSSL_free(der);
	}
	EVP_PKEY_free(key);
	ok(good, "certificates, as text and as JSON, with all their members");
}

/* ---- messages ---- */

/* A ClientHello whose server name and protocols are noise. */
static size_t make_hello(uint8_t *out)
{
	unsigned char name[60];
	size_t n = make_noise(name, sizeof(name) - 1) + 1, i = 0;
	uint8_t *p = out;

	*p++ = 1, *p++ = 0, *p++ = 0, *p++ = 0;
	*p++ = 3, *p++ = 3;
	for (i = 0; i < 32; i++)
		*p++ = (uint8_t)i;
	*p++ = 0;
	*p++ = 0, *p++ = 2, *p++ = 0x13, *p++ = 1;
	*p++ = 1, *p++ = 0;
	*p++ = 0, *p++ = (uint8_t)(9 + n + 7 + n);
	*p++ = 0, *p++ = 0, *p++ = 0, *p++ = (uint8_t)(n + 5), *p++ = 0, *p++ = (uint8_t)(n + 3), *p++ = 0, *p++ = 0;
	*p++ = (uint8_t)n;
	memcpy(p, name, n);
	p += n;
	*p++ = 0, *p++ = 16, *p++ = 0, *p++ = (uint8_t)(n + 3), *p++ = 0, *p++ = (uint8_t)(n + 1), *p++ = (uint8_t)n;
	memcpy(p, name, n);
	p += n;
	out[3] = (uint8_t)(p - out - 4);
	return (size_t)(p - out);
}

static void test_messages(void)
{
	struct decode_state state = { 0 };
	uint8_t hello[256];
	json_t *o, *extensions;
	bool good = true;

	for (int i = 0; i < 2000 && good; i++) {
		o = decode_handshake(&state, hello, make_hello(hello));
		extensions = json_object_get(o, "extensions");
		good = !json_object_get(o, "malformed");
		for (size_t e = 0; e < 2; e++)
			good &= json_array_size(json_object_get(json_array_get(extensions, e), "value")) == 1;
		good &= shown_clean(as_event(o));
	}
	ok(good, "server names and protocols, as text and as JSON");
}

int main(void)
{
	srand(1);
	test_sentences();
	test_log();
	test_certificates();
	test_messages();
	return done();
}
