// SPDX-License-Identifier: GPL-2.0-only
/* tlsrec: the TLS record layer in the kernel. Set-up and tear-down. */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/slab.h>

#include "buf.h"
#include "rx.h"
#include "stats.h"
#include "tlsrec.h"
#include "tx.h"

static bool replace_tls;
module_param(replace_tls, bool, 0444);
MODULE_PARM_DESC(replace_tls,
		 "also answer to the ULP name \"tls\" when the in-tree module is not loaded");

/* The name "tls" is ours. */
static bool have_tls;

/* Say what will encrypt: a slow driver must not go unnoticed. */
static int announce(void)
{
	const char *driver;
	bool generic;

	driver = tlsrec_cipher_probe(&generic);
	if (IS_ERR(driver)) {
		pr_err("this kernel has no gcm(aes) (error %ld): enable CONFIG_CRYPTO_GCM and CONFIG_CRYPTO_AES\n",
		       PTR_ERR(driver));
		return PTR_ERR(driver);
	}

	pr_info("version %s, AES-GCM by %s%s\n", TLSREC_VERSION, driver,
		have_tls ? ", in the place of tls" : "");
	if (generic)
		pr_warn("%s does not use the CPU's AES instructions and is slow: load aesni_intel, or check that the CPU has them\n",
			driver);
	kfree(driver);
	return 0;
}

/*
 * Take the in-tree module's name and its file in /proc/net. With the file
 * taken the in-tree module fails to load, which is what we want: it does not
 * expect that its name is, and would unregister what it never registered.
 */
static int replace_in_tree(void)
{
	int err;

	err = tlsrec_ulp_register_tls();
	if (err == -EEXIST) {
		pr_warn("replace_tls: the in-tree module has the name tls already; unload it and load tlsrec again\n");
		return 0;
	}
	if (err)
		return err;

	err = tlsrec_stats_init_tls();
	if (err) {
		tlsrec_ulp_unregister_tls();
		return err;
	}

	have_tls = true;
	return 0;
}

static int __init tlsrec_init(void)
{
	int err;

	err = tlsrec_tx_init();
	if (err)
		return err;
	err = tlsrec_stats_init();
	if (err)
		goto err_tx;
	err = tlsrec_ulp_register();
	if (err)
		goto err_stats;
	if (replace_tls) {
		err = replace_in_tree();
		if (err)
			goto err_ulp;
	}
	err = announce();
	if (err)
		goto err_replace;
	return 0;

err_replace:
	if (have_tls) {
		tlsrec_stats_exit_tls();
		tlsrec_ulp_unregister_tls();
	}
err_ulp:
	tlsrec_ulp_unregister();
err_stats:
	tlsrec_stats_exit();
err_tx:
	tlsrec_tx_exit();
	return err;
}

static void __exit tlsrec_exit(void)
{
	if (have_tls) {
		tlsrec_stats_exit_tls();
		tlsrec_ulp_unregister_tls();
	}
	tlsrec_ulp_unregister();
	tlsrec_stats_exit();
	tlsrec_rx_exit();
	tlsrec_tx_exit();
}

module_init(tlsrec_init);
module_exit(tlsrec_exit);

MODULE_DESCRIPTION("TLS record layer for TCP sockets");
MODULE_AUTHOR("tlsrec authors");
MODULE_LICENSE("GPL");
MODULE_VERSION(TLSREC_VERSION);
MODULE_ALIAS_TCP_ULP("tlsrec");
MODULE_SOFTDEP("pre: aesni_intel ghash_clmulni_intel");
