#include <cachify/wrap.h>

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "face/options.h"
#include "face/template.h"
#include "ground/report.h"
#include "ground/thread.h"

#define MOST_PARAMETERS 64u

/* Never changes once it is made. */
struct cachify_wrapped {
    cachify_t *instance;
    cachify_function_t *function;
    void *context;
    struct cf_template template;
    cachify_lock_t lock; /* but for its key */
    bool once;
    uint32_t result_size;
    const void *result_if_locked;
    _Alignas(16) char copies[]; /* of what the options point to */
};

/* ---- Making ---- */

static bool is_identifier(const char *name)
{
    if (!isalpha((unsigned char)name[0]) && name[0] != '_')
        return false;
    for (const char *at = name; *at != '\0'; at++)
        if (!isalnum((unsigned char)*at) && *at != '_')
            return false;
    return true;
}

static cachify_status_t check_names(const char *const *names, uint32_t count)
{
    if (count > MOST_PARAMETERS)
        return cf_report(CACHIFY_INVALID, "parameter_count is %u; expected at most %u", count,
                         MOST_PARAMETERS);
    if (count > 0 && names == NULL)
        return cf_report(CACHIFY_INVALID,
                         "parameters is NULL and parameter_count %u; expected %u"
                         " names",
                         count, count);
    for (uint32_t i = 0; i < count; i++) {
        if (names[i] == NULL || !is_identifier(names[i]))
            return cf_report(CACHIFY_INVALID,
                             "parameter %u is named \"%s\"; expected letters, digits and _", i,
                             names[i] != NULL ? names[i] : "(NULL)");
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(names[i], names[k]) == 0)
                return cf_report(CACHIFY_INVALID, "parameters %u and %u are both named \"%s\"", k,
                                 i, names[i]);
    }
    return CACHIFY_OK;
}

static cachify_status_t check_lock(const cachify_lock_t *lock)
{
    int64_t exp_ms = lock->exp_ms, timeout_ms = lock->timeout_ms;
    if (lock->key == NULL)
        return cf_report(CACHIFY_INVALID, "lock.key is NULL; expected a template");
    if (lock->key_len != 0 && memchr(lock->key, '\0', lock->key_len) != NULL)
        return cf_report(CACHIFY_INVALID, "the template \"%s\" has a NUL byte; expected none",
                         lock->key);
    if (lock->value_len > 0 && lock->value == NULL)
        return cf_report(CACHIFY_INVALID, "value is NULL and value_len %u; expected 0",
                         lock->value_len);
    cachify_status_t status = cf_time_check(&exp_ms, 0, "exp_ms");
    return status == CACHIFY_OK ? cf_time_check(&timeout_ms, 0, "timeout_ms") : status;
}

static cachify_status_t check(const cachify_wrap_options_t *o, cachify_lock_t *lock)
{
    if (o->function == NULL || o->lock == NULL)
        return cf_report(CACHIFY_INVALID, "%s is NULL", o->function == NULL ? "function" : "lock");
    if ((o->flags & ~CACHIFY_ONCE) != 0)
        return cf_report(CACHIFY_INVALID, "flags are %#x; expected 0 or CACHIFY_ONCE", o->flags);
    if (o->result_if_locked != NULL && o->flags != CACHIFY_ONCE)
        return cf_report(CACHIFY_INVALID, "result_if_locked is given without CACHIFY_ONCE");
    cachify_status_t status = CF_OPTIONS_COPY(lock, o->lock, "cachify_lock_t");
    if (status == CACHIFY_OK)
        status = check_lock(lock);
    return status == CACHIFY_OK ? check_names(o->parameters, o->parameter_count) : status;
}

/* Put a copy of len bytes at *at, with a NUL, and step over it. */
static char *copy(char **at, const void *bytes, size_t len)
{
    char *to = *at;
    if (len > 0)
        memcpy(to, bytes, len);
    to[len] = '\0';
    *at += len + 1;
    return to;
}

