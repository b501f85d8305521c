#include <cachify/cachify.h>

static void tell(cachify_scope_t *scope, cachify_status_t status)
{
    scope->status = status;
    if (scope->report != NULL)
        *scope->report = status;
}

cachify_scope_t *cachify_scope_begin(cachify_scope_t *scope, cachify_t *instance,
                                     const cachify_lock_t *lock, cachify_status_t *status)
{
    *scope = (cachify_scope_t){.report = status};
    tell(scope, cachify_acquire(instance, lock, &scope->lease));
    return scope->status == CACHIFY_OK ? scope : NULL;
}

/* A lease that was released before is empty, and OK. */
void cachify_scope_end(cachify_scope_t *scope)
{
    if (scope->status == CACHIFY_OK)
        tell(scope, cachify_release(&scope->lease));
    scope->report = NULL;
}
