/* SPDX-License-Identifier: GPL-2.0-only */
/* The upper layer protocol. */
#ifndef TLSREC_ULP_H
#define TLSREC_ULP_H

struct module;

int tlsrec_ulp_register(void);
void tlsrec_ulp_unregister(void);
int tlsrec_ulp_register_tls(struct module *owner);
void tlsrec_ulp_unregister_tls(void);

#endif /* TLSREC_ULP_H */
