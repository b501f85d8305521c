/* Clients of set, get and del that are wrong in one thing each. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "broken.h"

#define STORE_SET void *self, cachify_caller_t *caller, const cachify_request_t *request, bool nx
#define STORE_GET                                                                                  \
    void *self, cachify_caller_t *caller, const char *key, uint32_t key_len, void *value,          \
        uint32_t *len
#define STORE_DEL void *self, cachify_caller_t *caller, const char *key, uint32_t key_len
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
    usleep(100); /* for others to come between */
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
    usleep(100); /* for others to come between */
    return whole.set(self, caller, request, nx);
}

static cachify_status_t set_by_halves(STORE_SET)
{
    cachify_request_t half = *request;
    half.value_len /= 2;
    if (!nx)
        whole.set(self, caller, &half, false);
    usleep(100); /* for others to come between */
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

static cachify_status_t get_sometimes(STORE_GET)
{
    static _Thread_local uint64_t asked;
    return ++asked % 2 == 0 ? CACHIFY_LOST : whole.get(self, caller, key, key_len, value, len);
}

static cachify_status_t del_nothing(STORE_DEL)
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

static struct changed_key changed(const char *key, uint32_t key_len)
{
    struct changed_key c = {.len = key_len};
    memcpy(c.bytes, key, key_len);
    broken_now->change_key(&c);
    return c;
}

cachify_status_t broken_key_set(STORE_SET)
{
    struct changed_key key = changed(request->key, request->key_len);
    cachify_request_t other = *request;
    other.key = key.bytes;
    other.key_len = key.len;
    return whole.set(self, caller, &other, nx);
}

cachify_status_t broken_key_get(STORE_GET)
{
    struct changed_key k = changed(key, key_len);
    return whole.get(self, caller, k.bytes, k.len, value, len);
}

cachify_status_t broken_key_del(STORE_DEL)
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

const struct broken broken_stores[] = {
    SPOILT("set nx sets always", "set-nx", .set = set_always),
    SPOILT("set nx looks, and then sets", "nx-threads", .set = set_in_two_steps),
    SPOILT("set nx looks, and then sets, at an expiry", "nx-expiry", .set = set_in_two_steps),
    SPOILT("set without nx refuses", "overwrite", .set = set_refuses),
    SPOILT("set without nx keeps what there is", "overwrite", .set = set_keeps),
    SPOILT("set without nx is del and set", "no-gap", .set = set_by_del),
    SPOILT("set writes in two halves", "whole-values", .set = set_by_halves),
    SPOILT("nothing expires", "expiry", .set = set_for_ever),
    SPOILT("all expires too soon", "expiry", .set = set_too_short),
    SPOILT("all expires too late", "expiry", .set = set_too_long),
    SPOILT("CACHIFY_NEVER is no time at all", "never", .set = set_never_as_none),
    SPOILT("times have 32 bits", "never", .set = set_32_bits),
    SPOILT("set without nx keeps the expiry", "new-expiry", .set = set_keeps_expiry),
    SPOILT("it is soon full", "key-many", .set = set_full),
    SPOILT("set changes errno", "errno-store", .set = set_changes_errno),
    SPOILT("get tells the length with INVALID", "get-room", .get = get_says_length),
    SPOILT("get writes a byte too many", "get-room", .get = get_overruns),
    SPOILT("get gives the part that there is room for", "get-room", .get = get_cut),
    SPOILT("values end at a NUL byte", "value-bytes", .get = get_text),
    SPOILT("get is OK where there is none", "get-none", .get = get_empty),
    SPOILT("get misses every other value", "seen", .get = get_sometimes),
    SPOILT("del does nothing", "del", .del = del_nothing),
    SPOILT("del of none is LOST", "del", .del = del_lost),
    {"keys have 8 bytes", "key-prefix", {0}, cut_key},
    {"keys have 255 bytes, and more for no use", "key-length", {0}, cut_long_key},
    {"keys have 7 bits a byte", "key-bytes", {0}, clear_high_bits},
    {0},
};
