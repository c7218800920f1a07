// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "tlsrec_test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <openssl/evp.h>

void tt_die(const char *file, int line, const char *what)
{
	fprintf(stderr, "# %s:%d: %s: %s\n", file, line, what, strerror(errno));
	_exit(1);
}

const char *tt_ulp_name(void)
{
	const char *n = getenv("ULP");

	return n && *n ? n : "tlsrec";
}

bool tt_ulp_is_intree(void)
{
	return !strcmp(tt_ulp_name(), "tls") && access("/sys/module/tlsrec", F_OK);
}

int tt_timeout(void)
{
	const char *t = getenv("TIMEOUT");

	if (t && atoi(t) > 0)
		return atoi(t);
	/* the debug kernel is slow, and is the one that has kmemleak */
	return access("/sys/kernel/debug/kmemleak", F_OK) ? 120 : 400;
}

uint64_t tt_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ull + ts.tv_nsec / 1000000;
}

uint32_t tt_rand(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15ull;
	uint64_t z = *state;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (uint32_t)(z ^ (z >> 31));
}

void tt_sockopt(int fd, int level, int opt, int val)
{
	TT_MUST(setsockopt(fd, level, opt, &val, sizeof(val)) == 0);
}

int tt_sockopt_get(int fd, int level, int opt)
{
	int val = 0;
	socklen_t len = sizeof(val);

	TT_MUST(getsockopt(fd, level, opt, &val, &len) == 0);
	return val;
}

static void loopback(enum tt_family family, uint16_t port, struct sockaddr_storage *addr, socklen_t *len)
{
	struct sockaddr_in *a4 = (void *)addr;
	struct sockaddr_in6 *a6 = (void *)addr;

	memset(addr, 0, sizeof(*addr));
	if (family == TT_IP4) {
		a4->sin_family = AF_INET;
		a4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		a4->sin_port = port;
		*len = sizeof(*a4);
		return;
	}
	a6->sin6_family = AF_INET6;
	a6->sin6_port = port;
	if (family == TT_IP6)
		a6->sin6_addr = in6addr_loopback;
	else
		TT_MUST(inet_pton(AF_INET6, "::ffff:127.0.0.1", &a6->sin6_addr) == 1);
	*len = sizeof(*a6);
}

