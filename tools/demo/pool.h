/* The pool: worker processes, what the foreman asks of them, and the way they end. */
#ifndef CACHIFY_DEMO_POOL_H
#define CACHIFY_DEMO_POOL_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "worker.h"

#define WORKERS_MAX 32u
/* For anything that is to happen: far more than it takes. */
#define PATIENCE_S 30
#define SERVER_PATIENCE_S 600 /* it may be far away */

struct pool {
    const struct tree *tree;
    struct shared *shared;
    int ledger;
    uint32_t size;
    uint32_t work; /* as of each worker */
    struct {
        pid_t pid; /* 0: none, or reaped */
        int socket;
    } worker[WORKERS_MAX];
    int64_t started;
    int patience_s;
    bool terminal; /* progress is shown on one line that is written over */
};

/* Set by a signal handler: to end at once. */
extern volatile sig_atomic_t pool_interrupted;

/* False, with a message.  The global instance is to be there, and patience_s set. */
bool pool_start(struct pool *pool, const struct tree *tree, int ledger, uint32_t size,
                uint32_t work);

/* Start one in the place of one that was killed. */
bool pool_replace(struct pool *pool, uint32_t i);

/* Wait until condition(context) holds, showing progress.  False, with a message, if that
 * takes too long, a worker ended or there was an interruption. */
typedef bool pool_condition(struct pool *pool, void *context);
bool pool_wait(struct pool *pool, pool_condition *condition, void *context, const char *what);

/* Have worker i stop at its next hold; what it holds then.  Until pool_order(ORDER_GO_ON)
 * or its death it stays there. */
bool pool_hold(struct pool *pool, uint32_t i, struct report *report);
bool pool_renew(struct pool *pool, uint32_t i, struct report *report);
bool pool_go_on(struct pool *pool, uint32_t i);

/* SIGKILL, and reaped; when it was sent.  Stopped; going on. */
bool pool_kill(struct pool *pool, uint32_t i, int64_t *when);
bool pool_stop(struct pool *pool, uint32_t i);
bool pool_continue(struct pool *pool, uint32_t i);

/* Let them walk to the end, and reap them. */
bool pool_finish(struct pool *pool);

/* Kill and reap whoever is left. */
void pool_end(struct pool *pool);

/* A line with the time since the start in front; the progress line gets out of the way. */
__attribute__((format(printf, 2, 3))) void pool_say(struct pool *pool, const char *format, ...);

#endif
