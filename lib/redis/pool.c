#include "redis/pool.h"

#include <stdlib.h>
#include <time.h>

/* One that was idle for longer is looked at before it is used: its server may have gone. */
#define LOOK_NS (5 * CR_MS)
#define BACKOFF_MS 10u
#define BACKOFF_MOST_MS 1000u

uint64_t cr_backoff_ns(uint32_t failures)
{
    uint32_t shift = failures < 8 ? failures : 8;
    uint64_t ms = (uint64_t)BACKOFF_MS << shift;
    return (ms < BACKOFF_MOST_MS ? ms : BACKOFF_MOST_MS) * CR_MS;
}

static bool init_waiting(struct cr_pool *pool)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0)
        return false;
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    bool ok = pthread_cond_init(&pool->freed, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    return ok && pthread_mutex_init(&pool->lock, NULL) == 0;
}

bool cr_pool_init(struct cr_pool *pool, const struct cr_settings *settings)
{
    *pool = (struct cr_pool){.settings = settings};
    pool->conn = calloc(settings->max_connections, sizeof *pool->conn);
    if (pool->conn == NULL || !init_waiting(pool)) {
        free(pool->conn);
        pool->conn = NULL;
        return false;
    }
    for (uint32_t i = 0; i < settings->max_connections; i++)
        pool->conn[i].fd = -1;
    return true;
}

void cr_pool_free(struct cr_pool *pool)
{
    if (pool->conn == NULL)
        return;
    for (uint32_t i = 0; i < pool->settings->max_connections; i++)
        cr_conn_close(&pool->conn[i]);
    free(pool->conn);
    pool->conn = NULL;
}

void cr_pool_abandon(struct cr_pool *pool)
{
    for (uint32_t i = 0; pool->conn != NULL && i < pool->settings->max_connections; i++)
        cr_conn_abandon(&pool->conn[i]);
}

/* ---- Lending ---- */

static struct timespec as_timespec(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000),
                             .tv_nsec = (long)(ns % 1000000000)};
}

/* One of conn, open or not; NULL when none is given back in time. */
static struct cr_conn *lend(struct cr_pool *pool, uint64_t until)
{
    struct timespec at = as_timespec(until);
    for (;;) {
        struct cr_conn *c = pool->idle;
        if (c != NULL) {
            pool->idle = c->next;
            return c;
        }
        if (pool->used < pool->settings->max_connections)
            return &pool->conn[pool->used++];
        if (cr_now_ns() >= until)
            return NULL;
        pthread_cond_timedwait(&pool->freed, &pool->lock, &at);
    }
}

static void take_back(struct cr_pool *pool, struct cr_conn *c)
{
    pthread_mutex_lock(&pool->lock);
    c->next = pool->idle;
    pool->idle = c;
    pthread_cond_signal(&pool->freed);
    pthread_mutex_unlock(&pool->lock);
}

/* Not until the last failure is some time ago: then calls fail with that. */
static bool may_connect(struct cr_pool *pool, struct cr_failure *f)
{
    pthread_mutex_lock(&pool->lock);
    bool may = cr_now_ns() >= pool->not_before;
    if (!may)
        *f = pool->last;
    pthread_mutex_unlock(&pool->lock);
    return may;
}

static void note_connect(struct cr_pool *pool, struct cr_conn *c, bool ok,
                         const struct cr_failure *f)
{
    pthread_mutex_lock(&pool->lock);
    c->generation = pool->generation;
    if (ok) {
        pool->failures = 0;
        pool->not_before = 0;
    } else {
        pool->not_before = cr_now_ns() + cr_backoff_ns(pool->failures++);
        pool->last = *f;
    }
    pthread_mutex_unlock(&pool->lock);
}

static bool is_usable(const struct cr_conn *c, uint64_t generation)
{
    return c->fd >= 0 && c->generation == generation &&
           (cr_now_ns() - c->idle_since < LOOK_NS || cr_net_is_quiet(c->fd));
}

struct cr_conn *cr_pool_take(struct cr_pool *pool, uint64_t until, bool again, struct cr_failure *f)
{
    pthread_mutex_lock(&pool->lock);
    struct cr_conn *c = lend(pool, until);
    uint64_t generation = pool->generation;
    pthread_mutex_unlock(&pool->lock);
    if (c == NULL) {
        cr_fail(f, CACHIFY_SYSTEM, "all %u connections to the server at %s were busy for too long",
                pool->settings->max_connections, pool->settings->address);
        return NULL;
    }
    if (is_usable(c, generation))
        return c;
    if (again || may_connect(pool, f)) {
        bool ok = cr_conn_open(c, pool->settings, f);
        note_connect(pool, c, ok, f);
        if (ok)
            return c;
    }
    cr_conn_close(c);
    take_back(pool, c);
    return NULL;
}

void cr_pool_give(struct cr_pool *pool, struct cr_conn *c)
{
    if (c->reader->pos < c->reader->len) /* more came than was asked for */
        cr_conn_close(c);
    c->idle_since = cr_now_ns();
    take_back(pool, c);
}

void cr_pool_drop(struct cr_pool *pool, struct cr_conn *c)
{
    cr_conn_close(c);
    pthread_mutex_lock(&pool->lock);
    if (c->generation == pool->generation)
        pool->generation++;
    pthread_mutex_unlock(&pool->lock);
    take_back(pool, c);
}
