// SPDX-License-Identifier: MIT
/* A sequence: a connection, random steps by one thread that never sleeps in a call, and an end. */
#define _GNU_SOURCE
#include "promise.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>

static void end_open(struct seq *s, int i, int fd, bool ulp)
{
	struct end *e = &s->end[i];

	e->fd = fd;
	e->ulp = ulp;
	e->epoll[0] = e->epoll[1] = -1;
	for (int j = 0; j < 2; j++) {
		struct epoll_event ev = { .events = EPOLLIN | (j ? EPOLLET : 0) };

		if (pick(s, 2))
			continue;
		e->epoll[j] = epoll_create1(EPOLL_CLOEXEC);
		TT_MUST(e->epoll[j] >= 0 && epoll_ctl(e->epoll[j], EPOLL_CTL_ADD, fd, &ev) == 0);
	}
	tt_nonblock(fd, !ulp || !s->blocking);
}

static void set_buffers(struct seq *s, const struct end *e)
{
	/* with less than two segments of loopback's 64 KiB TCP sends by its window probe timer only, five times a second */
	if (s->profile->tiny || pick(s, 8) == 0)
		tt_sockopt(e->fd, SOL_SOCKET, SO_RCVBUF, s->profile->tiny ? 8000 + pick(s, 12000) : 150000 + pick(s, 100000));
	if (s->profile->tiny || s->blocking || pick(s, 3) == 0)
		tt_sockopt(e->fd, SOL_SOCKET, SO_SNDBUF, s->profile->tiny ? 1 + pick(s, 8000) : 1 + pick(s, 60000));
	if (pick(s, 3) == 0)
		tt_sockopt(e->fd, IPPROTO_TCP, TCP_NODELAY, 0);
	if (pick(s, 8) == 0)
		tt_sockopt(e->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1 + pick(s, 50000));
}

/* Keys are set; what each end is was chosen before. */
static void set_keys(struct seq *s, int i)
{
	const struct end *e = &s->end[i];

	if (e->ulp)
		tt_install(e->fd, &s->way[i].tx_key, &s->way[!i].rx_key);
}

static uint16_t pick_cipher(struct seq *s)
{
	static const uint16_t all[] = { TLS_CIPHER_AES_GCM_128, TLS_CIPHER_AES_GCM_256, TLS_CIPHER_AES_GCM_128, TLS_CIPHER_AES_CCM_128,
					TLS_CIPHER_CHACHA20_POLY1305 };
	uint16_t c = all[pick(s, 5)];
	static int refused[64];

	if (!refused[c])
		refused[c] = tt_cipher_refused(s->version, c) ? 1 : 2;
	return refused[c] == 1 ? TLS_CIPHER_AES_GCM_128 : c;
}

void seq_open(struct seq *s)
{
	int fd[2], bare = pick(s, 3);

	pthread_mutex_init(&s->lock, NULL);
	s->all = s;
	s->version = pick(s, 2) ? TLS_1_3_VERSION : TLS_1_2_VERSION;
	s->cipher = pick_cipher(s);
	if (s->profile->cgroup)
		ends_enter_cgroup(true);
	tt_tcp_pair(s->family, fd);
	if (s->profile->cgroup)
		ends_enter_cgroup(false);
	for (int i = 0; i < 2; i++) {
		struct way *w = &s->way[i];

		end_open(s, i, fd[i], i != bare);
		w->id = i;
		w->tx = &s->end[i];
		w->rx = &s->end[!i];
		/* the ways do not have the same bytes */
		w->sent = w->must = w->got = i * (STREAM_MAX / 4);
		w->tx_key = w->rx_key = model_key(s, w, 0);
		w->max_payload = 16384;
		if (s->profile->errors)
			ends_prepare(w->tx);
		set_buffers(s, w->tx);
	}
	set_keys(s, 0);
	set_keys(s, 1);
	if (s->profile->errors)
		for (int i = 0; i < 2; i++) {
			tt_sockopt(fd[i], s->family == TT_IP6 ? SOL_IPV6 : SOL_IP, s->family == TT_IP6 ? IPV6_RECVERR : IP_RECVERR, 1);
			if (s->family == TT_MAPPED)
				tt_sockopt(fd[i], SOL_IPV6, IPV6_RECVERR, 1);
		}
	say("%s and %s", s->end[0].ulp ? "tlsrec" : "bare TCP", s->end[1].ulp ? "tlsrec" : "bare TCP");
}

