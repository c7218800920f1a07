// SPDX-License-Identifier: MIT
#include "names.h"

#include <openssl/ssl.h>
#include <stdio.h>

const struct name message_names[] = {
	{ HS_HELLO_REQUEST, "HelloRequest" },
	{ HS_CLIENT_HELLO, "ClientHello" },
	{ HS_SERVER_HELLO, "ServerHello" },
	{ HS_NEW_SESSION_TICKET, "NewSessionTicket" },
	{ HS_END_OF_EARLY_DATA, "EndOfEarlyData" },
	{ HS_ENCRYPTED_EXTENSIONS, "EncryptedExtensions" },
	{ HS_CERTIFICATE, "Certificate" },
	{ HS_SERVER_KEY_EXCHANGE, "ServerKeyExchange" },
	{ HS_CERTIFICATE_REQUEST, "CertificateRequest" },
	{ HS_SERVER_HELLO_DONE, "ServerHelloDone" },
	{ HS_CERTIFICATE_VERIFY, "CertificateVerify" },
	{ HS_CLIENT_KEY_EXCHANGE, "ClientKeyExchange" },
	{ HS_FINISHED, "Finished" },
	{ HS_CERTIFICATE_STATUS, "CertificateStatus" },
	{ HS_KEY_UPDATE, "KeyUpdate" },
	{ 0, NULL },
};

const struct name group_names[] = {
	{ 21, "secp224r1" },
	{ 23, "secp256r1" },
	{ 24, "secp384r1" },
	{ 25, "secp521r1" },
	{ 26, "brainpoolP256r1" },
	{ 27, "brainpoolP384r1" },
	{ 28, "brainpoolP512r1" },
	{ 29, "x25519" },
	{ 30, "x448" },
	{ 256, "ffdhe2048" },
	{ 257, "ffdhe3072" },
	{ 258, "ffdhe4096" },
	{ 259, "ffdhe6144" },
	{ 260, "ffdhe8192" },
	{ 0x11eb, "SecP256r1MLKEM768" },
	{ 0x11ec, "X25519MLKEM768" },
	{ 0x11ed, "SecP384r1MLKEM1024" },
	{ 0, NULL },
};

const struct name sigalg_names[] = {
	{ 0x0201, "rsa_pkcs1_sha1" },
	{ 0x0202, "dsa_sha1" },
	{ 0x0203, "ecdsa_sha1" },
	{ 0x0301, "rsa_pkcs1_sha224" },
	{ 0x0302, "dsa_sha224" },
	{ 0x0303, "ecdsa_sha224" },
	{ 0x0401, "rsa_pkcs1_sha256" },
	{ 0x0402, "dsa_sha256" },
	{ 0x0403, "ecdsa_secp256r1_sha256" },
	{ 0x0501, "rsa_pkcs1_sha384" },
	{ 0x0502, "dsa_sha384" },
	{ 0x0503, "ecdsa_secp384r1_sha384" },
	{ 0x0601, "rsa_pkcs1_sha512" },
	{ 0x0602, "dsa_sha512" },
	{ 0x0603, "ecdsa_secp521r1_sha512" },
	{ 0x0804, "rsa_pss_rsae_sha256" },
	{ 0x0805, "rsa_pss_rsae_sha384" },
	{ 0x0806, "rsa_pss_rsae_sha512" },
	{ 0x0807, "ed25519" },
	{ 0x0808, "ed448" },
	{ 0x0809, "rsa_pss_pss_sha256" },
	{ 0x080a, "rsa_pss_pss_sha384" },
	{ 0x080b, "rsa_pss_pss_sha512" },
	{ 0x081a, "ecdsa_brainpoolP256r1tls13_sha256" },
	{ 0x081b, "ecdsa_brainpoolP384r1tls13_sha384" },
	{ 0x081c, "ecdsa_brainpoolP512r1tls13_sha512" },
	{ 0, NULL },
};

static const struct name version_names[] = {
	{ 0x0300, "SSL 3.0" },
	{ 0x0301, "TLS 1.0" },
	{ 0x0302, "TLS 1.1" },
	{ 0x0303, "TLS 1.2" },
	{ 0x0304, "TLS 1.3" },
	{ 0, NULL },
};

static const char *lookup(const struct name *table, uint32_t value)
{
	for (; table->name; table++)
		if (table->value == value)
			return table->name;
	return NULL;
}

/* RFC 8701: values that mean nothing, sent to keep servers tolerant. */
static bool is_grease(uint16_t v)
{
	return (v & 0x0f0f) == 0x0a0a && v >> 8 == (v & 0xff);
}

json_t *json_name(const struct name *table, uint32_t value, size_t width)
{
	const char *s = lookup(table, value);

	if (s)
		return json_string(s);
	if (width == 2 && is_grease((uint16_t)value))
		return json_sprintf("GREASE 0x%04x", value);
	return json_sprintf("0x%0*x", (int)(2 * width), value);
}

const char *name_version(uint16_t version, char buf[16])
{
	const char *s = lookup(version_names, version);

	if (s)
		return s;
	snprintf(buf, 16, "0x%04x", version);
	return buf;
}

/* OpenSSL knows the names of the suites it has; any SSL object will do to ask it. */
static const SSL_CIPHER *find_cipher(uint16_t suite)
{
	const uint8_t id[2] = { suite >> 8, suite & 0xff };
	static SSL *any;

	if (!any) {
		SSL_CTX *ctx = SSL_CTX_new(TLS_method());

		any = ctx ? SSL_new(ctx) : NULL;
		SSL_CTX_free(ctx);
	}
	return any ? SSL_CIPHER_find(any, id) : NULL;
}

const char *name_suite(uint16_t suite, char buf[16])
{
	const SSL_CIPHER *c = find_cipher(suite);
	const char *s = c ? SSL_CIPHER_standard_name(c) : NULL;

	if (suite == 0x00ff)
		return "TLS_EMPTY_RENEGOTIATION_INFO_SCSV";
	if (suite == 0x5600)
		return "TLS_FALLBACK_SCSV";
	if (s)
		return s;
	snprintf(buf, 16, is_grease(suite) ? "GREASE 0x%04x" : "0x%04x", suite);
	return buf;
}

json_t *json_suite(uint16_t suite)
{
	char buf[16];

	return json_string(name_suite(suite, buf));
}

json_t *json_version(uint16_t version)
{
	char buf[16];

	if (is_grease(version))
		return json_sprintf("GREASE 0x%04x", version);
	return json_string(name_version(version, buf));
}

enum key_exchange suite_kx(uint16_t suite)
{
	const SSL_CIPHER *c = find_cipher(suite);

	if (!c)
		return KX_UNKNOWN;
	switch (SSL_CIPHER_get_kx_nid(c)) {
	case NID_kx_any:
		return KX_TLS13;
	case NID_kx_ecdhe:
		return KX_ECDHE;
	case NID_kx_dhe:
		return KX_DHE;
	case NID_kx_rsa:
		return KX_RSA;
	default:
		return KX_UNKNOWN;
	}
}

json_t *name_list(struct cur v, const struct name *table, size_t width)
{
	json_t *a = json_array();

	while (cur_more(&v)) {
		uint32_t x = cur_uint(&v, width);

		if (!v.bad)
			json_array_append_new(a, json_name(table, x, width));
	}
	return a;
}
