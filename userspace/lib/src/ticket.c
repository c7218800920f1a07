// SPDX-License-Identifier: MIT
#include "ticket.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "conn.h"

/* A ticket must fit into 64 KiB with all that OpenSSL puts there, or it ends the handshake. */
enum { EVIDENCE_MAX = 16 * 1024 };

static void forget_last(struct tr_ticket_keys *ring)
{
	ring->count--;
	OPENSSL_cleanse(&ring->keys[ring->count], sizeof(ring->keys[0]));
}

/* Tickets under a key are of sessions that are over by then. */
static void forget_old(struct tlsrec_ctx *ctx, int64_t now)
{
	struct tr_ticket_keys *ring = &ctx->ticket_keys;
	int64_t life = ctx->session_lifetime + (ctx->session_lifetime + 1) / 2;

	while (ring->count && ring->keys[ring->count - 1].made <= now - life)
		forget_last(ring);
}

static bool make_key(struct tr_ticket_keys *ring, int64_t now)
{
	struct tr_ticket_key key = { .made = now };

	if (RAND_bytes(key.name, sizeof(key.name)) != 1 ||
	    RAND_priv_bytes(key.cipher, sizeof(key.cipher)) != 1 ||
	    RAND_priv_bytes(key.mac, sizeof(key.mac)) != 1)
		return false;
	if (ring->count == TR_TICKET_KEYS)
		forget_last(ring);
	memmove(&ring->keys[1], &ring->keys[0], ring->count * sizeof(key));
	ring->keys[0] = key;
	ring->count++;
	OPENSSL_cleanse(&key, sizeof(key));
	return true;
}

/* Whether a key still makes tickets. A clock that was put back ends that, too. */
static bool is_current(const struct tlsrec_ctx *ctx, const struct tr_ticket_key *key, int64_t now)
{
	return key->made > now - (ctx->session_lifetime + 1) / 2 && key->made <= now;
}

/* The key for new tickets. */
static bool current_key(struct tlsrec_ctx *ctx, struct tr_ticket_key *key)
{
	struct tr_ticket_keys *ring = &ctx->ticket_keys;
	int64_t now = time(NULL);
	bool ok = true;

	pthread_mutex_lock(&ctx->lock);
	forget_old(ctx, now);
	if (!ring->count || !is_current(ctx, &ring->keys[0], now))
		ok = make_key(ring, now);
	if (ok)
		*key = ring->keys[0];
	pthread_mutex_unlock(&ctx->lock);
	return ok;
}

/* The key of a ticket; current: new tickets are made with it. */
static bool find_key(struct tlsrec_ctx *ctx, const unsigned char *name, struct tr_ticket_key *key,
		     bool *current)
{
	struct tr_ticket_keys *ring = &ctx->ticket_keys;
	int64_t now = time(NULL);
	bool found = false;

	pthread_mutex_lock(&ctx->lock);
	forget_old(ctx, now);
	for (size_t i = 0; i < ring->count && !found; i++) {
		found = !memcmp(ring->keys[i].name, name, sizeof(key->name));
		if (found) {
			*key = ring->keys[i];
			*current = !i && is_current(ctx, key, now);
		}
	}
	pthread_mutex_unlock(&ctx->lock);
	return found;
}

static bool start(struct tr_ticket_key *key, unsigned char *iv, EVP_CIPHER_CTX *cipher,
		  EVP_MAC_CTX *mac, int encrypt)
{
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof(key->mac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params) &&
	       EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, encrypt);
}

/* OpenSSL's callback: -1 error, 0 unknown key, 1 go on, 2 go on and send a new ticket. */
static int on_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
		  EVP_MAC_CTX *mac, int encrypt)
{
	struct tlsrec_conn *conn = SSL_get_app_data(ssl);
	struct tr_ticket_key key;
	bool current = true;
	bool ok;

	if (encrypt) {
		if (!current_key(conn->ctx, &key))
			return -1;
		memcpy(name, key.name, sizeof(key.name));
		ok = RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1;
	} else {
		if (!find_key(conn->ctx, name, &key, &current))
			return 0;
		ok = true;
	}
	ok = ok && start(&key, iv, cipher, mac, encrypt);
	OPENSSL_cleanse(&key, sizeof(key));
	if (!ok)
		return -1;
	/* Under TLS 1.3 a ticket is used once (RFC 8446 C.4). */
	return encrypt || (current && SSL_version(ssl) != TLS1_3_VERSION) ? 1 : 2;
}

/* The issuers of the client's certificate and the time, which OpenSSL leaves out of tickets. */
static void add_evidence(SSL_SESSION *session)
{
	size_t len = 0;
	unsigned char *data = tr_evidence_encode(tr_evidence_of(session), &len);

	/* Without it, it is a ticket that is not taken. */
	if (!data || len > EVIDENCE_MAX)
		SSL_SESSION_set1_ticket_appdata(session, NULL, 0);
	else
		SSL_SESSION_set1_ticket_appdata(session, data, len);
	free(data);
}

static int on_generate(SSL *ssl, void *arg)
{
	struct tlsrec_conn *conn = SSL_get_app_data(ssl);
	SSL_SESSION *session = SSL_get_session(ssl);
	int64_t left;

	(void)arg;
	if (!tr_evidence_attach(conn, session))
		return 1;
	/* OpenSSL counts from the ticket (TLS 1.3) or from the session; both end at once. */
	left = tr_evidence_of(session)->time + conn->ctx->session_lifetime -
	       SSL_SESSION_get_time(session);
	SSL_SESSION_set_timeout(session, left > 0 ? (long)left : 1);
	if (conn->ctx->resume == TLSREC_RESUME_TICKETS)
		add_evidence(session);
	return 1;
}

static SSL_TICKET_RETURN on_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
				   size_t name_len, SSL_TICKET_STATUS status, void *arg)
{
	char why[TR_WHY_LEN];
	void *data = NULL;
	size_t len = 0;

	(void)name;
	(void)name_len;
	(void)arg;
	if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	if (!SSL_SESSION_get0_ticket_appdata(session, &data, &len) ||
	    !tr_evidence_decode(session, data, len))
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	tr_evidence_judge(SSL_get_app_data(ssl), session, why);
	if (*why)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

void tr_ticket_init(struct tlsrec_ctx *ctx)
{
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx->ssl, on_key);
	SSL_CTX_set_session_ticket_cb(ctx->ssl, on_generate, on_ticket, NULL);
}

void tr_ticket_clear(struct tlsrec_ctx *ctx)
{
	OPENSSL_cleanse(&ctx->ticket_keys, sizeof(ctx->ticket_keys));
}
