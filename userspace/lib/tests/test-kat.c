// SPDX-License-Identifier: MIT
/* Known answers: key derivation and record protection against published vectors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ssl.h>

#include "kdf.h"
#include "record.h"
#include "tap.h"

/*
 * TLS 1.2 PRF: IETF TLS working group mail archive, msg03416, "Test vectors for the TLS 1.2
 * PRF"; label "test label".
 */
static const struct {
	const char *digest;
	const char *secret;
	const char *seed;
	const char *out;
} prf_vectors[] = {
	{ "SHA256", "9bbe436ba940f017b17652849a71db35", "a0ba9f936cda311827a6f796ffd5198c",
	  "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9"
	  "c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789ba"
	  "a48082d122ee42c5a72e5a5110fff70187347b66" },
	{ "SHA384", "b80b733d6ceefcdc71566ea48e5567df", "cd665cf6a8447dd6ff8b27555edb7465",
	  "7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe3"
	  "4f82b1233c9146a0e534cb400fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3"
	  "d416d473ebc2c5fd4abfdad05d9184259b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236"
	  "a3e52655c9e9aee691c8f3a26854308d5eaa3be85e0990703d73e56f" },
	{ "SHA512", "b0323523c1853599584d88568bbb05eb", "d4640e12e4bcdbfb437f03e6ae418ee5",
	  "1261f588c798c5c201ff036e7a9cb5edcd7fe3f94c669a122a4638d7d508b283042df6789875c714"
	  "7e906d868bc75c45e20eb40c1cf4a1713b27371f68432592f7dc8ea8ef223e12ea8507841311bf68"
	  "653d0cfc4056d811f025c45ddfa6e6fec702f054b409d6f28dd0a3233e498da41a3e75c5630eedbe"
	  "22fe254e33a1b0e9f6b9826675bec7d01a845658dc9c397545401d40b9f46c7a400ee1b8f81ca0a6"
	  "0d1a397a1028bff5d2ef5066126842fb8da4197632bdb54ff6633f86bbc836e640d4d898" },
};

static void test_prf(void)
{
	unsigned char secret[64], seed[64], want[256], out[256];
	char name[64];

	for (size_t i = 0; i < sizeof(prf_vectors) / sizeof(prf_vectors[0]); i++) {
		const EVP_MD *md = EVP_get_digestbyname(prf_vectors[i].digest);
		size_t secret_len = tap_unhex(prf_vectors[i].secret, secret, sizeof(secret));
		size_t seed_len = tap_unhex(prf_vectors[i].seed, seed, sizeof(seed));
		size_t len = tap_unhex(prf_vectors[i].out, want, sizeof(want));

		memset(out, 0, sizeof(out));
		tr_prf12(md, secret, secret_len, "test label", seed, seed_len, out, len);
		snprintf(name, sizeof(name), "TLS 1.2 PRF with %s", prf_vectors[i].digest);
		tap_bytes(out, want, len, name);
	}
}

static const struct tr_cipher *cipher(const char *name)
{
	for (int i = 0; i < TR_CIPHERS; i++)
		if (!strcmp(tr_ciphers[i].name, name))
			return &tr_ciphers[i];
	abort();
}

/*
 * The key block of an AEAD suite is the PRF's output cut into keys and implicit nonces, nothing
 * else: 4 bytes of nonce where the records carry the other 8 (RFC 5288 3, RFC 6655 3, RFC 6209
 * 2.2), 12 where they carry none (RFC 7905 2).
 */
static void test_key_block(const char *name, size_t key_len, size_t iv_len)
{
	unsigned char master[TR_MASTER_LEN], random[2][TR_RANDOM_LEN], block[88];
	unsigned char seed[2 * TR_RANDOM_LEN];
	struct tr_dir client = { .cipher = NULL }, server = client;
	const struct {
		const char *what;
		const unsigned char *got;
		size_t len;
	} parts[] = {
		{ "client key first", client.key, key_len },
		{ "then the server's", server.key, key_len },
		{ "then the client's nonce", client.iv, iv_len },
		{ "then the server's", server.iv, iv_len },
	};
	const unsigned char *next = block;
	char text[96];

	memset(master, 1, sizeof(master));
	memset(random[0], 2, TR_RANDOM_LEN);
	memset(random[1], 3, TR_RANDOM_LEN);
	memcpy(seed, random[1], TR_RANDOM_LEN);
	memcpy(seed + TR_RANDOM_LEN, random[0], TR_RANDOM_LEN);
	tr_prf12(EVP_sha384(), master, sizeof(master), "key expansion", seed, sizeof(seed), block,
		 sizeof(block));
	tr_keys12(EVP_sha384(), master, sizeof(master), random[0], random[1], cipher(name), &client,
		  &server);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		snprintf(text, sizeof(text), "key block, %s: %s", name, parts[i].what);
		tap_bytes(parts[i].got, next, parts[i].len, text);
		next += parts[i].len;
	}
	tap_ok(iv_len == TR_IV_LEN || !client.iv[iv_len], "key block, %s: no more than that", name);
}

