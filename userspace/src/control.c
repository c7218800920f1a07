// SPDX-License-Identifier: MIT
#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/tls.h>
#include <openssl/err.h>

#include "conn.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

enum {
	NO_TYPE = -1,			/* no record was read: end of file */
	MESSAGE_HEADER = 4,		/* HandshakeType and uint24 length */
	MESSAGE_MAX = 128 * 1024,	/* the largest NewSessionTicket is about 64 KiB */
	HELLO_REQUEST = 0,
	CLIENT_HELLO = 1,
	NEW_SESSION_TICKET = 4,
	KEY_UPDATE = 24,
	WARNING = 1,
	FATAL = 2,
};

int tlsrec_send_alert(int fd, int level, int description)
{
	unsigned char alert[2] = { (unsigned char)level, (unsigned char)description };
	union {
		char buf[CMSG_SPACE(sizeof(unsigned char))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = alert, .iov_len = sizeof(alert) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_TLS;
	cmsg->cmsg_type = TLS_SET_RECORD_TYPE;
	cmsg->cmsg_len = CMSG_LEN(sizeof(unsigned char));
	*CMSG_DATA(cmsg) = TR_ALERT;
	return sendmsg(fd, &msg, MSG_NOSIGNAL) == sizeof(alert) ? 0 : -1;
}

int tlsrec_close_notify(int fd)
{
	return tlsrec_send_alert(fd, WARNING, SSL3_AD_CLOSE_NOTIFY);
}

/* recv() that also tells the content type, or NO_TYPE. */
static ssize_t recv_typed(int fd, void *buf, size_t len, int flags, int *type)
{
	union {
		char buf[CMSG_SPACE(sizeof(unsigned char))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t n = recvmsg(fd, &msg, flags);
	struct cmsghdr *cmsg = n >= 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	*type = NO_TYPE;
	if (cmsg && cmsg->cmsg_level == SOL_TLS && cmsg->cmsg_type == TLS_GET_RECORD_TYPE)
		*type = *CMSG_DATA(cmsg);
	else if (n > 0)
		*type = TR_DATA;
	return n;
}

/* A failed recvmsg() in words; keeps errno. */
static void explain_recv(struct tlsrec_conn *conn)
{
	int err = errno;
	const char *peer = tr_peer_name(conn);

	if (err == EBADMSG)
		tr_fail(&conn->err, TLSREC_ERROR_PROTOCOL,
			"a record from %s is not authentic: it was changed on the way, or the keys "
			"do not fit", peer);
	else if (err == EMSGSIZE || err == EINVAL)
		tr_fail(&conn->err, TLSREC_ERROR_PROTOCOL,
			"what came from %s is no valid TLS record", peer);
	else if (err == EKEYEXPIRED)
		tr_fail(&conn->err, TLSREC_ERROR_PROTOCOL,
			"%s updated its key, which is not supported yet", peer);
	else if (err != EAGAIN && err != EINTR)
		tr_fail(&conn->err, TLSREC_ERROR_IO, "cannot receive from %s: %s", peer,
			strerror(err));
	errno = err;
}

static enum tlsrec_control refuse(struct tlsrec_conn *conn, int alert, int err, const char *what)
{
	tlsrec_send_alert(conn->wire.fd, FATAL, alert);
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
	uint8_t *record = malloc(TR_RECORD_MAX);
	bool ok = record;

	while (ok && len) {
		size_t part = len < TR_PLAIN_MAX ? len : TR_PLAIN_MAX;
		ssize_t n = tr_seal(conn->keys.version, &conn->keys.rx, TR_HANDSHAKE, data, part,
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

static enum tlsrec_control take_message(struct tlsrec_conn *conn)
{
	const struct tr_control *control = &conn->control;
	bool version13 = conn->keys.version == TLS1_3_VERSION;
	bool server = conn->ctx->server;
	int type = control->message[0];

	if (version13 && !server && type == NEW_SESSION_TICKET)
		return take_ticket(conn, control->message, control->message_len);
	if (version13 && type == KEY_UPDATE)
		return refuse(conn, SSL_AD_INTERNAL_ERROR, EKEYEXPIRED,
			      "updated its key, which is not supported yet");
	if (!version13 && type == (server ? CLIENT_HELLO : HELLO_REQUEST)) {
		tlsrec_send_alert(conn->wire.fd, WARNING, SSL_AD_NO_RENEGOTIATION);
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
			result = take_message(conn);
			control->message_len = 0;
		}
	}
	return result;
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

static bool is_over(struct tlsrec_conn *conn)
{
	if (conn->state == TR_OVER)
		return true;
	tr_fail(&conn->err, TLSREC_ERROR_LOCAL, "the handshake with %s is not over",
		tr_peer_name(conn));
	errno = EINVAL;
	return false;
}

ssize_t tlsrec_recv(struct tlsrec_conn *conn, void *buf, size_t len, int flags)
{
	enum tlsrec_control result;
	ssize_t n;
	int type;

	if (!is_over(conn))
		return -1;
	if (flags & ~(MSG_DONTWAIT | MSG_WAITALL)) {
		errno = EOPNOTSUPP;
		return -1;
	}
	while (len && !conn->control.closed) {
		n = recv_typed(conn->wire.fd, buf, len, flags, &type);
		if (n < 0) {
			explain_recv(conn);
			return -1;
		}
		if (type == NO_TYPE || (type == TR_DATA && n))
			return n;
		if (type == TR_DATA)
			continue;	/* a record without content is no end of file */
		result = tr_control_take(conn, (uint8_t)type, buf, (size_t)n);
		if (result == TLSREC_CONTROL_ERROR)
			return -1;
	}
	return 0;
}

enum tlsrec_control tlsrec_control(struct tlsrec_conn *conn)
{
	uint8_t buf[TR_PLAIN_MAX];
	int type;
	ssize_t n;

	if (!is_over(conn))
		return TLSREC_CONTROL_ERROR;
	if (conn->control.closed)
		return TLSREC_CONTROL_CLOSED;
	n = recv_typed(conn->wire.fd, buf, 1, MSG_PEEK | MSG_DONTWAIT, &type);
	if (n >= 0 && type == TR_DATA)
		return TLSREC_CONTROL_DATA;
	if (n >= 0 && type != NO_TYPE)
		n = recv_typed(conn->wire.fd, buf, sizeof(buf), MSG_DONTWAIT, &type);
	if (n < 0) {
		explain_recv(conn);
		return errno == EAGAIN || errno == EINTR ? TLSREC_CONTROL_NONE
							 : TLSREC_CONTROL_ERROR;
	}
	if (type == NO_TYPE)
		return TLSREC_CONTROL_EOF;
	return tr_control_take(conn, (uint8_t)type, buf, (size_t)n);
}

int tlsrec_conn_closed(const struct tlsrec_conn *conn)
{
	return conn->control.closed;
}
