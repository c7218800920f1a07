/* SPDX-License-Identifier: MIT */
/*
 * Who has a place at the server, what he does with it and since when. Places are few. Who gets an answer keeps
 * his; of those that have only promised something (to finish a handshake, to send a request, to read the last bytes), who
 * has done so for longest goes first when others need the place. An address has a limit of its own.
 */
#ifndef TLSREC_PLACES_H
#define TLSREC_PLACES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum place_state {
	PLACE_ANSWER,		/* is being sent what it asked for */
	PLACE_HANDSHAKE,
	PLACE_KEPT,		/* nothing of a request was sent yet */
	PLACE_REQUEST,		/* a part of one was */
	PLACE_LEAVING,		/* has room neither for the last bytes nor for a goodbye */
};

enum place_told {
	PLACE_WELCOME,
	PLACE_NEEDED,		/* others need the place */
	PLACE_LATE,		/* the request was not whole in time */
};

struct places_address;

struct place {
	struct place *prev, *next;
	struct places_address *address;
	uint64_t since_ms;
	enum place_state state;
	int fd;			/* of one that another thread closes, else -1 */
	/* When this is set, whoever has the connection is to end it. */
	_Atomic(enum place_told) told;
};

/* limit places, and for one IPv4 address or IPv6 /64 per_address of them. */
void places_init(long limit, long per_address);

bool places_full(void);

enum place_taken { PLACE_TAKEN, PLACE_REFUSED, PLACE_NO_MEMORY };

/*
 * A place for a new connection from this address; its state is PLACE_HANDSHAKE. If the address has as many as it may, its
 * own that has waited for longest is sent away as places_make_room() does. The limit of all is the caller's to look at.
 */
enum place_taken place_take(struct place *p, const struct sockaddr *sa, struct place **loser);

/*
 * What it does from now on. True if it was told to go and stays after all, for an answer to what had been read by then: who
 * was promised its place needs another.
 */
bool place_set(struct place *p, enum place_state state);

/* From now on another thread has the connection, and may call all of these for it. */
void place_hand_over(struct place *p, int fd);

/* Before that closes the descriptor. */
void place_take_back(struct place *p);

void place_leave(struct place *p);

/*
 * Sends away who has waited for longest. If another thread has the connection, he is told, and the socket
 * becomes readable: the place is free when that thread is done with it. Otherwise he is returned, for the caller to
 * end. False if there is nobody to send away.
 */
bool places_make_room(struct place **loser);

/*
 * Tells those whose request has been under way for more than ms. Who was told something more than told_ms ago and is still
 * here can write no more, either.
 */
void places_tell_late(uint64_t ms, uint64_t told_ms);

#endif
