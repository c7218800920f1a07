// SPDX-License-Identifier: MIT
#include "front.h"

#include "common/address.h"
#include "common/say.h"
#include "httpd.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LISTENERS = 8, FAREWELL_SECONDS = 10 };

/* ---- the state ---- */

/* A connection whose handshake is going on. The list is in the order of arrival. */
struct handshake {
	struct handshake *prev, *next;
	ev_io io;
	ev_timer timer;
	struct tlsrec_conn *conn;
	int fd;
	struct sockaddr_storage address;
	socklen_t address_len;
	char peer[64];
};

/* A connection that is over but whose socket has no room for the close_notify yet. */
struct farewell {
	struct farewell *next;
	ev_io io;
	ev_timer timer;
	int fd;
};

static struct {
	const struct front_config *config;
	struct ev_loop *loop;
	ev_io listeners[MAX_LISTENERS];
	int listener_count;
	bool paused;
	ev_timer retry;
	struct handshake handshakes;	/* head of the list */
	/* From the threads of the HTTP server. */
	atomic_long connections;
	ev_async news;
	pthread_mutex_t lock;
	struct farewell *farewells;
} front = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void log_refusal(const char *peer, const char *why)
{
	if (front.config->quiet)
		return;
	printf("%s no connection: %s\n", peer, why);
	fflush(stdout);
}

/* ---- the end of connections ---- */

static void connection_over(void)
{
	atomic_fetch_sub(&front.connections, 1);
	ev_async_send(front.loop, &front.news);
}

static void farewell_done(struct farewell *f)
{
	tlsrec_close_notify(f->fd);
	ev_io_stop(front.loop, &f->io);
	ev_timer_stop(front.loop, &f->timer);
	close(f->fd);
	free(f);
	connection_over();
}

static void on_farewell_io(struct ev_loop *loop, ev_io *w, int events)
{
	(void)loop, (void)events;
	farewell_done(w->data);
}

static void on_farewell_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)loop, (void)events;
	farewell_done(w->data);
}

static void farewell_start(struct farewell *f)
{
	ev_io_init(&f->io, on_farewell_io, f->fd, EV_WRITE);
	ev_timer_init(&f->timer, on_farewell_timer, FAREWELL_SECONDS, 0);
	f->io.data = f->timer.data = f;
	ev_io_start(front.loop, &f->io);
	ev_timer_start(front.loop, &f->timer);
}

/* Called by the threads of the HTTP server: a second descriptor keeps the connection for the event loop. */
static bool farewell_later(int fd)
{
	struct farewell *f = calloc(1, sizeof(*f));

	if (!f)
		return false;
	f->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (f->fd < 0) {
		free(f);
		return false;
	}
	pthread_mutex_lock(&front.lock);
	f->next = front.farewells;
	front.farewells = f;
	pthread_mutex_unlock(&front.lock);
	ev_async_send(front.loop, &front.news);
	return true;
}

/* Alerts, key updates and the like are dealt with by the library; what comes out is data. */
ssize_t front_receive(struct visit *visit, void *buf, size_t len)
{
	return tlsrec_recv(visit->connection, buf, len, 0);
}

void front_on_http_close(struct visit *visit, int fd)
{
	tlsrec_conn_free(visit->connection);
	if (fd >= 0 && tlsrec_close_notify(fd) && errno == EAGAIN && farewell_later(fd))
		return;
	if (fd >= 0)
		shutdown(fd, SHUT_WR);
	connection_over();
}

/* ---- handshakes ---- */

static void handshake_unlink(struct handshake *h)
{
	ev_io_stop(front.loop, &h->io);
	ev_timer_stop(front.loop, &h->timer);
	h->prev->next = h->next;
	h->next->prev = h->prev;
	tlsrec_conn_free(h->conn);
}

static void handshake_drop(struct handshake *h, const char *why)
{
	log_refusal(h->peer, why);
	handshake_unlink(h);
	close(h->fd);
	free(h);
	connection_over();
}

static void handshake_done(struct handshake *h)
{
	const struct tlsrec_info *info = tlsrec_conn_info(h->conn);
	struct visit *visit = calloc(1, sizeof(*visit));

	if (!visit) {
		handshake_drop(h, "out of memory.");
		return;
	}
	snprintf(visit->peer, sizeof(visit->peer), "%s", h->peer);
	snprintf(visit->note, sizeof(visit->note), "%s %s%s", info->version_name, info->suite,
		 info->resumed ? ", resumed" : "");
	visit->connection = h->conn;
	h->conn = NULL;
	handshake_unlink(h);
	httpd_add(h->fd, (struct sockaddr *)&h->address, h->address_len, visit);
	free(h);
}

