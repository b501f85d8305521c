#include "shm/lease.h"

#include <string.h>

#include "ground/report.h"
#include "shm/line.h"
#include "shm/liveness.h"
#include "shm/move.h"
#include "shm/who.h"

#define MANY_TRIES 100000u

/* A thread that keeps one record for so many releases gives it back and takes another,
 * so that no record's generations run round (README, "Generation"). */
#define KEEP_MASK UINT64_C(0xffff)

static cachify_status_t corrupt(const char *what)
{
    return cf_report(CACHIFY_CORRUPT, "%s: some process writes into the segment what is no lock",
                     what);
}

static cachify_status_t lost(void)
{
    return cf_report(CACHIFY_LOST,
                     "the lease had ended, and another took the lock or released it by force");
}

/* Whether the word in the slot is another record of this very lease: an extend moved it
 * on.  Same process, key and token; a confirmed copy. */
static bool moved_on(const struct cf_mapping *m, const cachify_grant_t *grant,
                     _Atomic uint64_t *slot, uint64_t hash, cf_word *w)
{
    for (uint32_t tries = 0; tries < MANY_TRIES; tries++) {
        *w = cf_load_acquire(slot);
        if (cf_word_state(*w) != CF_HELD || cf_word_record(*w) >= m->records)
            return false;
        const struct cf_record *r = cf_record_at(m, cf_word_record(*w));
        struct cf_copy copy = cf_record_copy(r);
        uint64_t its_hash = cf_load_relaxed(&r->hash);
        if (cf_copy_confirmed(slot, *w))
            return copy.owner == cf_self(m) && copy.token == grant->token && its_hash == hash;
    }
    return false;
}

/* The claimed record leaves its slot: idle as this thread's spare, or for good. */
static bool take_out_claimed(struct cf_mapping *m, struct cf_spare *spare, uint32_t number,
                             cf_word w)
{
    _Atomic uint64_t *slot = cf_slot_at(m, number);
    uint32_t r = cf_word_record(w);
    uint64_t generation = (cf_word_generation(w) + 1) & CF_GENERATION_MASK;
    if (spare->record == 0 && (generation & KEEP_MASK) != 0) {
        bool out = cf_cas64(slot, w, cf_word_released(w)); /* T7 */
        spare->record = (uint64_t)r + 1;
        spare->generation = generation;
        spare->slot = out ? number : 0;
        return out;
    }
    cf_token_keep(m, cf_record_at(m, r));
    bool out = cf_cas64(slot, w, 0); /* T8 */
    cf_store_release(&cf_record_at(m, r)->state, cf_state_free(generation));
    spare->cursor = (uint64_t)r + 1; /* the next one, so that records take turns */
    return out;
}

cachify_status_t cf_lease_release(struct cf_mapping *m, cachify_caller_t *caller,
                                  cachify_grant_t *grant)
{
    struct cf_lease *lease = cf_lease_of(grant);
    struct cf_spare *spare = cf_spare_of(caller);
    uint32_t number = (uint32_t)lease->slot;
    uint64_t hash = lease->hash;
    cf_word w = cf_load_acquire(&lease->word);
    for (uint32_t tries = 0; tries < MANY_TRIES; tries++) {
        if (cf_record_claim(m, w) && take_out_claimed(m, spare, number, w)) {
            cf_call(m, hash);
            return CACHIFY_OK;
        }
        cf_spare_settle(m, spare);
        cf_word next;
        if (!moved_on(m, grant, cf_slot_at(m, number), hash, &next) || next == w)
            return lost();
        w = next;
    }
    return corrupt("a lease could not be released");
}

/* A lease that another thread extends was handed on: its first thread may wait for it. */
static void mark_handed_on(struct cf_record *r, const cachify_caller_t *caller)
{
    uint64_t thread = cf_load_relaxed(&r->thread);
    if (cf_thread_tid(thread) != caller->thread_id)
        cf_store_relaxed(&r->thread,
                         cf_thread_make(cf_thread_pid(thread), cf_thread_tid(thread), 0));
}

/* T6 once.  True if it was done; else *w is the word to try next, 0 if the lease is lost. */
static bool extend_once(struct cf_mapping *m, cachify_caller_t *caller, cachify_grant_t *grant,
                        cf_word *w, uint64_t deadline)
{
    struct cf_lease *lease = cf_lease_of(grant);
    struct cf_spare *spare = cf_spare_of(caller);
    uint32_t r = (uint32_t)spare->record - 1;
    _Atomic uint64_t *slot = cf_slot_at(m, (uint32_t)lease->slot);
    cf_word known = cf_load_acquire(&lease->word);
    cf_word mine = cf_word_make(CF_HELD, lease->hash, spare->generation, r);
    cf_lease_copy(m, cf_word_record(*w), r, deadline);
    mark_handed_on(cf_record_at(m, r), caller);
    uint64_t before = cf_load_relaxed(&cf_record_at(m, cf_word_record(*w))->deadline);
    if (!cf_cas64(slot, *w, mine)) {
        if (!moved_on(m, grant, slot, lease->hash, w))
            *w = 0;
        return false;
    }
    spare->record = 0;
    spare->cursor = cf_word_record(*w);
    /* The lease learns of it by CAS: another extend may have been quicker to say so. */
    if (cf_cas64(&lease->word, known, mine))
        cf_store_release(&lease->deadline, deadline);
    cf_lease_move_back(m, lease, *w);
    if (deadline < before)
        cf_call_sooner(m, lease->hash, deadline);
    return true;
}

