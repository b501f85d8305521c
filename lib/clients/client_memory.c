#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/memory.h"
#include "ground/fork.h"
#include "ground/os.h"
#include "ground/report.h"

#define LOCKS_DEFAULT 16384u
#define LOCKS_LIMIT 6000000u
#define VALUE_LIMIT 4096u

/* ---- Acquire ---- */

/* All but who waits: those are counted under a lock, and so not within a read section. */
static void describe(struct cf_memory *m, struct cf_entry *e, cachify_info_t *info)
{
    uint64_t now = cf_monotonic_ns();
    bool over = e->deadline <= now;
    *info = (cachify_info_t){.state = over ? CACHIFY_STATE_EXPIRED : CACHIFY_STATE_HELD,
                             .pid = m->pid,
                             .thread = e->thread_id,
                             .held_ms = (int64_t)((now - e->acquired) / CF_MS),
                             .token = cf_entry_token(&m->table, e)};
    if (e->deadline == UINT64_MAX)
        info->remaining_ms = CACHIFY_NEVER;
    else if (!over)
        info->remaining_ms = (int64_t)((e->deadline - now) / CF_MS);
    info->value_len =
        e->value_len < sizeof info->value ? e->value_len : (uint32_t)sizeof info->value;
    memcpy(info->value, e->text + e->key_len, info->value_len);
    memcpy(info->command, m->command, sizeof info->command);
}

static uint64_t deadline_after(int64_t ms)
{
    return ms == CACHIFY_NEVER ? UINT64_MAX : cf_monotonic_ns() + (uint64_t)ms * CF_MS;
}

static cachify_status_t locked(struct cf_memory *m, cachify_caller_t *caller, struct cf_entry *e)
{
    describe(m, e, &caller->holder);
    caller->holder_is_self = e->serial == caller->serial && e->deadline == UINT64_MAX;
    return CACHIFY_LOCKED;
}

/* Publish e where there is none of its key, or in place of one that is over, or (upsert) of
 * whatever there is. */
static cachify_status_t publish(struct cf_memory *m, cachify_caller_t *caller,
                                const struct cf_wanted *w, struct cf_entry *e, int64_t exp_ms,
                                bool upsert, cachify_grant_t *grant)
{
    struct cf_memory_table *t = &m->table;
    for (;;) {
        struct cds_lfht_iter at;
        *grant = (cachify_grant_t){.how = CACHIFY_FRESH};
        e->deadline = deadline_after(exp_ms);
        if (cf_memory_add(t, w, e))
            return CACHIFY_OK;
        struct cf_entry *old = cf_memory_find(t, w, &at);
        if (old == NULL)
            continue;
        if (!upsert && cf_entry_is_live(old))
            return locked(m, caller, old);
        *grant = (cachify_grant_t){.how = CACHIFY_EXPIRED,
                                   .previous_pid = m->pid,
                                   .previous_token = cf_entry_token(t, old)};
        if (cf_memory_replace(t, w, &at, e)) {
            cf_memory_unreserve(t); /* two had room */
            return CACHIFY_OK;
        }
    }
}

static struct cf_entry *make_lease(const cachify_caller_t *caller, const cachify_request_t *request,
                                   uint64_t hash)
{
    struct cf_entry *e = cf_entry_make(request->key_len, request->value_len);
    if (e == NULL)
        return NULL;
    memcpy(e->text, request->key, request->key_len);
    if (request->value_len > 0)
        memcpy(e->text + request->key_len, request->value, request->value_len);
    e->hash = hash;
    e->thread_id = caller->thread_id;
    e->serial = caller->serial;
    e->acquired = cf_monotonic_ns();
    return e;
}

static cachify_status_t insert(struct cf_memory *m, cachify_caller_t *caller,
                               const cachify_request_t *request, const struct cf_wanted *w,
                               bool upsert, cachify_grant_t *grant)
{
    cachify_grant_t got;
    struct cf_entry *e = make_lease(caller, request, w->hash);
    if (e == NULL)
        return CACHIFY_NO_MEMORY;
    cf_memory_begin();
    cachify_status_t status = publish(m, caller, w, e, request->exp_ms, upsert, &got);
    if (status == CACHIFY_OK) {
        got.token = cf_entry_token(&m->table, e);
        got.store[0] = w->hash;
        *grant = got;
    }
    cf_memory_end(&m->table);
    if (status != CACHIFY_OK)
        free(e);
    return status;
}

