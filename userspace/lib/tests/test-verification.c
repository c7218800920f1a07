// SPDX-License-Identifier: MIT
/*
 * Does what each line of the tables in docs/verification.md says: full and resumed handshakes, of
 * both versions, as client and as server.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ocsp.h>

#include "clock.h"
#include "peer.h"
#include "pki.h"
#include "tap.h"

enum { HOUR = 3600, DAY = 24 * HOUR, WEEK = 7 * DAY, CELLS = 10 };

static const char *page = "../../docs/verification.md";

static struct pki_cert *root, *other_root, *middle;
static struct pki_cert *ours, *plain, *plain2, *below, *stranger, *brief, *rsa, *must;
static struct pki_cert *for_servers, *for_clients;
static const char *clean, *revoking, *middle_list, *revoking_middle, *foreign, *old_list, *both_roots;
static const char *good, *is_revoked, *is_unknown, *brief_good, *other_good, *must_good;

/* ---- settings ---- */

typedef void settings(struct tlsrec_ctx *ctx);

static void trust_both(struct tlsrec_ctx *ctx)
{
	tlsrec_ctx_set_roots(ctx, both_roots, NULL);
}

static void trust_one(struct tlsrec_ctx *ctx)
{
	tlsrec_ctx_set_roots(ctx, root->file, NULL);
}

static void with_clean_list(struct tlsrec_ctx *ctx)
{
	tlsrec_ctx_add_crls(ctx, clean);
}

static void with_list(struct tlsrec_ctx *ctx)
{
	tlsrec_ctx_add_crls(ctx, revoking);
}

static void with_list_of_middle(struct tlsrec_ctx *ctx)
{
	tlsrec_ctx_add_crls(ctx, middle_list);
	tlsrec_ctx_add_crls(ctx, revoking_middle);
}

static void with_foreign_list(struct tlsrec_ctx *ctx)
{
	tlsrec_ctx_add_crls(ctx, foreign);
}

static void with_old_list(struct tlsrec_ctx *ctx)
{
	tlsrec_ctx_add_crls(ctx, old_list);
}

static void require_staple(struct tlsrec_ctx *ctx)
{
	tlsrec_ctx_set_ocsp(ctx, TLSREC_OCSP_REQUIRE);
}

static void ask_for_staple(struct tlsrec_ctx *ctx)
{
	tlsrec_ctx_set_ocsp(ctx, TLSREC_OCSP_ASK);
}

static void ask_for_no_staple(struct tlsrec_ctx *ctx)
{
	tlsrec_ctx_set_ocsp(ctx, TLSREC_OCSP_OFF);
}

static void want_rsa_3072(struct tlsrec_ctx *ctx)
{
	tlsrec_ctx_set_min_key_bits(ctx, 3072, 256);
}

static void want_384(struct tlsrec_ctx *ctx)
{
	tlsrec_ctx_set_min_key_bits(ctx, 2048, 384);
}

static void require_certificate(struct tlsrec_ctx *ctx)
{
	tlsrec_ctx_set_verify(ctx, TLSREC_VERIFY_REQUIRE);
}

/* No setting of ours: it is how a server comes to have such a session. */
static void allow_any_purpose(struct tlsrec_ctx *ctx)
{
	SSL_CTX_set_purpose(ctx->ssl, X509_PURPOSE_ANY);
}

static void ask_for_purpose(struct tlsrec_ctx *ctx)
{
	SSL_CTX_set_purpose(ctx->ssl, X509_PURPOSE_SSL_CLIENT);
}

static void one_hour(struct tlsrec_ctx *ctx)
{
	tlsrec_ctx_set_session_lifetime(ctx, HOUR);
}

static void another_identity(struct tlsrec_ctx *ctx)
{
	tlsrec_ctx_add_cert(ctx, plain2->file, plain2->key_file);
}

/* ---- what the tables' lines are ---- */

