// SPDX-License-Identifier: MIT
#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <openssl/err.h>

#include "conn.h"
#include "socket.h"

enum {
	MESSAGE_HEADER = 4,		/* HandshakeType and uint24 length */
	MESSAGE_MAX = 128 * 1024,	/* the largest NewSessionTicket is about 64 KiB */
	HELLO_REQUEST = 0,
	CLIENT_HELLO = 1,
	NEW_SESSION_TICKET = 4,
	WARNING = 1,
	FATAL = 2,
	/* Records in a row that carry no data: so many at once, and so many a second. */
	ALLOWANCE = 256,
	ALLOWANCE_PER_S = 4,
};

/* Without room the end of the connection has to say it. */
static enum tlsrec_control refuse(struct tlsrec_conn *conn, int alert, int err, const char *what)
{
	tr_send_alert(conn->wire.fd, FATAL, alert, MSG_DONTWAIT);
	tr_fail(&conn->err, TLSREC_ERROR_PROTOCOL, "%s %s", tr_peer_name(conn), what);
	errno = err;
	return TLSREC_CONTROL_ERROR;
}

static enum tlsrec_control take_alert(struct tlsrec_conn *conn)
{
	int level = conn->control.alert[0];
	int description = conn->control.alert[1];

	if (description == SSL3_AD_CLOSE_NOTIFY) {
		conn->control.closed = true;
		return TLSREC_CONTROL_CLOSED;
	}
	/* TLS 1.3 has no warnings but user_canceled (RFC 8446 6). */
	if (description == SSL_AD_USER_CANCELLED ||
	    (level == WARNING && conn->keys.version != TLS1_3_VERSION))
		return TLSREC_CONTROL_HANDLED;
	tr_fail(&conn->err, TLSREC_ERROR_ALERT, "%s ended the connection with alert %d (%s)",
		tr_peer_name(conn), description, tlsrec_alert_name(description));
	errno = EPROTO;
	return TLSREC_CONTROL_ERROR;
}

static enum tlsrec_control take_alert_bytes(struct tlsrec_conn *conn, const uint8_t *data,
					    size_t len)
{
	struct tr_control *control = &conn->control;
	enum tlsrec_control result = TLSREC_CONTROL_HANDLED;

	while (len-- && result == TLSREC_CONTROL_HANDLED) {
		control->alert[control->alert_len++] = *data++;
		if (control->alert_len < sizeof(control->alert))
			continue;
		control->alert_len = 0;
		result = take_alert(conn);
	}
	return result;
}

/* Lets OpenSSL read one record from memory as if it had come from the socket; 0 or -1. */
static int feed(struct tlsrec_conn *conn, const uint8_t *record, size_t len)
{
	char byte;
	int n;

	conn->wire.detached = true;
	conn->wire.feed = record;
	conn->wire.feed_len = len;
	ERR_clear_error();
	n = SSL_read(conn->ssl, &byte, sizeof(byte));
	SSL_free_buffers(conn->ssl);
	if (n < 0 && SSL_get_error(conn->ssl, n) == SSL_ERROR_WANT_READ && !conn->wire.feed_len)
		return 0;
	return -1;
}

/*
 * Only OpenSSL can make a session of a ticket, and it only takes it from a record: so the message
 * is sealed again, with the key it came under and the number OpenSSL expects next.
 */
static enum tlsrec_control take_ticket(struct tlsrec_conn *conn, const uint8_t *data, size_t len)
{
	uint8_t *record;
	bool ok;

	if (!tr_session_may_come(conn))
		return TLSREC_CONTROL_HANDLED;
	record = malloc(TR_RECORD_MAX);
	ok = record;
	while (ok && len) {
		size_t part = len < TR_PLAIN_MAX ? len : TR_PLAIN_MAX;
		ssize_t n = tr_seal(conn->keys.version, &conn->keys.fed, TR_HANDSHAKE, data, part,
				    record);

		ok = n > 0 && !feed(conn, record, (size_t)n);
		data += part;
		len -= part;
	}
	free(record);
	if (ok)
		return TLSREC_CONTROL_HANDLED;
	return refuse(conn, SSL_AD_DECODE_ERROR, EPROTO, "sent a malformed session ticket");
}

/* behind: bytes of the record that follow the message, and are under the wrong key. */
static enum tlsrec_control take_key_update(struct tlsrec_conn *conn, size_t behind)
{
	const struct tr_control *control = &conn->control;
	const uint8_t *request = control->message + TR_KEY_UPDATE_LEN - 1;

