// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The contract with programs (socket options, results of calls, life of a socket), line by line.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#define IPV6_ADDRFORM 1

FIXTURE(conn)
{
	int fd[2];
	struct tt_key ab, ba;	/* fd[0] to fd[1], and back */
};

FIXTURE_VARIANT(conn)
{
	TT_VARIANT_FIELDS;
};

TT_VARIANTS_ALL(conn);

FIXTURE_SETUP(conn)
{
	tt_tcp_pair(variant->family, self->fd);
	self->ab = tt_key_make(variant->version, variant->cipher, 1);
	self->ba = tt_key_make(variant->version, variant->cipher, 2);
}

FIXTURE_TEARDOWN(conn)
{
	close(self->fd[0]);
	close(self->fd[1]);
}

static void install_both(int fd[2], struct tt_key *ab, struct tt_key *ba)
{
	tt_install(fd[0], ab, ba);
	tt_install(fd[1], ba, ab);
}

/* a message each way: 0 when it arrives as it was */
static int ping(int a, int b)
{
	char out[64], in[64];

	for (int i = 0; i < 2; i++) {
		int from = i ? b : a, to = i ? a : b;

		tt_fill(out, sizeof(out), i * 1000);
		if (send(from, out, sizeof(out), MSG_NOSIGNAL) != sizeof(out))
			return -1;
		if (tt_read(to, in, sizeof(in)) != sizeof(in) || tt_diff(in, sizeof(in), i * 1000) >= 0)
			return -1;
	}
	return 0;
}

TEST(ulp_needs_established)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int s, l, fd[2];

	for (int family = TT_IP4; family <= TT_MAPPED; family++) {
		s = socket(family == TT_IP4 ? AF_INET : AF_INET6, SOCK_STREAM, 0);
		EXPECT_ERR(ENOTCONN, tt_ulp(s));
		close(s);
		l = tt_listener(family, &addr, &len);
		EXPECT_ERR(ENOTCONN, tt_ulp(l));
		close(l);
		tt_tcp_pair(family, fd);
		close(fd[1]);
		ASSERT_NE(0, tt_poll(fd[0], POLLIN, 10000));
		EXPECT_ERR(ENOTCONN, tt_ulp(fd[0]));
		close(fd[0]);
	}
}

/* what a refused ULP left behind must not be in the way later */
TEST(ulp_after_refusal)
{
	struct sockaddr_storage addr;
	struct tt_key ab = tt_key_make(TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128, 1);
	struct tt_key ba = tt_key_make(TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128, 2);
	socklen_t len;
	int l = tt_listener(TT_IP4, &addr, &len), fd[2];

	EXPECT_ERR(ENOTCONN, tt_ulp(l));
	fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	EXPECT_ERR(ENOTCONN, tt_ulp(fd[0]));
	ASSERT_EQ(0, connect(fd[0], (void *)&addr, len));
	fd[1] = accept(l, NULL, NULL);
	ASSERT_LE(0, fd[1]);
	install_both(fd, &ab, &ba);
	EXPECT_EQ(0, ping(fd[0], fd[1]));
}

TEST_F(conn, ulp_twice)
{
	char name[16] = "";
	socklen_t len = sizeof(name);

	ASSERT_EQ(0, tt_ulp(self->fd[0]));
	EXPECT_ERR(EEXIST, tt_ulp(self->fd[0]));
	EXPECT_EQ(0, getsockopt(self->fd[0], IPPROTO_TCP, TCP_ULP, name, &len));
	EXPECT_STREQ(tt_ulp_name(), name);
	tt_install(self->fd[1], &self->ba, &self->ab);
	EXPECT_ERR(EEXIST, tt_ulp(self->fd[1]));
}

/* without keys the socket is plain TCP still */
TEST_F(conn, ulp_without_keys_is_tcp)
{
	ASSERT_EQ(0, tt_ulp(self->fd[0]));
	EXPECT_EQ(0, ping(self->fd[0], self->fd[1]));
	ASSERT_EQ(0, tt_ulp(self->fd[1]));
	EXPECT_EQ(0, ping(self->fd[0], self->fd[1]));
}

TEST_F(conn, exchange)
{
	install_both(self->fd, &self->ab, &self->ba);
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, ping(self->fd[0], self->fd[1]));
	}
}

/* the wrong key must not decrypt: proves that the tests do encrypt */
TEST_F(conn, wrong_key)
{
	struct tt_key other = tt_key_make(variant->version, variant->cipher, 3);
	char buf[16] = "", in[16];

	tt_install(self->fd[0], &self->ab, &self->ba);
	tt_install(self->fd[1], &self->ba, &other);
	ASSERT_EQ(16, send(self->fd[0], buf, 16, 0));
	EXPECT_ERR(EBADMSG, recv(self->fd[1], in, sizeof(in), 0));
}

/* sockmap: a pointer in another subsystem's hands; see net/core/skmsg.c of the older kernels */

static int bpf(int cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static int sockmap_create(int type)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_type = type;
	a.key_size = 4;
	a.value_size = 4;
	a.max_entries = 4;
	return bpf(BPF_MAP_CREATE, &a);
}

static int sockmap_update(int map, uint32_t key, uint32_t fd)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_fd = map;
	a.key = (uintptr_t)&key;
	a.value = (uintptr_t)&fd;
	return bpf(BPF_MAP_UPDATE_ELEM, &a);
}

