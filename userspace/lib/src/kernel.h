/* SPDX-License-Identifier: MIT */
/* <linux/tls.h> and what the headers of older systems lack. */
#ifndef TLSREC_KERNEL_H
#define TLSREC_KERNEL_H

#include <linux/tls.h>

#ifndef SOL_TLS
#define SOL_TLS 282
#endif
#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef TLS_TX_MAX_PAYLOAD_LEN
#define TLS_TX_MAX_PAYLOAD_LEN 5
#endif
#ifndef TLS_CIPHER_ARIA_GCM_128
#define TLS_CIPHER_ARIA_GCM_128 57
#define TLS_CIPHER_ARIA_GCM_256 58
#endif

#endif
