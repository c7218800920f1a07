/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * In the place of the in-tree module: its ULP name, its file in /proc/net.
 * What the module tls.ko of the folder tls/ asks of this one.
 */
#ifndef TLSREC_REPLACE_H
#define TLSREC_REPLACE_H

struct module;

int tlsrec_tls_get(struct module *owner);
void tlsrec_tls_put(void);

int tlsrec_replace_in_tree(void);
void tlsrec_replace_end(void);

#endif /* TLSREC_REPLACE_H */