int tt_listener(enum tt_family family, struct sockaddr_storage *addr, socklen_t *len)
{
	int fd = socket(family == TT_IP4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	TT_MUST(fd >= 0);
	loopback(family, 0, addr, len);
	TT_MUST(bind(fd, (void *)addr, *len) == 0);
	TT_MUST(listen(fd, 64) == 0);
	TT_MUST(getsockname(fd, (void *)addr, len) == 0);
	return fd;
}

int tt_connect(enum tt_family family, const struct sockaddr_storage *addr, socklen_t len)
{
	int fd = socket(family == TT_IP4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	TT_MUST(fd >= 0);
	TT_MUST(connect(fd, (const void *)addr, len) == 0);
	tt_sockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	return fd;
}

void tt_narrow_pair(enum tt_family family, int rcvbuf, int fd[2])
{
	struct sockaddr_storage addr;
	socklen_t len;
	int l = tt_listener(family, &addr, &len);

	if (rcvbuf)
		tt_sockopt(l, SOL_SOCKET, SO_RCVBUF, rcvbuf);
	fd[0] = tt_connect(family, &addr, len);
	fd[1] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	TT_MUST(fd[1] >= 0);
	tt_sockopt(fd[1], IPPROTO_TCP, TCP_NODELAY, 1);
	close(l);
}

void tt_tcp_pair(enum tt_family family, int fd[2])
{
	tt_narrow_pair(family, 0, fd);
}

int tt_ulp(int fd)
{
	return setsockopt(fd, IPPROTO_TCP, TCP_ULP, tt_ulp_name(), strlen(tt_ulp_name()));
}

static void put64(uint8_t *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = v & 0xff;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

#define CIPHER(t, n, info_type, expl, ...) {							\
	.type = t, .name = n, .explicit_nonce = expl,						\
	.key = sizeof(((struct info_type *)0)->key), .salt = sizeof(((struct info_type *)0)->salt),	\
	.iv = sizeof(((struct info_type *)0)->iv), .info = sizeof(struct info_type),			\
	.iv_at = offsetof(struct info_type, iv), .key_at = offsetof(struct info_type, key),		\
	.salt_at = offsetof(struct info_type, salt), .seq_at = offsetof(struct info_type, rec_seq), __VA_ARGS__ }

const struct tt_cipher tt_ciphers[TT_CIPHERS] = {
	CIPHER(TLS_CIPHER_AES_GCM_128, "aes_gcm_128", tls12_crypto_info_aes_gcm_128, 8),
	CIPHER(TLS_CIPHER_AES_GCM_256, "aes_gcm_256", tls12_crypto_info_aes_gcm_256, 8),
	CIPHER(TLS_CIPHER_AES_CCM_128, "aes_ccm_128", tls12_crypto_info_aes_ccm_128, 8),
	CIPHER(TLS_CIPHER_CHACHA20_POLY1305, "chacha20_poly1305", tls12_crypto_info_chacha20_poly1305, 0),
	CIPHER(TLS_CIPHER_SM4_GCM, "sm4_gcm", tls12_crypto_info_sm4_gcm, 8),
	CIPHER(TLS_CIPHER_SM4_CCM, "sm4_ccm", tls12_crypto_info_sm4_ccm, 8),
	CIPHER(TLS_CIPHER_ARIA_GCM_128, "aria_gcm_128", tls12_crypto_info_aria_gcm_128, 8, .tls12_only = true),
	CIPHER(TLS_CIPHER_ARIA_GCM_256, "aria_gcm_256", tls12_crypto_info_aria_gcm_256, 8, .tls12_only = true),
};

const struct tt_cipher *tt_cipher(uint16_t type)
{
	for (int i = 0; i < TT_CIPHERS; i++)
		if (tt_ciphers[i].type == type)
			return &tt_ciphers[i];
	TT_DIE("a cipher that the tests do not know");
}

int tt_cipher_refused(uint16_t version, uint16_t cipher)
{
	struct tt_key k = tt_key_make(version, cipher, 1);
	int fd[2], err = 0;

	tt_tcp_pair(TT_IP4, fd);
	if (tt_ulp(fd[0]) || tt_key_set(fd[0], TLS_TX, &k))
		err = errno;
	close(fd[0]);
	close(fd[1]);
	return err;
}

struct tt_key tt_key_make(uint16_t version, uint16_t cipher, unsigned int seed)
{
	struct tt_key k = { .version = version, .cipher = cipher };
	uint64_t s = seed;

	for (size_t i = 0; i < sizeof(k.key); i++)
		k.key[i] = tt_rand(&s) & 0xff;
	for (size_t i = 0; i < sizeof(k.salt); i++)
		k.salt[i] = tt_rand(&s) & 0xff;
	for (size_t i = 0; i < sizeof(k.iv); i++)
		k.iv[i] = tt_rand(&s) & 0xff;
	return k;
}

socklen_t tt_key_pack(const struct tt_key *k, union tt_info *info)
{
	const struct tt_cipher *c = tt_cipher(k->cipher);

	memset(info, 0, sizeof(*info));
	info->info.version = k->version;
	info->info.cipher_type = k->cipher;
	memcpy(info->raw + c->iv_at, k->iv, c->iv);
	memcpy(info->raw + c->key_at, k->key, c->key);
	memcpy(info->raw + c->salt_at, k->salt, c->salt);
	put64(info->raw + c->seq_at, k->seq);
	return c->info;
}

int tt_key_set(int fd, int dir, const struct tt_key *k)
{
	union tt_info info;
	socklen_t len = tt_key_pack(k, &info);

	return setsockopt(fd, SOL_TLS, dir, &info, len);
}

int tt_key_get(int fd, int dir, const struct tt_key *like, struct tt_key *k)
{
	const struct tt_cipher *c = tt_cipher(like->cipher);
	union tt_info info;
	socklen_t len = c->info;
	int ret;

	memset(&info, 0, sizeof(info));
	ret = getsockopt(fd, SOL_TLS, dir, &info, &len);
	if (ret)
		return ret;
	memset(k, 0, sizeof(*k));
	k->version = info.info.version;
	k->cipher = info.info.cipher_type;
	memcpy(k->iv, info.raw + c->iv_at, c->iv);
	memcpy(k->key, info.raw + c->key_at, c->key);
	memcpy(k->salt, info.raw + c->salt_at, c->salt);
	k->seq = get64(info.raw + c->seq_at);
	return 0;
}

void tt_install(int fd, const struct tt_key *tx, const struct tt_key *rx)
{
	TT_MUST(tt_ulp(fd) == 0);
	if (tx)
		TT_MUST(tt_key_set(fd, TLS_TX, tx) == 0);
	if (rx)
		TT_MUST(tt_key_set(fd, TLS_RX, rx) == 0);
}

/* Bytes of nonce in each record. */
static size_t explicit_len(const struct tt_key *k)
{
	return k->version == TLS_1_3_VERSION ? 0 : tt_cipher(k->cipher)->explicit_nonce;
}

size_t tt_overhead(const struct tt_key *k)
{
	return 5 + explicit_len(k) + (k->version == TLS_1_3_VERSION) + 16;
}

/* The 12-byte nonce: TLS 1.3 RFC 8446 5.3; TLS 1.2 RFC 5288 3 and what refers to it; ChaCha20-Poly1305 RFC 7905 2. */
static void make_nonce(const struct tt_key *k, const uint8_t *explicit_nonce, uint8_t nonce[12])
{
	const struct tt_cipher *c = tt_cipher(k->cipher);
	uint8_t seq[8];

	memcpy(nonce, k->salt, c->salt);
	memcpy(nonce + c->salt, k->iv, c->iv);
	if (explicit_len(k)) {
		memcpy(nonce + 4, explicit_nonce, 8);
		return;
	}
	put64(seq, k->seq);
	for (int i = 0; i < 8; i++)
		nonce[4 + i] ^= seq[i];
}

static size_t make_aad(const struct tt_key *k, const uint8_t *hdr, size_t plain_len, uint8_t aad[13])
{
	if (k->version == TLS_1_3_VERSION) {
		memcpy(aad, hdr, 5);
		return 5;
	}
	put64(aad, k->seq);
	memcpy(aad + 8, hdr, 3);
	aad[11] = plain_len >> 8;
	aad[12] = plain_len & 0xff;
	return 13;
}

/* --- SM4-GCM and SM4-CCM, which this library does not have: NIST SP 800-38D and -38C on its block cipher --- */

static EVP_CIPHER_CTX *sm4(const uint8_t key[16])
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

	TT_MUST(c && EVP_EncryptInit_ex(c, EVP_sm4_ecb(), NULL, key, NULL));
	EVP_CIPHER_CTX_set_padding(c, 0);
	return c;
}

static void block(EVP_CIPHER_CTX *c, const uint8_t in[16], uint8_t out[16])
{
	int n;

	TT_MUST(EVP_EncryptUpdate(c, out, &n, in, 16) && n == 16);
}

/* counter mode from this first block on; the counter is in the last bytes, and never overflows its low three here */
static void ctr(EVP_CIPHER_CTX *c, const uint8_t first[16], const uint8_t *in, uint8_t *out, size_t len)
{
	uint8_t b[16], pad[16];

	memcpy(b, first, 16);
	for (size_t i = 0; i < len; i++) {
		if (i % 16 == 0) {
			block(c, b, pad);
			if (!++b[15] && !++b[14])
				b[13]++;
		}
		out[i] = in[i] ^ pad[i % 16];
	}
}

struct ghash {
	uint64_t h[2], y[2];
};

static void ghash_blocks(struct ghash *g, const uint8_t *p, size_t len)
{
	while (len) {
		uint8_t b[16] = { 0 };
		size_t n = len < 16 ? len : 16;
		uint64_t z[2] = { 0, 0 }, v[2] = { g->h[0], g->h[1] }, x[2];

		memcpy(b, p, n);
		x[0] = g->y[0] ^ get64(b);
		x[1] = g->y[1] ^ get64(b + 8);
		for (int i = 0; i < 128; i++) {
			uint64_t take = -(x[i / 64] >> (63 - i % 64) & 1), carry = -(v[1] & 1);

			z[0] ^= v[0] & take;
			z[1] ^= v[1] & take;
			v[1] = v[1] >> 1 | v[0] << 63;
			v[0] = v[0] >> 1 ^ (carry & 0xe100000000000000ull);
		}
		g->y[0] = z[0];
		g->y[1] = z[1];
		p += n;
		len -= n;
	}
}

static void gcm_tag(EVP_CIPHER_CTX *c, const uint8_t first[16], const uint8_t *aad, size_t aad_len, const uint8_t *sealed, size_t len,
		    uint8_t tag[16])
{
	uint8_t zero[16] = { 0 }, h[16], lens[16], s[16];
	struct ghash g = { .y = { 0, 0 } };

	block(c, zero, h);
	g.h[0] = get64(h);
	g.h[1] = get64(h + 8);
	ghash_blocks(&g, aad, aad_len);
	ghash_blocks(&g, sealed, len);
	put64(lens, aad_len * 8);
	put64(lens + 8, len * 8);
	ghash_blocks(&g, lens, 16);
	put64(s, g.y[0]);
	put64(s + 8, g.y[1]);
	ctr(c, first, s, tag, 16);
}

static void cbc_mac(EVP_CIPHER_CTX *c, uint8_t mac[16], const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i += 16) {
		for (size_t j = 0; j < 16 && i + j < len; j++)
			mac[j] ^= p[i + j];
		block(c, mac, mac);
	}
}

