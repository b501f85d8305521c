#include "listing.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

/* ---- Values ---- */

struct value bytes_value(const char *bytes, size_t len)
{
    return (struct value){.bytes = bytes, .len = len, .none = len == 0};
}

struct value command_value(const char command[16])
{
    return bytes_value(command, strnlen(command, 16));
}

struct value number_value(uint64_t number)
{
    return (struct value){.number = number};
}

struct value pid_value(int64_t pid)
{
    return (struct value){.number = (uint64_t)pid, .none = pid == 0};
}

/* ---- Rows ---- */

/* Rows lie one after another in blocks that never move. */
struct block {
    struct block *next;
    size_t used;
    _Alignas(uint64_t) char bytes[1 << 18];
};

static void *new_row(struct listing *l, size_t size)
{
    const size_t align = _Alignof(uint64_t);
    size = (size + align - 1) / align * align;
    if (l->blocks == NULL || sizeof l->blocks->bytes - l->blocks->used < size) {
        struct block *block = malloc(sizeof *block);
        if (block == NULL)
            return NULL;
        block->next = l->blocks;
        block->used = 0;
        l->blocks = block;
    }
    void *row = l->blocks->bytes + l->blocks->used;
    l->blocks->used += size;
    return row;
}

static bool room_for_one(struct listing *l)
{
    if (l->count < l->room)
        return true;
    size_t room = l->room != 0 ? 2 * l->room : 256;
    struct order *order = reallocarray(l->order, room, sizeof *order);
    if (order == NULL)
        return false;
    l->order = order;
    l->room = room;
    return true;
}

void *listing_new_row(struct listing *l, size_t size, uint64_t first, uint64_t second)
{
    void *row = room_for_one(l) ? new_row(l, size) : NULL;
    if (row != NULL)
        l->order[l->count++] = (struct order){first, second, row};
    return row;
}

void listing_free(struct listing *l)
{
    while (l->blocks != NULL) {
        struct block *block = l->blocks;
        l->blocks = block->next;
        free(block);
    }
    free(l->order);
    *l = (struct listing){.kind = l->kind};
}

int order_by_numbers(const void *order, const void *other)
{
    const struct order *x = order, *y = other;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return (x->second > y->second) - (x->second < y->second);
}

static void sort(struct listing *l)
{
    if (l->count > 0)
        qsort(l->order, l->count, sizeof *l->order, l->kind->compare);
}

/* The r-th row.  Sorted, they lie all over the memory, so the ones to come are asked for. */
static const void *row_at(const struct listing *l, size_t r)
{
    const size_t ahead = 8, line = 64;
    if (r + ahead < l->count) {
        __builtin_prefetch(l->order[r + ahead].row);
        __builtin_prefetch((const char *)l->order[r + ahead].row + line);
    }
    return l->order[r].row;
}

/* ---- Columns ---- */

static bool to_the_right(const struct column *c)
{
    return c->type != BYTES && c->type != WORD && c->type != FLAG;
}

void listing_help(const struct kind *kind, FILE *out)
{
    for (size_t i = 0; i < kind->count; i++)
        fprintf(out, " %14s  %s\n", kind->columns[i].heading, kind->columns[i].help);
}

/* ---- Table ---- */

static void put_cell(struct text *t, const struct column *c, const void *row)
{
    struct value v = c->of(row);
    if (v.none)
        text_string(t, "-");
    else if (c->type == BYTES || c->type == WORD)
        text_escaped(t, v.bytes, v.len);
    else if (c->type == TIME)
        text_duration(t, (int64_t)v.number);
    else if (c->type == NUMBER)
        text_number(t, (int64_t)v.number);
    else if (c->type == FLAG)
        text_string(t, v.number != 0 ? "yes" : "no");
    else
        text_unsigned(t, v.number);
}

