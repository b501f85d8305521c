/* Process-shared mutexes: a robust one is told when its owner died, a plain one is then lost. */
#include "peers/loops.h"

#include <errno.h>
#include <pthread.h>

static pthread_mutex_t *robust, *plain; /* of each key */

static pthread_mutex_t *make(int robustness)
{
    pthread_mutexattr_t attributes;
    pthread_mutex_t *made = shared_make(KEYS * sizeof *made);
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, robustness);
    for (unsigned i = 0; i < KEYS; i++)
        pthread_mutex_init(&made[i], &attributes);
    return made;
}

static void must_be_busy(pthread_mutex_t *mutex)
{
    if (pthread_mutex_trylock(mutex) != EBUSY)
        fail("a mutex is not busy");
}

static double mutex_bytes(long n)
{
    (void)n;
    return sizeof(pthread_mutex_t);
}

/* ---- Robust ---- */

static const char *robust_open(void)
{
    robust = make(PTHREAD_MUTEX_ROBUST);
    return NULL;
}

static void robust_take_key(unsigned key)
{
    if (pthread_mutex_lock(&robust[key]) == EOWNERDEAD)
        pthread_mutex_consistent(&robust[key]);
}

static void robust_give_key(unsigned key)
{
    pthread_mutex_unlock(&robust[key]);
}

static void robust_take(void)
{
    robust_take_key(0);
}

static void robust_give(void)
{
    robust_give_key(0);
}

static void robust_busy(void)
{
    must_be_busy(&robust[0]);
}

static const struct lock robust_lock = {.take = robust_take,
                                        .give = robust_give,
                                        .hold = robust_take,
                                        .take_key = robust_take_key,
                                        .give_key = robust_give_key};

static double robust_pair_loop(long n)
{
    return ns_each_pair(n, robust_take, robust_give);
}

static double robust_keys_loop(long n)
{
    return ns_each_key(n, robust_take_key, robust_give_key);
}

static double robust_busy_loop(long n)
{
    return ns_each_held(n, &robust_lock, robust_busy);
}

const struct peer robust_mutex_peer = {.name = "robust_mutex",
                                       .open = robust_open,
                                       .version = version_of_libc,
                                       .lock = &robust_lock,
                                       .pool = &robust_lock,
                                       .loop = {[PAIR] = robust_pair_loop,
                                                [RANDOM_KEYS] = robust_keys_loop,
                                                [BUSY] = robust_busy_loop,
                                                [LOCK_BYTES] = mutex_bytes}};

/* ---- Plain ---- */

static const char *plain_open(void)
{
    plain = make(PTHREAD_MUTEX_STALLED);
    return NULL;
}

static void plain_take_key(unsigned key)
{
    pthread_mutex_lock(&plain[key]);
}

static void plain_give_key(unsigned key)
{
    pthread_mutex_unlock(&plain[key]);
}

static void plain_take(void)
{
    plain_take_key(0);
}

static void plain_give(void)
{
    plain_give_key(0);
}

static void plain_busy(void)
{
    must_be_busy(&plain[0]);
}

static const struct lock plain_lock = {
    .take = plain_take, .give = plain_give, .take_key = plain_take_key, .give_key = plain_give_key};

static double plain_pair_loop(long n)
{
    return ns_each_pair(n, plain_take, plain_give);
}

static double plain_keys_loop(long n)
{
    return ns_each_key(n, plain_take_key, plain_give_key);
}

static double plain_busy_loop(long n)
{
    return ns_each_held(n, &plain_lock, plain_busy);
}

const struct peer plain_mutex_peer = {.name = "plain_mutex",
                                      .open = plain_open,
                                      .version = version_of_libc,
                                      .lock = &plain_lock,
                                      .loop = {[PAIR] = plain_pair_loop,
                                               [RANDOM_KEYS] = plain_keys_loop,
                                               [BUSY] = plain_busy_loop,
                                               [LOCK_BYTES] = mutex_bytes}};
