// SPDX-License-Identifier: MIT
#include "front.h"

#include "common/address.h"
#include "common/say.h"
#include "log.h"
#include "places.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LISTENERS = 8, FAREWELL_SECONDS = 10, TOLD_MS = 1000 };

/* ---- the state ---- */

/* A connection, from when it is accepted until its socket is closed. */
struct guest {
	struct visit visit;	/* first, for the HTTP server gives it back */
	struct place place;
	struct guest *prev, *next;	/* the list of handshakes; `next` also that of farewells to come */
	struct tlsrec_conn *conn;
	int fd;
	ev_io io;
	ev_timer timer;
	struct sockaddr_storage address;
	socklen_t address_len;
};

static struct {
	const struct front_config *config;
	struct ev_loop *loop;
	ev_io listeners[MAX_LISTENERS];
	int listener_count;
	bool paused;
	ev_timer retry, tick;
	struct guest handshakes;	/* head of the list */
	/* From the threads of the HTTP server. */
	ev_async news;
	pthread_mutex_t lock;
	struct guest *farewells;
} front = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void log_end(const struct guest *g, const char *what, const char *why)
{
	if (front.config->log)
		log_event(front.config->log, g->visit.peer, what, why);
}

/* ---- the end of connections ---- */

static void guest_leave(struct guest *g)
{
	place_leave(&g->place);
	free(g);
	ev_async_send(front.loop, &front.news);
}

static void stop_watching(struct guest *g)
{
	ev_io_stop(front.loop, &g->io);
	ev_timer_stop(front.loop, &g->timer);
}

static void farewell_done(struct guest *g)
{
	tlsrec_close_notify(g->fd);
	stop_watching(g);
	close(g->fd);
	guest_leave(g);
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

static void farewell_start(struct guest *g)
{
	ev_io_init(&g->io, on_farewell_io, g->fd, EV_WRITE);
	ev_timer_init(&g->timer, on_farewell_timer, FAREWELL_SECONDS, 0);
	g->io.data = g->timer.data = g;
	ev_io_start(front.loop, &g->io);
	ev_timer_start(front.loop, &g->timer);
	place_set(&g->place, PLACE_LEAVING);
}

/* Called by the threads of the HTTP server: a second descriptor keeps the connection for the event loop. */
static bool farewell_later(struct guest *g, int fd)
{
	g->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (g->fd < 0)
		return false;
	pthread_mutex_lock(&front.lock);
	g->next = front.farewells;
	front.farewells = g;
	pthread_mutex_unlock(&front.lock);
	ev_async_send(front.loop, &front.news);
	return true;
}

/* ---- called by the threads of the HTTP server ---- */

/*
 * Alerts, key updates and the like are dealt with by the library; what comes out is data. To a guest who has been told to
 * go nobody listens any more.
 */
ssize_t front_receive(struct visit *visit, void *buf, size_t len)
{
	struct guest *g = (struct guest *)visit;

	if (g->place.told != PLACE_WELCOME)
		return 0;
	return tlsrec_recv(g->conn, buf, len, 0);
}

void front_on_visit(struct visit *visit, enum visit_state state)
{
	static const enum place_state states[] = {
		[VISIT_WAITS] = PLACE_KEPT,
		[VISIT_ASKS] = PLACE_REQUEST,
		[VISIT_ANSWERED] = PLACE_ANSWER,
	};

	if (place_set(&((struct guest *)visit)->place, states[state]))
		ev_async_send(front.loop, &front.news);
}

static void log_told(const struct guest *g)
{
	if (g->place.told == PLACE_LATE)
		log_end(g, "no request", "it took too long.");
	else if (g->place.told == PLACE_NEEDED)
		log_end(g, "no request", "it had not come when others needed the place.");
}

void front_on_http_close(struct visit *visit, int fd)
{
	struct guest *g = (struct guest *)visit;

	place_take_back(&g->place);
	tlsrec_conn_free(g->conn);
	log_told(g);
	if (fd >= 0 && tlsrec_close_notify(fd) && errno == EAGAIN && g->place.told == PLACE_WELCOME &&
	    farewell_later(g, fd))
		return;
	if (fd >= 0)
		shutdown(fd, SHUT_WR);
	guest_leave(g);
}

/* ---- handshakes ---- */

static void handshake_unlink(struct guest *g)
{
	stop_watching(g);
	g->prev->next = g->next;
	g->next->prev = g->prev;
}

static void handshake_drop(struct guest *g, const char *why)
{
	log_end(g, "no connection", why);
	handshake_unlink(g);
	tlsrec_conn_free(g->conn);
	close(g->fd);
	guest_leave(g);
}

static void handshake_done(struct guest *g)
{
	const struct tlsrec_info *info = tlsrec_conn_info(g->conn);

	snprintf(g->visit.note, sizeof(g->visit.note), "%s %s%s", info->version_name, info->suite,
		 info->resumed ? ", resumed" : "");
	handshake_unlink(g);
	place_hand_over(&g->place, g->fd);
	httpd_add(g->fd, (struct sockaddr *)&g->address, g->address_len, &g->visit);
}

static void handshake_step(struct guest *g)
{
	int events = EV_READ;

	switch (tlsrec_step(g->conn)) {
	case TLSREC_DONE:
		handshake_done(g);
		return;
	case TLSREC_ERROR:
		handshake_drop(g, tlsrec_conn_error(g->conn));
		return;
	case TLSREC_WANT_WRITE:
		events = EV_WRITE;
		break;
	case TLSREC_WANT_READ:
		break;
	}
	ev_io_stop(front.loop, &g->io);
	ev_io_set(&g->io, g->fd, events);
	ev_io_start(front.loop, &g->io);
}

/* Who says nothing costs no more than a socket: TLS is begun with the first byte. */
static void on_handshake_io(struct ev_loop *loop, ev_io *w, int events)
{
	struct guest *g = w->data;

	(void)loop, (void)events;
	if (!g->conn)
		g->conn = tlsrec_conn_new(front.config->ctx, g->fd, NULL);
	if (g->conn)
		handshake_step(g);
	else
		handshake_drop(g, "out of memory.");
}

static void on_handshake_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)loop, (void)events;
	handshake_drop(w->data, "the handshake took too long.");
}