static void ccm_tag(EVP_CIPHER_CTX *c, const uint8_t first[16], const uint8_t *aad, size_t aad_len, const uint8_t *plain, size_t len,
		    uint8_t tag[16])
{
	/* additional data, a 16-byte tag, a 3-byte length */
	uint8_t b0[16] = { 1 << 6 | 7 << 3 | 2 }, mac[16] = { 0 }, a[64] = { 0 };

	TT_MUST(aad_len && aad_len + 2 <= sizeof(a));
	memcpy(b0 + 1, first + 1, 12);
	b0[13] = len >> 16 & 0xff;
	b0[14] = len >> 8 & 0xff;
	b0[15] = len & 0xff;
	cbc_mac(c, mac, b0, 16);
	a[1] = aad_len;
	memcpy(a + 2, aad, aad_len);
	cbc_mac(c, mac, a, aad_len + 2);
	cbc_mac(c, mac, plain, len);
	ctr(c, first, mac, tag, 16);
}

static int sm4_aead(bool ccm, bool enc, const uint8_t *key, const uint8_t nonce[12], const uint8_t *aad, size_t aad_len, const uint8_t *in,
		    uint8_t *out, size_t len, uint8_t tag[16])
{
	EVP_CIPHER_CTX *c = sm4(key);
	uint8_t first[16] = { 0 }, next[16], got[16];
	const uint8_t *plain = enc ? in : out, *sealed = enc ? out : in;

	/* the block that hides the tag; the data begins with the one after it */
	memcpy(first + ccm, nonce, 12);
	if (ccm)
		first[0] = 2;
	else
		first[15] = 1;
	memcpy(next, first, 16);
	next[15]++;
	ctr(c, next, in, out, len);
	if (ccm)
		ccm_tag(c, first, aad, aad_len, plain, len, got);
	else
		gcm_tag(c, first, aad, aad_len, sealed, len, got);
	EVP_CIPHER_CTX_free(c);
	if (enc)
		memcpy(tag, got, 16);
	return enc || !memcmp(tag, got, 16) ? 0 : -1;
}

