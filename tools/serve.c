// SPDX-License-Identifier: MIT
/*
 * tlsrec serve: an HTTPS file server in two halves. This one accepts connections and runs all handshakes
 * in one event loop, without ever waiting for anybody; a socket whose keys are in the kernel is then handed
 * to the other half (httpd.c), a plain HTTP server.
 */
#include "common.h"
#include "httpd.h"
#include "selfsigned.h"

#include <argp.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <tlsrec.h>
#include <unistd.h>

enum { MAX_CERTS = 32, MAX_LISTENERS = 8, FAREWELL_SECONDS = 10 };

struct cert {
	const char *chain, *key, *staple;
};

struct options {
	const char *dir;
	const char *address;
	long port;
	struct cert certs[MAX_CERTS];
	int cert_count;
	const char *client_ca, *client_crl;
	bool client_optional, strict_sni;
	const char *alpn, *ciphers, *groups;
	int min_version, max_version;
	enum tlsrec_resume resume;
	long tickets;
	const char *ulp;
	long connections, handshake_timeout_s, idle_timeout_s, threads;
	bool quiet;
};

/* ---- arguments ---- */

enum {
	OPT_PORT = 'p',
	OPT_LISTEN = 'l',
	OPT_QUIET = 'q',
	OPT_CERT = 0x100,
	OPT_KEY,
	OPT_OCSP,
	OPT_STRICT_SNI,
	OPT_CLIENT_CA,
	OPT_CLIENT_CRL,
	OPT_CLIENT_OPTIONAL,
	OPT_ALPN,
	OPT_TLS12,
	OPT_TLS13,
	OPT_CIPHERS,
	OPT_GROUPS,
	OPT_TICKETS,
	OPT_NO_TICKETS,
	OPT_NO_RESUMPTION,
	OPT_MAX_CONNECTIONS,
	OPT_HANDSHAKE_TIMEOUT,
	OPT_IDLE_TIMEOUT,
	OPT_THREADS,
	OPT_ULP,
};

static const struct argp_option options[] = {
	{ .doc = "Where:", .group = 1 },
	{ "port", OPT_PORT, "NUMBER", 0, "TCP port (default 8443; 0: any that is free)", 1 },
	{ "listen", OPT_LISTEN, "ADDRESS", 0, "Only on this address or host name (default: on all)", 1 },
	{ .doc = "Who we are:", .group = 2 },
	{ "cert", OPT_CERT, "FILE", 0,
	  "Certificate and its chain, PEM; repeat for other names (SNI). Without one, a throw-away "
	  "certificate is made", 2 },
	{ "key", OPT_KEY, "FILE", 0, "Private key of the --cert before it, if not in the same file", 2 },
	{ "ocsp", OPT_OCSP, "FILE", 0, "OCSP response (DER) to staple to the --cert before it", 2 },
	{ "strict-sni", OPT_STRICT_SNI, NULL, 0,
	  "Refuse clients that ask for a name no certificate has", 2 },
	{ .doc = "Who the clients must be:", .group = 3 },
	{ "client-ca", OPT_CLIENT_CA, "FILE", 0,
	  "Require a client certificate that leads to a root in this file", 3 },
	{ "client-crl", OPT_CLIENT_CRL, "FILE", 0, "Revocation list for client certificates", 3 },
	{ "client-optional", OPT_CLIENT_OPTIONAL, NULL, 0,
	  "Ask for a client certificate but do not insist", 3 },
	{ .doc = "What to offer:", .group = 4 },
	{ "alpn", OPT_ALPN, "LIST", 0, "Application protocols (default http/1.1; \"\" for none)", 4 },
	{ "tls1.2", OPT_TLS12, NULL, 0, "TLS 1.2 only", 4 },
	{ "tls1.3", OPT_TLS13, NULL, 0, "TLS 1.3 only", 4 },
	{ "ciphers", OPT_CIPHERS, "LIST", 0, "Cipher suites, separated by colons", 4 },
	{ "groups", OPT_GROUPS, "LIST", 0, "Key exchange groups, separated by colons", 4 },
	{ "tickets", OPT_TICKETS, "NUMBER", 0,
	  "Session tickets for each new TLS 1.3 connection, 0 to 16 (default 2)", 4 },
	{ "no-tickets", OPT_NO_TICKETS, NULL, 0, "Keep sessions in memory, not in tickets", 4 },
	{ "no-resumption", OPT_NO_RESUMPTION, NULL, 0, "Keep no sessions at all", 4 },
	{ .doc = "Limits:", .group = 5 },
	{ "max-connections", OPT_MAX_CONNECTIONS, "NUMBER", 0, "At once (default 1000)", 5 },
	{ "handshake-timeout", OPT_HANDSHAKE_TIMEOUT, "SECONDS", 0, "(default 10)", 5 },
	{ "idle-timeout", OPT_IDLE_TIMEOUT, "SECONDS", 0,
	  "For a connection on which nothing moves (default 60)", 5 },
	{ "threads", OPT_THREADS, "NUMBER", 0, "That send files (default: one for each CPU)", 5 },
	{ .doc = "Other:", .group = 6 },
	{ "ulp", OPT_ULP, "NAME", 0, "Kernel record layer to use (default tlsrec)", 6 },
	{ "quiet", OPT_QUIET, NULL, 0, "No log of requests and refused connections", 6 },
	{ 0 },
};

