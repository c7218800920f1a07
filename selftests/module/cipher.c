// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Every cipher under every version it has, both ways, against records made and opened in user space by another
 * implementation. A cipher that the kernel has no algorithm for is skipped, and says so.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

/* ---- the other implementation, and what <linux/tls.h> says ---- */

static size_t hex(uint8_t *out, const char *s)
{
	size_t n = 0;
	unsigned int v;

	for (; sscanf(s, "%2x", &v) == 1; s += 2)
		out[n++] = v;
	return n;
}

/* RFC 8998 A.1 and A.2: SM4 in the two modes that the tests have code of their own for */
TEST(vectors_of_rfc8998)
{
	struct { uint16_t cipher; const char *sealed, *tag; } t[] = {
		{ TLS_CIPHER_SM4_GCM, "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735d82710ca5c22f0ccfa7cbf93d496ac15"
				      "a56834cbcf98c397b4024a2691233b8d", "83de3541e4c2b58177e065a9bf7b62ec" },
		{ TLS_CIPHER_SM4_CCM, "48af93501fa62adbcd414cce6034d895dda1bf8f132f042098661572e7483094fd12e518ce062c98acee28d95df4416b"
				      "ed31a2f04476c18bb40c84a74b97dc5b", "16842d4fa186f56ab33256971fa110f4" },
	};
	const char *letters = "aabbccddeeffeeaa";
	uint8_t key[16], nonce[12], aad[20], plain[64], sealed[64], tag[16], out[64], got[16];

	hex(key, "0123456789abcdeffedcba9876543210");
	hex(nonce, "00001234567800000000abcd");
	hex(aad, "feedfacedeadbeeffeedfacedeadbeefabaddad2");
	for (int i = 0; i < 8; i++) {
		char two[3] = { letters[2 * i], letters[2 * i], 0 };

		for (int j = 0; j < 8; j++)
			hex(plain + 8 * i + j, two);
	}
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(64, hex(sealed, t[i].sealed));
		ASSERT_EQ(16, hex(tag, t[i].tag));
		ASSERT_EQ(0, tt_aead(t[i].cipher, true, key, nonce, aad, 20, plain, out, 64, got));
		EXPECT_EQ(0, memcmp(out, sealed, 64));
		EXPECT_EQ(0, memcmp(got, tag, 16));
		ASSERT_EQ(0, tt_aead(t[i].cipher, false, key, nonce, aad, 20, sealed, out, 64, tag));
		EXPECT_EQ(0, memcmp(out, plain, 64));
		tag[15] ^= 1;
		EXPECT_EQ(-1, tt_aead(t[i].cipher, false, key, nonce, aad, 20, sealed, out, 64, tag));
	}
}

/* What programs compiled against the header pass: sizes, and the order info, iv, key, salt, sequence number. */
TEST(structures)
{
	const uint8_t size[TT_CIPHERS] = { 40, 56, 40, 56, 40, 40, 40, 56 };

	for (int i = 0; i < TT_CIPHERS; i++) {
		const struct tt_cipher *c = &tt_ciphers[i];

		EXPECT_EQ(51 + i, c->type);
		EXPECT_EQ(size[i], c->info) TH_LOG("%s", c->name);
		EXPECT_EQ(4, c->iv_at);
		EXPECT_EQ(4 + c->iv, c->key_at);
		EXPECT_EQ(c->key_at + c->key, c->salt_at);
		EXPECT_EQ(c->salt_at + c->salt, c->seq_at);
		EXPECT_EQ(c->seq_at + 8, c->info);
		EXPECT_EQ(12, c->iv + c->salt);
	}
}

/* a message in both directions */
static int works(int fd[2], uint16_t version, uint16_t cipher)
{
	struct tt_key ab = tt_key_make(version, cipher, 1), ba = tt_key_make(version, cipher, 2);
	uint8_t buf[100], got[100];

	if (tt_key_set(fd[0], TLS_TX, &ab) || tt_key_set(fd[0], TLS_RX, &ba))
		return -errno;
	tt_install(fd[1], &ba, &ab);
	for (int i = 0; i < 2; i++) {
		tt_fill(buf, sizeof(buf), i);
		if (send(fd[i], buf, sizeof(buf), 0) != sizeof(buf) || tt_read(fd[!i], got, sizeof(got)) != sizeof(got) ||
		    tt_diff(got, sizeof(got), i) >= 0)
			return -1;
	}
	return 0;
}

