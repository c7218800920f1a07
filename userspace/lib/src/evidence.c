// SPDX-License-Identifier: MIT
#include "evidence.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include "conn.h"

enum {
	FORMAT = 1,
	HEAD_LEN = 1 + 1 + 8 + TR_OWN_LEN,	/* format, asked, time, own */
	ISSUERS_MAX = 100,
	STAPLE_MAX = 1 << 24,
	CLOCK_SKEW = 300,	/* seconds that a clock may have been put back */
};

static int ex_index = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static struct tr_evidence *evidence_new(void)
{
	struct tr_evidence *evidence = calloc(1, sizeof(*evidence));

	if (!evidence)
		return NULL;
	atomic_init(&evidence->refs, 1);
	evidence->issuers = sk_X509_new_null();
	if (evidence->issuers)
		return evidence;
	free(evidence);
	return NULL;
}

void tr_evidence_release(struct tr_evidence *evidence)
{
	if (!evidence || atomic_fetch_sub(&evidence->refs, 1) != 1)
		return;
	sk_X509_pop_free(evidence->issuers, X509_free);
	free(evidence->staple);
	free(evidence);
}

/* OpenSSL's callbacks: when a session goes, and when it gets a copy, as each ticket does. */
static void on_free(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long l, void *arg)
{
	(void)parent;
	(void)data;
	(void)index;
	(void)l;
	(void)arg;
	tr_evidence_release(ptr);
}

static int on_dup(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **from_d, int index, long l,
		  void *arg)
{
	struct tr_evidence *evidence = *from_d;

	(void)to;
	(void)from;
	(void)index;
	(void)l;
	(void)arg;
	if (evidence)
		atomic_fetch_add(&evidence->refs, 1);
	return 1;
}

static void make_index(void)
{
	ex_index = SSL_SESSION_get_ex_new_index(0, NULL, NULL, on_dup, on_free);
}

const struct tr_evidence *tr_evidence_of(const SSL_SESSION *session)
{
	pthread_once(&once, make_index);
	return SSL_SESSION_get_ex_data(session, ex_index);
}

/* The session gets a reference of its own. */
static bool put(SSL_SESSION *session, struct tr_evidence *evidence)
{
	struct tr_evidence *old = (struct tr_evidence *)tr_evidence_of(session);

	if (old == evidence)
		return true;
	if (!SSL_SESSION_set_ex_data(session, ex_index, evidence))
		return false;
	atomic_fetch_add(&evidence->refs, 1);
	tr_evidence_release(old);
	return true;
}

/* Clients that are given other certificates are to show those, not to pass for who they were. */
static bool own_certificates(const struct tlsrec_ctx *ctx, unsigned char own[TR_OWN_LEN])
{
	EVP_MD_CTX *all = EVP_MD_CTX_new();
	bool ok = all && EVP_DigestInit_ex(all, EVP_sha256(), NULL);

	for (size_t i = 0; ok && i < ctx->identity_count; i++) {
		unsigned char one[EVP_MAX_MD_SIZE];
		unsigned int len = 0;

		ok = X509_digest(ctx->identities[i].leaf, EVP_sha256(), one, &len) &&
		     EVP_DigestUpdate(all, one, len);
	}
	ok = ok && EVP_DigestFinal_ex(all, own, NULL);
	EVP_MD_CTX_free(all);
	return ok;
}

static bool collect_issuers(struct tr_evidence *evidence, const SSL *ssl)
{
	X509 *leaf = SSL_get0_peer_certificate(ssl);
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);

	for (int i = 0; i < sk_X509_num(chain); i++) {
		X509 *cert = sk_X509_value(chain, i);

		/* OpenSSL has the leaf in the chain on clients, and not on servers. */
		if (!X509_cmp(cert, leaf))
			continue;
		if (!sk_X509_push(evidence->issuers, cert))
			return false;
		X509_up_ref(cert);
	}
	return true;
}

static bool collect_staple(struct tr_evidence *evidence, SSL *ssl)
{
	const unsigned char *der = NULL;
	long len = SSL_get_tlsext_status_ocsp_resp(ssl, &der);

	if (!der || len <= 0)
		return true;
	evidence->staple = malloc((size_t)len);
	if (!evidence->staple)
		return false;
	memcpy(evidence->staple, der, (size_t)len);
	evidence->staple_len = (size_t)len;
	return true;
}

