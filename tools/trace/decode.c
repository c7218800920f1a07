// SPDX-License-Identifier: MIT
/*
 * TLS handshake messages as JSON: RFC 8446 section 4 and RFC 5246 section 7.4, with the extensions
 * of RFC 6066, 7301, 7627, 8422, 8449 and 8879.
 */
#include "decode.h"

#include <arpa/inet.h>
#include <openssl/ocsp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- bytes ---- */

/* A reader that, once it has run short, stays failed and yields zeros. */
struct cur {
	const uint8_t *p;
	size_t n;
	bool bad;
};

static const uint8_t *take(struct cur *c, size_t n)
{
	const uint8_t *p = c->p;

	if (c->bad || n > c->n) {
		c->bad = true;
		return NULL;
	}
	c->p += n;
	c->n -= n;
	return p;
}

static uint32_t take_uint(struct cur *c, size_t width)
{
	const uint8_t *p = take(c, width);
	uint32_t v = 0;

	if (!p)
		return 0;
	while (width--)
		v = v << 8 | *p++;
	return v;
}

/* A vector with a length of `width` bytes in front. */
static struct cur take_vec(struct cur *c, size_t width)
{
	size_t n = take_uint(c, width);
	const uint8_t *p = take(c, n);

	return (struct cur){ .p = p, .n = p ? n : 0, .bad = !p };
}

static bool more(const struct cur *c)
{
	return !c->bad && c->n;
}

static void finish(json_t *o, const struct cur *c)
{
	if (c->bad)
		json_object_set_new(o, "malformed", json_string("the message ends too early"));
	else if (c->n)
		json_object_set_new(o, "malformed", json_sprintf("%zu bytes too many", c->n));
}

json_t *json_hex(const uint8_t *p, size_t n)
{
	static const char digit[] = "0123456789abcdef";
	json_t *s;
	char *hex = malloc(2 * n + 1);

	if (!hex)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		hex[2 * i] = digit[p[i] >> 4];
		hex[2 * i + 1] = digit[p[i] & 15];
	}
	s = json_stringn(hex, 2 * n);
	free(hex);
	return s;
}

/* Text from the peer: anything that is not plain ASCII is shown as a dot. */
static json_t *json_text(const uint8_t *p, size_t n)
{
	json_t *s;
	char *t = malloc(n + 1);

	if (!t)
		return NULL;
	for (size_t i = 0; i < n; i++)
		t[i] = p[i] >= 0x20 && p[i] < 0x7f ? (char)p[i] : '.';
	s = json_stringn(t, n);
	free(t);
	return s;
}

static json_t *rest_hex(struct cur *c)
{
	size_t n = c->n;
	const uint8_t *p = take(c, n);

	return json_hex(p, p ? n : 0);
}

/* ---- names ---- */

struct name {
	uint32_t value;
	const char *name;
};

