// SPDX-License-Identifier: MIT
#include "session.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>

#include "conn.h"

enum {
	PEER_KEY_LEN = 640,
	LIFETIME_MAX = 7 * 24 * 60 * 60,	/* RFC 8446 4.6.1 */
	SESSION_MAX = 1 << 24,			/* bytes of a saved one */
};

static const unsigned char id_context[] = "tlsrec";

/* Who a session is with: the name that was verified, the name that was sent, the address. */
static void peer_key(const struct tlsrec_conn *conn, char key[PEER_KEY_LEN])
{
	struct sockaddr_storage addr = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(addr);
	char host[NI_MAXHOST] = "";
	char port[NI_MAXSERV] = "";

	getpeername(conn->wire.fd, (struct sockaddr *)&addr, &len);
	if (addr.ss_family == AF_INET || addr.ss_family == AF_INET6)
		getnameinfo((struct sockaddr *)&addr, len, host, sizeof(host), port, sizeof(port),
			    NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(key, PEER_KEY_LEN, "%s %s %s %s", conn->host ? conn->host : "",
		 conn->sni ? conn->sni : "-", conn->host ? "" : host, port);
}

static SSL_SESSION *cache_remove(struct tr_session_cache *cache, size_t i)
{
	SSL_SESSION *session = cache->entries[i].session;

	free(cache->entries[i].peer);
	cache->count--;
	memmove(&cache->entries[i], &cache->entries[i + 1],
		(cache->count - i) * sizeof(cache->entries[0]));
	return session;
}

/* Index of the oldest entry of a peer, and how many there are. */
static size_t cache_oldest(const struct tr_session_cache *cache, const char *key, size_t *oldest)
{
	size_t n = 0;

	for (size_t i = cache->count; i-- > 0;) {
		if (strcmp(cache->entries[i].peer, key))
			continue;
		*oldest = i;
		n++;
	}
	return n;
}

static void cache_add(struct tr_session_cache *cache, const char *key, SSL_SESSION *session)
{
	char *copy = strdup(key);
	size_t oldest = 0;

	if (!copy)
		return;
	if (cache_oldest(cache, key, &oldest) >= TR_SESSIONS_PER_PEER)
		SSL_SESSION_free(cache_remove(cache, oldest));
	else if (cache->count == TR_SESSIONS_MAX)
		SSL_SESSION_free(cache_remove(cache, 0));
	SSL_SESSION_up_ref(session);
	cache->entries[cache->count].peer = copy;
	cache->entries[cache->count++].session = session;
}

/* The newest session with a peer. Tickets of TLS 1.3 are used once (RFC 8446 C.4). */
static SSL_SESSION *cache_take(struct tr_session_cache *cache, const char *key)
{
	for (size_t i = cache->count; i-- > 0;) {
		SSL_SESSION *session = cache->entries[i].session;

		if (strcmp(cache->entries[i].peer, key))
			continue;
		if (SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION)
			return cache_remove(cache, i);
		SSL_SESSION_up_ref(session);
		return session;
	}
	return NULL;
}

static void cache_drop(struct tr_session_cache *cache, const SSL_SESSION *session)
{
	for (size_t i = cache->count; i-- > 0;)
		if (cache->entries[i].session == session)
			SSL_SESSION_free(cache_remove(cache, i));
}

/* OpenSSL has a new session; 1: we keep the reference. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct tlsrec_conn *conn = SSL_get_app_data(ssl);
	struct tlsrec_ctx *ctx = conn->ctx;
	char key[PEER_KEY_LEN];

	if (!SSL_SESSION_is_resumable(session) || !tr_evidence_attach(conn, session))
		return 0;
	peer_key(conn, key);
	pthread_mutex_lock(&ctx->lock);
	cache_add(&ctx->sessions, key, session);
	pthread_mutex_unlock(&ctx->lock);
	SSL_SESSION_free(conn->session);
	conn->session = session;
	return 1;
}

void tr_session_keep(struct tlsrec_conn *conn)
{
	if (!conn->ctx->server && conn->ctx->resume != TLSREC_RESUME_OFF)
		tr_evidence_attach(conn, SSL_get_session(conn->ssl));
}

bool tr_session_may_come(const struct tlsrec_conn *conn)
{
	const struct tlsrec_ctx *ctx = conn->ctx;

	return conn->ssl && !ctx->server && ctx->resume != TLSREC_RESUME_OFF &&
	       conn->keys.version == TLS1_3_VERSION;
}

/* A session of TLS 1.2 brings its cipher suite along; one of TLS 1.3 fits with others, too. */
static bool suite_enabled(const struct tlsrec_conn *conn, const SSL_SESSION *session)
{
	const SSL_CIPHER *suite = SSL_SESSION_get0_cipher(session);

	if (SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION)
		return suite;
	return suite && sk_SSL_CIPHER_find(SSL_get_ciphers(conn->ssl), (SSL_CIPHER *)suite) >= 0;
}

/* Whether it may be offered: with the verdict on its peer in the connection, or with a reason. */
static bool fits(struct tlsrec_conn *conn, const SSL_SESSION *session, char why[TR_WHY_LEN])
{
	const char *reason = "";

	if (!SSL_SESSION_is_resumable(session))
		reason = "it cannot be resumed";
	else if (!suite_enabled(conn, session))
		reason = "its cipher suite is not enabled here";
	snprintf(why, TR_WHY_LEN, "%s", reason);
	if (!*why)
		tr_evidence_judge(conn, session, why);
	return !*why;
}

void tr_session_offer(struct tlsrec_conn *conn)
{
	struct tlsrec_ctx *ctx = conn->ctx;
	SSL_SESSION *session = conn->session;
	char key[PEER_KEY_LEN];
	char why[TR_WHY_LEN];

	if (ctx->server || ctx->resume == TLSREC_RESUME_OFF)
		return;
	if (!session) {
		peer_key(conn, key);
		pthread_mutex_lock(&ctx->lock);
		session = cache_take(&ctx->sessions, key);
		pthread_mutex_unlock(&ctx->lock);
	}
	conn->session = NULL;
	if (!session)
		return;
	if (!fits(conn, session, why)) {
		pthread_mutex_lock(&ctx->lock);
		cache_drop(&ctx->sessions, session);
		pthread_mutex_unlock(&ctx->lock);
	} else if (!SSL_set_session(conn->ssl, session)) {
		tr_evidence_dismiss(conn);
	}
	SSL_SESSION_free(session);
}

void tr_session_init(struct tlsrec_ctx *ctx)
{
	SSL_CTX_set_session_id_context(ctx->ssl, id_context, sizeof(id_context) - 1);
	if (ctx->server) {
		tr_ticket_init(ctx);
		tr_ids_init(ctx);
	} else {
		SSL_CTX_sess_set_new_cb(ctx->ssl, on_new_session);
	}
}

void tr_session_clear(struct tlsrec_ctx *ctx)
{
	while (ctx->sessions.count)
		SSL_SESSION_free(cache_remove(&ctx->sessions, ctx->sessions.count - 1));
	tr_ids_clear(ctx);
	tr_ticket_clear(ctx);
}

int tlsrec_ctx_set_resume(struct tlsrec_ctx *ctx, enum tlsrec_resume mode)
{
	long cache = ctx->server ? SSL_SESS_CACHE_SERVER : SSL_SESS_CACHE_CLIENT;

	ctx->resume = mode;
	if (mode == TLSREC_RESUME_OFF)
		cache = SSL_SESS_CACHE_OFF;
	/* OpenSSL's own cache asks nobody whether a session is still good. */
	SSL_CTX_set_session_cache_mode(ctx->ssl, cache | SSL_SESS_CACHE_NO_INTERNAL);
	/* On a server with TLS 1.3, without this option a ticket is the state, with it a handle. */
	if (mode == TLSREC_RESUME_TICKETS)
		SSL_CTX_clear_options(ctx->ssl, SSL_OP_NO_TICKET);
	else
		SSL_CTX_set_options(ctx->ssl, SSL_OP_NO_TICKET);
	return 0;
}

int tlsrec_ctx_set_session_lifetime(struct tlsrec_ctx *ctx, int seconds)
{
	tr_error_clear(&ctx->err);
	if (seconds < 1 || seconds > LIFETIME_MAX)
		return tr_fail(&ctx->err, TLSREC_ERROR_LOCAL,
			       "sessions cannot be resumed for %d seconds: choose 1 to %d, or "
			       "switch resumption off", seconds, LIFETIME_MAX);
	ctx->session_lifetime = seconds;
	SSL_CTX_set_timeout(ctx->ssl, seconds);
	return 0;
}

/*
 * A saved session: a magic number with the version of the format, a length in four bytes and as
 * many of evidence, then OpenSSL's form of the session, to the end.
 */
static const unsigned char magic[8] = "TLSRECs\1";

static int der_len(const SSL_SESSION *session)
{
	return session && tr_evidence_of(session) ? i2d_SSL_SESSION(session, NULL) : 0;
}

static unsigned char *encode(SSL_SESSION *session, size_t *len)
{
	unsigned char *evidence;
	unsigned char *data = NULL;
	unsigned char *p;
	int n = der_len(session);
	size_t m;

	*len = 0;
	evidence = n > 0 ? tr_evidence_encode(tr_evidence_of(session), &m) : NULL;
	if (evidence)
		data = malloc(sizeof(magic) + 4 + m + (size_t)n);
	if (data) {
		memcpy(data, magic, sizeof(magic));
		p = data + sizeof(magic);
		for (int shift = 24; shift >= 0; shift -= 8)
			*p++ = (unsigned char)(m >> shift);
		memcpy(p, evidence, m);
		p += m;
		i2d_SSL_SESSION(session, &p);
		*len = (size_t)(p - data);
	}
	free(evidence);
	return data;
}

static void forget_saved(struct tlsrec_conn *conn)
{
	if (conn->saved)
		explicit_bzero(conn->saved, conn->saved_len);
	free(conn->saved);
	conn->saved = NULL;
	conn->saved_len = 0;
}

void tr_session_settle(struct tlsrec_conn *conn)
{
	size_t len;
	unsigned char *data = encode(conn->session, &len);

	if (!data)
		return;
	forget_saved(conn);
	conn->saved = data;
	conn->saved_len = len;
	SSL_SESSION_free(conn->session);
	conn->session = NULL;
}

void tr_session_forget(struct tlsrec_conn *conn)
{
	forget_saved(conn);
	SSL_SESSION_free(conn->session);
	conn->session = NULL;
}

unsigned char *tlsrec_conn_session(struct tlsrec_conn *conn, size_t *len)
{
	unsigned char *data;

	if (conn->session || !conn->saved)
		return encode(conn->session, len);
	data = malloc(conn->saved_len);
	*len = data ? conn->saved_len : 0;
	if (data)
		memcpy(data, conn->saved, *len);
	return data;
}

static SSL_SESSION *parse(const unsigned char *data, size_t len)
{
	const unsigned char *p = data + sizeof(magic);
	const unsigned char *end = data + len;
	SSL_SESSION *session = NULL;
	const unsigned char *der;
	size_t m;

	if (len < sizeof(magic) + 4 || len > SESSION_MAX || memcmp(data, magic, sizeof(magic)))
		return NULL;
	m = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
	p += 4;
	if (m > (size_t)(end - p))
		return NULL;
	der = p + m;
	session = d2i_SSL_SESSION(NULL, &der, (long)(end - der));
	if (session && der == end && tr_evidence_decode(session, p, m))
		return session;
	SSL_SESSION_free(session);
	return NULL;
}

int tlsrec_conn_set_session(struct tlsrec_conn *conn, const unsigned char *data, size_t len)
{
	char why[TR_WHY_LEN];
	SSL_SESSION *session;

	if (conn->ctx->server || conn->state != TR_NEW)
		return tr_fail(&conn->err, TLSREC_ERROR_LOCAL,
			       "only a client resumes a saved session, and only with its first step");
	session = parse(data, len);
	ERR_clear_error();
	if (!session)
		return tr_fail(&conn->err, TLSREC_ERROR_LOCAL,
			       "these %zu bytes are no session that this library saved, or not all "
			       "of it", len);
	if (!fits(conn, session, why)) {
		SSL_SESSION_free(session);
		return tr_fail(&conn->err, TLSREC_ERROR_LOCAL,
			       "the saved session cannot be used with %s: %s", tr_peer_name(conn),
			       why);
	}
	/* It is judged again when it is offered. */
	tr_evidence_dismiss(conn);
	SSL_SESSION_free(conn->session);
	conn->session = session;
	return 0;
}
