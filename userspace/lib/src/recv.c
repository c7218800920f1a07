// SPDX-License-Identifier: MIT
/* The connection's receive calls: application data for the program, everything else to its room. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "conn.h"
#include "socket.h"

/* Records without data that a call takes which shall not wait: more than any server has tickets to begin with. */
enum { FEW = 32 };

/* A failed recvmsg() in words; keeps errno. */
static void explain_recv(struct tlsrec_conn *conn)
{
	int err = errno;
	const char *peer = tr_peer_name(conn);

	if (err == EBADMSG)
		tr_fail(&conn->err, TLSREC_ERROR_PROTOCOL,
			"a record from %s is not authentic: it was changed or cut off on the way, or "
			"the keys do not fit", peer);
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

/* An end that anybody on the way can have made. */
static void cut_off(struct tlsrec_conn *conn)
{
	tr_fail(&conn->err, TLSREC_ERROR_IO,
		"%s ended the connection without close_notify: what arrived may not be all there was",
		tr_peer_name(conn));
	errno = ECONNRESET;
}

/* What is owed to the peer, if there is room for it. 0, or -1 with a sentence. */
static int answer(struct tlsrec_conn *conn)
{
	tr_control_answer(conn);
	return tr_update_answer(conn);
}

static bool may_wait(const struct tlsrec_conn *conn, int flags)
{
	return !(flags & MSG_DONTWAIT) && !(fcntl(conn->wire.fd, F_GETFL) & O_NONBLOCK);
}

ssize_t tlsrec_recv(struct tlsrec_conn *conn, void *buf, size_t len, int flags)
{
	struct tr_received what;
	int taken = 0;
	ssize_t n;

	if (!is_over(conn))
		return -1;
	if (flags & ~(MSG_DONTWAIT | MSG_WAITALL)) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if (answer(conn))
		return -1;
	while (len && !conn->control.closed) {
		n = tr_recv_typed(conn->wire.fd, buf, len, flags, &what);
		if (n < 0) {
			explain_recv(conn);
			return -1;
		}
		if (what.type == TR_NO_TYPE) {
			cut_off(conn);
			return -1;
		}
		if (what.type == TR_DATA && n) {
			conn->control.spent = 0;
			return n;
		}
		if (what.whole && !tr_control_allowed(conn))
			return -1;
		/* A record of data without content is no end of file. */
		if (what.type != TR_DATA &&
		    tr_control_take(conn, (uint8_t)what.type, buf, (size_t)n) == TLSREC_CONTROL_ERROR)
			return -1;
		taken += what.whole;
		if (!conn->control.closed && taken >= FEW && !may_wait(conn, flags)) {
			errno = EINTR;
			return -1;
		}
	}
	return 0;
}

enum tlsrec_control tlsrec_control(struct tlsrec_conn *conn)
{
	uint8_t buf[TR_PLAIN_MAX];
	struct tr_received what;
	ssize_t n;

	if (!is_over(conn))
		return TLSREC_CONTROL_ERROR;
	if (answer(conn))
		return TLSREC_CONTROL_ERROR;
	if (conn->control.closed)
		return TLSREC_CONTROL_CLOSED;
	n = tr_recv_typed(conn->wire.fd, buf, 1, MSG_PEEK | MSG_DONTWAIT, &what);
	if (n > 0 && what.type == TR_DATA) {
		conn->control.spent = 0;
		return TLSREC_CONTROL_DATA;
	}
	/* A record of data without content: left to the program, which finds nothing in it. */
	if (!n && what.type == TR_DATA)
		return tr_control_allowed(conn) ? TLSREC_CONTROL_DATA : TLSREC_CONTROL_ERROR;
	if (n >= 0 && what.type != TR_NO_TYPE)
		n = tr_recv_typed(conn->wire.fd, buf, sizeof(buf), MSG_DONTWAIT, &what);
	if (n < 0) {
		explain_recv(conn);
		return errno == EAGAIN || errno == EINTR ? TLSREC_CONTROL_NONE
							 : TLSREC_CONTROL_ERROR;
	}
	if (what.type == TR_NO_TYPE) {
		cut_off(conn);
		return TLSREC_CONTROL_EOF;
	}
	if (!tr_control_allowed(conn))
		return TLSREC_CONTROL_ERROR;
	return tr_control_take(conn, (uint8_t)what.type, buf, (size_t)n);
}

int tlsrec_conn_closed(const struct tlsrec_conn *conn)
{
	return conn->control.closed;
}
