// SPDX-License-Identifier: MIT
#include "client.h"

#include "address.h"
#include "secret.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	OPT_CAFILE = 0x100,
	OPT_CAPATH,
	OPT_CRL,
	OPT_REQUIRE_OCSP,
	OPT_NO_OCSP,
	OPT_MIN_KEY_BITS,
	OPT_NAME,
	OPT_SNI,
	OPT_CERT,
	OPT_KEY,
	OPT_SESSION_FILE,
	OPT_TIMEOUT,
};

static const struct argp_option options[] = {
	{ .doc = "Who the server must be:", .group = 1 },
	{ "cafile", OPT_CAFILE, "FILE", 0, "Trust the roots in this PEM file, not the system's", 1 },
	{ "capath", OPT_CAPATH, "DIR", 0, "Trust the roots in this directory (hashed names)", 1 },
	{ "crl", OPT_CRL, "FILE", 0, "Check against this revocation list; may be repeated", 1 },
	{ "name", OPT_NAME, "NAME", 0,
	  "The certificate must be for this name or address, instead of HOST", 1 },
	{ "require-ocsp", OPT_REQUIRE_OCSP, NULL, 0, "The server must staple an OCSP response", 1 },
	{ "no-ocsp", OPT_NO_OCSP, NULL, 0, "Do not ask for an OCSP response", 1 },
	{ "min-key-bits", OPT_MIN_KEY_BITS, "RSA[,EC]", 0,
	  "Smallest keys accepted in certificates (default 2048,256)", 1 },
	{ "no-verify", 'k', NULL, 0, "Connect even if the certificate is bad; say what is wrong", 1 },
	{ "cert", OPT_CERT, "FILE", 0, "Client certificate and its chain, PEM", OFFER_GROUP },
	{ "key", OPT_KEY, "FILE", 0, "Its private key, if it is not in the same file", OFFER_GROUP },
	{ "sni", OPT_SNI, "NAME", 0,
	  "Server name to ask for (default: the name above; \"\" for none)", OFFER_GROUP },
	{ "session-file", OPT_SESSION_FILE, "FILE", 0,
	  "Resume the session in this file; keep the new one there", OFFER_GROUP },
	{ .doc = "The connection:", .group = OFFER_GROUP_ULP },
	{ NULL, '4', NULL, 0, "IPv4 only", OFFER_GROUP_ULP },
	{ NULL, '6', NULL, 0, "IPv6 only", OFFER_GROUP_ULP },
	{ "timeout", OPT_TIMEOUT, "SECONDS", 0,
	  "Limit for the connection and for the handshake (default 10)", OFFER_GROUP_ULP },
	{ 0 },
};

static void set_defaults(struct client_options *o)
{
	*o = (struct client_options){
		.family = AF_UNSPEC,
		.timeout_s = 10,
		.ocsp = TLSREC_OCSP_ASK,
		.min_rsa_bits = 2048,
		.min_ec_bits = 256,
	};
	offer_defaults(&o->offer);
}

