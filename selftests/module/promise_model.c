// SPDX-License-Identifier: MIT
/* What calls may say, and what is said when they say something else. */
#define _GNU_SOURCE
#include "promise.h"

#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <linux/sockios.h>

#define STEPS 30

static char steps[STEPS][200];
static unsigned int nsteps;
static struct seq *now;
static bool aloud;
static pthread_mutex_t steps_lock = PTHREAD_MUTEX_INITIALIZER;

/* a sequence begins */
void say_begin(struct seq *s, bool loud)
{
	now = s;
	aloud = loud;
	nsteps = 0;
}

/* a step was done */
void say(const char *fmt, ...)
{
	va_list args;
	char *step;

	pthread_mutex_lock(&steps_lock);
	step = steps[nsteps++ % STEPS];
	va_start(args, fmt);
	vsnprintf(step, sizeof(steps[0]), fmt, args);
	va_end(args);
	if (aloud)
		printf("#   [%ld] %s\n", (long)syscall(SYS_gettid), step);
	pthread_mutex_unlock(&steps_lock);
}

static void print_end(const char *name, const struct end *e)
{
	int out = -1, in = -1, avail = 0;

	if (e->closed)
		return;
	ioctl(e->fd, SIOCOUTQ, &out);
	if (!e->ulp) {
		ioctl(e->fd, FIONREAD, &in);
		avail = in;
	}
	printf("#   end %s: %s%s, SIOCOUTQ %d, poll %#x", name, e->ulp ? "tlsrec" : "bare TCP", e->recverr ? ", IP_RECVERR" : "", out,
	       tt_poll(e->fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0));
	if (!e->ulp)
		printf(", %d bytes to read", avail);
	printf("\n");
}

/* The model was wrong, or what it is a model of. */
void wrong(const char *fmt, ...)
{
	struct seq *s = now;
	va_list args;

	pthread_mutex_lock(&steps_lock);
	watch->failed = true;
	printf("# %s, seed %llu: %s, TLS 1.%d, %s\n", s->profile->name, (unsigned long long)s->seed,
	       s->family == TT_IP4 ? "IPv4" : s->family == TT_IP6 ? "IPv6" : "mapped", s->version == TLS_1_3_VERSION ? 3 : 2,
	       tt_cipher(s->cipher)->name);
	for (unsigned int i = nsteps > STEPS ? nsteps - STEPS : 0; i < nsteps; i++)
		printf("#   %u: %s\n", i, steps[i % STEPS]);
	printf("#   WRONG: ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	for (int i = 0; i < 2; i++) {
		const struct way *w = &s->way[i];

		printf("#   way %d: counted %llu, to arrive by itself %llu, read %llu%s%s\n", i, (unsigned long long)w->sent,
		       (unsigned long long)w->must, (unsigned long long)w->got, w->open ? ", a record open" : "", w->shut ? ", shut" : "");
	}
	print_end("0", &s->end[0]);
	print_end("1", &s->end[1]);
	fflush(stdout);
	_exit(1);
}

const char *err_name(int err)
{
	const char *name = strerrorname_np(err);

	return name ? name : "no error";
}

void model_lock(void)
{
	pthread_mutex_lock(&now->lock);
}

void model_unlock(void)
{
	pthread_mutex_unlock(&now->lock);
}

/* The errors that others leave in a socket: each may be reported once by whatever call comes. */
static const int left[] = { EHOSTUNREACH, EIO, EKEYEXPIRED, EINVAL };

static int left_index(int err)
{
	for (int i = 0; i < 4; i++)
		if (left[i] == err)
			return i;
	return -1;
}

void model_leave_error(struct end *e, int err)
{
	model_lock();
	e->pending[left_index(err)]++;
	model_unlock();
}

/* Is this one of them, or a reset that was made? */
bool model_takes_error(struct end *e, int err)
{
	int i = left_index(err);
	bool yes = false;

	if (e->peer_reset && (err == ECONNRESET || err == EPIPE))
		return true;
	model_lock();
	if (i >= 0 && e->pending[i]) {
		e->pending[i]--;
		yes = true;
	}
	model_unlock();
	return yes;
}

bool model_any_error(const struct end *e)
{
	bool any = e->peer_reset;

	for (int i = 0; i < 4; i++)
		any |= e->pending[i];
	return any;
}

