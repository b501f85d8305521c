/* Rounds of damage to a segment, and every call on what is left of it.  See README.md. */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/client_shm.h"
#include "face/instance.h"
#include "face/lease.h"
#include "ground/hash.h"
#include "hostile.h"
#include "shm/line.h"
#include "shm/record.h"
#include "shm/view.h"

#define OWN 3u /* leases that the victim has in every round */
#define CALLS_A_ROUND 12u
#define STOP_AFTER 10u /* failures: enough to look at */

static struct plan {
    uint64_t seed;
    uint64_t first, rounds;
    bool quiet, live;
    bool verbose;
    bool alone_now; /* of these rounds */
} plan = {.rounds = 10000, .quiet = true, .live = true};

static char path[128];
static cachify_config_t config = {.path = path, .prefix = "", .key_max = 32};

/* ---- What stands in the segment before each round ---- */

static const char *const keys[] = {"own-0", "own-1", "own-2", "idle",  "late",
                                   "dead",  "peer",  "new-0", "new-1", "new-2"};
#define KEYS (sizeof keys / sizeof keys[0])

static _Atomic uint32_t *ready; /* how many peers stand */

static void wait_ready(uint32_t count)
{
    for (unsigned i = 0; i < 20000 && cf_load_acquire(ready) < count; i++)
        cf_nanosleep(CF_MS);
}

static void take_or_die(cachify_t *cachify, const char *key, int64_t exp_ms, cachify_lease_t *lease)
{
    cachify_lock_t lock = {.key = key, .exp_ms = exp_ms, .value = key, .value_len = 4};
    if (cachify_acquire(cachify, &lock, lease) == CACHIFY_OK)
        return;
    printf("cannot set the stage: %s\n", cachify_last_error());
    fflush(stdout);
    _exit(EXIT_FAILURE);
}

static cachify_t *open_or_die(void)
{
    cachify_t *cachify;
    if (cachify_open(&config, &cachify) == CACHIFY_OK)
        return cachify;
    printf("cannot open: %s\n", cachify_last_error());
    fflush(stdout);
    _exit(EXIT_FAILURE);
}

/* A living holder that does nothing. */
static void sit(void *context)
{
    cachify_lease_t lease;
    (void)context;
    take_or_die(open_or_die(), "peer", CACHIFY_NEVER, &lease);
    cf_add_seq(ready, 1);
    for (;;)
        pause();
}

static void die_holding(void *context)
{
    cachify_lease_t lease;
    (void)context;
    take_or_die(open_or_die(), "dead", CACHIFY_NEVER, &lease);
}

/* Another process at work all the while, on keys of its own and on others. */
static void be_busy(void *context)
{
    cachify_lease_t lease = CACHIFY_LEASE_INIT;
    struct dice dice = {plan.seed ^ 0x7472616666696300};
    station = context;
    cachify_t *cachify = open_or_die();
    put_between_guards(cf_client_shm_mapping(&cachify->client));
    cf_add_seq(ready, 1);
    wait_ready(3); /* for the victim: the stage is to be set as it should */
    for (;;) {
        char key[16];
        if (below(&dice, 4) != 0)
            snprintf(key, sizeof key, "busy-%u", below(&dice, 4));
        else
            snprintf(key, sizeof key, "%s", keys[below(&dice, KEYS)]);
        cachify_lock_t lock = {.key = key,
                               .exp_ms =
                                   below(&dice, 4) == 0 ? CACHIFY_NEVER : 1 + below(&dice, 50),
                               .wait = below(&dice, 16) == 0,
                               .timeout_ms = 3};
        if (call_acquire(cachify, &lock, &lease) == CACHIFY_OK) {
            if (below(&dice, 4) == 0)
                call_extend(&lease, 1 + below(&dice, 100));
            call_ask(&lease);
            call_release(&lease);
        }
        call_by_key(cachify, below(&dice, 2) == 0 ? CALL_QUERY : CALL_IS_LOCKED, key);
    }
}

/* ---- The victim ---- */

struct victim {
    cachify_t *cachify;
    struct cf_mapping *m;
    struct cf_binding *binding;
    cachify_caller_t caller; /* as it was when the snapshot was taken */
    cachify_lease_t own[OWN], own_then[OWN];
    uint8_t *snapshot;
};

