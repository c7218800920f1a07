/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * tlsrec: the TLS record layer on a TCP socket.
 *
 * Programs use the interface of <linux/tls.h>:
 *
 *	setsockopt(fd, SOL_TCP, TCP_ULP, TLSREC_ULP_NAME, sizeof(TLSREC_ULP_NAME));
 *	setsockopt(fd, SOL_TLS, TLS_TX, &info, sizeof(info));
 *	setsockopt(fd, SOL_TLS, TLS_RX, &info, sizeof(info));
 *
 * where info is one of its structs tls12_crypto_info_*. Under TLS 1.3 a later
 * TLS_TX or TLS_RX is a key update. Options of tlsrec's own have numbers from
 * TLSREC_OPT_BASE up.
 */
#ifndef _UAPI_LINUX_TLSREC_H
#define _UAPI_LINUX_TLSREC_H

/* Upper layer protocol name for setsockopt(SOL_TCP, TCP_ULP). */
#define TLSREC_ULP_NAME		"tlsrec"

/* First SOL_TLS option number that is not <linux/tls.h>'s. */
#define TLSREC_OPT_BASE		0x100

#endif /* _UAPI_LINUX_TLSREC_H */
