// SPDX-License-Identifier: MIT
/* The calls: every way to send, receive and ask, each held against the model. */
#define _GNU_SOURCE
#include "promise.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <linux/sockios.h>

static __thread bool fault_hit;
static __thread int fault_nth;

/* With some of the calls something fails that could: memory, or access to the program's. */
static void fault_begin(struct seq *s)
{
	__sync_fetch_and_add(&watch->calls, 1);
	fault_hit = false;
	fault_nth = s->profile->faults && pick(s, 2) ? 1 + pick(s, 2 << pick(s, 7)) : 0;
}

static void fault_arm(void)
{
	if (fault_nth)
		ends_arm(fault_nth);
}

static void fault_disarm(void)
{
	int err = errno;

	if (fault_nth)
		fault_hit = ends_disarm();
	if (fault_hit)
		__sync_fetch_and_add(&watch->faults, 1);
	errno = err;
}

/* The call under test: the fault is for that, and not for what the program does beside it. */
#define TRY(call)				\
({						\
	__typeof__(call) try_ret;		\
						\
	fault_arm();				\
	try_ret = (call);			\
	fault_disarm();				\
	try_ret;				\
})

/* May a call have failed for want of memory? */
static bool short_of_memory(const struct seq *s, int err)
{
	return (fault_hit && (err == ENOMEM || err == ENOBUFS || err == EFAULT || err == EAGAIN)) ||
	       (s->profile->cgroup && (err == ENOMEM || err == ENOBUFS || err == EAGAIN));
}

size_t pick_len(struct seq *s)
{
	switch (s->profile->cgroup && pick(s, 2) ? 7 : pick(s, 8)) {
	case 0:
	case 1:
		return 1 + pick(s, 40);
	case 2:
	case 3:
		return 1 + pick(s, 3000);
	case 4:
		return 16384 - 8 + pick(s, 16);
	case 5:
		return 4096 * (1 + pick(s, 8));
	case 6:
		return 1 + pick(s, 60000);
	default:
		return s->profile->tiny ? 1 + pick(s, 8000) : 1 + pick(s, CALL_MAX);
	}
}

/*
 * A stream that gives up because a cipher had no memory in the middle of a record that is encrypted in place: only one that works
 * on more at a time than the 16 bytes on which such a record lies needs any.
 */
static bool gives_up(const struct seq *s, struct way *w, int err)
{
	if (err != EBADMSG || !w->faulty || s->cipher != TLS_CIPHER_CHACHA20_POLY1305)
		return false;
	if (!w->given_up)
		__sync_fetch_and_add(&watch->given_up, 1);
	w->given_up = true;
	return true;
}

static size_t room(const struct way *w, size_t len)
{
	uint64_t left = STREAM_MAX - w->sent;

	return len < left ? len : left;
}

/* ---- a bare TCP socket sends ---- */

/* Write up to @max bytes of what is sealed. */
ssize_t bare_flush(struct way *w, size_t max)
{
	size_t left = w->out_len - w->out_done;
	ssize_t n;

	if (!left)
		return 0;
	n = send(w->tx->fd, w->out + w->out_done, left < max ? left : max, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && !model_takes_error(w->tx, errno))
		wrong("the bare sender: %s", strerror(errno));
	if (n < 0)
		return -errno;
	w->out_done += n;
	if (w->out_done < w->out_len)
		return n;
	w->out_len = w->out_done = 0;
	model_lock();
	w->must = w->out_end;
	model_unlock();
	return n;
}

static void bare_seal(struct way *w, uint8_t type, const void *data, size_t len, size_t pad)
{
	struct tt_rec r = { .type = type, .data = data, .len = len, .pad = w->tx_key.version == TLS_1_3_VERSION ? pad : 0 };

	w->out = realloc(w->out, w->out_len + len + pad + 64);
	TT_MUST(w->out);
	w->out_len += tt_seal(&w->tx_key, &r, w->out + w->out_len);
}

