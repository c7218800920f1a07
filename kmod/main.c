// SPDX-License-Identifier: GPL-2.0-only
/* tlsrec: the TLS record layer in the kernel. Set-up and tear-down. */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/slab.h>

#include "engine.h"
#include "idle.h"
#include "replace.h"
#include "spare.h"
#include "stats.h"
#include "tlsrec.h"
#include "tx.h"
#include "ulp.h"

static bool replace_tls;
module_param(replace_tls, bool, 0444);
MODULE_PARM_DESC(replace_tls,
		 "also answer to the ULP name \"tls\", and do not let in the in-tree module");

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

	pr_info("version %s, AES-GCM by %s\n", TLSREC_VERSION, driver);
	if (generic)
		pr_warn("%s does not use the CPU's AES instructions and is slow: load aesni_intel, or check that the CPU has them\n",
			driver);
	kfree(driver);
	return 0;
}

static int __init tlsrec_init(void)
{
	int err;

	err = announce();
	if (err)
		return err;
	err = tlsrec_spare_init();
	if (err)
		return err;
	err = tlsrec_stats_init();
	if (err)
		goto err_spare;
	err = tlsrec_engine_init(tlsrec_tx_retry, tlsrec_tx_look);
	if (err)
		goto err_stats;
	/*
	 * A name brings sockets, and with sockets we cannot go back. Nobody
	 * else has the name "tlsrec", so that one comes last.
	 */
	if (replace_tls) {
		err = tlsrec_replace_in_tree();
		if (err)
			goto err_engine;
	}
	err = tlsrec_ulp_register();
	if (err)
		goto err_replace;
	return 0;

err_replace:
	tlsrec_replace_end();
err_engine:
	tlsrec_engine_exit();
err_stats:
	tlsrec_stats_exit();
err_spare:
	tlsrec_spare_exit();
	return err;
}

static void __exit tlsrec_exit(void)
{
	tlsrec_replace_end();
	tlsrec_ulp_unregister();
	tlsrec_idle_exit();
	tlsrec_engine_exit();
	tlsrec_stats_exit();
	tlsrec_spare_exit();
}

module_init(tlsrec_init);
module_exit(tlsrec_exit);

MODULE_DESCRIPTION("TLS record layer for TCP sockets");
MODULE_AUTHOR("tlsrec authors");
MODULE_LICENSE("GPL");
MODULE_VERSION(TLSREC_VERSION);
MODULE_ALIAS_TCP_ULP("tlsrec");
MODULE_SOFTDEP("pre: aesni_intel ghash_clmulni_intel");
