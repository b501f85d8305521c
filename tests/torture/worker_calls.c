#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "worker.h"

void pause_us(unsigned us)
{
    struct timespec t = {us / 1000000, (long)(us % 1000000) * 1000};
    nanosleep(&t, NULL);
}

void call_begin(struct slot *slot, unsigned thread, const char *name, int64_t allowed_ms)
{
    slot->call[thread].name = name;
    slot->call[thread].until = now_ns() + allowed_ms * MS;
}

void call_end(struct slot *slot, unsigned thread)
{
    slot->call[thread].until = 0;
}

static void expect(bool fine, const char *call, cachify_status_t status)
{
    if (!fine)
        violation(RULE_ANSWERS, "%s answers %s: %s", call, cachify_strerror(status),
                  cachify_last_error());
}

bool open_instance(const struct plan *plan, cachify_t **instance)
{
    cachify_config_t config = {.size = sizeof config,
                               .path = plan->path,
                               .max_locks = plan->max_locks,
                               .key_max = 64,
                               .poll_interval_ms = 20};
    cachify_status_t status = cachify_open(&config, instance);
    expect(status == CACHIFY_OK, "open", status);
    return status == CACHIFY_OK;
}

/* Half of what is done happens on four keys. */
static unsigned random_key(const struct worker *w, struct dice *dice)
{
    return below(dice, percent(dice, 50) && w->plan->keys > 4 ? 4 : w->plan->keys);
}

int64_t random_expiry(struct dice *dice)
{
    unsigned kind = below(dice, 100);
    return kind < 15   ? 1 + below(dice, 4)
           : kind < 65 ? 5 + below(dice, 196)
           : kind < 80 ? 200 + below(dice, 800)
           : kind < 88 ? 1000 + below(dice, 2000)
                       : CACHIFY_NEVER;
}

static void name_key(char name[16], unsigned key)
{
    snprintf(name, 16, "k%03u", key);
}

/* The note says whose it is, and has any length. */
static uint32_t write_note(char note[65], unsigned key, pid_t pid, struct dice *dice)
{
    int used = snprintf(note, 65, "k%03u-%d.", key, (int)pid);
    uint32_t len = (uint32_t)used + below(dice, 65 - (unsigned)used);
    memset(note + used, 'x', len - (uint32_t)used);
    return len;
}

/* Busy: somebody may have had it, or has the turn; and a wait was as long as it should be. */
static void judge_busy(const struct crowd *holders, unsigned key, cachify_status_t status)
{
    if (strstr(cachify_last_error(), "kept for") != NULL)
        count(KEPT);
    else if (oracle_crowd_at_most(holders) == 0)
        violation(RULE_NOT_BLOCKED, "key %u: %s, but nobody can have it: %s", key,
                  cachify_strerror(status), cachify_last_error());
}

static void judge_timeout(const struct slot *slot, uint32_t stops, int64_t late)
{
    if (late < 0)
        violation(RULE_TIMEOUTS, "a wait ended %" PRId64 " us before its timeout", -late / 1000);
    if (slot->stops != stops)
        return; /* the time in which it was stopped is not the library's */
    int64_t latest = oracle->latest;
    while (latest < late && !atomic_compare_exchange_weak(&oracle->latest, &latest, late)) {
    }
    if (late > 3000 * MS)
        violation(RULE_TIMEOUTS, "a wait ended %" PRId64 " ms after its timeout", late / MS);
}

static void judge_full(const struct worker *w, const struct crowd *all)
{
    uint64_t most = oracle_crowd_at_most(all);
    if (most < w->plan->max_locks)
        violation(RULE_FULL, "FULL, but at most %" PRIu64 " of %u leases can be live: %s", most,
                  w->plan->max_locks, cachify_last_error());
}

static bool holds_nothing(const struct worker *w)
{
    for (unsigned i = 0; i < MAX_RECS; i++)
        if (w->entry[i].use != UNUSED)
            return false;
    return true;
}

/* As an event loop does it.  CANCELLED: now and then it changes its mind. */
static cachify_status_t acquire_from_loop(struct worker *w, const cachify_lock_t *lock,
                                          cachify_lease_t *lease)
{
    cachify_async_t *async;
    cachify_status_t status = cachify_acquire_start(w->instance, lock, &async);
    if (status != CACHIFY_OK)
        return status;
    struct pollfd ready = {.fd = cachify_async_fd(async), .events = POLLIN};
    do {
        if (percent(&w->dice, 10)) {
            status = cachify_async_cancel(async);
            expect(status == CACHIFY_OK, "cancel", status);
            return CACHIFY_CANCELLED;
        }
        if (!percent(&w->dice, 5)) /* else too early */
            poll(&ready, 1, -1);
        status = cachify_async_finish(async, lease);
    } while (status == CACHIFY_PENDING);
    return status;
}

