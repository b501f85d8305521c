/* Waiting.  Who waits is written into the server's line by the very script that finds the lock
 * busy, so no release can come between; and is called through the client's own thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis/redis.h"

#define MOST_LIFE_MS UINT64_C(86400000)

/* A thread's waiter is kept for its next wait. */
static struct cr_waiter *waiter_of(const cachify_caller_t *caller)
{
    return (struct cr_waiter *)(uintptr_t)caller->store[0]; // NOLINT(performance-no-int-to-ptr)
}

void cr_forget_caller(cachify_caller_t *caller)
{
    cr_waiter_free(waiter_of(caller));
    caller->store[0] = 0;
}

/* The one that waits at this moment; NULL. */
static struct cr_waiter *waiting(const cachify_caller_t *caller)
{
    struct cr_waiter *w = waiter_of(caller);
    return w != NULL && w->number != 0 ? w : NULL;
}

/* It comes back to the line after so long at the latest. */
static uint64_t life_of(uint64_t nap_ns)
{
    uint64_t ms = 2 * (nap_ns / CR_MS) + 60000;
    return ms < MOST_LIFE_MS ? ms : MOST_LIFE_MS;
}

cachify_status_t cr_acquire(void *self, cachify_caller_t *caller, const cachify_request_t *request,
                            cachify_grant_t *grant)
{
    struct cr_guard guard = cr_guard();
    cachify_status_t status = cr_take(self, caller, request, waiting(caller), false, grant);
    cr_unguard(guard);
    return status;
}

/* ---- In a thread ---- */

static cachify_status_t begin(struct cr_client *c, cachify_caller_t *caller, uint64_t max_ns)
{
    struct cr_waiter *w = waiter_of(caller);
    if (w == NULL) {
        w = malloc(sizeof *w);
        if (w == NULL || !cr_waiter_init(w)) {
            free(w);
            return cachify_report(CACHIFY_NO_MEMORY, "no memory for somebody who waits");
        }
        caller->store[0] = (uint64_t)(uintptr_t)w;
    }
    w->life_ms = life_of(max_ns);
    w->held_until = UINT64_MAX;
    cr_line_enter(c, w, caller->thread_id, -1);
    return CACHIFY_OK;
}

/* Returns at once where it is not in the server's line yet: the next try writes it in. */
cachify_status_t cr_wait(void *self, cachify_caller_t *caller, const cachify_request_t *request,
                         int64_t max_ns)
{
    struct cr_client *c = self;
    uint64_t until = cr_now_ns() + (uint64_t)max_ns;
    cachify_status_t status = CACHIFY_OK;
    (void)request;
    struct cr_guard guard = cr_guard();
    if (waiting(caller) == NULL) {
        status = begin(c, caller, (uint64_t)max_ns);
        int64_t left = caller->holder.remaining_ms;
        if (status == CACHIFY_OK)
            cr_line_note_busy(&c->line, waiter_of(caller), 0, left == CACHIFY_NEVER ? -1 : left,
                              "");
    }
    if (status == CACHIFY_OK)
        cr_line_sleep(&c->line, waiter_of(caller), until);
    cr_unguard(guard);
    return status;
}

bool cr_say_leave(struct cr_client *c, const char *key, uint32_t key_len, const char *member,
                  uint32_t *waiters)
{
    struct cr_names names;
    struct cr_call call;
    struct cr_failure f;
    cr_names_make(&names, key, key_len);
    cr_call_script(&call, CR_LEAVE, 2);
    cr_call_add(&call, key, key_len);
    cr_call_add(&call, names.wait, names.wait_len);
    cr_call_text(&call, member);
    redisReply *reply = cr_call_run(&c->pool, &c->scripts, &call, REDIS_REPLY_INTEGER, &f);
    if (reply == NULL)
        return false;
    if (waiters != NULL)
        *waiters = (uint32_t)reply->integer;
    freeReplyObject(reply);
    return true;
}

/* Out of the line here, and, where it may be in it and does not have the lock, on the server.  A
 * server that has just failed is not asked once more: it is told later. */
