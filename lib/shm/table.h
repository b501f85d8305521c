/* The table: finding a key's word, and acquiring.  Section 3 of README.md. */
#ifndef CF_SHM_TABLE_H
#define CF_SHM_TABLE_H

#include <cachify/client.h>

#include "shm/lease_pool.h"
#include "shm/record.h"
#include "shm/wait.h"

/* What the client keeps of a thread, in cachify_caller_t.store. */
struct cf_caller {
    struct cf_spare spare;
    struct cf_place place; /* in line, while it waits */
};

/* Where a walk found a key: its word in a slot, and a confirmed copy of its record. */
struct cf_found {
    uint32_t slot; /* 0: the key is not there */
    cf_word word;
    struct cf_copy copy;
};

/* What a client keeps of a grant, in cachify_grant_t.store. */
struct cf_lease {
    _Atomic uint64_t word; /* the held word; an extend moves it on */
    _Atomic uint64_t deadline;
    uint64_t slot;
    uint64_t hash;
    uint64_t reserved[2];
};

/* The held or idle word of a key.  False: a word kept changing under many looks, and was given up
 * as corrupt; nothing is found then. */
bool cf_table_find(struct cf_mapping *m, const struct cf_key *key, struct cf_found *found);

/* Set-if-not-exists.  now: the coarse clock (cf_now_coarse).  OK with the grant filled; LOCKED
 * with caller->holder, also where the lock is kept for another's turn; FULL; CORRUPT. */
cachify_status_t cf_table_acquire(struct cf_mapping *m, cachify_caller_t *caller,
                                  const struct cf_key *key, const cachify_request_t *request,
                                  uint64_t now, cachify_grant_t *grant);

/* The same without a look at who has it, or whose turn it is: whatever lease there is ends with
 * the step that begins this one (T5).  OK; FULL; CORRUPT. */
cachify_status_t cf_table_overwrite(struct cf_mapping *m, cachify_caller_t *caller,
                                    const struct cf_key *key, const cachify_request_t *request);

/* Leases shorter than this are timed by the precise clock, and those who wait are told. */
#define CF_BRIEF_MS 1000

/* The deadline of a lease that begins now, now being the coarse clock: it is behind by up
 * to 20 ms, which a lease of a second can bear (it ends early by that, for holder and
 * takers alike), a shorter one not. */
static inline uint64_t cf_deadline(const struct cf_mapping *m, uint64_t now, int64_t exp_ms)
{
    if (exp_ms == CACHIFY_NEVER)
        return UINT64_MAX;
    return (exp_ms >= CF_BRIEF_MS ? now : cf_now(m)) + (uint64_t)exp_ms * CF_MS;
}

/* Whether the lease in a confirmed copy lives: not expired, owner not proved dead.  Asks
 * the kernel about the owner at most once a millisecond.  now: the coarse clock will do, which is
 * behind by some milliseconds; it is not trusted with what others hold, nor with a lease's last
 * second. */
bool cf_lease_live(struct cf_mapping *m, const struct cf_copy *copy, uint64_t now);

static inline struct cf_spare *cf_spare_of(cachify_caller_t *caller)
{
    return &((struct cf_caller *)caller->store)->spare;
}

static inline struct cf_place *cf_place_of(cachify_caller_t *caller)
{
    return &((struct cf_caller *)caller->store)->place;
}

static inline struct cf_lease *cf_lease_of(cachify_grant_t *grant)
{
    return (struct cf_lease *)grant->store;
}

#endif
