// SPDX-License-Identifier: MIT
/*
 * The record format of kmod/record.c against published records, against OpenSSL, and against random input.
 * usage: unit-record [rounds of random input]
 */
#include "record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>

static int tests, failed;

static void result(int ok, const char *name)
{
	printf("%sok %d record.%s\n", ok ? "" : "not ", ++tests, name);
	failed += !ok;
}

static u64 rnd(void)
{
	static u64 s = 1;

	s += 0x9e3779b97f4a7c15ull;
	u64 z = s;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static void rnd_bytes(u8 *p, size_t n)
{
	while (n--)
		*p++ = rnd();
}

static size_t hex(u8 *out, const char *s)
{
	size_t n = 0;
	unsigned int v;

	while (*s) {
		if (*s == ' ') {
			s++;
			continue;
		}
		if (sscanf(s, "%2x", &v) != 1)
			abort();
		out[n++] = v;
		s += 2;
	}
	return n;
}

/* AES-GCM, in or out; 0 when it authenticates */
static int gcm(int enc, const u8 *key, int bits, const u8 *nonce, const u8 *aad, int aad_len, u8 *data, int len, u8 *tag)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n, ok;
	u8 none[16];

	ok = EVP_CipherInit_ex(c, bits == 256 ? EVP_aes_256_gcm() : EVP_aes_128_gcm(), NULL, key, nonce, enc) &&
	     EVP_CipherUpdate(c, NULL, &n, aad, aad_len) && EVP_CipherUpdate(c, data, &n, data, len);
	if (!enc)
		ok = ok && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, tag);
	ok = ok && EVP_CipherFinal_ex(c, none, &n) > 0;
	if (enc)
		ok = ok && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, tag);
	EVP_CIPHER_CTX_free(c);
	return ok ? 0 : -1;
}

static void test_layout(void)
{
	struct tlsrec_format f12, f13, cc;

	tlsrec_format_init(&f12, false, 8);
	tlsrec_format_init(&f13, true, 8);
	/* ChaCha20-Poly1305 under TLS 1.2: RFC 7905, no explicit nonce */
	tlsrec_format_init(&cc, false, 0);
	result(tlsrec_head_size(&f12) == 13 && tlsrec_tail_size(&f12) == 16 && tlsrec_overhead(&f12) == 29, "layout_tls12");
	result(tlsrec_head_size(&f13) == 5 && tlsrec_tail_size(&f13) == 17 && tlsrec_overhead(&f13) == 22, "layout_tls13");
	result(f12.aad == 13 && f13.aad == 5 && cc.aad == 13, "layout_aad");
	result(!f12.nonce_xor && f13.nonce_xor && cc.nonce_xor && tlsrec_overhead(&cc) == 21, "layout_nonce");
	result(TLSREC_MAX_RECORD >= 5 + 8 + 16384 + 16 && TLSREC_MAX_RECORD >= 5 + 16384 + 1 + 16, "layout_max");
}

/* RFC 8446 5.3 by hand, and RFC 5288 3 */
static void test_nonce(void)
{
	struct tlsrec_format f12, f13, cc;
	u8 iv[12], nonce[12], want[12];

	tlsrec_format_init(&f12, false, 8);
	tlsrec_format_init(&f13, true, 8);
	hex(iv, "5b78923dee08579033e523d9");
	tlsrec_nonce(&f13, nonce, iv, 0);
	result(!memcmp(nonce, iv, 12), "nonce_tls13_first");
	tlsrec_nonce(&f13, nonce, iv, 1);
	hex(want, "5b78923dee08579033e523d8");
	result(!memcmp(nonce, want, 12), "nonce_tls13_second");
	tlsrec_nonce(&f13, nonce, iv, 0x0102030405060708ull);
	hex(want, "5b78923def0a549436e324d1");
	result(!memcmp(nonce, want, 12), "nonce_tls13_all_bytes");
	tlsrec_nonce(&f12, nonce, iv, 0x0102030405060708ull);
	result(!memcmp(nonce, iv, 12), "nonce_tls12_as_given");
	/* RFC 7905 2: as under TLS 1.3 */
	tlsrec_format_init(&cc, false, 0);
	tlsrec_nonce(&cc, nonce, iv, 0x0102030405060708ull);
	result(!memcmp(nonce, want, 12), "nonce_tls12_chacha20");
}

