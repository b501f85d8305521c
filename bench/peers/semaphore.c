/* A process-shared POSIX semaphore of 1.  Who dies does not give it back. */
#include "peers/loops.h"

#include <errno.h>
#include <semaphore.h>

static sem_t *semaphore; /* of each key */

static const char *open_semaphores(void)
{
    semaphore = shared_make(KEYS * sizeof *semaphore);
    for (unsigned i = 0; i < KEYS; i++)
        sem_init(&semaphore[i], 1, 1);
    return NULL;
}

static void take_key(unsigned key)
{
    while (sem_wait(&semaphore[key]) != 0) {
    }
}

static void give_key(unsigned key)
{
    sem_post(&semaphore[key]);
}

static void take(void)
{
    take_key(0);
}

static void give(void)
{
    give_key(0);
}

static void busy(void)
{
    if (sem_trywait(&semaphore[0]) == 0 || errno != EAGAIN)
        fail("a semaphore is not busy");
}

static void ask(void)
{
    int value;
    sem_getvalue(&semaphore[0], &value);
    if (value != 1)
        fail("a semaphore is %d", value);
}

static const struct lock lock = {
    .take = take, .give = give, .take_key = take_key, .give_key = give_key};

LOCK_LOOPS

static double is_locked_loop(long n)
{
    return ns_each(n, ask);
}

static double bytes(long n)
{
    (void)n;
    return sizeof(sem_t);
}

const struct peer semaphore_peer = {.name = "sem_t",
                                    .open = open_semaphores,
                                    .version = version_of_libc,
                                    .lock = &lock,
                                    .pool = &lock,
                                    .loop = {[PAIR] = pair_loop,
                                             [RANDOM_KEYS] = keys_loop,
                                             [BUSY] = busy_loop,
                                             [IS_LOCKED] = is_locked_loop,
                                             [LOCK_BYTES] = bytes}};
