/* SPDX-License-Identifier: MIT */
/*
 * What every selftest of tlsrec needs: TCP pairs, key installation, and TLS records made and opened in user space,
 * so that one end of a connection can be a bare TCP socket that says or checks exactly what is on the wire.
 *
 * Functions that cannot fail in a working environment end the test with a line on stderr when they do (tt_die), so
 * that tests read as what they test. Functions under test return what the system call returned.
 */
#ifndef TLSREC_TEST_H
#define TLSREC_TEST_H

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <linux/tls.h>

#ifndef SOL_TLS
#define SOL_TLS 282
#endif
#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef TLS_TX_ZEROCOPY_RO
#define TLS_TX_ZEROCOPY_RO 3
#endif
#ifndef TLS_RX_EXPECT_NO_PAD
#define TLS_RX_EXPECT_NO_PAD 4
#endif
#ifndef TLS_TX_MAX_PAYLOAD_LEN
#define TLS_TX_MAX_PAYLOAD_LEN 5
#endif

#define TT_ALERT 21
#define TT_HANDSHAKE 22
#define TT_DATA 23

#define TT_MAX 16384			/* payload of a full record */
#define TT_REC_MAX (TT_MAX + 1024)	/* room for any record these tests make */

enum tt_family { TT_IP4, TT_IP6, TT_MAPPED };

/* What <linux/tls.h> says of a cipher, and what the record format needs to know of it. */
struct tt_cipher {
	uint16_t type;
	const char *name;
	bool tls12_only;
	uint8_t key, salt, iv;		/* bytes of each; salt and iv are 12 together */
	uint8_t explicit_nonce;		/* bytes of it on the wire under TLS 1.2 */
	uint8_t info;			/* size of the structure, and where its fields are */
	uint8_t iv_at, key_at, salt_at, seq_at;
};

#define TT_CIPHERS 8
extern const struct tt_cipher tt_ciphers[TT_CIPHERS];

/* One direction's key, and the number of the next record. */
struct tt_key {
	uint16_t version;
	uint16_t cipher;
	uint8_t key[32];
	uint8_t salt[4];
	uint8_t iv[12];
	uint64_t seq;
};

union tt_info {
	struct tls_crypto_info info;
	struct tls12_crypto_info_aes_gcm_128 gcm128;
	struct tls12_crypto_info_aes_gcm_256 gcm256;
	uint8_t raw[64];
};

/* A record to be made. Zero means "as it should be" for every field but type, data and len. */
struct tt_rec {
	uint8_t type;			/* content type: 0 makes a TLS 1.3 record without one */
	const void *data;
	size_t len;
	size_t pad;			/* TLS 1.3: zero bytes behind the content type */
	uint16_t outer_version;
	uint8_t outer_type;
};

/* A record that was opened. */
struct tt_opened {
	uint8_t outer_type;
	uint16_t outer_version;
	uint8_t nonce[8];		/* TLS 1.2: the explicit part */
	size_t wire_len;		/* with the header */
	uint8_t type;
	size_t pad;
	size_t len;
	uint8_t data[TT_REC_MAX];
};

void tt_die(const char *file, int line, const char *what) __attribute__((noreturn));
#define TT_DIE(what) tt_die(__FILE__, __LINE__, what)
#define TT_MUST(cond) do { if (!(cond)) TT_DIE(#cond); } while (0)

/* the name of the ULP under test: environment variable ULP, "tlsrec" without it */
const char *tt_ulp_name(void);
bool tt_ulp_is_intree(void);
/* seconds that one test may take; environment variable TIMEOUT */
int tt_timeout(void);

/* TCP: fd[0] connected to fd[1], TCP_NODELAY on both */
void tt_tcp_pair(enum tt_family family, int fd[2]);
/* the same, and from the first byte on fd[1] has no more window than this receive buffer (SO_RCVBUF, bytes) makes; 0: as it is */
void tt_narrow_pair(enum tt_family family, int rcvbuf, int fd[2]);
int tt_listener(enum tt_family family, struct sockaddr_storage *addr, socklen_t *len);
int tt_connect(enum tt_family family, const struct sockaddr_storage *addr, socklen_t len);

