#include "monitor.h"

#include "memory.h"
#include "shm/path.h"

static const struct cf_mapping *any(void)
{
    return &world.mapping[A];
}

static char name_of(unsigned key)
{
    return "abcdefghijklmnopqrstuvwx?"[key];
}

static bool lives(const struct cf_record *r)
{
    enum who owner = world_process_of(cf_load_relaxed(&r->owner));
    return cf_load_relaxed(&r->deadline) > world.now && owner < WHO && !world.dead[owner];
}

/* A slot's number; false if the word is none. */
static bool slot_of(uint32_t word, uint32_t *number)
{
    const uint8_t *at = memory_at(word), *groups = (const uint8_t *)any()->group_at;
    if (at < groups || at >= groups + GROUPS * sizeof(struct cf_group))
        return false;
    *number = (uint32_t)((size_t)(at - groups) / 8);
    return *number % 8 >= CF_FIRST_SLOT;
}

static const struct cf_record *record_of(cf_word w)
{
    return cf_record_at(any(), cf_word_record(w));
}

/* The nth word of the table; 0 to GROUPS * CF_SLOTS - 1. */
static cf_word nth(unsigned n, uint32_t *number)
{
    *number = cf_slot_number(n / CF_SLOTS, n % CF_SLOTS);
    return cf_load_relaxed(cf_slot_at(any(), *number));
}

bool monitor_held(unsigned key)
{
    uint64_t hash = world_key(key).hash;
    for (unsigned n = 0; n < GROUPS * CF_SLOTS; n++) {
        uint32_t number;
        cf_word w = nth(n, &number);
        if (cf_word_state(w) == CF_HELD && cf_load_relaxed(&record_of(w)->hash) == hash &&
            lives(record_of(w)))
            return true;
    }
    return false;
}

static void note(enum who who, unsigned key)
{
    bool held = monitor_held(key);
    world.seen_held[who][key] |= held;
    world.seen_free[who][key] |= !held;
}

void monitor_call(enum who who, unsigned key)
{
    world.forced_by[who][key] = world.forced[key];
    world.seen_held[who][key] = world.seen_free[who][key] = false;
    note(who, key);
}

void monitor_passed(void)
{
    for (unsigned w = A; w <= B; w++)
        for (unsigned key = 0; key < KEYS; key++)
            note((enum who)w, key);
}

/* One W2 or W3 a key. */
static void check_only(uint32_t slot, cf_word w)
{
    uint64_t hash = cf_load_relaxed(&record_of(w)->hash);
    for (unsigned n = 0; n < GROUPS * CF_SLOTS; n++) {
        uint32_t number;
        cf_word v = nth(n, &number);
        if (number != slot && cf_word_state(v) >= CF_HELD &&
            cf_load_relaxed(&record_of(v)->hash) == hash)
            wrong("%s: key %c has two words, in slots %u and %u",
                  cf_word_state(v) == CF_HELD && cf_word_state(w) == CF_HELD ? "I1"
                                                                             : "a key's word",
                  name_of(world_key_of(hash)), slot, number);
    }
}

/* A live lease ends by its own process, or by force. */
static void check_end(enum who actor, cf_word old)
{
    const struct cf_record *r = record_of(old);
    unsigned key = world_key_of(cf_load_relaxed(&r->hash));
    if (!lives(r) || cf_load_relaxed(&r->owner) == cf_self(&world.mapping[process_of(actor)]))
        return;
    if (key < KEYS && !world.forcing[actor][key])
        wrong("I2: %c took another's live lease of %c away", "AB"[actor], name_of(key));
}

static void check_grant(enum who actor, cf_word w)
{
    const struct cf_record *r = record_of(w);
    unsigned key = world_key_of(cf_load_relaxed(&r->hash));
    uint64_t token = cf_load_relaxed(&r->token);
    if (key == KEYS) {
        wrong("a held word names a record of no key");
    } else if (token <= world.last_token[key]) {
        wrong("I3: %c got %c with token %llu after token %llu", "AB"[actor], name_of(key),
              (unsigned long long)token, (unsigned long long)world.last_token[key]);
    } else {
        world.last_token[key] = world.granted[actor][key] = token;
    }
}

/* As long as a word names a record, that is taken in the word's generation; in the next
 * one if its holder has claimed it (R4). */
static void check_state(const uint8_t *at)
{
    uint64_t offset = (uint64_t)(at - any()->record_at);
    uint32_t r = (uint32_t)(offset / any()->record_size);
    if (at < any()->record_at || offset % any()->record_size != 0 || r >= any()->records)
        return;
    cf_state state = cf_load_relaxed(&cf_record_at(any(), r)->state);
    for (unsigned n = 0; n < GROUPS * CF_SLOTS; n++) {
        uint32_t number;
        cf_word w = nth(n, &number);
        if (w == 0 || cf_word_record(w) != r)
            continue;
        uint64_t ahead = cf_state_generation(state) - cf_word_generation(w);
        if (!cf_state_is_taken(state) || ahead > (cf_word_state(w) == CF_HELD ? 1 : 0))
            wrong("slot %u names record %u in generation %llu, which is %s in generation %llu",
                  number, r, (unsigned long long)cf_word_generation(w),
                  cf_state_is_taken(state) ? "taken" : "free",
                  (unsigned long long)cf_state_generation(state));
    }
}

