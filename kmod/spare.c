// SPDX-License-Identifier: GPL-2.0-only
/*
 * See spare.h. What a CPU keeps is touched by that CPU only, without a lock. So
 * the shrinker asks each for it by a work item, also those that never send or
 * receive again; a CPU that is offline has nobody left who could touch it.
 */

#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/workqueue.h>

#include "buf.h"
#include "compat.h"
#include "pool.h"
#include "spare.h"
#include "txwork.h"

static struct workqueue_struct *drain_queue;
static DEFINE_PER_CPU(struct work_struct, drain_work);
static struct shrinker *shrinker;
static enum cpuhp_state hotplug;
/* Where the shrinker goes on. A race only takes a CPU twice. */
static int last_cpu;

/* A guess, while the CPU works. */
static unsigned long spare_pages(int cpu)
{
	return tlsrec_pool_pages(cpu) + tlsrec_buf_pages(cpu) +
	       txwork_pages(cpu);
}

static unsigned long all_pages(void)
{
	unsigned long pages = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		pages += spare_pages(cpu);
	return pages;
}

/* @cpu is offline, or no socket is left. */
static int drain_dead(unsigned int cpu)
{
	tlsrec_pool_drain(cpu);
	tlsrec_buf_drain(cpu);
	txwork_drain(cpu);
	return 0;
}

/* Should its CPU have gone offline meanwhile, another one gives more. */
static void drain_this(struct work_struct *work)
{
	tlsrec_pool_drain_this();
	tlsrec_buf_drain_this();
	txwork_drain_this();
}

static unsigned long spare_count(struct shrinker *s, struct shrink_control *sc)
{
	return all_pages() ?: SHRINK_EMPTY;
}

/* One CPU after the other, so that a busy one does not answer for the idle. */
static unsigned long spare_scan(struct shrinker *s, struct shrink_control *sc)
{
	unsigned int left = num_online_cpus();
	unsigned long pages, freed = 0;
	int cpu = READ_ONCE(last_cpu);

	while (left-- && freed < sc->nr_to_scan) {
		cpu = cpumask_next(cpu, cpu_online_mask);
		if (cpu >= nr_cpu_ids)
			cpu = cpumask_first(cpu_online_mask);
		pages = spare_pages(cpu);
		if (!pages)
			continue;
		queue_work_on(cpu, drain_queue, per_cpu_ptr(&drain_work, cpu));
		freed += pages;
	}
	WRITE_ONCE(last_cpu, cpu);

	sc->nr_scanned = freed;
	return freed ?: SHRINK_STOP;
}

static int get_spare_kib(char *buf, const struct kernel_param *param)
{
	return sysfs_emit(buf, "%lu\n", all_pages() * (PAGE_SIZE / 1024));
}

static const struct kernel_param_ops spare_kib_ops = { .get = get_spare_kib };

module_param_cb(spare_kib, &spare_kib_ops, NULL, 0444);
MODULE_PARM_DESC(spare_kib,
		 "memory that processors keep for their next calls now, in KiB (read only)");

int tlsrec_spare_init(void)
{
	int cpu, state, err = -ENOMEM;

	for_each_possible_cpu(cpu)
		INIT_WORK(per_cpu_ptr(&drain_work, cpu), drain_this);

	/* It must run when there is no memory for another thread. */
	drain_queue = alloc_workqueue("tlsrec", WQ_MEM_RECLAIM |
				      TLSREC_WQ_PERCPU, 0);
	if (!drain_queue)
		return -ENOMEM;
	/* The teardown of this section comes when the CPU has stopped. */
	state = cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN,
					  "net/tlsrec:dead", NULL, drain_dead);
	if (state < 0) {
		err = state;
		goto err_queue;
	}
	hotplug = state;
	shrinker = tlsrec_shrinker_start("tlsrec", spare_count, spare_scan);
	if (!shrinker)
		goto err_hotplug;
	return 0;

err_hotplug:
	cpuhp_remove_state_nocalls(hotplug);
err_queue:
	destroy_workqueue(drain_queue);
	return err;
}

/* No socket is left. */
void tlsrec_spare_exit(void)
{
	int cpu;

	tlsrec_shrinker_stop(shrinker);
	cpuhp_remove_state_nocalls(hotplug);
	destroy_workqueue(drain_queue);
	for_each_possible_cpu(cpu)
		drain_dead(cpu);
}
