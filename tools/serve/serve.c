// SPDX-License-Identifier: MIT
/*
 * tlsrec serve: an HTTPS file server in two halves. The front (front.c) accepts connections and runs the
 * handshakes; a socket whose keys are in the kernel goes to a plain HTTP server (httpd.c). Here are the
 * options and the order of things.
 */
#include "commands.h"
#include "common/arguments.h"
#include "common/offer.h"
#include "common/say.h"
#include "front.h"
#include "httpd.h"
#include "selfsigned.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MAX_CERTS = 32 };

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
	struct offer_options offer;
	enum tlsrec_resume resume;
	long tickets;
	long connections, per_address, handshake_timeout_s, request_timeout_s, idle_timeout_s, threads;
	bool dot_files, quiet;
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
	OPT_TICKETS,
	OPT_NO_TICKETS,
	OPT_NO_RESUMPTION,
	OPT_DOT_FILES,
	OPT_MAX_CONNECTIONS,
	OPT_MAX_PER_ADDRESS,
	OPT_HANDSHAKE_TIMEOUT,
	OPT_REQUEST_TIMEOUT,
	OPT_IDLE_TIMEOUT,
	OPT_THREADS,
};

static const struct argp_option options[] = {
	{ .doc = "Where:", .group = 1 },
	{ "port", OPT_PORT, "NUMBER", 0, "TCP port (default 8443; 0: any that is free)", 1 },
	{ "listen", OPT_LISTEN, "ADDRESS", 0, "Only on this address or host name (default: on all)", 1 },
	{ "dot-files", OPT_DOT_FILES, NULL, 0, "Serve and list names that begin with a dot, too", 1 },
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
	{ "tickets", OPT_TICKETS, "NUMBER", 0,
	  "Session tickets for each new TLS 1.3 connection, 0 to 16 (default 2)", OFFER_GROUP },
	{ "no-tickets", OPT_NO_TICKETS, NULL, 0, "Keep sessions in memory, not in tickets", OFFER_GROUP },
	{ "no-resumption", OPT_NO_RESUMPTION, NULL, 0, "Keep no sessions at all", OFFER_GROUP },
	{ .doc = "Limits:", .group = 5 },
	{ "max-connections", OPT_MAX_CONNECTIONS, "NUMBER", 0, "At once (default 1000)", 5 },
	{ "max-per-address", OPT_MAX_PER_ADDRESS, "NUMBER", 0,
	  "Of them for one address, IPv6: for one /64 (default: half)", 5 },
	{ "handshake-timeout", OPT_HANDSHAKE_TIMEOUT, "SECONDS", 0, "(default 10)", 5 },
	{ "request-timeout", OPT_REQUEST_TIMEOUT, "SECONDS", 0,
	  "For a request, from its first byte to its last (default 10)", 5 },
	{ "idle-timeout", OPT_IDLE_TIMEOUT, "SECONDS", 0,
	  "For a connection on which nothing moves (default 60)", 5 },
	{ "threads", OPT_THREADS, "NUMBER", 0, "That send files (default: one for each CPU)", 5 },
	{ .doc = "Other:", .group = OFFER_GROUP_ULP },
	{ "quiet", OPT_QUIET, NULL, 0, "No log of requests and refused connections", OFFER_GROUP_ULP },
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

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->offer;
		break;
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
	case OPT_DOT_FILES:
		o->dot_files = true;
		break;
	case OPT_MAX_PER_ADDRESS:
		number(state, "max-per-address", arg, 1, 1000000, &o->per_address);
		break;
	case OPT_REQUEST_TIMEOUT:
		number(state, "request-timeout", arg, 1, 3600, &o->request_timeout_s);
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
		if (!o->per_address)
			o->per_address = (o->connections + 1) / 2;
		if ((o->client_crl || o->client_optional) && !o->client_ca)
			argp_error(state, "--client-crl and --client-optional need --client-ca");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_child children[] = { { &offer_argp, 0, NULL, 0 }, { 0 } };

static const struct argp argp = {
	.options = options,
	.children = children,
	.parser = parse,
	.args_doc = "DIR",
	.doc = "Serve the files of a directory over HTTPS; the kernel encrypts and decrypts.",
};

/* ---- set-up ---- */

/* What is no reason not to serve, but to be told. */
static void warn(const struct tlsrec_ctx *ctx)
{
	if (*tlsrec_ctx_warning(ctx))
		say("%s", tlsrec_ctx_warning(ctx));
}

static int add_certificates(struct tlsrec_ctx *ctx, const struct options *o)
{
	for (int i = 0; i < o->cert_count; i++) {
		if (tlsrec_ctx_add_cert(ctx, o->certs[i].chain, o->certs[i].key))
			return -1;
		warn(ctx);
		if (!o->certs[i].staple)
			continue;
		if (tlsrec_ctx_set_staple(ctx, -1, o->certs[i].staple))
			return -1;
		warn(ctx);
	}
	return 0;
}

static int configure(struct tlsrec_ctx *ctx, const struct options *o)
{
	enum tlsrec_verify verify = o->client_optional ? TLSREC_VERIFY_REQUEST : TLSREC_VERIFY_REQUIRE;

	if (offer_apply(&o->offer, ctx) || tlsrec_ctx_set_resume(ctx, o->resume) ||
	    tlsrec_ctx_set_tickets(ctx, (int)o->tickets) ||
	    tlsrec_ctx_set_strict_sni(ctx, o->strict_sni) || add_certificates(ctx, o))
		return -1;
	if (o->client_ca && (tlsrec_ctx_set_verify(ctx, verify) ||
			     tlsrec_ctx_set_roots(ctx, o->client_ca, NULL)))
		return -1;
	if (o->client_crl && tlsrec_ctx_add_crls(ctx, o->client_crl))
		return -1;
	return 0;
}

static struct tlsrec_ctx *make_context(const struct options *o)
{
	struct tlsrec_ctx *ctx = tlsrec_server_new();

	if (!ctx) {
		say("out of memory.");
		return NULL;
	}
	if (configure(ctx, o)) {
		say("%s", tlsrec_ctx_error(ctx));
		tlsrec_ctx_free(ctx);
		return NULL;
	}
	return ctx;
}

/* Two for each connection: the socket and the file. */
static unsigned int descriptors(const struct options *o)
{
	return (unsigned int)o->connections * 2 + 64;
}

/* Not less, if that is allowed, and not more: what there is for each descriptor is as long as that. */
static void set_file_limit(const struct options *o)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = descriptors(o);
	if (files.rlim_cur > files.rlim_max)
		files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

static void greet(const struct options *o, const char *sha256)
{
	const char *host = o->address ? o->address : "localhost";
	const char *format = strchr(host, ':') ? "Serving %s on https://[%s]:%u/ (Ctrl-C ends)\n"
					       : "Serving %s on https://%s:%u/ (Ctrl-C ends)\n";

	char dir[4096];

	tlsrec_clean(dir, sizeof(dir), o->dir, strlen(o->dir), "");
	printf(format, dir, host, front_port());
	if (*sha256)
		printf("No --cert was given: the certificate is a throw-away one, SHA-256\n  %s\n", sha256);
	fflush(stdout);
}

static bool open_directory(const char *path, int *dir)
{
	*dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*dir < 0)
		say("cannot serve %s: %s.", path, strerror(errno));
	return *dir >= 0;
}