/* Waiters that no process is, and removals under way: what would be there only for moments. */
static void add_traces(struct cf_mapping *m)
{
    uint64_t hash = cf_hash("own-0", 5, m->hash_seed);
    struct cf_record *dead = NULL;
    for (uint32_t r = 0; r < m->records; r++) {
        cf_state s = cf_load_relaxed(&cf_record_at(m, r)->state);
        if (cf_state_is_taken(s) && cf_state_entry(s) != cf_owner_entry(cf_self(m)))
            dead = cf_record_at(m, r); /* a lease's: what is idle here is this process's own */
    }
    cf_line_arm(m, cf_line_enter(m, hash, 0, false), hash);
    cf_line_arm(m, cf_line_enter(m, hash, 0, true), hash);
    if (dead == NULL)
        return;
    uint32_t i = cf_line_enter(m, hash, 0, false);
    cf_store_relaxed(&cf_waiter_at(m, i)->owner, cf_load_relaxed(&dead->owner));
    uint32_t slot = cf_load_relaxed(&dead->slot);
    cf_store_relaxed(&m->process_at[cf_owner_entry(cf_self(m))].intent[1],
                     cf_load_relaxed(cf_slot_at(m, slot)));
}

static void set_stage(struct victim *v)
{
    cachify_lease_t lease;
    pid_t dead = start_child(die_holding, NULL);
    watch_child(dead, station, 20 * CF_SECOND, &(int){0});
    v->cachify = open_or_die();
    v->m = cf_client_shm_mapping(&v->cachify->client);
    put_between_guards(v->m);
    take_or_die(v->cachify, "late", 1, &lease);
    take_or_die(v->cachify, keys[0], CACHIFY_NEVER, &v->own[0]);
    take_or_die(v->cachify, keys[1], 30000, &v->own[1]);
    take_or_die(v->cachify, keys[2], 30000, &v->own[2]);
    cachify_extend(&v->own[2], 60000);
    take_or_die(v->cachify, "idle", 0, &lease);
    cachify_release(&lease);
    add_traces(v->m);
    cf_nanosleep(3 * CF_MS);
    v->binding = cf_thread.last;
    v->caller = v->binding->caller;
    memcpy(v->own_then, v->own, sizeof v->own);
    v->snapshot = malloc(v->m->size);
    if (v->snapshot == NULL)
        _exit(EXIT_FAILURE);
    memcpy(v->snapshot, v->m->base, v->m->size);
}

/* The segment and what this thread and its leases know of it.  A lease that was released took
 * its pin away. */
static void restore(struct victim *v)
{
    memcpy(v->m->base, v->snapshot, v->m->size);
    v->binding->caller = v->caller;
    v->binding->key_requested = false;
    for (unsigned i = 0; i < OWN; i++) {
        struct cf_face_lease *lease = (struct cf_face_lease *)&v->own[i];
        if (cf_load_relaxed(&lease->state) != CF_LEASE_HELD)
            cf_pin(v->binding, 1);
        memcpy(&v->own[i], &v->own_then[i], sizeof v->own[i]);
    }
}

/* One call of any kind.  taken: leases got in this round. */
static void call_something(struct victim *v, struct dice *dice, cachify_lease_t *taken)
{
    const char *key = keys[below(dice, KEYS)];
    cachify_lease_t *own = &v->own[below(dice, OWN)];
    cachify_lock_t lock = {.key = key,
                           .exp_ms = below(dice, 3) == 0 ? CACHIFY_NEVER : 30000,
                           .value = "again",
                           .value_len = below(dice, 6)};
    switch (below(dice, 16)) {
    case 0:
        lock.wait = true;
        lock.timeout_ms = 1;
        /* fall through */
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
        if (call_acquire(v->cachify, &lock, taken) == CACHIFY_OK && below(dice, 2) == 0)
            call_release(taken);
        break;
    case 6:
    case 7:
        call_release(own);
        break;
    case 8:
    case 9:
        call_extend(own, below(dice, 2) == 0 ? 1 : 60000);
        break;
    case 10:
        call_by_key(v->cachify, CALL_IS_LOCKED, key);
        break;
    case 11:
        call_by_key(v->cachify, CALL_QUERY, key);
        break;
    case 12:
        call_by_key(v->cachify, CALL_FORCE, key);
        break;
    case 13:
        call_ask(own);
        break;
    case 14:
        call_sweep(v->cachify);
        break;
    default:
        if (below(dice, 4) == 0)
            call_open(&config, below(dice, 4) == 0, key);
        else
            call_view(path);
    }
}

