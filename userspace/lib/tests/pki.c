// SPDX-License-Identifier: MIT
#include "pki.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum { MAX_CERTS = 2100, MAX_PATHS = 64, DAY = 86400 };

static char dir[] = "/tmp/tlsrec-test-XXXXXX";
static struct pki_cert certs[MAX_CERTS];
static int cert_count;
static char paths[MAX_PATHS][PKI_PATH];
static int path_count;

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "cannot make test certificates: %s\n", what);
	ERR_print_errors_fp(stderr);
	abort();
}

void pki_begin(void)
{
	must(mkdtemp(dir), "mkdtemp");
}

void pki_end(void)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	for (int i = 0; i < cert_count; i++) {
		X509_free(certs[i].x509);
		EVP_PKEY_free(certs[i].key);
	}
	while (d && (entry = readdir(d)))
		unlinkat(dirfd(d), entry->d_name, 0);
	if (d)
		closedir(d);
	rmdir(dir);
}

const char *pki_path(const char *name)
{
	must(path_count < MAX_PATHS, "too many files");
	snprintf(paths[path_count], PKI_PATH, "%s/%s", dir, name);
	return paths[path_count++];
}

static EVP_PKEY *make_key(const char *type)
{
	EVP_PKEY *key;

	if (!type || !strcmp(type, "EC"))
		key = EVP_EC_gen("P-256");
	else if (!strcmp(type, "RSA"))
		key = EVP_RSA_gen(2048);
	else if (!strcmp(type, "RSA1024"))
		key = EVP_RSA_gen(1024);
	else
		key = EVP_PKEY_Q_keygen(NULL, NULL, type);
	must(key, "key");
	return key;
}

static void add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX v3;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&v3, issuer, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &v3, nid, value);
	must(ext && X509_add_ext(x, ext, -1), value);
	X509_EXTENSION_free(ext);
}

static void add_exts(X509 *x, X509 *issuer, const struct pki_spec *spec)
{
	add_ext(x, issuer, NID_subject_key_identifier, "hash");
	if (spec->ca) {
		add_ext(x, issuer, NID_basic_constraints, "critical,CA:TRUE");
		add_ext(x, issuer, NID_key_usage, "critical,keyCertSign,cRLSign,digitalSignature");
	} else {
		add_ext(x, issuer, NID_basic_constraints, "CA:FALSE");
		if (!spec->usage || *spec->usage)
			add_ext(x, issuer, NID_ext_key_usage,
				spec->usage ? spec->usage : "serverAuth,clientAuth");
	}
	if (spec->san)
		add_ext(x, issuer, NID_subject_alt_name, spec->san);
	if (spec->must_staple)
		add_ext(x, issuer, NID_tlsfeature, "status_request");
	if (spec->ocsp_no_check)
		add_ext(x, issuer, NID_id_pkix_OCSP_noCheck, "yes");
}

static void write_files(const struct pki_cert *cert, const struct pki_cert *chain)
{
	FILE *f = fopen(cert->file, "w");
	FILE *k = fopen(cert->key_file, "w");

	must(f && k, "open");
	must(PEM_write_X509(f, cert->x509), "write");
	if (chain)
		must(PEM_write_X509(f, chain->x509), "write");
	must(PEM_write_PrivateKey(k, cert->key, NULL, NULL, 0, NULL, NULL), "write");
	fclose(f);
	fclose(k);
}

struct pki_cert *pki_make(const struct pki_spec *spec)
{
	struct pki_cert *cert = &certs[cert_count++];
	const struct pki_cert *issuer = spec->issuer ? spec->issuer : cert;
	X509 *x = X509_new();
	X509_NAME *name;
	bool ed;

	must(cert_count <= MAX_CERTS && x, "certificate");
	cert->x509 = x;
	cert->key = make_key(spec->key);
	name = X509_get_subject_name(x);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)spec->name, -1,
				   -1, 0);
	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1000 + cert_count);
	X509_set_issuer_name(x, X509_get_subject_name(issuer->x509));
	X509_gmtime_adj(X509_getm_notBefore(x), (long)spec->from_days * DAY - 60);
	X509_gmtime_adj(X509_getm_notAfter(x), (long)(spec->to_days ? spec->to_days : 10) * DAY);
	X509_set_pubkey(x, cert->key);
	add_exts(x, issuer->x509, spec);
	ed = EVP_PKEY_is_a(issuer->key, "ED25519");
	must(X509_sign(x, issuer->key, ed ? NULL : EVP_sha256()), "sign");
	snprintf(cert->file, PKI_PATH, "%s/%s.pem", dir, spec->name);
	snprintf(cert->key_file, PKI_PATH, "%s/%s.key", dir, spec->name);
	write_files(cert, spec->chain);
	return cert;
}

const char *pki_crl(const char *name, const struct pki_cert *issuer,
		    const struct pki_cert *revoked, int to_days)
{
	const char *path = pki_path(name);
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *from = X509_gmtime_adj(NULL, -2 * DAY);
	ASN1_TIME *until = X509_gmtime_adj(NULL, (long)to_days * DAY);
	FILE *f = fopen(path, "w");

	must(crl && from && until && f, "revocation list");
	X509_CRL_set_version(crl, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->x509));
	X509_CRL_set1_lastUpdate(crl, from);
	X509_CRL_set1_nextUpdate(crl, until);
	if (revoked) {
		X509_REVOKED *r = X509_REVOKED_new();

		X509_REVOKED_set_serialNumber(r, X509_get_serialNumber(revoked->x509));
		X509_REVOKED_set_revocationDate(r, from);
		X509_CRL_add0_revoked(crl, r);
	}
	must(X509_CRL_sign(crl, issuer->key, EVP_sha256()) && PEM_write_X509_CRL(f, crl), "sign");
	fclose(f);
	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
	X509_CRL_free(crl);
	return path;
}

const char *pki_ocsp(const char *name, const struct pki_cert *cert, const struct pki_cert *issuer,
		     const struct pki_cert *signer, int status, int to_days)
{
	const char *path = pki_path(name);
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	OCSP_CERTID *id = OCSP_cert_to_id(NULL, cert->x509, issuer->x509);
	ASN1_TIME *from = X509_gmtime_adj(NULL, -2 * DAY);
	ASN1_TIME *until = X509_gmtime_adj(NULL, (long)to_days * DAY);
	OCSP_RESPONSE *response;
	BIO *out = BIO_new_file(path, "w");

	must(basic && id && from && until && out, "OCSP response");
	must(OCSP_basic_add1_status(basic, id, status, 0, from, from, until), "status");
	must(OCSP_basic_sign(basic, signer->x509, signer->key, EVP_sha256(), NULL, 0), "sign");
	response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
	must(response && i2d_OCSP_RESPONSE_bio(out, response), "write");
	BIO_free(out);
	OCSP_RESPONSE_free(response);
	OCSP_BASICRESP_free(basic);
	OCSP_CERTID_free(id);
	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
	return path;
}
