/* Instances: opening, publishing, and keeping them alive while they are used.
 *
 * A call pins its instance, then looks whether it is open; closing marks it closed, then
 * adds up the pins (a light and a heavy fence between store and load, fork.h, so one of
 * the two sees the other).  It is destroyed once they add up to zero: by close, or by the
 * call that takes the last one away.  The pointer to the global instance is RCU's, from
 * where it is read to where the pin is seen.  The memory of closed instances is kept and
 * reused late, so that use after close is an answer, not a crash.
 */
#ifndef CF_FACE_INSTANCE_H
#define CF_FACE_INSTANCE_H

#include <cachify/client.h>

#include "face/thread.h"

enum cf_instance_state { CF_INSTANCE_OPEN = 0x0ca0f1e1, CF_INSTANCE_CLOSED = 0x0c105ed0 };

struct cachify_instance {
    _Atomic uint32_t state; /* cf_instance_state; anything else was never an instance */
    uint32_t key_max;
    _Atomic uint64_t opened; /* differs each time this memory is opened; 0 once destroyed */
    uint32_t prefix_len;
    char *prefix;
    int64_t default_exp_ms;
    int64_t poll_interval_ms;
    cachify_client_t client;

    /* Guarded by the process lock. */
    uint64_t process; /* serial of the process whose pins are counted here */
    int64_t pins;     /* of threads that have ended, and of bindings being made */
    struct cf_binding *bindings;
    struct cachify_instance *next; /* closing, or closed and waiting for reuse */
};

/* Pin a lease's instance for a call that another thread's release may overtake.
 * OK; LOST: it was overtaken (not reported); what a client's enter reports. */
struct cf_face_lease;
cachify_status_t cf_instance_enter_lease(struct cf_face_lease *lease, struct cf_binding **binding);

/* Destroy what is closed and no longer pinned. */
void cf_instance_reap(void);

static inline bool cf_instance_is_open(const cachify_t *instance)
{
    return instance != NULL && cf_load_acquire(&instance->state) == CF_INSTANCE_OPEN;
}

/* Take one pin away.  Destroys the instance if it was closed and this was the last. */
static inline void cf_instance_leave(struct cf_binding *binding, const cachify_t *instance)
{
    cf_pin(binding, -1);
    cf_fence_light();
    if (__builtin_expect(!cf_instance_is_open(instance), 0))
        cf_instance_reap();
}

cachify_status_t cf_instance_enter_slow(cachify_t *handle, struct cf_binding **binding);

/* Pin it if this thread has used it before and it is open.  If it was closed in between,
 * the pin may have kept it from being destroyed, so it is taken away as any other is. */
static inline struct cf_binding *cf_pin_open(cachify_t *instance)
{
    struct cf_binding *b = cf_binding_of(instance);
    if (__builtin_expect(b == NULL, 0))
        return NULL;
    cf_pin(b, 1);
    cf_fence_light();
    if (__builtin_expect(cf_instance_is_open(instance) && cf_binds(b, instance), 1))
        return b;
    cf_instance_leave(b, instance);
    return NULL;
}

/* Pin the instance (NULL: the global one) for a call of this thread.
 * OK, NOT_INITIALIZED, INVALID, and what a client's enter reports. */
static inline cachify_status_t cf_instance_enter(cachify_t *handle, struct cf_binding **binding)
{
    struct cf_binding *b = handle != NULL ? cf_pin_open(handle) : NULL;
    if (__builtin_expect(b == NULL, 0))
        return cf_instance_enter_slow(handle, binding);
    *binding = b;
    return CACHIFY_OK;
}

/* In a forked child: the parent's threads and pins are none of the child's.  Frees what is
 * left of them, with the first use of each instance.  Call with the process lock held. */
void cf_instance_forget_parent(cachify_t *instance);

#endif