static int print_finding(void *context, const char *finding)
{
    (void)context;
    printf("before the damage: %s\n", finding);
    return 0;
}

/* What stands before the damage is sound: else the rest proves little.  Alone only: a process at
 * work loses what it had when all is put back. */
static void check_stage(void)
{
    cachify_shm_view_t *view;
    uint64_t findings = 0;
    if (cachify_shm_open(NULL, path, &view) != CACHIFY_OK)
        return;
    cachify_shm_check(view, print_finding, NULL, &findings);
    cachify_shm_close(view);
    cf_add_relaxed(&station->faults, findings);
}

static void one_round(struct victim *v, uint64_t round)
{
    struct dice dice = {plan.seed ^ round * UINT64_C(0xD1342543DE82EF95)};
    cachify_lease_t taken[CALLS_A_ROUND] = {0};
    uint8_t header[sizeof(struct cf_header)];
    restore(v);
    if (plan.alone_now && round % 64 == 0)
        check_stage();
    damage(&dice, v->m, below(&dice, 3) == 0 ? 1 + below(&dice, 64) : 1 + below(&dice, 4));
    memcpy(header, v->m->base, sizeof header);
    for (unsigned i = 0; i < CALLS_A_ROUND; i++)
        call_something(v, &dice, &taken[i]);
    call_check(path);
    for (unsigned i = 0; i < CALLS_A_ROUND; i++)
        call_release(&taken[i]);
    if (memcmp(header, v->m->base, sizeof header) != 0) {
        cf_add_relaxed(&station->faults, 1);
        printf("round %" PRIu64 ": the header was written\n", round);
    }
}

static void be_victim(void *context)
{
    struct victim v = {0};
    station = context;
    set_stage(&v);
    cf_add_seq(ready, 1);
    while (cf_load_relaxed(&station->round) < plan.first + plan.rounds &&
           cf_load_relaxed(&station->faults) < STOP_AFTER) {
        one_round(&v, cf_load_relaxed(&station->round));
        cf_add_relaxed(&station->round, 1);
    }
    free(v.snapshot);
}

/* ---- All rounds of one kind ---- */

struct tally {
    uint64_t passed, failed;
};

struct cast {
    pid_t sitter, busy, victim;
};

static struct cast start_cast(bool live, struct station *stations)
{
    struct cast cast = {0};
    cf_store_release(ready, 0);
    plan.alone_now = !live;
    config.max_locks = live ? 12 : 7; /* beside the stage: room for some, and none */
    make_segment(&config, plan.seed);
    cast.sitter = start_child(sit, NULL);
    wait_ready(1);
    if (live) {
        cast.busy = start_child(be_busy, &stations[1]);
        wait_ready(2);
    }
    cast.victim = start_child(be_victim, &stations[0]);
    return cast;
}

static void end_cast(struct cast *cast)
{
    end_child(cast->victim);
    end_child(cast->busy);
    end_child(cast->sitter);
    unlink(path);
}

/* Until one of them ends.  The busy one must not end at all. */
static bool watch_cast(struct cast *cast, struct station *stations)
{
    char text[160];
    int status = 0;
    for (;;) {
        enum end end = watch_child(cast->victim, &stations[0], 20 * CF_MS, &status);
        unsigned who = 0;
        if (end == GOES_ON && cast->busy != 0) {
            end = watch_child(cast->busy, &stations[1], 0, &status);
            who = 1;
        }
        if (end == GOES_ON)
            continue;
        *(who == 0 ? &cast->victim : &cast->busy) = 0;
        if (end == ENDED && who == 0)
            return true;
        describe_end(end, status, &stations[who], text, sizeof text);
        printf("round %" PRIu64 " (--seed=%" PRIu64 " --first=%" PRIu64 " --rounds=1%s): %s%s\n",
               cf_load_relaxed(&stations[0].round), plan.seed, cf_load_relaxed(&stations[0].round),
               cast->busy != 0 || who == 1 ? " --live" : "",
               who == 1 ? "the process at work: " : "", text);
        return false;
    }
}