void try_acquire(struct worker *w, struct entry *e)
{
    struct dice *dice = &w->dice;
    char name[16], note[65];
    unsigned key = random_key(w, dice);
    cachify_lock_t lock = {
        .size = sizeof lock, .key = name, .exp_ms = random_expiry(dice), .value = note};
    name_key(name, key);
    lock.value_len = write_note(note, key, getpid(), dice);
    lock.wait = percent(dice, 8);
    bool from_loop = percent(dice, lock.wait ? 35 : 2);
    if (lock.wait) /* who holds something and waits without limit may wait for ever */
        lock.timeout_ms = percent(dice, 10) && holds_nothing(w) ? 0
                          : percent(dice, 80)                   ? 1 + below(dice, 4)
                                                                : 5 + below(dice, 60);

    oracle_begin(&e->h, w->slot, (unsigned)(e - w->entry), key, lock.exp_ms);
    struct crowd holders = oracle_crowd((int)key, e->h.rec);
    struct crowd all = oracle_crowd(-1, e->h.rec);
    uint32_t stops = w->slot->stops;
    call_begin(w->slot, MAIN_THREAD, lock.wait ? "waiting acquire" : "acquire",
               !lock.wait             ? 0
               : lock.timeout_ms != 0 ? lock.timeout_ms
                                      : 20000);
    int64_t begun = now_ns();
    cachify_status_t status = from_loop ? acquire_from_loop(w, &lock, &e->h.lease)
                                        : cachify_acquire(w->instance, &lock, &e->h.lease);
    int64_t ended = now_ns();
    call_end(w->slot, MAIN_THREAD);

    if (status == CACHIFY_OK) {
        e->use = MINE;
        oracle_got(&e->h);
        return;
    }
    if (status == CACHIFY_FULL) {
        count(FULL_SEEN);
        judge_full(w, &all);
    } else if (status == CACHIFY_LOCKED && !lock.wait) {
        count(CONTENDED);
        judge_busy(&holders, key, status);
    } else if (status == CACHIFY_TIMEOUT && lock.wait && lock.timeout_ms != 0) {
        count(TIMED_OUT);
        judge_busy(&holders, key, status);
        judge_timeout(w->slot, stops, ended - begun - lock.timeout_ms * MS);
    } else if (status == CACHIFY_CANCELLED && from_loop) {
        count(CANCELLED);
    } else {
        expect(false, lock.wait ? "waiting acquire" : "acquire", status);
    }
    oracle_failed(&e->h);
}

/* A lease that never expires and that this thread took: waiting for it would be for ever,
 * unless it was lost by force. */
void wait_for_oneself(struct worker *w, const struct entry *e, struct entry *other)
{
    char name[16], note[65];
    unsigned key = e->h.rec->key;
    name_key(name, key);
    cachify_lock_t lock = {.size = sizeof lock,
                           .key = name,
                           .wait = true,
                           .exp_ms = random_expiry(&w->dice),
                           .value = note,
                           .value_len = write_note(note, key, getpid(), &w->dice)};
    oracle_begin(&other->h, w->slot, (unsigned)(other - w->entry), key, lock.exp_ms);
    call_begin(w->slot, MAIN_THREAD, "wait for oneself", 20000);
    cachify_status_t status = cachify_acquire(w->instance, &lock, &other->h.lease);
    call_end(w->slot, MAIN_THREAD);
    if (status == CACHIFY_OK) {
        other->use = MINE;
        oracle_got(&other->h);
        return;
    }
    expect(status == CACHIFY_DEADLOCK ||
               (status == CACHIFY_FULL && !cachify_lease_held(&e->h.lease)),
           "wait for oneself", status);
    if (status == CACHIFY_DEADLOCK)
        count(DEADLOCKS);
    oracle_failed(&other->h);
}

void extend(struct entry *e, unsigned thread, struct dice *dice)
{
    struct holding *h = &e->h;
    int64_t exp_ms = random_expiry(dice);
    oracle_extend(h, exp_ms);
    call_begin(h->slot, thread, "extend", 0);
    cachify_status_t status = cachify_extend(&h->lease, exp_ms);
    call_end(h->slot, thread);
    oracle_extended(h, status);
    if (status != CACHIFY_OK) {
        cachify_release(&h->lease); /* empties it; that the lock was lost is known */
        e->use = UNUSED;
    }
}

