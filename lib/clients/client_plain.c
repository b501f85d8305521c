#include "clients/client_plain.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/mark.h"
#include "ground/fork.h"
#include "ground/os.h"
#include "ground/report.h"

#define BUCKETS 64u
#define VALUE_ROOM 4096u /* longer values are somebody else's */

/* A lease of this process.  The grant has its number only: a copy of the grant, used after the
 * lease has gone, finds none. */
struct held {
    struct held *next;
    uint64_t number;
    uint64_t deadline; /* of this process's monotonic clock, by which it believes in the lease */
    struct cf_mark mark;
    int64_t exp_ms;
    uint32_t key_len, note_len;
    char *note;
    _Alignas(8) char key[]; /* zero-padded to words and a NUL, as clients get it; the note */
};

/* Release and extend of one lease exclude each other here: its bucket is locked throughout. */
struct bucket {
    pthread_mutex_t lock;
    struct held *first;
};

struct plain {
    cachify_client_t store;
    uint64_t process; /* serial of the process whose leases these are */
    _Atomic uint64_t numbers;
    struct bucket bucket[BUCKETS];
};

/* ---- The store ---- */

/* Whatever it does, errno is as it was. */
static cachify_status_t store_set(const struct plain *p, cachify_caller_t *caller,
                                  const cachify_request_t *request, bool nx)
{
    int saved = errno;
    cachify_status_t status = p->store.set(p->store.self, caller, request, nx);
    errno = saved;
    return status;
}

static cachify_status_t store_get(const struct plain *p, cachify_caller_t *caller, const char *key,
                                  uint32_t key_len, void *value, uint32_t *len)
{
    int saved = errno;
    cachify_status_t status = p->store.get(p->store.self, caller, key, key_len, value, len);
    errno = saved;
    return status;
}

static cachify_status_t store_del(const struct plain *p, cachify_caller_t *caller, const char *key,
                                  uint32_t key_len)
{
    int saved = errno;
    cachify_status_t status = p->store.del(p->store.self, caller, key, key_len);
    errno = saved;
    return status;
}

/* OK with the value (cut, if it is too long to be ours), LOST, or what failed. */
static cachify_status_t get_value(const struct plain *p, cachify_caller_t *caller, const char *key,
                                  uint32_t key_len, char value[VALUE_ROOM], uint32_t *len)
{
    *len = VALUE_ROOM;
    cachify_status_t status = store_get(p, caller, key, key_len, value, len);
    if (status == CACHIFY_INVALID) {
        *len = 0;
        return CACHIFY_OK;
    }
    if (status == CACHIFY_OK && *len > VALUE_ROOM)
        return cf_report(CACHIFY_CORRUPT,
                         "the client's get gave %u bytes where there is room for "
                         "%u",
                         *len, VALUE_ROOM);
    return status;
}

/* Whether the key has this lease's mark: OK, LOST, or what failed. */
static cachify_status_t is_mine(const struct plain *p, cachify_caller_t *caller,
                                const struct held *held)
{
    char value[VALUE_ROOM];
    uint32_t len;
    struct cf_mark mark;
    cachify_status_t status = get_value(p, caller, held->key, held->key_len, value, &len);
    if (status != CACHIFY_OK && status != CACHIFY_LOST)
        return status;
    if (status == CACHIFY_OK && cf_mark_read(value, len, &mark) != 0 &&
        memcmp(mark.unique, held->mark.unique, sizeof mark.unique) == 0)
        return CACHIFY_OK;
    return cf_report(CACHIFY_LOST, "the lock %.*s is %s", (int)held->key_len, held->key,
                     status == CACHIFY_OK ? "somebody else's by now" : "held by nobody any more");
}

static cachify_status_t set_mark(const struct plain *p, cachify_caller_t *caller,
                                 const struct held *held, bool nx)
{
    char value[VALUE_ROOM];
    uint32_t len = cf_mark_write(value, &held->mark);
    if (held->note_len > 0)
        memcpy(value + len, held->note, held->note_len);
    cachify_request_t request = {.key = held->key,
                                 .key_len = held->key_len,
                                 .value = value,
                                 .value_len = len + held->note_len,
                                 .exp_ms = held->exp_ms};
    return store_set(p, caller, &request, nx);
}

