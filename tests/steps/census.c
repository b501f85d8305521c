#include "census.h"

#include "shm/liveness.h"
#include "shm/path.h"

uint32_t census_overflowing(const struct cf_mapping *m)
{
    uint32_t n = 0;
    for (uint32_t g = 0; g < m->groups; g++)
        n += cf_overflows(m, g);
    return n;
}

static void check_word(const struct cf_mapping *m, uint32_t number, cf_word w)
{
    if (cf_word_record(w) >= m->records) {
        blame("slot %u names record %u", number, cf_word_record(w));
        return;
    }
    struct cf_record *r = cf_record_at(m, cf_word_record(w));
    cf_state s = cf_load_acquire(&r->state);
    uint64_t hash = cf_load_relaxed(&r->hash);
    if (cf_word_state(w) == CF_INSERTING)
        blame("slot %u has a candidate", number);
    if (!cf_state_is_taken(s) || cf_state_generation(s) != cf_word_generation(w) ||
        cf_load_relaxed(&r->slot) != number || !cf_word_tag_matches(w, hash))
        blame("slot %u: word %016llx does not fit its record: state %016llx, slot %u", number,
              (unsigned long long)w, (unsigned long long)s, cf_load_relaxed(&r->slot));
    if (cf_load_relaxed(&r->owner) != cf_self(m) || cf_state_entry(s) != cf_owner_entry(cf_self(m)))
        blame("slot %u: word %016llx is not the witness's", number, (unsigned long long)w);
    for (uint32_t g = cf_home(m, hash); g != number / 8; g = cf_next_group(m, g))
        if (!cf_overflows(m, g))
            blame("slot %u: no walk gets past group %u to it", number, g);
}

void census_check(const struct cf_mapping *m, uint32_t held, uint32_t spares)
{
    uint32_t words = 0, taken = 0, holding = 0, entries = 0;
    for (uint32_t g = 0; g < m->groups; g++)
        for (uint32_t place = 0; place < CF_SLOTS; place++) {
            cf_word w = cf_load_acquire(&m->group_at[g].slot[place]);
            words += w != 0;
            holding += cf_word_state(w) == CF_HELD;
            if (w != 0)
                check_word(m, cf_slot_number(g, place), w);
        }
    for (uint32_t r = 0; r < m->records; r++)
        taken += cf_state_is_taken(cf_load_relaxed(&cf_record_at(m, r)->state)) != 0;
    for (uint32_t e = 0; e < m->processes; e++)
        entries += cf_byte_ask(m, e) == CF_BYTE_LOCKED;
    if (holding != held)
        blame("%u words are held, expected %u", holding, held);
    if (taken < words || taken > words + spares)
        blame("%u records are taken, %u words name one", taken, words);
    if (entries != 1)
        blame("%u process entries are locked, expected the witness's", entries);
    census_intents(m);
}

void census_intents(const struct cf_mapping *m)
{
    for (unsigned i = 0; i < CF_INTENTS; i++)
        if (cf_load_relaxed(&m->process_at[cf_owner_entry(cf_self(m))].intent[i]) != 0)
            blame("an entry in use has an intent that nobody is at");
}

void census_idle(const struct cf_mapping *m, pid_t pid)
{
    for (uint32_t e = 0; e < m->processes; e++) {
        const struct cf_process *p = &m->process_at[e];
        uint32_t records = 0;
        if (cf_load_relaxed(&p->pid) != (uint64_t)pid || cf_byte_ask(m, e) != CF_BYTE_LOCKED)
            continue;
        for (uint32_t r = 0; r < m->records; r++) {
            cf_state s = cf_load_relaxed(&cf_record_at(m, r)->state);
            records += cf_state_is_taken(s) && cf_state_entry(s) == e &&
                       cf_state_of_generation(s, cf_load_relaxed(&p->generation));
        }
        if (records > 1)
            blame("the victim has no lease and %u records", records);
    }
}