static void number(struct argp_state *state, const char *option, const char *arg, long min, long max,
		   long *value)
{
	if (!parse_number(arg, min, max, value))
		argp_error(state, "--%s wants a number from %ld to %ld, not \"%s\"", option, min, max,
			   arg);
}

static struct cert *last_cert(struct options *o, const char *option, struct argp_state *state)
{
	if (!o->cert_count)
		argp_error(state, "--%s comes after the --cert it belongs to", option);
	return &o->certs[o->cert_count ? o->cert_count - 1 : 0];
}

static void only_version(struct options *o, int version, struct argp_state *state)
{
	if (o->min_version == o->max_version && o->min_version != version)
		argp_error(state, "--tls1.2 and --tls1.3 exclude each other; leave both out to allow both");
	o->min_version = o->max_version = version;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case OPT_PORT:
		number(state, "port", arg, 0, 65535, &o->port);
		break;
	case OPT_LISTEN:
		o->address = arg;
		break;
	case OPT_CERT:
		if (o->cert_count == MAX_CERTS)
			argp_error(state, "more than %d certificates", MAX_CERTS);
		o->certs[o->cert_count++].chain = arg;
		break;
	case OPT_KEY:
		last_cert(o, "key", state)->key = arg;
		break;
	case OPT_OCSP:
		last_cert(o, "ocsp", state)->staple = arg;
		break;
	case OPT_STRICT_SNI:
		o->strict_sni = true;
		break;
	case OPT_CLIENT_CA:
		o->client_ca = arg;
		break;
	case OPT_CLIENT_CRL:
		o->client_crl = arg;
		break;
	case OPT_CLIENT_OPTIONAL:
		o->client_optional = true;
		break;
	case OPT_ALPN:
		o->alpn = arg;
		break;
	case OPT_TLS12:
		only_version(o, TLSREC_TLS_1_2, state);
		break;
	case OPT_TLS13:
		only_version(o, TLSREC_TLS_1_3, state);
		break;
	case OPT_CIPHERS:
		o->ciphers = arg;
		break;
	case OPT_GROUPS:
		o->groups = arg;
		break;
	case OPT_TICKETS:
		number(state, "tickets", arg, 0, 16, &o->tickets);
		break;
	case OPT_NO_TICKETS:
		o->resume = TLSREC_RESUME_IDS;
		break;
	case OPT_NO_RESUMPTION:
		o->resume = TLSREC_RESUME_OFF;
		break;
	case OPT_MAX_CONNECTIONS:
		number(state, "max-connections", arg, 1, 1000000, &o->connections);
		break;
	case OPT_HANDSHAKE_TIMEOUT:
		number(state, "handshake-timeout", arg, 1, 3600, &o->handshake_timeout_s);
		break;
	case OPT_IDLE_TIMEOUT:
		number(state, "idle-timeout", arg, 1, 86400, &o->idle_timeout_s);
		break;
	case OPT_THREADS:
		number(state, "threads", arg, 1, 16, &o->threads);
		break;
	case OPT_ULP:
		o->ulp = arg;
		break;
	case OPT_QUIET:
		o->quiet = true;
		break;
	case ARGP_KEY_ARG:
		if (o->dir)
			argp_error(state, "one directory at a time: \"%s\" is one too many", arg);
		o->dir = arg;
		break;
	case ARGP_KEY_END:
		if (!o->dir)
			argp_error(state, "which directory?");
		if ((o->client_crl || o->client_optional) && !o->client_ca)
			argp_error(state, "--client-crl and --client-optional need --client-ca");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "DIR",
	.doc = "Serve the files of a directory over HTTPS; the kernel encrypts and decrypts.",
};

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

