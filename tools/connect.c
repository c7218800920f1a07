// SPDX-License-Identifier: MIT
/*
 * tlsrec connect: standard input and output, joined to a TLS server by a socket whose records the kernel
 * makes and opens. The main thread carries what comes in, a second one what goes out, so that neither
 * direction waits for the other.
 */
#include "commands.h"
#include "common/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 1 << 18 };

struct options {
	struct client_options client;
	bool half_close, quiet;
};

enum { OPT_QUIET = 'q', OPT_HALF_CLOSE = 'N' };

static const struct argp_option options[] = {
	{ .doc = "Standard input and output:", .group = 7 },
	{ "half-close", OPT_HALF_CLOSE, NULL, 0,
	  "When standard input ends, send close_notify and FIN, and go on reading", 7 },
	{ "quiet", OPT_QUIET, NULL, 0, "Print no summary of the connection", 7 },
	{ 0 },
};

static const char doc[] =
	"Talk to a TLS server: standard input goes to it, what it answers to standard output.\v"
	"Exit status: 0 the server ended the connection properly; 1 trouble on this machine; "
	"2 bad arguments; 3 no connection; 4 the server's certificate was refused; "
	"5 the handshake failed or a record was bad; 6 the stream was cut off; "
	"7 the kernel has no such record layer.";

/* ---- out: standard input to the socket ---- */

struct sender {
	struct tlsrec_conn *conn;
	int fd;
	int bell;	/* eventfd: look what there is to do besides standard input */
	bool half_close;
	atomic_bool stop;
	ssize_t (*move)(struct sender *s);
};

/* Returns what one call moved; 0 at the end of the input; -1 with errno. */
static ssize_t send_file(struct sender *s)
{
	return sendfile(s->fd, STDIN_FILENO, NULL, CHUNK);
}

static ssize_t send_pipe(struct sender *s)
{
	return splice(STDIN_FILENO, NULL, s->fd, NULL, CHUNK, 0);
}

static ssize_t send_copy(struct sender *s)
{
	static char buf[1 << 16];
	ssize_t n, done = 0, sent;

	n = read(STDIN_FILENO, buf, sizeof(buf));
	while (done < n && !s->stop) {
		sent = send(s->fd, buf + done, (size_t)(n - done), MSG_NOSIGNAL);
		if (sent < 0 && errno != EINTR)
			return -1;
		if (sent > 0)
			done += sent;
	}
	return n;
}

static void choose_send(struct sender *s)
{
	struct stat st;

	s->move = send_copy;
	if (fstat(STDIN_FILENO, &st))
		return;
	if (S_ISREG(st.st_mode))
		s->move = send_file;
	else if (S_ISFIFO(st.st_mode))
		s->move = send_pipe;
}

static void wake_up(int sig)
{
	(void)sig;
}

/*
 * The sender may sleep for input or for room in the socket; nobody needs either any more. A signal
 * that comes just before it falls asleep is lost, so repeat it until the thread is gone.
 */
static void stop_sender(struct sender *s, pthread_t thread)
{
	struct timespec soon;

	s->stop = true;
	do {
		pthread_kill(thread, SIGUSR1);
		clock_gettime(CLOCK_REALTIME, &soon);
		soon.tv_nsec += 20 * 1000 * 1000;
		if (soon.tv_nsec >= 1000 * 1000 * 1000) {
			soon.tv_nsec -= 1000 * 1000 * 1000;
			soon.tv_sec++;
		}
	} while (pthread_timedjoin_np(thread, NULL, &soon) == ETIMEDOUT);
}

/* In the receiving thread: the server may have asked for a key update. */
static void on_event(void *arg, struct tlsrec_conn *conn, const struct tlsrec_event *event)
{
	const struct sender *s = tlsrec_conn_data(conn);

	(void)arg;
	if (s && event->type == TLSREC_EVENT_KEYS && tlsrec_key_update_wanted(conn))
		eventfd_write(s->bell, 1);
}

/* Its answer must come from the thread that writes, between two writes. */
static bool answer_update(struct sender *s)
{
	if (!tlsrec_key_update_wanted(s->conn) || !tlsrec_key_update(s->conn, 0) || errno == EINTR)
		return true;
	/* The receiving side says what became of a connection that is gone. */
	if (errno != EPIPE && errno != ECONNRESET) {
		say("cannot update the sending key: %s.", strerror(errno));
		shutdown(s->fd, SHUT_RDWR);
	}
	return false;
}

/* Moves what standard input has. False when it has nothing more or nothing can be sent any more. */
static bool send_some(struct sender *s)
{
	ssize_t n = s->move(s);

	if (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)))
		return true;
	if (n < 0 && errno == EINVAL && s->move != send_copy) {
		s->move = send_copy;
		return true;
	}
	if (n < 0 && !s->stop && errno != EPIPE && errno != ECONNRESET)
		say("cannot send what standard input has: %s.", strerror(errno));
	if (!n && !s->stop && s->half_close) {
		tlsrec_close_notify(s->fd);
		shutdown(s->fd, SHUT_WR);
	}
	return false;
}

