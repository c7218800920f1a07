// SPDX-License-Identifier: GPL-2.0-only
/* Socket options of the SOL_TLS level. */

#include "compat.h"
#include "early.h"
#include "idle.h"
#include "outq.h"
#include "proto.h"
#include "rxrec.h"
#include "sockopt.h"
#include "stats.h"
#include "trace.h"
#include "tx.h"
#include "txout.h"

/*
 * The socket lock keeps softirq from calling them meanwhile; sockets' other
 * users expect them to change under sk_callback_lock.
 */
static void swap_callbacks(struct sock *sk, struct tlsrec_ctx *ctx, bool tx)
{
	write_lock_bh(&sk->sk_callback_lock);
	if (tx) {
		ctx->tx.saved_write_space = sk->sk_write_space;
		sk->sk_write_space = tlsrec_write_space;
	} else {
		ctx->rx.saved_data_ready = sk->sk_data_ready;
		sk->sk_data_ready = tlsrec_data_ready;
	}
	write_unlock_bh(&sk->sk_callback_lock);
}

/*
 * Fetch and check a struct tls12_crypto_info_*. Cipher and version are those of
 * @like, if that is set: both directions have the same, and keep them.
 */
static int fetch_info(sockptr_t optval, unsigned int optlen,
		      const struct tlsrec_key *like, void *info)
{
	struct tls_crypto_info *ci = info;
	const struct tlsrec_cipher *cipher;

	if (copy_from_sockptr(ci, optval, sizeof(*ci)))
		return -EFAULT;
	if (ci->version != TLS_1_2_VERSION && ci->version != TLS_1_3_VERSION)
		return -EINVAL;

	cipher = tlsrec_cipher_find(ci->cipher_type);
	if (!cipher || optlen != tlsrec_cipher_info_size(cipher))
		return -EINVAL;
	if (cipher->only_tls12 && ci->version != TLS_1_2_VERSION)
		return -EINVAL;
	if (like->cipher &&
	    (like->cipher != cipher || like->version != ci->version))
		return -EINVAL;

	if (copy_from_sockptr_offset(ci + 1, optval, sizeof(*ci),
				     optlen - sizeof(*ci)))
		return -EFAULT;
	return 0;
}

/* From now on a direction of the socket is ours. */
static void take_direction(struct sock *sk, struct tlsrec_ctx *ctx, bool tx)
{
	swap_callbacks(sk, ctx, tx);
	tlsrec_update_proto(sk, ctx);
	tlsrec_idle_add(ctx);
	tlsrec_stat_add(sk, tx ? TLSREC_TX_SW : TLSREC_RX_SW, 1);
	tlsrec_stat_add(sk, tx ? TLSREC_CURR_TX_SW : TLSREC_CURR_RX_SW, 1);
}

/* May the first key come? Not before TCP has ended what it was asked for. */
static int may_begin(struct sock *sk, bool tx)
{
	return (tx ? early_writer(sk) : early_reader(sk)) ? -EBUSY : 0;
}

/* May another key follow this one (RFC 8446 4.6.3)? @err is the direction's. */
static int may_update(const struct tlsrec_key *key, int err)
{
	if (key->version != TLS_1_3_VERSION)
		return -EBUSY;
	/* A new key does not bring back what was lost under the old one. */
	return err;
}

static void count_update(struct sock *sk, bool tx, int err)
{
	if (err)
		tlsrec_stat_add(sk, tx ? TLSREC_TX_REKEY_ERROR :
					 TLSREC_RX_REKEY_ERROR, 1);
	else
		tlsrec_stat_add(sk, tx ? TLSREC_TX_REKEY_OK :
					 TLSREC_RX_REKEY_OK, 1);
}

/*
 * TLS_TX and TLS_RX. What was sealed before goes out under the old key; an open
 * record is sealed with the new one, since the KeyUpdate that announced it
 * closed every record before.
 */
static int set_key(struct sock *sk, sockptr_t optval, unsigned int optlen,
		   bool tx)
{
	struct tlsrec_ctx *ctx = tlsrec_ctx(sk);
	struct tlsrec_key *key = tx ? &ctx->tx.key : &ctx->rx.key;
	struct tlsrec_key *other = tx ? &ctx->rx.key : &ctx->tx.key;
	u8 info[TLSREC_MAX_INFO] __aligned(8);
	bool update = key->cipher;
	int err;

	/* skmsg.c would take our state for the in-tree module's. */
	if (tlsrec_in_sockmap(sk))
		return -EINVAL;
	if (sockptr_is_null(optval) || optlen < sizeof(struct tls_crypto_info))
		return -EINVAL;

	err = update ? may_update(key, tx ? ctx->tx.err : ctx->rx.err) :
		       may_begin(sk, tx);
	if (!err)
		err = fetch_info(optval, optlen, update ? key : other, info);
	if (!err)
		err = tlsrec_key_set(key, info);
	memzero_explicit(info, sizeof(info));

	if (update)
		count_update(sk, tx, err);
	if (err)
		return err;
	if (!update)
		take_direction(sk, ctx, tx);
	trace_tlsrec_key(sk, tx, key->version, key->cipher->type,
			 crypto_tfm_alg_driver_name(crypto_aead_tfm(key->aead)));
	if (!tx)
		tlsrec_rx_start(sk, &ctx->rx);
	return 0;
}

