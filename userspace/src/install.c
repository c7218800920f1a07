// SPDX-License-Identifier: MIT
#include "install.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "conn.h"
#include "kernel.h"

enum { ADVICE_LEN = 160 };

union crypto_info {
	struct tls_crypto_info info;
	struct tls12_crypto_info_aes_gcm_128 gcm128;
	struct tls12_crypto_info_aes_gcm_256 gcm256;
};

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

static void put64(unsigned char *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = (unsigned char)v;
}

/* Fills the structure of <linux/tls.h>; its length. */
static socklen_t fill(union crypto_info *ci, int version, const struct tr_dir *dir)
{
	memset(ci, 0, sizeof(*ci));
	ci->info.version = (uint16_t)version;
	if (dir->key_len == TLS_CIPHER_AES_GCM_128_KEY_SIZE) {
		ci->info.cipher_type = TLS_CIPHER_AES_GCM_128;
		memcpy(ci->gcm128.key, dir->key, sizeof(ci->gcm128.key));
		memcpy(ci->gcm128.salt, dir->iv, sizeof(ci->gcm128.salt));
		memcpy(ci->gcm128.iv, dir->iv + TR_SALT_LEN, sizeof(ci->gcm128.iv));
		put64(ci->gcm128.rec_seq, dir->seq);
		return sizeof(ci->gcm128);
	}
	ci->info.cipher_type = TLS_CIPHER_AES_GCM_256;
	memcpy(ci->gcm256.key, dir->key, sizeof(ci->gcm256.key));
	memcpy(ci->gcm256.salt, dir->iv, sizeof(ci->gcm256.salt));
	memcpy(ci->gcm256.iv, dir->iv + TR_SALT_LEN, sizeof(ci->gcm256.iv));
	put64(ci->gcm256.rec_seq, dir->seq);
	return sizeof(ci->gcm256);
}

static int install_direction(struct tlsrec_conn *conn, int option)
{
	const struct tr_dir *dir = option == TLS_TX ? &conn->keys.tx : &conn->keys.rx;
	union crypto_info ci;
	socklen_t len = fill(&ci, conn->keys.version, dir);
	int err = 0;

	if (setsockopt(conn->wire.fd, SOL_TLS, option, &ci, len))
		err = errno;
	OPENSSL_cleanse(&ci, sizeof(ci));
	if (!err)
		return 0;
	return tr_fail(
		&conn->err, TLSREC_ERROR_KERNEL,
		"the ULP \"%s\" refused the %s key of %s for %s: %s (%s); the handshake itself "
		"succeeded, but the connection is of no use",
		conn->ctx->ulp, option == TLS_TX ? "sending" : "receiving",
		tr_cipher_name(dir->key_len), tr_peer_name(conn), strerror(err),
		strerrorname_np(err));
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

static void emit_keys(struct tlsrec_conn *conn, int outgoing)
{
	const struct tr_dir *dir = outgoing ? &conn->keys.tx : &conn->keys.rx;
	struct tlsrec_event event = {
		.type = TLSREC_EVENT_KEYS,
		.outgoing = outgoing,
		.u.keys = {
			.ulp = conn->ctx->ulp ? conn->ctx->ulp : "",
			.version = conn->keys.version,
			.cipher = tr_cipher_name(dir->key_len),
			.seq = dir->seq,
			.key = dir->key,
			.key_len = dir->key_len,
			.iv = dir->iv,
		},
	};

	tr_emit(conn, &event);
}

int tr_install_keys(struct tlsrec_conn *conn)
{
	if (conn->ctx->ulp && (install_direction(conn, TLS_TX) || install_direction(conn, TLS_RX) ||
			       limit_records(conn)))
		return -1;
	emit_keys(conn, 1);
	emit_keys(conn, 0);
	return 0;
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
	if (fds[0] >= 0)
		close(fds[0]);
	if (fds[1] >= 0)
		close(fds[1]);
	return ret;
}
