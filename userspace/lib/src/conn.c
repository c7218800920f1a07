// SPDX-License-Identifier: MIT
#include "conn.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "host.h"
#include "install.h"
#include "suites.h"

static int attach_ssl(struct tlsrec_conn *conn)
{
	BIO *bio;

	pthread_mutex_lock(&conn->ctx->lock);
	tr_suites_settle(conn->ctx);
	pthread_mutex_unlock(&conn->ctx->lock);
	conn->ssl = SSL_new(conn->ctx->ssl);
	bio = tr_wire_bio(conn->ctx->bio_method, &conn->wire);
	if (!conn->ssl || !bio) {
		BIO_free(bio);
		return -1;
	}
	SSL_set_bio(conn->ssl, bio, bio);
	SSL_set_app_data(conn->ssl, conn);
	if (conn->ctx->server)
		SSL_set_accept_state(conn->ssl);
	else
		SSL_set_connect_state(conn->ssl);
	tr_watch_attach(conn);
	return 0;
}

struct tlsrec_conn *tlsrec_conn_new(struct tlsrec_ctx *ctx, int fd, const char *host)
{
	struct tlsrec_conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	conn->ctx = tr_ctx_ref(ctx);
	conn->wire.fd = fd;
	if (host && !ctx->server) {
		conn->host_wrong = tr_host_read(host, &conn->host, &conn->host_is_address);
		if (!conn->host)
			goto err_conn;
	}
	if (attach_ssl(conn))
		goto err_conn;
	tr_info_update(conn);
	return conn;
err_conn:
	tlsrec_conn_free(conn);
	return NULL;
}

