// SPDX-License-Identifier: GPL-2.0-only
/*
 * The upper layer protocol: how a TCP socket becomes ours and stops being it.
 */

#include <linux/inet_diag.h>
#include <linux/module.h>
#include <net/netlink.h>

#include "charge.h"
#include "compat.h"
#include "early.h"
#include "engine.h"
#include "idle.h"
#include "outq.h"
#include "proto.h"
#include "rx.h"
#include "rxfeed.h"
#include "rxrec.h"
#include "sockopt.h"
#include "stats.h"
#include "tx.h"
#include "txpage.h"
#include "ulp.h"

static int tlsrec_disconnect(struct sock *sk, int flags)
{
	return -EOPNOTSUPP;
}

/*
 * Has TCP all that it is to send? The flag is set already and TCP would refuse
 * our last words; after an earlier FIN it refuses them by its state.
 */
static bool finish(struct sock *sk)
{
	bool done;

	WRITE_ONCE(sk->sk_shutdown, sk->sk_shutdown & ~SEND_SHUTDOWN);
	done = tlsrec_tx_finish(sk, &tlsrec_ctx(sk)->tx);
	WRITE_ONCE(sk->sk_shutdown, sk->sk_shutdown | SEND_SHUTDOWN);
	return done;
}

static void tlsrec_shutdown(struct sock *sk, int how)
{
	const struct proto *base = tlsrec_base_proto(sk);

	if (how & SEND_SHUTDOWN && !finish(sk)) {
		/* A FIN would say that this was all. */
		base->disconnect(sk, 0);
		/* As after a reset: there is no other connection for it. */
		WRITE_ONCE(sk->sk_shutdown, SHUTDOWN_MASK);
		return;
	}
	base->shutdown(sk, how);
}

/* The socket is TCP's again; it may live on as an orphan. */
static void detach(struct sock *sk, struct tlsrec_ctx *ctx)
{
	write_lock_bh(&sk->sk_callback_lock);
	rcu_assign_pointer(inet_csk(sk)->icsk_ulp_data, NULL);
	WRITE_ONCE(sk->sk_prot, (struct proto *)tlsrec_base_proto(sk));
	/* Those of a user inside the kernel are his to take away. */
	if (sk->sk_write_space == tlsrec_write_space)
		sk->sk_write_space = ctx->tx.saved_write_space;
	if (sk->sk_data_ready == tlsrec_data_ready)
		sk->sk_data_ready = ctx->rx.saved_data_ready;
	write_unlock_bh(&sk->sk_callback_lock);
}

static void tlsrec_close(struct sock *sk, long timeout)
{
	const struct proto *base = tlsrec_base_proto(sk);
	struct tlsrec_ctx *ctx;

	lock_sock(sk);
	ctx = tlsrec_ctx(sk);
	tlsrec_idle_del(ctx);
	if (!tlsrec_tx_finish(sk, &ctx->tx)) {
		/* No FIN, which would say that this was all: a reset. */
		sock_set_flag(sk, SOCK_LINGER);
		sk->sk_lingertime = 0;
	}
	tlsrec_engine_del(ctx);
	if (ctx->tx.key.cipher)
		tlsrec_stat_add(sk, TLSREC_CURR_TX_SW, -1);
	if (ctx->rx.key.cipher)
		tlsrec_stat_add(sk, TLSREC_CURR_RX_SW, -1);
	/* All that is left is freed below. */
	tlsrec_charge(sk, &ctx->tx.charged, 0);
	tlsrec_charge(sk, &ctx->rx.charged, 0);
	detach(sk, ctx);
	release_sock(sk);

	tlsrec_tx_free(&ctx->tx);
	tlsrec_rx_free(&ctx->rx);
	kfree_rcu(ctx, rcu);

	/* Last: this may drop the socket's reference on the module. */
	base->close(sk, timeout);
}

/* The cipher of a direction, without the lock; %NULL while it has no key. */
static const struct tlsrec_cipher *key_cipher(const struct tlsrec_key *key)
{
	/* Pairs with the release in tlsrec_key_set(), which sets it last. */
	return smp_load_acquire(&key->cipher);
}