struct side {
	struct pki_cert **cert;		/* the peer's; NULL: none */
	settings *before;		/* when a session began; */
	settings *now;
	const char *other_host;		/* client, now */
};

struct line {
	const char *setting;
	const char *what;
	struct side client;
	struct side server;
	const char **staple;		/* the peer's, when a session began and */
	const char **new_staple;	/* now, if it is another one */
	long seconds;			/* from then to now */
};

/* The peer's certificate, settings when a session began, settings now. */
#define PEER(c, b, n) { .cert = (c), .before = (b), .now = (n) }
#define CLIENT(c, b, n) .client = PEER(c, b, n)
#define SERVER(c, b, n) .server = PEER(c, b, n)
#define BOTH(c, b, n) CLIENT(c, b, n), SERVER(c, b, n)
#define LINE(s, w) .setting = (s), .what = (w)

static const struct line lines[] = {
	{ LINE("roots", "a trusted one"), BOTH(&plain, NULL, NULL) },
	{ LINE("roots", "a trusted one, with an intermediate that the peer sends"),
	  BOTH(&below, NULL, NULL) },
	{ LINE("roots", "one that is not trusted"), BOTH(&stranger, trust_both, trust_one) },
	{ LINE("name", "another one"),
	  .client = { .cert = &plain, .other_host = "other.example" } },
	{ LINE("dates", "expired"), BOTH(&brief, NULL, NULL), .seconds = 2 * DAY },
	{ LINE("dates", "not yet valid"), BOTH(&plain, NULL, NULL), .seconds = -2 * DAY },
	{ LINE("CRL", "not in it"), BOTH(&plain, NULL, with_clean_list) },
	{ LINE("CRL", "revoked"), BOTH(&plain, NULL, with_list) },
	{ LINE("CRL", "its issuer is revoked"), BOTH(&below, NULL, with_list_of_middle) },
	{ LINE("CRL", "no list of its issuer"), BOTH(&plain, NULL, with_foreign_list) },
	{ LINE("CRL", "out of date"), BOTH(&plain, NULL, with_old_list) },
	{ LINE("OCSP", "good, and required"), CLIENT(&plain, NULL, require_staple),
	  .staple = &good },
	{ LINE("OCSP", "nothing stapled"), CLIENT(&plain, NULL, NULL) },
	{ LINE("OCSP", "nothing stapled, and required"), CLIENT(&plain, NULL, require_staple) },
	{ LINE("OCSP", "revoked"), CLIENT(&plain, ask_for_no_staple, ask_for_staple),
	  .staple = &is_revoked },
	{ LINE("OCSP", "unknown"), CLIENT(&plain, ask_for_no_staple, ask_for_staple),
	  .staple = &is_unknown },
	{ LINE("OCSP", "out of date"), CLIENT(&plain, NULL, NULL), .staple = &brief_good,
	  .seconds = 2 * DAY },
	{ LINE("OCSP", "of another certificate"), CLIENT(&plain, ask_for_no_staple, ask_for_staple),
	  .staple = &other_good },
	{ LINE("OCSP", "revoked, and not asked for"), CLIENT(&plain, NULL, ask_for_no_staple),
	  .new_staple = &is_revoked },
	{ LINE("must-staple", "good"), CLIENT(&must, NULL, NULL), .staple = &must_good },
	{ LINE("must-staple", "nothing stapled"), CLIENT(&must, ask_for_no_staple, ask_for_staple) },
	{ LINE("key size", "RSA, 2048 bits where 3072 are wanted"), BOTH(&rsa, NULL, want_rsa_3072) },
	{ LINE("key size", "P-256 where 384 bits are wanted"), BOTH(&plain, NULL, want_384) },
	{ LINE("purpose", "for the other role only"), CLIENT(&for_clients, NULL, NULL),
	  SERVER(&for_servers, allow_any_purpose, ask_for_purpose) },
	{ LINE("client certificate", "none, and requested"), SERVER(NULL, NULL, NULL) },
	{ LINE("client certificate", "none, and required"),
	  SERVER(NULL, NULL, require_certificate) },
};