/* Busy, by a look that costs no memory and no room. */
static bool is_busy(struct cf_memory *m, cachify_caller_t *caller, const struct cf_wanted *w)
{
    struct cds_lfht_iter at;
    cf_memory_begin();
    struct cf_entry *e = cf_memory_find(&m->table, w, &at);
    bool busy = e != NULL && cf_entry_is_live(e);
    if (busy)
        locked(m, caller, e);
    cf_memory_end(&m->table);
    return busy;
}

static cachify_status_t take(struct cf_memory *m, cachify_caller_t *caller,
                             const cachify_request_t *request, bool upsert, cachify_grant_t *grant)
{
    struct cf_wanted w = cf_wanted(&m->table, request->key, request->key_len);
    cachify_status_t status = CACHIFY_LOCKED;
    if (upsert || !is_busy(m, caller, &w)) {
        status = cf_memory_reserve(&m->table);
        if (status != CACHIFY_OK)
            return status;
        status = insert(m, caller, request, &w, upsert, grant);
        if (status != CACHIFY_OK)
            cf_memory_unreserve(&m->table);
    }
    if (status == CACHIFY_LOCKED)
        caller->holder.waiters = cf_memory_count_waiters(m, w.hash);
    if (status == CACHIFY_OK && upsert) /* what was there may have lasted longer */
        cf_memory_line_call_all(cf_memory_line_of(m, w.hash), w.hash);
    return status;
}

cachify_status_t cf_memory_acquire(void *self, cachify_caller_t *caller,
                                   const cachify_request_t *request, cachify_grant_t *grant)
{
    return take(self, caller, request, false, grant);
}

static cachify_status_t memory_set(void *self, cachify_caller_t *caller,
                                   const cachify_request_t *request, bool nx)
{
    cachify_grant_t grant;
    return take(self, caller, request, !nx, &grant);
}

/* ---- The holder's ---- */

static cachify_status_t lost(void)
{
    return cf_report(CACHIFY_LOST, "the lease had ended: released, or over and taken by another");
}

static cachify_status_t memory_release(void *self, cachify_caller_t *caller, cachify_grant_t *grant)
{
    struct cf_memory *m = self;
    struct cds_lfht_iter at;
    struct cf_entry *e;
    uint64_t hash = grant->store[0];
    bool out = false;
    (void)caller;
    cf_memory_begin();
    do { /* again if an extend put another in its place */
        e = cf_memory_find_token(&m->table, hash, grant->token, &at);
        out = e != NULL && cf_memory_take_out(&m->table, e);
    } while (e != NULL && !out);
    cf_memory_end(&m->table);
    if (!out)
        return lost();
    cf_memory_line_call(cf_memory_line_of(m, hash), hash);
    return CACHIFY_OK;
}

/* The lease of e, with another deadline. */
static struct cf_entry *renewed(const cachify_caller_t *caller, struct cf_entry *e, int64_t exp_ms)
{
    struct cf_entry *next = cf_entry_make(e->key_len, e->value_len);
    if (next == NULL)
        return NULL;
    memcpy(next->text, e->text, (size_t)e->key_len + e->value_len);
    next->hash = e->hash;
    next->deadline = deadline_after(exp_ms);
    next->acquired = e->acquired;
    cf_store_relaxed(&next->token, cf_load_relaxed(&e->token));
    next->thread_id = e->thread_id;
    next->serial = e->serial == caller->serial ? e->serial : 0;
    return next;
}

