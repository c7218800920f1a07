// SPDX-License-Identifier: MIT
#include "places.h"

#include <netinet/in.h>
#include <pthread.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* IPv4 as mapped addresses; of others the half that names the network. */
struct places_address {
	struct in6_addr key;
	long users;	/* that have a place */
	long places;	/* of them, those that were not told to go */
};

static struct {
	pthread_mutex_t lock;	/* for all of this, and for every struct place */
	long limit, per_address, taken;
	struct place waiting;	/* head of the list of all that can be sent away, the longest waiting first */
	void *addresses;	/* tree of struct places_address */
} places = { .lock = PTHREAD_MUTEX_INITIALIZER, .waiting = { .prev = &places.waiting, .next = &places.waiting } };

void places_init(long limit, long per_address)
{
	places.limit = limit;
	places.per_address = per_address;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

bool places_full(void)
{
	bool full;

	pthread_mutex_lock(&places.lock);
	full = places.taken >= places.limit;
	pthread_mutex_unlock(&places.lock);
	return full;
}

/* ---- addresses ---- */

static void make_key(const struct sockaddr *sa, struct in6_addr *key)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
	const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

	memset(key, 0, sizeof(*key));
	if (sa->sa_family == AF_INET) {
		memset(key->s6_addr + 10, 0xff, 2);
		memcpy(key->s6_addr + 12, &in->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		*key = in6->sin6_addr;
	} else if (sa->sa_family == AF_INET6) {
		memcpy(key, &in6->sin6_addr, 8);
	}
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct in6_addr));
}

static struct places_address *find_address(const struct sockaddr *sa)
{
	struct places_address *address = calloc(1, sizeof(*address)), **found;

	if (!address)
		return NULL;
	make_key(sa, &address->key);
	found = tsearch(address, &places.addresses, compare);
	if (!found || *found != address)
		free(address);
	return found ? *found : NULL;
}

static void put_address(struct places_address *address)
{
	if (--address->users)
		return;
	tdelete(address, &places.addresses, compare);
	free(address);
}

/* ---- the list ---- */

static void unlink_place(struct place *p)
{
	if (!p->next)
		return;
	p->prev->next = p->next;
	p->next->prev = p->prev;
	p->prev = p->next = NULL;
}

static void set_state(struct place *p, enum place_state state)
{
	unlink_place(p);
	p->state = state;
	p->since_ms = now_ms();
	if (state == PLACE_ANSWER || p->told != PLACE_WELCOME)
		return;
	p->prev = places.waiting.prev;
	p->next = &places.waiting;
	p->prev->next = p->next->prev = p;
}

/* Reading from the socket ends, which wakes whoever polls it; writing does not, so there can be a goodbye. */
static void tell(struct place *p, enum place_told what)
{
	p->told = what;
	p->address->places--;
	unlink_place(p);
	shutdown(p->fd, SHUT_RD);
}

/* Of one address, or of all. */
static bool send_away(const struct places_address *address, struct place **loser)
{
	struct place *p = places.waiting.next;

	*loser = NULL;
	while (p != &places.waiting && address && p->address != address)
		p = p->next;
	if (p == &places.waiting)
		return false;
	if (p->fd >= 0)
		tell(p, PLACE_NEEDED);
	else
		*loser = p;
	return true;
}

bool places_make_room(struct place **loser)
{
	bool made;

	pthread_mutex_lock(&places.lock);
	made = send_away(NULL, loser);
	pthread_mutex_unlock(&places.lock);
	return made;
}

void places_tell_late(uint64_t ms)
{
	uint64_t now = now_ms();
	struct place *p, *next;

	pthread_mutex_lock(&places.lock);
	for (p = places.waiting.next; p != &places.waiting && now - p->since_ms > ms; p = next) {
		next = p->next;
		if (p->state == PLACE_REQUEST && p->fd >= 0)
			tell(p, PLACE_LATE);
	}
	pthread_mutex_unlock(&places.lock);
}

/* ---- the life of a place ---- */

static enum place_taken take(struct place *p, const struct sockaddr *sa, struct place **loser)
{
	struct places_address *address = find_address(sa);

	if (!address)
		return PLACE_NO_MEMORY;
	if (address->places >= places.per_address && !send_away(address, loser))
		return PLACE_REFUSED;
	p->address = address;
	p->fd = -1;
	p->told = PLACE_WELCOME;
	address->users++;
	address->places++;
	places.taken++;
	set_state(p, PLACE_HANDSHAKE);
	return PLACE_TAKEN;
}

enum place_taken place_take(struct place *p, const struct sockaddr *sa, struct place **loser)
{
	enum place_taken taken;

	*loser = NULL;
	pthread_mutex_lock(&places.lock);
	taken = take(p, sa, loser);
	pthread_mutex_unlock(&places.lock);
	return taken;
}

void place_set(struct place *p, enum place_state state)
{
	pthread_mutex_lock(&places.lock);
	set_state(p, state);
	pthread_mutex_unlock(&places.lock);
}

void place_hand_over(struct place *p, int fd)
{
	pthread_mutex_lock(&places.lock);
	p->fd = fd;
	set_state(p, PLACE_KEPT);
	pthread_mutex_unlock(&places.lock);
}

void place_take_back(struct place *p)
{
	pthread_mutex_lock(&places.lock);
	p->fd = -1;
	unlink_place(p);
	pthread_mutex_unlock(&places.lock);
}

void place_leave(struct place *p)
{
	pthread_mutex_lock(&places.lock);
	unlink_place(p);
	if (p->told == PLACE_WELCOME)
		p->address->places--;
	put_address(p->address);
	places.taken--;
	pthread_mutex_unlock(&places.lock);
}
