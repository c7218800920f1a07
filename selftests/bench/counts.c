// SPDX-License-Identifier: MIT
/*
 * Counts instructions of a data path over loopback, for a guest whose time stamp counter counts instructions (run -C):
 *
 *	counts [-r REPETITIONS] SCENARIO/CONTENDER/VERSION/BITS...
 *	counts -l
 *
 * One thread has both ends of a connection and calls them in turn, so that there is no scheduler in what is counted. The
 * sender's calls are phase A, and with them what loopback does at once on both sides; the receiver's calls are phase B. Each
 * run is a new connection, which is warmed up with as much as is counted then. The first burst is compared byte for byte:
 * what the kernel sealed is opened with OpenSSL, what it is to open was sealed with OpenSSL.
 *
 * Prints for each run: number, repetition, name, records, instructions of A, of B, and how often a receiver had to wait
 * (where the count is void). The plugin tcgcount.c writes its table after each run.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/ethtool.h>
#include <linux/sockios.h>

#include "common.h"
#include "record.h"

enum { KIB = 1024, MIB = 1024 * KIB, BURST = 256 * KIB, BUFFER = 4 * MIB, DATA = 4 * MIB };

enum kind { SENDFILE, SEND, SEND_MORE, SPLICE_OUT, RECEIVE, SPLICE_IN, ROUND_TRIP };

struct scenario {
	const char *name;
	enum kind kind;
	size_t record;	/* plaintext in a record; of a round trip, one way */
	size_t call;	/* bytes per call */
	size_t volume;	/* bytes that are counted; as many are sent before */
	size_t burst;	/* bytes sent before the receiver's turn */
	bool no_pad;	/* TLS_RX_EXPECT_NO_PAD */
	bool segments;	/* of 1,460 bytes, one buffer each, as from a network */
};

static const struct scenario scenarios[] = {
	{ "sendfile", SENDFILE, 16 * KIB, BURST, 8 * MIB, BURST },
	{ "send-64k", SEND, 16 * KIB, 64 * KIB, 8 * MIB, BURST },
	{ "send-16k", SEND, 16 * KIB, 16 * KIB, 8 * MIB, BURST },
	{ "send-4k", SEND, 4 * KIB, 4 * KIB, 8 * MIB, BURST },
	{ "send-1k", SEND, 1 * KIB, 1 * KIB, 2 * MIB, BURST },
	{ "send-64", SEND, 64, 64, 256 * KIB, 16 * KIB },
	{ "more-1k", SEND_MORE, 16 * KIB, 1 * KIB, 8 * MIB, BURST },
	{ "more-64", SEND_MORE, 16 * KIB, 64, 1 * MIB, BURST },
	{ "splice-out", SPLICE_OUT, 16 * KIB, 64 * KIB, 8 * MIB, BURST },
	{ "recv-64k", RECEIVE, 16 * KIB, 64 * KIB, 8 * MIB, BURST },
	{ "recv-16k", RECEIVE, 16 * KIB, 16 * KIB, 8 * MIB, BURST },
	{ "recv-4k", RECEIVE, 16 * KIB, 4 * KIB, 8 * MIB, BURST },
	{ "recv-64k-nopad", RECEIVE, 16 * KIB, 64 * KIB, 8 * MIB, BURST, .no_pad = true },
	{ "recv-1k-records", RECEIVE, 1 * KIB, 64 * KIB, 2 * MIB, BURST },
	{ "recv-segments", RECEIVE, 16 * KIB, 64 * KIB, 8 * MIB, BURST, .segments = true },
	{ "splice-in", SPLICE_IN, 16 * KIB, 64 * KIB, 8 * MIB, BURST },
	{ "round-trip", ROUND_TRIP, 100, 100, 100 * 2048, 100 * 64 },
};

enum contender { TCP, TLS, TLSREC, OPENSSL };
static const char *const contenders[] = { "tcp", "tls", "tlsrec", "openssl" };

struct run {
	const char *name;
	const struct scenario *scenario;
	enum contender contender;
	struct key key;
};

/* One end of a connection. What follows SEAL is used where OpenSSL does the records. */
struct end {
	const struct run *run;
	int fd;
	struct direction seal, open;
	size_t in_off, in_len;		/* unread part of IN */
	size_t plain_off, plain_len;	/* of PLAIN */
	uint8_t in[64 * KIB + RECORD_ROOM], out[4 * RECORD_ROOM], plain[RECORD_ROOM];
};

static uint8_t *data, *buffer;
static int data_file, pipe_ends[2], null;
static uint64_t counted[2];	/* phases A, B */
static unsigned int waits;