void monitor_changed(unsigned actor, uint32_t word, uint64_t old)
{
    uint32_t slot;
    if (!slot_of(word, &slot)) {
        check_state(memory_at(word));
        return;
    }
    cf_word now = memory_value(word);
    if (now == old)
        return;
    bool was_held = cf_word_state(old) == CF_HELD;
    if (now != 0 && cf_word_record(now) >= any()->records) {
        wrong("slot %u names a record that does not exist", slot);
        return;
    }
    bool moved = was_held && cf_word_state(now) == CF_HELD &&
                 cf_load_relaxed(&record_of(old)->token) == cf_load_relaxed(&record_of(now)->token);
    if (was_held)
        check_end((enum who)actor, old);
    if (cf_word_state(now) >= CF_HELD)
        check_only(slot, now);
    if (cf_word_state(now) == CF_HELD && !moved)
        check_grant((enum who)actor, now);
    for (unsigned w = A; w <= B; w++) {
        unsigned before = old != 0 ? world_key_of(cf_load_relaxed(&record_of(old)->hash)) : KEYS;
        unsigned after = now != 0 ? world_key_of(cf_load_relaxed(&record_of(now)->hash)) : KEYS;
        if (before < KEYS)
            note((enum who)w, before);
        if (after < KEYS && after != before)
            note((enum who)w, after);
    }
}

/* ---- At the end ---- */

static void check_word(uint32_t slot, cf_word w)
{
    const struct cf_mapping *m = any();
    const struct cf_record *r = record_of(w);
    cf_state state = cf_load_relaxed(&r->state);
    uint64_t hash = cf_load_relaxed(&r->hash);
    enum who owner = world_process_of(cf_load_relaxed(&r->owner));
    bool dead = owner < WHO && world.dead[owner];
    if (cf_word_state(w) == CF_INSERTING && !dead)
        wrong("slot %u: an inserting word is left", slot);
    else if (!cf_state_is_taken(state))
        wrong("slot %u: its record %u is free", slot, cf_word_record(w));
    else if (cf_state_generation(state) != cf_word_generation(w) && !dead)
        wrong("slot %u: its record %u is in generation %llu, the word in %llu", slot,
              cf_word_record(w), (unsigned long long)cf_state_generation(state),
              (unsigned long long)cf_word_generation(w));
    else if (cf_load_relaxed(&r->slot) != slot)
        wrong("slot %u: its record %u lies in slot %u", slot, cf_word_record(w),
              cf_load_relaxed(&r->slot));
    else if (!cf_word_tag_matches(w, hash))
        wrong("slot %u: its tag is another key's", slot);
    if (cf_word_state(w) >= CF_HELD) {
        check_only(slot, w);
        for (uint32_t g = cf_home(m, hash); g != slot / 8; g = cf_next_group(m, g))
            if ((cf_load_relaxed(&m->group_at[g].control) & CF_OVERFLOW) == 0)
                wrong("slot %u: key %c is out of reach, group %u has no overflow bit", slot,
                      name_of(world_key_of(hash)), g);
    }
}

static bool named(uint32_t r)
{
    for (unsigned n = 0; n < GROUPS * CF_SLOTS; n++) {
        uint32_t number;
        cf_word w = nth(n, &number);
        if (w != 0 && cf_word_record(w) == r)
            return true;
    }
    return false;
}

/* Whose spare it is; WHO if nobody's. */
static enum who spare_of(uint32_t r)
{
    enum who found = WHO;
    for (unsigned w = 0; w < WHO; w++) {
        const struct cf_spare *spare = (const struct cf_spare *)world.caller[w].store;
        if (spare->record != (uint64_t)r + 1 || world.dead[w])
            continue;
        if (found != WHO)
            wrong("record %u is the spare of two", r);
        if (spare->slot == 0)
            wrong("R7: record %u is still in hand", r);
        found = (enum who)w;
    }
    return found;
}

/* Whose it is by its state; WHO if free. */
static enum who owner_of(cf_state state)
{
    for (unsigned w = 0; w < WHO && cf_state_is_taken(state); w++)
        if (cf_owner_entry(cf_self(&world.mapping[w])) == cf_state_entry(state))
            return (enum who)w;
    return WHO;
}

static void check_record(uint32_t r)
{
    const struct cf_mapping *m = any();
    cf_state state = cf_load_relaxed(&cf_record_at(m, r)->state);
    enum who spare = spare_of(r);
    if (spare != WHO) {
        const struct cf_spare *its = (const struct cf_spare *)world.caller[spare].store;
        if (state != cf_state_taken(its->generation, cf_self(&world.mapping[process_of(spare)])))
            wrong("record %u is %c's spare, but its state is not", r, "ABCD"[spare]);
        return;
    }
    enum who owner = owner_of(state);
    if (cf_state_is_taken(state) && !named(r) && (owner == WHO || !world.dead[owner]))
        wrong("record %u is leaked: taken, named by no word, nobody's spare", r);
}

void monitor_census(void)
{
    const struct cf_mapping *m = any();
    for (unsigned n = 0; n < GROUPS * CF_SLOTS; n++) {
        uint32_t number;
        cf_word w = nth(n, &number);
        if (w != 0)
            check_word(number, w);
    }
    for (uint32_t r = 0; r < m->records; r++)
        check_record(r);
    for (unsigned w = 0; w < WHO; w++)
        for (unsigned i = 0; i < CF_INTENTS && !world.dead[w]; i++)
            if (cf_load_relaxed(
                    &m->process_at[cf_owner_entry(cf_self(&world.mapping[w]))].intent[i]) != 0)
                wrong("an intent of %c is left", "ABCD"[w]);
}

void monitor_swept(void)
{
    for (uint32_t r = 0; r < any()->records; r++) {
        enum who owner = owner_of(cf_load_relaxed(&cf_record_at(any(), r)->state));
        if (owner < WHO && world.dead[owner])
            wrong("record %u is still that of a dead process after a sweep", r);
    }
}
