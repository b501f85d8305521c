/* Loops whose body is compiled into them, so that no call through a pointer is measured. */
#ifndef BENCH_PEERS_LOOPS_H
#define BENCH_PEERS_LOOPS_H

#include "bench.h"
#include "peers/peer.h"

#define INTO_CALLER static inline __attribute__((always_inline))
#define FRESH_BATCH 256

/* Names of the numbered keys; ever new ones, in names.c. */
const char *key_name(unsigned key);
void fresh_names(char (*names)[32], long count);

static inline unsigned next_key(unsigned *random)
{
    *random = *random * 1664525u + 1013904223u;
    return (*random >> 16) % KEYS;
}

INTO_CALLER double ns_each(long n, void (*once)(void))
{
    uint64_t begin = now_ns();
    for (long i = 0; i < n; i++)
        once();
    return (double)(now_ns() - begin) / (double)n;
}

INTO_CALLER double ns_each_pair(long n, void (*take)(void), void (*give)(void))
{
    uint64_t begin = now_ns();
    for (long i = 0; i < n; i++) {
        take();
        give();
    }
    return (double)(now_ns() - begin) / (double)n;
}

/* While this process has the key. */
INTO_CALLER double ns_each_held(long n, const struct lock *lock, void (*once)(void))
{
    lock->take();
    double ns = ns_each(n, once);
    lock->give();
    return ns;
}

INTO_CALLER double ns_each_key(long n, void (*take)(unsigned key), void (*give)(unsigned key))
{
    unsigned random = 1;
    uint64_t begin = now_ns();
    for (long i = 0; i < n; i++) {
        unsigned key = next_key(&random);
        take(key);
        give(key);
    }
    return (double)(now_ns() - begin) / (double)n;
}

/* Names are made before and dropped afterwards, both not measured. */
INTO_CALLER double ns_each_fresh(long n, void (*pair)(const char *name),
                                 void (*drop)(const char *name))
{
    static char names[FRESH_BATCH][32];
    uint64_t ns = 0;
    for (long done = 0; done < n;) {
        long batch = n - done < FRESH_BATCH ? n - done : FRESH_BATCH;
        fresh_names(names, batch);
        uint64_t begin = now_ns();
        for (long i = 0; i < batch; i++)
            pair(names[i]);
        ns += now_ns() - begin;
        for (long i = 0; drop != NULL && i < batch; i++)
            drop(names[i]);
        done += batch;
    }
    return (double)ns / (double)n;
}

/* The loops that all peers have, of a file's take, give, take_key, give_key, busy and lock.  Here,
 * and not behind pointers, so that these are compiled into them. */
#define LOCK_LOOPS                                                                                 \
    static double pair_loop(long n)                                                                \
    {                                                                                              \
        return ns_each_pair(n, take, give);                                                        \
    }                                                                                              \
    static double keys_loop(long n)                                                                \
    {                                                                                              \
        return ns_each_key(n, take_key, give_key);                                                 \
    }                                                                                              \
    static double busy_loop(long n)                                                                \
    {                                                                                              \
        return ns_each_held(n, &lock, busy);                                                       \
    }

#endif