/* RFC 8448 section 3, "Simple 1-RTT Handshake". */
static const char ecdhe[] = "8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d";
static const char early[] = "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a";
static const char derived[] = "6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba";
static const char handshake[] = "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac";
static const char hello_hash[] = "860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8";
static const char c_hs[] = "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21";
static const char s_hs[] = "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38";
static const char derived2[] = "43de77e0c77713859a944db9db2590b53190a65b3ee2e4f12dd7a0bb7ce254b4";
static const char master13[] = "18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919";
static const char finished_hash[] =
	"9608102a0f1ccc6db6250b7b7e417b1a000eaada3daae4777a7686c9ff83df13";
static const char c_ap[] = "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";
static const char s_ap[] = "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";
static const char s_ap_key[] = "9f02283b6c9c07efc26bb9f2ac92e356";
static const char s_ap_iv[] = "cf782b88dd83549aadf1e984";
static const char c_ap_key[] = "17422dda596ed5d9acd890e3c63f5051";
static const char c_ap_iv[] = "5b78923dee08579033e523d9";
static const char ticket[] =
	"040000c90000001efad6aac502000000b22c035d829359ee5ff7af4ec90000000"
	"0262a6494dc486d2c8a34cb33fa90bf1b0070ad3c498883c9367c09a2be785abc"
	"55cd226097a3a982117283f82a03a143efd3ff5dd36d64e861be7fd61d2827db2"
	"79cce145077d454a3664d4e6da4d29ee03725a6a4dafcd0fc67d2aea70529513e"
	"3da2677fa5906c5b3f7d8f92f228bda40dda721470f9fbf297b5aea617646fac5"
	"c03272e970727c621a79141ef5f7de6505e5bfbc388e93343694093934ae4d357"
	"0008002a000400000400";
static const char ticket_record[] =
	"17030300de3a6b8f90414a97d6959c3487680de5134a2b240e6cffac116e95d4"
	"1d6af8f6b580dcf3d11d63c758db289a015940252f55713e061dc13e078891a3"
	"8efbcf5753ad8ef170ad3c7353d16d9da773b9ca7f2b9fa1b6c0d4a3d03f75e0"
	"9c30ba1e62972ac46f75f7b981be63439b2999ce13064615139891d5e4c5b406"
	"f16e3fc181a77ca475840025db2f0a77f81b5ab05b94c01346755f69232c8651"
	"9d86cbeeac87aac347d143f9605d64f650db4d023e70e952ca49fe5137121c74"
	"bc2697687e248746d6df353005f3bce18696129c8153556b3b6c6779b37bf159"
	"85684f";
static const char c_data_record[] =
	"1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f"
	"2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae6"
	"3aeebb21694915e4";
static const char s_data_record[] =
	"17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36"
	"e30efaf97d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf33254"
	"0dd032e167c2955d";
static const char c_alert_record[] = "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3";
static const char s_alert_record[] = "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9";

static void expand(const unsigned char *secret, const char *label, const char *context_hex,
		   const char *want_hex, const char *name)
{
	unsigned char context[64], want[64], out[64];
	size_t context_len = tap_unhex(context_hex, context, sizeof(context));
	size_t len = tap_unhex(want_hex, want, sizeof(want));

	memset(out, 0, sizeof(out));
	tr_expand_label(EVP_sha256(), secret, 32, label, context, context_len, out, len);
	tap_bytes(out, want, len, name);
}

/* HKDF-Extract is one HMAC (RFC 5869 2.2), which OpenSSL does in the handshake itself. */
static void extract(const char *salt_hex, const char *ikm_hex, const char *want_hex,
		    const char *name)
{
	unsigned char salt[32], ikm[32], want[32], out[32] = { 0 };
	size_t salt_len = tap_unhex(salt_hex, salt, sizeof(salt));

	tap_unhex(ikm_hex, ikm, sizeof(ikm));
	tap_unhex(want_hex, want, sizeof(want));
	EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, salt, salt_len, ikm, sizeof(ikm), out,
		  sizeof(out), NULL);
	tap_bytes(out, want, sizeof(want), name);
}

