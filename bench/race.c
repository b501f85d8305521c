/* Processes in a tight loop on one key. */
#include "bench.h"

#include <unistd.h>

#define MAX_RUNNERS 16
#define HOLD_NS 50000

struct runner {
    const struct lock *lock;
    long done;
    double *waits; /* room for so many ns, one an acquisition */
    long room;
};

struct race {
    const struct lock *lock;
    void (*step)(struct runner *runner);
    double *waits; /* room for each runner; NULL: not asked for */
    long room;
    _Atomic int ready;
    _Atomic int go; /* 1: begin; 2: stop */
    uint64_t ns;
    long done[MAX_RUNNERS];
};

static void run(void *with)
{
    struct race *r = with;
    struct runner me = {.lock = r->lock};
    r->lock->take();
    r->lock->give(); /* registers, opens */
    int who = r->ready++;
    me.room = r->room;
    if (r->room > 0)
        me.waits = r->waits + who * r->room;
    while (r->go == 0)
        usleep(50); /* who spins keeps the others from getting ready */
    for (; r->go == 1; me.done++)
        r->step(&me);
    r->done[who] = me.done;
}

static void race(struct race *r, unsigned people, long ms)
{
    pid_t children[MAX_RUNNERS];
    for (unsigned i = 0; i < people; i++)
        children[i] = child_start(run, r);
    await(&r->ready, (int)people);
    uint64_t begin = now_ns();
    r->go = 1;
    usleep((unsigned)ms * 1000);
    r->go = 2;
    r->ns = now_ns() - begin;
    for (unsigned i = 0; i < people; i++)
        child_join(children[i]);
}

static void pair(struct runner *me)
{
    me->lock->take();
    me->lock->give();
}

static void hold_a_while(struct runner *me)
{
    uint64_t asked = now_ns();
    me->lock->take();
    uint64_t got = now_ns();
    busy_ns(HOLD_NS);
    me->lock->give();
    if (me->done < me->room)
        me->waits[me->done] = (double)(got - asked);
}

double contended(struct subject *s, long n)
{
    struct race *r = shared_make(sizeof *r);
    r->lock = s->lock;
    r->step = pair;
    race(r, s->people, n);
    long done = 0;
    for (unsigned i = 0; i < s->people; i++)
        done += r->done[i];
    double ns = (double)r->ns / (double)done;
    shared_end(r, sizeof *r);
    return ns;
}

static double smallest_share(const struct race *r, unsigned people)
{
    long least = r->done[0], most = r->done[0];
    for (unsigned i = 1; i < people; i++) {
        least = r->done[i] < least ? r->done[i] : least;
        most = r->done[i] > most ? r->done[i] : most;
    }
    return (double)least / (double)most;
}

/* What 999 of 1,000 waits are shorter than. */
static double long_wait(const struct race *r, unsigned people)
{
    long all = 0;
    for (unsigned i = 0; i < people; i++)
        for (long j = 0; j < r->done[i] && j < r->room; j++)
            r->waits[all++] = r->waits[i * r->room + j];
    sort(r->waits, all);
    return r->waits[all * 999 / 1000];
}

double fair(struct subject *s, long n)
{
    struct race *r = shared_make(sizeof *r);
    r->lock = s->lock;
    r->step = hold_a_while;
    r->room = 2 * n * 1000000 / HOLD_NS; /* this machine may be late to stop it */
    size_t bytes = s->people * (size_t)r->room * sizeof *r->waits;
    r->waits = shared_make(bytes);
    race(r, s->people, n);
    double share = smallest_share(r, s->people);
    s->beside = long_wait(r, s->people) / 1e6;
    shared_end(r->waits, bytes);
    shared_end(r, sizeof *r);
    return share;
}

/* Of the run that fair made this round, unless it was not asked. */
double fair_wait(struct subject *s, long n)
{
    const struct subject *run = find("fair_8", s->name);
    if (run->samples > s->samples)
        return run->beside;
    fair(s, n);
    return s->beside;
}