/* Who holds it.  OK; LOST: nobody, by now. */
static cachify_status_t look(const struct plain *p, cachify_caller_t *caller, const char *key,
                             uint32_t key_len, cachify_info_t *info)
{
    char value[VALUE_ROOM];
    uint32_t len;
    cachify_status_t status = get_value(p, caller, key, key_len, value, &len);
    if (status == CACHIFY_OK)
        cf_mark_describe(info, value, len);
    return status;
}

static void see_holder(const struct plain *p, cachify_caller_t *caller, const char *key,
                       uint32_t key_len)
{
    char value[VALUE_ROOM];
    uint32_t len;
    struct cf_mark mark;
    caller->holder = (cachify_info_t){.state = CACHIFY_STATE_HELD, .remaining_ms = CACHIFY_NEVER};
    caller->holder_is_self = false;
    if (get_value(p, caller, key, key_len, value, &len) != CACHIFY_OK)
        return;
    cf_mark_describe(&caller->holder, value, len);
    caller->holder_is_self = cf_mark_read(value, len, &mark) != 0 && mark.pid == getpid() &&
                             mark.thread_id == caller->thread_id && mark.serial == caller->serial &&
                             mark.until_ms == CACHIFY_NEVER;
}

/* ---- Leases of this process ---- */

static struct bucket *lock_bucket(struct plain *p, uint64_t number)
{
    struct bucket *b = &p->bucket[number % BUCKETS];
    pthread_mutex_lock(&b->lock);
    return b;
}

/* The place that points to it; to NULL if it is not there. */
static struct held **find(struct bucket *b, uint64_t number)
{
    struct held **at = &b->first;
    while (*at != NULL && (*at)->number != number)
        at = &(*at)->next;
    return at;
}

static struct held *make_held(struct plain *p, const cachify_caller_t *caller,
                              const cachify_request_t *request)
{
    size_t key_room = (size_t)request->key_len / 8 * 8 + 8;
    struct held *held = calloc(1, sizeof *held + key_room + request->value_len);
    if (held == NULL)
        return NULL;
    held->number = cf_add_relaxed(&p->numbers, 1) + 1;
    held->mark = (struct cf_mark){
        .unique = {cf_random(), cf_random()},
        .pid = getpid(),
        .thread_id = caller->thread_id,
        .serial = caller->serial,
        .acquired_ms = cf_mark_now_ms(),
        .until_ms = cf_mark_until_ms(request->exp_ms),
    };
    held->exp_ms = request->exp_ms;
    cf_command(held->mark.command);
    held->key_len = request->key_len;
    memcpy(held->key, request->key, request->key_len);
    held->note = held->key + key_room;
    held->note_len = request->value_len;
    if (request->value_len > 0)
        memcpy(held->note, request->value, request->value_len);
    return held;
}

static uint64_t deadline(uint64_t begun, int64_t exp_ms)
{
    return exp_ms == CACHIFY_NEVER ? UINT64_MAX : begun + (uint64_t)exp_ms * CF_MS;
}

static cachify_status_t plain_acquire(void *self, cachify_caller_t *caller,
                                      const cachify_request_t *request, cachify_grant_t *grant)
{
    struct plain *p = self;
    struct held *held = make_held(p, caller, request);
    if (held == NULL)
        return cf_report(CACHIFY_NO_MEMORY, "no memory for a lease");
    held->deadline = deadline(cf_monotonic_ns(), request->exp_ms);
    cachify_status_t status = set_mark(p, caller, held, true);
    if (status != CACHIFY_OK) {
        free(held);
        if (status == CACHIFY_LOCKED)
            see_holder(p, caller, request->key, request->key_len);
        return status;
    }
    *grant = (cachify_grant_t){.how = CACHIFY_FRESH, .store = {held->number}};
    struct bucket *b = lock_bucket(p, held->number);
    held->next = b->first;
    b->first = held;
    pthread_mutex_unlock(&b->lock);
    return CACHIFY_OK;
}