static struct tally run(bool live)
{
    struct station *stations = shared_memory(2 * sizeof *stations);
    struct tally tally = {0};
    uint64_t begin = cf_monotonic_ns();
    cf_store_relaxed(&stations[0].round, plan.first);
    while (cf_load_relaxed(&stations[0].round) < plan.first + plan.rounds &&
           tally.failed + cf_load_relaxed(&stations[0].faults) < STOP_AFTER) {
        cf_store_relaxed(&stations[0].since, 0);
        cf_store_relaxed(&stations[1].since, 0);
        struct cast cast = start_cast(live, stations);
        bool done = watch_cast(&cast, stations);
        end_cast(&cast);
        if (!done) {
            tally.failed++;
            cf_add_relaxed(&stations[0].round, 1);
        }
    }
    uint64_t rounds = cf_load_relaxed(&stations[0].round) - plan.first;
    tally.failed += cf_load_relaxed(&stations[0].faults) + cf_load_relaxed(&stations[1].faults);
    tally.passed = rounds > tally.failed ? rounds - tally.failed : 0;
    printf("%s: %" PRIu64 " rounds, %" PRIu64 " calls returned, %" PRIu64 " failures, %.1f s\n",
           live ? "beside a process at work" : "alone", rounds,
           cf_load_relaxed(&stations[0].returned) + cf_load_relaxed(&stations[1].returned),
           tally.failed, (double)(cf_monotonic_ns() - begin) / 1e9);
    if (plan.verbose)
        calls_print(stations, 2);
    return tally;
}

/* ---- Options ---- */

static const char usage[] =
    "Usage: corrupt [OPTION]...\n"
    "Damages a segment at random, round after round, and sees that every call returns.\n\n"
    "  --rounds=N   alone, and as many beside a process at work (10000)\n"
    "  --seed=N     repeat these random choices (CACHIFY_SEED; else a new one each time)\n"
    "  --first=N    begin with this round (0): one round is what its number and the seed say\n"
    "  --alone      only that\n"
    "  --live       only beside a process at work\n"
    "  --verbose    what was answered, and what took longest\n";

static void parse(int argc, char **argv)
{
    static const struct option options[] = {{"rounds", required_argument, NULL, 'r'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"first", required_argument, NULL, 'f'},
                                            {"alone", no_argument, NULL, 'a'},
                                            {"live", no_argument, NULL, 'l'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {0}};
    const char *given = getenv("CACHIFY_SEED");
    plan.seed = given != NULL ? strtoull(given, NULL, 10) : cf_random() >> 1;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (c) {
        case 'r':
            plan.rounds = strtoull(optarg, NULL, 10);
            break;
        case 's':
            plan.seed = strtoull(optarg, NULL, 10);
            break;
        case 'f':
            plan.first = strtoull(optarg, NULL, 10);
            break;
        case 'a':
            plan.live = false;
            break;
        case 'l':
            plan.quiet = false;
            break;
        case 'v':
            plan.verbose = true;
            break;
        default:
            fputs(usage, stderr);
            exit(64);
        }
}

int main(int argc, char **argv)
{
    struct tally tally = {0};
    parse(argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    snprintf(path, sizeof path, "/dev/shm/cachify-hostile-%d", (int)getpid());
    cf_check_again_ns = 0;
    ready = shared_memory(sizeof *ready);
    printf("CACHIFY_SEED=%" PRIu64 "\n", plan.seed);
    for (unsigned live = 0; live < 2; live++) {
        if (!(live != 0 ? plan.live : plan.quiet))
            continue;
        struct tally one = run(live != 0);
        tally.passed += one.passed;
        tally.failed += one.failed;
    }
    printf("corrupt: %" PRIu64 " passed, %" PRIu64 " failed\n", tally.passed, tally.failed);
    return tally.failed == 0 && tally.passed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
