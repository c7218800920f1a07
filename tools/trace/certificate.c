// SPDX-License-Identifier: MIT
#include "certificate.h"

#include <arpa/inet.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

/* What was printed into a memory BIO; frees it. */
static json_t *json_bio(BIO *b)
{
	char *p = NULL;
	long n = b ? BIO_get_mem_data(b, &p) : 0;
	json_t *s = n > 0 ? json_text(p, (size_t)n) : json_string("(empty)");

	BIO_free(b);
	return s;
}

json_t *json_x509_name(const X509_NAME *name)
{
	BIO *b = BIO_new(BIO_s_mem());

	if (b)
		X509_NAME_print_ex(b, name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
	return json_bio(b);
}

static json_t *json_time(const ASN1_TIME *t)
{
	struct tm tm;
	char s[40];

	if (!t || !ASN1_TIME_to_tm(t, &tm) || !strftime(s, sizeof(s), "%Y-%m-%d %H:%M:%S UTC", &tm))
		return json_string("(unreadable)");
	return json_string(s);
}

static json_t *json_general_name(GENERAL_NAME *gn)
{
	char address[INET6_ADDRSTRLEN];
	const ASN1_STRING *s;
	BIO *b;
	int n;

	switch (gn->type) {
	case GEN_DNS:
	case GEN_EMAIL:
	case GEN_URI:
		s = gn->d.ia5;
		return json_text(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
	case GEN_IPADD:
		s = gn->d.iPAddress;
		n = ASN1_STRING_length(s);
		if (n != 4 && n != 16)
			return json_hex(ASN1_STRING_get0_data(s), (size_t)n);
		inet_ntop(n == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(s), address,
			  sizeof(address));
		return json_string(address);
	default:
		b = BIO_new(BIO_s_mem());
		if (b)
			GENERAL_NAME_print(b, gn);
		return json_bio(b);
	}
}

static json_t *subject_alt_names(X509 *x)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	json_t *a;

	if (!names)
		return NULL;
	a = json_array();
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
		json_array_append_new(a, json_general_name(sk_GENERAL_NAME_value(names, i)));
	GENERAL_NAMES_free(names);
	return a;
}

json_t *decode_x509(const uint8_t *der, size_t len)
{
	json_t *o = json_object();
	const uint8_t *p = der;
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned int n = 0;
	EVP_PKEY *key;
	json_t *san;
	X509 *x;

	x = len ? d2i_X509(NULL, &p, (long)len) : NULL;
	if (!x || p != der + len) {
		json_object_set_new(o, "malformed",
				    json_string("this is not an X.509 certificate"));
		X509_free(x);
		return o;
	}
	json_object_set_new(o, "subject", json_x509_name(X509_get_subject_name(x)));
	json_object_set_new(o, "issuer", json_x509_name(X509_get_issuer_name(x)));
	json_object_set_new(o, "not_before", json_time(X509_get0_notBefore(x)));
	json_object_set_new(o, "not_after", json_time(X509_get0_notAfter(x)));
	san = subject_alt_names(x);
	if (san)
		json_object_set_new(o, "names", san);
	key = X509_get0_pubkey(x);
	if (key && EVP_PKEY_get0_type_name(key))
		json_object_set_new(o, "key",
				    json_sprintf("%s, %d bits", EVP_PKEY_get0_type_name(key),
						 EVP_PKEY_get_bits(key)));
	json_object_set_new(o, "signed_with",
			    json_string(OBJ_nid2ln(X509_get_signature_nid(x))));
	if (X509_digest(x, EVP_sha256(), digest, &n))
		json_object_set_new(o, "sha256", json_hex(digest, n));
	json_object_set_new(o, "bytes", json_integer((json_int_t)len));
	X509_free(x);
	return o;
}

static void describe_single_response(json_t *o, OCSP_BASICRESP *basic)
{
	ASN1_GENERALIZEDTIME *this_update = NULL, *next_update = NULL, *revoked = NULL;
	OCSP_SINGLERESP *single = OCSP_resp_get0(basic, 0);
	int status, reason = -1;

	if (!single)
		return;
	status = OCSP_single_get0_status(single, &reason, &revoked, &this_update, &next_update);
	json_object_set_new(o, "certificate_status", json_string(OCSP_cert_status_str(status)));
	if (status == V_OCSP_CERTSTATUS_REVOKED && revoked)
		json_object_set_new(o, "revoked_at", json_time(revoked));
	if (status == V_OCSP_CERTSTATUS_REVOKED && reason >= 0)
		json_object_set_new(o, "reason", json_string(OCSP_crl_reason_str(reason)));
	json_object_set_new(o, "this_update", json_time(this_update));
	if (next_update)
		json_object_set_new(o, "next_update", json_time(next_update));
}

static json_t *decode_ocsp(const uint8_t *der, size_t len)
{
	json_t *o = json_object();
	const uint8_t *p = der;
	OCSP_BASICRESP *basic;
	OCSP_RESPONSE *resp;

	resp = len ? d2i_OCSP_RESPONSE(NULL, &p, (long)len) : NULL;
	if (!resp) {
		json_object_set_new(o, "malformed", json_string("this is not an OCSP response"));
		return o;
	}
	json_object_set_new(o, "response_status",
			    json_string(OCSP_response_status_str(OCSP_response_status(resp))));
	basic = OCSP_response_get1_basic(resp);
	if (basic) {
		describe_single_response(o, basic);
		OCSP_BASICRESP_free(basic);
	}
	OCSP_RESPONSE_free(resp);
	json_object_set_new(o, "bytes", json_integer((json_int_t)len));
	return o;
}

json_t *decode_cert_status(struct cur *c)
{
	struct cur v;

	if (cur_uint(c, 1) != 1) {
		c->bad = true;
		return NULL;
	}
	v = cur_vec(c, 3);
	return v.bad ? NULL : decode_ocsp(v.p, v.n);
}
