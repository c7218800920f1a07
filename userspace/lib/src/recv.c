// SPDX-License-Identifier: MIT
/* The connection's receive calls: application data for the program, everything else to its room. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "conn.h"
#include "socket.h"

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
			"%s updated its key, and its KeyUpdate message was not read through the "
			"library", peer);
	else if (err != EAGAIN && err != EINTR)
		tr_fail(&conn->err, TLSREC_ERROR_IO, "cannot receive from %s: %s", peer,
			strerror(err));
	errno = err;
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
	if (tr_update_answer(conn))
		return -1;
	while (len && !conn->control.closed) {
		n = tr_recv_typed(conn->wire.fd, buf, len, flags, &type);
		if (n < 0) {
			explain_recv(conn);
			return -1;
		}
		if (type == TR_NO_TYPE || (type == TR_DATA && n))
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
	if (tr_update_answer(conn))
		return TLSREC_CONTROL_ERROR;
	if (conn->control.closed)
		return TLSREC_CONTROL_CLOSED;
	n = tr_recv_typed(conn->wire.fd, buf, 1, MSG_PEEK | MSG_DONTWAIT, &type);
	if (n >= 0 && type == TR_DATA)
		return TLSREC_CONTROL_DATA;
	if (n >= 0 && type != TR_NO_TYPE)
		n = tr_recv_typed(conn->wire.fd, buf, sizeof(buf), MSG_DONTWAIT, &type);
	if (n < 0) {
		explain_recv(conn);
		return errno == EAGAIN || errno == EINTR ? TLSREC_CONTROL_NONE
							 : TLSREC_CONTROL_ERROR;
	}
	if (type == TR_NO_TYPE)
		return TLSREC_CONTROL_EOF;
	return tr_control_take(conn, (uint8_t)type, buf, (size_t)n);
}

int tlsrec_conn_closed(const struct tlsrec_conn *conn)
{
	return conn->control.closed;
}
