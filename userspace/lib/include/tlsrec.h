/* SPDX-License-Identifier: MIT */
/*
 * libtlsrec: TLS for plaintext programs, with the record layer in the kernel.
 *
 * The library runs one handshake on a connected TCP socket with OpenSSL, checks the peer's
 * certificates, and installs the negotiated keys with setsockopt(SOL_TLS). From then on
 * read, write, send, recv, sendfile and splice on the socket carry plaintext for the program
 * and TLS records for the wire.
 *
 *	struct tlsrec_ctx *ctx = tlsrec_client_new();
 *	struct tlsrec_conn *conn = tlsrec_conn_new(ctx, fd, "www.example.org");
 *
 *	if (tlsrec_handshake(conn, 10000) != TLSREC_DONE)
 *		errx(1, "%s", tlsrec_conn_error(conn));
 *	write(fd, "GET / HTTP/1.0\r\n\r\n", 18);
 *	while ((n = tlsrec_recv(conn, buf, sizeof(buf), 0)) > 0)
 *		fwrite(buf, 1, n, stdout);
 *	if (n < 0)
 *		errx(1, "%s", tlsrec_conn_error(conn));
 *	tlsrec_conn_free(conn);
 *
 * The connection object may be freed as soon as the handshake is over, and the socket goes on. But
 * session tickets, key updates and alerts of the peer are records that a plain read() cannot carry
 * (EIO): what reads with tlsrec_recv(), or calls tlsrec_control() after EIO, keeps the object and
 * never sees them.
 *
 * A context is a configuration: set it up in one thread, then share it between threads. A
 * connection belongs to one thread at a time. Functions that return int return 0, or -1 after
 * putting a sentence (what failed, on what, what to do) into the object they were called on:
 * tlsrec_ctx_error() or tlsrec_conn_error(). Strings returned by the library are UTF-8, never
 * NULL unless said so, and live as long as the object they came from. Those that may contain what
 * a peer or a certificate says have passed tlsrec_clean(): they can be shown as they are.
 *
 * What the kernel can carry bounds what is negotiated: TLS 1.3, and TLS 1.2 with ECDHE, DHE or
 * RSA key exchange; AES-GCM, ChaCha20-Poly1305, AES-128-CCM and ARIA-GCM, as far as the kernel has
 * them. No renegotiation, no compression, no early data.
 */
#ifndef TLSREC_H
#define TLSREC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TLSREC_API __attribute__((visibility("default")))
#else
#define TLSREC_API
#endif

struct tlsrec_ctx;
struct tlsrec_conn;

/* Protocol versions, as on the wire. */
enum {
	TLSREC_TLS_1_2 = 0x0303,
	TLSREC_TLS_1_3 = 0x0304,
};

/* What tlsrec_step() and tlsrec_handshake() return. */
enum tlsrec_status {
	TLSREC_ERROR = -1,	/* the connection is of no use any more: tlsrec_conn_error() */
	TLSREC_DONE = 0,	/* keys are installed, the socket carries plaintext */
	TLSREC_WANT_READ = 1,	/* call again when the socket is readable */
	TLSREC_WANT_WRITE = 2,	/* call again when the socket is writable */
};

/* ---- contexts ------------------------------------------------------------------------- */

/*
 * A client context trusts the system's roots, requires a valid certificate for the host that
 * tlsrec_conn_new() names, asks for a stapled OCSP response, and resumes sessions when it can.
 * A server context needs at least one tlsrec_ctx_add_cert(). NULL when out of memory.
 */
TLSREC_API struct tlsrec_ctx *tlsrec_client_new(void);
TLSREC_API struct tlsrec_ctx *tlsrec_server_new(void);

/* Connections made from it keep what they need: it may be freed before them. NULL is allowed. */
TLSREC_API void tlsrec_ctx_free(struct tlsrec_ctx *ctx);

/* The reason of the last failure of a tlsrec_ctx_*() call; "" when there was none. */
TLSREC_API const char *tlsrec_ctx_error(const struct tlsrec_ctx *ctx);