cachify_status_t cf_lease_extend(struct cf_mapping *m, cachify_caller_t *caller,
                                 cachify_grant_t *grant, int64_t exp_ms)
{
    struct cf_spare *spare = cf_spare_of(caller);
    cf_word w = cf_load_acquire(&cf_lease_of(grant)->word);
    for (uint32_t tries = 0; tries < MANY_TRIES; tries++) {
        if (!cf_spare_in_hand(m, spare, CF_IN_PLACE))
            return cf_report(CACHIFY_FULL, "the segment has no record left to extend a lease with");
        if (extend_once(m, caller, grant, &w, cf_deadline(m, cf_now_coarse(m), exp_ms)))
            return CACHIFY_OK;
        if (w == 0)
            break;
    }
    cf_spare_settle(m, spare);
    return w == 0 ? lost() : corrupt("a lease could not be extended");
}

static int64_t left_ns(uint64_t deadline, uint64_t now)
{
    if (deadline == UINT64_MAX)
        return CACHIFY_NEVER;
    uint64_t left = deadline > now ? deadline - now : 0;
    return left < INT64_MAX ? (int64_t)left : INT64_MAX - 1; /* deadlines are not trusted */
}

int64_t cf_lease_remaining_ns(struct cf_mapping *m, const cachify_grant_t *grant)
{
    const struct cf_lease *lease = (const struct cf_lease *)grant->store;
    _Atomic uint64_t *slot = cf_slot_at(m, (uint32_t)lease->slot);
    cf_word w = cf_load_acquire(slot);
    if (w != cf_load_acquire(&lease->word) && !moved_on(m, grant, slot, lease->hash, &w))
        return 0;
    /* The record's own deadline: it is the one that others honour. */
    uint64_t deadline = cf_load_relaxed(&cf_record_at(m, cf_word_record(w))->deadline);
    if (!cf_copy_confirmed(slot, w))
        deadline = cf_load_relaxed(&lease->deadline);
    return left_ns(deadline, cf_now(m));
}

cachify_status_t cf_force(struct cf_mapping *m, const struct cf_key *key)
{
    uint64_t token = 0;
    for (uint32_t tries = 0; tries < MANY_TRIES; tries++) {
        struct cf_found found;
        if (!cf_table_find(m, key, &found))
            break;
        if (found.slot == 0 || cf_word_state(found.word) != CF_HELD ||
            (token != 0 && found.copy.token != token))
            return CACHIFY_OK; /* free, or taken anew since we were asked */
        token = found.copy.token;
        unsigned place = cf_intent_begin(m, found.word);
        cf_token_keep(m, cf_record_at(m, cf_word_record(found.word)));
        bool out = cf_cas64(cf_slot_at(m, found.slot), found.word, 0); /* T8 */
        if (out)
            cf_record_free(m, found.word);
        cf_intent_end(m, place);
        if (out) {
            cf_call(m, key->hash);
            return CACHIFY_OK;
        }
    }
    return corrupt("a lock could not be released by key");
}

int64_t cf_remaining_ms(uint64_t deadline, uint64_t now)
{
    int64_t ns = left_ns(deadline, now);
    return ns == CACHIFY_NEVER ? ns : ns / (int64_t)CF_MS;
}

static cachify_status_t none_held(void)
{
    return cf_report(CACHIFY_LOST, "nobody holds the lock, so it has no value");
}

cachify_status_t cf_is_locked(struct cf_mapping *m, const struct cf_key *key, uint64_t now,
                              bool *locked)
{
    struct cf_found found;
    if (!cf_table_find(m, key, &found))
        return corrupt("a lock could not be looked at");
    *locked = found.slot != 0 && cf_word_state(found.word) == CF_HELD &&
              cf_lease_live(m, &found.copy, now);
    return CACHIFY_OK;
}

cachify_status_t cf_get(struct cf_mapping *m, const struct cf_key *key, void *value, uint32_t *len)
{
    char copy[CF_VALUE_MAX_LIMIT];
    for (uint32_t tries = 0; tries < MANY_TRIES; tries++) {
        struct cf_found found;
        if (!cf_table_find(m, key, &found))
            break;
        if (found.slot == 0 || cf_word_state(found.word) != CF_HELD)
            return none_held();
        uint32_t have =
            cf_record_value(m, cf_record_at(m, cf_word_record(found.word)), copy, sizeof copy);
        if (!cf_copy_confirmed(cf_slot_at(m, found.slot), found.word))
            continue;
        if (!cf_lease_live(m, &found.copy, cf_now_coarse(m)))
            return none_held();
        if (have > *len)
            return cf_report(CACHIFY_INVALID, "a value of %u bytes does not fit %u", have, *len);
        memcpy(value, copy, have);
        *len = have;
        return CACHIFY_OK;
    }
    return corrupt("a value could not be read");
}

cachify_status_t cf_query(struct cf_mapping *m, const struct cf_key *key, cachify_info_t *info)
{
    for (uint32_t tries = 0; tries < MANY_TRIES; tries++) {
        struct cf_found found;
        if (!cf_table_find(m, key, &found))
            break;
        *info = (cachify_info_t){.state = CACHIFY_STATE_FREE,
                                 .waiters = cf_count_waiters(m, key->hash)};
        if (found.slot == 0 || cf_word_state(found.word) != CF_HELD)
            return CACHIFY_OK;
        uint64_t now = cf_now(m);
        cf_record_describe(m, cf_record_at(m, cf_word_record(found.word)), now, info);
        if (!cf_copy_confirmed(cf_slot_at(m, found.slot), found.word))
            continue;
        info->remaining_ms = cf_remaining_ms(found.copy.deadline, now);
        info->state = found.copy.deadline <= now                ? CACHIFY_STATE_EXPIRED
                      : cf_owner_dead(m, found.copy.owner, now) ? CACHIFY_STATE_OWNER_DEAD
                                                                : CACHIFY_STATE_HELD;
        return CACHIFY_OK;
    }
    return corrupt("a lock could not be looked at");
}
