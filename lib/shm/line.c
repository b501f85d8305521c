#include "shm/line.h"

#include "shm/liveness.h"

static _Atomic uint64_t *bits_at(const struct cf_mapping *m, uint32_t i)
{
    return &cf_line_at(m)->bits[i / CF_WAITER_BITS];
}

static uint64_t bit_of(uint32_t i)
{
    return UINT64_C(1) << i % CF_WAITER_BITS;
}

uint32_t cf_line_next(const struct cf_mapping *m, uint32_t i)
{
    uint64_t reach = cf_load_acquire(&cf_line_at(m)->reach);
    uint32_t end = reach < m->waiters ? (uint32_t)reach : m->waiters;
    while (i < end) {
        uint64_t rest = cf_load_acquire(bits_at(m, i)) & ~(bit_of(i) - 1);
        uint32_t first = i / CF_WAITER_BITS * CF_WAITER_BITS;
        if (rest != 0) {
            i = first + (uint32_t)__builtin_ctzll(rest);
            return i < end ? i : CF_NO_WAITER;
        }
        i = first + CF_WAITER_BITS;
    }
    return CF_NO_WAITER;
}

/* ---- Arriving and leaving ---- */

/* The sequence is counted on, so that whoever saw the entry's last waiter calls in vain. */
static uint32_t reset_word(struct cf_waiter *w)
{
    uint32_t old = cf_load_relaxed(&w->word);
    uint32_t armed;
    do {
        armed = (old + CF_WORD_SEQUENCE) & ~CF_WORD_FLAGS;
    } while (!cf_try32(&w->word, &old, armed));
    return armed;
}

static bool claim(struct cf_mapping *m, struct cf_waiter *w)
{
    cf_owner owner = cf_load_relaxed(&w->owner);
    return (owner == 0 || cf_owner_known_dead(m, owner)) && cf_cas64(&w->owner, owner, cf_self(m));
}

/* Only ever raised: who looks along the line sees it before the bit. */
static void reach_for(struct cf_mapping *m, uint32_t i)
{
    _Atomic uint64_t *reach = &cf_line_at(m)->reach;
    uint64_t old = cf_load_relaxed(reach);
    while (old <= i && !cf_try64(reach, &old, (uint64_t)i + 1)) {
    }
}

/* The first that nobody has, the dead having none.  CF_NO_WAITER: all are in use. */
static uint32_t claim_first(struct cf_mapping *m)
{
    for (uint32_t i = 0; i < m->waiters; i++)
        if (claim(m, cf_waiter_at(m, i)))
            return i;
    return CF_NO_WAITER;
}

uint32_t cf_line_enter(struct cf_mapping *m, uint64_t hash, uint64_t thread, bool by_bell)
{
    uint32_t i = claim_first(m);
    if (i == CF_NO_WAITER)
        return i;
    struct cf_waiter *w = cf_waiter_at(m, i);
    reset_word(w);
    cf_store_relaxed(&w->since, cf_now(m));
    cf_store_relaxed(&w->thread, thread);
    cf_store_relaxed(&w->awaited, 0);
    cf_store_relaxed(&w->until, 0);
    cf_store_relaxed(&w->turn, 0);
    cf_store_relaxed(&w->by_bell, by_bell);
    cf_store_release(&w->hash, hash);
    reach_for(m, i);
    cf_or_seq(bits_at(m, i), bit_of(i)); /* its owner's alone to change */
    return i;
}

void cf_line_leave(struct cf_mapping *m, uint32_t i)
{
    struct cf_waiter *w = cf_waiter_at(m, i);
    cf_and_seq(bits_at(m, i), ~bit_of(i));
    cf_store_relaxed(&w->hash, 0);
    cf_store_release(&w->owner, 0);
}

uint32_t cf_line_arm(struct cf_mapping *m, uint32_t i, uint64_t hash)
{
    uint32_t armed = reset_word(cf_waiter_at(m, i));
    _Atomic uint32_t *word = cf_wait_word(m, hash);
    uint32_t old = cf_load_relaxed(word);
    while (!cf_try32(word, &old, (old + CF_WAIT_SEQUENCE) | cf_wait_class(hash))) {
    }
    return armed;
}

/* ---- Looking along the line ---- */

/* One waiter as it was at one moment, or nearly: whoever acts on it does so by CAS of word. */
struct one {
    uint32_t i;
    uint32_t word;
    uint64_t since;
    cf_owner owner;
};

/* The word first: if it still stands at the CAS, the rest was this waiter's. */
static bool look(const struct cf_mapping *m, uint32_t i, struct one *one, uint64_t *hash)
{
    struct cf_waiter *w = cf_waiter_at(m, i);
    one->i = i;
    one->word = cf_load_seq(&w->word); /* E7 */
    one->owner = cf_load_acquire(&w->owner);
    one->since = cf_load_relaxed(&w->since);
    *hash = cf_load_relaxed(&w->hash);
    return one->owner != 0;
}