/*
 * What whoever runs the program should know about the last tlsrec_ctx_add_cert() or
 * tlsrec_ctx_set_staple(), though it succeeded: that peers will refuse the certificate, for it
 * has expired, is not valid yet, or has too small a key, or the staple, for it is out of date or
 * not good. A sentence, or "".
 */
TLSREC_API const char *tlsrec_ctx_warning(const struct tlsrec_ctx *ctx);

/*
 * Name of the TCP ULP that gets the keys: "tlsrec" (default) or "tls". NULL: handshake only,
 * nothing is installed and the socket is of no use afterwards except to be closed.
 */
TLSREC_API int tlsrec_ctx_set_ulp(struct tlsrec_ctx *ctx, const char *name);

/*
 * Whether the context is complete (a server that asks for certificates has roots) and this
 * kernel can do what it asks for: it has the ULP, and the ULP has a cipher for one of the
 * suites. The first connection finds that out as well; a server may want to know before it
 * listens. Opens connections over the loopback interface, since a ULP can only be set on a
 * connected socket.
 */
TLSREC_API int tlsrec_ctx_probe(struct tlsrec_ctx *ctx);

/* Lowest and highest version to negotiate. Default: TLSREC_TLS_1_2, TLSREC_TLS_1_3. */
TLSREC_API int tlsrec_ctx_set_versions(struct tlsrec_ctx *ctx, int min, int max);

/*
 * Cipher suites in order of preference, separated by ':'; names of OpenSSL or of the RFCs, of
 * both versions ("TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256"), or an OpenSSL cipher
 * string without security level. What OpenSSL does not have is an error. What no kernel can
 * carry (CBC, AES-256-CCM, tags of 8 bytes) is left out; an error when nothing remains. A
 * version for which no suite is left is not negotiated.
 *
 * Default: AES-GCM, then ChaCha20-Poly1305 for peers that have nothing else; with forward
 * secrecy. On a server this order decides; a client only offers it. RSA key exchange
 * ("AES128-GCM-SHA256"), AES-CCM and ARIA-GCM (the latter with TLS 1.2 only) are used if they
 * are named here. SM4, which the kernel has too, OpenSSL 3 cannot negotiate.
 *
 * Of the ciphers besides AES-GCM, those that this kernel lacks are left out before the first
 * handshake, so that they are never negotiated: the kernel is asked once, with a connection over
 * the loopback interface for each of them. If nothing remains, connections fail at their first
 * step (TLSREC_ERROR_KERNEL); see tlsrec_ctx_probe().
 */
TLSREC_API int tlsrec_ctx_set_ciphers(struct tlsrec_ctx *ctx, const char *list);

/* Key exchange groups in order of preference, "x25519:P-256:ffdhe2048". */
TLSREC_API int tlsrec_ctx_set_groups(struct tlsrec_ctx *ctx, const char *list);

/* Signature algorithms in order of preference, "ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256". */
TLSREC_API int tlsrec_ctx_set_sigalgs(struct tlsrec_ctx *ctx, const char *list);

/*
 * Application protocols, separated by ',': "h2,http/1.1" (RFC 7301). The server chooses the
 * first of its own list that the client offers, and refuses a client that offers only others.
 */
TLSREC_API int tlsrec_ctx_set_alpn(struct tlsrec_ctx *ctx, const char *list);

/*
 * Own certificate (leaf first, then the chain) and its private key, PEM. key_file NULL: the key
 * stands in chain_file. On a server, call once per certificate: the one whose alternative names
 * match the server name the client asks for is used (exact name before wildcard), else the
 * first. Several certificates with the same names and different key types (RSA, ECDSA) work
 * together. What OpenSSL's security level forbids is an error, what peers will refuse a warning
 * (tlsrec_ctx_warning()). Not to be called any more once connections use the context.
 */
TLSREC_API int tlsrec_ctx_add_cert(struct tlsrec_ctx *ctx, const char *chain_file,
				   const char *key_file);

