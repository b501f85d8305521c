#include "clients/client_shm.h"

#include <string.h>

#include "ground/fork.h"
#include "ground/hash.h"
#include "ground/report.h"
#include "shm/attend.h"
#include "shm/lease.h"
#include "shm/line.h"
#include "shm/liveness.h"
#include "shm/process.h"
#include "shm/segment.h"
#include "shm/wait.h"
#include "shm/who.h"

static cachify_status_t gone(const struct cf_mapping *m)
{
    return cf_report(CACHIFY_GONE,
                     "segment %s was unlinked, replaced or cut short while in use: what it held "
                     "excludes nobody any more; close and open again",
                     m->path != NULL ? m->path : "on a descriptor");
}

static struct cf_key key_of(const struct cf_mapping *m, const char *key, uint32_t len)
{
    return (struct cf_key){
        .bytes = key,
        .len = len,
        .hash = cf_hash(key, len, m->hash_seed),
    };
}

/* Of a key that this caller has not asked for last. */
static void derive(const struct cf_mapping *m, struct cf_spare *spare, const char *key,
                   uint32_t len)
{
    spare->hash = cf_hash(key, len, m->hash_seed);
    spare->quiet = (struct cf_quiet){0};
}

/* The key that this caller asked for last. */
static struct cf_key same_key(cachify_caller_t *caller, const cachify_request_t *request)
{
    return (struct cf_key){
        .bytes = request->key, .len = request->key_len, .hash = cf_spare_of(caller)->hash};
}

static cachify_status_t shm_acquire(void *self, cachify_caller_t *caller,
                                    const cachify_request_t *request, cachify_grant_t *grant)
{
    struct cf_mapping *m = self;
    uint64_t now = cf_now_coarse(m);
    if (!request->same_key)
        derive(m, cf_spare_of(caller), request->key, request->key_len);
    struct cf_key key = same_key(caller, request);
    if (__builtin_expect(cf_segment_gone(m, now), 0))
        return gone(m);
    return cf_table_acquire(m, caller, &key, request, now, grant);
}

static cachify_status_t shm_release(void *self, cachify_caller_t *caller, cachify_grant_t *grant)
{
    struct cf_mapping *m = self;
    cachify_status_t status;
    if (__builtin_expect(cf_segment_gone(m, cf_now_coarse(m)), 0)) {
        if (!cf_load_relaxed(&m->cut_short))
            cf_lease_release(m, caller, grant); /* others may still wait for it */
        return gone(m);
    }
    status = cf_lease_release(m, caller, grant);
    cf_watch_reap(m);
    return status;
}

static cachify_status_t shm_extend(void *self, cachify_caller_t *caller, cachify_grant_t *grant,
                                   int64_t exp_ms)
{
    struct cf_mapping *m = self;
    return cf_segment_gone(m, cf_now_coarse(m)) ? gone(m)
                                                : cf_lease_extend(m, caller, grant, exp_ms);
}

static int64_t shm_remaining_ns(void *self, cachify_caller_t *caller, const cachify_grant_t *grant)
{
    struct cf_mapping *m = self;
    (void)caller;
    return cf_segment_gone(m, cf_now_coarse(m)) ? 0 : cf_lease_remaining_ns(m, grant);
}

static cachify_status_t shm_query(void *self, cachify_caller_t *caller, const char *key,
                                  uint32_t key_len, cachify_info_t *info)
{
    struct cf_mapping *m = self;
    (void)caller;
    struct cf_key k = key_of(m, key, key_len);
    return cf_segment_gone(m, cf_now_coarse(m)) ? gone(m) : cf_query(m, &k, info);
}

static cachify_status_t shm_is_locked(void *self, cachify_caller_t *caller, const char *key,
                                      uint32_t key_len, bool *locked)
{
    struct cf_mapping *m = self;
    struct cf_spare *spare = cf_spare_of(caller);
    uint64_t now = cf_now_coarse(m);
    if (!caller->same_key)
        derive(m, spare, key, key_len);
    struct cf_key k = {.bytes = key, .len = key_len, .hash = spare->hash};
    return cf_segment_gone(m, now) ? gone(m) : cf_is_locked(m, &k, now, locked);
}

static cachify_status_t shm_waiters(void *self, cachify_caller_t *caller, const char *key,
                                    uint32_t key_len,
                                    int (*fn)(void *context, const cachify_waiter_t *),
                                    void *context)
{
    struct cf_mapping *m = self;
    (void)caller;
    struct cf_key k = key_of(m, key, key_len);
    return cf_segment_gone(m, cf_now_coarse(m)) ? gone(m) : cf_waiters(m, &k, fn, context);
}

static cachify_status_t shm_del(void *self, cachify_caller_t *caller, const char *key,
                                uint32_t key_len)
{
    struct cf_mapping *m = self;
    (void)caller;
    struct cf_key k = key_of(m, key, key_len);
    return cf_segment_gone(m, cf_now_coarse(m)) ? gone(m) : cf_force(m, &k);
}

/* set is acquire without keeping the proof; an upsert ends whatever lease there is. */
static cachify_status_t shm_set(void *self, cachify_caller_t *caller,
                                const cachify_request_t *request, bool nx)
{
    struct cf_mapping *m = self;
    cachify_grant_t grant;
    if (nx)
        return shm_acquire(self, caller, request, &grant);
    struct cf_key key = key_of(m, request->key, request->key_len);
    return cf_segment_gone(m, cf_now_coarse(m)) ? gone(m)
                                                : cf_table_overwrite(m, caller, &key, request);
}