static void end_close(struct end *e)
{
	if (!e->closed)
		close(e->fd);
	e->closed = true;
	for (int j = 0; j < 2; j++)
		if (e->epoll[j] >= 0)
			close(e->epoll[j]);
}

void seq_close(struct seq *s)
{
	for (int i = 0; i < 2; i++) {
		end_close(&s->end[i]);
		free(s->way[i].in);
		free(s->way[i].out);
	}
	pthread_mutex_destroy(&s->lock);
}

/* ---- steps ---- */

static void step_send(struct seq *s, struct way *w)
{
	static const int flags[] = { 0, 0, 0, MSG_MORE, MSG_MORE, MSG_EOR, MSG_DONTWAIT, MSG_DONTWAIT | MSG_MORE };
	int ev = w->tx->ulp && pick(s, 4) == 0 ? tt_poll(w->tx->fd, POLLOUT, 0) : 0;
	ssize_t n = call_send(s, w, pick(s, SEND_HOW), pick_len(s), flags[pick(s, 8)]);

	if (ev & POLLOUT && n == -EAGAIN && !s->profile->faults && !s->profile->cgroup)
		wrong("poll said writable, and the next call EAGAIN");
}

/* What a peek shows and FIONREAD counts is what is then read, unless more has come. */
static void step_ask_then_read(struct seq *s, struct way *w)
{
	size_t len = pick_len(s);
	uint64_t before;
	ssize_t a, n;
	int inq = 0, flags = pick(s, 3) ? 0 : MSG_WAITALL;

	if (!w->rx->ulp || model_control(w) || s->profile->faults || s->profile->cgroup)
		return;
	before = tt_bytes_received(w->rx->fd);
	a = call_read(s, w, 5, len, MSG_DONTWAIT | flags);
	TT_MUST(ioctl(w->rx->fd, FIONREAD, &inq) == 0);
	if (a > 0 && !inq)
		wrong("FIONREAD is 0 and a peek gave %zd", a);
	if (a == -EAGAIN && inq)
		wrong("FIONREAD is %d and a peek said EAGAIN", inq);
	n = call_read(s, w, 0, len, MSG_DONTWAIT | flags);
	if (n < a)
		wrong("a peek gave %zd, the read after it %zd", a, n);
	/* An error that was left on the socket is told once, to the peek. */
	if (n > a && (a >= 0 || a == -EAGAIN) && tt_bytes_received(w->rx->fd) == before)
		wrong("a peek of %zu%s gave %zd, the read after it %zd, and nothing came between", len, flags ? " WAITALL" : "", a, n);
	if (a > 0 && n < (ssize_t)len && n < inq)
		wrong("FIONREAD is %d, and a read gave %zd", inq, n);
}

static void step_read(struct seq *s, struct way *w)
{
	int ev = w->rx->ulp && pick(s, 2) ? tt_poll(w->rx->fd, POLLIN, 0) : 0;
	ssize_t n = call_read(s, w, pick(s, READ_HOW), pick_len(s), MSG_DONTWAIT);

	if (ev & POLLIN && n == -EAGAIN && !s->profile->faults && !s->profile->cgroup)
		wrong("poll said readable, and the next call EAGAIN");
}

