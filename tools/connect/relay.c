// SPDX-License-Identifier: MIT
/*
 * One loop for both directions, in which only poll() waits: a call that moves bytes is made when both of its
 * ends are ready, and returns when one is not any more. So neither direction holds up the other, and none
 * sleeps with the lock of a pipe, which others may need to read, to write or to die.
 */
#include "connect/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 1 << 18, FATAL = 2, INTERNAL_ERROR = 80 };

/* The ends of the two directions. */
enum { IN_SOCKET, IN_OUTPUT, OUT_INPUT, OUT_SOCKET, ENDS };

/* Bytes on their way that only the program has. */
struct held {
	char data[1 << 16];
	size_t from, len;
};

struct relay {
	struct tlsrec_conn *conn;
	int fd;
	bool half_close;
	bool ready[ENDS];	/* said poll(), and no call has found it otherwise */
	bool over;		/* status is the last word */
	enum status status;

	/* Out. The functions return what they moved; 0 at the end of the input; -1 with errno. */
	ssize_t (*send)(struct relay *r);
	struct held out;
	bool input_over;	/* all there was has been sent */
	bool closed;		/* and close_notify */
	bool send_error;	/* or the connection does not take it any more */

	/* In. What they moved; -1 with errno; OUTPUT_FAILED with errno. */
	ssize_t (*receive)(struct relay *r);
	struct held in;
	int pipe[2];		/* between socket and output, where the output is no pipe itself */
	int output;
	bool output_is_socket;
	size_t piece;		/* what may be written at once without waiting */
};

#define OUTPUT_FAILED (-2)

static void end(struct relay *r, enum status status)
{
	r->over = true;
	r->status = status;
}

/* ---- out: standard input to the socket ---- */

static ssize_t send_file(struct relay *r)
{
	return sendfile(r->fd, STDIN_FILENO, NULL, CHUNK);
}

static ssize_t send_pipe(struct relay *r)
{
	return splice(STDIN_FILENO, NULL, r->fd, NULL, CHUNK, SPLICE_F_NONBLOCK);
}

static ssize_t send_held(struct relay *r)
{
	struct held *h = &r->out;
	ssize_t n = send(r->fd, h->data + h->from, h->len, MSG_NOSIGNAL);

	if (n > 0) {
		h->from += (size_t)n;
		h->len -= (size_t)n;
	}
	return n;
}

static ssize_t send_copy(struct relay *r)
{
	struct held *h = &r->out;
	ssize_t n;

	n = recv(STDIN_FILENO, h->data, sizeof(h->data), MSG_DONTWAIT);
	if (n < 0 && errno == ENOTSOCK) {
		n = read(STDIN_FILENO, h->data, sizeof(h->data));
		/* The next one might wait. */
		r->ready[OUT_INPUT] = false;
	}
	if (n > 0) {
		h->from = 0;
		h->len = (size_t)n;
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		say("cannot read standard input: %s.", strerror(errno));
		end(r, STATUS_LOCAL);
	}
	return n;
}

static void choose_send(struct relay *r)
{
	struct stat st;

	r->send = send_copy;
	if (fstat(STDIN_FILENO, &st))
		return;
	if (S_ISREG(st.st_mode))
		r->send = send_file;
	else if (S_ISFIFO(st.st_mode))
		r->send = send_pipe;
}

static void send_failed(struct relay *r)
{
	if (errno == EINTR)
		return;
	if (errno == EAGAIN) {
		r->ready[OUT_INPUT] = r->ready[OUT_SOCKET] = false;
		return;
	}
	/* What became of a connection that is gone, the receiving side finds out. */
	if (errno == EPIPE || errno == ECONNRESET || errno == ETIMEDOUT) {
		r->send_error = true;
		return;
	}
	say("cannot send what standard input has: %s.", strerror(errno));
	end(r, STATUS_LOCAL);
}

static void move_out(struct relay *r)
{
	ssize_t n = r->out.len ? send_held(r) : r->send(r);

	if (r->over)
		return;
	if (n < 0 && errno == EINVAL && r->send != send_copy)
		r->send = send_copy;
	else if (n < 0)
		send_failed(r);
	else if (!n)
		r->input_over = true;
}

static void say_goodbye(struct relay *r)
{
	if (tlsrec_close_notify(r->fd)) {
		send_failed(r);
		return;
	}
	shutdown(r->fd, SHUT_WR);
	r->closed = true;
}

