// SPDX-License-Identifier: MIT
#include "render.h"

#include <stdio.h>
#include <string.h>
#include <tlsrec.h>

enum {
	INDENT = 16,	/* of the details, below the name of the message */
	WIDTH = 100,
	HEX_SHOWN = 96,	/* hexadecimal digits of long values */
};

/* ---- what things are for ---- */

static const struct {
	const char *event, *version, *text;
} about[] = {
	{ "ClientHello", NULL,
	  "The client speaks first: the versions, cipher suites and algorithms it can use, and for "
	  "TLS 1.3 its half of the key exchange already. Anybody on the way can read this message." },
	{ "HelloRetryRequest", NULL,
	  "The server cannot use the key exchange group the client guessed and names another: the "
	  "client says hello again." },
	{ "ServerHello", "TLS 1.3",
	  "The server chooses version and suite and adds its half of the key exchange. Both ends can "
	  "compute a shared secret now: everything after this message is encrypted." },
	{ "ServerHello", "TLS 1.2",
	  "The server chooses version and suite. The two random values will go into the keys." },
	{ "EncryptedExtensions", NULL,
	  "The rest of the server's answers, the first message nobody else can read." },
	{ "CertificateRequest", NULL, "The server wants to know who the client is." },
	{ "Certificate", NULL,
	  "Who is talking: a certificate for the name, then those that vouch for it up to a root." },
	{ "CertificateStatus", NULL,
	  "A recent statement of the issuer, stapled by the server: is the certificate revoked?" },
	{ "CertificateVerify", NULL,
	  "A signature over everything said so far: whoever sent the certificate has its private key." },
	{ "ServerKeyExchange", NULL,
	  "The server's half of the key exchange, signed with the key of the certificate." },
	{ "ServerHelloDone", NULL, "The server has said all it has to say; the client's turn." },
	{ "ClientKeyExchange", NULL,
	  "The client's half of the key exchange. Both ends can compute the master secret now." },
	{ "ChangeCipherSpec", "TLS 1.2",
	  "Every record after this one, in this direction, is encrypted with the new keys." },
	{ "ChangeCipherSpec", "TLS 1.3",
	  "Means nothing in TLS 1.3: it makes the connection look like TLS 1.2 to boxes on the way." },
	{ "Finished", NULL,
	  "A checksum, made with the new secrets, over the whole handshake: nobody has changed a word." },
	{ "NewSessionTicket", NULL,
	  "For the next time: with this ticket a connection can skip the certificates." },
	{ "CLIENT_HANDSHAKE_TRAFFIC_SECRET", NULL,
	  "From the shared secret and the hellos: protects the rest of the client's handshake." },
	{ "SERVER_HANDSHAKE_TRAFFIC_SECRET", NULL,
	  "From the shared secret and the hellos: protects the rest of the server's handshake." },
	{ "CLIENT_TRAFFIC_SECRET_0", NULL,
	  "From the master secret and everything up to the server's Finished: the key and the IV for "
	  "what the client sends come from it." },
	{ "SERVER_TRAFFIC_SECRET_0", NULL,
	  "From the master secret and everything up to the server's Finished: the key and the IV for "
	  "what the server sends come from it." },
	{ "EXPORTER_SECRET", NULL, "For programs that want a secret bound to this connection." },
	{ "CLIENT_EARLY_TRAFFIC_SECRET", NULL, "Protects data sent before the server has answered." },
	{ "EARLY_EXPORTER_SECRET", NULL, "Like the exporter secret, for early data." },
	{ "CLIENT_RANDOM", NULL,
	  "The master secret, from the key exchange and both randoms. The keys of both directions are "
	  "cut from a block that is derived from it." },
	{ "TcpConnected", NULL, "The three-way handshake of TCP is over: bytes can flow." },
	{ "KeysInstalled", NULL,
	  "From here on the kernel makes and opens the records of this direction; the program reads "
	  "and writes plain bytes." },
	{ NULL, NULL, NULL },
};