/* For an OCSP response. */
static bool asks(const struct tlsrec_ctx *ctx)
{
	return !ctx->server && ctx->ocsp != TLSREC_OCSP_OFF;
}

static struct tr_evidence *collect(struct tlsrec_conn *conn)
{
	struct tr_evidence *evidence = evidence_new();
	bool server = conn->ctx->server;

	if (!evidence)
		return NULL;
	evidence->time = time(NULL);
	evidence->asked = asks(conn->ctx);
	if (collect_issuers(evidence, conn->ssl) &&
	    (server || (collect_staple(evidence, conn->ssl) &&
			own_certificates(conn->ctx, evidence->own))))
		return evidence;
	tr_evidence_release(evidence);
	return NULL;
}

bool tr_evidence_attach(struct tlsrec_conn *conn, SSL_SESSION *session)
{
	/* The session of a resumed handshake has what the first one saw, and its time. */
	if (SSL_session_reused(conn->ssl))
		return tr_evidence_of(session);
	if (!conn->evidence)
		conn->evidence = collect(conn);
	pthread_once(&once, make_index);
	return conn->evidence && put(session, conn->evidence);
}

void tr_evidence_dismiss(struct tlsrec_conn *conn)
{
	if (!conn->verdict.of_session)
		return;
	conn->verdict = (struct tr_verdict){ 0 };
	conn->ocsp = (struct tr_ocsp){ 0 };
}

static const char *too_old(const struct tlsrec_ctx *ctx, const struct tr_evidence *evidence)
{
	int64_t now = time(NULL);

	if (evidence->time > now + CLOCK_SKEW)
		return "it began in the future";
	if (evidence->time <= now - ctx->session_lifetime)
		return "it began too long ago";
	return NULL;
}

static const char *other_identity(const struct tlsrec_ctx *ctx, const struct tr_evidence *evidence)
{
	unsigned char own[TR_OWN_LEN];

	if (ctx->server)
		return NULL;
	if (!own_certificates(ctx, own))
		return "memory is short";
	return memcmp(own, evidence->own, sizeof(own)) ? "it began with another certificate of ours"
						       : NULL;
}

static const char *judge_certificate(struct tlsrec_conn *conn, const struct tr_evidence *evidence,
				     X509 *cert)
{
	bool ask = asks(conn->ctx);
	STACK_OF(X509) *chain;
	const char *why = NULL;

	if (conn->host_wrong)
		return conn->host_wrong;
	if (ask && !evidence->asked)
		return "no OCSP response was asked for when it began";
	chain = tr_verify_again(conn, cert, evidence->issuers);
	if (!chain)
		return "memory is short";
	if (conn->verdict.refused)
		why = conn->verdict.reason;
	else if (ask && !tr_ocsp_judge(conn, chain, evidence->staple, (long)evidence->staple_len))
		why = conn->ocsp.reason;
	sk_X509_pop_free(chain, X509_free);
	return why;
}

static const char *judge(struct tlsrec_conn *conn, const SSL_SESSION *session)
{
	const struct tr_evidence *evidence = tr_evidence_of(session);
	X509 *cert = SSL_SESSION_get0_peer((SSL_SESSION *)session);
	const char *why;

	if (!evidence)
		return "it does not say how it began";
	why = too_old(conn->ctx, evidence);
	if (!why)
		why = other_identity(conn->ctx, evidence);
	if (why)
		return why;
	if (cert)
		return judge_certificate(conn, evidence, cert);
	if (!conn->ctx->server || conn->ctx->verify == TLSREC_VERIFY_REQUIRE)
		return "there is no certificate in it";
	return NULL;
}

void tr_evidence_judge(struct tlsrec_conn *conn, const SSL_SESSION *session, char why[TR_WHY_LEN])
{
	const char *reason;

	conn->verdict = (struct tr_verdict){ 0 };
	conn->ocsp = (struct tr_ocsp){ 0 };
	reason = judge(conn, session);
	conn->verdict.of_session = true;
	snprintf(why, TR_WHY_LEN, "%s", reason ? reason : "");
	if (reason)
		tr_evidence_dismiss(conn);
}