/* set the ULP / a key: results of setsockopt */
int tt_ulp(int fd);
int tt_key_set(int fd, int dir, const struct tt_key *k);
int tt_key_get(int fd, int dir, const struct tt_key *like, struct tt_key *k);
socklen_t tt_key_pack(const struct tt_key *k, union tt_info *info);
struct tt_key tt_key_make(uint16_t version, uint16_t cipher, unsigned int seed);
/* ULP and keys at once; a NULL key leaves that direction plain */
void tt_install(int fd, const struct tt_key *tx, const struct tt_key *rx);

const struct tt_cipher *tt_cipher(uint16_t type);
/* 0, or the errno that a first key of this kind is refused with: ENOENT where the kernel has no such algorithm */
int tt_cipher_refused(uint16_t version, uint16_t cipher);

/* one AEAD operation with a 16-byte tag: 0, or -1 when it does not authenticate */
int tt_aead(uint16_t cipher, bool enc, const uint8_t *key, const uint8_t nonce[12], const uint8_t *aad, size_t aad_len, const uint8_t *in,
	    uint8_t *out, size_t len, uint8_t tag[16]);
/* bytes around the plaintext on the wire, all of it */
size_t tt_overhead(const struct tt_key *k);
/* make one record, advance k->seq; returns its length on the wire */
size_t tt_seal(struct tt_key *k, const struct tt_rec *r, uint8_t *out);
/* 0 and *o filled, k->seq advanced; -1 when it does not authenticate */
int tt_open(struct tt_key *k, const uint8_t *rec, size_t len, struct tt_opened *o);
/* seal and write to a bare TCP socket */
void tt_send_rec(int fd, struct tt_key *k, const struct tt_rec *r);
void tt_send_data(int fd, struct tt_key *k, uint8_t type, const void *data, size_t len);
/* read exactly one record from a bare TCP socket: 1, 0 at end of file (between records), -1 when it is bad */
int tt_recv_rec(int fd, struct tt_key *k, struct tt_opened *o);

/* plain write and read of exactly so many bytes */
void tt_write(int fd, const void *buf, size_t len);
void tt_write_slow(int fd, const void *buf, size_t len, size_t step);
size_t tt_read(int fd, void *buf, size_t len);
size_t tt_read_pipe(int fd, void *buf, size_t len);

/* sendmsg and recvmsg with a record type */
ssize_t tt_send_type(int fd, uint8_t type, const void *buf, size_t len, int flags);
/* *type is 0 when the kernel gave none */
ssize_t tt_recv_type(int fd, void *buf, size_t len, int flags, uint8_t *type, int *msg_flags);

/* reproducible bytes by position in a stream; diff: offset of the first wrong byte, or -1 */
void tt_fill(void *buf, size_t len, uint64_t pos);
ssize_t tt_diff(const void *buf, size_t len, uint64_t pos);

/* a network namespace of one's own, so that nobody else's connections are counted: 0, or -1 where that is not possible */
int tt_netns(void);
/* a line of the ULP's file in /proc/net of this namespace; -1: there is no such line, -2: no such file */
long tt_counter(const char *name);

int tt_poll(int fd, short events, int ms);
/* bytes that could be read, from a socket or a pipe */
int tt_pending(int fd);
/* close with a reset */
void tt_reset(int fd);
/* wait for a child: its exit status, or 100 and the signal that ended it */
int tt_child_status(pid_t pid);
uint64_t tt_bytes_received(int fd);
void tt_wait_received(int fd, uint64_t bytes);
/* bytes in TCP's own send queue, as ss and /proc/net have it */
uint64_t tt_tcp_queued(int fd);
/* bytes that TCP was given to send since the connection began: those acknowledged, and those in its queue */
uint64_t tt_bytes_acked(int fd);
uint64_t tt_bytes_taken(int fd);
void tt_nonblock(int fd, bool on);
void tt_sockopt(int fd, int level, int opt, int val);
int tt_sockopt_get(int fd, int level, int opt);
uint64_t tt_now_ms(void);
uint32_t tt_rand(uint64_t *state);
/* Fault injection, through an open /proc/thread-self/fail-nth: the n-th chance to fail of this thread is taken, 0: none. */
void tt_fault_arm(int nth_fd, int n);
/* Whether the fault was injected since; none will be from here on. */
bool tt_fault_hit(int nth_fd);

#endif
