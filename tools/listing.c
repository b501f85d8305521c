#include "listing.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

/* ---- Rows ---- */

struct row {
    int64_t pid;
    int64_t held_ms;
    int64_t left_ms;
    uint64_t token;
    uint32_t state;
    uint32_t waiters;
    uint32_t key_len;
    uint32_t note_len;
    char command[16];
    char bytes[]; /* key, then note */
};

/* What rows are sorted by, with the row. */
struct order {
    int64_t held_ms;
    uint64_t token;
    const struct row *row;
};

/* Rows lie one after another in blocks that never move. */
struct block {
    struct block *next;
    size_t used;
    _Alignas(struct row) char bytes[1 << 18];
};

static struct row *new_row(struct listing *l, size_t text_len)
{
    const size_t align = _Alignof(struct row);
    size_t size = (sizeof(struct row) + text_len + align - 1) / align * align;
    if (l->blocks == NULL || sizeof l->blocks->bytes - l->blocks->used < size) {
        struct block *block = malloc(sizeof *block);
        if (block == NULL)
            return NULL;
        block->next = l->blocks;
        block->used = 0;
        l->blocks = block;
    }
    struct row *row = (struct row *)(void *)(l->blocks->bytes + l->blocks->used);
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

int listing_add(void *context, const cachify_shm_lease_t *lease)
{
    struct listing *l = context;
    const cachify_info_t *info = &lease->info;
    if (!room_for_one(l))
        return 1;
    struct row *row = new_row(l, (size_t)lease->key_len + info->value_len);
    if (row == NULL)
        return 1;
    *row = (struct row){
        .pid = info->pid,
        .held_ms = info->held_ms,
        .left_ms = info->remaining_ms,
        .token = info->token,
        .state = info->state,
        .waiters = info->waiters,
        .key_len = lease->key_len,
        .note_len = info->value_len,
    };
    memcpy(row->command, info->command, sizeof row->command);
    memcpy(row->bytes, lease->key, lease->key_len);
    memcpy(row->bytes + lease->key_len, info->value, info->value_len);
    l->order[l->count++] = (struct order){row->held_ms, row->token, row};
    return 0;
}

void listing_free(struct listing *l)
{
    while (l->blocks != NULL) {
        struct block *block = l->blocks;
        l->blocks = block->next;
        free(block);
    }
    free(l->order);
    *l = (struct listing){0};
}

static int oldest_first(const void *a, const void *b)
{
    const struct order *x = a, *y = b;
    if (x->held_ms != y->held_ms)
        return x->held_ms > y->held_ms ? -1 : 1;
    return (x->token > y->token) - (x->token < y->token);
}

/* Held longest first; what was taken in the same millisecond by token. */
static void sort(struct listing *l)
{
    if (l->count > 0)
        qsort(l->order, l->count, sizeof *l->order, oldest_first);
}

/* The r-th row.  Sorted, they lie all over the memory, so the ones to come are asked for. */
static const struct row *row_at(const struct listing *l, size_t r)
{
    const size_t ahead = 8;
    if (r + ahead < l->count) {
        __builtin_prefetch(l->order[r + ahead].row);
        __builtin_prefetch(l->order[r + ahead].row->bytes);
    }
    return l->order[r].row;
}

/* ---- Columns ---- */

struct value {
    const char *bytes;
    size_t len;
    uint64_t number; /* a time: milliseconds */
    bool none;
};

enum type {
    BYTES,  /* of anybody's choice */
    WORD,   /* one of ours */
    NUMBER, /* of no more than 53 bits */
    TIME,   /* INT64_MAX: never */
    SERIAL, /* of 64 bits, which many readers of JSON do not keep: a string there */
};

static struct value bytes_value(const char *bytes, size_t len)
{
    return (struct value){.bytes = bytes, .len = len, .none = len == 0};
}

static struct value number_value(uint64_t number)
{
    return (struct value){.number = number};
}

static struct value key_of(const struct row *row)
{
    return bytes_value(row->bytes, row->key_len);
}

static struct value state_of(const struct row *row)
{
    const char *word = row->state == CACHIFY_STATE_HELD      ? "held"
                       : row->state == CACHIFY_STATE_EXPIRED ? "expired"
                                                             : "owner-dead";
    return bytes_value(word, strlen(word));
}

static struct value pid_of(const struct row *row)
{
    return (struct value){.number = (uint64_t)row->pid, .none = row->pid == 0};
}

static struct value command_of(const struct row *row)
{
    return bytes_value(row->command, strnlen(row->command, sizeof row->command));
}

static struct value held_of(const struct row *row)
{
    return number_value((uint64_t)row->held_ms);
}

static struct value left_of(const struct row *row)
{
    return number_value((uint64_t)row->left_ms);
}

static struct value token_of(const struct row *row)
{
    return number_value(row->token);
}

static struct value waiters_of(const struct row *row)
{
    return number_value(row->waiters);
}

static struct value note_of(const struct row *row)
{
    return bytes_value(row->bytes + row->key_len, row->note_len);
}

/* From this list come the headings, the table, the JSON and the help. */
static const struct column {
    const char *heading;
    const char *field; /* in JSON */
    enum type type;
    struct value (*of)(const struct row *row);
    const char *help;
} columns[] = {
    {"KEY", "key", BYTES, key_of, "the lock's name, with its prefix"},
    {"STATE", "state", WORD, state_of,
     "held; or free again, but not taken since: expired, owner-dead"},
    {"PID", "pid", NUMBER, pid_of, "process that holds it, in its own PID namespace"},
    {"COMMAND", "command", BYTES, command_of, "name of that process"},
    {"HELD", "held_ms", TIME, held_of, "time since it was acquired"},
    {"LEFT", "left_ms", TIME, left_of, "time until it expires, or never"},
    {"TOKEN", "token", SERIAL, token_of, "fencing token of the lease"},
    {"WAITERS", "waiters", NUMBER, waiters_of, "how many sleep until it comes free"},
    {"NOTE", "note", BYTES, note_of, "what the holder left with the lease"},
};

#define COLUMNS (sizeof columns / sizeof columns[0])

static bool to_the_right(const struct column *c)
{
    return c->type != BYTES && c->type != WORD;
}

void listing_help(FILE *out)
{
    for (size_t i = 0; i < COLUMNS; i++)
        fprintf(out, " %10s  %s\n", columns[i].heading, columns[i].help);
}

/* ---- Table ---- */

static void put_cell(struct text *t, const struct column *c, const struct row *row)
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
    else
        text_unsigned(t, v.number);
}

