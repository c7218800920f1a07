// SPDX-License-Identifier: MIT
/* Stapled OCSP responses in the shapes that responders give them, and in those they must not have. */
#include <stdio.h>
#include <string.h>

#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "peer.h"
#include "pki.h"
#include "tap.h"

enum { HOUR = 3600, DAY = 24 * HOUR, ANSWERS = 3, CERTS = 4 };

static const int revoked = V_OCSP_CERTSTATUS_REVOKED;
static const int unknown = V_OCSP_CERTSTATUS_UNKNOWN;

/* The leaf is below two intermediate authorities. */
static struct pki_cert *root, *upper, *lower, *leaf, *must, *twin, *delegate;

/* One answer in a response; what is left out is what most responders do. */
struct answer {
	const struct pki_cert *cert;	/* NULL: no more answers */
	const struct pki_cert *issuer;	/* default: lower */
	const char *hash;		/* default: "SHA1" */
	int status;
	int from;			/* seconds from now; default: an hour ago */
	int until;			/* default: in a day; -1: it does not say */
	const char *oid;		/* of an extension */
	bool critical;
};

struct response {
	struct answer answers[ANSWERS];
	const struct pki_cert *signer;	/* default: lower */
	const struct pki_cert *certs[CERTS];	/* sent along besides the signer */
	unsigned long flags;
	bool critical;			/* has a critical extension nobody knows */
	int error;			/* of the responder, in place of all that */
};

static unsigned char staple_der[16384];
static int staple_len;

static int staple(SSL *ssl, void *arg)
{
	(void)arg;
	SSL_set_tlsext_status_ocsp_resp(ssl, OPENSSL_memdup(staple_der, (size_t)staple_len),
					staple_len);
	return SSL_TLSEXT_ERR_OK;
}

static X509_EXTENSION *extension(const char *oid, bool critical)
{
	ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
	X509_EXTENSION *ext;

	ASN1_OCTET_STRING_set(value, (const unsigned char *)"\x05", 2);
	ext = X509_EXTENSION_create_by_OBJ(NULL, object, critical, value);
	ASN1_OCTET_STRING_free(value);
	ASN1_OBJECT_free(object);
	return ext;
}

static void add_answer(OCSP_BASICRESP *basic, const struct answer *a)
{
	const struct pki_cert *issuer = a->issuer ? a->issuer : lower;
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_get_digestbyname(a->hash ? a->hash : "SHA1"),
					  a->cert->x509, issuer->x509);
	ASN1_TIME *from = X509_gmtime_adj(NULL, a->from ? a->from : -HOUR);
	ASN1_TIME *until = X509_gmtime_adj(NULL, a->until ? a->until : DAY);
	OCSP_SINGLERESP *single = OCSP_basic_add1_status(basic, id, a->status, 1, from, from,
							 a->until == -1 ? NULL : until);

	if (a->oid) {
		X509_EXTENSION *ext = extension(a->oid, a->critical);

		OCSP_SINGLERESP_add_ext(single, ext, -1);
		X509_EXTENSION_free(ext);
	}
	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
	OCSP_CERTID_free(id);
}

static void make(const struct response *r)
{
	const struct pki_cert *signer = r->signer ? r->signer : lower;
	STACK_OF(X509) *certs = sk_X509_new_null();
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	unsigned char *p = staple_der;
	OCSP_RESPONSE *response;

	for (int i = 0; i < CERTS && r->certs[i]; i++)
		sk_X509_push(certs, r->certs[i]->x509);
	for (int i = 0; i < ANSWERS && r->answers[i].cert; i++)
		add_answer(basic, &r->answers[i]);
	if (r->critical) {
		X509_EXTENSION *ext = extension("1.3.6.1.4.1.99999.1", true);

		OCSP_BASICRESP_add_ext(basic, ext, -1);
		X509_EXTENSION_free(ext);
	}
	OCSP_basic_sign(basic, signer->x509, signer->key, EVP_sha256(), certs, r->flags);
	response = OCSP_response_create(r->error, r->error ? NULL : basic);
	staple_len = i2d_OCSP_RESPONSE(response, &p);
	OCSP_RESPONSE_free(response);
	OCSP_BASICRESP_free(basic);
	sk_X509_free(certs);
}

static struct pair new_pair(const struct pki_cert *cert)
{
	static int version = TLS1_2_VERSION;
	struct pair pair = pair_make(false, version, cert, root);