static const struct line again[] = {
	{ LINE("its lifetime is over", ""), BOTH(&plain, one_hour, one_hour), .seconds = HOUR },
	{ LINE("its lifetime is over, and it was resumed meanwhile", ""),
	  BOTH(&plain, one_hour, one_hour), .seconds = HOUR },
	{ LINE("it began in the future", ""), BOTH(&plain2, NULL, NULL), .seconds = -DAY },
	{ LINE("its OCSP response is out of date, and the server has a new one", ""),
	  CLIENT(&plain, NULL, NULL), .staple = &brief_good, .new_staple = &good,
	  .seconds = 2 * DAY },
	{ LINE("no OCSP response was asked for when it began", ""),
	  CLIENT(&plain, ask_for_no_staple, ask_for_staple) },
	{ LINE("the client has another certificate of its own", ""),
	  CLIENT(&plain, NULL, another_identity) },
	{ LINE("nothing was verified when it began, and the peer's certificate is another one by now",
	       ""), CLIENT(&stranger, NULL, NULL) },
};

static const char *staple_file;

/* ---- one handshake ---- */

struct result {
	bool taken;
	bool resumed;
	bool verified;
	char says[1024];
};

static struct result run(struct pair *pair)
{
	struct result r = { .taken = pair_run(pair) && pair_exchange(pair) };
	const struct tlsrec_info *info = tlsrec_conn_info(pair->conn);

	r.resumed = info->resumed;
	r.verified = info->verified;
	snprintf(r.says, sizeof(r.says), "%s", tlsrec_conn_error(pair->conn));
	if (!r.taken && tlsrec_conn_error_kind(pair->conn) != TLSREC_ERROR_VERIFY)
		snprintf(r.says, sizeof(r.says), "another error: %s",
			 tlsrec_conn_error(pair->conn));
	return r;
}

static void apply(settings *s, struct tlsrec_ctx *ctx)
{
	if (s)
		s(ctx);
}

static void at(const struct line *line, bool later)
{
	clock_move_to(later ? line->seconds : 0);
	staple_file = line->staple ? *line->staple : NULL;
	if (later && line->new_staple)
		staple_file = *line->new_staple;
}

static struct tlsrec_ctx *client_ctx(void)
{
	struct tlsrec_ctx *ctx = our_ctx(false, NULL, root);

	tlsrec_ctx_set_session_lifetime(ctx, WEEK);
	return ctx;
}

static SSL_CTX *server_peer(const struct pki_cert *cert, int version)
{
	SSL_CTX *peer = peer_ctx_new(true);

	peer_use_cert(peer, cert->file, cert->key_file);
	peer_hold_to(peer, version, NULL);
	SSL_CTX_set_timeout(peer, WEEK);
	peer_staple(peer, &staple_file);
	return peer;
}

static const char *host_now(const struct side *side)
{
	return side->other_host ? side->other_host : "server.example";
}

static struct result client_full(const struct line *line, int version)
{
	struct pair pair = { .ctx = client_ctx(),
			     .peer_ctx = server_peer(*line->client.cert, version),
			     .host = host_now(&line->client) };
	struct result r;

	at(line, true);
	apply(line->client.now, pair.ctx);
	r = run(&pair);
	pair_end(&pair);
	pair_free(&pair);
	return r;
}

/* How a session comes from the first handshake to the second, and how it began. */
enum { CACHED, SAVED, UNVERIFIED, CLIENT_WAYS };

static const char *const client_ways[] = { "cached", "saved", "saved unverified" };

static struct result client_resumed(const struct line *line, int version, int way, bool meanwhile,
				    struct pki_cert *new_cert)
{
	struct pair pair = { .ctx = client_ctx(),
			     .peer_ctx = server_peer(*line->client.cert, version),
			     .host = "server.example" };
	unsigned char *data = NULL;
	struct result r;
	size_t len = 0;

