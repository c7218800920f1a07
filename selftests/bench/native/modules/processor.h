/* SPDX-License-Identifier: GPL-2.0-only */
/* What modules want to know of an x86 processor and arch/um does not say. Included before all else. */
#ifndef NATIVE_PROCESSOR_H
#define NATIVE_PROCESSOR_H

#include <linux/types.h>

/* Used by arch/um's cpu_feature_enabled(), and defined nowhere. */
#define DISABLED_MASK_BIT_SET(bit)	0
#include <asm/cpufeature.h>

/* Bits of XCR0. */
#define XFEATURE_MASK_SSE	(1 << 1)
#define XFEATURE_MASK_YMM	(1 << 2)
#define XFEATURE_MASK_AVX512	(7 << 5)

int cpu_has_xfeatures(u64 mask, const char **missing);

#endif
