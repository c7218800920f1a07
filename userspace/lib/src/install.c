// SPDX-License-Identifier: MIT
#include "install.h"

#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "conn.h"
#include "kernel.h"

enum { ADVICE_LEN = 160 };

/*
 * Any struct tls12_crypto_info_* of <linux/tls.h>: they all are the version and the cipher, then
 * iv, key, salt and the record number, in sizes that depend on the cipher.
 */
union crypto_info {
	struct tls_crypto_info info;
	uint8_t bytes[sizeof(struct tls12_crypto_info_aes_gcm_256)];
};

_Static_assert(offsetof(struct tls12_crypto_info_aes_gcm_256, iv) == sizeof(struct tls_crypto_info),
	       "iv comes first");
_Static_assert(offsetof(struct tls12_crypto_info_aes_gcm_256, salt) ==
		       offsetof(struct tls12_crypto_info_aes_gcm_256, key) + TR_KEY_MAX,
	       "the salt comes behind the key");
_Static_assert(sizeof(struct tls12_crypto_info_chacha20_poly1305) <= sizeof(union crypto_info),
	       "room for every cipher");

/* What to do about an errno of setsockopt(TCP_ULP). */
static const char *ulp_advice(int err, const char *name, char *buf, size_t size)
{
	switch (err) {
	case ENOENT:
	case EPERM:
		snprintf(buf, size,
			 "this kernel has no such record layer; \"modprobe %s\" (as root) "
			 "loads it",
			 name);
		return buf;
	case EEXIST:
		return "the socket already has an upper layer protocol";
	case ENOTCONN:
		return "the socket is not connected";
	case ENOPROTOOPT:
	case EOPNOTSUPP:
		return "it is not a TCP socket, or the kernel is built without such support";
	default:
		return strerror(err);
	}
}

static int set_ulp(int fd, const char *name)
{
	return setsockopt(fd, IPPROTO_TCP, TCP_ULP, name, (socklen_t)strlen(name));
}

int tr_install_ulp(struct tlsrec_conn *conn)
{
	const char *name = conn->ctx->ulp;
	char advice[ADVICE_LEN];
	int err;

	if (!name || !set_ulp(conn->wire.fd, name))
		return 0;
	err = errno;
	return tr_fail(&conn->err, TLSREC_ERROR_KERNEL,
		       "cannot put the ULP \"%s\" on the socket to %s: %s (%s)", name,
		       tr_peer_name(conn), ulp_advice(err, name, advice, sizeof(advice)),
		       strerrorname_np(err));
}

static uint8_t *put(uint8_t *to, const uint8_t *from, size_t len)
{
	memcpy(to, from, len);
	return to + len;
}

/* Fills in what dir says; the length of the structure. */
static socklen_t fill(union crypto_info *ci, int version, const struct tr_dir *dir)
{
	size_t salt_len = dir->cipher->explicit_len ? TR_SALT_LEN : 0;
	uint64_t seq = htobe64(dir->seq);
	uint8_t *p = ci->bytes + sizeof(ci->info);

	memset(ci, 0, sizeof(*ci));
	ci->info.version = (uint16_t)version;
	ci->info.cipher_type = dir->cipher->type;
	p = put(p, dir->iv + salt_len, TR_IV_LEN - salt_len);
	p = put(p, dir->key, dir->cipher->key_len);
	p = put(p, dir->iv, salt_len);
	p = put(p, (uint8_t *)&seq, sizeof(seq));
	return (socklen_t)(p - ci->bytes);
}

static void emit_key(struct tlsrec_conn *conn, bool outgoing)
{
	const struct tr_dir *dir = outgoing ? &conn->keys.tx : &conn->keys.rx;
	struct tlsrec_event event = {
		.type = TLSREC_EVENT_KEYS,
		.outgoing = outgoing,
		.u.keys = {
			.ulp = conn->ctx->ulp ? conn->ctx->ulp : "",
			.version = conn->keys.version,
			.cipher = dir->cipher->name,
			.seq = dir->seq,
			.key = dir->key,
			.key_len = dir->cipher->key_len,
			.iv = dir->iv,
		},
	};

	tr_emit(conn, &event);
}