static const EVP_CIPHER *evp_cipher(uint16_t type)
{
	switch (type) {
	case TLS_CIPHER_AES_GCM_128:
		return EVP_aes_128_gcm();
	case TLS_CIPHER_AES_GCM_256:
		return EVP_aes_256_gcm();
	case TLS_CIPHER_AES_CCM_128:
		return EVP_aes_128_ccm();
	case TLS_CIPHER_CHACHA20_POLY1305:
		return EVP_chacha20_poly1305();
	case TLS_CIPHER_ARIA_GCM_128:
		return EVP_aria_128_gcm();
	case TLS_CIPHER_ARIA_GCM_256:
		return EVP_aria_256_gcm();
	}
	TT_DIE("a cipher that the library does not have");
}

int tt_aead(uint16_t cipher, bool enc, const uint8_t *key, const uint8_t nonce[12], const uint8_t *aad, size_t aad_len, const uint8_t *in,
	    uint8_t *out, size_t len, uint8_t tag[16])
{
	bool ccm = cipher == TLS_CIPHER_AES_CCM_128;
	EVP_CIPHER_CTX *c;
	uint8_t none[16];
	int n, ok;

	if (cipher == TLS_CIPHER_SM4_GCM || cipher == TLS_CIPHER_SM4_CCM)
		return sm4_aead(cipher == TLS_CIPHER_SM4_CCM, enc, key, nonce, aad, aad_len, in, out, len, tag);
	c = EVP_CIPHER_CTX_new();
	TT_MUST(c && EVP_CipherInit_ex(c, evp_cipher(cipher), NULL, NULL, NULL, enc));
	TT_MUST(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_IVLEN, 12, NULL));
	/* CCM wants to know the tag (or its size) and the length before anything else, and answers at the last update */
	if (!enc || ccm)
		TT_MUST(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, enc ? NULL : tag));
	TT_MUST(EVP_CipherInit_ex(c, NULL, NULL, key, nonce, enc));
	if (ccm)
		TT_MUST(EVP_CipherUpdate(c, NULL, &n, NULL, len));
	TT_MUST(EVP_CipherUpdate(c, NULL, &n, aad, aad_len));
	ok = EVP_CipherUpdate(c, out, &n, in, len) > 0;
	if (!ccm)
		ok = ok && EVP_CipherFinal_ex(c, none, &n) > 0;
	if (enc)
		TT_MUST(ok && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, tag));
	EVP_CIPHER_CTX_free(c);
	return ok ? 0 : -1;
}

