#include "shm/table.h"

#include <sched.h>
#include <string.h>

#include "ground/report.h"
#include "shm/line.h"
#include "shm/liveness.h"
#include "shm/move.h"
#include "shm/path.h"
#include "shm/who.h"

CF_ASSERT("a caller fits its store",
          sizeof(struct cf_caller) <= sizeof(((cachify_caller_t *)0)->store));
CF_ASSERT("a lease fits the grant's store",
          sizeof(struct cf_lease) <= sizeof(((cachify_grant_t *)0)->store));

/* Every retry of a well-behaved table means that somebody else got on.  So many in one
 * call mean that a peer writes nonsense. */
#define MANY_LOOKS 1000000u
#define MANY_TRIES 100000u

/* How often one looks again at a rival that lies earlier, before withdrawing it. */
#ifndef CF_MOMENT
#define CF_MOMENT 64u
#endif

/* So many take longer than anybody wants to wait, for each ends with a pause. */
#define FEW_TRIES 1000u
#define LONG_NS (CF_SECOND / 2)

/* ---- Walking ---- */

/* One place on a key's path, looked at until what is there is known for certain. */
enum look { LOOK_OTHER, LOOK_EMPTY, LOOK_MATCH, LOOK_CORRUPT };

static inline enum look look_at(struct cf_mapping *m, uint32_t number, const struct cf_key *key,
                                struct cf_found *found)
{
    _Atomic uint64_t *slot = cf_slot_at(m, number);
    for (uint32_t looks = 0; looks < MANY_LOOKS; looks++) {
        cf_word w = cf_load_seq(slot); /* E2; E5 in the second walk */
        if (w == 0)
            return LOOK_EMPTY;
        if (!cf_word_tag_matches(w, key->hash) || cf_word_record(w) >= m->records)
            return LOOK_OTHER;
        struct cf_record *r = cf_record_at(m, cf_word_record(w));
        bool same = cf_record_has_key(r, key);
        struct cf_copy copy = cf_record_copy(r);
        if (!cf_copy_confirmed(slot, w))
            continue;
        if (!same)
            return LOOK_OTHER;
        *found = (struct cf_found){.slot = number, .word = w, .copy = copy};
        return LOOK_MATCH;
    }
    return LOOK_CORRUPT;
}

struct walk {
    uint32_t empty; /* the first W0 met; 0 none */
    uint32_t last;  /* the group the walk ended in */
};

/* Step 1 and 2: the key's path to its end, or to its W2 or W3.  W1 words of the key are passed:
 * step 4 of one of us will settle it.  False: corrupt. */
static inline bool walk_path(struct cf_mapping *m, const struct cf_key *key, struct walk *walk,
                             struct cf_found *found)
{
    uint32_t g = cf_home(m, key->hash);
    *walk = (struct walk){.last = g};
    for (uint32_t passed = 0; passed < m->groups; passed++, g = cf_next_group(m, g)) {
        walk->last = g;
        for (uint32_t place = 0; place < CF_SLOTS; place++) {
            uint32_t number = cf_slot_number(g, place);
            enum look look = look_at(m, number, key, found);
            if (look == LOOK_EMPTY && walk->empty == 0)
                walk->empty = number;
            if (look == LOOK_MATCH && cf_word_state(found->word) != CF_INSERTING)
                return true;
            if (look == LOOK_CORRUPT) {
                found->slot = 0;
                return false;
            }
        }
        if (!cf_overflows(m, g))
            break;
    }
    found->slot = 0;
    return true;
}

bool cf_table_find(struct cf_mapping *m, const struct cf_key *key, struct cf_found *found)
{
    struct walk walk;
    return walk_path(m, key, &walk, found);
}

/* ---- Leases ---- */

bool cf_lease_live(struct cf_mapping *m, const struct cf_copy *copy, uint64_t now)
{
    if (copy->owner != cf_self(m) || copy->deadline < now + CF_SECOND)
        now = cf_now(m);
    return copy->deadline > now && !cf_owner_dead(m, copy->owner, now);
}

