// SPDX-License-Identifier: MIT
/* Whole handshakes with plain OpenSSL; the keys prove themselves on real records. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"
#include "pki.h"
#include "tap.h"

static struct pki_cert *root, *rsa, *ec, *ed;

static void make_pki(void)
{
	static const char names[] = "DNS:server.example,IP:127.0.0.1,IP:::1";

	root = pki_make(&(struct pki_spec){ .name = "root", .ca = true });
	rsa = pki_make(&(struct pki_spec){ .name = "rsa", .key = "RSA", .san = names,
					   .issuer = root });
	ec = pki_make(&(struct pki_spec){ .name = "ec", .san = names, .issuer = root });
	ed = pki_make(&(struct pki_spec){ .name = "ed", .key = "ED25519", .san = names,
					  .issuer = root });
}

static const struct variant {
	int version;
	const char *suite;	/* what the peer is held to */
	struct pki_cert **cert;
	const char *kex;
} variants[] = {
	{ TLSREC_TLS_1_2, "ECDHE-RSA-AES128-GCM-SHA256", &rsa, "ECDHE" },
	{ TLSREC_TLS_1_2, "ECDHE-RSA-AES256-GCM-SHA384", &rsa, "ECDHE" },
	{ TLSREC_TLS_1_2, "ECDHE-ECDSA-AES128-GCM-SHA256", &ec, "ECDHE" },
	{ TLSREC_TLS_1_2, "ECDHE-ECDSA-AES256-GCM-SHA384", &ec, "ECDHE" },
	{ TLSREC_TLS_1_2, "DHE-RSA-AES128-GCM-SHA256", &rsa, "DHE" },
	{ TLSREC_TLS_1_2, "DHE-RSA-AES256-GCM-SHA384", &rsa, "DHE" },
	{ TLSREC_TLS_1_2, "AES128-GCM-SHA256", &rsa, "RSA" },
	{ TLSREC_TLS_1_2, "AES256-GCM-SHA384", &rsa, "RSA" },
	{ TLSREC_TLS_1_3, "TLS_AES_128_GCM_SHA256", &rsa, "ECDHE" },
	{ TLSREC_TLS_1_3, "TLS_AES_256_GCM_SHA384", &rsa, "ECDHE" },
	{ TLSREC_TLS_1_3, "TLS_AES_128_GCM_SHA256", &ec, "ECDHE" },
	{ TLSREC_TLS_1_3, "TLS_AES_256_GCM_SHA384", &ed, "ECDHE" },
	{ TLSREC_TLS_1_2, "ECDHE-RSA-CHACHA20-POLY1305", &rsa, "ECDHE" },
	{ TLSREC_TLS_1_2, "ECDHE-ECDSA-CHACHA20-POLY1305", &ec, "ECDHE" },
	{ TLSREC_TLS_1_2, "DHE-RSA-CHACHA20-POLY1305", &rsa, "DHE" },
	{ TLSREC_TLS_1_2, "ECDHE-ECDSA-AES128-CCM", &ec, "ECDHE" },
	{ TLSREC_TLS_1_2, "DHE-RSA-AES128-CCM", &rsa, "DHE" },
	{ TLSREC_TLS_1_2, "AES128-CCM", &rsa, "RSA" },
	{ TLSREC_TLS_1_2, "ECDHE-ARIA128-GCM-SHA256", &rsa, "ECDHE" },
	{ TLSREC_TLS_1_2, "ECDHE-ECDSA-ARIA256-GCM-SHA384", &ec, "ECDHE" },
	{ TLSREC_TLS_1_2, "DHE-RSA-ARIA256-GCM-SHA384", &rsa, "DHE" },
	{ TLSREC_TLS_1_2, "ARIA128-GCM-SHA256", &rsa, "RSA" },
	{ TLSREC_TLS_1_3, "TLS_CHACHA20_POLY1305_SHA256", &rsa, "ECDHE" },
	{ TLSREC_TLS_1_3, "TLS_AES_128_CCM_SHA256", &ec, "ECDHE" },
};

/* Ours, for every variant. */
static const char all_suites[] = "ALL:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
				 "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_CCM_SHA256";

enum { VARIANTS = sizeof(variants) / sizeof(variants[0]) };

/* Both contexts for a variant, ours in the given role. */
static struct pair make_pair(bool we_serve, const struct variant *v)
{
	struct pair pair = pair_make(we_serve, v->version, *v->cert, root);