static void free_ssl(struct tlsrec_conn *conn)
{
	/* Otherwise OpenSSL takes the connection for broken off and forgets its session. */
	if (conn->ssl && conn->state == TR_OVER)
		SSL_set_shutdown(conn->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(conn->ssl);
	conn->ssl = NULL;
}

void tlsrec_conn_free(struct tlsrec_conn *conn)
{
	if (!conn)
		return;
	free_ssl(conn);
	free(conn->chain);
	tr_session_forget(conn);
	tr_evidence_release(conn->evidence);
	tr_control_clear(&conn->control);
	tr_info_clear(&conn->info);
	tr_watch_clear(&conn->watch);
	tlsrec_ctx_free(conn->ctx);
	tr_error_free(&conn->err);
	free(conn->host);
	free(conn->sni);
	OPENSSL_cleanse(&conn->keys, sizeof(conn->keys));
	free(conn);
}

const char *tlsrec_conn_error(const struct tlsrec_conn *conn)
{
	return tr_error_text(&conn->err);
}

enum tlsrec_error_kind tlsrec_conn_error_kind(const struct tlsrec_conn *conn)
{
	return conn->err.kind;
}

int tlsrec_conn_fd(const struct tlsrec_conn *conn)
{
	return conn->wire.fd;
}

void tlsrec_conn_set_data(struct tlsrec_conn *conn, void *data)
{
	conn->data = data;
}

void *tlsrec_conn_data(const struct tlsrec_conn *conn)
{
	return conn->data;
}

const struct tlsrec_info *tlsrec_conn_info(struct tlsrec_conn *conn)
{
	return &conn->info.view;
}

int tlsrec_conn_set_sni(struct tlsrec_conn *conn, const char *name)
{
	char *copy = strdup(name);

	if (!copy)
		return tr_fail(&conn->err, TLSREC_ERROR_LOCAL, "out of memory");
	free(conn->sni);
	conn->sni = copy;
	return 0;
}

static int set_server_name(struct tlsrec_conn *conn)
{
	const char *name = conn->sni;

	if (!name && !conn->host_is_address)
		name = conn->host;
	if (!name || !*name || SSL_set_tlsext_host_name(conn->ssl, name))
		return 0;
	return tr_fail_openssl(&conn->err, TLSREC_ERROR_LOCAL,
			       "\"%s\" cannot be sent as server name", name);
}

static int start_client(struct tlsrec_conn *conn)
{
	if (!conn->host && conn->ctx->verify != TLSREC_VERIFY_NONE)
		return tr_fail(&conn->err, TLSREC_ERROR_LOCAL,
			       "no host name was given to check the server's certificate against: "
			       "give one, or switch verification off");
	if (conn->host_wrong)
		return tr_fail(&conn->err, TLSREC_ERROR_LOCAL,
			       "no certificate can be for the host \"%s\": %s; give the name or the "
			       "address of the server", conn->host, conn->host_wrong);
	if (set_server_name(conn))
		return -1;
	tr_session_offer(conn);
	return 0;
}

static int start(struct tlsrec_conn *conn)
{
	/* What was refused before, such as a saved session, is not in the way. */
	tr_error_clear(&conn->err);
	if (conn->ctx->server && !conn->ctx->identity_count)
		return tr_fail(&conn->err, TLSREC_ERROR_LOCAL,
			       "a server needs a certificate: add one with its private key");
	if (tr_trust_check(conn->ctx, &conn->err))
		return -1;
	if (conn->ctx->ulp && conn->ctx->unfit.kind) {
		tr_error_copy(&conn->err, &conn->ctx->unfit);
		return -1;
	}
	if (!conn->ctx->server && start_client(conn))
		return -1;
	if (tr_install_ulp(conn))
		return -1;
	conn->state = TR_HANDSHAKE_RUNNING;
	return 0;
}

/*
 * A resumed session stands for the certificate that began it, which was judged before it was
 * offered or taken. A full handshake has a verdict of its own.
 */
static int check_resumed(struct tlsrec_conn *conn)
{
	if (!SSL_session_reused(conn->ssl)) {
		tr_evidence_dismiss(conn);
		return 0;
	}
	if (conn->verdict.of_session)
		return 0;
	return tr_fail(&conn->err, TLSREC_ERROR_VERIFY,
		       "the session resumed with %s was not judged before", tr_peer_name(conn));
}

/* The kernel has them. What tickets and key updates need is not among them. */
static void wipe_keys(struct tlsrec_conn *conn)
{
	OPENSSL_cleanse(conn->keys.tx.key, sizeof(conn->keys.tx.key));
	OPENSSL_cleanse(conn->keys.rx.key, sizeof(conn->keys.rx.key));
}

/* A saved session or a ticket has only the leaf itself. */
static STACK_OF(X509) *sent_chain(const struct tlsrec_conn *conn)
{
	SSL_SESSION *session = SSL_session_reused(conn->ssl) ? SSL_get_session(conn->ssl) : NULL;
	const struct tr_evidence *evidence = session ? tr_evidence_of(session) : NULL;

	return evidence ? evidence->issuers : SSL_get_peer_cert_chain(conn->ssl);
}

/* Whether the peer has shown what OpenSSL says it has: in the beginning that is from the session that is offered. */
static bool has_shown(const struct tlsrec_conn *conn)
{
	return conn->state == TR_OVER || (conn->verdict.checked && !conn->verdict.of_session);
}

/* One certificate after the other, DER; OpenSSL's own form takes ten times as much. */
static void keep_chain(struct tlsrec_conn *conn)
{
	X509 *leaf = SSL_get0_peer_certificate(conn->ssl);
	STACK_OF(X509) *chain = sent_chain(conn);
	unsigned char *end;

	free(conn->chain);
	conn->chain = NULL;
	conn->chain_len = 0;
	if (!leaf || !has_shown(conn))
		return;
	for (int i = -1; i < sk_X509_num(chain); i++) {
		X509 *cert = i < 0 ? leaf : sk_X509_value(chain, i);
		int len = i2d_X509(cert, NULL);

		/* OpenSSL has the leaf in the chain on clients, and not on servers. */
		if (len <= 0 || (i >= 0 && !X509_cmp(cert, leaf)))
			continue;
		end = realloc(conn->chain, conn->chain_len + (size_t)len);
		if (!end)
			return;
		conn->chain = end;
		end += conn->chain_len;
		i2d_X509(cert, &end);
		conn->chain_len += (size_t)len;
	}
}

/*
 * What OpenSSL keeps of a handshake is fifty times what is still of use: only a client of TLS 1.3 that wants sessions
 * goes on with it, for only OpenSSL makes sessions of tickets.
 */
static void let_go(struct tlsrec_conn *conn)
{
	if (!conn->ssl)
		return;
	if (conn->state == TR_OVER && tr_session_may_come(conn)) {
		SSL_free_buffers(conn->ssl);
		return;
	}
	tr_session_settle(conn);
	keep_chain(conn);
	tr_evidence_release(conn->evidence);
	conn->evidence = NULL;
	free_ssl(conn);
}

static int finish(struct tlsrec_conn *conn)
{
	if (check_resumed(conn) || tr_keys_derive(conn) || tr_install_keys(conn))
		return -1;
	tr_session_keep(conn);
	tr_watch_clear(&conn->watch);
	if (conn->ctx->ulp)
		wipe_keys(conn);
	conn->state = TR_OVER;
	tr_info_update(conn);
	let_go(conn);
	return 0;
}

static enum tlsrec_status fail(struct tlsrec_conn *conn)
{
	conn->state = TR_FAILED;
	tr_evidence_dismiss(conn);
	tr_info_update(conn);
	tr_watch_clear(&conn->watch);
	let_go(conn);
	ERR_clear_error();
	return TLSREC_ERROR;
}

enum tlsrec_status tlsrec_step(struct tlsrec_conn *conn)
{
	int ret;

	if (conn->state == TR_OVER)
		return TLSREC_DONE;
	if (conn->state == TR_FAILED)
		return TLSREC_ERROR;
	if (conn->state == TR_NEW && start(conn))
		return fail(conn);
	ERR_clear_error();
	ret = SSL_do_handshake(conn->ssl);
	if (ret == 1)
		return finish(conn) ? fail(conn) : TLSREC_DONE;
	switch (SSL_get_error(conn->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		return TLSREC_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLSREC_WANT_WRITE;
	default:
		tr_explain(conn);
		return fail(conn);
	}
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static enum tlsrec_status timed_out(struct tlsrec_conn *conn, int timeout_ms)
{
	bool silent = !conn->watch.in.records && !conn->watch.last_message;

	tr_fail(&conn->err, TLSREC_ERROR_TIMEOUT,
		"the handshake with %s was not finished within %d ms; %s%s", tr_peer_name(conn),
		timeout_ms, silent ? "nothing came from it" : "the last message from it was ",
		silent ? "" : tlsrec_message_name(conn->watch.last_message));
	return fail(conn);
}

/* Until the socket is ready or the deadline is past: 1, 0, or -1 with a sentence. */
static int wait_for(struct tlsrec_conn *conn, enum tlsrec_status what, int64_t deadline)
{
	struct pollfd p = {
		.fd = conn->wire.fd,
		.events = what == TLSREC_WANT_READ ? POLLIN : POLLOUT,
	};

	for (;;) {
		int64_t left = deadline < 0 ? -1 : deadline - now_ms();
		int n;

		if (deadline >= 0 && left <= 0)
			return 0;
		n = poll(&p, 1, (int)left);
		if (n > 0)
			return 1;
		if (n < 0 && errno != EINTR)
			return tr_fail(&conn->err, TLSREC_ERROR_LOCAL, "cannot wait for %s: %s",
				       tr_peer_name(conn), strerror(errno));
	}
}

enum tlsrec_status tlsrec_handshake(struct tlsrec_conn *conn, int timeout_ms)
{
	int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	enum tlsrec_status status;

	while ((status = tlsrec_step(conn)) > TLSREC_DONE) {
		int ready = wait_for(conn, status, deadline);

		if (ready < 0)
			return fail(conn);
		if (!ready)
			return timed_out(conn, timeout_ms);
	}
	return status;
}

char *tlsrec_conn_peer_pem(struct tlsrec_conn *conn)
{
	const unsigned char *p;
	char *text = NULL;
	X509 *cert;
	char *data;
	BIO *bio;
	long len;

	if (conn->ssl)
		keep_chain(conn);
	bio = conn->chain ? BIO_new(BIO_s_mem()) : NULL;
	if (!bio)
		return NULL;
	for (p = conn->chain; p < conn->chain + conn->chain_len; X509_free(cert)) {
		cert = d2i_X509(NULL, &p, conn->chain + conn->chain_len - p);
		if (!cert || !PEM_write_bio_X509(bio, cert))
			break;
	}
	len = BIO_get_mem_data(bio, &data);
	if (len > 0 && p == conn->chain + conn->chain_len)
		text = strndup(data, (size_t)len);
	BIO_free(bio);
	return text;
}
