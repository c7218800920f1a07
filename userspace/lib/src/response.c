// SPDX-License-Identifier: MIT
#include "response.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include "describe.h"

enum {
	CLOCK_SKEW = 300,		/* seconds a responder's clock may differ from ours */
	AGE_WITHOUT_END = 24 * 60 * 60,	/* seconds a response without nextUpdate is good */
	DELEGATES_MAX = 16,		/* certificates looked at: a stranger may send any number */
};

/* A reason and the verdict it is for. */
static enum tr_response say(char *reason, enum tr_response answer, const char *text)
{
	snprintf(reason, TR_RESPONSE_REASON_LEN, "%s", text);
	return answer;
}

/* ---- who signed ---- */

/* The responder ID names this certificate, and the signature is by its key. */
static bool signed_by(OCSP_BASICRESP *basic, X509 *signer)
{
	STACK_OF(X509) *one = sk_X509_new_null();
	bool ok = one && sk_X509_push(one, signer) &&
		  OCSP_basic_verify(basic, one, NULL, OCSP_NOINTERN | OCSP_TRUSTOTHER) == 1;

	sk_X509_free(one);
	return ok;
}

/* A delegate need not be covered by the lists at hand; it must not be on one. */
static int allow_missing_list(int ok, X509_STORE_CTX *store)
{
	return ok || X509_STORE_CTX_get_error(store) == X509_V_ERR_UNABLE_TO_GET_CRL;
}

static bool prepare_check(X509_STORE_CTX *check, const struct tr_response_about *about,
			  STACK_OF(X509) *trusted, X509 *cert)
{
	bool unchecked = X509_get_ext_by_NID(cert, NID_id_pkix_OCSP_noCheck, -1) >= 0;

	if (!X509_STORE_CTX_init(check, about->store, cert, NULL) ||
	    !sk_X509_push(trusted, about->issuer) ||
	    !X509_STORE_CTX_set_purpose(check, X509_PURPOSE_OCSP_HELPER))
		return false;
	X509_STORE_CTX_set0_trusted_stack(check, trusted);
	X509_STORE_CTX_set_flags(check, X509_V_FLAG_PARTIAL_CHAIN);
	if (about->store && !unchecked)
		X509_STORE_CTX_set_flags(check, X509_V_FLAG_CRL_CHECK);
	X509_STORE_CTX_set_verify_cb(check, allow_missing_list);
	X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(check), about->level);
	return true;
}

/*
 * The issuer has signed the delegate's certificate itself (RFC 6960 4.2.2.2), so the issuer is all
 * that has to be trusted here, wherever it stands; its own issuers are the handshake's concern.
 */
static bool is_delegate(const struct tr_response_about *about, X509 *cert)
{
	X509_STORE_CTX *check = X509_STORE_CTX_new();
	STACK_OF(X509) *trusted = sk_X509_new_null();
	bool ok = X509_get_extension_flags(cert) & EXFLAG_XKUSAGE &&
		  X509_get_extended_key_usage(cert) & XKU_OCSP_SIGN && check && trusted &&
		  prepare_check(check, about, trusted, cert) && X509_verify_cert(check) == 1;

	X509_STORE_CTX_free(check);
	sk_X509_free(trusted);
	return ok;
}

/*
 * Only the issuer itself, or a responder it delegated to, may vouch: the other certificates of the
 * peer's chain, its own first of all, must not be taken for signers.
 */
static bool signed_properly(const struct tr_response_about *about, OCSP_BASICRESP *basic)
{
	const STACK_OF(X509) *certs = OCSP_resp_get0_certs(basic);

	if (signed_by(basic, about->issuer))
		return true;
	for (int i = 0; i < sk_X509_num(certs) && i < DELEGATES_MAX; i++) {
		X509 *cert = sk_X509_value(certs, i);

		if (signed_by(basic, cert) && is_delegate(about, cert))
			return true;
	}
	return false;
}

/* ---- what is said ---- */

/* What may be critical, for it changes nothing here. Nonces: there is nobody to have sent one. */
static bool is_known(const X509_EXTENSION *ext)
{
	switch (OBJ_obj2nid(X509_EXTENSION_get_object((X509_EXTENSION *)ext))) {
	case NID_id_pkix_OCSP_Nonce:
	case NID_id_pkix_OCSP_CrlID:
	case NID_id_pkix_OCSP_archiveCutoff:
	case NID_crl_reason:
	case NID_invalidity_date:
		return true;
	default:
		return false;
	}
}

static bool is_obscure(const X509_EXTENSION *ext)
{
	return X509_EXTENSION_get_critical(ext) && !is_known(ext);
}

static bool response_is_obscure(OCSP_BASICRESP *basic)
{
	for (int i = 0; i < OCSP_BASICRESP_get_ext_count(basic); i++)
		if (is_obscure(OCSP_BASICRESP_get_ext(basic, i)))
			return true;
	return false;
}

static bool single_is_obscure(OCSP_SINGLERESP *single)
{
	for (int i = 0; i < OCSP_SINGLERESP_get_ext_count(single); i++)
		if (is_obscure(OCSP_SINGLERESP_get_ext(single, i)))
			return true;
	return false;
}

static bool is_hash(const ASN1_OCTET_STRING *what, const unsigned char *hash, unsigned int len)
{
	return ASN1_STRING_length(what) == (int)len &&
	       !memcmp(ASN1_STRING_get0_data(what), hash, len);
}

static bool is_name(const ASN1_OCTET_STRING *what, const X509_NAME *name, const EVP_MD *md)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned int len;

	return X509_NAME_digest(name, md, hash, &len) && is_hash(what, hash, len);
}

static bool is_key_of(const ASN1_OCTET_STRING *what, const X509 *cert, const EVP_MD *md)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned int len;

	return X509_pubkey_digest(cert, md, hash, &len) && is_hash(what, hash, len);
}