void release(struct entry *e, unsigned thread)
{
    struct holding *h = &e->h;
    oracle_release(h);
    call_begin(h->slot, thread, "release", 0);
    cachify_status_t status = cachify_release(&h->lease);
    call_end(h->slot, thread);
    oracle_released(h, status);

    cachify_status_t again = cachify_release(&h->lease);
    expect(again == CACHIFY_OK, "release of an empty lease", again);
    e->use = UNUSED;
}

void force(struct worker *w)
{
    char name[16];
    unsigned key = random_key(w, &w->dice);
    name_key(name, key);
    oracle_force(w->slot, key);
    call_begin(w->slot, MAIN_THREAD, "release_key", 0);
    cachify_status_t status = cachify_release_key(w->instance, name);
    call_end(w->slot, MAIN_THREAD);
    oracle_forced(w->slot);
    expect(status == CACHIFY_OK, "release_key", status);
}

static void judge_look(unsigned key, bool held, uint64_t sure, const struct crowd *holders)
{
    if (!held && sure != 0 && oracle_sure_claim(key) == sure)
        violation(RULE_ONE_HOLDER, "key %u: said to be free while it is held", key);
    if (held && oracle_crowd_at_most(holders) == 0)
        violation(RULE_NOT_BLOCKED, "key %u: said to be held, but nobody can have it", key);
}

/* What is shown of a lease must be of one lease, and of this key. */
static void judge_info(unsigned key, const cachify_info_t *info)
{
    char note[65], command[16] = "";
    int len = snprintf(note, sizeof note, "k%03u-%" PRId64 ".", key, info->pid);
    prctl(PR_GET_NAME, command);
    if (info->value_len < (uint32_t)len || memcmp(info->value, note, (size_t)len) != 0 ||
        strncmp(info->command, command, sizeof command) != 0 || info->token == 0 ||
        info->held_ms < 0 ||
        (info->remaining_ms > LONGEST_MS && info->remaining_ms != CACHIFY_NEVER))
        violation(RULE_ANSWERS,
                  "key %u: process %" PRId64 " (%.16s), held %" PRId64 " ms, left %" PRId64
                  " ms, token %" PRIu64 ", note \"%.*s\"",
                  key, info->pid, info->command, info->held_ms, info->remaining_ms, info->token,
                  (int)info->value_len, info->value);
}

void look(struct worker *w)
{
    char name[16];
    unsigned key = random_key(w, &w->dice);
    name_key(name, key);
    count(LOOKS);
    uint64_t sure = oracle_sure_claim(key);
    struct crowd holders = oracle_crowd((int)key, NULL);
    call_begin(w->slot, MAIN_THREAD, "look", 0);
    cachify_info_t info = {.size = sizeof info};
    bool held = false;
    bool whole = percent(&w->dice, 50);
    cachify_status_t status = whole ? cachify_query(w->instance, name, &info)
                                    : cachify_is_locked(w->instance, name, &held);
    call_end(w->slot, MAIN_THREAD);
    expect(status == CACHIFY_OK, whole ? "query" : "is_locked", status);
    if (whole)
        held = info.state == CACHIFY_STATE_HELD;
    judge_look(key, held, sure, &holders);
    if (whole && held)
        judge_info(key, &info);
}

/* The lease was released: whoever has the lock now has it by another. */
void ask_not_held(struct worker *w, const struct holding *h)
{
    char name[16];
    cachify_info_t info = {.size = sizeof info};
    name_key(name, h->rec->key);
    cachify_status_t status = cachify_query(w->instance, name, &info);
    expect(status == CACHIFY_OK, "query", status);
    if (status == CACHIFY_OK && info.state != CACHIFY_STATE_FREE && info.token == h->token)
        violation(RULE_ANSWERS, "key %u: token %" PRIu64 " was released, and stands",
                  (unsigned)h->rec->key, info.token);
}

void sweep(struct worker *w)
{
    count(SWEEPS);
    call_begin(w->slot, MAIN_THREAD, "sweep", 0);
    cachify_status_t status = cachify_shm_sweep(w->instance);
    call_end(w->slot, MAIN_THREAD);
    expect(status == CACHIFY_OK, "sweep", status);
}
