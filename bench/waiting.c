/* One process sleeps for what another has. */
#include "bench.h"

#include <sched.h>
#include <unistd.h>

#define HANDOFF_AFTER_MS 15
#define POLLED_OF 4 /* one in so many, of who polls */
#define KILL_AFTER_MS 40

enum { IDLE, TAKE, TAKING, TOOK, OVER };

/* Takes the lock when told to, in shared memory. */
struct sleeper {
    const struct lock *lock;
    cpu_set_t cpus; /* that it may use */
    pid_t pid;
    _Atomic int state;
    _Atomic uint64_t stamp; /* when the lock came free, then how long that took to be known */
};

static void sleeper_work(void *with)
{
    struct sleeper *me = with;
    sched_setaffinity(0, sizeof me->cpus, &me->cpus);
    if (me->lock->attach != NULL)
        me->lock->attach();
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

static cpu_set_t cpus_now(void)
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    if (sched_getaffinity(0, sizeof cpus, &cpus) != 0)
        fail("sched_getaffinity: no answer");
    return cpus;
}

static struct sleeper *sleeper_start(const struct lock *lock, cpu_set_t cpus)
{
    struct sleeper *sleeper = shared_make(sizeof *sleeper);
    sleeper->lock = lock;
    sleeper->cpus = cpus;
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
    return (double)sleeper->stamp / 1e3;
}

static void sleeper_end(struct sleeper *sleeper)
{
    sleeper->state = OVER;
    child_join(sleeper->pid);
    shared_end(sleeper, sizeof *sleeper);
}

static long times(const struct subject *s)
{
    long n = wishes.quick ? s->of->n / 4 : s->of->n;
    n = s->peer->polls ? n / POLLED_OF : n;
    return n > 0 ? n : 1;
}

/* The first or the last of these processors. */
static cpu_set_t one_of(cpu_set_t cpus, bool last)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &cpus) && (last || CPU_COUNT(&one) == 0)) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
        }
    return one;
}

/* Both on one processor, on two, or (0) where the kernel puts them. */
static void hand_over(struct subject *s, const struct lock *lock)
{
    cpu_set_t all = cpus_now(), here = one_of(all, false), there = one_of(all, true);
    if (s->of->people > 0)
        sched_setaffinity(0, sizeof here, &here);
    struct sleeper *sleeper = sleeper_start(lock, s->of->people == 0   ? all
                                                  : s->of->people == 1 ? here
                                                                       : there);
    for (long i = 0; i < times(s); i++) {
        lock->take();
        sleeper_sleeps(sleeper, HANDOFF_AFTER_MS);
        sleeper->stamp = now_ns();
        lock->give();
        sample(s, sleeper_took(sleeper));
    }
    sleeper_end(sleeper);
    sched_setaffinity(0, sizeof all, &all);
}

bool can_wait(const struct peer *p)
{
    return p->lock != NULL;
}

void handoff(struct subject *s)
{
    hand_over(s, s->peer->lock);
}

bool can_be_async(const struct peer *p)
{
    return p->async != NULL;
}

void async_handoff(struct subject *s)
{
    hand_over(s, s->peer->async);
}

/* Holds the lock until it is killed. */
struct victim {
    const struct lock *lock;
    _Atomic int holds;
};

static void victim_work(void *with)
{
    struct victim *me = with;
    if (me->lock->attach != NULL)
        me->lock->attach();
    me->lock->hold();
    me->holds = 1;
    for (;;)
        pause();
}

bool can_die(const struct peer *p)
{
    return p->lock != NULL && p->lock->hold != NULL;
}

void kill_to_waiter(struct subject *s)
{
    const struct lock *lock = s->peer->lock;
    struct sleeper *sleeper = sleeper_start(lock, cpus_now());
    struct victim *victim = shared_make(sizeof *victim);
    victim->lock = lock;
    for (long i = 0; i < times(s); i++) {
        victim->holds = 0;
        pid_t child = child_start(victim_work, victim);
        await(&victim->holds, 1);
        sleeper_sleeps(sleeper, KILL_AFTER_MS);
        sleeper->stamp = now_ns();
        child_kill(child);
        sample(s, sleeper_took(sleeper));
        child_reap(child);
    }
    sleeper_end(sleeper);
    shared_end(victim, sizeof *victim);
}
