// SPDX-License-Identifier: MIT
#include "update.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/crypto.h>

#include "conn.h"
#include "install.h"
#include "socket.h"

enum sending {
	SENT,
	NOT_SENT,	/* errno says why; nothing has changed */
	REFUSED,	/* sent, and then the kernel refused the key: errno */
};

/* Moves one direction on to its next secret, key and IV, and to record 0. */
static int derive_next(const struct tr_keys *keys, uint8_t *secret, struct tr_dir *dir)
{
	if (tr_next_secret(keys->md, secret) ||
	    tr_keys13(keys->md, secret, dir->cipher, dir))
		return -1;
	dir->seq = 0;
	return 0;
}

/* Once the kernel has a key, the secret it came from is enough. */
static void forget_key(const struct tlsrec_conn *conn, struct tr_dir *dir)
{
	if (conn->ctx->ulp)
		OPENSSL_cleanse(dir->key, sizeof(dir->key));
}

static enum sending send_update(struct tlsrec_conn *conn, bool request, int flags)
{
	const uint8_t message[TR_KEY_UPDATE_LEN] = { TR_KEY_UPDATE, 0, 0, 1, request };
	struct tr_keys *keys = &conn->keys;
	bool wanted;
	int err;

	/* A request that comes from now on is another one. */
	wanted = atomic_exchange(&conn->update.wanted, false);
	if (tr_send_typed(conn->wire.fd, TR_HANDSHAKE, message, sizeof(message), flags)) {
		if (wanted)
			atomic_store(&conn->update.wanted, true);
		return NOT_SENT;
	}
	if (!derive_next(keys, keys->tx_secret, &keys->tx) && !tr_install_key(conn, true)) {
		forget_key(conn, &keys->tx);
		return SENT;
	}
	err = errno;
	forget_key(conn, &keys->tx);
	/* The peer would take anything more for forged. */
	shutdown(conn->wire.fd, SHUT_WR);
	errno = err;
	return REFUSED;
}

static int explain(struct tlsrec_conn *conn, enum sending result)
{
	int err = errno;

	if (result == REFUSED)
		tr_fail(&conn->err, TLSREC_ERROR_KERNEL,
			"the ULP \"%s\" refused the next sending key for %s: %s (%s); nothing more "
			"can be sent", conn->ctx->ulp ? conn->ctx->ulp : "", tr_peer_name(conn),
			strerror(err), strerrorname_np(err));
	else
		tr_fail(&conn->err, TLSREC_ERROR_IO, "cannot send a key update to %s: %s",
			tr_peer_name(conn), strerror(err));
	errno = err;
	return -1;
}

int tlsrec_key_update(struct tlsrec_conn *conn, int request)
{
	enum sending result;

	if (conn->state != TR_OVER || conn->keys.version != TLSREC_TLS_1_3) {
		errno = EINVAL;
		return -1;
	}
	result = send_update(conn, request, 0);
	if (result == SENT)
		return 0;
	/* The sentence belongs to the thread that reads, if there are two. */
	if (!conn->update.separate_writer &&
	    (result == REFUSED || (errno != EAGAIN && errno != EINTR)))
		explain(conn, result);
	return -1;
}

int tlsrec_key_update_wanted(const struct tlsrec_conn *conn)
{
	return atomic_load(&conn->update.wanted);
}

void tlsrec_conn_set_separate_writer(struct tlsrec_conn *conn, int on)
{
	conn->update.separate_writer = on;
}

int tr_update_answer(struct tlsrec_conn *conn)
{
	if (conn->update.separate_writer || !atomic_load(&conn->update.wanted))
		return 0;
	/*
	 * Without room it stays owed. And when nothing can be sent at all any more, reading may
	 * still go on: whether the connection broke comes out there.
	 */
	if (send_update(conn, false, MSG_DONTWAIT) == REFUSED)
		return explain(conn, REFUSED);
	return 0;
}

int tr_update_take(struct tlsrec_conn *conn, bool requested)
{
	struct tr_keys *keys = &conn->keys;
	int err;

	/* Before the event of the key, so that whoever writes can be told in it. */
	if (requested)
		atomic_store(&conn->update.wanted, true);
	if (derive_next(keys, keys->rx_secret, &keys->rx) || tr_install_key(conn, false)) {
		err = errno;
		forget_key(conn, &keys->rx);
		return tr_fail(&conn->err, TLSREC_ERROR_KERNEL,
			       "%s updated its key, and the ULP \"%s\" refused the next receiving "
			       "key: %s (%s)", tr_peer_name(conn),
			       conn->ctx->ulp ? conn->ctx->ulp : "", strerror(err),
			       strerrorname_np(err));
	}
	forget_key(conn, &keys->rx);
	return tr_update_answer(conn);
}
