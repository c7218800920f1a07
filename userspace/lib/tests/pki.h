/* SPDX-License-Identifier: MIT */
/* Throw-away authorities, certificates, revocation lists and OCSP responses for tests. */
#ifndef TLSREC_TEST_PKI_H
#define TLSREC_TEST_PKI_H

#include <stdbool.h>

#include <openssl/x509.h>

enum { PKI_PATH = 128 };

struct pki_cert {
	X509 *x509;
	EVP_PKEY *key;
	char file[PKI_PATH];		/* PEM: certificate, then those of spec.chain */
	char key_file[PKI_PATH];
};

struct pki_spec {
	const char *name;		/* file name and common name */
	const char *key;		/* "EC" (default), "RSA", "RSA1024", "ED25519" */
	const char *san;		/* "DNS:a.example,IP:127.0.0.1" */
	const char *usage;		/* extended key usage; default "serverAuth,clientAuth"; "": none */
	int from_days;			/* relative to now */
	int to_days;			/* default 10 */
	bool ca;
	bool must_staple;
	bool ocsp_no_check;
	const struct pki_cert *issuer;	/* NULL: signed by itself */
	const struct pki_cert *chain;	/* appended to the file */
};

/* A directory for the files, removed by pki_end(). Aborts on failure, as all here. */
void pki_begin(void);
void pki_end(void);

struct pki_cert *pki_make(const struct pki_spec *spec);

/* Path of a file called name in the directory; lives until pki_end(). */
const char *pki_path(const char *name);

/* Revocation list of issuer with at most one certificate; it is good until to_days. */
const char *pki_crl(const char *name, const struct pki_cert *issuer,
		    const struct pki_cert *revoked, int to_days);

/*
 * OCSP response about cert of issuer, signed by signer, DER. status: V_OCSP_CERTSTATUS_*; it is
 * good until to_days from now.
 */
const char *pki_ocsp(const char *name, const struct pki_cert *cert, const struct pki_cert *issuer,
		     const struct pki_cert *signer, int status, int to_days);

#endif