static int get_key(struct sock *sk, char __user *optval, int len, bool tx)
{
	struct tlsrec_ctx *ctx = tlsrec_ctx(sk);
	const struct tlsrec_key *key = tx ? &ctx->tx.key : &ctx->rx.key;
	u8 info[TLSREC_MAX_INFO] __aligned(8);
	int err = 0;

	if (!optval || len < (int)sizeof(struct tls_crypto_info))
		return -EINVAL;
	if (!key->cipher)
		return -EBUSY;
	/* Either version and cipher only, or all of it. */
	if (len != sizeof(struct tls_crypto_info) &&
	    len != tlsrec_cipher_info_size(key->cipher))
		return -EINVAL;

	tlsrec_key_get(key, info);
	if (copy_to_user(optval, info, len))
		err = -EFAULT;
	memzero_explicit(info, sizeof(info));
	return err;
}

static int set_zerocopy_ro(struct tlsrec_ctx *ctx, sockptr_t optval,
			   unsigned int optlen)
{
	unsigned int value;

	if (sockptr_is_null(optval) || optlen != sizeof(value))
		return -EINVAL;
	if (copy_from_sockptr(&value, optval, sizeof(value)))
		return -EFAULT;
	if (value > 1)
		return -EINVAL;

	ctx->zerocopy_ro = value;
	return 0;
}

static int get_zerocopy_ro(const struct tlsrec_ctx *ctx, char __user *optval,
			   int len)
{
	unsigned int value = ctx->zerocopy_ro;

	if (len != sizeof(value))
		return -EINVAL;
	return copy_to_user(optval, &value, sizeof(value)) ? -EFAULT : 0;
}

/*
 * TLS_TX_MAX_PAYLOAD_LEN. The least that RFC 8449 4 lets a peer ask for is 64
 * bytes, which under TLS 1.3 count the content type.
 */
static int set_max_payload(struct tlsrec_ctx *ctx, sockptr_t optval,
			   unsigned int optlen)
{
	bool tls13 = ctx->tx.key.fmt.inner_type || ctx->rx.key.fmt.inner_type;
	struct tlsrec_tx *tx = &ctx->tx;
	u16 value;

	if (tlsrec_tx_open(tx))
		return -EBUSY;
	if (sockptr_is_null(optval) || optlen != sizeof(value))
		return -EINVAL;
	if (copy_from_sockptr(&value, optval, sizeof(value)))
		return -EFAULT;
	if (value < TLSREC_MIN_SIZE_LIMIT - tls13 || value > TLSREC_MAX_PAYLOAD)
		return -EINVAL;

	/* Pairs with the READ_ONCE() in put_info(). */
	WRITE_ONCE(tx->max_payload, value);
	return 0;
}

static int get_max_payload(const struct tlsrec_tx *tx, char __user *optval,
			   int __user *optlen, int len)
{
	u16 value = tx->max_payload;

	if (len < (int)sizeof(value))
		return -EINVAL;
	if (put_user(sizeof(value), optlen) ||
	    copy_to_user(optval, &value, sizeof(value)))
		return -EFAULT;
	return 0;
}

/* TLS 1.3 has padding; there is a receive key. */
static bool may_expect_no_pad(const struct tlsrec_rx *rx)
{
	return rx->key.cipher && rx->key.version == TLS_1_3_VERSION;
}

static int set_no_pad(struct tlsrec_rx *rx, sockptr_t optval,
		      unsigned int optlen)
{
	u32 value;
	int zeroed;

	if (!may_expect_no_pad(rx) || sockptr_is_null(optval) ||
	    optlen < sizeof(value))
		return -EINVAL;
	if (copy_from_sockptr(&value, optval, sizeof(value)))
		return -EFAULT;
	if (value > 1)
		return -EINVAL;
	zeroed = check_zeroed_sockptr(optval, sizeof(value),
				      optlen - sizeof(value));
	if (zeroed < 1)
		return zeroed ? zeroed : -EINVAL;

	rx->no_pad = value;
	return 0;
}

static int get_no_pad(const struct tlsrec_rx *rx, char __user *optval,
		      int __user *optlen, int len)
{
	int value = rx->no_pad;

	if (!may_expect_no_pad(rx) || len < (int)sizeof(value))
		return -EINVAL;
	if (put_user(sizeof(value), optlen) ||
	    copy_to_user(optval, &value, sizeof(value)))
		return -EFAULT;
	return 0;
}

/* A program that deals with TCP_CORK deals with its own. */
static void drop_our_cork(struct sock *sk, int level, int optname)
{
	if (!TLSREC_SPLICE_BY_PAGE || level != SOL_TCP || optname != TCP_CORK)
		return;

	lock_sock(sk);
	txout_uncork(sk, &tlsrec_ctx(sk)->tx);
	release_sock(sk);
}

