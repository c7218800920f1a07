// SPDX-License-Identifier: GPL-2.0-only
/*
 * A system call of a kernel that is a process takes longer than what it is to be measured by. Here a program's calls are
 * made from inside the kernel, by the functions that its system calls come to, on its own buffers, and timed here.
 * Nothing may have to wait.
 */
#include <linux/file.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/proc_fs.h>
#include <linux/socket.h>
#include <linux/splice.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "calls.h"

static ssize_t message(struct socket *sock, unsigned int cmd, u64 data, size_t len)
{
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT };
	bool send = cmd == CALLS_SEND;
	int err;

	err = import_ubuf(send ? ITER_SOURCE : ITER_DEST, u64_to_user_ptr(data), len, &msg.msg_iter);
	if (err)
		return err;
	if (send)
		return sock_sendmsg(sock, &msg);
	return sock_recvmsg(sock, &msg, MSG_DONTWAIT | (cmd == CALLS_DISCARD ? MSG_TRUNC : 0));
}

static ssize_t from_file(struct file *file, struct socket *sock, loff_t from, size_t len)
{
	loff_t ignored = 0;

	return do_splice_direct(file, &from, sock->file, &ignored, len, 0);
}

static long make_calls(unsigned int cmd, const struct calls *calls, struct socket *sock, struct file *file)
{
	u64 done = 0;
	ssize_t n;

	while (done < calls->len) {
		u64 len = min(calls->call, calls->len - done);

		if (cmd == CALLS_SENDFILE)
			n = from_file(file, sock, calls->data + done, len);
		else
			n = message(sock, cmd, calls->data + (cmd == CALLS_DISCARD ? 0 : done), len);
		if (n <= 0)
			return n ?: -EPIPE;
		done += n;
	}
	return 0;
}

static long calls_ioctl(struct file *proc, unsigned int cmd, unsigned long argument)
{
	struct calls __user *user = (struct calls __user *)argument;
	struct file *file = NULL;
	struct calls calls;
	struct socket *sock;
	u64 begin;
	int err;

	if (cmd < CALLS_SEND || cmd > CALLS_DISCARD)
		return -ENOTTY;
	if (copy_from_user(&calls, user, sizeof(calls)))
		return -EFAULT;
	sock = sockfd_lookup(calls.fd, &err);
	if (!sock)
		return err;
	if (cmd == CALLS_SENDFILE)
		file = fget(calls.file);
	err = -EBADF;
	if (file || cmd != CALLS_SENDFILE) {
		begin = __builtin_ia32_rdtsc();
		err = make_calls(cmd, &calls, sock, file);
		calls.ticks = __builtin_ia32_rdtsc() - begin;
	}
	if (file)
		fput(file);
	sockfd_put(sock);
	return err ?: put_user(calls.ticks, &user->ticks);
}

static const struct proc_ops calls_ops = {
	.proc_ioctl = calls_ioctl,
};

static int __init calls_init(void)
{
	return proc_create("calls", 0600, NULL, &calls_ops) ? 0 : -ENOMEM;
}
module_init(calls_init);

static void __exit calls_exit(void)
{
	remove_proc_entry("calls", NULL);
}
module_exit(calls_exit);

MODULE_DESCRIPTION("Calls of a socket without system calls");
MODULE_LICENSE("GPL");
