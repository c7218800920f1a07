// SPDX-License-Identifier: MIT
#include "info.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conn.h"

/* SignatureScheme of RFC 8446 4.2.3 by type of key and digest; curve: TLS 1.3 binds it. */
static const char *signature_name(int version, int type, int digest)
{
	static const struct {
		int type;
		int digest;
		const char *name13;
		const char *name12;
	} names[] = {
		{ EVP_PKEY_RSA, NID_sha256, "rsa_pkcs1_sha256", "rsa_pkcs1_sha256" },
		{ EVP_PKEY_RSA, NID_sha384, "rsa_pkcs1_sha384", "rsa_pkcs1_sha384" },
		{ EVP_PKEY_RSA, NID_sha512, "rsa_pkcs1_sha512", "rsa_pkcs1_sha512" },
		{ EVP_PKEY_RSA, NID_sha1, "rsa_pkcs1_sha1", "rsa_pkcs1_sha1" },
		{ EVP_PKEY_RSA_PSS, NID_sha256, "rsa_pss_sha256", "rsa_pss_sha256" },
		{ EVP_PKEY_RSA_PSS, NID_sha384, "rsa_pss_sha384", "rsa_pss_sha384" },
		{ EVP_PKEY_RSA_PSS, NID_sha512, "rsa_pss_sha512", "rsa_pss_sha512" },
		{ EVP_PKEY_EC, NID_sha256, "ecdsa_secp256r1_sha256", "ecdsa_sha256" },
		{ EVP_PKEY_EC, NID_sha384, "ecdsa_secp384r1_sha384", "ecdsa_sha384" },
		{ EVP_PKEY_EC, NID_sha512, "ecdsa_secp521r1_sha512", "ecdsa_sha512" },
		{ EVP_PKEY_EC, NID_sha1, "ecdsa_sha1", "ecdsa_sha1" },
	};

	if (type == EVP_PKEY_ED25519)
		return "ed25519";
	if (type == EVP_PKEY_ED448)
		return "ed448";
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].type == type && names[i].digest == digest)
			return version == TLS1_3_VERSION ? names[i].name13 : names[i].name12;
	return "";
}

/* How the server signed; RSA key exchange and resumption go without. */
static const char *server_signature(const struct tlsrec_conn *conn)
{
	int type = NID_undef;
	int digest = NID_undef;

	if (SSL_session_reused(conn->ssl))
		return "";
	if (conn->ctx->server) {
		SSL_get_signature_type_nid(conn->ssl, &type);
		SSL_get_signature_nid(conn->ssl, &digest);
	} else {
		SSL_get_peer_signature_type_nid(conn->ssl, &type);
		SSL_get_peer_signature_nid(conn->ssl, &digest);
	}
	return signature_name(SSL_version(conn->ssl), type, digest);
}

static const char *kex_name(const SSL_CIPHER *cipher, const char *group)
{
	switch (SSL_CIPHER_get_kx_nid(cipher)) {
	case NID_kx_rsa:
		return "RSA";
	case NID_kx_dhe:
		return "DHE";
	case NID_kx_ecdhe:
		return "ECDHE";
	default:
		if (!*group)
			return "PSK";
		return strncmp(group, "ffdhe", 5) ? "ECDHE" : "DHE";
	}
}

/* TLS 1.2: the size of the server's own parameters, which only the client still has. */
static void fill_dh_size(struct tlsrec_conn *conn)
{
	struct tr_info *info = &conn->info;
	EVP_PKEY *key = NULL;

	if (!conn->ctx->server && SSL_get_peer_tmp_key(conn->ssl, &key))
		snprintf(info->group, sizeof(info->group), "DH %d bits", EVP_PKEY_get_bits(key));
	else
		snprintf(info->group, sizeof(info->group), "DH");
	EVP_PKEY_free(key);
}

