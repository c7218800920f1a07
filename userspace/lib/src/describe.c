// SPDX-License-Identifier: MIT
#include "describe.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/x509v3.h>

/* What was printed into a memory BIO, clean, as a string of its own; frees the BIO. */
static char *take_text(BIO *bio)
{
	char *data = NULL, *text;
	size_t len = bio ? (size_t)BIO_get_mem_data(bio, &data) : 0;
	size_t size = tlsrec_clean(NULL, 0, data, len, "") + 1;

	text = len ? malloc(size) : NULL;
	if (text)
		tlsrec_clean(text, size, data, len, "");
	BIO_free(bio);
	return text;
}

static char *name_text(const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());

	if (bio)
		X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
	return take_text(bio);
}

static void print_address(BIO *bio, const ASN1_OCTET_STRING *address)
{
	char text[INET6_ADDRSTRLEN];
	int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;

	if (family == AF_INET6 && ASN1_STRING_length(address) != 16)
		return;
	if (inet_ntop(family, ASN1_STRING_get0_data(address), text, sizeof(text)))
		BIO_puts(bio, text);
}

/* No name can look like several: commas stand between names only. */
static void print_text(BIO *bio, const void *data, size_t len)
{
	size_t size = tlsrec_clean(NULL, 0, data, len, ",") + 1;
	char *clean = malloc(size);

	if (clean)
		tlsrec_clean(clean, size, data, len, ",");
	BIO_puts(bio, clean ? clean : "");
	free(clean);
}

static void print_other(BIO *bio, GENERAL_NAME *name)
{
	BIO *words = BIO_new(BIO_s_mem());
	char *data = NULL;
	long len;

	if (words && GENERAL_NAME_print(words, name)) {
		len = BIO_get_mem_data(words, &data);
		print_text(bio, data, (size_t)len);
	}
	BIO_free(words);
}

static void print_name(BIO *bio, const GENERAL_NAME *name)
{
	int type;
	void *value = GENERAL_NAME_get0_value(name, &type);

	switch (type) {
	case GEN_DNS:
	case GEN_EMAIL:
	case GEN_URI:
		print_text(bio, ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
		break;
	case GEN_IPADD:
		print_address(bio, value);
		break;
	default:
		print_other(bio, (GENERAL_NAME *)name);
	}
}

static char *names_text(const X509 *cert)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	BIO *bio = BIO_new(BIO_s_mem());

	for (int i = 0; bio && i < sk_GENERAL_NAME_num(names); i++) {
		if (i)
			BIO_puts(bio, ", ");
		print_name(bio, sk_GENERAL_NAME_value(names, i));
	}
	GENERAL_NAMES_free(names);
	return take_text(bio);
}

static const char *pretty_curve(const char *name)
{
	static const char *const names[][2] = {
		{ "prime256v1", "P-256" },
		{ "secp384r1", "P-384" },
		{ "secp521r1", "P-521" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(name, names[i][0]))
			return names[i][1];
	return name;
}

static char *key_text(const X509 *cert)
{
	EVP_PKEY *key = X509_get0_pubkey(cert);
	BIO *bio = BIO_new(BIO_s_mem());
	char group[64];
	const char *type = key ? EVP_PKEY_get0_type_name(key) : NULL;

	if (!bio || !type)
		return take_text(bio);
	if (EVP_PKEY_get_group_name(key, group, sizeof(group), NULL))
		BIO_printf(bio, "%s %s", type, pretty_curve(group));
	else if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS"))
		BIO_printf(bio, "%s %d bits", type, EVP_PKEY_get_bits(key));
	else
		BIO_puts(bio, type);
	return take_text(bio);
}

static char *serial_text(const X509 *cert)
{
	BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
	char *hex = number ? BN_bn2hex(number) : NULL;
	char *text = hex ? strdup(hex) : NULL;

	OPENSSL_free(hex);
	BN_free(number);
	return text;
}

static char *fingerprint_text(const X509 *cert)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	BIO *bio = BIO_new(BIO_s_mem());

	if (bio && X509_digest(cert, EVP_sha256(), digest, &len))
		for (unsigned int i = 0; i < len; i++)
			BIO_printf(bio, "%02x", digest[i]);
	return take_text(bio);
}

static int64_t seconds(const ASN1_TIME *time)
{
	struct tm tm;

	return ASN1_TIME_to_tm(time, &tm) ? (int64_t)timegm(&tm) : 0;
}

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

void tr_cert_describe(struct tr_cert *out, X509 *cert)
{
	const char *signature = OBJ_nid2ln(X509_get_signature_nid(cert));

	tr_cert_clear(out);
	out->texts[0] = name_text(X509_get_subject_name(cert));
	out->texts[1] = name_text(X509_get_issuer_name(cert));
	out->texts[2] = names_text(cert);
	out->texts[3] = key_text(cert);
	out->texts[4] = strdup(or_empty(signature));
	out->texts[5] = serial_text(cert);
	out->texts[6] = fingerprint_text(cert);
	out->view = (struct tlsrec_cert){
		.subject = or_empty(out->texts[0]),
		.issuer = or_empty(out->texts[1]),
		.names = or_empty(out->texts[2]),
		.key = or_empty(out->texts[3]),
		.signature = or_empty(out->texts[4]),
		.serial = or_empty(out->texts[5]),
		.sha256 = or_empty(out->texts[6]),
		.not_before = seconds(X509_get0_notBefore(cert)),
		.not_after = seconds(X509_get0_notAfter(cert)),
	};
}

void tr_cert_clear(struct tr_cert *cert)
{
	for (int i = 0; i < TR_CERT_TEXTS; i++)
		free(cert->texts[i]);
	memset(cert, 0, sizeof(*cert));
}

void tr_time_words(const ASN1_TIME *time, char out[TR_TIME_LEN])
{
	struct tm tm;

	if (!ASN1_TIME_to_tm(time, &tm) || !strftime(out, TR_TIME_LEN, "%Y-%m-%d %H:%M UTC", &tm))
		snprintf(out, TR_TIME_LEN, "an unreadable date");
}
