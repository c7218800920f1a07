/* SPDX-License-Identifier: MIT */
/* What is DER inside the messages: certificates, names, OCSP responses. */
#ifndef TLSREC_CERTIFICATE_H
#define TLSREC_CERTIFICATE_H

#include "bytes.h"

#include <openssl/x509.h>

json_t *decode_x509(const uint8_t *der, size_t len);
json_t *json_x509_name(const X509_NAME *name);

/* CertificateStatus of RFC 6066, which TLS 1.3 puts into an extension of the certificate. */
json_t *decode_cert_status(struct cur *c);

#endif