/* a program that lets everything pass: the map then gives its sockets a psock with a verdict */
static int sockmap_attach(int map, int attach_type)
{
	struct bpf_insn prog[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr a;
	int fd;

	memset(&a, 0, sizeof(a));
	a.prog_type = attach_type == BPF_SK_MSG_VERDICT ? BPF_PROG_TYPE_SK_MSG : BPF_PROG_TYPE_SK_SKB;
	a.insns = (uintptr_t)prog;
	a.insn_cnt = 2;
	a.license = (uintptr_t)"GPL";
	fd = bpf(BPF_PROG_LOAD, &a);
	if (fd < 0)
		return -1;
	memset(&a, 0, sizeof(a));
	a.target_fd = map;
	a.attach_bpf_fd = fd;
	a.attach_type = attach_type;
	return bpf(BPF_PROG_ATTACH, &a);
}

/* CVE-2025-38166, CVE-2025-38608, CVE-2026-64025, CVE-2026-93824 */
TEST_F(conn, sockmap_then_tls)
{
	int map;

	for (int prog = -1; prog <= BPF_SK_MSG_VERDICT; prog += BPF_SK_MSG_VERDICT + 1) {
		int fd[2];

		tt_tcp_pair(variant->family, fd);
		map = sockmap_create(BPF_MAP_TYPE_SOCKMAP);
		if (map < 0 && (errno == EINVAL || errno == ENOSYS))
			SKIP(return, "kernel without sockmap");
		ASSERT_LE(0, map);
		if (prog >= 0) {
			ASSERT_EQ(0, sockmap_attach(map, BPF_SK_MSG_VERDICT));
		}
		ASSERT_EQ(0, sockmap_update(map, 0, fd[0]));
		/* the in-tree module refuses at the key, which is as good as at the ULP */
		if (tt_ulp(fd[0]) == 0) {
			EXPECT_ERR(EINVAL, tt_key_set(fd[0], TLS_TX, &self->ab));
		} else {
			EXPECT_EQ(EINVAL, errno);
		}
		/* and the socket is as it was */
		EXPECT_EQ(0, ping(fd[0], fd[1]));
		close(map);
		EXPECT_EQ(0, ping(fd[0], fd[1]));
		close(fd[0]);
		close(fd[1]);
	}
}

TEST_F(conn, tls_then_sockmap)
{
	int types[] = { BPF_MAP_TYPE_SOCKMAP, BPF_MAP_TYPE_SOCKHASH };

	for (int i = 0; i < 2; i++) {
		int map = sockmap_create(types[i]), map2 = sockmap_create(types[i]), fd[2], r;

		if (map < 0 && (errno == EINVAL || errno == ENOSYS))
			SKIP(return, "kernel without sockmap");
		ASSERT_LE(0, map);
		ASSERT_EQ(0, sockmap_attach(map2, BPF_SK_SKB_STREAM_VERDICT));
		tt_tcp_pair(variant->family, fd);
		install_both(fd, &self->ab, &self->ba);
		/* must be refused: nothing of sockmap knows the ULP's data */
		r = sockmap_update(map, 0, fd[0]);
		EXPECT_EQ(-1, r);
		r = sockmap_update(map2, 0, fd[1]);
		EXPECT_EQ(-1, r);
		EXPECT_EQ(0, ping(fd[0], fd[1]));
		close(map);
		close(map2);
		EXPECT_EQ(0, ping(fd[0], fd[1]));
		close(fd[0]);
		close(fd[1]);
	}
}

/* a socket put in the map between the ULP and the key */
TEST_F(conn, ulp_sockmap_key)
{
	int map = sockmap_create(BPF_MAP_TYPE_SOCKMAP);

	if (map < 0 && (errno == EINVAL || errno == ENOSYS))
		SKIP(return, "kernel without sockmap");
	ASSERT_EQ(0, tt_ulp(self->fd[0]));
	if (sockmap_update(map, 0, self->fd[0]) == 0) {
		EXPECT_ERR(EINVAL, tt_key_set(self->fd[0], TLS_TX, &self->ab));
	}
	EXPECT_EQ(0, ping(self->fd[0], self->fd[1]));
	close(map);
	EXPECT_EQ(0, ping(self->fd[0], self->fd[1]));
}

static int set_raw(int fd, int dir, struct tt_key *k, int version, int cipher, int grow)
{
	union { union tt_info i; char room[sizeof(union tt_info) + 64]; } u;
	socklen_t len;

	memset(&u, 0, sizeof(u));
	len = tt_key_pack(k, &u.i);
	u.i.info.version = version;
	u.i.info.cipher_type = cipher;
	return setsockopt(fd, SOL_TLS, dir, &u, len + grow);
}

TEST_F(conn, key_errors)
{
	long page = sysconf(_SC_PAGESIZE);
	union tt_info info;
	int other = variant->cipher == TLS_CIPHER_AES_GCM_128 ? TLS_CIPHER_AES_GCM_256 : TLS_CIPHER_AES_GCM_128;
	int versions[] = { 0, 0x0300, 0x0301, 0x0302, 0x0305, 0x0403, 0xfefd, 0xffff };
	int ciphers[] = { 0, 1, 50, 59, 255, 0x1301, 0xffff };
	int grow[] = { -1, 1, -8, 8, 64 };
	socklen_t len = tt_key_pack(&self->ab, &info);
	struct tt_key got;
	char *map;

	ASSERT_EQ(0, tt_ulp(self->fd[0]));
	map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, munmap(map + page, page));
	memcpy(map + page - 4, &info, 4);
	for (int dir = TLS_TX; dir <= TLS_RX; dir++) {
		int fd = self->fd[0];
		struct tt_key *k = dir == TLS_TX ? &self->ab : &self->ba;

		for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
			EXPECT_ERR(EINVAL, set_raw(fd, dir, k, versions[i], variant->cipher, 0));
		}
		for (size_t i = 0; i < ARRAY_SIZE(ciphers); i++) {
			EXPECT_ERR(EINVAL, set_raw(fd, dir, k, variant->version, ciphers[i], 0));
		}
		for (size_t i = 0; i < ARRAY_SIZE(grow); i++) {
			EXPECT_ERR(EINVAL, set_raw(fd, dir, k, variant->version, variant->cipher, grow[i]));
		}
		/* the length of the other key size */
		EXPECT_ERR(EINVAL, set_raw(fd, dir, k, variant->version, other, 0));
		EXPECT_ERR(EINVAL, setsockopt(fd, SOL_TLS, dir, &info, 0));
		EXPECT_ERR(EINVAL, setsockopt(fd, SOL_TLS, dir, &info, 3));
		EXPECT_ERR(EINVAL, setsockopt(fd, SOL_TLS, dir, &info, 4));
		EXPECT_ERR(EINVAL, setsockopt(fd, SOL_TLS, dir, &info, -1));
		EXPECT_ERR(EFAULT, setsockopt(fd, SOL_TLS, dir, (void *)16, len));
		EXPECT_ERR(EFAULT, setsockopt(fd, SOL_TLS, dir, map + page - 2, len));
		EXPECT_ERR(EFAULT, setsockopt(fd, SOL_TLS, dir, map + page - 4, len));
		EXPECT_NE(0, setsockopt(fd, SOL_TLS, dir, NULL, len));
		/* nothing of all that stuck */
		EXPECT_ERR(EBUSY, tt_key_get(fd, dir, k, &got));
	}
	EXPECT_EQ(0, ping(self->fd[0], self->fd[1]));
	EXPECT_EQ(0, tt_key_set(self->fd[0], TLS_TX, &self->ab));
	EXPECT_EQ(0, tt_key_set(self->fd[0], TLS_RX, &self->ba));
	tt_install(self->fd[1], &self->ba, &self->ab);
	EXPECT_EQ(0, ping(self->fd[0], self->fd[1]));
}

