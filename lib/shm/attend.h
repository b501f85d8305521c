/* Acquisitions that an event loop waits for: the client's half of cachify_acquire_start.
 * README.md, section 9, "Event loops". */
#ifndef CF_SHM_ATTEND_H
#define CF_SHM_ATTEND_H

#include "shm/table.h"

struct cf_pending;

/* Enter the line for request's key (which stays valid until the end), and from now on see to
 * it that timer, a timerfd, expires at once whenever the lock may be had; it also expires at
 * until (ns, monotonic clock; UINT64_MAX never).  poll_ns: look at the lock so often.
 * OK; NO_MEMORY. */
cachify_status_t cf_pending_begin(struct cf_mapping *m, const cachify_caller_t *caller,
                                  const struct cf_key *key, int timer, uint64_t until,
                                  uint64_t poll_ns, struct cf_pending **pending);

/* Try; if it is busy, the timer is quiet until there is something to do again. */
cachify_status_t cf_pending_try(struct cf_mapping *m, cachify_caller_t *caller,
                                struct cf_pending *pending, const cachify_request_t *request,
                                cachify_grant_t *grant);

/* Leave the line; frees pending. */
void cf_pending_end(struct cf_mapping *m, struct cf_pending *pending);

/* Before the mapping goes: nothing is pending any more. */
void cf_attendant_end(struct cf_mapping *m);

#endif
