// SPDX-License-Identifier: MIT
#include "hosts.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "host.h"

enum { FIRST_SIZE = 16, NAME_ROOM = 256 };

/* FNV-1a. The names are those of certificates that were configured: nobody can choose collisions. */
static uint32_t hash(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return h;
}

static struct tr_hosts_entry **bucket(const struct tr_hosts *hosts, const char *name)
{
	return &hosts->buckets[hash(name) & (hosts->size - 1)];
}

static struct tr_hosts_entry *look_up(const struct tr_hosts *hosts, const char *name)
{
	struct tr_hosts_entry *entry = hosts->size ? *bucket(hosts, name) : NULL;

	while (entry && strcmp(entry->name, name))
		entry = entry->next;
	return entry;
}

/* As many buckets as names, at least. */
static int grow(struct tr_hosts *hosts)
{
	struct tr_hosts larger = { .size = hosts->size ? 2 * hosts->size : FIRST_SIZE };

	if (hosts->count < hosts->size)
		return 0;
	larger.buckets = calloc(larger.size, sizeof(*larger.buckets));
	if (!larger.buckets)
		return -1;
	for (size_t i = 0; i < hosts->size; i++) {
		struct tr_hosts_entry *entry, *next;

		for (entry = hosts->buckets[i]; entry; entry = next) {
			struct tr_hosts_entry **to = bucket(&larger, entry->name);

			next = entry->next;
			entry->next = *to;
			*to = entry;
		}
	}
	free(hosts->buckets);
	hosts->buckets = larger.buckets;
	hosts->size = larger.size;
	return 0;
}

static struct tr_hosts_entry *entry_for(struct tr_hosts *hosts, const char *name)
{
	struct tr_hosts_entry *entry = look_up(hosts, name);
	struct tr_hosts_entry **to;

	if (entry)
		return entry;
	entry = grow(hosts) ? NULL : calloc(1, sizeof(*entry) + strlen(name) + 1);
	if (!entry)
		return NULL;
	strcpy(entry->name, name);
	to = bucket(hosts, name);
	entry->next = *to;
	*to = entry;
	hosts->count++;
	return entry;
}

static int add_name(struct tr_hosts *hosts, const char *name, size_t number)
{
	struct tr_hosts_entry *entry = entry_for(hosts, name);
	size_t *numbers;

	if (!entry)
		return -1;
	if (entry->count && entry->numbers[entry->count - 1] == number)
		return 0;
	numbers = realloc(entry->numbers, (entry->count + 1) * sizeof(*numbers));
	if (!numbers)
		return -1;
	numbers[entry->count++] = number;
	entry->numbers = numbers;
	return 0;
}

/* Takes a number back, so that no other certificate is found under it. */
static void forget(struct tr_hosts *hosts, size_t number)
{
	for (size_t i = 0; i < hosts->size; i++)
		for (struct tr_hosts_entry *e = hosts->buckets[i]; e; e = e->next)
			if (e->count && e->numbers[e->count - 1] == number)
				e->count--;
}

/* In small letters; false if it does not fit. */
static bool lower(char out[NAME_ROOM], const char *name, size_t len)
{
	if (len >= NAME_ROOM)
		return false;
	for (size_t i = 0; i < len; i++)
		out[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] - 'A' + 'a') : name[i];
	out[len] = '\0';
	return true;
}

/* A wildcard stands for one whole label, below at least two others (RFC 9525 6.3). */
static bool is_useful(const char *name)
{
	if (!strncmp(name, "*.", 2))
		return tr_host_is_name(name + 2) && strchr(name + 2, '.');
	return tr_host_is_name(name);
}

int tr_hosts_add(struct tr_hosts *hosts, X509 *cert, size_t number)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	int ret = 0;

	for (int i = 0; !ret && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *general = sk_GENERAL_NAME_value(names, i);
		char name[NAME_ROOM];

		if (general->type != GEN_DNS ||
		    !lower(name, (const char *)ASN1_STRING_get0_data(general->d.dNSName),
			   (size_t)ASN1_STRING_length(general->d.dNSName)) ||
		    strlen(name) != (size_t)ASN1_STRING_length(general->d.dNSName))
			continue;
		if (is_useful(name))
			ret = add_name(hosts, name, number);
	}
	GENERAL_NAMES_free(names);
	if (ret)
		forget(hosts, number);
	return ret;
}

void tr_hosts_clear(struct tr_hosts *hosts)
{
	for (size_t i = 0; i < hosts->size; i++) {
		struct tr_hosts_entry *entry, *next;

		for (entry = hosts->buckets[i]; entry; entry = next) {
			next = entry->next;
			free(entry->numbers);
			free(entry);
		}
	}
	free(hosts->buckets);
	*hosts = (struct tr_hosts){ 0 };
}

const struct tr_hosts_entry *tr_hosts_find(const struct tr_hosts *hosts, const char *name)
{
	const struct tr_hosts_entry *entry;
	char key[NAME_ROOM];
	char *dot;

	/* A name that ends in a dot, or has a star in it, is nobody's, though it might be found. */
	if (!lower(key, name, strlen(name)) || !tr_host_is_name(key))
		return NULL;
	entry = look_up(hosts, key);
	dot = strchr(key, '.');
	/* Clients do not let a wildcard stand for a label with an underscore. */
	if ((!entry || !entry->count) && dot && !memchr(key, '_', (size_t)(dot - key))) {
		dot[-1] = '*';
		entry = look_up(hosts, dot - 1);
	}
	return entry && entry->count ? entry : NULL;
}