/* @len bytes are counted, or tried, as a control record. */
void model_mark(struct way *w, uint8_t type, size_t len, bool update)
{
	TT_MUST(w->nmarks < MARKS);
	w->marks[w->nmarks++] = (struct mark){ .pos = w->sent, .len = len, .type = type, .update = update };
}

/* The control record that is next for the receiver. */
const struct mark *model_control(const struct way *w)
{
	return w->nmarks && w->marks[0].pos == w->got ? &w->marks[0] : NULL;
}

/* Bytes of application data that are next for the receiver, at most. */
size_t model_data(const struct way *w)
{
	uint64_t end = w->sent + w->trying;

	if (w->nmarks && w->marks[0].pos < end)
		end = w->marks[0].pos;
	return end > w->got ? end - w->got : 0;
}

/* A call of the sender has ended: @n bytes were counted. */
void model_sent(struct way *w, ssize_t n, size_t asked, bool more)
{
	model_lock();
	w->trying = 0;
	if (n > 0) {
		if ((size_t)n > asked)
			wrong("%zu bytes were to be sent, %zd are counted", asked, n);
		w->sent += n;
		w->open = more;
		if (!more)
			w->must = w->sent;
	}
	if (w->got > w->sent)
		wrong("the call counted up to %llu, the peer has read %llu: bytes that no call counted", (unsigned long long)w->sent,
		      (unsigned long long)w->got);
	model_unlock();
}

/* Where else in the stream are these bytes? */
static void explain(const struct way *w, const char *what, const uint8_t *buf, size_t len, size_t at)
{
	uint64_t pos = w->got + at;
	size_t n = len - at < 16 ? len - at : 16;
	const uint8_t *other = n < 4 ? NULL : memmem(stream, STREAM_MAX, buf + at, n);

	if (other)
		wrong("%s: %zu bytes from %llu on: at %llu comes what belongs to %llu", what, len, (unsigned long long)w->got,
		      (unsigned long long)pos, (unsigned long long)(other - stream));
	wrong("%s: %zu bytes from %llu on: the byte at %llu is wrong (%02x, not %02x)", what, len, (unsigned long long)w->got,
	      (unsigned long long)pos, buf[at], stream[pos]);
}

static void check_control(struct way *w, const char *what, const uint8_t *buf, size_t len, int type, bool peek)
{
	static const uint8_t update[5] = { 24, 0, 0, 1, 0 };
	struct mark *m = &w->marks[0];
	const uint8_t *want = m->update ? update + sizeof(update) - m->len : stream + w->got;

	if (len > m->len)
		wrong("%s: %zu bytes of a control record that has %u", what, len, m->len);
	if (type >= 0 && type != m->type)
		wrong("%s: type %d of a record of type %u", what, type, m->type);
	if (memcmp(buf, want, len))
		wrong("%s: wrong bytes in a control record", what);
	if (peek)
		return;
	w->got += len;
	m->pos += len;
	m->len -= len;
	if (m->len)
		return;
	w->expired = m->update;
	memmove(m, m + 1, --w->nmarks * sizeof(*m));
}

/* @len bytes, more than none, came; @type: that of their record, 0 when none was told, -1 when none was asked for. */
void model_check(struct way *w, const char *what, const uint8_t *buf, size_t len, int type, bool peek)
{
	size_t most;

	model_lock();
	if (w->expired)
		wrong("%s: %zu bytes behind a KeyUpdate, without the key", what, len);
	if (model_control(w)) {
		if (type < 0)
			wrong("%s: %zu bytes of a control record without its type", what, len);
		check_control(w, what, buf, len, type, peek);
		goto done;
	}
	if (type >= 0 && type != TT_DATA)
		wrong("%s: %zu bytes of type %d, where application data stands", what, len, type);
	most = model_data(w);
	for (size_t i = 0; i < len; i++)
		if (buf[i] != stream[w->got + i])
			explain(w, what, buf, len, i);
	if (len > most)
		wrong("%s: %zu bytes, but only %zu of application data are counted", what, len, most);
	if (!peek)
		w->got += len;
done:
	model_unlock();
}

struct tt_key model_key(const struct seq *s, const struct way *w, unsigned int gen)
{
	return tt_key_make(s->version, s->cipher, (uint32_t)s->seed * 7 + w->id * 1000 + gen);
}
