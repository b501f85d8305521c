/* Processes that use a segment full of nonsense, and a watchdog that sees each call return.
 * README.md says how. */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <cachify/shm.h>

#include "shm/mapping.h"

/* ---- Chance ---- */

struct dice {
    uint64_t state;
};
uint64_t roll(struct dice *dice);
uint32_t below(struct dice *dice, uint32_t n);

/* ---- Calls ---- */

enum call {
    CALL_ACQUIRE,
    CALL_WAIT, /* acquire with a timeout */
    CALL_RELEASE,
    CALL_EXTEND,
    CALL_IS_LOCKED,
    CALL_QUERY,
    CALL_FORCE,
    CALL_ASK, /* the questions to a lease */
    CALL_SWEEP,
    CALL_OPEN,
    CALL_CLOSE,
    CALL_INIT,
    CALL_SHUTDOWN,
    CALL_VIEW,
    CALL_HEADER,
    CALL_LEASES,
    CALL_COUNT,
    CALL_CHECK,
    CALL_PROCESSES,
    CALLS
};

#define STATUSES 17u

/* What a process does, in memory that it shares with its watchdog. */
struct station {
    _Atomic uint64_t round;
    _Atomic uint64_t since; /* when the call under way began, ns; 0: none is */
    _Atomic uint32_t call;
    _Atomic uint64_t timeout_ns; /* which it was given */
    _Atomic uint64_t returned;
    _Atomic uint64_t faults; /* calls that were too slow, or returned what they must not */
    _Atomic uint64_t longest_ns[CALLS]; /* of the processor's time */
    _Atomic uint64_t answers[CALLS][STATUSES];
};

/* Where this process's calls are noted. */
extern struct station *station;

const char *call_name(uint32_t call);

/* Each is the call of that name, timed and judged.  A fault is printed and counted. */
cachify_status_t call_acquire(cachify_t *cachify, const cachify_lock_t *lock,
                              cachify_lease_t *lease);
cachify_status_t call_release(cachify_lease_t *lease);
cachify_status_t call_extend(cachify_lease_t *lease, int64_t exp_ms);
void call_by_key(cachify_t *cachify, enum call call, const char *key);
void call_ask(const cachify_lease_t *lease);
void call_sweep(cachify_t *cachify);
/* Opens another instance, uses it and closes it; as the global one if init. */
void call_open(const cachify_config_t *config, bool init, const char *key);
/* Opens a view and asks all there is to ask. */
void call_view(const char *path);
void call_check(const char *path);

/* What was counted since the last time, and the slowest of each; to be printed between runs. */
void calls_print(const struct station *stations, unsigned count);

/* ---- Watching ---- */

/* The processor's time that a call may take, and the time beyond its timeout that it may take on
 * a machine that does other things too; what takes as long as the last one hangs. */
#define CPU_BOUND_NS (100 * CF_MS)
#define WALL_BOUND_NS (2 * CF_SECOND)
#define HANG_NS (10 * CF_SECOND)

/* Zeroed memory that children share. */
void *shared_memory(size_t size);

/* A child that dies with this process and ends no other way than by _exit. */
pid_t start_child(void (*act)(void *context), void *context);
void end_child(pid_t pid); /* SIGKILL, and reaped */

/* Waits for a child at most until ns: 0 if it goes on, else -1 and how it ended.  A child that
 * hangs is killed. */
enum end { GOES_ON, ENDED, DIED, HUNG };
enum end watch_child(pid_t pid, const struct station *at, uint64_t ns, int *status);

/* "signal 11 in cachify_query", for people. */
void describe_end(enum end end, int status, const struct station *at, char *text, size_t room);

/* ---- A segment ---- */

/* Creates it with this hash seed, so that the same keys lie in the same places in each run. */
void make_segment(const cachify_config_t *config, uint64_t hash_seed);

/* Moves this process's mapping to a place where nothing lies for 64 GiB on both sides: an access
 * outside of it is a crash. */
void put_between_guards(struct cf_mapping *m);

/* ---- Damage ---- */

/* Writes nonsense into a mapping of the segment: flips bits, copies words, writes random ones.
 * Weighted, so that index and records in use get most of it. */
void damage(struct dice *dice, const struct cf_mapping *m, unsigned writes);

/* The same anywhere, without a look at what lies where. */
void scribble(struct dice *dice, const struct cf_mapping *m);

#endif
