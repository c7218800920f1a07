/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A splice that comes page by page, by sendpage(), which only old kernels have.
 */
#ifndef TLSREC_TXPAGE_H
#define TLSREC_TXPAGE_H

#include "compat.h"

#ifdef TLSREC_HAVE_SENDPAGE
int tlsrec_sendpage(struct sock *sk, struct page *page, int offset,
		    size_t size, int flags);
#endif

#endif /* TLSREC_TXPAGE_H */
