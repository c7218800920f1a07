// SPDX-License-Identifier: GPL-2.0 OR MIT
#define _GNU_SOURCE
#include "rx_common.h"

bool rx_open(struct rx *self, enum tt_family family, uint16_t version, uint16_t cipher)
{
	int fd[2];

	tt_tcp_pair(family, fd);
	self->peer = fd[0];
	self->sk = fd[1];
	self->k = tt_key_make(version, cipher, 1);
	self->back = tt_key_make(version, cipher, 2);
	self->base = tt_bytes_received(self->sk);
	tt_install(self->sk, &self->back, &self->k);
	return true;
}

void rx_close(struct rx *self)
{
	close(self->peer);
	close(self->sk);
}

void wire(struct rx *self, const void *buf, size_t len)
{
	tt_write(self->peer, buf, len);
	self->sent += len;
}

void arrived(struct rx *self)
{
	tt_wait_received(self->sk, self->base + self->sent);
}

void say(struct rx *self, uint8_t type, size_t len, uint64_t pos)
{
	uint8_t *data = malloc(len + 1), *rec = malloc(len + 64);
	struct tt_rec r = { .type = type, .data = data, .len = len };

	tt_fill(data, len, pos);
	wire(self, rec, tt_seal(&self->k, &r, rec));
	free(data);
	free(rec);
}

size_t make(struct rx *self, uint8_t *rec, uint8_t type, size_t len, size_t pad, uint64_t pos)
{
	uint8_t *data = malloc(len + 1);
	struct tt_rec r = { .type = type, .data = data, .len = len, .pad = pad };
	size_t n;

	tt_fill(data, len, pos);
	n = tt_seal(&self->k, &r, rec);
	free(data);
	return n;
}

pid_t write_in_child(struct rx *self, const void *buf, size_t len, size_t step)
{
	pid_t pid = fork();

	TT_MUST(pid >= 0);
	if (!pid) {
		tt_write_slow(self->peer, buf, len, step);
		_exit(0);
	}
	return pid;
}