static void *send_all(void *arg)
{
	struct sender *s = arg;
	struct pollfd waiting[] = {
		{ .fd = s->bell, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN },
	};
	eventfd_t rings;

	choose_send(s);
	while (!s->stop) {
		if (poll(waiting, 2, -1) < 0)
			continue;
		if (waiting[0].revents)
			eventfd_read(s->bell, &rings);
		if (!answer_update(s))
			break;
		/* At its end, or where it cannot be sent, what is left is to answer. */
		if (waiting[1].revents && !s->stop && !send_some(s))
			waiting[1].fd = -1;
	}
	return NULL;
}

/* ---- in: the socket to standard output ---- */

struct receiver {
	struct tlsrec_conn *conn;
	int fd;
	int pipe[2];	/* between socket and output, where the output is no pipe itself */
	ssize_t (*move)(struct receiver *r);
};

/* Errors of the output are told apart from those of the socket. */
#define OUTPUT_FAILED (-2)

static ssize_t write_all(const char *buf, size_t len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = write(STDOUT_FILENO, buf + done, len - done);
		if (n < 0 && errno != EINTR)
			return OUTPUT_FAILED;
		if (n > 0)
			done += (size_t)n;
	}
	return (ssize_t)len;
}

static ssize_t receive_copy(struct receiver *r)
{
	static char buf[1 << 16];
	ssize_t n = tlsrec_recv(r->conn, buf, sizeof(buf), 0);

	return n > 0 ? write_all(buf, (size_t)n) : n;
}

static ssize_t receive_pipe(struct receiver *r)
{
	return splice(r->fd, NULL, STDOUT_FILENO, NULL, CHUNK, SPLICE_F_MOVE);
}

static ssize_t receive_file(struct receiver *r)
{
	ssize_t n, left, moved;

	n = splice(r->fd, NULL, r->pipe[1], NULL, CHUNK, SPLICE_F_MOVE);
	for (left = n; left > 0; left -= moved) {
		moved = splice(r->pipe[0], NULL, STDOUT_FILENO, NULL, (size_t)left, SPLICE_F_MOVE);
		if (moved < 0 && errno != EINTR)
			return OUTPUT_FAILED;
		if (moved < 0)
			moved = 0;
	}
	return n;
}

static void choose_receive(struct receiver *r)
{
	struct stat st;

	r->move = receive_copy;
	if (fstat(STDOUT_FILENO, &st))
		return;
	if (S_ISFIFO(st.st_mode))
		r->move = receive_pipe;
	/* splice refuses a file that is open for appending. */
	else if (S_ISREG(st.st_mode) && !(fcntl(STDOUT_FILENO, F_GETFL) & O_APPEND) &&
		 !pipe2(r->pipe, O_CLOEXEC))
		r->move = receive_file;
}

enum progress { GO_ON, THE_END, CUT_OFF, FAILED };

/* The socket has something that splice cannot carry, or is at its end: find out which. */
static enum progress look_closer(struct receiver *r, ssize_t n)
{
	int err = n < 0 ? errno : 0;

	if (err == EINTR)
		return GO_ON;
	switch (tlsrec_control(r->conn)) {
	case TLSREC_CONTROL_HANDLED:
		return GO_ON;
	case TLSREC_CONTROL_CLOSED:
		return THE_END;
	case TLSREC_CONTROL_EOF:
		return CUT_OFF;
	case TLSREC_CONTROL_ERROR:
		return FAILED;
	default:
		/* Nothing special is there: it must be the splicing that does not work here. */
		r->move = receive_copy;
		return GO_ON;
	}
}

static enum status receive_failed(struct receiver *r)
{
	int err = errno;

	say("%s", tlsrec_conn_error(r->conn));
	if (tlsrec_conn_error_kind(r->conn) == TLSREC_ERROR_KERNEL)
		return STATUS_KERNEL;
	return err == ECONNRESET || err == ETIMEDOUT || err == EPIPE ? STATUS_TRUNCATED
								     : STATUS_PROTOCOL;
}

static enum status receive_all(struct receiver *r)
{
	enum progress progress = GO_ON;
	ssize_t n;

	choose_receive(r);
	while (progress == GO_ON) {
		n = r->move(r);
		if (n > 0)
			continue;
		if (n == OUTPUT_FAILED) {
			if (errno == EPIPE)
				return STATUS_OK;
			say("cannot write to standard output: %s.", strerror(errno));
			return STATUS_LOCAL;
		}
		if (r->move != receive_copy)
			progress = look_closer(r, n);
		else if (n < 0)
			progress = errno == EINTR ? GO_ON : FAILED;
		else
			progress = tlsrec_conn_closed(r->conn) ? THE_END : CUT_OFF;
	}
	if (progress == FAILED)
		return receive_failed(r);
	if (progress == CUT_OFF) {
		say("the connection ended without close_notify: what arrived may not be all there was.");
		return STATUS_TRUNCATED;
	}
	return STATUS_OK;
}

