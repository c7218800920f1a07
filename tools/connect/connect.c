// SPDX-License-Identifier: MIT
/*
 * tlsrec connect: standard input and output, joined to a TLS server by a socket whose records the kernel
 * makes and opens.
 */
#include "commands.h"
#include "common/client.h"
#include "connect/relay.h"

#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

struct options {
	struct client_options client;
	bool half_close, quiet;
};

enum { OPT_QUIET = 'q', OPT_HALF_CLOSE = 'N' };

static const struct argp_option options[] = {
	{ .doc = "Standard input and output:", .group = 7 },
	{ "half-close", OPT_HALF_CLOSE, NULL, 0,
	  "When standard input ends, send close_notify and FIN, and go on reading", 7 },
	{ "quiet", OPT_QUIET, NULL, 0, "Print no summary of the connection", 7 },
	{ 0 },
};

static const char doc[] =
	"Talk to a TLS server: standard input goes to it, what it answers to standard output.\v"
	"Exit status: 0 the server ended the connection properly; 1 trouble on this machine; "
	"2 bad arguments; 3 no connection; 4 the server's certificate was refused; "
	"5 the handshake failed or a record was bad; 6 a stream was cut off, theirs or ours; "
	"7 the kernel has no such record layer.";

/* ---- the summary ---- */

static void print_date(int64_t t)
{
	time_t time = (time_t)t;
	struct tm tm;
	char s[32];

	if (gmtime_r(&time, &tm) && strftime(s, sizeof(s), "%Y-%m-%d", &tm))
		fputs(s, stderr);
}

static void print_certificate(const struct tlsrec_info *info)
{
	const struct tlsrec_cert *cert = info->peer;

	if (!cert)
		return;
	fprintf(stderr, "  certificate  %s, issued by %s\n", cert->subject, cert->issuer);
	fprintf(stderr, "               %s, valid from ", cert->key);
	print_date(cert->not_before);
	fputs(" to ", stderr);
	print_date(cert->not_after);
	if (info->verified)
		fprintf(stderr, "\n               verified; OCSP: %s\n", info->ocsp_reason);
	else
		fprintf(stderr, "\n               NOT VERIFIED: %s\n", info->verdict);
}

static void print_summary(const struct client_options *o, const char *peer,
			  const struct tlsrec_info *info)
{
	fprintf(stderr, "Connected to %s, %s\n", o->peer.host, peer);
	fprintf(stderr, "  session      %s, %s%s\n", info->version_name, info->suite,
		info->resumed ? ", resumed" : "");
	fprintf(stderr, "  key exchange %s%s%s%s%s\n", info->kex, *info->group ? " " : "",
		info->group, *info->signature ? ", signed with " : "", info->signature);
	if (*info->alpn)
		fprintf(stderr, "  protocol     %s\n", info->alpn);
	print_certificate(info);
	fprintf(stderr, "  kernel       %s holds the %s keys; sends from record %ju, receives from %ju\n",
		info->ulp, info->cipher, (uintmax_t)info->tx_seq, (uintmax_t)info->rx_seq);
}

/* ---- all of it ---- */

static enum status talk(const struct options *o, struct tlsrec_ctx *ctx)
{
	const struct client_options *c = &o->client;
	enum status status = STATUS_LOCAL;
	struct tlsrec_conn *conn;
	char peer[128];
	int fd;

	fd = client_dial(c, peer, sizeof(peer));
	if (fd < 0)
		return STATUS_CONNECT;
	conn = client_prepare(c, ctx, fd);
	if (!conn)
		goto out_close;
	status = client_handshake(c, conn);
	if (status != STATUS_OK) {
		say("%s", tlsrec_conn_error(conn));
		goto out_free;
	}
	if (!o->quiet)
		print_summary(c, peer, tlsrec_conn_info(conn));
	status = relay(conn, o->half_close);
	if (!client_save_session(c, conn) && status == STATUS_OK)
		status = STATUS_LOCAL;
out_free:
	tlsrec_conn_free(conn);
out_close:
	close(fd);
	return status;
}

int connect_main(int argc, char **argv)
{
	struct options o = { 0 };
	const struct client_switch switches[] = {
		{ OPT_HALF_CLOSE, &o.half_close },
		{ OPT_QUIET, &o.quiet },
		{ 0 },
	};
	struct tlsrec_ctx *ctx;
	enum status status;

	client_arguments(argc, argv, doc, &o.client, options, switches);
	ctx = client_context(&o.client);
	if (!ctx)
		return STATUS_LOCAL;
	status = talk(&o, ctx);
	tlsrec_ctx_free(ctx);
	return status;
}
