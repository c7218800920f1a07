/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * State of a socket and what the rooms of the module offer each other.
 *
 * Locking. The socket lock protects everything in struct tlsrec_ctx. A call
 * that sleeps drops it on the way (waiting for send buffer space or for data),
 * so a writer also holds the tx turn and a reader the rx turn from start to
 * end of its call: nobody else's record gets between the parts of its work.
 * What is read without the lock is marked so, with the name of its pair.
 * The lists in idle.c and engine.c have locks of their own.
 */
#ifndef TLSREC_TLSREC_H
#define TLSREC_TLSREC_H

#include <linux/tcp.h>
#include <linux/tls.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "cipher.h"
#include "record.h"
#include "turn.h"

struct tlsrec_buf;
struct tlsrec_mib;
struct tlsrec_work;

#define TLSREC_VERSION		"0.1.0"

/**
 * struct tlsrec_tx - transmit direction
 * @key: cipher state; @key.cipher is %NULL until TLS_TX was set
 * @turn: order of writers
 * @work: open record and records TCP has not taken yet, %NULL when neither;
 *	as long as it is there @key is awake
 * @max_payload: value of TLS_TX_MAX_PAYLOAD_LEN
 * @err: sticky negative errno, set when encryption failed or the sequence
 *	number ran out
 * @kept: bytes of records for TCP that @work holds; written under the lock when
 *	nobody has the turn, read without it by poll
 * @lost: bytes that a call has counted are gone: there is no clean end
 * @corked: TCP_CORK is on, and the program knows nothing of it
 * @waits: for TCP or for the rest of a splice: @kept or @until; written and read as
 *	@kept
 * @charged: bytes charged to the socket for @work
 * @until: so long, in jiffies, what a splice left waits for what it promised, 0 if
 *	nothing does; written and read as @kept
 * @saved_write_space: the socket's own callback
 */
struct tlsrec_tx {
	struct tlsrec_key	key;
	struct tlsrec_turn	turn;
	struct tlsrec_work	*work;
	u16			max_payload;
	int			err;
	bool			lost;
	bool			corked;
	bool			waits;
	unsigned int		kept;
	unsigned int		charged;
	unsigned long		until;
	void			(*saved_write_space)(struct sock *sk);
};

/**
 * struct tlsrec_rx - receive direction
 * @key: cipher state; @key.cipher is %NULL until TLS_RX was set
 * @turn: order of readers
 * @plain: decrypted records nobody has read yet, oldest first
 * @plain_mem: bytes of memory on @plain
 * @charged: bytes charged to the socket for @plain and @part
 * @part: head record as far as it was taken out of the TCP queue; during a call
 *	perhaps an empty buffer for it
 * @head: what is known of the head record, see rxhead.h; written
 *	under the lock, read without it by poll
 * @plain_ready: @plain is not empty; written under the lock, read without it
 *	by poll
 * @handshake: place in the peer's handshake messages, under TLS 1.3
 * @expired: a KeyUpdate has come; what follows needs a new key
 * @early: calls of TCP's that began with the ULP set and no key, see early.c
 * @err: sticky negative errno, reported once everything before it was read
 * @err_reported: @err was returned to a reader
 * @no_pad: value of TLS_RX_EXPECT_NO_PAD
 * @saved_data_ready: the socket's own callback
 */
struct tlsrec_rx {
	struct tlsrec_key	key;
	struct tlsrec_turn	turn;
	struct list_head	plain;
	unsigned int		plain_mem;
	unsigned int		charged;
	struct tlsrec_buf	*part;
	u64			head;
	struct tlsrec_handshake	handshake;
	bool			plain_ready;
	bool			expired;
	bool			err_reported;
	bool			no_pad;
	unsigned int		early;
	int			err;
	void			(*saved_data_ready)(struct sock *sk);
};

/**
 * struct tlsrec_ctx - what tlsrec knows of a socket (icsk_ulp_data)
 * @tx: transmit direction
 * @rx: receive direction
 * @zerocopy_ro: value of TLS_TX_ZEROCOPY_RO
 * @stats: counters of the socket's namespace
 * @sk: the socket
 * @idle: in the list of sockets with a key, see idle.c
 * @engine: in the list of sockets to try again with, see engine.c
 * @rcu: get_info and poll look at the context without the socket lock
 */
struct tlsrec_ctx {
	struct tlsrec_tx	tx;
	struct tlsrec_rx	rx;
	bool			zerocopy_ro;
	struct tlsrec_mib __percpu *stats;
	struct sock		*sk;
	struct list_head	idle;
	struct list_head	engine;
	struct rcu_head		rcu;
};

/* A larger one takes twice the memory. */
static_assert(IS_ENABLED(CONFIG_DEBUG_SPINLOCK) ||
	      sizeof(struct tlsrec_ctx) <= 512);

/* The caller holds the socket lock, or is a callback of the live socket. */
static inline struct tlsrec_ctx *tlsrec_ctx(const struct sock *sk)
{
	return (__force struct tlsrec_ctx *)inet_csk(sk)->icsk_ulp_data;
}

#endif /* TLSREC_TLSREC_H */
