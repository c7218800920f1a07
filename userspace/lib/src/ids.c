// SPDX-License-Identifier: MIT
#include "ids.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conn.h"

struct tr_id {
	TAILQ_ENTRY(tr_id) order;
	LIST_ENTRY(tr_id) in_bucket;
	SSL_SESSION *session;
	int64_t time;			/* of its full handshake */
};

/* IDs that are kept are random numbers of our own, so that the first bytes will do. */
static struct tr_id_bucket *bucket(const struct tr_ids *ids, const unsigned char *id, size_t len)
{
	size_t hash = 0;

	for (size_t i = 0; i < len && i < 4; i++)
		hash = hash << 8 | id[i];
	return &ids->buckets[hash % TR_IDS_BUCKETS];
}

static struct tr_id *find(const struct tr_ids *ids, const unsigned char *id, size_t len)
{
	struct tr_id *entry;

	if (!ids->buckets)
		return NULL;
	LIST_FOREACH(entry, bucket(ids, id, len), in_bucket) {
		unsigned int have_len;
		const unsigned char *have = SSL_SESSION_get_id(entry->session, &have_len);

		if (have_len == len && !memcmp(have, id, len))
			return entry;
	}
	return NULL;
}

/* The reference to the session is the caller's then. */
static SSL_SESSION *take_out(struct tr_ids *ids, struct tr_id *entry)
{
	SSL_SESSION *session = entry->session;

	TAILQ_REMOVE(&ids->order, entry, order);
	LIST_REMOVE(entry, in_bucket);
	ids->count--;
	free(entry);
	return session;
}

static void drop_oldest(struct tr_ids *ids)
{
	SSL_SESSION_free(take_out(ids, TAILQ_FIRST(&ids->order)));
}

/* Makes room: what is over goes, and the oldest if that is not enough. */
static void tidy(struct tlsrec_ctx *ctx)
{
	struct tr_ids *ids = &ctx->ids;
	int64_t over = time(NULL) - ctx->session_lifetime;

	while (ids->count && (ids->count >= TR_IDS_MAX || TAILQ_FIRST(&ids->order)->time <= over))
		drop_oldest(ids);
}

static bool add(struct tlsrec_ctx *ctx, SSL_SESSION *session, int64_t began)
{
	struct tr_ids *ids = &ctx->ids;
	struct tr_id *entry = malloc(sizeof(*entry));
	const unsigned char *id;
	unsigned int len;

	if (!ids->buckets)
		ids->buckets = calloc(TR_IDS_BUCKETS, sizeof(ids->buckets[0]));
	if (!entry || !ids->buckets) {
		free(entry);
		return false;
	}
	tidy(ctx);
	entry->session = session;
	entry->time = began;
	id = SSL_SESSION_get_id(session, &len);
	TAILQ_INSERT_TAIL(&ids->order, entry, order);
	LIST_INSERT_HEAD(bucket(ids, id, len), entry, in_bucket);
	ids->count++;
	return true;
}

/* OpenSSL's callback: a session was made; 1 if it is kept, and with it the reference. */
static int on_new(SSL *ssl, SSL_SESSION *session)
{
	struct tlsrec_conn *conn = SSL_get_app_data(ssl);
	struct tlsrec_ctx *ctx = conn->ctx;
	bool kept;

	/* With TLS 1.3 a session that travels in a ticket comes by here, too. */
	if (ctx->resume != TLSREC_RESUME_IDS &&
	    SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION)
		return 0;
	if (!tr_evidence_attach(conn, session))
		return 0;
	pthread_mutex_lock(&ctx->lock);
	kept = add(ctx, session, tr_evidence_of(session)->time);
	pthread_mutex_unlock(&ctx->lock);
	return kept;
}

static void remove_session(struct tlsrec_ctx *ctx, const SSL_SESSION *session)
{
	SSL_SESSION *taken = NULL;
	const unsigned char *id;
	struct tr_id *entry;
	unsigned int len;

	id = SSL_SESSION_get_id(session, &len);
	pthread_mutex_lock(&ctx->lock);
	entry = find(&ctx->ids, id, len);
	if (entry && entry->session == session)
		taken = take_out(&ctx->ids, entry);
	pthread_mutex_unlock(&ctx->lock);
	SSL_SESSION_free(taken);
}

/* OpenSSL's callback: the session's connection failed. */
static void on_remove(SSL_CTX *ssl, SSL_SESSION *session)
{
	remove_session(SSL_CTX_get_app_data(ssl), session);
}

/* A session with a reference for the caller. Handles of TLS 1.3 are used once (RFC 8446 C.4). */
static SSL_SESSION *look_up(struct tlsrec_ctx *ctx, const unsigned char *id, size_t len)
{
	SSL_SESSION *session = NULL;
	struct tr_id *entry;

	pthread_mutex_lock(&ctx->lock);
	entry = find(&ctx->ids, id, len);
	if (entry && SSL_SESSION_get_protocol_version(entry->session) == TLS1_3_VERSION) {
		session = take_out(&ctx->ids, entry);
	} else if (entry) {
		session = entry->session;
		SSL_SESSION_up_ref(session);
	}
	pthread_mutex_unlock(&ctx->lock);
	return session;
}

/* OpenSSL's callback: the session that a client names, if it may be resumed. */
static SSL_SESSION *on_get(SSL *ssl, const unsigned char *id, int len, int *copy)
{
	struct tlsrec_conn *conn = SSL_get_app_data(ssl);
	SSL_SESSION *session = look_up(conn->ctx, id, (size_t)len);
	char why[TR_WHY_LEN];

	*copy = 0;	/* the reference is handed over */
	if (!session)
		return NULL;
	tr_evidence_judge(conn, session, why);
	if (!*why)
		return session;
	remove_session(conn->ctx, session);
	SSL_SESSION_free(session);
	return NULL;
}

void tr_ids_init(struct tlsrec_ctx *ctx)
{
	TAILQ_INIT(&ctx->ids.order);
	SSL_CTX_sess_set_new_cb(ctx->ssl, on_new);
	SSL_CTX_sess_set_get_cb(ctx->ssl, on_get);
	SSL_CTX_sess_set_remove_cb(ctx->ssl, on_remove);
}

void tr_ids_clear(struct tlsrec_ctx *ctx)
{
	while (ctx->ids.count)
		drop_oldest(&ctx->ids);
	free(ctx->ids.buckets);
	ctx->ids.buckets = NULL;
}
