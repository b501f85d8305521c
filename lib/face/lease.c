#include "face/lease.h"

#include <inttypes.h>

#include "face/error.h"
#include "face/instance.h"
#include "face/options.h"
#include "ground/report.h"

#if defined(__has_include)
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define ONE_THREAD() (__libc_single_threaded)
#endif
#endif
#ifndef ONE_THREAD
#define ONE_THREAD() 0
#endif

/* Of two releases one acts.  In a process with one thread there are no two. */
static inline uint64_t empty(struct cf_face_lease *lease)
{
    if (!ONE_THREAD())
        return cf_exchange_seq(&lease->state, 0);
    uint64_t state = cf_load_relaxed(&lease->state);
    cf_store_relaxed(&lease->state, 0);
    return state;
}

/* The lease was another process's; its parent still has it. */
static cachify_status_t inherited(void)
{
    return cf_report(CACHIFY_INVALID,
                     "the lease belongs to the process that took it; this is a child of "
                     "that one, made by fork, and has no part in it");
}

static cachify_status_t outlived(void)
{
    return cf_report(CACHIFY_LOST, "this is the copy of a lease whose instance was closed since");
}

static cachify_status_t no_lease(uint64_t state)
{
    return cf_report(CACHIFY_INVALID,
                     "this is no lease (it begins with %016" PRIx64 "); expected one that "
                     "cachify_acquire filled, or CACHIFY_LEASE_INIT",
                     state);
}

cachify_status_t cachify_release(cachify_lease_t *given)
{
    struct cf_face_lease *lease = (struct cf_face_lease *)given;
    if (lease == NULL)
        return cf_report(CACHIFY_INVALID, "lease is NULL");
    uint64_t process = lease->process;
    cachify_t *instance = lease->instance;
    uint64_t opened = lease->opened;
    uint64_t state = empty(lease);
    if (state == 0)
        return CACHIFY_OK;
    if (state != CF_LEASE_HELD)
        return no_lease(state);
    if (process != cf_process_serial())
        return inherited();
    if (opened != cf_load_relaxed(&instance->opened))
        return outlived();
    struct cf_binding *b = cf_binding_of(instance);
    if (__builtin_expect(b == NULL, 0))
        b = cf_bind(instance);
    if (b == NULL) { /* no memory: nothing was given back, and it can be tried again */
        cf_store_release(&lease->state, CF_LEASE_HELD);
        return cf_last_failure();
    }
    cachify_status_t status =
        instance->client.release(instance->client.self, &b->caller, &lease->grant);
    /* The pin belongs to the lease where acquire put it.  Who releases a copy leaves it:
     * the other may still be asked, and is to be released, too. */
    if (__builtin_expect(lease->home == lease, 1))
        cf_instance_leave(b, instance);
    return status;
}

cachify_status_t cachify_extend(cachify_lease_t *given, int64_t exp_ms)
{
    struct cf_face_lease *lease = (struct cf_face_lease *)given;
    if (lease == NULL)
        return cf_report(CACHIFY_INVALID, "lease is NULL");
    uint64_t state = cf_load_acquire(&lease->state);
    if (state == 0)
        return cf_report(CACHIFY_LOST, "the lease is empty: released, or never acquired");
    if (state != CF_LEASE_HELD)
        return no_lease(state);
    if (lease->process != cf_process_serial())
        return inherited();
    cachify_t *instance = lease->instance;
    if (lease->opened != cf_load_relaxed(&instance->opened))
        return outlived();
    cachify_status_t status = cf_time_check(&exp_ms, instance->default_exp_ms, "exp_ms");
    if (status != CACHIFY_OK)
        return status;
    struct cf_binding *b;
    status = cf_instance_enter_lease(lease, &b);
    if (status == CACHIFY_LOST)
        return cf_report(CACHIFY_LOST, "the lease was released meanwhile");
    if (status != CACHIFY_OK)
        return status;
    status = instance->client.extend(instance->client.self, &b->caller, &lease->grant, exp_ms);
    cf_instance_leave(b, instance);
    return status;
}

/* ---- Questions ---- */

static int64_t remaining_ns(const cachify_lease_t *given)
{
    struct cf_face_lease *lease = (struct cf_face_lease *)given;
    struct cf_binding *b;
    if (lease == NULL || cf_load_acquire(&lease->state) != CF_LEASE_HELD ||
        lease->process != cf_process_serial())
        return 0;
    cachify_t *instance = lease->instance;
    if (cf_instance_enter_lease(lease, &b) != CACHIFY_OK)
        return 0;
    int64_t ns = instance->client.remaining_ns(instance->client.self, &b->caller, &lease->grant);
    cf_instance_leave(b, instance);
    return ns;
}

int64_t cachify_lease_remaining_ms(const cachify_lease_t *lease)
{
    int64_t ns = remaining_ns(lease);
    return ns == CACHIFY_NEVER ? ns : ns / 1000000;
}

bool cachify_lease_held(const cachify_lease_t *lease)
{
    return remaining_ns(lease) > 0;
}

uint64_t cachify_lease_token(const cachify_lease_t *given)
{
    const struct cf_face_lease *lease = (const struct cf_face_lease *)given;
    return lease != NULL && cf_load_acquire(&lease->state) == CF_LEASE_HELD ? lease->grant.token
                                                                            : 0;
}

cachify_how_t cachify_lease_origin(const cachify_lease_t *given, cachify_origin_t *origin)
{
    const struct cf_face_lease *lease = (const struct cf_face_lease *)given;
    cachify_origin_t found = {0};
    if (lease != NULL && cf_load_acquire(&lease->state) == CF_LEASE_HELD)
        found = (cachify_origin_t){
            .how = lease->grant.how,
            .previous_pid = lease->grant.previous_pid,
            .previous_token = lease->grant.previous_token,
        };
    if (origin != NULL && (origin->size == 0 || origin->size >= sizeof found)) {
        found.size = origin->size;
        *origin = found;
    }
    return (cachify_how_t)found.how;
}
