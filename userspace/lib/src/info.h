/* SPDX-License-Identifier: MIT */
/* Answers about a connection, in words. */
#ifndef TLSREC_INFO_H
#define TLSREC_INFO_H

#include "describe.h"
#include "tlsrec.h"

enum { TR_SHORT_LEN = 64 };

struct tr_info {
	struct tlsrec_info view;
	char *alpn;	/* NULL: "" */
	char *sni;
	char group[TR_SHORT_LEN];
	struct tr_cert peer;
};

/* Everything that is known now. */
void tr_info_update(struct tlsrec_conn *conn);
void tr_info_clear(struct tr_info *info);

#endif