/*
 * OCSP response (DER) to staple to the certificate added last; it may be called again on a
 * running server to renew it, by one thread at a time, with the number of the certificate (0 is
 * the first added, -1 the last). Clients get it if they ask. One about another certificate,
 * without status or by a stranger is an error, one out of date or not good a warning
 * (tlsrec_ctx_warning()).
 */
TLSREC_API int tlsrec_ctx_set_staple(struct tlsrec_ctx *ctx, int cert, const char *der_file);

/* Server: refuse a client that asks for a name no certificate has (default: use the first). */
TLSREC_API int tlsrec_ctx_set_strict_sni(struct tlsrec_ctx *ctx, int on);

/*
 * Roots to trust: a PEM file, a directory in OpenSSL's hashed form, or both; together they
 * replace the system's. Any certificate in them is trusted, also an intermediate or a server's
 * own. On a server the names in the file are sent to the client as a hint.
 */
TLSREC_API int tlsrec_ctx_set_roots(struct tlsrec_ctx *ctx, const char *file, const char *dir);

/*
 * Certificate revocation lists, PEM. Once there is one, the peer's own certificate must be
 * covered by a list of its issuer; issuers are checked when a list covers them. May be repeated.
 */
TLSREC_API int tlsrec_ctx_add_crls(struct tlsrec_ctx *ctx, const char *file);

enum tlsrec_verify {
	TLSREC_VERIFY_NONE,	/* client: check and report, refuse nothing; server: do not ask */
	TLSREC_VERIFY_REQUEST,	/* server: ask; a client without a certificate is welcome */
	TLSREC_VERIFY_REQUIRE,	/* a valid certificate or no connection */
};

/*
 * Default: TLSREC_VERIFY_REQUIRE for clients, TLSREC_VERIFY_NONE for servers. A server that asks
 * needs tlsrec_ctx_set_roots(): the system's roots are for servers on the web, not for its
 * clients.
 */
TLSREC_API int tlsrec_ctx_set_verify(struct tlsrec_ctx *ctx, enum tlsrec_verify mode);

/*
 * Smallest keys accepted in the peer's chain, in bits: RSA (default 2048) and elliptic curve
 * (default 256; Ed25519 counts as 256). The security level of the system's OpenSSL also holds.
 */
TLSREC_API int tlsrec_ctx_set_min_key_bits(struct tlsrec_ctx *ctx, int rsa, int ec);

enum tlsrec_ocsp_mode {
	TLSREC_OCSP_OFF,	/* do not ask */
	TLSREC_OCSP_ASK,	/* ask; what is stapled must be valid and good (default) */
	TLSREC_OCSP_REQUIRE,	/* and something must be stapled */
};

/*
 * Client. A certificate that says "must staple" (RFC 7633) turns asking into requiring. An
 * answer must be signed by the certificate's issuer or by a responder whose certificate that
 * issuer has signed; one without nextUpdate is good for one day. An error of the responder's
 * (tryLater) counts as nothing stapled. With TLSREC_VERIFY_NONE what would be refused is told by
 * struct tlsrec_info.
 */
TLSREC_API int tlsrec_ctx_set_ocsp(struct tlsrec_ctx *ctx, enum tlsrec_ocsp_mode mode);

enum tlsrec_resume {
	TLSREC_RESUME_OFF,	/* no resumption */
	TLSREC_RESUME_TICKETS,	/* state travels in tickets (default) */
	TLSREC_RESUME_IDS,	/* state stays in the server: session IDs (1.2), handles (1.3) */
};

/*
 * How sessions are resumed. A client context remembers sessions of the hosts it talked to and
 * offers them by itself, unless TLSREC_RESUME_OFF; see tlsrec_conn_set_session() for blobs.
 */
TLSREC_API int tlsrec_ctx_set_resume(struct tlsrec_ctx *ctx, enum tlsrec_resume mode);

/*
 * How long sessions may be resumed, in seconds, counted from the full handshake that began them,
 * however often they are resumed and whatever tickets come meanwhile: 1 to 604800, a week. Default:
 * clients a day, servers two hours. On a server also how long the keys of tickets live.
 *
 * Before a client offers a session and before a server takes one, the peer's certificates and the
 * stapled OCSP response that began it are judged as in a full handshake, by the settings and the time
 * of now. If they do not pass, or if the client has other certificates of its own than then, a full
 * handshake follows.
 */