	tlsrec_ctx_set_ciphers(pair.ctx, all_suites);
	peer_hold_to(pair.peer_ctx, v->version, v->suite);
	return pair;
}

static bool info_right(const struct pair *pair, const struct variant *v)
{
	const struct tlsrec_info *info = tlsrec_conn_info(pair->conn);
	const SSL_CIPHER *cipher = SSL_get_current_cipher(pair->peer);

	return info->version == v->version && !strcmp(info->kex, v->kex) &&
	       !strcmp(info->suite, SSL_CIPHER_standard_name(cipher)) &&
	       !strcmp(info->sni, "server.example") && !info->resumed && *info->cipher &&
	       !*info->group == !strcmp(v->kex, "RSA") &&
	       (pair->ctx->server || (info->peer && info->verified && !*info->verdict));
}

static void run_variant(bool we_serve, const struct variant *v, const char *how, bool dribble,
			const char *behind)
{
	struct pair pair = make_pair(we_serve, v);
	const char *role = we_serve ? "server" : "client";
	bool ok;

	pair.dribble = dribble;
	pair.behind = behind;
	ok = pair_run(&pair);
	if (!ok)
		tap_note("%s", tlsrec_conn_error(pair.conn));
	tap_ok(ok && pair_exchange(&pair), "%s, %s, %s key: %s", role, v->suite,
	       (*v->cert == rsa) ? "RSA" : *v->cert == ec ? "ECDSA" : "Ed25519", how);
	if (ok)
		tap_ok(info_right(&pair, v), "%s, %s: answers", role, v->suite);
	pair_end(&pair);
	pair_free(&pair);
}

static void test_variants(void)
{
	for (int serve = 0; serve < 2; serve++)
		for (int i = 0; i < VARIANTS; i++) {
			run_variant(serve, &variants[i], "data after the handshake", false, NULL);
			run_variant(serve, &variants[i], "data right behind Finished", false,
				    "early bird");
		}
	for (int serve = 0; serve < 2; serve++) {
		run_variant(serve, &variants[0], "one byte at a time", true, "drop by drop");
		run_variant(serve, &variants[8], "one byte at a time", true, "drop by drop");
	}
}

static uint64_t tx_seq(struct pair *pair)
{
	return tlsrec_conn_info(pair->conn)->tx_seq;
}

static uint64_t rx_seq(struct pair *pair)
{
	return tlsrec_conn_info(pair->conn)->rx_seq;
}

/* Sequence numbers by the book: Finished is record 0 of TLS 1.2, tickets are records of 1.3. */
static void test_sequence_numbers(void)
{
	static const int ticket_counts[] = { 0, 1, 2, 5 };

	for (int serve = 0; serve < 2; serve++) {
		struct pair pair = make_pair(serve, &variants[0]);

		tap_ok(pair_run(&pair) && tx_seq(&pair) == 1 && rx_seq(&pair) == 1,
		       "TLS 1.2 %s: Finished counts one each way", serve ? "server" : "client");
		pair_end(&pair);
		pair_free(&pair);
	}
	for (size_t i = 0; i < sizeof(ticket_counts) / sizeof(ticket_counts[0]); i++) {
		struct pair pair = make_pair(true, &variants[8]);
		int n = ticket_counts[i];

		tlsrec_ctx_set_tickets(pair.ctx, n);
		tap_ok(pair_run(&pair) && tx_seq(&pair) == (uint64_t)n && !rx_seq(&pair) &&
		       pair_exchange(&pair), "TLS 1.3 server: %d tickets count", n);
		pair_end(&pair);
		pair_free(&pair);
	}
	for (size_t i = 0; i < sizeof(ticket_counts) / sizeof(ticket_counts[0]); i++) {
		struct pair pair = make_pair(false, &variants[8]);
		int n = ticket_counts[i];
		size_t len;
		unsigned char *session;
		bool ok;

		SSL_CTX_set_num_tickets(pair.peer_ctx, (size_t)n);
		ok = pair_run(&pair) && !tx_seq(&pair) && !rx_seq(&pair) && pair_exchange(&pair);
		session = tlsrec_conn_session(pair.conn, &len);
		tap_ok(ok && !session == !n, "TLS 1.3 client: %d tickets become a session", n);
		free(session);
		pair_end(&pair);
		pair_free(&pair);
	}
}

