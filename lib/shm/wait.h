/* A place in line: what a waiter goes through between arrival and end, be it a thread that
 * sleeps or an acquisition that an event loop waits for.  README.md, section 9. */
#ifndef CF_SHM_WAIT_H
#define CF_SHM_WAIT_H

#include "shm/record.h"
#include "shm/watch.h"

/* In the memory of whoever waits.  All zero: not in line. */
struct cf_place {
    uint64_t entry;         /* its waiter's number + 1; 0: not in line */
    uint64_t before;        /* of the waiter before it, + 1; 0: it was the first */
    cf_owner awaited;       /* whose death matters: who is before it, or holds the lock */
    uint64_t awaited_since; /* ns on the segment's clock */
    struct cf_watch *watch; /* that tells of it; NULL: none yet */
};

/* So long an owner is awaited without a watch: most waits are over by then. */
#define CF_UNWATCHED_NS (10 * CF_MS)

static inline uint32_t cf_place_waiter(const struct cf_place *place)
{
    return (uint32_t)place->entry - 1; /* CF_NO_WAITER if it is not in line */
}

/* What to do when the place is armed. */
struct cf_rest {
    bool try_now;    /* the lock may be had: nothing to sleep for */
    uint32_t armed;  /* else: sleep while the waiter's word is this, */
    uint64_t until;  /* and at most until then, ns on the segment's clock */
    uint32_t record; /* of the lease in the way */
};

/* Arm the place, then look at the lock again.  limit: look again by then, whatever comes. */
struct cf_rest cf_place_arm(struct cf_mapping *m, struct cf_place *place, const struct cf_key *key,
                            uint64_t limit);

/* Arrive.  False: no place is free in the segment. */
bool cf_place_enter(struct cf_mapping *m, struct cf_place *place, const struct cf_key *key,
                    uint64_t thread, bool by_bell);

/* Leave the line, having the lock. */
void cf_place_leave(struct cf_mapping *m, struct cf_place *place);

/* The wait is over.  Who is still in line did not get the lock, and calls whoever is behind. */
void cf_place_end(struct cf_mapping *m, struct cf_place *place, uint64_t hash);

/* Sleep once: until called, or for ns at most; no longer than the lease in the way lasts.
 * Enters the line if it is not in it. */
void cf_wait(struct cf_mapping *m, struct cf_place *place, const struct cf_key *key,
             uint64_t thread, uint64_t ns);

#endif