/**
 * tlsrec_setsockopt() - SOL_TLS options; the other levels are TCP's
 * @sk: not locked
 * @level: SOL_*
 * @optname: TLS_TX, TLS_RX, TLS_TX_ZEROCOPY_RO, TLS_RX_EXPECT_NO_PAD or
 *	TLS_TX_MAX_PAYLOAD_LEN
 * @optval: value, see <linux/tls.h>
 * @optlen: its size in bytes
 *
 * A second TLS_TX or TLS_RX is a key update, of TLS 1.3 alone. After any error
 * the key in use stays.
 *
 * Return: 0; -EINVAL (bad version, cipher, length or value, or not those of the
 * other direction or the key before), -EFAULT, -EBUSY (a second key under TLS
 * 1.2; a send() or recv() of another thread on the TCP socket has not ended, and
 * would send plaintext behind the first key, or take ciphertext: let it end, and
 * try again; or a record is open whose size would have to change), -EMSGSIZE or
 * -EBADMSG (the direction has failed already), -ENOENT (the kernel has no such
 * algorithm), -ENOMEM, -ENOPROTOOPT.
 */
int tlsrec_setsockopt(struct sock *sk, int level, int optname,
		      sockptr_t optval, unsigned int optlen)
{
	struct tlsrec_ctx *ctx;
	int err;

	drop_our_cork(sk, level, optname);
	if (level != SOL_TLS)
		return tlsrec_base_proto(sk)->setsockopt(sk, level, optname,
							 optval, optlen);

	lock_sock(sk);
	ctx = tlsrec_ctx(sk);
	switch (optname) {
	case TLS_TX:
	case TLS_RX:
		err = set_key(sk, optval, optlen, optname == TLS_TX);
		break;
	case TLS_TX_ZEROCOPY_RO:
		err = set_zerocopy_ro(ctx, optval, optlen);
		break;
	case TLS_RX_EXPECT_NO_PAD:
		err = set_no_pad(&ctx->rx, optval, optlen);
		break;
	case TLS_TX_MAX_PAYLOAD_LEN:
		err = set_max_payload(ctx, optval, optlen);
		break;
	default:
		err = -ENOPROTOOPT;
	}
	release_sock(sk);
	return err;
}

/* Would take ciphertext from under the record layer. */
static int zerocopy_receive(struct sock *sk, char __user *optval,
			    int __user *optlen)
{
	int err;

	if (!early_read_begin(sk, 0))
		return -EOPNOTSUPP;
	err = tlsrec_base_proto(sk)->getsockopt(sk, SOL_TCP,
						TCP_ZEROCOPY_RECEIVE, optval,
						optlen);
	early_read_end(sk, 0);
	return err;
}

/**
 * tlsrec_getsockopt() - the reverse of tlsrec_setsockopt()
 * @sk: not locked
 * @level: SOL_*
 * @optname: as there
 * @optval: where to; TLS_TX and TLS_RX come with the live sequence number
 * @optlen: size of @optval in bytes; updated for TLS_RX_EXPECT_NO_PAD and
 *	TLS_TX_MAX_PAYLOAD_LEN
 *
 * Return: 0; -EBUSY (no key is set), -EINVAL (length), -EFAULT, -ENOPROTOOPT;
 * -EOPNOTSUPP for TCP_ZEROCOPY_RECEIVE on a socket that receives records.
 */
int tlsrec_getsockopt(struct sock *sk, int level, int optname,
		      char __user *optval, int __user *optlen)
{
	struct tlsrec_ctx *ctx;
	int err, len;

	if (level == SOL_TCP && optname == TCP_ZEROCOPY_RECEIVE)
		return zerocopy_receive(sk, optval, optlen);
	drop_our_cork(sk, level, optname);
	if (level != SOL_TLS) {
		err = tlsrec_base_proto(sk)->getsockopt(sk, level, optname,
							optval, optlen);
		if (!err && level == SOL_TCP && optname == TCP_INFO)
			err = tlsrec_outq_info(sk, optval, optlen);
		return err;
	}
	if (get_user(len, optlen))
		return -EFAULT;

	lock_sock(sk);
	ctx = tlsrec_ctx(sk);
	switch (optname) {
	case TLS_TX:
	case TLS_RX:
		err = get_key(sk, optval, len, optname == TLS_TX);
		break;
	case TLS_TX_ZEROCOPY_RO:
		err = get_zerocopy_ro(ctx, optval, len);
		break;
	case TLS_RX_EXPECT_NO_PAD:
		err = get_no_pad(&ctx->rx, optval, optlen, len);
		break;
	case TLS_TX_MAX_PAYLOAD_LEN:
		err = get_max_payload(&ctx->tx, optval, optlen, len);
		break;
	default:
		err = -ENOPROTOOPT;
	}
	release_sock(sk);
	return err;
}
