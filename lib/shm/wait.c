#include "shm/wait.h"

#include <limits.h>

#include "shm/liveness.h"
#include "shm/segment.h"

#define PASSED 0x100u
#define SEQUENCE 0x200u

static _Atomic uint32_t *wait_word(const struct cf_mapping *m, uint64_t hash)
{
    return &m->group_at[cf_home(m, hash)].wait;
}

void cf_wake_slow(struct cf_mapping *m, uint64_t hash, enum cf_wake_mode mode)
{
    _Atomic uint32_t *word = wait_word(m, hash);
    uint32_t class = cf_wait_class(hash);
    uint32_t value = cf_add_seq(word, SEQUENCE) + SEQUENCE;
    if (cf_futex_wake(word, mode == CF_WAKE_ALL ? INT_MAX : 1, class) == 0)
        cf_cas32(word, value, value & ~class);
}

uint32_t cf_wait_arm(struct cf_mapping *m, uint64_t hash)
{
    _Atomic uint32_t *word = wait_word(m, hash);
    uint32_t old = cf_load_relaxed(word);
    uint32_t armed;
    do {
        armed = ((old + SEQUENCE) & ~PASSED) | cf_wait_class(hash);
    } while (!cf_try32(word, &old, armed));
    return armed;
}

/* A place in the list of waiters, for those who ask; NULL if there is none free near the
 * key's own, which costs nothing but that this one is not listed. */
static struct cf_waiter *enlist(struct cf_mapping *m, uint64_t hash)
{
    for (uint32_t i = 0; i < 64; i++) {
        struct cf_waiter *w = &m->waiter_at[(hash + i) % m->waiters];
        cf_owner owner = cf_load_relaxed(&w->owner);
        if ((owner == 0 || cf_owner_known_dead(m, owner)) &&
            cf_cas64(&w->owner, owner, cf_self(m))) {
            cf_store_relaxed(&w->since, cf_now_coarse(m));
            cf_store_relaxed(&w->hash, hash);
            return w;
        }
    }
    return NULL;
}

bool cf_wait_sleep(struct cf_mapping *m, uint64_t hash, uint32_t armed, uint64_t ns)
{
    struct cf_waiter *w = enlist(m, hash);
    bool woken = cf_futex_wait(wait_word(m, hash), armed, cf_wait_class(hash), ns);
    if (!woken && cf_segment_gone(m, cf_now_coarse(m)) && cf_load_relaxed(&m->cut_short))
        return false;
    if (w != NULL) {
        cf_store_relaxed(&w->hash, 0);
        cf_store_release(&w->owner, 0);
    }
    return woken;
}

void cf_wait_pass_on(struct cf_mapping *m, uint64_t hash)
{
    _Atomic uint32_t *word = wait_word(m, hash);
    uint32_t old = cf_load_relaxed(word);
    do {
        if ((old & PASSED) != 0)
            return;
    } while (!cf_try32(word, &old, (old + SEQUENCE) | PASSED));
    cf_futex_wake(word, INT_MAX, cf_wait_class(hash));
}

uint32_t cf_count_waiters(struct cf_mapping *m, uint64_t hash)
{
    uint32_t count = 0;
    uint64_t now = cf_now(m);
    for (uint32_t i = 0; i < m->waiters; i++) {
        struct cf_waiter *w = &m->waiter_at[i];
        cf_owner owner = cf_load_acquire(&w->owner);
        count += owner != 0 && cf_load_relaxed(&w->hash) == hash && !cf_owner_dead(m, owner, now);
    }
    return count;
}

void cf_sweep_waiters(struct cf_mapping *m)
{
    uint64_t now = cf_now(m);
    for (uint32_t i = 0; i < m->waiters; i++) {
        struct cf_waiter *w = &m->waiter_at[i];
        cf_owner owner = cf_load_acquire(&w->owner);
        if (owner != 0 && cf_owner_dead(m, owner, now))
            cf_cas64(&w->owner, owner, 0);
    }
}