static cachify_wrapped_t *make(const cachify_wrap_options_t *o, const cachify_lock_t *lock)
{
    size_t key_len = lock->key_len != 0 ? lock->key_len : strlen(lock->key);
    size_t result_size = o->result_if_locked != NULL ? o->result_size : 0;
    size_t names = o->parameter_count * sizeof(char *);
    size_t room = names + key_len + lock->value_len + result_size + 3;
    for (uint32_t i = 0; i < o->parameter_count; i++)
        room += strlen(o->parameters[i]) + 1;
    cachify_wrapped_t *w = calloc(1, sizeof *w + room);
    if (w == NULL)
        return NULL;
    const char **name_at = (const char **)w->copies;
    char *at = w->copies + names;
    for (uint32_t i = 0; i < o->parameter_count; i++)
        name_at[i] = copy(&at, o->parameters[i], strlen(o->parameters[i]));
    w->template.names = name_at;
    w->template.count = o->parameter_count;
    w->template.text = copy(&at, lock->key, key_len);
    w->lock = *lock;
    w->lock.value = copy(&at, lock->value, lock->value_len);
    w->result_if_locked = copy(&at, o->result_if_locked, result_size);
    if (o->result_if_locked == NULL)
        w->result_if_locked = NULL;
    w->result_size = o->result_size;
    w->once = o->flags == CACHIFY_ONCE;
    w->function = o->function;
    w->context = o->context;
    return w;
}

cachify_status_t cachify_wrap(cachify_t *instance, const cachify_wrap_options_t *given,
                              cachify_wrapped_t **wrapped)
{
    cachify_wrap_options_t options = {0};
    cachify_lock_t lock = {0};
    if (given == NULL || wrapped == NULL)
        return cf_report(CACHIFY_INVALID, "%s is NULL", given == NULL ? "options" : "wrapped");
    cachify_status_t status = CF_OPTIONS_COPY(&options, given, "cachify_wrap_options_t");
    if (status == CACHIFY_OK)
        status = check(&options, &lock);
    if (status != CACHIFY_OK)
        return status;
    cachify_wrapped_t *w = make(&options, &lock);
    if (w == NULL)
        return cf_report(CACHIFY_NO_MEMORY, "no memory for a wrapped function");
    w->instance = instance;
    status = cf_template_check(&w->template);
    if (status != CACHIFY_OK) {
        free(w);
        return status;
    }
    *wrapped = w;
    return CACHIFY_OK;
}

cachify_status_t cachify_wrap_free(cachify_wrapped_t *wrapped)
{
    free(wrapped);
    return CACHIFY_OK;
}

/* ---- The key ---- */

static cachify_status_t make_key(const cachify_wrapped_t *w, const cachify_arg_t *args,
                                 uint32_t count, struct cf_text *key)
{
    if (w == NULL)
        return cf_report(CACHIFY_INVALID, "wrapped is NULL");
    key->len = 0;
    key->too_long = false;
    cachify_status_t status = cf_template_fill(&w->template, args, count, key);
    if (status != CACHIFY_OK)
        return status;
    cf_text_put(key, w->once ? "-once" : "-lock", 5);
    if (key->too_long)
        return cf_report(CACHIFY_KEY_TOO_LONG,
                         "template \"%s\" makes a key of more than %u bytes of these arguments",
                         w->template.text, CF_KEY_BYTES);
    return CACHIFY_OK;
}

cachify_status_t cachify_wrap_key(const cachify_wrapped_t *wrapped, const cachify_arg_t *args,
                                  uint32_t count, char *to, size_t *room)
{
    struct cf_text key;
    if (room == NULL || (to == NULL && *room > 0))
        return cf_report(CACHIFY_INVALID, "%s is NULL", room == NULL ? "room" : "key");
    cachify_status_t status = make_key(wrapped, args, count, &key);
    if (status != CACHIFY_OK)
        return status;
    if (key.len >= *room)
        return cf_report(CACHIFY_INVALID, "a key of %zu bytes and a NUL does not fit %zu", key.len,
                         *room);
    memcpy(to, key.bytes, key.len + 1);
    *room = key.len;
    return CACHIFY_OK;
}

cachify_status_t cachify_wrap_is_locked(const cachify_wrapped_t *wrapped, const cachify_arg_t *args,
                                        uint32_t count, bool *locked)
{
    struct cf_text key;
    cachify_status_t status = make_key(wrapped, args, count, &key);
    return status == CACHIFY_OK ? cachify_is_locked(wrapped->instance, key.bytes, locked) : status;
}

