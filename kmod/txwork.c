// SPDX-License-Identifier: GPL-2.0-only
/* See txwork.h. Each CPU keeps a work area for its next writer. */

#include <linux/percpu.h>
#include <linux/slab.h>

#include "txwork.h"

static DEFINE_PER_CPU(struct tlsrec_work *, work_cache);

/**
 * txwork_get() - a work area with nothing in it
 * @gfp: how to allocate
 *
 * Return: the work area, or %NULL.
 */
struct tlsrec_work *txwork_get(gfp_t gfp)
{
	struct tlsrec_work *work = this_cpu_xchg(work_cache, NULL);

	if (work)
		return work;

	work = kzalloc(sizeof(*work), gfp);
	if (!work)
		return NULL;
	work->out = kmalloc(TXWORK_OUT, gfp);
	if (!work->out) {
		kfree(work);
		return NULL;
	}

	sg_init_table(work->src, TXREC_SG);
	sg_init_table(work->dst, TXREC_SG);
	/* Records end where they end, not with the table. */
	sg_unmark_end(&work->src[TXREC_SG - 1]);
	sg_unmark_end(&work->dst[TXREC_SG - 1]);
	tlsrec_crypt_init(&work->crypt);
	return work;
}

static void work_free(struct tlsrec_work *work)
{
	if (!work)
		return;
	kfree(work->out);
	kfree_sensitive(work);
}

/**
 * txwork_put() - there is nothing in it any more
 * @work: of txwork_get()
 */
void txwork_put(struct tlsrec_work *work)
{
	if (this_cpu_cmpxchg(work_cache, NULL, work))
		work_free(work);
}

/**
 * txwork_pages() - how much does a CPU keep?
 * @cpu: any
 *
 * Return: pages, or what was true a moment ago.
 */
unsigned long txwork_pages(int cpu)
{
	if (!READ_ONCE(per_cpu(work_cache, cpu)))
		return 0;
	return DIV_ROUND_UP(TXWORK_SIZE, PAGE_SIZE);
}

/**
 * txwork_drain() - give back what a CPU keeps
 * @cpu: nobody works there
 */
void txwork_drain(int cpu)
{
	work_free(per_cpu(work_cache, cpu));
	per_cpu(work_cache, cpu) = NULL;
}

/* Give back what this CPU keeps. */
void txwork_drain_this(void)
{
	work_free(this_cpu_xchg(work_cache, NULL));
}
