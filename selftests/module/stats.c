// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What an operator sees: counters in /proc/net, tracepoints, socket information through inet_diag (what ss -ti shows). In a
 * network namespace of its own, so that nobody else's connections are counted.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <sched.h>
#include <sys/stat.h>

#ifndef INET_ULP_INFO_TLS
#define INET_ULP_INFO_TLS 2
#endif
#define ULP_INFO_NAME 1

FIXTURE(stats)
{
	int fd[2];
	struct tt_key ab, ba;
};

FIXTURE_VARIANT(stats)
{
	TT_VARIANT_FIELDS;
};

TT_VARIANTS(stats);

FIXTURE_SETUP(stats)
{
	if (tt_netns())
		SKIP(return, "no network namespaces here");
	tt_tcp_pair(variant->family, self->fd);
	self->ab = tt_key_make(variant->version, variant->cipher, 1);
	self->ba = tt_key_make(variant->version, variant->cipher, 2);
}

FIXTURE_TEARDOWN(stats)
{
	close(self->fd[0]);
	close(self->fd[1]);
}

TEST_F(stats, names)
{
	/* the file and each name as programs that read tls_stat know them */
	const char *names[] = {
		"TlsCurrTxSw", "TlsCurrRxSw", "TlsCurrTxDevice", "TlsCurrRxDevice", "TlsTxSw", "TlsRxSw", "TlsTxDevice", "TlsRxDevice",
		"TlsDecryptError", "TlsRxDeviceResync", "TlsDecryptRetry", "TlsRxNoPadViolation",
		/* the in-tree modules of older kernels end here */
		"TlsRxRekeyOk", "TlsRxRekeyError", "TlsTxRekeyOk", "TlsTxRekeyError", "TlsRxRekeyReceived",
	};

	ASSERT_EQ(0, tt_ulp(self->fd[0]));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (i == 12 && tt_ulp_is_intree() && tt_counter(names[i]) < 0)
			break;
		EXPECT_EQ(0, tt_counter(names[i])) TH_LOG("%s", names[i]);
	}
}

TEST_F(stats, sockets)
{
	ASSERT_EQ(0, tt_ulp(self->fd[0]));
	EXPECT_EQ(0, tt_counter("TlsCurrTxSw"));
	ASSERT_EQ(0, tt_key_set(self->fd[0], TLS_TX, &self->ab));
	EXPECT_EQ(1, tt_counter("TlsCurrTxSw"));
	EXPECT_EQ(1, tt_counter("TlsTxSw"));
	EXPECT_EQ(0, tt_counter("TlsCurrRxSw"));
	ASSERT_EQ(0, tt_key_set(self->fd[0], TLS_RX, &self->ba));
	EXPECT_EQ(1, tt_counter("TlsCurrRxSw"));
	EXPECT_EQ(1, tt_counter("TlsRxSw"));
	tt_install(self->fd[1], &self->ba, &self->ab);
	EXPECT_EQ(2, tt_counter("TlsCurrTxSw"));
	EXPECT_EQ(2, tt_counter("TlsCurrRxSw"));
	/* a refused key is not counted */
	struct tt_key bad = self->ab;
	int fd[2];

	bad.version = 1;
	tt_tcp_pair(variant->family, fd);
	ASSERT_EQ(0, tt_ulp(fd[0]));
	EXPECT_ERR(EINVAL, tt_key_set(fd[0], TLS_TX, &bad));
	EXPECT_EQ(2, tt_counter("TlsCurrTxSw"));
	EXPECT_EQ(2, tt_counter("TlsTxSw"));
	close(fd[0]);
	close(fd[1]);
	/* closed is gone, but was there once */
	close(self->fd[0]);
	close(self->fd[1]);
	self->fd[0] = self->fd[1] = -1;
	for (int i = 0; i < 1000 && tt_counter("TlsCurrTxSw") + tt_counter("TlsCurrRxSw"); i++)
		usleep(10000);
	EXPECT_EQ(0, tt_counter("TlsCurrTxSw"));
	EXPECT_EQ(0, tt_counter("TlsCurrRxSw"));
	EXPECT_EQ(2, tt_counter("TlsTxSw"));
	EXPECT_EQ(2, tt_counter("TlsRxSw"));
	EXPECT_EQ(0, tt_counter("TlsTxDevice"));
	EXPECT_EQ(0, tt_counter("TlsDecryptError"));
}

