#include "oracle.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* How much earlier than asked a lease may end: short ones, and those of a second or more. */
#define SHORT_SLACK (5 * MS)
#define LONG_SLACK (25 * MS)
/* Everybody knows of a death so long after it at the latest. */
#define DEATH_SLACK (20 * MS)

struct oracle *oracle;

const char *const rule_names[RULES] = {
    [RULE_ONE_HOLDER] = "I1 a key has at most one live lease",
    [RULE_LOST_EXPLAINED] = "I2 a lease ends only by release, expiry, death or force",
    [RULE_TOKENS] = "I3 tokens of a key increase",
    [RULE_NOT_BLOCKED] = "I4 what nobody holds is not locked, and no call hangs",
    [RULE_NO_LEAK] = "I5 nothing is left when all are gone",
    [RULE_TIMEOUTS] = "I6 waiters return at their deadline, not before",
    [RULE_FULL] = "I8 FULL only when max_locks are live",
    [RULE_LENGTH] = "a lease lasts as asked, and as its holder is told",
    [RULE_FORK] = "a child has no part in its parent's leases",
    [RULE_ANSWERS] = "answers and looks are what they may be",
};

const char *const count_names[COUNTS] = {
    [ACQUIRED] = "acquired",
    [CONTENDED] = "contended",
    [DEADLOCKS] = "deadlocks answered",
    [TIMED_OUT] = "timed out",
    [KEPT] = "kept for another",
    [CANCELLED] = "cancelled",
    [FULL_SEEN] = "full",
    [RELEASED] = "released",
    [EXTENDED] = "extended",
    [EXTENDED_LATE] = "extended late",
    [LOST_EXPIRED] = "lost after expiry",
    [LOST_FORCED] = "lost by force",
    [TAKEN_EXPIRED] = "taken over expired",
    [TAKEN_DEAD] = "taken over from the dead",
    [FORCES] = "forced releases",
    [ABANDONED] = "abandoned",
    [HANDED_OVER] = "handed to another thread",
    [RACES] = "extend races release",
    [SWEEPS] = "sweeps",
    [LOOKS] = "looks",
    [FORKS] = "forks",
    [EXECS] = "execs",
    [EXITS] = "exits",
    [KILLS] = "kills",
    [KILLS_IN_CALLS] = "of them inside a call",
    [STOPS] = "stops",
    [STOPS_IN_CALLS] = "of them inside a call",
    [JUDGED_LIVE] = "claims judged",
};