TEST_F(conn, unknown_option)
{
	int v = 1;
	socklen_t len = sizeof(v);

	install_both(self->fd, &self->ab, &self->ba);
	EXPECT_ERR(ENOPROTOOPT, setsockopt(self->fd[0], SOL_TLS, 77, &v, sizeof(v)));
	EXPECT_ERR(ENOPROTOOPT, getsockopt(self->fd[0], SOL_TLS, 77, &v, &len));
	EXPECT_ERR(ENOPROTOOPT, setsockopt(self->fd[0], SOL_TLS, 0, &v, sizeof(v)));
	EXPECT_ERR(ENOPROTOOPT, setsockopt(self->fd[0], SOL_TLS, 0xffff, &v, sizeof(v)));
	/* other levels go through */
	EXPECT_EQ(0, setsockopt(self->fd[0], IPPROTO_TCP, TCP_NODELAY, &v, sizeof(v)));
	EXPECT_EQ(0, getsockopt(self->fd[0], IPPROTO_TCP, TCP_NODELAY, &v, &len));
	EXPECT_NE(0, v);
}

/* SOL_TLS on a socket without the ULP is an option nobody has */
TEST_F(conn, option_without_ulp)
{
	struct tt_key k;

	EXPECT_ERR(ENOPROTOOPT, tt_key_set(self->fd[0], TLS_TX, &self->ab));
	EXPECT_NE(0, tt_key_get(self->fd[0], TLS_TX, &self->ab, &k));
}

TEST_F(conn, directions_must_agree)
{
	int cipher = variant->cipher == TLS_CIPHER_AES_GCM_128 ? TLS_CIPHER_AES_GCM_256 : TLS_CIPHER_AES_GCM_128;
	int version = variant->version == TLS_1_2_VERSION ? TLS_1_3_VERSION : TLS_1_2_VERSION;
	struct tt_key a = tt_key_make(version, variant->cipher, 3), b = tt_key_make(variant->version, cipher, 4);

	ASSERT_EQ(0, tt_ulp(self->fd[0]));
	ASSERT_EQ(0, tt_ulp(self->fd[1]));
	ASSERT_EQ(0, tt_key_set(self->fd[0], TLS_TX, &self->ab));
	EXPECT_ERR(EINVAL, tt_key_set(self->fd[0], TLS_RX, &a));
	EXPECT_ERR(EINVAL, tt_key_set(self->fd[0], TLS_RX, &b));
	EXPECT_EQ(0, tt_key_set(self->fd[0], TLS_RX, &self->ba));
	ASSERT_EQ(0, tt_key_set(self->fd[1], TLS_RX, &self->ab));
	EXPECT_ERR(EINVAL, tt_key_set(self->fd[1], TLS_TX, &a));
	EXPECT_ERR(EINVAL, tt_key_set(self->fd[1], TLS_TX, &b));
	EXPECT_EQ(0, tt_key_set(self->fd[1], TLS_TX, &self->ba));
	EXPECT_EQ(0, ping(self->fd[0], self->fd[1]));
}

TEST_F(conn, second_key)
{
	struct tt_key k2 = tt_key_make(variant->version, variant->cipher, 9);
	int version = variant->version == TLS_1_2_VERSION ? TLS_1_3_VERSION : TLS_1_2_VERSION;
	int cipher = variant->cipher == TLS_CIPHER_AES_GCM_128 ? TLS_CIPHER_AES_GCM_256 : TLS_CIPHER_AES_GCM_128;
	struct tt_key v = tt_key_make(version, variant->cipher, 9), c = tt_key_make(variant->version, cipher, 9), got;

	install_both(self->fd, &self->ab, &self->ba);
	if (variant->version == TLS_1_2_VERSION) {
		EXPECT_ERR(EBUSY, tt_key_set(self->fd[0], TLS_TX, &k2));
		EXPECT_ERR(EBUSY, tt_key_set(self->fd[0], TLS_RX, &k2));
		EXPECT_ERR(EBUSY, tt_key_set(self->fd[0], TLS_TX, &self->ab));
	} else {
		/* an update keeps version and cipher */
		EXPECT_EQ(-1, tt_key_set(self->fd[0], TLS_TX, &v));
		EXPECT_EQ(-1, tt_key_set(self->fd[0], TLS_TX, &c));
		EXPECT_EQ(-1, tt_key_set(self->fd[0], TLS_RX, &v));
		EXPECT_EQ(-1, tt_key_set(self->fd[0], TLS_RX, &c));
	}
	/* the first key is untouched and in force */
	ASSERT_EQ(0, tt_key_get(self->fd[0], TLS_TX, &self->ab, &got));
	EXPECT_EQ(0, memcmp(got.key, self->ab.key, self->ab.cipher == TLS_CIPHER_AES_GCM_256 ? 32 : 16));
	EXPECT_EQ(0, ping(self->fd[0], self->fd[1]));
}

TEST_F(conn, get_before_and_wrong_length)
{
	union tt_info info, blank;
	struct tt_key got;
	socklen_t len, full = tt_key_pack(&self->ab, &info);
	int fd = self->fd[0];

	ASSERT_EQ(0, tt_ulp(fd));
	for (int dir = TLS_TX; dir <= TLS_RX; dir++) {
		EXPECT_ERR(EBUSY, tt_key_get(fd, dir, &self->ab, &got));
		EXPECT_EQ(0, tt_key_set(fd, dir, dir == TLS_TX ? &self->ab : &self->ba));
		for (len = 0; len < full + 8; len++) {
			socklen_t l = len;

			memset(&info, 0x5a, sizeof(info));
			if (len == sizeof(struct tls_crypto_info)) {
				EXPECT_EQ(0, getsockopt(fd, SOL_TLS, dir, &info, &l));
				EXPECT_EQ(variant->version, info.info.version);
				EXPECT_EQ(variant->cipher, info.info.cipher_type);
				memset(&blank, 0x5a, sizeof(blank));
				EXPECT_EQ(0, memcmp((char *)&info + 4, (char *)&blank + 4, sizeof(info) - 4));
			} else if (len == full) {
				EXPECT_EQ(0, getsockopt(fd, SOL_TLS, dir, &info, &l));
				EXPECT_EQ(full, l);
			} else {
				EXPECT_ERR(EINVAL, getsockopt(fd, SOL_TLS, dir, &info, &l));
			}
		}
		len = (socklen_t)-1;
		EXPECT_ERR(EINVAL, getsockopt(fd, SOL_TLS, dir, &info, &len));
		len = full;
		EXPECT_ERR(EFAULT, getsockopt(fd, SOL_TLS, dir, (void *)16, &len));
		EXPECT_ERR(EFAULT, getsockopt(fd, SOL_TLS, dir, &info, (void *)16));
	}
}