	at(line, false);
	apply(line->client.before, pair.ctx);
	if (way == UNVERIFIED)
		tlsrec_ctx_set_verify(pair.ctx, TLSREC_VERIFY_NONE);
	r = run(&pair);
	if (!r.taken)
		goto out;
	data = tlsrec_conn_session(pair.conn, &len);
	pair_end(&pair);
	if (meanwhile) {
		clock_move_to(line->seconds / 2);
		pair.session = data;
		pair.session_len = len;
		r = run(&pair);
		free(data);
		data = tlsrec_conn_session(pair.conn, &len);
		if (!tap_ok(r.taken && r.resumed, "resumed meanwhile"))
			goto out;
		pair_end(&pair);
	}
	if (way != CACHED) {
		tlsrec_ctx_free(pair.ctx);
		pair.ctx = client_ctx();
	}
	pair.session = way == CACHED ? NULL : data;
	pair.session_len = len;
	pair.host = host_now(&line->client);
	if (new_cert)
		peer_use_cert(pair.peer_ctx, new_cert->file, new_cert->key_file);
	at(line, true);
	apply(line->client.now, pair.ctx);
	r = run(&pair);
out:
	pair_end(&pair);
	pair_free(&pair);
	free(data);
	return r;
}

static struct pair server_pair(const struct line *line, int version)
{
	struct pair pair = pair_make(true, version, ours, root);

	tlsrec_ctx_set_session_lifetime(pair.ctx, WEEK);
	tlsrec_ctx_set_roots(pair.ctx, root->file, NULL);
	tlsrec_ctx_set_verify(pair.ctx, TLSREC_VERIFY_REQUEST);
	if (line->server.cert)
		peer_use_cert(pair.peer_ctx, (*line->server.cert)->file,
			      (*line->server.cert)->key_file);
	return pair;
}

static struct result server_full(const struct line *line, int version)
{
	struct pair pair = server_pair(line, version);
	struct result r;

	at(line, true);
	apply(line->server.now, pair.ctx);
	r = run(&pair);
	pair_end(&pair);
	pair_free(&pair);
	return r;
}

enum { TICKETS, IDS, SERVER_WAYS };

static const char *const server_ways[] = { "tickets", "IDs" };

static struct result server_resumed(const struct line *line, int version, int way, bool meanwhile)
{
	struct pair pair = server_pair(line, version);
	struct result r;

	if (way == IDS)
		tlsrec_ctx_set_resume(pair.ctx, TLSREC_RESUME_IDS);
	at(line, false);
	apply(line->server.before, pair.ctx);
	for (int i = 0; i < 1 + meanwhile; i++) {
		if (i)
			clock_move_to(line->seconds / 2);
		r = run(&pair);
		if (!r.taken)
			goto out;
		if (i)
			tap_ok(r.resumed, "resumed meanwhile");
		SSL_SESSION_free(pair.peer_session);
		pair.peer_session = SSL_get1_session(pair.peer);
		/* A client that offers whatever the server said of its lifetime. */
		SSL_SESSION_set_timeout(pair.peer_session, WEEK);
		pair_end(&pair);
	}
	at(line, true);
	apply(line->server.now, pair.ctx);
	r = run(&pair);
out:
	pair_end(&pair);
	SSL_SESSION_free(pair.peer_session);
	pair_free(&pair);
	return r;
}

/* ---- the tables ---- */

static char *trim(char *text)
{
	char *end;

	text += strspn(text, " ");
	end = text + strlen(text);
	while (end > text && strchr(" \n", end[-1]))
		*--end = '\0';
	return text;
}

