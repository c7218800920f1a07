/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * State of a socket and what the rooms of the module offer each other.
 *
 * Locking. The socket lock protects everything in struct tlsrec_ctx. A call
 * that sleeps drops it on the way (waiting for send buffer space or for data),
 * so a writer also holds the tx turn and a reader the rx turn from start to
 * end of its call: nobody else's record gets between the parts of its work.
 * What is read without the lock is marked so, with the name of its pair.
 * The list in idle.c has a lock of its own.
 */
#ifndef TLSREC_TLSREC_H
#define TLSREC_TLSREC_H

#include <linux/tcp.h>
#include <linux/tls.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "cipher.h"
#include "record.h"

struct tlsrec_buf;
struct tlsrec_mib;
struct tlsrec_work;

#define TLSREC_VERSION		"0.1.0"

/**
 * struct tlsrec_turn - who may work on one direction
 * @held: somebody does; read without the lock by waiters, who check again
 *	under it
 * @refused: somebody who does not wait was sent away with -EAGAIN though there
 *	may be something for him
 * @wait: those who want to
 */
struct tlsrec_turn {
	bool			held;
	bool			refused;
	wait_queue_head_t	wait;
};

/**
 * struct tlsrec_tx - transmit direction
 * @key: cipher state; @key.cipher is %NULL until TLS_TX was set
 * @turn: order of writers
 * @work: open record and records TCP has not taken yet, %NULL when neither;
 *	as long as it is there @key is awake
 * @max_payload: value of TLS_TX_MAX_PAYLOAD_LEN
 * @err: sticky negative errno, set when encryption failed or the sequence
 *	number ran out
 * @pending: @work holds encrypted records for TCP
 * @corked: TCP_CORK is on, and the program knows nothing of it
 * @saved_write_space: the socket's own callback
 */
struct tlsrec_tx {
	struct tlsrec_key	key;
	struct tlsrec_turn	turn;
	struct tlsrec_work	*work;
	u16			max_payload;
	int			err;
	bool			pending;
	bool			corked;
	void			(*saved_write_space)(struct sock *sk);
};

/**
 * struct tlsrec_rx - receive direction
 * @key: cipher state; @key.cipher is %NULL until TLS_RX was set
 * @turn: order of readers
 * @plain: decrypted records nobody has read yet, oldest first
 * @plain_mem: bytes of memory on @plain
 * @part: head record as far as it was taken out of the TCP queue; during a call
 *	perhaps an empty buffer for it
 * @head: what is known of the head record, see rx_head_*() in rx.c; written
 *	under the lock, read without it by poll
 * @plain_ready: @plain is not empty; written under the lock, read without it
 *	by poll
 * @handshake: place in the peer's handshake messages, under TLS 1.3
 * @expired: a KeyUpdate has come; what follows needs a new key
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
	struct tlsrec_buf	*part;
	u64			head;
	struct tlsrec_handshake	handshake;
	bool			plain_ready;
	bool			expired;
	bool			err_reported;
	bool			no_pad;
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
 * @rcu: get_info and poll look at the context without the socket lock
 */
struct tlsrec_ctx {
	struct tlsrec_tx	tx;
	struct tlsrec_rx	rx;
	bool			zerocopy_ro;
	struct tlsrec_mib __percpu *stats;
	struct sock		*sk;
	struct list_head	idle;
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

/* turn.c */
void tlsrec_turn_init(struct tlsrec_turn *turn);
int tlsrec_turn_wait(struct sock *sk, struct tlsrec_turn *turn, long *timeo);

/**
 * tlsrec_turn_take() - wait until nobody else works on this direction
 * @sk: locked; the lock is dropped while waiting
 * @turn: of the direction
 * @timeo: jiffies to wait, 0 for not at all; what is left of them on return
 *
 * Return: 0 with the turn taken, -EAGAIN when time is up, -EINTR or
 * -ERESTARTSYS on a signal.
 */
static inline int tlsrec_turn_take(struct sock *sk, struct tlsrec_turn *turn,
				   long *timeo)
{
	sock_owned_by_me(sk);

	if (unlikely(turn->held))
		return tlsrec_turn_wait(sk, turn, timeo);
	turn->held = true;
	return 0;
}

/**
 * tlsrec_turn_give() - let the next one work on this direction
 * @sk: locked
 * @turn: taken by the caller
 *
 * Return: somebody was refused meanwhile. The event that brought him may have
 * been the last: the caller has to report again what he leaves behind.
 */
static inline bool tlsrec_turn_give(struct sock *sk, struct tlsrec_turn *turn)
{
	bool refused = turn->refused;

	sock_owned_by_me(sk);

	WRITE_ONCE(turn->held, false);
	/* No barrier: waiters get on the queue under the socket lock. */
	if (waitqueue_active(&turn->wait))
		wake_up(&turn->wait);
	turn->refused = false;
	return refused;
}

/* idle.c */
void tlsrec_idle_add(struct tlsrec_ctx *ctx);
void tlsrec_idle_del(struct tlsrec_ctx *ctx);
void tlsrec_idle_exit(void);

/* ulp.c */
int tlsrec_ulp_register(void);
void tlsrec_ulp_unregister(void);
int tlsrec_ulp_register_tls(void);
void tlsrec_ulp_unregister_tls(void);
bool tlsrec_in_sockmap(const struct sock *sk);
void tlsrec_update_proto(struct sock *sk, const struct tlsrec_ctx *ctx);

/* sockopt.c */
int tlsrec_setsockopt(struct sock *sk, int level, int optname,
		      sockptr_t optval, unsigned int optlen);
int tlsrec_getsockopt(struct sock *sk, int level, int optname,
		      char __user *optval, int __user *optlen);

#endif /* TLSREC_TLSREC_H */
