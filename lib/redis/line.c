#include "redis/line.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "redis/redis.h"

#define STACK (UINT64_C(256) * 1024)

/* ---- Its life ---- */

bool cr_line_init(struct cr_line *line)
{
    memset(line, 0, sizeof *line);
    line->conn.fd = -1;
    line->bell = -1;
    return pthread_mutex_init(&line->lock, NULL) == 0;
}

static void close_bell(struct cr_line *line)
{
    int bell = atomic_exchange(&line->bell, -1);
    if (bell >= 0)
        close(bell);
}

void cr_line_abandon(struct cr_line *line)
{
    close_bell(line);
    cr_conn_abandon(&line->conn);
}

static void strike(struct cr_line *line)
{
    uint64_t one = 1;
    if (write(line->bell, &one, sizeof one) < 0)
        return; /* it is struck already */
}

void cr_line_free(struct cr_line *line)
{
    pthread_mutex_lock(&line->lock);
    bool started = line->started;
    line->stop = true;
    if (started)
        strike(line);
    pthread_mutex_unlock(&line->lock);
    if (started)
        pthread_join(line->thread, NULL);
    cr_conn_close(&line->conn);
    close_bell(line);
}

/* With all signals blocked, so that the program's handlers never run there. */
static bool start(struct cr_line *line, struct cr_client *c)
{
    sigset_t all, old;
    pthread_attr_t attributes;
    line->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (line->bell < 0)
        return false;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    int error = pthread_create(&line->thread, &attributes, cr_listener, c);
    pthread_attr_destroy(&attributes);
    if (error != 0) /* a program with much thread-local memory needs more stack than that */
        error = pthread_create(&line->thread, NULL, cr_listener, c);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error == 0)
        pthread_setname_np(line->thread, "cachify-redis");
    else
        close_bell(line);
    return error == 0;
}

/* Without a thread nobody is called: who waits looks at the poll interval. */
void cr_line_ring(struct cr_client *c, bool listen)
{
    struct cr_line *line = &c->line;
    pthread_mutex_lock(&line->lock);
    bool news = !listen || !line->listen;
    line->listen = line->listen || listen;
    if (!line->started)
        line->started = start(line, c);
    else if (news)
        strike(line);
    pthread_mutex_unlock(&line->lock);
}

/* ---- Waiters ---- */

bool cr_waiter_init(struct cr_waiter *w)
{
    pthread_condattr_t attributes;
    *w = (struct cr_waiter){.timer = -1};
    if (pthread_condattr_init(&attributes) != 0)
        return false;
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    bool ok = pthread_cond_init(&w->called, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    return ok;
}

void cr_waiter_free(struct cr_waiter *w)
{
    if (w == NULL)
        return;
    pthread_cond_destroy(&w->called);
    free(w);
}

static struct cr_waiter **bucket_of(struct cr_line *line, uint64_t number)
{
    return &line->bucket[number % CR_LINE_BUCKETS];
}

void cr_line_enter(struct cr_client *c, struct cr_waiter *w, uint32_t thread_id, int timer)
{
    struct cr_line *line = &c->line;
    pthread_mutex_lock(&line->lock);
    w->number = ++line->numbers;
    w->timer = timer;
    w->woken = w->failed = false;
    w->epoch = 0;
    w->arrival[0] = '\0';
    w->member_len = (size_t)snprintf(
        w->member, sizeof w->member,
        "%016" PRIx64 "%016" PRIx64 ":%016" PRIx64 " %" PRId64 " %u %s %s %s", c->id[0], c->id[1],
        w->number, c->pid, thread_id, timer >= 0 ? "loop" : "thread", c->host, c->command);
    struct cr_waiter **at = bucket_of(line, w->number);
    w->next = *at;
    *at = w;
    pthread_mutex_unlock(&line->lock);
    cr_line_ring(c, true);
}

void cr_line_leave(struct cr_line *line, struct cr_waiter *w)
{
    pthread_mutex_lock(&line->lock);
    struct cr_waiter **at = bucket_of(line, w->number);
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    w->number = 0;
    pthread_mutex_unlock(&line->lock);
}

uint64_t cr_line_arm(struct cr_line *line, struct cr_waiter *w)
{
    pthread_mutex_lock(&line->lock);
    w->woken = false;
    uint64_t epoch = line->epoch;
    pthread_mutex_unlock(&line->lock);
    return epoch;
}

void cr_line_note_busy(struct cr_line *line, struct cr_waiter *w, uint64_t epoch, int64_t left_ms,
                       const char *arrival)
{
    pthread_mutex_lock(&line->lock);
    w->epoch = epoch;
    w->held_until =
        left_ms < 0 ? UINT64_MAX : cr_now_ns() + ((uint64_t)left_ms + 1) * CR_MS; /* it rounds */
    if (epoch != 0)
        snprintf(w->arrival, sizeof w->arrival, "%s", arrival);
    pthread_mutex_unlock(&line->lock);
}

/* The server could call it, but does not know of it. */
static bool is_out(const struct cr_line *line, const struct cr_waiter *w)
{
    return line->epoch != 0 && w->epoch != line->epoch;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void cr_line_sleep(struct cr_line *line, struct cr_waiter *w, uint64_t until)
{
    pthread_mutex_lock(&line->lock);
    until = sooner(until, w->held_until);
    struct timespec at = {.tv_sec = (time_t)(until / 1000000000),
                          .tv_nsec = (long)(until % 1000000000)};
    while (!w->woken && !is_out(line, w) && cr_now_ns() < until)
        pthread_cond_timedwait(&w->called, &line->lock, &at);
    pthread_mutex_unlock(&line->lock);
}

/* 0 would disarm it: now. */
static void set_timer(int timer, uint64_t at)
{
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(at / 1000000000), .tv_nsec = (long)(at % 1000000000)}};
    if (at == 0)
        when.it_value.tv_nsec = 1;
    timerfd_settime(timer, at == 0 ? 0 : TFD_TIMER_ABSTIME, &when, NULL);
}

void cr_line_set_timer(struct cr_line *line, struct cr_waiter *w, uint64_t until)
{
    pthread_mutex_lock(&line->lock);
    bool now = w->woken || is_out(line, w);
    set_timer(w->timer, now ? 0 : sooner(until, w->held_until));
    pthread_mutex_unlock(&line->lock);
}

/* ---- Calling ---- */

static void call(struct cr_waiter *w)
{
    w->woken = true;
    if (w->timer >= 0)
        set_timer(w->timer, 0);
    else
        pthread_cond_signal(&w->called);
}

bool cr_line_call(struct cr_line *line, uint64_t number)
{
    bool found = false;
    pthread_mutex_lock(&line->lock);
    for (struct cr_waiter *w = *bucket_of(line, number); w != NULL; w = w->next) {
        if (w->number == number) {
            call(w);
            found = true;
        }
    }
    pthread_mutex_unlock(&line->lock);
    return found;
}

void cr_line_call_all(struct cr_line *line)
{
    pthread_mutex_lock(&line->lock);
    for (unsigned i = 0; i < CR_LINE_BUCKETS; i++)
        for (struct cr_waiter *w = line->bucket[i]; w != NULL; w = w->next)
            call(w);
    pthread_mutex_unlock(&line->lock);
}
