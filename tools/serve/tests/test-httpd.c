// SPDX-License-Identifier: MIT
/*
 * U11: requests that are wrong, from whoever wrote them, to the answer and the line in the log. HTTP only: the sockets
 * have no TLS.
 */
#include "common/tests/tap.h"
#include "serve/files.h"
#include "serve/httpd.h"

#include "../userspace/lib/tests/noise.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- the server ---- */

static int log_fd, listener, server_end;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int closed;
static char states[64];	/* of all visits, a letter each, in their order */

/* A visit with what the test needs to read for it. */
struct guest {
	struct visit visit;
	int fd;
};

static ssize_t receive(struct visit *visit, void *buf, size_t len)
{
	return recvfrom(((struct guest *)visit)->fd, buf, len, 0, NULL, NULL);
}

static void on_state(struct visit *visit, enum visit_state state)
{
	size_t n;

	(void)visit;
	pthread_mutex_lock(&lock);
	n = strlen(states);
	if (n < sizeof(states) - 1)
		states[n] = "wra"[state];
	pthread_mutex_unlock(&lock);
}

static void pass_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

static void wait_for_state(void)
{
	for (bool seen = false; !seen; pass_ms(10)) {
		pthread_mutex_lock(&lock);
		seen = *states;
		pthread_mutex_unlock(&lock);
	}
}

static void on_close(struct visit *visit, int fd)
{
	(void)fd;
	free(visit);
	pthread_mutex_lock(&lock);
	closed++;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
}

/* One connection to the server: the client's end. */
static int visit(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct guest *g = calloc(1, sizeof(*g));
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	getsockname(listener, (struct sockaddr *)&in, &len);
	if (connect(fd, (struct sockaddr *)&in, len))
		perror("connect");
	g->fd = server_end = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	strcpy(g->visit.peer, "192.0.2.1:1");
	strcpy(g->visit.note, "plain");
	httpd_add(g->fd, (struct sockaddr *)&in, len, &g->visit);
	return fd;
}

static void wait_until_closed(void)
{
	pthread_mutex_lock(&lock);
	while (!closed)
		pthread_cond_wait(&changed, &lock);
	closed = 0;
	pthread_mutex_unlock(&lock);
}

/* Sends it all, then reads until the server ends the connection. */
static void talk(const char *request, size_t len, char *answer, size_t size)
{
	int fd = visit();
	size_t used = 0;
	ssize_t n;

	memset(states, 0, sizeof(states));
	/* A server that has read enough may be gone already. */
	if (send(fd, request, len, MSG_NOSIGNAL) == (ssize_t)len)
		shutdown(fd, SHUT_WR);
	while (used < size - 1 && (n = read(fd, answer + used, size - 1 - used)) > 0)
		used += (size_t)n;
	answer[used] = '\0';
	close(fd);
	wait_until_closed();
}

/* What was logged since the last time. */
static const char *logged(void)
{
	static char text[65536];
	static off_t from;
	ssize_t n = pread(log_fd, text, sizeof(text) - 1, from);

	text[n > 0 ? n : 0] = '\0';
	from += n > 0 ? n : 0;
	return text;
}

static bool is_lines(const char *text, int lines)
{
	for (; *text; text += strcspn(text, "\n") + 1, lines--) {
		char line[8192];

		snprintf(line, sizeof(line), "%.*s", (int)strcspn(text, "\n"), text);
		if (!is_clean(line))
			return false;
	}
	return !lines;
}

/* ---- single requests ---- */

#define HOST "Host: x\r\n"