/* R2: what is the same as long as a thread takes the same lock again. */
static void fill_key(struct cf_mapping *m, struct cf_record *r, const struct cf_key *key,
                     uint32_t slot)
{
    cf_store_relaxed(&r->hash, key->hash);
    cf_store_relaxed(&r->slot, slot);
    cf_store_relaxed(&r->key_len, (uint16_t)key->len);
    for (uint32_t i = 0; i < cf_key_words(key->len); i++)
        cf_store_relaxed(&r->text[i], cf_key_word(key, i));
    cf_store_relaxed(&r->owner, cf_self(m));
}

/* What a grant repeats of its record.  Not read from it again: once published it may be
 * taken over, forced or swept, and then be filled for somebody else. */
struct terms {
    uint64_t deadline;
    uint64_t token;
};

/* Most leases have no note: not in the way of these. */
static __attribute__((noinline)) void fill_value(const struct cf_mapping *m, struct cf_record *r,
                                                 const cachify_request_t *request)
{
    _Atomic uint64_t *value_at = cf_value_at(m, r);
    for (uint32_t i = 0; i < request->value_len; i += 8) {
        uint64_t word = 0;
        uint32_t rest = request->value_len - i;
        memcpy(&word, (const char *)request->value + i, rest < 8 ? rest : 8);
        cf_store_relaxed(&value_at[i / 8], word);
    }
}

/* R2: what differs each time.  now: the coarse clock.  The token follows when it is drawn. */
static inline uint64_t fill_lease(struct cf_mapping *m, struct cf_record *r, uint64_t thread,
                                  const cachify_request_t *request, uint64_t now)
{
    uint64_t deadline = cf_deadline(m, now, request->exp_ms);
    cf_store_relaxed(&r->deadline, deadline);
    cf_store_relaxed(&r->acquired, now);
    cf_store_relaxed(&r->thread, thread);
    cf_store_relaxed(&r->value_len, (uint16_t)request->value_len);
    if (request->value_len > 0)
        fill_value(m, r, request);
    return deadline;
}

/* The lock is had by the spare, which is one no longer. */
static inline void grant_spare(cachify_caller_t *caller, const struct cf_key *key, uint32_t slot,
                               cf_word held, struct terms terms, cachify_grant_t *grant)
{
    struct cf_lease *lease = cf_lease_of(grant);
    cf_store_relaxed(&lease->word, held);
    cf_store_relaxed(&lease->deadline, terms.deadline);
    lease->slot = slot;
    lease->hash = key->hash;
    grant->token = terms.token;
    grant->how = CACHIFY_FRESH;
    grant->previous_pid = 0;
    grant->previous_token = 0;
    cf_spare_of(caller)->record = 0;
    cf_spare_of(caller)->slot = 0;
}

static void set_origin(const struct cf_found *found, bool dead, cachify_grant_t *grant)
{
    grant->how = dead ? CACHIFY_OWNER_DIED : CACHIFY_EXPIRED;
    grant->previous_token = found->copy.token;
    grant->previous_pid = cf_thread_pid(found->copy.thread);
}

/* ---- Acquire ---- */

enum step { DONE, BUSY, KEPT, AGAIN, FULL_TABLE, GIVE_UP };

/* Who has to be let go first where the lock is free; CF_NO_WAITER: nobody. */
static inline uint32_t ahead_of(struct cf_mapping *m, cachify_caller_t *caller, uint64_t hash,
                                uint64_t now)
{
    return cf_line_ahead(m, hash, cf_place_waiter(cf_place_of(caller)), &cf_spare_of(caller)->quiet,
                         now);
}

/* T4 with one's own idle word: the hot path of a lock that one thread takes again and
 * again.  The key's word is known to be there, so nothing is walked, and key, slot and
 * owner are in place already.  False: another key, or the word is not there any more. */
static inline bool retake(struct cf_mapping *m, cachify_caller_t *caller, const struct cf_key *key,
                          const cachify_request_t *request, uint64_t now, cachify_grant_t *grant)
{
    struct cf_spare *spare = cf_spare_of(caller);
    if (spare->slot == 0)
        return false;
    uint32_t number = (uint32_t)spare->slot;
    struct cf_record *r = cf_record_at(m, (uint32_t)spare->record - 1);
    cf_word idle = cf_word_make(CF_IDLE, key->hash, spare->generation, (uint32_t)spare->record - 1);
    if (cf_load_relaxed(cf_slot_at(m, number)) != idle || !cf_record_has_key(r, key) ||
        ahead_of(m, caller, key->hash, now) != CF_NO_WAITER)
        return false;
    cf_word held = cf_word_with_state(idle, CF_HELD);
    struct terms terms = {.token = cf_load_relaxed(&r->token) + 1}; /* K2 */
    cf_fence_release();                                             /* E4 */
    terms.deadline = fill_lease(m, r, spare->thread, request, now);
    cf_store_relaxed(&r->token, terms.token);
    bool taken = cf_cas64(cf_slot_at(m, number), idle, held);
    if (taken) /* else T4 or T9 by another: evict will find out */
        grant_spare(caller, key, number, held, terms, grant);
    return taken;
}