/* An error for a socket whose connection lives. */
static void step_error(struct seq *s, struct way *w)
{
	struct way *back = &s->way[w == &s->way[0]];

	switch (pick(s, 3)) {
	case 0:
		say("way %d: ICMP for the %s", w->id, w->tx->ulp ? "sender" : "bare sender");
		ends_icmp(w->tx, s->family);
		break;
	case 1:
		/* a byte and a control record for the sender of this way */
		if (!w->tx->ulp || call_send(s, back, 0, 1, 0) != 1 || call_control(s, back, 0) < 0)
			break;
		if (bare_flush(back, SIZE_MAX) < 0 || back->out_len)
			break;
		drain(s, back, back->must - back->marks[back->nmarks - 1].len - 1);
		call_leave_error(s, back);
		break;
	case 2:
		if (tt_sockopt_get(w->tx->fd, SOL_SOCKET, SO_ERROR))
			say("way %d: SO_ERROR took an error of the sender", w->id);
		break;
	}
}

static void step_option(struct seq *s, struct way *w)
{
	struct tt_key k = model_key(s, w, w->tx_gen), got;
	int out = 0;

	switch (pick(s, 6)) {
	case 0:
		tt_sockopt(w->tx->fd, IPPROTO_TCP, TCP_NODELAY, pick(s, 2));
		break;
	case 1:
		tt_sockopt(w->tx->fd, IPPROTO_TCP, TCP_CORK, pick(s, 2));
		break;
	case 2:
		if (w->tx->ulp && tt_key_get(w->tx->fd, TLS_TX, &k, &got))
			wrong("getsockopt(TLS_TX): %s", err_name(errno));
		break;
	case 3:
		TT_MUST(ioctl(w->tx->fd, SIOCOUTQ, &out) == 0 && out >= 0);
		break;
	case 4:
		if (w->rx->ulp && s->version == TLS_1_3_VERSION)
			tt_sockopt(w->rx->fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, pick(s, 2));
		break;
	case 5: {
		uint16_t max = 64 + pick(s, 16384 - 63);

		/* refused while a record is open */
		if (w->tx->ulp && setsockopt(w->tx->fd, SOL_TLS, TLS_TX_MAX_PAYLOAD_LEN, &max, sizeof(max)) && (errno != EBUSY || !w->open))
			wrong("TLS_TX_MAX_PAYLOAD_LEN of %u: %s", max, err_name(errno));
		break;
	}
	}
}

/* TCP's repair mode without a queue refuses to send; what is refused is not sent. */
static void step_repair(struct seq *s, struct way *w)
{
	int on = 1, off = -1, err;
	size_t len = 1 + pick(s, 2000);
	ssize_t n;

	if (!w->tx->ulp || s->profile->faults || setsockopt(w->tx->fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)))
		return;
	n = send(w->tx->fd, stream + w->sent, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	err = errno;
	TT_MUST(setsockopt(w->tx->fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)) == 0);
	say("way %d: send of %zu in repair mode is %zd%s%s", w->id, len, n, n < 0 ? " " : "", n < 0 ? err_name(err) : "");
	model_sent(w, n, len, false);
	if (n < 0 && err != EINVAL && err != EPERM && err != EAGAIN && !model_takes_error(w->tx, err))
		wrong("send in repair mode: %s", err_name(err));
}

static void step(struct seq *s)
{
	struct way *w = &s->way[pick(s, 2)];

	/* what is not read fills the cgroup */
	switch (s->profile->cgroup && pick(s, 4) ? 0 : pick(s, 16)) {
	case 0 ... 5:
		step_send(s, w);
		break;
	case 6 ... 9:
		step_read(s, w);
		break;
	case 10:
		step_ask_then_read(s, w);
		break;
	case 11:
		call_neighbour(s, w, pick(s, 6));
		break;
	case 12:
		call_control(s, w, 0);
		break;
	case 13:
		if (s->version == TLS_1_3_VERSION && pick(s, 2))
			call_update(s, w);
		else if (pick(s, 8) == 0)
			step_repair(s, w);
		break;
	case 14:
		if (s->profile->errors)
			step_error(s, w);
		break;
	case 15:
		step_option(s, w);
		break;
	}
}

/* ---- the end ---- */

/* A bare sender has written all that it has sealed. */
static void flush_bare(struct seq *s, struct way *w)
{
	while (w->out_len) {
		bare_flush(w, SIZE_MAX);
		if (call_read(s, w, READ_CONTROL, 100000, MSG_DONTWAIT) == -EAGAIN && w->out_len)
			tt_poll(w->tx->fd, POLLOUT, 5);
	}
}

