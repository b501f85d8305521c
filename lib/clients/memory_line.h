/* Who waits for keys of the process-memory client, in order of arrival. */
#ifndef CF_CLIENTS_MEMORY_LINE_H
#define CF_CLIENTS_MEMORY_LINE_H

#include <pthread.h>

#include <cachify/client.h>

#include "ground/atomics.h"

/* Somebody in line: a thread, which sleeps on word; or an event loop, which waits for timer. */
struct cf_seat {
    struct cf_seat *next, **at; /* under the line's lock */
    uint64_t hash;              /* of the key */
    uint64_t since;             /* monotonic clock */
    uint32_t thread_id;
    _Atomic uint32_t word; /* a futex: 1 once it is called */
    int timer;             /* -1: a thread */
    bool taken;            /* it is in line; its owner's */
};

/* The keys whose hashes fall here. */
struct cf_memory_line {
    pthread_mutex_t lock;
    _Atomic uint32_t seats; /* in line; looked at without the lock by who has nobody to call */
    struct cf_seat *first, **end;
};

void cf_memory_line_init(struct cf_memory_line *line);
void cf_memory_line_destroy(struct cf_memory_line *line);

/* Come, at the end, and go.  Who goes without the lock, perhaps called meanwhile, sees to it that
 * the next is called. */
void cf_seat_take(struct cf_memory_line *line, struct cf_seat *seat, uint64_t hash);
void cf_seat_leave(struct cf_memory_line *line, struct cf_seat *seat);

/* Not called, from here on.  Look at the lock after this, and sleep or wait if it is held: then
 * whoever frees it after that look calls.  sleep: for at most ns. */
void cf_seat_arm(struct cf_seat *seat);
void cf_seat_sleep(struct cf_seat *seat, uint64_t ns);

/* The lock of this key came free: call the first who waits for it.  Or it comes free sooner than
 * they know who wait: call all.  Nearly free if nobody does. */
void cf_memory_line_call(struct cf_memory_line *line, uint64_t hash);
void cf_memory_line_call_all(struct cf_memory_line *line, uint64_t hash);

/* How many wait for the key; fn, if not NULL, is called for each until it returns other than 0. */
uint32_t cf_memory_line_each(struct cf_memory_line *line, uint64_t hash,
                             int (*fn)(void *context, const struct cf_seat *seat), void *context);

#endif