static void test_answers(void)
{
	static const struct {
		const char *name, *request;
		int status;
		const char *log;
	} requests[] = {
		{ "a file", "GET /page HTTP/1.1\r\n" HOST "\r\n", 200, "\"GET /page\" 200 5 bytes" },
		{ "no HTTP", "\x1b[31m garbage\r\n\r\n", 400, "\"\\x1b[31m garbage\" 400 " },
		{ "a method in colour", "\x1b[1m /page HTTP/1.1\r\n" HOST "\r\n", 405, "\"\\x1b[1m /page\" 405 " },
		{ "a path in colour", "GET /%1b%5b1m%0a\"\xc2\x9b HTTP/1.1\r\n" HOST "\r\n", 404,
		  "\"GET /\\x1b[1m\\x0a\\x22\\u009b\" 404 " },
		{ "two lengths", "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400,
		  "\"POST /\" 400 " },
		{ "a length that is none", "GET / HTTP/1.1\r\n" HOST "Content-Length: x\r\n\r\n", 400, " 400 " },
		{ "a length and an encoding",
		  "GET /page HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		  400, "\"GET /page\" 400 " },
		{ "an encoding and a length",
		  "GET /page HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		  400, "\"GET /page\" 400 " },
		{ "an encoding that is unknown",
		  "GET /page HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, " 400 " },
		{ "two encodings", "GET /page HTTP/1.1\r\n" HOST
		  "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400, " 400 " },
		{ "an encoding in HTTP/1.0", "GET /page HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, " 400 " },
		{ "a blank before the colon", "GET /page HTTP/1.1\r\n" HOST "Content-Length : 5\r\n\r\n", 400, " 400 " },
		{ "a body by its length", "GET /page HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", 200, " 200 5 bytes" },
		{ "a body by chunks", "GET /page HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		  200, " 200 5 bytes" },
		{ "bad chunks", "GET /page HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, " 400 " },
		{ "a hidden file", "GET /.secret HTTP/1.1\r\n" HOST "\r\n", 404, "\"GET /.secret\" 404 " },
		{ "a hidden file, encoded", "GET /%2esecret HTTP/1.1\r\n" HOST "\r\n", 404, " 404 " },
		{ "a hidden directory", "GET /.git/config HTTP/1.1\r\n" HOST "\r\n", 404, " 404 " },
		{ "a link out", "GET /out HTTP/1.1\r\n" HOST "\r\n", 404, " 404 " },
		{ "what everybody may ask for", "GET /.well-known/x HTTP/1.1\r\n" HOST "\r\n", 200, " 200 5 bytes" },
	};
	char answer[4096], status[32];

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		const char *log;

		talk(requests[i].request, strlen(requests[i].request), answer, sizeof(answer));
		snprintf(status, sizeof(status), "HTTP/1.1 %d ", requests[i].status);
		log = logged();
		ok(!strncmp(answer, status, 13) && strstr(log, requests[i].log) && is_lines(log, 1),
		   "%s: %.12s; %.*s", requests[i].name, answer, (int)strcspn(log, "\n"), log);
	}
}

static void test_smuggling(void)
{
	static const char request[] = "GET /page HTTP/1.1\r\n" HOST
		"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /page HTTP/1.1\r\n" HOST "\r\n";
	char answer[4096];

	talk(request, sizeof(request) - 1, answer, sizeof(answer));
	ok(!strstr(answer + 1, "HTTP/1.1 2") && strstr(answer, "Connection: close") && is_lines(logged(), 1),
	   "what comes behind a request without a clear end is no request");
}

static void test_too_long(void)
{
	static char request[100000];
	char answer[4096];
	const char *log;
	int n;

	n = sprintf(request, "GET /");
	memset(request + n, 'a', 60000);
	n += 60000;
	n += sprintf(request + n, " HTTP/1.1\r\n" HOST "\r\n");
	talk(request, (size_t)n, answer, sizeof(answer));
	log = logged();
	ok(strstr(answer, "HTTP/1.1 414 ") && strstr(log, "\"GET /aaa") && strstr(log, "\" 414 ") && is_lines(log, 1),
	   "a path that is too long: %.12s; %.60s", answer, log);
	n = sprintf(request, "GET /page HTTP/1.1\r\n" HOST);
	while (n < 60000)
		n += sprintf(request + n, "X-%d: %080d\r\n", n, n);
	n += sprintf(request + n, "\r\n");
	talk(request, (size_t)n, answer, sizeof(answer));
	log = logged();
	ok(strstr(answer, "HTTP/1.1 431 ") && strstr(log, "\"GET /page") && strstr(log, "\" 431 ") && is_lines(log, 1),
	   "headers that are too long: %.12s; %.60s", answer, log);
}

static void test_preconditions(int dir)
{
	static const struct {
		const char *headers;	/* %s: the tag of the file */
		int status;
	} cases[] = {
		{ "If-Match: %s\r\n", 200 },
		{ "If-Match: \"b\", %s\r\n", 200 },
		{ "If-Match: \"b\"\r\nIf-Match: %s\r\n", 200 },
		{ "If-Match: *\r\n", 200 },
		{ "If-Match: \"b\"\r\n", 412 },
		{ "If-Match: W/%s\r\n", 412 },
		{ "If-Match:\r\n", 412 },
		{ "If-Match: \"b\"\r\nIf-None-Match: %s\r\n", 412 },
		{ "If-Unmodified-Since: Mon, 01 Jan 2001 00:00:00 GMT\r\n", 412 },
		{ "If-Unmodified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n", 200 },
		{ "If-Unmodified-Since: yesterday\r\n", 200 },
		{ "If-Match: *\r\nIf-Unmodified-Since: Mon, 01 Jan 2001 00:00:00 GMT\r\n", 200 },
		{ "If-None-Match: %s\r\n", 304 },
		{ "If-None-Match: W/%s\r\n", 304 },
		{ "If-None-Match: \"b\"\r\nIf-None-Match: %s\r\n", 304 },
		{ "If-None-Match: \"b\"\r\n", 200 },
		{ "If-Match: \"b\"\r\nRange: bytes=0-1\r\n", 412 },
		{ "If-Match: %s\r\nRange: bytes=0-1\r\n", 206 },
	};
	char tag[64], headers[256], request[512], answer[4096], status[32];
	struct stat st;

	if (fstatat(dir, "page", &st, 0))
		perror("page");
	etag(&st, tag);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
		snprintf(headers, sizeof(headers), cases[i].headers, tag);
#pragma GCC diagnostic pop
		snprintf(request, sizeof(request), "GET /page HTTP/1.1\r\n" HOST "%s\r\n", headers);
		talk(request, strlen(request), answer, sizeof(answer));
		snprintf(status, sizeof(status), "HTTP/1.1 %d ", cases[i].status);
		headers[strlen(headers) - 2] = '\0';
		ok(!strncmp(answer, status, 13), "%.*s: %d", (int)strcspn(headers, "\r"), headers, cases[i].status);
	}
	logged();
}

/* ---- what others are told ---- */

static void test_states(void)
{
	static const char two[] = "GET /page HTTP/1.1\r\n" HOST "\r\nGET /page HTTP/1.1\r\n" HOST "\r\n";
	static const char half[] = "GET /page HTTP/1.1\r\nHo";
	static const char body[] = "GET /page HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nhalf";
	char answer[4096];

	talk(two, sizeof(two) - 1, answer, sizeof(answer));
	ok(!strncmp(states, "rawaw", 5), "two requests: %s", states);
	talk(half, sizeof(half) - 1, answer, sizeof(answer));
	ok(!strcmp(states, "r"), "half a head is no request: %s", states);
	talk(body, sizeof(body) - 1, answer, sizeof(answer));
	ok(!strchr(states, 'a'), "nor is half a body: %s", states);
	logged();
}

/* U6: what the server has to say before it reads on does not fit into the socket; that there is no more to read goes unnoticed. */
static void test_no_room(void)
{
	static const char request[] = "POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n";
	static const char fill[4096];
	int fd;

	memset(states, 0, sizeof(states));
	fd = visit();
	/* Twice: what goes out in between makes room. */
	for (int i = 0; i < 2; i++, pass_ms(100))
		while (sendto(server_end, fill, sizeof(fill), MSG_DONTWAIT, NULL, 0) > 0)
			;
	send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
	wait_for_state();
	shutdown(server_end, SHUT_RDWR);
	wait_until_closed();
	ok(!strcmp(states, "rw"), "who has no room for the server's word goes when nothing can be written, either");
	close(fd);
	logged();
}

static void test_noise(void)
{
	unsigned char noise[200];
	char request[400], answer[4096];
	bool good = true;

	srand(1);
	for (int i = 0; i < 300 && good; i++) {
		size_t n = make_noise(noise, sizeof(noise));
		size_t at = (size_t)sprintf(request, i % 2 ? "GET /" : "");

		memcpy(request + at, noise, n);
		n += at;
		n += (size_t)sprintf(request + n, " HTTP/1.0\r\n\r\n");
		talk(request, n, answer, sizeof(answer));
		good = is_lines(logged(), !!*answer);
	}
	ok(good, "random requests: for each answer one clean line in the log");
}

static void put(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, "hello", 5) != 5)
		perror(path);
	close(fd);
}

int main(void)
{
	struct httpd_config config = {
		.connections = 10,
		.descriptors = 100,
		.idle_timeout_s = 60,
		.threads = 1,
		.receive = receive,
		.on_state = on_state,
		.on_close = on_close,
	};
	char top[] = "/tmp/tlsrec-test-XXXXXX", cmd[64];

	if (!mkdtemp(top) || chdir(top) || mkdir(".git", 0755) || mkdir(".well-known", 0755) ||
	    symlink("/etc/passwd", "out"))
		perror(top);
	put("page");
	put(".secret");
	put(".git/config");
	put(".well-known/x");
	config.dir = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	log_fd = memfd_create("log", MFD_CLOEXEC);
	config.log = fdopen(log_fd, "w");
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (listen(listener, 8) || !httpd_start(&config))
		perror("server");
	test_answers();
	test_smuggling();
	test_too_long();
	test_preconditions(config.dir);
	test_states();
	test_no_room();
	test_noise();
	httpd_stop();
	fclose(config.log);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", top);
	if (chdir("/") || system(cmd))
		perror(cmd);
	return done();
}
