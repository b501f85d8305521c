/* Text as it is put together for people and for machines: a growing string, and what
 * bytes, numbers and times look like in a table and in JSON. */
#ifndef CACHIFY_TOOLS_TEXT_H
#define CACHIFY_TOOLS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Begins as {0}.  Once memory is short, `failed` stays set and nothing is appended. */
struct text {
    char *bytes; /* not NUL-terminated */
    size_t len;
    size_t room;
    bool failed;
};

void text_free(struct text *t);

/* False: memory is short. */
bool text_make_room(struct text *t, size_t more);

static inline void text_put(struct text *t, const void *bytes, size_t len)
{
    if (len == 0 || (t->room - t->len < len && !text_make_room(t, len)))
        return;
    memcpy(t->bytes + t->len, bytes, len);
    t->len += len;
}

static inline void text_byte(struct text *t, char byte)
{
    if (t->len < t->room || text_make_room(t, 1))
        t->bytes[t->len++] = byte;
}

void text_string(struct text *t, const char *string);
void text_fill(struct text *t, char c, size_t count);
void text_number(struct text *t, int64_t number);
void text_unsigned(struct text *t, uint64_t number);

/* Milliseconds for people: 1.234s, 5m02s, 3h07m, 2d04h; "never" for INT64_MAX. */
void text_duration(struct text *t, int64_t ms);

/* Bytes for a terminal: what is not UTF-8, controls it, or would turn its writing direction
 * appears as \xNN, and so does a backslash before an x. */
void text_escaped(struct text *t, const char *bytes, size_t len);

/* Whether text_escaped, and JSON, leave all of them as they are, each a column wide. */
bool text_is_plain(const char *bytes, size_t len);

/* Every blank from there on becomes \x20. */
void text_blanks(struct text *t, size_t from);

/* Bytes as a JSON string, quotes included.  A byte that is not UTF-8 becomes \u00NN. */
void text_json(struct text *t, const char *bytes, size_t len);

/* Two digits a byte. */
void text_hex(struct text *t, const char *bytes, size_t len);

bool utf8_valid(const char *bytes, size_t len);

/* Columns that UTF-8 takes on a terminal. */
size_t utf8_width(const char *bytes, size_t len);

/* How many of the bytes fit into so many columns, whole characters. */
size_t utf8_fit(const char *bytes, size_t len, size_t columns);

#endif
