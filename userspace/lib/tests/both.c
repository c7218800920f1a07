// SPDX-License-Identifier: MIT
#include "both.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"
#include "tap.h"

static const char *ulp;

void both_need_ulp(void)
{
	char why[256];

	ulp = getenv("ULP") ? getenv("ULP") : "tlsrec";
	if (!tlsrec_probe(ulp, why, sizeof(why)))
		return;
	printf("Bail out! %s\n", why);
	exit(EXIT_FAILURE);
}

struct tlsrec_ctx *kernel_ctx(bool server, const struct pki_cert *cert, const struct pki_cert *root)
{
	struct tlsrec_ctx *ctx = our_ctx(server, cert, root);

	tlsrec_ctx_set_ulp(ctx, ulp);
	return ctx;
}

int tcp_pair(int family, int fd[2])
{
	struct sockaddr_storage addr = { .ss_family = (sa_family_t)family };
	socklen_t len =
		family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	int listener = socket(family, SOCK_STREAM, 0);
	int one = 1;

	if (family == AF_INET6)
		((struct sockaddr_in6 *)&addr)->sin6_addr = in6addr_loopback;
	else
		((struct sockaddr_in *)&addr)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd[0] = socket(family, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&addr, len) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&addr, &len) ||
	    connect(fd[0], (struct sockaddr *)&addr, len))
		return -1;
	fd[1] = accept(listener, NULL, NULL);
	close(listener);
	setsockopt(fd[1], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd[1] < 0 ? -1 : 0;
}

static void *accept_side(void *arg)
{
	return (void *)(intptr_t)tlsrec_handshake(arg, TIMEOUT_MS);
}

bool both_start(struct both *both, const struct pki_cert *root, const struct pki_cert *cert)
{
	pthread_t thread;
	void *server_status;
	enum tlsrec_status status;

	both->ctx[0] = kernel_ctx(false, NULL, root);
	both->ctx[1] = kernel_ctx(true, cert, root);
	if (both->version)
		tlsrec_ctx_set_versions(both->ctx[1], both->version, both->version);
	if (both->bare)
		tlsrec_ctx_set_ulp(both->ctx[0], NULL);
	tcp_pair(AF_INET6, both->fd);
	both->conn[0] = tlsrec_conn_new(both->ctx[0], both->fd[0], "server.example");
	both->conn[1] = tlsrec_conn_new(both->ctx[1], both->fd[1], NULL);
	pthread_create(&thread, NULL, accept_side, both->conn[1]);
	status = tlsrec_handshake(both->conn[0], TIMEOUT_MS);
	pthread_join(thread, &server_status);
	if (status == TLSREC_DONE && (intptr_t)server_status == TLSREC_DONE)
		return true;
	tap_note("%s", tlsrec_conn_error(both->conn[0]));
	tap_note("%s", tlsrec_conn_error(both->conn[1]));
	return false;
}

void both_end(struct both *both)
{
	for (int i = 0; i < 2; i++) {
		tlsrec_conn_free(both->conn[i]);
		tlsrec_ctx_free(both->ctx[i]);
		close(both->fd[i]);
	}
}