static int modprobe_path(char *old, size_t len, const char *path)
{
	int fd = open("/proc/sys/kernel/modprobe", O_RDWR);
	ssize_t n;

	if (fd < 0)
		return -1;
	if (old) {
		n = read(fd, old, len - 1);
		old[n < 0 ? 0 : n] = 0;
	}
	n = pwrite(fd, path, strlen(path), 0);
	close(fd);
	return n == (ssize_t)strlen(path) ? 0 : -1;
}

/*
 * Where the algorithm is missing, the socket can still have another cipher: in either direction, any number of times. Before
 * anything has loaded them, and while nothing can be loaded, algorithms that are modules are missing.
 */
TEST(missing_algorithm)
{
	char old[256];
	int missing = 0, off;

	/* what the rest needs */
	ASSERT_EQ(0, tt_cipher_refused(TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256));
	off = modprobe_path(old, sizeof(old), "/nonexistent\n");
	for (int i = 0; i < TT_CIPHERS; i++) {
		struct tt_key k = tt_key_make(TLS_1_2_VERSION, tt_ciphers[i].type, 1), got;
		char b[4];
		int fd[2];

		if (tt_cipher_refused(TLS_1_2_VERSION, tt_ciphers[i].type) != ENOENT)
			continue;
		missing++;
		tt_tcp_pair(TT_IP4, fd);
		EXPECT_EQ(0, tt_ulp(fd[0]));
		for (int n = 0; n < 3; n++) {
			EXPECT_ERR(ENOENT, tt_key_set(fd[0], TLS_TX, &k));
			EXPECT_ERR(ENOENT, tt_key_set(fd[0], TLS_RX, &k));
			EXPECT_ERR(EBUSY, tt_key_get(fd[0], TLS_TX, &k, &got));
			EXPECT_ERR(EBUSY, tt_key_get(fd[0], TLS_RX, &k, &got));
		}
		EXPECT_EQ(4, send(fd[0], "text", 4, 0));
		EXPECT_EQ(4, tt_read(fd[1], b, 4));
		/* and not what was refused is what the other direction must agree with */
		EXPECT_EQ(0, works(fd, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256)) TH_LOG("after %s", tt_ciphers[i].name);
		close(fd[0]);
		close(fd[1]);
	}
	if (!off) {
		ASSERT_EQ(0, modprobe_path(NULL, 0, old));
	}
	if (!missing)
		SKIP(return, "this kernel has them all, and not as modules");
}

/* ARIA was never given to TLS 1.3 */
TEST(aria_is_tls12_only)
{
	for (int i = 0; i < TT_CIPHERS; i++) {
		struct tt_key k = tt_key_make(TLS_1_3_VERSION, tt_ciphers[i].type, 1), k12 = tt_key_make(TLS_1_2_VERSION, tt_ciphers[i].type, 1);
		int fd[2];

		if (!tt_ciphers[i].tls12_only)
			continue;
		tt_tcp_pair(TT_IP4, fd);
		ASSERT_EQ(0, tt_ulp(fd[0]));
		EXPECT_ERR(EINVAL, tt_key_set(fd[0], TLS_TX, &k));
		EXPECT_ERR(EINVAL, tt_key_set(fd[0], TLS_RX, &k));
		if (tt_key_set(fd[0], TLS_TX, &k12) == 0) {
			EXPECT_ERR(EINVAL, tt_key_set(fd[0], TLS_RX, &k));
			EXPECT_EQ(0, tt_key_set(fd[0], TLS_RX, &k12));
		} else {
			EXPECT_EQ(ENOENT, errno);
			EXPECT_EQ(0, works(fd, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128));
		}
		close(fd[0]);
		close(fd[1]);
	}
}