static void test_key_schedule(void)
{
	static const char zeros[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	static const char empty_hash[] =
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	unsigned char secret[32];

	extract("00", zeros, early, "RFC 8448: early secret");
	tap_unhex(early, secret, sizeof(secret));
	expand(secret, "derived", empty_hash, derived, "RFC 8448: derived for handshake");
	extract(derived, ecdhe, handshake, "RFC 8448: handshake secret");
	tap_unhex(handshake, secret, sizeof(secret));
	expand(secret, "c hs traffic", hello_hash, c_hs, "RFC 8448: client handshake traffic");
	expand(secret, "s hs traffic", hello_hash, s_hs, "RFC 8448: server handshake traffic");
	expand(secret, "derived", empty_hash, derived2, "RFC 8448: derived for master");
	extract(derived2, zeros, master13, "RFC 8448: master secret");
	tap_unhex(master13, secret, sizeof(secret));
	expand(secret, "c ap traffic", finished_hash, c_ap, "RFC 8448: client traffic secret 0");
	expand(secret, "s ap traffic", finished_hash, s_ap, "RFC 8448: server traffic secret 0");
}

static void traffic(const char *secret_hex, const char *key_hex, const char *iv_hex,
		    const char *who, struct tr_dir *dir)
{
	unsigned char secret[32], key[16], iv[12];
	char name[64];

	tap_unhex(secret_hex, secret, sizeof(secret));
	tap_unhex(key_hex, key, sizeof(key));
	tap_unhex(iv_hex, iv, sizeof(iv));
	memset(dir, 0, sizeof(*dir));
	tr_keys13(EVP_sha256(), secret, cipher("AES-128-GCM"), dir);
	snprintf(name, sizeof(name), "RFC 8448: %s application key", who);
	tap_bytes(dir->key, key, sizeof(key), name);
	snprintf(name, sizeof(name), "RFC 8448: %s application IV", who);
	tap_bytes(dir->iv, iv, sizeof(iv), name);
}

static void record(struct tr_dir *dir, uint8_t type, const unsigned char *plain, size_t len,
		   const char *record_hex, const char *name)
{
	unsigned char want[512], out[TR_RECORD_MAX], back[TR_PLAIN_MAX + 1];
	size_t want_len = tap_unhex(record_hex, want, sizeof(want));
	struct tr_dir reader = *dir;
	uint8_t got_type = 0;

	tap_ok(tr_seal(TLS1_3_VERSION, dir, type, plain, len, out) == (ssize_t)want_len &&
	       !memcmp(out, want, want_len), "RFC 8448: seal %s", name);
	tap_ok(tr_open(TLS1_3_VERSION, &reader, want, want_len, &got_type, back) == (ssize_t)len &&
	       got_type == type && !memcmp(back, plain, len), "RFC 8448: open %s", name);
	tap_ok(reader.seq == dir->seq, "RFC 8448: %s: same next sequence number", name);
}

static void test_rfc8448_records(void)
{
	static const unsigned char close_notify[] = { 1, 0 };
	struct tr_dir client, server;
	unsigned char message[256], data[50];
	size_t len = tap_unhex(ticket, message, sizeof(message));

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)i;
	traffic(s_ap, s_ap_key, s_ap_iv, "server", &server);
	traffic(c_ap, c_ap_key, c_ap_iv, "client", &client);
	record(&server, TR_HANDSHAKE, message, len, ticket_record, "server's ticket");
	record(&client, TR_DATA, data, sizeof(data), c_data_record, "client's data");
	record(&server, TR_DATA, data, sizeof(data), s_data_record, "server's data");
	record(&client, TR_ALERT, close_notify, 2, c_alert_record, "client's close_notify");
	record(&server, TR_ALERT, close_notify, 2, s_alert_record, "server's close_notify");
}

/*
 * application_traffic_secret_1 of both digests, from RFC 8446 7.2: HKDF-Expand is one HMAC here
 * (RFC 5869 2.3), so the answer can be had without the code under test.
 */