TLSREC_API int tlsrec_ctx_set_session_lifetime(struct tlsrec_ctx *ctx, int seconds);

/* Server: how many tickets a new TLS 1.3 connection gets, 0 to 16 (default 2). */
TLSREC_API int tlsrec_ctx_set_tickets(struct tlsrec_ctx *ctx, int count);

/* ---- events: what happens during a handshake, for tracing ------------------------------ */

/* A certificate, in words. */
struct tlsrec_cert {
	const char *subject;	/* RFC 2253 form */
	const char *issuer;
	const char *names;	/* subject alternative names: "a.example, *.b.example, 192.0.2.1" */
	const char *key;	/* "RSA 2048 bits", "EC P-256", "ED25519" */
	const char *signature;	/* how the issuer signed: "ecdsa-with-SHA256" */
	const char *serial;	/* hexadecimal */
	const char *sha256;	/* fingerprint, hexadecimal */
	int64_t not_before;	/* seconds since 1970, UTC */
	int64_t not_after;
};

enum tlsrec_event_type {
	TLSREC_EVENT_RECORD,	/* a record header was written or read */
	TLSREC_EVENT_MESSAGE,	/* a whole handshake message */
	TLSREC_EVENT_ALERT,
	TLSREC_EVENT_SECRET,	/* a line of the key log: keep it to yourself */
	TLSREC_EVENT_CERT,	/* verdict on one certificate, leaf (depth 0) last */
	TLSREC_EVENT_OCSP,	/* verdict on the stapled OCSP response */
	TLSREC_EVENT_KEYS,	/* keys of one direction: derived and, with a ULP, installed; with
				   key updates, again for each */
};

enum tlsrec_ocsp_verdict {
	TLSREC_OCSP_NONE,	/* not asked for, nothing stapled, or the issuer unknown */
	TLSREC_OCSP_GOOD,
	TLSREC_OCSP_REVOKED,
	TLSREC_OCSP_UNKNOWN,	/* the responder does not know the certificate */
	TLSREC_OCSP_INVALID,	/* unreadable, not signed by the issuer, or out of date */
};

/* One event. Pointers are valid during the callback only. */
struct tlsrec_event {
	enum tlsrec_event_type type;
	int outgoing;		/* 1: from us, 0: from the peer (RECORD, MESSAGE, ALERT, KEYS) */
	uint64_t time_ns;	/* CLOCK_MONOTONIC */
	union {
		struct {
			uint8_t type;		/* content type on the wire (RFC 8446 5.1) */
			uint8_t inner_type;	/* content type inside; in the clear: type */
			uint16_t version;	/* legacy_record_version */
			uint16_t length;	/* of what follows the 5-byte header, bytes */
		} record;
		struct {
			uint8_t type;		/* HandshakeType; tlsrec_message_name() */
			const uint8_t *data;	/* with the 4-byte handshake header */
			size_t len;
		} message;
		struct {
			uint8_t level;		/* 1 warning, 2 fatal */
			uint8_t description;	/* tlsrec_alert_name() */
		} alert;
		struct {
			const char *label;	/* "CLIENT_TRAFFIC_SECRET_0" */
			const char *line;	/* whole line in NSS key log format, no newline */
		} secret;
		struct {
			const struct tlsrec_cert *cert;
			int depth;		/* 0: the peer's own */
			int ok;
			const char *reason;	/* why not; "" if ok */
		} cert;
		struct {
			enum tlsrec_ocsp_verdict verdict;
			const char *reason;	/* in words, never empty */
		} ocsp;
		struct {
			const char *ulp;	/* "" if they were derived and not installed */
			int version;		/* TLSREC_TLS_1_2 or _1_3 */
			const char *cipher;	/* as in struct tlsrec_info */
			uint64_t seq;		/* record number the kernel starts with */
			const uint8_t *key;	/* secret: keep it to yourself */
			size_t key_len;		/* 16 or 32 */
			const uint8_t *iv;	/* 12 bytes, salt and iv of <linux/tls.h> */
		} keys;
	} u;
};