static cachify_status_t replace_lease(struct cf_memory_table *t, const cachify_caller_t *caller,
                                      const cachify_grant_t *grant, int64_t exp_ms, bool *sooner)
{
    for (;;) {
        struct cds_lfht_iter at;
        struct cf_entry *e = cf_memory_find_token(t, grant->store[0], grant->token, &at);
        if (e == NULL)
            return lost();
        struct cf_entry *next = renewed(caller, e, exp_ms);
        if (next == NULL)
            return CACHIFY_NO_MEMORY;
        struct cf_wanted w = {e->hash, next->text, e->key_len};
        *sooner = next->deadline < e->deadline;
        if (cf_memory_replace(t, &w, &at, next))
            return CACHIFY_OK;
        free(next);
    }
}

static cachify_status_t memory_extend(void *self, cachify_caller_t *caller, cachify_grant_t *grant,
                                      int64_t exp_ms)
{
    struct cf_memory *m = self;
    uint64_t hash = grant->store[0];
    bool sooner = false;
    cf_memory_begin();
    cachify_status_t status = replace_lease(&m->table, caller, grant, exp_ms, &sooner);
    cf_memory_end(&m->table);
    if (status == CACHIFY_OK && sooner) /* who waits does so until the old deadline */
        cf_memory_line_call_all(cf_memory_line_of(m, hash), hash);
    return status;
}

static int64_t memory_remaining_ns(void *self, cachify_caller_t *caller,
                                   const cachify_grant_t *grant)
{
    struct cf_memory *m = self;
    struct cds_lfht_iter at;
    int64_t left = 0;
    (void)caller;
    cf_memory_begin();
    const struct cf_entry *e = cf_memory_find_token(&m->table, grant->store[0], grant->token, &at);
    uint64_t now = cf_monotonic_ns();
    if (e != NULL && e->deadline == UINT64_MAX)
        left = CACHIFY_NEVER;
    else if (e != NULL && e->deadline > now)
        left = (int64_t)(e->deadline - now);
    cf_memory_end_quick(&m->table);
    return left;
}

/* ---- By key ---- */

static cachify_status_t memory_get(void *self, cachify_caller_t *caller, const char *key,
                                   uint32_t key_len, void *value, uint32_t *len)
{
    struct cf_memory *m = self;
    struct cf_wanted w = cf_wanted(&m->table, key, key_len);
    struct cds_lfht_iter at;
    cachify_status_t status = CACHIFY_OK;
    (void)caller;
    cf_memory_begin();
    const struct cf_entry *e = cf_memory_find(&m->table, &w, &at);
    if (e == NULL || !cf_entry_is_live(e)) {
        status = cf_report(CACHIFY_LOST, "nobody holds the lock, so it has no value");
    } else if (e->value_len > *len) {
        status =
            cf_report(CACHIFY_INVALID, "a value of %u bytes does not fit %u", e->value_len, *len);
    } else {
        if (e->value_len > 0)
            memcpy(value, e->text + e->key_len, e->value_len);
        *len = e->value_len;
    }
    cf_memory_end(&m->table);
    return status;
}

/* Ends the lease that it finds, or, if somebody else does, none. */
static cachify_status_t memory_del(void *self, cachify_caller_t *caller, const char *key,
                                   uint32_t key_len)
{
    struct cf_memory *m = self;
    struct cf_memory_table *t = &m->table;
    struct cf_wanted w = cf_wanted(t, key, key_len);
    struct cds_lfht_iter at;
    (void)caller;
    cf_memory_begin();
    struct cf_entry *e = cf_memory_find(t, &w, &at);
    uint64_t token = e != NULL ? cf_entry_token(t, e) : 0;
    while (e != NULL && !cf_memory_take_out(t, e)) /* extended: it is another, with its token */
        e = cf_memory_find_token(t, w.hash, token, &at);
    cf_memory_end(t);
    cf_memory_line_call(cf_memory_line_of(m, w.hash), w.hash);
    return CACHIFY_OK;
}

