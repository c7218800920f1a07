// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tests: there is little memory for tlsrec, or it is in small pieces. What
 * it asks the allocators for is refused and counted, from a size on; and so are
 * the transforms of its ciphers. A kernel without kprobes refuses to load this.
 */

#include <crypto/aead.h>
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/ptrace.h>
#include <linux/string.h>

static ulong least;
module_param(least, ulong, 0644);
MODULE_PARM_DESC(least, "so many bytes and more are refused; 0: nothing is");

static bool transforms;
module_param(transforms, bool, 0644);
MODULE_PARM_DESC(transforms, "ciphers' transforms are refused");

/* Pieces that were refused, and how many of them in softirq. */
static atomic_t refused, refused_softirq;

static int get_atomic(char *buf, const struct kernel_param *param)
{
	return sysfs_emit(buf, "%d\n", atomic_read((atomic_t *)param->arg));
}

static const struct kernel_param_ops atomic_ops = { .get = get_atomic };

module_param_cb(refused, &atomic_ops, &refused, 0444);
module_param_cb(softirq, &atomic_ops, &refused_softirq, 0444);

/* Called in the place of an allocator. */
static noinline void *no_memory(void)
{
	return NULL;
}

static noinline struct crypto_aead *no_transform(void)
{
	return ERR_PTR(-ENOMEM);
}

/* At the first instruction of a function: was it called by tlsrec? */
static bool by_tlsrec(struct pt_regs *regs)
{
#ifdef CONFIG_X86_64
	unsigned long caller = *(unsigned long *)kernel_stack_pointer(regs);
#else
	unsigned long caller = procedure_link_pointer(regs);
#endif
	char symbol[KSYM_SYMBOL_LEN];

	sprint_symbol_no_offset(symbol, caller);
	return strstr(symbol, "[tlsrec");
}

static int refuse(struct pt_regs *regs, void *instead)
{
	if (!by_tlsrec(regs))
		return 0;
	atomic_inc(&refused);
	if (in_serving_softirq())
		atomic_inc(&refused_softirq);
	instruction_pointer_set(regs, (unsigned long)instead);
	return 1;
}

static bool is_refused(unsigned long size)
{
	unsigned long from = READ_ONCE(least);

	return from && size >= from;
}

static int before_pages(struct kprobe *probe, struct pt_regs *regs)
{
	unsigned int order = regs_get_kernel_argument(regs, 1);

	return is_refused(PAGE_SIZE << order) ? refuse(regs, no_memory) : 0;
}

static int before_slab(struct kprobe *probe, struct pt_regs *regs)
{
	unsigned long size = regs_get_kernel_argument(regs, 2);

	return is_refused(size) ? refuse(regs, no_memory) : 0;
}

static int before_transform(struct kprobe *probe, struct pt_regs *regs)
{
	return READ_ONCE(transforms) ? refuse(regs, no_transform) : 0;
}

/* By this kprobes know that the path is changed. */
static void after(struct kprobe *probe, struct pt_regs *regs,
		  unsigned long flags)
{
}

/* Each with what it is called on kernels that do not profile allocations. */
static struct {
	struct kprobe	probe;
	const char	*other_name;
} probes[] = {
	{ { .symbol_name = "alloc_pages_noprof", .pre_handler = before_pages },
	  "alloc_pages" },
	{ { .symbol_name = "__kmalloc_cache_noprof",
	    .pre_handler = before_slab },
	  "kmalloc_trace" },
	{ { .symbol_name = "crypto_alloc_aead",
	    .pre_handler = before_transform } },
};

static int probe_register(unsigned int i)
{
	struct kprobe *probe = &probes[i].probe;
	int err;

	probe->post_handler = after;
	err = register_kprobe(probe);
	if (err == -ENOENT && probes[i].other_name) {
		probe->symbol_name = probes[i].other_name;
		err = register_kprobe(probe);
	}
	return err;
}

static int __init fragment_init(void)
{
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		err = probe_register(i);
		if (err) {
			while (i--)
				unregister_kprobe(&probes[i].probe);
			return err;
		}
	}
	return 0;
}

static void __exit fragment_exit(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(probes); i++)
		unregister_kprobe(&probes[i].probe);
}

module_init(fragment_init);
module_exit(fragment_exit);

MODULE_DESCRIPTION("Little memory for tlsrec, or in small pieces");
MODULE_AUTHOR("tlsrec authors");
MODULE_LICENSE("GPL");
