#include "redis/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 3u

/* ---- Putting it together ---- */

void cr_call_add(struct cr_call *call, const void *bytes, size_t len)
{
    call->arg[call->n++] = (struct cr_arg){bytes, len};
}

void cr_call_text(struct cr_call *call, const char *text)
{
    cr_call_add(call, text, strlen(text));
}

void cr_call_again(struct cr_call *call)
{
    cr_call_add(call, call->again, 1);
}

static void begin(struct cr_call *call, enum cr_script script)
{
    call->script = script;
    call->n = 0;
    call->sent = 0;
    call->unsure = false;
    memcpy(call->again, "0", 2);
}

/* The script's name is filled in when it is known. */
void cr_call_script(struct cr_call *call, enum cr_script script, unsigned keys)
{
    begin(call, script);
    snprintf(call->keys, sizeof call->keys, "%u", keys % 100);
    cr_call_text(call, "EVALSHA");
    cr_call_add(call, NULL, 0);
    cr_call_text(call, call->keys);
}

void cr_call_command(struct cr_call *call, const char *command)
{
    begin(call, CR_SCRIPT_COUNT);
    cr_call_text(call, command);
}

/* ---- Scripts ---- */

static bool is_known(struct cr_scripts *scripts, struct cr_call *call)
{
    pthread_mutex_lock(&scripts->lock);
    bool known = scripts->name[call->script][0] != '\0';
    pthread_mutex_unlock(&scripts->lock);
    if (known)
        call->arg[1] = (struct cr_arg){scripts->name[call->script], 40};
    return known;
}

static bool keep_name(struct cr_scripts *scripts, enum cr_script script, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_STRING || reply->len != 40)
        return false;
    pthread_mutex_lock(&scripts->lock);
    if (scripts->name[script][0] == '\0')
        memcpy(scripts->name[script], reply->str, 41);
    pthread_mutex_unlock(&scripts->lock);
    return true;
}

/* 1; 0: refused, and why; -1: the connection broke, and why. */
static int load(struct cr_pool *pool, struct cr_scripts *scripts, struct cr_conn *c,
                struct cr_call *call, uint64_t until, struct cr_failure *f)
{
    const struct cr_arg args[] = {CR_TEXT("SCRIPT"), CR_TEXT("LOAD"),
                                  CR_TEXT(cr_script_text[call->script])};
    redisReply *reply = cr_conn_ask(c, pool->settings, args, 3, until, f);
    if (reply == NULL)
        return -1;
    int loaded = keep_name(scripts, call->script, reply);
    if (loaded)
        is_known(scripts, call);
    else
        cr_refused(pool->settings, reply->type == REDIS_REPLY_ERROR ? reply->str : "no script", f);
    freeReplyObject(reply);
    return loaded;
}

static bool is_unknown_script(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "NOSCRIPT", 8) == 0;
}

/* ---- Asking ---- */

/* It is not known whether it was done until there is an answer. */
static redisReply *ask(struct cr_pool *pool, struct cr_conn *c, struct cr_call *call,
                       uint64_t until, struct cr_failure *f)
{
    bool unsure = call->unsure;
    call->latest = cr_lease_now_ns();
    if (call->sent++ == 0)
        call->first = call->latest;
    call->unsure = true;
    redisReply *reply = cr_conn_ask(c, pool->settings, call->arg, call->n, until, f);
    if (reply != NULL)
        call->unsure = unsure;
    return reply;
}

/* The answer, which may be an error; NULL, and *broken says whether the connection is. */
static redisReply *attempt(struct cr_pool *pool, struct cr_scripts *scripts, struct cr_conn *c,
                           struct cr_call *call, uint64_t until, bool *broken, struct cr_failure *f)
{
    int loaded = 1;
    *broken = false;
    if (call->script != CR_SCRIPT_COUNT && !is_known(scripts, call))
        loaded = load(pool, scripts, c, call, until, f);
    redisReply *reply = loaded == 1 ? ask(pool, c, call, until, f) : NULL;
    if (reply != NULL && is_unknown_script(reply)) { /* a server that was restarted, or flushed */
        freeReplyObject(reply);
        loaded = load(pool, scripts, c, call, until, f);
        reply = loaded == 1 ? ask(pool, c, call, until, f) : NULL;
    }
    *broken = reply == NULL && loaded != 0;
    return reply;
}

static redisReply *judge(const struct cr_settings *s, redisReply *reply, int type,
                         struct cr_failure *f)
{
    if (reply->type == type || (type == REDIS_REPLY_STRING && reply->type == REDIS_REPLY_NIL))
        return reply;
    if (reply->type == REDIS_REPLY_ERROR)
        cr_refused(s, reply->str, f);
    else
        cr_fail(f, CACHIFY_CORRUPT, "the server at %s gave an answer of type %d; expected %d",
                s->address, reply->type, type);
    freeReplyObject(reply);
    return NULL;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

redisReply *cr_call_run(struct cr_pool *pool, struct cr_scripts *scripts, struct cr_call *call,
                        int type, struct cr_failure *f)
{
    const struct cr_settings *s = pool->settings;
    uint64_t until = cr_now_ns() + s->connect_ns + s->command_ns;
    for (unsigned tries = 0; tries < TRIES; tries++) {
        bool broken;
        struct cr_conn *c = cr_pool_take(pool, until, tries > 0, f);
        if (c == NULL)
            return NULL;
        uint64_t patience = earlier(until, cr_now_ns() + s->command_ns);
        redisReply *reply = attempt(pool, scripts, c, call, patience, &broken, f);
        if (broken)
            cr_pool_drop(pool, c);
        else
            cr_pool_give(pool, c);
        if (reply != NULL)
            return judge(s, reply, type, f);
        if (!broken || cr_now_ns() >= patience)
            return NULL;
        if (call->unsure)
            call->again[0] = '1';
    }
    return NULL;
}
