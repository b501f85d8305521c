#include "pending.h"

#include <dirent.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shm/line.h"

cachify_async_t *pend(const char *key, int64_t timeout_ms)
{
    cachify_async_t *async = NULL;
    cachify_lock_t lock = {.key = key, .wait = true, .timeout_ms = timeout_ms};
    assert_ok(cachify_acquire_start(here.cachify, &lock, &async));
    ck_assert_ptr_nonnull(async);
    ck_assert_int_ge(cachify_async_fd(async), 0);
    return async;
}

bool comes(const cachify_async_t *async, int64_t ms)
{
    struct pollfd p = {.fd = cachify_async_fd(async), .events = POLLIN};
    return poll(&p, 1, (int)ms) == 1 && p.revents == POLLIN;
}

bool is_readable(const cachify_async_t *async)
{
    return comes(async, 0);
}

/* The first line of what the kernel says of a thread; "" if it has ended, or there is none. */
static const char *told_of(pid_t pid, const char *thread, const char *of)
{
    static char line[256];
    char path[300];
    snprintf(path, sizeof path, "/proc/%d/task/%.20s/%s", (int)pid, thread, of);
    FILE *file = fopen(path, "r");
    line[0] = '\0';
    if (file != NULL) {
        if (fgets(line, sizeof line, file) != NULL)
            line[strcspn(line, "\n")] = '\0';
        fclose(file);
    }
    return line;
}

/* Whether the thread is in this system call, as far as the kernel tells; an emulator's numbers are
 * its host's. */
static bool is_in(pid_t pid, const char *thread, long call)
{
    const char *where = told_of(pid, thread, "syscall");
#ifdef __x86_64__
    return *where == '\0' || strtol(where, NULL, 10) == call;
#else
    (void)call;
    return strcmp(where, "running") != 0;
#endif
}

/* How many threads of this name the process has that are in this system call (-1: wherever they
 * are), and one of them. */
static unsigned threads_in(pid_t pid, const char *name, long call, pid_t *one)
{
    char path[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *directory = opendir(path);
    ck_assert_ptr_nonnull(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (strcmp(told_of(pid, entry->d_name, "comm"), name) == 0 &&
            (call < 0 || is_in(pid, entry->d_name, call))) {
            *one = (pid_t)strtol(entry->d_name, NULL, 10);
            count++;
        }
    }
    closedir(directory);
    return count;
}

static bool thread_is_in(pid_t pid, const char *name, long call)
{
    pid_t one;
    return threads_in(pid, name, call, &one) > 0;
}

bool has_thread(const char *name)
{
    return thread_is_in(getpid(), name, -1);
}

bool attendant_sleeps(void)
{
    const struct cf_process *p = &here.m->process_at[cf_owner_entry(cf_self(here.m))];
    return (cf_load_relaxed(&p->bell) & CF_BELL_ASLEEP) != 0 &&
           thread_is_in(getpid(), "cachify-attend", SYS_futex);
}

unsigned watches_of(pid_t pid, pid_t *one)
{
    return threads_in(pid, "cachify-watch", -1, one);
}

void await_watch_of(pid_t pid)
{
    EVENTUALLY(thread_is_in(pid, "cachify-watch", SYS_fcntl), LONG_MS);
}

void await_watch(void)
{
    await_watch_of(getpid());
}

static int64_t us_of(struct timeval t)
{
    return (int64_t)t.tv_sec * 1000000 + t.tv_usec;
}

int64_t used_us(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return us_of(used.ru_utime) + us_of(used.ru_stime);
}
