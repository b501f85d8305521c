/* One process sleeps for what another has. */
#include "bench.h"

#include <stdlib.h>
#include <unistd.h>

#define HANDOFF_AFTER_MS 15
#define KILL_AFTER_MS 40

enum { IDLE, TAKE, TAKING, TOOK, OVER };

/* Takes the lock when told to, in shared memory. */
struct sleeper {
    const struct lock *lock;
    pid_t pid;
    _Atomic int state;
    _Atomic uint64_t stamp; /* when the lock came free, then how long that took to be known */
};

static void sleeper_work(void *with)
{
    struct sleeper *me = with;
    me->lock->take();
    me->lock->give(); /* all that is done once is done */
    me->state = IDLE;
    for (;;) {
        while (me->state != TAKE && me->state != OVER)
            usleep(50);
        if (me->state == OVER)
            return;
        me->state = TAKING;
        me->lock->take();
        me->stamp = now_ns() - me->stamp;
        me->lock->give();
        me->state = TOOK;
    }
}

static struct sleeper *sleeper_start(const struct lock *lock)
{
    struct sleeper *sleeper = shared_make(sizeof *sleeper);
    sleeper->lock = lock;
    sleeper->state = TAKING;
    sleeper->pid = child_start(sleeper_work, sleeper);
    await(&sleeper->state, IDLE);
    return sleeper;
}

/* Between TAKING and TOOK it sleeps for the lock and nothing else. */
static void sleeper_sleeps(struct sleeper *sleeper, unsigned ms)
{
    sleeper->state = TAKE;
    await(&sleeper->state, TAKING);
    await_asleep(sleeper->pid, sleeper->pid, ms);
}

static double sleeper_took(struct sleeper *sleeper)
{
    await(&sleeper->state, TOOK);
    return (double)sleeper->stamp;
}

static void sleeper_end(struct sleeper *sleeper)
{
    sleeper->state = OVER;
    child_join(sleeper->pid);
    shared_end(sleeper, sizeof *sleeper);
}

static double *room_for(long samples)
{
    double *room = calloc((size_t)samples, sizeof *room);
    if (room == NULL)
        fail("no memory for %ld samples", samples);
    return room;
}

double handoff(struct subject *s, long n)
{
    double *samples = room_for(n);
    struct sleeper *sleeper = sleeper_start(s->lock);
    for (long i = 0; i < n; i++) {
        s->lock->take();
        sleeper_sleeps(sleeper, HANDOFF_AFTER_MS);
        sleeper->stamp = now_ns();
        s->lock->give();
        samples[i] = sleeper_took(sleeper);
    }
    sleeper_end(sleeper);
    double median = median_of(samples, n);
    free(samples);
    return median;
}

/* Holds the lock until it is killed. */
struct victim {
    const struct lock *lock;
    _Atomic int holds;
};

static void victim_work(void *with)
{
    struct victim *me = with;
    me->lock->hold();
    me->holds = 1;
    for (;;)
        pause();
}

double kill_to_waiter(struct subject *s, long n)
{
    double *samples = room_for(n);
    struct sleeper *sleeper = sleeper_start(s->lock);
    struct victim *victim = shared_make(sizeof *victim);
    victim->lock = s->lock;
    for (long i = 0; i < n; i++) {
        victim->holds = 0;
        pid_t child = child_start(victim_work, victim);
        await(&victim->holds, 1);
        sleeper_sleeps(sleeper, KILL_AFTER_MS);
        sleeper->stamp = now_ns();
        child_kill(child);
        samples[i] = sleeper_took(sleeper);
        child_reap(child);
    }
    sleeper_end(sleeper);
    shared_end(victim, sizeof *victim);
    double median = median_of(samples, n);
    free(samples);
    return median;
}
