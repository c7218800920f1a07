// SPDX-License-Identifier: GPL-2.0 OR MIT
#define _GNU_SOURCE
#include "tlsrec_test.h"
#include "fragmented_common.h"

#include <fcntl.h>

#define PARAMETERS "/sys/module/tlsrec_fragment/parameters/"

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	TT_MUST(fd >= 0);
	TT_MUST(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static long get(const char *path)
{
	FILE *f = fopen(path, "r");
	long n = -1;

	if (f && fscanf(f, "%ld", &n) != 1)
		n = -1;
	if (f)
		fclose(f);
	return n;
}

/* what processors keep was allocated before */
static void forget_kept(void)
{
	const char *kept = "/sys/module/tlsrec/parameters/spare_kib";
	uint64_t end = tt_now_ms() + 30000;

	put("/proc/sys/vm/drop_caches", "2");
	while (get(kept) > 0 && tt_now_ms() < end)
		usleep(10000);
	TT_MUST(get(kept) <= 0);
}

void scarce_from(unsigned long bytes)
{
	char text[30];

	if (bytes)
		forget_kept();
	snprintf(text, sizeof(text), "%lu", bytes);
	put(PARAMETERS "least", text);
}

void scarce_transforms(bool refused)
{
	put(PARAMETERS "transforms", refused ? "Y" : "N");
}

bool scarce_load(void)
{
	if (access(PARAMETERS, F_OK) && system("modprobe -q tlsrec_fragment"))
		return false;
	/* a test that failed may have left it so */
	scarce_from(0);
	scarce_transforms(false);
	return true;
}

long scarce_refused(void)
{
	return get(PARAMETERS "refused");
}

long scarce_refused_softirq(void)
{
	return get(PARAMETERS "softirq");
}

bool comes(int peer, struct tt_key *k, struct tt_opened *o, uint64_t *pos, size_t len)
{
	for (uint64_t end = *pos + len; *pos < end; *pos += o->len)
		if (tt_recv_rec(peer, k, o) != 1 || *pos + o->len > end || tt_diff(o->data, o->len, *pos) >= 0)
			return false;
	return true;
}

long parked(void)
{
	return tt_counter("TlsrecParked");
}

bool wait_parked(long before)
{
	uint64_t end = tt_now_ms() + 90000;

	while (parked() <= before) {
		if (tt_now_ms() > end)
			return false;
		usleep(20000);
	}
	return true;
}