TEST_F(stats, decrypt_error)
{
	uint8_t rec[200], buf[200];
	struct tt_rec r = { .type = TT_DATA, .data = "0123456789", .len = 10 };
	size_t n;

	tt_install(self->fd[1], NULL, &self->ab);
	n = tt_seal(&self->ab, &r, rec);
	rec[n - 1] ^= 1;
	tt_write(self->fd[0], rec, n);
	EXPECT_ERR(EBADMSG, recv(self->fd[1], buf, sizeof(buf), 0));
	EXPECT_EQ(1, tt_counter("TlsDecryptError"));
}

TEST_F(stats, own_counters)
{
	char buf[50000];

	if (tt_ulp_is_intree())
		SKIP(return, "the in-tree module has no such counters");
	tt_install(self->fd[0], &self->ab, NULL);
	tt_install(self->fd[1], NULL, &self->ab);
	ASSERT_EQ(sizeof(buf), send(self->fd[0], buf, sizeof(buf), 0));
	ASSERT_EQ(sizeof(buf), tt_read(self->fd[1], buf, sizeof(buf)));
	EXPECT_EQ(4, tt_counter("TlsrecTxRecords"));
	EXPECT_EQ(sizeof(buf), tt_counter("TlsrecTxBytes"));
	EXPECT_EQ(4, tt_counter("TlsrecRxRecords"));
	EXPECT_EQ(sizeof(buf), tt_counter("TlsrecRxBytes"));
}

/* each namespace counts its own */
TEST_F(stats, namespaces)
{
	tt_install(self->fd[0], &self->ab, &self->ba);
	EXPECT_EQ(1, tt_counter("TlsCurrTxSw"));
	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	EXPECT_EQ(0, tt_counter("TlsCurrTxSw"));
	EXPECT_EQ(0, tt_counter("TlsTxSw"));
	/* closed from another namespace, counted where it belongs */
	close(self->fd[0]);
	self->fd[0] = -1;
	EXPECT_EQ(0, tt_counter("TlsCurrTxSw"));
}

/* what ss -ti prints: the ULP's name, version, cipher, and which directions are on */

struct ulp_info {
	char name[32];
	int version, cipher, tx, rx, zerocopy, no_pad, max_payload, unknown;
};

static void parse_tls(struct ulp_info *u, struct rtattr *a, int len)
{
	for (; RTA_OK(a, len); a = RTA_NEXT(a, len)) {
		uint16_t v = RTA_PAYLOAD(a) >= 2 ? *(uint16_t *)RTA_DATA(a) : 0;

		switch (a->rta_type & NLA_TYPE_MASK) {
		case 1: /* TLS_INFO_VERSION */
			u->version = v;
			break;
		case 2: /* TLS_INFO_CIPHER */
			u->cipher = v;
			break;
		case 3: /* TLS_INFO_TXCONF */
			u->tx = v;
			break;
		case 4: /* TLS_INFO_RXCONF */
			u->rx = v;
			break;
		case 5: /* TLS_INFO_ZC_RO_TX */
			u->zerocopy = 1;
			break;
		case 6: /* TLS_INFO_RX_NO_PAD */
			u->no_pad = RTA_PAYLOAD(a) == 0;
			break;
		case 7: /* TLS_INFO_TX_MAX_PAYLOAD_LEN */
			u->max_payload = v;
			break;
		default:
			u->unknown++;
		}
	}
}

