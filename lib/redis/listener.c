/* The client's own thread.  It hears the server's calls and passes them on; and it says what could
 * not be said when it should have been (orphan.c). */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "redis/redis.h"

/* After so long without a word the server is asked whether it is there. */
#define QUIET_NS (5000 * CR_MS)

struct listener {
    struct cr_client *c;
    struct cr_line *line;
    uint64_t connect_at, mend_at; /* not before */
    uint32_t connects, mends;     /* failed in a row */
    uint64_t heard;               /* when the server said something */
    uint64_t asked;               /* when it was asked to; 0: not since it was heard */
};

/* ---- Subscribing ---- */

static void set_epoch(struct cr_line *line, bool subscribed)
{
    pthread_mutex_lock(&line->lock);
    line->epoch = subscribed ? ++line->epochs : 0;
    pthread_mutex_unlock(&line->lock);
}

/* Whoever waits was not called meanwhile, or will not be from now on: let all look. */
static void change(struct listener *l, bool subscribed)
{
    set_epoch(l->line, subscribed);
    cr_line_call_all(l->line);
}

static bool subscribe(struct listener *l, struct cr_failure *f)
{
    const struct cr_settings *s = &l->c->settings;
    struct cr_conn *conn = &l->line->conn;
    char channel[64];
    snprintf(channel, sizeof channel, "cachify:wake:%016" PRIx64 "%016" PRIx64, l->c->id[0],
             l->c->id[1]);
    const struct cr_arg args[] = {CR_TEXT("SUBSCRIBE"), CR_TEXT(channel)};
    if (!cr_conn_open(conn, s, f))
        return false;
    redisReply *reply = cr_conn_ask(conn, s, args, 2, cr_now_ns() + s->command_ns, f);
    bool ok = reply != NULL && reply->type == REDIS_REPLY_ARRAY;
    if (reply != NULL)
        freeReplyObject(reply);
    if (!ok)
        cr_conn_close(conn);
    return ok;
}

static void connect_now(struct listener *l)
{
    struct cr_failure f = {0};
    uint64_t now = cr_now_ns();
    if (subscribe(l, &f)) {
        l->connects = 0;
        l->heard = cr_now_ns();
        l->asked = 0;
        change(l, true);
    } else {
        l->connect_at = now + cr_backoff_ns(l->connects++);
    }
}

static void disconnect(struct listener *l)
{
    cr_conn_close(&l->line->conn);
    l->connect_at = cr_now_ns();
    change(l, false);
}

/* ---- Hearing ---- */

static bool is_text(const redisReply *reply, const char *text)
{
    return reply->type == REDIS_REPLY_STRING && strcmp(reply->str, text) == 0;
}

/* ["message", channel, "NUMBER KEY"]; other things are answers to PING.  Who was called and does not
 * wait any more would have called the next: that is done for it. */
static void hear(struct listener *l, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
        !is_text(reply->element[0], "message") || reply->element[2]->type != REDIS_REPLY_STRING)
        return;
    const redisReply *said = reply->element[2];
    if (said->len > CR_DIGITS + 1 && !cr_line_call(l->line, strtoull(said->str, NULL, 16)))
        cr_orphan_waiter(l->c, said->str + CR_DIGITS + 1, (uint32_t)(said->len - CR_DIGITS - 1),
                         "-");
}

/* All that is there by now. */
static bool hear_all(struct listener *l)
{
    struct cr_failure f = {0};
    struct cr_conn *conn = &l->line->conn;
    do {
        redisReply *reply =
            cr_conn_reply(conn, &l->c->settings, cr_now_ns() + l->c->settings.command_ns, &f);
        if (reply == NULL)
            return false;
        hear(l, reply);
        freeReplyObject(reply);
    } while (conn->reader->pos < conn->reader->len);
    l->heard = cr_now_ns();
    l->asked = 0;
    return true;
}

/* False: it does not answer any more. */
static bool ask_for_life(struct listener *l)
{
    struct cr_failure f = {0};
    const struct cr_settings *s = &l->c->settings;
    const struct cr_arg args[] = {CR_TEXT("PING")};
    uint64_t now = cr_now_ns();
    if (l->asked != 0)
        return now - l->asked < s->command_ns;
    if (now - l->heard < QUIET_NS)
        return true;
    l->asked = now;
    return cr_conn_put(&l->line->conn, args, 1, &f) &&
           cr_conn_flush(&l->line->conn, s, now + s->command_ns, &f);
}

/* ---- All its life ---- */

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When there is something to do, if nothing happens before. */
static uint64_t next_work(const struct listener *l, bool listen)
{
    uint64_t at = UINT64_MAX;
    if (atomic_load(&l->c->has_orphans))
        at = l->mend_at;
    if (l->line->conn.fd >= 0)
        at = sooner(at, l->asked != 0 ? l->asked + l->c->settings.command_ns : l->heard + QUIET_NS);
    else if (listen)
        at = sooner(at, l->connect_at);
    return at;
}

static void sleep_until(struct listener *l, uint64_t until)
{
    uint64_t strikes;
    struct pollfd p[2] = {{.fd = l->line->bell, .events = POLLIN},
                          {.fd = l->line->conn.fd, .events = POLLIN}};
    int ready = poll(p, 2, cr_left_ms(until));
    if (ready > 0 && p[0].revents != 0 && read(p[0].fd, &strikes, sizeof strikes) < 0)
        return;
    if (ready > 0 && p[1].revents != 0 && !hear_all(l))
        disconnect(l);
}

static void mend(struct listener *l)
{
    bool all = cr_orphans_mend(l->c);
    l->mends = all ? 0 : l->mends + 1;
    l->mend_at = all ? 0 : cr_now_ns() + cr_backoff_ns(l->mends);
}

static bool goes_on(struct cr_line *line, bool *listen)
{
    pthread_mutex_lock(&line->lock);
    bool stop = line->stop;
    *listen = line->listen;
    pthread_mutex_unlock(&line->lock);
    return !stop;
}

void *cr_listener(void *client)
{
    struct listener l = {.c = client};
    bool listen;
    l.line = &l.c->line;
    while (goes_on(l.line, &listen)) {
        uint64_t now = cr_now_ns();
        if (atomic_load(&l.c->has_orphans) && now >= l.mend_at)
            mend(&l);
        if (listen && l.line->conn.fd < 0 && now >= l.connect_at)
            connect_now(&l);
        else if (l.line->conn.fd >= 0 && !ask_for_life(&l))
            disconnect(&l);
        sleep_until(&l, next_work(&l, listen));
    }
    return NULL;
}