static void measure(const struct listing *l, bool headings, size_t width[COLUMNS], struct text *t)
{
    for (size_t i = 0; i < COLUMNS; i++)
        width[i] = headings ? strlen(columns[i].heading) : 0;
    for (size_t r = 0; r < l->count; r++)
        for (size_t i = 0; i < COLUMNS; i++) {
            t->len = 0;
            put_cell(t, &columns[i], l->order[r].row);
            size_t w = utf8_width(t->bytes, t->len);
            width[i] = w > width[i] ? w : width[i];
        }
}

/* The cell that was put at `from` gets as wide as its column; the last one stays as it is. */
static void pad(struct text *t, size_t from, size_t i, size_t width)
{
    size_t w = utf8_width(t->bytes + from, t->len - from);
    size_t gap = width > w ? width - w : 0;
    if (to_the_right(&columns[i])) {
        size_t len = t->len - from;
        text_fill(t, ' ', gap);
        if (t->failed)
            return;
        memmove(t->bytes + from + gap, t->bytes + from, len);
        memset(t->bytes + from, ' ', gap);
    } else if (i + 1 < COLUMNS) {
        text_fill(t, ' ', gap);
    }
}

static void put_line(struct text *t, const struct row *row, const size_t width[COLUMNS], FILE *out)
{
    t->len = 0;
    for (size_t i = 0; i < COLUMNS; i++) {
        if (i > 0)
            text_fill(t, ' ', 1);
        size_t from = t->len;
        if (row != NULL)
            put_cell(t, &columns[i], row);
        else
            text_string(t, columns[i].heading);
        pad(t, from, i, width[i]);
    }
    text_fill(t, '\n', 1);
    fwrite(t->bytes, 1, t->failed ? 0 : t->len, out);
}

bool listing_table(struct listing *l, bool headings, FILE *out)
{
    struct text t = {0};
    size_t width[COLUMNS];
    measure(l, headings, width, &t);
    sort(l);
    if (headings)
        put_line(&t, NULL, width, out);
    for (size_t r = 0; r < l->count; r++)
        put_line(&t, row_at(l, r), width, out);
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

static void put_value(struct text *t, const struct column *c, const struct row *row)
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
    text_string(&t, ",\n   \"locks\": [");
    for (size_t r = 0; r < l->count; r++) {
        const struct row *row = row_at(l, r);
        text_string(&t, r > 0 ? ",\n      {" : "\n      {");
        for (size_t i = 0; i < COLUMNS; i++) {
            if (i > 0)
                text_string(&t, ", ");
            put_value(&t, &columns[i], row);
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