	version = version == TLS1_2_VERSION ? TLS1_3_VERSION : TLS1_2_VERSION;
	tlsrec_ctx_set_resume(pair.ctx, TLSREC_RESUME_OFF);
	SSL_CTX_add1_chain_cert(pair.peer_ctx, lower->x509);
	SSL_CTX_add1_chain_cert(pair.peer_ctx, upper->x509);
	SSL_CTX_set_tlsext_status_cb(pair.peer_ctx, staple);
	return pair;
}

/* Refused: with that reason. Told only: the same reason, and not verified. */
static void judge(struct pair *pair, const char *name, enum tlsrec_ocsp_verdict want,
		  const char *says)
{
	const struct tlsrec_info *info;
	bool ok = pair_run(pair);

	info = tlsrec_conn_info(pair->conn);
	tap_ok(ok == !says && info->ocsp == want && info->verified == !says &&
	       (!says || (tlsrec_conn_error_kind(pair->conn) == TLSREC_ERROR_VERIFY &&
			  strstr(tlsrec_conn_error(pair->conn), says))),
	       "U7: %s: %s (%s)", name, says ? "refused" : "taken", info->ocsp_reason);
	pair_end(pair);
	tlsrec_ctx_set_verify(pair->ctx, TLSREC_VERIFY_NONE);
	ok = pair_run(pair);
	info = tlsrec_conn_info(pair->conn);
	tap_ok(ok && info->ocsp == want && info->verified == !says &&
	       (says ? !!strstr(info->verdict, says) : !*info->verdict),
	       "U7: %s: report only", name);
	pair_end(pair);
	pair_free(pair);
}

static void try(const char *name, const struct response *response, enum tlsrec_ocsp_verdict want,
		const char *says)
{
	struct pair pair = new_pair(leaf);

	make(response);
	judge(&pair, name, want, says);
}

static struct pki_cert *make_delegate(const char *name, const struct pki_cert *issuer,
				      const char *usage, int to_days)
{
	return pki_make(&(struct pki_spec){ .name = name, .issuer = issuer, .usage = usage,
					    .from_days = -20, .to_days = to_days });
}

/* ---- who may sign ---- */

static void test_signers(void)
{
	struct pki_cert *of_upper = make_delegate("of-upper", upper, "OCSPSigning", 10);
	struct pki_cert *of_root = make_delegate("of-root", root, "OCSPSigning", 10);
	struct pki_cert *server = make_delegate("server", lower, "serverAuth", 10);
	struct pki_cert *any = make_delegate("any", lower, "anyExtendedKeyUsage", 10);
	struct pki_cert *none = make_delegate("none", lower, "", 10);
	struct pki_cert *expired = make_delegate("expired", lower, "OCSPSigning", -1);
	struct pki_cert *weak = pki_make(&(struct pki_spec){
		.name = "weak", .issuer = lower, .usage = "OCSPSigning", .key = "RSA1024" });
	struct pki_cert *alone = pki_make(&(struct pki_spec){ .name = "alone",
							      .usage = "OCSPSigning" });
	const unsigned long key = OCSP_RESPID_KEY;
	const struct answer answer = { .cert = leaf };
	const struct {
		const char *name;
		struct response response;
		bool ok;
	} trials[] = {
		{ "the issuer, by name", { .answers = { answer } }, true },
		{ "the issuer, by key", { .answers = { answer }, .flags = key }, true },
		{ "the issuer, no certificates", { .answers = { answer }, .flags = OCSP_NOCERTS }, true },
		{ "a delegate, by name", { .answers = { answer }, .signer = delegate }, true },
		{ "a delegate, by key", { .answers = { answer }, .signer = delegate, .flags = key },
		  true },
		{ "a delegate among other certificates",
		  { .answers = { answer }, .signer = delegate, .certs = { root, upper, lower } },
		  true },
		{ "a delegate that is not sent",
		  { .answers = { answer }, .signer = delegate, .flags = OCSP_NOCERTS }, false },
		{ "a delegate of the issuer's issuer", { .answers = { answer }, .signer = of_upper },
		  false },
		{ "a delegate of the root", { .answers = { answer }, .signer = of_root }, false },
		{ "the issuer's issuer", { .answers = { answer }, .signer = upper }, false },
		{ "the root", { .answers = { answer }, .signer = root }, false },
		{ "the certificate itself", { .answers = { answer }, .signer = leaf }, false },
		{ "a server of the issuer's", { .answers = { answer }, .signer = server }, false },
		{ "one for any use", { .answers = { answer }, .signer = any }, false },
		{ "one for no named use", { .answers = { answer }, .signer = none }, false },
		{ "an expired delegate", { .answers = { answer }, .signer = expired }, false },
		{ "a delegate with a small key", { .answers = { answer }, .signer = weak }, false },
		{ "one that nobody delegated to", { .answers = { answer }, .signer = alone }, false },
	};

	for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++)
		try(trials[i].name, &trials[i].response,
		    trials[i].ok ? TLSREC_OCSP_GOOD : TLSREC_OCSP_INVALID,
		    trials[i].ok ? NULL : "not signed by");
}

