// SPDX-License-Identifier: MIT
/* RFC 8446 section 4 and RFC 5246 section 7.4. */
#include "decode.h"

#include "bytes.h"
#include "certificate.h"
#include "extension.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <string.h>

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

static void client_hello(json_t *o, struct cur *c)
{
	struct cur session_id, suites;
	json_t *a = json_array();
	const uint8_t *random;

	json_object_set_new(o, "legacy_version", json_version((uint16_t)cur_uint(c, 2)));
	random = cur_take(c, 32);
	json_object_set_new(o, "random", json_hex(random, random ? 32 : 0));
	session_id = cur_vec(c, 1);
	json_object_set_new(o, "session_id", cur_rest(&session_id));
	suites = cur_vec(c, 2);
	while (cur_more(&suites)) {
		uint16_t suite = (uint16_t)cur_uint(&suites, 2);

		if (!suites.bad)
			json_array_append_new(a, json_suite(suite));
	}
	json_object_set_new(o, "cipher_suites", a);
	c->bad |= suites.bad;
	json_object_set_new(o, "compression", name_list(cur_vec(c, 1), compression_names, 1));
	if (cur_more(c))
		json_object_set_new(o, "extensions", decode_extensions(c, HS_CLIENT_HELLO));
}

/* SHA-256 of "HelloRetryRequest": the random that makes a ServerHello a HelloRetryRequest. */
static const uint8_t retry_random[32] = {
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
};

static void server_hello(struct decode_state *st, json_t *o, struct cur *c)
{
	uint16_t legacy = (uint16_t)cur_uint(c, 2);
	const uint8_t *random = cur_take(c, 32);
	struct cur session_id = cur_vec(c, 1);

	if (random && !memcmp(random, retry_random, 32))
		json_object_set_new(o, "message", json_string("HelloRetryRequest"));
	json_object_set_new(o, "legacy_version", json_version(legacy));
	json_object_set_new(o, "random", json_hex(random, random ? 32 : 0));
	json_object_set_new(o, "session_id", cur_rest(&session_id));
	st->suite = (uint16_t)cur_uint(c, 2);
	json_object_set_new(o, "cipher_suite", json_suite(st->suite));
	json_object_set_new(o, "compression", json_name(compression_names, cur_uint(c, 1), 1));
	st->version = hello_version(legacy, *c);
	st->kx = suite_kx(st->suite);
	if (cur_more(c))
		json_object_set_new(o, "extensions", decode_extensions(c, HS_SERVER_HELLO));
}

static void certificate(const struct decode_state *st, json_t *o, struct cur *c)
{
	bool tls13 = st->version == 0x0304;
	json_t *a = json_array();
	struct cur list;

	if (tls13)
		cur_vec(c, 1);
	list = cur_vec(c, 3);
	while (cur_more(&list)) {
		struct cur der = cur_vec(&list, 3);
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
	uint16_t alg = (uint16_t)cur_uint(c, 2);
	struct cur sig = cur_vec(c, 2);

	json_object_set_new(o, "signature_algorithm", json_name(sigalg_names, alg, 2));
	json_object_set_new(o, "signature", cur_rest(&sig));
}

static void ecdhe_params(json_t *o, struct cur *c)
{
	struct cur point;

	if (cur_uint(c, 1) != 3) {
		c->bad = true;
		return;
	}
	json_object_set_new(o, "curve", json_name(group_names, cur_uint(c, 2), 2));
	point = cur_vec(c, 1);
	json_object_set_new(o, "public_key", cur_rest(&point));
}

static void dhe_params(json_t *o, struct cur *c)
{
	struct cur p = cur_vec(c, 2), g = cur_vec(c, 2), y = cur_vec(c, 2);

	json_object_set_new(o, "prime_bits", json_integer((json_int_t)p.n * 8));
	json_object_set_new(o, "generator", cur_rest(&g));
	json_object_set_new(o, "public_key", cur_rest(&y));
}

static void server_key_exchange(const struct decode_state *st, json_t *o, struct cur *c)
{
	if (st->kx == KX_ECDHE)
		ecdhe_params(o, c);
	else if (st->kx == KX_DHE)
		dhe_params(o, c);
	else
		json_object_set_new(o, "parameters", cur_rest(c));
	if (st->kx == KX_ECDHE || st->kx == KX_DHE)
		signature(o, c);
}

static void client_key_exchange(const struct decode_state *st, json_t *o, struct cur *c)
{
	struct cur v;

	switch (st->kx) {
	case KX_ECDHE:
		v = cur_vec(c, 1);
		json_object_set_new(o, "public_key", cur_rest(&v));
		break;
	case KX_DHE:
		v = cur_vec(c, 2);
		json_object_set_new(o, "public_key", cur_rest(&v));
		break;
	case KX_RSA:
		v = cur_vec(c, 2);
		json_object_set_new(o, "encrypted_premaster_secret", cur_rest(&v));
		break;
	default:
		json_object_set_new(o, "parameters", cur_rest(c));
	}
}

static void certificate_request(const struct decode_state *st, json_t *o, struct cur *c)
{
	if (st->version == 0x0304) {
		cur_vec(c, 1);
		json_object_set_new(o, "extensions",
				    decode_extensions(c, HS_CERTIFICATE_REQUEST));
		return;
	}
	json_object_set_new(o, "certificate_types",
			    name_list(cur_vec(c, 1), client_cert_type_names, 1));
	json_object_set_new(o, "signature_algorithms", name_list(cur_vec(c, 2), sigalg_names, 2));
	json_object_set_new(o, "certificate_authorities", certificate_authorities(c));
}

static void new_session_ticket(const struct decode_state *st, json_t *o, struct cur *c)
{
	struct cur v;

	json_object_set_new(o, "lifetime_seconds", json_integer(cur_uint(c, 4)));
	if (st->version == 0x0304) {
		cur_uint(c, 4);
		v = cur_vec(c, 1);
		json_object_set_new(o, "nonce", cur_rest(&v));
	}
	v = cur_vec(c, 2);
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
		json_object_set_new(o, "verify_data", cur_rest(c));
		break;
	case HS_CERTIFICATE_STATUS:
		v = decode_cert_status(c);
		if (v)
			json_object_set_new(o, "ocsp", v);
		break;
	case HS_KEY_UPDATE:
		json_object_set_new(o, "request", json_name(key_update_names, cur_uint(c, 1), 1));
		break;
	default:
		if (c->n)
			json_object_set_new(o, "content", cur_rest(c));
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
	type = (uint8_t)cur_uint(&c, 1);
	json_object_set_new(o, "message", json_name(message_names, type, 1));
	json_object_set_new(o, "bytes", json_integer((json_int_t)len));
	body = cur_vec(&c, 3);
	if (c.bad) {
		cur_finish(o, &c);
		return o;
	}
	decode_body(st, type, o, &body);
	cur_finish(o, &body);
	if (c.n)
		cur_finish(o, &c);
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