/* The responder chooses the hash. The issuer's name is hashed as the certificate has it. */
static bool is_about(const struct tr_response_about *about, OCSP_SINGLERESP *single)
{
	OCSP_CERTID *id = (OCSP_CERTID *)OCSP_SINGLERESP_get0_id(single);
	ASN1_OCTET_STRING *name, *key;
	ASN1_OBJECT *algorithm;
	ASN1_INTEGER *serial;
	const EVP_MD *md;

	if (!OCSP_id_get0_info(&name, &algorithm, &key, &serial, id) ||
	    ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(about->cert)))
		return false;
	md = EVP_get_digestbyobj(algorithm);
	if (!md || EVP_MD_get_size(md) < SHA_DIGEST_LENGTH)
		return false;
	return is_name(name, X509_get_issuer_name(about->cert), md) &&
	       (!about->issuer || is_key_of(key, about->issuer, md));
}

static enum tr_response say_time(char *reason, ASN1_GENERALIZEDTIME *from,
				 ASN1_GENERALIZEDTIME *until)
{
	bool early = X509_cmp_current_time(from) > 0;
	char when[TR_TIME_LEN];

	tr_time_words(until && !early ? until : from, when);
	if (early)
		snprintf(reason, TR_RESPONSE_REASON_LEN,
			 "the OCSP response is not good before %s", when);
	else if (until)
		snprintf(reason, TR_RESPONSE_REASON_LEN,
			 "the OCSP response is out of date (good until %s)", when);
	else
		snprintf(reason, TR_RESPONSE_REASON_LEN,
			 "the OCSP response is out of date (of %s; it does not say how long it is "
			 "good, so that is one day)", when);
	return TR_RESPONSE_OLD;
}

static enum tr_response judge_single(OCSP_SINGLERESP *single, char *reason)
{
	ASN1_GENERALIZEDTIME *revoked, *from, *until;
	char when[TR_TIME_LEN];
	int why;
	int status = OCSP_single_get0_status(single, &why, &revoked, &from, &until);

	if (single_is_obscure(single))
		return say(reason, TR_RESPONSE_INVALID,
			   "the OCSP response has a critical extension that is not known here");
	if (!OCSP_check_validity(from, until, CLOCK_SKEW, until ? -1 : AGE_WITHOUT_END))
		return say_time(reason, from, until);
	switch (status) {
	case V_OCSP_CERTSTATUS_GOOD:
		return say(reason, TR_RESPONSE_GOOD, "the responder says the certificate is good");
	case V_OCSP_CERTSTATUS_REVOKED:
		tr_time_words(revoked, when);
		snprintf(reason, TR_RESPONSE_REASON_LEN, "the certificate was revoked on %s (%s)",
			 when, why >= 0 ? OCSP_crl_reason_str(why) : "no reason given");
		return TR_RESPONSE_REVOKED;
	default:
		return say(reason, TR_RESPONSE_UNKNOWN,
			   "the responder does not know the certificate");
	}
}

/*
 * Where a response has several answers about the certificate, the worst of those that are in date
 * counts: higher is worse.
 */
static int weight(enum tr_response answer)
{
	switch (answer) {
	case TR_RESPONSE_REVOKED:
		return 4;
	case TR_RESPONSE_INVALID:
		return 3;
	case TR_RESPONSE_UNKNOWN:
		return 2;
	case TR_RESPONSE_GOOD:
		return 1;
	default:
		return 0;
	}
}

static enum tr_response judge_basic(const struct tr_response_about *about, OCSP_BASICRESP *basic,
				    char *reason)
{
	enum tr_response worst = TR_RESPONSE_OTHER;

	if (about->issuer && !signed_properly(about, basic))
		return say(reason, TR_RESPONSE_INVALID,
			   "the OCSP response is not signed by the certificate's issuer or a "
			   "responder of its own");
	if (response_is_obscure(basic))
		return say(reason, TR_RESPONSE_INVALID,
			   "the OCSP response has a critical extension that is not known here");
	say(reason, worst, "the OCSP response is about another certificate");
	for (int i = 0; i < OCSP_resp_count(basic); i++) {
		OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
		char one[TR_RESPONSE_REASON_LEN];
		enum tr_response answer;

		if (!is_about(about, single))
			continue;
		answer = judge_single(single, one);
		if (worst == TR_RESPONSE_OTHER || weight(answer) > weight(worst))
			worst = say(reason, answer, one);
	}
	return worst;
}

static enum tr_response judge_response(const struct tr_response_about *about,
				       OCSP_RESPONSE *response, char *reason)
{
	int status = OCSP_response_status(response);
	OCSP_BASICRESP *basic;
	enum tr_response answer;

	if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
		snprintf(reason, TR_RESPONSE_REASON_LEN,
			 "the OCSP response has no status, only the responder's error %d (%s)",
			 status, OCSP_response_status_str(status));
		return TR_RESPONSE_EMPTY;
	}
	basic = OCSP_response_get1_basic(response);
	if (!basic)
		return say(reason, TR_RESPONSE_INVALID, "the OCSP response cannot be read");
	answer = judge_basic(about, basic, reason);
	OCSP_BASICRESP_free(basic);
	return answer;
}

enum tr_response tr_response_judge(const struct tr_response_about *about, const unsigned char *der,
				   long len, char reason[TR_RESPONSE_REASON_LEN])
{
	OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &der, len);
	enum tr_response answer;

	if (response)
		answer = judge_response(about, response, reason);
	else
		answer = say(reason, TR_RESPONSE_INVALID, "the OCSP response (DER) cannot be read");
	OCSP_RESPONSE_free(response);
	ERR_clear_error();
	return answer;
}
