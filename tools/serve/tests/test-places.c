// SPDX-License-Identifier: MIT
/* U6: who keeps his place at the server and who has to go, and what one address may have. */
#include "common/tests/tap.h"
#include "serve/places.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LIMIT = 6, PER_ADDRESS = 3 };

static struct place *loser;

static enum place_taken take(struct place *p, const char *address)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in = { .sin_family = AF_INET };

	memset(p, 0, sizeof(*p));
	if (inet_pton(AF_INET, address, &in.sin_addr) == 1)
		return place_take(p, (struct sockaddr *)&in, &loser);
	inet_pton(AF_INET6, address, &in6.sin6_addr);
	return place_take(p, (struct sockaddr *)&in6, &loser);
}

static bool taken(struct place *p, const char *address)
{
	return take(p, address) == PLACE_TAKEN && !loser;
}

static void leave_all(struct place *p, int n)
{
	for (int i = 0; i < n; i++)
		place_leave(&p[i]);
}

static void pass_ms(long ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

static void test_limit(void)
{
	static const char *const addresses[LIMIT] = { "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "::1", "::2" };
	struct place p[LIMIT];
	bool good = true;

	for (int i = 0; i < LIMIT; i++) {
		good &= !places_full();
		good &= taken(&p[i], addresses[i]);
	}
	ok(good && places_full(), "there are as many places as there are");
	place_set(&p[0], PLACE_ANSWER);
	place_set(&p[1], PLACE_KEPT);
	ok(places_make_room(&loser) && loser == &p[2], "who has waited for longest goes first, whatever for");
	place_leave(&p[2]);
	ok(!places_full() && taken(&p[2], "192.0.2.9"), "his place is free");
	for (int i = 0; i < LIMIT; i++)
		place_set(&p[i], PLACE_ANSWER);
	ok(!places_make_room(&loser) && !loser, "who gets an answer stays");
	leave_all(p, LIMIT);
}

static void test_addresses(void)
{
	static const char *const same[][2] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "192.0.2.1", "::ffff:192.0.2.1" },
		{ "2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff" },
	};
	static const char *const others[][2] = {
		{ "192.0.2.1", "192.0.2.2" },
		{ "::ffff:192.0.2.1", "::ffff:192.0.2.2" },
		{ "2001:db8:0:1::1", "2001:db8:0:2::1" },
		{ "0.0.0.0", "::" },
	};
	struct place p[PER_ADDRESS + 1];

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		for (int j = 0; j < PER_ADDRESS; j++) {
			taken(&p[j], same[i][0]);
			place_set(&p[j], PLACE_ANSWER);
		}
		ok(take(&p[PER_ADDRESS], same[i][1]) == PLACE_REFUSED, "%s has no more places for %s", same[i][0],
		   same[i][1]);
		place_set(&p[1], PLACE_LEAVING);
		ok(take(&p[PER_ADDRESS], same[i][1]) == PLACE_TAKEN && loser == &p[1],
		   "but one of its own that waits makes room");
		leave_all(p, PER_ADDRESS + 1);
		ok(taken(p, same[i][1]), "and those that have left do not count");
		place_leave(p);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		for (int j = 0; j < PER_ADDRESS; j++)
			taken(&p[j], others[i][0]);
		ok(taken(&p[PER_ADDRESS], others[i][1]), "%s and %s are not the same", others[i][0], others[i][1]);
		leave_all(p, PER_ADDRESS + 1);
	}
}

static bool at_end(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char c;

	return poll(&pfd, 1, 0) == 1 && !recv(fd, &c, 1, MSG_DONTWAIT);
}

static bool can_write(int fd)
{
	return send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

static void test_other_thread(void)
{
	struct place p[PER_ADDRESS + 1];
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
		return;
	taken(&p[0], "::1");
	place_hand_over(&p[0], fds[0]);
	ok(places_make_room(&loser) && !loser && p[0].told == PLACE_NEEDED && at_end(fds[0]) && can_write(fds[0]),
	   "another thread is told, reads the end and can say goodbye");
	ok(!places_make_room(&loser), "once");
	for (int i = 1; i <= PER_ADDRESS; i++)
		taken(&p[i], "::1");
	ok(!loser, "and no longer counts for its address");
	place_set(&p[0], PLACE_KEPT);
	ok(places_make_room(&loser) && loser == &p[1], "what it still does changes nothing");
	place_take_back(&p[0]);
	leave_all(p, PER_ADDRESS + 1);
	close(fds[0]);
	close(fds[1]);
}

static void test_late(void)
{
	struct place p[4];
	int fds[8];

	for (int i = 0; i < 4; i++) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds + 2 * i))
			return;
		taken(&p[i], i % 2 ? "::1" : "192.0.2.1");
	}
	for (int i = 1; i < 4; i++)
		place_hand_over(&p[i], fds[2 * i]);
	place_set(&p[2], PLACE_REQUEST);
	pass_ms(20);
	place_set(&p[3], PLACE_REQUEST);
	places_tell_late(1000000, 1000000);
	ok(p[2].told == PLACE_WELCOME, "a request has its time");
	places_tell_late(10, 1000000);
	ok(p[2].told == PLACE_LATE && at_end(fds[4]), "but no more than that, whatever comes meanwhile");
	ok(p[0].told == PLACE_WELCOME && p[1].told == PLACE_WELCOME && p[3].told == PLACE_WELCOME,
	   "which is not that of handshakes, of idle connections and of the next one");
	leave_all(p, 4);
	for (int i = 0; i < 8; i++)
		close(fds[i]);
}

static void test_told(void)
{
	struct place p[PER_ADDRESS + 2];
	int fds[4];

	for (int i = 0; i < 2; i++) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds + 2 * i))
			return;
		taken(&p[i], "::1");
		place_hand_over(&p[i], fds[2 * i]);
		places_make_room(&loser);
	}
	pass_ms(20);
	places_tell_late(1000000, 1000000);
	ok(can_write(fds[0]) && can_write(fds[2]), "who was told has time to go");
	ok(place_set(&p[1], PLACE_ANSWER) && p[1].told == PLACE_WELCOME && !place_set(&p[0], PLACE_REQUEST),
	   "with an answer to what had been read he stays, and whoever waits for the place learns of it");
	places_tell_late(1000000, 10);
	ok(!can_write(fds[0]), "who does not go can write no more");
	ok(can_write(fds[2]), "but who gets an answer can");
	for (int i = 2; i <= PER_ADDRESS; i++) {
		taken(&p[i], "::1");
		place_set(&p[i], PLACE_ANSWER);
	}
	ok(take(&p[PER_ADDRESS + 1], "::1") == PLACE_REFUSED, "and counts for his address");
	leave_all(p, PER_ADDRESS + 1);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
}

int main(void)
{
	places_init(LIMIT, PER_ADDRESS);
	test_limit();
	test_addresses();
	test_other_thread();
	test_late();
	test_told();
	return done();
}