static ssize_t bare_send(struct seq *s, struct way *w, size_t len)
{
	size_t done = 0;

	if (bare_flush(w, SIZE_MAX) < 0 || w->out_len)
		return -EAGAIN;
	while (done < len) {
		size_t n = pick(s, 3) ? 16384 : 1 + pick(s, 16384), pad = 0;

		if (n > len - done)
			n = len - done;
		if (pick(s, 4) == 0)
			pad = pick(s, 16384 - n + 1);
		bare_seal(w, TT_DATA, stream + w->sent + done, n, pad);
		done += n;
	}
	model_lock();
	w->sent += len;
	w->out_end = w->sent;
	model_unlock();
	bare_flush(w, pick(s, 3) ? SIZE_MAX : 1 + pick(s, 20000));
	say("way %d: sealed %zu bytes, %zu are not written yet", w->id, len, w->out_len - w->out_done);
	return len;
}

static ssize_t bare_control(struct seq *s, struct way *w, uint8_t type, const void *data, size_t len, bool update)
{
	if (bare_flush(w, SIZE_MAX) < 0 || w->out_len)
		return -EAGAIN;
	bare_seal(w, type, data, len, 0);
	model_lock();
	model_mark(w, type, len, update);
	w->sent += len;
	w->out_end = w->sent;
	model_unlock();
	bare_flush(w, pick(s, 3) ? SIZE_MAX : 1 + pick(s, 30));
	return len;
}

/* ---- a bare TCP socket receives ---- */

static void bare_new_key(struct seq *s, struct way *w)
{
	w->rx_key = model_key(s, w, ++w->rx_gen);
	w->expired = false;
}

/* Open the whole records that are there. */
static void bare_open(struct seq *s, struct way *w)
{
	struct tt_opened *o = &w->opened;
	size_t at = 0;

	while (w->in_len - at >= 5) {
		const uint8_t *rec = w->in + at;
		size_t len = 5 + (rec[3] << 8 | rec[4]);

		if (len > TT_REC_MAX)
			wrong("on the wire: a record of %zu bytes", len);
		if (w->in_len - at < len)
			break;
		if (tt_open(&w->rx_key, rec, len, o))
			wrong("on the wire: a record of %zu bytes, behind %llu of the stream, does not open", len, (unsigned long long)w->got);
		if (!o->len || o->pad)
			wrong("on the wire: a record with %zu bytes and %zu of padding", o->len, o->pad);
		if (o->len > 16384)
			wrong("on the wire: a record with %zu bytes", o->len);
		model_check(w, "on the wire", o->data, o->len, o->type, false);
		if (w->expired)
			bare_new_key(s, w);
		at += len;
	}
	memmove(w->in, w->in + at, w->in_len - at);
	w->in_len -= at;
}

#define BARE_IN (256 << 10)

static ssize_t bare_read(struct seq *s, struct way *w, size_t len)
{
	size_t max = BARE_IN - w->in_len;
	ssize_t n;

	if (!w->in)
		TT_MUST((w->in = malloc(BARE_IN)));
	n = recv(w->rx->fd, w->in + w->in_len, len < max ? len : max, MSG_DONTWAIT);
	__sync_fetch_and_add(&watch->calls, 1);
	if (n < 0) {
		if (errno != EAGAIN && !model_takes_error(w->rx, errno))
			wrong("the bare receiver: %s", strerror(errno));
		return -errno;
	}
	if (!n) {
		if (!w->shut || w->in_len || w->got != w->sent)
			wrong("a clean end behind %llu of %llu bytes that were counted, with %zu of a record", (unsigned long long)w->got,
			      (unsigned long long)w->sent, w->in_len);
		return 0;
	}
	w->in_len += n;
	bare_open(s, w);
	say("way %d: %zd bytes from the wire, up to %llu", w->id, n, (unsigned long long)w->got);
	return n;
}

/* ---- send ---- */

static ssize_t by_iovec(struct way *w, size_t len, int flags, struct seq *s, bool plain)
{
	struct iovec iov[5];
	struct msghdr m = { .msg_iov = iov };
	size_t done = 0;
	int n = 0;

	while (done < len) {
		size_t piece = n == 4 ? len - done : 1 + pick(s, len - done);

		iov[n++] = (struct iovec){ stream + w->sent + done, piece };
		done += piece;
	}
	m.msg_iovlen = n;
	return TRY(plain ? writev(w->tx->fd, iov, n) : sendmsg(w->tx->fd, &m, flags));
}

