// SPDX-License-Identifier: MIT
/* The tlsrec command: one word after it chooses what it does. */
#include "commands.h"
#include "common/say.h"

#include <argp.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <tlsrec.h>
#include <unistd.h>

static const struct command {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *args, *what;
} commands[] = {
	{ "serve", serve_main, "DIR", "serve the files of a directory over HTTPS" },
	{ "connect", connect_main, "HOST[:PORT]", "talk to a TLS server with standard input and output" },
	{ "trace", trace_main, "HOST[:PORT]", "show a TLS handshake step by step" },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *f)
{
	fputs("Usage: tlsrec COMMAND [OPTION...] ARGUMENT\n"
	      "TLS whose records are encrypted and decrypted by the kernel.\n\n", f);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(f, "  tlsrec %-8s %-12s  %s\n", commands[i].name, commands[i].args,
			commands[i].what);
	fputs("\n\"tlsrec COMMAND --help\" lists the options of a command; tlsrec(1) says more.\n", f);
}

/*
 * A socket that got the number of one that is missing would be read and written in its place. Standard input
 * is empty then, and what goes to standard output fails.
 */
static bool open_standard(void)
{
	static const int flags[] = { O_RDONLY, O_RDONLY, O_WRONLY };

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", flags[fd]) != fd)
			return false;
	return true;
}

/* What a command printed may still be on its way. That a reader wants no more is up to him. */
static int ended(int status)
{
	struct pollfd p = { .fd = STDOUT_FILENO };

	if (!fflush(stdout) && !ferror(stdout))
		return status;
	if (status != STATUS_OK || (poll(&p, 1, 0) > 0 && p.revents & POLLERR))
		return status;
	say("standard output did not take all there was to write.");
	return STATUS_LOCAL;
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";
	char name[64];

	if (!open_standard())
		return STATUS_LOCAL;
	argp_err_exit_status = STATUS_USAGE;
	/* A peer or a reader that goes away is an error to report, not a reason to die. */
	signal(SIGPIPE, SIG_IGN);

	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(word, commands[i].name))
			continue;
		snprintf(name, sizeof(name), "tlsrec %s", commands[i].name);
		argv[1] = name;
		return ended(commands[i].main(argc - 1, argv + 1));
	}
	if (!strcmp(word, "--help") || !strcmp(word, "-?") || !strcmp(word, "help")) {
		usage(stdout);
		return ended(STATUS_OK);
	}
	if (!strcmp(word, "--version") || !strcmp(word, "-V")) {
		printf("tlsrec %s\n", tlsrec_version());
		return ended(STATUS_OK);
	}
	if (!*word)
		usage(stderr);
	else
		say("there is no command \"%s\": serve, connect and trace are the ones there are "
		    "(tlsrec --help).", word);
	return STATUS_USAGE;
}