static int ask_diag(int fd, struct ulp_info *u)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} q = {
		.h = { sizeof(q), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0 },
		.r = { .sdiag_protocol = IPPROTO_TCP, .idiag_ext = 1 << (INET_DIAG_INFO - 1), .idiag_states = -1 },
	};
	struct sockaddr_storage l, p;
	socklen_t len = sizeof(l);
	static uint8_t buf[16384];
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	ssize_t n;

	TT_MUST(s >= 0);
	memset(u, 0, sizeof(*u));
	memset(&l, 0, sizeof(l));
	memset(&p, 0, sizeof(p));
	TT_MUST(getsockname(fd, (void *)&l, &len) == 0);
	len = sizeof(p);
	TT_MUST(getpeername(fd, (void *)&p, &len) == 0);
	q.r.sdiag_family = l.ss_family;
	q.r.id.idiag_cookie[0] = q.r.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	if (l.ss_family == AF_INET) {
		struct sockaddr_in *a = (void *)&l, *b = (void *)&p;

		q.r.id.idiag_sport = a->sin_port;
		q.r.id.idiag_dport = b->sin_port;
		memcpy(q.r.id.idiag_src, &a->sin_addr, 4);
		memcpy(q.r.id.idiag_dst, &b->sin_addr, 4);
	} else {
		struct sockaddr_in6 *a = (void *)&l, *b = (void *)&p;

		q.r.id.idiag_sport = a->sin6_port;
		q.r.id.idiag_dport = b->sin6_port;
		memcpy(q.r.id.idiag_src, &a->sin6_addr, 16);
		memcpy(q.r.id.idiag_dst, &b->sin6_addr, 16);
	}
	TT_MUST(send(s, &q, sizeof(q), 0) == sizeof(q));
	n = recv(s, buf, sizeof(buf), 0);
	close(s);
	struct nlmsghdr *h = (void *)buf;

	if (n <= 0 || h->nlmsg_type == NLMSG_ERROR)
		return -1;
	struct rtattr *a = (void *)((struct inet_diag_msg *)NLMSG_DATA(h) + 1);
	int left = h->nlmsg_len - NLMSG_LENGTH(sizeof(struct inet_diag_msg));

	for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		struct rtattr *b = RTA_DATA(a);
		int in = RTA_PAYLOAD(a);

		if ((a->rta_type & NLA_TYPE_MASK) != INET_DIAG_ULP_INFO)
			continue;
		for (; RTA_OK(b, in); b = RTA_NEXT(b, in)) {
			if ((b->rta_type & NLA_TYPE_MASK) == ULP_INFO_NAME)
				snprintf(u->name, sizeof(u->name), "%.*s", (int)RTA_PAYLOAD(b), (char *)RTA_DATA(b));
			if ((b->rta_type & NLA_TYPE_MASK) == INET_ULP_INFO_TLS)
				parse_tls(u, RTA_DATA(b), RTA_PAYLOAD(b));
		}
	}
	return 0;
}

TEST_F(stats, socket_info)
{
	struct ulp_info u;
	uint16_t limit = 1000;
	int one = 1, has_limit;

	if (ask_diag(self->fd[0], &u))
		SKIP(return, "no inet_diag here");
	EXPECT_STREQ("", u.name);
	ASSERT_EQ(0, tt_ulp(self->fd[0]));
	ASSERT_EQ(0, ask_diag(self->fd[0], &u));
	EXPECT_STREQ(tt_ulp_name(), u.name);
	EXPECT_EQ(1, u.tx);
	EXPECT_EQ(1, u.rx);
	EXPECT_EQ(0, u.version);
	EXPECT_EQ(0, u.cipher);
	/* always there, but the in-tree modules of older kernels do not know it */
	has_limit = !tt_ulp_is_intree() || u.max_payload;
	EXPECT_EQ(has_limit ? TT_MAX : 0, u.max_payload);
	ASSERT_EQ(0, tt_key_set(self->fd[0], TLS_TX, &self->ab));
	ASSERT_EQ(0, ask_diag(self->fd[0], &u));
	EXPECT_EQ(variant->version, u.version);
	EXPECT_EQ(variant->cipher, u.cipher);
	EXPECT_EQ(2, u.tx);
	EXPECT_EQ(1, u.rx);
	ASSERT_EQ(0, tt_key_set(self->fd[0], TLS_RX, &self->ba));
	if (variant->version == TLS_1_3_VERSION) {
		ASSERT_EQ(0, setsockopt(self->fd[0], SOL_TLS, TLS_RX_EXPECT_NO_PAD, &one, sizeof(one)));
	}
	ASSERT_EQ(0, ask_diag(self->fd[0], &u));
	EXPECT_EQ(2, u.tx);
	EXPECT_EQ(2, u.rx);
	EXPECT_EQ(variant->version == TLS_1_3_VERSION, u.no_pad);
	if (has_limit) {
		ASSERT_EQ(0, setsockopt(self->fd[0], SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &limit, sizeof(limit)));
	}
	/* told only of hardware: pages are never copied here, and never have to be promised not to change */
	ASSERT_EQ(0, setsockopt(self->fd[0], SOL_TLS, TLS_TX_ZEROCOPY_RO, &one, sizeof(one)));
	ASSERT_EQ(0, ask_diag(self->fd[0], &u));
	EXPECT_EQ(has_limit ? 1000 : 0, u.max_payload);
	EXPECT_EQ(0, u.zerocopy);
	EXPECT_EQ(0, u.unknown);
	/* a key update changes nothing of it */
	if (variant->version == TLS_1_3_VERSION && tt_counter("TlsTxRekeyOk") >= 0) {
		struct tt_key next = tt_key_make(variant->version, variant->cipher, 9);

		ASSERT_EQ(0, tt_key_set(self->fd[0], TLS_TX, &next));
		ASSERT_EQ(0, tt_key_set(self->fd[0], TLS_RX, &next));
		ASSERT_EQ(0, ask_diag(self->fd[0], &u));
		EXPECT_EQ(variant->version, u.version);
		EXPECT_EQ(variant->cipher, u.cipher);
		EXPECT_EQ(2, u.tx);
		EXPECT_EQ(2, u.rx);
		EXPECT_EQ(1000, u.max_payload);
		EXPECT_EQ(1, u.no_pad);
	}
	/* the other end is plain TCP */
	ASSERT_EQ(0, ask_diag(self->fd[1], &u));
	EXPECT_STREQ("", u.name);
}

