// SPDX-License-Identifier: MIT
/* RFC 8446 section 4.2, and RFC 6066, 7301, 7627, 8422, 8449 and 8879. */
#include "extension.h"

#include "certificate.h"
#include "names.h"

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

static json_t *key_share_entry(struct cur *c)
{
	uint16_t group = (uint16_t)cur_uint(c, 2);
	struct cur key = cur_vec(c, 2);

	if (c->bad)
		return NULL;
	return json_pack("{s:o, s:o}", "group", json_name(group_names, group, 2), "key",
			 cur_rest(&key));
}

static json_t *ext_server_name(struct cur *c)
{
	json_t *a = json_array();
	struct cur list = cur_vec(c, 2);

	while (cur_more(&list)) {
		uint32_t type = cur_uint(&list, 1);
		struct cur name = cur_vec(&list, 2);

		if (!list.bad && !type)
			json_array_append_new(a, json_text(name.p, name.n));
	}
	c->bad |= list.bad;
	return a;
}

static json_t *ext_alpn(struct cur *c)
{
	json_t *a = json_array();
	struct cur list = cur_vec(c, 2);

	while (cur_more(&list)) {
		struct cur name = cur_vec(&list, 1);

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
				 json_name(group_names, cur_uint(c, 2), 2));
	if (msg == HS_SERVER_HELLO)
		return key_share_entry(c);
	a = json_array();
	list = cur_vec(c, 2);
	while (cur_more(&list)) {
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
		return json_version((uint16_t)cur_uint(c, 2));
	a = json_array();
	list = cur_vec(c, 1);
	while (cur_more(&list)) {
		uint16_t v = (uint16_t)cur_uint(&list, 2);

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
		return json_pack("{s:i}", "selected_identity", (int)cur_uint(c, 2));
	a = json_array();
	identities = cur_vec(c, 2);
	while (cur_more(&identities)) {
		struct cur id = cur_vec(&identities, 2);
		uint32_t age = cur_uint(&identities, 4);

		if (!identities.bad)
			json_array_append_new(a, json_pack("{s:I, s:I}", "ticket_bytes",
							   (json_int_t)id.n, "obfuscated_age_ms",
							   (json_int_t)age));
	}
	binders = cur_vec(c, 2);
	c->bad |= identities.bad | binders.bad;
	return a;
}

json_t *certificate_authorities(struct cur *c)
{
	struct cur list = cur_vec(c, 2);
	json_t *a = json_array();

	while (cur_more(&list)) {
		struct cur dn = cur_vec(&list, 2);
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
	if (cur_uint(c, 1) != 1)
		return cur_rest(c);
	cur_vec(c, 2);
	cur_vec(c, 2);
	return json_string("ocsp");
}

static json_t *ext_value(uint16_t type, int msg, struct cur *c)
{
	switch (type) {
	case EXT_SERVER_NAME:
		return c->n ? ext_server_name(c) : json_true();
	case EXT_STATUS_REQUEST:
		return ext_status_request(c, msg);
	case EXT_SUPPORTED_GROUPS:
		return name_list(cur_vec(c, 2), group_names, 2);
	case EXT_EC_POINT_FORMATS:
		return name_list(cur_vec(c, 1), point_format_names, 1);
	case EXT_SIGNATURE_ALGORITHMS:
	case EXT_SIGNATURE_ALGORITHMS_CERT:
		return name_list(cur_vec(c, 2), sigalg_names, 2);
	case EXT_ALPN:
		return ext_alpn(c);
	case EXT_MAX_FRAGMENT_LENGTH:
		return json_integer(256L << (cur_uint(c, 1) & 7));
	case EXT_RECORD_SIZE_LIMIT:
		return json_integer(cur_uint(c, 2));
	case EXT_PADDING:
	case EXT_SESSION_TICKET: {
		size_t n = c->n;

		cur_take(c, n);
		return json_sprintf("%zu bytes", n);
	}
	case EXT_PRE_SHARED_KEY:
		return ext_pre_shared_key(c, msg);
	case EXT_EARLY_DATA:
		if (msg == HS_NEW_SESSION_TICKET)
			return json_integer(cur_uint(c, 4));
		return json_true();
	case EXT_SUPPORTED_VERSIONS:
		return ext_supported_versions(c, msg);
	case EXT_PSK_KEY_EXCHANGE_MODES:
		return name_list(cur_vec(c, 1), psk_mode_names, 1);
	case EXT_CERTIFICATE_AUTHORITIES:
		return certificate_authorities(c);
	case EXT_KEY_SHARE:
		return ext_key_share(c, msg);
	case EXT_RENEGOTIATION_INFO: {
		struct cur v = cur_vec(c, 1);

		return v.n ? cur_rest(&v) : json_string("empty");
	}
	default:
		return c->n ? cur_rest(c) : json_true();
	}
}

json_t *decode_extensions(struct cur *c, int msg)
{
	json_t *a = json_array();
	struct cur list = cur_vec(c, 2);

	while (cur_more(&list)) {
		uint16_t type = (uint16_t)cur_uint(&list, 2);
		struct cur body = cur_vec(&list, 2);
		json_t *e = json_object(), *value;

		json_object_set_new(e, "name", json_name(ext_names, type, 2));
		json_object_set_new(e, "type", json_integer(type));
		if (!list.bad) {
			value = ext_value(type, msg, &body);
			if (value)
				json_object_set_new(e, "value", value);
			cur_finish(e, &body);
		} else {
			cur_finish(e, &list);
		}
		json_array_append_new(a, e);
	}
	c->bad |= list.bad;
	return a;
}

uint16_t hello_version(uint16_t legacy, struct cur ext)
{
	struct cur list = cur_vec(&ext, 2);

	while (cur_more(&list)) {
		uint16_t type = (uint16_t)cur_uint(&list, 2);
		struct cur body = cur_vec(&list, 2);

		if (type == EXT_SUPPORTED_VERSIONS && body.n == 2)
			return (uint16_t)cur_uint(&body, 2);
	}
	return legacy;
}
