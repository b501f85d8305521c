#include "shm/path.h"

#include "shm/lease_pool.h"
#include "shm/record.h"

static void set_overflow(struct cf_mapping *m, uint32_t g)
{
    _Atomic uint64_t *control = &m->group_at[g].control;
    uint64_t old = cf_load_relaxed(control);
    while (!cf_try64(control, &old, (old | CF_OVERFLOW) + CF_EPOCH)) {
    }
}

/* ---- Room ---- */

/* A slot of the group that is empty, or was emptied of an idle word (T9, K3).  0: none. */
static uint32_t room_in(struct cf_mapping *m, uint32_t g)
{
    for (uint32_t place = 0; place < CF_SLOTS; place++) {
        uint32_t number = cf_slot_number(g, place);
        cf_word w = cf_load_acquire(cf_slot_at(m, number)); /* E2 */
        if (w == 0)
            return number;
        if (cf_word_state(w) != CF_IDLE || cf_word_record(w) >= m->records)
            continue;
        cf_token_keep(m, cf_record_at(m, cf_word_record(w)));
        if (cf_cas64(cf_slot_at(m, number), w, 0))
            return number;
    }
    return 0;
}

uint32_t cf_path_make_room(struct cf_mapping *m, uint32_t home, uint32_t last)
{
    uint32_t n = m->groups;
    uint32_t length = (last + n - home) % n + 1;
    for (uint32_t passed = 0; passed < n; passed++) {
        uint32_t g = (home + passed) % n;
        uint32_t number = room_in(m, g);
        if (number != 0)
            return number;
        if (passed + 1 >= length) /* the path's last group, full: passed from now on */
            set_overflow(m, g);
    }
    return 0;
}

void cf_path_mark_again(struct cf_mapping *m, uint32_t home, uint32_t group)
{
    uint32_t n = m->groups;
    for (uint32_t steps = (group + n - home) % n; steps > 0; steps--)
        set_overflow(m, (home + steps - 1) % n);
}

/* ---- Clearing ---- */

/* Whether the word has its home at or before group g and lies behind it. */
static bool word_passes(const struct cf_mapping *m, cf_word w, uint32_t at, uint32_t g)
{
    if (cf_word_record(w) >= m->records)
        return false;
    uint32_t home = cf_home(m, cf_load_relaxed(&cf_record_at(m, cf_word_record(w))->hash));
    uint32_t n = m->groups;
    return (g + n - home) % n < (at + n - home) % n;
}

static bool anything_passes(const struct cf_mapping *m, uint32_t g)
{
    uint32_t at = cf_next_group(m, g);
    for (uint32_t seen = 1; seen < m->groups; seen++, at = cf_next_group(m, at)) {
        for (uint32_t place = 0; place < CF_SLOTS; place++) {
            _Atomic uint64_t *slot = cf_slot_at(m, cf_slot_number(at, place));
            cf_word w = cf_load_seq(slot);
            if (w != 0 && (word_passes(m, w, at, g) || !cf_copy_confirmed(slot, w)))
                return true;
        }
        if (!cf_overflows(m, at))
            break;
    }
    return false;
}

/* The key was not found on a path from home to last: clear what bits need not be, the
 * farthest first, for the nearer ones are needed as long as those stand.  The last one's
 * is set only where the path went round the whole table. */
void cf_path_clear(struct cf_mapping *m, uint32_t home, uint32_t last)
{
    uint32_t n = m->groups;
    for (uint32_t steps = (last + n - home) % n + 1; steps > 0; steps--) {
        uint32_t g = (home + steps - 1) % n;
        uint64_t seen = cf_load_seq(&m->group_at[g].control);
        if ((seen & CF_OVERFLOW) == 0)
            continue;
        if (anything_passes(m, g))
            return;
        cf_cas64(&m->group_at[g].control, seen, seen & ~CF_OVERFLOW);
    }
}