/* T4 and T5.  now: the coarse clock, here and below. */
static enum step take_in_place(struct cf_mapping *m, cachify_caller_t *caller,
                               const struct cf_key *key, const cachify_request_t *request,
                               const struct cf_found *found, bool dead, uint64_t now,
                               cachify_grant_t *grant)
{
    struct cf_spare *spare = cf_spare_of(caller);
    bool was_held = cf_word_state(found->word) == CF_HELD;
    if (!cf_spare_in_hand(m, spare, was_held ? CF_IN_PLACE : CF_FOR_LOCK))
        return FULL_TABLE;
    struct cf_record *r = cf_record_at(m, (uint32_t)spare->record - 1);
    cf_word held = cf_word_make(CF_HELD, key->hash, spare->generation, (uint32_t)spare->record - 1);
    cf_fence_release(); /* E4 */
    fill_key(m, r, key, found->slot);
    struct terms terms = {.token = found->copy.token + 1}; /* K2 */
    terms.deadline = fill_lease(m, r, spare->thread, request, now);
    cf_store_relaxed(&r->token, terms.token);
    unsigned intent = was_held ? cf_intent_begin(m, found->word) : 0;
    bool taken = cf_cas64(cf_slot_at(m, found->slot), found->word, held);
    if (taken)
        grant_spare(caller, key, found->slot, held, terms, grant);
    if (taken && was_held) {
        set_origin(found, dead, grant);
        cf_lease_move_back(m, cf_lease_of(grant), found->word); /* R3, R9 */
    }
    if (was_held)
        cf_intent_end(m, intent);
    return taken ? DONE : AGAIN;
}

/* Step 4 on one place: nothing of this key may stand there but we. */
enum rival { NO_RIVAL, RIVAL_HOLDS, RIVAL_CORRUPT };

static enum rival settle(struct cf_mapping *m, const struct cf_key *key, uint32_t number,
                         bool earlier)
{
    struct cf_found found;
    for (uint32_t tries = 0; tries < MANY_TRIES; tries++) {
        enum look look = look_at(m, number, key, &found);
        if (look == LOOK_CORRUPT)
            return RIVAL_CORRUPT;
        if (look != LOOK_MATCH)
            return NO_RIVAL;
        if (cf_word_state(found.word) != CF_INSERTING)
            return RIVAL_HOLDS;
        /* Who lies earlier is given a moment, so that two do not abort each other for ever. */
        if (earlier && tries < CF_MOMENT && !cf_owner_known_dead(m, found.copy.owner)) {
            cf_pause();
            continue;
        }
        cf_cas64(cf_slot_at(m, number), found.word, 0); /* T3 */
    }
    return RIVAL_CORRUPT;
}

/* Step 4: the whole path again, at least to one's own slot. */
static enum rival second_walk(struct cf_mapping *m, const struct cf_key *key, uint32_t own)
{
    uint32_t g = cf_home(m, key->hash);
    bool reached = false;
    for (uint32_t passed = 0; passed < m->groups; passed++, g = cf_next_group(m, g)) {
        for (uint32_t place = 0; place < CF_SLOTS; place++) {
            uint32_t number = cf_slot_number(g, place);
            if (number == own) {
                reached = true;
                continue;
            }
            enum rival rival = settle(m, key, number, !reached);
            if (rival != NO_RIVAL)
                return rival;
        }
        if (reached && !cf_overflows(m, g))
            break;
    }
    return NO_RIVAL;
}