/* The server wants another group than the client guessed: HelloRetryRequest. */
static void test_retry(void)
{
	for (int serve = 0; serve < 2; serve++) {
		struct pair pair = make_pair(serve, &variants[8]);
		bool ok;

		if (serve) {
			tlsrec_ctx_set_groups(pair.ctx, "P-384");
			SSL_CTX_set1_groups_list(pair.peer_ctx, "X25519:P-384");
		} else {
			tlsrec_ctx_set_groups(pair.ctx, "X25519:P-384");
			SSL_CTX_set1_groups_list(pair.peer_ctx, "P-384");
		}
		pair.behind = "after a retry";
		ok = pair_run(&pair) && pair_exchange(&pair);
		tap_ok(ok && !strcmp(tlsrec_conn_info(pair.conn)->group, "secp384r1"),
		       "HelloRetryRequest, %s", serve ? "server" : "client");
		pair_end(&pair);
		pair_free(&pair);
	}
}

/* Small fragments make messages span records: headers are counted, not messages. */
static void test_fragments(void)
{
	for (int i = 0; i <= 8; i += 8) {
		for (int serve = 0; serve < 2; serve++) {
			struct pair pair = make_pair(serve, &variants[i]);

			SSL_CTX_set_max_send_fragment(pair.peer_ctx, 512);
			SSL_CTX_set_split_send_fragment(pair.peer_ctx, 512);
			pair.behind = "behind fragments";
			tap_ok(pair_run(&pair) && pair_exchange(&pair),
			       "messages in fragments of 512 bytes, %s, %s", variants[i].suite,
			       serve ? "server" : "client");
			pair_end(&pair);
			pair_free(&pair);
		}
	}
}