/* the number of the next record, both directions, whatever went by */
TEST_F(conn, get_live_sequence)
{
	struct tt_key got;
	uint8_t type;
	static char buf[40000];

	self->ab.seq = 0x1234567fe;
	self->ba.seq = 255;
	install_both(self->fd, &self->ab, &self->ba);
	ASSERT_EQ(0, tt_key_get(self->fd[0], TLS_TX, &self->ab, &got));
	EXPECT_EQ(self->ab.seq, got.seq);
	EXPECT_EQ(0, memcmp(got.key, self->ab.key, variant->cipher == TLS_CIPHER_AES_GCM_256 ? 32 : 16));
	EXPECT_EQ(0, memcmp(got.salt, self->ab.salt, 4));
	EXPECT_EQ(0, memcmp(got.iv, self->ab.iv, 8));
	/* 3 records and a control record */
	ASSERT_EQ(sizeof(buf), send(self->fd[0], buf, sizeof(buf), 0));
	ASSERT_EQ(2, tt_send_type(self->fd[0], TT_ALERT, "\1\0", 2, 0));
	ASSERT_EQ(0, tt_key_get(self->fd[0], TLS_TX, &self->ab, &got));
	EXPECT_EQ(self->ab.seq + 4, got.seq);
	if (variant->version == TLS_1_3_VERSION) {
		EXPECT_EQ(0, memcmp(got.iv, self->ab.iv, 8));
	}
	/* nothing was read yet at the other end */
	ASSERT_EQ(0, tt_key_get(self->fd[1], TLS_RX, &self->ab, &got));
	EXPECT_GE(self->ab.seq + 1, got.seq);
	ASSERT_EQ(sizeof(buf), tt_read(self->fd[1], buf, sizeof(buf)));
	ASSERT_EQ(2, tt_recv_type(self->fd[1], buf, sizeof(buf), 0, &type, NULL));
	EXPECT_EQ(TT_ALERT, type);
	ASSERT_EQ(0, tt_key_get(self->fd[1], TLS_RX, &self->ab, &got));
	EXPECT_EQ(self->ab.seq + 4, got.seq);
	EXPECT_EQ(0, memcmp(got.key, self->ab.key, variant->cipher == TLS_CIPHER_AES_GCM_256 ? 32 : 16));
	/* the other direction did not move */
	ASSERT_EQ(0, tt_key_get(self->fd[0], TLS_RX, &self->ba, &got));
	EXPECT_EQ(self->ba.seq, got.seq);
	ASSERT_EQ(1, send(self->fd[1], "x", 1, 0));
	ASSERT_EQ(1, recv(self->fd[0], buf, 1, 0));
	ASSERT_EQ(0, tt_key_get(self->fd[1], TLS_TX, &self->ba, &got));
	EXPECT_EQ(256, got.seq);
	ASSERT_EQ(0, tt_key_get(self->fd[0], TLS_RX, &self->ba, &got));
	EXPECT_EQ(256, got.seq);
}

/* what getsockopt gives is enough to go on in user space */
TEST_F(conn, get_hands_over)
{
	struct tt_opened *o = malloc(sizeof(*o));
	struct tt_key got;
	char buf[100];

	tt_install(self->fd[0], &self->ab, &self->ba);
	for (int i = 0; i < 5; i++) {
		tt_fill(buf, sizeof(buf), i);
		ASSERT_EQ(0, tt_key_get(self->fd[0], TLS_TX, &self->ab, &got));
		ASSERT_EQ(sizeof(buf), send(self->fd[0], buf, sizeof(buf), 0));
		ASSERT_EQ(1, tt_recv_rec(self->fd[1], &got, o));
		EXPECT_EQ(sizeof(buf), o->len);
		EXPECT_BYTES(o->data, o->len, i);
	}
	free(o);
}

/* Options that come before the keys: they hold when those are set. */
TEST_F(conn, options_before_keys)
{
	unsigned int one = 1;
	int fd = self->fd[0], v;
	uint16_t lim = 0;
	socklen_t len = sizeof(lim);

	ASSERT_EQ(0, tt_ulp(fd));
	EXPECT_EQ(0, tt_sockopt_get(fd, SOL_TLS, TLS_TX_ZEROCOPY_RO));
	EXPECT_EQ(0, setsockopt(fd, SOL_TLS, TLS_TX_ZEROCOPY_RO, &one, sizeof(one)));
	len = sizeof(v);
	EXPECT_ERR(EINVAL, getsockopt(fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &v, &len));
	len = sizeof(lim);
	if (getsockopt(fd, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &lim, &len))
		SKIP(return, "no TLS_TX_MAX_PAYLOAD_LEN here");
	EXPECT_EQ(TT_MAX, lim);
	/* no version is known, and so no content type to count */
	lim = 63;
	EXPECT_ERR(EINVAL, setsockopt(fd, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &lim, sizeof(lim)));
	lim = 64;
	EXPECT_EQ(0, setsockopt(fd, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &lim, sizeof(lim)));
	/* either direction's key says which version it is */
	ASSERT_EQ(0, tt_key_set(fd, TLS_RX, &self->ba));
	lim = 63;
	EXPECT_ERR(variant->version == TLS_1_3_VERSION ? 0 : EINVAL, setsockopt(fd, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &lim, sizeof(lim)));
	lim = 100;
	EXPECT_EQ(0, setsockopt(fd, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &lim, sizeof(lim)));
	ASSERT_EQ(0, tt_key_set(fd, TLS_TX, &self->ab));
	EXPECT_EQ(1, tt_sockopt_get(fd, SOL_TLS, TLS_TX_ZEROCOPY_RO));
	/* with more room than it takes, and with less */
	len = 8;
	lim = 0;
	ASSERT_EQ(0, getsockopt(fd, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &lim, &len));
	EXPECT_EQ(100, lim);
	EXPECT_EQ(sizeof(lim), len);
	len = 1;
	EXPECT_ERR(EINVAL, getsockopt(fd, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &lim, &len));
	struct tt_opened *o = malloc(sizeof(*o));
	char buf[250];

	ASSERT_EQ(sizeof(buf), send(fd, buf, sizeof(buf), 0));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(1, tt_recv_rec(self->fd[1], &self->ab, o));
		EXPECT_EQ(i < 2 ? 100 : 50, o->len);
	}
	free(o);
}

