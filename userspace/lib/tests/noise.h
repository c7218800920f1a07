/* SPDX-License-Identifier: MIT */
/* What a hostile peer might write, and whether what is shown of it is fit to be shown. */
#ifndef TLSREC_TEST_NOISE_H
#define TLSREC_TEST_NOISE_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509v3.h>

/* Another way to say what clean is: UTF-8 by its bytes, and none of these sequences in it. */
static inline bool is_clean(const char *s)
{
	static const char *const bad[] = {
		"\x7f", "\xc2\xad", "\xd8\x9c", "\xe2\x80\x8b", "\xe2\x80\x8c", "\xe2\x80\x8d", "\xe2\x80\x8e",
		"\xe2\x80\x8f", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaa", "\xe2\x80\xab", "\xe2\x80\xac",
		"\xe2\x80\xad", "\xe2\x80\xae", "\xe2\x81\xa6", "\xe2\x81\xa7", "\xe2\x81\xa8", "\xe2\x81\xa9",
		"\xef\xbb\xbf",
	};
	const unsigned char *p = (const unsigned char *)s;
	int more = 0;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (strstr(s, bad[i]))
			return false;
	for (; *p; p++) {
		if (*p < 0x20 || (*p == 0xc2 && p[1] < 0xa0) || (*p == 0xed && p[1] >= 0xa0) ||
		    (*p == 0xe0 && p[1] < 0xa0) || (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] >= 0x90) ||
		    *p == 0xc0 || *p == 0xc1 || *p > 0xf4)
			return false;
		if ((*p & 0xc0) == 0x80 ? !more-- : more)
			return false;
		if (*p >= 0xc0)
			more = *p < 0xe0 ? 1 : *p < 0xf0 ? 2 : 3;
	}
	return !more;
}

/* Random bytes, most of them from what hurts. */
static inline size_t make_noise(unsigned char *out, size_t max)
{
	static const unsigned char hurts[] = { 0x00, 0x1b, 0x7f, 0x80, 0x85, 0x8b, 0x9b, 0xa0, 0xae, 0xbf, 0xc0, 0xc2,
					       0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf3, 0xf4, 0xff, '"', ',', '\\', '\n' };
	size_t len = (size_t)rand() % max;

	for (size_t i = 0; i < len; i++)
		out[i] = rand() % 4 ? hurts[(size_t)rand() % sizeof(hurts)] : (unsigned char)rand();
	return len;
}

/* One more name of a certificate: a type of GEN_*, and the V_ASN1_* of its string. */
static inline void add_name(GENERAL_NAMES *names, int type, int string, const void *data, size_t len)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_STRING *text = ASN1_STRING_type_new(string);
	ASN1_TYPE *value;

	ASN1_STRING_set(text, data, (int)len);
	if (type == GEN_OTHERNAME) {
		value = ASN1_TYPE_new();
		ASN1_TYPE_set(value, string, text);
		GENERAL_NAME_set0_othername(name, OBJ_nid2obj(NID_ms_upn), value);
	} else {
		GENERAL_NAME_set0_value(name, type, text);
	}
	sk_GENERAL_NAME_push(names, name);
}

#endif
