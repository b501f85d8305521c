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

/* A row that does not pass is the last in its block, whose memory the next one gets. */
void listing_keep(struct listing *l)
{
    const void *row = l->order[l->count - 1].row;
    if (l->choice->filter == NULL || filter_passes(l->choice->filter, row)) {
        listing_measure(l, row); /* now, as it is at hand */
        return;
    }
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
    text_free(&l->scratch);
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

/* ---- By numbers, a million of them ---- */

#define DIGIT_BITS 11
#define DIGITS (1u << DIGIT_BITS)

static uint64_t number_in(const struct order *o, bool second)
{
    return second ? o->second : o->first;
}

/* One digit of all, stably. */
static void scatter(const struct order *from, struct order *to, size_t count, bool second,
                    unsigned shift)
{
    size_t at[DIGITS] = {0}, sum = 0;
    for (size_t i = 0; i < count; i++)
        at[number_in(&from[i], second) >> shift & (DIGITS - 1)]++;
    for (unsigned d = 0; d < DIGITS; d++) {
        size_t n = at[d];
        at[d] = sum;
        sum += n;
    }
    for (size_t i = 0; i < count; i++)
        to[at[number_in(&from[i], second) >> shift & (DIGITS - 1)]++] = from[i];
}

/* From the last digit to the first, without those in which all are the same.  False: no memory
 * for it. */
static bool sort_by_numbers(struct listing *l)
{
    struct order *other = malloc(l->count * sizeof *other);
    if (other == NULL)
        return false;
    for (int second = 1; second >= 0; second--) {
        uint64_t differ = 0;
        for (size_t i = 0; i < l->count; i++)
            differ |= number_in(&l->order[i], second) ^ number_in(&l->order[0], second);
        for (unsigned shift = 0; shift < 64 && differ >> shift != 0; shift += DIGIT_BITS) {
            if ((differ >> shift & (DIGITS - 1)) == 0)
                continue;
            scatter(l->order, other, l->count, second, shift);
            struct order *sorted = other;
            other = l->order;
            l->order = sorted;
        }
    }
    free(other);
    l->room = l->count;
    return true;
}

#define MANY 4096 /* rows from which on that is worth its memory */

void listing_sort(struct listing *l)
{
    sorting = l->choice;
    bool by_numbers = sorting->sort == NULL && sorting->kind->compare == order_by_numbers;
    if (l->count == 0 || (by_numbers && l->count >= MANY && sort_by_numbers(l)))
        return;
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

static enum type type_of(const struct column *c, struct value v)
{
    return v.as != OF_COLUMN ? v.as : c->type;
}

static void put_value(struct text *t, enum type type, struct value v)
{
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

/* Most are measured without being written. */
static size_t width_of(struct text *scratch, enum type type, struct value v)
{
    if (v.none)
        return 1;
    if ((type == BYTES || type == WORD) && text_is_plain(v.bytes, v.len))
        return v.len;
    if (type == SERIAL || type == NUMBER) {
        size_t width = 1;
        for (uint64_t n = v.number; n >= 10; n /= 10)
            width++;
        return width;
    }
    if (type == TIME && v.number < 60000)
        return v.number < 10000 ? strlen("1.234s") : strlen("12.345s");
    scratch->len = 0;
    put_value(scratch, type, v);
    return utf8_width(scratch->bytes, scratch->len);
}

void listing_measure(struct listing *l, const void *row)
{
    const struct choice *choice = l->choice;
    if (!choice->aligned)
        return;
    for (size_t i = 0; i < choice->count; i++) {
        struct value v = choice->shown[i]->of(row);
        size_t w = width_of(&l->scratch, type_of(choice->shown[i], v), v);
        l->width[i] = w > l->width[i] ? w : l->width[i];
    }
}

/* For programs: one blank from cell to cell, and none within; a dash is what is not there. */
static void raw_cell(struct text *t, const struct column *c, const void *row)
{
    size_t from = t->len;
    struct value v = c->of(row);
    enum type type = type_of(c, v);
    bool bytes = (type == BYTES || type == WORD) && !v.none;
    put_value(t, type, v);
    if (bytes && v.len == 1 && v.bytes[0] == '-') {
        t->len = from;
        text_string(t, "\\x2d");
    } else if (bytes) {
        text_blanks(t, from);
    }
}

/* As wide as its column; the last one stays as it is. */
static void aligned_cell(struct text *t, struct text *scratch, const struct column *c,
                         const void *row, size_t width, bool last)
{
    struct value v = row != NULL ? c->of(row) : word_value(c->heading);
    enum type type = row != NULL ? type_of(c, v) : WORD;
    size_t w = width_of(scratch, type, v);
    size_t gap = width > w ? width - w : 0;
    if (to_the_right(c))
        text_fill(t, ' ', gap);
    put_value(t, type, v);
    if (!to_the_right(c) && !last)
        text_fill(t, ' ', gap);
}

static void put_line(struct text *t, struct text *scratch, const struct listing *l, const void *row)
{
    const struct choice *choice = l->choice;
    for (size_t i = 0; i < choice->count; i++) {
        const struct column *c = choice->shown[i];
        size_t heading = choice->headings ? strlen(c->heading) : 0;
        if (i > 0)
            text_fill(t, ' ', 1);
        if (choice->aligned)
            aligned_cell(t, scratch, c, row, l->width[i] > heading ? l->width[i] : heading,
                         i + 1 == choice->count);
        else if (row == NULL)
            text_string(t, c->heading);
        else
            raw_cell(t, c, row);
    }
}

void listing_line(const struct listing *l, const void *row, struct text *t)
{
    struct text scratch = {0};
    put_line(t, &scratch, l, row);
    t->failed = t->failed || scratch.failed;
    text_free(&scratch);
}

#define WRITE_AT 65536 /* bytes */

static void put_out(struct text *t, size_t from, FILE *out)
{
    if (t->len < from)
        return;
    fwrite(t->bytes, 1, t->failed ? 0 : t->len, out);
    t->len = 0;
}

bool listing_table(const struct listing *l, FILE *out)
{
    struct text t = {0}, scratch = {0};
    if (l->choice->headings) {
        put_line(&t, &scratch, l, NULL);
        text_fill(&t, '\n', 1);
    }
    for (size_t r = 0; r < l->count; r++) {
        put_line(&t, &scratch, l, listing_row(l, r));
        text_fill(&t, '\n', 1);
        put_out(&t, WRITE_AT, out);
    }
    put_out(&t, 0, out);
    bool done = !t.failed && !scratch.failed && !l->scratch.failed;
    text_free(&t);
    text_free(&scratch);
    return done;
}
