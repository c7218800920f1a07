/* SPDX-License-Identifier: MIT */
/* The log of the server: a line each, whatever the peer has put into it. */
#ifndef TLSREC_LOG_H
#define TLSREC_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct log_request {
	const char *peer;
	const char *line;	/* method and path, or what there was in their place; need not be clean */
	unsigned int status;
	uint64_t bytes;
	double seconds;
	const char *note;
	bool complete;
};

void log_request(FILE *f, const struct log_request *r);

/* Something that is not a request and its answer; why is a sentence. */
void log_event(FILE *f, const char *peer, const char *what, const char *why);

#endif
