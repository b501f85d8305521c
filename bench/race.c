/* Processes in a tight loop, on one key or each on its own. */
#include "bench.h"

#include <unistd.h>

#define MAX_RUNNERS MANY_KEYS
#define HOLD_NS 50000

struct runner {
    const struct lock *lock;
    unsigned key; /* its own */
    long done;
    double *waits; /* room for so many ns, one an acquisition */
    long room;
};

struct race {
    const struct lock *lock;
    void (*step)(struct runner *runner);
    double *waits; /* room for each runner; NULL: not asked for */
    long room;
    _Atomic int came;
    _Atomic int ready;
    _Atomic int go; /* 1: begin; 2: stop */
    uint64_t ns;
    long done[MAX_RUNNERS];
};

static void run(void *with)
{
    struct race *r = with;
    struct runner me = {.lock = r->lock};
    if (r->lock->attach != NULL)
        r->lock->attach();
    int who = r->came++;
    me.key = (unsigned)who;
    r->step(&me); /* registers, opens */
    me.done = 0;
    me.room = r->room;
    if (r->room > 0)
        me.waits = r->waits + who * r->room;
    r->ready++;
    sleep_until_told(&r->go); /* who spins keeps the others from getting ready */
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
    tell(&r->go);
    usleep((unsigned)ms * 1000);
    r->go = 2;
    r->ns = now_ns() - begin;
    for (unsigned i = 0; i < people; i++)
        child_join(children[i]);
}

static void pair_of_own(struct runner *me)
{
    me->lock->take_key(me->key);
    me->lock->give_key(me->key);
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

static long ms_of(const struct subject *s)
{
    return wishes.quick ? s->of->ms / 5 : s->of->ms;
}

/* Million pairs a second, of all together. */
static void pairs(struct subject *s, void (*step)(struct runner *))
{
    struct race *r = shared_make(sizeof *r);
    r->lock = s->peer->lock;
    r->step = step;
    race(r, s->of->people, ms_of(s));
    long done = 0;
    for (unsigned i = 0; i < s->of->people; i++)
        done += r->done[i];
    s->n = done;
    sample(s, (double)done * 1e3 / (double)r->ns);
    shared_end(r, sizeof *r);
}

bool can_sleep(const struct peer *p)
{
    return p->lock != NULL && !p->polls;
}

void contended(struct subject *s)
{
    pairs(s, pair);
}

bool can_take_keys(const struct peer *p)
{
    return p->lock != NULL && p->lock->take_key != NULL;
}

void many_keys(struct subject *s)
{
    pairs(s, pair_of_own);
}

static double smallest_share(const struct race *r, unsigned people)
{
    long least = r->done[0], most = r->done[0];
    for (unsigned i = 1; i < people; i++) {
        least = r->done[i] < least ? r->done[i] : least;
        most = r->done[i] > most ? r->done[i] : most;
    }
    return most > 0 ? (double)least / (double)most : 0;
}

/* What 999 of 1,000 waits are shorter than. */
static double long_wait(const struct race *r, unsigned people)
{
    long all = 0;
    for (unsigned i = 0; i < people; i++)
        for (long j = 0; j < r->done[i] && j < r->room; j++)
            r->waits[all++] = r->waits[i * r->room + j];
    sort(r->waits, all);
    return all > 0 ? r->waits[all * 999 / 1000] : 0;
}

static double run_fair(struct subject *s, double *wait_ms)
{
    struct race *r = shared_make(sizeof *r);
    r->lock = s->peer->lock;
    r->step = hold_a_while;
    r->room = 2 * ms_of(s) * 1000000 / HOLD_NS; /* this machine may be late to stop it */
    size_t bytes = s->of->people * (size_t)r->room * sizeof *r->waits;
    r->waits = shared_make(bytes);
    race(r, s->of->people, ms_of(s));
    double share = smallest_share(r, s->of->people);
    *wait_ms = long_wait(r, s->of->people) / 1e6;
    s->n = s->of->people;
    shared_end(r->waits, bytes);
    shared_end(r, sizeof *r);
    return share;
}

void fair(struct subject *s)
{
    sample(s, run_fair(s, &s->beside));
}

/* Of the run that fair made this round, unless it was not asked. */
void fair_wait(struct subject *s)
{
    const struct subject *run = find("fair_8", s->peer->name);
    double wait_ms;
    s->n = s->of->people;
    if (run != NULL && run->rounds > s->rounds)
        wait_ms = run->beside;
    else
        run_fair(s, &wait_ms);
    sample(s, wait_ms);
}
