/* Four processes at work on few keys, while a fifth writes nonsense into the segment under them.
 * See README.md. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/client_shm.h"
#include "face/instance.h"
#include "hostile.h"
#include "shm/view.h"

#define WORKERS 4u
#define KEYS 6u
#define LEASES 4u
#define STOP_AFTER 10u

static struct plan {
    uint64_t seed;
    double seconds;
    bool verbose;
} plan = {.seconds = 30};

static char path[128];
static cachify_config_t config = {
    .path = path, .prefix = "", .key_max = 32, .max_locks = 16, .poll_interval_ms = 20};

static struct shared {
    _Atomic uint32_t ready; /* workers that have opened */
    _Atomic uint64_t writes, restored;
    struct station at[WORKERS];
} * shared;

/* ---- Workers ---- */

static void work_once(cachify_t *cachify, struct dice *dice, cachify_lease_t *lease)
{
    char key[16];
    snprintf(key, sizeof key, "key-%u", below(dice, KEYS));
    cachify_lock_t lock = {.key = key,
                           .exp_ms = below(dice, 3) == 0 ? CACHIFY_NEVER : 1 + below(dice, 100),
                           .wait = below(dice, 2) == 0,
                           .timeout_ms = 1 + below(dice, 20),
                           .value = key,
                           .value_len = below(dice, 6)};
    uint32_t what = below(dice, 1000);
    if (what < 500) {
        call_release(lease);
        call_acquire(cachify, &lock, lease);
    } else if (what < 700)
        call_extend(lease, 1 + below(dice, 100));
    else if (what < 800)
        call_release(lease);
    else if (what < 900)
        call_by_key(cachify, below(dice, 2) == 0 ? CALL_QUERY : CALL_IS_LOCKED, key);
    else if (what < 950)
        call_ask(lease);
    else if (what < 980)
        call_by_key(cachify, CALL_FORCE, key);
    else if (what < 985)
        call_check(path);
    else if (what < 990)
        call_sweep(cachify);
    else if (what < 998)
        call_view(path);
    else
        call_open(&config, below(dice, 2) == 0, key);
}

static void work(void *context)
{
    cachify_t *cachify;
    cachify_lease_t lease[LEASES] = {0};
    station = context;
    struct dice dice = {plan.seed + (uint64_t)(station - shared->at) + 1};
    while (cachify_open(&config, &cachify) != CACHIFY_OK)
        cf_nanosleep(CF_MS); /* the header is damaged, too */
    put_between_guards(cf_client_shm_mapping(&cachify->client));
    cf_add_seq(&shared->ready, 1);
    while (cf_load_relaxed(&shared->restored) == 0)
        cf_nanosleep(CF_MS);
    for (;;)
        work_once(cachify, &dice, &lease[below(&dice, LEASES)]);
}

/* ---- The scribbler ---- */

/* For some microseconds one slot's word is two words by turns, faster than anybody looks. */
static void hammer(struct dice *dice, const struct cf_mapping *m)
{
    _Atomic uint64_t *slot = cf_slot_at(m, cf_slot_number(0, 0));
    uint64_t one = 0;
    for (unsigned tries = 0; tries < 16 && one == 0; tries++) {
        slot = cf_slot_at(m, cf_slot_number(below(dice, m->groups), below(dice, CF_SLOTS)));
        one = cf_load_relaxed(slot);
    }
    uint32_t kind = below(dice, 3);
    uint64_t other = kind == 0   ? cf_word_with_state(one, (enum cf_word_state)(1 + below(dice, 3)))
                     : kind == 1 ? one + (UINT64_C(1) << CF_RECORD_BITS)
                                 : 0;
    for (uint32_t i = 1u << below(dice, 22); i > 0; i--)
        cf_store_relaxed(slot, i % 2 == 0 ? one : other);
}

/* Whoever inserts is withdrawn, as its rival would do, for longer than a call may take. */
static void withdraw(const struct cf_mapping *m)
{
    uint64_t until = cf_monotonic_ns() + 2 * WALL_BOUND_NS;
    for (uint32_t i = 0; i % 1024 != 0 || cf_monotonic_ns() < until; i++) {
        _Atomic uint64_t *slot =
            cf_slot_at(m, cf_slot_number(i / CF_SLOTS % m->groups, i % CF_SLOTS));
        cf_word w = cf_load_relaxed(slot);
        if (cf_word_state(w) == CF_INSERTING)
            cf_cas64(slot, w, 0);
    }
}

