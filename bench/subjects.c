/* What is measured: the library's calls, and beside them the peers'. */
#include "bench.h"

#include <stdio.h>
#include <unistd.h>

#define KEYS 1000
#define PATIENT_MS 10000

cachify_t *instance;
static cachify_t *patient; /* whose waiters do not wake by themselves while it is measured */
static char segment[64];
static char keys[KEYS][24];
static const cachify_lock_t hot = {.key = "order-12345"};
static const cachify_lock_t hot_wait = {.key = "order-12345", .wait = true};
static const cachify_lock_t hot_for_ever = {
    .key = "order-12345", .wait = true, .exp_ms = CACHIFY_NEVER};
static _Thread_local cachify_lease_t taken;

void must(cachify_status_t got, cachify_status_t expected)
{
    if (got == expected)
        return;
    fail("%s; expected %s: %s", cachify_strerror(got), cachify_strerror(expected),
         cachify_last_error());
}

void subjects_open(void)
{
    snprintf(segment, sizeof segment, "/dev/shm/cachify-bench-%d", (int)getpid());
    cachify_config_t config = {.path = segment};
    must(cachify_open(&config, &instance), CACHIFY_OK);
    config.poll_interval_ms = PATIENT_MS;
    must(cachify_open(&config, &patient), CACHIFY_OK);
    for (int i = 0; i < KEYS; i++)
        snprintf(keys[i], sizeof keys[i], "order-%d", i);
    peers_open();
}

void subjects_close(void)
{
    peers_close();
    unlink(segment);
}

static double pair_on(cachify_t *on, long n)
{
    cachify_lease_t lease;
    uint64_t begin = now_ns();
    for (long i = 0; i < n; i++) {
        must(cachify_acquire(on, &hot, &lease), CACHIFY_OK);
        must(cachify_release(&lease), CACHIFY_OK);
    }
    return (double)(now_ns() - begin) / (double)n;
}

static double pair(long n)
{
    return pair_on(instance, n);
}

/* The same through the global instance, whose pointer RCU guards. */
static double pair_global(long n)
{
    cachify_config_t config = {.path = segment};
    must(cachify_init(&config), CACHIFY_OK);
    double ns = pair_on(NULL, n);
    must(cachify_shutdown(), CACHIFY_OK);
    return ns;
}

static double pair_random_keys(long n)
{
    cachify_lease_t lease;
    uint32_t random = 1;
    uint64_t begin = now_ns();
    for (long i = 0; i < n; i++) {
        random = random * 1664525u + 1013904223u;
        cachify_lock_t lock = {.key = keys[(random >> 16) % KEYS]};
        must(cachify_acquire(instance, &lock, &lease), CACHIFY_OK);
        must(cachify_release(&lease), CACHIFY_OK);
    }
    return (double)(now_ns() - begin) / (double)n;
}

static double busy_nowait(long n)
{
    cachify_lease_t lease, other;
    must(cachify_acquire(instance, &hot, &lease), CACHIFY_OK);
    uint64_t begin = now_ns();
    for (long i = 0; i < n; i++)
        must(cachify_acquire(instance, &hot, &other), CACHIFY_LOCKED);
    double ns = (double)(now_ns() - begin) / (double)n;
    must(cachify_release(&lease), CACHIFY_OK);
    return ns;
}

static double is_locked(long n)
{
    bool locked;
    uint64_t begin = now_ns();
    for (long i = 0; i < n; i++)
        must(cachify_is_locked(instance, hot.key, &locked), CACHIFY_OK);
    return (double)(now_ns() - begin) / (double)n;
}

static double extend(long n)
{
    cachify_lease_t lease;
    must(cachify_acquire(instance, &hot, &lease), CACHIFY_OK);
    uint64_t begin = now_ns();
    for (long i = 0; i < n; i++)
        must(cachify_extend(&lease, 30000), CACHIFY_OK);
    double ns = (double)(now_ns() - begin) / (double)n;
    must(cachify_release(&lease), CACHIFY_OK);
    return ns;
}

static double still_held(long n)
{
    cachify_lease_t lease;
    bool held = true;
    must(cachify_acquire(instance, &hot, &lease), CACHIFY_OK);
    uint64_t begin = now_ns();
    for (long i = 0; i < n; i++)
        held = held && cachify_lease_held(&lease);
    double ns = (double)(now_ns() - begin) / (double)n;
    must(held ? CACHIFY_OK : CACHIFY_LOST, CACHIFY_OK);
    must(cachify_release(&lease), CACHIFY_OK);
    return ns;
}