/* Events that are not messages of the protocol have a title in words. */
static const char *title_of(const char *event)
{
	static const char *const titles[][2] = {
		{ "TcpConnected", "TCP connection open" },
		{ "Secret", "key schedule:" },
		{ "CertificateChecked", "certificate checked" },
		{ "OcspChecked", "OCSP response checked" },
		{ "KeysInstalled", "keys installed in the kernel" },
		{ "KeysReady", "keys ready, not installed" },
		{ "Done", "handshake done" },
		{ "Failed", "handshake failed" },
	};

	for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
		if (!strcmp(event, titles[i][0]))
			return titles[i][1];
	return event;
}

static const char *what_for(const char *event, const char *version)
{
	for (int i = 0; about[i].event; i++)
		if (!strcmp(about[i].event, event) &&
		    (!about[i].version || (version && !strcmp(about[i].version, version))))
			return about[i].text;
	return NULL;
}

/* ---- lines ---- */

/* Words, wrapped; every line after the first starts at column `indent`, where the first is already. */
static void put_words(const char *text, int indent)
{
	int column = indent;

	while (*text) {
		int n = (int)strcspn(text, " ");

		if (column > indent && column + 1 + n > WIDTH) {
			printf("\n%*s", indent, "");
			column = indent;
		}
		if (column > indent) {
			putchar(' ');
			column++;
		}
		fwrite(text, 1, (size_t)n, stdout);
		column += n;
		text += n + (text[n] == ' ');
	}
	putchar('\n');
}

static bool is_hex(const char *s)
{
	return s[strspn(s, "0123456789abcdef")] == '\0';
}

/* A scalar as text; long hexadecimal is cut and its length given instead. */
static void format_scalar(const json_t *v, char *buf, size_t size)
{
	const char *s = json_string_value(v);
	size_t n = json_string_length(v);

	if (s && n > HEX_SHOWN && is_hex(s))
		snprintf(buf, size, "%.*s... (%zu bytes)", 40, s, n / 2);
	else if (s)
		tlsrec_clean(buf, size, n ? s : "(empty)", n ? n : strlen("(empty)"), "");
	else if (json_is_integer(v))
		snprintf(buf, size, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else
		snprintf(buf, size, "%s", json_is_false(v) ? "no" : "yes");
}

static void put_name(const char *name, int indent, int width)
{
	char text[64];

	snprintf(text, sizeof(text), "%s", name);
	for (char *p = text; *p; p++)
		if (*p == '_')
			*p = ' ';
	printf("%*s%-*s ", indent, "", width, text);
}

static bool is_flat(const json_t *v)
{
	return !json_is_object(v) && !json_is_array(v);
}

/* An array of scalars as words; commas between them. */
static void put_list(const json_t *list, int indent)
{
	char text[8192] = "", item[256];
	const json_t *v;
	size_t i, used = 0;

	json_array_foreach(list, i, v) {
		format_scalar(v, item, sizeof(item));
		/* What does not fit whole is left out. */
		if (used + strlen(item) + 3 > sizeof(text))
			break;
		used += (size_t)sprintf(text + used, "%s%s", i ? ", " : "", item);
	}
	put_words(*text ? text : "(none)", indent);
}

/* An object of scalars on one line: "group x25519, key 3f0a..." */
static void put_inline(const json_t *o, int indent)
{
	char text[2048] = "", item[256];
	const char *name;
	json_t *v;
	size_t used = 0;

	json_object_foreach((json_t *)o, name, v) {
		format_scalar(v, item, sizeof(item));
		if (used + strlen(name) + strlen(item) + 4 > sizeof(text))
			break;
		used += (size_t)sprintf(text + used, "%s%s %s", used ? ", " : "", name, item);
	}
	for (char *p = text; *p; p++)
		if (*p == '_')
			*p = ' ';
	put_words(text, indent);
}

static void put_value(const json_t *v, int indent);

/* Extensions: their names as the RFCs spell them, then the value. */
static void put_extensions(const json_t *list, int indent)
{
	const json_t *e, *value;
	const char *name, *malformed;
	size_t i;

	putchar('\n');
	json_array_foreach(list, i, e) {
		name = json_string_value(json_object_get(e, "name"));
		malformed = json_string_value(json_object_get(e, "malformed"));
		value = json_object_get(e, "value");
		if (!strcmp(name, "application_layer_protocol_negotiation"))
			name = "alpn";
		printf("%*s%-28s ", indent + 2, "", name);
		if (value)
			put_value(value, indent + 2 + 29);
		else
			putchar('\n');
		if (malformed)
			printf("%*smalformed: %s\n", indent + 4, "", malformed);
	}
}

static void put_members(const json_t *o, int indent);

static void put_array(const json_t *list, int indent)
{
	const json_t *v, *first = json_array_get(list, 0);
	bool nested = false, inline_objects = json_is_object(first);
	const char *name;
	json_t *member;
	size_t i;

	json_array_foreach(list, i, v)
		nested |= !is_flat(v);
	if (!nested) {
		put_list(list, indent);
		return;
	}
	json_array_foreach(list, i, v)
		json_object_foreach((json_t *)v, name, member)
			if (!is_flat(member) || json_object_size(v) > 3)
				inline_objects = false;
	if (!inline_objects)
		putchar('\n');
	json_array_foreach(list, i, v) {
		if (inline_objects) {
			if (i)
				printf("%*s", indent, "");
			put_inline(v, indent);
		} else {
			printf("%*s[%zu]\n", INDENT + 2, "", i);
			put_members(v, INDENT + 6);
		}
	}
}

static void put_value(const json_t *v, int indent)
{
	char text[1024];

	if (json_is_array(v)) {
		put_array(v, indent);
	} else if (json_is_object(v)) {
		put_inline(v, indent);
	} else {
		format_scalar(v, text, sizeof(text));
		put_words(text, indent);
	}
}

static bool is_heading(const char *name)
{
	static const char *const headings[] = { "time_ms", "event", "direction", "bytes", "version_now",
						"message", "label" };

	for (size_t i = 0; i < sizeof(headings) / sizeof(headings[0]); i++)
		if (!strcmp(name, headings[i]))
			return true;
	return false;
}

static void put_members(const json_t *o, int indent)
{
	enum { NAME_WIDTH = 20 };
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)o, name, v) {
		if (is_heading(name))
			continue;
		put_name(name, indent, NAME_WIDTH);
		if (!strcmp(name, "extensions") && json_is_array(v) && json_array_size(v))
			put_extensions(v, indent);
		else
			put_value(v, indent + NAME_WIDTH + 1);
	}
}