/* ---- Counting ---- */

/* Tells tcgcount.c, which looks for this instruction. */
#define TELL(number) __asm__ volatile(".byte 0x0f,0x1f,0x84,0,0,0,0xc0|" #number ",0x7e" ::: "memory")

static uint64_t began;

static inline void begin_a(void)
{
	TELL(1);
	began = time_stamp();
}

static inline void end_a(void)
{
	counted[0] += time_stamp() - began;
	TELL(0);
}

static inline void begin_b(void)
{
	TELL(2);
	began = time_stamp();
}

static inline void end_b(void)
{
	counted[1] += time_stamp() - began;
	TELL(0);
}

/* What was counted until now was to warm up. */
static void warm(void)
{
	counted[0] = counted[1] = 0;
	TELL(3);
}

/* ---- Connections ---- */

/* Loopback like a network with an MTU of 1,500: each segment comes by itself. */
static void set_segments(bool on)
{
	struct ethtool_value tso = { .cmd = ETHTOOL_STSO, .data = !on };
	struct ifreq ifr = { .ifr_name = "lo", .ifr_mtu = on ? 1500 : 65536 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFMTU, &ifr))
		err(1, "cannot set the MTU of lo");
	ifr.ifr_data = (void *)&tso;
	if (ioctl(fd, SIOCETHTOOL, &ifr))
		err(1, "cannot set segmentation of lo");
	close(fd);
	set_file("/proc/sys/net/ipv4/tcp_timestamps", on ? "0" : "1");
}

