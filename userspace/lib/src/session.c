// SPDX-License-Identifier: MIT
#include "session.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "conn.h"

enum { PEER_KEY_LEN = 640 };

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

void tr_session_cache_clear(struct tr_session_cache *cache)
{
	while (cache->count)
		SSL_SESSION_free(cache_remove(cache, cache->count - 1));
}

/* OpenSSL has a new session; 1: we keep the reference. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct tlsrec_conn *conn = SSL_get_app_data(ssl);
	struct tlsrec_ctx *ctx = conn->ctx;
	char key[PEER_KEY_LEN];

	if (ctx->server || !SSL_SESSION_is_resumable(session))
		return 0;
	peer_key(conn, key);
	pthread_mutex_lock(&ctx->lock);
	cache_add(&ctx->sessions, key, session);
	pthread_mutex_unlock(&ctx->lock);
	SSL_SESSION_free(conn->session);
	conn->session = session;
	return 1;
}

/* A session of TLS 1.2 brings its cipher suite along; one of TLS 1.3 fits with others, too. */
static bool suite_enabled(const struct tlsrec_conn *conn, const SSL_SESSION *session)
{
	const SSL_CIPHER *suite = SSL_SESSION_get0_cipher(session);

	return SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION || !suite ||
	       sk_SSL_CIPHER_find(SSL_get_ciphers(conn->ssl), (SSL_CIPHER *)suite) >= 0;
}

/* The certificate in a session is not shown again, so it is checked before it is offered. */
static const char *unfit(const struct tlsrec_conn *conn, const SSL_SESSION *session)
{
	X509 *cert = SSL_SESSION_get0_peer((SSL_SESSION *)session);

	if (!SSL_SESSION_is_resumable(session))
		return "it cannot be resumed";
	if (!suite_enabled(conn, session))
		return "its cipher suite is not enabled here";
	if (!tr_verify_host(conn, cert))
		return "its certificate is for another host";
	if (cert && X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
		return "its certificate has expired";
	return NULL;
}

void tr_session_offer(struct tlsrec_conn *conn)
{
	struct tlsrec_ctx *ctx = conn->ctx;
	SSL_SESSION *session = conn->session;
	char key[PEER_KEY_LEN];

	if (ctx->server || ctx->resume == TLSREC_RESUME_OFF)
		return;
	if (!session) {
		peer_key(conn, key);
		pthread_mutex_lock(&ctx->lock);
		session = cache_take(&ctx->sessions, key);
		pthread_mutex_unlock(&ctx->lock);
	}
	if (session && !unfit(conn, session))
		SSL_set_session(conn->ssl, session);
	SSL_SESSION_free(session);
	conn->session = NULL;
}

void tr_session_init(struct tlsrec_ctx *ctx)
{
	SSL_CTX_set_session_id_context(ctx->ssl, id_context, sizeof(id_context) - 1);
	if (!ctx->server)
		SSL_CTX_sess_set_new_cb(ctx->ssl, on_new_session);
}

int tlsrec_ctx_set_resume(struct tlsrec_ctx *ctx, enum tlsrec_resume mode)
{
	long cache = ctx->server ? SSL_SESS_CACHE_SERVER
				 : SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL;

	ctx->resume = mode;
	SSL_CTX_set_session_cache_mode(ctx->ssl,
				       mode == TLSREC_RESUME_OFF ? SSL_SESS_CACHE_OFF : cache);
	/* On a server with TLS 1.3, without this option a ticket is the state, with it a handle. */
	if (mode == TLSREC_RESUME_TICKETS)
		SSL_CTX_clear_options(ctx->ssl, SSL_OP_NO_TICKET);
	else
		SSL_CTX_set_options(ctx->ssl, SSL_OP_NO_TICKET);
	return 0;
}

unsigned char *tlsrec_conn_session(struct tlsrec_conn *conn, size_t *len)
{
	unsigned char *data;
	unsigned char *p;
	int n = conn->session ? i2d_SSL_SESSION(conn->session, NULL) : 0;

	*len = 0;
	data = n > 0 ? malloc((size_t)n) : NULL;
	if (!data)
		return NULL;
	p = data;
	*len = (size_t)i2d_SSL_SESSION(conn->session, &p);
	return data;
}

int tlsrec_conn_set_session(struct tlsrec_conn *conn, const unsigned char *data, size_t len)
{
	SSL_SESSION *session = d2i_SSL_SESSION(NULL, &data, (long)len);
	const char *why;

	if (!session)
		return tr_fail_openssl(&conn->err, TLSREC_ERROR_LOCAL,
				       "these %zu bytes are no saved session", len);
	why = unfit(conn, session);
	if (why) {
		SSL_SESSION_free(session);
		return tr_fail(&conn->err, TLSREC_ERROR_LOCAL,
			       "the saved session cannot be used with %s: %s", tr_peer_name(conn),
			       why);
	}
	SSL_SESSION_free(conn->session);
	conn->session = session;
	return 0;
}
