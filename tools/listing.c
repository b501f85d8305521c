#include "listing.h"

#include <stdlib.h>
#include <string.h>

#include "filter.h"
#include "text.h"

/* ---- Values ---- */

struct value bytes_value(const char *bytes, size_t len)
{
    return (struct value){.bytes = bytes, .len = len, .none = len == 0};
}

struct value word_value(const char *word)
{
    return bytes_value(word, strlen(word));
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

struct value segment_value(const void *row)
{
    return word_value(((const struct row_head *)row)->segment);
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
    struct row_head *row = room_for_one(l) ? new_row(l, size) : NULL;
    if (row == NULL)
        return NULL;
    row->segment = l->segment;
    l->order[l->count++] = (struct order){first, second, row};
    return row;
}

/* The row is the last in its block, whose memory the next one gets. */
void listing_keep(struct listing *l)
{
    const void *row = l->order[l->count - 1].row;
    if (l->choice->filter == NULL || filter_passes(l->choice->filter, row))
        return;
    l->count--;
    l->blocks->used = (size_t)((const char *)row - l->blocks->bytes);
}

void listing_free(struct listing *l)
{
    while (l->blocks != NULL) {
        struct block *block = l->blocks;
        l->blocks = block->next;
        free(block);
    }
    free(l->order);
    *l = (struct listing){.choice = l->choice, .segment = l->segment};
}

int order_by_numbers(const void *order, const void *other)
{
    const struct order *x = order, *y = other;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return (x->second > y->second) - (x->second < y->second);
}

/* ---- Order ---- */

/* qsort has no place for it. */
static const struct choice *sorting;

static int compare_values(struct value a, struct value b, enum type type)
{
    if (a.none || b.none)
        return (int)b.none - (int)a.none;
    if (type != BYTES && type != WORD)
        return (a.number > b.number) - (a.number < b.number);
    int result = memcmp(a.bytes, b.bytes, a.len < b.len ? a.len : b.len);
    return result != 0 ? result : (a.len > b.len) - (a.len < b.len);
}

static int by_column(const void *order, const void *other)
{
    const struct column *c = sorting->sort;
    struct value a = c->of(((const struct order *)order)->row);
    struct value b = c->of(((const struct order *)other)->row);
    int result = compare_values(a, b, a.as != OF_COLUMN ? a.as : c->type);
    if (result == 0)
        return sorting->kind->compare(order, other);
    return sorting->descending ? -result : result;
}

void listing_sort(struct listing *l)
{
    sorting = l->choice;
    if (l->count > 0)
        qsort(l->order, l->count, sizeof *l->order,
              sorting->sort != NULL ? by_column : sorting->kind->compare);
}

/* Sorted, rows lie all over the memory, so the ones to come are asked for. */
const void *listing_row(const struct listing *l, size_t r)
{
    const size_t ahead = 8, line = 64;
    if (r + ahead < l->count) {
        __builtin_prefetch(l->order[r + ahead].row);
        __builtin_prefetch((const char *)l->order[r + ahead].row + line);
    }
    return l->order[r].row;
}

/* ---- Table ---- */

static bool to_the_right(const struct column *c)
{
    return c->type != BYTES && c->type != WORD && c->type != FLAG;
}

void listing_cell(struct text *t, const struct column *c, const void *row)
{
    struct value v = c->of(row);
    enum type type = v.as != OF_COLUMN ? v.as : c->type;
    if (v.none)
        text_string(t, "-");
    else if (type == BYTES || type == WORD)
        text_escaped(t, v.bytes, v.len);
    else if (type == TIME)
        text_duration(t, (int64_t)v.number);
    else if (type == NUMBER)
        text_number(t, (int64_t)v.number);
    else if (type == FLAG)
        text_string(t, v.number != 0 ? "yes" : "no");
    else
        text_unsigned(t, v.number);
}

/* For programs: one blank from cell to cell, and none within; a dash is what is not there. */
static void raw_cell(struct text *t, const struct column *c, const void *row)
{
    size_t from = t->len;
    listing_cell(t, c, row);
    bool bytes = (c->type == BYTES || c->type == WORD) && !c->of(row).none;
    if (bytes && t->len - from == 1 && t->bytes[from] == '-') {
        t->len = from;
        text_string(t, "\\x2d");
    } else if (bytes) {
        text_blanks(t, from);
    }
}

static void measure(const struct listing *l, size_t width[COLUMNS_MOST], struct text *t)
{
    const struct choice *choice = l->choice;
    for (size_t i = 0; i < choice->count; i++)
        width[i] = choice->headings ? strlen(choice->shown[i]->heading) : 0;
    for (size_t r = 0; r < l->count; r++)
        for (size_t i = 0; i < choice->count; i++) {
            t->len = 0;
            listing_cell(t, choice->shown[i], l->order[r].row);
            size_t w = utf8_width(t->bytes, t->len);
            width[i] = w > width[i] ? w : width[i];
        }
}

/* The cell that was put at `from` gets as wide as its column; the last one stays as it is. */
static void pad(struct text *t, size_t from, const struct choice *choice, size_t i, size_t width)
{
    size_t w = utf8_width(t->bytes + from, t->len - from);
    size_t gap = width > w ? width - w : 0;
    if (to_the_right(choice->shown[i])) {
        size_t len = t->len - from;
        text_fill(t, ' ', gap);
        if (t->failed)
            return;
        memmove(t->bytes + from + gap, t->bytes + from, len);
        memset(t->bytes + from, ' ', gap);
    } else if (i + 1 < choice->count) {
        text_fill(t, ' ', gap);
    }
}

static void put_line(struct text *t, const struct choice *choice, const void *row,
                     const size_t width[COLUMNS_MOST], FILE *out)
{
    t->len = 0;
    for (size_t i = 0; i < choice->count; i++) {
        if (i > 0)
            text_fill(t, ' ', 1);
        size_t from = t->len;
        if (row == NULL)
            text_string(t, choice->shown[i]->heading);
        else if (choice->raw)
            raw_cell(t, choice->shown[i], row);
        else
            listing_cell(t, choice->shown[i], row);
        if (!choice->raw)
            pad(t, from, choice, i, width[i]);
    }
    text_fill(t, '\n', 1);
    fwrite(t->bytes, 1, t->failed ? 0 : t->len, out);
}

bool listing_table(const struct listing *l, FILE *out)
{
    struct text t = {0};
    size_t width[COLUMNS_MOST];
    if (!l->choice->raw)
        measure(l, width, &t);
    if (l->choice->headings)
        put_line(&t, l->choice, NULL, width, out);
    for (size_t r = 0; r < l->count; r++)
        put_line(&t, l->choice, listing_row(l, r), width, out);
    bool done = !t.failed;
    text_free(&t);
    return done;
}