/* 0, or -1 with errno. */
static int set_key(int fd, int version, int option, const struct tr_dir *dir)
{
	union crypto_info ci;
	socklen_t len = fill(&ci, version, dir);
	int ret = setsockopt(fd, SOL_TLS, option, &ci, len);

	OPENSSL_cleanse(&ci, sizeof(ci));
	return ret;
}

int tr_install_key(struct tlsrec_conn *conn, bool outgoing)
{
	const struct tr_dir *dir = outgoing ? &conn->keys.tx : &conn->keys.rx;

	if (conn->ctx->ulp && set_key(conn->wire.fd, conn->keys.version,
				      outgoing ? TLS_TX : TLS_RX, dir))
		return -1;
	emit_key(conn, outgoing);
	return 0;
}

static int install_first(struct tlsrec_conn *conn, bool outgoing)
{
	int err;

	if (!tr_install_key(conn, outgoing))
		return 0;
	err = errno;
	return tr_fail(
		&conn->err, TLSREC_ERROR_KERNEL,
		"the ULP \"%s\" refused the %s key of %s for %s: %s (%s); the handshake itself "
		"succeeded, but the connection is of no use",
		conn->ctx->ulp, outgoing ? "sending" : "receiving", conn->keys.tx.cipher->name,
		tr_peer_name(conn), strerror(err), strerrorname_np(err));
}

/* A client may have asked for small records (RFC 6066 4); the kernel must know. */
static int limit_records(struct tlsrec_conn *conn)
{
	uint8_t code = SSL_SESSION_get_max_fragment_length(SSL_get0_session(conn->ssl));
	uint16_t max = (uint16_t)(256 << code);

	if (code == TLSEXT_max_fragment_length_DISABLED || code > TLSEXT_max_fragment_length_4096)
		return 0;
	if (!setsockopt(conn->wire.fd, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &max, sizeof(max)))
		return 0;
	return tr_fail(
		&conn->err, TLSREC_ERROR_KERNEL,
		"%s asks for records of at most %u bytes, and the ULP \"%s\" cannot limit them: "
		"%s",
		tr_peer_name(conn), max, conn->ctx->ulp, strerror(errno));
}

int tr_install_keys(struct tlsrec_conn *conn)
{
	if (install_first(conn, true) || install_first(conn, false))
		return -1;
	return conn->ctx->ulp ? limit_records(conn) : 0;
}

/* Both ends of a TCP connection to ourselves; 0 or -1 with errno. */
static int loopback_pair(int fds[2])
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	fds[1] = -1;
	if (listener >= 0 && fds[0] >= 0 && !bind(listener, (struct sockaddr *)&addr, len) &&
	    !listen(listener, 1) && !getsockname(listener, (struct sockaddr *)&addr, &len) &&
	    !connect(fds[0], (struct sockaddr *)&addr, len))
		fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (listener >= 0)
		close(listener);
	return fds[1] >= 0 ? 0 : -1;
}

static void close_pair(const int fds[2])
{
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

int tlsrec_probe(const char *ulp, char *buf, size_t size)
{
	char advice[ADVICE_LEN];
	int fds[2];
	int ret = -1;

	if (size)
		buf[0] = '\0';
	if (loopback_pair(fds))
		snprintf(buf, size,
			 "cannot open a connection over the loopback interface to look for "
			 "the ULP \"%s\": %s",
			 ulp, strerror(errno));
	else if (set_ulp(fds[0], ulp))
		snprintf(buf, size, "cannot use the ULP \"%s\": %s", ulp,
			 ulp_advice(errno, ulp, advice, sizeof(advice)));
	else
		ret = 0;
	close_pair(fds);
	return ret;
}

bool tr_probe_cipher(const char *ulp, const struct tr_cipher *cipher)
{
	const struct tr_dir nothing = { .cipher = cipher };
	int fds[2];
	bool refused;

	refused = !loopback_pair(fds) && !set_ulp(fds[0], ulp) &&
		  set_key(fds[0], TLS1_2_VERSION, TLS_TX, &nothing);
	close_pair(fds);
	return !refused;
}