static void take(void)
{
    must(cachify_acquire(instance, &hot_wait, &taken), CACHIFY_OK);
}

static void give(void)
{
    must(cachify_release(&taken), CACHIFY_OK);
}

static void hold(void)
{
    must(cachify_acquire(instance, &hot_for_ever, &taken), CACHIFY_OK);
}

static void take_patiently(void)
{
    must(cachify_acquire(patient, &hot_wait, &taken), CACHIFY_OK);
}

static const struct lock cachify_lock = {.take = take, .give = give, .hold = hold};
static const struct lock patient_lock = {.take = take_patiently, .give = give};

#define CACHIFY .name = "cachify", .lock = &cachify_lock
#define ROBUST .name = "robust_mutex", .lock = &robust_lock
#define FLOCK .name = "flock", .lock = &flock_lock
#define ASYNC .name = "cachify", .lock = &async_lock
#define PATIENT .name = "cachify", .lock = &patient_lock

#define CONTENDED .among = contended, .n = 150
#define FAIR .unit = "share", .among = fair, .people = 8, .n = 1500
#define FAIR_WAIT .unit = "ms", .among = fair_wait, .people = 8, .n = 1500
#define HERD .unit = "wakes", .among = herd, .people = 1000, .n = 1
#define SLEEPERS .unit = "ms/s", .among = sleepers_cpu, .people = 100, .n = 2000

struct subject subjects[] = {
    {.bench_case = "pair_uncontended", .name = "cachify", .run = pair, .n = 500000},
    {.bench_case = "pair_uncontended", .name = "robust_mutex", .run = robust_pair, .n = 1000000},
    {.bench_case = "pair_uncontended", .name = "flock", .run = flock_pair, .n = 50000},
    {.bench_case = "pair_global", .name = "cachify", .run = pair_global, .n = 500000},
    {.bench_case = "pair_random_keys", .name = "cachify", .run = pair_random_keys, .n = 300000},
    {.bench_case = "busy_nowait", .name = "cachify", .run = busy_nowait, .n = 300000},
    {.bench_case = "is_locked", .name = "cachify", .run = is_locked, .n = 300000},
    {.bench_case = "extend", .name = "cachify", .run = extend, .n = 200000},
    {.bench_case = "lease_held", .name = "cachify", .run = still_held, .n = 300000},
    {.bench_case = "contended_2", CACHIFY, CONTENDED, .people = 2},
    {.bench_case = "contended_2", ROBUST, CONTENDED, .people = 2},
    {.bench_case = "contended_2", FLOCK, CONTENDED, .people = 2},
    {.bench_case = "contended_4", CACHIFY, CONTENDED, .people = 4},
    {.bench_case = "contended_4", ROBUST, CONTENDED, .people = 4},
    {.bench_case = "contended_4", FLOCK, CONTENDED, .people = 4},
    {.bench_case = "contended_16", CACHIFY, CONTENDED, .people = 16},
    {.bench_case = "contended_16", ROBUST, CONTENDED, .people = 16},
    {.bench_case = "contended_16", FLOCK, CONTENDED, .people = 16},
    {.bench_case = "handoff", CACHIFY, .among = handoff, .n = 20},
    {.bench_case = "handoff", ROBUST, .among = handoff, .n = 20},
    {.bench_case = "handoff", FLOCK, .among = handoff, .n = 20},
    {.bench_case = "async_handoff", ASYNC, .among = handoff, .n = 20},
    {.bench_case = "kill_to_waiter", CACHIFY, .among = kill_to_waiter, .n = 10},
    {.bench_case = "kill_to_waiter", ROBUST, .among = kill_to_waiter, .n = 10},
    {.bench_case = "kill_to_waiter", FLOCK, .among = kill_to_waiter, .n = 10},
    {.bench_case = "fair_8", CACHIFY, FAIR},
    {.bench_case = "fair_8", ROBUST, FAIR},
    {.bench_case = "fair_8", FLOCK, FAIR},
    {.bench_case = "fair_8_wait", CACHIFY, FAIR_WAIT},
    {.bench_case = "fair_8_wait", ROBUST, FAIR_WAIT},
    {.bench_case = "fair_8_wait", FLOCK, FAIR_WAIT},
    {.bench_case = "herd_1000", PATIENT, HERD},
    {.bench_case = "sleepers_cpu", CACHIFY, SLEEPERS},
};

const unsigned subject_count = sizeof subjects / sizeof subjects[0];
