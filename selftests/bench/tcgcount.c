// SPDX-License-Identifier: MIT
/*
 * A plugin for QEMU's translator (API version 1, one processor): counts the guest's instructions where a program in the
 * guest asks for it, by translation block.
 *
 * The guest asks with a no-operation that carries a number, see counts.c: 1 and 2 begin to count as phase A or B, 0 stops,
 * 3 forgets what was counted, 4 writes the table to PREFIX.N (N from 0) and forgets it. A line of the table is: address of
 * the block, instructions executed in it in phase A, in phase B.
 *
 *	qemu-system-x86_64 -plugin file=tcgcount.so,out=PREFIX
 *
 * Debian's QEMU does not ship the header of the interface: what is used of it is declared here.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*tb_trans_cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*exec_cb)(unsigned int cpu, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_trans_cb cb);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, exec_cb cb, int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, exec_cb cb, int flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv);

enum { BUCKETS = 1 << 18, PHASES = 3, FORGET = 3, DUMP = 4 };

/* A block is translated again now and then, so it is known by address and length. */
struct block {
	struct block *next;
	uint64_t address;
	uint64_t runs[PHASES];	/* 0: nobody asked */
	unsigned int length;
};

static struct block *blocks[BUCKETS];
static unsigned int phase;
static const char *prefix = "tcgcount";

static void forget(void)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct block *b = blocks[i]; b; b = b->next)
			memset(b->runs, 0, sizeof(b->runs));
}

static void dump(void)
{
	static unsigned int number;
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s.%u", prefix, number++);
	f = fopen(path, "w");
	for (size_t i = 0; f && i < BUCKETS; i++)
		for (struct block *b = blocks[i]; b; b = b->next)
			if (b->runs[1] || b->runs[2])
				fprintf(f, "%" PRIx64 " %" PRIu64 " %" PRIu64 "\n", b->address,
					b->runs[1] * b->length, b->runs[2] * b->length);
	if (!f || fclose(f))
		fprintf(stderr, "tcgcount: cannot write %s\n", path);
}

static void block_runs(unsigned int cpu, void *data)
{
	struct block *b = data;

	(void)cpu;
	b->runs[phase]++;
}

static void asked(unsigned int cpu, void *data)
{
	uintptr_t what = (uintptr_t)data;

	(void)cpu;
	phase = what < PHASES ? what : 0;
	if (what == DUMP)
		dump();
	if (what >= FORGET)
		forget();
}

/* The number, or -1: nopl 0x7ecN0000(%rax,%rax,1). */
static int number_of(const struct qemu_plugin_insn *insn)
{
	const uint8_t *code = qemu_plugin_insn_data(insn);

	if (qemu_plugin_insn_size(insn) != 8 || memcmp(code, "\x0f\x1f\x84\x00\x00\x00", 6) || code[7] != 0x7e ||
	    (code[6] & 0xf0) != 0xc0)
		return -1;
	return code[6] & 0x0f;
}

static struct block *block_at(uint64_t address, unsigned int length)
{
	struct block **head = &blocks[((address + length) * 0x9e3779b97f4a7c15) >> 46];
	struct block *b;

	for (b = *head; b; b = b->next)
		if (b->address == address && b->length == length)
			return b;
	b = calloc(1, sizeof(*b));
	if (!b)
		abort();
	b->address = address;
	b->length = length;
	b->next = *head;
	*head = b;
	return b;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t length = qemu_plugin_tb_n_insns(tb);

	(void)id;
	for (size_t i = 0; i < length; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		int number = number_of(insn);

		if (number >= 0)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, asked, 0, (void *)(uintptr_t)number);
	}
	qemu_plugin_register_vcpu_tb_exec_cb(tb, block_runs, 0, block_at(qemu_plugin_tb_vaddr(tb), length));
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++)
		if (!strncmp(argv[i], "out=", 4))
			prefix = strdup(argv[i] + 4);
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
