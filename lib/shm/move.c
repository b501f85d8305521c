#include "shm/move.h"

void cf_lease_copy(struct cf_mapping *m, uint32_t from, uint32_t to, uint64_t deadline)
{
    const struct cf_record *a = cf_record_at(m, from);
    struct cf_record *b = cf_record_at(m, to);
    uint32_t words = m->record_size / 8 - (uint32_t)(offsetof(struct cf_record, text) / 8);
    cf_fence_release(); /* E4 */
    cf_store_relaxed(&b->hash, cf_load_relaxed(&a->hash));
    cf_store_relaxed(&b->deadline, deadline);
    cf_store_relaxed(&b->token, cf_load_relaxed(&a->token));
    cf_store_relaxed(&b->owner, cf_load_relaxed(&a->owner));
    cf_store_relaxed(&b->acquired, cf_load_relaxed(&a->acquired));
    cf_store_relaxed(&b->thread, cf_load_relaxed(&a->thread));
    cf_store_relaxed(&b->slot, cf_load_relaxed(&a->slot));
    cf_store_relaxed(&b->key_len, cf_load_relaxed(&a->key_len));
    cf_store_relaxed(&b->value_len, cf_load_relaxed(&a->value_len));
    for (uint32_t i = 0; i < words; i++)
        cf_store_relaxed(&b->text[i], cf_load_relaxed(&a->text[i]));
}

/* Take the record of a held word that we took out, instead of freeing it (R3, R1). */
static bool take_over_record(struct cf_mapping *m, cf_word old)
{
    _Atomic uint64_t *state = &cf_record_at(m, cf_word_record(old))->state;
    cf_state s = cf_load_acquire(state);
    uint64_t generation = cf_word_generation(old);
    return cf_state_is_taken(s) && cf_state_generation(s) == generation &&
           cf_cas64(state, s, cf_state_taken(generation + 1, cf_self(m)));
}

void cf_lease_move_back(struct cf_mapping *m, struct cf_lease *lease, cf_word old)
{
    cf_word now = cf_load_acquire(&lease->word);
    uint32_t back = cf_word_record(old);
    if (cf_word_record(now) < m->max_locks || back >= m->max_locks || !take_over_record(m, old)) {
        cf_record_free(m, old);
        return;
    }
    uint64_t generation = (cf_word_generation(old) + 1) & CF_GENERATION_MASK;
    cf_word then = cf_word_make(CF_HELD, lease->hash, generation, back);
    cf_lease_copy(m, cf_word_record(now), back,
                  cf_load_relaxed(&cf_record_at(m, cf_word_record(now))->deadline));
    if (cf_cas64(cf_slot_at(m, (uint32_t)lease->slot), now, then)) { /* T6 */
        cf_cas64(&lease->word, now, then);
        cf_record_free(m, now);
    } else {
        cf_store_release(&cf_record_at(m, back)->state, cf_state_free(generation));
    }
}