static void go(struct cr_client *c, struct cr_waiter *w, const cachify_request_t *request, bool got,
               uint32_t *waiters)
{
    bool in_line = w->arrival[0] != '\0';
    bool failed = w->failed;
    cr_line_leave(&c->line, w);
    if (got || !in_line)
        return;
    if (failed || !cr_say_leave(c, request->key, request->key_len, w->member, waiters))
        cr_orphan_waiter(c, request->key, request->key_len, w->member);
}

void cr_wait_end(void *self, cachify_caller_t *caller, const cachify_request_t *request, bool got)
{
    struct cr_waiter *w = waiting(caller);
    if (w == NULL)
        return;
    struct cr_guard guard = cr_guard();
    go(self, w, request, got, &caller->holder.waiters);
    cr_unguard(guard);
}

/* ---- Event loops ---- */

struct pending {
    struct cr_waiter waiter;
    const cachify_request_t *request;
    uint64_t until, poll_ns; /* as the caller said */
};

/* Quiet until somebody calls, the holder's lease is over, or it is time to look. */
static void set_timer(struct cr_client *c, struct pending *p)
{
    uint64_t look = cr_now_ns() + p->poll_ns;
    cr_line_set_timer(&c->line, &p->waiter, look < p->until ? look : p->until);
}

/* Into the server's line, if the lock is not free by now: then the timer says so.  Where it cannot
 * be asked, the next try finds out why. */
static bool join(struct cr_client *c, struct pending *p)
{
    struct cr_names names;
    struct cr_call call;
    struct cr_failure f;
    char life[24];
    uint64_t epoch = cr_line_arm(&c->line, &p->waiter);
    if (epoch == 0)
        return true;
    cr_names_make(&names, p->request->key, p->request->key_len);
    snprintf(life, sizeof life, "%" PRIu64, p->waiter.life_ms);
    cr_call_script(&call, CR_JOIN, 2);
    cr_call_add(&call, p->request->key, p->request->key_len);
    cr_call_add(&call, names.wait, names.wait_len);
    cr_call_add(&call, p->waiter.member, p->waiter.member_len);
    cr_call_text(&call, life);
    redisReply *reply = cr_call_run(&c->pool, &c->scripts, &call, REDIS_REPLY_ARRAY, &f);
    if (reply == NULL)
        return false;
    bool held = reply->elements == 3 && reply->element[2]->type == REDIS_REPLY_STRING;
    if (held)
        cr_line_note_busy(&c->line, &p->waiter, epoch, reply->element[1]->integer,
                          reply->element[2]->str);
    freeReplyObject(reply);
    return held;
}

static void pend(struct cr_client *c, struct pending *p)
{
    if (join(c, p))
        set_timer(c, p);
    else
        cr_line_set_timer(&c->line, &p->waiter, 0);
}

cachify_status_t cr_pend(void *self, cachify_caller_t *caller, const cachify_request_t *request,
                         int timer, uint64_t until, uint64_t poll_ns, void **pending)
{
    struct cr_client *c = self;
    struct pending *p = calloc(1, sizeof *p);
    if (p == NULL || !cr_waiter_init(&p->waiter)) {
        free(p);
        return cachify_report(CACHIFY_NO_MEMORY, "no memory for a pending acquisition");
    }
    p->request = request;
    p->until = until;
    p->poll_ns = poll_ns;
    p->waiter.life_ms = life_of(poll_ns);
    p->waiter.held_until = UINT64_MAX;
    struct cr_guard guard = cr_guard();
    cr_line_enter(c, &p->waiter, caller->thread_id, timer);
    pend(c, p);
    cr_unguard(guard);
    *pending = p;
    return CACHIFY_OK;
}

cachify_status_t cr_pend_try(void *self, cachify_caller_t *caller, const cachify_request_t *request,
                             void *pending, cachify_grant_t *grant)
{
    struct cr_client *c = self;
    struct pending *p = pending;
    struct cr_guard guard = cr_guard();
    cachify_status_t status = cr_take(c, caller, request, &p->waiter, false, grant);
    if (status == CACHIFY_LOCKED)
        set_timer(c, p);
    cr_unguard(guard);
    return status;
}

void cr_pend_end(void *self, cachify_caller_t *caller, void *pending, bool got)
{
    struct pending *p = pending;
    (void)caller;
    struct cr_guard guard = cr_guard();
    go(self, &p->waiter, p->request, got, NULL);
    cr_unguard(guard);
    pthread_cond_destroy(&p->waiter.called);
    free(p);
}
