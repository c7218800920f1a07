/* SPDX-License-Identifier: MIT */
/*
 * kselftest_harness.h with what every suite here wants on top: longer time-outs (the debug kernel under full emulation is
 * some fifty times slower than hardware), and variants for both protocol versions and both key sizes.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <kselftest_harness.h>
#include "tlsrec_test.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 120
#undef TEST_F
#define TEST_F(fixture, test) TEST_F_TIMEOUT(fixture, test, tt_timeout())

#define TT_VARIANT_FIELDS enum tt_family family; uint16_t version, cipher

#define TT_VARIANT(fixture, name, fam, ver, ciph)				\
	FIXTURE_VARIANT_ADD(fixture, name) {					\
		.family = fam, .version = ver, .cipher = ciph			\
	}

/* every version and key size once, the address families spread over them */
#define TT_VARIANTS(fixture)									\
	TT_VARIANT(fixture, tls12_gcm128_ip4, TT_IP4, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128);	\
	TT_VARIANT(fixture, tls12_gcm256_ip6, TT_IP6, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_256);	\
	TT_VARIANT(fixture, tls13_gcm128_ip4, TT_IP4, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128);	\
	TT_VARIANT(fixture, tls13_gcm256_mapped, TT_MAPPED, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256)

/* every version, key size and address family */
#define TT_VARIANTS_ALL(fixture)								\
	TT_VARIANTS(fixture);									\
	TT_VARIANT(fixture, tls12_gcm128_ip6, TT_IP6, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128);	\
	TT_VARIANT(fixture, tls12_gcm128_mapped, TT_MAPPED, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128); \
	TT_VARIANT(fixture, tls12_gcm256_ip4, TT_IP4, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_256);	\
	TT_VARIANT(fixture, tls12_gcm256_mapped, TT_MAPPED, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_256); \
	TT_VARIANT(fixture, tls13_gcm128_ip6, TT_IP6, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128);	\
	TT_VARIANT(fixture, tls13_gcm128_mapped, TT_MAPPED, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128); \
	TT_VARIANT(fixture, tls13_gcm256_ip4, TT_IP4, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256);	\
	TT_VARIANT(fixture, tls13_gcm256_ip6, TT_IP6, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256)

/*
 * The fixture of one of several programs that share it: its data is struct KIND, which KIND_open and KIND_close, in
 * KIND_common.c, make and end. FIXTURE_DATA is that struct in all of them, so that their helpers can have it.
 */
#define TT_FIXTURE(fixture, kind)									\
	FIXTURE(fixture);										\
	FIXTURE_VARIANT(fixture) { TT_VARIANT_FIELDS; };						\
	FIXTURE_SETUP(fixture)										\
	{												\
		if (!kind##_open(self, variant->family, variant->version, variant->cipher))		\
			SKIP(return, "this kernel has no %s", tt_cipher(variant->cipher)->name);	\
	}												\
	FIXTURE_TEARDOWN(fixture)									\
	{												\
		kind##_close(self);									\
	}

/* a system call that must fail with this errno */
#define EXPECT_ERR(err, call) EXPECT_ERR_AT(err, call, 0)

/* the same in a loop: which round it was */
#define EXPECT_ERR_AT(err, call, round) do {					\
	long __r, __e;								\
										\
	errno = 0;								\
	__r = (call);								\
	__e = __r < 0 ? errno : 0;						\
	EXPECT_EQ(err, __e)							\
		TH_LOG("%s: result %ld, %s (round %ld)", #call, __r,		\
		       strerror(__e), (long)(round));				\
} while (0)

#define ASSERT_ERRNO_AGAIN(call) do {						\
	ASSERT_EQ(-1, (call));							\
	ASSERT_EQ(EAGAIN, errno);						\
} while (0)

#define EXPECT_BYTES(buf, len, pos) EXPECT_EQ(-1, tt_diff(buf, len, pos))
#define ASSERT_BYTES(buf, len, pos) ASSERT_EQ(-1, tt_diff(buf, len, pos))

#endif
