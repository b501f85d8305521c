#include "shm/attend.h"

#include <stdlib.h>

#include "ground/fork.h"
#include "ground/report.h"
#include "ground/thread.h"
#include "shm/line.h"
#include "shm/segment.h"

/* Acquisitions that a process has pending, and the thread that looks after them.  The list and
 * all that is in it under the attendant's lock, but for what only the owner of a pending uses. */
struct cf_pending {
    struct cf_pending *next, **at;
    struct cf_mapping *m;
    struct cf_place place;
    struct cf_key key; /* the request's bytes */
    int timer;
    uint64_t until; /* of the caller, monotonic clock */
    uint64_t poll_ns;
    uint32_t armed;   /* its waiter's word since the last look */
    uint64_t look_at; /* segment clock */
    bool fired;       /* the descriptor is readable: it is the event loop's to come */
};

struct cf_attendant {
    struct cf_mapping *m;
    uint64_t process; /* serial of the process whose thread it is */
    pthread_mutex_t lock;
    struct cf_pending *pending;
    pthread_t thread;
    bool running; /* the thread looks at the list again before it ends */
    bool to_join; /* it runs, or ends because of ending */
    bool ending;
};

/* So long it stays without anything to do, for the next one. */
#define LINGER_NS (100 * CF_MS)
/* A look that is due so soon is taken with the others: a wake costs more than a look. */
#define TOGETHER_NS (4 * CF_MS)
/* At most so long it sleeps: nobody can ring in a segment that was cut short. */
#define LONG_NS CF_SECOND

static _Atomic uint32_t *bell_of(const struct cf_mapping *m)
{
    return &m->process_at[cf_owner_entry(cf_self(m))].bell;
}

/* Wakes the attendant, too, for a look at what was changed in the list. */
static void ring_own_bell(const struct cf_mapping *m)
{
    cf_bell_ring(m, cf_owner_entry(cf_self(m)));
}

/* ---- The thread ---- */

static void fire(struct cf_pending *p)
{
    p->fired = true;
    cf_timer_now(p->timer);
}

/* Arm the place and look.  Fires it if the lock may be had. */
static void look(struct cf_pending *p)
{
    struct cf_rest rest = cf_place_arm(p->m, &p->place, &p->key, cf_now(p->m) + p->poll_ns);
    p->armed = rest.armed;
    p->look_at = rest.until;
    if (rest.try_now) {
        p->look_at = cf_now(p->m) + CF_TURN_NS;
        fire(p);
    }
}

static bool is_called(const struct cf_pending *p)
{
    return cf_load_seq(&cf_waiter_at(p->m, cf_place_waiter(&p->place))->word) != p->armed;
}

/* When to look at it next. */
static uint64_t attend(struct cf_pending *p, uint64_t now)
{
    if (p->place.entry == 0) { /* nobody can call it */
        if (now >= p->look_at) {
            p->look_at = now + p->poll_ns;
            fire(p);
        }
    } else if (p->fired && now >= p->look_at) {
        /* Its turn is over, and nobody came for it. */
        p->look_at = UINT64_MAX;
        cf_line_pass_on(p->m, cf_place_waiter(&p->place), p->key.hash);
    } else if (!p->fired && is_called(p)) {
        p->look_at = now + CF_TURN_NS;
        fire(p);
    } else if (!p->fired && now + TOGETHER_NS >= p->look_at) {
        look(p);
    }
    return p->look_at;
}

/* The segment is gone: whoever comes is told. */
static void fire_all(struct cf_attendant *a)
{
    for (struct cf_pending *p = a->pending; p != NULL; p = p->next) {
        p->look_at = UINT64_MAX;
        fire(p);
    }
}

static uint64_t attend_all(struct cf_attendant *a)
{
    uint64_t now = cf_now(a->m), next = now + (a->pending != NULL ? LONG_NS : LINGER_NS);
    for (struct cf_pending *p = a->pending; p != NULL; p = p->next) {
        uint64_t at = attend(p, now);
        next = at < next ? at : next;
    }
    return next;
}

static void sleep_on_bell(struct cf_mapping *m, uint32_t heard, uint64_t until)
{
    uint64_t now = cf_now(m);
    uint32_t asleep = heard | CF_BELL_ASLEEP;
    if (until <= now || !cf_cas32(bell_of(m), heard, asleep))
        return;
    if (!cf_futex_wait(bell_of(m), asleep, until - now) && cf_segment_cut_short(m))
        return; /* it is asked before its memory is touched again */
    cf_and_seq(bell_of(m), ~CF_BELL_ASLEEP);
}

/* It ends by itself, and nobody need join it.  With a->lock held, and nothing of a's touched
 * once that is given back. */
static void end_alone(struct cf_attendant *a)
{
    a->running = false;
    if (!a->ending) {
        a->to_join = false;
        pthread_detach(pthread_self());
    }
    pthread_mutex_unlock(&a->lock);
}

static void *attend_them(void *context)
{
    struct cf_attendant *a = context;
    uint64_t idle_since = cf_now(a->m);
    for (;;) {
        cf_segment_cut_short(a->m); /* asks, before its memory is touched */
        if (cf_load_relaxed(&a->m->gone)) {
            pthread_mutex_lock(&a->lock);
            fire_all(a);
            end_alone(a);
            return NULL;
        }
        uint32_t heard = cf_load_seq(bell_of(a->m)) & ~CF_BELL_ASLEEP;
        pthread_mutex_lock(&a->lock);
        uint64_t next = attend_all(a), now = cf_now(a->m);
        if (a->pending != NULL)
            idle_since = now;
        if (a->ending || now - idle_since >= LINGER_NS) {
            end_alone(a);
            return NULL;
        }
        pthread_mutex_unlock(&a->lock);
        sleep_on_bell(a->m, heard, next);
    }
}