size_t tt_seal(struct tt_key *k, const struct tt_rec *r, uint8_t *out)
{
	bool tls13 = k->version == TLS_1_3_VERSION;
	size_t inner = r->len + (tls13 ? (r->type ? 1 : 0) + r->pad : 0);
	size_t prepend = 5 + explicit_len(k);
	size_t body = prepend - 5 + inner + 16;
	uint8_t *plain = calloc(1, inner + 1);
	uint16_t version = r->outer_version ? r->outer_version : 0x0303;
	uint8_t nonce[12], aad[13];
	size_t aad_len;

	TT_MUST(plain);
	if (r->len)
		memcpy(plain, r->data, r->len);
	if (tls13 && r->type)
		plain[r->len] = r->type;
	out[0] = r->outer_type ? r->outer_type : tls13 ? TT_DATA : r->type;
	out[1] = version >> 8;
	out[2] = version & 0xff;
	out[3] = body >> 8;
	out[4] = body & 0xff;
	if (prepend > 5)
		put64(out + 5, k->seq);
	make_nonce(k, out + 5, nonce);
	aad_len = make_aad(k, out, inner, aad);
	TT_MUST(!tt_aead(k->cipher, true, k->key, nonce, aad, aad_len, plain, out + prepend, inner, out + prepend + inner));
	free(plain);
	k->seq++;
	return 5 + body;
}

int tt_open(struct tt_key *k, const uint8_t *rec, size_t len, struct tt_opened *o)
{
	bool tls13 = k->version == TLS_1_3_VERSION;
	size_t prepend = 5 + explicit_len(k), inner;
	uint8_t nonce[12], aad[13];
	size_t aad_len;

	memset(o, 0, offsetof(struct tt_opened, data));
	o->outer_type = rec[0];
	o->outer_version = rec[1] << 8 | rec[2];
	o->wire_len = len;
	if (len < prepend + 16 || len - prepend - 16 > sizeof(o->data))
		return -1;
	inner = len - prepend - 16;
	if (prepend > 5)
		memcpy(o->nonce, rec + 5, 8);
	make_nonce(k, rec + 5, nonce);
	aad_len = make_aad(k, rec, inner, aad);
	if (tt_aead(k->cipher, false, k->key, nonce, aad, aad_len, rec + prepend, o->data, inner, (uint8_t *)rec + prepend + inner))
		return -1;
	o->type = o->outer_type;
	o->len = inner;
	if (tls13) {
		while (o->len && !o->data[o->len - 1]) {
			o->len--;
			o->pad++;
		}
		if (!o->len)
			return -1;
		o->type = o->data[--o->len];
	}
	k->seq++;
	return 0;
}

void tt_write(int fd, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
			tt_poll(fd, POLLOUT, 1000);
			continue;
		}
		TT_MUST(n > 0);
		p += n;
		len -= n;
	}
}

void tt_write_slow(int fd, const void *buf, size_t len, size_t step)
{
	const uint8_t *p = buf;

	while (len) {
		size_t n = len < step ? len : step;

		tt_write(fd, p, n);
		p += n;
		len -= n;
	}
}

