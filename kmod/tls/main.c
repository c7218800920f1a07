// SPDX-License-Identifier: GPL-2.0-only
/*
 * A module that has the name of the in-tree one, so that it is loaded in its
 * place by whoever wants that: TCP_ULP "tls", modprobe, and the modules that
 * import its symbols. The record layer is tlsrec.ko, which it brings along.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <net/tcp.h>

#include "../replace.h"
#include "../tlsrec.h"

static int __init tls_init(void)
{
	int err;

	err = tlsrec_tls_get(THIS_MODULE);
	if (!err)
		pr_info("tlsrec version %s is in the place of the in-tree module\n",
			TLSREC_VERSION);
	return err;
}

static void __exit tls_exit(void)
{
	tlsrec_tls_put();
}

module_init(tls_init);
module_exit(tls_exit);

MODULE_DESCRIPTION("tlsrec in the place of the in-tree TLS module");
MODULE_AUTHOR("tlsrec authors");
MODULE_LICENSE("GPL");
MODULE_VERSION(TLSREC_VERSION);
MODULE_ALIAS_TCP_ULP("tls");
