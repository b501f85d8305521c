/* Who waits in this process, and the thread that hears whom the server calls: begun with the first
 * who waits (or with the first thing that has to be said later), ended with the client. */
#ifndef CR_LINE_H
#define CR_LINE_H

#include "redis/conn.h"

#define CR_LINE_BUCKETS 64u
#define CR_MEMBER_MAX 224u

/* Somebody who waits.  Guarded by the line's lock; but for member, which does not change while it
 * is in line, and arrival, which only its own thread uses. */
struct cr_waiter {
    uint64_t number; /* 0: waits for nothing */
    int timer;       /* a timerfd; -1: a thread, which sleeps on called */
    bool woken;
    bool failed;         /* its last try, for another reason than that the lock was busy */
    uint64_t epoch;      /* of the line, when it was last written into the server's; 0: never */
    uint64_t held_until; /* when the holder's lease will be over, by this process's clock */
    uint64_t life_ms;    /* of the server's line after its last word */
    pthread_cond_t called;
    char member[CR_MEMBER_MAX]; /* what the server's line has of it */
    size_t member_len;
    char arrival[17]; /* its place there; "" before the first time */
    struct cr_waiter *next;
};

struct cr_line {
    pthread_mutex_t lock;
    struct cr_waiter *bucket[CR_LINE_BUCKETS];
    uint64_t numbers;
    uint64_t epoch; /* counts subscriptions; 0 while there is none: then nobody is called */
    uint64_t epochs;
    bool started, stop, listen;
    pthread_t thread;
    _Atomic int bell; /* an eventfd: there is something to do */
    struct cr_conn conn;
};

struct cr_client;

bool cr_line_init(struct cr_line *line);
/* Ends the thread, if this process has one. */
void cr_line_free(struct cr_line *line);
/* In a forked child's first moments: async-signal-safe. */
void cr_line_abandon(struct cr_line *line);

bool cr_waiter_init(struct cr_waiter *w);
void cr_waiter_free(struct cr_waiter *w);

/* In: it is called from now on.  listen: let the thread hear the server. */
void cr_line_enter(struct cr_client *c, struct cr_waiter *w, uint32_t thread_id, int timer);
void cr_line_leave(struct cr_line *line, struct cr_waiter *w);
/* Before the lock is tried: whoever calls from now on is heard.  The epoch. */
uint64_t cr_line_arm(struct cr_line *line, struct cr_waiter *w);
/* The lock was busy, and the server's line has it, if it was asked to in that epoch; for so long
 * (ms; negative: for ever) the holder's lease lasts. */
void cr_line_note_busy(struct cr_line *line, struct cr_waiter *w, uint64_t epoch, int64_t left_ms,
                       const char *arrival);
/* Sleep until called, until the holder's lease is over, or until then; not at all if it is not in
 * the server's line though it could be. */
void cr_line_sleep(struct cr_line *line, struct cr_waiter *w, uint64_t until);
/* The same for an event loop: set its timer. */
void cr_line_set_timer(struct cr_line *line, struct cr_waiter *w, uint64_t until);

/* Start the thread, or tell it that there is something to do. */
void cr_line_ring(struct cr_client *c, bool listen);

/* listener.c */
void *cr_listener(void *client);
bool cr_line_call(struct cr_line *line, uint64_t number); /* whether it waits */
void cr_line_call_all(struct cr_line *line);

#endif
