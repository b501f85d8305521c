/* Two actors as coroutines, and every way to interleave their accesses to shared memory
 * with a bounded number of preemptions.
 *
 * An actor runs until it ends, pauses (cf_pause) or is preempted.  A schedule names who
 * begins and the points at which it departs from that: at an access, the other goes on
 * instead; at a pause, the actor does not wait for the other.  Points are numbered from 1
 * over both actors.  Accesses are sequentially consistent. */
#ifndef CF_INTERLEAVE_SCHEDULER_H
#define CF_INTERLEAVE_SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define ACTORS 2
#define DEEPEST 8

struct schedule {
    unsigned first; /* actor */
    unsigned count;
    uint32_t at[DEEPEST];
};

/* What is scheduled. */
struct game {
    void (*begin)(void); /* everything as before the first run */
    void (*act)(unsigned actor);
    /* After an access that may have changed a shared word, which was old before. */
    void (*changed)(unsigned actor, uint32_t word, uint64_t old);
    void (*end)(void); /* both have ended; not scheduled */
    /* For the trace: a word's name, and what a value in it means. */
    void (*name)(uint32_t word, uint64_t value, char *text, size_t room);
};

struct tally {
    uint64_t schedules;
    uint32_t longest; /* points of one run */
    struct schedule failing;
    char failure[512]; /* empty: none */
};

/* All schedules of at most bound departures; false at the first failure.  A departure is
 * tried only at pauses and before accesses to words that both actors touch, one of them
 * writing; preempting elsewhere is the same as doing so at the next such point.  Which
 * words those are is learnt on the way: who learns begins anew. */
bool explore(const struct game *game, unsigned bound, struct tally *tally);

/* Departures are tried before every access, shared or not: much slower, to the same end. */
extern bool explore_everywhere;

/* One schedule, with its trace if that is not NULL.  False if it fails. */
bool replay(const struct game *game, const struct schedule *schedule, FILE *trace,
            struct tally *tally);

/* "A:12,40" */
void schedule_print(const struct schedule *schedule, char *text, size_t room);
bool schedule_parse(const char *text, struct schedule *schedule);

/* The run is wrong.  From an actor this does not return; elsewhere the first one counts. */
void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A point at which all actors may meet, other than an access to memory: a system call. */
void scheduler_point(const char *what);

/* A call has returned: its last access is told of now, not before the next one. */
void scheduler_settle(void);

/* The actor that runs cannot go on: the other does.  False if that one has ended. */
bool scheduler_block(void);

/* Which actor runs; -1 outside of runs. */
int scheduler_actor(void);

#endif
