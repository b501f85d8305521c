/* What cachify-shm-inspect lists: rows of one kind as columns, sorted, for people or as JSON. */
#ifndef CACHIFY_TOOLS_LISTING_H
#define CACHIFY_TOOLS_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- Kinds of rows ---- */

/* What a row has in a column. */
struct value {
    const char *bytes;
    size_t len;
    uint64_t number; /* a time: milliseconds */
    bool none;       /* a dash; null in JSON */
};

enum type {
    BYTES,  /* of anybody's choice */
    WORD,   /* one of ours */
    NUMBER, /* of no more than 53 bits */
    TIME,   /* INT64_MAX: never */
    SERIAL, /* of 64 bits, which many readers of JSON do not keep: a string there */
    FLAG,   /* yes or no */
};

/* From a list of these come the headings, the table, the JSON and the help. */
struct column {
    const char *heading;
    const char *field; /* in JSON */
    enum type type;
    struct value (*of)(const void *row);
    const char *help;
};

/* What rows are sorted by, with the row. */
struct order {
    uint64_t first;
    uint64_t second;
    const void *row;
};

#define COLUMNS_MOST 16

struct kind {
    const char *name; /* of the array in JSON */
    const struct column *columns;
    size_t count; /* of columns, COLUMNS_MOST at most */
    int (*compare)(const void *order, const void *other);
};

/* Empty bytes are none. */
struct value bytes_value(const char *bytes, size_t len);
struct value command_value(const char command[16]);
struct value number_value(uint64_t number);
struct value pid_value(int64_t pid); /* 0: none */

/* By `first`, then by `second`, the smaller ones first. */
int order_by_numbers(const void *order, const void *other);

/* ---- A listing ---- */

/* Begins as {.kind = ...}. */
struct listing {
    const struct kind *kind;
    struct block *blocks; /* the rows' memory */
    struct order *order;
    size_t count;
    size_t room;
};

/* Memory for another row, to be filled.  NULL if memory is short. */
void *listing_new_row(struct listing *listing, size_t size, uint64_t first, uint64_t second);

/* True once written as far as stdio knows; false if memory is short.  Both sort it. */
bool listing_table(struct listing *listing, bool headings, FILE *out);
bool listing_json(struct listing *listing, const char *segment, FILE *out);

/* A line of help for each column. */
void listing_help(const struct kind *kind, FILE *out);

void listing_free(struct listing *listing);

#endif
