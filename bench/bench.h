/* A benchmark is a table of cases; a subject is a peer in a case, measured once a round, in turn. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "peers/peer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define MAX_ROUNDS 101

#ifdef __clang__
#define COMPILER __VERSION__ /* has its name in it */
#else
#define COMPILER "gcc " __VERSION__
#endif

struct subject;

/* What has to be there while some cases are measured, and is made and removed for them only.
 * Each peer that has fill holds so many keys then, or there are so many processes. */
struct setting {
    long count;
    const char *(*open)(long count); /* NULL, or why not */
    void (*close)(long count);
};

struct bench_case {
    const char *name;
    const char *unit;                    /* NULL: ns */
    void (*run)(struct subject *s);      /* takes samples; NULL: the loop */
    bool (*takes)(const struct peer *p); /* with run: whether this peer can */
    enum loop loop;
    unsigned people; /* processes or threads */
    long n;          /* of a loop: fixed, instead of as many as fit its time */
    long ms;         /* how long a loop, or a race, lasts a round */
    bool once;       /* in the first round only */
    const struct setting *setting;
};

struct subject {
    const struct bench_case *of;
    const struct peer *peer;
    double *sample; /* of all rounds */
    long samples, room;
    double round[MAX_ROUNDS]; /* the median of its samples; sorted in the end */
    int rounds;
    long n;        /* operations in a sample, people, or what is held */
    long count;    /* of its setting, in this run */
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

/* How the program was asked to run. */
struct wishes {
    bool json;
    bool quick;
    int rounds;
    const char *only;    /* cases of this pattern */
    const char *samples; /* a file for all of them */
    const char *table;   /* a file for the table, beside JSON */
};

extern struct wishes wishes;

/* The tables, in cases.c and bars.c. */
extern const struct bench_case cases[];
extern const unsigned case_count;
extern const struct bar bars[];
extern const unsigned bar_count;

/* In measure.c. */
extern struct subject *subjects;
extern unsigned subject_count;
void subjects_choose(void);
void measure_all(void);
void sample(struct subject *s, double value);
const struct subject *find(const char *bench_case, const char *name);
bool is_measured(const struct peer *p);
bool scaled_down(const struct bench_case *c);
long scaled(long count);

/* In absent.c: what is not there to be measured, and why. */
struct absent {
    const char *what;
    char why[200];
};
void leave_out(const char *what, const char *why);
const struct absent *absent_at(unsigned i); /* NULL behind the last */
bool left_out(const char *what);

/* In report.c, report_json.c and machine.c. */
void report_text(FILE *to);
void report_json(void);
void print_samples(FILE *to);
const char *processor(void);
double median(const struct subject *s);
double p99(struct subject *s);                                   /* NAN: too few samples */
double bar_value(const struct bar *b, const struct subject **s); /* NAN: not measured */
const char *bar_to(const struct bar *b);
bool bar_met(const struct bar *b, double value);
bool bar_judged(const struct bar *b);

/* In clock.c. */
uint64_t now_ns(void);
void busy_ns(uint64_t ns);
void sort(double *samples, long n);
double median_of(double *samples, long n); /* which it sorts */

/* A directory of the run's own, in room.c, removed in the end, however that comes. */
void room_open(void);
const char *room_path(void);
void room_keep_semaphores(int set); /* removed with it */
void room_close(void);

/* Other processes, in processes.c.  A child that outlives its work ends with this process. */
pid_t child_start(void (*work)(void *with), void *with);
void child_join(pid_t child);
void child_kill(pid_t child); /* still to be reaped */
void child_reap(pid_t child);
void children_kill(void);
void clean_up_when_told_to_end(void);
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

void *shared_make(size_t bytes); /* zeroed, with the children to come */
void shared_end(void *shared, size_t bytes);

/* Wait until *word is value; until it is another; until told; until a thread has slept for so
 * many ms. */
void await(const _Atomic int *word, int value);
void await_change(const _Atomic int *word, int from);
void sleep_until_told(_Atomic int *word); /* as long as it is 0 */
void tell(_Atomic int *word);             /* all: it is 1 */
void await_asleep(pid_t process, pid_t thread, unsigned ms);

/* Programs, in servers.c. */
bool server_start(char *const command[], const char *socket); /* until it is connected to */
int connect_to(const char *socket);
const char *redis_server_start(void); /* once; NULL, or what is missing */
const char *redis_server_socket(void);
bool coprocess_start(char *const command[], FILE **to, FILE **from);
void coprocess_end(FILE *to, FILE *from);

/* Cases, and who can take part: in waiting.c, race.c, herd.c and crowd.c. */
void handoff(struct subject *s);
void async_handoff(struct subject *s);
void kill_to_waiter(struct subject *s);
void contended(struct subject *s);
void many_keys(struct subject *s);
void fair(struct subject *s);
void fair_wait(struct subject *s);
void herd(struct subject *s);
void sleepers_cpu(struct subject *s);
bool can_wait(const struct peer *p);
bool can_sleep(const struct peer *p);
bool can_be_async(const struct peer *p);
bool can_die(const struct peer *p);
bool can_take_keys(const struct peer *p);
bool can_pool(const struct peer *p);
bool is_library(const struct peer *p);

/* Settings, in held.c and crowd.c. */
const char *held_open(long count);
void held_close(long count);
const char *crowd_open(long count);
void crowd_close(long count);

#endif
