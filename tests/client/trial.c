#include "trial.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- Findings ---- */

bool trial_want(struct trial *t, bool ok, const char *format, ...)
{
    if (ok || t->failed)
        return ok;
    va_list args;
    va_start(args, format);
    vsnprintf(t->text, sizeof t->text, format, args);
    va_end(args);
    t->failed = true;
    return false;
}

static const char *const names[] = {
    "OK",      "LOCKED",       "TIMEOUT",   "LOST",      "DEADLOCK",   "NOT_INITIALIZED",
    "INVALID", "KEY_TOO_LONG", "FULL",      "NO_MEMORY", "PERMISSION", "INCOMPATIBLE",
    "CORRUPT", "GONE",         "CANCELLED", "PENDING",   "SYSTEM",
};

const char *status_name(cachify_status_t status)
{
    unsigned i = (unsigned)status;
    return i < sizeof names / sizeof names[0] ? names[i] : "no status at all";
}

bool trial_status(struct trial *t, cachify_status_t status, cachify_status_t expected,
                  const char *call)
{
    const char *error = status != CACHIFY_OK ? cachify_last_error() : "";
    return trial_want(t, status == expected, "%s gave %s%s%s%s, expected %s", call,
                      status_name(status), *error != '\0' ? " (" : "", error,
                      *error != '\0' ? ")" : "", status_name(expected));
}

void trial_skip(struct trial *t, const char *why)
{
    t->skipped = true;
    snprintf(t->text, sizeof t->text, "%s", why);
}

/* ---- Time ---- */

int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 * MS + now.tv_nsec;
}

void nap_ms(int64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * MS)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

int64_t patience_ns(const struct trial *t)
{
    return (t->subject->patience_ms != 0 ? t->subject->patience_ms : 20000) * MS;
}

/* ---- Operations ---- */

/* Serials far from those that an instance of the face gives. */
cachify_caller_t new_caller(void)
{
    static _Atomic uint32_t serials = 0x40000000;
    return (cachify_caller_t){.serial = atomic_fetch_add(&serials, 1) + 1,
                              .thread_id = (uint32_t)syscall(SYS_gettid)};
}

uint32_t key_most(const struct trial *t)
{
    return t->client.key_max != 0 && t->client.key_max < 4096 ? t->client.key_max : 4096;
}

uint32_t value_most(const struct trial *t)
{
    uint32_t most = t->client.value_max;
    return most > 4096 || (most == 0 && t->client.acquire == NULL) ? 4096 : most;
}

static void *copy(const void *bytes, uint32_t len, uint32_t room)
{
    char *to = calloc(1, room > 0 ? room : 1);
    if (to == NULL)
        abort();
    if (len > 0)
        memcpy(to, bytes, len);
    return to;
}

/* Zero-padded to a multiple of 8 bytes, and not a byte more. */
static char *copy_key(const void *key, uint32_t len)
{
    return copy(key, len, (len + 7) / 8 * 8);
}

cachify_status_t put_bytes(struct trial *t, cachify_caller_t *caller, const void *key,
                           uint32_t key_len, const void *value, uint32_t value_len, int64_t exp_ms,
                           bool nx)
{
    char *key_copy = copy_key(key, key_len), *value_copy = copy(value, value_len, value_len);
    cachify_request_t request = {.key = key_copy,
                                 .key_len = key_len,
                                 .value = value_copy,
                                 .value_len = value_len,
                                 .exp_ms = exp_ms};
    cachify_status_t status = t->client.set(t->client.self, caller, &request, nx);
    free(key_copy);
    free(value_copy);
    return status;
}

cachify_status_t fetch_bytes(struct trial *t, cachify_caller_t *caller, const void *key,
                             uint32_t key_len, void *value, uint32_t *len)
{
    char *key_copy = copy_key(key, key_len);
    cachify_status_t status = t->client.get(t->client.self, caller, key_copy, key_len, value, len);
    free(key_copy);
    return status;
}

