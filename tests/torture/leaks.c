#include <stdio.h>
#include <unistd.h>

#include "worker.h"

#define MOST_LOCKS 64 /* that the table is filled with */

static cachify_lease_t held[MOST_LOCKS];

static cachify_shm_counts_t counts(cachify_shm_view_t *view)
{
    cachify_shm_counts_t c = {.size = sizeof c};
    cachify_status_t status = cachify_shm_count(view, &c);
    if (status != CACHIFY_OK)
        violation(RULE_NO_LEAK, "count: %s", cachify_last_error());
    return c;
}

static void expect_empty(const cachify_shm_counts_t *c, const char *when, uint32_t processes,
                         uint32_t spares)
{
    if (c->held != 0 || c->inserting != 0 || c->idle > spares || c->taken > spares ||
        c->processes != processes || c->waiters != 0)
        violation(RULE_NO_LEAK,
                  "%s: held %u, inserting %u, idle %u, records taken %u, processes %u, waiters %u; "
                  "expected 0, 0, at most %u, at most %u, %u, 0",
                  when, c->held, c->inserting, c->idle, c->taken, c->processes, c->waiters, spares,
                  spares, processes);
}

static cachify_status_t take(cachify_t *instance, unsigned n, cachify_lease_t *lease)
{
    char key[32];
    snprintf(key, sizeof key, "filler-%u", n);
    cachify_lock_t lock = {.size = sizeof lock, .key = key, .exp_ms = CACHIFY_NEVER};
    return cachify_acquire(instance, &lock, lease);
}

/* Whatever the tortured did, max_locks leases fit, and not one more. */
static void fill(const struct plan *plan, cachify_t *instance)
{
    unsigned locks = plan->max_locks < MOST_LOCKS ? plan->max_locks : MOST_LOCKS;
    for (unsigned i = 0; i < locks; i++) {
        cachify_status_t status = take(instance, i, &held[i]);
        if (status != CACHIFY_OK)
            violation(RULE_NO_LEAK, "lock %u of %u in an empty table: %s: %s", i + 1,
                      plan->max_locks, cachify_strerror(status), cachify_last_error());
    }
    cachify_lease_t more = CACHIFY_LEASE_INIT;
    if (locks == plan->max_locks && take(instance, locks, &more) != CACHIFY_FULL)
        violation(RULE_FULL, "lock %u of %u was not refused", locks + 1, plan->max_locks);
    cachify_release(&more);
    for (unsigned i = 0; i < locks; i++)
        if (cachify_release(&held[i]) != CACHIFY_OK)
            violation(RULE_NO_LEAK, "lock %u in a filled table was lost", i);
}

/* Overflow bits go away as keys are looked for and not found. */
static void clear_overflow(cachify_t *instance, cachify_shm_view_t *view)
{
    cachify_shm_counts_t c = counts(view);
    for (unsigned n = 0; c.overflowing != 0 && n < 50000; n++) {
        cachify_lease_t lease = CACHIFY_LEASE_INIT;
        take(instance, 1000 + n, &lease);
        cachify_release(&lease);
        if (n % 100 == 99)
            c = counts(view);
    }
    if (c.overflowing != 0)
        violation(RULE_NO_LEAK, "%u groups overflow for ever (longest path %u)", c.overflowing,
                  c.longest_path);
}

void leaks_main(const struct plan *plan)
{
    cachify_t *instance;
    cachify_shm_view_t *view;
    if (!open_instance(plan, &instance))
        _exit(1);
    if (cachify_shm_open(NULL, plan->path, &view) != CACHIFY_OK) {
        violation(RULE_NO_LEAK, "view: %s", cachify_last_error());
        _exit(1);
    }
    cachify_shm_sweep(instance);
    cachify_shm_counts_t c = counts(view);
    expect_empty(&c, "after a sweep", 1, 0);
    fill(plan, instance);
    clear_overflow(instance, view);
    c = counts(view);
    expect_empty(&c, "after the table was filled", 1, 1);
    cachify_close(instance);
    c = counts(view);
    expect_empty(&c, "after the last process closed", 0, 0);
    cachify_shm_close(view);
    _exit(0);
}