/* A file that anybody could download from now on. */
static void warn_of_key(int dir, const char *key)
{
	char link[64], top[PATH_MAX], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
	n = readlink(link, top, sizeof(top) - 1);
	if (n <= 0 || !realpath(key, path))
		return;
	/* The root directory ends in the slash that comes behind the others. */
	n -= top[n - 1] == '/';
	if (!strncmp(path, top, (size_t)n) && path[n] == '/')
		say("the private key in %s is in the directory that is served: whoever knows its name can have it. "
		    "Move it elsewhere.", key);
}

static void warn_of_keys(const struct options *o, int dir)
{
	for (int i = 0; i < o->cert_count; i++)
		warn_of_key(dir, o->certs[i].key ? o->certs[i].key : o->certs[i].chain);
}

static enum status serve(const struct options *o, int dir, const char *sha256)
{
	struct front_config front = {
		.ctx = make_context(o),
		.address = o->address,
		.port = o->port,
		.connections = o->connections,
		.per_address = o->per_address,
		.handshake_timeout_s = o->handshake_timeout_s,
		.request_timeout_s = o->request_timeout_s,
		.log = o->quiet ? NULL : stdout,
	};
	struct httpd_config http = {
		.dir = dir,
		.dot_files = o->dot_files,
		.connections = (unsigned int)o->connections,
		.descriptors = descriptors(o),
		.idle_timeout_s = (unsigned int)o->idle_timeout_s,
		.threads = (unsigned int)(o->threads > 0 ? o->threads : 1),
		.log = o->quiet ? NULL : stdout,
		.receive = front_receive,
		.on_state = front_on_visit,
		.on_close = front_on_http_close,
	};
	enum status status = STATUS_LOCAL;

	if (!front.ctx)
		return STATUS_LOCAL;
	if (tlsrec_ctx_probe(front.ctx)) {
		say("%s", tlsrec_ctx_error(front.ctx));
		tlsrec_ctx_free(front.ctx);
		return STATUS_KERNEL;
	}
	if (front_listen(&front) && httpd_start(&http)) {
		greet(o, sha256);
		front_run();
		httpd_stop();
		status = STATUS_OK;
	}
	front_free();
	tlsrec_ctx_free(front.ctx);
	return status;
}

int serve_main(int argc, char **argv)
{
	struct options o = {
		.port = 8443,
		.resume = TLSREC_RESUME_TICKETS,
		.tickets = 2,
		.connections = 1000,
		.handshake_timeout_s = 10,
		.request_timeout_s = 10,
		.idle_timeout_s = 60,
		.threads = sysconf(_SC_NPROCESSORS_ONLN),
	};
	char sha256[96] = "", throw_away[32];
	enum status status = STATUS_LOCAL;
	int dir, certificate = -1;

	offer_defaults(&o.offer);
	o.offer.alpn = "http/1.1";
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	if (!open_directory(o.dir, &dir))
		return STATUS_LOCAL;
	warn_of_keys(&o, dir);
	if (!o.cert_count) {
		certificate = selfsigned_make(sha256);
		if (certificate < 0)
			goto out_dir;
		snprintf(throw_away, sizeof(throw_away), "/proc/self/fd/%d", certificate);
		o.certs[o.cert_count++].chain = throw_away;
	}
	set_file_limit(&o);
	status = serve(&o, dir, sha256);
	if (certificate >= 0)
		close(certificate);
out_dir:
	close(dir);
	return status;
}
