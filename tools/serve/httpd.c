// SPDX-License-Identifier: MIT
#include "httpd.h"

#include "common/say.h"
#include "files.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_THREADS = 16 };

static struct httpd_config config;

/* libmicrohttpd allows no thread pool without a listening socket: several servers of one thread each. */
static struct MHD_Daemon *daemons[MAX_THREADS];
static unsigned int daemon_count, next_daemon;

/* Visits by descriptor, from before libmicrohttpd gets to know of them until it closes the socket. */
static _Atomic(struct visit *) *visits;
static size_t visits_size;

struct request {
	char *url;
	char method[32];
	unsigned int status;
	uint64_t bytes;
};

/* ---- answers ---- */

static void add_validators(struct MHD_Response *r, const struct stat *st)
{
	char tag[64], date[32];

	etag(st, tag);
	http_date(st->st_mtim.tv_sec, date);
	MHD_add_response_header(r, MHD_HTTP_HEADER_ETAG, tag);
	MHD_add_response_header(r, MHD_HTTP_HEADER_LAST_MODIFIED, date);
	MHD_add_response_header(r, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
}

static enum MHD_Result answer(struct MHD_Connection *c, struct request *req, unsigned int status,
			      uint64_t bytes, struct MHD_Response *r)
{
	enum MHD_Result result;

	if (!r)
		return MHD_NO;
	req->status = status;
	req->bytes = strcmp(req->method, "HEAD") ? bytes : 0;
	result = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return result;
}

static enum MHD_Result answer_text(struct MHD_Connection *c, struct request *req, unsigned int status,
				   const char *text, const char *header, const char *value)
{
	struct MHD_Response *r =
		MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_MUST_COPY);

	if (r) {
		MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8");
		if (header)
			MHD_add_response_header(r, header, value);
	}
	return answer(c, req, status, strlen(text), r);
}

static enum MHD_Result answer_errno(struct MHD_Connection *c, struct request *req, int err)
{
	if (err == EACCES || err == EPERM)
		return answer_text(c, req, MHD_HTTP_FORBIDDEN, "This may not be read.\n", NULL, NULL);
	if (err == EMFILE || err == ENFILE || err == ENOMEM)
		return answer_text(c, req, MHD_HTTP_SERVICE_UNAVAILABLE,
				   "Too many requests at once: try again.\n", NULL, NULL);
	return answer_text(c, req, MHD_HTTP_NOT_FOUND, "There is no such file.\n", NULL, NULL);
}

static const char *request_header(struct MHD_Connection *c, const char *name)
{
	return MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
}

/* Whether a header that lists tags, in however many lines, names that of the file. */
struct tag_search {
	const char *header, *tag;
	bool weak, there, found;
};

static enum MHD_Result look_for_tag(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct tag_search *s = cls;

	(void)kind;
	if (strcasecmp(key, s->header))
		return MHD_YES;
	s->there = true;
	s->found |= etag_matches(value ? value : "", s->tag, s->weak);
	return MHD_YES;
}

static struct tag_search search_tag(struct MHD_Connection *c, const char *header, const struct stat *st, bool weak)
{
	char tag[64];
	struct tag_search s = { .header = header, .tag = tag, .weak = weak };

	etag(st, tag);
	MHD_get_connection_values(c, MHD_HEADER_KIND, look_for_tag, &s);
	return s;
}

/* RFC 9110 section 13.2.2: an If-Match decides alone. */
static bool precondition_fails(struct MHD_Connection *c, const struct stat *st)
{
	struct tag_search match = search_tag(c, MHD_HTTP_HEADER_IF_MATCH, st, false);
	const char *since = request_header(c, MHD_HTTP_HEADER_IF_UNMODIFIED_SINCE);
	time_t t = since ? http_time(since) : -1;

	if (match.there)
		return !match.found;
	return t != -1 && st->st_mtim.tv_sec > t;
}

static bool not_modified(struct MHD_Connection *c, const struct stat *st)
{
	struct tag_search none_match = search_tag(c, MHD_HTTP_HEADER_IF_NONE_MATCH, st, true);
	const char *since = request_header(c, MHD_HTTP_HEADER_IF_MODIFIED_SINCE);

	if (none_match.there)
		return none_match.found;
	return since && http_time(since) >= st->st_mtim.tv_sec;
}

/* If-Range: a range is wanted only of the file the client has the rest of. */
static bool range_applies(struct MHD_Connection *c, const struct stat *st)
{
	const char *if_range = request_header(c, MHD_HTTP_HEADER_IF_RANGE);
	char tag[64];

	etag(st, tag);
	return !if_range || !strcmp(if_range, tag) || http_time(if_range) == st->st_mtim.tv_sec;
}