static cachify_status_t released(void)
{
    return cf_report(CACHIFY_LOST, "the lease was released before");
}

/* The store forgets what has expired: a release that comes so late has nothing to give back. */
static cachify_status_t give_back(const struct plain *p, cachify_caller_t *caller,
                                  const struct held *held)
{
    if (cf_monotonic_ns() >= held->deadline)
        return cf_report(CACHIFY_LOST, "the lease of %.*s had expired", (int)held->key_len,
                         held->key);
    cachify_status_t status = is_mine(p, caller, held);
    return status == CACHIFY_OK ? store_del(p, caller, held->key, held->key_len) : status;
}

static cachify_status_t plain_release(void *self, cachify_caller_t *caller, cachify_grant_t *grant)
{
    struct plain *p = self;
    struct bucket *b = lock_bucket(p, grant->store[0]);
    struct held **at = find(b, grant->store[0]);
    struct held *held = *at;
    cachify_status_t status = held != NULL ? give_back(p, caller, held) : released();
    if (held != NULL)
        *at = held->next;
    pthread_mutex_unlock(&b->lock);
    free(held);
    return status;
}

/* Late, it is set again if nobody has it.  In time and not there, it was released by key. */
static cachify_status_t renew(const struct plain *p, cachify_caller_t *caller, struct held *held,
                              int64_t exp_ms)
{
    int64_t until_before = held->mark.until_ms;
    bool late = cf_monotonic_ns() >= held->deadline;
    cachify_status_t status = is_mine(p, caller, held);
    if (status != CACHIFY_OK && !(status == CACHIFY_LOST && late))
        return status;
    uint64_t begun = cf_monotonic_ns();
    held->exp_ms = exp_ms;
    held->mark.until_ms = cf_mark_until_ms(exp_ms);
    status = set_mark(p, caller, held, status == CACHIFY_LOST);
    if (status == CACHIFY_OK)
        held->deadline = deadline(begun, exp_ms);
    else
        held->mark.until_ms = until_before;
    if (status == CACHIFY_LOCKED)
        return cf_report(CACHIFY_LOST, "the lock %.*s is somebody else's by now",
                         (int)held->key_len, held->key);
    return status;
}

static cachify_status_t plain_extend(void *self, cachify_caller_t *caller, cachify_grant_t *grant,
                                     int64_t exp_ms)
{
    struct plain *p = self;
    struct bucket *b = lock_bucket(p, grant->store[0]);
    struct held *held = *find(b, grant->store[0]);
    cachify_status_t status = held != NULL ? renew(p, caller, held, exp_ms) : released();
    pthread_mutex_unlock(&b->lock);
    return status;
}

static int64_t plain_remaining_ns(void *self, cachify_caller_t *caller,
                                  const cachify_grant_t *grant)
{
    struct plain *p = self;
    struct bucket *b = lock_bucket(p, grant->store[0]);
    const struct held *held = *find(b, grant->store[0]);
    int64_t left = 0;
    if (held != NULL && is_mine(p, caller, held) == CACHIFY_OK) {
        uint64_t now = cf_monotonic_ns();
        left = held->deadline == UINT64_MAX ? CACHIFY_NEVER
               : held->deadline > now       ? (int64_t)(held->deadline - now)
                                            : 0;
    }
    pthread_mutex_unlock(&b->lock);
    return left;
}

/* ---- By key ---- */

static cachify_status_t plain_set(void *self, cachify_caller_t *caller,
                                  const cachify_request_t *request, bool nx)
{
    const struct plain *p = self;
    cachify_status_t status = store_set(p, caller, request, nx);
    if (status == CACHIFY_LOCKED)
        see_holder(p, caller, request->key, request->key_len);
    return status;
}

/* What the holder gave: without the mark, where it has one. */
static cachify_status_t plain_get(void *self, cachify_caller_t *caller, const char *key,
                                  uint32_t key_len, void *to, uint32_t *room)
{
    char value[VALUE_ROOM];
    uint32_t len = VALUE_ROOM;
    struct cf_mark mark;
    cachify_status_t status = store_get(self, caller, key, key_len, value, &len);
    if (status != CACHIFY_OK)
        return status;
    uint32_t used = cf_mark_read(value, len, &mark);
    if (len - used > *room)
        return cf_report(CACHIFY_INVALID, "a value of %u bytes does not fit %u", len - used, *room);
    if (len > used)
        memcpy(to, value + used, len - used);
    *room = len - used;
    return CACHIFY_OK;
}

