#include <errno.h>
#include <string.h>

#include "face/error.h"
#include "face/instance.h"
#include "face/lease.h"
#include "face/lock.h"
#include "face/options.h"
#include "ground/os.h"
#include "ground/report.h"

/* ---- Acquire ---- */

static cachify_status_t check_value(const cachify_t *instance, const cachify_lock_t *lock)
{
    uint32_t max = instance->client.value_max;
    if (lock->value_len > max)
        return cf_report(CACHIFY_INVALID, "the value has %u bytes; expected at most %u",
                         lock->value_len, max);
    if (lock->value_len > 0 && lock->value == NULL)
        return cf_report(CACHIFY_INVALID, "value is NULL and value_len %u; expected 0",
                         lock->value_len);
    return CACHIFY_OK;
}

/* Put the key together, if it is another than last time. */
static inline cachify_status_t full_key(const cachify_t *instance, struct cf_binding *b,
                                        const char *key, uint32_t len)
{
    if (key != NULL && len == 0 && b->key.len != 0 &&
        strcmp(key, b->key.bytes + instance->prefix_len) == 0)
        return CACHIFY_OK;
    cf_key_is_new(b);
    return cf_full_key(&b->key, instance, key, len);
}

static inline cachify_status_t wish_key(struct cf_wish *wish, const cachify_t *instance,
                                        struct cf_binding *b, const cachify_lock_t *lock)
{
    cachify_status_t status = full_key(instance, b, lock->key, lock->key_len);
    if (status != CACHIFY_OK)
        return status;
    wish->request.same_key = b->key_requested;
    b->key_requested = true;
    wish->request.key = b->key.bytes;
    wish->request.key_len = b->key.len;
    return CACHIFY_OK;
}

static inline __attribute__((always_inline)) cachify_status_t wish_of(struct cf_wish *wish,
                                                                      const cachify_t *instance,
                                                                      struct cf_binding *b,
                                                                      const cachify_lock_t *lock)
{
    wish->timeout_ms = lock->timeout_ms;
    wish->request.exp_ms = lock->exp_ms;
    cachify_status_t status =
        cf_time_check(&wish->request.exp_ms, instance->default_exp_ms, "exp_ms");
    if (status == CACHIFY_OK)
        status = cf_time_check(&wish->timeout_ms, CACHIFY_NEVER, "timeout_ms");
    if (status == CACHIFY_OK && lock->value_len > 0)
        status = check_value(instance, lock);
    if (status == CACHIFY_OK)
        status = wish_key(wish, instance, b, lock);
    if (status != CACHIFY_OK)
        return status;
    wish->request.value = lock->value;
    wish->request.value_len = lock->value_len;
    return CACHIFY_OK;
}

/* Of a caller that was compiled against another version. */
static __attribute__((noinline)) cachify_status_t wish_of_other_size(struct cf_wish *wish,
                                                                     const cachify_t *instance,
                                                                     struct cf_binding *b,
                                                                     const cachify_lock_t *given)
{
    cachify_lock_t copy = {0};
    cachify_status_t status = CF_OPTIONS_COPY(&copy, given, "cachify_lock_t");
    return status == CACHIFY_OK ? wish_of(wish, instance, b, &copy) : status;
}

static inline cachify_status_t make_wish(struct cf_wish *wish, const cachify_t *instance,
                                         struct cf_binding *b, const cachify_lock_t *given)
{
    if (__builtin_expect(given->size != 0 && given->size != sizeof *given, 0))
        return wish_of_other_size(wish, instance, b, given);
    return wish_of(wish, instance, b, given);
}

cachify_status_t cf_make_wish(struct cf_wish *wish, const cachify_t *instance, struct cf_binding *b,
                              const cachify_lock_t *given)
{
    return make_wish(wish, instance, b, given);
}

