#include "broken.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

cachify_status_t cachify_client_make(cachify_client_t *client); /* tests/examples/client_table.c */

/* The client that would be right; one at a time. */
static cachify_client_t whole;

#define STORE_SET                                                                                  \
    void *self, cachify_caller_t *caller, const cachify_request_t *request, bool nx
#define STORE_GET                                                                                  \
    void *self, cachify_caller_t *caller, const char *key, uint32_t key_len, void *value,          \
        uint32_t *len
#define STORE_DEL void *self, cachify_caller_t *caller, const char *key, uint32_t key_len
#define GRANT void *self, cachify_caller_t *caller, cachify_grant_t *grant
#define ACQUIRE                                                                                    \
    void *self, cachify_caller_t *caller, const cachify_request_t *request, cachify_grant_t *grant

/* ---- set ---- */

static bool is_there(void *self, cachify_caller_t *caller, const cachify_request_t *request)
{
    char value[4096];
    uint32_t len = sizeof value;
    return whole.get(self, caller, request->key, request->key_len, value, &len) == CACHIFY_OK;
}

static cachify_status_t set_for(STORE_SET, int64_t exp_ms)
{
    cachify_request_t other = *request;
    other.exp_ms = exp_ms;
    return whole.set(self, caller, &other, nx);
}

static cachify_status_t set_always(STORE_SET)
{
    (void)nx;
    return whole.set(self, caller, request, false);
}

static cachify_status_t set_in_two_steps(STORE_SET)
{
    if (nx && is_there(self, caller, request))
        return CACHIFY_LOCKED;
    sched_yield();
    return whole.set(self, caller, request, false);
}

static cachify_status_t set_refuses(STORE_SET)
{
    (void)nx;
    return whole.set(self, caller, request, true);
}

static cachify_status_t set_keeps(STORE_SET)
{
    cachify_status_t status = whole.set(self, caller, request, true);
    return nx ? status : CACHIFY_OK;
}

static cachify_status_t set_by_del(STORE_SET)
{
    if (!nx)
        whole.del(self, caller, request->key, request->key_len);
    sched_yield();
    return whole.set(self, caller, request, nx);
}

static cachify_status_t set_by_halves(STORE_SET)
{
    cachify_request_t half = *request;
    half.value_len /= 2;
    if (!nx)
        whole.set(self, caller, &half, false);
    sched_yield();
    return whole.set(self, caller, request, nx);
}

static cachify_status_t set_for_ever(STORE_SET)
{
    return set_for(self, caller, request, nx, CACHIFY_NEVER);
}

static cachify_status_t set_too_short(STORE_SET)
{
    int64_t exp_ms = request->exp_ms;
    return set_for(self, caller, request, nx, exp_ms == CACHIFY_NEVER ? exp_ms : exp_ms / 2);
}

static cachify_status_t set_too_long(STORE_SET)
{
    int64_t exp_ms = request->exp_ms;
    return set_for(self, caller, request, nx, exp_ms > 1000000 ? exp_ms : exp_ms + 100);
}

static cachify_status_t set_never_as_none(STORE_SET)
{
    int64_t exp_ms = request->exp_ms;
    return set_for(self, caller, request, nx, exp_ms == CACHIFY_NEVER ? 1 : exp_ms);
}

static cachify_status_t set_32_bits(STORE_SET)
{
    int64_t exp_ms = request->exp_ms;
    bool wraps = exp_ms != CACHIFY_NEVER && exp_ms > INT32_MAX;
    return set_for(self, caller, request, nx, wraps ? 1 : exp_ms);
}

static cachify_status_t set_keeps_expiry(STORE_SET)
{
    static int64_t first;
    if (nx || !is_there(self, caller, request))
        first = request->exp_ms;
    return set_for(self, caller, request, nx, first);
}

static cachify_status_t set_full(STORE_SET)
{
    static unsigned count;
    if (++count == 500)
        return cachify_report(CACHIFY_FULL, "that is enough");
    return whole.set(self, caller, request, nx);
}

