/* SPDX-License-Identifier: MIT */
/*
 * Plain OpenSSL at the other end of a socket pair, in the same thread: the test moves its bytes,
 * so that it decides what arrives together and what arrives alone.
 */
#ifndef TLSREC_TEST_PEER_H
#define TLSREC_TEST_PEER_H

#include <stdbool.h>

#include <openssl/ssl.h>

#include "conn.h"
#include "pki.h"

enum { PEER_TEXT = 256 };

struct pair {
	/* Set before pair_start(). */
	struct tlsrec_ctx *ctx;		/* ours */
	SSL_CTX *peer_ctx;
	const char *host;		/* for our conn, when it is a client */
	const char *peer_sni;		/* sent by the peer, when it is a client */
	SSL_SESSION *peer_session;	/* offered by the peer, when it is a client */
	const unsigned char *session;	/* saved, for our conn */
	size_t session_len;
	bool dribble;			/* one byte at a time, both ways; small send buffer */
	size_t flip;			/* which byte the peer sends is damaged, from 1; 0: none */
	const char *behind;		/* peer's application data right behind its last message */

	/* Set by it. */
	struct tlsrec_conn *conn;
	SSL *peer;
	int fd[2];			/* ours, the peer's */
	enum tlsrec_status status;
	bool peer_done;
	bool peer_failed;
	size_t sent;			/* bytes from the peer so far */
};

/* A context for a peer that allows everything, also weak keys. Aborts on failure. */
SSL_CTX *peer_ctx_new(bool server);
void peer_use_cert(SSL_CTX *ctx, const char *file, const char *key_file);

/* A peer that is the server staples what *file, DER, has at the time of each handshake; NULL: nothing. */
void peer_staple(SSL_CTX *ctx, const char **file);

/*
 * Our context for a role, which installs nothing: a server shows cert, a client trusts root. And a
 * pair of it with a peer that shows cert, if it is the server, and negotiates that version only.
 */
struct tlsrec_ctx *our_ctx(bool server, const struct pki_cert *cert, const struct pki_cert *root);
struct pair pair_make(bool we_serve, int version, const struct pki_cert *cert,
		      const struct pki_cert *root);
void pair_free(struct pair *pair);

/* Holds a peer to one version and, unless suites is NULL, to some suites of it. */
void peer_hold_to(SSL_CTX *peer, int version, const char *suites);

/* Runs both handshakes until they are over; true when both succeeded. */
bool pair_run(struct pair *pair);
void pair_end(struct pair *pair);

/*
 * Checks the derived keys by what they are for: opens what the peer sends with the receiving key
 * and seals what it reads with the sending key. Tickets go to tr_control_take(). True when every
 * byte is right, starting with pair->behind.
 */
bool pair_exchange(struct pair *pair);

/* Parts of it: what the peer sent or sends now; what we send. */
bool pair_expect(struct pair *pair, const char *text);
bool pair_receive(struct pair *pair);
bool pair_send(struct pair *pair, const char *text);

/* Sends one record of our own making. */
bool pair_seal(struct pair *pair, struct tr_dir *dir, uint8_t type, const void *data, size_t len);

#endif
