/* Many sleepers on one key: a process with a pool of threads. */
#include "bench.h"

#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 1000
#define STACK_BYTES ((size_t)256 * 1024)
/* So long that who was woken for nothing finds the lock busy and sleeps again: else a whole herd
 * that wakes at once is served in turn, and no wake shows. */
#define HOLD_NS 20000

/* In shared memory. */
struct pool {
    const struct lock *lock;
    unsigned people;
    pid_t pid;
    pthread_mutex_t gate; /* the pool's own: shut until all threads are ready */
    _Atomic int ready;
    _Atomic int go;
    _Atomic pid_t thread[MAX_THREADS]; /* once it waits */
    _Atomic long wakes;                /* of all of them, until they had the lock */
};

static long times_slept(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

static void *waiter(void *with)
{
    struct pool *p = with;
    p->lock->take();
    p->lock->give(); /* all that is done once is done */
    int who = p->ready++;
    pthread_mutex_lock(&p->gate);
    pthread_mutex_unlock(&p->gate);
    p->thread[who] = gettid();
    long before = times_slept();
    p->lock->take();
    p->wakes += times_slept() - before;
    busy_ns(HOLD_NS);
    p->lock->give();
    return NULL;
}

static void pool_work(void *with)
{
    struct pool *p = with;
    pthread_t threads[MAX_THREADS] = {0};
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, STACK_BYTES);
    pthread_mutex_lock(&p->gate);
    for (unsigned i = 0; i < p->people; i++) {
        int error = pthread_create(&threads[i], &small, waiter, p);
        if (error != 0)
            fail("cannot start thread %u of %u: %s", i + 1, p->people, strerror(error));
    }
    await(&p->go, 1);
    pthread_mutex_unlock(&p->gate);
    for (unsigned i = 0; i < p->people; i++)
        pthread_join(threads[i], NULL);
}

/* This process has the lock then, and each of the pool was seen asleep for it. */
static struct pool *pool_start(const struct lock *lock, unsigned people)
{
    struct pool *p = shared_make(sizeof *p);
    p->lock = lock;
    p->people = people;
    pthread_mutex_init(&p->gate, NULL);
    p->pid = child_start(pool_work, p);
    await(&p->ready, (int)people);
    lock->take();
    p->go = 1;
    for (unsigned i = 0; i < people; i++) {
        await_change(&p->thread[i], 0);
        await_asleep(p->pid, p->thread[i], 0);
    }
    return p;
}

static double pool_end(struct pool *p)
{
    child_join(p->pid);
    double wakes = (double)p->wakes;
    shared_end(p, sizeof *p);
    return wakes;
}

bool can_pool(const struct peer *p)
{
    return p->pool != NULL;
}

void herd(struct subject *s)
{
    struct pool *p = pool_start(s->peer->pool, s->of->people);
    s->peer->pool->give();
    s->n = s->of->people;
    sample(s, pool_end(p) / s->of->people);
}

static uint64_t processor_ns(pid_t process)
{
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &t) != 0)
        fail("no processor clock of process %d", (int)process);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool is_library(const struct peer *p)
{
    return p == &cachify_peer;
}

void sleepers_cpu(struct subject *s)
{
    struct pool *p = pool_start(s->peer->lock, s->of->people);
    uint64_t begin = now_ns(), used = processor_ns(p->pid);
    usleep((unsigned)(wishes.quick ? s->of->ms / 4 : s->of->ms) * 1000);
    used = processor_ns(p->pid) - used;
    double waited_s = (double)(now_ns() - begin) / 1e9;
    s->peer->lock->give();
    pool_end(p);
    s->n = s->of->people;
    sample(s, (double)used / 1e6 / waited_s / s->of->people);
}