/* Once there are lists, they count for delegates, unless their issuer says that they need not. */
static void test_revoked_delegates(void)
{
	struct pki_cert *checked = make_delegate("checked", lower, "OCSPSigning", 10);
	const struct {
		const char *name;
		const struct pki_cert *signer;
		const char *list;
		bool ok;
	} trials[] = {
		{ "a delegate on no list", checked, pki_crl("clean.crl", lower, NULL, 5), true },
		{ "a revoked delegate", checked, pki_crl("checked.crl", lower, checked, 5), false },
		{ "a delegate not to be checked", delegate,
		  pki_crl("delegate.crl", lower, delegate, 5), true },
	};

	for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
		struct pair pair = new_pair(leaf);

		make(&(struct response){ .answers = { { .cert = leaf } },
					 .signer = trials[i].signer });
		tlsrec_ctx_add_crls(pair.ctx, trials[i].list);
		judge(&pair, trials[i].name, trials[i].ok ? TLSREC_OCSP_GOOD : TLSREC_OCSP_INVALID,
		      trials[i].ok ? NULL : "not signed by");
	}
}

/* ---- what is said ---- */

static void test_answers(void)
{
	const char *const other = "about another certificate";
	const char *const critical = "critical extension";
	static const char sct[] = "1.3.6.1.4.1.11129.2.4.5";
	const struct {
		const char *name;
		struct response response;
		enum tlsrec_ocsp_verdict want;
		const char *says;
	} trials[] = {
		{ "CertID with SHA-256", { .answers = { { leaf, .hash = "SHA256" } } },
		  TLSREC_OCSP_GOOD, NULL },
		{ "CertID with SHA-512", { .answers = { { leaf, .hash = "SHA512" } } },
		  TLSREC_OCSP_GOOD, NULL },
		{ "revoked, CertID with SHA-256",
		  { .answers = { { leaf, .hash = "SHA256", .status = revoked } } },
		  TLSREC_OCSP_REVOKED, "revoked on 20" },
		{ "CertID with MD5", { .answers = { { leaf, .hash = "MD5" } } },
		  TLSREC_OCSP_INVALID, other },
		{ "another certificate", { .answers = { { twin } } }, TLSREC_OCSP_INVALID, other },
		{ "the same number of another issuer",
		  { .answers = { { leaf, .issuer = upper } } }, TLSREC_OCSP_INVALID, other },
		{ "no answer", { .signer = lower }, TLSREC_OCSP_INVALID, other },
		{ "revoked", { .answers = { { leaf, .status = revoked } } }, TLSREC_OCSP_REVOKED,
		  "revoked on 20" },
		{ "unknown", { .answers = { { leaf, .status = unknown } } }, TLSREC_OCSP_UNKNOWN,
		  "does not know" },
		{ "out of date", { .answers = { { leaf, .from = -2 * DAY, .until = -HOUR } } },
		  TLSREC_OCSP_INVALID, "good until 20" },
		{ "from the future", { .answers = { { leaf, .from = HOUR } } },
		  TLSREC_OCSP_INVALID, "not good before 20" },
		{ "no nextUpdate, an hour old", { .answers = { { leaf, .until = -1 } } },
		  TLSREC_OCSP_GOOD, NULL },
		{ "no nextUpdate, two days old",
		  { .answers = { { leaf, .from = -2 * DAY, .until = -1 } } },
		  TLSREC_OCSP_INVALID, "one day" },
		{ "a week old, good for another",
		  { .answers = { { leaf, .from = -7 * DAY, .until = 7 * DAY } } },
		  TLSREC_OCSP_GOOD, NULL },
		{ "several certificates, ours good",
		  { .answers = { { twin, .status = revoked }, { leaf }, { must, .status = unknown } } },
		  TLSREC_OCSP_GOOD, NULL },
		{ "several certificates, ours revoked",
		  { .answers = { { twin }, { must }, { leaf, .status = revoked } } },
		  TLSREC_OCSP_REVOKED, "revoked" },
		{ "twice ours, good and revoked",
		  { .answers = { { leaf }, { leaf, .hash = "SHA256", .status = revoked } } },
		  TLSREC_OCSP_REVOKED, "revoked" },
		{ "twice ours, good and unknown",
		  { .answers = { { leaf }, { leaf, .hash = "SHA256", .status = unknown } } },
		  TLSREC_OCSP_UNKNOWN, "does not know" },
		{ "twice ours, out of date and good",
		  { .answers = { { leaf, .from = -2 * DAY, .until = -HOUR }, { leaf } } },
		  TLSREC_OCSP_GOOD, NULL },
		{ "an extension", { .answers = { { leaf, .oid = sct } } }, TLSREC_OCSP_GOOD, NULL },
		{ "a critical extension", { .answers = { { leaf, .oid = sct, .critical = true } } },
		  TLSREC_OCSP_INVALID, critical },
		{ "a critical reason",
		  { .answers = { { leaf, .oid = "2.5.29.21", .critical = true } } },
		  TLSREC_OCSP_GOOD, NULL },
		{ "a critical extension of the response",
		  { .answers = { { leaf } }, .critical = true }, TLSREC_OCSP_INVALID, critical },
	};

	for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++)
		try(trials[i].name, &trials[i].response, trials[i].want, trials[i].says);
}

