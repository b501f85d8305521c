/* The connections of one client, lent to its threads for a call each. */
#ifndef CR_POOL_H
#define CR_POOL_H

#include <pthread.h>

#include "redis/conn.h"

struct cr_pool {
    const struct cr_settings *settings;
    struct cr_conn *conn; /* max_connections of them */
    pthread_mutex_t lock;
    pthread_cond_t freed;

    /* Guarded by lock. */
    struct cr_conn *idle;   /* the last used first; open or not */
    uint32_t used;          /* so many of conn were ever lent */
    uint64_t generation;    /* counts what broke; older connections are not trusted */
    uint64_t not_before;    /* no attempt to connect until then */
    uint32_t failures;      /* to connect, in a row */
    struct cr_failure last; /* the last of them */
};

bool cr_pool_init(struct cr_pool *pool, const struct cr_settings *settings);
/* Also in a forked child, where it closes the child's copies only. */
void cr_pool_free(struct cr_pool *pool);
/* In a forked child's first moments: async-signal-safe. */
void cr_pool_abandon(struct cr_pool *pool);

/* One that is open, before until; NULL, and why.  again: it replaces one that broke, so that one
 * attempt to connect is made in any case. */
struct cr_conn *cr_pool_take(struct cr_pool *pool, uint64_t until, bool again,
                             struct cr_failure *f);
void cr_pool_give(struct cr_pool *pool, struct cr_conn *c);
/* It broke: it is closed, and so are, by and by, those that were open at that time. */
void cr_pool_drop(struct cr_pool *pool, struct cr_conn *c);

/* How long to leave a server alone that could not be reached so many times. */
uint64_t cr_backoff_ns(uint32_t failures);

#endif
