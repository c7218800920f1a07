/* SPDX-License-Identifier: MIT */
/* Reading what a peer sent, and showing bytes as they are. */
#ifndef TLSREC_BYTES_H
#define TLSREC_BYTES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A reader that, once it has run short, stays failed and yields zeros. */
struct cur {
	const uint8_t *p;
	size_t n;
	bool bad;
};

const uint8_t *cur_take(struct cur *c, size_t n);
uint32_t cur_uint(struct cur *c, size_t width);

/* A vector with a length of `width` bytes in front. */
struct cur cur_vec(struct cur *c, size_t width);

bool cur_more(const struct cur *c);

/* The rest as hexadecimal. */
json_t *cur_rest(struct cur *c);

/* At the end of what o shows: "malformed" if there was too little or too much. */
void cur_finish(json_t *o, const struct cur *c);

/* Bytes as lower-case hexadecimal, as a JSON string. */
json_t *json_hex(const uint8_t *p, size_t n);

/* Text from outside, as tlsrec_clean() makes it: it is never missing for what is in it. */
json_t *json_text(const void *p, size_t n);

#endif