static struct server {
	const struct options *options;
	struct ev_loop *loop;
	struct tlsrec_ctx *ctx;
	ev_io listeners[MAX_LISTENERS];
	int listener_count;
	bool paused;
	ev_timer retry;
	struct handshake handshakes;	/* head of the list */
	long handshake_count;
	/* From the threads of the HTTP server. */
	atomic_long connections;
	ev_async news;
	pthread_mutex_t lock;
	struct farewell *farewells;
} server = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void log_refusal(const char *peer, const char *why)
{
	if (server.options->quiet)
		return;
	printf("%s no connection: %s\n", peer, why);
	fflush(stdout);
}

/* ---- the end of connections ---- */

static void connection_over(void)
{
	atomic_fetch_sub(&server.connections, 1);
	ev_async_send(server.loop, &server.news);
}

static void farewell_done(struct farewell *f)
{
	tlsrec_close_notify(f->fd);
	ev_io_stop(server.loop, &f->io);
	ev_timer_stop(server.loop, &f->timer);
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
	ev_io_start(server.loop, &f->io);
	ev_timer_start(server.loop, &f->timer);
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
	pthread_mutex_lock(&server.lock);
	f->next = server.farewells;
	server.farewells = f;
	pthread_mutex_unlock(&server.lock);
	ev_async_send(server.loop, &server.news);
	return true;
}

static void on_http_close(int fd)
{
	if (fd >= 0 && tlsrec_close_notify(fd) && errno == EAGAIN && farewell_later(fd))
		return;
	if (fd >= 0)
		shutdown(fd, SHUT_WR);
	connection_over();
}

/* ---- handshakes ---- */

static void handshake_unlink(struct handshake *h)
{
	ev_io_stop(server.loop, &h->io);
	ev_timer_stop(server.loop, &h->timer);
	h->prev->next = h->next;
	h->next->prev = h->prev;
	server.handshake_count--;
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
	ev_io_stop(server.loop, &h->io);
	ev_io_set(&h->io, h->fd, events);
	ev_io_start(server.loop, &h->io);
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
	struct handshake *h = calloc(1, sizeof(*h)), *head = &server.handshakes;
	struct tlsrec_conn *conn = h ? tlsrec_conn_new(server.ctx, fd, NULL) : NULL;

	atomic_fetch_add(&server.connections, 1);
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
	server.handshake_count++;
	ev_io_init(&h->io, on_handshake_io, fd, EV_READ);
	ev_timer_init(&h->timer, on_handshake_timer, (double)server.options->handshake_timeout_s, 0);
	h->io.data = h->timer.data = h;
	ev_timer_start(server.loop, &h->timer);
	handshake_step(h);
}

/* ---- accepting ---- */

static void pause_accepting(bool pause)
{
	if (pause == server.paused)
		return;
	server.paused = pause;
	for (int i = 0; i < server.listener_count; i++) {
		if (pause)
			ev_io_stop(server.loop, &server.listeners[i]);
		else
			ev_io_start(server.loop, &server.listeners[i]);
	}
}

/*
 * When all places are taken, whoever has been dawdling in a handshake for longest makes room, so that peers
 * that connect and then say nothing cannot lock the others out. Connections that have come further are left alone.
 */
