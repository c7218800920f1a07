// SPDX-License-Identifier: MIT
/* Why a handshake failed, in one sentence. */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

#include "conn.h"

const char *tr_peer_name(const struct tlsrec_conn *conn)
{
	if (conn->host)
		return conn->host;
	return conn->ctx->server ? "the client" : "the server";
}

/* What the alerts that people meet mean for them. */
static const char *alert_advice(const struct tlsrec_conn *conn, int description)
{
	bool server = conn->ctx->server;

	switch (description) {
	case SSL_AD_HANDSHAKE_FAILURE:
		return "there is no cipher suite or key exchange both sides allow";
	case SSL_AD_PROTOCOL_VERSION:
		return "there is no TLS version both sides allow (the kernel carries 1.2 and 1.3)";
	case SSL_AD_UNKNOWN_CA:
		return "it does not know the authority that signed our certificate";
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
		return "it does not accept our certificate";
	case SSL_AD_CERTIFICATE_EXPIRED:
		return "our certificate has expired";
	case SSL_AD_CERTIFICATE_REVOKED:
		return "our certificate is revoked";
	case TLS13_AD_CERTIFICATE_REQUIRED:
		return "it wants a client certificate";
	case SSL_AD_UNRECOGNIZED_NAME:
		return server ? "it does not know the name" : "it serves no host of that name";
	case SSL_AD_NO_APPLICATION_PROTOCOL:
		return "it speaks none of the application protocols offered (ALPN)";
	case SSL_AD_BAD_CERTIFICATE_STATUS_RESPONSE:
		return "it does not accept the OCSP response we stapled, or the lack of one";
	case SSL_AD_INSUFFICIENT_SECURITY:
		return "it wants stronger cryptography than was offered";
	default:
		return NULL;
	}
}

static int explain_alert(struct tlsrec_conn *conn)
{
	int alert = conn->watch.in.alert;
	const char *advice = alert_advice(conn, alert);

	return tr_fail(&conn->err, TLSREC_ERROR_ALERT,
		       "%s refused the handshake with alert %d (%s)%s%s", tr_peer_name(conn), alert,
		       tlsrec_alert_name(alert), advice ? ": " : "", advice ? advice : "");
}

static int explain_not_tls(struct tlsrec_conn *conn)
{
	char shown[4 * TR_HEADER_LEN + 1];

	tlsrec_clean(shown, sizeof(shown), conn->wire.in.header, TR_HEADER_LEN, "\"");
	return tr_fail(&conn->err, TLSREC_ERROR_PROTOCOL,
		       "%s does not speak TLS on this port: what came starts with \"%s\"",
		       tr_peer_name(conn), shown);
}

/* OpenSSL's reasons are terse; these are the frequent ones that are about both sides' settings. */
static int explain_openssl(struct tlsrec_conn *conn)
{
	const char *peer = tr_peer_name(conn);

	switch (ERR_GET_REASON(ERR_peek_error())) {
	case SSL_R_NO_SHARED_CIPHER:
		return tr_fail(
			&conn->err, TLSREC_ERROR_PROTOCOL,
			"%s offers no cipher suite that can be used here: it must be enabled "
			"(AES-GCM and ChaCha20-Poly1305 are, unless others were asked for), be in "
			"the kernel, and fit the type of the certificate's key",
			peer);
	case SSL_R_UNSUPPORTED_PROTOCOL:
		return tr_fail(
			&conn->err, TLSREC_ERROR_PROTOCOL,
			"%s and we have no TLS version in common (the kernel carries 1.2 and "
			"1.3)",
			peer);
	case SSL_R_NO_APPLICATION_PROTOCOL:
		return tr_fail(
			&conn->err, TLSREC_ERROR_PROTOCOL,
			"%s offers only application protocols that are not spoken here (ALPN)",
			peer);
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		return tr_fail(&conn->err, TLSREC_ERROR_VERIFY,
			       "%s showed no certificate, and one is required", peer);
	default:
		return tr_fail_openssl(&conn->err, TLSREC_ERROR_PROTOCOL,
				       "the handshake with %s failed", peer);
	}
}

int tr_explain(struct tlsrec_conn *conn)
{
	const struct tr_wire *wire = &conn->wire;
	const char *peer = tr_peer_name(conn);

	if (conn->verdict.refused)
		return tr_fail(&conn->err, TLSREC_ERROR_VERIFY,
			       "the certificate of %s was refused: %s", peer, conn->verdict.reason);
	if (conn->err.kind != TLSREC_ERROR_NONE)
		return -1;	/* a callback has said it */
	if (wire->not_tls)
		return explain_not_tls(conn);
	if (conn->watch.in.alert != TR_NO_ALERT)
		return explain_alert(conn);
	if (wire->eof)
		return tr_fail(&conn->err, TLSREC_ERROR_IO,
			       "%s closed the connection in the middle of the handshake", peer);
	if (wire->err)
		return tr_fail(&conn->err, TLSREC_ERROR_IO,
			       "the connection to %s broke in the middle of the handshake: %s",
			       peer, strerror(wire->err));
	return explain_openssl(conn);
}