static void handshake_step(struct handshake *h)
{
	int events = EV_READ;

	switch (tlsrec_step(h->conn)) {
	case TLSREC_DONE:
		handshake_done(h);
		return;
	case TLSREC_ERROR:
		handshake_drop(h, tlsrec_conn_error(h->conn));
		return;
	case TLSREC_WANT_WRITE:
		events = EV_WRITE;
		break;
	case TLSREC_WANT_READ:
		break;
	}
	ev_io_stop(front.loop, &h->io);
	ev_io_set(&h->io, h->fd, events);
	ev_io_start(front.loop, &h->io);
}

static void on_handshake_io(struct ev_loop *loop, ev_io *w, int events)
{
	(void)loop, (void)events;
	handshake_step(w->data);
}

static void on_handshake_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)loop, (void)events;
	handshake_drop(w->data, "the handshake took too long.");
}

static void handshake_start(int fd, const struct sockaddr_storage *address, socklen_t len)
{
	struct handshake *h = calloc(1, sizeof(*h)), *head = &front.handshakes;
	struct tlsrec_conn *conn = h ? tlsrec_conn_new(front.config->ctx, fd, NULL) : NULL;

	atomic_fetch_add(&front.connections, 1);
	if (!conn) {
		say("out of memory for a new connection.");
		free(h);
		close(fd);
		connection_over();
		return;
	}
	h->fd = fd;
	h->conn = conn;
	h->address = *address;
	h->address_len = len;
	address_text((const struct sockaddr *)address, len, h->peer, sizeof(h->peer));
	h->prev = head->prev;
	h->next = head;
	h->prev->next = h->next->prev = h;
	ev_io_init(&h->io, on_handshake_io, fd, EV_READ);
	ev_timer_init(&h->timer, on_handshake_timer, (double)front.config->handshake_timeout_s, 0);
	h->io.data = h->timer.data = h;
	ev_timer_start(front.loop, &h->timer);
	handshake_step(h);
}

/* ---- accepting ---- */

static void pause_accepting(bool pause)
{
	if (pause == front.paused)
		return;
	front.paused = pause;
	for (int i = 0; i < front.listener_count; i++) {
		if (pause)
			ev_io_stop(front.loop, &front.listeners[i]);
		else
			ev_io_start(front.loop, &front.listeners[i]);
	}
}

/*
 * When all places are taken, whoever has been dawdling in a handshake for longest makes room, so that peers
 * that connect and then say nothing cannot lock the others out. Connections that have come further are left alone.
 */
static bool make_room(void)
{
	struct handshake *oldest = front.handshakes.next;

	if (atomic_load(&front.connections) < front.config->connections)
		return true;
	if (oldest == &front.handshakes)
		return false;
	handshake_drop(oldest, "the handshake was not over when others needed the place.");
	return true;
}

static void on_accept(struct ev_loop *loop, ev_io *w, int events)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	int fd;

	(void)loop, (void)events;
	if (atomic_load(&front.connections) >= front.config->connections &&
	    front.handshakes.next == &front.handshakes) {
		pause_accepting(true);
		return;
	}
	fd = accept4(w->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0 && make_room()) {
		handshake_start(fd, &address, len);
	} else if (fd >= 0) {
		close(fd);
	} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		/* Trying again at once would only heat the room. */
		pause_accepting(true);
		ev_timer_again(front.loop, &front.retry);
	}
}

static void on_retry(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)events;
	ev_timer_stop(loop, w);
	pause_accepting(false);
}

static void on_news(struct ev_loop *loop, ev_async *w, int events)
{
	struct farewell *f, *next;

	(void)loop, (void)w, (void)events;
	pthread_mutex_lock(&front.lock);
	f = front.farewells;
	front.farewells = NULL;
	pthread_mutex_unlock(&front.lock);
	for (; f; f = next) {
		next = f->next;
		farewell_start(f);
	}
	if (!ev_is_active(&front.retry))
		pause_accepting(false);
}

/* ---- listening ---- */

static void add_listener(int fd)
{
	ev_io *w = &front.listeners[front.listener_count++];

	ev_io_init(w, on_accept, fd, EV_READ);
	ev_io_start(front.loop, w);
}

