/* Listings as JSON, as cachify-json(5) says. */
#ifndef CACHIFY_TOOLS_JSON_H
#define CACHIFY_TOOLS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "listing.h"
#include "text.h"

/* Counted on when a field changes its meaning or goes; a new field is no new version. */
#define JSON_VERSION 1

/* The beginning of every answer: version, and the segment, or (all) the segments. */
void json_begin(struct text *t, const char *const *segments, size_t count, bool all);

/* Of a sorted one; as listing_table. */
bool json_listing(const struct listing *listing, const char *const *segments, size_t count,
                  bool all, FILE *out);

#endif