cachify_status_t drop_bytes(struct trial *t, cachify_caller_t *caller, const void *key,
                            uint32_t key_len)
{
    char *key_copy = copy_key(key, key_len);
    cachify_status_t status = t->client.del(t->client.self, caller, key_copy, key_len);
    free(key_copy);
    return status;
}

static uint32_t length(const char *text)
{
    return (uint32_t)strlen(text);
}

cachify_status_t put(struct trial *t, const char *key, const char *value, int64_t exp_ms, bool nx)
{
    return put_bytes(t, &t->caller, key, length(key), value, length(value), exp_ms, nx);
}

cachify_status_t drop(struct trial *t, const char *key)
{
    return drop_bytes(t, &t->caller, key, length(key));
}

bool has(struct trial *t, const char *key, const char *expected)
{
    char value[4096];
    uint32_t len = sizeof value;
    if (fetch_bytes(t, &t->caller, key, length(key), value, &len) != CACHIFY_OK)
        return false;
    return expected == NULL ||
           (len == length(expected) && memcmp(value, expected, length(expected)) == 0);
}

bool want_bytes(struct trial *t, const void *key, uint32_t key_len, const void *value,
                uint32_t value_len)
{
    char found[4096];
    uint32_t len = sizeof found;
    cachify_status_t status = fetch_bytes(t, &t->caller, key, key_len, found, &len);
    return trial_status(t, status, CACHIFY_OK, "get of what was set") &&
           trial_want(t, len == value_len, "get gave %u bytes of a value of %u", len, value_len) &&
           trial_want(t, value_len == 0 || memcmp(found, value, value_len) == 0,
                      "get gave other bytes than the %u that were set", value_len);
}

/* ---- Through the face ---- */

cachify_status_t take(struct trial *t, const char *key, int64_t exp_ms, cachify_lease_t *lease)
{
    cachify_lock_t lock = {.key = key, .exp_ms = exp_ms};
    return cachify_acquire(t->instance, &lock, lease);
}

bool is_locked(struct trial *t, const char *key)
{
    bool locked = false;
    cachify_status_t status = cachify_is_locked(t->instance, key, &locked);
    return trial_status(t, status, CACHIFY_OK, "cachify_is_locked") && locked;
}

bool is_free(struct trial *t, const char *key)
{
    cachify_lease_t lease = CACHIFY_LEASE_INIT;
    cachify_status_t status = take(t, key, LONG_MS, &lease);
    return status == CACHIFY_OK && cachify_release(&lease) == CACHIFY_OK;
}

/* ---- Threads ---- */

static void *work(void *given)
{
    struct hand *hand = given;
    const cachify_client_t *client = &hand->t->client;
    bool direct = hand->t->instance == NULL;
    hand->caller = new_caller();
    if (direct && client->enter != NULL)
        hand->status = client->enter(client->self, &hand->caller);
    hand->act(hand);
    if (direct && client->leave != NULL)
        client->leave(client->self, &hand->caller);
    return NULL;
}

void meet(struct hand *hand)
{
    pthread_barrier_wait(hand->barrier);
}

/* A machine that gives no thread cannot run the suite. */
static void start(pthread_t *thread, struct hand *hand)
{
    if (pthread_create(thread, NULL, work, hand) != 0)
        abort();
}

void crew(struct trial *t, struct hand hands[], unsigned n, void (*act)(struct hand *),
          void *context)
{
    pthread_t threads[HANDS];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, n);
    for (unsigned i = 0; i < n; i++) {
        hands[i] =
            (struct hand){.t = t, .context = context, .index = i, .barrier = &barrier, .act = act};
        start(&threads[i], &hands[i]);
    }
    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
}

void helper_start(struct trial *t, struct helper *helper, void (*act)(struct hand *), void *context)
{
    helper->hand = (struct hand){.t = t, .context = context, .act = act};
    start(&helper->thread, &helper->hand);
}

void helper_join(struct helper *helper)
{
    pthread_join(helper->thread, NULL);
}