/* Every now and then all is made whole again, so that there is something to damage. */
static void scribbler(void *context)
{
    struct dice dice = {plan.seed};
    cachify_t *cachify = context;
    const struct cf_mapping *m = cf_client_shm_mapping(&cachify->client);
    uint8_t *whole = malloc(m->size);
    if (whole == NULL)
        return;
    memcpy(whole, m->base, m->size);
    for (;;) {
        memcpy(m->base, whole, m->size);
        cf_add_relaxed(&shared->restored, 1);
        if (below(&dice, 256) == 0 || cf_load_relaxed(&shared->restored) == 16)
            withdraw(m);
        uint64_t until = cf_monotonic_ns() + (1 + below(&dice, 10)) * CF_MS;
        uint64_t pause = below(&dice, 8) == 0 ? 0 : UINT64_C(1024) << below(&dice, 12);
        bool hammers = below(&dice, 3) == 0;
        while (cf_monotonic_ns() < until) {
            if (hammers)
                hammer(&dice, m);
            else if (below(&dice, 64) == 0)
                damage(&dice, m, 1);
            else
                scribble(&dice, m);
            cf_add_relaxed(&shared->writes, 1);
            if (pause != 0)
                cf_nanosleep(pause);
        }
    }
}

/* ---- Watching ---- */

static uint64_t watch(pid_t worker[WORKERS], uint64_t until)
{
    char text[160];
    uint64_t failed = 0;
    while (cf_monotonic_ns() < until && failed < STOP_AFTER)
        for (unsigned i = 0; i < WORKERS; i++) {
            int status = 0;
            struct station *at = &shared->at[i];
            enum end end = watch_child(worker[i], at, 5 * CF_MS, &status);
            if (end == GOES_ON)
                continue;
            failed++;
            describe_end(end, status, at, text, sizeof text);
            printf("worker %u: %s, after %" PRIu64 " calls\n", i, text,
                   cf_load_relaxed(&at->returned));
            cf_store_relaxed(&at->since, 0);
            worker[i] = start_child(work, at);
        }
    return failed;
}

static void parse(int argc, char **argv)
{
    static const struct option options[] = {{"seconds", required_argument, NULL, 't'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {0}};
    const char *given = getenv("CACHIFY_SEED");
    plan.seed = given != NULL ? strtoull(given, NULL, 10) : cf_random() >> 1;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (c) {
        case 't':
            plan.seconds = strtod(optarg, NULL);
            break;
        case 's':
            plan.seed = strtoull(optarg, NULL, 10);
            break;
        case 'v':
            plan.verbose = true;
            break;
        default:
            fputs("Usage: scribble [--seconds=30] [--seed=N] [--verbose]\n"
                  "Four processes use a segment into which a fifth writes nonsense.\n",
                  stderr);
            exit(64);
        }
}

int main(int argc, char **argv)
{
    cachify_t *cachify;
    pid_t worker[WORKERS];
    parse(argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    snprintf(path, sizeof path, "/dev/shm/cachify-scribble-%d", (int)getpid());
    cf_check_again_ns = 0;
    shared = shared_memory(sizeof *shared);
    printf("CACHIFY_SEED=%" PRIu64 "\n", plan.seed);
    make_segment(&config, plan.seed);
    if (cachify_open(&config, &cachify) != CACHIFY_OK)
        return EXIT_FAILURE;
    for (unsigned i = 0; i < WORKERS; i++)
        worker[i] = start_child(work, &shared->at[i]);
    for (unsigned i = 0; i < 20000 && cf_load_acquire(&shared->ready) < WORKERS; i++)
        cf_nanosleep(CF_MS);
    pid_t fifth = start_child(scribbler, cachify);
    uint64_t failed = watch(worker, cf_monotonic_ns() + (uint64_t)(plan.seconds * 1e9));
    end_child(fifth);
    for (unsigned i = 0; i < WORKERS; i++)
        end_child(worker[i]);
    if (cachify_close(cachify) != CACHIFY_OK) /* with what the last write left */
        failed++;
    unlink(path);
    uint64_t returned = 0;
    for (unsigned i = 0; i < WORKERS; i++) {
        failed += cf_load_relaxed(&shared->at[i].faults);
        returned += cf_load_relaxed(&shared->at[i].returned);
    }
    printf("%" PRIu64 " writes, %" PRIu64 " times made whole\n", cf_load_relaxed(&shared->writes),
           cf_load_relaxed(&shared->restored));
    if (plan.verbose)
        calls_print(shared->at, WORKERS);
    printf("scribble: %" PRIu64 " passed, %" PRIu64 " failed\n",
           returned > failed ? returned - failed : 0, failed);
    return failed == 0 && returned > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
