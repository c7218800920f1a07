// SPDX-License-Identifier: GPL-2.0-only
/* /proc/net/tlsrec_stat, and /proc/net/tls_stat in the place of tls.ko. */

#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>

#include "stats.h"

/* Per network namespace. */
struct tlsrec_net {
	struct tlsrec_mib __percpu *mib;
};

static unsigned int net_id __read_mostly;

static const char * const stat_names[TLSREC_NR_STATS] = {
	[TLSREC_CURR_TX_SW]		= "TlsCurrTxSw",
	[TLSREC_CURR_RX_SW]		= "TlsCurrRxSw",
	[TLSREC_CURR_TX_DEVICE]		= "TlsCurrTxDevice",
	[TLSREC_CURR_RX_DEVICE]		= "TlsCurrRxDevice",
	[TLSREC_TX_SW]			= "TlsTxSw",
	[TLSREC_RX_SW]			= "TlsRxSw",
	[TLSREC_TX_DEVICE]		= "TlsTxDevice",
	[TLSREC_RX_DEVICE]		= "TlsRxDevice",
	[TLSREC_DECRYPT_ERROR]		= "TlsDecryptError",
	[TLSREC_RX_DEVICE_RESYNC]	= "TlsRxDeviceResync",
	[TLSREC_DECRYPT_RETRY]		= "TlsDecryptRetry",
	[TLSREC_RX_NO_PAD_VIOL]		= "TlsRxNoPadViolation",
	[TLSREC_RX_REKEY_OK]		= "TlsRxRekeyOk",
	[TLSREC_RX_REKEY_ERROR]		= "TlsRxRekeyError",
	[TLSREC_TX_REKEY_OK]		= "TlsTxRekeyOk",
	[TLSREC_TX_REKEY_ERROR]		= "TlsTxRekeyError",
	[TLSREC_RX_REKEY_RECEIVED]	= "TlsRxRekeyReceived",
	[TLSREC_TX_RECORDS]		= "TlsrecTxRecords",
	[TLSREC_TX_BYTES]		= "TlsrecTxBytes",
	[TLSREC_RX_RECORDS]		= "TlsrecRxRecords",
	[TLSREC_RX_BYTES]		= "TlsrecRxBytes",
	[TLSREC_PARKED]			= "TlsrecParked",
};

struct tlsrec_mib __percpu *tlsrec_stats(const struct sock *sk)
{
	const struct tlsrec_net *tn = net_generic(sock_net(sk), net_id);

	return tn->mib;
}

static void show(struct seq_file *seq, unsigned int nr)
{
	struct net *net = seq->private;
	struct tlsrec_net *tn = net_generic(net, net_id);
	unsigned int i;
	int cpu;

	for (i = 0; i < nr; i++) {
		u64 sum = 0;

		for_each_possible_cpu(cpu)
			sum += per_cpu_ptr(tn->mib, cpu)->count[i];
		seq_printf(seq, "%-32s\t%llu\n", stat_names[i], sum);
	}
}

static int tlsrec_stat_show(struct seq_file *seq, void *v)
{
	show(seq, TLSREC_NR_STATS);
	return 0;
}

static int tls_stat_show(struct seq_file *seq, void *v)
{
	show(seq, TLSREC_NR_TLS_STATS);
	return 0;
}

static int __net_init stats_net_init(struct net *net)
{
	struct tlsrec_net *tn = net_generic(net, net_id);

	tn->mib = alloc_percpu(struct tlsrec_mib);
	if (!tn->mib)
		return -ENOMEM;

	if (IS_ENABLED(CONFIG_PROC_FS) &&
	    !proc_create_net_single("tlsrec_stat", 0444, net->proc_net,
				    tlsrec_stat_show, NULL)) {
		free_percpu(tn->mib);
		return -ENOMEM;
	}

	return 0;
}

static void __net_exit stats_net_exit(struct net *net)
{
	struct tlsrec_net *tn = net_generic(net, net_id);

	remove_proc_entry("tlsrec_stat", net->proc_net);
	free_percpu(tn->mib);
}

static struct pernet_operations stats_net_ops = {
	.init	= stats_net_init,
	.exit	= stats_net_exit,
	.id	= &net_id,
	.size	= sizeof(struct tlsrec_net),
};

static int __net_init tls_stat_net_init(struct net *net)
{
	if (IS_ENABLED(CONFIG_PROC_FS) &&
	    !proc_create_net_single("tls_stat", 0444, net->proc_net,
				    tls_stat_show, NULL))
		return -ENOMEM;
	return 0;
}

static void __net_exit tls_stat_net_exit(struct net *net)
{
	remove_proc_entry("tls_stat", net->proc_net);
}

static struct pernet_operations tls_stat_net_ops = {
	.init	= tls_stat_net_init,
	.exit	= tls_stat_net_exit,
};

int tlsrec_stats_init(void)
{
	return register_pernet_subsys(&stats_net_ops);
}

void tlsrec_stats_exit(void)
{
	unregister_pernet_subsys(&stats_net_ops);
}

int tlsrec_stats_init_tls(void)
{
	return register_pernet_subsys(&tls_stat_net_ops);
}

void tlsrec_stats_exit_tls(void)
{
	unregister_pernet_subsys(&tls_stat_net_ops);
}
