/* By key: values, queries, force, and who waits. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis/redis.h"

/* The script that looks at a lock and its side keys. */
static redisReply *ask(struct cr_client *c, enum cr_script script, const char *key,
                       uint32_t key_len, struct cr_failure *f)
{
    struct cr_names names;
    struct cr_call call;
    cr_names_make(&names, key, key_len);
    cr_call_script(&call, script, script == CR_QUERY ? 3 : 2);
    cr_call_add(&call, key, key_len);
    if (script == CR_QUERY)
        cr_call_add(&call, names.last, names.last_len);
    cr_call_add(&call, names.wait, names.wait_len);
    return cr_call_run(&c->pool, &c->scripts, &call, REDIS_REPLY_ARRAY, f);
}

static bool is_text(const redisReply *reply, size_t i)
{
    return i < reply->elements && reply->element[i]->type == REDIS_REPLY_STRING;
}

static int64_t number_of(const redisReply *reply, size_t i)
{
    return i < reply->elements && reply->element[i]->type == REDIS_REPLY_INTEGER
               ? reply->element[i]->integer
               : 0;
}

static int64_t digits_of(const redisReply *reply, size_t i)
{
    return is_text(reply, i) ? (int64_t)cr_digits(reply->element[i]->str, reply->element[i]->len)
                             : 0;
}

/* ---- Values ---- */

cachify_status_t cr_set(void *self, cachify_caller_t *caller, const cachify_request_t *request,
                        bool nx)
{
    struct cr_guard guard = cr_guard();
    cachify_status_t status = cr_take(self, caller, request, NULL, !nx, NULL);
    cr_unguard(guard);
    return status;
}

/* The note of who holds it; all of a value that others have set. */
static cachify_status_t copy_value(const redisReply *reply, void *to, uint32_t *room)
{
    struct cr_holder h;
    if (reply->type == REDIS_REPLY_NIL)
        return cachify_report(CACHIFY_LOST, "nobody holds the lock, so it has no value");
    if (!cr_value_read(reply->str, reply->len, &h)) {
        h.note = reply->str;
        h.note_len = reply->len;
    }
    if (h.note_len > *room)
        return cachify_report(CACHIFY_INVALID, "a value of %zu bytes does not fit %u", h.note_len,
                              *room);
    if (h.note_len > 0)
        memcpy(to, h.note, h.note_len);
    *room = (uint32_t)h.note_len;
    return CACHIFY_OK;
}

cachify_status_t cr_get(void *self, cachify_caller_t *caller, const char *key, uint32_t key_len,
                        void *value, uint32_t *len)
{
    struct cr_client *c = self;
    struct cr_call call;
    struct cr_failure f;
    (void)caller;
    struct cr_guard guard = cr_guard();
    cr_call_command(&call, "GET");
    cr_call_add(&call, key, key_len);
    redisReply *reply = cr_call_run(&c->pool, &c->scripts, &call, REDIS_REPLY_STRING, &f);
    cachify_status_t status = reply != NULL ? copy_value(reply, value, len) : cr_report(&f);
    if (reply != NULL)
        freeReplyObject(reply);
    cr_unguard(guard);
    return status;
}

cachify_status_t cr_del(void *self, cachify_caller_t *caller, const char *key, uint32_t key_len)
{
    struct cr_client *c = self;
    struct cr_names names;
    struct cr_call call;
    struct cr_failure f;
    char done[CR_DONE_ROOM], operation[CR_DIGITS + 1], remember[24];
    struct cr_guard guard = cr_guard();
    cr_names_make(&names, key, key_len);
    cr_operation_write(c, operation);
    cr_done_write(c, done, caller->serial, 'k', remember);
    cr_call_script(&call, CR_FORCE, 4);
    cr_call_add(&call, key, key_len);
    cr_call_add(&call, names.last, names.last_len);
    cr_call_add(&call, names.wait, names.wait_len);
    cr_call_text(&call, done);
    cr_call_text(&call, operation);
    cr_call_text(&call, CR_GIVEN_BACK_MS);
    redisReply *reply = cr_call_run(&c->pool, &c->scripts, &call, REDIS_REPLY_STRING, &f);
    if (reply != NULL && reply->str != NULL)
        cr_lease_end(&c->leases, cr_own_number(c, reply->str));
    if (reply != NULL)
        freeReplyObject(reply);
    cr_unguard(guard);
    return reply != NULL ? CACHIFY_OK : cr_report(&f);
}