/* No more will be sent: what was counted arrives, an open record, too. */
static void end_stream(struct seq *s, struct way *w)
{
	flush_bare(s, w);
	model_lock();
	w->must = w->sent;
	w->shut = true;
	w->open = false;
	model_unlock();
}

static void end_in_order(struct seq *s)
{
	for (int i = 0; i < 2; i++) {
		flush_bare(s, &s->way[i]);
		drain(s, &s->way[i], s->way[i].must);
	}
	say("all that arrives by itself has arrived");
	for (int i = 0; i < 2; i++) {
		end_stream(s, &s->way[i]);
		TT_MUST(shutdown(s->end[i].fd, SHUT_WR) == 0);
	}
	for (int i = 0; i < 2; i++)
		drain_end(s, &s->way[i]);
}

/* With what is kept and not sent: shut down, or close. */
static void end_with_data(struct seq *s, bool close_it)
{
	struct way *w = &s->way[pick(s, 2)], *back = &s->way[w == &s->way[0]];

	/* what is unread would make a reset of a close */
	end_stream(s, back);
	TT_MUST(shutdown(back->tx->fd, SHUT_WR) == 0);
	drain_end(s, back);
	end_stream(s, w);
	say("way %d: %s", w->id, close_it ? "close" : "shutdown");
	if (close_it) {
		close(w->tx->fd);
		w->tx->closed = true;
	} else {
		TT_MUST(shutdown(w->tx->fd, SHUT_WR) == 0);
	}
	drain_end(s, w);
}

/* A reset: the peer is told, unless it has had everything. */
static void end_with_reset(struct seq *s)
{
	struct way *w = &s->way[pick(s, 2)];
	struct linger linger = { 1, 0 };

	TT_MUST(setsockopt(w->tx->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
	say("way %d: reset", w->id);
	w->rx->peer_reset = true;
	close(w->tx->fd);
	w->tx->closed = true;
	for (ssize_t n = 0; n != -ECONNRESET && n != -EPIPE;) {
		n = call_read(s, w, model_control(w) ? READ_CONTROL : 0, pick_len(s), MSG_DONTWAIT);
		if (n == -EAGAIN)
			wait_readable(s, w);
	}
}

/*
 * A stream was given up: the other one arrives as ever, and of it what was counted, unless the peer is told by a reset that it did
 * not.
 */
static void end_given_up(struct seq *s)
{
	for (int i = 0; i < 2; i++) {
		if (s->way[i].given_up)
			continue;
		end_stream(s, &s->way[i]);
		TT_MUST(shutdown(s->end[i].fd, SHUT_WR) == 0);
		drain_end(s, &s->way[i]);
	}
	for (int i = 0; i < 2; i++) {
		struct way *w = &s->way[i];
		ssize_t n;

		if (!w->given_up || w->rx->closed)
			continue;
		w->shut = true;
		w->rx->peer_reset = true;
		say("way %d: close, given up", w->id);
		close(w->tx->fd);
		w->tx->closed = true;
		do {
			n = call_read(s, w, model_control(w) ? READ_CONTROL : 0, pick_len(s), MSG_DONTWAIT);
			if (n == -EAGAIN)
				wait_readable(s, w);
		} while (n && n != -ECONNRESET && n != -EPIPE);
	}
}

void finish(struct seq *s)
{
	if (s->way[0].given_up || s->way[1].given_up) {
		end_given_up(s);
		return;
	}
	switch (pick(s, 8)) {
	case 0:
		end_with_data(s, false);
		break;
	case 1:
	case 2:
		end_with_data(s, true);
		break;
	case 3:
		end_with_reset(s);
		break;
	default:
		end_in_order(s);
	}
}

void run_steps(struct seq *s)
{
	unsigned int n = (s->profile->cgroup ? 40 : 4) + pick(s, 30);

	seq_open(s);
	for (unsigned int i = 0; i < n; i++)
		step(s);
	finish(s);
	seq_close(s);
}