/* No cipher before the first and none behind the last of them. */
TEST(unknown_ciphers)
{
	int fd[2], none[] = { 0, 1, 50, 59, 60, 255, 256 + 51, 65535 };
	union tt_info info;

	tt_tcp_pair(TT_IP4, fd);
	ASSERT_EQ(0, tt_ulp(fd[0]));
	memset(&info, 0, sizeof(info));
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
	for (int version = TLS_1_2_VERSION; version <= TLS_1_3_VERSION; version++)
	for (size_t len = 4; len <= sizeof(info); len += 4) {
		info.info.version = version;
		info.info.cipher_type = none[i];
		EXPECT_ERR(EINVAL, setsockopt(fd[0], SOL_TLS, TLS_TX, &info, len));
		EXPECT_ERR(EINVAL, setsockopt(fd[0], SOL_TLS, TLS_RX, &info, len));
	}
	EXPECT_EQ(0, works(fd, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128));
	close(fd[0]);
	close(fd[1]);
}

/* ---- each cipher and version ---- */

FIXTURE(cipher)
{
	int peer;		/* bare TCP */
	int sk;			/* with the ULP, no keys yet */
	struct tt_key tx, rx;	/* of sk */
	struct tt_opened *o;
	uint8_t *data, *buf;
};

FIXTURE_VARIANT(cipher)
{
	TT_VARIANT_FIELDS;
};

TT_VARIANT(cipher, tls12_aes_gcm_128, TT_IP4, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_128);
TT_VARIANT(cipher, tls13_aes_gcm_128, TT_IP6, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128);
TT_VARIANT(cipher, tls12_aes_gcm_256, TT_MAPPED, TLS_1_2_VERSION, TLS_CIPHER_AES_GCM_256);
TT_VARIANT(cipher, tls13_aes_gcm_256, TT_IP4, TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256);
TT_VARIANT(cipher, tls12_aes_ccm_128, TT_IP6, TLS_1_2_VERSION, TLS_CIPHER_AES_CCM_128);
TT_VARIANT(cipher, tls13_aes_ccm_128, TT_IP4, TLS_1_3_VERSION, TLS_CIPHER_AES_CCM_128);
TT_VARIANT(cipher, tls12_chacha20_poly1305, TT_IP4, TLS_1_2_VERSION, TLS_CIPHER_CHACHA20_POLY1305);
TT_VARIANT(cipher, tls13_chacha20_poly1305, TT_IP6, TLS_1_3_VERSION, TLS_CIPHER_CHACHA20_POLY1305);
TT_VARIANT(cipher, tls12_sm4_gcm, TT_IP4, TLS_1_2_VERSION, TLS_CIPHER_SM4_GCM);
TT_VARIANT(cipher, tls13_sm4_gcm, TT_IP6, TLS_1_3_VERSION, TLS_CIPHER_SM4_GCM);
TT_VARIANT(cipher, tls12_sm4_ccm, TT_MAPPED, TLS_1_2_VERSION, TLS_CIPHER_SM4_CCM);
TT_VARIANT(cipher, tls13_sm4_ccm, TT_IP4, TLS_1_3_VERSION, TLS_CIPHER_SM4_CCM);
TT_VARIANT(cipher, tls12_aria_gcm_128, TT_IP6, TLS_1_2_VERSION, TLS_CIPHER_ARIA_GCM_128);
TT_VARIANT(cipher, tls12_aria_gcm_256, TT_IP4, TLS_1_2_VERSION, TLS_CIPHER_ARIA_GCM_256);

#define ROOM 100000

FIXTURE_SETUP(cipher)
{
	int fd[2], refused = tt_cipher_refused(variant->version, variant->cipher);

	if (refused == ENOENT)
		SKIP(return, "this kernel has no %s", tt_cipher(variant->cipher)->name);
	ASSERT_EQ(0, refused) TH_LOG("%s: %s", tt_cipher(variant->cipher)->name, strerror(refused));
	tt_tcp_pair(variant->family, fd);
	self->peer = fd[0];
	self->sk = fd[1];
	self->tx = tt_key_make(variant->version, variant->cipher, 1);
	self->rx = tt_key_make(variant->version, variant->cipher, 2);
	self->o = malloc(sizeof(*self->o));
	self->data = malloc(ROOM);
	self->buf = malloc(ROOM);
	ASSERT_EQ(0, tt_ulp(self->sk));
}