int oracle_map(int fd)
{
    if (fd < 0) {
        fd = memfd_create("torture-oracle", 0);
        if (fd < 0 || ftruncate(fd, sizeof *oracle) != 0)
            return -1;
    }
    oracle = mmap(NULL, sizeof *oracle, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return oracle != MAP_FAILED ? fd : -1;
}

void violation(enum rule rule, const char *format, ...)
{
    atomic_fetch_add(&oracle->violations[rule], 1);
    uint64_t number = atomic_fetch_add(&oracle->reports_begun, 1);
    if (number >= MAX_REPORTS)
        return;
    struct report *report = &oracle->report[number];
    int used = snprintf(report->text, sizeof report->text, "process %d: ", (int)getpid());
    va_list args;
    va_start(args, format);
    vsnprintf(report->text + used, sizeof report->text - (size_t)used, format, args);
    va_end(args);
    report->written = true;
}

/* ---- Processes ---- */

struct slot *oracle_enter(void)
{
    for (uint32_t i = 0; i < MAX_SLOTS; i++) {
        pid_t nobody = 0;
        if (oracle->slot[i].not_before > now_ns() ||
            !atomic_compare_exchange_strong(&oracle->slot[i].pid, &nobody, getpid()))
            continue;
        uint32_t slots = oracle->slots;
        while (slots < i + 1 && !atomic_compare_exchange_weak(&oracle->slots, &slots, i + 1)) {
        }
        return &oracle->slot[i];
    }
    return NULL;
}

static size_t slot_number(const struct slot *slot)
{
    return (size_t)(slot - oracle->slot);
}

void oracle_doom(struct slot *slot)
{
    oracle->doomed_pid[slot->pid % MAX_PID] = 1;
    slot->doomed = true;
}

void oracle_lost_all(struct slot *slot)
{
    int64_t soon = now_ns() + DEATH_SLACK;
    for (unsigned i = 0; i < MAX_RECS; i++) {
        struct rec *r = &slot->rec[i];
        r->claim = 0;
        r->surely_until = 0;
        if (r->perhaps_until > soon)
            r->perhaps_until = soon;
    }
    oracle->forcing[slot_number(slot)] = 0;
    for (unsigned i = 0; i < MAX_THREADS; i++)
        slot->call[i].until = 0;
}

void oracle_gone(struct slot *slot)
{
    oracle_lost_all(slot);
    slot->stopped = false;
    slot->doomed = false;
    slot->not_before = now_ns() + 2 * DEATH_SLACK;
    slot->pid = 0;
}

void oracle_ended(struct slot *slot, bool by_signal, int status)
{
    if (by_signal && (status != SIGKILL || !slot->doomed))
        violation(RULE_ANSWERS, "process %d died of signal %d", (int)slot->pid, status);
    if (!by_signal && status != 0)
        violation(RULE_ANSWERS, "process %d ended with status %d", (int)slot->pid, status);
    oracle_gone(slot);
}

/* ---- Judging ---- */

static struct slot *slot_of(uint64_t claim)
{
    return &oracle->slot[claim >> 56];
}

static struct rec *rec_of(uint64_t claim)
{
    return &slot_of(claim)->rec[claim >> 48 & 0xff];
}

static void number_claim(struct holding *h)
{
    uint64_t rec = (uint64_t)(h->rec - h->slot->rec);
    h->claim = (uint64_t)slot_number(h->slot) << 56 | rec << 48 |
               (atomic_fetch_add(&h->slot->claims, 1) + 1);
    h->rec->surely_until = 0;
    h->rec->claim = h->claim;
}

static bool forced_perhaps(const struct holding *h)
{
    return h->rec->forces == NOT_JUDGED || h->rec->forces != h->cell->forces;
}

/* Whether the claim in the cell is of a live lease, for certain, at a moment in this call.
 * What ends it is written down before, so all is read again after the clock was. */
static bool surely_live(const struct cell *cell, uint64_t claim)
{
    if (claim == 0)
        return false;
    const struct rec *r = rec_of(claim);
    int64_t until = r->surely_until;
    if (until <= now_ns())
        return false;
    return r->forces == cell->forces && !slot_of(claim)->doomed && r->surely_until == until &&
           r->claim == claim && cell->claim == claim;
}

uint64_t oracle_sure_claim(unsigned key)
{
    const struct cell *cell = &oracle->cell[key];
    uint64_t claim = cell->claim;
    return surely_live(cell, claim) ? claim : 0;
}

/* The library says that the lease is over, or lost: why?  slack: in how much time it would
 * be true. */
static void explain(const struct holding *h, const char *call, int64_t slack)
{
    int64_t now = now_ns() + slack;
    bool expired = false;
    if (h->exp_ms != CACHIFY_NEVER) {
        int64_t earliest =
            h->begun + h->exp_ms * MS - (h->exp_ms < 1000 ? SHORT_SLACK : LONG_SLACK);
        expired = now >= earliest && now >= h->told;
    }
    if (expired)
        count(LOST_EXPIRED);
    else if (forced_perhaps(h))
        count(LOST_FORCED);
    else if (!h->slot->doomed)
        violation(RULE_LOST_EXPLAINED,
                  "%s: lease on key %u, token %llu, lost %lld us after it was begun for %lld ms "
                  "(told to end at %lld us), without force",
                  call, (unsigned)h->rec->key, (unsigned long long)h->token,
                  (long long)(now - h->begun) / 1000, (long long)h->exp_ms,
                  (long long)(h->told - h->begun) / 1000);
}

/* Ask the lease how long it will last, and hold the library to it. */
static void ask_deadline(struct holding *h, const char *call)
{
    int64_t after = now_ns();
    int64_t left = cachify_lease_remaining_ms(&h->lease);
    int64_t later = now_ns();
    bool never = h->exp_ms == CACHIFY_NEVER;
    int64_t slack = h->exp_ms < 1000 ? SHORT_SLACK : LONG_SLACK;
    h->rec->perhaps_until = never ? FOREVER : after + h->exp_ms * MS;
    if (left == 0) {
        h->told = 0;
        explain(h, call, MS); /* milliseconds left, rounded down */
        return;
    }
    if ((left == CACHIFY_NEVER) != never) {
        violation(RULE_LENGTH, "%s for %lld ms, told %lld ms", call, (long long)h->exp_ms,
                  (long long)left);
        left = 0;
    }
    h->told = never ? FOREVER : after + left * MS;
    h->rec->surely_until = h->told;
    if (never)
        return;
    if (h->told > after + h->exp_ms * MS)
        violation(RULE_LENGTH, "%s for %lld ms, told %lld ms afterwards", call,
                  (long long)h->exp_ms, (long long)left);
    if (later + (left + 1) * MS < h->begun + h->exp_ms * MS - slack)
        violation(RULE_LENGTH, "%s for %lld ms, told %lld ms after %lld us", call,
                  (long long)h->exp_ms, (long long)left, (long long)(later - h->begun) / 1000);
}

/* ---- Acquire ---- */

void oracle_begin(struct holding *h, struct slot *slot, unsigned rec, unsigned key, int64_t exp_ms)
{
    *h = (struct holding){
        .slot = slot, .rec = &slot->rec[rec], .cell = &oracle->cell[key], .exp_ms = exp_ms};
    h->rec->key = key;
    number_claim(h);
    /* Those begun are counted before they are looked for: one begun in between differs. */
    uint64_t forces = h->cell->forces;
    for (uint32_t i = 0; i < oracle->slots; i++)
        if (oracle->forcing[i] == key + 1)
            forces = NOT_JUDGED;
    h->rec->forces = forces;
    h->rec->perhaps_until = FOREVER;
    atomic_fetch_add(&h->cell->starts, 1);
    atomic_fetch_add(&oracle->starts, 1);
    h->token_before = h->cell->max_token;
    h->begun = now_ns();
}

void oracle_failed(struct holding *h)
{
    h->rec->claim = 0;
    h->rec->perhaps_until = 0;
}

static void note_token(const struct holding *h)
{
    size_t i = h->token % TOKENS_KEPT;
    h->cell->given[i].token = 0;
    h->cell->given[i].pid = getpid();
    h->cell->given[i].token = h->token;
}

/* Who got this token; 0: not known any more, or killed before it could say so. */
static pid_t token_holder(const struct cell *cell, uint64_t token)
{
    size_t i = token % TOKENS_KEPT;
    pid_t pid = cell->given[i].token == token ? cell->given[i].pid : 0;
    return cell->given[i].token == token ? pid : 0;
}

static void check_origin(const struct holding *h)
{
    cachify_origin_t origin = {.size = sizeof origin};
    cachify_how_t how = cachify_lease_origin(&h->lease, &origin);
    bool fresh = how == CACHIFY_FRESH;
    if (how == CACHIFY_EXPIRED)
        count(TAKEN_EXPIRED);
    if (how == CACHIFY_OWNER_DIED)
        count(TAKEN_DEAD);
    if ((uint32_t)how != origin.how || fresh != (origin.previous_token == 0) ||
        (fresh && origin.previous_pid != 0) || origin.previous_token >= h->token)
        violation(RULE_ANSWERS, "origin %u, previous token %llu of process %lld, token %llu",
                  (unsigned)how, (unsigned long long)origin.previous_token,
                  (long long)origin.previous_pid, (unsigned long long)h->token);
    pid_t holder = fresh ? 0 : token_holder(h->cell, origin.previous_token);
    if (holder == 0)
        return;
    if (origin.previous_pid != holder)
        violation(RULE_ANSWERS, "previous token %llu was process %d's, not %lld's",
                  (unsigned long long)origin.previous_token, (int)holder,
                  (long long)origin.previous_pid);
    if (how == CACHIFY_OWNER_DIED && oracle->doomed_pid[holder % MAX_PID] == 0)
        violation(RULE_LOST_EXPLAINED, "taken from process %d, said to be dead; it is not",
                  (int)holder);
}

void oracle_got(struct holding *h)
{
    unsigned key = h->rec->key;
    count(ACQUIRED);
    h->token = cachify_lease_token(&h->lease);
    if (h->token <= h->token_before)
        violation(RULE_TOKENS, "key %u: token %llu, but %llu was given before the call", key,
                  (unsigned long long)h->token, (unsigned long long)h->token_before);
    uint64_t max = h->cell->max_token;
    while (max < h->token && !atomic_compare_exchange_weak(&h->cell->max_token, &max, h->token)) {
    }
    if (max == h->token)
        violation(RULE_TOKENS, "key %u: token %llu was given twice", key,
                  (unsigned long long)h->token);
    note_token(h);
    check_origin(h);
    ask_deadline(h, "acquire");
    oracle_claim(h);
}

void oracle_claim(struct holding *h)
{
    uint64_t max = h->cell->max_token;
    int64_t before = now_ns();
    int64_t left = cachify_lease_remaining_ms(&h->lease);
    if (left == 0) {
        explain(h, "remaining", MS);
        return;
    }
    if (max > h->token)
        violation(RULE_ONE_HOLDER, "key %u: token %llu is said to hold it, but %llu was given",
                  (unsigned)h->rec->key, (unsigned long long)h->token, (unsigned long long)max);
    if (left != CACHIFY_NEVER && before + left * MS > h->rec->perhaps_until)
        violation(RULE_LENGTH, "told %lld ms, %lld us more than it can last", (long long)left,
                  (long long)(before + left * MS - h->rec->perhaps_until) / 1000);
    for (;;) {
        uint64_t other = h->cell->claim;
        if (other == h->claim || h->told <= now_ns())
            break;
        if (!surely_live(h->cell, other)) {
            /* A failed exchange: somebody claimed meanwhile, so judge again. */
            if (atomic_compare_exchange_strong(&h->cell->claim, &other, h->claim))
                break;
            continue;
        }
        if (h->told > now_ns() && !forced_perhaps(h) && !h->slot->doomed)
            violation(
                RULE_ONE_HOLDER, "key %u: this process has it (token %llu), and so has process %d",
                (unsigned)h->rec->key, (unsigned long long)h->token, (int)slot_of(other)->pid);
        break;
    }
    count(JUDGED_LIVE);
}

/* ---- Release, extend, force ---- */

static void give_up_claim(struct holding *h)
{
    uint64_t claim = h->claim;
    h->rec->surely_until = 0;
    atomic_compare_exchange_strong(&h->cell->claim, &claim, 0);
    h->token_before = h->cell->max_token;
}

static void check_not_taken(const struct holding *h, const char *call)
{
    if (h->token_before > h->token)
        violation(RULE_ONE_HOLDER, "key %u: %s of token %llu succeeded, but %llu was given before",
                  (unsigned)h->rec->key, call, (unsigned long long)h->token,
                  (unsigned long long)h->token_before);
}

static void unexpected(const char *call, cachify_status_t status)
{
    violation(RULE_ANSWERS, "%s answers %s: %s", call, cachify_strerror(status),
              cachify_last_error());
}

void oracle_release(struct holding *h)
{
    give_up_claim(h);
}

void oracle_released(struct holding *h, cachify_status_t status)
{
    count(RELEASED);
    if (status == CACHIFY_OK)
        check_not_taken(h, "release");
    else if (status == CACHIFY_LOST)
        explain(h, "release", 0);
    else
        unexpected("release", status);
    h->rec->claim = 0;
    h->rec->perhaps_until = 0;
}

void oracle_renounce(struct holding *h)
{
    give_up_claim(h);
    number_claim(h); /* who looked before, and looks again, sees that it is not the same */
    h->rec->perhaps_until = FOREVER;
    atomic_fetch_add(&h->cell->starts, 1);
    atomic_fetch_add(&oracle->starts, 1);
}

void oracle_extend(struct holding *h, int64_t exp_ms)
{
    oracle_renounce(h);
    h->next_exp_ms = exp_ms;
    h->next_begun = now_ns();
}

void oracle_extended(struct holding *h, cachify_status_t status)
{
    if (status == CACHIFY_OK) {
        check_not_taken(h, "extend");
        count(h->told < h->next_begun ? EXTENDED_LATE : EXTENDED);
        h->begun = h->next_begun;
        h->exp_ms = h->next_exp_ms;
        ask_deadline(h, "extend");
        oracle_claim(h);
        return;
    }
    if (status == CACHIFY_LOST)
        explain(h, "extend", 0);
    else
        unexpected("extend", status);
    h->rec->claim = 0;
    h->rec->perhaps_until = 0;
}

void oracle_abandon(struct holding *h)
{
    (void)h;
    count(ABANDONED);
}

void oracle_force(const struct slot *slot, unsigned key)
{
    oracle->forcing[slot_number(slot)] = key + 1;
    atomic_fetch_add(&oracle->cell[key].forces, 1);
    count(FORCES);
}

void oracle_forced(const struct slot *slot)
{
    oracle->forcing[slot_number(slot)] = 0;
}

/* ---- Counting ---- */

struct crowd oracle_crowd(int key, const struct rec *mine)
{
    struct crowd crowd = {.starts = key < 0 ? &oracle->starts : &oracle->cell[key].starts};
    crowd.before = *crowd.starts;
    int64_t now = now_ns();
    for (uint32_t s = 0; s < oracle->slots; s++)
        for (unsigned i = 0; i < MAX_RECS; i++) {
            const struct rec *r = &oracle->slot[s].rec[i];
            if (r != mine && r->perhaps_until > now && (key < 0 || r->key == (uint32_t)key))
                crowd.seen++;
        }
    return crowd;
}

uint64_t oracle_crowd_at_most(const struct crowd *crowd)
{
    return crowd->seen + (*crowd->starts - crowd->before);
}
