// SPDX-License-Identifier: MIT
/*
 * Records without data, one after the other, from a peer that has the keys, and a stream that ends in none of the
 * right ways: the calls of the library return, and say what it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "both.h"
#include "conn.h"
#include "record.h"
#include "socket.h"
#include "tap.h"

enum { MANY = 1200, FEW_AT_MOST = 32, LIMIT_S = 120 };

static struct pki_cert *root, *ec;

/* A ticket that OpenSSL takes: lifetime, age, nonce, ticket, no extensions. */
static const uint8_t ticket[] = { 4, 0, 0, 18, 0, 0, 1, 0, 1, 2, 3, 4, 1, 0, 0, 4, 9, 9, 9, 9, 0, 0 };

static const struct flood {
	const char *name;
	int version, from;	/* 0: the client sends, 1: the server */
	uint8_t type;
	const void *data;	/* NULL: a key update */
	size_t len;
	bool answered;		/* each with a record, so that the sender gets a flood, too */
} floods[] = {
	{ "tickets", TLSREC_TLS_1_3, 1, TR_HANDSHAKE, ticket, sizeof(ticket), false },
	{ "user_canceled", TLSREC_TLS_1_3, 0, TR_ALERT, "\x01\x5a", 2, false },
	{ "warnings", TLSREC_TLS_1_2, 1, TR_ALERT, "\x01\x64", 2, false },
	{ "HelloRequests", TLSREC_TLS_1_2, 1, TR_HANDSHAKE, "\0\0\0\0", 4, true },
	{ "pieces of one byte", TLSREC_TLS_1_2, 0, TR_HANDSHAKE, "\1", 1, false },
	{ "key updates", TLSREC_TLS_1_3, 0, TR_HANDSHAKE, NULL, 0, false },
	{ "key updates with requests", TLSREC_TLS_1_3, 1, TR_HANDSHAKE, NULL, 0, true },
};

enum { FLOODS = sizeof(floods) / sizeof(floods[0]), TICKETS = 0, KEY_UPDATES = FLOODS - 2 };

/* Whether one more could be sent. */
static bool send_one(struct both *both, const struct flood *f)
{
	if (!f->data)
		return !tlsrec_key_update(both->conn[f->from], f->answered);
	return !tr_send_typed(both->fd[f->from], f->type, f->data, f->len, 0);
}

static int send_flood(struct both *both, const struct flood *f, int n)
{
	int sent = 0;

	fcntl(both->fd[f->from], F_SETFL, O_NONBLOCK);
	while (sent < n && send_one(both, f))
		sent++;
	fcntl(both->fd[f->from], F_SETFL, 0);
	return sent;
}

static bool started(struct both *both, const struct flood *f)
{
	*both = (struct both){ .version = f->version };
	if (!both_start(both, root, ec))
		return false;
	if (f->data || !tlsrec_key_update(both->conn[f->from], 0))
		return true;
	tap_skip(f->name, "this record layer takes no second key");
	both_end(both);
	return false;
}

/* The call returns with an error, the sender is told why, and what came before is not lost. */
static void test_refused(const struct flood *f)
{
	int to = !f->from;
	struct both both;
	int calls = 0;
	char buf[16];
	ssize_t n;
	int err;

	if (!started(&both, f))
		return;
	send(both.fd[f->from], "first", 5, 0);
	n = tlsrec_recv(both.conn[to], buf, sizeof(buf), 0);
	tap_ok(n == 5 && !memcmp(buf, "first", 5), "U5: %s: data comes first", f->name);
	/* What does not fit into the sockets at once follows. */
	alarm(LIMIT_S);
	do {
		send_flood(&both, f, MANY);
		n = tlsrec_recv(both.conn[to], buf, sizeof(buf), MSG_DONTWAIT);
		err = errno;
	} while (n < 0 && (err == EINTR || err == EAGAIN) && ++calls < MANY);
	alarm(0);
	tap_ok(n < 0 && err == EPROTO, "U5: %s: refused after %d calls: %s", f->name, calls,
	       tlsrec_conn_error(both.conn[to]));
	tap_ok(calls >= 256 / FEW_AT_MOST, "U5: %s: no call took too many", f->name);
	/* Behind tickets and the answers it asked for, which are as many. */
	while ((n = tlsrec_recv(both.conn[f->from], buf, sizeof(buf), MSG_DONTWAIT)) < 0 && errno == EINTR)
		;
	tap_ok(n < 0 && errno == EPROTO &&
	       (strstr(tlsrec_conn_error(both.conn[f->from]), "unexpected_message") ||
		f->answered),
	       "U5: %s: the sender is told: %s", f->name, tlsrec_conn_error(both.conn[f->from]));
	both_end(&both);
}

