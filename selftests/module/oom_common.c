// SPDX-License-Identifier: GPL-2.0 OR MIT
#define _GNU_SOURCE
#include "oom_common.h"

static const char *alg(uint16_t cipher)
{
	switch (cipher) {
	case TLS_CIPHER_AES_CCM_128:
		return "ccm(aes)";
	case TLS_CIPHER_CHACHA20_POLY1305:
		return "rfc7539(chacha20,poly1305)";
	case TLS_CIPHER_SM4_GCM:
		return "gcm(sm4)";
	case TLS_CIPHER_SM4_CCM:
		return "ccm(sm4)";
	case TLS_CIPHER_ARIA_GCM_128:
	case TLS_CIPHER_ARIA_GCM_256:
		return "gcm(aria)";
	default:
		return "gcm(aes)";
	}
}

/* the best of /proc/crypto */
static void best_driver(const char *alg, char *name, size_t len)
{
	char line[200], cur[150] = "", drv[150] = "";
	FILE *f = fopen("/proc/crypto", "r");
	int prio = -1, p;

	TT_MUST(f);
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "name : %149s", cur);
		sscanf(line, "driver : %149s", drv);
		if (sscanf(line, "priority : %d", &p) == 1 && !strcmp(cur, alg) && p > prio) {
			prio = p;
			snprintf(name, len, "%s", drv);
		}
	}
	fclose(f);
	TT_MUST(prio >= 0);
}

void oom_load(uint16_t version, uint16_t cipher)
{
	char name[150], command[400];

	/* a test that has failed may have left it */
	TT_MUST(system("modprobe -qr tlsrec_oom") >= 0);
	/* what is made of several is not there before somebody has asked for it */
	TT_MUST(!tt_cipher_refused(version, cipher));
	best_driver(alg(cipher), name, sizeof(name));
	snprintf(command, sizeof(command), "modprobe tlsrec_oom alg='%s' driver='%s'", alg(cipher), name);
	TT_MUST(system(command) == 0);
}

int oom_unload(void)
{
	return system("modprobe -r tlsrec_oom");
}

static void set(const char *name, int value)
{
	char path[100];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/module/tlsrec_oom/parameters/%s", name);
	f = fopen(path, "w");
	TT_MUST(f && fprintf(f, "%d\n", value) > 0 && fclose(f) == 0);
}

void oom_fail(const char *what, int nth)
{
	char name[50];

	snprintf(name, sizeof(name), "fail_%s", what);
	set(name, nth);
}

void oom_fail_more(int more)
{
	set("fail_more", more);
}

void oom_spoil(bool on)
{
	set("spoil", on);
}

bool oom_failed(const char *what)
{
	char path[100];
	int left = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/module/tlsrec_oom/parameters/fail_%s", what);
	f = fopen(path, "r");
	TT_MUST(f && fscanf(f, "%d", &left) == 1);
	fclose(f);
	return !left;
}
