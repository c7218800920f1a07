// SPDX-License-Identifier: GPL-2.0-only
/*
 * What network drivers import from the in-tree module for packets that the
 * hardware should have encrypted and did not. See device.c about the headers.
 */

#include <crypto/aead.h>
#include <crypto/scatterwalk.h>
#include <linux/skmsg.h>
#include <net/ip6_checksum.h>
#include <net/tls.h>

/* Drivers know packets of their sockets by this function; it stands on none. */
struct sk_buff *tls_validate_xmit_skb(struct sock *sk, struct net_device *dev,
				      struct sk_buff *skb)
{
	return skb;
}
EXPORT_SYMBOL_GPL(tls_validate_xmit_skb);

/* Plaintext never leaves: a packet that waits for a key is dropped. */
struct sk_buff *tls_encrypt_skb(struct sk_buff *skb)
{
	kfree_skb(skb);
	return NULL;
}
EXPORT_SYMBOL_GPL(tls_encrypt_skb);
