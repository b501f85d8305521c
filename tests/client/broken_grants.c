/* Clients with owner-checked operations that are wrong in one thing each. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broken.h"

#if !defined(__SANITIZE_THREAD__) && defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif

#define ACQUIRE                                                                                    \
    void *self, cachify_caller_t *caller, const cachify_request_t *request, cachify_grant_t *grant
#define RELEASE void *self, cachify_caller_t *caller, cachify_grant_t *grant
#define EXTEND void *self, cachify_caller_t *caller, cachify_grant_t *grant, int64_t exp_ms
#define QUERY                                                                                      \
    void *self, cachify_caller_t *caller, const char *key, uint32_t key_len, cachify_info_t *info

/* ---- Acquire ---- */

#ifndef __SANITIZE_THREAD__ /* whose findings would be right */
static cachify_status_t acquire_always(ACQUIRE)
{
    whole.del(self, caller, request->key, request->key_len);
    return whole.acquire(self, caller, request, grant);
}
#endif

static cachify_status_t acquire_touches(ACQUIRE)
{
    cachify_status_t status = whole.acquire(self, caller, request, grant);
    if (status == CACHIFY_LOCKED)
        grant->token = 0;
    return status;
}

static cachify_status_t acquire_silent(ACQUIRE)
{
    cachify_status_t status = whole.acquire(self, caller, request, grant);
    if (status == CACHIFY_LOCKED)
        caller->holder = (cachify_info_t){.state = CACHIFY_STATE_HELD};
    return status;
}

static cachify_status_t acquire_unknown_self(ACQUIRE)
{
    cachify_status_t status = whole.acquire(self, caller, request, grant);
    caller->holder_is_self = false;
    return status;
}

/* Tokens that shrink; the right ones are kept beside them. */
static cachify_status_t acquire_backwards(ACQUIRE)
{
    cachify_status_t status = whole.acquire(self, caller, request, grant);
    if (status == CACHIFY_OK) {
        grant->store[5] = grant->token;
        grant->token = UINT64_MAX - grant->token;
    }
    return status;
}

static cachify_status_t release_backwards(RELEASE)
{
    grant->token = grant->store[5];
    return whole.release(self, caller, grant);
}

/* ---- Release and extend ---- */

static const _Alignas(8) char lock_key[8] = "PYC-lock"; /* what the checks' lock is called */

static cachify_status_t release_unchecked(RELEASE)
{
    cachify_status_t status = whole.release(self, caller, grant);
    if (status == CACHIFY_LOST)
        whole.del(self, caller, lock_key, sizeof lock_key);
    return status;
}

static cachify_status_t release_never_lost(RELEASE)
{
    (void)whole.release(self, caller, grant);
    return CACHIFY_OK;
}

static cachify_status_t release_changes_errno(RELEASE)
{
    errno = EAGAIN;
    return whole.release(self, caller, grant);
}

static cachify_status_t release_nothing(RELEASE)
{
    (void)self, (void)caller, (void)grant;
    return CACHIFY_OK;
}

static cachify_status_t extend_nothing(EXTEND)
{
    (void)exp_ms;
    return whole.remaining_ns(self, caller, grant) > 0 ? CACHIFY_OK : CACHIFY_LOST;
}

static cachify_status_t extend_in_time_only(EXTEND)
{
    if (whole.remaining_ns(self, caller, grant) == 0)
        return CACHIFY_LOST;
    return whole.extend(self, caller, grant, exp_ms);
}

static cachify_status_t extend_never_lost(EXTEND)
{
    (void)whole.extend(self, caller, grant, exp_ms);
    return CACHIFY_OK;
}

static cachify_status_t set_lock(void *self, cachify_caller_t *caller, int64_t exp_ms)
{
    cachify_request_t request = {.key = lock_key, .key_len = sizeof lock_key, .exp_ms = exp_ms};
    return whole.set(self, caller, &request, false);
}

static cachify_status_t extend_takes_over(EXTEND)
{
    usleep(200); /* for a release to come between */
    cachify_status_t status = whole.extend(self, caller, grant, exp_ms);
    if (status == CACHIFY_LOST)
        set_lock(self, caller, exp_ms);
    return status;
}

static int64_t remaining_always(void *self, cachify_caller_t *caller, const cachify_grant_t *grant)
{
    (void)self, (void)caller, (void)grant;
    return 1000000;
}

static int64_t remaining_in_ms(void *self, cachify_caller_t *caller, const cachify_grant_t *grant)
{
    int64_t left = whole.remaining_ns(self, caller, grant);
    return left == CACHIFY_NEVER ? left : left / 1000000;
}

/* ---- Waiting ---- */

static cachify_status_t wait_through(void *self, cachify_caller_t *caller,
                                     const cachify_request_t *request, int64_t max_ns)
{
    struct timespec most = {.tv_sec = (time_t)(max_ns / 1000000000),
                            .tv_nsec = (long)(max_ns % 1000000000)};
    (void)self, (void)caller, (void)request;
    nanosleep(&most, NULL);
    return CACHIFY_OK;
}