cachify_status_t cf_busy(cachify_status_t status, const cachify_t *instance,
                         const struct cf_wish *wish, uint64_t since, const cachify_caller_t *caller)
{
    int64_t waited = since != 0 ? (int64_t)((cf_monotonic_ns() - since) / CF_MS) : 0;
    return cf_report_busy(status, wish->request.key + instance->prefix_len,
                          wish->request.key_len - instance->prefix_len, waited, &caller->holder);
}

uint64_t cf_poll_ns(const cachify_t *instance)
{
    const int64_t longest = INT64_C(3600000);
    int64_t ms = instance->poll_interval_ms;
    return (uint64_t)(ms < longest ? ms : longest) * CF_MS;
}

/* Sleep until the lock may have come free, a poll interval at most, and not past until. */
static cachify_status_t nap(const cachify_t *instance, struct cf_binding *b,
                            const struct cf_wish *wish, uint64_t now, uint64_t until)
{
    uint64_t most = cf_poll_ns(instance);
    if (most > until - now)
        most = until - now;
    if (instance->client.wait != NULL)
        return instance->client.wait(instance->client.self, &b->caller, &wish->request,
                                     (int64_t)most);
    cf_nanosleep(most);
    return CACHIFY_OK;
}

/* The lock was busy.  Sleep, try; the last try comes at the deadline, not before. */
static cachify_status_t try_on(const cachify_t *instance, struct cf_binding *b,
                               const struct cf_wish *wish, uint64_t since, cachify_grant_t *grant)
{
    bool limited = wish->timeout_ms != CACHIFY_NEVER;
    uint64_t until = limited ? since + (uint64_t)wish->timeout_ms * CF_MS : UINT64_MAX;
    for (;;) {
        uint64_t now = cf_monotonic_ns();
        if (now >= until)
            return CACHIFY_TIMEOUT;
        if (b->caller.holder_is_self && !limited)
            return CACHIFY_DEADLOCK;
        cachify_status_t status = nap(instance, b, wish, now, until);
        if (status == CACHIFY_OK)
            status =
                instance->client.acquire(instance->client.self, &b->caller, &wish->request, grant);
        if (status != CACHIFY_LOCKED)
            return status;
    }
}

static cachify_status_t wait_for(const cachify_t *instance, struct cf_binding *b,
                                 const struct cf_wish *wish, cachify_grant_t *grant)
{
    uint64_t since = cf_monotonic_ns();
    cachify_status_t status = try_on(instance, b, wish, since, grant);
    if (instance->client.wait_end != NULL)
        instance->client.wait_end(instance->client.self, &b->caller, &wish->request,
                                  status == CACHIFY_OK);
    if (status == CACHIFY_TIMEOUT || status == CACHIFY_DEADLOCK)
        return cf_busy(status, instance, wish, since, &b->caller);
    return status;
}

static cachify_status_t acquire(cachify_t *instance, struct cf_binding *b,
                                const cachify_lock_t *lock, struct cf_face_lease *lease)
{
    struct cf_wish wish;
    cachify_status_t status = make_wish(&wish, instance, b, lock);
    if (status != CACHIFY_OK)
        return status;
    status =
        instance->client.acquire(instance->client.self, &b->caller, &wish.request, &lease->grant);
    if (__builtin_expect(status == CACHIFY_LOCKED, 0)) {
        if (!lock->wait)
            return cf_busy(CACHIFY_LOCKED, instance, &wish, 0, &b->caller);
        int saved = errno;
        status = wait_for(instance, b, &wish, &lease->grant);
        errno = saved;
    }
    if (status == CACHIFY_OK) {
        cf_lease_begin(lease, instance);
    }
    return status;
}

cachify_status_t cachify_acquire(cachify_t *handle, const cachify_lock_t *lock,
                                 cachify_lease_t *lease)
{
    struct cf_binding *b;
    if (lock == NULL || lease == NULL)
        return cf_report(CACHIFY_INVALID, "%s is NULL", lock == NULL ? "lock" : "lease");
    cachify_status_t status = cf_instance_enter(handle, &b);
    if (status != CACHIFY_OK)
        return status;
    cachify_t *instance = b->instance;
    status = acquire(instance, b, lock, (struct cf_face_lease *)lease);
    if (status != CACHIFY_OK) /* else the pin is the lease's now */
        cf_instance_leave(b, instance);
    return status;
}

