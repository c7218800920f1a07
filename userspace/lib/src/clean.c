// SPDX-License-Identifier: MIT
/* What strangers wrote, made fit to be shown. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "tlsrec.h"

/*
 * Characters that are not seen, or that move and reorder what is: general category Cf as far as it has no
 * glyph, the property Default_Ignorable_Code_Point, separators of lines, noncharacters. In order.
 */
static const struct {
	uint32_t first, last;
} unseen[] = {
	{ 0x0000, 0x001f },	/* C0 */
	{ 0x007f, 0x009f },	/* DEL, C1 */
	{ 0x00ad, 0x00ad },
	{ 0x034f, 0x034f },
	{ 0x061c, 0x061c },
	{ 0x115f, 0x1160 },
	{ 0x17b4, 0x17b5 },
	{ 0x180b, 0x180f },
	{ 0x200b, 0x200f },	/* of no width, marks of direction */
	{ 0x2028, 0x202e },	/* line, paragraph, embeddings, overrides */
	{ 0x2060, 0x206f },	/* isolates */
	{ 0x3164, 0x3164 },
	{ 0xfdd0, 0xfdef },
	{ 0xfe00, 0xfe0f },
	{ 0xfeff, 0xfeff },	/* byte order mark */
	{ 0xffa0, 0xffa0 },
	{ 0xfff0, 0xfffb },
	{ 0x13430, 0x1343f },
	{ 0x1bca0, 0x1bca3 },
	{ 0x1d173, 0x1d17a },
	{ 0xe0000, 0xe0fff },	/* tags */
};

static bool is_unseen(uint32_t c)
{
	if ((c & 0xfffe) == 0xfffe)	/* the noncharacters of each plane */
		return true;
	for (size_t i = 0; i < sizeof(unseen) / sizeof(unseen[0]); i++)
		if (c <= unseen[i].last)
			return c >= unseen[i].first;
	return false;
}

/* RFC 3629: the length of the character at p, of which n bytes are there, or 0 if it is none. */
static size_t decode(const uint8_t *p, size_t n, uint32_t *c)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = *p < 0x80 ? 1 : *p < 0xc0 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf8 ? 4 : 0;

	if (!len || len > n)
		return 0;
	*c = len == 1 ? *p : *p & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*c = *c << 6 | (p[i] & 0x3f);
	}
	if (*c < least[len] || *c > 0x10ffff || (*c >= 0xd800 && *c <= 0xdfff))
		return 0;
	return len;
}

size_t tlsrec_clean(char *buf, size_t size, const void *data, size_t len, const char *also)
{
	const uint8_t *p = data;
	size_t whole = 0, written = 0, in, out;
	char escape[16];
	const char *unit;
	uint32_t c;

	for (; len; p += in, len -= in) {
		in = decode(p, len, &c);
		unit = escape;
		if (!in)
			out = (size_t)snprintf(escape, sizeof(escape), "\\x%02x", *p);
		else if (c < 0x80 && (is_unseen(c) || strchr(also, (int)c)))
			out = (size_t)snprintf(escape, sizeof(escape), "\\x%02x", c);
		else if (is_unseen(c))
			out = (size_t)snprintf(escape, sizeof(escape), c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
		else
			unit = (const char *)p, out = in;
		if (!in)
			in = 1;
		/* What does not fit whole ends the text. */
		if (written == whole && written + out < size) {
			memcpy(buf + written, unit, out);
			written += out;
		}
		whole += out;
	}
	if (size)
		buf[written] = '\0';
	return whole;
}
