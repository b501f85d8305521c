/* What cachify-shm-inspect lists: the leases of one look as columns, those held longest
 * first. */
#ifndef CACHIFY_TOOLS_LISTING_H
#define CACHIFY_TOOLS_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <cachify/shm.h>

/* Begins as {0}. */
struct listing {
    struct block *blocks; /* the rows' memory */
    struct order *order;
    size_t count;
    size_t room;
};

/* cachify_shm_leases' callback; context: the listing.  1 if memory is short. */
int listing_add(void *context, const cachify_shm_lease_t *lease);

/* True once written as far as stdio knows; false if memory is short.  Both sort it. */
bool listing_table(struct listing *listing, bool headings, FILE *out);
bool listing_json(struct listing *listing, const char *segment, FILE *out);

/* A line of help for each column. */
void listing_help(FILE *out);

void listing_free(struct listing *listing);

#endif