/* Questions that TCP would answer of its queues alone. */
static bool queued(struct sock *sk, int cmd, int *answer)
{
	switch (cmd) {
	case SIOCINQ:
		if (!key_cipher(&tlsrec_ctx(sk)->rx.key))
			return false;
		*answer = tlsrec_inq(sk);
		return true;
	case SIOCOUTQ:
	case SIOCOUTQNSD:
		*answer = tlsrec_outq(sk, cmd);
		return true;
	}
	return false;
}

TLSREC_RECVMSG_WRAPPER(recvmsg, tlsrec_recvmsg)
TLSREC_IOCTL_WRAPPER(ioctl, queued, tlsrec_base_proto)

static void prot_add_tx(struct proto *prot)
{
	prot->sendmsg = tlsrec_sendmsg;
	prot->splice_eof = tlsrec_splice_eof;
	prot->shutdown = tlsrec_shutdown;
	prot->ioctl = ioctl;
	prot->stream_memory_free = tlsrec_stream_memory_free;
#ifdef TLSREC_HAVE_SENDPAGE
	prot->sendpage = tlsrec_sendpage;
#endif
}

static void ops_add_tx(struct proto_ops *ops)
{
	/* In-kernel shortcuts into TCP would send plaintext. */
	ops->sendmsg_locked = NULL;
#ifdef TLSREC_HAVE_SENDPAGE
	ops->sendpage_locked = NULL;
#endif
}

static void prot_add_rx(struct proto *prot)
{
	prot->recvmsg = recvmsg;
	prot->ioctl = ioctl;
	prot->sock_is_readable = tlsrec_sock_is_readable;
}

static void ops_add_rx(struct proto_ops *ops)
{
	ops->poll = tlsrec_poll;
	ops->splice_read = tlsrec_splice_read;
	ops->read_sock = tlsrec_read_sock;
	/* In-kernel shortcuts into TCP would read ciphertext. */
	ops->read_skb = NULL;
	ops->mmap = sock_no_mmap;
}

/* For a direction until it has a key. */
static void add_early(struct proto *prot, struct proto_ops *ops)
{
	prot->sendmsg = tlsrec_early_sendmsg;
	prot->recvmsg = tlsrec_early_recvmsg;
	ops->splice_read = tlsrec_early_splice_read;
#ifdef TLSREC_HAVE_SENDPAGE
	prot->sendpage = tlsrec_early_sendpage;
#endif
}

static void fill(struct proto *prot, struct proto_ops *ops, bool tx, bool rx)
{
	prot->setsockopt = tlsrec_setsockopt;
	prot->getsockopt = tlsrec_getsockopt;
	prot->disconnect = tlsrec_disconnect;
	prot->close = tlsrec_close;
	add_early(prot, ops);
	if (tx) {
		prot_add_tx(prot);
		ops_add_tx(ops);
	}
	if (rx) {
		prot_add_rx(prot);
		ops_add_rx(ops);
	}
}

/* setsockopt(TCP_ULP); the socket is locked. */
static int ulp_init(struct sock *sk)
{
	struct tlsrec_ctx *ctx;
	int err;

	/* A listener's children would share the context. */
	if (sk->sk_state != TCP_ESTABLISHED)
		return -ENOTCONN;

	if (tlsrec_in_sockmap(sk))
		return -EINVAL;

	err = tlsrec_proto_build(sk, fill);
	if (err)
		return err;

	ctx = kzalloc(sizeof(*ctx), GFP_KERNEL);
	if (!ctx)
		return -ENOMEM;
	ctx->stats = tlsrec_stats(sk);
	ctx->sk = sk;
	INIT_LIST_HEAD(&ctx->idle);
	INIT_LIST_HEAD(&ctx->engine);
	ctx->tx.max_payload = TLSREC_MAX_PAYLOAD;
	tlsrec_turn_init(&ctx->tx.turn);
	tlsrec_turn_init(&ctx->rx.turn);
	INIT_LIST_HEAD(&ctx->rx.plain);

	write_lock_bh(&sk->sk_callback_lock);
	rcu_assign_pointer(inet_csk(sk)->icsk_ulp_data, ctx);
	tlsrec_update_proto(sk, ctx);
	write_unlock_bh(&sk->sk_callback_lock);
	return 0;
}