static cachify_status_t memory_query(void *self, cachify_caller_t *caller, const char *key,
                                     uint32_t key_len, cachify_info_t *info)
{
    struct cf_memory *m = self;
    struct cf_wanted w = cf_wanted(&m->table, key, key_len);
    struct cds_lfht_iter at;
    (void)caller;
    cf_memory_begin();
    struct cf_entry *e = cf_memory_find(&m->table, &w, &at);
    if (e != NULL)
        describe(m, e, info);
    else
        *info = (cachify_info_t){.state = CACHIFY_STATE_FREE};
    cf_memory_end(&m->table);
    info->waiters = cf_memory_count_waiters(m, w.hash);
    return CACHIFY_OK;
}

uint64_t cf_memory_held_until(struct cf_memory *m, const struct cf_wanted *w)
{
    struct cds_lfht_iter at;
    cf_memory_begin();
    const struct cf_entry *e = cf_memory_find(&m->table, w, &at);
    uint64_t until = e != NULL && cf_entry_is_live(e) ? e->deadline : 0;
    cf_memory_end(&m->table);
    return until;
}

static cachify_status_t memory_is_locked(void *self, cachify_caller_t *caller, const char *key,
                                         uint32_t key_len, bool *locked)
{
    struct cf_memory *m = self;
    struct cf_wanted w = cf_wanted(&m->table, key, key_len);
    (void)caller;
    *locked = cf_memory_held_until(m, &w) != 0;
    return CACHIFY_OK;
}

/* ---- Its life ---- */

static cachify_status_t begin(struct cf_memory *m)
{
    cachify_status_t status = cf_memory_table_init(&m->table, m->max_locks);
    if (status != CACHIFY_OK)
        return status;
    for (unsigned i = 0; i < CF_MEMORY_LINES; i++)
        cf_memory_line_init(&m->line[i]);
    cf_command(m->command);
    m->pid = getpid();
    m->process = cf_process_serial();
    return CACHIFY_OK;
}

/* A forked child has a table of its own.  Its copy of its parent's stays as it is: other threads
 * of the parent were at work in it. */
static cachify_status_t memory_enter(void *self, cachify_caller_t *caller)
{
    struct cf_memory *m = self;
    uint64_t serial = cf_process_serial();
    (void)caller;
    cf_process_lock();
    cachify_status_t status = m->process == serial ? CACHIFY_OK : begin(m);
    cf_process_unlock();
    return status;
}

static void memory_destroy(void *self)
{
    struct cf_memory *m = self;
    if (m->process == cf_process_serial()) {
        for (unsigned i = 0; i < CF_MEMORY_LINES; i++)
            cf_memory_line_destroy(&m->line[i]);
        cf_memory_table_free(&m->table);
    }
    free(m);
}

cachify_status_t cachify_memory_client(uint32_t max_locks, cachify_client_t *client)
{
    if (client == NULL)
        return cf_report(CACHIFY_INVALID, "client is NULL; expected a place for the client");
    if (max_locks > LOCKS_LIMIT)
        return cf_report(CACHIFY_INVALID, "max_locks is %u; expected 1 to %u, or 0 for %u",
                         max_locks, LOCKS_LIMIT, LOCKS_DEFAULT);
    struct cf_memory *m = calloc(1, sizeof *m);
    if (m == NULL)
        return cf_report(CACHIFY_NO_MEMORY, "no memory for a client");
    m->max_locks = max_locks != 0 ? max_locks : LOCKS_DEFAULT;
    cachify_status_t status = begin(m);
    if (status != CACHIFY_OK) {
        free(m);
        return status;
    }
    *client = (cachify_client_t){
        .size = sizeof *client,
        .value_max = VALUE_LIMIT,
        .self = m,
        .set = memory_set,
        .get = memory_get,
        .del = memory_del,
        .acquire = cf_memory_acquire,
        .release = memory_release,
        .extend = memory_extend,
        .remaining_ns = memory_remaining_ns,
        .wait = cf_memory_wait,
        .wait_end = cf_memory_wait_end,
        .pend = cf_memory_pend,
        .pend_try = cf_memory_pend_try,
        .pend_end = cf_memory_pend_end,
        .query = memory_query,
        .is_locked = memory_is_locked,
        .waiters = cf_memory_waiters,
        .enter = memory_enter,
        .destroy = memory_destroy,
    };
    return CACHIFY_OK;
}
