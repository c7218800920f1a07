// SPDX-License-Identifier: GPL-2.0 OR MIT
#define _GNU_SOURCE
#include "tx_common.h"

#include <sys/mman.h>

bool tx_open(struct tx *self, enum tt_family family, uint16_t version, uint16_t cipher)
{
	int fd[2];

	tt_tcp_pair(family, fd);
	self->sk = fd[0];
	self->peer = fd[1];
	self->k = tt_key_make(version, cipher, 1);
	self->back = tt_key_make(version, cipher, 2);
	self->o = malloc(sizeof(*self->o));
	tt_install(self->sk, &self->k, &self->back);
	return true;
}

void tx_close(struct tx *self)
{
	close(self->peer);
	close(self->sk);
	free(self->o);
}

int take(struct tx *self, size_t total, uint64_t pos)
{
	int records = 0;

	for (size_t got = 0; got < total; records++) {
		ssize_t at;

		if (tt_recv_rec(self->peer, &self->k, self->o) != 1) {
			fprintf(stderr, "# record %d after %zu of %zu bytes does not open\n", records, got, total);
			return -1;
		}
		if (self->o->type != TT_DATA || !self->o->len || self->o->len > TT_MAX || self->o->pad) {
			fprintf(stderr, "# record %d: type %u, length %zu\n", records, self->o->type, self->o->len);
			return -1;
		}
		at = tt_diff(self->o->data, self->o->len, pos + got);
		if (at >= 0) {
			fprintf(stderr, "# wrong byte at %zu\n", got + at);
			return -1;
		}
		got += self->o->len;
		if (got > total) {
			fprintf(stderr, "# %zu bytes came instead of %zu\n", got, total);
			return -1;
		}
	}
	return records;
}

pid_t take_in_child(struct tx *self, size_t total, uint64_t pos, int delay_us, bool end)
{
	pid_t pid = fork();
	size_t got = 0;

	TT_MUST(pid >= 0);
	if (pid)
		return pid;
	close(self->sk);
	while (got < total) {
		if (tt_recv_rec(self->peer, &self->k, self->o) != 1 || self->o->type != TT_DATA)
			_exit(2);
		if (tt_diff(self->o->data, self->o->len, pos + got) >= 0)
			_exit(3);
		got += self->o->len;
		if (delay_us)
			usleep(delay_us);
	}
	if (got != total)
		_exit(4);
	if (end && tt_recv_rec(self->peer, &self->k, self->o) != 0)
		_exit(5);
	_exit(0);
}

uint8_t *pattern(size_t len, uint64_t pos)
{
	uint8_t *p = malloc(len + 1);

	TT_MUST(p);
	tt_fill(p, len, pos);
	return p;
}

int make_file(int kind, size_t len, uint64_t pos)
{
	char name[] = "/tmp/tlsrec-test-XXXXXX";
	uint8_t *data = pattern(len, pos);
	int fd = kind ? mkstemp(name) : memfd_create("tlsrec", 0);

	TT_MUST(fd >= 0);
	if (kind)
		unlink(name);
	TT_MUST(len == 0 || pwrite(fd, data, len, 0) == (ssize_t)len);
	free(data);
	return fd;
}

bool file_is(int fd, size_t len, uint64_t pos)
{
	uint8_t *data = malloc(len + 1);
	bool ok = pread(fd, data, len + 1, 0) == (ssize_t)len && tt_diff(data, len, pos) < 0;

	free(data);
	return ok;
}

volatile int scribble;

void *scribbler(void *arg)
{
	uint8_t *map = arg;

	for (unsigned int i = 0; scribble; i++)
		map[i * 7919 % SCRIBBLED] = i;
	return NULL;
}
