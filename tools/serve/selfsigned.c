// SPDX-License-Identifier: MIT
#include "selfsigned.h"

#include "common/say.h"

#include <errno.h>
#include <limits.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { DAYS = 30 };

static bool add_extension(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	bool added = e && X509_add_ext(x, e, -1);

	X509_EXTENSION_free(e);
	return added;
}

/* Certificates of the same issuer must differ in their number, or browsers refuse the second. */
static bool set_serial(X509 *x)
{
	uint64_t number;

	return RAND_bytes((uint8_t *)&number, sizeof(number)) == 1 &&
	       ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), number >> 1);
}

static bool fill_in(X509 *x, EVP_PKEY *key)
{
	char host[HOST_NAME_MAX + 1] = "localhost", names[HOST_NAME_MAX + 64];
	X509_NAME *name = X509_get_subject_name(x);

	gethostname(host, sizeof(host) - 1);
	snprintf(names, sizeof(names), "DNS:localhost,DNS:%s,IP:127.0.0.1,IP:::1", host);
	return X509_set_version(x, X509_VERSION_3) && set_serial(x) &&
	       X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
					  (const uint8_t *)"tlsrec throw-away certificate", -1, -1, 0) &&
	       X509_set_issuer_name(x, name) && X509_gmtime_adj(X509_getm_notBefore(x), -60) &&
	       X509_gmtime_adj(X509_getm_notAfter(x), DAYS * 86400L) && X509_set_pubkey(x, key) &&
	       add_extension(x, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(x, NID_ext_key_usage, "serverAuth") &&
	       add_extension(x, NID_subject_alt_name, names) && X509_sign(x, key, EVP_sha256());
}

static bool fingerprint(const X509 *x, char out[96])
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	if (!X509_digest(x, EVP_sha256(), digest, &n))
		return false;
	for (unsigned int i = 0; i < n; i++)
		sprintf(out + 3 * i, "%02X%s", digest[i], i + 1 < n ? ":" : "");
	return true;
}

/* The file has no name anywhere and is gone with the process. */
static int write_pem(X509 *x, EVP_PKEY *key)
{
	int fd = memfd_create("tlsrec-certificate", MFD_CLOEXEC);
	BIO *b = fd < 0 ? NULL : BIO_new_fd(fd, BIO_NOCLOSE);
	bool written = b && PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) &&
		       PEM_write_bio_X509(b, x);

	BIO_free(b);
	if (written)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

int selfsigned_make(char sha256[96])
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	int fd = -1;

	if (key && x && fill_in(x, key) && fingerprint(x, sha256))
		fd = write_pem(x, key);
	if (fd < 0)
		say("cannot make a throw-away certificate: %s.",
		    ERR_peek_error() ? ERR_reason_error_string(ERR_peek_error()) : strerror(errno));
	X509_free(x);
	EVP_PKEY_free(key);
	return fd;
}