size_t tt_read(int fd, void *buf, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = recv(fd, (uint8_t *)buf + got, len - got, 0);

		if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
			tt_poll(fd, POLLIN, 1000);
			continue;
		}
		if (n <= 0)
			break;
		got += n;
	}
	return got;
}

size_t tt_read_pipe(int fd, void *buf, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = read(fd, (uint8_t *)buf + got, len - got);

		if (n <= 0)
			break;
		got += n;
	}
	return got;
}

void tt_send_rec(int fd, struct tt_key *k, const struct tt_rec *r)
{
	uint8_t *buf = malloc(r->len + r->pad + 64);
	size_t n;

	TT_MUST(buf);
	n = tt_seal(k, r, buf);
	tt_write(fd, buf, n);
	free(buf);
}

void tt_send_data(int fd, struct tt_key *k, uint8_t type, const void *data, size_t len)
{
	struct tt_rec r = { .type = type, .data = data, .len = len };

	tt_send_rec(fd, k, &r);
}

int tt_recv_rec(int fd, struct tt_key *k, struct tt_opened *o)
{
	uint8_t buf[5 + TT_REC_MAX];
	size_t n = tt_read(fd, buf, 5), len;

	if (!n)
		return 0;
	if (n != 5)
		return -1;
	len = buf[3] << 8 | buf[4];
	if (len > TT_REC_MAX || tt_read(fd, buf + 5, len) != len)
		return -1;
	return tt_open(k, buf, 5 + len, o) ? -1 : 1;
}

ssize_t tt_send_type(int fd, uint8_t type, const void *buf, size_t len, int flags)
{
	union { struct cmsghdr h; char b[CMSG_SPACE(1)]; } c;
	struct iovec iov = { (void *)buf, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c.b) };

	memset(&c, 0, sizeof(c));
	c.h.cmsg_level = SOL_TLS;
	c.h.cmsg_type = TLS_SET_RECORD_TYPE;
	c.h.cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(&c.h) = type;
	return sendmsg(fd, &m, flags);
}

ssize_t tt_recv_type(int fd, void *buf, size_t len, int flags, uint8_t *type, int *msg_flags)
{
	union { struct cmsghdr h; char b[CMSG_SPACE(1)]; } c;
	struct iovec iov = { buf, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c.b) };
	struct cmsghdr *h;
	ssize_t n;

	memset(&c, 0, sizeof(c));
	n = recvmsg(fd, &m, flags);
	if (type)
		*type = 0;
	if (msg_flags)
		*msg_flags = m.msg_flags;
	if (n < 0)
		return n;
	for (h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
		if (h->cmsg_level == SOL_TLS && h->cmsg_type == TLS_GET_RECORD_TYPE && type)
			*type = *CMSG_DATA(h);
	return n;
}

static uint64_t word_at(uint64_t w)
{
	uint64_t z = (w + 1) * 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 31)) * 0xd6e8feb86659fd93ull;
	return z ^ (z >> 32);
}

void tt_fill(void *buf, size_t len, uint64_t pos)
{
	uint8_t *p = buf;

	while (len && pos % 8) {
		*p++ = (word_at(pos / 8) >> (pos % 8 * 8)) & 0xff;
		pos++;
		len--;
	}
	for (; len >= 8; len -= 8, p += 8, pos += 8) {
		uint64_t w = word_at(pos / 8);

		memcpy(p, &w, 8);
	}
	for (; len; len--, pos++)
		*p++ = (word_at(pos / 8) >> (pos % 8 * 8)) & 0xff;
}

ssize_t tt_diff(const void *buf, size_t len, uint64_t pos)
{
	const uint8_t *p = buf;

	for (size_t i = 0; i < len;) {
		uint64_t w = word_at((pos + i) / 8), v;

		if ((pos + i) % 8 == 0 && len - i >= 8) {
			memcpy(&v, p + i, 8);
			if (v == w) {
				i += 8;
				continue;
			}
		}
		if (p[i] != ((w >> ((pos + i) % 8 * 8)) & 0xff))
			return i;
		i++;
	}
	return -1;
}