/* ---- Its beginning and its end ---- */

/* With a->lock held. */
static void keep_running(struct cf_attendant *a)
{
    if (!a->running)
        a->running = a->to_join = cf_thread_start(&a->thread, attend_them, a, "cachify-attend");
}

static struct cf_attendant *make(struct cf_mapping *m)
{
    struct cf_attendant *a = calloc(1, sizeof *a);
    if (a == NULL)
        return NULL;
    a->m = m;
    a->process = cf_process_serial();
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

/* This process's; a child's first call makes its own, and leaves its parent's copy alone: its
 * lock may be held by a thread that is not here. */
static struct cf_attendant *attendant(struct cf_mapping *m)
{
    uint64_t serial = cf_process_serial();
    cf_process_lock();
    if (m->attendant == NULL || m->attendant->process != serial)
        m->attendant = make(m);
    struct cf_attendant *a = m->attendant;
    cf_process_unlock();
    return a;
}

void cf_attendant_end(struct cf_mapping *m)
{
    struct cf_attendant *a = m->attendant;
    if (a == NULL || a->process != cf_process_serial())
        return;
    pthread_mutex_lock(&a->lock);
    a->ending = true;
    bool to_join = a->to_join;
    pthread_mutex_unlock(&a->lock);
    if (!cf_load_relaxed(&m->cut_short))
        ring_own_bell(m);
    if (to_join)
        pthread_join(a->thread, NULL);
    pthread_mutex_destroy(&a->lock);
    free(a);
    m->attendant = NULL;
}

/* ---- Pending acquisitions ---- */

static void list(struct cf_attendant *a, struct cf_pending *p)
{
    p->next = a->pending;
    p->at = &a->pending;
    if (p->next != NULL)
        p->next->at = &p->next;
    a->pending = p;
}

static void unlist(struct cf_pending *p)
{
    *p->at = p->next;
    if (p->next != NULL)
        p->next->at = p->at;
}

/* Quiet until the caller's own deadline; then armed, and looked at. */
static void rearm(struct cf_pending *p)
{
    cf_timer_set(p->timer, p->until);
    p->fired = false;
    if (p->place.entry != 0)
        look(p);
    else
        p->look_at = cf_now(p->m) + p->poll_ns;
}

cachify_status_t cf_pending_begin(struct cf_mapping *m, const cachify_caller_t *caller,
                                  const struct cf_key *key, int timer, uint64_t until,
                                  uint64_t poll_ns, struct cf_pending **pending)
{
    struct cf_attendant *a = attendant(m);
    struct cf_pending *p = a != NULL ? calloc(1, sizeof *p) : NULL;
    if (p == NULL)
        return cf_report(CACHIFY_NO_MEMORY, "no memory for a pending acquisition");
    *p = (struct cf_pending){
        .m = m, .key = *key, .timer = timer, .until = until, .poll_ns = poll_ns};
    cf_place_enter(m, &p->place, key, cf_thread_make(m->pid, caller->thread_id, 0), true);
    pthread_mutex_lock(&a->lock);
    list(a, p);
    rearm(p);
    keep_running(a);
    bool running = a->running;
    pthread_mutex_unlock(&a->lock);
    ring_own_bell(m); /* to be told when to look at this one */
    if (running) {
        *pending = p;
        return CACHIFY_OK;
    }
    cf_pending_end(m, p);
    return cf_report(CACHIFY_NO_MEMORY, "no thread is to be had to wait with");
}

/* With the place of this pending instead of the thread's own, so that its turn is its own. */
static cachify_status_t acquire(struct cf_mapping *m, cachify_caller_t *caller,
                                struct cf_pending *p, const cachify_request_t *request,
                                cachify_grant_t *grant)
{
    struct cf_place *own = cf_place_of(caller), kept = *own;
    cf_spare_of(caller)->hash = p->key.hash;
    cf_spare_of(caller)->quiet = (struct cf_quiet){0};
    *own = p->place;
    cachify_status_t status =
        cf_table_acquire(m, caller, &p->key, request, cf_now_coarse(m), grant);
    p->place = *own;
    *own = kept;
    return status;
}

/* With the lock held: else the attendant could move the place on meanwhile. */
static cachify_status_t try_and_rearm(struct cf_mapping *m, cachify_caller_t *caller,
                                      struct cf_pending *p, const cachify_request_t *request,
                                      cachify_grant_t *grant)
{
    cachify_status_t status = acquire(m, caller, p, request, grant);
    if (status != CACHIFY_LOCKED)
        return status;
    if (cf_monotonic_ns() >= p->until) /* the last try: to be told of */
        caller->holder.waiters = cf_count_waiters(m, p->key.hash) - (p->place.entry != 0);
    rearm(p);
    return CACHIFY_LOCKED;
}

cachify_status_t cf_pending_try(struct cf_mapping *m, cachify_caller_t *caller,
                                struct cf_pending *p, const cachify_request_t *request,
                                cachify_grant_t *grant)
{
    struct cf_attendant *a = m->attendant;
    pthread_mutex_lock(&a->lock);
    cachify_status_t status = try_and_rearm(m, caller, p, request, grant);
    pthread_mutex_unlock(&a->lock);
    if (status == CACHIFY_LOCKED)
        ring_own_bell(m); /* to be told when to look at this one */
    return status;
}

void cf_pending_end(struct cf_mapping *m, struct cf_pending *p)
{
    struct cf_attendant *a = m->attendant;
    pthread_mutex_lock(&a->lock);
    unlist(p);
    pthread_mutex_unlock(&a->lock);
    cf_place_end(m, &p->place, p->key.hash);
    free(p);
}
