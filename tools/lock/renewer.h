/* The renewal of a lease that a server keeps, in a thread of its own: whoever looks after a command
 * must not stand still because the server does. */
#ifndef CACHIFY_TOOLS_LOCK_RENEWER_H
#define CACHIFY_TOOLS_LOCK_RENEWER_H

#include <pthread.h>
#include <stdbool.h>

#include "options.h"

#define WHY_ROOM 512

struct renewer {
    const struct options *options;
    cachify_lease_t *lease;
    pthread_t thread;
    int end;             /* an eventfd: to come to an end */
    _Atomic bool asking; /* from before a renewal until its answer is noted */
    pthread_mutex_t lock;
    bool lost;          /* the server says that it is another's, or nobody's */
    char why[WHY_ROOM]; /* the last failure; empty after a success */
};

/* False, and errno: there is no thread. */
bool renewer_start(struct renewer *renewer, const struct options *options, cachify_lease_t *lease);

/* Whether the lease is lost by what the server said; and why the last renewal failed, if it did. */
bool renewer_lost(struct renewer *renewer, char why[WHY_ROOM]);

/* Returns when no renewal is under way, or soon: the lease knows what the server said before the
 * renewal has noted it. */
void renewer_settle(const struct renewer *renewer);

/* Renew no more; returns at once. */
void renewer_stop(struct renewer *renewer);

/* The thread is gone; what it is asking the server by now it asks to the end. */
void renewer_join(struct renewer *renewer);

#endif
