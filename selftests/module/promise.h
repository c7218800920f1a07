/* SPDX-License-Identifier: MIT */
/*
 * The generator of random calls and the model that predicts them; promise.c says what it is about.
 *
 * The byte at a position of a stream is a function of the position, so the model of a direction is a few positions, and a list
 * of where in it the control records are.
 */
#ifndef PROMISE_H
#define PROMISE_H

#include "tlsrec_test.h"

#include <pthread.h>
#include <semaphore.h>

#define STREAM_MAX (4 << 20)		/* bytes that a direction may have */
#define CALL_MAX (200 << 10)		/* bytes that a call may have */
#define PATIENCE_MS 20000		/* for what must happen; the debug kernel gets more, see patience() */

/* One end of a connection. */
struct end {
	int fd;
	bool ulp;			/* else a bare TCP socket, records are made and opened here */
	bool closed;
	bool peer_reset;		/* a reset is on its way to it: ECONNRESET, EPIPE */
	bool recverr;			/* ICMP errors are reported at once */
	uint32_t seq;			/* what TCP would send next after so many acknowledged bytes */
	uint64_t acked;
	unsigned int pending[4];	/* errors somebody left in the socket, see model_leave_error() */
	int epoll[2];			/* level- and edge-triggered, for reading */
};

/* A control record: where in the stream, and what is not read of it. */
struct mark {
	uint64_t pos;
	uint32_t len;
	uint8_t type;
	bool update;
};

#define MARKS 64

/* One direction. */
struct way {
	int id;
	struct end *tx, *rx;
	uint64_t sent;			/* counted by the calls of the sender */
	uint64_t trying;		/* what the call that is under way has beyond that */
	uint64_t must;			/* arrives without further calls of the sender */
	uint64_t got;			/* read by the receiver */
	bool shut;			/* the sender has said that no more comes */
	bool open;			/* MSG_MORE has left a record open */
	bool expired;			/* a KeyUpdate was read, the next key is not set */
	bool faulty;			/* calls of the sender had faults */
	bool given_up;			/* and one has ended it */
	bool clear;			/* nothing was in the way of the sender's last call when it began */
	struct mark marks[MARKS];
	unsigned int nmarks;
	struct tt_key tx_key, rx_key;
	unsigned int tx_gen, rx_gen;
	uint16_t max_payload;
	/* of a bare sender: sealed, not written yet, and where in the stream it ends */
	uint8_t *out;
	size_t out_len, out_done;
	uint64_t out_end;
	/* of a bare receiver */
	uint8_t *in;
	size_t in_len;
	struct tt_opened opened;
};

struct seq;

struct profile {
	const char *name;
	void (*run)(struct seq *s);
	int share;			/* of the sequences, in percent */
	bool errors, tiny, faults, cgroup;
	const char *(*missing)(void);	/* why it cannot be had here, or NULL */
};

struct seq {
	const struct profile *profile;
	enum tt_family family;
	uint64_t seed, rnd;
	uint16_t version, cipher;
	bool blocking;			/* the sockets are, and more than one thread is at them */
	bool timeouts;			/* SO_SNDTIMEO and SO_RCVTIMEO are set */
	volatile bool interrupts;	/* there have been signals that do not restart calls */
	struct seq *all;		/* the one that this thread's is a copy of, with dice of its own */
	struct end end[2];
	struct way way[2];		/* way[i] is from end[i] to the other one */
	pthread_mutex_t lock;		/* of the model */
};

/* promise.c: shared with the process that watches */
struct watch {
	volatile uint64_t seed;		/* of the sequence under way */
	volatile uint64_t calls, sequences, faults, given_up;
	volatile bool failed;
};

extern struct watch *watch;
extern uint8_t *stream;			/* STREAM_MAX bytes, see tt_fill() */
extern int stream_file;			/* the same as a file */

int patience(void);
static inline uint32_t pick(struct seq *s, uint32_t n)
{
	return tt_rand(&s->rnd) % n;
}

/* promise_model.c */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void say_begin(struct seq *s, bool loud);
void wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
const char *err_name(int err);
void model_lock(void);
void model_unlock(void);
void model_leave_error(struct end *e, int err);
bool model_takes_error(struct end *e, int err);
bool model_any_error(const struct end *e);
void model_mark(struct way *w, uint8_t type, size_t len, bool update);
const struct mark *model_control(const struct way *w);
size_t model_data(const struct way *w);
void model_sent(struct way *w, ssize_t n, size_t asked, bool more);
void model_check(struct way *w, const char *what, const uint8_t *buf, size_t len, int type, bool peek);
struct tt_key model_key(const struct seq *s, const struct way *w, unsigned int gen);

/* promise_calls.c: each does one call, holds it against the model, and returns what it did or a negative errno */
enum { SEND_HOW = 10 };
enum { READ_HOW = 9, READ_CONTROL = 3 };
ssize_t call_send(struct seq *s, struct way *w, int how, size_t len, int flags);
ssize_t call_control(struct seq *s, struct way *w, int flags);
void call_update(struct seq *s, struct way *w);
ssize_t call_read(struct seq *s, struct way *w, int how, size_t len, int flags);
void call_leave_error(struct seq *s, struct way *w);
void call_neighbour(struct seq *s, struct way *w, int what);
size_t pick_len(struct seq *s);
ssize_t bare_flush(struct way *w, size_t max);
void wait_readable(struct seq *s, struct way *w);
void drain(struct seq *s, struct way *w, uint64_t upto);
void drain_end(struct seq *s, struct way *w);

/* promise_ends.c: what can end a call */
void ends_prepare(struct end *e);
bool ends_icmp(struct end *e, enum tt_family family);
const char *ends_no_faults(void);
void ends_arm(int n);
bool ends_disarm(void);
const char *ends_no_cgroup(void);
void ends_enter_cgroup(bool yes);
long ends_cgroup_limited(void);
void ends_quiet_console(bool yes);
void ends_small_segments(void);

/* promise_seq.c */
void seq_open(struct seq *s);
void seq_close(struct seq *s);
void run_steps(struct seq *s);
void finish(struct seq *s);
/* promise_threads.c */
void run_blocked(struct seq *s);
void run_neighbours(struct seq *s);
void run_threads(struct seq *s);
#endif