/* ---- By key ---- */

cachify_status_t cf_with_key(cachify_t *handle, const char *key, cf_by_key *act, void *context)
{
    struct cf_binding *b;
    cachify_status_t status = cf_instance_enter(handle, &b);
    if (status != CACHIFY_OK)
        return status;
    cachify_t *instance = b->instance;
    status = full_key(instance, b, key, 0);
    if (status == CACHIFY_OK)
        status = act(instance, b, context);
    cf_instance_leave(b, instance);
    return status;
}

static cachify_status_t query(const cachify_t *instance, struct cf_binding *b, void *result)
{
    const cachify_client_t *client = &instance->client;
    return client->query(client->self, &b->caller, b->key.bytes, b->key.len, result);
}

static cachify_status_t is_locked(const cachify_t *instance, struct cf_binding *b, void *result)
{
    const cachify_client_t *client = &instance->client;
    cachify_info_t info;
    if (client->is_locked != NULL) {
        b->caller.same_key = b->key_requested || b->key_asked;
        b->key_asked = true;
        return client->is_locked(client->self, &b->caller, b->key.bytes, b->key.len, result);
    }
    cachify_status_t status = query(instance, b, &info);
    if (status == CACHIFY_OK)
        *(bool *)result = info.state == CACHIFY_STATE_HELD;
    return status;
}

static cachify_status_t force(const cachify_t *instance, struct cf_binding *b, void *result)
{
    const cachify_client_t *client = &instance->client;
    (void)result;
    return client->del(client->self, &b->caller, b->key.bytes, b->key.len);
}

cachify_status_t cachify_is_locked(cachify_t *instance, const char *key, bool *locked)
{
    if (locked == NULL)
        return cf_report(CACHIFY_INVALID, "locked is NULL; expected a place for the answer");
    return cf_with_key(instance, key, is_locked, locked);
}

cachify_status_t cachify_release_key(cachify_t *instance, const char *key)
{
    return cf_with_key(instance, key, force, NULL);
}

cachify_status_t cachify_query(cachify_t *instance, const char *key, cachify_info_t *info)
{
    cachify_info_t found;
    if (info == NULL)
        return cf_report(CACHIFY_INVALID, "info is NULL; expected a place for the answer");
    uint32_t size = info->size != 0 ? info->size : (uint32_t)sizeof found;
    if (size < sizeof found)
        return cf_report(CACHIFY_INVALID, "cachify_info_t has size %u; expected 0 or at least %zu",
                         size, sizeof found);
    cachify_status_t status = cf_with_key(instance, key, query, &found);
    if (status == CACHIFY_OK) {
        found.size = info->size;
        *info = found;
    }
    return status;
}

struct listing {
    int (*fn)(void *context, const cachify_waiter_t *waiter);
    void *context;
};

static cachify_status_t waiters(const cachify_t *instance, struct cf_binding *b, void *result)
{
    const cachify_client_t *client = &instance->client;
    const struct listing *listing = result;
    if (client->waiters == NULL)
        return cf_report(CACHIFY_INVALID, "the instance's client cannot tell who waits");
    return client->waiters(client->self, &b->caller, b->key.bytes, b->key.len, listing->fn,
                           listing->context);
}

cachify_status_t cachify_waiters(cachify_t *instance, const char *key,
                                 int (*fn)(void *context, const cachify_waiter_t *waiter),
                                 void *context)
{
    struct listing listing = {fn, context};
    if (fn == NULL)
        return cf_report(CACHIFY_INVALID, "fn is NULL; expected a function to be called");
    return cf_with_key(instance, key, waiters, &listing);
}
