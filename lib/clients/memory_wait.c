#include <stdlib.h>
#include <string.h>

#include "clients/memory.h"
#include "ground/os.h"
#include "ground/report.h"

/* ---- Threads ---- */

/* A thread's seat lies in what it has of the instance. */
static struct cf_seat *seat_of(cachify_caller_t *caller)
{
    _Static_assert(sizeof(struct cf_seat) <= sizeof caller->store, "a caller has room for a seat");
    return (struct cf_seat *)caller->store;
}

cachify_status_t cf_memory_wait(void *self, cachify_caller_t *caller,
                                const cachify_request_t *request, int64_t max_ns)
{
    struct cf_memory *m = self;
    struct cf_wanted w = cf_wanted(&m->table, request->key, request->key_len);
    struct cf_seat *seat = seat_of(caller);
    if (!seat->taken) {
        seat->timer = -1;
        seat->thread_id = caller->thread_id;
        cf_seat_take(cf_memory_line_of(m, w.hash), seat, w.hash);
    }
    cf_seat_arm(seat);
    uint64_t until = cf_memory_held_until(m, &w), now = cf_monotonic_ns();
    if (until > now)
        cf_seat_sleep(seat, until - now < (uint64_t)max_ns ? until - now : (uint64_t)max_ns);
    return CACHIFY_OK;
}

/* Who goes without the lock may have been called for it, and calls the next. */
static void go(struct cf_memory *m, struct cf_seat *seat, const struct cf_wanted *w, bool got)
{
    struct cf_memory_line *line = cf_memory_line_of(m, w->hash);
    cf_seat_leave(line, seat);
    if (!got && cf_memory_held_until(m, w) == 0)
        cf_memory_line_call(line, w->hash);
}

void cf_memory_wait_end(void *self, cachify_caller_t *caller, const cachify_request_t *request,
                        bool got)
{
    struct cf_memory *m = self;
    struct cf_wanted w = cf_wanted(&m->table, request->key, request->key_len);
    struct cf_seat *seat = seat_of(caller);
    if (seat->taken)
        go(m, seat, &w, got);
    if (!got)
        caller->holder.waiters = cf_memory_count_waiters(m, w.hash);
}

/* ---- Event loops ---- */

struct pending {
    struct cf_seat seat;
    struct cf_wanted wanted; /* its key is the request's */
    uint64_t until;          /* of the caller */
};

/* Quiet until the holder's deadline or the caller's; at once if it is free by now.  A call that
 * came before the timer was set is made good by the second look. */
static void rearm(struct cf_memory *m, struct pending *p)
{
    cf_seat_arm(&p->seat);
    uint64_t held = cf_memory_held_until(m, &p->wanted);
    cf_timer_set(p->seat.timer, held < p->until ? held : p->until);
    if (held == 0 || cf_memory_held_until(m, &p->wanted) == 0)
        cf_timer_now(p->seat.timer);
}

cachify_status_t cf_memory_pend(void *self, cachify_caller_t *caller,
                                const cachify_request_t *request, int timer, uint64_t until,
                                uint64_t poll_ns, void **pending)
{
    struct cf_memory *m = self;
    struct pending *p = calloc(1, sizeof *p);
    (void)poll_ns;
    if (p == NULL)
        return cf_report(CACHIFY_NO_MEMORY, "no memory for a pending acquisition");
    p->wanted = cf_wanted(&m->table, request->key, request->key_len);
    p->until = until;
    p->seat.timer = timer;
    p->seat.thread_id = caller->thread_id;
    cf_seat_take(cf_memory_line_of(m, p->wanted.hash), &p->seat, p->wanted.hash);
    rearm(m, p);
    *pending = p;
    return CACHIFY_OK;
}

cachify_status_t cf_memory_pend_try(void *self, cachify_caller_t *caller,
                                    const cachify_request_t *request, void *pending,
                                    cachify_grant_t *grant)
{
    struct pending *p = pending;
    cachify_status_t status = cf_memory_acquire(self, caller, request, grant);
    if (status == CACHIFY_LOCKED) {
        caller->holder.waiters -= caller->holder.waiters > 0; /* without itself */
        rearm(self, p);
    }
    return status;
}

void cf_memory_pend_end(void *self, cachify_caller_t *caller, void *pending, bool got)
{
    struct pending *p = pending;
    (void)caller;
    go(self, &p->seat, &p->wanted, got);
    free(p);
}

/* ---- Telling ---- */

struct telling {
    const struct cf_memory *m;
    const struct cf_wanted *wanted;
    uint64_t now;
    bool held;
    int (*fn)(void *context, const cachify_waiter_t *);
    void *context;
};

static int tell(void *context, const struct cf_seat *seat)
{
    const struct telling *t = context;
    cachify_waiter_t waiter = {.key = t->wanted->key,
                               .key_len = t->wanted->len,
                               .event_loop = seat->timer >= 0,
                               .pid = t->m->pid,
                               .thread = seat->thread_id,
                               .waited_ms = (int64_t)((t->now - seat->since) / CF_MS),
                               .awaited_pid = t->held ? t->m->pid : 0};
    memcpy(waiter.command, t->m->command, sizeof waiter.command);
    if (t->held)
        memcpy(waiter.awaited_command, t->m->command, sizeof waiter.awaited_command);
    return t->fn(t->context, &waiter);
}

cachify_status_t cf_memory_waiters(void *self, cachify_caller_t *caller, const char *key,
                                   uint32_t key_len,
                                   int (*fn)(void *context, const cachify_waiter_t *),
                                   void *context)
{
    struct cf_memory *m = self;
    struct cf_wanted w = cf_wanted(&m->table, key, key_len);
    struct telling telling = {.m = m, .wanted = &w, .fn = fn, .context = context};
    (void)caller;
    telling.held = cf_memory_held_until(m, &w) != 0;
    telling.now = cf_monotonic_ns();
    cf_memory_line_each(cf_memory_line_of(m, w.hash), w.hash, tell, &telling);
    return CACHIFY_OK;
}