static bool is_before(const struct one *a, uint64_t since, uint32_t i)
{
    return a->since != since ? a->since < since : a->i < i;
}

/* L2, and not so long ago that it will not come.  A turn far ahead is nobody's: nonsense, that
 * must not keep the lock. */
static bool is_on_the_way(const struct cf_mapping *m, const struct one *one, uint64_t now)
{
    uint64_t turn = cf_load_relaxed(&cf_waiter_at(m, one->i)->turn);
    return (one->word & CF_WORD_FLAGS) == CF_WORD_CALLED && turn > now && turn - now < CF_SECOND;
}

/* L1. */
static bool is_waiting(const struct one *one)
{
    return (one->word & CF_WORD_CALLED) == 0;
}

static bool is_patient(const struct one *one, uint64_t now)
{
    return now > one->since && now - one->since >= CF_PATIENCE_NS;
}

uint32_t cf_line_before(struct cf_mapping *m, uint32_t i, cf_owner *owner, bool *passed)
{
    const struct cf_waiter *own = cf_waiter_at(m, i);
    uint64_t hash = cf_load_relaxed(&own->hash), its_hash;
    uint64_t since = cf_load_relaxed(&own->since);
    struct one last = {.i = CF_NO_WAITER}, one;
    *passed = false;
    for (uint32_t other = cf_line_next(m, 0); other != CF_NO_WAITER;
         other = cf_line_next(m, other + 1)) {
        if (!look(m, other, &one, &its_hash) || its_hash != hash || !is_before(&one, since, i) ||
            cf_owner_known_dead(m, one.owner))
            continue;
        if ((one.word & CF_WORD_ABSENT) != 0) {
            *passed = true;
            continue;
        }
        if (last.i == CF_NO_WAITER || is_before(&last, one.since, one.i))
            last = one;
    }
    *owner = last.owner;
    return last.i;
}

bool cf_line_still_before(const struct cf_mapping *m, uint32_t i, uint32_t before, cf_owner owner)
{
    struct one one;
    uint64_t hash;
    const struct cf_waiter *own = cf_waiter_at(m, i);
    return look(m, before, &one, &hash) && one.owner == owner &&
           hash == cf_load_relaxed(&own->hash) &&
           is_before(&one, cf_load_relaxed(&own->since), i) && (one.word & CF_WORD_ABSENT) == 0 &&
           !cf_owner_known_dead(m, owner);
}

/* ---- Calling ---- */

/* Who woke it says so: until it runs, others would find nobody asleep, and think it stopped. */
bool cf_bell_ring(const struct cf_mapping *m, uint32_t entry)
{
    _Atomic uint32_t *bell = &m->process_at[entry].bell;
    uint32_t old = cf_add_seq(bell, CF_BELL_SEQUENCE);
    if (cf_futex_wake(bell, 1) == 0)
        return (old & CF_BELL_ASLEEP) == 0;
    cf_and_seq(bell, ~CF_BELL_ASLEEP);
    return true;
}

/* Whether it was asleep, or is known to be awake. */
static bool wake(struct cf_mapping *m, const struct one *one)
{
    struct cf_waiter *w = cf_waiter_at(m, one->i);
    if (cf_load_relaxed(&w->by_bell) == 0)
        return cf_futex_wake(&w->word, 1) > 0;
    return cf_owner_entry(one->owner) < m->processes && cf_bell_ring(m, cf_owner_entry(one->owner));
}

/* L1 to L2, and awake; to L3 if it was not asleep.  False: it was not, or somebody else
 * called it, or it is another by now. */
static bool call(struct cf_mapping *m, const struct one *one, uint64_t now)
{
    struct cf_waiter *w = cf_waiter_at(m, one->i);
    uint32_t called = one->word | CF_WORD_CALLED;
    cf_store_relaxed(&w->turn, now + CF_TURN_NS);
    if (!cf_cas32(&w->word, one->word, called))
        return false;
    if (wake(m, one))
        return true;
    cf_cas32(&w->word, called, called | CF_WORD_ABSENT);
    cf_owner_dead(m, one->owner, now); /* if so, the rest of its waiters need not be tried */
    return false;
}

/* What one look along the line tells a caller. */
struct seen {
    struct one first;    /* L1, before all others that are; i is CF_NO_WAITER if there is none */
    uint32_t on_the_way; /* somebody in L2 */
    uint32_t turn;       /* somebody in L2 who is patient: the lock is kept for him */
    bool others;         /* others than first keep the class armed */
};

