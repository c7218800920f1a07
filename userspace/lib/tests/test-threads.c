// SPDX-License-Identifier: MIT
/* Contexts shared by threads: handshakes, resumption and staples at the same time. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ocsp.h>

#include "conn.h"
#include "pki.h"
#include "tap.h"

enum { THREADS = 4, ROUNDS = 25 };

static struct tlsrec_ctx *client, *server;
static const char *staple;
static atomic_int good, resumed, staples, running = THREADS;

/* Both ends in one thread, turn by turn. */
static bool run(struct tlsrec_conn *a, struct tlsrec_conn *b)
{
	for (int i = 0; i < 1000; i++) {
		enum tlsrec_status x = tlsrec_step(a);
		enum tlsrec_status y = tlsrec_step(b);

		if (x == TLSREC_ERROR || y == TLSREC_ERROR)
			return false;
		if (x == TLSREC_DONE && y == TLSREC_DONE)
			return true;
	}
	return false;
}

/* What the client would get from a kernel: the tickets, decrypted. */
static void take_tickets(struct tlsrec_conn *conn)
{
	uint8_t wire[8192], plain[TR_PLAIN_MAX + 1], type;
	struct tr_dir rx = conn->keys.rx;
	ssize_t n = recv(tlsrec_conn_fd(conn), wire, sizeof(wire), MSG_DONTWAIT);

	for (ssize_t at = 0; at + TR_HEADER_LEN < n;) {
		size_t len = TR_HEADER_LEN + ((size_t)wire[at + 3] << 8 | wire[at + 4]);
		ssize_t got = tr_open(conn->keys.version, &rx, wire + at, len, &type, plain);

		if (got < 0)
			return;
		tr_control_take(conn, type, plain, (size_t)got);
		at += (ssize_t)len;
	}
}

static bool same_keys(const struct tlsrec_conn *a, const struct tlsrec_conn *b)
{
	return a->keys.tx.cipher == b->keys.rx.cipher &&
	       !memcmp(a->keys.tx.key, b->keys.rx.key, a->keys.tx.cipher->key_len) &&
	       !memcmp(b->keys.tx.iv, a->keys.rx.iv, TR_SALT_LEN);
}

static void *work(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		struct tlsrec_conn *a, *b;
		int fd[2];

		socketpair(AF_UNIX, SOCK_STREAM, 0, fd);
		a = tlsrec_conn_new(client, fd[0], "server.example");
		b = tlsrec_conn_new(server, fd[1], NULL);
		if (run(a, b) && same_keys(a, b))
			atomic_fetch_add(&good, 1);
		else
			tap_note("%s; %s", tlsrec_conn_error(a), tlsrec_conn_error(b));
		atomic_fetch_add(&resumed, tlsrec_conn_info(a)->resumed);
		atomic_fetch_add(&staples, tlsrec_conn_info(a)->ocsp == TLSREC_OCSP_GOOD);
		take_tickets(a);
		tlsrec_conn_free(a);
		tlsrec_conn_free(b);
		close(fd[0]);
		close(fd[1]);
	}
	atomic_fetch_sub(&running, 1);
	return NULL;
}

int main(void)
{
	struct pki_cert *root, *cert;
	pthread_t threads[THREADS];

	pki_begin();
	root = pki_make(&(struct pki_spec){ .name = "root", .ca = true });
	cert = pki_make(&(struct pki_spec){ .name = "cert", .issuer = root,
					    .san = "DNS:server.example" });
	staple = pki_ocsp("cert.der", cert, root, root, V_OCSP_CERTSTATUS_GOOD, 5);
	client = tlsrec_client_new();
	server = tlsrec_server_new();
	tlsrec_ctx_set_ulp(client, NULL);
	tlsrec_ctx_set_ulp(server, NULL);
	tlsrec_ctx_set_roots(client, root->file, NULL);
	tlsrec_ctx_add_cert(server, cert->file, cert->key_file);
	tlsrec_ctx_set_staple(server, 0, staple);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, work, NULL);
	while (running > 0 && !tlsrec_ctx_set_staple(server, 0, staple))
		usleep(1000);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	tap_ok(good == THREADS * ROUNDS, "%d handshakes in %d threads", good, THREADS);
	/* A session brings its staple along. */
	tap_ok(resumed > 0 && staples == good, "%d resumed, %d with staple", resumed, staples);
	tlsrec_ctx_free(client);
	tlsrec_ctx_free(server);
	pki_end();
	return tap_done();
}
