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
	/* Heads of lists, the longest first: all that can be sent away; those that were told to go and are still here. */
	struct place waiting, told;
	void *addresses;	/* tree of struct places_address */
} places = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.waiting = { .prev = &places.waiting, .next = &places.waiting },
	.told = { .prev = &places.told, .next = &places.told },
};

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

static void move_to(struct place *head, struct place *p)
{
	unlink_place(p);
	p->since_ms = now_ms();
	p->prev = head->prev;
	p->next = head;
	p->prev->next = p->next->prev = p;
}

static bool set_state(struct place *p, enum place_state state)
{
	bool stays = p->told != PLACE_WELCOME && state == PLACE_ANSWER;

	p->state = state;
	/* The request had been read when it was told: it is answered, and that was the last one. */
	if (stays) {
		p->told = PLACE_WELCOME;
		p->address->places++;
	}
	if (state == PLACE_ANSWER)
		unlink_place(p);
	else if (p->told == PLACE_WELCOME)
		move_to(&places.waiting, p);
	return stays;
}

/* Reading from the socket ends, which wakes whoever polls it; writing does not, so there can be a goodbye. */
static void tell(struct place *p, enum place_told what)
{
	p->told = what;
	p->address->places--;
	move_to(&places.told, p);
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

/* Who waits for room for something of the server's own, such as 100 Continue, does not see that there is no more to read. */
static void end_told(uint64_t now, uint64_t ms)
{
	struct place *p;

	while ((p = places.told.next) != &places.told && now - p->since_ms > ms) {
		unlink_place(p);
		shutdown(p->fd, SHUT_RDWR);
	}
}

void places_tell_late(uint64_t ms, uint64_t told_ms)
{
	uint64_t now = now_ms();
	struct place *p, *next;

	pthread_mutex_lock(&places.lock);
	for (p = places.waiting.next; p != &places.waiting && now - p->since_ms > ms; p = next) {
		next = p->next;
		if (p->state == PLACE_REQUEST && p->fd >= 0)
			tell(p, PLACE_LATE);
	}
	end_told(now, told_ms);
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

bool place_set(struct place *p, enum place_state state)
{
	bool stays;

	pthread_mutex_lock(&places.lock);
	stays = set_state(p, state);
	pthread_mutex_unlock(&places.lock);
	return stays;
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