static unsigned char *put_number(unsigned char *p, uint64_t value, int bytes)
{
	while (bytes--)
		*p++ = (unsigned char)(value >> 8 * bytes);
	return p;
}

static size_t encoded_len(const struct tr_evidence *evidence)
{
	size_t len = HEAD_LEN + 4 + evidence->staple_len;

	for (int i = 0; i < sk_X509_num(evidence->issuers); i++) {
		int n = i2d_X509(sk_X509_value(evidence->issuers, i), NULL);

		if (n <= 0)
			return 0;
		len += 4 + (size_t)n;
	}
	return len;
}

unsigned char *tr_evidence_encode(const struct tr_evidence *evidence, size_t *len)
{
	unsigned char *data;
	unsigned char *p;

	*len = encoded_len(evidence);
	data = *len ? malloc(*len) : NULL;
	if (!data)
		return NULL;
	p = put_number(data, FORMAT, 1);
	p = put_number(p, evidence->asked, 1);
	p = put_number(p, (uint64_t)evidence->time, 8);
	memcpy(p, evidence->own, TR_OWN_LEN);
	p = put_number(p + TR_OWN_LEN, evidence->staple_len, 4);
	if (evidence->staple_len)
		memcpy(p, evidence->staple, evidence->staple_len);
	p += evidence->staple_len;
	for (int i = 0; i < sk_X509_num(evidence->issuers); i++) {
		X509 *cert = sk_X509_value(evidence->issuers, i);

		p = put_number(p, (uint64_t)i2d_X509(cert, NULL), 4);
		i2d_X509(cert, &p);
	}
	return data;
}

/* What is left to read. */
struct cursor {
	const unsigned char *p;
	size_t left;
};

static uint64_t take_number(struct cursor *c, int bytes)
{
	uint64_t value = 0;

	for (; bytes; bytes--, c->left--)
		value = value << 8 | *c->p++;
	return value;
}

/* A length in four bytes and as many bytes. */
static bool take_piece(struct cursor *c, const unsigned char **piece, size_t *len)
{
	if (c->left < 4)
		return false;
	*len = take_number(c, 4);
	if (*len > c->left)
		return false;
	*piece = c->p;
	c->p += *len;
	c->left -= *len;
	return true;
}

static bool take_staple(struct cursor *c, struct tr_evidence *evidence)
{
	const unsigned char *piece;
	size_t len;

	if (!take_piece(c, &piece, &len) || len > STAPLE_MAX)
		return false;
	if (!len)
		return true;
	evidence->staple = malloc(len);
	if (!evidence->staple)
		return false;
	memcpy(evidence->staple, piece, len);
	evidence->staple_len = len;
	return true;
}

static bool take_issuers(struct cursor *c, struct tr_evidence *evidence)
{
	while (c->left) {
		const unsigned char *piece;
		const unsigned char *end;
		X509 *cert;
		size_t len;

		if (sk_X509_num(evidence->issuers) == ISSUERS_MAX || !take_piece(c, &piece, &len))
			return false;
		end = piece + len;
		cert = d2i_X509(NULL, &piece, (long)len);
		if (!cert || piece != end || !sk_X509_push(evidence->issuers, cert)) {
			X509_free(cert);
			return false;
		}
	}
	return true;
}

bool tr_evidence_decode(SSL_SESSION *session, const unsigned char *data, size_t len)
{
	struct cursor c = { .p = data, .left = len };
	struct tr_evidence *evidence;
	uint64_t asked;
	bool ok;

	if (len < HEAD_LEN || take_number(&c, 1) != FORMAT)
		return false;
	evidence = evidence_new();
	if (!evidence)
		return false;
	asked = take_number(&c, 1);
	evidence->asked = asked;
	evidence->time = (int64_t)take_number(&c, 8);
	memcpy(evidence->own, c.p, TR_OWN_LEN);
	c.p += TR_OWN_LEN;
	c.left -= TR_OWN_LEN;
	pthread_once(&once, make_index);
	ok = asked <= 1 && take_staple(&c, evidence) && take_issuers(&c, evidence) &&
	     put(session, evidence);
	tr_evidence_release(evidence);
	return ok;
}
