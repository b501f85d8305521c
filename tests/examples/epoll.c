/* Locks in an event loop of one's own, with epoll: three orders are wanted at once, one of them
 * for half a second only, while a timer goes on ticking.  Nothing blocks but epoll_wait.
 *
 *     cc epoll.c $(pkg-config --cflags --libs cachify) && ./a.out
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cachify/cachify.h>

#define ORDERS 3

/* Something that the loop waits for. */
struct source {
    int fd;
    void (*ready)(struct source *source);
};

struct order {
    struct source source; /* first: the loop gives this back */
    const char *key;
    cachify_async_t *async; /* NULL: over */
    cachify_lease_t lease;
};

static int loop;
static unsigned open_orders;
static unsigned ticks;
static cachify_t *locks;

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, cachify_last_error());
    exit(EXIT_FAILURE);
}

static void watch(struct source *source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};
    if (epoll_ctl(loop, EPOLL_CTL_ADD, source->fd, &event) != 0)
        fail("epoll_ctl");
}

/* ---- An order ---- */

static void order_ready(struct source *source)
{
    struct order *order = (struct order *)source;
    /* Out of the loop first: finish closes the descriptor. */
    epoll_ctl(loop, EPOLL_CTL_DEL, source->fd, NULL);
    cachify_status_t status = cachify_async_finish(order->async, &order->lease);
    if (status == CACHIFY_PENDING) { /* somebody was quicker: wait on */
        watch(source);
        return;
    }
    order->async = NULL; /* whatever it is now, that is over */
    open_orders--;
    if (status == CACHIFY_TIMEOUT) {
        printf("%s: given up: %s\n", order->key, cachify_last_error());
        return;
    }
    if (status != CACHIFY_OK)
        fail(order->key);
    printf("%s: mine, token %llu\n", order->key,
           (unsigned long long)cachify_lease_token(&order->lease));
    /* ... the work, or the beginning of it ... */
    cachify_release(&order->lease);
}

static void order_begin(struct order *order, const char *key, int64_t timeout_ms)
{
    cachify_lock_t lock = {.key = key, .wait = true, .timeout_ms = timeout_ms};
    *order = (struct order){.source.ready = order_ready, .key = key};
    if (cachify_acquire_start(locks, &lock, &order->async) != CACHIFY_OK)
        fail(key);
    order->source.fd = cachify_async_fd(order->async);
    watch(&order->source);
    open_orders++;
}

/* ---- A timer, as any other source ---- */

static cachify_lease_t elsewhere[2]; /* what somebody else has at first */

static void timer_ready(struct source *source)
{
    uint64_t times;
    if (read(source->fd, &times, sizeof times) == sizeof times)
        ticks += (unsigned)times;
    if (ticks >= 5)
        cachify_release(&elsewhere[0]); /* again and again: an empty one is OK */
}

static void timer_begin(struct source *source)
{
    struct itimerspec every = {{0, 20000000}, {0, 20000000}}; /* 20 ms */
    *source = (struct source){timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), timer_ready};
    if (source->fd < 0 || timerfd_settime(source->fd, 0, &every, NULL) != 0)
        fail("timerfd");
    watch(source);
}

/* ---- The loop ---- */

int main(void)
{
    static struct order order[ORDERS];
    struct source timer;
    char name[64];
    snprintf(name, sizeof name, "cachify-example-epoll.%d", (int)getpid());
    cachify_config_t config = {.name = name, .max_locks = 64};
    loop = epoll_create1(EPOLL_CLOEXEC);
    if (loop < 0 || cachify_open(&config, &locks) != CACHIFY_OK)
        fail("open");
    cachify_acquire(locks, &(cachify_lock_t){.key = "order 1"}, &elsewhere[0]);
    cachify_acquire(locks, &(cachify_lock_t){.key = "order 2"}, &elsewhere[1]);

    timer_begin(&timer);
    order_begin(&order[0], "order 0", 0); /* free: ready at once */
    order_begin(&order[1], "order 1", 0); /* comes free after some ticks */
    order_begin(&order[2], "order 2", 500);
    while (open_orders > 0) {
        struct epoll_event event;
        if (epoll_wait(loop, &event, 1, -1) == 1) {
            struct source *source = event.data.ptr;
            source->ready(source);
        }
    }
    printf("the timer went on: %s\n", ticks > 5 ? "yes" : "no");

    close(timer.fd);
    close(loop);
    cachify_release(&elsewhere[1]);
    cachify_close(locks);
    snprintf(name, sizeof name, "/dev/shm/cachify-example-epoll.%d", (int)getpid());
    unlink(name); /* this was but an example; a segment that is used stays */
    return EXIT_SUCCESS;
}
