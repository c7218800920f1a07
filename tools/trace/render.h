/* SPDX-License-Identifier: MIT */
/* The events of `tlsrec trace` for people: what happened, what it is for, what was in it. */
#ifndef TLSREC_RENDER_H
#define TLSREC_RENDER_H

#include <jansson.h>
#include <stdbool.h>

struct render_options {
	bool color;
	bool brief;	/* no explanations */
};

/*
 * Print one event. It has "time_ms" and "event"; most have "direction" (">" from us, "<" from the peer).
 * Every other member is printed by its name.
 */
void render_event(const json_t *event, const struct render_options *o);

#endif