/* The server is owed an answer, which comes before anything else (RFC 8446 4.6.3). */
static void update_key(struct relay *r)
{
	if (!tlsrec_key_update(r->conn, 0))
		return;
	if (errno == EAGAIN || errno == EINTR || errno == EPIPE || errno == ECONNRESET) {
		send_failed(r);
		return;
	}
	say("%s", tlsrec_conn_error(r->conn));
	end(r, STATUS_KERNEL);
}

static void (*next_out(struct relay *r))(struct relay *r)
{
	if (r->closed || r->send_error || !r->ready[OUT_SOCKET])
		return NULL;
	if (tlsrec_key_update_wanted(r->conn))
		return update_key;
	if (r->out.len || (!r->input_over && r->ready[OUT_INPUT]))
		return move_out;
	return r->input_over && r->half_close ? say_goodbye : NULL;
}

/* ---- in: the socket to standard output ---- */

static ssize_t write_held(struct relay *r)
{
	struct held *h = &r->in;
	const char *data = h->data + h->from;
	ssize_t n;

	if (r->output_is_socket) {
		n = send(r->output, data, h->len, MSG_DONTWAIT | MSG_NOSIGNAL);
	} else {
		n = write(r->output, data, h->len < r->piece ? h->len : r->piece);
		/* The next one might wait. */
		r->ready[IN_OUTPUT] = false;
	}
	if (n < 0)
		return OUTPUT_FAILED;
	h->from += (size_t)n;
	h->len -= (size_t)n;
	return n;
}

static ssize_t receive_copy(struct relay *r)
{
	struct held *h = &r->in;
	ssize_t n = tlsrec_recv(r->conn, h->data, sizeof(h->data), MSG_DONTWAIT);

	if (n > 0) {
		h->from = 0;
		h->len = (size_t)n;
	}
	return n;
}