/* ---- Questions ---- */

static void describe(cachify_info_t *info, const redisReply *reply)
{
    if (is_text(reply, 0))
        cr_value_describe(info, reply->element[0]->str, reply->element[0]->len, number_of(reply, 1),
                          digits_of(reply, 2));
    else
        *info = (cachify_info_t){.state = number_of(reply, 4) != 0 ? CACHIFY_STATE_EXPIRED
                                                                   : CACHIFY_STATE_FREE};
    info->waiters = (uint32_t)number_of(reply, 3);
}

cachify_status_t cr_query(void *self, cachify_caller_t *caller, const char *key, uint32_t key_len,
                          cachify_info_t *info)
{
    struct cr_failure f;
    (void)caller;
    struct cr_guard guard = cr_guard();
    redisReply *reply = ask(self, CR_QUERY, key, key_len, &f);
    if (reply != NULL) {
        describe(info, reply);
        freeReplyObject(reply);
    }
    cr_unguard(guard);
    return reply != NULL ? CACHIFY_OK : cr_report(&f);
}

cachify_status_t cr_is_locked(void *self, cachify_caller_t *caller, const char *key,
                              uint32_t key_len, bool *locked)
{
    struct cr_client *c = self;
    struct cr_call call;
    struct cr_failure f;
    (void)caller;
    struct cr_guard guard = cr_guard();
    cr_call_command(&call, "EXISTS");
    cr_call_add(&call, key, key_len);
    redisReply *reply = cr_call_run(&c->pool, &c->scripts, &call, REDIS_REPLY_INTEGER, &f);
    if (reply != NULL) {
        *locked = reply->integer != 0;
        freeReplyObject(reply);
    }
    cr_unguard(guard);
    return reply != NULL ? CACHIFY_OK : cr_report(&f);
}

/* ---- Who waits ---- */

static bool read_waiter(cachify_waiter_t *w, const redisReply *member, int64_t waited_us)
{
    char kind[8];
    int64_t thread;
    if (member->type != REDIS_REPLY_STRING ||
        sscanf(member->str, "%*32[0-9a-f]:%*16[0-9a-f] %" SCNd64 " %" SCNd64 " %7s %*63s %15s",
               &w->pid, &thread, kind, w->command) != 4)
        return false;
    w->thread = thread;
    w->event_loop = strcmp(kind, "loop") == 0;
    w->waited_ms = waited_us > 0 ? waited_us / 1000 : 0;
    return true;
}

static void tell(const redisReply *reply, const char *key, uint32_t key_len,
                 int (*fn)(void *context, const cachify_waiter_t *), void *context)
{
    struct cr_holder h = {0};
    int64_t now = digits_of(reply, 1);
    bool known =
        is_text(reply, 0) && cr_value_read(reply->element[0]->str, reply->element[0]->len, &h);
    for (size_t i = 2; i + 1 < reply->elements; i += 2) {
        cachify_waiter_t w = {.key = key, .key_len = key_len, .awaited_pid = known ? h.pid : 0};
        int64_t came =
            is_text(reply, i + 1) ? (int64_t)strtod(reply->element[i + 1]->str, NULL) : 0;
        if (!read_waiter(&w, reply->element[i], now - came))
            continue;
        if (known)
            memcpy(w.awaited_command, h.command, sizeof w.awaited_command);
        if (fn(context, &w) != 0)
            return;
    }
}

cachify_status_t cr_waiters(void *self, cachify_caller_t *caller, const char *key, uint32_t key_len,
                            int (*fn)(void *context, const cachify_waiter_t *), void *context)
{
    struct cr_failure f;
    (void)caller;
    struct cr_guard guard = cr_guard();
    redisReply *reply = ask(self, CR_WAITERS, key, key_len, &f);
    cr_unguard(guard);
    if (reply == NULL)
        return cr_report(&f);
    tell(reply, key, key_len, fn, context);
    freeReplyObject(reply);
    return CACHIFY_OK;
}
