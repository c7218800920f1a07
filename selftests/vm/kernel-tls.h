/* SPDX-License-Identifier: MIT */
/*
 * Included before the TLS selftest of Linux as Debian ships it.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"

/* 30 seconds are not much for an emulated processor with company. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 120

/*
 * The copies of 6.1 and 6.12 do not compile alone: their tests of key updates call a
 * function with four parameters that is defined with three. The fourth says which key,
 * as in later ones: 0 is the one that the function sets, others are made here.
 */
#ifdef FOURTH_PARAMETER
#define tls_crypto_info_init(...) \
	TT_PICK(__VA_ARGS__, TT_INIT4, TT_INIT3, , )(__VA_ARGS__)
#define TT_PICK(a, b, c, d, name, ...) name

/* The definition, which becomes itself, and the calls that fit it. */
#define TT_INIT3(version, type, info) tls_crypto_info_init(version, type, info)

/* All of what follows version and type: key, salt, nonce and number of a record. */
#define TT_INIT4(version, type, info, key) do { \
	tls_crypto_info_init(version, type, info); \
	if (key) \
		__builtin_memset((char *)(info) + sizeof(struct tls_crypto_info), (key), \
				 (info)->len - sizeof(struct tls_crypto_info)); \
} while (0)
#endif
