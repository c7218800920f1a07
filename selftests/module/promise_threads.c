// SPDX-License-Identifier: MIT
/* Sequences with more than one thread: calls that sleep and what ends them, readers beside others, everybody at once. */
#define _GNU_SOURCE
#include "promise.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

static void nothing(int sig)
{
	(void)sig;
}

/* SIGUSR1 ends a call, SIGUSR2 restarts it; who asked for them gets them. */
static void take_signals(bool yes)
{
	struct sigaction sa = { .sa_handler = nothing };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(yes ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL);
	TT_MUST(sigaction(SIGUSR1, &sa, NULL) == 0);
	sa.sa_flags = SA_RESTART;
	TT_MUST(sigaction(SIGUSR2, &sa, NULL) == 0);
}

static void set_timeouts(struct seq *s)
{
	struct timeval tv = { .tv_usec = 1000 * (5 + pick(s, 200)) };

	for (int i = 0; i < 2; i++) {
		TT_MUST(setsockopt(s->end[i].fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) == 0);
		TT_MUST(setsockopt(s->end[i].fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
	}
	s->timeouts = true;
}

/* ---- calls that sleep ---- */

/* The thread that comes when another one sleeps in a call. */
struct intruder {
	struct seq s;			/* its own dice; the ways are those of the sequence */
	pthread_t thread, victim;
	pid_t tid;
	struct way *way, *back;		/* the one at which the victim is, and the other one */
	bool writes;			/* the victim sends */
	volatile bool done;		/* its call is over */
	bool quit;
	sem_t go, ended;
};

/* Wait until the victim sleeps: false when its call is over. */
static bool victim_sleeps(struct intruder *x)
{
	char path[64], line[256], *state;
	int seen = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", x->tid);
	while (!x->done && seen < 2) {
		FILE *f = fopen(path, "re");

		TT_MUST(f && fgets(line, sizeof(line), f));
		fclose(f);
		state = strrchr(line, ')');
		seen = state && state[2] == 'S' ? seen + 1 : 0;
		usleep(100);
	}
	return !x->done;
}

/* Leave an error in the socket of the victim, who sends, by reading from it. */
static void intrude_reading(struct intruder *x)
{
	struct way *back = x->back;
	struct seq *s = &x->s;
	size_t len = back->nmarks ? 0 : 1;

	if (!len || call_send(s, back, 0, len, MSG_DONTWAIT) != 1 || call_control(s, back, MSG_DONTWAIT) < 0)
		return;
	if (bare_flush(back, SIZE_MAX) < 0 || back->out_len)
		return;
	drain(s, back, back->marks[0].pos - 1);
	call_leave_error(s, back);
}

static void intrude_writer(struct intruder *x)
{
	struct way *w = x->way;
	struct seq *s = &x->s;

	switch (pick(s, 8)) {
	case 0:
		say("way %d: ICMP for the sender, who sleeps", w->id);
		ends_icmp(w->tx, s->family);
		break;
	case 1:
	case 2: {
		bool restart = pick(s, 2);

		say("way %d: a signal for the sender, who sleeps%s", w->id, restart ? "; SA_RESTART" : "");
		if (!restart)
			s->all->interrupts = true;
		pthread_kill(x->victim, restart ? SIGUSR2 : SIGUSR1);
		break;
	}
	case 3:
	case 4:
		call_read(s, w, model_control(w) ? READ_CONTROL : 0, pick_len(s), MSG_DONTWAIT);
		break;
	case 5:
		if (s->profile->errors)
			intrude_reading(x);
		break;
	case 6:
		call_neighbour(s, x->back, pick(s, 6));
		break;
	case 7:
		tt_sockopt(w->tx->fd, SOL_SOCKET, SO_SNDBUF, 1 + pick(s, 60000));
		break;
	}
}

static void intrude_reader(struct intruder *x)
{
	struct way *w = x->way;
	struct seq *s = &x->s;

	switch (pick(s, 6)) {
	case 0:
		say("way %d: ICMP for the receiver, who sleeps", w->id);
		ends_icmp(w->rx, s->family);
		break;
	case 1: {
		bool restart = pick(s, 2);

		say("way %d: a signal for the receiver, who sleeps%s", w->id, restart ? "; SA_RESTART" : "");
		if (!restart)
			s->all->interrupts = true;
		pthread_kill(x->victim, restart ? SIGUSR2 : SIGUSR1);
		break;
	}
	case 2:
		call_neighbour(s, w, pick(s, 6));
		break;
	case 3:
		call_send(s, w, 0, 1 + pick(s, 30), MSG_DONTWAIT | MSG_MORE);
		break;
	case 4:
		bare_flush(w, 1 + pick(s, 100));
		break;
	case 5:
		call_send(s, w, 0, 1 + pick(s, 3), MSG_DONTWAIT);
		break;
	}
}

/* What ends the call in any case. */
static void intrude_last(struct intruder *x)
{
	struct way *w = x->way;
	uint64_t end = tt_now_ms() + 3 * patience(), last = w->got;

	while (!x->done) {
		if (x->writes) {
			if (call_read(&x->s, w, model_control(w) ? READ_CONTROL : 0, 1 + pick(&x->s, 100000), MSG_DONTWAIT) == -EAGAIN)
				tt_poll(w->rx->fd, POLLIN, 5);
		} else if (bare_flush(w, SIZE_MAX) < 0 || call_send(&x->s, w, 0, pick_len(&x->s), MSG_DONTWAIT) == -EAGAIN) {
			tt_poll(w->tx->fd, POLLOUT, 5);
		}
		if (w->got > last) {
			last = w->got;
			end = tt_now_ms() + 3 * patience();
		}
		if (tt_now_ms() > end)
			wrong("a call to %s does not end, whatever the peer does", x->writes ? "send" : "receive");
	}
}

static void *intrude(void *arg)
{
	struct intruder *x = arg;

	take_signals(false);
	while (!sem_wait(&x->go) && !x->quit) {
		for (unsigned int n = 1 + pick(&x->s, 4); n && victim_sleeps(x); n--) {
			if (x->writes)
				intrude_writer(x);
			else
				intrude_reader(x);
		}
		if (victim_sleeps(x))
			intrude_last(x);
		sem_post(&x->ended);
	}
	return NULL;
}

static void blocked_step(struct seq *s, struct intruder *x)
{
	bool writes = pick(s, 2);
	struct way *w = &s->way[pick(s, 2)];

	if (!(writes ? w->tx : w->rx)->ulp)
		return;
	x->way = w;
	x->back = &s->way[!w->id];
	x->writes = writes;
	x->done = false;
	x->s.rnd = ((uint64_t)pick(s, UINT32_MAX) << 32) + pick(s, UINT32_MAX);
	sem_post(&x->go);
	if (writes && pick(s, 8) == 0) {
		call_control(s, w, 0);
	} else if (writes) {
		static const int flags[] = { 0, 0, 0, 0, MSG_MORE, MSG_EOR };

		call_send(s, w, pick(s, SEND_HOW), pick(s, 3) ? CALL_MAX - pick(s, 50000) : pick_len(s), flags[pick(s, 6)]);
	} else {
		call_read(s, w, model_control(w) ? READ_CONTROL : pick(s, READ_HOW), pick_len(s), 0);
	}
	x->done = true;
	TT_MUST(sem_wait(&x->ended) == 0 || errno == EINTR);
}

void run_blocked(struct seq *s)
{
	unsigned int n = 2 + pick(s, 8);
	struct intruder x = { .victim = pthread_self(), .tid = syscall(SYS_gettid) };

	s->blocking = true;
	seq_open(s);
	if (pick(s, 3) == 0)
		set_timeouts(s);
	x.s = *s;
	sem_init(&x.go, 0, 0);
	sem_init(&x.ended, 0, 0);
	take_signals(true);
	TT_MUST(pthread_create(&x.thread, NULL, intrude, &x) == 0);
	while (n--)
		blocked_step(s, &x);
	x.quit = true;
	sem_post(&x.go);
	pthread_join(x.thread, NULL);
	finish(s);
	seq_close(s);
}

/* ---- a reader beside others ---- */

struct reader {
	struct seq s;
	struct way *way;
	int epoll;			/* -1: poll */
	bool edge;
	const char *waits;
	volatile bool stop;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	pthread_t thread, neighbour[2];
	int what;			/* that the neighbours ask */
};

static void reader_wait(struct reader *r)
{
	struct epoll_event ev;
	struct pollfd p = { .fd = r->way->rx->fd, .events = POLLIN };

	if (r->epoll >= 0)
		epoll_wait(r->epoll, &ev, 1, 3 * patience());
	else
		poll(&p, 1, 3 * patience());
}

static void *read_all(void *arg)
{
	struct reader *r = arg;
	ssize_t n = 1;

	while (n) {
		static const int hows[] = { 0, READ_CONTROL, 4, 8, 1, 2 };

		reader_wait(r);
		do {
			size_t len = pick(&r->s, 4) ? 20000 : 1 + pick(&r->s, 10);

			n = call_read(&r->s, r->way, hows[pick(&r->s, 6)], len, MSG_DONTWAIT);
			pthread_mutex_lock(&r->lock);
			pthread_cond_signal(&r->moved);
			pthread_mutex_unlock(&r->lock);
		} while (n > 0 && r->edge);
	}
	return NULL;
}

static void *ask_all(void *arg)
{
	struct reader *r = arg;
	struct seq s = r->s;

	while (!r->stop) {
		call_neighbour(&s, r->way, r->what == 6 ? (int)pick(&s, 6) : r->what);
		sched_yield();
	}
	return NULL;
}

static void wait_for_reader(struct reader *r)
{
	struct way *w = r->way;
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += patience() / 1000;
	pthread_mutex_lock(&r->lock);
	while (w->got < w->must)
		if (pthread_cond_timedwait(&r->moved, &r->lock, &end))
			wrong("%s has slept for %d s with %llu bytes of the peer's not read, beside %s", r->waits, patience() / 1000,
			      (unsigned long long)(w->must - w->got), r->what == 0 ? "FIONREAD" : r->what == 1 ? "MSG_PEEK" : "others");
	pthread_mutex_unlock(&r->lock);
}

void run_neighbours(struct seq *s)
{
	static const char *const waits[] = { "poll", "epoll", "epoll, edge-triggered" };
	struct reader r = { .epoll = -1, .lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER };
	struct epoll_event ev = { .events = EPOLLIN };
	int how = pick(s, 3), rounds = 20 + pick(s, 40);
	struct way *w = &s->way[0];

	seq_open(s);
	if (!w->rx->ulp)
		w = &s->way[1];
	r.way = w;
	r.waits = waits[how];
	r.what = pick(s, 7);
	r.edge = how == 2;
	if (how) {
		r.epoll = epoll_create1(EPOLL_CLOEXEC);
		ev.events |= r.edge ? EPOLLET : 0;
		TT_MUST(r.epoll >= 0 && epoll_ctl(r.epoll, EPOLL_CTL_ADD, w->rx->fd, &ev) == 0);
	}
	r.s = *s;
	r.s.rnd++;
	/* the others are no part of the model: they only ask */
	r.s.blocking = true;
	r.s.timeouts = true;
	say("a reader in %s", r.waits);
	TT_MUST(pthread_create(&r.thread, NULL, read_all, &r) == 0);
	for (int i = 0; i < 2; i++)
		TT_MUST(pthread_create(&r.neighbour[i], NULL, ask_all, &r) == 0);
	while (rounds--) {
		call_send(s, w, pick(s, SEND_HOW), pick(s, 2) ? 1 + pick(s, 100) : pick_len(s), 0);
		while (w->out_len)
			if (bare_flush(w, SIZE_MAX) < 0)
				usleep(100);
		wait_for_reader(&r);
	}
	r.stop = true;
	pthread_join(r.neighbour[0], NULL);
	pthread_join(r.neighbour[1], NULL);
	model_lock();
	w->shut = true;
	model_unlock();
	TT_MUST(shutdown(w->tx->fd, SHUT_WR) == 0);
	pthread_join(r.thread, NULL);
	if (r.epoll >= 0)
		close(r.epoll);
	seq_close(s);
}

/* ---- everybody at once ---- */

struct worker {
	struct seq s;
	struct way *way;
	pthread_t thread;
	volatile bool done;
	volatile bool *others;		/* somebody has left errors or sends signals until this is set */
};

static void *send_some(void *arg)
{
	struct worker *x = arg;
	struct way *w = x->way;
	struct seq *s = &x->s;
	unsigned int n = 3 + pick(s, 12);

	take_signals(true);
	while (n--) {
		if (pick(s, 8) == 0)
			call_control(s, w, 0);
		else if (s->version == TLS_1_3_VERSION && pick(s, 10) == 0)
			call_update(s, w);
		else
			call_send(s, w, pick(s, SEND_HOW), pick_len(s), pick(s, 4) ? 0 : pick(s, 2) ? MSG_MORE : MSG_DONTWAIT);
		while (w->out_len)
			if (bare_flush(w, SIZE_MAX) == -EAGAIN || w->out_len)
				tt_poll(w->tx->fd, POLLOUT, 100);
	}
	model_lock();
	w->must = w->sent;
	w->shut = true;
	w->open = false;
	model_unlock();
	say("way %d: shutdown", w->id);
	shutdown(w->tx->fd, SHUT_WR);
	x->done = true;
	return NULL;
}

static void *receive_all(void *arg)
{
	struct worker *x = arg;
	struct way *w = x->way;
	struct seq *s = &x->s;
	ssize_t n = 1;
	bool control = false;

	take_signals(true);
	while (n) {
		bool wait = pick(s, 2);

		n = call_read(s, w, control ? READ_CONTROL : pick(s, READ_HOW), pick_len(s), wait ? 0 : MSG_DONTWAIT);
		control = n == -EIO || n == -EINVAL;
		if (n == -EAGAIN)
			tt_poll(w->rx->fd, POLLIN, 100);
	}
	x->done = true;
	return NULL;
}

static void disturb(struct seq *s, struct worker *x)
{
	struct worker *v = &x[pick(s, 4)];

	switch (pick(s, 4)) {
	case 0:
		if (s->profile->errors && !v->done)
			ends_icmp(pick(s, 2) ? v->way->tx : v->way->rx, s->family);
		break;
	case 1:
	case 2:
		if (!v->done)
			pthread_kill(v->thread, pick(s, 2) ? SIGUSR1 : SIGUSR2);
		break;
	case 3:
		call_neighbour(s, v->way, pick(s, 6));
		break;
	}
	usleep(pick(s, 1000));
}

void run_threads(struct seq *s)
{
	uint64_t end, last = 0;
	struct worker x[4];
	int running = 4;

	s->blocking = true;
	s->interrupts = true;
	seq_open(s);
	if (pick(s, 4) == 0)
		set_timeouts(s);
	take_signals(false);
	memset(x, 0, sizeof(x));
	for (int i = 0; i < 4; i++) {
		x[i].s = *s;
		x[i].s.rnd = s->rnd + 1 + i;
		x[i].way = &s->way[i % 2];
		TT_MUST(pthread_create(&x[i].thread, NULL, i < 2 ? send_some : receive_all, &x[i]) == 0);
	}
	end = tt_now_ms() + 3 * patience();
	while (running) {
		uint64_t moved = s->way[0].got + s->way[1].got + s->way[0].sent + s->way[1].sent;

		disturb(s, x);
		running = 0;
		for (int i = 0; i < 4; i++)
			running += !x[i].done;
		if (moved != last) {
			last = moved;
			end = tt_now_ms() + 3 * patience();
		}
		if (tt_now_ms() > end)
			wrong("nothing moves any more");
	}
	for (int i = 0; i < 4; i++)
		pthread_join(x[i].thread, NULL);
	seq_close(s);
}
