/* SPDX-License-Identifier: MIT */
/* Own certificates by the names they are for: found at once, however many there are. */
#ifndef TLSREC_HOSTS_H
#define TLSREC_HOSTS_H

#include <stddef.h>

#include <openssl/x509.h>

/* A name, "www.example.org" or "*.example.org", and the numbers of the certificates that have it. */
struct tr_hosts_entry {
	struct tr_hosts_entry *next;	/* in the same bucket */
	size_t count;
	size_t *numbers;		/* rising */
	char name[];
};

/* A hash table; all zero at first. */
struct tr_hosts {
	struct tr_hosts_entry **buckets;
	size_t size;
	size_t count;
};

/*
 * The names among the certificate's alternative names, each once. number is larger than those before.
 * -1 when out of memory: then nothing was added.
 */
int tr_hosts_add(struct tr_hosts *hosts, X509 *cert, size_t number);
void tr_hosts_clear(struct tr_hosts *hosts);

/* The certificates with this very name, or else those with its wildcard; NULL if there are none. */
const struct tr_hosts_entry *tr_hosts_find(const struct tr_hosts *hosts, const char *name);

#endif
