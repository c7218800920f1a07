// SPDX-License-Identifier: MIT
/* What can end a call from outside: ICMP errors, allocations that fail, a small memory cgroup. */
#define _GNU_SOURCE
#include "promise.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

static uint64_t bytes_acked(int fd)
{
	/* as far as the C library's structure does not go */
	struct {
		struct tcp_info ti;
		uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
	} i;
	socklen_t len = sizeof(i);

	memset(&i, 0, sizeof(i));
	TT_MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &len) == 0);
	return i.bytes_acked;
}

/* Learn the sequence number of a connection on which nothing is under way; let ICMP errors be reported. */
void ends_prepare(struct end *e)
{
	int on = 1, off = -1, q = TCP_SEND_QUEUE;
	socklen_t len = sizeof(e->seq);

	TT_MUST(setsockopt(e->fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) == 0);
	TT_MUST(setsockopt(e->fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &q, sizeof(q)) == 0);
	TT_MUST(getsockopt(e->fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &e->seq, &len) == 0);
	/* -1: out of repair without a window probe */
	TT_MUST(setsockopt(e->fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)) == 0);
	e->acked = bytes_acked(e->fd);
	e->recverr = true;
}

static uint16_t checksum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? p[i] : p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum & 0xffff);
}

struct quoted {
	uint16_t source, dest;
	uint32_t seq;
};

static void icmp4(struct quoted *q)
{
	struct { struct icmphdr icmp; struct iphdr ip; struct quoted tcp; } __attribute__((packed)) p;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);

	TT_MUST(raw >= 0);
	memset(&p, 0, sizeof(p));
	p.icmp.type = ICMP_DEST_UNREACH;
	p.icmp.code = ICMP_HOST_UNREACH;
	p.ip.version = 4;
	p.ip.ihl = 5;
	p.ip.ttl = 64;
	p.ip.protocol = IPPROTO_TCP;
	p.ip.tot_len = htons(1000);
	p.ip.saddr = p.ip.daddr = to.sin_addr.s_addr;
	p.tcp = *q;
	p.icmp.checksum = checksum(&p, sizeof(p));
	TT_MUST(sendto(raw, &p, sizeof(p), 0, (void *)&to, sizeof(to)) == sizeof(p));
	close(raw);
}

static void icmp6(struct quoted *q)
{
	struct { struct icmp6_hdr icmp; struct ip6_hdr ip; struct quoted tcp; } __attribute__((packed)) p;
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int raw = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);

	TT_MUST(raw >= 0);
	memset(&p, 0, sizeof(p));
	p.icmp.icmp6_type = ICMP6_DST_UNREACH;
	p.icmp.icmp6_code = ICMP6_DST_UNREACH_ADDR;
	p.ip.ip6_flow = htonl(6 << 28);
	p.ip.ip6_plen = htons(1000);
	p.ip.ip6_nxt = IPPROTO_TCP;
	p.ip.ip6_hlim = 64;
	p.ip.ip6_src = p.ip.ip6_dst = to.sin6_addr;
	p.tcp = *q;
	/* the kernel fills in the checksum */
	TT_MUST(sendto(raw, &p, sizeof(p), 0, (void *)&to, sizeof(to)) == sizeof(p));
	close(raw);
}

/* The host of the peer is said to be unreachable, for a segment that @e has sent. */
bool ends_icmp(struct end *e, enum tt_family family)
{
	struct sockaddr_storage a, b;
	socklen_t la = sizeof(a), lb = sizeof(b);
	struct quoted q;

	if (!e->recverr || getsockname(e->fd, (void *)&a, &la) || getpeername(e->fd, (void *)&b, &lb))
		return false;
	/* the ports are at the same place in both kinds of addresses */
	q.source = ((struct sockaddr_in *)&a)->sin_port;
	q.dest = ((struct sockaddr_in *)&b)->sin_port;
	q.seq = htonl(e->seq + (uint32_t)(bytes_acked(e->fd) - e->acked));
	model_leave_error(e, EHOSTUNREACH);
	if (family == TT_IP6)
		icmp6(&q);
	else
		icmp4(&q);
	return true;
}