TEST_F(conn, tx_zerocopy_ro)
{
	unsigned int v = 1;
	socklen_t len = sizeof(v);
	int fd = self->fd[0];
	char c[2];

	install_both(self->fd, &self->ab, &self->ba);
	ASSERT_EQ(0, getsockopt(fd, SOL_TLS, TLS_TX_ZEROCOPY_RO, &v, &len));
	EXPECT_EQ(0, v);
	v = 1;
	EXPECT_EQ(0, setsockopt(fd, SOL_TLS, TLS_TX_ZEROCOPY_RO, &v, sizeof(v)));
	v = 0;
	ASSERT_EQ(0, getsockopt(fd, SOL_TLS, TLS_TX_ZEROCOPY_RO, &v, &len));
	EXPECT_EQ(1, v);
	v = 2;
	EXPECT_ERR(EINVAL, setsockopt(fd, SOL_TLS, TLS_TX_ZEROCOPY_RO, &v, sizeof(v)));
	EXPECT_ERR(EINVAL, setsockopt(fd, SOL_TLS, TLS_TX_ZEROCOPY_RO, c, sizeof(c)));
	EXPECT_ERR(EFAULT, setsockopt(fd, SOL_TLS, TLS_TX_ZEROCOPY_RO, (void *)16, sizeof(v)));
	len = 2;
	EXPECT_ERR(EINVAL, getsockopt(fd, SOL_TLS, TLS_TX_ZEROCOPY_RO, &v, &len));
	EXPECT_EQ(0, ping(self->fd[0], self->fd[1]));
}

TEST_F(conn, rx_expect_no_pad)
{
	int v = 1, fd = self->fd[0];
	socklen_t len = sizeof(v);

	ASSERT_EQ(0, tt_ulp(fd));
	EXPECT_ERR(EINVAL, setsockopt(fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &v, sizeof(v)));
	ASSERT_EQ(0, tt_key_set(fd, TLS_TX, &self->ab));
	EXPECT_ERR(EINVAL, setsockopt(fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &v, sizeof(v)));
	ASSERT_EQ(0, tt_key_set(fd, TLS_RX, &self->ba));
	if (variant->version == TLS_1_2_VERSION) {
		EXPECT_ERR(EINVAL, setsockopt(fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &v, sizeof(v)));
		EXPECT_ERR(EINVAL, getsockopt(fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &v, &len));
		return;
	}
	ASSERT_EQ(0, getsockopt(fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &v, &len));
	EXPECT_EQ(0, v);
	v = 1;
	EXPECT_EQ(0, setsockopt(fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &v, sizeof(v)));
	v = 0;
	ASSERT_EQ(0, getsockopt(fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &v, &len));
	EXPECT_EQ(1, v);
	v = 2;
	EXPECT_ERR(EINVAL, setsockopt(fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &v, sizeof(v)));
	EXPECT_ERR(EINVAL, setsockopt(fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &v, 2));
	len = 2;
	EXPECT_ERR(EINVAL, getsockopt(fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &v, &len));
	/* a wrong promise costs nothing: padded and control records arrive all the same */
	for (int i = 0; i < 3; i++) {
		char buf[600], in[700];
		struct tt_rec r = { .type = i == 1 ? TT_HANDSHAKE : TT_DATA, .data = buf, .len = sizeof(buf), .pad = i * 100 };
		uint8_t type;

		tt_fill(buf, sizeof(buf), i);
		tt_send_rec(self->fd[1], &self->ba, &r);
		memset(in, 0, sizeof(in));
		ASSERT_EQ(sizeof(buf), tt_recv_type(fd, in, sizeof(in), 0, &type, NULL));
		EXPECT_EQ(r.type, type);
		EXPECT_BYTES(in, sizeof(buf), i);
		for (size_t j = sizeof(buf); j < sizeof(in); j++) {
			ASSERT_EQ(0, in[j]);
		}
	}
}

TEST_F(conn, tx_max_payload_len)
{
	struct tt_opened *o = malloc(sizeof(*o));
	uint16_t v = 0, lim, min = variant->version == TLS_1_3_VERSION ? 63 : 64;
	socklen_t len = sizeof(v);
	int fd = self->fd[0];
	char buf[5000];
	size_t got = 0;

	tt_install(fd, &self->ab, NULL);
	ASSERT_EQ(0, getsockopt(fd, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &v, &len));
	EXPECT_EQ(TT_MAX, v);
	lim = min - 1;
	EXPECT_ERR(EINVAL, setsockopt(fd, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &lim, sizeof(lim)));
	lim = TT_MAX + 1;
	EXPECT_ERR(EINVAL, setsockopt(fd, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &lim, sizeof(lim)));
	lim = 512;
	EXPECT_ERR(EINVAL, setsockopt(fd, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &lim, 1));
	EXPECT_ERR(EINVAL, setsockopt(fd, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &lim, 4));
	EXPECT_ERR(EFAULT, setsockopt(fd, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, (void *)16, 2));
	for (int i = 0; i < 3; i++) {
		lim = i == 0 ? min : i == 1 ? 1000 : TT_MAX;
		ASSERT_EQ(0, setsockopt(fd, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &lim, sizeof(lim)));
		ASSERT_EQ(0, getsockopt(fd, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &v, &len));
		EXPECT_EQ(lim, v);
		tt_fill(buf, sizeof(buf), 0);
		ASSERT_EQ(sizeof(buf), send(fd, buf, sizeof(buf), 0));
		for (got = 0; got < sizeof(buf); got += o->len) {
			ASSERT_EQ(1, tt_recv_rec(self->fd[1], &self->ab, o));
			ASSERT_EQ(sizeof(buf) - got < lim ? sizeof(buf) - got : lim, o->len);
			ASSERT_BYTES(o->data, o->len, got);
		}
	}
	/* not while a record is open */
	ASSERT_EQ(10, send(fd, buf, 10, MSG_MORE));
	lim = 100;
	EXPECT_ERR(EBUSY, setsockopt(fd, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &lim, sizeof(lim)));
	ASSERT_EQ(10, send(fd, buf, 10, 0));
	EXPECT_EQ(0, setsockopt(fd, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &lim, sizeof(lim)));
	free(o);
}

static int disconnect(int fd)
{
	struct sockaddr a = { .sa_family = AF_UNSPEC };

	return connect(fd, &a, sizeof(a));
}

