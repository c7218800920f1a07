// SPDX-License-Identifier: MIT
/*
 * The decoder of handshake messages: on every message of real handshakes made in memory, on the same
 * messages cut short, and on garbage made from them. Run it under AddressSanitizer.
 */
#include "common/tests/tap.h"
#include "trace/decode.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

struct message {
	uint8_t *data;
	size_t len;
	struct decode_state before;
};

static struct message corpus[256];
static size_t corpus_len;

/* The messages of the handshake that is going on, by type; the last of its kind wins. */
static json_t *seen[256];
static struct decode_state state;
static bool clean;

static void remember(const void *data, size_t len)
{
	struct message *m = &corpus[corpus_len % 256];

	free(m->data);
	*m = (struct message){ .data = malloc(len), .len = len, .before = state };
	memcpy(m->data, data, len);
	corpus_len++;
}

static bool has_malformed(const json_t *j)
{
	const char *key;
	json_t *v;
	size_t i;

	if (json_is_object(j)) {
		json_object_foreach((json_t *)j, key, v)
			if (!strcmp(key, "malformed") || has_malformed(v))
				return true;
	} else if (json_is_array(j)) {
		json_array_foreach(j, i, v)
			if (has_malformed(v))
				return true;
	}
	return false;
}

static void on_message(int write_p, int version, int type, const void *buf, size_t len, SSL *ssl,
		       void *arg)
{
	const uint8_t *p = buf;
	json_t *j;

	(void)version, (void)arg;
	/* Each message once: as the client sees it. */
	if (type != SSL3_RT_HANDSHAKE || SSL_is_server(ssl))
		return;
	(void)write_p;
	remember(buf, len);
	j = decode_handshake(&state, p, len);
	if (has_malformed(j)) {
		char *s = json_dumps(j, JSON_INDENT(1));

		printf("# %s\n", s);
		free(s);
		clean = false;
	}
	json_decref(seen[p[0]]);
	seen[p[0]] = j;
}

static X509 *make_cert(EVP_PKEY *key)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	X509_EXTENSION *san =
		X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
				    "DNS:example.org,DNS:*.example.net,IP:192.0.2.1,IP:2001:db8::1");

	X509_set_version(x, X509_VERSION_3);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"example.org", -1, -1, 0);
	X509_set_issuer_name(x, name);
	X509_gmtime_adj(X509_getm_notBefore(x), -10);
	X509_gmtime_adj(X509_getm_notAfter(x), 1000);
	X509_set_pubkey(x, key);
	X509_add_ext(x, san, -1);
	X509_EXTENSION_free(san);
	X509_sign(x, key, EVP_sha256());
	return x;
}

static int accept_any(X509_STORE_CTX *store, void *arg)
{
	(void)store, (void)arg;
	return 1;
}

static int choose_alpn(SSL *ssl, const uint8_t **out, uint8_t *outlen, const uint8_t *in,
		       unsigned int inlen, void *arg)
{
	(void)ssl, (void)inlen, (void)arg;
	*out = in + 1;
	*outlen = in[0];
	return SSL_TLSEXT_ERR_OK;
}

static void pump(SSL *from, SSL *to)
{
	uint8_t buf[16384];
	int n;

	while ((n = BIO_read(SSL_get_wbio(from), buf, sizeof(buf))) > 0)
		BIO_write(SSL_get_rbio(to), buf, n);
}

