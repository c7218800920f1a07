// SPDX-License-Identifier: GPL-2.0-only
/*
 * What drivers that encrypt in hardware import from the in-tree module. They
 * call it for sockets that they were given keys of, and nobody gives them any.
 *
 * Where the kernel has versions of symbols, that of a symbol comes from every
 * type that it is declared with, as far as the file that exports it sees it. So
 * the headers are those which the in-tree file of the same symbols includes.
 */

#include <crypto/aead.h>
#include <linux/highmem.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/skmsg.h>
#include <linux/tracepoint.h>
#include <net/dst.h>
#include <net/inet_common.h>
#include <net/inet_connection_sock.h>
#include <net/tcp.h>
#include <net/tls.h>

/* Drivers know their sockets by this function; it stands on none. */
void tls_device_sk_destruct(struct sock *sk)
{
	inet_sock_destruct(sk);
}
EXPORT_SYMBOL_GPL(tls_device_sk_destruct);

void tls_offload_tx_resync_request(struct sock *sk, u32 got_seq, u32 exp_seq)
{
}
EXPORT_SYMBOL_GPL(tls_offload_tx_resync_request);

/* There is no such record. */
struct tls_record_info *tls_get_record(struct tls_offload_context_tx *context,
				       u32 seq, u64 *p_record_sn)
{
	return NULL;
}
EXPORT_SYMBOL(tls_get_record);