/* several messages; the kernel says how much of each it took */
static ssize_t by_mmsg(struct way *w, size_t len, int flags)
{
	struct mmsghdr m[3];
	struct iovec iov[3];
	ssize_t sum = 0;
	int n;

	memset(m, 0, sizeof(m));
	for (int i = 0; i < 3; i++) {
		iov[i] = (struct iovec){ stream + w->sent + len / 3 * i, i < 2 ? len / 3 : len - len / 3 * 2 };
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	n = TRY(sendmmsg(w->tx->fd, m, 3, flags));
	for (int i = 0; i < n; i++)
		sum += m[i].msg_len;
	return n < 0 ? n : sum;
}

/* through a pipe, from the file or from memory; *asked becomes what the pipe took */
static ssize_t by_pipe(struct way *w, size_t *asked, bool user, unsigned int flags)
{
	struct iovec iov = { stream + w->sent, *asked };
	loff_t off = w->sent;
	ssize_t n;
	int p[2], err;

	TT_MUST(pipe(p) == 0);
	n = user ? vmsplice(p[1], &iov, 1, SPLICE_F_NONBLOCK) : splice(stream_file, &off, p[1], NULL, *asked, SPLICE_F_NONBLOCK);
	TT_MUST(n > 0);
	*asked = n;
	n = TRY(splice(p[0], NULL, w->tx->fd, NULL, n, flags));
	err = errno;
	close(p[0]);
	close(p[1]);
	errno = err;
	return n;
}

static ssize_t by_copy(struct way *w, size_t len, int flags)
{
	uint8_t *buf = aligned_alloc(4096, (len + 4095) / 4096 * 4096);
	ssize_t n;
	int err;

	TT_MUST(buf);
	memcpy(buf, stream + w->sent, len);
	n = TRY(send(w->tx->fd, buf, len, flags));
	err = errno;
	/* who reads it later reads this */
	memset(buf, 0xee, len);
	free(buf);
	errno = err;
	return n;
}

static const char *const send_names[SEND_HOW] = {
	"send", "write", "writev", "sendmsg", "sendfile", "splice", "vmsplice", "sendmmsg", "send(MSG_WAITALL)", "send, aligned",
};

/* EAGAIN is an answer. */
static bool may_not_wait(const struct seq *s, int flags)
{
	return !s->blocking || s->timeouts || flags & MSG_DONTWAIT;
}

/* EINTR is one: a call with a time limit is not restarted. */
static bool may_be_interrupted(const struct seq *s)
{
	return s->all->interrupts || s->timeouts;
}

/* Asked in front of a call: an acknowledgement may come while it fails. */
static bool nothing_in_the_way(const struct seq *s, const struct way *w)
{
	int out = 1;

	return !s->blocking && w->got == w->sent && !w->open && !ioctl(w->tx->fd, SIOCOUTQ, &out) && !out;
}

/* A call to send failed: may it? */
static void check_send_error(struct seq *s, struct way *w, const char *what, int flags, int err)
{
	if (short_of_memory(s, err) || gives_up(s, w, err))
		return;
	if (err == EAGAIN && w->clear)
		wrong("%s: EAGAIN, with nothing in the way", what);
	if (err == EAGAIN && may_not_wait(s, flags))
		return;
	if (err == EINTR && may_be_interrupted(s))
		return;
	if (err == EPIPE && w->shut)
		return;
	if (!model_takes_error(w->tx, err))
		wrong("%s: %s", what, err_name(err));
}

ssize_t call_send(struct seq *s, struct way *w, int how, size_t len, int flags)
{
	bool more = flags & MSG_MORE && how != 1 && how != 2 && how != 4;
	size_t asked = len = room(w, len);
	off_t off = w->sent;
	ssize_t n = -1;
	int err;

	if (!len || w->given_up)
		return -EAGAIN;
	if (!w->tx->ulp)
		return bare_send(s, w, len);
	flags |= MSG_NOSIGNAL;
	model_lock();
	w->trying = len;
	model_unlock();
	w->clear = nothing_in_the_way(s, w);
	fault_begin(s);
	switch (how) {
	case 0:
		n = TRY(send(w->tx->fd, stream + w->sent, len, flags));
		break;
	case 1:
		n = TRY(write(w->tx->fd, stream + w->sent, len));
		break;
	case 2:
	case 3:
		n = by_iovec(w, len, flags, s, how == 2);
		break;
	case 4:
		n = TRY(sendfile(w->tx->fd, stream_file, &off, len));
		break;
	case 5:
	case 6:
		n = by_pipe(w, &asked, how == 6, more ? SPLICE_F_MORE : 0);
		break;
	case 7:
		n = by_mmsg(w, len, flags);
		break;
	case 8:
		n = TRY(send(w->tx->fd, stream + w->sent, len, flags | MSG_WAITALL));
		break;
	case 9:
		n = by_copy(w, len, flags);
		break;
	}
	err = errno;
	w->faulty |= fault_hit;
	say("way %d: %s of %zu at %llu%s%s%s is %zd%s%s%s", w->id, send_names[how], asked, (unsigned long long)w->sent,
	    more ? " MORE" : "", flags & MSG_EOR ? " EOR" : "", flags & MSG_DONTWAIT ? " DONTWAIT" : "", n, n < 0 ? " " : "",
	    n < 0 ? err_name(err) : "", fault_hit ? ", a fault" : "");
	model_sent(w, n, asked, more);
	if (n >= 0)
		return n;
	check_send_error(s, w, send_names[how], flags, err);
	return -err;
}

/* A record that is no application data; its bytes are of the stream, too. */
static ssize_t send_control(struct seq *s, struct way *w, uint8_t type, const void *data, size_t len, bool update, int flags)
{
	ssize_t n;
	int err;

	if (w->given_up || w->nmarks >= MARKS - 2 || room(w, len) < len)
		return -EAGAIN;
	if (!w->tx->ulp)
		return bare_control(s, w, type, data, len, update);
	model_lock();
	model_mark(w, type, len, update);
	w->trying = len;
	model_unlock();
	w->clear = nothing_in_the_way(s, w);
	fault_begin(s);
	n = TRY(tt_send_type(w->tx->fd, type, data, len, flags | MSG_NOSIGNAL));
	err = errno;
	w->faulty |= fault_hit;
	say("way %d: %s of %zu bytes at %llu is %zd%s%s%s", w->id, update ? "KeyUpdate" : "a control record", len,
	    (unsigned long long)w->sent, n, n < 0 ? " " : "", n < 0 ? err_name(err) : "", fault_hit ? ", a fault" : "");
	if (n >= 0 && (size_t)n != len)
		wrong("a control record of %zu bytes: %zd", len, n);
	if (n < 0) {
		model_lock();
		w->nmarks--;
		model_unlock();
	}
	model_sent(w, n, len, false);
	if (n >= 0)
		return n;
	check_send_error(s, w, "a control record", flags, err);
	return -err;
}

ssize_t call_control(struct seq *s, struct way *w, int flags)
{
	size_t len = 2 + pick(s, 40);

	return send_control(s, w, TT_ALERT, stream + w->sent, len, false, flags);
}

/* TLS 1.3: tell the peer and take the next key. */
void call_update(struct seq *s, struct way *w)
{
	static const uint8_t update[5] = { 24, 0, 0, 1, 0 };
	struct tt_key k;
	int ret;

	if (send_control(s, w, TT_HANDSHAKE, update, sizeof(update), true, 0) < 0)
		return;
	k = model_key(s, w, ++w->tx_gen);
	if (!w->tx->ulp) {
		w->tx_key = k;
		return;
	}
	do {
		fault_begin(s);
		ret = TRY(tt_key_set(w->tx->fd, TLS_TX, &k));
		} while (ret && short_of_memory(s, errno));
	if (ret)
		wrong("the next TLS_TX: %s", err_name(errno));
}

/* ---- receive ---- */

static const char *const read_names[READ_HOW] = {
	"recv", "read", "readv", "recvmsg with type", "recvmsg", "recv(MSG_PEEK)", "recvmsg(MSG_PEEK) with type", "recv(MSG_WAITALL)", "splice",
};

static ssize_t read_iovec(int fd, uint8_t *buf, size_t len, struct seq *s)
{
	size_t a = pick(s, len + 1), b = (len - a) / 2;
	struct iovec iov[3] = { { buf, a }, { buf + a, b }, { buf + a + b, len - a - b } };

	return TRY(readv(fd, iov, 3));
}

static ssize_t read_msg(int fd, uint8_t *buf, size_t len, int flags)
{
	struct iovec iov[2] = { { buf, len / 2 }, { buf + len / 2, len - len / 2 } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };

	return TRY(recvmsg(fd, &m, flags));
}

static ssize_t read_pipe(int fd, uint8_t *buf, size_t len, bool nonblock)
{
	ssize_t n;
	int p[2], err;

	TT_MUST(pipe(p) == 0);
	n = TRY(splice(fd, NULL, p[1], NULL, len, nonblock ? SPLICE_F_NONBLOCK : 0));
	err = errno;
	if (n > 0)
		TT_MUST(tt_read_pipe(p[0], buf, n) == (size_t)n);
	close(p[0]);
	close(p[1]);
	errno = err;
	return n;
}

/* A KeyUpdate was read: nothing more can be until the key is set. */
static void new_rx_key(struct seq *s, struct way *w)
{
	struct tt_key k = model_key(s, w, w->rx_gen + 1);
	uint8_t b;
	int ret;

	if (pick(s, 2) && !(recv(w->rx->fd, &b, 1, MSG_DONTWAIT) == -1 && (errno == EKEYEXPIRED || model_takes_error(w->rx, errno))))
		wrong("recv behind a KeyUpdate: %s", err_name(errno));
	do {
		fault_begin(s);
		ret = TRY(tt_key_set(w->rx->fd, TLS_RX, &k));
		} while (ret && short_of_memory(s, errno));
	if (ret)
		wrong("the next TLS_RX: %s", err_name(errno));
	model_lock();
	w->rx_gen++;
	w->expired = false;
	model_unlock();
}

/* A call to receive failed: may it? */
static void check_read_error(struct seq *s, struct way *w, const char *what, int how, int flags, int err)
{
	bool control;

	model_lock();
	control = model_control(w);
	model_unlock();
	if ((err == EAGAIN && may_not_wait(s, flags)) || short_of_memory(s, err) || (err == EINTR && may_be_interrupted(s)))
		return;
	if (err == EIO && control && how != READ_CONTROL && how != 6)
		return;
	if (err == EINVAL && control && how == 8)
		return;
	if (!model_takes_error(w->rx, err))
		wrong("%s: %s, with %llu of %llu bytes read%s", what, err_name(err), (unsigned long long)w->got, (unsigned long long)w->must,
		      control ? ", a control record is next" : "");
}

ssize_t call_read(struct seq *s, struct way *w, int how, size_t len, int flags)
{
	bool peek = how == 5 || how == 6;
	int fd = w->rx->fd, err, told = -1;
	uint8_t type = 0, *buf;
	ssize_t n = -1;

	if (!w->rx->ulp)
		return bare_read(s, w, len);
	if (how == 8 && len > 60000)
		len = 60000;
	TT_MUST((buf = malloc(len + 1)));
	buf[len] = 0xa5;
	fault_begin(s);
	switch (how) {
	case 0:
		n = TRY(recv(fd, buf, len, flags));
		break;
	case 1:
		n = TRY(read(fd, buf, len));
		break;
	case 2:
		n = read_iovec(fd, buf, len, s);
		break;
	case READ_CONTROL:
	case 6:
		n = TRY(tt_recv_type(fd, buf, len, flags | (peek ? MSG_PEEK : 0), &type, NULL));
		told = type;
		break;
	case 4:
		n = read_msg(fd, buf, len, flags);
		break;
	case 5:
		n = TRY(recv(fd, buf, len, flags | MSG_PEEK));
		break;
	case 7:
		n = TRY(recv(fd, buf, len, flags | MSG_WAITALL));
		break;
	case 8:
		n = read_pipe(fd, buf, len, flags & MSG_DONTWAIT);
		break;
	}
	err = errno;
	if (n != -1 || err != EAGAIN)
		say("way %d: %s of %zu%s at %llu is %zd%s%s%s", w->id, read_names[how], len, flags & MSG_DONTWAIT ? " DONTWAIT" : "",
		    (unsigned long long)w->got, n, n < 0 ? " " : "", n < 0 ? err_name(err) : "", fault_hit ? ", a fault" : "");
	if (buf[len] != 0xa5)
		wrong("%s wrote behind its buffer", read_names[how]);
	if (n > 0)
		model_check(w, read_names[how], buf, n, told, peek);
	free(buf);
	if (n < 0) {
		check_read_error(s, w, read_names[how], how, flags, err);
		return -err;
	}
	model_lock();
	if (!n && !w->trying && (!w->shut || w->got != w->sent))
		wrong("%s: a clean end behind %llu of %llu bytes that were counted", read_names[how], (unsigned long long)w->got,
		      (unsigned long long)w->sent);
	model_unlock();
	if (w->expired)
		new_rx_key(s, w);
	return n;
}

/*
 * recvmmsg() whose first message takes a byte and whose second one cannot be given: it leaves the error of that in the socket.
 * The receiver of @w must have a byte and a control record to read.
 */
void call_leave_error(struct seq *s, struct way *w)
{
	uint8_t b[2];
	struct iovec iov[2] = { { &b[0], 1 }, { &b[1], 1 } };
	struct mmsghdr m[2];
	int n;

	memset(m, 0, sizeof(m));
	for (int i = 0; i < 2; i++) {
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	/* before: whoever else is at the socket may be told before this call is back */
	model_leave_error(w->rx, EIO);
	n = recvmmsg(w->rx->fd, m, 2, MSG_DONTWAIT, NULL);
	say("way %d: recvmmsg of two messages is %d%s%s", w->id, n, n < 0 ? " " : "", n < 0 ? err_name(errno) : "");
	if (n < 0)
		check_read_error(s, w, "recvmmsg", 4, MSG_DONTWAIT, errno);
	for (int i = 0; i < n; i++)
		model_check(w, "recvmmsg", &b[i], m[i].msg_len, -1, false);
}

static void neighbour_inq(struct seq *s, struct way *w)
{
	uint64_t got = w->got;
	int n = -1;

	fault_begin(s);
	if (TRY(ioctl(w->rx->fd, FIONREAD, &n))) {
		if (!short_of_memory(s, errno))
			wrong("FIONREAD: %s", err_name(errno));
		return;
	}
	model_lock();
	if (w->rx->ulp && (n < 0 || n + got > w->sent + w->trying))
		wrong("FIONREAD: %d, but only %llu bytes are counted", n, (unsigned long long)(w->sent + w->trying - got));
	if (w->rx->ulp && n && !s->blocking && model_control(w))
		wrong("FIONREAD: %d, and a control record is next", n);
	model_unlock();
}

/* The number of the receiver's key. */
static unsigned int rx_key_nr(struct way *w)
{
	unsigned int nr;

	model_lock();
	nr = w->rx_gen;
	model_unlock();
	return nr;
}

/*
 * Can the key have been missing at some time since @nr was the receiver's? It is from the reader's call that takes the last of a
 * KeyUpdate, of which the model knows only when it is over, to the next TLS_RX.
 */
static bool key_was_missing(struct way *w, unsigned int nr)
{
	const struct mark *next;
	bool was;

	model_lock();
	next = model_control(w);
	was = w->expired || w->rx_gen != nr || (next && next->update);
	model_unlock();
	return was;
}

/* A peek beside a reader: where it stood is not known. */
static void neighbour_peek(struct seq *s, struct way *w)
{
	unsigned int nr = rx_key_nr(w);
	uint8_t b[1000];
	int err;

	if (!s->blocking) {
		call_read(s, w, 6, 1 + pick(s, 20000), MSG_DONTWAIT);
		return;
	}
	if (recv(w->rx->fd, b, sizeof(b), MSG_PEEK | MSG_DONTWAIT) >= 0)
		return;
	err = errno;
	if (err != EIO && !(err == EKEYEXPIRED && key_was_missing(w, nr)))
		check_read_error(s, w, "a peek", 5, MSG_DONTWAIT, err);
}

/* Somebody else asks, or reads without taking. */
void call_neighbour(struct seq *s, struct way *w, int what)
{
	int fd = w->rx->fd, val = 1;
	struct tt_key k = model_key(s, w, w->rx_gen), got;
	socklen_t len = sizeof(val);

	__sync_fetch_and_add(&watch->calls, 1);
	switch (what) {
	case 0:
		neighbour_inq(s, w);
		break;
	case 1:
		if (w->rx->ulp)
			neighbour_peek(s, w);
		break;
	case 2:
		tt_poll(fd, POLLIN | POLLOUT, 0);
		break;
	case 3:
		if (w->rx->ulp && tt_key_get(fd, TLS_RX, &k, &got))
			wrong("getsockopt(TLS_RX): %s", err_name(errno));
		break;
	case 4:
		TT_MUST(getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &val, &len) == 0);
		if (val != 1)
			wrong("SO_RCVLOWAT is %d, nobody has set it", val);
		break;
	case 5:
		tt_bytes_received(fd);
		break;
	}
}

/* ---- until everything is there ---- */

static int how_to_wait(struct way *w, int how)
{
	struct epoll_event ev = { 0 };
	struct pollfd p = { .fd = w->rx->fd, .events = POLLIN };
	int n;

	if (how < 2 && w->rx->epoll[how] >= 0) {
		n = epoll_wait(w->rx->epoll[how], &ev, 1, patience());
		return n > 0 ? (int)ev.events : n;
	}
	n = poll(&p, 1, patience());
	return n > 0 ? p.revents : n;
}

/* An error on a connection that lives: take it away. */
static void take_error(struct way *w)
{
	int err = tt_sockopt_get(w->rx->fd, SOL_SOCKET, SO_ERROR);
	uint8_t b[256];

	if (err && !model_takes_error(w->rx, err))
		wrong("SO_ERROR: %s", err_name(err));
	if (recv(w->rx->fd, b, sizeof(b), MSG_ERRQUEUE | MSG_DONTWAIT) >= 0)
		say("an entry from the error queue");
}

/* With tiny buffers TCP itself drops segments and backs off. */
static bool tcp_is_at_it(const struct seq *s, const struct way *w)
{
	int out = 0;

	return s->profile->tiny && !w->tx->closed && !ioctl(w->tx->fd, SIOCOUTQ, &out) && out;
}

void wait_readable(struct seq *s, struct way *w)
{
	static const char *const names[] = { "epoll", "epoll, edge-triggered", "poll" };
	int how = pick(s, 3), ev, out = 0, tries = 0;
	ssize_t n;

	do {
		ev = how_to_wait(w, how);
	} while ((ev < 0 && errno == EINTR) || (!ev && tcp_is_at_it(s, w) && tries++ < 5));
	if (ev) {
		if (ev & POLLERR && !w->rx->peer_reset)
			take_error(w);
		return;
	}
	ioctl(w->tx->fd, SIOCOUTQ, &out);
	n = w->rx->ulp ? call_read(s, w, READ_CONTROL, 1, MSG_DONTWAIT) : call_read(s, w, 0, 1, 0);
	wrong("%s said nothing for %d s with %llu of %llu bytes read (sender's SIOCOUTQ: %d); %s", names[how], patience() / 1000,
	      (unsigned long long)w->got, (unsigned long long)w->must, out, n > 0 ? "they are there" : "they do not come");
}

/* How to read next, without waiting. */
static int how_to_read(struct seq *s, struct way *w)
{
	int how = pick(s, READ_HOW);

	/* those take no flags */
	if (s->blocking && (how == 1 || how == 2))
		how = 0;
	model_lock();
	if (model_control(w))
		how = READ_CONTROL;
	model_unlock();
	return how;
}

/* Read, without the sender doing anything, until @upto bytes were read. */
void drain(struct seq *s, struct way *w, uint64_t upto)
{
	uint64_t end = tt_now_ms() + 3 * patience(), last = w->got;

	while (w->got < upto) {
		ssize_t n = call_read(s, w, how_to_read(s, w), pick_len(s), MSG_DONTWAIT);

		if (w->rx->peer_reset && (n == -ECONNRESET || n == 0))
			return;
		if (w->got > last) {
			last = w->got;
			end = tt_now_ms() + 3 * patience();
		} else if (tt_now_ms() > end) {
			wrong("a reader that is woken again and again gets no further than %llu of %llu", (unsigned long long)w->got,
			      (unsigned long long)upto);
		}
		if (n != -EAGAIN || bare_flush(w, SIZE_MAX) > 0)
			continue;
		wait_readable(s, w);
	}
}

/* The sender has ended its stream: everything, then the end. */
void drain_end(struct seq *s, struct way *w)
{
	uint64_t end = tt_now_ms() + 3 * patience();
	ssize_t n;

	drain(s, w, w->sent);
	do {
		n = call_read(s, w, s->blocking ? 0 : pick(s, 3), 20000, MSG_DONTWAIT);
		if (n == -EAGAIN)
			wait_readable(s, w);
		if (tt_now_ms() > end)
			wrong("the end of the stream does not come: %s", err_name(-n));
	} while (n && n != -ECONNRESET);
}