typedef void tlsrec_event_fn(void *arg, struct tlsrec_conn *conn, const struct tlsrec_event *event);

/*
 * fn is called from within tlsrec_step(), tlsrec_handshake() and, for what comes later,
 * tlsrec_recv(), tlsrec_control() and tlsrec_key_update() of every connection, which it must not
 * free.
 */
TLSREC_API int tlsrec_ctx_set_event_fn(struct tlsrec_ctx *ctx, tlsrec_event_fn *fn, void *arg);

/* Names from the RFCs: "ClientHello", "handshake_failure", "handshake"; "unknown" for others. */
TLSREC_API const char *tlsrec_message_name(int type);
TLSREC_API const char *tlsrec_alert_name(int description);
TLSREC_API const char *tlsrec_record_name(int type);

/* ---- connections ----------------------------------------------------------------------- */

/*
 * A handshake to be done on fd, a connected stream socket, blocking or not; fd stays yours.
 * Client: host is the name or address (IPv4 or IPv6 literal, also in brackets, its zone is left
 * out) that the certificate must be for among its alternative names (the common name does not
 * count), and the server name sent unless it is an address. What cannot be a host, an empty
 * string for example, is a mistake whatever is verified; NULL is allowed with TLSREC_VERIFY_NONE
 * only. Server: host is NULL. NULL when out of memory; other mistakes come out of the first
 * step.
 */
TLSREC_API struct tlsrec_conn *tlsrec_conn_new(struct tlsrec_ctx *ctx, int fd, const char *host);

/* Never touches the socket. Secrets are wiped. NULL is allowed. */
TLSREC_API void tlsrec_conn_free(struct tlsrec_conn *conn);

/* What kind of failure the sentence in tlsrec_conn_error() tells of. */
enum tlsrec_error_kind {
	TLSREC_ERROR_NONE,
	TLSREC_ERROR_LOCAL,	/* configuration, memory */
	TLSREC_ERROR_IO,	/* the connection broke or ended */
	TLSREC_ERROR_TIMEOUT,
	TLSREC_ERROR_VERIFY,	/* we refused the peer's certificate or its OCSP response */
	TLSREC_ERROR_PROTOCOL,	/* bad messages, or nothing in common */
	TLSREC_ERROR_ALERT,	/* the peer refused us */
	TLSREC_ERROR_KERNEL,	/* no such ULP, or setsockopt() refused the keys */
};

TLSREC_API const char *tlsrec_conn_error(const struct tlsrec_conn *conn);
TLSREC_API enum tlsrec_error_kind tlsrec_conn_error_kind(const struct tlsrec_conn *conn);
TLSREC_API int tlsrec_conn_fd(const struct tlsrec_conn *conn);

/* For the program's own use, for example in event callbacks. */
TLSREC_API void tlsrec_conn_set_data(struct tlsrec_conn *conn, void *data);
TLSREC_API void *tlsrec_conn_data(const struct tlsrec_conn *conn);

/* Client, before the first step: server name to send instead of host; "" sends none. */
TLSREC_API int tlsrec_conn_set_sni(struct tlsrec_conn *conn, const char *name);

/*
 * Does what can be done without waiting, whatever the mode of the socket: it never blocks and
 * never takes a byte from the socket that belongs to the application. The first step puts the
 * ULP on the socket, so that a kernel without it is found out before a byte is sent, and a peer
 * that has already closed its direction when the handshake ends is served all the same; the keys
 * follow after the last handshake message.
 */
TLSREC_API enum tlsrec_status tlsrec_step(struct tlsrec_conn *conn);

/*
 * Steps and polls until done or failed: TLSREC_DONE or TLSREC_ERROR. timeout_ms bounds the
 * whole handshake; negative: no bound.
 */
TLSREC_API enum tlsrec_status tlsrec_handshake(struct tlsrec_conn *conn, int timeout_ms);

