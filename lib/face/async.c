#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "face/error.h"
#include "face/lock.h"
#include "ground/os.h"
#include "ground/report.h"

/* Either it has the grant already, or it is pending with the client; or, if that cannot,
 * tried once a poll interval.  It has a pin on its instance, which becomes the lease's. */
struct cachify_async {
    uint64_t process; /* serial of the process that began it */
    cachify_t *instance;
    struct cf_wish wish; /* its key and note lie here, in bytes */
    uint64_t since, until;
    int timer;
    bool granted;
    cachify_grant_t grant;
    void *pending;
    _Alignas(8) char bytes[]; /* the key, zero-padded to words and a NUL; the note */
};

/* ---- Beginning ---- */

/* A copy of what was wished.  *lock may go, and the binding's key be another's. */
static cachify_async_t *copy_wish(const struct cf_wish *wish)
{
    const cachify_request_t *request = &wish->request;
    size_t key_room = (size_t)request->key_len / 8 * 8 + 8;
    cachify_async_t *async = calloc(1, sizeof *async + key_room + request->value_len);
    if (async == NULL)
        return NULL;
    async->wish = *wish;
    async->wish.request.same_key = false;
    memcpy(async->bytes, request->key, request->key_len);
    async->wish.request.key = async->bytes;
    if (request->value_len > 0) {
        memcpy(async->bytes + key_room, request->value, request->value_len);
        async->wish.request.value = async->bytes + key_room;
    }
    return async;
}

static void set_poll(const cachify_async_t *async)
{
    uint64_t at = cf_monotonic_ns() + cf_poll_ns(async->instance);
    cf_timer_set(async->timer, at < async->until ? at : async->until);
}

/* The lock was busy. */
static cachify_status_t pend(cachify_async_t *async, struct cf_binding *b)
{
    const cachify_client_t *client = &async->instance->client;
    if (client->pend == NULL) {
        set_poll(async);
        return CACHIFY_OK;
    }
    return client->pend(client->self, &b->caller, &async->wish.request, async->timer, async->until,
                        cf_poll_ns(async->instance), &async->pending);
}

static cachify_status_t try_once(cachify_async_t *async, struct cf_binding *b)
{
    const cachify_client_t *client = &async->instance->client;
    const cachify_request_t *request = &async->wish.request;
    cf_key_is_new(b); /* the async's is not the binding's */
    if (async->pending != NULL)
        return client->pend_try(client->self, &b->caller, request, async->pending, &async->grant);
    cachify_status_t status = client->acquire(client->self, &b->caller, request, &async->grant);
    if (status == CACHIFY_LOCKED && async->timer >= 0 && client->pend == NULL)
        set_poll(async);
    return status;
}

/* A client that cannot pend is asked again, others see to it that the timer expires. */
static cachify_status_t begin(cachify_async_t *async, struct cf_binding *b, bool wait)
{
    cachify_status_t status = try_once(async, b);
    if (status == CACHIFY_LOCKED && !wait)
        return cf_busy(status, async->instance, &async->wish, 0, &b->caller);
    if (status != CACHIFY_OK && status != CACHIFY_LOCKED)
        return status;
    async->granted = status == CACHIFY_OK;
    async->since = cf_monotonic_ns();
    async->until = async->wish.timeout_ms != CACHIFY_NEVER
                       ? async->since + (uint64_t)async->wish.timeout_ms * CF_MS
                       : UINT64_MAX;
    async->timer = cf_timer_open();
    if (async->timer < 0)
        return cf_report(CACHIFY_SYSTEM, "no descriptor to wait with: %s", strerror(errno));
    if (!async->granted)
        return pend(async, b);
    cf_timer_now(async->timer);
    return CACHIFY_OK;
}

/* What is left of one that is over, but for its pin. */
static void end(cachify_async_t *async, struct cf_binding *b)
{
    const cachify_client_t *client = &async->instance->client;
    if (async->pending != NULL)
        client->pend_end(client->self, &b->caller, async->pending, async->granted);
    if (async->timer >= 0)
        close(async->timer);
    free(async);
}

static void give_back(cachify_async_t *async, struct cf_binding *b)
{
    const cachify_client_t *client = &async->instance->client;
    if (async->granted)
        client->release(client->self, &b->caller, &async->grant);
}

