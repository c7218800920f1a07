// SPDX-License-Identifier: MIT
#include "log.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <tlsrec.h>

/* Longer than a request line that libmicrohttpd takes, escaped. */
enum { SHOWN = 8192 };

static void put_clean(FILE *f, const char *text, const char *also)
{
	char clean[SHOWN];

	tlsrec_clean(clean, sizeof(clean), text, strlen(text), also);
	fputs(clean, f);
}

void log_request(FILE *f, const struct log_request *r)
{
	time_t now = time(NULL);
	struct tm tm;
	char date[32];

	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	flockfile(f);
	fprintf(f, "%s %s \"", date, r->peer);
	put_clean(f, r->line, "\"\\");
	fprintf(f, "\" %u %" PRIu64 " bytes, %.3f s, %s%s\n", r->status, r->bytes, r->seconds, r->note,
		r->complete ? "" : ", broken off");
	fflush(f);
	funlockfile(f);
}

void log_event(FILE *f, const char *peer, const char *what, const char *why)
{
	flockfile(f);
	fprintf(f, "%s %s: ", peer, what);
	put_clean(f, why, "");
	fputc('\n', f);
	fflush(f);
	funlockfile(f);
}
