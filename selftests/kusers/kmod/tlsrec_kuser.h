/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Between the test module and the program that drives it: one ioctl() on
 * /dev/tlsrec_kuser makes one call of an interface that only the kernel has,
 * on a socket of the program's.
 */
#ifndef TLSREC_KUSER_H
#define TLSREC_KUSER_H

#include <linux/ioctl.h>
#include <linux/types.h>

enum ku_op {
	KU_SEND,	/* sendmsg */
	KU_SENDPAGE,	/* kernel_sendpage(), before Linux 6.5 */
	KU_SPLICE_EOF,	/* proto_ops.splice_eof, from Linux 6.5 on */
	KU_RECV,	/* recvmsg */
	KU_READ_SOCK,	/* proto_ops.read_sock with the actor of @actor */
	KU_HELD,	/* the bytes that KU_HOLD kept, then forget them */
	KU_PUMP,	/* replace the socket's callbacks, see ku_pump_flags */
	KU_PUMP_SEND,	/* have the pump send this */
	KU_PUMP_STATE,	/* what the pump has received and seen */
	KU_PUMP_END,	/* put the callbacks back */
};

/* What the memory of KU_SEND and KU_RECV is to the socket. */
/*
 * KU_GAPS: as KU_BVEC, with an empty segment in front of each.
 * KU_ACROSS: as KU_BVEC, each segment in the middle of two pages that belong together.
 */
enum ku_iter { KU_KVEC, KU_BVEC, KU_XARRAY, KU_DISCARD, KU_GAPS, KU_ACROSS };

enum ku_actor {
	KU_ALL,		/* takes everything */
	KU_PART,	/* takes at most @limit bytes each time */
	KU_STOP,	/* takes, and stops with desc->count = 0 at @limit bytes */
	KU_REFUSE,	/* takes @limit bytes, then nothing */
	KU_FAIL,	/* takes @limit bytes, then returns @error */
	KU_HOLD,	/* takes everything by keeping clones of the buffers */
};

enum ku_pump_flags {
	KU_PUMP_CHAIN = 1,	/* call the callbacks that were there, too */
	KU_PUMP_RECVMSG = 2,	/* receive with recvmsg, not with read_sock */
	KU_PUMP_SPLICE = 4,	/* send with MSG_SPLICE_PAGES */
	KU_PUMP_NOIO = 8,	/* the socket's memory must not wait for I/O */
};

/**
 * struct ku_call - one call
 * @fd: the socket; of no meaning once a pump has one
 * @op: enum ku_op
 * @buf: the program's memory: bytes to send, or room for what comes
 * @len: bytes of it
 * @piece: bytes in each segment of the iterator, 0 for those of a page
 * @iter: enum ku_iter
 * @flags: MSG_*, or for KU_PUMP enum ku_pump_flags
 * @type: record type to send, 0 for none; type that was received, 0 for none
 * @room: bytes of control buffer for KU_RECV
 * @actor: enum ku_actor
 * @limit: see there
 * @error: see there
 * @ret: what the call returned
 * @msg_flags: flags after KU_RECV
 * @calls: how often the actor was called
 * @count: desc->count afterwards
 * @got: bytes the actor or the pump has taken
 * @ready: calls of data_ready that the pump has seen
 * @softirq: of these, how many in softirq
 * @space: calls of write_space
 * @control: records that were not data, which KU_PUMP_RECVMSG met
 * @left: bytes that KU_PUMP_SEND has still to send
 */
struct ku_call {
	__s32 fd;
	__u32 op;
	__u64 buf;
	__u32 len;
	__u32 piece;
	__u32 iter;
	__u32 flags;
	__u32 type;
	__u32 room;
	__u32 actor;
	__u32 limit;
	__s32 error;

	__s32 ret;
	__u32 msg_flags;
	__u32 calls;
	__u32 count;
	__u32 got;
	__u32 ready;
	__u32 softirq;
	__u32 space;
	__u32 control;
	__u32 left;
	__u32 reserved;
};

#define KU_CALL _IOWR('k', 1, struct ku_call)

#endif