static enum MHD_Result answer_file(struct MHD_Connection *c, struct request *req, const char *path,
				   int fd, const struct stat *st)
{
	uint64_t size = (uint64_t)st->st_size, first = 0, count = size;
	enum range range = RANGE_WHOLE;
	struct MHD_Response *r;
	char text[80];

	if (precondition_fails(c, st)) {
		close(fd);
		return answer_text(c, req, MHD_HTTP_PRECONDITION_FAILED,
				   "The file is not, or no longer, the one that was meant.\n", NULL, NULL);
	}
	if (not_modified(c, st)) {
		close(fd);
		r = MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
		if (r)
			add_validators(r, st);
		return answer(c, req, MHD_HTTP_NOT_MODIFIED, 0, r);
	}
	if (range_applies(c, st))
		range = parse_range(request_header(c, MHD_HTTP_HEADER_RANGE), size, &first, &count);
	if (range == RANGE_UNSATISFIABLE) {
		close(fd);
		snprintf(text, sizeof(text), "bytes */%" PRIu64, size);
		return answer_text(c, req, MHD_HTTP_RANGE_NOT_SATISFIABLE,
				   "The file is not that long.\n", MHD_HTTP_HEADER_CONTENT_RANGE, text);
	}
	r = MHD_create_response_from_fd_at_offset64(count, fd, first);
	if (!r) {
		close(fd);
		return MHD_NO;
	}
	add_validators(r, st);
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, content_type(path));
	if (range == RANGE_WHOLE)
		return answer(c, req, MHD_HTTP_OK, count, r);
	snprintf(text, sizeof(text), "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first,
		 first + count - 1, size);
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_RANGE, text);
	return answer(c, req, MHD_HTTP_PARTIAL_CONTENT, count, r);
}

static enum MHD_Result answer_listing(struct MHD_Connection *c, struct request *req, int fd)
{
	struct MHD_Response *r;
	size_t len;
	char *page;

	page = list_directory(config.dir, fd, req->url, config.dot_files, &len);
	close(fd);
	if (!page)
		return answer_errno(c, req, errno);
	r = MHD_create_response_from_buffer(len, page, MHD_RESPMEM_MUST_FREE);
	if (r)
		MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, "text/html; charset=utf-8");
	return answer(c, req, MHD_HTTP_OK, len, r);
}

/* Links in a page are relative to the directory only if its name ends in a slash. */
static enum MHD_Result answer_slash(struct MHD_Connection *c, struct request *req)
{
	char *location = url_of_directory(req->url);
	enum MHD_Result result;

	if (!location)
		return MHD_NO;
	result = answer_text(c, req, MHD_HTTP_MOVED_PERMANENTLY, "This is a directory.\n",
			     MHD_HTTP_HEADER_LOCATION, location);
	free(location);
	return result;
}

static enum MHD_Result answer_directory(struct MHD_Connection *c, struct request *req, int fd)
{
	char index[4096];
	struct stat st;
	int page = -1;

	if (req->url[strlen(req->url) - 1] != '/') {
		close(fd);
		return answer_slash(c, req);
	}
	if (snprintf(index, sizeof(index), "%sindex.html", req->url) < (int)sizeof(index))
		page = open_beneath(config.dir, index, &st);
	if (page >= 0 && S_ISREG(st.st_mode)) {
		close(fd);
		return answer_file(c, req, index, page, &st);
	}
	if (page >= 0)
		close(page);
	return answer_listing(c, req, fd);
}

static enum MHD_Result answer_request(struct MHD_Connection *c, struct request *req)
{
	struct stat st;
	int fd;

	if (strcmp(req->method, MHD_HTTP_METHOD_GET) && strcmp(req->method, MHD_HTTP_METHOD_HEAD))
		return answer_text(c, req, MHD_HTTP_METHOD_NOT_ALLOWED,
				   "Files can be read here, nothing else.\n", MHD_HTTP_HEADER_ALLOW,
				   "GET, HEAD");
	if (!config.dot_files && has_dot_name(req->url))
		return answer_errno(c, req, ENOENT);
	if (req->url[0] != '/')
		return answer_text(c, req, MHD_HTTP_BAD_REQUEST, "The path must start with a slash.\n",
				   NULL, NULL);
	fd = open_beneath(config.dir, req->url, &st);
	if (fd < 0)
		return answer_errno(c, req, errno);
	if (S_ISDIR(st.st_mode))
		return answer_directory(c, req, fd);
	return answer_file(c, req, req->url, fd, &st);
}