FIXTURE_TEARDOWN(cipher)
{
	close(self->peer);
	close(self->sk);
	free(self->o);
	free(self->data);
	free(self->buf);
}

static const size_t lengths[] = { 1, 2, 15, 16, 17, 31, 32, 33, 255, 1000, 4095, 4096, 4097, 16383, 16384 };

static void put64(uint8_t *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = v & 0xff;
}

/* The bytes on the wire are those that the other implementation makes. */
TEST_F(cipher, wire)
{
	struct tt_key k;

	/* under TLS 1.2 the explicit nonce counts from the IV on, and the other side counts from the sequence number */
	self->tx.seq = 0x0102030405060708;
	if (tt_cipher(variant->cipher)->explicit_nonce && variant->version == TLS_1_2_VERSION)
		put64(self->tx.iv, self->tx.seq);
	k = self->tx;
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &self->tx));
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct tt_rec r = { .type = i % 4 == 3 ? TT_ALERT : TT_DATA, .data = self->data, .len = lengths[i] };
		size_t n;

		tt_fill(self->data, r.len, i);
		n = tt_seal(&k, &r, self->buf);
		ASSERT_EQ(r.len + tt_overhead(&k), n);
		ASSERT_EQ(r.len, tt_send_type(self->sk, r.type, self->data, r.len, 0));
		ASSERT_EQ(n, tt_read(self->peer, self->buf + 50000, n));
		ASSERT_EQ(0, memcmp(self->buf, self->buf + 50000, n)) TH_LOG("%zu bytes of payload", r.len);
	}
	/* not one byte more */
	EXPECT_EQ(0, tt_poll(self->peer, POLLIN, 0));
}

/* A fault at the first byte of new memory: the record ends before it, and ciphers see nothing of that memory. */
TEST_F(cipher, fault_between_pieces)
{
	enum { MAX = 12288, GOOD = 2 * MAX + 8192, BAD = 65536 };
	uint8_t *map = mmap(NULL, GOOD + BAD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint16_t max = MAX;

	ASSERT_NE(MAP_FAILED, (void *)map);
	ASSERT_EQ(0, mprotect(map + GOOD, BAD, PROT_NONE));
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &self->tx));
	ASSERT_EQ(0, setsockopt(self->sk, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &max, sizeof(max)));
	/* where in its memory a record begins depends on those before it */
	for (int i = 0; i < 4; i++) {
		ssize_t n, got = 0;

		tt_fill(map, GOOD, i);
		n = send(self->sk, map, GOOD + 20000, 0);
		ASSERT_LT(0, n);
		ASSERT_GE(GOOD, n);
		for (; got < n; got += self->o->len) {
			ASSERT_EQ(1, tt_recv_rec(self->peer, &self->tx, self->o)) TH_LOG("%zd of %zd bytes", got, n);
			ASSERT_GE(0, tt_diff(self->o->data, self->o->len, i + got));
		}
		ASSERT_EQ(got, n);
	}
	munmap(map, GOOD + BAD);
}

