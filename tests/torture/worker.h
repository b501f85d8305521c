/* What a tortured process does: everything that the library offers, at random. */
#ifndef TORTURE_WORKER_H
#define TORTURE_WORKER_H

#include <pthread.h>
#include <stdlib.h>

#include "oracle.h"

/* One configuration. */
struct plan {
    const char *name;
    const char *path; /* of the segment */
    uint64_t seed;
    unsigned processes;
    unsigned keys;
    unsigned max_locks;
    unsigned most_leases; /* of one process */
    bool leisurely;       /* seldom hold anything */
    bool no_forks;        /* no forks, execs and threads: for checkers that cannot follow them */
    int oracle_fd;
};

/* splitmix64 */
struct dice {
    uint64_t state;
};
static inline uint64_t roll(struct dice *d)
{
    uint64_t z = d->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}
static inline unsigned below(struct dice *d, unsigned n)
{
    return (unsigned)(roll(d) >> 33) % n;
}
static inline bool percent(struct dice *d, unsigned n)
{
    return below(d, 100) < n;
}

enum use { UNUSED, MINE, LENT, ABANDONED_UNTIL_OVER };

struct entry {
    _Atomic int use; /* enum use */
    struct holding h;
};

/* The other thread, which releases what this one acquired. */
struct helper {
    pthread_t thread;
    bool started;
    struct dice dice;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct entry *job;
    bool race; /* the job is only to be extended, while this thread releases it */
    _Atomic bool racing;
    cachify_status_t race_answer;
};

struct worker {
    const struct plan *plan;
    struct slot *slot;
    struct dice dice;
    cachify_t *instance;
    unsigned reopened;
    pid_t child; /* not waited for yet; 0 */
    bool is_child;
    struct helper helper;
    struct entry entry[MAX_RECS];
};

/* The body of a process; number tells it from those before it.  Does not return. */
_Noreturn void worker_main(const struct plan *plan, uint64_t number);

/* After exec: everything this process held is lost; wait a moment, and end. */
_Noreturn void worker_linger(int oracle_fd, unsigned slot);

/* A short-lived process: at the end, what is left?  Ends with 0, or 1 for a violation. */
_Noreturn void leaks_main(const struct plan *plan);

/* ---- Between the files of the worker ---- */

/* One thing at random. */
void worker_act(struct worker *w);

/* worker_calls.c: one call each, with its judgement. */
#define MAIN_THREAD 0u
#define HELPER_THREAD 1u
#define LONGEST_MS 10000 /* the longest lease that is not for ever */
void call_begin(struct slot *slot, unsigned thread, const char *name, int64_t allowed_ms);
void call_end(struct slot *slot, unsigned thread);
bool open_instance(const struct plan *plan, cachify_t **instance);
void try_acquire(struct worker *w, struct entry *e);
void wait_for_oneself(struct worker *w, const struct entry *e, struct entry *other);
void extend(struct entry *e, unsigned thread, struct dice *dice);
void release(struct entry *e, unsigned thread);
void force(struct worker *w);
void look(struct worker *w);
void ask_not_held(struct worker *w, const struct holding *h);
void sweep(struct worker *w);
int64_t random_expiry(struct dice *dice);
void pause_us(unsigned us);

/* worker_threads.c */
void helper_start(struct worker *w);
bool helper_free(struct worker *w);
void hand_over(struct worker *w, struct entry *e);
void race_release(struct worker *w, struct entry *e);

/* worker_forks.c */
void fork_child(struct worker *w);
void reap_child(struct worker *w, bool wait);
_Noreturn void become_another_program(struct worker *w);
_Noreturn void end(struct worker *w, bool tidy);

#endif
