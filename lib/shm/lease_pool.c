#include "shm/lease_pool.h"

#include <sched.h>

#include "shm/sweep.h"

#define NO_RECORD UINT32_MAX

void cf_token_keep(struct cf_mapping *m, const struct cf_record *record)
{
    uint64_t token = cf_load_relaxed(&record->token);
    _Atomic uint64_t *counter = &m->group_at[cf_home(m, cf_load_relaxed(&record->hash))].token;
    uint64_t seen = cf_load_relaxed(counter);
    while (seen < token && !cf_try64(counter, &seen, token)) {
    }
}

void cf_record_free(struct cf_mapping *m, cf_word w)
{
    _Atomic uint64_t *state = &cf_record_at(m, cf_word_record(w))->state;
    cf_state s = cf_load_acquire(state);
    if (cf_state_is_taken(s) && cf_state_generation(s) == cf_word_generation(w))
        cf_cas64(state, s, cf_state_free(cf_word_generation(w)));
}

/* A free record of [from, to), searched from start on; taken in the next generation (R1). */
static uint32_t take_between(struct cf_mapping *m, uint32_t from, uint32_t to, uint32_t start,
                             uint64_t *generation)
{
    for (uint32_t i = 0, r = start; i < to - from; i++, r = r + 1 == to ? from : r + 1) {
        _Atomic uint64_t *state = &cf_record_at(m, r)->state;
        cf_state s = cf_load_relaxed(state);
        if (cf_state_is_taken(s))
            continue;
        *generation = (cf_state_generation(s) + 1) & CF_GENERATION_MASK;
        if (cf_cas64(state, s, cf_state_taken(*generation, cf_self(m))))
            return r;
    }
    return NO_RECORD;
}

/* R9.  A sweep may take out the very lease that is being taken over, so that nobody would
 * learn whose it was: in place the spares come first. */
static uint32_t take(struct cf_mapping *m, struct cf_spare *spare, enum cf_purpose purpose,
                     uint64_t *generation)
{
    uint32_t start = (uint32_t)(spare->cursor % m->max_locks);
    uint32_t r = take_between(m, 0, m->max_locks, start, generation);
    if (r == NO_RECORD && purpose == CF_IN_PLACE)
        r = take_between(m, m->max_locks, m->records, m->max_locks, generation);
    if (r == NO_RECORD && cf_sweep(m) > 0)
        r = take_between(m, 0, m->max_locks, start, generation);
    if (r == NO_RECORD && cf_count_held(m) < m->max_locks)
        r = take_between(m, m->max_locks, m->records, m->max_locks, generation);
    return r;
}

/* T9 on one's own idle word.  If it is gone, somebody took the lock over in place (T4) or
 * evicted it; in every case the record is in hand now (R8). */
static void evict(struct cf_mapping *m, struct cf_spare *spare)
{
    uint32_t r = (uint32_t)spare->record - 1;
    _Atomic uint64_t *slot = cf_slot_at(m, (uint32_t)spare->slot);
    cf_word w = cf_load_relaxed(slot);
    if (cf_word_state(w) == CF_IDLE && cf_word_record(w) == r &&
        cf_word_generation(w) == spare->generation) {
        cf_token_keep(m, cf_record_at(m, r));
        cf_cas64(slot, w, 0);
    }
    spare->slot = 0;
}

bool cf_spare_in_hand(struct cf_mapping *m, struct cf_spare *spare, enum cf_purpose purpose)
{
    if (spare->record != 0) {
        if (spare->slot != 0)
            evict(m, spare);
        spare->generation = (spare->generation + 1) & CF_GENERATION_MASK;
        /* Ours, in hand, never held in its last generation: nobody else writes its state. */
        cf_store_release(&cf_record_at(m, (uint32_t)spare->record - 1)->state,
                         cf_state_taken(spare->generation, cf_self(m)));
        return true;
    }
    uint64_t generation;
    uint32_t r = take(m, spare, purpose, &generation);
    if (r == NO_RECORD)
        return false;
    spare->record = (uint64_t)r + 1;
    spare->generation = generation;
    spare->cursor = r;
    return true;
}

void cf_spare_drop(struct cf_mapping *m, struct cf_spare *spare)
{
    if (spare->record == 0)
        return;
    if (spare->slot != 0)
        evict(m, spare);
    cf_store_release(&cf_record_at(m, (uint32_t)spare->record - 1)->state,
                     cf_state_free(spare->generation));
    spare->record = 0;
}

/* An intent's word is never 0, and its place is this process's while it stands. */
unsigned cf_intent_try(struct cf_mapping *m, cf_word w)
{
    struct cf_process *p = &m->process_at[cf_owner_entry(cf_self(m))];
    for (unsigned i = 0; i < CF_INTENTS; i++)
        if (cf_load_relaxed(&p->intent[i]) == 0 && cf_cas64(&p->intent[i], 0, w))
            return i;
    return CF_INTENTS;
}

/* Where all places are taken, as many threads are between two instructions; or a hostile peer
 * filled them, so the wait is short.  The worst is a record lost by a crash just now. */
unsigned cf_intent_begin(struct cf_mapping *m, cf_word w)
{
    unsigned place = cf_intent_try(m, w);
    if (place != CF_INTENTS)
        return place;
    uint64_t until = cf_monotonic_ns() + CF_INTENT_WAIT_NS;
    do {
        sched_yield();
        place = cf_intent_try(m, w);
    } while (place == CF_INTENTS && cf_monotonic_ns() < until);
    return place;
}

void cf_intent_end(struct cf_mapping *m, unsigned place)
{
    if (place != CF_INTENTS)
        cf_store_release(&m->process_at[cf_owner_entry(cf_self(m))].intent[place], 0);
}

void cf_intents_settle(struct cf_mapping *m, struct cf_process *p)
{
    for (unsigned i = 0; i < CF_INTENTS; i++) {
        cf_word w = cf_load_acquire(&p->intent[i]);
        if (w == 0)
            continue;
        cf_intent_follow(m, w);
        cf_store_release(&p->intent[i], 0);
    }
}
