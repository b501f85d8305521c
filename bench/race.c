/* Processes in a tight loop on one key. */
#include "bench.h"

#include <unistd.h>

#define MAX_RUNNERS 16

struct runner {
    const struct lock *lock;
    long done;
};

struct race {
    const struct lock *lock;
    void (*step)(struct runner *runner);
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
