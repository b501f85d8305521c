/* Locks in a libuv loop: a uv_poll_t watches the descriptor of the acquisition.  The first is
 * waited for and had, the second is cancelled by a timer.
 *
 *     cc libuv.c $(pkg-config --cflags --libs cachify libuv) && ./a.out
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include <cachify/cachify.h>

struct job {
    uv_poll_t poll;
    const char *key;
    cachify_async_t *async; /* NULL: over */
    cachify_lease_t lease;
};

static cachify_t *locks;
static cachify_lease_t elsewhere[2]; /* what somebody else has at first */

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, cachify_last_error());
    exit(EXIT_FAILURE);
}

/* The descriptor is readable: there is something to do. */
static void job_ready(uv_poll_t *poll, int error, int events)
{
    struct job *job = poll->data;
    (void)error, (void)events;
    /* Stopped first: finish closes the descriptor. */
    uv_poll_stop(poll);
    cachify_status_t status = cachify_async_finish(job->async, &job->lease);
    if (status == CACHIFY_PENDING) { /* somebody was quicker: wait on */
        uv_poll_start(poll, UV_READABLE, job_ready);
        return;
    }
    job->async = NULL;
    uv_close((uv_handle_t *)poll, NULL);
    if (status != CACHIFY_OK)
        fail(job->key);
    printf("%s: mine, token %llu\n", job->key,
           (unsigned long long)cachify_lease_token(&job->lease));
    /* ... the work, or the beginning of it ... */
    cachify_release(&job->lease);
}

static void job_begin(uv_loop_t *loop, struct job *job, const char *key)
{
    cachify_lock_t lock = {.key = key, .wait = true};
    *job = (struct job){.key = key};
    if (cachify_acquire_start(locks, &lock, &job->async) != CACHIFY_OK)
        fail(key);
    uv_poll_init(loop, &job->poll, cachify_async_fd(job->async));
    job->poll.data = job;
    uv_poll_start(&job->poll, UV_READABLE, job_ready);
}

static void job_cancel(struct job *job)
{
    uv_poll_stop(&job->poll);
    uv_close((uv_handle_t *)&job->poll, NULL);
    cachify_async_cancel(job->async); /* given back, if it was had by now */
    job->async = NULL;
    printf("%s: cancelled\n", job->key);
}

/* ---- Timers that let the example go on ---- */

static struct job jobs[2];

static void give_back(uv_timer_t *timer)
{
    cachify_release(&elsewhere[0]);
    uv_close((uv_handle_t *)timer, NULL);
}

static void lose_interest(uv_timer_t *timer)
{
    job_cancel(&jobs[1]);
    uv_close((uv_handle_t *)timer, NULL);
}

int main(void)
{
    uv_loop_t *loop = uv_default_loop();
    uv_timer_t soon, later;
    char name[64];
    snprintf(name, sizeof name, "cachify-example-libuv.%d", (int)getpid());
    cachify_config_t config = {.name = name, .max_locks = 64};
    if (cachify_open(&config, &locks) != CACHIFY_OK)
        fail("open");
    cachify_acquire(locks, &(cachify_lock_t){.key = "job 0"}, &elsewhere[0]);
    cachify_acquire(locks, &(cachify_lock_t){.key = "job 1"}, &elsewhere[1]);

    job_begin(loop, &jobs[0], "job 0");
    job_begin(loop, &jobs[1], "job 1");
    uv_timer_init(loop, &soon);
    uv_timer_start(&soon, give_back, 50, 0);
    uv_timer_init(loop, &later);
    uv_timer_start(&later, lose_interest, 150, 0);
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);

    cachify_release(&elsewhere[1]);
    cachify_close(locks);
    snprintf(name, sizeof name, "/dev/shm/cachify-example-libuv.%d", (int)getpid());
    unlink(name); /* this was but an example; a segment that is used stays */
    return EXIT_SUCCESS;
}