/* RFC 8448 3: the client's application data record */
static void test_rfc8448(void)
{
	struct tlsrec_format f;
	u8 key[16], iv[12], rec[128], nonce[12], aad[13], payload[50], out[128], type = 0;
	size_t n;
	int len, content;

	tlsrec_format_init(&f, true, 8);
	for (int i = 0; i < 50; i++)
		payload[i] = i;
	/* the client's record, opened */
	hex(key, "17422dda596ed5d9acd890e3c63f5051");
	hex(iv, "5b78923dee08579033e523d9");
	n = hex(rec, "1703030043 a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f"
		     " 5a6292a2977014bd1e3deae63aeebb21694915e4");
	len = tlsrec_parse_header(&f, rec);
	result(len == (int)n && n == 72, "rfc8448_length");
	tlsrec_nonce(&f, nonce, iv, 0);
	tlsrec_put_aad(&f, aad, rec, 0, 50);
	memcpy(out, rec, n);
	result(!gcm(0, key, 128, nonce, aad, f.aad, out + 5, n - 21, out + n - 16), "rfc8448_opens");
	content = tlsrec_inner_content(out + 5, n - 21, &type);
	result(content == 50 && type == 23 && !memcmp(out + 5, payload, 50), "rfc8448_content");
	/* and made again, bit for bit */
	memset(out, 0, sizeof(out));
	tlsrec_put_head(&f, out, 23, 50, iv);
	memcpy(out + 5, payload, 50);
	out[55] = 23;
	tlsrec_put_aad(&f, aad, out, 0, 50);
	gcm(1, key, 128, nonce, aad, f.aad, out + 5, 51, out + 56);
	result(!memcmp(out, rec, n), "rfc8448_made_again");
	/* one bit of the header, and it is another record */
	for (int bit = 0; bit < 40; bit++) {
		memcpy(out, rec, n);
		out[bit / 8] ^= 1 << bit % 8;
		tlsrec_put_aad(&f, aad, out, 0, 50);
		if (!gcm(0, key, 128, nonce, aad, f.aad, out + 5, n - 21, out + n - 16)) {
			result(0, "rfc8448_header_is_authenticated");
			return;
		}
	}
	result(1, "rfc8448_header_is_authenticated");
}