/* The sequence number where 32 bits end, and the whole structure as getsockopt gives it. */
TEST_F(cipher, sequence_number)
{
	const struct tt_cipher *c = tt_cipher(variant->cipher);
	bool live_iv = variant->version == TLS_1_2_VERSION && c->explicit_nonce;

	self->tx.seq = self->rx.seq = 0xffffffff - 2;
	memset(self->tx.iv, 0, sizeof(self->tx.iv));
	self->tx.iv[c->iv - 1] = 0xfe;
	struct tt_key tx = self->tx, rx = self->rx, peer_rx = self->rx;

	ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &tx));
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &rx));
	for (int i = 0; i < 6; i++) {
		union tt_info want, got;
		socklen_t len = tt_key_pack(&tx, &want), have;

		for (int dir = TLS_TX; dir <= TLS_RX; dir++) {
			memset(&got, 0xaa, sizeof(got));
			have = len;
			tt_key_pack(dir == TLS_TX ? &tx : &rx, &want);
			ASSERT_EQ(0, getsockopt(self->sk, SOL_TLS, dir, &got, &have));
			EXPECT_EQ(len, have);
			if (dir == TLS_TX || !live_iv) {
				EXPECT_EQ(0, memcmp(&want, &got, len)) TH_LOG("direction %d after %d records", dir, i);
			} else {
				EXPECT_EQ(0, memcmp(want.raw + c->key_at, got.raw + c->key_at, len - c->key_at));
			}
			EXPECT_EQ(0xaa, got.raw[len]);
		}
		ASSERT_EQ(5, send(self->sk, "hello", 5, 0));
		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->tx, self->o));
		ASSERT_EQ(5, self->o->len);
		tt_send_data(self->peer, &peer_rx, TT_DATA, "world", 5);
		ASSERT_EQ(5, recv(self->sk, self->buf, 100, 0));
		EXPECT_EQ(0, memcmp(self->buf, "world", 5));
		tx.seq++;
		rx.seq++;
		if (live_iv && !++tx.iv[7])
			tx.iv[6]++;
	}
}

TEST_F(cipher, receive)
{
	uint8_t type;

	ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &self->rx));
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
	for (int control = 0; control < 2; control++) {
		struct tt_rec r = { .type = control ? TT_ALERT : TT_DATA, .data = self->data, .len = lengths[i] };

		/* padding up to the limit of a record */
		if (variant->version == TLS_1_3_VERSION && i % 3 == 1)
			r.pad = TT_MAX - r.len < 300 ? TT_MAX - r.len : 300;
		tt_fill(self->data, r.len, i);
		tt_send_rec(self->peer, &self->rx, &r);
		memset(self->buf, 0, r.len + 10);
		ASSERT_EQ(r.len, tt_recv_type(self->sk, self->buf, ROOM, 0, &type, NULL)) TH_LOG("%zu bytes: %s", r.len, strerror(errno));
		EXPECT_EQ(r.type, type);
		ASSERT_EQ(0, memcmp(self->buf, self->data, r.len));
		ASSERT_EQ(0, self->buf[r.len]);
	}
	/* nothing but the tag to check */
	tt_send_data(self->peer, &self->rx, TT_ALERT, NULL, 0);
	ASSERT_EQ(0, tt_recv_type(self->sk, self->buf, ROOM, 0, &type, NULL));
	EXPECT_EQ(TT_ALERT, type);
	tt_send_data(self->peer, &self->rx, TT_DATA, NULL, 0);
	tt_send_data(self->peer, &self->rx, TT_DATA, "text", 4);
	ASSERT_EQ(4, recv(self->sk, self->buf, ROOM, 0));
}

/* Records in two pieces, cut anywhere in their first and last bytes. */
TEST_F(cipher, receive_in_pieces)
{
	uint8_t rec[400];

	ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &self->rx));
	tt_fill(self->data, 300, 0);
	for (int i = 1; i < 60; i++) {
		struct tt_rec r = { .type = TT_DATA, .data = self->data, .len = 300 };
		size_t n = tt_seal(&self->rx, &r, rec), cut = i < 30 ? (size_t)i : n - (i - 29);

		tt_write(self->peer, rec, cut);
		ASSERT_ERRNO_AGAIN(recv(self->sk, self->buf, ROOM, MSG_DONTWAIT));
		tt_write(self->peer, rec + cut, n - cut);
		ASSERT_EQ(300, recv(self->sk, self->buf, ROOM, 0));
		ASSERT_BYTES(self->buf, 300, 0);
	}
}

