#include "pending.h"

#include <dirent.h>
#include <poll.h>
#include <sys/resource.h>

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

bool attendant_sleeps(void)
{
    const struct cf_process *p = &here.m->process_at[cf_owner_entry(cf_self(here.m))];
    return (cf_load_relaxed(&p->bell) & CF_BELL_ASLEEP) != 0;
}

bool has_thread(const char *name)
{
    bool found = false;
    DIR *directory = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(directory);
    for (struct dirent *entry; !found && (entry = readdir(directory)) != NULL;) {
        char path[300], line[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "r");
        if (file == NULL)
            continue; /* "..", or it has ended */
        if (fgets(line, sizeof line, file) != NULL)
            line[strcspn(line, "\n")] = '\0';
        found = strcmp(line, name) == 0;
        fclose(file);
    }
    closedir(directory);
    return found;
}

void await_watch(void)
{
    EVENTUALLY(has_thread("cachify-watch"), LONG_MS);
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
