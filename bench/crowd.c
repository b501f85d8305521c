/* A segment with so many registered processes, and what opening it takes then. */
#include "cachify_bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[128];
static pid_t *crowd;
static _Atomic int *ready;

static void be_there(void *with)
{
    cachify_t *mine;
    cachify_config_t config = {.path = path};
    (void)with;
    must(cachify_open(&config, &mine), CACHIFY_OK);
    ++*ready;
    for (;;)
        pause();
}

/* One after the other: that all come at once is no case here. */
const char *crowd_open(long count)
{
    snprintf(path, sizeof path, "%s/crowd", room_path());
    ready = shared_make(sizeof *ready);
    crowd = calloc((size_t)count, sizeof *crowd);
    if (crowd == NULL)
        return strerror(errno);
    for (long i = 0; i < count; i++) {
        crowd[i] = child_start(be_there, NULL);
        await(ready, (int)i + 1);
    }
    return NULL;
}

void crowd_close(long count)
{
    for (long i = 0; crowd != NULL && i < count; i++)
        child_kill(crowd[i]);
    for (long i = 0; crowd != NULL && i < count; i++)
        child_reap(crowd[i]);
    free(crowd);
    crowd = NULL;
    shared_end((void *)ready, sizeof *ready);
    unlink(path);
}

/* Microseconds of the opening alone. */
double register_loop(long n)
{
    cachify_config_t config = {.path = path};
    uint64_t ns = 0;
    for (long i = 0; i < n; i++) {
        cachify_t *opened;
        uint64_t begin = now_ns();
        must(cachify_open(&config, &opened), CACHIFY_OK);
        ns += now_ns() - begin;
        must(cachify_close(opened), CACHIFY_OK);
    }
    return (double)ns / 1e3 / (double)n;
}