static cachify_status_t plain_del(void *self, cachify_caller_t *caller, const char *key,
                                  uint32_t key_len)
{
    return store_del(self, caller, key, key_len);
}

static cachify_status_t plain_query(void *self, cachify_caller_t *caller, const char *key,
                                    uint32_t key_len, cachify_info_t *info)
{
    cachify_status_t status = look(self, caller, key, key_len, info);
    if (status == CACHIFY_LOST) {
        *info = (cachify_info_t){.state = CACHIFY_STATE_FREE};
        return CACHIFY_OK;
    }
    return status;
}

/* ---- Its life ---- */

static void clear(struct plain *p)
{
    for (uint32_t i = 0; i < BUCKETS; i++) {
        while (p->bucket[i].first != NULL) {
            struct held *held = p->bucket[i].first;
            p->bucket[i].first = held->next;
            free(held);
        }
        pthread_mutex_init(&p->bucket[i].lock, NULL);
    }
    p->process = cf_process_serial();
}

/* In a forked child the leases are the parent's, and a lock may be one of its threads'. */
static cachify_status_t plain_enter(void *self, cachify_caller_t *caller)
{
    struct plain *p = self;
    uint64_t serial = cf_process_serial();
    cf_process_lock();
    if (p->process != serial)
        clear(p);
    cf_process_unlock();
    return p->store.enter != NULL ? p->store.enter(p->store.self, caller) : CACHIFY_OK;
}

static void plain_leave(void *self, cachify_caller_t *caller)
{
    const struct plain *p = self;
    if (p->store.leave != NULL)
        p->store.leave(p->store.self, caller);
}

static void plain_free(struct plain *p)
{
    clear(p);
    for (uint32_t i = 0; i < BUCKETS; i++)
        pthread_mutex_destroy(&p->bucket[i].lock);
    free(p);
}

static void plain_destroy(void *self)
{
    struct plain *p = self;
    if (p->store.destroy != NULL)
        p->store.destroy(p->store.self);
    plain_free(p);
}

void cf_client_plain_discard(const cachify_client_t *client)
{
    if (client->acquire == plain_acquire)
        plain_free(client->self);
}

cachify_status_t cf_client_plain(const cachify_client_t *store, cachify_client_t *client)
{
    if (store->set == NULL || store->get == NULL || store->del == NULL)
        return cf_report(CACHIFY_INVALID,
                         "the client has no %s; expected set, get and del at "
                         "least",
                         store->set == NULL   ? "set"
                         : store->get == NULL ? "get"
                                              : "del");
    if (store->value_max != 0 && store->value_max < CACHIFY_MARK_BYTES)
        return cf_report(CACHIFY_INVALID,
                         "the client takes values of %u bytes; expected at least %u, for it has "
                         "no owner-checked operations",
                         store->value_max, CACHIFY_MARK_BYTES);
    struct plain *p = calloc(1, sizeof *p);
    if (p == NULL)
        return cf_report(CACHIFY_NO_MEMORY, "no memory for a client");
    uint32_t most =
        store->value_max == 0 || store->value_max > VALUE_ROOM ? VALUE_ROOM : store->value_max;
    p->store = *store;
    clear(p);
    *client = (cachify_client_t){
        .size = sizeof *client,
        .key_max = store->key_max,
        .value_max = most - CACHIFY_MARK_BYTES,
        .self = p,
        .set = plain_set,
        .get = plain_get,
        .del = plain_del,
        .acquire = plain_acquire,
        .release = plain_release,
        .extend = plain_extend,
        .remaining_ns = plain_remaining_ns,
        .query = plain_query,
        .enter = plain_enter,
        .leave = plain_leave,
        .destroy = plain_destroy,
    };
    return CACHIFY_OK;
}
