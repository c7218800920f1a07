// SPDX-License-Identifier: GPL-2.0-only
/*
 * In the place of the in-tree module: the ULP name "tls" and /proc/net/tls_stat.
 *
 * Two want them: the drop-in of the folder tls/, and the parameter replace_tls.
 * The drop-in has the in-tree module's own name, so the kernel lets in one of
 * the two. With replace_tls alone that one has to be kept out here, before it
 * runs: it warns when its file exists, and it does not look whether it got the
 * ULP's name, but when unloaded it unregisters it.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/tracepoint.h>

#include "replace.h"
#include "stats.h"
#include "ulp.h"

static unsigned int users;
/* Protects users, and orders taking and giving up the name. */
static DEFINE_MUTEX(users_lock);

static bool replacing;

/* Somebody else is "tls". EEXIST, modprobe would take for success. */
#define NOT_OURS	(-EBUSY)

/* The name comes last: from then on there may be sockets. */
static int take(struct module *owner)
{
	int err;

	err = tlsrec_stats_init_tls();
	if (err)
		return err;
	if (tlsrec_ulp_register_tls(owner)) {
		pr_err("another module has the ULP name tls\n");
		tlsrec_stats_exit_tls();
		return NOT_OURS;
	}
	return 0;
}

/**
 * tlsrec_tls_get() - answer to the ULP name "tls"
 * @owner: module that sockets with this ULP shall keep loaded; when it is
 *	somebody's already they keep his
 *
 * Return: 0, or a negative errno when somebody else has the name.
 */
int tlsrec_tls_get(struct module *owner)
{
	int err = 0;

	mutex_lock(&users_lock);
	if (!users)
		err = take(owner);
	if (!err)
		users++;
	mutex_unlock(&users_lock);
	return err;
}
EXPORT_SYMBOL_GPL(tlsrec_tls_get);

/**
 * tlsrec_tls_put() - the caller of tlsrec_tls_get() wants it no more
 */
void tlsrec_tls_put(void)
{
	mutex_lock(&users_lock);
	if (!--users) {
		tlsrec_ulp_unregister_tls();
		tlsrec_stats_exit_tls();
	}
	mutex_unlock(&users_lock);
}
EXPORT_SYMBOL_GPL(tlsrec_tls_put);

/* The drop-in has our version, the in-tree module none. */
static bool is_drop_in(const struct module *mod)
{
	return mod->version && !strcmp(mod->version, THIS_MODULE->version);
}

/* A module is about to run, or not. */
static int module_event(struct notifier_block *nb, unsigned long state,
			void *data)
{
	struct module *mod = data;

	if (state != MODULE_STATE_COMING || strcmp(mod->name, "tls") ||
	    is_drop_in(mod))
		return NOTIFY_DONE;

	pr_warn_ratelimited("replace_tls: another module tls is not let in, since tlsrec is in its place\n");
	/* What modprobe takes for success, for there is a "tls". */
	return notifier_from_errno(-EEXIST);
}

static struct notifier_block module_nb = {
	.notifier_call	= module_event,
	/* Before the tracepoints', so that those see nobody who is refused. */
	.priority	= 1,
};

static bool in_tree_is_there;

/* A module that has tracepoints is loaded, or on its way. */
static int tracepoint_event(struct notifier_block *nb, unsigned long state,
			    void *data)
{
	const struct tp_module *tp = data;

	if (!strcmp(tp->mod->name, "tls"))
		in_tree_is_there = true;
	return NOTIFY_DONE;
}

static struct notifier_block tracepoint_nb = {
	.notifier_call = tracepoint_event,
};

/*
 * Did the in-tree module get in before module_nb watched the door? It may have
 * not come to its init yet, and would be nowhere to be seen but for its
 * tracepoints: whoever asks for modules that have some is told of all.
 */
static int look_for_in_tree(void)
{
	int err;

	if (IS_BUILTIN(CONFIG_TLS) || !IS_ENABLED(CONFIG_TRACEPOINTS))
		return -EOPNOTSUPP;
	err = register_tracepoint_module_notifier(&tracepoint_nb);
	if (err)
		return err;
	unregister_tracepoint_module_notifier(&tracepoint_nb);
	if (!in_tree_is_there)
		return 0;

	pr_err("replace_tls: the module tls is loaded: unload it and load tlsrec again\n");
	return NOT_OURS;
}

/**
 * tlsrec_replace_in_tree() - for replace_tls: be "tls", and stay it
 *
 * Return: 0, or a negative errno.
 */
int tlsrec_replace_in_tree(void)
{
	int err;

	err = register_module_notifier(&module_nb);
	if (err)
		return err;

	err = look_for_in_tree();
	if (!err)
		err = tlsrec_tls_get(THIS_MODULE);
	if (err) {
		unregister_module_notifier(&module_nb);
		return err;
	}

	replacing = true;
	pr_info("in the place of tls\n");
	return 0;
}

/* The reverse, if there is something to reverse. */
void tlsrec_replace_end(void)
{
	if (!replacing)
		return;
	tlsrec_tls_put();
	unregister_module_notifier(&module_nb);
}
