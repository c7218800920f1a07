/* SPDX-License-Identifier: GPL-2.0-only */
/* Copying records from place to place in the kernel. */
#ifndef TLSREC_COPY_H
#define TLSREC_COPY_H

#include <linux/string.h>
#ifdef CONFIG_X86_64
#include <linux/cpufeature.h>
#endif

#include "compat.h"

/**
 * tlsrec_copy() - memcpy() for pieces of records
 * @to: where to
 * @from: where from, not overlapping
 * @len: bytes
 *
 * On x86 memcpy() is a string move only where the CPU says that short ones are
 * fast, too (FSRM). Elsewhere it is a loop of 32 bytes in twelve instructions,
 * while string moves of this size are as fast as any on every 64-bit CPU.
 */
static inline void tlsrec_copy(void *to, const void *from, size_t len)
{
#if defined(CONFIG_X86_64) && !defined(CONFIG_KASAN)
	enum { STRING_MIN = 256 };

	if (len >= STRING_MIN && !cpu_feature_enabled(X86_FEATURE_FSRM)) {
		size_t words = len / sizeof(u64);
		size_t last = len - sizeof(u64);

		/* The last word, as the string move stops in front of it. */
		put_unaligned(get_unaligned((const u64 *)(from + last)),
			      (u64 *)(to + last));
		asm volatile("rep movsq"
			     : "+D" (to), "+S" (from), "+c" (words)
			     : : "memory");
		return;
	}
#endif
	memcpy(to, from, len);
}

#endif /* TLSREC_COPY_H */