static cachify_status_t set_changes_errno(STORE_SET)
{
    errno = EAGAIN;
    return whole.set(self, caller, request, nx);
}

/* ---- get and del ---- */

static cachify_status_t get_says_length(STORE_GET)
{
    char found[4096];
    uint32_t found_len = sizeof found;
    cachify_status_t status = whole.get(self, caller, key, key_len, value, len);
    if (status == CACHIFY_INVALID &&
        whole.get(self, caller, key, key_len, found, &found_len) == CACHIFY_OK)
        *len = found_len;
    return status;
}

static cachify_status_t get_overruns(STORE_GET)
{
    cachify_status_t status = whole.get(self, caller, key, key_len, value, len);
    if (status == CACHIFY_OK)
        ((char *)value)[*len] = '\0';
    return status;
}

static cachify_status_t get_cut(STORE_GET)
{
    char found[4096];
    uint32_t found_len = sizeof found;
    cachify_status_t status = whole.get(self, caller, key, key_len, found, &found_len);
    if (status != CACHIFY_OK)
        return status;
    *len = found_len < *len ? found_len : *len;
    memcpy(value, found, *len);
    return CACHIFY_OK;
}

static cachify_status_t get_text(STORE_GET)
{
    cachify_status_t status = whole.get(self, caller, key, key_len, value, len);
    if (status == CACHIFY_OK)
        *len = (uint32_t)strnlen(value, *len);
    return status;
}

static cachify_status_t get_empty(STORE_GET)
{
    cachify_status_t status = whole.get(self, caller, key, key_len, value, len);
    if (status == CACHIFY_LOST)
        *len = 0;
    return status == CACHIFY_LOST ? CACHIFY_OK : status;
}

static cachify_status_t get_own(STORE_GET)
{
    static _Thread_local uint64_t asked;
    return ++asked % 2 == 0 ? CACHIFY_LOST
                            : whole.get(self, caller, key, key_len, value, len);
}

static cachify_status_t del_forgets(STORE_DEL)
{
    (void)self, (void)caller, (void)key, (void)key_len;
    return CACHIFY_OK;
}

static cachify_status_t del_lost(STORE_DEL)
{
    cachify_request_t request = {.key = key, .key_len = key_len};
    bool there = is_there(self, caller, &request);
    cachify_status_t status = whole.del(self, caller, key, key_len);
    return there ? status : CACHIFY_LOST;
}

/* ---- Keys, changed alike for all three ---- */

struct changed_key {
    _Alignas(8) char bytes[4104];
    uint32_t len;
};

static void (*change_key)(struct changed_key *);

static struct changed_key changed(const char *key, uint32_t key_len)
{
    struct changed_key c = {.len = key_len};
    memcpy(c.bytes, key, key_len);
    change_key(&c);
    return c;
}

static cachify_status_t set_changed(STORE_SET)
{
    struct changed_key key = changed(request->key, request->key_len);
    cachify_request_t other = *request;
    other.key = key.bytes;
    other.key_len = key.len;
    return whole.set(self, caller, &other, nx);
}

static cachify_status_t get_changed(STORE_GET)
{
    struct changed_key k = changed(key, key_len);
    return whole.get(self, caller, k.bytes, k.len, value, len);
}

static cachify_status_t del_changed(STORE_DEL)
{
    struct changed_key k = changed(key, key_len);
    return whole.del(self, caller, k.bytes, k.len);
}

static void cut_key(struct changed_key *key)
{
    key->len = key->len < 8 ? key->len : 8;
}

static void cut_long_key(struct changed_key *key)
{
    key->len = key->len < 255 ? key->len : 255;
}

static void clear_high_bits(struct changed_key *key)
{
    for (uint32_t i = 0; i < key->len; i++)
        key->bytes[i] = (char)(key->bytes[i] & 0x7f);
}

static void change_keys(cachify_client_t *client, void (*change)(struct changed_key *))
{
    change_key = change;
    client->set = set_changed;
    client->get = get_changed;
    client->del = del_changed;
}
