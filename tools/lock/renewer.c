#include "renewer.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "say.h"

#define OFTEN_MS 2000 /* a lock that was taken away by key is noticed by the renewal only */
#define SETTLE_MS 50  /* from the server's word until it is noted */
#define AGAIN_MS 100  /* after a failure; while it is away the client asks the server more rarely */

/* Often enough that several may fail before the last third of the lease. */
static int pause_ms(const struct renewer *r, bool failed)
{
    int64_t sixth = r->options->exp_ms / 6;
    int64_t pause = sixth < OFTEN_MS ? sixth : OFTEN_MS;
    return (int)(failed && pause > AGAIN_MS ? AGAIN_MS : pause);
}

static void note(struct renewer *r, cachify_status_t status)
{
    bool failed_before = r->why[0] != '\0';
    pthread_mutex_lock(&r->lock);
    r->lost = status == CACHIFY_LOST;
    r->why[0] = '\0';
    if (status != CACHIFY_OK)
        snprintf(r->why, sizeof r->why, "%s", cachify_last_error());
    pthread_mutex_unlock(&r->lock);
    if (r->options->verbose && !r->lost && failed_before != (status != CACHIFY_OK))
        say("the lock \"%s\" %s%s", r->options->key,
            status != CACHIFY_OK ? "could not be renewed, and is tried again: "
                                 : "is renewed again",
            r->why);
}

static void *renew(void *argument)
{
    struct renewer *r = argument;
    struct pollfd on = {.fd = r->end, .events = POLLIN};
    cachify_status_t status = CACHIFY_OK;
    while (status != CACHIFY_LOST && poll(&on, 1, pause_ms(r, status != CACHIFY_OK)) < 1) {
        r->asking = true;
        status = cachify_extend(r->lease, r->options->exp_ms);
        note(r, status);
        r->asking = false;
    }
    return NULL;
}

bool renewer_start(struct renewer *r, const struct options *options, cachify_lease_t *lease)
{
    *r = (struct renewer){.options = options, .lease = lease};
    r->end = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r->end < 0)
        return false;
    int error = pthread_mutex_init(&r->lock, NULL);
    if (error == 0)
        error = pthread_create(&r->thread, NULL, renew, r);
    errno = error;
    return error == 0;
}

bool renewer_lost(struct renewer *r, char why[WHY_ROOM])
{
    pthread_mutex_lock(&r->lock);
    bool lost = r->lost;
    memcpy(why, r->why, sizeof r->why);
    pthread_mutex_unlock(&r->lock);
    return lost;
}

void renewer_settle(const struct renewer *r)
{
    for (int ms = 0; ms < SETTLE_MS && r->asking; ms++)
        poll(NULL, 0, 1);
}

void renewer_stop(struct renewer *r)
{
    uint64_t one = 1;
    if (write(r->end, &one, sizeof one) < 0)
        return; /* it was told so before */
}

void renewer_join(struct renewer *r)
{
    renewer_stop(r);
    pthread_join(r->thread, NULL);
    close(r->end);
}
