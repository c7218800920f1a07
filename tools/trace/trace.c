// SPDX-License-Identifier: MIT
/*
 * tlsrec trace: what happens in the first milliseconds of a TLS connection. Every event becomes a JSON
 * object; --json collects them, otherwise each is shown to the reader at once.
 */
#include "bytes.h"
#include "commands.h"
#include "common/client.h"
#include "decode.h"
#include "names.h"
#include "render.h"

#include <inttypes.h>
#include <linux/tls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

struct options {
	struct client_options client;
	bool json, show_secrets, no_install;
	struct render_options render;
};

enum { OPT_JSON = 0x200, OPT_SHOW_SECRETS, OPT_BRIEF, OPT_NO_INSTALL };

static const struct argp_option options[] = {
	{ .doc = "What is shown:", .group = 7 },
	{ "json", OPT_JSON, NULL, 0, "One JSON document instead of text", 7 },
	{ "brief", OPT_BRIEF, NULL, 0, "No explanations", 7 },
	{ "show-secrets", OPT_SHOW_SECRETS, NULL, 0,
	  "Show secrets, keys and IVs: whoever has them can read the connection", 7 },
	{ "no-install", OPT_NO_INSTALL, NULL, 0, "Do not hand the keys to the kernel", 7 },
	{ 0 },
};

static const char doc[] =
	"Show a TLS handshake as it happens, step by step, and what the kernel gets in the end.\v"
	"Times are milliseconds since the first packet. \"=>\" is what we send, \"<=\" what we get.";