static void measure(const struct listing *l, bool headings, size_t width[COLUMNS_MOST],
                    struct text *t)
{
    const struct kind *kind = l->kind;
    for (size_t i = 0; i < kind->count; i++)
        width[i] = headings ? strlen(kind->columns[i].heading) : 0;
    for (size_t r = 0; r < l->count; r++)
        for (size_t i = 0; i < kind->count; i++) {
            t->len = 0;
            put_cell(t, &kind->columns[i], l->order[r].row);
            size_t w = utf8_width(t->bytes, t->len);
            width[i] = w > width[i] ? w : width[i];
        }
}

/* The cell that was put at `from` gets as wide as its column; the last one stays as it is. */
static void pad(struct text *t, size_t from, const struct kind *kind, size_t i, size_t width)
{
    size_t w = utf8_width(t->bytes + from, t->len - from);
    size_t gap = width > w ? width - w : 0;
    if (to_the_right(&kind->columns[i])) {
        size_t len = t->len - from;
        text_fill(t, ' ', gap);
        if (t->failed)
            return;
        memmove(t->bytes + from + gap, t->bytes + from, len);
        memset(t->bytes + from, ' ', gap);
    } else if (i + 1 < kind->count) {
        text_fill(t, ' ', gap);
    }
}

static void put_line(struct text *t, const struct kind *kind, const void *row,
                     const size_t width[COLUMNS_MOST], FILE *out)
{
    t->len = 0;
    for (size_t i = 0; i < kind->count; i++) {
        if (i > 0)
            text_fill(t, ' ', 1);
        size_t from = t->len;
        if (row != NULL)
            put_cell(t, &kind->columns[i], row);
        else
            text_string(t, kind->columns[i].heading);
        pad(t, from, kind, i, width[i]);
    }
    text_fill(t, '\n', 1);
    fwrite(t->bytes, 1, t->failed ? 0 : t->len, out);
}

bool listing_table(struct listing *l, bool headings, FILE *out)
{
    struct text t = {0};
    size_t width[COLUMNS_MOST];
    measure(l, headings, width, &t);
    sort(l);
    if (headings)
        put_line(&t, l->kind, NULL, width, out);
    for (size_t r = 0; r < l->count; r++)
        put_line(&t, l->kind, row_at(l, r), width, out);
    bool done = !t.failed;
    text_free(&t);
    return done;
}

/* ---- JSON ---- */

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
    bool null = v.none || (c->type == TIME && v.number == INT64_MAX);
    if (!null && (c->type == BYTES || c->type == WORD)) {
        put_bytes(t, c->field, v.bytes, v.len);
        return;
    }
    put_field(t, c->field, "");
    if (null)
        text_string(t, "null");
    else if (c->type == FLAG)
        text_string(t, v.number != 0 ? "true" : "false");
    else if (c->type != SERIAL)
        text_number(t, (int64_t)v.number);
    else {
        text_string(t, "\"");
        text_unsigned(t, v.number);
        text_string(t, "\"");
    }
}

bool listing_json(struct listing *l, const char *segment, FILE *out)
{
    struct text t = {0};
    sort(l);
    text_string(&t, "{\n   ");
    put_bytes(&t, "segment", segment, strlen(segment));
    text_string(&t, ",\n   ");
    put_field(&t, l->kind->name, "");
    text_string(&t, "[");
    for (size_t r = 0; r < l->count; r++) {
        const void *row = row_at(l, r);
        text_string(&t, r > 0 ? ",\n      {" : "\n      {");
        for (size_t i = 0; i < l->kind->count; i++) {
            if (i > 0)
                text_string(&t, ", ");
            put_value(&t, &l->kind->columns[i], row);
        }
        text_string(&t, "}");
        fwrite(t.bytes, 1, t.failed ? 0 : t.len, out);
        t.len = 0;
    }
    text_string(&t, l->count > 0 ? "\n   ]\n}\n" : "]\n}\n");
    fwrite(t.bytes, 1, t.failed ? 0 : t.len, out);
    bool done = !t.failed;
    text_free(&t);
    return done;
}
