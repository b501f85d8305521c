/* The client's life, and its children's. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "redis/redis.h"

/* ---- Guards ---- */

struct cr_guard cr_guard(void)
{
    struct cr_guard guard = {.error = errno};
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &guard.cancel);
    return guard;
}

void cr_unguard(struct cr_guard guard)
{
    pthread_setcancelstate(guard.cancel, NULL);
    errno = guard.error;
}

/* ---- All clients of this process ----
 *
 * A child closes its copies of their connections at once: a connection stays open on the server as
 * long as anybody has it, and one that is subscribed would go on being called.  The lock is held
 * across fork, so that a child finds the list whole. */

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct cr_client *registry;

static void before_fork(void)
{
    pthread_mutex_lock(&registry_lock);
}

static void after_fork_parent(void)
{
    pthread_mutex_unlock(&registry_lock);
}

static void after_fork_child(void)
{
    cr_count_fork();
    for (struct cr_client *c = registry; c != NULL; c = c->next) {
        cr_pool_abandon(&c->pool);
        cr_line_abandon(&c->line);
    }
    pthread_mutex_unlock(&registry_lock);
}

__attribute__((constructor)) static void prepare(void)
{
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static void enlist(struct cr_client *c)
{
    pthread_mutex_lock(&registry_lock);
    c->next = registry;
    registry = c;
    pthread_mutex_unlock(&registry_lock);
}

static void delist(struct cr_client *c)
{
    pthread_mutex_lock(&registry_lock);
    for (struct cr_client **at = &registry; *at != NULL; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            break;
        }
    }
    pthread_mutex_unlock(&registry_lock);
}

/* ---- One of them ---- */

/* All that belongs to one process.  What a child finds of its parent's it leaves as it is, for other
 * threads of the parent were at work in it: its memory is the price. */
static cachify_status_t begin(struct cr_client *c)
{
    if (!cr_random(c->id, 2))
        return cachify_report(CACHIFY_SYSTEM, "the system gives no random numbers");
    c->pid = getpid();
    cr_host(c->host);
    cr_command(c->command);
    c->orphans = NULL;
    c->has_orphans = false;
    if (!cr_pool_init(&c->pool, &c->settings) || !cr_leases_init(&c->leases) ||
        !cr_line_init(&c->line) || pthread_mutex_init(&c->orphan_lock, NULL) != 0 ||
        pthread_mutex_init(&c->scripts.lock, NULL) != 0)
        return cachify_report(CACHIFY_NO_MEMORY, "no memory for a client");
    c->process = cr_process();
    return CACHIFY_OK;
}

static cachify_status_t enter(void *self, cachify_caller_t *caller)
{
    struct cr_client *c = self;
    cachify_status_t status = CACHIFY_OK;
    (void)caller;
    int saved = errno;
    pthread_mutex_lock(&registry_lock);
    if (!cr_is_process(&c->process)) {
        cr_pool_abandon(&c->pool);
        cr_line_abandon(&c->line);
        status = begin(c);
    }
    pthread_mutex_unlock(&registry_lock);
    errno = saved;
    return status;
}

static void leave(void *self, cachify_caller_t *caller)
{
    (void)self;
    cr_forget_caller(caller);
}

static void discard(struct cr_client *c)
{
    cr_settings_free(&c->settings);
    free(c);
}

/* What was not said by now is said once more, before it is forgotten. */
static void destroy(void *self)
{
    struct cr_client *c = self;
    struct cr_guard guard = cr_guard();
    delist(c);
    if (cr_is_process(&c->process)) {
        cr_line_free(&c->line);
        if (c->has_orphans)
            cr_orphans_mend(c);
        cr_orphans_free(c);
        cr_leases_free(&c->leases);
        cr_pool_free(&c->pool);
    }
    discard(c);
    cr_unguard(guard);
}

cachify_status_t cachify_redis_client(const char *url, const cachify_redis_options_t *options,
                                      cachify_client_t *client)
{
    if (client == NULL)
        return cachify_report(CACHIFY_INVALID, "client is NULL; expected a place for the client");
    struct cr_client *c = calloc(1, sizeof *c);
    if (c == NULL)
        return cachify_report(CACHIFY_NO_MEMORY, "no memory for a client");
    cachify_status_t status = cr_settings_make(&c->settings, url, options);
    if (status == CACHIFY_OK)
        status = begin(c);
    if (status != CACHIFY_OK) {
        discard(c);
        return status;
    }
    enlist(c);
    *client = (cachify_client_t){
        .size = sizeof *client,
        .key_max = CR_KEY_MAX,
        .value_max = CR_NOTE_MAX,
        .self = c,
        .set = cr_set,
        .get = cr_get,
        .del = cr_del,
        .acquire = cr_acquire,
        .release = cr_release,
        .extend = cr_extend,
        .remaining_ns = cr_remaining_ns,
        .wait = cr_wait,
        .wait_end = cr_wait_end,
        .pend = cr_pend,
        .pend_try = cr_pend_try,
        .pend_end = cr_pend_end,
        .query = cr_query,
        .is_locked = cr_is_locked,
        .waiters = cr_waiters,
        .enter = enter,
        .leave = leave,
        .destroy = destroy,
    };
    return CACHIFY_OK;
}
