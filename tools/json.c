#include "json.h"

#include <string.h>

#define WRITE_AT 65536 /* bytes */

static void put_field(struct text *t, const char *field, const char *suffix)
{
    text_string(t, "\"");
    text_string(t, field);
    text_string(t, suffix);
    text_string(t, "\": ");
}

/* Where the bytes are not UTF-8, a second field says them exactly. */
static void put_bytes(struct text *t, const char *field, const char *bytes, size_t len)
{
    put_field(t, field, "");
    text_json(t, bytes, len);
    if (utf8_valid(bytes, len))
        return;
    text_string(t, ", ");
    put_field(t, field, "_hex");
    text_string(t, "\"");
    text_hex(t, bytes, len);
    text_string(t, "\"");
}

static void put_value(struct text *t, const struct column *c, const void *row)
{
    struct value v = c->of(row);
    enum type type = v.as != OF_COLUMN ? v.as : c->type;
    bool null = v.none || (type == TIME && v.number == INT64_MAX);
    if (!null && (type == BYTES || type == WORD)) {
        put_bytes(t, c->field, v.bytes, v.len);
        return;
    }
    put_field(t, c->field, "");
    if (null)
        text_string(t, "null");
    else if (type == FLAG)
        text_string(t, v.number != 0 ? "true" : "false");
    else if (type != SERIAL)
        text_number(t, (int64_t)v.number);
    else {
        text_string(t, "\"");
        text_unsigned(t, v.number);
        text_string(t, "\"");
    }
}

void json_begin(struct text *t, const char *const *segments, size_t count, bool all)
{
    text_string(t, "{\"version\": ");
    text_number(t, JSON_VERSION);
    text_string(t, ",\n   ");
    if (!all) {
        put_bytes(t, "segment", segments[0], strlen(segments[0]));
        text_string(t, ",\n   ");
        return;
    }
    put_field(t, "segments", "");
    text_string(t, "[");
    for (size_t i = 0; i < count; i++) {
        text_string(t, i > 0 ? ", " : "");
        text_json(t, segments[i], strlen(segments[i]));
    }
    text_string(t, "],\n   ");
}

static void put_row(struct text *t, const struct choice *choice, const void *row)
{
    text_string(t, "{");
    for (size_t i = 0; i < choice->count; i++) {
        if (i > 0)
            text_string(t, ", ");
        put_value(t, choice->shown[i], row);
    }
    text_string(t, "}");
}

bool json_listing(const struct listing *l, const char *const *segments, size_t count, bool all,
                  FILE *out)
{
    struct text t = {0};
    json_begin(&t, segments, count, all);
    put_field(&t, l->choice->kind->name, "");
    text_string(&t, "[");
    for (size_t r = 0; r < l->count; r++) {
        text_string(&t, r > 0 ? ",\n      " : "\n      ");
        put_row(&t, l->choice, listing_row(l, r));
        if (t.len < WRITE_AT)
            continue;
        fwrite(t.bytes, 1, t.failed ? 0 : t.len, out);
        t.len = 0;
    }
    text_string(&t, l->count > 0 ? "\n   ]\n}\n" : "]\n}\n");
    fwrite(t.bytes, 1, t.failed ? 0 : t.len, out);
    bool done = !t.failed;
    text_free(&t);
    return done;
}
