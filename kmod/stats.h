/* SPDX-License-Identifier: GPL-2.0-only */
/* Counters of a network namespace, shown in /proc/net/tlsrec_stat. */
#ifndef TLSREC_STATS_H
#define TLSREC_STATS_H

#include <linux/percpu.h>
#include <net/sock.h>

#include "tlsrec.h"

/* The first part has the names and the order of /proc/net/tls_stat. */
enum tlsrec_stat {
	TLSREC_CURR_TX_SW,
	TLSREC_CURR_RX_SW,
	TLSREC_CURR_TX_DEVICE,
	TLSREC_CURR_RX_DEVICE,
	TLSREC_TX_SW,
	TLSREC_RX_SW,
	TLSREC_TX_DEVICE,
	TLSREC_RX_DEVICE,
	TLSREC_DECRYPT_ERROR,
	TLSREC_RX_DEVICE_RESYNC,
	TLSREC_DECRYPT_RETRY,
	TLSREC_RX_NO_PAD_VIOL,
	TLSREC_RX_REKEY_OK,
	TLSREC_RX_REKEY_ERROR,
	TLSREC_TX_REKEY_OK,
	TLSREC_TX_REKEY_ERROR,
	TLSREC_RX_REKEY_RECEIVED,
	TLSREC_NR_TLS_STATS,

	TLSREC_TX_RECORDS = TLSREC_NR_TLS_STATS,
	TLSREC_TX_BYTES,
	TLSREC_RX_RECORDS,
	TLSREC_RX_BYTES,
	TLSREC_PARKED,
	TLSREC_NR_STATS,
};

struct tlsrec_mib {
	u64	count[TLSREC_NR_STATS];
};

/**
 * tlsrec_stats() - counters of a socket's namespace
 * @sk: a socket
 *
 * Return: counters, which are there as long as the socket.
 */
struct tlsrec_mib __percpu *tlsrec_stats(const struct sock *sk);

static inline void tlsrec_stat_add(const struct sock *sk,
				   enum tlsrec_stat stat, int n)
{
	this_cpu_add(tlsrec_ctx(sk)->stats->count[stat], n);
}

/* A record of @bytes; @stat counts records, and the one behind it bytes. */
static inline void tlsrec_stat_record(const struct sock *sk,
				      enum tlsrec_stat stat,
				      unsigned int bytes)
{
	struct tlsrec_mib __percpu *mib = tlsrec_ctx(sk)->stats;

	this_cpu_inc(mib->count[stat]);
	this_cpu_add(mib->count[stat + 1], bytes);
}

int tlsrec_stats_init(void);
void tlsrec_stats_exit(void);
int tlsrec_stats_init_tls(void);
void tlsrec_stats_exit_tls(void);

#endif /* TLSREC_STATS_H */
