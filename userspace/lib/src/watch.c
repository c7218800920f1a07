// SPDX-License-Identifier: MIT
#include "watch.h"

#include <string.h>
#include <time.h>

#include <openssl/crypto.h>

#include "conn.h"

enum {
	MESSAGE_FINISHED = 20,
	ALERT_LEN = 2,
	MESSAGE_HEADER_LEN = 4,
};

void tr_emit(struct tlsrec_conn *conn, struct tlsrec_event *event)
{
	struct timespec now;

	if (!conn->ctx->event_fn)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	event->time_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	conn->ctx->event_fn(conn->ctx->event_arg, conn, event);
}

static void emit_record(struct tlsrec_conn *conn, struct tr_flow *flow, uint8_t inner_type)
{
	const uint8_t *h = flow->header;
	struct tlsrec_event event = {
		.type = TLSREC_EVENT_RECORD,
		.outgoing = flow == &conn->watch.out,
		.u.record = {
			.type = h[0],
			.inner_type = inner_type,
			.version = (uint16_t)(h[1] << 8 | h[2]),
			.length = (uint16_t)(h[3] << 8 | h[4]),
		},
	};

	flow->header_pending = false;
	tr_emit(conn, &event);
}

/*
 * A ChangeCipherSpec of TLS 1.2 puts new keys in force: what follows it counts from 0. In TLS 1.3
 * it means nothing and is not counted, since it comes before Finished, which starts the count.
 */
static void saw_header(struct tlsrec_conn *conn, struct tr_flow *flow, const uint8_t *header)
{
	if (header[0] == TR_CCS)
		flow->records = 0;
	else
		flow->records++;
	memcpy(flow->header, header, TR_HEADER_LEN);
	flow->header_pending = true;
	/* An inner type follows only for records protected by TLS 1.3. */
	if (header[0] != TR_DATA)
		emit_record(conn, flow, header[0]);
}

static void saw_message(struct tlsrec_conn *conn, struct tr_flow *flow, const uint8_t *data,
			size_t len)
{
	struct tlsrec_event event = {
		.type = TLSREC_EVENT_MESSAGE,
		.outgoing = flow == &conn->watch.out,
		.u.message = { .type = data[0], .data = data, .len = len },
	};

	if (data[0] == MESSAGE_FINISHED && SSL_version(conn->ssl) == TLS1_3_VERSION)
		flow->records = 0;
	if (flow == &conn->watch.in)
		conn->watch.last_message = data[0];
	tr_emit(conn, &event);
}

static void saw_alert(struct tlsrec_conn *conn, struct tr_flow *flow, const uint8_t *data)
{
	struct tlsrec_event event = {
		.type = TLSREC_EVENT_ALERT,
		.outgoing = flow == &conn->watch.out,
		.u.alert = { .level = data[0], .description = data[1] },
	};

	flow->alert = data[1];
	tr_emit(conn, &event);
}

static void on_message(int outgoing, int version, int type, const void *data, size_t len, SSL *ssl,
		       void *arg)
{
	struct tlsrec_conn *conn = arg;
	struct tr_flow *flow = outgoing ? &conn->watch.out : &conn->watch.in;

	(void)version;
	(void)ssl;
	if (type == SSL3_RT_INNER_CONTENT_TYPE && len && flow->header_pending) {
		emit_record(conn, flow, *(const uint8_t *)data);
		return;
	}
	if (flow->header_pending)
		emit_record(conn, flow, flow->header[0]);
	if (type == SSL3_RT_HEADER && len == TR_HEADER_LEN)
		saw_header(conn, flow, data);
	else if (type == SSL3_RT_HANDSHAKE && len >= MESSAGE_HEADER_LEN)
		saw_message(conn, flow, data, len);
	else if (type == SSL3_RT_ALERT && len == ALERT_LEN)
		saw_alert(conn, flow, data);
}

static void keep_secret(struct tr_watch *watch, const char *label, size_t label_len,
			const char *hex)
{
	static const char client[] = "CLIENT_TRAFFIC_SECRET_0";
	static const char server[] = "SERVER_TRAFFIC_SECRET_0";
	uint8_t *to;
	size_t len;

	if (label_len == sizeof(client) - 1 && !memcmp(label, client, label_len))
		to = watch->client_secret;
	else if (label_len == sizeof(server) - 1 && !memcmp(label, server, label_len))
		to = watch->server_secret;
	else
		return;
	OPENSSL_hexstr2buf_ex(to, EVP_MAX_MD_SIZE, &len, hex, '\0');
}

/* "LABEL CLIENT_RANDOM SECRET", the last two in hexadecimal. */
static void on_key_log(const SSL *ssl, const char *line)
{
	struct tlsrec_conn *conn = SSL_get_app_data(ssl);
	const char *secret = strrchr(line, ' ');
	size_t label_len = strcspn(line, " ");
	char label[64];
	struct tlsrec_event event = {
		.type = TLSREC_EVENT_SECRET,
		.u.secret = { .label = label, .line = line },
	};

	if (!conn || !secret || label_len >= sizeof(label))
		return;
	memcpy(label, line, label_len);
	label[label_len] = '\0';
	keep_secret(&conn->watch, label, label_len, secret + 1);
	tr_emit(conn, &event);
}

void tr_watch_init(struct tlsrec_ctx *ctx)
{
	SSL_CTX_set_keylog_callback(ctx->ssl, on_key_log);
}

void tr_watch_attach(struct tlsrec_conn *conn)
{
	conn->watch.in.alert = TR_NO_ALERT;
	conn->watch.out.alert = TR_NO_ALERT;
	SSL_set_msg_callback(conn->ssl, on_message);
	SSL_set_msg_callback_arg(conn->ssl, conn);
}

void tr_watch_clear(struct tr_watch *watch)
{
	OPENSSL_cleanse(watch, sizeof(*watch));
}