static void fill_group(struct tlsrec_conn *conn, const SSL_CIPHER *cipher)
{
	struct tr_info *info = &conn->info;
	int kx = SSL_CIPHER_get_kx_nid(cipher);
	int group = (int)SSL_get_negotiated_group(conn->ssl);
	const char *name = kx == NID_kx_rsa ? NULL : SSL_group_to_name(conn->ssl, group);

	if (kx == NID_kx_dhe)
		fill_dh_size(conn);
	else
		snprintf(info->group, sizeof(info->group), "%s", name ? name : "");
}

/* Most connections have none. Out of memory, none is shown. */
static const char *keep_name(char **kept, const void *name, size_t len)
{
	size_t size = len && name ? tlsrec_clean(NULL, 0, name, len, "") + 1 : 0;

	free(*kept);
	*kept = size ? malloc(size) : NULL;
	if (!*kept)
		return "";
	tlsrec_clean(*kept, size, name, len, "");
	return *kept;
}

static void fill_alpn(struct tlsrec_conn *conn)
{
	const unsigned char *name;
	unsigned int len;

	SSL_get0_alpn_selected(conn->ssl, &name, &len);
	conn->info.view.alpn = keep_name(&conn->info.alpn, name, len);
}

static void fill_sni(struct tlsrec_conn *conn)
{
	const char *name = SSL_get_servername(conn->ssl, TLSEXT_NAMETYPE_host_name);

	conn->info.view.sni = keep_name(&conn->info.sni, name, name ? strlen(name) : 0);
}

static void fill_peer(struct tlsrec_conn *conn)
{
	struct tlsrec_info *view = &conn->info.view;
	X509 *cert = SSL_get0_peer_certificate(conn->ssl);

	/* Before the end, OpenSSL's may be that of a session which is only offered. */
	if (!cert || (conn->state != TR_OVER && !conn->verdict.checked))
		return;
	tr_cert_describe(&conn->info.peer, cert);
	view->peer = &conn->info.peer.view;
	/* Before the end the peer has not shown that the certificate is its own. */
	view->verified = conn->state == TR_OVER && conn->verdict.checked &&
			 !*conn->verdict.reason && !conn->ocsp.refused;
	if (conn->ocsp.refused && !*view->verdict)
		view->verdict = conn->ocsp.reason;
}

/* What only exists once both hellos were exchanged. */
static void fill_negotiated(struct tlsrec_conn *conn, const SSL_CIPHER *cipher)
{
	struct tlsrec_info *view = &conn->info.view;

	fill_group(conn, cipher);
	view->version = SSL_version(conn->ssl);
	view->version_name = view->version == TLS1_3_VERSION ? "TLS 1.3" : "TLS 1.2";
	view->suite = SSL_CIPHER_standard_name(cipher);
	view->cipher = tr_cipher_of(cipher)->name;
	view->kex = kex_name(cipher, conn->info.group);
	view->signature = server_signature(conn);
	view->resumed = SSL_session_reused(conn->ssl);
}

void tr_info_update(struct tlsrec_conn *conn)
{
	struct tlsrec_info *view = &conn->info.view;
	const SSL_CIPHER *cipher = conn->ssl ? SSL_get_current_cipher(conn->ssl) : NULL;

	*view = (struct tlsrec_info){
		.version_name = "", .suite = "", .cipher = "", .kex = "", .signature = "",
		.group = conn->info.group, .alpn = "", .sni = "",
		.verdict = conn->verdict.reason, .ulp = "",
		.ocsp = conn->ocsp.verdict,
		.ocsp_reason = *conn->ocsp.reason ? conn->ocsp.reason : "not asked for",
	};
	if (!conn->ssl)
		return;
	if (cipher)
		fill_negotiated(conn, cipher);
	fill_alpn(conn);
	fill_sni(conn);
	fill_peer(conn);
	if (conn->state == TR_OVER) {
		view->ulp = conn->ctx->ulp ? conn->ctx->ulp : "";
		view->tx_seq = conn->keys.tx.seq;
		view->rx_seq = conn->keys.rx.seq;
	}
}

void tr_info_clear(struct tr_info *info)
{
	tr_cert_clear(&info->peer);
	free(info->alpn);
	free(info->sni);
}
