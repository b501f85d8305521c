/* Which rows are shown: --key, --pid, --state, --older, --expiring. */
#ifndef CACHIFY_TOOLS_FILTER_H
#define CACHIFY_TOOLS_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "listing.h"

/* As it was asked for, and the columns that it looks at. */
struct filter {
    const char *key;    /* a pattern as of fnmatch(3), or NULL */
    int64_t pid;        /* 0: any */
    const char *states; /* a list with commas, or NULL */
    int64_t older_ms;   /* -1: any */
    int64_t expiring_ms;
    const struct column *key_of, *pid_of, *state_of, *age_of, *left_of;
};

#define FILTER_NONE                                                                                \
    {                                                                                              \
        .older_ms = -1, .expiring_ms = -1                                                          \
    }

/* Binds it to a kind of rows; ends the program if that has no such column or state. */
void filter_bind(struct filter *filter, const struct kind *kind);

bool filter_passes(const struct filter *filter, const void *row);

#endif