/* CVE-2025-37756 */
TEST_F(conn, disconnect)
{
	char buf[3000];

	ASSERT_EQ(0, tt_ulp(self->fd[0]));
	EXPECT_ERR(EOPNOTSUPP, disconnect(self->fd[0]));
	ASSERT_EQ(0, tt_key_set(self->fd[0], TLS_TX, &self->ab));
	EXPECT_ERR(EOPNOTSUPP, disconnect(self->fd[0]));
	ASSERT_EQ(0, tt_key_set(self->fd[0], TLS_RX, &self->ba));
	EXPECT_ERR(EOPNOTSUPP, disconnect(self->fd[0]));
	tt_install(self->fd[1], &self->ba, &self->ab);
	EXPECT_EQ(0, ping(self->fd[0], self->fd[1]));
	/* with data queued in both directions, half of it read */
	tt_fill(buf, sizeof(buf), 0);
	ASSERT_EQ(sizeof(buf), send(self->fd[0], buf, sizeof(buf), 0));
	ASSERT_EQ(sizeof(buf), send(self->fd[1], buf, sizeof(buf), 0));
	ASSERT_EQ(100, tt_read(self->fd[1], buf, 100));
	EXPECT_ERR(EOPNOTSUPP, disconnect(self->fd[1]));
	EXPECT_ERR(EOPNOTSUPP, disconnect(self->fd[0]));
	ASSERT_EQ(2900, tt_read(self->fd[1], buf, 2900));
	EXPECT_BYTES(buf, 2900, 100);
	ASSERT_EQ(3000, tt_read(self->fd[0], buf, 3000));
	EXPECT_BYTES(buf, 3000, 0);
	EXPECT_EQ(0, ping(self->fd[0], self->fd[1]));
}

/* CVE-2023-0461: the ULP's data must never be shared by a listener and its children */
TEST_F(conn, listen_after_use)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	char c;

	install_both(self->fd, &self->ab, &self->ba);
	EXPECT_NE(0, listen(self->fd[0], 1));
	EXPECT_NE(0, disconnect(self->fd[0]));
	EXPECT_NE(0, listen(self->fd[0], 1));
	EXPECT_EQ(0, ping(self->fd[0], self->fd[1]));
	/* bring it to TCP_CLOSE by way of a reset */
	struct linger lg = { 1, 0 };

	ASSERT_EQ(0, setsockopt(self->fd[1], SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
	close(self->fd[1]);
	self->fd[1] = -1;
	ASSERT_NE(0, tt_poll(self->fd[0], POLLIN, 10000));
	EXPECT_EQ(-1, recv(self->fd[0], &c, 1, 0));
	EXPECT_NE(0, disconnect(self->fd[0]));
	EXPECT_NE(0, listen(self->fd[0], 1));
	EXPECT_NE(0, connect(self->fd[0], (void *)&any, sizeof(any)));
	EXPECT_ERR(EEXIST, tt_ulp(self->fd[0]));
}

TEST_F(conn, child_has_no_ulp)
{
	struct sockaddr_storage addr;
	socklen_t len, nl;
	char name[16];
	int l = tt_listener(variant->family, &addr, &len), c, s;

	EXPECT_ERR(ENOTCONN, tt_ulp(l));
	c = tt_connect(variant->family, &addr, len);
	tt_install(c, &self->ab, &self->ba);
	s = accept(l, NULL, NULL);
	ASSERT_LE(0, s);
	nl = sizeof(name);
	EXPECT_EQ(0, getsockopt(s, IPPROTO_TCP, TCP_ULP, name, &nl));
	EXPECT_EQ(0, nl);
	tt_install(s, &self->ba, &self->ab);
	EXPECT_EQ(0, ping(c, s));
	close(l);
	EXPECT_EQ(0, ping(c, s));
	close(c);
	close(s);
}

/* CVE-2018-5703, and IPV6_ADDRFORM, which swaps the protocol under a socket */
TEST_F(conn, family_stays)
{
	struct sockaddr_storage before, after;
	socklen_t len = sizeof(before);
	int v = AF_INET, dom = 0;

	memset(&before, 0, sizeof(before));
	memset(&after, 0, sizeof(after));
	ASSERT_EQ(0, getpeername(self->fd[0], (void *)&before, &len));
	install_both(self->fd, &self->ab, &self->ba);
	if (variant->family != TT_IP4) {
		EXPECT_NE(0, setsockopt(self->fd[0], IPPROTO_IPV6, IPV6_ADDRFORM, &v, sizeof(v)));
		v = 3;
		EXPECT_EQ(0, setsockopt(self->fd[0], IPPROTO_IPV6, IPV6_UNICAST_HOPS, &v, sizeof(v)));
		v = 0;
		EXPECT_EQ(0, setsockopt(self->fd[1], IPPROTO_IPV6, IPV6_RECVPKTINFO, &v, sizeof(v)));
	} else {
		v = 3;
		EXPECT_EQ(0, setsockopt(self->fd[0], IPPROTO_IP, IP_TTL, &v, sizeof(v)));
	}
	len = sizeof(after);
	ASSERT_EQ(0, getpeername(self->fd[0], (void *)&after, &len));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	len = sizeof(dom);
	ASSERT_EQ(0, getsockopt(self->fd[0], SOL_SOCKET, SO_DOMAIN, &dom, &len));
	EXPECT_EQ(variant->family == TT_IP4 ? AF_INET : AF_INET6, dom);
	EXPECT_EQ(0, ping(self->fd[0], self->fd[1]));
	/* plain sockets of both families are not affected */
	for (int f = TT_IP4; f <= TT_MAPPED; f++) {
		int fd[2];

		tt_tcp_pair(f, fd);
		EXPECT_EQ(0, ping(fd[0], fd[1]));
		close(fd[0]);
		close(fd[1]);
	}
}

TEST_F(conn, send_flags)
{
	struct tt_opened *o = malloc(sizeof(*o));
	int fd = self->fd[0];

	tt_install(fd, &self->ab, &self->ba);
	EXPECT_ERR(EOPNOTSUPP, send(fd, "x", 1, MSG_OOB));
	EXPECT_ERR(EOPNOTSUPP, send(fd, "x", 1, MSG_ZEROCOPY));
	EXPECT_ERR(EOPNOTSUPP, send(fd, "x", 1, MSG_FASTOPEN));
	EXPECT_ERR(EINVAL, send(fd, "x", 1, MSG_MORE | MSG_EOR));
	EXPECT_ERR(EINVAL, tt_send_type(fd, TT_ALERT, "x", 1, MSG_MORE));
	EXPECT_ERR(EINVAL, tt_send_type(fd, TT_DATA, "x", 1, MSG_MORE));
	/* with a record open */
	ASSERT_EQ(2, send(fd, "ab", 2, MSG_MORE));
	EXPECT_ERR(EINVAL, send(fd, "x", 1, MSG_MORE | MSG_EOR));
	EXPECT_ERR(EINVAL, tt_send_type(fd, TT_ALERT, "x", 1, MSG_MORE));
	EXPECT_ERR(EOPNOTSUPP, send(fd, "x", 1, MSG_OOB));
	EXPECT_EQ(2, send(fd, "cd", 2, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_EOR));
	/* nothing of what was refused is on the wire */
	ASSERT_EQ(1, tt_recv_rec(self->fd[1], &self->ab, o));
	EXPECT_EQ(4, o->len);
	EXPECT_EQ(0, memcmp(o->data, "abcd", 4));
	free(o);
}

TEST_F(conn, record_type_cmsg)
{
	union { struct cmsghdr h; char b[2 * CMSG_SPACE(4)]; } c;
	struct iovec iov = { "x", 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c };
	struct tt_opened *o = malloc(sizeof(*o));
	int fd = self->fd[0];

	tt_install(fd, &self->ab, &self->ba);
	memset(&c, 0, sizeof(c));
	/* no room for the byte */
	c.h.cmsg_level = SOL_TLS;
	c.h.cmsg_type = TLS_SET_RECORD_TYPE;
	c.h.cmsg_len = CMSG_LEN(0);
	m.msg_controllen = CMSG_SPACE(0);
	EXPECT_ERR(EINVAL, sendmsg(fd, &m, 0));
	/* a type nobody knows at SOL_TLS */
	c.h.cmsg_type = 99;
	c.h.cmsg_len = CMSG_LEN(1);
	m.msg_controllen = CMSG_SPACE(1);
	EXPECT_ERR(EINVAL, sendmsg(fd, &m, 0));
	c.h.cmsg_type = TLS_GET_RECORD_TYPE;
	EXPECT_ERR(EINVAL, sendmsg(fd, &m, 0));
	/* a header longer than the buffer that holds it */
	c.h.cmsg_type = TLS_SET_RECORD_TYPE;
	c.h.cmsg_len = 4096;
	EXPECT_ERR(EINVAL, sendmsg(fd, &m, 0));
	/* a good one */
	ASSERT_EQ(1, tt_send_type(fd, 77, "y", 1, 0));
	ASSERT_EQ(1, tt_recv_rec(self->fd[1], &self->ab, o));
	EXPECT_EQ(77, o->type);
	EXPECT_EQ(1, o->len);
	EXPECT_EQ('y', o->data[0]);
	free(o);
}

/* each socket has its own keys and its own state */
TEST_F(conn, several_sockets)
{
	int fd[8][2];
	struct tt_key ab[8], ba[8];
	char c;

	for (int i = 0; i < 8; i++) {
		/* versions and ciphers side by side */
		int ver = i & 1 ? TLS_1_2_VERSION : TLS_1_3_VERSION;
		int ciph = i & 2 ? TLS_CIPHER_AES_GCM_256 : TLS_CIPHER_AES_GCM_128;

		tt_tcp_pair(variant->family, fd[i]);
		ab[i] = tt_key_make(ver, ciph, 100 + i);
		ba[i] = tt_key_make(ver, ciph, 200 + i);
		install_both(fd[i], &ab[i], &ba[i]);
	}
	for (int round = 0; round < 3; round++)
		for (int i = 7; i >= 0; i--) {
			ASSERT_EQ(0, ping(fd[i][0], fd[i][1]));
		}
	/* one that fails does not touch the others */
	close(fd[3][0]);
	EXPECT_EQ(0, recv(fd[3][1], &c, 1, 0));
	for (int i = 0; i < 8; i++)
		if (i != 3) {
			ASSERT_EQ(0, ping(fd[i][0], fd[i][1]));
		}
}

TEST_F(conn, dup_and_fork)
{
	int d, st;
	pid_t pid;

	install_both(self->fd, &self->ab, &self->ba);
	d = dup(self->fd[0]);
	ASSERT_LE(0, d);
	EXPECT_EQ(0, ping(d, self->fd[1]));
	close(self->fd[0]);
	EXPECT_EQ(0, ping(d, self->fd[1]));
	self->fd[0] = d;
	pid = fork();
	if (!pid) {
		int r = ping(d, self->fd[1]);

		close(d);
		close(self->fd[1]);
		_exit(r ? 1 : 0);
	}
	ASSERT_EQ(pid, waitpid(pid, &st, 0));
	EXPECT_EQ(0, st);
	/* the sequence went on in the child and goes on here */
	EXPECT_EQ(0, ping(d, self->fd[1]));
}

TEST_F(conn, shutdown_write)
{
	char buf[5000], in[5000];

	install_both(self->fd, &self->ab, &self->ba);
	tt_fill(buf, sizeof(buf), 0);
	ASSERT_EQ(sizeof(buf), send(self->fd[0], buf, sizeof(buf), 0));
	ASSERT_EQ(0, shutdown(self->fd[0], SHUT_WR));
	EXPECT_ERR(EPIPE, send(self->fd[0], buf, 1, MSG_NOSIGNAL));
	/* everything, then the end, which stays */
	ASSERT_EQ(sizeof(in), tt_read(self->fd[1], in, sizeof(in)));
	EXPECT_BYTES(in, sizeof(in), 0);
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, recv(self->fd[1], in, sizeof(in), 0));
		EXPECT_EQ(0, recv(self->fd[1], in, sizeof(in), MSG_PEEK | MSG_DONTWAIT));
	}
	EXPECT_NE(0, tt_poll(self->fd[1], POLLIN, 0) & POLLIN);
	/* the other half is still open */
	ASSERT_EQ(sizeof(buf), send(self->fd[1], buf, sizeof(buf), 0));
	ASSERT_EQ(sizeof(in), tt_read(self->fd[0], in, sizeof(in)));
	EXPECT_BYTES(in, sizeof(in), 0);
}

