/* The locks of one frame of --watch, the most waited for first, with what has happened to them
 * since the frames before. */
#ifndef CACHIFY_TOOLS_HOT_H
#define CACHIFY_TOOLS_HOT_H

#include "listing.h"
#include "sources.h"

extern const struct kind hot;

/* What is remembered from frame to frame.  Begins as {0}. */
struct memory {
    struct known *known; /* open addressing, at most half full */
    size_t room;
    size_t count;
};

/* What the frame's first lines tell. */
struct totals {
    uint64_t held, expired, owner_dead, max_locks;
    uint64_t waiters, processes;
    double taken; /* a second, of the locks that were seen twice */
};

/* The frame at now_ms, in order.  False if memory is short. */
bool hot_list(struct listing *listing, const struct sources *sources, struct memory *memory,
              int64_t now_ms, struct totals *totals);

void hot_forget(struct memory *memory);

#endif