cachify_status_t cachify_wrap_release(const cachify_wrapped_t *wrapped, const cachify_arg_t *args,
                                      uint32_t count)
{
    struct cf_text key;
    cachify_status_t status = make_key(wrapped, args, count, &key);
    return status == CACHIFY_OK ? cachify_release_key(wrapped->instance, key.bytes) : status;
}

/* ---- Calls ---- */

/* A call that has its lock, in this thread's list.  Not in the frame of the call, which longjmp
 * may leave. */
struct running {
    struct running *next, **at;
    uint64_t number; /* of this thread, from 1 */
    cachify_lease_t lease;
};

static _Thread_local struct {
    struct running *first;
    uint64_t last_number;
} calls CF_FAST_TLS;

static cachify_status_t begin(const cachify_wrapped_t *w, const struct cf_text *key,
                              struct running **running)
{
    cachify_lock_t lock = w->lock;
    lock.key = key->bytes;
    lock.key_len = 0;
    struct running *r = malloc(sizeof *r);
    if (r == NULL)
        return cf_report(CACHIFY_NO_MEMORY, "no memory for the call of a wrapped function");
    cachify_status_t status = cachify_acquire(w->instance, &lock, &r->lease);
    if (status != CACHIFY_OK) {
        free(r);
        return status;
    }
    r->number = ++calls.last_number;
    r->at = &calls.first;
    r->next = calls.first;
    if (r->next != NULL)
        r->next->at = &r->next;
    calls.first = r;
    *running = r;
    return CACHIFY_OK;
}

/* OK, or LOST: whatever kept the lease from being given back, it was not held to the end. */
static cachify_status_t end(struct running *r)
{
    *r->at = r->next;
    if (r->next != NULL)
        r->next->at = r->at;
    cachify_status_t status = cachify_release(&r->lease);
    free(r);
    return status == CACHIFY_OK ? CACHIFY_OK : CACHIFY_LOST;
}

/* The call's frame is left by an exception, or the end of its thread. */
static void leave(void *running)
{
    end(running);
}

static cachify_status_t busy(const cachify_wrapped_t *w, cachify_status_t status, void *result)
{
    if ((status != CACHIFY_LOCKED && status != CACHIFY_TIMEOUT) || w->result_if_locked == NULL)
        return status;
    if (result != NULL)
        memcpy(result, w->result_if_locked, w->result_size);
    return CACHIFY_OK;
}

cachify_status_t cachify_wrap_call(const cachify_wrapped_t *wrapped, const cachify_arg_t *args,
                                   uint32_t count, void *result)
{
    struct cf_text key;
    struct running *running;
    cachify_status_t status = make_key(wrapped, args, count, &key);
    if (status != CACHIFY_OK)
        return status;
    status = begin(wrapped, &key, &running);
    if (status != CACHIFY_OK)
        return busy(wrapped, status, result);
    /* With -fexceptions it is run for exceptions, too (glibc). */
    pthread_cleanup_push(leave, running);
    wrapped->function(&(cachify_call_t){.args = args,
                                        .count = count,
                                        .lease = &running->lease,
                                        .context = wrapped->context,
                                        .result = result});
    pthread_cleanup_pop(0);
    return end(running);
}

uint64_t cachify_wrap_mark(void)
{
    return calls.last_number;
}

cachify_status_t cachify_wrap_unwind(uint64_t mark)
{
    cachify_status_t status = CACHIFY_OK;
    while (calls.first != NULL && calls.first->number > mark)
        if (end(calls.first) != CACHIFY_OK)
            status = CACHIFY_LOST;
    return status;
}

/* ---- Arguments ---- */

cachify_arg_t cachify_string(const char *s)
{
    return (cachify_arg_t){.type = CACHIFY_ARG_STRING, .as.s = s};
}

cachify_arg_t cachify_int(int64_t i)
{
    return (cachify_arg_t){.type = CACHIFY_ARG_INT, .as.i = i};
}

cachify_arg_t cachify_uint(uint64_t u)
{
    return (cachify_arg_t){.type = CACHIFY_ARG_UINT, .as.u = u};
}

cachify_arg_t cachify_double(double d)
{
    return (cachify_arg_t){.type = CACHIFY_ARG_DOUBLE, .as.d = d};
}

cachify_arg_t cachify_bool(bool b)
{
    return (cachify_arg_t){.type = CACHIFY_ARG_BOOL, .as.b = b};
}
