/* SPDX-License-Identifier: MIT */
/* The client side that `tlsrec connect` and `tlsrec trace` have in common: options and handshake. */
#ifndef TLSREC_CLIENT_H
#define TLSREC_CLIENT_H

#include "arguments.h"
#include "offer.h"
#include "say.h"

#define CLIENT_MAX_CRLS 16

struct client_options {
	struct endpoint peer;
	bool have_peer;
	int family;
	long timeout_s;
	const char *cafile, *capath;
	const char *crls[CLIENT_MAX_CRLS];
	int crl_count;
	bool no_verify;
	enum tlsrec_ocsp_mode ocsp;
	long min_rsa_bits, min_ec_bits;
	const char *name, *sni;
	const char *cert, *key;
	const char *session_file;
	struct offer_options offer;
};

/* An option of one command, without an argument; the last of a list is { 0 }. */
struct client_switch {
	int key;
	bool *on;
};

/*
 * Parses the command line of one of the commands: what they have in common goes into o. doc and own,
 * the options of the command itself, as in struct argp.
 */
void client_arguments(int argc, char **argv, const char *doc, struct client_options *o,
		      const struct argp_option *own, const struct client_switch *switches);

/* A library context set up as the options say; NULL after saying why not. */
struct tlsrec_ctx *client_context(const struct client_options *o);

/* A TCP connection to the peer, whose address goes into address; -1 after saying why not. */
int client_dial(const struct client_options *o, char *address, size_t size);

/* A connection ready for its first step; NULL after saying why not. */
struct tlsrec_conn *client_prepare(const struct client_options *o, struct tlsrec_ctx *ctx, int fd);

/* The handshake: STATUS_OK, or why not, with the sentence in the connection. */
enum status client_handshake(const struct client_options *o, struct tlsrec_conn *conn);

/* Keep the newest session for the next time. */
bool client_save_session(const struct client_options *o, struct tlsrec_conn *conn);

#endif