static cachify_status_t start(cachify_t *instance, struct cf_binding *b, const cachify_lock_t *lock,
                              cachify_async_t **given)
{
    struct cf_wish wish;
    cachify_status_t status = cf_make_wish(&wish, instance, b, lock);
    if (status != CACHIFY_OK)
        return status;
    cachify_async_t *async = copy_wish(&wish);
    if (async == NULL)
        return cf_report(CACHIFY_NO_MEMORY, "no memory for a pending acquisition");
    async->process = cf_process_serial();
    async->instance = instance;
    async->timer = -1;
    status = begin(async, b, lock->wait);
    if (status != CACHIFY_OK) {
        give_back(async, b);
        end(async, b);
        return status;
    }
    *given = async;
    return CACHIFY_OK;
}

cachify_status_t cachify_acquire_start(cachify_t *handle, const cachify_lock_t *lock,
                                       cachify_async_t **async)
{
    struct cf_binding *b;
    if (lock == NULL || async == NULL)
        return cf_report(CACHIFY_INVALID, "%s is NULL", lock == NULL ? "lock" : "async");
    int saved = errno;
    cachify_status_t status = cf_instance_enter(handle, &b);
    if (status != CACHIFY_OK)
        return status;
    cachify_t *instance = b->instance;
    status = start(instance, b, lock, async);
    if (status != CACHIFY_OK) /* else the pin is the async's now */
        cf_instance_leave(b, instance);
    errno = saved;
    return status;
}

/* ---- Going on ---- */

int cachify_async_fd(const cachify_async_t *async)
{
    return async != NULL ? async->timer : -1;
}

/* In a forked child: its copies of what is the parent's.  The descriptor is the same timer. */
static void forget(cachify_async_t *async)
{
    close(async->timer);
    free(async);
}

static cachify_status_t wrong_process(void)
{
    return cf_report(CACHIFY_CANCELLED,
                     "the acquisition belongs to the process that started it; this is a child of "
                     "that one, made by fork, and has no part in it");
}

static cachify_status_t go_on(cachify_async_t *async, struct cf_binding *b)
{
    if (async->granted)
        return CACHIFY_OK;
    bool last = cf_monotonic_ns() >= async->until;
    cachify_status_t status = try_once(async, b);
    async->granted = status == CACHIFY_OK;
    if (status != CACHIFY_LOCKED)
        return status;
    if (last)
        return cf_busy(CACHIFY_TIMEOUT, async->instance, &async->wish, async->since, &b->caller);
    return cf_report(CACHIFY_PENDING, "the lock is busy still; wait for the descriptor again");
}

cachify_status_t cachify_async_finish(cachify_async_t *async, cachify_lease_t *given)
{
    struct cf_face_lease *lease = (struct cf_face_lease *)given;
    if (async == NULL || lease == NULL)
        return cf_report(CACHIFY_INVALID, "%s is NULL", async == NULL ? "async" : "lease");
    int saved = errno;
    if (async->process != cf_process_serial()) {
        forget(async);
        errno = saved;
        return wrong_process();
    }
    cachify_t *instance = async->instance;
    struct cf_binding *b = cf_bind(instance); /* it is pinned */
    if (b == NULL)
        return cf_last_failure();
    cachify_status_t status = go_on(async, b);
    if (status == CACHIFY_OK) {
        lease->grant = async->grant;
        cf_lease_begin(lease, instance);
    }
    if (status != CACHIFY_PENDING)
        end(async, b);
    if (status != CACHIFY_PENDING && status != CACHIFY_OK) /* else the pin is needed still */
        cf_instance_leave(b, instance);
    errno = saved;
    return status;
}

cachify_status_t cachify_async_cancel(cachify_async_t *async)
{
    if (async == NULL)
        return CACHIFY_OK;
    int saved = errno;
    if (async->process != cf_process_serial()) {
        forget(async);
        errno = saved;
        return CACHIFY_OK;
    }
    cachify_t *instance = async->instance;
    struct cf_binding *b = cf_bind(instance);
    if (b == NULL)
        return cf_last_failure();
    give_back(async, b);
    end(async, b);
    cf_instance_leave(b, instance);
    errno = saved;
    return CACHIFY_OK;
}
