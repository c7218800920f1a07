/* SPDX-License-Identifier: MIT */
/* The commands: each parses its arguments and returns an exit status (common/say.h). */
#ifndef TLSREC_COMMANDS_H
#define TLSREC_COMMANDS_H

int serve_main(int argc, char **argv);
int connect_main(int argc, char **argv);
int trace_main(int argc, char **argv);

#endif