static void test_header(void)
{
	struct tlsrec_format f12, f13;
	u8 h[13];
	const u8 nonce[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	tlsrec_format_init(&f12, false, 8);
	tlsrec_format_init(&f13, true, 8);
	tlsrec_put_head(&f12, h, 21, 2, nonce);
	result(!memcmp(h, "\x15\x03\x03\x00\x1a\1\2\3\4\5\6\7\x8", 13), "head_tls12_alert");
	tlsrec_put_head(&f13, h, 21, 2, nonce);
	result(!memcmp(h, "\x17\x03\x03\x00\x13", 5), "head_tls13_hides_type");
	tlsrec_put_head(&f12, h, 23, 16384, nonce);
	result(h[3] == 0x40 && h[4] == 0x18 && tlsrec_parse_header(&f12, h) == 5 + 0x4018, "head_tls12_full");
	tlsrec_put_head(&f13, h, 23, 16384, nonce);
	result(h[3] == 0x40 && h[4] == 0x11 && tlsrec_parse_header(&f13, h) == 5 + 0x4011, "head_tls13_full");
	result(tlsrec_parse_header(&f13, (const u8 *)"\x17\x03\x03\x40\x12") == -EMSGSIZE, "header_too_long_tls13");
	result(tlsrec_parse_header(&f12, (const u8 *)"\x17\x03\x03\x40\x19") == -EMSGSIZE, "header_too_long_tls12");
	result(tlsrec_parse_header(&f13, (const u8 *)"\x17\x03\x03\x00\x0f") == -EBADMSG, "header_too_short_tls13");
	result(tlsrec_parse_header(&f12, (const u8 *)"\x17\x03\x03\x00\x17") == -EBADMSG, "header_too_short_tls12");
	result(tlsrec_parse_header(&f12, (const u8 *)"\x17\x03\x03\x00\x18") == 29, "header_empty_tls12");
	result(tlsrec_parse_header(&f13, (const u8 *)"\x17\x03\x01\x00\x20") == -EINVAL, "header_version_minor");
	result(tlsrec_parse_header(&f13, (const u8 *)"\x17\x02\x03\x00\x20") == -EINVAL, "header_version_major");
	result(tlsrec_parse_header(&f13, (const u8 *)"\x17\x03\x04\x00\x20") == -EINVAL, "header_version_tls13_is_not_0304");
}

static void test_aad(void)
{
	struct tlsrec_format f12, f13;
	u8 aad[13];
	const u8 h[5] = { 0x16, 0x03, 0x02, 0x12, 0x34 };

	tlsrec_format_init(&f12, false, 8);
	tlsrec_format_init(&f13, true, 8);
	/* type and version as received, length of the payload: RFC 5246 6.2.3.3 */
	tlsrec_put_aad(&f12, aad, h, 0x0102030405060708ull, 0x4000);
	result(!memcmp(aad, "\1\2\3\4\5\6\7\x8\x16\x03\x02\x40\x00", 13), "aad_tls12");
	memset(aad, 0xaa, sizeof(aad));
	tlsrec_put_aad(&f13, aad, h, 7, 0x4000);
	result(!memcmp(aad, "\x16\x03\x02\x12\x34\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa", 13), "aad_tls13_as_received");
}

static void test_inner(void)
{
	static u8 zeros[16401];
	u8 b[8] = { 1, 2, 3, 22, 0, 0, 0, 0 }, type = 99;

	result(tlsrec_inner_content(b, 8, &type) == 3 && type == 22, "inner_padded");
	result(tlsrec_inner_content(b, 4, &type) == 3 && type == 22, "inner_plain");
	result(tlsrec_inner_content(b + 3, 1, &type) == 0 && type == 22, "inner_empty");
	result(tlsrec_inner_content(b + 3, 5, &type) == 0 && type == 22, "inner_empty_padded");
	type = 99;
	result(tlsrec_inner_content(b + 4, 4, &type) == -EBADMSG && type == 99, "inner_no_type");
	result(tlsrec_inner_content(b, 0, &type) == -EBADMSG, "inner_nothing");
	result(tlsrec_inner_content(zeros, sizeof(zeros), &type) == -EBADMSG, "inner_zeros");
	zeros[0] = 23;
	result(tlsrec_inner_content(zeros, sizeof(zeros), &type) == 0 && type == 23, "inner_longest_padding");
}

/* whatever five bytes come: a size that can be, or the right refusal */
static void fuzz_header(long rounds)
{
	int ok = 1;

	for (long i = 0; i < rounds && ok; i++) {
		struct tlsrec_format f;
		bool tls13 = rnd() & 1;
		u8 h[5];
		long len, min, max;
		int r;

		tlsrec_format_init(&f, tls13, rnd() & 1 ? 8 : 0);
		rnd_bytes(h, 5);
		if (rnd() % 4) {
			h[1] = 3;
			h[2] = 3;
		}
		if (rnd() % 2)
			h[3] = rnd() % 0x42;
		if (rnd() % 8 == 0)
			h[3] = rnd() & 1 ? 0x40 : 0;
		len = h[3] * 256 + h[4];
		min = 16 + f.explicit_nonce;
		max = 16384 + min + (tls13 ? 1 : 0);
		r = tlsrec_parse_header(&f, h);
		if (r >= 0)
			ok = r == 5 + len && len >= min && len <= max && h[1] == 3 && h[2] == 3 && r <= TLSREC_MAX_RECORD;
		else if (r == -EMSGSIZE)
			ok = len > max;
		else if (r == -EBADMSG)
			ok = len < min;
		else
			ok = r == -EINVAL && (h[1] != 3 || h[2] != 3);
	}
	result(ok, "fuzz_header");
}

static void fuzz_inner(long rounds)
{
	int ok = 1;

	for (long i = 0; i < rounds && ok; i++) {
		size_t len = rnd() % 300, at, n;
		u8 *b = malloc(len ? len : 1), type = 0;
		int r;

		/* an exact allocation: the sanitizer sees each byte too many */
		rnd_bytes(b, len);
		n = rnd() % (len + 1);
		if (len)
			memset(b + len - n, 0, n);
		for (at = len; at && !b[at - 1]; at--)
			;
		r = tlsrec_inner_content(b, len, &type);
		ok = at ? r == (int)at - 1 && type == b[at - 1] : r == -EBADMSG;
		free(b);
	}
	result(ok, "fuzz_inner");
}

/* One stream of handshake messages in pieces: in which of them does a KeyUpdate end? One bit for each piece. */
static unsigned int updates(const u8 *msgs, const size_t *piece, int pieces)
{
	struct tlsrec_handshake hs = { 0 };
	unsigned int found = 0;

	for (int i = 0; i < pieces; i++) {
		/* an exact allocation: the sanitizer sees each byte too many */
		u8 *copy = malloc(piece[i] ? piece[i] : 1);

		memcpy(copy, msgs, piece[i]);
		found |= (unsigned int)tlsrec_find_key_update(&hs, copy, piece[i]) << i;
		free(copy);
		msgs += piece[i];
	}
	return found;
}

static void test_key_update(void)
{
	static const u8 alone[] = { 24, 0, 0, 1, 0 };
	static const u8 behind[] = { 4, 0, 0, 6, 24, 0, 0, 1, 0, 24, 24, 0, 0, 1, 1 };
	static const u8 ticket[] = { 4, 0, 0, 10, 24, 0, 0, 1, 0, 24, 0, 0, 1, 0 };
	static const u8 twice[] = { 24, 0, 0, 1, 0, 24, 0, 0, 1, 0 };
	static const u8 first[] = { 24, 0, 0, 1, 0, 4, 0, 0, 1, 0 };
	static const u8 empty[] = { 4, 0, 0, 0, 24, 0, 0, 1, 0 };
	static u8 large[4 + 0x10000 + 5] = { 4, 1, 0, 0, [4 + 0x10000] = 24, 0, 0, 1, 0 };
	size_t one[] = { 1, 1, 1, 1, 1 };

	result(updates(alone, (size_t[]){ 5 }, 1) == 1, "key_update_alone");
	result(updates(alone, one, 5) == 16, "key_update_byte_by_byte");
	result(updates(alone, (size_t[]){ 2, 0, 0, 3 }, 4) == 8, "key_update_empty_pieces");
	result(updates(behind, (size_t[]){ 15 }, 1) == 1, "key_update_behind_a_ticket");
	result(updates(behind, (size_t[]){ 4, 5, 1, 5 }, 4) == 8, "key_update_pieces_of_a_ticket");
	result(updates(behind, (size_t[]){ 12, 3 }, 2) == 2, "key_update_cut_in_two");
	result(updates(ticket, (size_t[]){ 14 }, 1) == 0 && updates(ticket, (size_t[]){ 4, 5, 5 }, 3) == 0, "key_update_in_a_ticket_is_none");
	result(updates(twice, (size_t[]){ 5, 5 }, 2) == 3 && updates(twice, (size_t[]){ 10 }, 1) == 1, "key_update_twice");
	result(updates(first, (size_t[]){ 10 }, 1) == 1 && updates(first, (size_t[]){ 5, 5 }, 2) == 1, "key_update_in_front");
	result(updates(empty, (size_t[]){ 9 }, 1) == 1, "key_update_behind_an_empty_message");
	memset(large + 4, 24, 0x10000);
	result(updates(large, (size_t[]){ 16384, 16384, 16384, 16384, 9 }, 5) == 16, "key_update_behind_65536_bytes");
	result(updates(large, (size_t[]){ 16384, 16384, 16384, 16384 }, 4) == 0, "key_update_not_in_65536_bytes");
}

/* random messages in random pieces, against the places that they were put at */
static void fuzz_key_update(long rounds)
{
	int ok = 1;

	for (long i = 0; i < rounds && ok; i++) {
		u8 msgs[2000];
		size_t len = 0, ends[40], piece[32];
		unsigned int want = 0;
		int n = 0, pieces = 0;

		while (len < 1000 && n < 40 && rnd() % 8) {
			bool update = rnd() % 3 == 0;
			size_t body = update ? 1 : rnd() % 50;

			msgs[len] = update ? 24 : rnd() % 24;
			msgs[len + 1] = msgs[len + 2] = 0;
			msgs[len + 3] = body;
			memset(msgs + len + 4, rnd() & 1 ? 24 : 0, body);
			len += 4 + body;
			if (update)
				ends[n++] = len;
		}
		for (size_t at = 0; at < len && pieces < 32; pieces++) {
			size_t p = rnd() % 4 ? rnd() % 8 : rnd() % 200;

			if (p > len - at || pieces == 31)
				p = len - at;
			piece[pieces] = p;
			for (int j = 0; j < n; j++)
				if (ends[j] > at && ends[j] <= at + p)
					want |= 1u << pieces;
			at += p;
		}
		ok = updates(msgs, piece, pieces) == want;
	}
	result(ok, "fuzz_key_update");
}

/* seal and open with each layout, key size, type and sequence number */
static void fuzz_round_trip(long rounds)
{
	int ok = 1;

	for (long i = 0; i < rounds && ok; i++) {
		struct tlsrec_format f;
		bool tls13 = rnd() & 1;
		size_t len = rnd() % 8 ? rnd() % 500 : rnd() % 16385, inner, body;
		u8 *rec = malloc(TLSREC_MAX_RECORD), *plain = malloc(len + 1);
		u8 key[32], iv[12], nonce[12], aad[13], type = 1 + rnd() % 255, got = type;
		u64 seq = rnd() >> rnd() % 64;
		int bits = rnd() & 1 ? 256 : 128, r;

		/* with a nonce in the record, and as ChaCha20-Poly1305 has it */
		tlsrec_format_init(&f, tls13, rnd() & 1 ? 8 : 0);
		rnd_bytes(key, 32);
		rnd_bytes(iv, 12);
		rnd_bytes(plain, len);
		tlsrec_put_head(&f, rec, type, len, iv + 4);
		body = tlsrec_head_size(&f);
		memcpy(rec + body, plain, len);
		inner = len + f.inner_type;
		if (tls13)
			rec[body + len] = type;
		tlsrec_nonce(&f, nonce, iv, seq);
		tlsrec_put_aad(&f, aad, rec, seq, len);
		gcm(1, key, bits, nonce, aad, f.aad, rec + body, inner, rec + body + inner);
		r = tlsrec_parse_header(&f, rec);
		ok = r == (int)(len + tlsrec_overhead(&f));
		tlsrec_put_aad(&f, aad, rec, seq, len);
		ok = ok && !gcm(0, key, bits, nonce, aad, f.aad, rec + body, inner, rec + body + inner);
		if (tls13)
			ok = ok && tlsrec_inner_content(rec + body, inner, &got) == (int)len;
		else
			got = rec[0];
		ok = ok && got == type && !memcmp(rec + body, plain, len);
		free(rec);
		free(plain);
	}
	result(ok, "fuzz_round_trip");
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? atol(argv[1]) : 100000;

	printf("TAP version 13\n");
	test_layout();
	test_nonce();
	test_rfc8448();
	test_header();
	test_aad();
	test_inner();
	test_key_update();
	fuzz_header(rounds);
	fuzz_inner(rounds);
	fuzz_key_update(rounds);
	fuzz_round_trip(rounds / 20);
	printf("1..%d\n", tests);
	return failed ? 1 : 0;
}