/* Steps 3 to 5. */
static enum step insert(struct cf_mapping *m, cachify_caller_t *caller, const struct cf_key *key,
                        const cachify_request_t *request, uint32_t number, uint64_t now,
                        cachify_grant_t *grant)
{
    struct cf_spare *spare = cf_spare_of(caller);
    if (!cf_spare_in_hand(m, spare, CF_FOR_LOCK))
        return FULL_TABLE;
    uint32_t home = cf_home(m, key->hash);
    _Atomic uint64_t *slot = cf_slot_at(m, number);
    struct cf_record *r = cf_record_at(m, (uint32_t)spare->record - 1);
    cf_word mine =
        cf_word_make(CF_INSERTING, key->hash, spare->generation, (uint32_t)spare->record - 1);
    cf_word held = cf_word_with_state(mine, CF_HELD);
    cf_fence_release(); /* E4 */
    fill_key(m, r, key, number);
    if (!cf_cas64(slot, 0, mine)) /* T1 */
        return AGAIN;
    if (number / 8 != home)
        cf_path_mark_again(m, home, number / 8); /* E6 */
    enum rival rival = second_walk(m, key, number);
    if (rival != NO_RIVAL) {
        cf_cas64(slot, mine, 0); /* T3 */
        return rival == RIVAL_CORRUPT ? GIVE_UP : AGAIN;
    }
    struct terms terms = {.deadline = fill_lease(m, r, spare->thread, request, now)};
    terms.token = cf_add_seq(&m->group_at[home].token, 1) + 1; /* K1 */
    cf_store_relaxed(&r->token, terms.token);
    if (!cf_cas64(slot, mine, held)) /* T2 */
        return AGAIN;
    grant_spare(caller, key, number, held, terms, grant);
    return DONE;
}

/* Two that withdrew each other should not do it again in step. */
static void random_pause(const cachify_caller_t *caller, uint32_t tries)
{
    uint64_t mix = (caller->serial * UINT64_C(0x9E3779B97F4A7C15)) ^ cf_monotonic_ns();
    uint32_t bound = tries < 8 ? 16u << tries : 4096u;
    for (uint32_t i = (uint32_t)(mix >> 20) % bound; i > 0; i--)
        cf_pause();
    if (tries > 8)
        sched_yield();
}

/* How many wait, but for the caller.  Whoever waits itself has it counted at the end only. */
static uint32_t count_others(struct cf_mapping *m, cachify_caller_t *caller, uint64_t hash)
{
    bool ask = cf_place_of(caller)->entry == 0 && cf_line_armed(m, hash);
    return ask ? cf_count_waiters(m, hash) : 0;
}

static void describe_holder(struct cf_mapping *m, cachify_caller_t *caller,
                            const struct cf_found *found, uint64_t hash)
{
    const struct cf_record *r = cf_record_at(m, cf_word_record(found->word));
    uint64_t now = cf_now_coarse(m);
    cf_record_describe(m, r, now, &caller->holder);
    caller->holder.state = CACHIFY_STATE_HELD;
    caller->holder.remaining_ms = cf_remaining_ms(found->copy.deadline, now);
    caller->holder.waiters = count_others(m, caller, hash);
    caller->holder_is_self = found->copy.owner == cf_self(m) &&
                             found->copy.deadline == UINT64_MAX &&
                             found->copy.thread == cf_spare_of(caller)->thread;
}

/* The lock is free, and the turn is another's. */
static void describe_first(struct cf_mapping *m, cachify_caller_t *caller, uint32_t ahead,
                           uint64_t hash)
{
    cachify_info_t *info = &caller->holder;
    *info = (cachify_info_t){.state = CACHIFY_STATE_KEPT};
    cf_waiter_describe(m, ahead, info);
    info->waiters = count_others(m, caller, hash);
    caller->holder_is_self = false;
}

static inline enum step attempt(struct cf_mapping *m, cachify_caller_t *caller,
                                const struct cf_key *key, const cachify_request_t *request,
                                bool overwrite, uint64_t now, cachify_grant_t *grant,
                                struct cf_found *found)
{
    struct walk walk;
    if (!walk_path(m, key, &walk, found))
        return GIVE_UP;
    bool held = found->slot != 0 && cf_word_state(found->word) == CF_HELD;
    if (held && !overwrite && cf_lease_live(m, &found->copy, now))
        return BUSY;
    uint32_t ahead = overwrite ? CF_NO_WAITER : ahead_of(m, caller, key->hash, now);
    if (ahead != CF_NO_WAITER) {
        describe_first(m, caller, ahead, key->hash);
        return KEPT;
    }
    if (found->slot != 0) {
        bool dead = held && cf_owner_known_dead(m, found->copy.owner);
        return take_in_place(m, caller, key, request, found, dead, now, grant);
    }
    uint32_t home = cf_home(m, key->hash);
    uint32_t empty = walk.empty != 0 ? walk.empty : cf_path_make_room(m, home, walk.last);
    if (empty == 0)
        return FULL_TABLE;
    enum step step = insert(m, caller, key, request, empty, now, grant);
    if (step == DONE && (walk.last != home || cf_overflows(m, home)))
        cf_path_clear(m, home, walk.last);
    return step;
}

