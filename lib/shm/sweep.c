#include "shm/sweep.h"

#include "shm/lease_pool.h"
#include "shm/line.h"
#include "shm/liveness.h"

/* The word that names this record, and where: 0 if none does. */
static cf_word naming_word(const struct cf_mapping *m, uint32_t r, _Atomic uint64_t **slot)
{
    uint32_t number = cf_load_acquire(&cf_record_at(m, r)->slot);
    if (!cf_slot_valid(m, number))
        return 0;
    *slot = cf_slot_at(m, number);
    cf_word w = cf_load_seq(*slot);
    return w != 0 && cf_word_record(w) == r ? w : 0;
}

/* Take word w of record r out of its slot: T3, T8 or T9. */
static bool take_out(struct cf_mapping *m, struct cf_record *record, _Atomic uint64_t *slot,
                     cf_word w)
{
    uint64_t hash = cf_load_relaxed(&record->hash); /* afterwards it may be another's */
    if (cf_word_state(w) != CF_INSERTING)
        cf_token_keep(m, record);
    if (!cf_cas64(slot, w, 0))
        return false;
    if (cf_word_state(w) == CF_HELD)
        cf_call(m, hash);
    return true;
}

/* Whether the process that has this record in its state is proved dead. */
static bool state_owner_dead(struct cf_mapping *m, cf_state s, uint64_t now)
{
    uint32_t entry = cf_state_entry(s);
    if (entry >= m->processes)
        return true;
    uint64_t generation = cf_load_acquire(&m->process_at[entry].generation);
    return !cf_state_of_generation(s, generation) ||
           cf_owner_dead(m, cf_owner_make(entry, generation), now);
}

static bool sweep_dead(struct cf_mapping *m, uint32_t r, cf_state s)
{
    struct cf_record *record = cf_record_at(m, r);
    _Atomic uint64_t *slot;
    cf_word w = naming_word(m, r, &slot);
    /* A word of a later generation: s is old news, and the record another's by now.  One
     * generation behind is a lease that was claimed and not yet taken out (C6). */
    uint64_t behind = (cf_state_generation(s) - cf_word_generation(w)) & CF_GENERATION_MASK;
    if (w != 0 && (behind > 1 || !take_out(m, record, slot, w)))
        return false; /* somebody is at it */
    return cf_cas64(&record->state, s, cf_state_free(cf_state_generation(s)));
}

/* *patient: places for intents come free; where they do not, they are waited for once a sweep. */
static bool sweep_expired(struct cf_mapping *m, uint32_t r, uint64_t now, bool *patient)
{
    struct cf_record *record = cf_record_at(m, r);
    _Atomic uint64_t *slot;
    cf_word w = naming_word(m, r, &slot);
    /* If the word stands at the CAS, it stood when the deadline was read. */
    if (cf_word_state(w) != CF_HELD || cf_load_relaxed(&record->deadline) > now)
        return false;
    unsigned place = *patient ? cf_intent_begin(m, w) : cf_intent_try(m, w);
    *patient = *patient && place != CF_INTENTS;
    bool out = take_out(m, record, slot, w);
    if (out)
        cf_record_free(m, w);
    cf_intent_end(m, place);
    return out;
}

bool cf_intent_follow(struct cf_mapping *m, cf_word w)
{
    uint32_t r = cf_word_record(w);
    if (cf_word_state(w) != CF_HELD || r >= m->records)
        return false;
    _Atomic uint64_t *state = &cf_record_at(m, r)->state;
    _Atomic uint64_t *slot;
    cf_state s = cf_load_acquire(state);
    return cf_state_is_taken(s) && cf_state_generation(s) == cf_word_generation(w) &&
           naming_word(m, r, &slot) == 0 &&
           cf_cas64(state, s, cf_state_free(cf_state_generation(s)));
}

uint32_t cf_sweep(struct cf_mapping *m)
{
    uint32_t freed = 0;
    uint64_t now = cf_now(m);
    bool patient = true;
    for (uint32_t r = 0; r < m->records; r++) {
        cf_state s = cf_load_acquire(&cf_record_at(m, r)->state);
        if (!cf_state_is_taken(s))
            continue;
        if (state_owner_dead(m, s, now) ? sweep_dead(m, r, s) : sweep_expired(m, r, now, &patient))
            freed++;
    }
    for (uint32_t e = 0; e < m->processes; e++)
        for (unsigned i = 0; i < CF_INTENTS; i++) {
            cf_word w = cf_load_acquire(&m->process_at[e].intent[i]);
            if (w != 0 && cf_intent_follow(m, w))
                freed++;
        }
    cf_sweep_waiters(m);
    return freed;
}

uint32_t cf_count_held(const struct cf_mapping *m)
{
    uint32_t held = 0;
    for (uint32_t g = 0; g < m->groups; g++)
        for (uint32_t place = 0; place < CF_SLOTS; place++)
            held += cf_word_state(cf_load_relaxed(&m->group_at[g].slot[place])) == CF_HELD;
    return held;
}