static void end_init(struct end *end, const struct run *run, int fd, bool sends, bool receives)
{
	const int one = 1, room = BUFFER;

	end->run = run;
	end->fd = fd;
	end->in_off = end->in_len = end->plain_off = end->plain_len = 0;
	/* With fixed room TCP does not change its mind in the middle of a run. */
	if (setsockopt(fd, SOL_TCP, TCP_NODELAY, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		err(1, "setsockopt");
	direction_init(&end->seal, &run->key, true);
	direction_init(&end->open, &run->key, false);
	if (run->contender == TCP || run->contender == OPENSSL)
		return;
	if (setsockopt(fd, SOL_TCP, TCP_ULP, contenders[run->contender], strlen(contenders[run->contender])))
		err(1, "cannot select the ULP %s", contenders[run->contender]);
	if (sends && setsockopt(fd, SOL_TLS, TLS_TX, &run->key.kernel, run->key.kernel_size))
		err(1, "cannot set TLS_TX");
	if (receives && setsockopt(fd, SOL_TLS, TLS_RX, &run->key.kernel, run->key.kernel_size))
		err(1, "cannot set TLS_RX");
	if (receives && run->scenario->no_pad && setsockopt(fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &one, sizeof(one)))
		err(1, "cannot set TLS_RX_EXPECT_NO_PAD");
}

static void end_close(struct end *end)
{
	direction_free(&end->seal);
	direction_free(&end->open);
	close(end->fd);
}

/* ---- A program's calls ---- */

static void send_all(int fd, const uint8_t *p, size_t len, int flags)
{
	if (send(fd, p, len, flags) != (ssize_t)len)
		err(1, "send");
}

static void sendfile_all(int fd, int file, off_t off, size_t len)
{
	while (len) {
		ssize_t n = sendfile(fd, file, &off, len);

		if (n <= 0)
			err(1, "sendfile");
		len -= n;
	}
}

/* At most 64 KiB. */
static void send_sealed(struct end *end, const uint8_t *p, size_t len)
{
	size_t out = 0;

	while (len) {
		size_t n = len < RECORD_PLAIN ? len : RECORD_PLAIN;

		out += record_seal(&end->seal, end->out + out, p, n);
		p += n;
		len -= n;
	}
	send_all(end->fd, end->out, out, 0);
}

/* A whole record goes where the program wants it, of others as much as it wants. */
static size_t recv_opened(struct end *end, uint8_t *p, size_t len)
{
	size_t got = 0, n, used;

	for (;;) {
		if (end->plain_len) {
			n = end->plain_len < len - got ? end->plain_len : len - got;
			memcpy(p + got, end->plain + end->plain_off, n);
			end->plain_off += n;
			end->plain_len -= n;
			got += n;
		} else {
			bool direct = len - got > RECORD_PLAIN;

			used = record_open(&end->open, end->in + end->in_off, end->in_len, direct ? p + got : end->plain, &n);
			if (!used)
				break;
			end->in_off += used;
			end->in_len -= used;
			if (direct) {
				got += n;
			} else {
				end->plain_off = 0;
				end->plain_len = n;
			}
		}
		if (got == len)
			break;
	}
	return got;
}

static ssize_t recv_some(struct end *end, uint8_t *p, size_t len)
{
	if (end->run->contender != OPENSSL)
		return recv(end->fd, p, len, MSG_DONTWAIT);
	for (;;) {
		size_t got = recv_opened(end, p, len);
		ssize_t n;

		if (got)
			return got;
		memmove(end->in, end->in + end->in_off, end->in_len);
		end->in_off = 0;
		n = recv(end->fd, end->in + end->in_len, sizeof(end->in) - end->in_len, MSG_DONTWAIT);
		if (n <= 0)
			return n;
		end->in_len += n;
	}
}

static void await(struct end *end)
{
	struct pollfd p = { .fd = end->fd, .events = POLLIN };

	if (errno != EAGAIN)
		err(1, "receive");
	waits++;
	if (poll(&p, 1, 60000) != 1)
		errx(1, "nothing came for a minute");
}

static void recv_all(struct end *end, uint8_t *p, size_t len, size_t call)
{
	size_t got = 0;

	begin_b();
	while (got < len) {
		ssize_t n = recv_some(end, p + got, call < len - got ? call : len - got);

		if (n > 0) {
			got += n;
			continue;
		}
		end_b();
		if (!n)
			errx(1, "end of stream");
		await(end);
		begin_b();
	}
	end_b();
}

/* Takes LEN bytes of a plain connection off it without looking at them. */
static void discard(struct end *end, size_t len)
{
	begin_b();
	while (len) {
		ssize_t n = recv(end->fd, buffer, len, MSG_TRUNC | MSG_DONTWAIT);

		if (n > 0) {
			len -= n;
			continue;
		}
		end_b();
		await(end);
		begin_b();
	}
	end_b();
}

/* ---- A burst of a sender ---- */

/* Fills the pipe from the file, which is not what is counted. */
static void fill_pipe(size_t off, size_t len)
{
	loff_t from = off;

	while (len) {
		ssize_t n = splice(data_file, &from, pipe_ends[1], NULL, len, 0);

		if (n <= 0)
			err(1, "splice from a file");
		len -= n;
	}
}

static void splice_out(struct end *end, size_t off, size_t len)
{
	fill_pipe(off, len);
	begin_a();
	while (len) {
		ssize_t n = splice(pipe_ends[0], NULL, end->fd, NULL, len, 0);

		if (n <= 0)
			err(1, "splice to a socket");
		len -= n;
	}
	end_a();
}

static void send_more(struct end *end, const uint8_t *p, const struct scenario *s)
{
	for (size_t i = 0; i < s->burst; i += s->record) {
		for (size_t j = 0; j < s->record; j += s->call) {
			bool last = j + s->call == s->record;

			if (end->run->contender != OPENSSL) {
				send_all(end->fd, p + i + j, s->call, last ? 0 : MSG_MORE);
				continue;
			}
			memcpy(end->plain + j, p + i + j, s->call);
			if (last)
				send_sealed(end, end->plain, s->record);
		}
	}
}

static void send_burst(struct end *end, size_t off)
{
	const struct scenario *s = end->run->scenario;
	const uint8_t *p = data + off;

	if (s->kind == SPLICE_OUT) {
		for (size_t i = 0; i < s->burst; i += s->call)
			splice_out(end, off + i, s->call);
		return;
	}
	begin_a();
	switch (s->kind) {
	case SENDFILE:
		if (end->run->contender != OPENSSL) {
			sendfile_all(end->fd, data_file, off, s->burst);
			break;
		}
		/* The file is mapped: OpenSSL's best case. */
		for (size_t i = 0; i < s->burst; i += s->record)
			send_sealed(end, p + i, s->record);
		break;
	case SEND_MORE:
		send_more(end, p, s);
		break;
	default:
		for (size_t i = 0; i < s->burst; i += s->call) {
			if (end->run->contender == OPENSSL)
				send_sealed(end, p + i, s->call);
			else
				send_all(end->fd, p + i, s->call, 0);
		}
	}
	end_a();
}

/* ---- Runs ---- */

static void compare(const struct run *run, size_t off, size_t len)
{
	if (memcmp(buffer, data + off, len))
		errx(1, "%s: other data came than were sent", run->name);
}

/* Reads what a burst has become and returns how long that is. */
static size_t check_wire(struct end *end, size_t off)
{
	const struct run *run = end->run;
	size_t wire = 0, have = 0, plain = 0, n;

	while (plain < run->scenario->burst) {
		struct pollfd p = { .fd = end->fd, .events = POLLIN };
		uint8_t *at = end->in + have;
		ssize_t got;

		if (poll(&p, 1, 60000) != 1)
			errx(1, "%s: of %zu bytes %zu came", run->name, run->scenario->burst, plain);
		got = recv(end->fd, at, sizeof(end->in) - have, 0);
		if (got <= 0)
			err(1, "recv");
		wire += got;
		if (run->contender == TCP) {
			memcpy(buffer + plain, at, got);
			plain += got;
			continue;
		}
		have += got;
		end->in_off = 0;
		for (size_t used; (used = record_open(&end->open, end->in + end->in_off, have, buffer + plain, &n)); ) {
			plain += n;
			have -= used;
			end->in_off += used;
		}
		memmove(end->in, end->in + end->in_off, have);
	}
	if (have || plain != run->scenario->burst)
		errx(1, "%s: more came than was sent", run->name);
	compare(run, off, plain);
	return wire;
}

static size_t run_sender(const struct run *run, struct end *sender, struct end *receiver)
{
	const struct scenario *s = run->scenario;
	size_t wire = 0;

	for (size_t sent = 0; sent < 2 * s->volume; sent += s->burst) {
		size_t off = sent % DATA;

		if (sent == s->volume)
			warm();
		send_burst(sender, off);
		if (!sent)
			wire = check_wire(receiver, off);
		else
			discard(receiver, wire);
	}
	return s->volume / s->record;
}

/* What is received, in a file: it is sent by plain TCP. Returns the length of a burst there. */
static size_t make_stream(const struct run *run, int file)
{
	const struct scenario *s = run->scenario;
	size_t wire = s->burst;
	struct direction seal;

	if (run->contender != TCP)
		wire += s->burst / s->record * record_overhead(&run->key);
	direction_init(&seal, &run->key, true);
	for (size_t off = 0; off < 2 * s->volume; off += s->burst) {
		size_t len = 0;

		for (size_t i = 0; i < s->burst; i += s->record) {
			const uint8_t *p = data + (off + i) % DATA;

			if (run->contender == TCP) {
				memcpy(buffer + len, p, s->record);
				len += s->record;
			} else {
				len += record_seal(&seal, buffer + len, p, s->record);
			}
		}
		if (len != wire || write(file, buffer, len) != (ssize_t)len)
			err(1, "cannot write a file in memory");
	}
	direction_free(&seal);
	return wire;
}

/* One burst through a pipe that has room for it; out of it is not counted. */
static void splice_in(struct end *end, size_t len, bool keep)
{
	size_t got = 0, kept = 0;

	while (got < len) {
		ssize_t n;

		begin_b();
		n = splice(end->fd, NULL, pipe_ends[1], NULL, end->run->scenario->call, SPLICE_F_NONBLOCK);
		end_b();
		if (n <= 0) {
			if (!n)
				errx(1, "end of stream");
			await(end);
			continue;
		}
		got += n;
		while (n) {
			ssize_t out = keep ? read(pipe_ends[0], buffer + kept, n) :
				      splice(pipe_ends[0], NULL, null, NULL, n, 0);

			if (out <= 0)
				err(1, "cannot empty a pipe");
			kept += out;
			n -= out;
		}
	}
}

static size_t run_receiver(const struct run *run, struct end *sender, struct end *receiver)
{
	const struct scenario *s = run->scenario;
	int file = memfd_create("stream", MFD_CLOEXEC);
	size_t wire = make_stream(run, file), at = 0;

	for (size_t got = 0; got < 2 * s->volume; got += s->burst) {
		if (got == s->volume)
			warm();
		begin_a();
		sendfile_all(sender->fd, file, at, wire);
		end_a();
		at += wire;
		if (s->kind == SPLICE_IN)
			splice_in(receiver, s->burst, !got);
		else
			recv_all(receiver, buffer, s->burst, s->call);
		if (!got || s->kind != SPLICE_IN)
			compare(run, got % DATA, s->burst);
	}
	close(file);
	return s->volume / s->record;
}

static size_t run_round_trips(const struct run *run, struct end *client, struct end *server)
{
	const struct scenario *s = run->scenario;

	for (size_t done = 0; done < 2 * s->volume; done += s->record) {
		if (done == s->volume)
			warm();
		for (int answer = 0; answer < 2; answer++) {
			struct end *from = answer ? server : client;
			const uint8_t *p = data + (done + answer) % DATA;

			begin_a();
			if (run->contender == OPENSSL)
				send_sealed(from, p, s->record);
			else
				send_all(from->fd, p, s->record, 0);
			end_a();
			recv_all(answer ? client : server, buffer, s->record, s->call);
			compare(run, (done + answer) % DATA, s->record);
		}
	}
	return s->volume / s->record;
}

static void execute(const struct run *run, unsigned int repetition)
{
	static struct end ends[2];
	static unsigned int number;
	bool receives = run->scenario->kind == RECEIVE || run->scenario->kind == SPLICE_IN;
	bool both = run->scenario->kind == ROUND_TRIP;
	struct run plain = *run;
	struct sockaddr_in address;
	int fd[2], listener;
	size_t records;

	/* The kernel gets time for what it has put off, so that it does not want it later. */
	sleep(2);
	plain.contender = TCP;
	if (run->scenario->segments)
		set_segments(true);
	listener = listener_init(&address);
	connection(listener, &address, fd);
	close(listener);
	/* The other end is plain, so that only one direction of one contender is counted. */
	end_init(&ends[0], receives ? &plain : run, fd[0], true, both);
	end_init(&ends[1], receives || both ? run : &plain, fd[1], both, true);
	ends[1].run = run;
	waits = 0;
	if (receives)
		records = run_receiver(run, &ends[0], &ends[1]);
	else if (both)
		records = run_round_trips(run, &ends[0], &ends[1]);
	else
		records = run_sender(run, &ends[0], &ends[1]);
	TELL(4);
	printf("run %u %u %s %zu %llu %llu %u\n", number++, repetition, run->name, records,
	       (unsigned long long)counted[0], (unsigned long long)counted[1], waits);
	fflush(stdout);
	end_close(&ends[0]);
	end_close(&ends[1]);
	if (run->scenario->segments)
		set_segments(false);
}

static bool find(const char *const *names, size_t n, const char *name, size_t *which)
{
	for (*which = 0; *which < n; ++*which)
		if (!strcmp(names[*which], name))
			return true;
	return false;
}

static void parse(struct run *run, const char *name)
{
	char scenario[32], contender[32];
	unsigned int minor, bits;
	size_t which;

	if (sscanf(name, "%31[^/]/%31[^/]/1.%u/%u", scenario, contender, &minor, &bits) != 4 ||
	    !find(contenders, sizeof(contenders) / sizeof(*contenders), contender, &which) ||
	    (minor != 2 && minor != 3) || (bits != 128 && bits != 256))
		errx(2, "'%s' is no SCENARIO/CONTENDER/VERSION/BITS", name);
	run->name = name;
	run->contender = which;
	key_init(&run->key, minor == 3, bits);
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++)
		if (!strcmp(scenarios[i].name, scenario))
			run->scenario = &scenarios[i];
	if (!run->scenario)
		errx(2, "there is no scenario '%s' (counts -l lists them)", scenario);
}

static void prepare(void)
{
	uint32_t x = 1;

	/* Bursts begin anywhere, and a record may be opened behind the last one. */
	data = malloc(DATA + BURST);
	buffer = malloc(2 * BURST + RECORD_ROOM);
	data_file = memfd_create("data", MFD_CLOEXEC);
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (!data || !buffer || data_file < 0 || null < 0)
		err(1, "no memory");
	for (size_t i = 0; i < DATA + BURST; i++) {
		x = x * 1664525 + 1013904223;
		data[i] = i < DATA ? x >> 24 : data[i - DATA];
	}
	memset(buffer, 1, 2 * BURST + RECORD_ROOM);
	if (write(data_file, data, DATA + BURST) != DATA + BURST)
		err(1, "cannot write a file in memory");
	if (pipe2(pipe_ends, O_CLOEXEC) || fcntl(pipe_ends[1], F_SETPIPE_SZ, MIB) < 0)
		err(1, "pipe");
}

int main(int argc, char **argv)
{
	unsigned int repetitions = 1;
	struct run *runs;
	int option, n;

	while ((option = getopt(argc, argv, "lr:")) != -1) {
		switch (option) {
		case 'l':
			for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++)
				puts(scenarios[i].name);
			return 0;
		case 'r':
			repetitions = atoi(optarg);
			break;
		default:
			return 2;
		}
	}
	n = argc - optind;
	runs = calloc(n, sizeof(*runs));
	if (!runs)
		err(1, "no memory");
	for (int i = 0; i < n; i++)
		parse(&runs[i], argv[optind + i]);
	prepare();
	be_alone();
	for (unsigned int repetition = 0; repetition < repetitions; repetition++)
		for (int i = 0; i < n; i++)
			execute(&runs[i], repetition);
	return 0;
}