static void parse_key_bits(struct client_options *o, const char *arg, struct argp_state *state)
{
	const char *comma = strchr(arg, ',');
	char rsa[8] = "";

	snprintf(rsa, sizeof(rsa), "%.*s", comma ? (int)(comma - arg) : 7, arg);
	if (!parse_number(rsa, 0, 16384, &o->min_rsa_bits) ||
	    (comma && !parse_number(comma + 1, 0, 1024, &o->min_ec_bits)))
		argp_error(state, "\"%s\" is not a key size: --min-key-bits wants bits of RSA keys, "
			   "then perhaps a comma and bits of elliptic curve keys", arg);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct client_options *o = state->input;
	const char *wrong;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->offer;
		break;
	case OPT_CAFILE:
		o->cafile = arg;
		break;
	case OPT_CAPATH:
		o->capath = arg;
		break;
	case OPT_CRL:
		if (o->crl_count == CLIENT_MAX_CRLS)
			argp_error(state, "more than %d revocation lists; put them into one file",
				   CLIENT_MAX_CRLS);
		o->crls[o->crl_count++] = arg;
		break;
	case OPT_NAME:
		o->name = arg;
		break;
	case OPT_REQUIRE_OCSP:
		o->ocsp = TLSREC_OCSP_REQUIRE;
		break;
	case OPT_NO_OCSP:
		o->ocsp = TLSREC_OCSP_OFF;
		break;
	case OPT_MIN_KEY_BITS:
		parse_key_bits(o, arg, state);
		break;
	case 'k':
		o->no_verify = true;
		break;
	case OPT_CERT:
		o->cert = arg;
		break;
	case OPT_KEY:
		o->key = arg;
		break;
	case OPT_SNI:
		o->sni = arg;
		break;
	case OPT_SESSION_FILE:
		o->session_file = arg;
		break;
	case '4':
		o->family = AF_INET;
		break;
	case '6':
		o->family = AF_INET6;
		break;
	case OPT_TIMEOUT:
		if (!parse_number(arg, 1, 3600, &o->timeout_s))
			argp_error(state, "--timeout wants a number of seconds from 1 to 3600, not \"%s\"",
				   arg);
		break;
	case ARGP_KEY_ARG:
		if (o->have_peer)
			argp_error(state, "one host at a time: \"%s\" is one too many", arg);
		wrong = parse_endpoint(arg, 443, &o->peer);
		if (wrong)
			argp_error(state, "\"%s\" is not HOST or HOST:PORT: %s", arg, wrong);
		o->have_peer = true;
		break;
	case ARGP_KEY_END:
		if (!o->have_peer)
			argp_error(state, "which host? Give HOST or HOST:PORT");
		if (o->key && !o->cert)
			argp_error(state, "--key without --cert: the certificate is missing");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_child children[] = { { &offer_argp, 0, NULL, 0 }, { 0 } };

static const struct argp client_argp = {
	.options = options,
	.parser = parse,
	.children = children,
};

static error_t parse_switch(int key, char *arg, struct argp_state *state)
{
	(void)arg;
	for (const struct client_switch *s = state->input; s->key; s++) {
		if (s->key != key)
			continue;
		*s->on = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* Input: those of the two child parsers. */
static error_t parse_nothing(int key, char *arg, struct argp_state *state)
{
	void **inputs = state->input;

	(void)arg;
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	state->child_inputs[0] = inputs[0];
	state->child_inputs[1] = inputs[1];
	return 0;
}

void client_arguments(int argc, char **argv, const char *doc, struct client_options *o,
		      const struct argp_option *own, const struct client_switch *switches)
{
	const struct argp own_argp = { .options = own, .parser = parse_switch };
	const struct argp_child both[] = {
		{ &client_argp, 0, NULL, 0 },
		{ &own_argp, 0, NULL, 0 },
		{ 0 },
	};
	const struct argp argp = {
		.parser = parse_nothing,
		.args_doc = "HOST[:PORT]",
		.doc = doc,
		.children = both,
	};
	void *inputs[] = { o, (void *)switches };

	set_defaults(o);
	argp_parse(&argp, argc, argv, 0, NULL, inputs);
}

static int configure(const struct client_options *o, struct tlsrec_ctx *ctx)
{
	if (offer_apply(&o->offer, ctx) ||
	    tlsrec_ctx_set_verify(ctx, o->no_verify ? TLSREC_VERIFY_NONE : TLSREC_VERIFY_REQUIRE) ||
	    tlsrec_ctx_set_min_key_bits(ctx, (int)o->min_rsa_bits, (int)o->min_ec_bits) ||
	    tlsrec_ctx_set_ocsp(ctx, o->ocsp))
		return -1;
	if ((o->cafile || o->capath) && tlsrec_ctx_set_roots(ctx, o->cafile, o->capath))
		return -1;
	for (int i = 0; i < o->crl_count; i++)
		if (tlsrec_ctx_add_crls(ctx, o->crls[i]))
			return -1;
	if (o->cert && tlsrec_ctx_add_cert(ctx, o->cert, o->key))
		return -1;
	return 0;
}

struct tlsrec_ctx *client_context(const struct client_options *o)
{
	struct tlsrec_ctx *ctx = tlsrec_client_new();

	if (!ctx) {
		say("out of memory.");
		return NULL;
	}
	if (configure(o, ctx)) {
		say("%s", tlsrec_ctx_error(ctx));
		tlsrec_ctx_free(ctx);
		return NULL;
	}
	if (*tlsrec_ctx_warning(ctx))
		say("%s", tlsrec_ctx_warning(ctx));
	return ctx;
}

/* A file that is not there yet is where the first session will go. */
static bool load_session(const char *path, struct tlsrec_conn *conn)
{
	unsigned char *data;
	const char *wrong;
	size_t len;

	if (access(path, F_OK) && errno == ENOENT)
		return true;
	wrong = secret_read(path, &data, &len);
	if (wrong) {
		say("cannot read the session in %s: %s.", path, wrong);
		return false;
	}
	/* One that is stale or for another host only costs a full handshake. */
	if (len && tlsrec_conn_set_session(conn, data, len))
		say("the session in %s is not used: %s", path, tlsrec_conn_error(conn));
	explicit_bzero(data, len);
	free(data);
	return true;
}

int client_dial(const struct client_options *o, char *address, size_t size)
{
	return tcp_connect(&o->peer, o->family, (int)o->timeout_s * 1000, address, size);
}

struct tlsrec_conn *client_prepare(const struct client_options *o, struct tlsrec_ctx *ctx, int fd)
{
	struct tlsrec_conn *conn = tlsrec_conn_new(ctx, fd, o->name ? o->name : o->peer.host);

	if (!conn) {
		say("out of memory.");
		return NULL;
	}
	if (o->sni && tlsrec_conn_set_sni(conn, o->sni)) {
		say("%s", tlsrec_conn_error(conn));
		goto err_free;
	}
	if (o->session_file && !load_session(o->session_file, conn))
		goto err_free;
	return conn;

err_free:
	tlsrec_conn_free(conn);
	return NULL;
}

bool client_save_session(const struct client_options *o, struct tlsrec_conn *conn)
{
	unsigned char *data;
	const char *wrong;
	size_t len;

	data = o->session_file ? tlsrec_conn_session(conn, &len) : NULL;
	if (!data)
		return true;
	wrong = secret_write(o->session_file, data, len);
	if (wrong)
		say("cannot keep the session in %s: %s.", o->session_file, wrong);
	explicit_bzero(data, len);
	free(data);
	return !wrong;
}

/* The exit status for a connection that failed. */
static enum status failure(const struct tlsrec_conn *conn)
{
	switch (tlsrec_conn_error_kind(conn)) {
	case TLSREC_ERROR_IO:
	case TLSREC_ERROR_TIMEOUT:
		return STATUS_CONNECT;
	case TLSREC_ERROR_VERIFY:
		return STATUS_VERIFY;
	case TLSREC_ERROR_PROTOCOL:
	case TLSREC_ERROR_ALERT:
		return STATUS_PROTOCOL;
	case TLSREC_ERROR_KERNEL:
		return STATUS_KERNEL;
	default:
		return STATUS_LOCAL;
	}
}

enum status client_handshake(const struct client_options *o, struct tlsrec_conn *conn)
{
	if (tlsrec_handshake(conn, (int)o->timeout_s * 1000) == TLSREC_DONE)
		return STATUS_OK;
	return failure(conn);
}