static bool make_room(void)
{
	struct handshake *oldest = server.handshakes.next;

	if (atomic_load(&server.connections) < server.options->connections)
		return true;
	if (oldest == &server.handshakes)
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
	if (atomic_load(&server.connections) >= server.options->connections &&
	    server.handshakes.next == &server.handshakes) {
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
		ev_timer_again(server.loop, &server.retry);
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
	pthread_mutex_lock(&server.lock);
	f = server.farewells;
	server.farewells = NULL;
	pthread_mutex_unlock(&server.lock);
	for (; f; f = next) {
		next = f->next;
		farewell_start(f);
	}
	if (!ev_is_active(&server.retry))
		pause_accepting(false);
}

/* ---- listening ---- */

static void add_listener(int fd)
{
	ev_io *w = &server.listeners[server.listener_count++];

	ev_io_init(w, on_accept, fd, EV_READ);
	ev_io_start(server.loop, w);
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
				     .sin6_port = htons((uint16_t)server.options->port) };
	struct sockaddr_in any4 = { .sin_family = AF_INET,
				    .sin_port = htons((uint16_t)server.options->port) };
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

static void say_cannot_listen(const struct options *o)
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

static bool start_listening(const struct options *o)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct addrinfo *list, *ai;
	char port[8];
	int err, fd;

	if (!o->address) {
		if (listen_everywhere())
			return true;
		say_cannot_listen(o);
		return false;
	}
	snprintf(port, sizeof(port), "%ld", o->port);
	err = getaddrinfo(o->address, port, &hints, &list);
	if (err) {
		say("cannot listen on \"%s\": %s.", o->address, gai_strerror(err));
		return false;
	}
	for (ai = list; ai && server.listener_count < MAX_LISTENERS; ai = ai->ai_next) {
		fd = listen_on(ai, false);
		if (fd >= 0)
			add_listener(fd);
	}
	if (!server.listener_count)
		say_cannot_listen(o);
	freeaddrinfo(list);
	return server.listener_count > 0;
}

static unsigned int listening_port(void)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (getsockname(server.listeners[0].fd, (struct sockaddr *)&sa, &len))
		return 0;
	return ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
					      : ((struct sockaddr_in *)&sa)->sin_port);
}

/* ---- set-up ---- */

static int add_certificates(struct tlsrec_ctx *ctx, const struct options *o)
{
	for (int i = 0; i < o->cert_count; i++) {
		if (tlsrec_ctx_add_cert(ctx, o->certs[i].chain, o->certs[i].key))
			return -1;
		if (o->certs[i].staple && tlsrec_ctx_set_staple(ctx, -1, o->certs[i].staple))
			return -1;
	}
	return 0;
}

static int configure(struct tlsrec_ctx *ctx, const struct options *o)
{
	enum tlsrec_verify verify = o->client_optional ? TLSREC_VERIFY_REQUEST : TLSREC_VERIFY_REQUIRE;

	if (tlsrec_ctx_set_ulp(ctx, o->ulp) ||
	    tlsrec_ctx_set_versions(ctx, o->min_version, o->max_version) ||
	    tlsrec_ctx_set_resume(ctx, o->resume) || tlsrec_ctx_set_tickets(ctx, (int)o->tickets) ||
	    tlsrec_ctx_set_strict_sni(ctx, o->strict_sni) || add_certificates(ctx, o))
		return -1;
	if (*o->alpn && tlsrec_ctx_set_alpn(ctx, o->alpn))
		return -1;
	if (o->ciphers && tlsrec_ctx_set_ciphers(ctx, o->ciphers))
		return -1;
	if (o->groups && tlsrec_ctx_set_groups(ctx, o->groups))
		return -1;
	if (o->client_ca && (tlsrec_ctx_set_verify(ctx, verify) ||
			     tlsrec_ctx_set_roots(ctx, o->client_ca, NULL)))
		return -1;
	if (o->client_crl && tlsrec_ctx_add_crls(ctx, o->client_crl))
		return -1;
	return 0;
}

static bool make_context(const struct options *o)
{
	server.ctx = tlsrec_server_new();
	if (!server.ctx) {
		say("out of memory.");
		return false;
	}
	if (configure(server.ctx, o)) {
		say("%s", tlsrec_ctx_error(server.ctx));
		return false;
	}
	return true;
}

