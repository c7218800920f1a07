// SPDX-License-Identifier: MIT
#include "bytes.h"

#include <stdlib.h>
#include <tlsrec.h>

const uint8_t *cur_take(struct cur *c, size_t n)
{
	const uint8_t *p = c->p;

	if (c->bad || n > c->n) {
		c->bad = true;
		return NULL;
	}
	c->p += n;
	c->n -= n;
	return p;
}

uint32_t cur_uint(struct cur *c, size_t width)
{
	const uint8_t *p = cur_take(c, width);
	uint32_t v = 0;

	if (!p)
		return 0;
	while (width--)
		v = v << 8 | *p++;
	return v;
}

struct cur cur_vec(struct cur *c, size_t width)
{
	size_t n = cur_uint(c, width);
	const uint8_t *p = cur_take(c, n);

	return (struct cur){ .p = p, .n = p ? n : 0, .bad = !p };
}

bool cur_more(const struct cur *c)
{
	return !c->bad && c->n;
}

void cur_finish(json_t *o, const struct cur *c)
{
	if (c->bad)
		json_object_set_new(o, "malformed", json_string("the message ends too early"));
	else if (c->n)
		json_object_set_new(o, "malformed", json_sprintf("%zu bytes too many", c->n));
}

json_t *json_hex(const uint8_t *p, size_t n)
{
	static const char digit[] = "0123456789abcdef";
	json_t *s;
	char *hex = malloc(2 * n + 1);

	if (!hex)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		hex[2 * i] = digit[p[i] >> 4];
		hex[2 * i + 1] = digit[p[i] & 15];
	}
	s = json_stringn(hex, 2 * n);
	free(hex);
	return s;
}

json_t *json_text(const void *p, size_t n)
{
	size_t size = tlsrec_clean(NULL, 0, p, n, "") + 1;
	char *t = malloc(size);
	json_t *s;

	if (!t)
		return NULL;
	tlsrec_clean(t, size, p, n, "");
	s = json_string(t);
	free(t);
	return s;
}

json_t *cur_rest(struct cur *c)
{
	size_t n = c->n;
	const uint8_t *p = cur_take(c, n);

	return json_hex(p, p ? n : 0);
}