/* ---- events ---- */

static const char *arrow(const json_t *event)
{
	const char *direction = json_string_value(json_object_get(event, "direction"));

	if (!direction)
		return "  ";
	return *direction == '>' ? "=>" : "<=";
}

void render_event(const json_t *event, const struct render_options *o)
{
	const char *name = json_string_value(json_object_get(event, "event"));
	const char *version = json_string_value(json_object_get(event, "version_now"));
	const char *label = json_string_value(json_object_get(event, "label"));
	const json_t *bytes = json_object_get(event, "bytes");
	const char *text;

	/* Records are a thin line each: the envelopes of the messages below them. */
	if (!strcmp(name, "Record")) {
		printf("%9.3f ms %s %srecord: %s%s\n",
		       json_number_value(json_object_get(event, "time_ms")), arrow(event),
		       o->color ? "\033[2m" : "",
		       json_string_value(json_object_get(event, "description")),
		       o->color ? "\033[0m" : "");
		return;
	}
	printf("%9.3f ms %s %s%s%s%s%s", json_number_value(json_object_get(event, "time_ms")),
	       arrow(event), o->color ? "\033[1m" : "", title_of(name), label ? " " : "", label ? label : "",
	       o->color ? "\033[0m" : "");
	if (bytes)
		printf(" (%" JSON_INTEGER_FORMAT " bytes)", json_integer_value(bytes));
	putchar('\n');
	text = o->brief ? NULL : what_for(label ? label : name, version);
	if (text) {
		printf("%*s%s", INDENT, "", o->color ? "\033[3m" : "");
		put_words(text, INDENT);
		fputs(o->color ? "\033[0m" : "", stdout);
	}
	put_members(event, INDENT);
	fflush(stdout);
}