/* Whether that many tries are too many.  *until: 0 at first. */
static bool too_many(uint32_t tries, uint64_t *until)
{
    if (tries < FEW_TRIES)
        return false;
    uint64_t now = cf_monotonic_ns();
    if (*until == 0)
        *until = now + LONG_NS;
    return now > *until;
}

static cachify_status_t acquire_slow(struct cf_mapping *m, cachify_caller_t *caller,
                                     const struct cf_key *key, const cachify_request_t *request,
                                     bool overwrite, uint64_t now, cachify_grant_t *grant)
{
    struct cf_found found;
    uint64_t until = 0;
    for (uint32_t tries = 0; tries < MANY_TRIES && !too_many(tries, &until); tries++) {
        if (tries > 0)
            now = cf_now_coarse(m);
        enum step step = attempt(m, caller, key, request, overwrite, now, grant, &found);
        if (step == DONE)
            return CACHIFY_OK;
        if (step == KEPT)
            return CACHIFY_LOCKED;
        if (step == BUSY) {
            describe_holder(m, caller, &found, key->hash);
            if (cf_copy_confirmed(cf_slot_at(m, found.slot), found.word))
                return CACHIFY_LOCKED;
            continue; /* it changed hands meanwhile, or was extended */
        }
        if (step == FULL_TABLE)
            return cf_report(CACHIFY_FULL, "the segment is full: %u live leases, its max_locks",
                             m->max_locks);
        if (step == GIVE_UP)
            break;
        random_pause(caller, tries);
    }
    return cf_report(CACHIFY_CORRUPT, "a slot of the segment kept changing without progress: "
                                      "some process writes into it what is no lock");
}

/* Having the lock.  Who took it out meanwhile, by force or after its end, may have seen us in
 * line still, on the way to it, and called nobody. */
static void leave_line(struct cf_mapping *m, cachify_caller_t *caller, uint64_t hash,
                       const struct cf_lease *lease)
{
    cf_place_leave(m, cf_place_of(caller));
    if (cf_load_seq(cf_slot_at(m, (uint32_t)lease->slot)) != cf_load_relaxed(&lease->word))
        cf_call(m, hash);
}

cachify_status_t cf_table_acquire(struct cf_mapping *m, cachify_caller_t *caller,
                                  const struct cf_key *key, const cachify_request_t *request,
                                  uint64_t now, cachify_grant_t *grant)
{
    cachify_status_t status = CACHIFY_OK;
    if (!__builtin_expect(retake(m, caller, key, request, now, grant), 1)) {
        status = acquire_slow(m, caller, key, request, false, now, grant);
        cf_spare_settle(m, cf_spare_of(caller));
    }
    if (status != CACHIFY_OK)
        return status;
    if (cf_place_of(caller)->entry != 0)
        leave_line(m, caller, key->hash, cf_lease_of(grant));
    if (request->exp_ms < CF_BRIEF_MS) /* who sleeps for it was told of another deadline */
        cf_call_sooner(m, key->hash, cf_load_relaxed(&cf_lease_of(grant)->deadline));
    return status;
}

cachify_status_t cf_table_overwrite(struct cf_mapping *m, cachify_caller_t *caller,
                                    const struct cf_key *key, const cachify_request_t *request)
{
    cachify_grant_t grant;
    cachify_status_t status = acquire_slow(m, caller, key, request, true, cf_now_coarse(m), &grant);
    cf_spare_settle(m, cf_spare_of(caller));
    if (status == CACHIFY_OK) /* who sleeps for it was told of another deadline */
        cf_call_sooner(m, key->hash, cf_load_relaxed(&cf_lease_of(&grant)->deadline));
    return status;
}