/* The cells of a table's line; 0 if it is none. */
static int split(char *text, char *cells[CELLS])
{
	int n = 0;

	if (*text != '|')
		return 0;
	for (char *cell = strtok(text, "|"); cell && n < CELLS; cell = strtok(NULL, "|"))
		if (*trim(cell))
			cells[n++] = trim(cell);
	return n;
}

static bool as_written(const char *word, const struct result *r, bool certificate, bool resumed)
{
	if (!strcmp(word, "taken"))
		return r->taken && r->resumed == resumed && r->verified == certificate;
	if (!strcmp(word, "full"))
		return r->taken && !r->resumed && r->verified == certificate;
	return !strcmp(word, "refused") && !r->taken && !r->resumed && !r->verified &&
	       !strncmp(r->says, "the ", 4);
}

static void check(const struct line *line, const char *word, const struct result *full,
		  const struct result *r, bool certificate, const char *role, int version,
		  const char *way)
{
	bool ok = as_written(word, r, certificate, r != full);

	/* A session changes nothing, the sentence neither. */
	ok = ok && !strcmp(r->says, full->says);
	if (!tap_ok(ok, "%s%s%s: %s, TLS 1.%d, %s: %s", line->setting, *line->what ? ": " : "",
		    line->what, role, version - 0x0301, way, word))
		tap_note("taken %d, resumed %d, verified %d; %s", r->taken, r->resumed, r->verified,
			 r->says);
}

static bool meanwhile(const struct line *line)
{
	return strstr(line->setting, "meanwhile");
}

static void check_client(const struct line *line, int version, const char *in_full,
			 const char *resumed)
{
	struct pki_cert *new_cert = strstr(line->setting, "another one by now") ? plain : NULL;
	struct line fresh = *line;
	struct result full;

	if (new_cert)
		fresh.client.cert = &plain;
	full = client_full(&fresh, version);
	check(line, in_full, &full, &full, true, "client", version, "full");
	for (int way = 0; way < CLIENT_WAYS; way++) {
		struct result r;

		/* It has been verified, or nothing was asked for whose answer matters. */
		if (new_cert && way != UNVERIFIED)
			continue;
		r = client_resumed(line, version, way, meanwhile(line), new_cert);
		check(line, resumed, &full, &r, true, "client", version, client_ways[way]);
	}
}

static void check_server(const struct line *line, int version, const char *in_full,
			 const char *resumed)
{
	struct result full = server_full(line, version);
	bool certificate = line->server.cert;

	check(line, in_full, &full, &full, certificate, "server", version, "full");
	for (int way = 0; way < SERVER_WAYS; way++) {
		struct result r = server_resumed(line, version, way, meanwhile(line));

		check(line, resumed, &full, &r, certificate, "server", version, server_ways[way]);
	}
}

static bool is_for(const char *word)
{
	return strcmp(word, "-");
}

static void check_line(const struct line *line, char *cells[CELLS])
{
	for (int i = 0; i < 2; i++) {
		int version = TLSREC_TLS_1_2 + i;
		char **client = cells + 2 + 2 * i;
		char **server = cells + 6 + 2 * i;

		if (is_for(client[0]))
			check_client(line, version, client[0], client[1]);
		if (is_for(server[0]))
			check_server(line, version, server[0], server[1]);
	}
}

static void check_again(const struct line *line, char *cells[CELLS])
{
	for (int i = 0; i < 2; i++) {
		int version = TLSREC_TLS_1_2 + i;

		if (is_for(cells[1 + i]))
			check_client(line, version, "taken", cells[1 + i]);
		if (is_for(cells[3 + i]))
			check_server(line, version, "taken", cells[3 + i]);
	}
}