static void handshake_start(struct guest *g)
{
	struct guest *head = &front.handshakes;

	g->prev = head->prev;
	g->next = head;
	g->prev->next = g->next->prev = g;
	ev_io_init(&g->io, on_handshake_io, g->fd, EV_READ);
	ev_timer_init(&g->timer, on_handshake_timer, (double)front.config->handshake_timeout_s, 0);
	g->io.data = g->timer.data = g;
	ev_io_start(front.loop, &g->io);
	ev_timer_start(front.loop, &g->timer);
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

/* Ends one that only the event loop has. */
static void send_away(struct place *p)
{
	struct guest *g = (struct guest *)((char *)p - offsetof(struct guest, place));

	if (p->state == PLACE_LEAVING)
		farewell_done(g);
	else
		handshake_drop(g, "the handshake was not over when others needed the place.");
}

/*
 * When all places are taken, whoever has waited for longest makes room, so that peers that connect and then say nothing, or
 * only half of something, cannot lock the others out. False if the place is not free yet: there will be news.
 */
static bool make_room(void)
{
	struct place *loser;

	if (!places_full())
		return true;
	if (!places_make_room(&loser) || !loser)
		return false;
	send_away(loser);
	return true;
}

/* False if there is no place for this address. */
static bool give_place(struct guest *g)
{
	struct place *loser;

	switch (place_take(&g->place, (struct sockaddr *)&g->address, &loser)) {
	case PLACE_TAKEN:
		if (loser)
			send_away(loser);
		return true;
	case PLACE_REFUSED:
		log_end(g, "no connection", "this address has as many as it may have, all of them at work.");
		return false;
	default:
		say("out of memory for a new connection.");
		return false;
	}
}

static void admit(int fd, const struct sockaddr_storage *address, socklen_t len)
{
	struct guest *g = calloc(1, sizeof(*g));

	if (!g) {
		say("out of memory for a new connection.");
		close(fd);
		return;
	}
	g->fd = fd;
	g->address = *address;
	g->address_len = len;
	address_text((const struct sockaddr *)address, len, g->visit.peer, sizeof(g->visit.peer));
	if (!give_place(g)) {
		close(fd);
		free(g);
		return;
	}
	handshake_start(g);
}

static void on_accept(struct ev_loop *loop, ev_io *w, int events)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	int fd;

	(void)loop, (void)events;
	if (!make_room()) {
		pause_accepting(true);
		return;
	}
	fd = accept4(w->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		admit(fd, &address, len);
	} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		/* Trying again at once would only heat the room. */
		pause_accepting(true);
		ev_timer_again(front.loop, &front.retry);
	}
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)loop, (void)w, (void)events;
	places_tell_late((uint64_t)front.config->request_timeout_s * 1000, TOLD_MS);
}

static void on_retry(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)events;
	ev_timer_stop(loop, w);
	pause_accepting(false);
}

static void on_news(struct ev_loop *loop, ev_async *w, int events)
{
	struct guest *g, *next;

	(void)loop, (void)w, (void)events;
	pthread_mutex_lock(&front.lock);
	g = front.farewells;
	front.farewells = NULL;
	pthread_mutex_unlock(&front.lock);
	for (; g; g = next) {
		next = g->next;
		farewell_start(g);
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
	ev_timer_init(&front.tick, on_tick, 1, 1);
	ev_timer_start(front.loop, &front.tick);
	places_init(config->connections, config->per_address);
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
	struct guest *g;

	while ((g = front.farewells)) {
		front.farewells = g->next;
		tlsrec_close_notify(g->fd);
		close(g->fd);
		place_leave(&g->place);
		free(g);
	}
	for (int i = 0; i < front.listener_count; i++)
		close(front.listeners[i].fd);
	if (front.loop)
		ev_loop_destroy(front.loop);
}
