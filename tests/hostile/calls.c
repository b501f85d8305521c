/* Every public call, timed and judged: it returns soon, with a status that it may return. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ground/os.h"
#include "hostile.h"

struct station *station;

/* From this list come names and judgements.  What is not here may not be answered. */
static const struct {
    const char *name;
    unsigned statuses[9]; /* beside OK; 0 ends it */
} calls[CALLS] = {
    [CALL_ACQUIRE] = {"acquire", {CACHIFY_LOCKED, CACHIFY_FULL, CACHIFY_CORRUPT}},
    [CALL_WAIT] = {"acquire with a timeout",
                   {CACHIFY_LOCKED, CACHIFY_TIMEOUT, CACHIFY_FULL, CACHIFY_CORRUPT}},
    [CALL_RELEASE] = {"release", {CACHIFY_LOST, CACHIFY_CORRUPT}},
    [CALL_EXTEND] = {"extend", {CACHIFY_LOST, CACHIFY_FULL, CACHIFY_CORRUPT}},
    [CALL_IS_LOCKED] = {"is_locked", {CACHIFY_CORRUPT}},
    [CALL_QUERY] = {"query", {CACHIFY_CORRUPT}},
    [CALL_FORCE] = {"release_key", {CACHIFY_CORRUPT}},
    [CALL_ASK] = {"questions to a lease", {0}},
    [CALL_SWEEP] = {"shm_sweep", {0}},
    [CALL_OPEN] = {"open", {CACHIFY_CORRUPT, CACHIFY_INCOMPATIBLE, CACHIFY_FULL}},
    [CALL_CLOSE] = {"close", {0}},
    [CALL_INIT] = {"init", {CACHIFY_CORRUPT, CACHIFY_INCOMPATIBLE, CACHIFY_FULL}},
    [CALL_SHUTDOWN] = {"shutdown", {0}},
    [CALL_VIEW] = {"shm_open", {CACHIFY_CORRUPT, CACHIFY_INCOMPATIBLE}},
    [CALL_HEADER] = {"shm_header", {0}},
    [CALL_LEASES] = {"shm_leases", {0}},
    [CALL_COUNT] = {"shm_count", {0}},
    [CALL_CHECK] = {"shm_check", {0}},
    [CALL_PROCESSES] = {"shm_processes", {0}},
};

const char *call_name(uint32_t call)
{
    return call < CALLS ? calls[call].name : "no call";
}

static bool allowed(enum call call, cachify_status_t status)
{
    if (status == CACHIFY_OK)
        return true;
    for (const unsigned *s = calls[call].statuses; *s != 0; s++)
        if (*s == (unsigned)status)
            return true;
    return false;
}

/* ---- Timing ---- */

/* Under a sanitizer everything takes longer. */
#if defined(__SANITIZE_ADDRESS__) || defined(CF_TSAN)
#define SLOWER 10u
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLOWER 10u
#endif
#endif
#ifndef SLOWER
#define SLOWER 1u
#endif

#define FAULTS_PRINTED 20u

struct timing {
    enum call call;
    uint64_t cpu;
};

