#include "listing.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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

/* Rows lie one after another in blocks that never move; of many rows in large ones, which the
 * kernel may make of large pages. */
#define BLOCK_FIRST ((size_t)1 << 18)
#define BLOCK_LARGE ((size_t)1 << 23)
#define PAGE_LARGE ((size_t)1 << 21)

struct block {
    struct block *next;
    size_t room;
    size_t used;
    _Alignas(uint64_t) char bytes[];
};

static struct block *new_block(struct block *next)
{
    size_t size = next == NULL ? BLOCK_FIRST : BLOCK_LARGE;
    struct block *block = aligned_alloc(next == NULL ? _Alignof(uint64_t) : PAGE_LARGE, size);
    if (block == NULL)
        return NULL;
    if (next != NULL)
        madvise(block, size, MADV_HUGEPAGE); /* at most it does nothing */
    block->next = next;
    block->room = size - sizeof *block;
    block->used = 0;
    return block;
}

static void *new_row(struct listing *l, size_t size)
{
    const size_t align = _Alignof(uint64_t);
    size = (size + align - 1) / align * align;
    if (l->blocks == NULL || l->blocks->room - l->blocks->used < size) {
        struct block *block = new_block(l->blocks);
        if (block == NULL)
            return NULL;
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
    const size_t ahead = 16, line = 64;
    if (r + ahead < l->count) {
        const char *next = l->order[r + ahead].row;
        __builtin_prefetch(next);
        __builtin_prefetch(next + line);
        __builtin_prefetch(next + 2 * line);
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
    else if (type == WORD)
        text_put(t, v.bytes, v.len);
    else if (type == BYTES)
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

static size_t digits_of(uint64_t number)
{
    size_t digits = 1;
    for (; number >= 10; number /= 10)
        digits++;
    return digits;
}

static size_t width_of(struct text *scratch, enum type type, struct value v)
{
    if (type == TIME && v.number < 60000)
        return v.number < 10000 ? strlen("1.234s") : strlen("12.345s");
    if (type == WORD || (type == BYTES && text_is_plain(v.bytes, v.len)))
        return v.len;
    scratch->len = 0;
    put_value(scratch, type, v);
    return utf8_width(scratch->bytes, scratch->len);
}

/* Most are measured without being written; of numbers it is enough to know the largest. */
void listing_measure(struct listing *l, const void *row)
{
    const struct choice *choice = l->choice;
    if (!choice->aligned)
        return;
    for (size_t i = 0; i < choice->count; i++) {
        struct value v = choice->shown[i]->of(row);
        enum type type = type_of(choice->shown[i], v);
        if (v.none) {
            l->width[i] = l->width[i] > 0 ? l->width[i] : 1;
        } else if (type == NUMBER || type == SERIAL) {
            l->largest[i] = v.number > l->largest[i] ? v.number : l->largest[i];
        } else {
            size_t w = width_of(&l->scratch, type, v);
            l->width[i] = w > l->width[i] ? w : l->width[i];
        }
    }
}

/* How wide each column shown gets. */
static void get_widths(const struct listing *l, size_t width[COLUMNS_MOST])
{
    const struct choice *choice = l->choice;
    for (size_t i = 0; i < choice->count; i++) {
        size_t heading = choice->headings ? strlen(choice->shown[i]->heading) : 0;
        size_t number = l->largest[i] > 0 ? digits_of(l->largest[i]) : l->count > 0;
        width[i] = l->width[i] > number ? l->width[i] : number;
        width[i] = width[i] > heading ? width[i] : heading;
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
static void aligned_cell(struct text *t, const struct column *c, const void *row, size_t width,
                         bool last)
{
    struct value v = row != NULL ? c->of(row) : word_value(c->heading);
    enum type type = row != NULL ? type_of(c, v) : WORD;
    size_t from = t->len;
    bool odd = type == BYTES && !v.none && !text_is_plain(v.bytes, v.len);
    put_value(t, type == BYTES && !odd ? WORD : type, v);
    size_t len = t->len - from;
    size_t w = odd ? utf8_width(t->bytes + from, len) : len;
    size_t gap = width > w ? width - w : 0;
    if (gap == 0 || (last && !to_the_right(c)))
        return;
    text_fill(t, ' ', gap);
    if (!to_the_right(c) || t->failed)
        return;
    memmove(t->bytes + from + gap, t->bytes + from, len);
    memset(t->bytes + from, ' ', gap);
}

static void put_line(struct text *t, const struct listing *l, const void *row,
                     const size_t width[COLUMNS_MOST])
{
    const struct choice *choice = l->choice;
    for (size_t i = 0; i < choice->count; i++) {
        const struct column *c = choice->shown[i];
        if (i > 0)
            text_byte(t, ' ');
        if (choice->aligned)
            aligned_cell(t, c, row, width[i], i + 1 == choice->count);
        else if (row == NULL)
            text_string(t, c->heading);
        else
            raw_cell(t, c, row);
    }
}

void listing_line(const struct listing *l, const void *row, struct text *t)
{
    size_t width[COLUMNS_MOST];
    get_widths(l, width);
    put_line(t, l, row, width);
}

#define WRITE_AT 65536 /* bytes */

static void put_out(struct text *t, size_t from, FILE *out)
{
    if (t->len == 0 || t->len < from)
        return;
    fwrite(t->bytes, 1, t->failed ? 0 : t->len, out);
    t->len = 0;
}

bool listing_table(const struct listing *l, FILE *out)
{
    struct text t = {0};
    size_t width[COLUMNS_MOST];
    get_widths(l, width);
    if (l->choice->headings) {
        put_line(&t, l, NULL, width);
        text_fill(&t, '\n', 1);
    }
    for (size_t r = 0; r < l->count; r++) {
        put_line(&t, l, listing_row(l, r), width);
        text_byte(&t, '\n');
        put_out(&t, WRITE_AT, out);
    }
    put_out(&t, 0, out);
    bool done = !t.failed && !l->scratch.failed;
    text_free(&t);
    return done;
}