/* ---- the summary ---- */

static void print_date(int64_t t)
{
	time_t time = (time_t)t;
	struct tm tm;
	char s[32];

	if (gmtime_r(&time, &tm) && strftime(s, sizeof(s), "%Y-%m-%d", &tm))
		fputs(s, stderr);
}

static void print_certificate(const struct tlsrec_info *info)
{
	const struct tlsrec_cert *cert = info->peer;

	if (!cert)
		return;
	fprintf(stderr, "  certificate  %s, issued by %s\n", cert->subject, cert->issuer);
	fprintf(stderr, "               %s, valid from ", cert->key);
	print_date(cert->not_before);
	fputs(" to ", stderr);
	print_date(cert->not_after);
	if (info->verified)
		fprintf(stderr, "\n               verified; OCSP: %s\n", info->ocsp_reason);
	else
		fprintf(stderr, "\n               NOT VERIFIED: %s\n", info->verdict);
}

static void print_summary(const struct client_options *o, const char *peer,
			  const struct tlsrec_info *info)
{
	fprintf(stderr, "Connected to %s, %s\n", o->peer.host, peer);
	fprintf(stderr, "  session      %s, %s%s\n", info->version_name, info->suite,
		info->resumed ? ", resumed" : "");
	fprintf(stderr, "  key exchange %s%s%s%s%s\n", info->kex, *info->group ? " " : "",
		info->group, *info->signature ? ", signed with " : "", info->signature);
	if (*info->alpn)
		fprintf(stderr, "  protocol     %s\n", info->alpn);
	print_certificate(info);
	fprintf(stderr, "  kernel       %s holds the %s keys; sends from record %ju, receives from %ju\n",
		info->ulp, info->cipher, (uintmax_t)info->tx_seq, (uintmax_t)info->rx_seq);
}

/* ---- all of it ---- */

static enum status relay(const struct options *o, struct tlsrec_conn *conn, int fd)
{
	struct sender sender = {
		.conn = conn,
		.fd = fd,
		.bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.half_close = o->half_close,
	};
	struct receiver receiver = { .conn = conn, .fd = fd, .pipe = { -1, -1 } };
	/* No SA_RESTART: the signal is there to interrupt. */
	struct sigaction action = { .sa_handler = wake_up };
	enum status status;
	pthread_t thread;
	int err;

	sigaction(SIGUSR1, &action, NULL);
	tlsrec_conn_set_data(conn, &sender);
	tlsrec_conn_set_separate_writer(conn, 1);
	err = sender.bell < 0 ? errno : pthread_create(&thread, NULL, send_all, &sender);
	if (err) {
		say("cannot start a thread: %s.", strerror(err));
		return STATUS_LOCAL;
	}
	status = receive_all(&receiver);
	stop_sender(&sender, thread);
	close(sender.bell);
	tlsrec_close_notify(fd);
	return status;
}

static enum status talk(const struct options *o, struct tlsrec_ctx *ctx)
{
	const struct client_options *c = &o->client;
	enum status status = STATUS_LOCAL;
	struct tlsrec_conn *conn;
	char peer[128];
	int fd;

	tlsrec_ctx_set_event_fn(ctx, on_event, NULL);
	fd = client_dial(c, peer, sizeof(peer));
	if (fd < 0)
		return STATUS_CONNECT;
	conn = client_prepare(c, ctx, fd);
	if (!conn)
		goto out_close;
	status = client_handshake(c, conn);
	if (status != STATUS_OK) {
		say("%s", tlsrec_conn_error(conn));
		goto out_free;
	}
	if (!o->quiet)
		print_summary(c, peer, tlsrec_conn_info(conn));
	status = relay(o, conn, fd);
	if (!client_save_session(c, conn) && status == STATUS_OK)
		status = STATUS_LOCAL;
out_free:
	tlsrec_conn_free(conn);
out_close:
	close(fd);
	return status;
}

int connect_main(int argc, char **argv)
{
	struct options o = { 0 };
	const struct client_switch switches[] = {
		{ OPT_HALF_CLOSE, &o.half_close },
		{ OPT_QUIET, &o.quiet },
		{ 0 },
	};
	struct tlsrec_ctx *ctx;
	enum status status;

	client_arguments(argc, argv, doc, &o.client, options, switches);
	ctx = client_context(&o.client);
	if (!ctx)
		return STATUS_LOCAL;
	status = talk(&o, ctx);
	tlsrec_ctx_free(ctx);
	return status;
}