/* Two descriptors for each connection: the socket and the file. */
static void raise_file_limit(const struct options *o)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	if (files.rlim_cur < (rlim_t)o->connections * 2 + 64)
		files.rlim_cur = (rlim_t)o->connections * 2 + 64;
	if (files.rlim_cur > files.rlim_max)
		files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

static void on_signal(struct ev_loop *loop, ev_signal *w, int events)
{
	(void)w, (void)events;
	ev_break(loop, EVBREAK_ALL);
}

static void greet(const struct options *o, const char *sha256)
{
	const char *host = o->address ? o->address : "localhost";
	const char *format = strchr(host, ':') ? "Serving %s on https://[%s]:%u/ (Ctrl-C ends)\n"
					       : "Serving %s on https://%s:%u/ (Ctrl-C ends)\n";

	printf(format, o->dir, host, listening_port());
	if (*sha256)
		printf("No --cert was given: the certificate is a throw-away one, SHA-256\n  %s\n", sha256);
	fflush(stdout);
}

static void run(const struct options *o, const char *sha256)
{
	ev_signal interrupt, terminate;

	ev_signal_init(&interrupt, on_signal, SIGINT);
	ev_signal_init(&terminate, on_signal, SIGTERM);
	ev_signal_start(server.loop, &interrupt);
	ev_signal_start(server.loop, &terminate);
	greet(o, sha256);
	ev_run(server.loop, 0);
	pause_accepting(true);
	while (server.handshakes.next != &server.handshakes)
		handshake_drop(server.handshakes.next, "the server ends.");
	httpd_stop();
	for (int i = 0; i < server.listener_count; i++)
		close(server.listeners[i].fd);
}

static bool open_directory(const char *path, int *dir)
{
	*dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*dir < 0)
		say("cannot serve %s: %s.", path, strerror(errno));
	return *dir >= 0;
}

int serve_main(int argc, char **argv)
{
	struct options o = {
		.port = 8443,
		.alpn = "http/1.1",
		.min_version = TLSREC_TLS_1_2,
		.max_version = TLSREC_TLS_1_3,
		.resume = TLSREC_RESUME_TICKETS,
		.tickets = 2,
		.ulp = "tlsrec",
		.connections = 1000,
		.handshake_timeout_s = 10,
		.idle_timeout_s = 60,
		.threads = sysconf(_SC_NPROCESSORS_ONLN),
	};
	struct httpd_config http = { .on_close = on_http_close };
	enum status status = STATUS_LOCAL;
	char why[512], sha256[96] = "", throw_away[32];
	int certificate = -1;

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	if (!open_directory(o.dir, &http.dir))
		return STATUS_LOCAL;
	if (tlsrec_probe(o.ulp, why, sizeof(why))) {
		say("%s", why);
		status = STATUS_KERNEL;
		goto out_dir;
	}
	if (!o.cert_count) {
		certificate = selfsigned_make(sha256);
		if (certificate < 0)
			goto out_dir;
		snprintf(throw_away, sizeof(throw_away), "/proc/self/fd/%d", certificate);
		o.certs[o.cert_count++].chain = throw_away;
	}
	raise_file_limit(&o);
	server.options = &o;
	server.handshakes.prev = server.handshakes.next = &server.handshakes;
	server.loop = ev_default_loop(0);
	ev_async_init(&server.news, on_news);
	ev_async_start(server.loop, &server.news);
	ev_init(&server.retry, on_retry);
	server.retry.repeat = 1;

	http.connections = (unsigned int)o.connections;
	http.idle_timeout_s = (unsigned int)o.idle_timeout_s;
	http.threads = (unsigned int)(o.threads > 0 ? o.threads : 1);
	http.quiet = o.quiet;
	if (make_context(&o) && start_listening(&o) && httpd_start(&http)) {
		run(&o, sha256);
		status = STATUS_OK;
	}
	tlsrec_ctx_free(server.ctx);
	ev_default_destroy();
	if (certificate >= 0)
		close(certificate);
out_dir:
	close(http.dir);
	return status;
}
