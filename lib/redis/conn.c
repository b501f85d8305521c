#include "redis/conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "redis/tls.h"

/* ---- What the server says ---- */

static const struct {
    const char *word;
    cachify_status_t status;
} refusals[] = {
    {"OOM", CACHIFY_FULL},
    {"ERR max number of clients", CACHIFY_FULL},
    {"READONLY", CACHIFY_PERMISSION},
    {"NOAUTH", CACHIFY_PERMISSION},
    {"WRONGPASS", CACHIFY_PERMISSION},
    {"NOPERM", CACHIFY_PERMISSION},
    {"DENIED", CACHIFY_PERMISSION},
    {"ERR The user executing the script", CACHIFY_PERMISSION},
    {"ERR invalid password", CACHIFY_PERMISSION},
    {"ERR AUTH", CACHIFY_PERMISSION},
    {"ERR Client sent AUTH", CACHIFY_PERMISSION},
    {"ERR invalid DB index", CACHIFY_INVALID},
    {"ERR DB index", CACHIFY_INVALID},
    {"WRONGTYPE", CACHIFY_CORRUPT},
    {"MOVED", CACHIFY_INCOMPATIBLE},
    {"ASK", CACHIFY_INCOMPATIBLE},
    {"CROSSSLOT", CACHIFY_INCOMPATIBLE},
    {"ERR unknown command", CACHIFY_INCOMPATIBLE},
};

/* A command's error within a script comes with the script's own words before it (Redis 6 and
 * earlier). */
static const char *inner(const char *words)
{
    const char *at =
        strncmp(words, "ERR Error running script", 24) == 0 ? strstr(words, ": -") : NULL;
    return at != NULL ? at + 3 : words;
}

void cr_refused(const struct cr_settings *s, const char *words, struct cr_failure *f)
{
    const char *word = inner(words);
    cachify_status_t status = CACHIFY_SYSTEM;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        if (strncmp(word, refusals[i].word, strlen(refusals[i].word)) == 0)
            status = refusals[i].status;
    cr_fail(f, status, "the server at %s refused: %s", s->address, words);
}

/* ---- Commands and replies ---- */

static bool make_room(struct cr_conn *c, size_t more)
{
    if (c->out_room - c->out_len >= more)
        return true;
    size_t room = (c->out_len + more) * 2;
    char *out = realloc(c->out, room);
    if (out == NULL)
        return false;
    c->out = out;
    c->out_room = room;
    return true;
}

/* "*3\r\n" and the like: a number takes 20 digits at most. */
#define HEAD 24

static void put_head(struct cr_conn *c, char kind, size_t n)
{
    char digits[HEAD];
    unsigned at = sizeof digits;
    digits[--at] = '\n';
    digits[--at] = '\r';
    do
        digits[--at] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    digits[--at] = kind;
    memcpy(c->out + c->out_len, digits + at, sizeof digits - at);
    c->out_len += sizeof digits - at;
}

bool cr_conn_put(struct cr_conn *c, const struct cr_arg *args, unsigned n, struct cr_failure *f)
{
    size_t need = HEAD;
    for (unsigned i = 0; i < n; i++)
        need += HEAD + args[i].len + 2;
    if (!make_room(c, need)) {
        cr_fail(f, CACHIFY_NO_MEMORY, "no memory for a command of %zu bytes", need);
        return false;
    }
    put_head(c, '*', n);
    for (unsigned i = 0; i < n; i++) {
        put_head(c, '$', args[i].len);
        if (args[i].len > 0)
            memcpy(c->out + c->out_len, args[i].bytes, args[i].len);
        memcpy(c->out + c->out_len + args[i].len, "\r\n", 2);
        c->out_len += args[i].len + 2;
    }
    return true;
}

bool cr_conn_flush(struct cr_conn *c, const struct cr_settings *s, uint64_t until,
                   struct cr_failure *f)
{
    size_t len = c->out_len;
    c->out_len = 0;
    return c->tls != NULL ? cr_tls_send(c->tls, s, c->fd, c->out, len, until, f)
                          : cr_net_send(s, c->fd, c->out, len, until, f);
}