/* ---- where a request ends ---- */

struct framing {
	unsigned int lengths, encodings;
	bool unclear;
};

static enum MHD_Result look_at_framing(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct framing *f = cls;

	(void)kind;
	f->lengths += !strcasecmp(key, MHD_HTTP_HEADER_CONTENT_LENGTH);
	if (!strcasecmp(key, MHD_HTTP_HEADER_TRANSFER_ENCODING)) {
		f->encodings++;
		f->unclear |= !value || strcasecmp(value, "chunked");
	}
	/* A blank before the colon: others may take it for one of the above. */
	f->unclear |= !!strpbrk(key, " \t");
	return MHD_YES;
}

/*
 * RFC 9112 section 6.3: a request that says in two ways where it ends, or in none that we know, may be an attempt to
 * smuggle another behind it past a proxy in front of us.
 */
static bool end_is_clear(struct MHD_Connection *c, const char *version)
{
	struct framing f = { 0 };

	MHD_get_connection_values(c, MHD_HEADER_KIND, look_at_framing, &f);
	if (f.encodings && !strcmp(version, MHD_HTTP_VERSION_1_0))
		return false;
	return !f.unclear && f.lengths + f.encodings <= 1;
}

static enum MHD_Result answer_unclear(struct MHD_Connection *c, struct request *req)
{
	return answer_text(c, req, MHD_HTTP_BAD_REQUEST, "It is not clear where this request ends.\n",
			   MHD_HTTP_HEADER_CONNECTION, "close");
}

/* ---- the log ---- */

static void write_log(const struct visit *visit, const char *line, unsigned int status, uint64_t bytes, bool complete)
{
	struct timespec now;

	if (!config.log)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	log_request(config.log, &(struct log_request){
		.peer = visit->peer,
		.line = line,
		.status = status,
		.bytes = bytes,
		.seconds = (double)(now.tv_sec - visit->since.tv_sec) +
			   (double)(now.tv_nsec - visit->since.tv_nsec) / 1e9,
		.note = visit->note,
		.complete = complete,
	});
}

static void write_request_log(const struct visit *visit, const struct request *req, bool complete)
{
	size_t size = strlen(req->method) + strlen(req->url) + 2;
	char *line = malloc(size);

	if (line)
		snprintf(line, size, "%s %s", req->method, req->url);
	write_log(visit, line ? line : req->method, req->status, req->bytes, complete);
	free(line);
}

/* libmicrohttpd answers some requests by itself (400, 414, 431) and tells nobody: it is seen by what it sends. */
static void look_at_answer(struct visit *visit, const void *head, size_t len, size_t body)
{
	unsigned int status;
	char text[16] = "";

	if (visit->request && visit->request->status)
		return;
	memcpy(text, head, len < sizeof(text) - 1 ? len : sizeof(text) - 1);
	if (sscanf(text, "HTTP/%*u.%*u %u", &status) != 1 || status < 200)
		return;
	if (visit->request) {
		visit->request->status = status;
		visit->request->bytes = body;
		return;
	}
	visit->start[visit->start_len] = '\0';
	visit->start[strcspn(visit->start, "\r\n")] = '\0';
	write_log(visit, visit->start, status, body, true);
}

/* ---- in place of the C library ---- */

/*
 * libmicrohttpd reads with recv(2) and offers no way to put anything else there. On sockets of visits there is
 * more to read than data; so this function takes the place of the C library's in the whole program, libraries
 * included, and so do those that send, for the log. Other sockets are read and written as ever.
 */
static struct visit *visit_on(int fd)
{
	return fd >= 0 && (size_t)fd < visits_size ? visits[fd] : NULL;
}

/* What is read while an answer is under way is seen as a request only with what follows. */
static void look_at_read(struct visit *visit, const void *buf, size_t len)
{
	size_t room;

	if (!visit->asking) {
		visit->asking = true;
		visit->start_len = 0;
		clock_gettime(CLOCK_MONOTONIC, &visit->since);
		config.on_state(visit, VISIT_ASKS);
	}
	room = sizeof(visit->start) - 1 - visit->start_len;
	if (len > room)
		len = room;
	memcpy(visit->start + visit->start_len, buf, len);
	visit->start_len += len;
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	struct visit *visit = visit_on(fd);
	ssize_t n;

	if (!visit)
		return recvfrom(fd, buf, len, flags, NULL, NULL);
	n = config.receive(visit, buf, len);
	if (n > 0)
		look_at_read(visit, buf, (size_t)n);
	return n;
}

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	struct visit *visit = visit_on(fd);

	if (visit)
		look_at_answer(visit, buf, len, 0);
	return sendto(fd, buf, len, flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct visit *visit = visit_on(fd);

	if (visit && msg->msg_iovlen && !msg->msg_controllen)
		look_at_answer(visit, msg->msg_iov[0].iov_base, msg->msg_iov[0].iov_len,
			       msg->msg_iovlen > 1 ? msg->msg_iov[1].iov_len : 0);
	return syscall(SYS_sendmsg, fd, msg, flags);
}