static const char *tracefs(void)
{
	if (!access("/sys/kernel/tracing/events/tlsrec", F_OK))
		return "/sys/kernel/tracing";
	if (!access("/sys/kernel/debug/tracing/events/tlsrec", F_OK))
		return "/sys/kernel/debug/tracing";
	return NULL;
}

static int put(const char *dir, const char *file, const char *text)
{
	char path[256];
	int fd, ok;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_WRONLY | O_TRUNC);
	if (fd < 0)
		return -1;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok ? 0 : -1;
}

/* an instance of our own: other users of the trace are not disturbed */
TEST_F(stats, tracepoints)
{
	char inst[256], path[300], line[1024], key_hex[40] = "";
	const char *t;
	uint8_t rec[100], buf[100];
	struct tt_rec r = { .type = TT_DATA, .data = "0123456789", .len = 10 };
	int tx = 0, rx = 0, fail = 0, key = 0, leak = 0;
	size_t n;
	FILE *f;

	ASSERT_EQ(0, tt_ulp(self->fd[0]));
	t = tracefs();
	if (!t)
		SKIP(return, "no tracepoints here (in-tree module, or kernel without tracing)");
	snprintf(inst, sizeof(inst), "%s/instances/tlsrec-test-%d", t, getpid());
	ASSERT_EQ(0, mkdir(inst, 0700));
	ASSERT_EQ(0, put(inst, "events/tlsrec/enable", "1"));
	ASSERT_EQ(0, tt_key_set(self->fd[0], TLS_TX, &self->ab));
	tt_install(self->fd[1], NULL, &self->ab);
	ASSERT_EQ(100, send(self->fd[0], inst, 100, 0));
	ASSERT_EQ(2, tt_send_type(self->fd[0], TT_ALERT, "\1\0", 2, 0));
	ASSERT_EQ(100, recv(self->fd[1], buf, sizeof(buf), 0));
	ASSERT_EQ(2, tt_recv_type(self->fd[1], buf, sizeof(buf), 0, NULL, NULL));
	/* and a failure: keys that do not fit */
	struct tt_key other = tt_key_make(variant->version, variant->cipher, 99), back = self->ba;
	int fd[2];

	tt_tcp_pair(variant->family, fd);
	tt_install(fd[1], NULL, &other);
	n = tt_seal(&back, &r, rec);
	tt_write(fd[0], rec, n);
	EXPECT_ERR(EBADMSG, recv(fd[1], buf, sizeof(buf), 0));
	close(fd[0]);
	close(fd[1]);
	ASSERT_EQ(0, put(inst, "events/tlsrec/enable", "0"));
	for (int i = 0; i < 8; i++)
		sprintf(key_hex + 2 * i, "%02x", self->ab.key[i]);
	snprintf(path, sizeof(path), "%s/trace", inst);
	f = fopen(path, "r");
	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f)) {
		tx += strstr(line, "tlsrec_record_tx:") && (strstr(line, "type=23 len=100") || strstr(line, "type=21 len=2"));
		rx += strstr(line, "tlsrec_record_rx:") && (strstr(line, "type=23 len=100") || strstr(line, "type=21 len=2"));
		fail += strstr(line, "tlsrec_fail:") && strstr(line, "rx") && strstr(line, "-74");
		key += !!strstr(line, "tlsrec_key:");
		leak += !!strstr(line, key_hex);
	}
	fclose(f);
	rmdir(inst);
	EXPECT_EQ(2, tx);
	EXPECT_EQ(2, rx);
	EXPECT_EQ(1, fail);
	EXPECT_EQ(3, key);
	EXPECT_EQ(0, leak);
}

TEST_HARNESS_MAIN
