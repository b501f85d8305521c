/* A benchmark is a table of subjects, each measured once a round, in turn. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#define MAX_ROUNDS 101

/* One way to do one thing: a case's name, a subject's, and what measures it once. */
struct subject {
    const char *bench_case;
    const char *name;
    double (*run)(long n); /* ns an operation, of n operations (contended: in n ms) */
    long n;
    double sample[MAX_ROUNDS];
    int samples;
};

/* A figure to reach: subject a's time over subject b's at most so much. */
struct bar {
    const char *bench_case;
    const char *name;
    const char *to_case;
    const char *to;
    double at_most;
};

extern struct subject subjects[];
extern const unsigned subject_count;

uint64_t now_ns(void);

/* Make and remove what the subjects work on.  False with a message on failure. */
bool subjects_open(void);
void subjects_close(void);

/* The peers' halves, in peers.c. */
bool peers_open(void);
void peers_close(void);
double robust_pair(long n);
double flock_pair(long n);
double robust_contended(long n);
double flock_contended(long n);
double robust_handoff(long n);
double flock_handoff(long n);

/* Run step in each of two processes for so many ms; ns an operation over both. */
double in_two_processes(void (*step)(void), long ms);

/* A sleeper in another process takes what this one gives: ns from the release to the
 * sleeper's return, the median of n times. */
double hand_over(void (*take)(void), void (*give)(void), long n);

#endif