/* One handshake between two ends in memory, every message of it decoded on the way. */
static SSL_SESSION *handshake(int version, const char *suites, const char *groups,
			      SSL_SESSION *session)
{
	SSL_CTX *cctx = SSL_CTX_new(TLS_client_method()), *sctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_RSA_gen(2048);
	X509 *cert = make_cert(key);
	SSL *client, *server;
	uint8_t byte;

	for (int i = 0; i < 256; i++) {
		json_decref(seen[i]);
		seen[i] = NULL;
	}
	memset(&state, 0, sizeof(state));
	clean = true;
	SSL_CTX_set_min_proto_version(cctx, version);
	SSL_CTX_set_max_proto_version(cctx, version);
	SSL_CTX_set_cipher_list(cctx, suites);
	SSL_CTX_set_alpn_protos(cctx, (const uint8_t *)"\x08http/1.1\x02h2", 12);
	SSL_CTX_set_alpn_select_cb(sctx, choose_alpn, NULL);
	SSL_CTX_use_certificate(sctx, cert);
	SSL_CTX_use_PrivateKey(sctx, key);
	SSL_CTX_use_certificate(cctx, cert);
	SSL_CTX_use_PrivateKey(cctx, key);
	SSL_CTX_add_client_CA(sctx, cert);
	SSL_CTX_set_verify(sctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(sctx, accept_any, NULL);
	SSL_CTX_set_session_id_context(sctx, (const uint8_t *)"x", 1);
	SSL_CTX_set_dh_auto(sctx, 1);
	if (groups)
		SSL_CTX_set1_groups_list(sctx, groups);
	client = SSL_new(cctx);
	server = SSL_new(sctx);
	SSL_set_tlsext_status_type(client, TLSEXT_STATUSTYPE_ocsp);
	SSL_set_tlsext_host_name(client, "example.org");
	SSL_set_bio(client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_bio(server, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	BIO_set_mem_eof_return(SSL_get_rbio(client), -1);
	BIO_set_mem_eof_return(SSL_get_rbio(server), -1);
	SSL_set_msg_callback(client, on_message);
	SSL_set_msg_callback(server, on_message);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	if (session)
		SSL_set_session(client, session);
	for (int i = 0; i < 20; i++) {
		SSL_do_handshake(client);
		pump(client, server);
		SSL_do_handshake(server);
		pump(server, client);
	}
	/* Tickets of TLS 1.3 come afterwards. */
	SSL_read(client, &byte, 1);
	session = SSL_get1_session(client);
	if (!SSL_is_init_finished(client) || !SSL_is_init_finished(server))
		clean = false;
	/* Or OpenSSL holds the session to be broken. */
	SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(cctx);
	SSL_CTX_free(sctx);
	X509_free(cert);
	EVP_PKEY_free(key);
	return session;
}

static json_t *extension(json_t *msg, const char *name)
{
	json_t *e;
	size_t i;

	json_array_foreach(json_object_get(msg, "extensions"), i, e)
		if (!strcmp(json_string_value(json_object_get(e, "name")), name))
			return json_object_get(e, "value");
	return NULL;
}

static bool is(const json_t *j, const char *want)
{
	const char *s = json_string_value(j);

	return s && !strcmp(s, want);
}

static bool first_is(const json_t *j, const char *want)
{
	return is(json_array_get(j, 0), want);
}

static const json_t *field(int type, const char *name)
{
	return json_object_get(seen[type], name);
}

static void test_tls13(void)
{
	SSL_SESSION *session = handshake(TLS1_3_VERSION, "DEFAULT", NULL, NULL), *second;
	json_t *cert;

	ok(clean, "TLS 1.3: every message is decoded to the last byte");
	ok(first_is(extension(seen[HS_CLIENT_HELLO], "server_name"), "example.org"),
	   "ClientHello: server name");
	ok(first_is(extension(seen[HS_CLIENT_HELLO], "supported_versions"), "TLS 1.3"),
	   "ClientHello: supported versions");
	ok(is(extension(seen[HS_CLIENT_HELLO], "status_request"), "ocsp"), "ClientHello: OCSP wanted");
	ok(json_array_size(field(HS_CLIENT_HELLO, "cipher_suites")) >= 3, "ClientHello: suites");
	ok(json_string_length(field(HS_CLIENT_HELLO, "random")) == 64, "ClientHello: random");
	ok(is(extension(seen[HS_SERVER_HELLO], "supported_versions"), "TLS 1.3"),
	   "ServerHello: version");
	ok(is(json_object_get(extension(seen[HS_SERVER_HELLO], "key_share"), "group"), "x25519"),
	   "ServerHello: group");
	ok(is(field(HS_SERVER_HELLO, "cipher_suite"), "TLS_AES_256_GCM_SHA384"), "ServerHello: suite");
	ok(first_is(extension(seen[HS_ENCRYPTED_EXTENSIONS],
			      "application_layer_protocol_negotiation"), "http/1.1"),
	   "EncryptedExtensions: application protocol");
	cert = json_array_get(field(HS_CERTIFICATE, "certificates"), 0);
	ok(is(json_object_get(cert, "subject"), "CN = example.org"), "Certificate: subject");
	ok(is(json_array_get(json_object_get(cert, "names"), 0), "example.org") &&
	   is(json_array_get(json_object_get(cert, "names"), 2), "192.0.2.1") &&
	   is(json_array_get(json_object_get(cert, "names"), 3), "2001:db8::1"),
	   "Certificate: alternative names");
	ok(is(json_object_get(cert, "key"), "RSA, 2048 bits"), "Certificate: key");
	ok(first_is(extension(seen[HS_CERTIFICATE_REQUEST], "certificate_authorities"),
		    "CN = example.org"), "CertificateRequest: authorities");
	ok(is(field(HS_CERTIFICATE_VERIFY, "signature_algorithm"), "rsa_pss_rsae_sha256"),
	   "CertificateVerify: algorithm");
	ok(json_string_length(field(HS_FINISHED, "verify_data")) == 96, "Finished: verify data");
	ok(json_integer_value(field(HS_NEW_SESSION_TICKET, "lifetime_seconds")) > 0,
	   "NewSessionTicket: lifetime");

	second = handshake(TLS1_3_VERSION, "DEFAULT", NULL, session);
	ok(clean && json_array_size(extension(seen[HS_CLIENT_HELLO], "pre_shared_key")) == 1,
	   "ClientHello: the offer to resume");
	SSL_SESSION_free(second);
	SSL_SESSION_free(session);

	SSL_SESSION_free(handshake(TLS1_3_VERSION, "DEFAULT", "P-521", NULL));
	ok(clean && is(json_object_get(extension(seen[HS_SERVER_HELLO], "key_share"), "group"),
		       "secp521r1"), "HelloRetryRequest: another group");
}

static void test_tls12(void)
{
	SSL_SESSION_free(handshake(TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", "P-256", NULL));
	ok(clean, "TLS 1.2 ECDHE: every message is decoded to the last byte");
	ok(is(field(HS_SERVER_HELLO, "cipher_suite"), "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
	   "ServerHello: suite");
	ok(is(field(HS_SERVER_KEY_EXCHANGE, "curve"), "secp256r1"), "ServerKeyExchange: curve");
	ok(field(HS_SERVER_KEY_EXCHANGE, "signature_algorithm"), "ServerKeyExchange: signature");
	ok(json_string_length(field(HS_CLIENT_KEY_EXCHANGE, "public_key")) == 130,
	   "ClientKeyExchange: public key");
	ok(first_is(field(HS_CERTIFICATE_REQUEST, "certificate_types"), "rsa_sign"),
	   "CertificateRequest: types");
	ok(json_string_length(field(HS_FINISHED, "verify_data")) == 24, "Finished: verify data");

	SSL_SESSION_free(handshake(TLS1_2_VERSION, "DHE-RSA-AES256-GCM-SHA384", NULL, NULL));
	ok(clean && json_integer_value(field(HS_SERVER_KEY_EXCHANGE, "prime_bits")) >= 2048,
	   "TLS 1.2 DHE: size of the prime");

	SSL_SESSION_free(handshake(TLS1_2_VERSION, "AES128-GCM-SHA256", NULL, NULL));
	ok(clean && json_string_length(field(HS_CLIENT_KEY_EXCHANGE,
					     "encrypted_premaster_secret")) == 512,
	   "TLS 1.2 RSA: encrypted premaster secret");
}

/* The copy is exactly as long as said, so that a byte too many is caught. */
static json_t *decode_copy(struct decode_state st, const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	json_t *j;

	memcpy(copy, data, len);
	j = decode_handshake(&st, copy, len);
	free(copy);
	return j;
}

static void test_truncated(void)
{
	size_t wrong = 0, cuts = 0;

	for (size_t i = 0; i < corpus_len && i < 256; i++) {
		for (size_t n = 0; n < corpus[i].len; n += n < 64 ? 1 : 7, cuts++) {
			json_t *j = decode_copy(corpus[i].before, corpus[i].data, n);

			wrong += !j || !has_malformed(j);
			json_decref(j);
		}
	}
	ok(cuts && !wrong, "%zu messages cut short are all called malformed", cuts);
}

static void test_garbage(void)
{
	enum { ROUNDS = 20000 };
	size_t null = 0;

	srandom(1);
	for (int i = 0; i < ROUNDS; i++) {
		const struct message *m = &corpus[(size_t)random() % (corpus_len < 256 ? corpus_len : 256)];
		uint8_t *copy = malloc(m->len);
		struct decode_state st = m->before;
		json_t *j;

		memcpy(copy, m->data, m->len);
		for (long k = random() % 8; k >= 0; k--)
			copy[(size_t)random() % (random() & 1 ? m->len : m->len < 80 ? m->len : 80)] =
				(uint8_t)random();
		/* Any message under any state, too. */
		if (random() % 4 == 0)
			st.version = random() & 1 ? 0x0303 : 0x0304;
		if (random() % 4 == 0)
			st.kx = (enum key_exchange)(random() % 5);
		j = decode_handshake(&st, copy, m->len);
		null += !j;
		json_decref(j);
		free(copy);
	}
	ok(!null, "%d messages of garbage are survived", ROUNDS);
}

static void test_small(void)
{
	char buf[16];
	json_t *j;

	j = decode_alert((const uint8_t *)"\x02\x28", 2);
	ok(is(json_object_get(j, "level"), "fatal") &&
	   is(json_object_get(j, "description"), "handshake failure"), "an alert in words");
	json_decref(j);
	j = decode_alert((const uint8_t *)"\x02", 1);
	ok(has_malformed(j), "half an alert is malformed");
	json_decref(j);
	ok(!strcmp(name_suite(0x1301, buf), "TLS_AES_128_GCM_SHA256"), "the name of a suite");
	ok(!strcmp(name_suite(0x00ff, buf), "TLS_EMPTY_RENEGOTIATION_INFO_SCSV"),
	   "the name of a suite that is none");
	ok(!strcmp(name_suite(0xfefe, buf), "0xfefe"), "an unknown suite is a number");
	ok(!strcmp(name_suite(0x1a1a, buf), "GREASE 0x1a1a"), "GREASE is called so");
	ok(!strcmp(name_version(0x0304, buf), "TLS 1.3"), "the name of a version");
}

int main(void)
{
	test_tls13();
	test_tls12();
	test_truncated();
	test_garbage();
	test_small();
	for (int i = 0; i < 256; i++) {
		json_decref(seen[i]);
		free(corpus[i].data);
	}
	return done();
}