/* ---- what libmicrohttpd calls ---- */

static struct visit *visit_of(struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

static struct request *new_request(const char *url, const char *method)
{
	struct request *req = calloc(1, sizeof(*req));

	if (!req)
		return NULL;
	snprintf(req->method, sizeof(req->method), "%s", method);
	req->url = strdup(url);
	if (req->url)
		return req;
	free(req);
	return NULL;
}

/* First when the headers are there, then for every piece of a body, then once more. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *size, void **context)
{
	struct visit *visit = visit_of(c);
	struct request *req = *context;

	(void)cls, (void)data;
	if (!req) {
		/* It was read together with the one before it. */
		if (!visit->asking)
			clock_gettime(CLOCK_MONOTONIC, &visit->since);
		visit->asking = true;
		req = new_request(url, method);
		*context = visit->request = req;
		if (!req)
			return MHD_NO;
		return end_is_clear(c, version) ? MHD_YES : answer_unclear(c, req);
	}
	if (*size) {
		*size = 0;
		return MHD_YES;
	}
	config.on_state(visit, VISIT_ANSWERED);
	return answer_request(c, req);
}

static void on_completed(void *cls, struct MHD_Connection *c, void **context,
			 enum MHD_RequestTerminationCode code)
{
	struct request *req = *context;
	struct visit *visit = visit_of(c);

	(void)cls;
	if (!req)
		return;
	if (req->status)
		write_request_log(visit, req, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
	free(req->url);
	free(req);
	*context = visit->request = NULL;
	visit->asking = false;
	visit->start_len = 0;
	config.on_state(visit, VISIT_WAITS);
}

static void on_connection(void *cls, struct MHD_Connection *c, void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	int fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;

	(void)cls;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		*socket_context = visits[fd];
	} else {
		visits[fd] = NULL;
		config.on_close(*socket_context, fd);
		*socket_context = NULL;
	}
}

static void on_log(void *cls, const char *fmt, va_list ap)
{
	(void)cls, (void)fmt, (void)ap;
}

/* ---- life ---- */

static struct MHD_Daemon *start_daemon(unsigned int limit)
{
	/*
	 * Level-triggered poll: a TLS socket may have more to read after a short read, which libmicrohttpd
	 * takes for "drained" when it uses edge-triggered epoll. MHD_USE_TURBO: no shutdown() before
	 * on_close has had its chance to say goodbye.
	 */
	return MHD_start_daemon(MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC |
					MHD_USE_TURBO | MHD_USE_ERROR_LOG,
				0, NULL, NULL, on_request, NULL,
				MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
				MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
				MHD_OPTION_NOTIFY_CONNECTION, on_connection, NULL,
				MHD_OPTION_CONNECTION_TIMEOUT, config.idle_timeout_s,
				MHD_OPTION_CONNECTION_LIMIT, limit, MHD_OPTION_END);
}

bool httpd_start(const struct httpd_config *c)
{
	config = *c;
	if (config.threads > MAX_THREADS)
		config.threads = MAX_THREADS;
	visits = calloc(config.descriptors, sizeof(visits[0]));
	visits_size = visits ? config.descriptors : 0;
	while (visits && daemon_count < config.threads) {
		daemons[daemon_count] = start_daemon(config.connections);
		if (!daemons[daemon_count])
			break;
		daemon_count++;
	}
	if (daemon_count == config.threads)
		return true;
	say("cannot start libmicrohttpd: %s.", strerror(errno));
	httpd_stop();
	return false;
}

void httpd_add(int fd, const struct sockaddr *sa, socklen_t len, struct visit *visit)
{
	struct MHD_Daemon *daemon = daemons[next_daemon++ % daemon_count];

	if ((size_t)fd >= visits_size) {
		config.on_close(visit, fd);
		close(fd);
		return;
	}
	visits[fd] = visit;
	if (MHD_add_connection(daemon, fd, sa, len) == MHD_YES)
		return;
	visits[fd] = NULL;
	config.on_close(visit, -1);
}

void httpd_stop(void)
{
	while (daemon_count)
		MHD_stop_daemon(daemons[--daemon_count]);
	visits_size = 0;
	free(visits);
	visits = NULL;
}
