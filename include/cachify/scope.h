/* Locks that end with a block of code.  Included by <cachify/cachify.h>.
 *
 *     cachify_status_t status;
 *     CACHIFY_WITH(held, NULL, &lock, &status) {
 *         ...                       // only while held; cachify_extend(&held.lease, 0) renews
 *     }
 *     if (status != CACHIFY_OK) ... // it was not run (LOCKED, TIMEOUT, ...), or LOST meanwhile
 *
 * The lease goes back on fall-through, break, continue, goto, return, and, where the code
 * around is compiled with -fexceptions and the C library is glibc, when the thread is cancelled
 * or exits or an exception passes.  longjmp past it is not noticed: then the lease ends with its
 * expiry, or the process.
 * Compilers: gcc and clang, for __attribute__((cleanup)).  C++ has <cachify/cachify.hpp>.
 */
#ifndef CACHIFY_SCOPE_H
#define CACHIFY_SCOPE_H

#include <cachify/cachify.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cachify_scope {
    cachify_lease_t lease;
    cachify_status_t status; /* of the acquisition; after the end: OK, or LOST, or what else the
                                release said */
    uint32_t reserved;
    cachify_status_t *report; /* status is written there as well, unless NULL */
} cachify_scope_t;

/* What the two macros call.  begin overwrites *scope and acquires; scope if that was OK, else
 * NULL.  end releases, once; whatever status was, it may be called again. */
CACHIFY_API cachify_scope_t *cachify_scope_begin(cachify_scope_t *scope, cachify_t *instance,
                                                 const cachify_lock_t *lock,
                                                 cachify_status_t *status);
CACHIFY_API void cachify_scope_end(cachify_scope_t *scope);

#if defined(__GNUC__)
#define CACHIFY_SCOPE_(name)                                                                       \
    cachify_scope_t name                                                                           \
        __attribute__((cleanup(cachify_scope_end))) = {CACHIFY_LEASE_INIT, CACHIFY_OK, 0, NULL}

/* A context manager: runs the block that follows, once, if lock was had.  name: of the
 * cachify_scope_t that the block sees.  status: cachify_status_t *, or NULL. */
#define CACHIFY_WITH(name, instance, lock, status)                                                 \
    for (CACHIFY_SCOPE_(name),                                                                     \
         *name##_body = cachify_scope_begin(&(name), (instance), (lock), (status));                \
         name##_body != NULL; name##_body = NULL)

/* A declaration: from here to the end of the block.  Look at name.status before going on. */
#define CACHIFY_SCOPED(name, instance, lock)                                                       \
    CACHIFY_SCOPE_(name);                                                                          \
    (void)cachify_scope_begin(&(name), (instance), (lock), NULL)
#endif

#ifdef __cplusplus
}
#endif

#endif