static void next_secret(const EVP_MD *md, const char *name)
{
	unsigned char secret[EVP_MAX_MD_SIZE], want[EVP_MAX_MD_SIZE];
	size_t len = (size_t)EVP_MD_get_size(md);
	unsigned char info[] = { 0, (unsigned char)len, 17, 't', 'l', 's', '1', '3', ' ', 't', 'r',
				 'a', 'f', 'f', 'i', 'c', ' ', 'u', 'p', 'd', 0, 1 };
	size_t want_len = 0;

	memset(secret, 0x5a, sizeof(secret));
	EVP_Q_mac(NULL, "HMAC", NULL, EVP_MD_get0_name(md), NULL, secret, len, info, sizeof(info),
		  want, sizeof(want), &want_len);
	tr_next_secret(md, secret);
	tap_ok(want_len == len && !memcmp(secret, want, len), "next traffic secret, %s", name);
}

/*
 * McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B (also NIST's
 * proposal), test cases 1, 2, 3, 4 and 13, 14, 15, 16: those with a 96-bit IV.
 */
#define KEY_B "feffe9928665731c6d6a8f9467308308"
#define IV_B "cafebabefacedbaddecaf888"
#define AAD_B "feedfacedeadbeeffeedfacedeadbeefabaddad2"
#define ZERO16 "00000000000000000000000000000000"
#define PLAIN_60 \
	"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" \
	"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define CIPHER_128_60 \
	"42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e" \
	"21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
#define CIPHER_256_60 \
	"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa" \
	"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"

static const struct {
	int number;
	const char *key, *iv, *aad, *plain, *sealed;
} gcm_vectors[] = {
	{ 1, ZERO16, "000000000000000000000000", "", "", "58e2fccefa7e3061367f1d57a4e7455a" },
	{ 2, ZERO16, "000000000000000000000000", "", ZERO16,
	  "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf" },
	{ 3, KEY_B, IV_B, "", PLAIN_60 "1aafd255",
	  CIPHER_128_60 "473f5985" "4d5c2af327cd64a62cf35abd2ba6fab4" },
	{ 4, KEY_B, IV_B, AAD_B, PLAIN_60, CIPHER_128_60 "5bc94fbc3221a5db94fae95ae7121a47" },
	{ 13, ZERO16 ZERO16, "000000000000000000000000", "", "",
	  "530f8afbc74536b9a963b4f1c4cb738b" },
	{ 14, ZERO16 ZERO16, "000000000000000000000000", "", ZERO16,
	  "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919" },
	{ 15, KEY_B KEY_B, IV_B, "", PLAIN_60 "1aafd255",
	  CIPHER_256_60 "898015ad" "b094dac5d93471bdec1a502270e3cc6c" },
	{ 16, KEY_B KEY_B, IV_B, AAD_B, PLAIN_60,
	  CIPHER_256_60 "76fc6ece0f4e1768cddf8853bb2d551b" },
};

static void test_gcm(void)
{
	for (size_t i = 0; i < sizeof(gcm_vectors) / sizeof(gcm_vectors[0]); i++) {
		unsigned char iv[12], aad[32], plain[64], want[80], out[80] = { 0 }, back[80];
		int number = gcm_vectors[i].number;
		struct tr_dir dir = { .seq = 0 };
		size_t key_len = tap_unhex(gcm_vectors[i].key, dir.key, sizeof(dir.key));
		int aad_len = (int)tap_unhex(gcm_vectors[i].aad, aad, sizeof(aad));
		size_t len = tap_unhex(gcm_vectors[i].plain, plain, sizeof(plain));
		size_t want_len = tap_unhex(gcm_vectors[i].sealed, want, sizeof(want));

		dir.cipher = cipher(key_len == 16 ? "AES-128-GCM" : "AES-256-GCM");
		tap_unhex(gcm_vectors[i].iv, iv, sizeof(iv));
		tr_aead_seal(&dir, iv, aad, aad_len, plain, len, out);
		tap_ok(want_len == len + TR_TAG_LEN && !memcmp(out, want, want_len),
		       "GCM test case %d: seal", number);
		tap_ok(tr_aead_open(&dir, iv, aad, aad_len, want, len, back) &&
		       !memcmp(back, plain, len), "GCM test case %d: open", number);
		want[want_len - 1] ^= 1;
		tap_ok(!tr_aead_open(&dir, iv, aad, aad_len, want, len, back),
		       "GCM test case %d: a wrong tag is refused", number);
	}
}

