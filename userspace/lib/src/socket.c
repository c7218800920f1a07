// SPDX-License-Identifier: MIT
/* The socket once the kernel has the keys: alerts out, records of all types in. */
#include "socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "conn.h"
#include "kernel.h"

enum {
	NO_TYPE = -1,	/* no record was read: end of file */
	WARNING = 1,
};

int tr_send_typed(int fd, uint8_t type, const void *data, size_t len, int flags)
{
	union {
		char buf[CMSG_SPACE(sizeof(unsigned char))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
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
	*CMSG_DATA(cmsg) = type;
	return sendmsg(fd, &msg, flags | MSG_NOSIGNAL) == (ssize_t)len ? 0 : -1;
}

int tlsrec_send_alert(int fd, int level, int description)
{
	const uint8_t alert[2] = { (uint8_t)level, (uint8_t)description };

	return tr_send_typed(fd, TR_ALERT, alert, sizeof(alert), 0);
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
	if (tr_update_answer(conn))
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