static uint64_t cpu_ns(void)
{
    return cf_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static struct timing begin(enum call call, int64_t timeout_ms)
{
    cf_store_relaxed(&station->call, (uint32_t)call);
    cf_store_relaxed(&station->timeout_ns, (uint64_t)timeout_ms * CF_MS);
    cf_store_release(&station->since, cf_monotonic_ns());
    return (struct timing){.call = call, .cpu = cpu_ns()};
}

static void fault(enum call call, const char *what, uint64_t number)
{
    if (cf_add_relaxed(&station->faults, 1) >= FAULTS_PRINTED)
        return;
    printf("round %" PRIu64 ": %s: %s %" PRIu64 "\n", cf_load_relaxed(&station->round),
           call_name((uint32_t)call), what, number);
    fflush(stdout);
}

static cachify_status_t end(struct timing timing, cachify_status_t status)
{
    uint64_t cpu = cpu_ns() - timing.cpu;
    uint64_t wall = cf_monotonic_ns() - cf_load_relaxed(&station->since);
    cf_store_release(&station->since, 0);
    cf_add_relaxed(&station->returned, 1);
    if ((unsigned)status < STATUSES)
        cf_add_relaxed(&station->answers[timing.call][status], 1);
    if (cpu > cf_load_relaxed(&station->longest_ns[timing.call]))
        cf_store_relaxed(&station->longest_ns[timing.call], cpu);
    if (!allowed(timing.call, status))
        fault(timing.call, "must not return status", (uint64_t)status);
    if (cpu > SLOWER * CPU_BOUND_NS)
        fault(timing.call, "took of the processor's time, in ms,", cpu / CF_MS);
    else if (wall > cf_load_relaxed(&station->timeout_ns) + SLOWER * WALL_BOUND_NS)
        fault(timing.call, "took, in ms,", wall / CF_MS);
    return status;
}

/* ---- The calls ---- */

cachify_status_t call_acquire(cachify_t *cachify, const cachify_lock_t *lock,
                              cachify_lease_t *lease)
{
    struct timing timing = begin(lock->wait ? CALL_WAIT : CALL_ACQUIRE, lock->timeout_ms);
    return end(timing, cachify_acquire(cachify, lock, lease));
}

cachify_status_t call_release(cachify_lease_t *lease)
{
    struct timing timing = begin(CALL_RELEASE, 0);
    return end(timing, cachify_release(lease));
}

cachify_status_t call_extend(cachify_lease_t *lease, int64_t exp_ms)
{
    struct timing timing = begin(CALL_EXTEND, 0);
    return end(timing, cachify_extend(lease, exp_ms));
}

static void judge_info(enum call call, const cachify_info_t *info)
{
    if (info->state > CACHIFY_STATE_OWNER_DEAD)
        fault(call, "must not tell state", info->state);
    if (info->value_len > sizeof info->value)
        fault(call, "tells a note of bytes", info->value_len);
    if (memchr(info->command, '\0', sizeof info->command) == NULL)
        fault(call, "tells a command without an end", 0);
    if (info->held_ms < 0 || info->remaining_ms < 0)
        fault(call, "tells a time below zero", 0);
}

void call_by_key(cachify_t *cachify, enum call call, const char *key)
{
    bool locked = false;
    cachify_info_t info = {0};
    struct timing timing = begin(call, 0);
    if (call == CALL_IS_LOCKED)
        end(timing, cachify_is_locked(cachify, key, &locked));
    else if (call == CALL_QUERY) {
        if (end(timing, cachify_query(cachify, key, &info)) == CACHIFY_OK)
            judge_info(call, &info);
    } else
        end(timing, cachify_release_key(cachify, key));
}

void call_ask(const cachify_lease_t *lease)
{
    cachify_origin_t origin = {0};
    struct timing timing = begin(CALL_ASK, 0);
    bool held = cachify_lease_held(lease);
    int64_t remaining = cachify_lease_remaining_ms(lease);
    cachify_lease_token(lease);
    cachify_lease_origin(lease, &origin);
    end(timing, CACHIFY_OK);
    if (remaining < 0)
        fault(CALL_ASK, "tells a time below zero", held);
}

void call_sweep(cachify_t *cachify)
{
    struct timing timing = begin(CALL_SWEEP, 0);
    end(timing, cachify_shm_sweep(cachify));
}

void call_open(const cachify_config_t *config, bool init, const char *key)
{
    cachify_t *another = NULL;
    cachify_lease_t lease = CACHIFY_LEASE_INIT;
    struct timing timing = begin(init ? CALL_INIT : CALL_OPEN, 0);
    if (end(timing, init ? cachify_init(config) : cachify_open(config, &another)) != CACHIFY_OK)
        return;
    if (call_acquire(another, &(cachify_lock_t){.key = key}, &lease) == CACHIFY_OK)
        call_release(&lease);
    timing = begin(init ? CALL_SHUTDOWN : CALL_CLOSE, 0);
    end(timing, init ? cachify_shutdown() : cachify_close(another));
}

/* ---- Views ---- */

static int judge_lease(void *context, const cachify_shm_lease_t *lease)
{
    const cachify_shm_header_t *header = context;
    unsigned sum = 0;
    if (lease->key_len == 0 || lease->key_len > header->key_max)
        fault(CALL_LEASES, "tells a key of bytes", lease->key_len);
    for (uint32_t i = 0; i < lease->key_len; i++)
        sum += (unsigned char)lease->key[i]; /* it can be read to its end */
    judge_info(CALL_LEASES, &lease->info);
    return sum == UINT32_MAX;
}

static int judge_finding(void *context, const char *finding)
{
    size_t len = strlen(finding);
    if (len < 20 || len > 150 || strspn(finding, "abcdefghijklmnopqrstuvwxyz0123456789,:' ") != len)
        fault(CALL_CHECK, "tells what is no sentence, of bytes", len);
    return ++*(unsigned *)context == 5000;
}

void call_check(const char *path)
{
    cachify_shm_view_t *view;
    unsigned told = 0;
    uint64_t findings = 0;
    struct timing timing = begin(CALL_VIEW, 0);
    if (end(timing, cachify_shm_open(NULL, path, &view)) != CACHIFY_OK)
        return;
    timing = begin(CALL_CHECK, 0);
    end(timing, cachify_shm_check(view, judge_finding, &told, &findings));
    if (findings != told)
        fault(CALL_CHECK, "counts findings that it did not tell:", findings);
    cachify_shm_close(view);
}

static int judge_process(void *context, const cachify_shm_process_t *process)
{
    const cachify_shm_header_t *header = context;
    if (process->entry >= header->max_processes)
        fault(CALL_PROCESSES, "tells of an entry that is not there:", process->entry);
    if (process->evidence < CACHIFY_SHM_BYTE_LOCKED || process->evidence > CACHIFY_SHM_NOT_TOLD)
        fault(CALL_PROCESSES, "gives as evidence", process->evidence);
    if (process->registered_ms < 0 || process->asked_ms < -1)
        fault(CALL_PROCESSES, "tells a time below zero of entry", process->entry);
    if (memchr(process->command, '\0', sizeof process->command) == NULL)
        fault(CALL_PROCESSES, "tells a name without an end of entry", process->entry);
    return 0;
}

void call_view(const char *path)
{
    cachify_shm_view_t *view;
    cachify_shm_header_t header = {0};
    cachify_shm_counts_t counts = {0};
    struct timing timing = begin(CALL_VIEW, 0);
    if (end(timing, cachify_shm_open(NULL, path, &view)) != CACHIFY_OK)
        return;
    timing = begin(CALL_HEADER, 0);
    end(timing, cachify_shm_header(view, &header));
    if (header.age_ms < 0)
        fault(CALL_HEADER, "tells a time below zero", 0);
    timing = begin(CALL_LEASES, 0);
    end(timing, cachify_shm_leases(view, judge_lease, &header, NULL));
    timing = begin(CALL_COUNT, 0);
    end(timing, cachify_shm_count(view, &counts));
    timing = begin(CALL_PROCESSES, 0);
    end(timing, cachify_shm_processes(view, judge_process, &header, NULL));
    cachify_shm_close(view);
}

/* ---- Telling ---- */

void calls_print(const struct station *stations, unsigned count)
{
    for (unsigned call = 0; call < CALLS; call++) {
        uint64_t answers[STATUSES] = {0}, longest = 0;
        for (unsigned i = 0; i < count; i++) {
            uint64_t ns = cf_load_relaxed(&stations[i].longest_ns[call]);
            longest = ns > longest ? ns : longest;
            for (unsigned s = 0; s < STATUSES; s++)
                answers[s] += cf_load_relaxed(&stations[i].answers[call][s]);
        }
        printf("  %-22s slowest %8.3f ms ", call_name(call), (double)longest / (double)CF_MS);
        for (unsigned s = 0; s < STATUSES; s++)
            if (answers[s] != 0)
                printf("  %s: %" PRIu64, cachify_strerror((cachify_status_t)s), answers[s]);
        printf("\n");
    }
}