/* Those of the key that arrived before (since, i). */
static struct seen look_along(struct cf_mapping *m, uint64_t hash, uint64_t since, uint32_t i,
                              uint64_t now)
{
    struct seen seen = {
        .first = {.i = CF_NO_WAITER}, .on_the_way = CF_NO_WAITER, .turn = CF_NO_WAITER};
    uint32_t home = cf_home(m, hash), class = cf_wait_class(hash);
    struct one one;
    uint64_t its_hash;
    for (uint32_t other = cf_line_next(m, 0); other != CF_NO_WAITER;
         other = cf_line_next(m, other + 1)) {
        if (!look(m, other, &one, &its_hash) || cf_wait_class(its_hash) != class ||
            cf_home(m, its_hash) != home || cf_owner_known_dead(m, one.owner))
            continue;
        bool coming = is_on_the_way(m, &one, now);
        bool has_turn = coming && is_patient(&one, now);
        if (its_hash != hash || !is_before(&one, since, i)) {
            seen.others |= is_waiting(&one) || has_turn;
        } else if (coming) {
            seen.on_the_way = other;
            if (has_turn)
                seen.turn = other;
            seen.others |= has_turn;
        } else if (is_waiting(&one)) {
            bool first =
                seen.first.i == CF_NO_WAITER || is_before(&one, seen.first.since, seen.first.i);
            seen.others |= seen.first.i != CF_NO_WAITER;
            if (first)
                seen.first = one;
        }
    }
    return seen;
}

#define LAST UINT64_MAX, CF_NO_WAITER /* a place behind everybody */

/* Nobody is left who could be asleep, as of armed: who arms later makes the CAS fail. */
static void disarm(struct cf_mapping *m, uint64_t hash, uint32_t armed)
{
    cf_cas32(cf_wait_word(m, hash), armed, armed & ~cf_wait_class(hash));
}

/* Whether who was called last in the group waits for this key and is on its way: then
 * there is no need to look along the line.  By the coarse clock, for this is asked at each
 * release of a contended lock; that a call is over is noticed some ms later for it. */
static bool is_hint_coming(struct cf_mapping *m, uint64_t hash)
{
    uint32_t hint = cf_load_relaxed(&m->group_at[cf_home(m, hash)].called);
    struct one one;
    uint64_t its_hash;
    return hint != 0 && hint <= m->waiters && look(m, hint - 1, &one, &its_hash) &&
           its_hash == hash && is_on_the_way(m, &one, cf_now_coarse(m)) &&
           !cf_owner_known_dead(m, one.owner);
}

static void leave_hint(struct cf_mapping *m, uint64_t hash, uint32_t i)
{
    cf_store_relaxed(&m->group_at[cf_home(m, hash)].called, i + 1);
}

void cf_call_slow(struct cf_mapping *m, uint64_t hash)
{
    __builtin_prefetch(cf_line_at(m)); /* cold, if they slept long */
    __builtin_prefetch(m->waiter_at, 1);
    if (is_hint_coming(m, hash))
        return;
    uint64_t now = cf_now(m);
    /* Each round calls one, or finds it absent: no more rounds than waiters. */
    for (uint32_t rounds = 0; rounds < m->waiters; rounds++) {
        uint32_t armed = cf_load_seq(cf_wait_word(m, hash));
        struct seen seen = look_along(m, hash, LAST, now);
        if (seen.on_the_way != CF_NO_WAITER)
            return;
        if (seen.first.i == CF_NO_WAITER) {
            if (!seen.others)
                disarm(m, hash, armed);
            return;
        }
        if (!call(m, &seen.first, now))
            continue;
        leave_hint(m, hash, seen.first.i);
        if (!seen.others && !is_patient(&seen.first, now))
            disarm(m, hash, armed);
        return;
    }
}

void cf_call_sooner_slow(struct cf_mapping *m, uint64_t hash, uint64_t deadline)
{
    uint64_t now = cf_now(m);
    for (uint32_t rounds = 0; rounds < m->waiters; rounds++) {
        struct seen seen = look_along(m, hash, LAST, now);
        if (seen.first.i == CF_NO_WAITER ||
            cf_load_relaxed(&cf_waiter_at(m, seen.first.i)->until) <= deadline ||
            call(m, &seen.first, now))
            return;
    }
}

#define ASK_NS (CF_PATIENCE_NS / 10) /* so long it may go on being asked without a look */
#define SKIP_MOST 63u

/* Whether the last look still serves.  How often it is asked without one is learnt from how fast
 * the questions come, carefully: two of one call come fast, too, and say nothing of the next.
 * Should they come slower all at once, the coarse clock tells. */
