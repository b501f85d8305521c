/* What can be done with a lease, and to one. */
#ifndef CF_SHM_LEASE_H
#define CF_SHM_LEASE_H

#include "shm/table.h"

/* T7 or T8.  OK; LOST; CORRUPT. */
cachify_status_t cf_lease_release(struct cf_mapping *m, cachify_caller_t *caller,
                                  cachify_grant_t *grant);

/* T6.  OK; LOST; FULL; CORRUPT. */
cachify_status_t cf_lease_extend(struct cf_mapping *m, cachify_caller_t *caller,
                                 cachify_grant_t *grant, int64_t exp_ms);

/* Nanoseconds left of it; 0 if it is over or lost; CACHIFY_NEVER. */
int64_t cf_lease_remaining_ns(struct cf_mapping *m, const cachify_grant_t *grant);

/* T8 on whatever is held.  OK; CORRUPT. */
cachify_status_t cf_force(struct cf_mapping *m, const struct cf_key *key);

/* Whether a key has a live lease.  Changes nothing.  now: the coarse clock. */
cachify_status_t cf_is_locked(struct cf_mapping *m, const struct cf_key *key, uint64_t now,
                              bool *locked);

/* The value of a live lease.  *len: room on entry, length on return.  OK; LOST: there is none;
 * INVALID: it does not fit; CORRUPT. */
cachify_status_t cf_get(struct cf_mapping *m, const struct cf_key *key, void *value, uint32_t *len);

/* State, holder and waiters of a key.  Changes nothing. */
cachify_status_t cf_query(struct cf_mapping *m, const struct cf_key *key, cachify_info_t *info);

#endif