/* What was negotiated. Fields may be added at the end in later versions. */
struct tlsrec_info {
	int version;			/* TLSREC_TLS_1_2 or _1_3 */
	const char *version_name;	/* "TLS 1.3" */
	const char *suite;		/* "TLS_AES_128_GCM_SHA256" (name in the RFCs) */
	const char *cipher;		/* "AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305",
					   "AES-128-CCM", "ARIA-128-GCM", "ARIA-256-GCM" */
	const char *kex;		/* "ECDHE", "DHE", "RSA", "PSK" */
	const char *group;		/* "x25519", "DH 2048 bits" (server: "DH"); RSA: "" */
	const char *signature;		/* server's handshake signature; "" if it made none */
	const char *alpn;		/* "" if none */
	const char *sni;		/* server name the client sent; "" if none */
	int resumed;
	const struct tlsrec_cert *peer;	/* peer's certificate; NULL if it showed none */
	int verified;			/* 1: the handshake is over, and the peer's certificate passed
					   every check; never 1 on a client without host name */
	const char *verdict;		/* in words; "" if verified or there is nothing to verify */
	enum tlsrec_ocsp_verdict ocsp;
	const char *ocsp_reason;	/* in words */
	const char *ulp;		/* ULP that holds the keys; "" if none was installed */
	uint64_t tx_seq;		/* sequence numbers the kernel started with */
	uint64_t rx_seq;
};

/*
 * Never NULL; complete after TLSREC_DONE. After an error it holds what was known by then: the
 * peer's certificate and the verdict, for example.
 */
TLSREC_API const struct tlsrec_info *tlsrec_conn_info(struct tlsrec_conn *conn);

/* The chain the peer sent, PEM, leaf first, malloc'ed: free() it. NULL if it sent none. */
TLSREC_API char *tlsrec_conn_peer_pem(struct tlsrec_conn *conn);

/*
 * Sessions as opaque bytes (they contain secrets: store them as such). tlsrec_conn_session()
 * returns a malloc'ed copy of the newest one and its length, or NULL if there is none: with
 * TLS 1.3 it comes with a ticket after the handshake (tlsrec_recv(), tlsrec_control()). With it go
 * the server's certificates, its OCSP response and the time (tlsrec_ctx_set_session_lifetime()).
 * tlsrec_conn_set_session(), before the first step, offers it to the server; it is refused when
 * a full handshake would refuse these, or when it is over, and the connection may go on without it.
 */
TLSREC_API unsigned char *tlsrec_conn_session(struct tlsrec_conn *conn, size_t *len);
TLSREC_API int tlsrec_conn_set_session(struct tlsrec_conn *conn, const unsigned char *data,
				       size_t len);

/* ---- after the handshake: records that are not application data -------------------------- */

enum tlsrec_control {
	TLSREC_CONTROL_ERROR = -1,	/* fatal: tlsrec_conn_error(); errno as tlsrec_recv() */
	TLSREC_CONTROL_NONE = 0,	/* nothing is pending now */
	TLSREC_CONTROL_DATA,		/* application data is next: read it */
	TLSREC_CONTROL_HANDLED,		/* a ticket (kept as session), a key update or a warning */
	TLSREC_CONTROL_CLOSED,		/* close_notify: the peer will send nothing more */
	TLSREC_CONTROL_EOF,		/* the peer closed TCP without close_notify: anybody on the
					   way can do that, so what came may not be all there was */
};

/*
 * Takes at most one control record from the socket (after read() failed with EIO, say) and
 * does what TLS wants done with it. Never blocks: an answer for which the socket has no room goes
 * out with one of the next calls, an alert that ends the connection is left out.
 */
TLSREC_API enum tlsrec_control tlsrec_control(struct tlsrec_conn *conn);

