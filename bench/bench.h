/* A benchmark is a table of subjects, each measured once a round, in turn. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <cachify/cachify.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MAX_ROUNDS 101

/* One key's lock, as the cases of waiting use it. */
struct lock {
    void (*take)(void); /* sleeps while another has it */
    void (*give)(void);
    void (*hold)(void); /* take, and keep until death */
};

/* One way to do one thing: a case's name, a subject's, and what measures it once. */
struct subject {
    const char *bench_case;
    const char *name;
    const char *unit;      /* of a sample; NULL: ns an operation */
    double (*run)(long n); /* n operations; or, for what takes several to do, this: */
    double (*among)(struct subject *s, long n); /* n times, or for n ms */
    const struct lock *lock;
    long n;
    unsigned people;
    int samples;
    double sample[MAX_ROUNDS];
    double beside; /* the other figure of a run that has two */
};

/* A figure to reach: subject a's over subject b's, or without b its own.  Without a limit it is
 * only shown. */
struct bar {
    const char *bench_case;
    const char *name;
    const char *to_case;
    const char *to;
    double at_most;
    double at_least;
};

extern struct subject subjects[];
extern const unsigned subject_count;

uint64_t now_ns(void);
void busy_ns(uint64_t ns);
const struct subject *find(const char *bench_case, const char *name);
void sort(double *samples, long n);
double median_of(double *samples, long n); /* which it sorts */

/* Make and remove what the subjects work on.  Remove may be called by a signal handler. */
void subjects_open(void);
void subjects_close(void);

/* The library's half, in subjects.c; and its lock as an event loop takes it, in async.c. */
extern cachify_t *instance;
void must(cachify_status_t got, cachify_status_t expected);
extern const struct lock async_lock;

/* The peers' halves, in peers.c. */
void peers_open(void);
void peers_close(void);
double robust_pair(long n);
double flock_pair(long n);
extern const struct lock robust_lock;
extern const struct lock flock_lock;

/* Other processes, in processes.c.  A child that outlives its work ends with this process. */
pid_t child_start(void (*work)(void *with), void *with);
void child_join(pid_t child);
void child_kill(pid_t child); /* still to be reaped */
void child_reap(pid_t child);
void clean_up_when_told_to_end(void);
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

void *shared_make(size_t bytes); /* zeroed, with the children to come */
void shared_end(void *shared, size_t bytes);

/* Wait until *word is value; until it is another; until a thread has slept for so many ms. */
void await(const _Atomic int *word, int value);
void await_change(const _Atomic int *word, int from);
void await_asleep(pid_t process, pid_t thread, unsigned ms);

/* Cases: in waiting.c, race.c and herd.c. */
double handoff(struct subject *s, long n);
double kill_to_waiter(struct subject *s, long n);
double contended(struct subject *s, long n);
double fair(struct subject *s, long n);
double fair_wait(struct subject *s, long n);
double herd(struct subject *s, long n);
double sleepers_cpu(struct subject *s, long n);

#endif