redisReply *cr_conn_reply(struct cr_conn *c, const struct cr_settings *s, uint64_t until,
                          struct cr_failure *f)
{
    char bytes[8192];
    void *reply = NULL;
    for (;;) {
        if (redisReaderGetReply(c->reader, &reply) != REDIS_OK) {
            cr_fail(f, CACHIFY_CORRUPT, "what came from the server at %s is no answer: %s",
                    s->address, c->reader->errstr);
            return NULL;
        }
        if (reply != NULL)
            return reply;
        size_t n = c->tls != NULL ? cr_tls_receive(c->tls, s, c->fd, bytes, sizeof bytes, until, f)
                                  : cr_net_receive(s, c->fd, bytes, sizeof bytes, until, f);
        if (n == 0)
            return NULL;
        if (redisReaderFeed(c->reader, bytes, n) != REDIS_OK) {
            cr_fail(f, CACHIFY_NO_MEMORY, "no memory for an answer");
            return NULL;
        }
    }
}

redisReply *cr_conn_ask(struct cr_conn *c, const struct cr_settings *s, const struct cr_arg *args,
                        unsigned n, uint64_t until, struct cr_failure *f)
{
    return cr_conn_put(c, args, n, f) && cr_conn_flush(c, s, until, f)
               ? cr_conn_reply(c, s, until, f)
               : NULL;
}

/* ---- Its life ---- */

/* A greeting's answer has to be a word of consent. */
static bool ask_for_ok(struct cr_conn *c, const struct cr_settings *s, const struct cr_arg *args,
                       unsigned n, uint64_t until, struct cr_failure *f)
{
    redisReply *reply = cr_conn_ask(c, s, args, n, until, f);
    if (reply == NULL)
        return false;
    bool ok = reply->type != REDIS_REPLY_ERROR;
    if (!ok)
        cr_refused(s, reply->str, f);
    freeReplyObject(reply);
    return ok;
}

static bool greet(struct cr_conn *c, const struct cr_settings *s, uint64_t until,
                  struct cr_failure *f)
{
    if (s->password != NULL) {
        struct cr_arg args[3] = {CR_TEXT("AUTH")};
        unsigned n = 1;
        if (s->user != NULL)
            args[n++] = CR_TEXT(s->user);
        args[n++] = CR_TEXT(s->password);
        bool ok = ask_for_ok(c, s, args, n, until, f);
        explicit_bzero(c->out, c->out_room);
        if (!ok)
            return false;
    }
    if (s->database != 0) {
        char number[16];
        snprintf(number, sizeof number, "%u", s->database);
        struct cr_arg args[2] = {CR_TEXT("SELECT"), CR_TEXT(number)};
        return ask_for_ok(c, s, args, 2, until, f);
    }
    return true;
}

bool cr_conn_open(struct cr_conn *c, const struct cr_settings *s, struct cr_failure *f)
{
    uint64_t until = cr_now_ns() + s->connect_ns;
    cr_conn_close(c);
    c->reader = redisReaderCreate();
    if (c->reader == NULL) {
        cr_fail(f, CACHIFY_NO_MEMORY, "no memory for a connection");
        return false;
    }
    c->fd = cr_net_connect(s, until, f);
    bool ok = c->fd >= 0;
    if (ok && s->tls) {
        c->tls = cr_tls_begin(s, c->fd, until, f);
        ok = c->tls != NULL;
    }
    ok = ok && greet(c, s, until, f);
    if (!ok)
        cr_conn_close(c);
    return ok;
}

/* The descriptor is forgotten before it is closed: a child made in between leaks its copy, and
 * does not close another's. */
static void close_descriptor(struct cr_conn *c)
{
    int fd = atomic_exchange(&c->fd, -1);
    if (fd >= 0)
        close(fd);
}

void cr_conn_close(struct cr_conn *c)
{
    close_descriptor(c);
    cr_tls_end(c->tls);
    c->tls = NULL;
    if (c->reader != NULL)
        redisReaderFree(c->reader);
    c->reader = NULL;
    free(c->out);
    c->out = NULL;
    c->out_len = c->out_room = 0;
}

void cr_conn_abandon(struct cr_conn *c)
{
    close_descriptor(c);
}
