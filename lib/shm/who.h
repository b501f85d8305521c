/* What is told to people of holders and waiters.  Confirms what it read; changes nothing, but that
 * cf_waiters notes a death that nobody noted before. */
#ifndef CF_SHM_WHO_H
#define CF_SHM_WHO_H

#include <cachify/cachify.h>

#include "shm/record.h"

/* A record's value, as much of it as there is room for; its whole length, 0 if that cannot be
 * right.  To be confirmed like any copy. */
uint32_t cf_record_value(const struct cf_mapping *m, const struct cf_record *r, void *to,
                         uint32_t room);

/* Everything a person may want to know of a lease.  To be confirmed like any copy; fills
 * all but state, remaining_ms and waiters. */
void cf_record_describe(const struct cf_mapping *m, const struct cf_record *r, uint64_t now,
                        cachify_info_t *info);

/* pid, thread and command of an owner's thread (cf_thread_make). */
void cf_thread_describe(const struct cf_mapping *m, cf_owner owner, uint64_t thread,
                        cachify_info_t *info);

/* The same of a waiter. */
void cf_waiter_describe(const struct cf_mapping *m, uint32_t i, cachify_info_t *info);

/* Milliseconds from now to a deadline, rounded down, so that nobody is told too much;
 * CACHIFY_NEVER for none. */
int64_t cf_remaining_ms(uint64_t deadline, uint64_t now);

/* Who waits for the key, in order of arrival; until fn returns other than 0.  OK; NO_MEMORY. */
cachify_status_t cf_waiters(struct cf_mapping *m, const struct cf_key *key,
                            int (*fn)(void *context, const cachify_waiter_t *), void *context);

#endif