static cachify_status_t pend_nothing(void *self, cachify_caller_t *caller,
                                     const cachify_request_t *request, int timer, uint64_t until,
                                     uint64_t poll_ns, void **pending)
{
    static char nothing;
    (void)self, (void)caller, (void)request, (void)timer, (void)until, (void)poll_ns;
    *pending = &nothing;
    return CACHIFY_OK;
}

static cachify_status_t pend_try_only(void *self, cachify_caller_t *caller,
                                      const cachify_request_t *request, void *pending,
                                      cachify_grant_t *grant)
{
    (void)pending;
    return whole.acquire(self, caller, request, grant);
}

static void pend_end_nothing(void *self, cachify_caller_t *caller, void *pending, bool got)
{
    (void)self, (void)caller, (void)pending, (void)got;
}

/* ---- By key ---- */

static cachify_status_t query_free(QUERY)
{
    (void)self, (void)caller, (void)key, (void)key_len;
    *info = (cachify_info_t){.state = CACHIFY_STATE_FREE};
    return CACHIFY_OK;
}

static cachify_status_t query_held(QUERY)
{
    cachify_status_t status = whole.query(self, caller, key, key_len, info);
    info->state = CACHIFY_STATE_HELD;
    return status;
}

static cachify_status_t query_without_note(QUERY)
{
    cachify_status_t status = whole.query(self, caller, key, key_len, info);
    info->value_len = 0;
    return status;
}

static cachify_status_t is_known(void *self, cachify_caller_t *caller, const char *key,
                                 uint32_t key_len, bool *locked)
{
    cachify_info_t info;
    cachify_status_t status = whole.query(self, caller, key, key_len, &info);
    *locked = info.state != CACHIFY_STATE_FREE;
    return status;
}

static cachify_status_t get_never(void *self, cachify_caller_t *caller, const char *key,
                                  uint32_t key_len, void *value, uint32_t *len)
{
    (void)self, (void)caller, (void)key, (void)key_len, (void)value, (void)len;
    return CACHIFY_LOST;
}

static cachify_status_t del_nothing(void *self, cachify_caller_t *caller, const char *key,
                                    uint32_t key_len)
{
    (void)self, (void)caller, (void)key, (void)key_len;
    return CACHIFY_OK;
}

/* ---- Its life ---- */

static cachify_status_t enter_one_process(void *self, cachify_caller_t *caller)
{
    static pid_t process;
    if (process == 0)
        process = getpid();
    return process == getpid() ? whole.enter(self, caller) : CACHIFY_GONE;
}

const struct broken broken_grants[] = {
#ifndef __SANITIZE_THREAD__
    SPOILT("acquire gets it always", "exclusion", .acquire = acquire_always),
#endif
    SPOILT("acquire touches the grant of a busy lock", "grant-busy", .acquire = acquire_touches),
    SPOILT("acquire does not say who holds it", "acquire", .acquire = acquire_silent),
    SPOILT("a thread does not know itself", "grant-self", .acquire = acquire_unknown_self),
    SPOILT("tokens shrink", "tokens", .acquire = acquire_backwards, .release = release_backwards),
    SPOILT("release is not owner-checked", "release-lost", .release = release_unchecked),
    SPOILT("release is not owner-checked after force", "release-forced",
           .release = release_unchecked),
    SPOILT("release is never LOST", "release-lost", .release = release_never_lost),
    SPOILT("release changes errno", "errno", .release = release_changes_errno),
    SPOILT("release does nothing", "release", .release = release_nothing),
    SPOILT("extend does nothing", "extend", .extend = extend_nothing),
    SPOILT("extend succeeds in time only", "extend-late", .extend = extend_in_time_only),
    SPOILT("extend is never LOST", "extend-lost", .extend = extend_never_lost),
    SPOILT("extend ends another's lease", "extend-lost", .extend = extend_takes_over),
    SPOILT("extend wins over release", "extend-release", .extend = extend_takes_over),
    SPOILT("a lease is always held", "lease", .remaining_ns = remaining_always),
    SPOILT("remaining_ns gives milliseconds", "lease", .remaining_ns = remaining_in_ms),
    SPOILT("wait does not wake", "wake-release", .wait = wait_through),
    SPOILT("wait does not wake for del", "wake-forced", .wait = wait_through),
    SPOILT("pend does not set the timer", "async-wake", .pend = pend_nothing,
           .pend_try = pend_try_only, .pend_end = pend_end_nothing),
    SPOILT("query finds nothing", "query-held", .query = query_free),
    SPOILT("query finds what is gone", "query-free", .query = query_held),
    SPOILT("query forgets the note", "query-held", .query = query_without_note),
    SPOILT("is_locked counts what has expired", "is-locked", .is_locked = is_known),
    SPOILT("get does not see leases", "grant-store", .get = get_never),
    SPOILT("del does not end leases", "release-forced", .del = del_nothing),
    SPOILT("enter refuses a forked child", "fork", .enter = enter_one_process),
    {0},
};