static ssize_t receive_pipe(struct relay *r)
{
	return splice(r->fd, NULL, STDOUT_FILENO, NULL, CHUNK, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

/* A file is always ready, so what went into the pipe leaves it, too. */
static ssize_t receive_file(struct relay *r)
{
	ssize_t n, left, moved;

	n = splice(r->fd, NULL, r->pipe[1], NULL, CHUNK, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	for (left = n; left > 0; left -= moved) {
		moved = splice(r->pipe[0], NULL, STDOUT_FILENO, NULL, (size_t)left, SPLICE_F_MOVE);
		if (moved < 0 && errno != EINTR)
			return OUTPUT_FAILED;
		if (moved < 0)
			moved = 0;
	}
	return n;
}

static void choose_receive(struct relay *r)
{
	struct stat st;

	r->receive = receive_copy;
	r->output = STDOUT_FILENO;
	/* As much as poll() promises of a pipe. */
	r->piece = PIPE_BUF;
	if (fstat(STDOUT_FILENO, &st))
		return;
	r->output_is_socket = S_ISSOCK(st.st_mode);
	if (S_ISREG(st.st_mode))
		r->piece = SIZE_MAX;
	if (S_ISFIFO(st.st_mode))
		r->receive = receive_pipe;
	/* splice refuses a file that is open for appending. */
	else if (S_ISREG(st.st_mode) && !(fcntl(STDOUT_FILENO, F_GETFL) & O_APPEND) &&
		 !pipe2(r->pipe, O_CLOEXEC))
		r->receive = receive_file;
	/* A terminal that is stopped makes writers wait, but not those of a description of our own. */
	if (isatty(STDOUT_FILENO)) {
		int own = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

		r->output = own < 0 ? STDOUT_FILENO : own;
	}
}

static void output_failed(struct relay *r)
{
	if (errno == EINTR)
		return;
	if (errno == EAGAIN) {
		r->ready[IN_OUTPUT] = false;
		return;
	}
	/* A reader that has seen enough. */
	if (errno == EPIPE || errno == ECONNRESET) {
		end(r, STATUS_OK);
		return;
	}
	say("cannot write to standard output: %s.", strerror(errno));
	end(r, STATUS_LOCAL);
}

static void receive_failed(struct relay *r)
{
	int err = errno;

	if (err == EINTR)
		return;
	if (err == EAGAIN) {
		r->ready[IN_SOCKET] = r->ready[IN_OUTPUT] = false;
		return;
	}
	say("%s", tlsrec_conn_error(r->conn));
	if (tlsrec_conn_error_kind(r->conn) == TLSREC_ERROR_KERNEL)
		end(r, STATUS_KERNEL);
	else if (err == ECONNRESET || err == ETIMEDOUT || err == EPIPE)
		end(r, STATUS_TRUNCATED);
	else
		end(r, STATUS_PROTOCOL);
}

static void move_in(struct relay *r)
{
	ssize_t n = r->in.len ? write_held(r) : r->receive(r);

	if (n == OUTPUT_FAILED)
		output_failed(r);
	else if (n < 0 && r->receive != receive_copy && errno != EAGAIN && errno != EINTR)
		/* Data is there, so it must be the splicing that does not work here. */
		r->receive = receive_copy;
	else if (n < 0)
		receive_failed(r);
}

/* What splice cannot carry is dealt with before it is called. */
static void look_in(struct relay *r)
{
	switch (tlsrec_control(r->conn)) {
	case TLSREC_CONTROL_DATA:
		move_in(r);
		break;
	case TLSREC_CONTROL_NONE:
		r->ready[IN_SOCKET] = false;
		break;
	case TLSREC_CONTROL_HANDLED:
		break;
	case TLSREC_CONTROL_CLOSED:
		end(r, STATUS_OK);
		break;
	case TLSREC_CONTROL_EOF:
		say("%s", tlsrec_conn_error(r->conn));
		end(r, STATUS_TRUNCATED);
		break;
	case TLSREC_CONTROL_ERROR:
		receive_failed(r);
		break;
	}
}

static void (*next_in(struct relay *r))(struct relay *r)
{
	if (!r->ready[IN_OUTPUT])
		return NULL;
	if (r->in.len)
		return move_in;
	return r->ready[IN_SOCKET] ? look_in : NULL;
}

/* ---- both ---- */

static bool wanted(const struct relay *r, int i)
{
	if (r->ready[i])
		return false;
	if (i == OUT_INPUT)
		return !r->input_over && !r->send_error;
	return i != OUT_SOCKET || !(r->closed || r->send_error);
}

/* Until an end is ready that was not, but no longer than there is nothing to do. */
static void wait_for_ends(struct relay *r)
{
	const int fds[ENDS] = {
		[IN_SOCKET] = r->fd, [IN_OUTPUT] = r->output, [OUT_INPUT] = STDIN_FILENO,
		[OUT_SOCKET] = r->fd,
	};
	bool busy = next_in(r) || next_out(r);
	struct pollfd p[ENDS];

	for (int i = 0; i < ENDS; i++) {
		p[i].fd = wanted(r, i) ? fds[i] : -1;
		p[i].events = i == IN_SOCKET || i == OUT_INPUT ? POLLIN : POLLOUT;
	}
	if (poll(p, ENDS, busy ? 0 : -1) < 0) {
		if (errno == EINTR)
			return;
		say("cannot wait for the server: %s.", strerror(errno));
		end(r, STATUS_LOCAL);
		return;
	}
	for (int i = 0; i < ENDS; i++)
		r->ready[i] |= p[i].fd >= 0 && p[i].revents;
}

/*
 * A server that is told close_notify takes what it got for everything. Not waited for: where the socket has no
 * room, there is more that the server did not read.
 */
static void last_word(const struct relay *r)
{
	if (r->closed || r->send_error)
		return;
	if (r->input_over || tlsrec_conn_closed(r->conn))
		tlsrec_close_notify(r->fd);
	else
		tlsrec_send_alert(r->fd, FATAL, INTERNAL_ERROR);
}

static bool input_left(const struct relay *r)
{
	int n = 0;

	return r->send_error || r->out.len ||
	       (!r->input_over && !ioctl(STDIN_FILENO, FIONREAD, &n) && n > 0);
}

enum status relay(struct tlsrec_conn *conn, bool half_close)
{
	static struct relay r;
	void (*step)(struct relay *r);

	r = (struct relay){
		.conn = conn, .fd = tlsrec_conn_fd(conn), .half_close = half_close, .pipe = { -1, -1 },
	};
	choose_send(&r);
	choose_receive(&r);
	if (fcntl(r.fd, F_SETFL, fcntl(r.fd, F_GETFL) | O_NONBLOCK)) {
		say("cannot make the socket nonblocking: %s.", strerror(errno));
		return STATUS_LOCAL;
	}
	while (!r.over) {
		wait_for_ends(&r);
		step = r.over ? NULL : next_out(&r);
		if (step)
			step(&r);
		step = r.over ? NULL : next_in(&r);
		if (step)
			step(&r);
	}
	last_word(&r);
	if (r.status == STATUS_OK && tlsrec_conn_closed(conn) && input_left(&r)) {
		say("the server ended the connection before it had all of standard input.");
		return STATUS_TRUNCATED;
	}
	return r.status;
}
