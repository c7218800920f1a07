// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tests: while the parameter "on" is set, no two pages of free memory are
 * neighbours for tlsrec. What it asks the page allocator for in larger pieces
 * is refused and counted. A kernel without kprobes refuses to load this.
 */

#include <linux/atomic.h>
#include <linux/gfp.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/ptrace.h>
#include <linux/string.h>

static bool on;
module_param(on, bool, 0644);

/* Pieces that were refused, and how many of them in softirq. */
static atomic_t refused, refused_softirq;

static int get_atomic(char *buf, const struct kernel_param *param)
{
	return sysfs_emit(buf, "%d\n", atomic_read((atomic_t *)param->arg));
}

static const struct kernel_param_ops atomic_ops = { .get = get_atomic };

module_param_cb(refused, &atomic_ops, &refused, 0444);
module_param_cb(softirq, &atomic_ops, &refused_softirq, 0444);

/* Called in the place of the allocator. */
static noinline struct page *no_page(gfp_t gfp, unsigned int order)
{
	return NULL;
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

static int before_alloc(struct kprobe *probe, struct pt_regs *regs)
{
	unsigned int order = regs_get_kernel_argument(regs, 1);

	if (!READ_ONCE(on) || !order || !by_tlsrec(regs))
		return 0;
	atomic_inc(&refused);
	if (in_serving_softirq())
		atomic_inc(&refused_softirq);
	instruction_pointer_set(regs, (unsigned long)no_page);
	return 1;
}

/* By this kprobes know that the path is changed. */
static void after_alloc(struct kprobe *probe, struct pt_regs *regs,
			unsigned long flags)
{
}

static struct kprobe probe = {
	.symbol_name	= "alloc_pages_noprof",
	.pre_handler	= before_alloc,
	.post_handler	= after_alloc,
};

static int __init fragment_init(void)
{
	int err = register_kprobe(&probe);

	/* What it is called on kernels that do not profile allocations. */
	if (err == -ENOENT) {
		probe.symbol_name = "alloc_pages";
		err = register_kprobe(&probe);
	}
	return err;
}

static void __exit fragment_exit(void)
{
	unregister_kprobe(&probe);
}

module_init(fragment_init);
module_exit(fragment_exit);

MODULE_DESCRIPTION("No contiguous memory for tlsrec");
MODULE_AUTHOR("tlsrec authors");
MODULE_LICENSE("GPL");