/* One bit anywhere, and the record is refused; nothing of it comes out. */
TEST_F(cipher, tampered)
{
	struct tt_rec r = { .type = TT_DATA, .data = "a secret of twenty-six byte", .len = 26 };
	uint8_t rec[100];
	size_t n;

	n = tt_overhead(&self->rx) + 26;
	for (size_t at = 0; at < n; at++) {
		struct tt_key k = self->rx;
		int fd[2];

		/* length and version are judged before anything is decrypted */
		if (at == 1 || at == 2 || at == 3 || at == 4)
			continue;
		tt_tcp_pair(variant->family, fd);
		tt_install(fd[1], NULL, &k);
		ASSERT_EQ(n, tt_seal(&k, &r, rec));
		rec[at] ^= 1 << at % 8;
		tt_write(fd[0], rec, n);
		memset(self->buf, 0x5a, 100);
		EXPECT_ERR_AT(EBADMSG, tt_recv_type(fd[1], self->buf, 100, 0, NULL, NULL), at);
		for (int i = 0; i < 100; i++) {
			ASSERT_EQ(0x5a, self->buf[i]);
		}
		close(fd[0]);
		close(fd[1]);
	}
}

/* Each byte of key, salt and IV is of importance, and the one at its place. */
TEST_F(cipher, every_byte_of_the_key)
{
	const struct tt_cipher *c = tt_cipher(variant->cipher);
	struct tt_rec r = { .type = TT_DATA, .data = "text", .len = 4 };
	uint8_t rec[100];
	union tt_info info;
	socklen_t len = tt_key_pack(&self->rx, &info);

	for (socklen_t at = 4; at < len; at++) {
		struct tt_key k = self->rx;
		size_t n = tt_seal(&k, &r, rec);
		/* the IV is not used for records that bring their own */
		bool unused = at < c->key_at && variant->version == TLS_1_2_VERSION && c->explicit_nonce;
		int fd[2];

		tt_tcp_pair(variant->family, fd);
		ASSERT_EQ(0, tt_ulp(fd[1]));
		info.raw[at] ^= 0x10;
		ASSERT_EQ(0, setsockopt(fd[1], SOL_TLS, TLS_RX, &info, len));
		info.raw[at] ^= 0x10;
		tt_write(fd[0], rec, n);
		if (unused) {
			EXPECT_EQ(4, recv(fd[1], self->buf, 100, 0));
		} else {
			EXPECT_ERR_AT(EBADMSG, recv(fd[1], self->buf, 100, 0), at);
		}
		close(fd[0]);
		close(fd[1]);
	}
}

/* The longest and the shortest record there may be, by header. */
TEST_F(cipher, limits)
{
	size_t longest = tt_overhead(&self->rx) - 5 + TT_MAX, least = tt_overhead(&self->rx) - 5 - (variant->version == TLS_1_3_VERSION);
	struct tt_rec r = { .type = TT_DATA, .data = self->data, .len = TT_MAX };
	struct { size_t len; int err; } t[] = {
		{ longest + 1, EMSGSIZE }, { 0xffff, EMSGSIZE }, { least - 1, EBADMSG }, { 0, EBADMSG }, { least, EBADMSG },
	};
	size_t n;

	tt_fill(self->data, TT_MAX, 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		uint8_t rec[200] = { 0x17, 3, 3, t[i].len >> 8, t[i].len & 0xff };
		int fd[2];

		tt_tcp_pair(variant->family, fd);
		tt_install(fd[1], NULL, &self->rx);
		tt_write(fd[0], rec, sizeof(rec));
		EXPECT_ERR_AT(t[i].err, recv(fd[1], self->buf, 100, 0), t[i].len);
		close(fd[0]);
		close(fd[1]);
	}
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_RX, &self->rx));
	n = tt_seal(&self->rx, &r, self->buf);
	ASSERT_EQ(longest + 5, n);
	tt_write(self->peer, self->buf, n);
	ASSERT_EQ(TT_MAX, tt_read(self->sk, self->buf, TT_MAX));
	EXPECT_BYTES(self->buf, TT_MAX, 0);
}