/* Without the compatibility mode of TLS 1.3 there are no ChangeCipherSpec records. */
static void test_no_middlebox(void)
{
	for (int serve = 0; serve < 2; serve++) {
		struct pair pair = make_pair(serve, &variants[9]);

		SSL_CTX_clear_options(pair.peer_ctx, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
		tap_ok(pair_run(&pair) && pair_exchange(&pair),
		       "no ChangeCipherSpec in TLS 1.3, %s", serve ? "server" : "client");
		pair_end(&pair);
		pair_free(&pair);
	}
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		       const unsigned char *in, unsigned int in_len, void *arg)
{
	static const unsigned char mine[] = "\x08http/1.1";

	(void)ssl;
	(void)arg;
	return SSL_select_next_proto((unsigned char **)out, out_len, mine, 9, in, in_len) ==
			       OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static void test_alpn(void)
{
	struct pair pair = make_pair(false, &variants[8]);

	tlsrec_ctx_set_alpn(pair.ctx, "h2,http/1.1");
	SSL_CTX_set_alpn_select_cb(pair.peer_ctx, choose_alpn, NULL);
	tap_ok(pair_run(&pair) && !strcmp(tlsrec_conn_info(pair.conn)->alpn, "http/1.1"),
	       "ALPN: the server chooses, client");
	pair_end(&pair);
	pair_free(&pair);

	pair = make_pair(true, &variants[8]);
	tlsrec_ctx_set_alpn(pair.ctx, "http/1.1,h2");
	SSL_CTX_set_alpn_protos(pair.peer_ctx, (const unsigned char *)"\x02h2\x08http/1.1", 12);
	tap_ok(pair_run(&pair) && !strcmp(tlsrec_conn_info(pair.conn)->alpn, "http/1.1"),
	       "ALPN: our order counts, server");
	pair_end(&pair);
	SSL_CTX_set_alpn_protos(pair.peer_ctx, (const unsigned char *)"\x03xyz", 4);
	tap_ok(!pair_run(&pair), "ALPN: nothing in common ends the handshake, server");
	tap_note("%s", tlsrec_conn_error(pair.conn));
	pair_end(&pair);
	SSL_CTX_set_alpn_protos(pair.peer_ctx, NULL, 0);
	tap_ok(pair_run(&pair) && !*tlsrec_conn_info(pair.conn)->alpn,
	       "ALPN: not offered, not chosen, server");
	pair_end(&pair);
	tap_ok(tlsrec_ctx_set_alpn(pair.ctx, "") && tlsrec_ctx_set_alpn(pair.ctx, "a,,b"),
	       "ALPN: empty names are refused");
	pair_free(&pair);
}

static bool shows(struct pair *pair, const struct pki_cert *want)
{
	X509 *shown = SSL_get0_peer_certificate(pair->peer);

	return shown && !X509_cmp(shown, want->x509);
}

static void test_sni(void)
{
	struct pki_cert *a = pki_make(&(struct pki_spec){ .name = "a", .san = "DNS:a.example",
							  .issuer = root });
	struct pki_cert *wild = pki_make(&(struct pki_spec){
		.name = "wild", .san = "DNS:*.b.example", .issuer = root });
	struct pki_cert *exact = pki_make(&(struct pki_spec){
		.name = "exact", .san = "DNS:x.b.example", .issuer = root });
	const struct {
		const char *sni;
		const struct pki_cert *want;
	} cases[] = {
		{ "a.example", a },
		{ "A.Example", a },
		{ "x.b.example", exact },
		{ "y.b.example", wild },
		{ "server.example", rsa },
		{ "other.example", rsa },
		{ NULL, rsa },
	};

	for (int v = 0; v <= 8; v += 8) {
		struct variant any = variants[v];
		struct pair pair;

		any.suite = v ? "TLS_AES_128_GCM_SHA256"
			      : "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256";
		pair = make_pair(true, &any);
		tlsrec_ctx_add_cert(pair.ctx, a->file, a->key_file);
		tlsrec_ctx_add_cert(pair.ctx, wild->file, wild->key_file);
		tlsrec_ctx_add_cert(pair.ctx, exact->file, exact->key_file);
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			pair.peer_sni = cases[i].sni;
			tap_ok(pair_run(&pair) && shows(&pair, cases[i].want) &&
				       pair_exchange(&pair),
			       "SNI %s, TLS 1.%d", cases[i].sni ? cases[i].sni : "absent",
			       v ? 3 : 2);
			pair_end(&pair);
		}
		tlsrec_ctx_set_strict_sni(pair.ctx, 1);
		pair.peer_sni = "other\n.example";
		tap_ok(!pair_run(&pair) && strstr(tlsrec_conn_error(pair.conn), "other\\x0a.example"),
		       "SNI: strict refuses an unknown name, TLS 1.%d", v ? 3 : 2);
		tap_note("%s", tlsrec_conn_error(pair.conn));
		pair_end(&pair);
		pair_free(&pair);
	}
}

/* Two key types for one name: the client's abilities decide, also when it sends no name. */
static void test_two_key_types(void)
{
	static const char *const names[] = { "server.example", "other.example", NULL };
	struct variant any = variants[0];
	struct pair pair;

	any.suite = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256";
	pair = make_pair(true, &any);
	tlsrec_ctx_add_cert(pair.ctx, ec->file, ec->key_file);
	for (int i = 0; i < 3; i++) {
		const char *name = names[i] ? names[i] : "no name";

		pair.peer_sni = names[i];
		SSL_CTX_set_cipher_list(pair.peer_ctx, "ECDHE-ECDSA-AES128-GCM-SHA256");
		tap_ok(pair_run(&pair) && shows(&pair, ec), "two key types, %s: ECDSA", name);
		pair_end(&pair);
		SSL_CTX_set_cipher_list(pair.peer_ctx, "ECDHE-RSA-AES128-GCM-SHA256");
		tap_ok(pair_run(&pair) && shows(&pair, rsa), "two key types, %s: RSA", name);
		pair_end(&pair);
	}
	pair_free(&pair);
}

static void test_suites(void)
{
	struct tlsrec_ctx *ctx = tlsrec_client_new();

	tap_ok(!tlsrec_ctx_set_ciphers(ctx, "TLS_AES_256_GCM_SHA384") &&
	       SSL_CTX_get_min_proto_version(ctx->ssl) == TLS1_3_VERSION,
	       "suites: only TLS 1.3 named, only TLS 1.3 negotiated");
	tap_ok(!tlsrec_ctx_set_ciphers(ctx, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256") &&
	       SSL_CTX_get_max_proto_version(ctx->ssl) == TLS1_2_VERSION,
	       "suites: names of the RFCs, only TLS 1.2");
	tap_ok(!tlsrec_ctx_set_ciphers(ctx, "HIGH:TLS_AES_128_GCM_SHA256") &&
	       SSL_CTX_get_min_proto_version(ctx->ssl) == TLS1_2_VERSION &&
	       SSL_CTX_get_max_proto_version(ctx->ssl) == TLS1_3_VERSION,
	       "suites: a cipher string is filtered");
	tap_ok(tlsrec_ctx_set_ciphers(ctx, "ECDHE-ECDSA-AES128-CCM8:AES256-CCM:AES128-SHA256:"
				      "PSK-CHACHA20-POLY1305:TLS_AES_128_CCM_8_SHA256"),
	       "suites: what no kernel can carry is refused");
	tap_note("%s", tlsrec_ctx_error(ctx));
	tap_ok(tlsrec_ctx_set_ciphers(ctx, "nonsense"), "suites: nonsense is refused");
	tap_ok(tlsrec_ctx_set_versions(ctx, 0x0301, 0x0304), "versions: TLS 1.0 is refused");
	tap_note("%s", tlsrec_ctx_error(ctx));
	tap_ok(!tlsrec_ctx_set_ciphers(ctx, "AES128-GCM-SHA256") &&
	       tlsrec_ctx_set_versions(ctx, TLSREC_TLS_1_3, TLSREC_TLS_1_3),
	       "versions: no suite for the version is refused");
	tap_note("%s", tlsrec_ctx_error(ctx));
	tlsrec_ctx_free(ctx);
}

/* The order of the list, as the peer sees it in ClientHello. */
static bool offers(const char *list, const char *want)
{
	struct tlsrec_ctx *ctx = tlsrec_client_new();
	STACK_OF(SSL_CIPHER) *suites;
	char names[4096] = "";
	bool ok;

	ok = !list || !tlsrec_ctx_set_ciphers(ctx, list);
	suites = SSL_CTX_get_ciphers(ctx->ssl);
	for (int i = 0; i < sk_SSL_CIPHER_num(suites); i++) {
		size_t used = strlen(names);
		const SSL_CIPHER *suite = sk_SSL_CIPHER_value(suites, i);

		snprintf(names + used, sizeof(names) - used, "%s:", SSL_CIPHER_get_name(suite));
	}
	tlsrec_ctx_free(ctx);
	if (!ok || strcmp(names, want))
		tap_note("%s", names);
	return ok && !strcmp(names, want);
}

static void test_order(void)
{
	tap_ok(offers(NULL, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
		      "TLS_CHACHA20_POLY1305_SHA256:"
		      "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
		      "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
		      "DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256:"
		      "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
		      "DHE-RSA-CHACHA20-POLY1305:"),
	       "order: AES-GCM, then ChaCha20, nothing else by default");
	tap_ok(offers("ECDHE-RSA-CHACHA20-POLY1305:TLS_AES_128_CCM_SHA256:AES128-SHA:"
		      "TLS_AES_128_CCM_8_SHA256:ECDHE+AESCCM:TLS_AES_128_GCM_SHA256",
		      "TLS_AES_128_CCM_SHA256:TLS_AES_128_GCM_SHA256:"
		      "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-CCM:"),
	       "order: as named, less what no kernel has");
}

struct seen {
	char text[4096];
	int keys;
	int certs;
	int secrets;
};

static void on_event(void *arg, struct tlsrec_conn *conn, const struct tlsrec_event *event)
{
	struct seen *seen = arg;
	size_t used = strlen(seen->text);

	(void)conn;
	if (event->type == TLSREC_EVENT_MESSAGE)
		snprintf(seen->text + used, sizeof(seen->text) - used, "%s%s ",
			 event->outgoing ? ">" : "<", tlsrec_message_name(event->u.message.type));
	seen->keys += event->type == TLSREC_EVENT_KEYS;
	seen->secrets += event->type == TLSREC_EVENT_SECRET;
	seen->certs += event->type == TLSREC_EVENT_CERT && event->u.cert.ok;
}

static void test_events(void)
{
	struct pair pair = make_pair(false, &variants[8]);
	struct seen seen = { .text = "" };

	tlsrec_ctx_set_event_fn(pair.ctx, on_event, &seen);
	tap_ok(pair_run(&pair), "events: handshake");
	tap_ok(!strcmp(seen.text, ">ClientHello <ServerHello <EncryptedExtensions <Certificate "
		       "<CertificateVerify <Finished >Finished "), "events: messages of TLS 1.3");
	tap_note("%s", seen.text);
	tap_ok(seen.keys == 2 && seen.certs == 2 && seen.secrets >= 4,
	       "events: %d keys, %d certificates, %d secrets", seen.keys, seen.certs, seen.secrets);
	pair_end(&pair);
	pair_free(&pair);
}

int main(void)
{
	pki_begin();
	make_pki();
	test_variants();
	test_sequence_numbers();
	test_retry();
	test_fragments();
	test_no_middlebox();
	test_alpn();
	test_sni();
	test_two_key_types();
	test_suites();
	test_order();
	test_events();
	pki_end();
	return tap_done();
}
