// SPDX-License-Identifier: MIT
#include "socket.h"

#include <sys/socket.h>

#include <openssl/ssl.h>

#include "kernel.h"
#include "record.h"
#include "tlsrec.h"

enum { WARNING = 1 };

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

int tr_send_alert(int fd, int level, int description, int flags)
{
	const uint8_t alert[2] = { (uint8_t)level, (uint8_t)description };

	return tr_send_typed(fd, TR_ALERT, alert, sizeof(alert), flags);
}

int tlsrec_send_alert(int fd, int level, int description)
{
	return tr_send_alert(fd, level, description, 0);
}

int tlsrec_close_notify(int fd)
{
	return tlsrec_send_alert(fd, WARNING, SSL3_AD_CLOSE_NOTIFY);
}

ssize_t tr_recv_typed(int fd, void *buf, size_t len, int flags, struct tr_received *what)
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

	*what = (struct tr_received){ .type = TR_NO_TYPE };
	if (n < 0)
		return n;
	what->whole = (size_t)n < len || msg.msg_flags & MSG_EOR;
	if (cmsg && cmsg->cmsg_level == SOL_TLS && cmsg->cmsg_type == TLS_GET_RECORD_TYPE)
		what->type = *CMSG_DATA(cmsg);
	else if (n)
		what->type = TR_DATA;
	return n;
}
