/* A waiter that does not sleep for the lock but in epoll_wait, as an event loop does. */
#include "cachify_bench.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static const cachify_lock_t wanted = {.key = HOT, .wait = true};
static cachify_lease_t taken;
static int loop_fd;

static void watch(const cachify_async_t *pending)
{
    struct epoll_event readable = {.events = EPOLLIN};
    loop_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop_fd < 0 || epoll_ctl(loop_fd, EPOLL_CTL_ADD, cachify_async_fd(pending), &readable) != 0)
        fail("epoll: %s", strerror(errno));
}

static void take(void)
{
    cachify_async_t *pending;
    struct epoll_event event;
    must(cachify_acquire_start(instance, &wanted, &pending), CACHIFY_OK);
    watch(pending);
    cachify_status_t status;
    while ((status = cachify_async_finish(pending, &taken)) == CACHIFY_PENDING)
        epoll_wait(loop_fd, &event, 1, -1);
    must(status, CACHIFY_OK);
}

static void give(void)
{
    must(cachify_release(&taken), CACHIFY_OK);
    close(loop_fd);
}

const struct lock async_lock = {.take = take, .give = give};
