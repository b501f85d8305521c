/* What is known of every lease without asking the library: a mapping of our own, in which
 * each process writes down what it was told, and everybody judges everybody by that.
 * README.md says why none of these judgements can be wrong by a race.
 *
 * All fields are sequentially consistent: this is the judge, not the runner. */
#ifndef TORTURE_ORACLE_H
#define TORTURE_ORACLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include <cachify/shm.h>

#define MAX_PROCESSES 32
#define MAX_SLOTS 96 /* processes at one time, children that workers fork among them */
#define MAX_RECS 12  /* leases of one process at one time */
#define MAX_KEYS 256
#define MAX_THREADS 2 /* of a process */
#define TOKENS_KEPT 64
#define MAX_REPORTS 64
#define MAX_PID 4194304
#define MS INT64_C(1000000)
#define FOREVER INT64_MAX

/* What is judged; the names are in oracle.c. */
enum rule {
    RULE_ONE_HOLDER,
    RULE_LOST_EXPLAINED,
    RULE_TOKENS,
    RULE_NOT_BLOCKED,
    RULE_NO_LEAK,
    RULE_TIMEOUTS,
    RULE_FULL,
    RULE_LENGTH,
    RULE_FORK,
    RULE_ANSWERS,
    RULES
};
extern const char *const rule_names[RULES];

/* What was done.  The names are in oracle.c. */
enum count {
    ACQUIRED,
    CONTENDED,
    DEADLOCKS,
    TIMED_OUT,
    KEPT,
    CANCELLED,
    FULL_SEEN,
    RELEASED,
    EXTENDED,
    EXTENDED_LATE,
    LOST_EXPIRED,
    LOST_FORCED,
    TAKEN_EXPIRED,
    TAKEN_DEAD,
    FORCES,
    ABANDONED,
    HANDED_OVER,
    RACES,
    SWEEPS,
    LOOKS,
    FORKS,
    EXECS,
    EXITS,
    KILLS,
    KILLS_IN_CALLS,
    STOPS,
    STOPS_IN_CALLS,
    JUDGED_LIVE,
    COUNTS
};
extern const char *const count_names[COUNTS];

/* One lease, as its holder sees it. */
struct rec {
    _Atomic uint64_t claim; /* the number of this lease; 0: none */
    _Atomic uint32_t key;
    _Atomic int64_t surely_until;  /* live until then, as its holder was told; 0: not known to be */
    _Atomic int64_t perhaps_until; /* not live after that; FOREVER while it is being taken */
    _Atomic uint64_t forces; /* forced releases of its key begun before it was begun; NOT_JUDGED */
};
#define NOT_JUDGED UINT64_MAX

/* One process. */
struct slot {
    _Atomic pid_t pid;          /* 0: free */
    _Atomic int64_t not_before; /* to be used again: what the last one had counts a while */
    _Atomic bool doomed;        /* set before whatever ends it */
    _Atomic bool stopped;
    _Atomic uint32_t stops;  /* counted */
    _Atomic uint64_t claims; /* counted over all processes that used this slot */
    struct {
        _Atomic int64_t until; /* when it should have returned; 0: in no call */
        _Atomic(const char *) name;
    } call[MAX_THREADS];
    struct rec rec[MAX_RECS];
};

/* One key. */
struct cell {
    _Atomic uint64_t claim; /* who says that it holds it */
    _Atomic uint64_t max_token;
    struct {
        _Atomic uint64_t token;
        _Atomic pid_t pid;
    } given[TOKENS_KEPT];    /* who got which token, of the latest */
    _Atomic uint64_t forces; /* forced releases begun */
    _Atomic uint64_t starts; /* leases begun or renewed; counted after perhaps_until is set */
};

struct report {
    _Atomic bool written;
    char text[400];
};

struct oracle {
    _Atomic bool stop;
    _Atomic uint32_t slots;  /* ever used */
    _Atomic uint64_t starts; /* of all keys */
    _Atomic uint64_t counts[COUNTS];
    _Atomic uint64_t violations[RULES];
    _Atomic uint64_t reports_begun;
    _Atomic int64_t latest; /* the most that a call came back late, ns */
    struct report report[MAX_REPORTS];
    _Atomic uint32_t forcing[MAX_SLOTS]; /* key + 1 of a forced release under way */
    struct cell cell[MAX_KEYS];
    struct slot slot[MAX_SLOTS];
    _Atomic uint8_t doomed_pid[MAX_PID]; /* process ids that were doomed once */
};

extern struct oracle *oracle;

/* What a process remembers of one of its leases beside the rec. */
struct holding {
    cachify_lease_t lease;
    struct slot *slot;
    struct rec *rec;
    struct cell *cell;
    uint64_t claim;
    uint64_t token;
    uint64_t token_before; /* the largest that was known when the call began */
    int64_t begun;         /* when the call began that made its deadline */
    int64_t exp_ms;
    int64_t told; /* its deadline as the holder was told; FOREVER, 0 */
    int64_t next_begun;
    int64_t next_exp_ms; /* while it is extended */
};

static inline int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 * MS + t.tv_nsec;
}

static inline void count(enum count what)
{
    atomic_fetch_add(&oracle->counts[what], 1);
}

/* Map a new one; or, after exec, the one on this descriptor.  Returns the descriptor, which
 * exec inherits, or -1. */
int oracle_map(int fd);

void violation(enum rule rule, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Processes.  enter: a free slot for this process, NULL if there is none.  doom: everything
 * it has may end from now on, it is about to be killed, to exit or to exec.  gone: it is a
 * zombie; called by whoever waits for it.  ended: the same, with a look at how. */
struct slot *oracle_enter(void);
void oracle_doom(struct slot *slot);
void oracle_gone(struct slot *slot);
void oracle_ended(struct slot *slot, bool by_signal, int status);
void oracle_lost_all(struct slot *slot); /* gone, but for the slot itself: it has done exec */

/* Around acquire.  begin before the call; then one of got and failed.  got may find that
 * the lease is over already. */
void oracle_begin(struct holding *h, struct slot *slot, unsigned rec, unsigned key, int64_t exp_ms);
void oracle_got(struct holding *h);
void oracle_failed(struct holding *h);

/* While it is held: say so, and look whether anybody else does. */
void oracle_claim(struct holding *h);

/* Around release and extend. */
void oracle_release(struct holding *h);
void oracle_released(struct holding *h, cachify_status_t status);
void oracle_extend(struct holding *h, int64_t exp_ms);
void oracle_extended(struct holding *h, cachify_status_t status);

/* It is going to be released by one thread while another renews it: nothing is sure.
 * Then oracle_released. */
void oracle_renounce(struct holding *h);

/* No more will be done with it: it ends by itself. */
void oracle_abandon(struct holding *h);

/* Around release_key. */
void oracle_force(const struct slot *slot, unsigned key);
void oracle_forced(const struct slot *slot);

/* How many leases can have been live at one moment between crowd and crowd_at_most: of a
 * key, or of all (key < 0).  mine is not counted; it was begun before. */
struct crowd {
    const _Atomic uint64_t *starts;
    uint64_t before;
    uint64_t seen;
};
struct crowd oracle_crowd(int key, const struct rec *mine);
uint64_t oracle_crowd_at_most(const struct crowd *crowd);

/* The claim on the key if its holder surely has it at this moment; 0. */
uint64_t oracle_sure_claim(unsigned key);

#endif