TEST_F(conn, shutdown_read)
{
	char buf[100];

	install_both(self->fd, &self->ab, &self->ba);
	ASSERT_EQ(0, shutdown(self->fd[1], SHUT_RD));
	EXPECT_EQ(0, recv(self->fd[1], buf, sizeof(buf), 0));
	EXPECT_NE(0, tt_poll(self->fd[1], POLLIN, 0) & POLLIN);
	/* it may send all the same */
	ASSERT_EQ(5, send(self->fd[1], "hello", 5, 0));
	ASSERT_EQ(5, tt_read(self->fd[0], buf, 5));
	EXPECT_EQ(0, shutdown(self->fd[1], SHUT_RDWR));
	EXPECT_EQ(0, recv(self->fd[0], buf, sizeof(buf), 0));
	EXPECT_ERR(EPIPE, send(self->fd[1], "x", 1, MSG_NOSIGNAL));
}

enum { ULP_ONLY, KEY_TX, KEY_RX, KEY_BOTH, N_SETUP };
enum { IDLE, TX_FULL, RX_QUEUED, RX_PARTIAL, RX_HALF_READ, TX_OPEN, RX_CONTROL, PEER_GONE, N_LOAD };
enum { CLOSE, SHUT_WR_CLOSE, SHUT_RD_CLOSE, SHUT_BOTH_CLOSE, RESET, N_END };

