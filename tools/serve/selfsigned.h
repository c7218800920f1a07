/* SPDX-License-Identifier: MIT */
/* A throw-away certificate for a server that was given none. */
#ifndef TLSREC_SELFSIGNED_H
#define TLSREC_SELFSIGNED_H

/*
 * Make a P-256 key and a certificate for this host and localhost, valid for 30 days, and return an anonymous
 * file with both in PEM, or -1 after saying why not. sha256 gets the fingerprint as openssl prints it.
 */
int selfsigned_make(char sha256[96]);

#endif