static cachify_status_t shm_get(void *self, cachify_caller_t *caller, const char *key,
                                uint32_t key_len, void *value, uint32_t *len)
{
    struct cf_mapping *m = self;
    (void)caller;
    struct cf_key k = key_of(m, key, key_len);
    return cf_segment_gone(m, cf_now_coarse(m)) ? gone(m) : cf_get(m, &k, value, len);
}

static cachify_status_t shm_wait(void *self, cachify_caller_t *caller,
                                 const cachify_request_t *request, int64_t max_ns)
{
    struct cf_mapping *m = self;
    struct cf_key key = same_key(caller, request);
    uint64_t thread = cf_spare_of(caller)->thread;
    cf_wait(m, cf_place_of(caller), &key, thread, (uint64_t)max_ns);
    return CACHIFY_OK;
}

static void shm_wait_end(void *self, cachify_caller_t *caller, const cachify_request_t *request,
                         bool got)
{
    struct cf_mapping *m = self;
    uint64_t hash = same_key(caller, request).hash;
    cf_place_end(m, cf_place_of(caller), hash);
    if (got)
        return; /* its release will do the rest */
    if (!cf_load_relaxed(&m->cut_short))
        caller->holder.waiters = cf_count_waiters(m, hash);
    cf_watch_reap(m);
}

static cachify_status_t shm_pend(void *self, cachify_caller_t *caller,
                                 const cachify_request_t *request, int timer, uint64_t until,
                                 uint64_t poll_ns, void **pending)
{
    struct cf_mapping *m = self;
    struct cf_key key = key_of(m, request->key, request->key_len);
    struct cf_pending *made = NULL;
    if (cf_segment_gone(m, cf_now_coarse(m)))
        return gone(m);
    cachify_status_t status = cf_pending_begin(m, caller, &key, timer, until, poll_ns, &made);
    *pending = made;
    return status;
}

static cachify_status_t shm_pend_try(void *self, cachify_caller_t *caller,
                                     const cachify_request_t *request, void *pending,
                                     cachify_grant_t *grant)
{
    struct cf_mapping *m = self;
    return cf_segment_gone(m, cf_now_coarse(m))
               ? gone(m)
               : cf_pending_try(m, caller, pending, request, grant);
}

static void shm_pend_end(void *self, cachify_caller_t *caller, void *pending, bool got)
{
    struct cf_mapping *m = self;
    (void)caller;
    cf_pending_end(m, pending);
    if (!got)
        cf_watch_reap(m);
}

/* A forked child's first call registers the child; the threads after it find that done. */
static cachify_status_t shm_enter(void *self, cachify_caller_t *caller)
{
    struct cf_mapping *m = self;
    struct cf_spare *spare = cf_spare_of(caller);
    cf_process_lock();
    cachify_status_t status = cf_process_register(m);
    cf_process_unlock();
    uint64_t mix = (cf_self(m) ^ caller->serial) * UINT64_C(0x9E3779B97F4A7C15);
    *spare = (struct cf_spare){
        .cursor = (mix >> 16) % m->max_locks,
        .thread = cf_thread_make(m->pid, caller->thread_id, caller->serial),
    };
    return status;
}

static void shm_leave(void *self, cachify_caller_t *caller)
{
    if (!cf_segment_cut_short(self))
        cf_spare_drop(self, cf_spare_of(caller));
}

static void shm_destroy(void *self)
{
    struct cf_mapping *m = self;
    cf_segment_cut_short(m); /* for unregister to know */
    cf_attendant_end(m);
    cf_watch_end_all(m);
    cf_process_lock();
    if (m->registered_in == cf_process_serial())
        cf_process_unregister(m);
    cf_process_unlock();
    cf_segment_close(m);
}

cachify_status_t cf_client_shm(const cachify_config_t *config, cachify_client_t *client)
{
    struct cf_mapping *m;
    uint64_t serial = cf_process_serial(); /* before the lock below, which it may take */
    cachify_status_t status = cf_segment_open(config, &m);
    if (status != CACHIFY_OK)
        return status;
    cf_process_lock();
    status = cf_process_register(m);
    cf_process_unlock();
    (void)serial;
    if (status != CACHIFY_OK) {
        cf_segment_close(m);
        return status;
    }
    *client = (cachify_client_t){
        .size = sizeof *client,
        .key_max = m->key_max,
        .value_max = m->value_max,
        .self = m,
        .set = shm_set,
        .get = shm_get,
        .del = shm_del,
        .acquire = shm_acquire,
        .release = shm_release,
        .extend = shm_extend,
        .remaining_ns = shm_remaining_ns,
        .wait = shm_wait,
        .wait_end = shm_wait_end,
        .pend = shm_pend,
        .pend_try = shm_pend_try,
        .pend_end = shm_pend_end,
        .query = shm_query,
        .is_locked = shm_is_locked,
        .waiters = shm_waiters,
        .enter = shm_enter,
        .leave = shm_leave,
        .destroy = shm_destroy,
    };
    return CACHIFY_OK;
}

struct cf_mapping *cf_client_shm_mapping(const cachify_client_t *client)
{
    return client->acquire == shm_acquire ? client->self : NULL;
}
