/* A segment's numbers, a row each: --header and --stats. */
#ifndef CACHIFY_TOOLS_FACTS_H
#define CACHIFY_TOOLS_FACTS_H

#include <cachify/shm.h>

#include "listing.h"

extern const struct kind header_facts;
extern const struct kind stats_facts;

/* What is counted in a segment. */
struct stats {
    cachify_shm_header_t header;
    cachify_shm_counts_t counts;
    uint64_t held, expired, owner_dead; /* leases */
    int64_t longest_held_ms;
    int64_t longest_waited_ms;
};

/* From a list of these come --stats and the metrics. */
struct stat {
    const char *name;
    enum type type; /* NUMBER or TIME */
    const char *unit;
    uint64_t (*of)(const struct stats *stats);
    const char *help;
};
extern const struct stat stat_list[];
extern const size_t stat_count;

/* Ends the program where the segment cannot be counted. */
void stats_take(const cachify_shm_view_t *view, struct stats *stats);

/* False if memory is short. */
bool header_add(struct listing *listing, const cachify_shm_view_t *view);
bool stats_add(struct listing *listing, const cachify_shm_view_t *view);

#endif