	if (behind)
		return refuse(conn, SSL_AD_UNEXPECTED_MESSAGE, EPROTO,
			      "sent more behind a key update in the same record");
	if (control->message_len != TR_KEY_UPDATE_LEN || *request > 1)
		return refuse(conn, SSL_AD_ILLEGAL_PARAMETER, EPROTO,
			      "sent a malformed key update");
	if (!tr_update_take(conn, *request))
		return TLSREC_CONTROL_HANDLED;
	errno = EKEYEXPIRED;
	return TLSREC_CONTROL_ERROR;
}

static enum tlsrec_control take_message(struct tlsrec_conn *conn, size_t behind)
{
	const struct tr_control *control = &conn->control;
	bool version13 = conn->keys.version == TLS1_3_VERSION;
	bool server = conn->ctx->server;
	int type = control->message[0];

	if (version13 && !server && type == NEW_SESSION_TICKET)
		return take_ticket(conn, control->message, control->message_len);
	if (version13 && type == TR_KEY_UPDATE)
		return take_key_update(conn, behind);
	if (!version13 && type == (server ? CLIENT_HELLO : HELLO_REQUEST)) {
		conn->control.answer_owed = true;
		tr_control_answer(conn);
		return TLSREC_CONTROL_HANDLED;
	}
	return refuse(conn, SSL_AD_UNEXPECTED_MESSAGE, EPROTO,
		      "sent a handshake message that must not come after the handshake");
}

static size_t message_size(const struct tr_control *control)
{
	const uint8_t *m = control->message;

	if (control->message_len < MESSAGE_HEADER)
		return MESSAGE_HEADER;
	return MESSAGE_HEADER + ((size_t)m[1] << 16 | (size_t)m[2] << 8 | m[3]);
}

/* Adds to the message what belongs to it, and returns how much that was; 0: impossible. */
static size_t gather(struct tr_control *control, const uint8_t *data, size_t len)
{
	size_t size = message_size(control);
	size_t part = size - control->message_len;
	uint8_t *grown;

	if (size > MESSAGE_MAX)
		return 0;
	if (part > len)
		part = len;
	grown = realloc(control->message, control->message_len + part);
	if (!grown)
		return 0;
	memcpy(grown + control->message_len, data, part);
	control->message = grown;
	control->message_len += part;
	return part;
}

static bool message_complete(const struct tr_control *control)
{
	return control->message_len >= MESSAGE_HEADER &&
	       control->message_len == message_size(control);
}

static enum tlsrec_control take_handshake_bytes(struct tlsrec_conn *conn, const uint8_t *data,
						size_t len)
{
	struct tr_control *control = &conn->control;
	enum tlsrec_control result = TLSREC_CONTROL_HANDLED;

	while (len && result == TLSREC_CONTROL_HANDLED) {
		size_t part = gather(control, data, len);

		if (!part)
			return refuse(conn, SSL_AD_INTERNAL_ERROR, EPROTO,
				      "sent a handshake message that is too large");
		data += part;
		len -= part;
		if (message_complete(control)) {
			result = take_message(conn, len);
			control->message_len = 0;
		}
	}
	return result;
}

void tr_control_answer(struct tlsrec_conn *conn)
{
	if (!conn->control.answer_owed)
		return;
	/* What cannot be sent at all any more is not owed either. */
	conn->control.answer_owed = tr_send_alert(conn->wire.fd, WARNING, SSL_AD_NO_RENEGOTIATION,
						  MSG_DONTWAIT) && errno == EAGAIN;
}

/*
 * By time and not only by number, for a program that reads with read() has data that is not seen here, and one
 * that only writes gets nothing but requests for key updates.
 */
bool tr_control_allowed(struct tlsrec_conn *conn)
{
	struct tr_control *control = &conn->control;
	struct timespec now;
	int64_t left;

	clock_gettime(CLOCK_MONOTONIC, &now);
	left = ALLOWANCE - (int64_t)control->spent + (now.tv_sec - control->spent_since) * ALLOWANCE_PER_S;
	if (!control->spent || left > ALLOWANCE)
		left = ALLOWANCE;
	if (left <= 0) {
		refuse(conn, SSL_AD_UNEXPECTED_MESSAGE, EPROTO,
		       "sends one record after the other without data in them");
		return false;
	}
	control->spent = (unsigned int)(ALLOWANCE - left + 1);
	control->spent_since = now.tv_sec;
	return true;
}

enum tlsrec_control tr_control_take(struct tlsrec_conn *conn, uint8_t type, const uint8_t *data,
				    size_t len)
{
	if (type == TR_ALERT)
		return take_alert_bytes(conn, data, len);
	if (type == TR_HANDSHAKE)
		return take_handshake_bytes(conn, data, len);
	return refuse(conn, SSL_AD_UNEXPECTED_MESSAGE, EPROTO,
		      "sent a record of a type that must not come after the handshake");
}

void tr_control_clear(struct tr_control *control)
{
	free(control->message);
	memset(control, 0, sizeof(*control));
}
