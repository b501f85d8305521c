/* Who waits, behind whom: a lock with its holder, and below it those in line for it. */
#ifndef CACHIFY_TOOLS_TREE_H
#define CACHIFY_TOOLS_TREE_H

#include <cachify/shm.h>

#include "listing.h"

extern const struct kind tree;

/* Adds the trees of a segment, of those waiters that the filter (of the kind `waiters`, NULL for
 * all) lets pass.  False if memory is short. */
bool tree_add(struct listing *listing, const cachify_shm_view_t *view, const struct filter *filter);

#endif