/* The same for a program that reads with read() and looks at what that cannot carry. */
static void test_control(const struct flood *f)
{
	enum tlsrec_control result;
	struct both both;
	int handled = 0;

	if (!started(&both, f))
		return;
	alarm(LIMIT_S);
	do {
		send_flood(&both, f, 32);
		result = tlsrec_control(both.conn[!f->from]);
		handled += result == TLSREC_CONTROL_HANDLED;
	} while (result >= 0 && handled < MANY);
	alarm(0);
	tap_ok(result == TLSREC_CONTROL_ERROR && errno == EPROTO && handled >= 256 && handled < MANY,
	       "U5: %s: tlsrec_control() took %d: %s", f->name, handled,
	       tlsrec_conn_error(both.conn[!f->from]));
	both_end(&both);
}

static bool send_sealed(struct both *both, uint8_t type, const void *data, size_t len)
{
	static uint8_t record[TR_RECORD_MAX];
	struct tr_keys *keys = &both->conn[0]->keys;
	ssize_t n = tr_seal(keys->version, &keys->tx, type, data, len, record);

	return n > 0 && send(both->fd[0], record, (size_t)n, 0) == n;
}

/* The same with empty records of data in between, in which there is none. */
static void test_empty_between(int version)
{
	struct both both = { .version = version, .bare = true };
	enum tlsrec_control result = TLSREC_CONTROL_NONE;
	int handled = 0;
	char byte;
	bool ok;

	ok = both_start(&both, root, ec);
	alarm(LIMIT_S);
	while (ok && result >= 0 && handled < MANY) {
		ok = send_sealed(&both, TR_DATA, "", 0) && send_sealed(&both, TR_ALERT, "\x01\x5a", 2);
		do {
			result = tlsrec_control(both.conn[1]);
			if (result == TLSREC_CONTROL_DATA)
				ok = ok && recv(both.fd[1], &byte, 1, MSG_DONTWAIT) < 0;
		} while (ok && result > TLSREC_CONTROL_NONE && result != TLSREC_CONTROL_HANDLED);
		handled += result == TLSREC_CONTROL_HANDLED;
	}
	alarm(0);
	tap_ok(result == TLSREC_CONTROL_ERROR && errno == EPROTO && handled < MANY,
	       "U5: TLS 1.%d: empty records and warnings in turn: tlsrec_control() took %d: %s", (version & 15) - 1,
	       handled, tlsrec_conn_error(both.conn[1]));
	both_end(&both);
}

/* With data in between there may be as many as there are. */
static void test_not_in_a_row(const struct flood *f)
{
	struct both both;
	int taken = 0;
	char byte;

	if (!started(&both, f))
		return;
	for (; taken < MANY; taken += 8) {
		ssize_t n;

		if (send_flood(&both, f, 8) != 8 || send(both.fd[f->from], "x", 1, 0) != 1)
			break;
		n = tlsrec_recv(both.conn[!f->from], &byte, 1, 0);
		if (n != 1 || byte != 'x')
			break;
	}
	tap_ok(taken == MANY, "U5: %s with data in between are taken: %d, %s", f->name, taken,
	       tlsrec_conn_error(both.conn[!f->from]));
	both_end(&both);
}

/* A program with edge-triggered events reads until EAGAIN and no further: everything is found by then. */
static void test_edges(const struct flood *f)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int epoll = epoll_create1(0), interrupted = 0;
	struct both both;
	bool found = false;
	char buf[16];
	ssize_t n;

	if (!started(&both, f))
		return;
	while (tlsrec_recv(both.conn[!f->from], buf, sizeof(buf), MSG_DONTWAIT) >= 0 || errno == EINTR)
		;
	epoll_ctl(epoll, EPOLL_CTL_ADD, both.fd[!f->from], &event);
	send_flood(&both, f, 100);
	send(both.fd[f->from], "behind", 6, 0);
	while (!found && epoll_wait(epoll, &event, 1, TIMEOUT_MS) == 1) {
		do {
			n = tlsrec_recv(both.conn[!f->from], buf, sizeof(buf), MSG_DONTWAIT);
			interrupted += n < 0 && errno == EINTR;
			found |= n == 6 && !memcmp(buf, "behind", 6);
		} while (n > 0 || (n < 0 && errno == EINTR));
	}
	tap_ok(found && interrupted, "U5: %s: found behind them with edge-triggered events, EINTR %d times",
	       f->name, interrupted);
	close(epoll);
	both_end(&both);
}

/* A blocking call is not interrupted. */
static void test_blocking(const struct flood *f)
{
	struct both both;
	char buf[16];
	ssize_t n;

	if (!started(&both, f))
		return;
	send_flood(&both, f, 100);
	send(both.fd[f->from], "behind", 6, 0);
	n = tlsrec_recv(both.conn[!f->from], buf, sizeof(buf), 0);
	tap_ok(n == 6 && !memcmp(buf, "behind", 6), "U5: %s: a call that waits gets the data behind a hundred",
	       f->name);
	both_end(&both);
}

