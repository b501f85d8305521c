#include "shm/wait.h"

#include "shm/line.h"
#include "shm/segment.h"
#include "shm/table.h"

/* ---- Whom to await ---- */

/* The place awaits this owner, from now on if it is another than before; with a watch once
 * that takes long.  When to look again for the sake of that. */
static uint64_t await(struct cf_mapping *m, struct cf_place *place, cf_owner owner, uint64_t now)
{
    struct cf_waiter *w = cf_waiter_at(m, cf_place_waiter(place));
    if (place->awaited != owner) {
        cf_watch_end(m, place->watch);
        place->watch = NULL;
        place->awaited = owner;
        place->awaited_since = now;
        cf_store_relaxed(&w->awaited, owner);
    }
    if (owner == cf_self(m) || place->watch != NULL)
        return UINT64_MAX;
    if (now - place->awaited_since < CF_UNWATCHED_NS)
        return place->awaited_since + CF_UNWATCHED_NS;
    place->watch = cf_watch_begin(m, owner);
    return UINT64_MAX;
}

/* Who is before the place in line.  Not looked for as long as it is who it was.  *passed: who was
 * absent was passed over. */
static bool find_before(struct cf_mapping *m, struct cf_place *place, cf_owner *owner, bool *passed)
{
    uint32_t own = cf_place_waiter(place);
    *passed = false;
    if (place->before != 0 &&
        cf_line_still_before(m, own, (uint32_t)place->before - 1, place->awaited)) {
        *owner = place->awaited;
        return true;
    }
    uint32_t before = cf_line_before(m, own, owner, passed);
    place->before = (uint64_t)before + 1;
    if (before == CF_NO_WAITER)
        place->before = 0;
    return before != CF_NO_WAITER;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The first awaits the holder, and is up when the lease ends.  Everybody else awaits who is
 * before him, and is up a turn after that one should be: he may be stopped.  Who passed over
 * an absent one looks again soon: should that one come back, it is the one to be awaited. */
static uint64_t await_holder(struct cf_mapping *m, struct cf_place *place,
                             const struct cf_copy *lease, uint64_t now)
{
    cf_owner owner;
    bool passed;
    uint64_t until = lease->deadline;
    if (find_before(m, place, &owner, &passed)) {
        uint64_t its = cf_load_relaxed(&cf_waiter_at(m, (uint32_t)place->before - 1)->until);
        until = its > now && its < UINT64_MAX / 2 ? its + CF_TURN_NS + CF_MS : UINT64_MAX;
    } else {
        owner = lease->owner;
    }
    if (passed)
        until = earlier(until, now + CF_UNWATCHED_NS);
    return earlier(until, await(m, place, owner, now));
}

/* The lock is free, and kept for another for as long as his turn lasts. */
static uint64_t await_turn(struct cf_mapping *m, struct cf_place *place, uint32_t ahead,
                           uint64_t now)
{
    const struct cf_waiter *w = cf_waiter_at(m, ahead);
    uint64_t turn = cf_load_relaxed(&w->turn);
    cf_owner owner = cf_load_relaxed(&w->owner);
    place->before = (uint64_t)ahead + 1;
    await(m, place, owner != 0 ? owner : cf_self(m), now);
    return earlier(turn > now ? turn : now, now + CF_TURN_NS);
}

/* ---- A place ---- */

bool cf_place_enter(struct cf_mapping *m, struct cf_place *place, const struct cf_key *key,
                    uint64_t thread, bool by_bell)
{
    uint32_t entry = cf_line_enter(m, key->hash, thread, by_bell);
    *place = (struct cf_place){.entry = (uint64_t)entry + 1};
    if (entry == CF_NO_WAITER)
        place->entry = 0;
    return entry != CF_NO_WAITER;
}

struct cf_rest cf_place_arm(struct cf_mapping *m, struct cf_place *place, const struct cf_key *key,
                            uint64_t limit)
{
    uint32_t own = cf_place_waiter(place);
    struct cf_rest rest = {.armed = cf_line_arm(m, own, key->hash)};
    struct cf_found found;
    cf_table_find(m, key, &found);
    uint64_t now = cf_now(m);
    if (found.slot != 0 && cf_word_state(found.word) == CF_HELD &&
        cf_lease_live(m, &found.copy, now)) {
        rest.until = earlier(limit, await_holder(m, place, &found.copy, now));
        rest.record = cf_word_record(found.word);
        /* Who was before may have taken the lock since it was looked at: then it is not the
         * holder that was seen who is to be awaited. */
        rest.try_now = place->before == 0 && cf_load_seq(cf_slot_at(m, found.slot)) != found.word;
    } else {
        struct cf_quiet quiet = {0};
        uint32_t ahead = cf_line_ahead(m, key->hash, own, &quiet, now);
        rest.try_now = ahead == CF_NO_WAITER;
        if (!rest.try_now)
            rest.until = earlier(limit, await_turn(m, place, ahead, now));
    }
    cf_store_relaxed(&cf_waiter_at(m, own)->until, rest.until);
    return rest;
}

void cf_place_leave(struct cf_mapping *m, struct cf_place *place)
{
    if (place->entry != 0)
        cf_line_leave(m, cf_place_waiter(place));
    place->entry = 0;
}

void cf_place_end(struct cf_mapping *m, struct cf_place *place, uint64_t hash)
{
    uint32_t own = cf_place_waiter(place);
    if (place->entry != 0 && !cf_load_relaxed(&m->cut_short)) {
        uint64_t since = cf_load_relaxed(&cf_waiter_at(m, own)->since);
        cf_place_leave(m, place);
        cf_line_call_behind(m, hash, since, own);
    }
    if (place->watch != NULL)
        cf_store_relaxed(&m->watch_needed, cf_now_coarse(m));
    cf_watch_end(m, place->watch);
    *place = (struct cf_place){0};
}

/* ---- Spinning ---- */

#define SPINS_MOST 100u /* pauses: some 2 us, less than a sleep and its wake cost */
#define SPINS_PROBE 16u /* every so many waits it is tried, whatever was learnt */
/* A lock that changes hands as fast as this is better left to who has it: each hand-over costs
 * more than it is held.  (Seen: two processes in a tight loop, 280 ns instead of 80.) */
#define SPINS_LEAST 4u

/* How long pays is learnt from how long it took when it ended well.  Whether it does is a
 * matter of whether the holder runs, on another processor, and is soon done. */
static uint32_t spins_worth(struct cf_mapping *m)
{
    uint32_t learnt = cf_load_relaxed(&m->spins);
    if (m->processors < 2)
        return 0;
    if (cf_add_relaxed(&m->spin_waits, 1) % SPINS_PROBE == 0)
        return SPINS_MOST;
    return learnt == 0 ? 0 : learnt < SPINS_MOST / 2 ? 2 * learnt : SPINS_MOST;
}

/* Threads may lose each other's lessons, which is no matter. */
static void learn(struct cf_mapping *m, uint32_t took, bool well)
{
    uint32_t learnt = cf_load_relaxed(&m->spins);
    cf_store_relaxed(&m->spins, well ? (3 * learnt + took + 4) / 4 : learnt / 2);
}

/* Whether the lock was seen to change hands, by somebody who is not in line yet. */
static bool spin(struct cf_mapping *m, const struct cf_key *key)
{
    uint32_t most = spins_worth(m);
    struct cf_found found;
    if (most == 0)
        return false;
    cf_table_find(m, key, &found);
    if (found.slot == 0)
        return true;
    for (uint32_t i = 0; i < most; i++) {
        if (cf_load_relaxed(cf_slot_at(m, found.slot)) != found.word) {
            learn(m, i, i >= SPINS_LEAST);
            return true;
        }
        cf_pause();
    }
    learn(m, most, false);
    return false;
}

/* ---- A thread's sleep ---- */

/* Who slept long finds nothing in the caches any more: ask for all at once. */
static void fetch(const struct cf_mapping *m, uint64_t hash, uint32_t record)
{
    const struct cf_record *r = cf_record_at(m, record);
    __builtin_prefetch(cf_wait_word(m, hash), 1);
    __builtin_prefetch(r);
    __builtin_prefetch(r->text);
    __builtin_prefetch(cf_line_at(m), 1);
    __builtin_prefetch(&m->process_at[cf_owner_entry(cf_self(m))]);
}

void cf_wait(struct cf_mapping *m, struct cf_place *place, const struct cf_key *key,
             uint64_t thread, uint64_t ns)
{
    if (place->entry == 0 && spin(m, key))
        return;
    uint64_t limit = cf_now(m) + ns;
    if (place->entry == 0 && !cf_place_enter(m, place, key, thread, false)) {
        cf_nanosleep(ns); /* nobody can call it: it looks again after the poll interval */
        return;
    }
    struct cf_rest rest = cf_place_arm(m, place, key, limit);
    uint64_t now = cf_now(m);
    if (rest.try_now || rest.until <= now)
        return;
    struct cf_waiter *w = cf_waiter_at(m, cf_place_waiter(place));
    if (cf_futex_wait(&w->word, rest.armed, rest.until - now))
        fetch(m, key->hash, rest.record);
    else
        cf_segment_cut_short(m); /* before its memory is touched again */
}
