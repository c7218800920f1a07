// SPDX-License-Identifier: MIT
#include "keys.h"

#include <string.h>

#include <openssl/crypto.h>

#include "conn.h"

/*
 * OpenSSL sealed its Finished under this key with an explicit nonce of its choice: going on from
 * there is how no nonce is used twice.
 */
static void next_nonce(const struct tr_cut *cut, struct tr_dir *dir)
{
	uint8_t *nonce = dir->iv + TR_SALT_LEN;

	if (!dir->cipher->explicit_len)
		return;
	memcpy(nonce, cut->nonce, TR_EXPLICIT_LEN);
	for (int i = TR_EXPLICIT_LEN - 1; i >= 0 && ++nonce[i] == 0; i--)
		;
}

static int derive12(struct tlsrec_conn *conn, const EVP_MD *md, const struct tr_cipher *cipher)
{
	struct tr_keys *keys = &conn->keys;
	bool server = conn->ctx->server;
	uint8_t master[TR_MASTER_LEN];
	uint8_t client_random[TR_RANDOM_LEN];
	uint8_t server_random[TR_RANDOM_LEN];
	size_t master_len;
	int ret;

	master_len =
		SSL_SESSION_get_master_key(SSL_get0_session(conn->ssl), master, sizeof(master));
	SSL_get_client_random(conn->ssl, client_random, sizeof(client_random));
	SSL_get_server_random(conn->ssl, server_random, sizeof(server_random));
	ret = tr_keys12(md, master, master_len, client_random, server_random, cipher,
			server ? &keys->rx : &keys->tx, server ? &keys->tx : &keys->rx);
	OPENSSL_cleanse(master, sizeof(master));
	if (ret)
		return -1;
	next_nonce(&conn->wire.out, &keys->tx);
	next_nonce(&conn->wire.in, &keys->rx);
	return 0;
}

static int derive13(struct tlsrec_conn *conn, const EVP_MD *md, const struct tr_cipher *cipher)
{
	const struct tr_watch *watch = &conn->watch;
	struct tr_keys *keys = &conn->keys;
	bool server = conn->ctx->server;

	keys->md = md;
	memcpy(server ? keys->rx_secret : keys->tx_secret, watch->client_secret, EVP_MAX_MD_SIZE);
	memcpy(server ? keys->tx_secret : keys->rx_secret, watch->server_secret, EVP_MAX_MD_SIZE);
	if (tr_keys13(md, keys->tx_secret, cipher, &keys->tx))
		return -1;
	return tr_keys13(md, keys->rx_secret, cipher, &keys->rx);
}

/* The switch is exact only if both streams stand between two records. */
static int check_boundary(struct tlsrec_conn *conn)
{
	const struct tr_wire *wire = &conn->wire;

	if (wire->in.have || wire->in.left || SSL_has_pending(conn->ssl))
		return tr_fail(&conn->err, TLSREC_ERROR_PROTOCOL,
			       "%s sent more behind its last handshake message in the same record, "
			       "which TLS does not allow", tr_peer_name(conn));
	if (wire->out.have || wire->out.left || BIO_wpending(SSL_get_wbio(conn->ssl)))
		return tr_fail(&conn->err, TLSREC_ERROR_LOCAL,
			       "handshake bytes for %s were left unsent: this is a defect of the "
			       "library", tr_peer_name(conn));
	return 0;
}

int tr_keys_derive(struct tlsrec_conn *conn)
{
	const SSL_CIPHER *suite = SSL_get_current_cipher(conn->ssl);
	const EVP_MD *md = SSL_CIPHER_get_handshake_digest(suite);
	const struct tr_cipher *cipher = tr_cipher_of(suite);
	struct tr_keys *keys = &conn->keys;
	int ret;

	if (check_boundary(conn))
		return -1;
	keys->version = SSL_version(conn->ssl);
	if (keys->version == TLS1_3_VERSION)
		ret = derive13(conn, md, cipher);
	else
		ret = derive12(conn, md, cipher);
	if (ret)
		return tr_fail_openssl(&conn->err, TLSREC_ERROR_LOCAL, "cannot derive the keys");
	keys->tx.seq = conn->watch.out.records;
	keys->rx.seq = conn->watch.in.records;
	if (keys->version == TLS1_3_VERSION && !conn->ctx->server)
		keys->fed = keys->rx;
	return 0;
}