static size_t stuff(int fd)
{
	static char bytes[65536];
	size_t all = 0;
	ssize_t n;

	while ((n = send(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		all += (size_t)n;
	return all;
}

static size_t drain(int fd, size_t all)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	static char bytes[65536];
	size_t got = 0;
	ssize_t n = 1;

	while (got < all && n > 0 && poll(&p, 1, TIMEOUT_MS) == 1) {
		n = recv(fd, bytes, all - got < sizeof(bytes) ? all - got : sizeof(bytes), 0);
		got += n > 0 ? (size_t)n : 0;
	}
	return got;
}

/* No room for the answer: the call returns, and a later one sends it. */
static void test_no_room_for_answer(void)
{
	struct both both = { .version = TLSREC_TLS_1_2 };
	struct tr_received what;
	uint8_t alert[2] = { 0 };
	size_t all;
	bool ok;

	ok = both_start(&both, root, ec);
	all = stuff(both.fd[0]);
	tr_send_typed(both.fd[1], TR_HANDSHAKE, "\0\0\0\0", 4, 0);
	alarm(LIMIT_S);
	ok = ok && tlsrec_control(both.conn[0]) == TLSREC_CONTROL_HANDLED;
	alarm(0);
	tap_ok(ok, "U10: a HelloRequest and no room for the answer: tlsrec_control() returns");
	ok = drain(both.fd[1], all) == all && tlsrec_control(both.conn[0]) == TLSREC_CONTROL_NONE &&
	     tr_recv_typed(both.fd[1], alert, sizeof(alert), 0, &what) == 2;
	tap_ok(ok && what.type == TR_ALERT && alert[0] == 1 && alert[1] == 100,
	       "U10: room again: the next call answers no_renegotiation, behind the data");
	tap_ok(tlsrec_control(both.conn[0]) == TLSREC_CONTROL_NONE &&
	       recv(both.fd[1], alert, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN, "U10: and once");
	both_end(&both);
}

/* The same with an alert that ends the connection. */
static void test_no_room_for_alert(int version)
{
	struct both both = { .version = version };
	bool ok;

	ok = both_start(&both, root, ec) && stuff(both.fd[1]);
	tr_send_typed(both.fd[0], TR_HANDSHAKE, "\x0b\0\0\0", 4, 0);
	alarm(LIMIT_S);
	ok = ok && tlsrec_control(both.conn[1]) == TLSREC_CONTROL_ERROR && errno == EPROTO;
	alarm(0);
	tap_ok(ok, "U10: TLS 1.%d: a message that must not come and no room for the alert: %s", (version & 15) - 1,
	       tlsrec_conn_error(both.conn[1]));
	both_end(&both);
}

/* A stream that is cut off is no end, however it is read, and stays none. */
static void test_cut_off(int version)
{
	struct both both = { .version = version };
	char buf[16];
	ssize_t n;
	bool ok;

	ok = both_start(&both, root, ec);
	send(both.fd[1], "half", 4, 0);
	shutdown(both.fd[1], SHUT_WR);
	n = tlsrec_recv(both.conn[0], buf, sizeof(buf), MSG_WAITALL);
	ok = ok && n == 4;
	for (int i = 0; i < 2; i++) {
		n = tlsrec_recv(both.conn[0], buf, sizeof(buf), 0);
		ok = ok && n < 0 && errno == ECONNRESET;
	}
	tap_ok(ok && !tlsrec_conn_closed(both.conn[0]) &&
	       tlsrec_conn_error_kind(both.conn[0]) == TLSREC_ERROR_IO &&
	       tlsrec_control(both.conn[0]) == TLSREC_CONTROL_EOF,
	       "U10: TLS 1.%d: cut off behind data: %s", (version & 15) - 1, tlsrec_conn_error(both.conn[0]));
	both_end(&both);
}

int main(void)
{
	both_need_ulp();
	pki_begin();
	root = pki_make(&(struct pki_spec){ .name = "root", .ca = true });
	ec = pki_make(&(struct pki_spec){ .name = "ec", .san = "DNS:server.example", .issuer = root });
	for (int i = 0; i < FLOODS; i++)
		test_refused(&floods[i]);
	test_control(&floods[TICKETS]);
	test_control(&floods[KEY_UPDATES]);
	test_not_in_a_row(&floods[TICKETS]);
	test_not_in_a_row(&floods[KEY_UPDATES]);
	test_edges(&floods[TICKETS]);
	test_edges(&floods[KEY_UPDATES]);
	test_blocking(&floods[TICKETS]);
	test_blocking(&floods[KEY_UPDATES]);
	test_no_room_for_answer();
	for (int version = TLSREC_TLS_1_2; version <= TLSREC_TLS_1_3; version++) {
		test_empty_between(version);
		test_no_room_for_alert(version);
		test_cut_off(version);
	}
	pki_end();
	return tap_done();
}