/*
 * Close in every state: each way to end a connection, in each stage of set-up, with each kind of data about. CVE-2023-1075
 * and CVE-2026-23240 (close under write pressure) are among them. What is asserted is that the peer sees an end; the
 * rest is for the kernel log.
 */
TEST_F(conn, close_in_every_state)
{
	static char big[70000];

	for (int setup = 0; setup < N_SETUP; setup++)
	for (int load = 0; load < N_LOAD; load++)
	for (int end = 0; end < N_END; end++) {
		struct tt_key ab = self->ab, ba = self->ba;
		struct linger lg = { 1, 0 };
		uint8_t rec[200], buf[4096];
		struct tt_rec r = { .type = load == RX_CONTROL ? TT_HANDSHAKE : TT_DATA, .data = big, .len = 100 };
		int fd[2], n, ev;

		tt_tcp_pair(variant->family, fd);
		tt_sockopt(fd[0], SOL_SOCKET, SO_SNDBUF, 8192);
		tt_install(fd[0], setup & KEY_TX ? &ab : NULL, setup & KEY_RX ? &ba : NULL);
		tt_nonblock(fd[0], true);
		n = tt_seal(&ba, &r, rec);
		switch (load) {
		case TX_FULL:
			while (send(fd[0], big, sizeof(big), MSG_NOSIGNAL) > 0)
				;
			break;
		case RX_QUEUED:
		case RX_HALF_READ:
		case RX_CONTROL:
			tt_write(fd[1], rec, n);
			tt_poll(fd[0], POLLIN, 5000);
			if (load == RX_HALF_READ)
				recv(fd[0], buf, 10, 0);
			if (load == RX_CONTROL)
				recv(fd[0], buf, 10, 0);
			break;
		case RX_PARTIAL:
			tt_write(fd[1], rec, n / 2);
			recv(fd[0], buf, 10, 0);
			break;
		case TX_OPEN:
			send(fd[0], "x", 1, MSG_MORE);
			break;
		case PEER_GONE:
			shutdown(fd[1], SHUT_RDWR);
			send(fd[0], "x", 1, MSG_NOSIGNAL);
			send(fd[0], "x", 1, MSG_NOSIGNAL);
			break;
		}
		switch (end) {
		case SHUT_WR_CLOSE:
			shutdown(fd[0], SHUT_WR);
			break;
		case SHUT_RD_CLOSE:
			shutdown(fd[0], SHUT_RD);
			break;
		case SHUT_BOTH_CLOSE:
			shutdown(fd[0], SHUT_RDWR);
			break;
		case RESET:
			ASSERT_EQ(0, setsockopt(fd[0], SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
			break;
		}
		close(fd[0]);
		ev = 0;
		while (tt_poll(fd[1], POLLIN, 10000) > 0) {
			ssize_t got = recv(fd[1], big, sizeof(big), 0);

			ev = got <= 0;
			if (ev)
				break;
		}
		EXPECT_TRUE(ev) TH_LOG("no end seen: setup %d load %d end %d", setup, load, end);
		close(fd[1]);
	}
}

/* data that MSG_MORE held back is sent before the end, as TCP does */
TEST_F(conn, held_data_at_the_end)
{
	struct tt_opened *o = malloc(sizeof(*o));

	for (int how = 0; how < 2; how++) {
		struct tt_key ab = self->ab;
		int fd[2];

		tt_tcp_pair(variant->family, fd);
		tt_install(fd[0], &ab, NULL);
		ASSERT_EQ(5, send(fd[0], "first", 5, 0));
		ASSERT_EQ(4, send(fd[0], "held", 4, MSG_MORE));
		if (how)
			shutdown(fd[0], SHUT_WR);
		else
			close(fd[0]);
		ASSERT_EQ(1, tt_recv_rec(fd[1], &ab, o));
		EXPECT_EQ(5, o->len);
		ASSERT_EQ(1, tt_recv_rec(fd[1], &ab, o));
		EXPECT_EQ(4, o->len);
		EXPECT_EQ(0, memcmp(o->data, "held", 4));
		EXPECT_EQ(0, tt_recv_rec(fd[1], &ab, o));
		if (how)
			close(fd[0]);
		close(fd[1]);
	}
	free(o);
}

/* one direction only: the other stays what it was */
TEST_F(conn, tx_only)
{
	struct tt_opened *o = malloc(sizeof(*o));
	char buf[10];

	tt_install(self->fd[0], &self->ab, NULL);
	ASSERT_EQ(5, send(self->fd[0], "hello", 5, 0));
	ASSERT_EQ(1, tt_recv_rec(self->fd[1], &self->ab, o));
	EXPECT_EQ(5, o->len);
	ASSERT_EQ(5, send(self->fd[1], "plain", 5, 0));
	ASSERT_EQ(5, tt_read(self->fd[0], buf, 5));
	EXPECT_EQ(0, memcmp(buf, "plain", 5));
	free(o);
}

TEST_F(conn, rx_only)
{
	char buf[10];

	tt_install(self->fd[0], NULL, &self->ba);
	tt_send_data(self->fd[1], &self->ba, TT_DATA, "hello", 5);
	ASSERT_EQ(5, tt_read(self->fd[0], buf, 5));
	EXPECT_EQ(0, memcmp(buf, "hello", 5));
	ASSERT_EQ(5, send(self->fd[0], "plain", 5, 0));
	ASSERT_EQ(5, tt_read(self->fd[1], buf, 5));
	EXPECT_EQ(0, memcmp(buf, "plain", 5));
}

/* the order in which the keys come does not matter, nor does a pause between them */
TEST_F(conn, keys_in_any_order)
{
	char buf[10];

	ASSERT_EQ(0, tt_ulp(self->fd[0]));
	ASSERT_EQ(0, tt_key_set(self->fd[0], TLS_RX, &self->ba));
	ASSERT_EQ(0, tt_ulp(self->fd[1]));
	ASSERT_EQ(0, tt_key_set(self->fd[1], TLS_TX, &self->ba));
	ASSERT_EQ(3, send(self->fd[1], "one", 3, 0));
	ASSERT_EQ(3, tt_read(self->fd[0], buf, 3));
	ASSERT_EQ(5, send(self->fd[0], "plain", 5, 0));
	ASSERT_EQ(5, tt_read(self->fd[1], buf, 5));
	EXPECT_EQ(0, memcmp(buf, "plain", 5));
	ASSERT_EQ(0, tt_key_set(self->fd[1], TLS_RX, &self->ab));
	ASSERT_EQ(0, tt_key_set(self->fd[0], TLS_TX, &self->ab));
	EXPECT_EQ(0, ping(self->fd[0], self->fd[1]));
}

TEST_HARNESS_MAIN
