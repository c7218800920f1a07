// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "tlsrec_test.h"

#include <arpa/inet.h>
#include <fcntl.h>
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

void tt_tcp_pair(enum tt_family family, int fd[2])
{
	struct sockaddr_storage addr;
	socklen_t len;
	int l = tt_listener(family, &addr, &len);

	fd[0] = tt_connect(family, &addr, len);
	fd[1] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	TT_MUST(fd[1] >= 0);
	tt_sockopt(fd[1], IPPROTO_TCP, TCP_NODELAY, 1);
	close(l);
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

static size_t key_len(const struct tt_key *k)
{
	return k->cipher == TLS_CIPHER_AES_GCM_256 ? 32 : 16;
}

socklen_t tt_key_pack(const struct tt_key *k, union tt_info *info)
{
	memset(info, 0, sizeof(*info));
	info->info.version = k->version;
	info->info.cipher_type = k->cipher;
	if (k->cipher == TLS_CIPHER_AES_GCM_256) {
		memcpy(info->gcm256.key, k->key, sizeof(info->gcm256.key));
		memcpy(info->gcm256.salt, k->salt, sizeof(k->salt));
		memcpy(info->gcm256.iv, k->iv, sizeof(k->iv));
		put64(info->gcm256.rec_seq, k->seq);
		return sizeof(info->gcm256);
	}
	memcpy(info->gcm128.key, k->key, sizeof(info->gcm128.key));
	memcpy(info->gcm128.salt, k->salt, sizeof(k->salt));
	memcpy(info->gcm128.iv, k->iv, sizeof(k->iv));
	put64(info->gcm128.rec_seq, k->seq);
	return sizeof(info->gcm128);
}

int tt_key_set(int fd, int dir, const struct tt_key *k)
{
	union tt_info info;
	socklen_t len = tt_key_pack(k, &info);

	return setsockopt(fd, SOL_TLS, dir, &info, len);
}

int tt_key_get(int fd, int dir, const struct tt_key *like, struct tt_key *k)
{
	union tt_info info;
	socklen_t len = tt_key_pack(like, &info);
	int ret;

	memset(&info, 0, sizeof(info));
	ret = getsockopt(fd, SOL_TLS, dir, &info, &len);
	if (ret)
		return ret;
	memset(k, 0, sizeof(*k));
	k->version = info.info.version;
	k->cipher = info.info.cipher_type;
	if (like->cipher == TLS_CIPHER_AES_GCM_256) {
		memcpy(k->key, info.gcm256.key, sizeof(info.gcm256.key));
		memcpy(k->salt, info.gcm256.salt, sizeof(k->salt));
		memcpy(k->iv, info.gcm256.iv, sizeof(k->iv));
		k->seq = get64(info.gcm256.rec_seq);
	} else {
		memcpy(k->key, info.gcm128.key, sizeof(info.gcm128.key));
		memcpy(k->salt, info.gcm128.salt, sizeof(k->salt));
		memcpy(k->iv, info.gcm128.iv, sizeof(k->iv));
		k->seq = get64(info.gcm128.rec_seq);
	}
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

size_t tt_overhead(const struct tt_key *k)
{
	return k->version == TLS_1_3_VERSION ? 5 + 1 + 16 : 5 + 8 + 16;
}

/* The 12-byte nonce: TLS 1.3 RFC 8446 5.3, TLS 1.2 RFC 5288 3. */
static void make_nonce(const struct tt_key *k, const uint8_t *explicit_nonce, uint8_t nonce[12])
{
	memcpy(nonce, k->salt, 4);
	if (k->version == TLS_1_3_VERSION) {
		uint8_t seq[8];

		put64(seq, k->seq);
		for (int i = 0; i < 8; i++)
			nonce[4 + i] = k->iv[i] ^ seq[i];
	} else {
		memcpy(nonce + 4, explicit_nonce, 8);
	}
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

static EVP_CIPHER_CTX *evp(const struct tt_key *k, const uint8_t nonce[12], int enc)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

	TT_MUST(c);
	TT_MUST(EVP_CipherInit_ex(c, key_len(k) == 32 ? EVP_aes_256_gcm() : EVP_aes_128_gcm(), NULL, k->key, nonce, enc));
	return c;
}

size_t tt_seal(struct tt_key *k, const struct tt_rec *r, uint8_t *out)
{
	bool tls13 = k->version == TLS_1_3_VERSION;
	size_t inner = r->len + (tls13 ? (r->type ? 1 : 0) + r->pad : 0);
	size_t prepend = tls13 ? 5 : 13;
	size_t body = prepend - 5 + inner + 16;
	uint8_t *plain = calloc(1, inner + 1);
	uint16_t version = r->outer_version ? r->outer_version : 0x0303;
	uint8_t nonce[12], aad[13];
	EVP_CIPHER_CTX *c;
	size_t aad_len;
	int n;

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
	if (!tls13)
		put64(out + 5, k->seq);
	make_nonce(k, out + 5, nonce);
	aad_len = make_aad(k, out, inner, aad);
	c = evp(k, nonce, 1);
	TT_MUST(EVP_EncryptUpdate(c, NULL, &n, aad, aad_len));
	TT_MUST(EVP_EncryptUpdate(c, out + prepend, &n, plain, inner));
	TT_MUST(EVP_EncryptFinal_ex(c, out + prepend + inner, &n));
	TT_MUST(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, out + prepend + inner));
	EVP_CIPHER_CTX_free(c);
	free(plain);
	k->seq++;
	return 5 + body;
}

int tt_open(struct tt_key *k, const uint8_t *rec, size_t len, struct tt_opened *o)
{
	bool tls13 = k->version == TLS_1_3_VERSION;
	size_t prepend = tls13 ? 5 : 13, inner;
	uint8_t nonce[12], aad[13];
	EVP_CIPHER_CTX *c;
	size_t aad_len;
	int n, ok;

	memset(o, 0, offsetof(struct tt_opened, data));
	o->outer_type = rec[0];
	o->outer_version = rec[1] << 8 | rec[2];
	o->wire_len = len;
	if (len < prepend + 16 || len - prepend - 16 > sizeof(o->data))
		return -1;
	inner = len - prepend - 16;
	if (!tls13)
		memcpy(o->nonce, rec + 5, 8);
	make_nonce(k, rec + 5, nonce);
	aad_len = make_aad(k, rec, inner, aad);
	c = evp(k, nonce, 0);
	TT_MUST(EVP_DecryptUpdate(c, NULL, &n, aad, aad_len));
	TT_MUST(EVP_DecryptUpdate(c, o->data, &n, rec + prepend, inner));
	TT_MUST(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, (void *)(rec + prepend + inner)));
	ok = EVP_DecryptFinal_ex(c, o->data + inner, &n) > 0;
	EVP_CIPHER_CTX_free(c);
	if (!ok)
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

int tt_poll(int fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	int n = poll(&p, 1, ms);

	return n > 0 ? p.revents : n;
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