int tt_netns(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	int s;

	if (unshare(CLONE_NEWNET))
		return -1;
	s = socket(AF_INET, SOCK_DGRAM, 0);
	TT_MUST(ioctl(s, SIOCGIFFLAGS, &ifr) == 0);
	ifr.ifr_flags |= IFF_UP;
	TT_MUST(ioctl(s, SIOCSIFFLAGS, &ifr) == 0);
	close(s);
	return 0;
}

long tt_counter(const char *name)
{
	char path[64], line[256], n[64];
	long v, found = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/thread-self/net/%s_stat", tt_ulp_name());
	f = fopen(path, "r");
	if (!f)
		return -2;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %ld", n, &v) == 2 && !strcmp(n, name))
			found = v;
	fclose(f);
	return found;
}

int tt_poll(int fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	int n = poll(&p, 1, ms);

	return n > 0 ? p.revents : n;
}

int tt_pending(int fd)
{
	int n = -1;

	TT_MUST(ioctl(fd, FIONREAD, &n) == 0);
	return n;
}

void tt_reset(int fd)
{
	struct linger lg = { 1, 0 };

	TT_MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)) == 0);
	close(fd);
}

int tt_child_status(pid_t pid)
{
	int st = -1;

	waitpid(pid, &st, 0);
	return WIFEXITED(st) ? WEXITSTATUS(st) : 100 + WTERMSIG(st);
}

uint64_t tt_bytes_received(int fd)
{
	/* the C library's struct tcp_info ends where the kernel's had 2012's fields */
	struct {
		struct tcp_info ti;
		uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
	} i;
	socklen_t len = sizeof(i);

	memset(&i, 0, sizeof(i));
	TT_MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &len) == 0);
	return i.bytes_received;
}

uint64_t tt_bytes_acked(int fd)
{
	struct {
		struct tcp_info ti;
		uint64_t pacing_rate, max_pacing_rate, bytes_acked;
	} i;
	socklen_t len = sizeof(i);

	memset(&i, 0, sizeof(i));
	TT_MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &len) == 0);
	return i.bytes_acked;
}

/* the line of the socket in a file of /proc/net, by its inode */
static bool queued_in(const char *path, unsigned long inode, uint64_t *queued)
{
	FILE *f = fopen(path, "r");
	unsigned long tx, ino = 0;
	char line[512];

	while (f && ino != inode && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %*s %*s %*s %lx:%*s %*s %*s %*s %*s %lu", &tx, &ino) != 2)
			ino = 0;
	if (f)
		fclose(f);
	*queued = tx;
	return ino == inode;
}

uint64_t tt_tcp_queued(int fd)
{
	uint64_t queued;
	struct stat st;

	TT_MUST(fstat(fd, &st) == 0);
	TT_MUST(queued_in("/proc/thread-self/net/tcp", st.st_ino, &queued) ||
		queued_in("/proc/thread-self/net/tcp6", st.st_ino, &queued));
	return queued;
}

uint64_t tt_bytes_taken(int fd)
{
	uint64_t acked, queued;

	do {
		acked = tt_bytes_acked(fd);
		queued = tt_tcp_queued(fd);
	} while (acked != tt_bytes_acked(fd));
	return acked + queued;
}

void tt_wait_received(int fd, uint64_t bytes)
{
	uint64_t end = tt_now_ms() + 20000;

	while (tt_bytes_received(fd) < bytes) {
		errno = ETIMEDOUT;
		TT_MUST(tt_now_ms() < end);
		usleep(1000);
	}
}

void tt_nonblock(int fd, bool on)
{
	int fl = fcntl(fd, F_GETFL);

	TT_MUST(fcntl(fd, F_SETFL, on ? fl | O_NONBLOCK : fl & ~O_NONBLOCK) == 0);
}

void tt_fault_arm(int nth_fd, int n)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", n);
	/* writing is itself an operation that can be made to fail */
	for (int i = 0; i < 3; i++)
		if (pwrite(nth_fd, text, strlen(text), 0) == (ssize_t)strlen(text))
			return;
	TT_DIE("fail-nth");
}

bool tt_fault_hit(int nth_fd)
{
	char text[16] = "";
	/* when it is this read that fails, then nothing before it did */
	bool hit = pread(nth_fd, text, sizeof(text) - 1, 0) > 0 && atoi(text) == 0;

	tt_fault_arm(nth_fd, 0);
	return hit;
}
