// SPDX-License-Identifier: GPL-2.0 OR MIT
#define _GNU_SOURCE
#include "rekey_common.h"

const uint8_t key_update[5] = { 24, 0, 0, 1, 0 };

bool rekey_open(struct rekey *self, enum tt_family family, uint16_t version, uint16_t cipher)
{
	int fd[2];

	self->counted = tt_netns() == 0;
	if (tt_cipher_refused(version, cipher) == ENOENT)
		return false;
	tt_tcp_pair(family, fd);
	self->peer = fd[0];
	self->sk = fd[1];
	self->tx = tt_key_make(version, cipher, 1);
	self->rx = tt_key_make(version, cipher, 2);
	self->o = malloc(sizeof(*self->o));
	self->data = malloc(ROOM);
	self->buf = malloc(ROOM);
	tt_install(self->sk, &self->tx, &self->rx);
	return true;
}

void rekey_close(struct rekey *self)
{
	close(self->peer);
	close(self->sk);
	free(self->o);
	free(self->data);
	free(self->buf);
}

struct tt_key generation(const struct tt_key *k, unsigned int gen)
{
	struct tt_key next = tt_key_make(k->version, k->cipher, 1000 + gen);

	next.seq = gen % 3 ? gen : 0;
	return next;
}

void add(struct flight *f, struct tt_key *k, uint8_t type, const void *data, size_t len)
{
	struct tt_rec r = { .type = type, .data = data, .len = len };

	f->len += tt_seal(k, &r, f->buf + f->len);
}

void add_fill(struct flight *f, struct tt_key *k, size_t len, uint64_t pos)
{
	uint8_t *data = malloc(len);

	tt_fill(data, len, pos);
	add(f, k, TT_DATA, data, len);
	free(data);
}

void add_update(struct flight *f, struct tt_key *k)
{
	add(f, k, TT_HANDSHAKE, key_update, sizeof(key_update));
}

void fly(struct flight *f, int from, int to)
{
	uint64_t base = tt_bytes_received(to);

	tt_write(from, f->buf, f->len);
	tt_wait_received(to, base + f->len);
	f->len = 0;
}

bool same_key(int fd, int dir, const struct tt_key *want)
{
	struct tt_key got;
	const struct tt_cipher *c = tt_cipher(want->cipher);

	if (tt_key_get(fd, dir, want, &got))
		return false;
	return got.version == want->version && got.cipher == want->cipher && got.seq == want->seq && !memcmp(got.key, want->key, c->key) &&
	       !memcmp(got.iv, want->iv, c->iv) && !memcmp(got.salt, want->salt, c->salt);
}