/* Only the size of its own structure, and only one cipher and version in both directions. */
TEST_F(cipher, refusals)
{
	union { union tt_info i; uint8_t room[256]; } u;
	socklen_t len = tt_cipher(variant->cipher)->info;

	memset(&u, 0, sizeof(u));
	for (int dir = TLS_TX; dir <= TLS_RX; dir++) {
		tt_key_pack(&self->tx, &u.i);
		for (socklen_t l = 4; l < 80; l++) {
			if (l != len) {
				EXPECT_ERR_AT(EINVAL, setsockopt(self->sk, SOL_TLS, dir, &u, l), l);
			}
		}
		for (int v = 0x0300; v <= 0x0305; v++) {
			u.i.info.version = v;
			if (v != TLS_1_2_VERSION && v != TLS_1_3_VERSION) {
				EXPECT_ERR(EINVAL, setsockopt(self->sk, SOL_TLS, dir, &u, len));
			}
		}
	}
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &self->tx));
	for (int i = 0; i < TT_CIPHERS; i++)
	for (int v = TLS_1_2_VERSION; v <= TLS_1_3_VERSION; v++) {
		struct tt_key k = tt_key_make(v, tt_ciphers[i].type, 3);

		if (v != variant->version || tt_ciphers[i].type != variant->cipher) {
			EXPECT_ERR_AT(EINVAL, tt_key_set(self->sk, TLS_RX, &k), i);
		}
	}
	EXPECT_EQ(0, tt_key_set(self->sk, TLS_RX, &self->rx));
	tt_send_data(self->peer, &self->rx, TT_DATA, "text", 4);
	EXPECT_EQ(4, recv(self->sk, self->buf, 100, 0));
}

/* Both ends in the kernel: a stream made of send, sendfile, MSG_MORE and splice, read by recv and splice. */
TEST_F(cipher, stream)
{
	int file = memfd_create("stream", 0), p[2], out[2];
	uint64_t seed = 7, sent = 0, got = 0;

	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(0, pipe(out));
	ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &self->tx));
	tt_install(self->peer, NULL, &self->tx);
	for (int i = 0; i < 60; i++) {
		size_t len = 1 + tt_rand(&seed) % (i % 4 ? 3000 : 40000), done = 0;

		tt_fill(self->data, len, sent);
		if (i % 5 == 1) {
			ASSERT_EQ(len, pwrite(file, self->data, len, 0));
		} else if (i % 5 == 2) {
			ASSERT_EQ(len, write(p[1], self->data, len));
		}
		while (done < len) {
			off_t off = done;
			ssize_t n;

			if (i % 5 == 1)
				n = sendfile(self->sk, file, &off, len - done);
			else if (i % 5 == 2)
				n = splice(p[0], NULL, self->sk, NULL, len - done, 0);
			else
				n = send(self->sk, self->data + done, len - done, i % 5 == 3 && i < 59 ? MSG_MORE : 0);
			ASSERT_LT(0, n);
			done += n;
		}
		sent += len;
		if (i % 5 == 3)
			continue;
		while (got < sent) {
			ssize_t n;

			if (i & 1) {
				n = splice(self->peer, NULL, out[1], NULL, sent - got < 30000 ? sent - got : 30000, 0);
				ASSERT_LT(0, n);
				ASSERT_EQ(n, tt_read_pipe(out[0], self->buf, n));
			} else {
				n = recv(self->peer, self->buf, ROOM, 0);
				ASSERT_LT(0, n);
			}
			ASSERT_BYTES(self->buf, n, got);
			got += n;
		}
	}
	for (int i = 0; i < 2; i++) {
		close(p[i]);
		close(out[i]);
	}
	close(file);
}

/* A limit on the record's size is one on the payload, whatever the cipher adds. */
TEST_F(cipher, max_payload)
{
	uint16_t limit = 500;
	size_t got = 0;

	ASSERT_EQ(0, tt_key_set(self->sk, TLS_TX, &self->tx));
	if (setsockopt(self->sk, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &limit, sizeof(limit)))
		SKIP(return, "no TLS_TX_MAX_PAYLOAD_LEN here");
	tt_fill(self->data, 1700, 0);
	ASSERT_EQ(1700, send(self->sk, self->data, 1700, 0));
	while (got < 1700) {
		ASSERT_EQ(1, tt_recv_rec(self->peer, &self->tx, self->o));
		EXPECT_EQ(1700 - got < 500 ? 1700 - got : 500, self->o->len);
		EXPECT_BYTES(self->o->data, self->o->len, got);
		got += self->o->len;
	}
}

TEST_HARNESS_MAIN