/* Netlink attributes as the in-tree module's, for ss -i. */
static int put_info(struct sk_buff *skb, const struct tlsrec_ctx *ctx)
{
	const struct tlsrec_cipher *tx = key_cipher(&ctx->tx.key);
	const struct tlsrec_cipher *rx = key_cipher(&ctx->rx.key);
	const struct tlsrec_cipher *cipher = tx ? tx : rx;
	u16 version;

	if (cipher) {
		version = tx ? ctx->tx.key.version : ctx->rx.key.version;
		if (nla_put_u16(skb, TLS_INFO_VERSION, version) ||
		    nla_put_u16(skb, TLS_INFO_CIPHER, cipher->type))
			return -EMSGSIZE;
	}
	if (nla_put_u16(skb, TLS_INFO_TXCONF,
			tx ? TLS_CONF_SW : TLS_CONF_BASE) ||
	    nla_put_u16(skb, TLS_INFO_RXCONF,
			rx ? TLS_CONF_SW : TLS_CONF_BASE))
		return -EMSGSIZE;
	if (READ_ONCE(ctx->rx.no_pad) &&
	    nla_put_flag(skb, TLS_INFO_RX_NO_PAD))
		return -EMSGSIZE;
	return nla_put_u16(skb, TLS_INFO_TX_MAX_PAYLOAD_LEN,
			   READ_ONCE(ctx->tx.max_payload));
}

static int get_info(TLSREC_GET_INFO_ARGS(struct sock *sk, struct sk_buff *skb))
{
	const struct tlsrec_ctx *ctx;
	struct nlattr *start;
	int err = 0;

	start = nla_nest_start_noflag(skb, INET_ULP_INFO_TLS);
	if (!start)
		return -EMSGSIZE;

	rcu_read_lock();
	ctx = rcu_dereference(inet_csk(sk)->icsk_ulp_data);
	if (ctx)
		err = put_info(skb, ctx);
	rcu_read_unlock();

	if (err || !ctx)
		nla_nest_cancel(skb, start);
	else
		nla_nest_end(skb, start);
	return err;
}

static size_t get_info_size(TLSREC_GET_INFO_ARGS(const struct sock *sk))
{
	return nla_total_size(0) +		/* INET_ULP_INFO_TLS */
	       4 * nla_total_size(sizeof(u16)) + /* version to rxconf */
	       nla_total_size(0) +		/* TLS_INFO_RX_NO_PAD */
	       nla_total_size(sizeof(u16));	/* TLS_INFO_TX_MAX_PAYLOAD_LEN */
}

static struct tcp_ulp_ops ulp_ops = {
	.name		= "tlsrec",
	.owner		= THIS_MODULE,
	.init		= ulp_init,
	.get_info	= get_info,
	.get_info_size	= get_info_size,
};

/* The same under the in-tree module's name; for whom, see replace.c. */
static struct tcp_ulp_ops ulp_ops_tls = {
	.name		= "tls",
	.init		= ulp_init,
	.get_info	= get_info,
	.get_info_size	= get_info_size,
};

int tlsrec_ulp_register(void)
{
	return tcp_register_ulp(&ulp_ops);
}

void tlsrec_ulp_unregister(void)
{
	tcp_unregister_ulp(&ulp_ops);
}

int tlsrec_ulp_register_tls(struct module *owner)
{
	ulp_ops_tls.owner = owner;
	return tcp_register_ulp(&ulp_ops_tls);
}

void tlsrec_ulp_unregister_tls(void)
{
	tcp_unregister_ulp(&ulp_ops_tls);
}