/* Nobody signs an error, so anybody may have put it there: as good as nothing, and no better. */
static void test_errors(void)
{
	static const int errors[] = {
		OCSP_RESPONSE_STATUS_TRYLATER, OCSP_RESPONSE_STATUS_UNAUTHORIZED,
		OCSP_RESPONSE_STATUS_INTERNALERROR, OCSP_RESPONSE_STATUS_MALFORMEDREQUEST,
	};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		const struct response response = { .error = errors[i] };
		const char *name = OCSP_response_status_str(errors[i]);
		struct pair pair = new_pair(leaf);

		make(&response);
		judge(&pair, name, TLSREC_OCSP_NONE, NULL);
		pair = new_pair(leaf);
		tlsrec_ctx_set_ocsp(pair.ctx, TLSREC_OCSP_REQUIRE);
		judge(&pair, name, TLSREC_OCSP_NONE, name);
		pair = new_pair(must);
		judge(&pair, name, TLSREC_OCSP_NONE, "must staple");
	}
}

static void test_nothing(void)
{
	struct pair pair = new_pair(leaf);

	SSL_CTX_set_tlsext_status_cb(pair.peer_ctx, NULL);
	tlsrec_ctx_set_ocsp(pair.ctx, TLSREC_OCSP_REQUIRE);
	judge(&pair, "nothing stapled, required", TLSREC_OCSP_NONE, "no OCSP response was stapled");
	pair = new_pair(must);
	SSL_CTX_set_tlsext_status_cb(pair.peer_ctx, NULL);
	judge(&pair, "nothing stapled, must staple", TLSREC_OCSP_NONE, "must staple");
	pair = new_pair(must);
	make(&(struct response){ .answers = { { must } }, .signer = delegate });
	judge(&pair, "must staple, and does", TLSREC_OCSP_GOOD, NULL);
}

static struct pki_cert *authority(const char *name, const struct pki_cert *issuer)
{
	return pki_make(&(struct pki_spec){ .name = name, .ca = true, .issuer = issuer,
					    .from_days = -30 });
}

int main(void)
{
	static const char names[] = "DNS:server.example";

	pki_begin();
	root = authority("root", NULL);
	upper = authority("upper", root);
	lower = authority("lower", upper);
	leaf = pki_make(&(struct pki_spec){ .name = "leaf", .issuer = lower, .san = names });
	twin = pki_make(&(struct pki_spec){ .name = "twin", .issuer = lower, .san = names });
	must = pki_make(&(struct pki_spec){ .name = "must", .issuer = lower, .san = names,
					    .must_staple = true });
	delegate = pki_make(&(struct pki_spec){ .name = "delegate", .issuer = lower,
						.usage = "OCSPSigning", .ocsp_no_check = true });
	test_signers();
	test_revoked_delegates();
	test_answers();
	test_errors();
	test_nothing();
	pki_end();
	return tap_done();
}