static void check_page(void)
{
	size_t count = sizeof(lines) / sizeof(lines[0]);
	size_t count_again = sizeof(again) / sizeof(again[0]);
	size_t next = 0;
	size_t next_again = 0;
	FILE *f = fopen(page, "r");
	char text[1024];

	tap_ok(f, "%s can be read", page);
	while (f && fgets(text, sizeof(text), f)) {
		char *cells[CELLS];
		int n = split(text, cells);

		if (!n || strstr(cells[0], "---") || !strcmp(cells[0], "setting") ||
		    !strcmp(cells[0], "session"))
			continue;
		if (n == CELLS && next < count && !strcmp(cells[0], lines[next].setting) &&
		    !strcmp(cells[1], lines[next].what))
			check_line(&lines[next++], cells);
		else if (n == 5 && next_again < count_again &&
			 !strcmp(cells[0], again[next_again].setting))
			check_again(&again[next_again++], cells);
		else
			tap_ok(false, "the line \"%s\", \"%s\" is not tested", cells[0], cells[1]);
	}
	tap_ok(next == count && next_again == count_again, "every line that is tested is there");
	if (f)
		fclose(f);
}

static const char *join(const char *name, const struct pki_cert *a, const struct pki_cert *b)
{
	const char *path = pki_path(name);
	char command[3 * PKI_PATH + 16];

	snprintf(command, sizeof(command), "cat %s %s >%s", a->file, b->file, path);
	if (system(command))
		abort();
	return path;
}

static struct pki_cert *make(struct pki_spec spec)
{
	spec.san = "DNS:server.example";
	return pki_make(&spec);
}

static void make_files(void)
{
	root = pki_make(&(struct pki_spec){ .name = "root", .ca = true, .from_days = -5 });
	other_root = pki_make(&(struct pki_spec){ .name = "other-root", .ca = true });
	middle = pki_make(&(struct pki_spec){ .name = "middle", .ca = true, .issuer = root });
	ours = make((struct pki_spec){ .name = "ours", .issuer = root });
	plain = make((struct pki_spec){ .name = "plain", .issuer = root });
	plain2 = make((struct pki_spec){ .name = "plain2", .issuer = root, .from_days = -5 });
	below = make((struct pki_spec){ .name = "below", .issuer = middle, .chain = middle });
	stranger = make((struct pki_spec){ .name = "stranger", .issuer = other_root });
	brief = make((struct pki_spec){ .name = "brief", .issuer = root, .to_days = 1 });
	rsa = make((struct pki_spec){ .name = "rsa", .issuer = root, .key = "RSA" });
	must = make((struct pki_spec){ .name = "must", .issuer = root, .must_staple = true });
	for_servers = make((struct pki_spec){ .name = "for-servers", .issuer = root,
					      .usage = "serverAuth" });
	for_clients = make((struct pki_spec){ .name = "for-clients", .issuer = root,
					      .usage = "clientAuth" });
	both_roots = join("both.pem", root, other_root);
	clean = pki_crl("clean.crl", root, NULL, 10);
	revoking = pki_crl("revoking.crl", root, plain, 10);
	middle_list = pki_crl("middle.crl", middle, NULL, 10);
	revoking_middle = pki_crl("revoking-middle.crl", root, middle, 10);
	foreign = pki_crl("foreign.crl", other_root, NULL, 10);
	old_list = pki_crl("old.crl", root, NULL, -1);
	good = pki_ocsp("good.der", plain, root, root, V_OCSP_CERTSTATUS_GOOD, 9);
	brief_good = pki_ocsp("brief.der", plain, root, root, V_OCSP_CERTSTATUS_GOOD, 1);
	is_revoked = pki_ocsp("revoked.der", plain, root, root, V_OCSP_CERTSTATUS_REVOKED, 9);
	is_unknown = pki_ocsp("unknown.der", plain, root, root, V_OCSP_CERTSTATUS_UNKNOWN, 9);
	other_good = pki_ocsp("other.der", ours, root, root, V_OCSP_CERTSTATUS_GOOD, 9);
	must_good = pki_ocsp("must.der", must, root, root, V_OCSP_CERTSTATUS_GOOD, 9);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		page = argv[1];
	pki_begin();
	make_files();
	check_page();
	pki_end();
	return tap_done();
}