/*
 * Like recv(2) on the socket, with control records dealt with out of sight. flags: MSG_DONTWAIT,
 * MSG_WAITALL, no others. Returns 0 after the peer's close_notify, and only then. errno besides
 * recv's own:
 *
 * ECONNRESET	also when the stream ended without close_notify: it may have been cut off
 * EPROTO	fatal alert, or a message that must not come, or more than 256 records in a row
 *		without data (tickets, key updates, warnings; 4 more are allowed with each second)
 * EKEYEXPIRED	the peer updated its key, and the kernel did not take the next one
 * EINTR	also from a call that does not wait, after some records without data: there may be
 *		more, so call again, now or after other work, and do not wait for the socket first
 *
 * tlsrec_conn_error() has the sentence, except for EINTR and EAGAIN.
 */
TLSREC_API ssize_t tlsrec_recv(struct tlsrec_conn *conn, void *buf, size_t len, int flags);

/* 1 once the peer's close_notify has been read. */
TLSREC_API int tlsrec_conn_closed(const struct tlsrec_conn *conn);

/*
 * Key update (RFC 8446 4.6.3), TLS 1.3 only. The peer's are dealt with by tlsrec_recv() and
 * tlsrec_control(): the next receiving key goes into the kernel and, if the peer asks for ours, a
 * KeyUpdate message out and the next sending key into the kernel. When the socket has no room for
 * the message, the next of these calls tries again.
 *
 * The record layer must be able to take a second key: tlsrec can, the kernel's own since Linux
 * 6.14. With older ones an update of the peer ends in EKEYEXPIRED.
 *
 * This one begins an update of the sending key; request: 1 asks the peer to update its key, too.
 * It waits for room in the socket unless that is non-blocking (EAGAIN: nothing has happened, call
 * again). When the kernel refuses the next key, nothing can be sent any more: the sending direction
 * of the socket is shut down. -1 also sets errno.
 */
TLSREC_API int tlsrec_key_update(struct tlsrec_conn *conn, int request);

/*
 * Nothing may be written to the socket while the sending key changes. A program that reads in one
 * thread and writes in another therefore switches the answers of the reading thread off, and its
 * writing thread, before each write, does
 *
 *	if (tlsrec_key_update_wanted(conn))
 *		tlsrec_key_update(conn, 0);
 *
 * These two calls may then run while the other thread is in tlsrec_recv() or tlsrec_control(), an
 * exception to the rule that a connection belongs to one thread; the reason of a failure is only in
 * errno then. tlsrec_key_update_wanted(): 1 if the peer has asked for an update and got none yet,
 * already during the TLSREC_EVENT_KEYS of the peer's, which can wake up the thread that writes.
 */
TLSREC_API void tlsrec_conn_set_separate_writer(struct tlsrec_conn *conn, int on);
TLSREC_API int tlsrec_key_update_wanted(const struct tlsrec_conn *conn);

/*
 * Alert and close_notify on a socket that carries kernel TLS; no connection object needed.
 * 0, or -1 with errno of sendmsg(2).
 */
TLSREC_API int tlsrec_send_alert(int fd, int level, int description);
TLSREC_API int tlsrec_close_notify(int fd);

/*
 * Whether this kernel offers the ULP: 0, or -1 with a sentence in buf of size bytes. Opens a
 * loopback connection to find out, since a ULP can only be set on a connected socket.
 */
TLSREC_API int tlsrec_probe(const char *ulp, char *buf, size_t size);

/*
 * Bytes of a stranger as text that can be shown on a terminal, put into a log or into JSON: always
 * valid UTF-8, in which every byte that is no UTF-8 is written \xNN, and every character that is
 * not seen or moves others as \xNN, \uNNNN or \UNNNNNNNN: C0 and C1, DEL, line separators, marks
 * of direction, those without width. So are the ASCII characters in `also`, for example the quotes
 * that will stand around the text; "" for none. A backslash is only escaped if it is among them.
 *
 * Like snprintf(): writes at most size bytes, a terminating NUL included, and returns how long the
 * whole text is. What is cut is cut between characters and not within an escape.
 */
TLSREC_API size_t tlsrec_clean(char *buf, size_t size, const void *data, size_t len,
			       const char *also);

/* "0.1.0 (OpenSSL 3.0.19 ...)". */
TLSREC_API const char *tlsrec_version(void);

#ifdef __cplusplus
}
#endif

#endif