static bool is_quiet(struct cf_quiet *quiet, uint64_t now)
{
    uint64_t interval = (now - quiet->looked) / (quiet->asked + 1) + 1;
    uint32_t more = 2 * quiet->skip + 1;
    if (interval * (quiet->skip + 1) > ASK_NS)
        quiet->skip = 0;
    else if (interval * more <= ASK_NS && more <= SKIP_MOST)
        quiet->skip = more;
    quiet->looked = now;
    quiet->asked = 0;
    return now < quiet->until;
}

uint32_t cf_line_ahead_slow(struct cf_mapping *m, uint64_t hash, uint32_t own,
                            struct cf_quiet *quiet)
{
    uint64_t now = cf_now(m), since = UINT64_MAX;
    if (own != CF_NO_WAITER)
        since = cf_load_relaxed(&cf_waiter_at(m, own)->since);
    else if (is_quiet(quiet, now))
        return CF_NO_WAITER;
    for (uint32_t rounds = 0; rounds < m->waiters; rounds++) {
        struct seen seen = look_along(m, hash, since, own, now);
        if (seen.turn != CF_NO_WAITER)
            return seen.turn;
        if (seen.first.i == CF_NO_WAITER || !is_patient(&seen.first, now)) {
            quiet->until = (seen.first.i != CF_NO_WAITER ? seen.first.since : now) + CF_PATIENCE_NS;
            return CF_NO_WAITER;
        }
        if (call(m, &seen.first, now)) {
            leave_hint(m, hash, seen.first.i);
            return seen.first.i;
        }
    }
    return CF_NO_WAITER;
}

/* The first in L1 behind (since, i); i is CF_NO_WAITER if there is none. */
static struct one find_behind(struct cf_mapping *m, uint64_t hash, uint64_t since, uint32_t i)
{
    struct one next = {.i = CF_NO_WAITER}, one;
    uint64_t its_hash;
    for (uint32_t other = cf_line_next(m, 0); other != CF_NO_WAITER;
         other = cf_line_next(m, other + 1)) {
        if (!look(m, other, &one, &its_hash) || its_hash != hash || is_before(&one, since, i) ||
            !is_waiting(&one) || cf_owner_known_dead(m, one.owner))
            continue;
        if (next.i == CF_NO_WAITER || is_before(&one, next.since, next.i))
            next = one;
    }
    return next;
}

void cf_line_call_behind(struct cf_mapping *m, uint64_t hash, uint64_t since, uint32_t i)
{
    uint64_t now = cf_now(m);
    for (uint32_t rounds = 0; rounds < m->waiters; rounds++) {
        struct one next = find_behind(m, hash, since, i);
        if (next.i == CF_NO_WAITER || call(m, &next, now))
            break;
    }
    cf_call(m, hash);
}

void cf_line_pass_on(struct cf_mapping *m, uint32_t i, uint64_t hash)
{
    cf_or_seq(&cf_waiter_at(m, i)->word, CF_WORD_CALLED | CF_WORD_ABSENT);
    cf_call(m, hash);
}

/* Those in L2 as well: whoever called them may be the one that died, before it woke them. */
void cf_line_nudge_awaiting(struct cf_mapping *m, cf_owner self, cf_owner awaited)
{
    struct one one;
    uint64_t hash;
    for (uint32_t i = cf_line_next(m, 0); i != CF_NO_WAITER; i = cf_line_next(m, i + 1)) {
        if (!look(m, i, &one, &hash) || one.owner != self ||
            cf_load_relaxed(&cf_waiter_at(m, i)->awaited) != awaited)
            continue;
        if (!is_waiting(&one) || !call(m, &one, cf_now(m)))
            wake(m, &one);
    }
}

/* ---- For who asks ---- */

uint32_t cf_count_waiters(struct cf_mapping *m, uint64_t hash)
{
    uint32_t count = 0;
    uint64_t now = cf_now(m);
    for (uint32_t i = cf_line_next(m, 0); i != CF_NO_WAITER; i = cf_line_next(m, i + 1)) {
        const struct cf_waiter *w = cf_waiter_at(m, i);
        cf_owner owner = cf_load_acquire(&w->owner);
        count += owner != 0 && cf_load_relaxed(&w->hash) == hash && !cf_owner_dead(m, owner, now);
    }
    return count;
}

/* Taken over like a new arrival's, and left: only its owner may clear an entry's bit. */
void cf_sweep_waiters(struct cf_mapping *m)
{
    uint64_t now = cf_now(m);
    for (uint32_t i = 0; i < m->waiters; i++) {
        struct cf_waiter *w = cf_waiter_at(m, i);
        cf_owner owner = cf_load_acquire(&w->owner);
        if (owner != 0 && cf_owner_dead(m, owner, now) && cf_cas64(&w->owner, owner, cf_self(m)))
            cf_line_leave(m, i);
    }
}