/* ---- allocations that fail ---- */

static __thread int nth_fd = -1;
static __thread bool armed;

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ok;

	if (fd < 0)
		return -1;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok ? 0 : -1;
}

const char *ends_no_faults(void)
{
	static const char *const dirs[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	char path[100];

	if (access("/proc/thread-self/fail-nth", F_OK) || access("/sys/kernel/debug/failslab", F_OK))
		return "this kernel has no fault injection: it is for the debug kernel";
	for (int i = 0; i < 3; i++) {
		/* allocations that may sleep fail as well, of any size, without a trace in the log for each */
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/ignore-gfp-wait", dirs[i]);
		put(path, "N");
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/min-order", dirs[i]);
		put(path, "0");
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/ignore-gfp-highmem", dirs[i]);
		put(path, "N");
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/verbose", dirs[i]);
		put(path, "0");
	}
	return NULL;
}

/* the n-th chance to fail of this thread is taken */
void ends_arm(int n)
{
	if (nth_fd < 0)
		nth_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	TT_MUST(nth_fd >= 0);
	armed = true;
	tt_fault_arm(nth_fd, n);
}

/* whether the fault was injected since; none will be from here on */
bool ends_disarm(void)
{
	char text[16] = "";
	bool hit;

	if (!armed)
		return false;
	/* when it is this read that fails, then nothing before it did */
	hit = pread(nth_fd, text, sizeof(text) - 1, 0) > 0 && atoi(text) == 0;
	tt_fault_arm(nth_fd, 0);
	armed = false;
	return hit;
}

/* ---- a memory cgroup ---- */

#define CGROUPS "/tmp/promise-cgroup"
#define CGROUP_BYTES "2097152"

/* Why the process cannot be confined. */
const char *ends_no_cgroup(void)
{
	static bool there;

	if (there)
		return NULL;
	mkdir(CGROUPS, 0700);
	if (mount("none", CGROUPS, "cgroup2", 0, NULL))
		return "no cgroup2 here";
	if (put(CGROUPS "/cgroup.subtree_control", "+memory"))
		return "cgroup2 has no memory controller here";
	mkdir(CGROUPS "/small", 0700);
	if (put(CGROUPS "/small/memory.max", CGROUP_BYTES))
		return "a memory cgroup takes no limit here";
	there = true;
	return NULL;
}

/*
 * A cgroup at its limit in which there is nobody to kill makes the kernel say so at length, each time. That is not for the
 * console; what is, is said there again.
 */
void ends_quiet_console(bool yes)
{
	put("/proc/sys/kernel/printk", yes ? "4" : "8");
	if (!yes && system("dmesg | grep -E 'WARNING:|BUG:|KASAN:|UBSAN:|possible (circular|recursive)|suspicious RCU' |"
			   "while read -r line; do echo \"<3>$line\" >/dev/kmsg; done"))
		printf("# no kernel log\n");
}

/* How often the limit was felt since the cgroup was made. */
long ends_cgroup_limited(void)
{
	FILE *f = fopen(CGROUPS "/small/memory.events", "re");
	char name[32];
	long n, max = -1;

	if (!f)
		return -1;
	while (fscanf(f, "%31s %ld", name, &n) == 2)
		if (!strcmp(name, "max"))
			max = n;
	fclose(f);
	return max;
}

/* Sockets made inside are charged to it, and nothing else of the process is. */
void ends_enter_cgroup(bool yes)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	TT_MUST(put(yes ? CGROUPS "/small/cgroup.procs" : CGROUPS "/cgroup.procs", pid) == 0);
}

/* A network whose segments are small enough for tiny buffers. */
void ends_small_segments(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_mtu = 1500 };
	int fd;

	TT_MUST(tt_netns() == 0);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	TT_MUST(fd >= 0 && ioctl(fd, SIOCSIFMTU, &ifr) == 0);
	close(fd);
}
