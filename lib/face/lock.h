/* What an acquisition is told and tells, whether a thread waits for it or an event loop. */
#ifndef CF_FACE_LOCK_H
#define CF_FACE_LOCK_H

#include "face/instance.h"
#include "face/lease.h"

/* A lock's options, checked, and in the terms of the client contract. */
struct cf_wish {
    cachify_request_t request;
    int64_t timeout_ms; /* CACHIFY_NEVER: without limit */
};

/* OK; INVALID; KEY_TOO_LONG.  The key lies in the binding, the note where the caller has it. */
cachify_status_t cf_make_wish(struct cf_wish *wish, const cachify_t *instance, struct cf_binding *b,
                              const cachify_lock_t *given);

/* Report a busy lock (status) and who has it; since: when the wait began, 0 for none. */
cachify_status_t cf_busy(cachify_status_t status, const cachify_t *instance,
                         const struct cf_wish *wish, uint64_t since,
                         const cachify_caller_t *caller);

/* Something done by key (NUL-terminated, without the prefix), which is in the binding then, with
 * the instance pinned. */
typedef cachify_status_t cf_by_key(const cachify_t *instance, struct cf_binding *b, void *context);
cachify_status_t cf_with_key(cachify_t *handle, const char *key, cf_by_key *act, void *context);

/* How long a waiter sleeps at most, in ns. */
uint64_t cf_poll_ns(const cachify_t *instance);

/* The lease is held; its grant is filled, and it has a pin on the instance. */
static inline void cf_lease_begin(struct cf_face_lease *lease, cachify_t *instance)
{
    lease->instance = instance;
    lease->process = cf_thread.process;
    lease->opened = cf_load_relaxed(&instance->opened);
    lease->home = lease;
    cf_store_release(&lease->state, CF_LEASE_HELD);
}

#endif
