/* What users would pick instead: a robust process-shared mutex, flock on an open file. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static pthread_mutex_t *mutex;
static char flock_path[64];
static int flock_fd = -1;

static void mutex_take(void)
{
    if (pthread_mutex_lock(mutex) == EOWNERDEAD)
        pthread_mutex_consistent(mutex);
}

static void mutex_give(void)
{
    pthread_mutex_unlock(mutex);
}

/* Locks belong to open files, and a child's copy of a descriptor is the same one. */
static void flock_reopen(void)
{
    static pid_t opened_by;
    if (opened_by == getpid())
        return;
    if (flock_fd >= 0)
        close(flock_fd);
    flock_fd = open(flock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    opened_by = getpid();
}

static void flock_take(void)
{
    flock_reopen();
    flock(flock_fd, LOCK_EX);
}

static void flock_give(void)
{
    flock(flock_fd, LOCK_UN);
}

const struct lock robust_lock = {.take = mutex_take, .give = mutex_give, .hold = mutex_take};
const struct lock flock_lock = {.take = flock_take, .give = flock_give, .hold = flock_take};

void peers_open(void)
{
    pthread_mutexattr_t attributes;
    mutex = shared_make(sizeof *mutex);
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(mutex, &attributes);
    snprintf(flock_path, sizeof flock_path, "/dev/shm/cachify-bench-flock-%d", (int)getpid());
    flock_reopen();
    if (flock_fd < 0)
        fail("cannot open %s: %s", flock_path, strerror(errno));
}

void peers_close(void)
{
    if (flock_fd >= 0)
        unlink(flock_path);
}

double robust_pair(long n)
{
    uint64_t begin = now_ns();
    for (long i = 0; i < n; i++) {
        mutex_take();
        mutex_give();
    }
    return (double)(now_ns() - begin) / (double)n;
}

double flock_pair(long n)
{
    flock_reopen();
    uint64_t begin = now_ns();
    for (long i = 0; i < n; i++) {
        flock(flock_fd, LOCK_EX);
        flock(flock_fd, LOCK_UN);
    }
    return (double)(now_ns() - begin) / (double)n;
}
