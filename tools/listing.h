/* What cachify-shm-inspect lists: rows of one kind as columns, sorted, for people or as JSON. */
#ifndef CACHIFY_TOOLS_LISTING_H
#define CACHIFY_TOOLS_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "text.h"

/* ---- Kinds of rows ---- */

enum type {
    OF_COLUMN, /* what its column is */
    BYTES,     /* of anybody's choice */
    WORD,      /* one of ours */
    NUMBER,    /* of no more than 53 bits */
    TIME,      /* INT64_MAX: never */
    SERIAL,    /* of 64 bits, which many readers of JSON do not keep: a string there */
    FLAG,      /* yes or no */
};

enum shown {
    USUAL,
    ON_DEMAND, /* if it is asked for */
};

/* What a row has in a column. */
struct value {
    const char *bytes;
    size_t len;
    uint64_t number; /* a time: milliseconds */
    bool none;       /* a dash; null in JSON */
    enum type as;    /* where a column has values of several types */
};

/* From a list of these come the headings, the table, the JSON and the help. */
struct column {
    const char *heading;
    const char *field; /* in JSON */
    enum type type;
    enum shown shown;
    struct value (*of)(const void *row);
    const char *help;
};

/* What rows are sorted by, with the row. */
struct order {
    uint64_t first;
    uint64_t second;
    const void *row;
};

#define COLUMNS_MOST 32

struct kind {
    const char *name; /* of the array in JSON */
    const struct column *columns;
    size_t count;
    int (*compare)(const void *order, const void *other);
    const char *age;           /* the field that --older is about, or NULL */
    const char *const *states; /* the words of the field "state", NULL-terminated, or NULL */
};

/* A row begins with the path of its segment. */
struct row_head {
    const char *segment;
};

/* Empty bytes are none. */
struct value bytes_value(const char *bytes, size_t len);
struct value word_value(const char *word);
struct value command_value(const char command[16]);
struct value number_value(uint64_t number);
struct value pid_value(int64_t pid); /* 0: none */
struct value segment_value(const void *row);

#define SEGMENT_COLUMN                                                                             \
    {                                                                                              \
        "SEGMENT", "segment", BYTES, ON_DEMAND, segment_value, "file of the segment"               \
    }

/* By `first`, then by `second`, the smaller ones first. */
int order_by_numbers(const void *order, const void *other);

/* ---- What is shown of them, and how ---- */

/* columns.h makes one of the options. */
struct choice {
    const struct kind *kind;
    const struct column *shown[COLUMNS_MOST];
    size_t count;
    const struct column *sort; /* NULL: the kind's own order */
    bool descending;
    const struct filter *filter; /* NULL: all rows */
    bool headings;
    bool aligned; /* under each other */
};

/* ---- A listing ---- */

/* Begins as {.choice = ...}. */
struct listing {
    const struct choice *choice;
    const char *segment;  /* that rows are added of */
    struct block *blocks; /* the rows' memory */
    struct order *order;
    size_t count;
    size_t room;
    size_t width[COLUMNS_MOST];     /* of the widest cell in each column shown, */
    uint64_t largest[COLUMNS_MOST]; /* or the largest number */
    struct text scratch;
};

/* Memory for another row, to be filled, its segment already there.  NULL if memory is short. */
void *listing_new_row(struct listing *listing, size_t size, uint64_t first, uint64_t second);

/* The row that was filled last is counted in, if the filter lets it pass. */
void listing_keep(struct listing *listing);

/* The same of a row that has changed since. */
void listing_measure(struct listing *listing, const void *row);

/* Puts it in order. */
void listing_sort(struct listing *listing);

/* The r-th row. */
const void *listing_row(const struct listing *listing, size_t r);

/* Of a sorted one.  True once written as far as stdio knows; false if memory is short. */
bool listing_table(const struct listing *listing, FILE *out);

/* One line of it without its end; row NULL: the headings. */
void listing_line(const struct listing *listing, const void *row, struct text *t);

void listing_free(struct listing *listing);

#endif
