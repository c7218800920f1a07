/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What each CPU keeps for its next calls, and gives back when memory is short
 * or when it goes offline.
 */
#ifndef TLSREC_SPARE_H
#define TLSREC_SPARE_H

int tlsrec_spare_init(void);
void tlsrec_spare_exit(void);

#endif /* TLSREC_SPARE_H */