static const struct name group_names[] = {
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

static const struct name sigalg_names[] = {
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

enum {
	EXT_SERVER_NAME = 0,
	EXT_MAX_FRAGMENT_LENGTH = 1,
	EXT_STATUS_REQUEST = 5,
	EXT_SUPPORTED_GROUPS = 10,
	EXT_EC_POINT_FORMATS = 11,
	EXT_SIGNATURE_ALGORITHMS = 13,
	EXT_ALPN = 16,
	EXT_PADDING = 21,
	EXT_ENCRYPT_THEN_MAC = 22,
	EXT_EXTENDED_MASTER_SECRET = 23,
	EXT_RECORD_SIZE_LIMIT = 28,
	EXT_SESSION_TICKET = 35,
	EXT_PRE_SHARED_KEY = 41,
	EXT_EARLY_DATA = 42,
	EXT_SUPPORTED_VERSIONS = 43,
	EXT_COOKIE = 44,
	EXT_PSK_KEY_EXCHANGE_MODES = 45,
	EXT_CERTIFICATE_AUTHORITIES = 47,
	EXT_POST_HANDSHAKE_AUTH = 49,
	EXT_SIGNATURE_ALGORITHMS_CERT = 50,
	EXT_KEY_SHARE = 51,
	EXT_RENEGOTIATION_INFO = 0xff01,
};

static const struct name ext_names[] = {
	{ EXT_SERVER_NAME, "server_name" },
	{ EXT_MAX_FRAGMENT_LENGTH, "max_fragment_length" },
	{ EXT_STATUS_REQUEST, "status_request" },
	{ EXT_SUPPORTED_GROUPS, "supported_groups" },
	{ EXT_EC_POINT_FORMATS, "ec_point_formats" },
	{ EXT_SIGNATURE_ALGORITHMS, "signature_algorithms" },
	{ 14, "use_srtp" },
	{ 15, "heartbeat" },
	{ EXT_ALPN, "application_layer_protocol_negotiation" },
	{ 18, "signed_certificate_timestamp" },
	{ 19, "client_certificate_type" },
	{ 20, "server_certificate_type" },
	{ EXT_PADDING, "padding" },
	{ EXT_ENCRYPT_THEN_MAC, "encrypt_then_mac" },
	{ EXT_EXTENDED_MASTER_SECRET, "extended_master_secret" },
	{ 27, "compress_certificate" },
	{ EXT_RECORD_SIZE_LIMIT, "record_size_limit" },
	{ 34, "delegated_credential" },
	{ EXT_SESSION_TICKET, "session_ticket" },
	{ EXT_PRE_SHARED_KEY, "pre_shared_key" },
	{ EXT_EARLY_DATA, "early_data" },
	{ EXT_SUPPORTED_VERSIONS, "supported_versions" },
	{ EXT_COOKIE, "cookie" },
	{ EXT_PSK_KEY_EXCHANGE_MODES, "psk_key_exchange_modes" },
	{ EXT_CERTIFICATE_AUTHORITIES, "certificate_authorities" },
	{ 48, "oid_filters" },
	{ EXT_POST_HANDSHAKE_AUTH, "post_handshake_auth" },
	{ EXT_SIGNATURE_ALGORITHMS_CERT, "signature_algorithms_cert" },
	{ EXT_KEY_SHARE, "key_share" },
	{ 57, "quic_transport_parameters" },
	{ 0xfe0d, "encrypted_client_hello" },
	{ EXT_RENEGOTIATION_INFO, "renegotiation_info" },
	{ 0, NULL },
};

static const struct name message_names[] = {
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

static const struct name version_names[] = {
	{ 0x0300, "SSL 3.0" },
	{ 0x0301, "TLS 1.0" },
	{ 0x0302, "TLS 1.1" },
	{ 0x0303, "TLS 1.2" },
	{ 0x0304, "TLS 1.3" },
	{ 0, NULL },
};

static const struct name point_format_names[] = {
	{ 0, "uncompressed" },
	{ 1, "ansiX962_compressed_prime" },
	{ 2, "ansiX962_compressed_char2" },
	{ 0, NULL },
};

static const struct name psk_mode_names[] = {
	{ 0, "psk_ke" },
	{ 1, "psk_dhe_ke" },
	{ 0, NULL },
};

static const struct name compression_names[] = {
	{ 0, "null" },
	{ 1, "deflate" },
	{ 0, NULL },
};

static const struct name client_cert_type_names[] = {
	{ 1, "rsa_sign" },
	{ 2, "dss_sign" },
	{ 64, "ecdsa_sign" },
	{ 0, NULL },
};

static const struct name key_update_names[] = {
	{ 0, "update_not_requested" },
	{ 1, "update_requested" },
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

static json_t *json_name(const struct name *table, uint32_t value, size_t width)
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

static json_t *json_suite(uint16_t suite)
{
	char buf[16];

	return json_string(name_suite(suite, buf));
}

static json_t *json_version(uint16_t version)
{
	char buf[16];

	if (is_grease(version))
		return json_sprintf("GREASE 0x%04x", version);
	return json_string(name_version(version, buf));
}

static enum key_exchange suite_kx(uint16_t suite)
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

/* A vector of numbers of `width` bytes each, by name. */
static json_t *name_list(struct cur v, const struct name *table, size_t width)
{
	json_t *a = json_array();

	while (more(&v)) {
		uint32_t x = take_uint(&v, width);

		if (!v.bad)
			json_array_append_new(a, json_name(table, x, width));
	}
	return a;
}

/* ---- certificates ---- */

static json_t *json_x509_name(const X509_NAME *name)
{
	BIO *b = BIO_new(BIO_s_mem());
	json_t *s = NULL;
	char *p;
	long n;

	if (b && X509_NAME_print_ex(b, name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
		n = BIO_get_mem_data(b, &p);
		s = n > 0 ? json_text((uint8_t *)p, (size_t)n) : json_string("(empty)");
	}
	BIO_free(b);
	return s;
}

static json_t *json_time(const ASN1_TIME *t)
{
	struct tm tm;
	char s[40];

	if (!t || !ASN1_TIME_to_tm(t, &tm) || !strftime(s, sizeof(s), "%Y-%m-%d %H:%M:%S UTC", &tm))
		return json_string("(unreadable)");
	return json_string(s);
}

static json_t *json_general_name(const GENERAL_NAME *gn)
{
	char address[INET6_ADDRSTRLEN];
	const ASN1_STRING *s;
	int n;

	switch (gn->type) {
	case GEN_DNS:
	case GEN_EMAIL:
	case GEN_URI:
		s = gn->d.ia5;
		return json_text(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
	case GEN_IPADD:
		s = gn->d.iPAddress;
		n = ASN1_STRING_length(s);
		if (n != 4 && n != 16)
			return json_hex(ASN1_STRING_get0_data(s), (size_t)n);
		inet_ntop(n == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(s), address,
			  sizeof(address));
		return json_string(address);
	default:
		return NULL;
	}
}

static json_t *subject_alt_names(X509 *x)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	json_t *a;

	if (!names)
		return NULL;
	a = json_array();
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		json_t *s = json_general_name(sk_GENERAL_NAME_value(names, i));

		if (s)
			json_array_append_new(a, s);
	}
	GENERAL_NAMES_free(names);
	return a;
}

static json_t *decode_x509(const uint8_t *der, size_t len)
{
	json_t *o = json_object();
	const uint8_t *p = der;
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned int n = 0;
	EVP_PKEY *key;
	json_t *san;
	X509 *x;

	x = len ? d2i_X509(NULL, &p, (long)len) : NULL;
	if (!x || p != der + len) {
		json_object_set_new(o, "malformed",
				    json_string("this is not an X.509 certificate"));
		X509_free(x);
		return o;
	}
	json_object_set_new(o, "subject", json_x509_name(X509_get_subject_name(x)));
	json_object_set_new(o, "issuer", json_x509_name(X509_get_issuer_name(x)));
	json_object_set_new(o, "not_before", json_time(X509_get0_notBefore(x)));
	json_object_set_new(o, "not_after", json_time(X509_get0_notAfter(x)));
	san = subject_alt_names(x);
	if (san)
		json_object_set_new(o, "names", san);
	key = X509_get0_pubkey(x);
	if (key && EVP_PKEY_get0_type_name(key))
		json_object_set_new(o, "key",
				    json_sprintf("%s, %d bits", EVP_PKEY_get0_type_name(key),
						 EVP_PKEY_get_bits(key)));
	json_object_set_new(o, "signed_with",
			    json_string(OBJ_nid2ln(X509_get_signature_nid(x))));
	if (X509_digest(x, EVP_sha256(), digest, &n))
		json_object_set_new(o, "sha256", json_hex(digest, n));
	json_object_set_new(o, "bytes", json_integer((json_int_t)len));
	X509_free(x);
	return o;
}

static void describe_single_response(json_t *o, OCSP_BASICRESP *basic)
{
	ASN1_GENERALIZEDTIME *this_update = NULL, *next_update = NULL, *revoked = NULL;
	OCSP_SINGLERESP *single = OCSP_resp_get0(basic, 0);
	int status, reason = -1;

	if (!single)
		return;
	status = OCSP_single_get0_status(single, &reason, &revoked, &this_update, &next_update);
	json_object_set_new(o, "certificate_status", json_string(OCSP_cert_status_str(status)));
	if (status == V_OCSP_CERTSTATUS_REVOKED && revoked)
		json_object_set_new(o, "revoked_at", json_time(revoked));
	if (status == V_OCSP_CERTSTATUS_REVOKED && reason >= 0)
		json_object_set_new(o, "reason", json_string(OCSP_crl_reason_str(reason)));
	json_object_set_new(o, "this_update", json_time(this_update));
	if (next_update)
		json_object_set_new(o, "next_update", json_time(next_update));
}

static json_t *decode_ocsp(const uint8_t *der, size_t len)
{
	json_t *o = json_object();
	const uint8_t *p = der;
	OCSP_BASICRESP *basic;
	OCSP_RESPONSE *resp;

	resp = len ? d2i_OCSP_RESPONSE(NULL, &p, (long)len) : NULL;
	if (!resp) {
		json_object_set_new(o, "malformed", json_string("this is not an OCSP response"));
		return o;
	}
	json_object_set_new(o, "response_status",
			    json_string(OCSP_response_status_str(OCSP_response_status(resp))));
	basic = OCSP_response_get1_basic(resp);
	if (basic) {
		describe_single_response(o, basic);
		OCSP_BASICRESP_free(basic);
	}
	OCSP_RESPONSE_free(resp);
	json_object_set_new(o, "bytes", json_integer((json_int_t)len));
	return o;
}

/* CertificateStatus of RFC 6066, which TLS 1.3 puts into an extension of the certificate. */
static json_t *decode_cert_status(struct cur *c)
{
	struct cur v;

	if (take_uint(c, 1) != 1) {
		c->bad = true;
		return NULL;
	}
	v = take_vec(c, 3);
	return v.bad ? NULL : decode_ocsp(v.p, v.n);
}

/* ---- extensions ---- */

static json_t *key_share_entry(struct cur *c)
{
	uint16_t group = (uint16_t)take_uint(c, 2);
	struct cur key = take_vec(c, 2);

	if (c->bad)
		return NULL;
	return json_pack("{s:o, s:o}", "group", json_name(group_names, group, 2), "key",
			 rest_hex(&key));
}

static json_t *ext_server_name(struct cur *c)
{
	json_t *a = json_array();
	struct cur list = take_vec(c, 2);

	while (more(&list)) {
		uint32_t type = take_uint(&list, 1);
		struct cur name = take_vec(&list, 2);

		if (!list.bad && !type)
			json_array_append_new(a, json_text(name.p, name.n));
	}
	c->bad |= list.bad;
	return a;
}

static json_t *ext_alpn(struct cur *c)
{
	json_t *a = json_array();
	struct cur list = take_vec(c, 2);

	while (more(&list)) {
		struct cur name = take_vec(&list, 1);

		if (!list.bad)
			json_array_append_new(a, json_text(name.p, name.n));
	}
	c->bad |= list.bad;
	return a;
}

static json_t *ext_key_share(struct cur *c, int msg)
{
	json_t *a, *entry;
	struct cur list;

	/* HelloRetryRequest names a group and nothing else. */
	if (msg == HS_SERVER_HELLO && c->n == 2)
		return json_pack("{s:o}", "group",
				 json_name(group_names, take_uint(c, 2), 2));
	if (msg == HS_SERVER_HELLO)
		return key_share_entry(c);
	a = json_array();
	list = take_vec(c, 2);
	while (more(&list)) {
		entry = key_share_entry(&list);
		if (entry)
			json_array_append_new(a, entry);
	}
	c->bad |= list.bad;
	return a;
}

static json_t *ext_supported_versions(struct cur *c, int msg)
{
	struct cur list;
	json_t *a;

	if (msg == HS_SERVER_HELLO)
		return json_version((uint16_t)take_uint(c, 2));
	a = json_array();
	list = take_vec(c, 1);
	while (more(&list)) {
		uint16_t v = (uint16_t)take_uint(&list, 2);

		if (!list.bad)
			json_array_append_new(a, json_version(v));
	}
	c->bad |= list.bad;
	return a;
}

static json_t *ext_pre_shared_key(struct cur *c, int msg)
{
	struct cur identities, binders;
	json_t *a;

	if (msg == HS_SERVER_HELLO)
		return json_pack("{s:i}", "selected_identity", (int)take_uint(c, 2));
	a = json_array();
	identities = take_vec(c, 2);
	while (more(&identities)) {
		struct cur id = take_vec(&identities, 2);
		uint32_t age = take_uint(&identities, 4);

		if (!identities.bad)
			json_array_append_new(a, json_pack("{s:I, s:I}", "ticket_bytes",
							   (json_int_t)id.n, "obfuscated_age_ms",
							   (json_int_t)age));
	}
	binders = take_vec(c, 2);
	c->bad |= identities.bad | binders.bad;
	return a;
}

static json_t *ext_certificate_authorities(struct cur *c)
{
	struct cur list = take_vec(c, 2);
	json_t *a = json_array();

	while (more(&list)) {
		struct cur dn = take_vec(&list, 2);
		const uint8_t *p = dn.p;
		X509_NAME *name;

		if (list.bad)
			break;
		name = dn.n ? d2i_X509_NAME(NULL, &p, (long)dn.n) : NULL;
		json_array_append_new(a, name ? json_x509_name(name) : json_hex(dn.p, dn.n));
		X509_NAME_free(name);
	}
	c->bad |= list.bad;
	return a;
}

static json_t *ext_status_request(struct cur *c, int msg)
{
	if (msg == HS_CERTIFICATE)
		return decode_cert_status(c);
	if (!c->n)
		return json_true();
	if (take_uint(c, 1) != 1)
		return rest_hex(c);
	take_vec(c, 2);
	take_vec(c, 2);
	return json_string("ocsp");
}

/* Names in the reader's order, for a vector with a length of `lenwidth` bytes. */
static json_t *ext_names_vec(struct cur *c, size_t lenwidth, const struct name *table, size_t width)
{
	return name_list(take_vec(c, lenwidth), table, width);
}

static json_t *ext_value(uint16_t type, int msg, struct cur *c)
{
	switch (type) {
	case EXT_SERVER_NAME:
		return c->n ? ext_server_name(c) : json_true();
	case EXT_STATUS_REQUEST:
		return ext_status_request(c, msg);
	case EXT_SUPPORTED_GROUPS:
		return ext_names_vec(c, 2, group_names, 2);
	case EXT_EC_POINT_FORMATS:
		return ext_names_vec(c, 1, point_format_names, 1);
	case EXT_SIGNATURE_ALGORITHMS:
	case EXT_SIGNATURE_ALGORITHMS_CERT:
		return ext_names_vec(c, 2, sigalg_names, 2);
	case EXT_ALPN:
		return ext_alpn(c);
	case EXT_MAX_FRAGMENT_LENGTH:
		return json_integer(256L << (take_uint(c, 1) & 7));
	case EXT_RECORD_SIZE_LIMIT:
		return json_integer(take_uint(c, 2));
	case EXT_PADDING:
	case EXT_SESSION_TICKET: {
		size_t n = c->n;

		take(c, n);
		return json_sprintf("%zu bytes", n);
	}
	case EXT_PRE_SHARED_KEY:
		return ext_pre_shared_key(c, msg);
	case EXT_EARLY_DATA:
		if (msg == HS_NEW_SESSION_TICKET)
			return json_integer(take_uint(c, 4));
		return json_true();
	case EXT_SUPPORTED_VERSIONS:
		return ext_supported_versions(c, msg);
	case EXT_PSK_KEY_EXCHANGE_MODES:
		return ext_names_vec(c, 1, psk_mode_names, 1);
	case EXT_CERTIFICATE_AUTHORITIES:
		return ext_certificate_authorities(c);
	case EXT_KEY_SHARE:
		return ext_key_share(c, msg);
	case EXT_RENEGOTIATION_INFO: {
		struct cur v = take_vec(c, 1);

		return v.n ? rest_hex(&v) : json_string("empty");
	}
	default:
		return c->n ? rest_hex(c) : json_true();
	}
}

static json_t *decode_extensions(struct cur *c, int msg)
{
	json_t *a = json_array();
	struct cur list = take_vec(c, 2);

	while (more(&list)) {
		uint16_t type = (uint16_t)take_uint(&list, 2);
		struct cur body = take_vec(&list, 2);
		json_t *e = json_object(), *value;

		json_object_set_new(e, "name", json_name(ext_names, type, 2));
		json_object_set_new(e, "type", json_integer(type));
		if (!list.bad) {
			value = ext_value(type, msg, &body);
			if (value)
				json_object_set_new(e, "value", value);
			finish(e, &body);
		} else {
			finish(e, &list);
		}
		json_array_append_new(a, e);
	}
	c->bad |= list.bad;
	return a;
}

/* ---- messages ---- */

static void client_hello(json_t *o, struct cur *c)
{
	struct cur session_id, suites;
	json_t *a = json_array();
	const uint8_t *random;

	json_object_set_new(o, "legacy_version", json_version((uint16_t)take_uint(c, 2)));
	random = take(c, 32);
	json_object_set_new(o, "random", json_hex(random, random ? 32 : 0));
	session_id = take_vec(c, 1);
	json_object_set_new(o, "session_id", rest_hex(&session_id));
	suites = take_vec(c, 2);
	while (more(&suites)) {
		uint16_t suite = (uint16_t)take_uint(&suites, 2);

		if (!suites.bad)
			json_array_append_new(a, json_suite(suite));
	}
	json_object_set_new(o, "cipher_suites", a);
	c->bad |= suites.bad;
	json_object_set_new(o, "compression", ext_names_vec(c, 1, compression_names, 1));
	if (more(c))
		json_object_set_new(o, "extensions", decode_extensions(c, HS_CLIENT_HELLO));
}

/* SHA-256 of "HelloRetryRequest": the random that makes a ServerHello a HelloRetryRequest. */
static const uint8_t retry_random[32] = {
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
};

/* The version a ServerHello decides on: that of supported_versions if it is there. */
static uint16_t hello_version(uint16_t legacy, struct cur ext)
{
	struct cur list = take_vec(&ext, 2);

	while (more(&list)) {
		uint16_t type = (uint16_t)take_uint(&list, 2);
		struct cur body = take_vec(&list, 2);

		if (type == EXT_SUPPORTED_VERSIONS && body.n == 2)
			return (uint16_t)take_uint(&body, 2);
	}
	return legacy;
}

static void server_hello(struct decode_state *st, json_t *o, struct cur *c)
{
	uint16_t legacy = (uint16_t)take_uint(c, 2);
	const uint8_t *random = take(c, 32);
	struct cur session_id = take_vec(c, 1);

	if (random && !memcmp(random, retry_random, 32))
		json_object_set_new(o, "message", json_string("HelloRetryRequest"));
	json_object_set_new(o, "legacy_version", json_version(legacy));
	json_object_set_new(o, "random", json_hex(random, random ? 32 : 0));
	json_object_set_new(o, "session_id", rest_hex(&session_id));
	st->suite = (uint16_t)take_uint(c, 2);
	json_object_set_new(o, "cipher_suite", json_suite(st->suite));
	json_object_set_new(o, "compression", json_name(compression_names, take_uint(c, 1), 1));
	st->version = hello_version(legacy, *c);
	st->kx = suite_kx(st->suite);
	if (more(c))
		json_object_set_new(o, "extensions", decode_extensions(c, HS_SERVER_HELLO));
}

static void certificate(const struct decode_state *st, json_t *o, struct cur *c)
{
	bool tls13 = st->version == 0x0304;
	json_t *a = json_array();
	struct cur list;

	if (tls13)
		take_vec(c, 1);
	list = take_vec(c, 3);
	while (more(&list)) {
		struct cur der = take_vec(&list, 3);
		json_t *cert;

		if (list.bad)
			break;
		cert = decode_x509(der.p, der.n);
		if (tls13) {
			json_t *ext = decode_extensions(&list, HS_CERTIFICATE);

			if (json_array_size(ext))
				json_object_set(cert, "extensions", ext);
			json_decref(ext);
		}
		json_array_append_new(a, cert);
	}
	json_object_set_new(o, "certificates", a);
	c->bad |= list.bad;
}

static void signature(json_t *o, struct cur *c)
{
	uint16_t alg = (uint16_t)take_uint(c, 2);
	struct cur sig = take_vec(c, 2);

	json_object_set_new(o, "signature_algorithm", json_name(sigalg_names, alg, 2));
	json_object_set_new(o, "signature", rest_hex(&sig));
}

static void ecdhe_params(json_t *o, struct cur *c)
{
	struct cur point;

	if (take_uint(c, 1) != 3) {
		c->bad = true;
		return;
	}
	json_object_set_new(o, "curve", json_name(group_names, take_uint(c, 2), 2));
	point = take_vec(c, 1);
	json_object_set_new(o, "public_key", rest_hex(&point));
}

static void dhe_params(json_t *o, struct cur *c)
{
	struct cur p = take_vec(c, 2), g = take_vec(c, 2), y = take_vec(c, 2);

	json_object_set_new(o, "prime_bits", json_integer((json_int_t)p.n * 8));
	json_object_set_new(o, "generator", rest_hex(&g));
	json_object_set_new(o, "public_key", rest_hex(&y));
}

static void server_key_exchange(const struct decode_state *st, json_t *o, struct cur *c)
{
	if (st->kx == KX_ECDHE)
		ecdhe_params(o, c);
	else if (st->kx == KX_DHE)
		dhe_params(o, c);
	else
		json_object_set_new(o, "parameters", rest_hex(c));
	if (st->kx == KX_ECDHE || st->kx == KX_DHE)
		signature(o, c);
}

static void client_key_exchange(const struct decode_state *st, json_t *o, struct cur *c)
{
	struct cur v;

	switch (st->kx) {
	case KX_ECDHE:
		v = take_vec(c, 1);
		json_object_set_new(o, "public_key", rest_hex(&v));
		break;
	case KX_DHE:
		v = take_vec(c, 2);
		json_object_set_new(o, "public_key", rest_hex(&v));
		break;
	case KX_RSA:
		v = take_vec(c, 2);
		json_object_set_new(o, "encrypted_premaster_secret", rest_hex(&v));
		break;
	default:
		json_object_set_new(o, "parameters", rest_hex(c));
	}
}

static void certificate_request(const struct decode_state *st, json_t *o, struct cur *c)
{
	if (st->version == 0x0304) {
		take_vec(c, 1);
		json_object_set_new(o, "extensions",
				    decode_extensions(c, HS_CERTIFICATE_REQUEST));
		return;
	}
	json_object_set_new(o, "certificate_types",
			    ext_names_vec(c, 1, client_cert_type_names, 1));
	json_object_set_new(o, "signature_algorithms", ext_names_vec(c, 2, sigalg_names, 2));
	json_object_set_new(o, "certificate_authorities", ext_certificate_authorities(c));
}

static void new_session_ticket(const struct decode_state *st, json_t *o, struct cur *c)
{
	struct cur v;

	json_object_set_new(o, "lifetime_seconds", json_integer(take_uint(c, 4)));
	if (st->version == 0x0304) {
		take_uint(c, 4);
		v = take_vec(c, 1);
		json_object_set_new(o, "nonce", rest_hex(&v));
	}
	v = take_vec(c, 2);
	json_object_set_new(o, "ticket_bytes", json_integer((json_int_t)v.n));
	if (st->version == 0x0304)
		json_object_set_new(o, "extensions", decode_extensions(c, HS_NEW_SESSION_TICKET));
}

static void decode_body(struct decode_state *st, uint8_t type, json_t *o, struct cur *c)
{
	json_t *v;

	switch (type) {
	case HS_CLIENT_HELLO:
		client_hello(o, c);
		break;
	case HS_SERVER_HELLO:
		server_hello(st, o, c);
		break;
	case HS_NEW_SESSION_TICKET:
		new_session_ticket(st, o, c);
		break;
	case HS_ENCRYPTED_EXTENSIONS:
		json_object_set_new(o, "extensions", decode_extensions(c, type));
		break;
	case HS_CERTIFICATE:
		certificate(st, o, c);
		break;
	case HS_SERVER_KEY_EXCHANGE:
		server_key_exchange(st, o, c);
		break;
	case HS_CERTIFICATE_REQUEST:
		certificate_request(st, o, c);
		break;
	case HS_CERTIFICATE_VERIFY:
		signature(o, c);
		break;
	case HS_CLIENT_KEY_EXCHANGE:
		client_key_exchange(st, o, c);
		break;
	case HS_FINISHED:
		json_object_set_new(o, "verify_data", rest_hex(c));
		break;
	case HS_CERTIFICATE_STATUS:
		v = decode_cert_status(c);
		if (v)
			json_object_set_new(o, "ocsp", v);
		break;
	case HS_KEY_UPDATE:
		json_object_set_new(o, "request", json_name(key_update_names, take_uint(c, 1), 1));
		break;
	default:
		if (c->n)
			json_object_set_new(o, "content", rest_hex(c));
	}
}

json_t *decode_handshake(struct decode_state *st, const uint8_t *msg, size_t len)
{
	struct cur c = { .p = msg, .n = len };
	json_t *o = json_object();
	struct cur body;
	uint8_t type;

	if (!o)
		return NULL;
	type = (uint8_t)take_uint(&c, 1);
	json_object_set_new(o, "message", json_name(message_names, type, 1));
	json_object_set_new(o, "bytes", json_integer((json_int_t)len));
	body = take_vec(&c, 3);
	if (c.bad) {
		finish(o, &c);
		return o;
	}
	decode_body(st, type, o, &body);
	finish(o, &body);
	if (c.n)
		finish(o, &c);
	return o;
}

json_t *decode_alert(const uint8_t *msg, size_t len)
{
	json_t *o = json_object();

	if (!o)
		return NULL;
	json_object_set_new(o, "message", json_string("Alert"));
	if (len != 2) {
		json_object_set_new(o, "malformed", json_string("an alert is two bytes long"));
		return o;
	}
	json_object_set_new(o, "level", json_string(msg[0] == 2 ? "fatal" : "warning"));
	json_object_set_new(o, "description", json_string(SSL_alert_desc_string_long(msg[1])));
	return o;
}
