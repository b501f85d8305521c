#include "redis/system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

cachify_status_t cr_fail(struct cr_failure *f, cachify_status_t status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    // cppcheck-suppress ctuuninitvar ; it is filled here
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
    f->status = status;
    return status;
}

cachify_status_t cr_report(const struct cr_failure *f)
{
    return cachify_report(f->status, "%s", f->text);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000 * CR_MS + (uint64_t)t.tv_nsec;
}

uint64_t cr_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t cr_lease_now_ns(void)
{
    return clock_ns(CLOCK_BOOTTIME);
}

int cr_left_ms(uint64_t until)
{
    uint64_t now = cr_now_ns();
    if (until <= now)
        return 0;
    uint64_t ms = (until - now + CR_MS - 1) / CR_MS;
    return ms < 3600000 ? (int)ms : 3600000;
}

bool cr_random(uint64_t *bits, unsigned words)
{
    size_t size = words * sizeof *bits;
    ssize_t got;
    do
        got = getrandom(bits, size, 0);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)size;
}

static void make_word(char *text, size_t room)
{
    text[room - 1] = '\0';
    text[strcspn(text, "\n")] = '\0';
    for (char *c = text; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~')
            *c = '_';
    if (*text == '\0')
        memcpy(text, "-", 2);
}

void cr_command(char command[16])
{
    memset(command, 0, 16);
    int fd = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, command, 15) < 0)
            command[0] = '\0';
        close(fd);
    }
    make_word(command, 16);
}

void cr_host(char host[64])
{
    memset(host, 0, 64);
    if (gethostname(host, 63) != 0)
        host[0] = '\0';
    make_word(host, 64);
}

static _Atomic uint64_t forks;

void cr_count_fork(void)
{
    atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

struct cr_process cr_process(void)
{
    return (struct cr_process){atomic_load_explicit(&forks, memory_order_relaxed), getpid()};
}

bool cr_is_process(const struct cr_process *process)
{
    struct cr_process now = cr_process();
    return now.forks == process->forks && now.pid == process->pid;
}