struct trace {
	const struct options *options;
	struct decode_state state;
	uint64_t start_ns;
	json_t *events;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- events as JSON ---- */

/* Show or keep an event. `fields` is consumed; its members follow the heading. */
static void emit(struct trace *t, const char *name, const char *direction, uint64_t time_ns,
		 json_t *fields)
{
	json_t *event = json_object();
	char buf[16];

	json_object_set_new(event, "time_ms", json_real((double)(time_ns - t->start_ns) / 1e6));
	json_object_set_new(event, "event", json_string(name));
	if (direction)
		json_object_set_new(event, "direction", json_string(direction));
	if (t->state.version)
		json_object_set_new(event, "version_now",
				    json_string(name_version(t->state.version, buf)));
	json_object_update(event, fields);
	json_decref(fields);
	if (t->options->json)
		json_array_append(t->events, event);
	else
		render_event(event, &t->options->render);
	json_decref(event);
}

static json_t *record_fields(const struct tlsrec_event *e)
{
	const char *outer = tlsrec_record_name(e->u.record.type);
	const char *inner = tlsrec_record_name(e->u.record.inner_type);
	bool hidden = e->u.record.type != e->u.record.inner_type;
	json_t *text;

	if (hidden)
		text = json_sprintf("%u bytes, encrypted: looks like %s, holds %s", e->u.record.length,
				    outer, inner);
	else
		text = json_sprintf("%u bytes, %s", e->u.record.length, outer);
	return json_pack("{s:s, s:s, s:o, s:i, s:o}", "type", outer, "inner_type", inner,
			 "legacy_version", json_sprintf("0x%04x", e->u.record.version), "length",
			 (int)e->u.record.length, "description", text);
}

static void on_record(struct trace *t, const struct tlsrec_event *e, const char *direction)
{
	emit(t, "Record", direction, e->time_ns, record_fields(e));
	if (e->u.record.type == 20)
		emit(t, "ChangeCipherSpec", direction, e->time_ns, json_object());
}

static void on_message(struct trace *t, const struct tlsrec_event *e, const char *direction)
{
	json_t *fields = decode_handshake(&t->state, e->u.message.data, e->u.message.len);
	char name[40];

	if (!fields)
		return;
	snprintf(name, sizeof(name), "%s", json_string_value(json_object_get(fields, "message")));
	json_object_del(fields, "message");
	emit(t, name, direction, e->time_ns, fields);
}

static void on_alert(struct trace *t, const struct tlsrec_event *e, const char *direction)
{
	emit(t, "Alert", direction, e->time_ns,
	     json_pack("{s:s, s:s}", "level", e->u.alert.level == 2 ? "fatal" : "warning",
		       "description", tlsrec_alert_name(e->u.alert.description)));
}

/* A line of the key log: LABEL, client random, secret. */
static void on_secret(struct trace *t, const struct tlsrec_event *e)
{
	const char *secret = strrchr(e->u.secret.line, ' ');
	json_t *value;

	if (t->options->show_secrets)
		value = json_string(secret ? secret + 1 : "");
	else
		value = json_sprintf("%zu bytes, hidden", secret ? strlen(secret + 1) / 2 : 0);
	emit(t, "Secret", NULL, e->time_ns,
	     json_pack("{s:s, s:o}", "label", e->u.secret.label, "value", value));
}

static json_t *date(int64_t t)
{
	time_t time = (time_t)t;
	struct tm tm;
	char s[40];

	if (!gmtime_r(&time, &tm) || !strftime(s, sizeof(s), "%Y-%m-%d %H:%M:%S UTC", &tm))
		return json_string("unreadable");
	return json_string(s);
}

static json_t *date_verdict(const struct tlsrec_cert *cert)
{
	time_t now = time(NULL);

	if (now < cert->not_before)
		return json_string("not valid yet");
	if (now > cert->not_after)
		return json_string("expired");
	return json_sprintf("valid, %" PRId64 " days left", (cert->not_after - now) / 86400);
}

static void on_cert(struct trace *t, const struct tlsrec_event *e)
{
	const struct tlsrec_cert *cert = e->u.cert.cert;
	bool self = !strcmp(cert->subject, cert->issuer);
	const struct client_options *o = &t->options->client;
	const char *wanted = o->name ? o->name : o->peer.host;
	json_t *fields;

	fields = json_pack("{s:i, s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "depth", e->u.cert.depth,
			   "subject", cert->subject, "issuer", self ? "itself (a root)" : cert->issuer,
			   "key", cert->key, "signature", cert->signature, "not_before",
			   date(cert->not_before), "not_after", date(cert->not_after), "dates",
			   date_verdict(cert));
	if (e->u.cert.depth == 0) {
		json_object_set_new(fields, "names", json_string(cert->names));
		json_object_set_new(fields, "wanted_name", json_text(wanted, strlen(wanted)));
	}
	json_object_set_new(fields, "verdict",
			    json_string(e->u.cert.ok ? "good" : e->u.cert.reason));
	emit(t, "CertificateChecked", NULL, e->time_ns, fields);
}

static void on_ocsp(struct trace *t, const struct tlsrec_event *e)
{
	static const char *const verdicts[] = {
		[TLSREC_OCSP_NONE] = "none",	   [TLSREC_OCSP_GOOD] = "good",
		[TLSREC_OCSP_REVOKED] = "revoked", [TLSREC_OCSP_UNKNOWN] = "unknown",
		[TLSREC_OCSP_INVALID] = "invalid",
	};

	emit(t, "OcspChecked", NULL, e->time_ns,
	     json_pack("{s:s, s:s}", "verdict", verdicts[e->u.ocsp.verdict], "reason",
		       e->u.ocsp.reason));
}

/*
 * What getsockopt(TLS_TX or TLS_RX) returns: behind the version and the cipher iv, key, salt and record number. iv
 * and salt are 12 bytes together; of the sizes only that of the key is not the cipher's own affair.
 */
enum { IV_AND_SALT = 12, SALT = 4, RECORD_NUMBER = 8 };

union crypto_info {
	struct tls_crypto_info info;
	uint8_t bytes[sizeof(struct tls12_crypto_info_aes_gcm_256)];
};

static json_t *secret_bytes(const struct trace *t, const uint8_t *p, size_t n)
{
	return t->options->show_secrets ? json_hex(p, n) : json_sprintf("%zu bytes, hidden", n);
}

static void add_crypto_info(const struct trace *t, json_t *fields, int fd, int direction, size_t key_len)
{
	union crypto_info ci = { 0 };
	socklen_t len = (socklen_t)(sizeof(ci.info) + IV_AND_SALT + key_len + RECORD_NUMBER);
	const uint8_t *iv = ci.bytes + sizeof(ci.info);
	size_t salt_len, iv_len;

	if (len > sizeof(ci) || getsockopt(fd, SOL_TLS, direction, &ci, &len))
		return;
	salt_len = ci.info.cipher_type == TLS_CIPHER_CHACHA20_POLY1305 ? 0 : SALT;
	iv_len = IV_AND_SALT - salt_len;
	json_object_set_new(fields, "key", secret_bytes(t, iv + iv_len, key_len));
	if (salt_len)
		json_object_set_new(fields, "salt", secret_bytes(t, iv + iv_len + key_len, salt_len));
	json_object_set_new(fields, "iv", secret_bytes(t, iv, iv_len));
	explicit_bzero(&ci, sizeof(ci));
}

static void on_keys(struct trace *t, struct tlsrec_conn *conn, const struct tlsrec_event *e,
		    const char *direction)
{
	bool installed = *e->u.keys.ulp;
	char buf[16];
	json_t *fields;

	fields = json_pack("{s:s, s:s, s:I}", "version",
			   name_version((uint16_t)e->u.keys.version, buf), "cipher", e->u.keys.cipher,
			   "sequence_number", (json_int_t)e->u.keys.seq);
	if (installed) {
		json_object_set_new(fields, "record_layer", json_string(e->u.keys.ulp));
		json_object_set_new(fields, "socket_option",
				    json_string(e->outgoing ? "TLS_TX" : "TLS_RX"));
		add_crypto_info(t, fields, tlsrec_conn_fd(conn), e->outgoing ? TLS_TX : TLS_RX,
				e->u.keys.key_len);
	}
	emit(t, installed ? "KeysInstalled" : "KeysReady", direction, e->time_ns, fields);
}

static void on_event(void *arg, struct tlsrec_conn *conn, const struct tlsrec_event *e)
{
	const char *direction = e->outgoing ? ">" : "<";
	struct trace *t = arg;

	switch (e->type) {
	case TLSREC_EVENT_RECORD:
		on_record(t, e, direction);
		break;
	case TLSREC_EVENT_MESSAGE:
		on_message(t, e, direction);
		break;
	case TLSREC_EVENT_ALERT:
		on_alert(t, e, direction);
		break;
	case TLSREC_EVENT_SECRET:
		on_secret(t, e);
		break;
	case TLSREC_EVENT_CERT:
		on_cert(t, e);
		break;
	case TLSREC_EVENT_OCSP:
		on_ocsp(t, e);
		break;
	case TLSREC_EVENT_KEYS:
		on_keys(t, conn, e, direction);
		break;
	}
}

/* ---- the result ---- */

static json_t *result_fields(const struct tlsrec_info *info, const char *error)
{
	json_t *o = json_object();

	if (*info->version_name) {
		json_object_set_new(o, "version", json_string(info->version_name));
		json_object_set_new(o, "cipher_suite", json_string(info->suite));
		json_object_set_new(o, "key_exchange",
				    json_sprintf("%s%s%s", info->kex, *info->group ? " " : "",
						 info->group));
	}
	if (*info->signature)
		json_object_set_new(o, "signature", json_string(info->signature));
	if (*info->alpn)
		json_object_set_new(o, "alpn", json_string(info->alpn));
	json_object_set_new(o, "resumed", json_boolean(info->resumed));
	json_object_set_new(o, "certificate_verified", json_boolean(info->verified));
	if (*info->verdict)
		json_object_set_new(o, "certificate_verdict", json_string(info->verdict));
	if (*info->ulp)
		json_object_set_new(o, "record_layer", json_string(info->ulp));
	if (error)
		json_object_set_new(o, "error", json_string(error));
	return o;
}

static void print_json(const struct trace *t, const char *peer, json_t *result)
{
	const struct client_options *c = &t->options->client;
	json_t *host = json_text(c->peer.host, strlen(c->peer.host));
	json_t *doc = json_pack("{s:o, s:s, s:s, s:O, s:o}", "host", host, "port", c->peer.port,
				"address", peer, "events", t->events, "result", result);

	json_dumpf(doc, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(doc);
}

static enum status handshake(struct trace *t, struct tlsrec_ctx *ctx, int fd, const char *peer)
{
	const struct client_options *c = &t->options->client;
	struct tlsrec_conn *conn = client_prepare(c, ctx, fd);
	const char *error = NULL;
	enum status status;
	json_t *result;

	if (!conn)
		return STATUS_LOCAL;
	status = client_handshake(c, conn);
	if (status != STATUS_OK)
		error = tlsrec_conn_error(conn);
	else if (*tlsrec_conn_info(conn)->ulp)
		tlsrec_close_notify(fd);
	result = result_fields(tlsrec_conn_info(conn), error);
	if (t->options->json)
		print_json(t, peer, result);
	else
		emit(t, error ? "Failed" : "Done", NULL, now_ns(), result);
	if (error)
		say("%s", error);
	tlsrec_conn_free(conn);
	return status;
}

static enum status trace(const struct options *o, struct tlsrec_ctx *ctx)
{
	struct trace t = { .options = o, .start_ns = now_ns(), .events = json_array() };
	enum status status = STATUS_CONNECT;
	char peer[128];
	int fd;

	tlsrec_ctx_set_event_fn(ctx, on_event, &t);
	fd = client_dial(&o->client, peer, sizeof(peer));
	if (fd >= 0) {
		emit(&t, "TcpConnected", NULL, now_ns(), json_pack("{s:s}", "address", peer));
		status = handshake(&t, ctx, fd, peer);
		close(fd);
	}
	json_decref(t.events);
	return status;
}

int trace_main(int argc, char **argv)
{
	enum status status = STATUS_LOCAL;
	struct options o = { 0 };
	const struct client_switch switches[] = {
		{ OPT_JSON, &o.json },
		{ OPT_BRIEF, &o.render.brief },
		{ OPT_SHOW_SECRETS, &o.show_secrets },
		{ OPT_NO_INSTALL, &o.no_install },
		{ 0 },
	};
	struct tlsrec_ctx *ctx;
	char why[512] = "";

	client_arguments(argc, argv, doc, &o.client, options, switches);
	o.render.color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	if (o.no_install)
		o.client.offer.ulp = NULL;
	ctx = client_context(&o.client);
	/* A kernel without the record layer or the cipher is no reason not to show the handshake. */
	if (ctx && tlsrec_ctx_probe(ctx)) {
		snprintf(why, sizeof(why), "%s", tlsrec_ctx_error(ctx));
		tlsrec_ctx_set_ulp(ctx, NULL);
	}
	if (ctx)
		status = trace(&o, ctx);
	tlsrec_ctx_free(ctx);
	if (status == STATUS_OK && *why) {
		say("the keys were not handed to the kernel: %s", why);
		status = STATUS_KERNEL;
	}
	return status;
}