/* RFC 8439 2.8.2. CCM and ARIA are held against OpenSSL itself, by whole handshakes. */
static void test_chacha(void)
{
	static const char text[] = "Ladies and Gentlemen of the class of '99: If I could offer you "
				   "only one tip for the future, sunscreen would be it.";
	static const char sealed[] =
		"d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
		"3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
		"92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
		"3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691";
	struct tr_dir dir = { .cipher = cipher("CHACHA20-POLY1305") };
	unsigned char nonce[12], aad[12], want[256], out[256] = { 0 }, back[256];
	size_t len = sizeof(text) - 1;
	size_t want_len = tap_unhex(sealed, want, sizeof(want));

	for (int i = 0; i < 32; i++)
		dir.key[i] = (unsigned char)(0x80 + i);
	tap_unhex("070000004041424344454647", nonce, sizeof(nonce));
	tap_unhex("50515253c0c1c2c3c4c5c6c7", aad, sizeof(aad));
	tr_aead_seal(&dir, nonce, aad, sizeof(aad), (const uint8_t *)text, len, out);
	tap_ok(want_len == len + TR_TAG_LEN && !memcmp(out, want, want_len),
	       "RFC 8439 2.8.2: seal");
	tap_ok(tr_aead_open(&dir, nonce, aad, sizeof(aad), want, len, back) &&
		       !memcmp(back, text, len), "RFC 8439 2.8.2: open");
}

static void test_malformed(int version, const struct tr_cipher *with)
{
	unsigned char out[TR_RECORD_MAX], back[TR_PLAIN_MAX + 1];
	struct tr_dir writer = { .cipher = with, .seq = 7 }, reader = writer;
	char name[64];
	uint8_t type;
	ssize_t n = tr_seal(version, &writer, TR_DATA, (const uint8_t *)"hello", 5, out);

	snprintf(name, sizeof(name), "TLS 1.%d, %s", version - 0x0301, with->name);
	tap_ok(tr_open(version, &reader, out, (size_t)n - 1, &type, back) < 0,
	       "%s: a record cut short is refused", name);
	out[4]--;
	tap_ok(tr_open(version, &reader, out, (size_t)n - 1, &type, back) < 0,
	       "%s: and so when its header agrees", name);
	out[4]++;
	out[0] = TR_ALERT;
	tap_ok(tr_open(version, &reader, out, (size_t)n, &type, back) < 0,
	       "%s: a changed content type is refused", name);
	out[0] = TR_DATA;
	tap_ok(tr_open(version, &reader, out, (size_t)n, &type, back) == 5 && reader.seq == 8,
	       "%s: refused records do not move the sequence number", name);
	tap_ok(tr_open(version, &reader, out, (size_t)n, &type, back) < 0,
	       "%s: a replayed record is refused", name);
	tap_ok(tr_seal(version, &writer, TR_DATA, out, TR_PLAIN_MAX + 1, out) < 0,
	       "%s: more than 2^14 bytes are refused", name);
	memset(out, 0, 5 + 8);
	tap_ok(tr_open(version, &reader, out, 5, &type, back) < 0, "%s: an empty record", name);
}

static void test_nonce_carry(void)
{
	unsigned char out[TR_RECORD_MAX];
	struct tr_dir dir = { .cipher = cipher("AES-128-GCM") };
	static const unsigned char want[8] = { 0, 0, 0, 1, 0, 0, 0, 0 };

	memset(dir.iv + TR_SALT_LEN + 4, 0xff, 4);
	tr_seal(TLS1_2_VERSION, &dir, TR_DATA, (const uint8_t *)"", 0, out);
	tap_bytes(dir.iv + TR_SALT_LEN, want, 8, "TLS 1.2 explicit nonce carries");
}

int main(void)
{
	test_prf();
	test_key_block("AES-128-GCM", 16, 4);
	test_key_block("AES-256-GCM", 32, 4);
	test_key_block("AES-128-CCM", 16, 4);
	test_key_block("CHACHA20-POLY1305", 32, 12);
	test_key_block("ARIA-128-GCM", 16, 4);
	test_key_block("ARIA-256-GCM", 32, 4);
	test_key_schedule();
	test_rfc8448_records();
	next_secret(EVP_sha256(), "SHA-256");
	next_secret(EVP_sha384(), "SHA-384");
	test_gcm();
	test_chacha();
	for (int i = 0; i < TR_CIPHERS; i++) {
		test_malformed(TLS1_2_VERSION, &tr_ciphers[i]);
		test_malformed(TLS1_3_VERSION, &tr_ciphers[i]);
	}
	test_nonce_carry();
	return tap_done();
}
