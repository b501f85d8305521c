/* The line: who waits for a key, in order of arrival, and calling the first of them.
 * Section 9 of README.md; L1 to L3 are its states.
 *
 * The group's wait word says whether anybody need be called:
 *
 *   31                             8 7              0
 *   +-------------------------------+----------------+
 *   | sequence                      | armed classes  |
 *   +-------------------------------+----------------+
 *
 * A waiter has an entry from its arrival to its end, however often it sleeps, with a word:
 *
 *   31                                        2 1      0
 *   +------------------------------------------+--------+--------+
 *   | sequence                                 | absent | called |
 *   +------------------------------------------+--------+--------+
 *
 *   L1 armed    neither   asleep, or about to be, or up again by itself
 *   L2 called   called    on its way to the lock, for CF_TURN_NS; if it is patient, the lock
 *                         is kept for it as long
 *   L3 absent   both      called, but it was not asleep: stopped, dead, or up already
 */
#ifndef CF_SHM_LINE_H
#define CF_SHM_LINE_H

#include "shm/mapping.h"

#define CF_WORD_CALLED 1u
#define CF_WORD_ABSENT 2u
#define CF_WORD_FLAGS 3u
#define CF_WORD_SEQUENCE 4u
#define CF_WAIT_SEQUENCE 0x100u
#define CF_BELL_ASLEEP 1u
#define CF_BELL_SEQUENCE 2u

#define CF_PATIENCE_NS CF_MS   /* who has waited so long is served before who came later */
#define CF_TURN_NS (2 * CF_MS) /* how long a call counts, and a turn is kept */
#define CF_NO_WAITER UINT32_MAX

/* Three bits of the hash, so that the keys of a group are seldom armed by each other. */
static inline uint32_t cf_wait_class(uint64_t hash)
{
    return 1u << (hash >> CF_TAG_BITS & 7);
}

static inline _Atomic uint32_t *cf_wait_word(const struct cf_mapping *m, uint64_t hash)
{
    return &m->group_at[cf_home(m, hash)].wait;
}

static inline struct cf_waiter *cf_waiter_at(const struct cf_mapping *m, uint32_t i)
{
    return &m->waiter_at[i];
}

/* ---- Waiters ---- */

/* Arrive: an entry, not armed yet.  CF_NO_WAITER: all are in use.  thread: cf_thread_make. */
uint32_t cf_line_enter(struct cf_mapping *m, uint64_t hash, uint64_t thread, bool by_bell);

/* Leave it. */
void cf_line_leave(struct cf_mapping *m, uint32_t i);

/* L1, and the class armed (E7).  What the word is now: sleep on that, after another look. */
uint32_t cf_line_arm(struct cf_mapping *m, uint32_t i, uint64_t hash);

/* The waiter that is before i, and who it is; CF_NO_WAITER: i is the first.  Those of the dead do
 * not count, nor absent ones; *passed: one of those was passed over, and may come back. */
uint32_t cf_line_before(struct cf_mapping *m, uint32_t i, cf_owner *owner, bool *passed);

/* Whether before, as cf_line_before found it, is still there. */
bool cf_line_still_before(const struct cf_mapping *m, uint32_t i, uint32_t before, cf_owner owner);

/* ---- Callers ---- */

void cf_call_slow(struct cf_mapping *m, uint64_t hash);
void cf_call_sooner_slow(struct cf_mapping *m, uint64_t hash, uint64_t deadline);
struct cf_quiet; /* below */
uint32_t cf_line_ahead_slow(struct cf_mapping *m, uint64_t hash, uint32_t own,
                            struct cf_quiet *quiet);

/* Whether somebody may be asleep for the key, or have the turn.  seq_cst: E7. */
static inline bool cf_line_armed(const struct cf_mapping *m, uint64_t hash)
{
    return __builtin_expect((cf_load_seq(cf_wait_word(m, hash)) & cf_wait_class(hash)) != 0, 0);
}

/* After the key's word was taken out, or its holder proved dead: call the first of the line,
 * unless somebody is on the way already.  No system call when nobody waits. */
static inline void cf_call(struct cf_mapping *m, uint64_t hash)
{
    if (cf_line_armed(m, hash))
        cf_call_slow(m, hash);
}

/* The lease now ends at deadline, earlier than they may have been told who sleep for it. */
static inline void cf_call_sooner(struct cf_mapping *m, uint64_t hash, uint64_t deadline)
{
    if (cf_line_armed(m, hash))
        cf_call_sooner_slow(m, hash, deadline);
}

/* What a thread that takes one lock again and again remembers of its line, so that it need
 * not look along it, nor at the precise clock, each time.  All zero: nothing. */
struct cf_quiet {
    uint64_t until;  /* ns: nobody need be let go first before then */
    uint64_t looked; /* ns: the last look at the precise clock */
    uint32_t asked;  /* how often it was asked since */
    uint32_t skip;   /* of these, how often without a look */
};

/* Before a free lock is taken by waiter own (CF_NO_WAITER: by nobody in line): who has to be
 * let go first, being called where need be; CF_NO_WAITER: nobody.  now: the coarse clock. */
static inline uint32_t cf_line_ahead(struct cf_mapping *m, uint64_t hash, uint32_t own,
                                     struct cf_quiet *quiet, uint64_t now)
{
    if (!cf_line_armed(m, hash))
        return CF_NO_WAITER;
    if (own == CF_NO_WAITER && quiet->asked++ < quiet->skip && now < quiet->until)
        return CF_NO_WAITER;
    return cf_line_ahead_slow(m, hash, own, quiet);
}

/* After a waiter has left without the lock: call whoever is the next behind it, who has to look
 * who is before it now; and, as the last try may have come before a release that counted on it,
 * whoever is the first. */
void cf_line_call_behind(struct cf_mapping *m, uint64_t hash, uint64_t since, uint32_t i);

/* Ring a process's bell.  Whether its attendant was asleep, or is known to be awake. */
bool cf_bell_ring(const struct cf_mapping *m, uint32_t entry);

/* Its turn is over, and nobody came for it: L3, and the next is called, whatever clocks say. */
void cf_line_pass_on(struct cf_mapping *m, uint32_t i, uint64_t hash);

/* Call all waiters of process self that await this owner. */
void cf_line_nudge_awaiting(struct cf_mapping *m, cf_owner self, cf_owner awaited);

/* ---- For who asks ---- */

/* How many wait for keys of this hash. */
uint32_t cf_count_waiters(struct cf_mapping *m, uint64_t hash);

/* Entries of the dead are used again. */
void cf_sweep_waiters(struct cf_mapping *m);

/* The next waiter from *i on, CF_NO_WAITER past the last. */
uint32_t cf_line_next(const struct cf_mapping *m, uint32_t i);

#endif