static int listen_on(const struct addrinfo *ai, bool dual)
{
	int fd, on = 1, off = !dual;

	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (!bind(fd, ai->ai_addr, ai->ai_addrlen) && !listen(fd, SOMAXCONN))
		return fd;
	close(fd);
	return -1;
}

/* Without an address: one socket for IPv6 and IPv4, or IPv4 where there is no IPv6. */
static bool listen_everywhere(void)
{
	struct sockaddr_in6 any6 = { .sin6_family = AF_INET6,
				     .sin6_port = htons((uint16_t)front.config->port) };
	struct sockaddr_in any4 = { .sin_family = AF_INET,
				    .sin_port = htons((uint16_t)front.config->port) };
	struct addrinfo ai6 = { .ai_family = AF_INET6, .ai_addr = (struct sockaddr *)&any6,
				.ai_addrlen = sizeof(any6) };
	struct addrinfo ai4 = { .ai_family = AF_INET, .ai_addr = (struct sockaddr *)&any4,
				.ai_addrlen = sizeof(any4) };
	int fd = listen_on(&ai6, true);

	if (fd < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
		fd = listen_on(&ai4, false);
	if (fd >= 0)
		add_listener(fd);
	return fd >= 0;
}

static void say_cannot_listen(const struct front_config *o)
{
	const char *hint = "";

	if (errno == EADDRINUSE)
		hint = " Another program has it; choose another with --port.";
	else if (errno == EACCES)
		hint = " Ports below 1024 need root; choose another with --port.";
	else if (errno == EADDRNOTAVAIL)
		hint = " This machine does not have that address.";
	say("cannot listen on %s%sport %ld: %s.%s", o->address ? o->address : "", o->address ? " " : "",
	    o->port, strerror(errno), hint);
}

static bool listen_on_address(const struct front_config *o)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct addrinfo *list, *ai;
	char port[8];
	int err, fd;

	snprintf(port, sizeof(port), "%ld", o->port);
	err = getaddrinfo(o->address, port, &hints, &list);
	if (err) {
		say("cannot listen on \"%s\": %s.", o->address, gai_strerror(err));
		return false;
	}
	for (ai = list; ai && front.listener_count < MAX_LISTENERS; ai = ai->ai_next) {
		fd = listen_on(ai, false);
		if (fd >= 0)
			add_listener(fd);
	}
	if (!front.listener_count)
		say_cannot_listen(o);
	freeaddrinfo(list);
	return front.listener_count > 0;
}

unsigned int front_port(void)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (getsockname(front.listeners[0].fd, (struct sockaddr *)&sa, &len))
		return 0;
	return ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
					      : ((struct sockaddr_in *)&sa)->sin_port);
}

/* ---- life ---- */

bool front_listen(const struct front_config *config)
{
	front.config = config;
	front.handshakes.prev = front.handshakes.next = &front.handshakes;
	front.loop = ev_default_loop(0);
	if (!front.loop) {
		say("cannot start the event loop.");
		return false;
	}
	ev_async_init(&front.news, on_news);
	ev_async_start(front.loop, &front.news);
	ev_init(&front.retry, on_retry);
	front.retry.repeat = 1;
	if (config->address)
		return listen_on_address(config);
	if (listen_everywhere())
		return true;
	say_cannot_listen(config);
	return false;
}

static void on_signal(struct ev_loop *loop, ev_signal *w, int events)
{
	(void)w, (void)events;
	ev_break(loop, EVBREAK_ALL);
}

void front_run(void)
{
	ev_signal interrupt, terminate;

	ev_signal_init(&interrupt, on_signal, SIGINT);
	ev_signal_init(&terminate, on_signal, SIGTERM);
	ev_signal_start(front.loop, &interrupt);
	ev_signal_start(front.loop, &terminate);
	ev_run(front.loop, 0);
	ev_signal_stop(front.loop, &interrupt);
	ev_signal_stop(front.loop, &terminate);
	pause_accepting(true);
	while (front.handshakes.next != &front.handshakes)
		handshake_drop(front.handshakes.next, "the server ends.");
}

void front_free(void)
{
	struct farewell *f;

	while ((f = front.farewells)) {
		front.farewells = f->next;
		tlsrec_close_notify(f->fd);
		close(f->fd);
		free(f);
	}
	for (int i = 0; i < front.listener_count; i++)
		close(front.listeners[i].fd);
	if (front.loop)
		ev_loop_destroy(front.loop);
}
