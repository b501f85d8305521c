/* A thread as an instance knows it, and the pins that keep an instance alive. */
#ifndef CF_FACE_THREAD_H
#define CF_FACE_THREAD_H

#include <cachify/client.h>

#include "face/key.h"
#include "ground/atomics.h"
#include "ground/fork.h"
#include "ground/thread.h"

/* Threads and instances have lists of what binds them, both guarded by the process lock.
 * Only the thread itself writes pins and caller. */
struct cf_binding {
    cachify_caller_t caller;
    struct cf_full_key key;      /* of the last call that had one */
    bool key_requested;          /* and there was an acquire of it since it is there */
    bool key_asked;              /* or it was asked whether it is locked */
    cachify_t *_Atomic instance; /* NULL once that is destroyed: the thread frees the rest */
    _Atomic int64_t pins;        /* calls under way and leases: taken by this thread, less given
                             back by it; only the sum over an instance's threads counts */
    struct cf_binding *next_of_thread;
    struct cf_binding *next_of_instance;
};

/* What the client has derived is of another key. */
static inline void cf_key_is_new(struct cf_binding *b)
{
    b->key_requested = false;
    b->key_asked = false;
}

struct cf_thread {
    uint64_t process; /* the process serial it was made in: differs in a forked child */
    uint32_t serial;
    struct cf_binding *last; /* the one used last */
    struct cf_binding *bindings;
};

extern _Thread_local struct cf_thread cf_thread CF_FAST_TLS;

static inline bool cf_binds(const struct cf_binding *b, const cachify_t *instance)
{
    return cf_load_relaxed(&b->instance) == instance;
}

/* This thread's binding to the instance if it has used it before; else NULL. */
static inline struct cf_binding *cf_binding_of(const cachify_t *instance)
{
    if (__builtin_expect(cf_thread.process != cf_process_serial(), 0))
        return NULL; /* a forked child: what last points to was the parent's */
    struct cf_binding *b = cf_thread.last;
    return __builtin_expect(b != NULL && cf_binds(b, instance), 1) ? b : NULL;
}

/* The same, found or made; NULL with a report when it cannot be.  The instance is pinned
 * by the caller. */
struct cf_binding *cf_bind(cachify_t *instance);

static inline void cf_pin(struct cf_binding *b, int64_t by)
{
    cf_store_release(&b->pins, cf_load_relaxed(&b->pins) + by);
}

#endif
