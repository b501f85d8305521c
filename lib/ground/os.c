#include "ground/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#ifndef SYS_futex /* 32-bit machines with 64-bit time only */
#define SYS_futex SYS_futex_time64
#endif

_Atomic bool cf_futexes_refused;

void cf_nanosleep(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / CF_SECOND), (long)(ns % CF_SECOND)};
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state); /* callers have things to give back */
    nanosleep(&t, NULL);
    pthread_setcancelstate(state, NULL);
}

bool cf_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t ns)
{
    /* The kernel takes FUTEX_WAIT_BITSET's time as absolute, on the monotonic clock. */
    uint64_t until = cf_monotonic_ns() + ns;
    struct timespec t = {(time_t)(until / CF_SECOND), (long)(until % CF_SECOND)};
    if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, &t, NULL, FUTEX_BITSET_MATCH_ANY) ==
        0)
        return true;
    if (errno == ENOSYS || errno == EPERM || errno == EACCES) {
        atomic_store_explicit(&cf_futexes_refused, true, memory_order_relaxed);
        cf_nanosleep(ns);
    }
    return false;
}

int cf_futex_wake(_Atomic uint32_t *word, int count)
{
    long woken = syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
    return woken > 0 ? (int)woken : 0;
}

/* The same descriptor, or another of it where it is one of the three standard ones. */
static int off_stdio(int fd)
{
    if (fd < 0 || fd > 2)
        return fd;
    int other = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int saved = errno;
    close(fd);
    errno = saved;
    return other;
}

int cf_open(const char *path, int flags, unsigned mode)
{
    return off_stdio(open(path, flags, mode));
}

int cf_timer_open(void)
{
    return off_stdio(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
}

void cf_timer_set(int timer, uint64_t at)
{
    struct itimerspec t = {0};
    if (at != UINT64_MAX)
        t.it_value = (struct timespec){(time_t)(at / CF_SECOND), (long)(at % CF_SECOND)};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &t, NULL);
}

void cf_timer_now(int timer)
{
    struct itimerspec t = {.it_value = {0, 1}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &t, NULL);
}

static ssize_t read_file(const char *path, char *buffer, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, buffer, room - 1);
    close(fd);
    buffer[n > 0 ? n : 0] = '\0';
    return n;
}

void cf_boot_id(uint8_t id[16])
{
    char text[64];
    memset(id, 0, 16);
    if (read_file("/proc/sys/kernel/random/boot_id", text, sizeof text) <= 0)
        return;
    unsigned digits = 0;
    for (const char *c = text; *c != '\0' && digits < 32; c++) {
        const char *hex = "0123456789abcdef";
        const char *d = strchr(hex, *c);
        if (d == NULL)
            continue; /* a dash */
        unsigned shift = digits % 2 == 0 ? 4 : 0;
        id[digits / 2] = (uint8_t)(id[digits / 2] | (unsigned)(d - hex) << shift);
        digits++;
    }
}

static uint64_t namespace_inode(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

uint64_t cf_pid_namespace(void)
{
    return namespace_inode("/proc/self/ns/pid");
}

/* time_namespaces(7): /proc/PID/timens_offsets tells the offsets of the namespace that
 * children will be in, which is the process's own unless it has called unshare. */
bool cf_time_namespace(int64_t *offset_ns, uint64_t *inode)
{
    const uint64_t initial = 0xEFFFFFFA; /* PROC_TIME_INIT_INO */
    char text[256];
    *offset_ns = 0;
    *inode = namespace_inode("/proc/self/ns/time");
    if (*inode == 0 || *inode == initial)
        return true; /* a kernel without time namespaces, or the host's own */
    if (*inode != namespace_inode("/proc/self/ns/time_for_children"))
        return false;
    if (read_file("/proc/self/timens_offsets", text, sizeof text) <= 0)
        return false;
    const char *line = strstr(text, "monotonic");
    if (line == NULL)
        return false;
    char *end;
    long long seconds = strtoll(line + strlen("monotonic"), &end, 10);
    long long nanoseconds = strtoll(end, NULL, 10);
    *offset_ns = (int64_t)seconds * (int64_t)CF_SECOND + nanoseconds;
    return true;
}

uint32_t cf_processors(void)
{
    cpu_set_t may;
    if (sched_getaffinity(0, sizeof may, &may) != 0)
        return 1; /* or more of them than the set has room for: spinning is not needed then */
    return (uint32_t)CPU_COUNT(&may);
}

uint32_t cf_thread_id(void)
{
    return (uint32_t)syscall(SYS_gettid);
}

void cf_command(char command[16])
{
    memset(command, 0, 16);
    if (read_file("/proc/self/comm", command, 16) > 0)
        command[strcspn(command, "\n")] = '\0';
    else
        prctl(PR_GET_NAME, command);
}

uint64_t cf_random(void)
{
    uint64_t bits;
    if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) == sizeof bits)
        return bits;
    /* No entropy this early in a boot, or no such call: time and place must do. */
    static _Atomic uint64_t count;
    bits = cf_realtime_ns() ^ (uint64_t)(uintptr_t)&bits ^ (uint64_t)getpid() << 32;
    bits += atomic_fetch_add(&count, 1) * UINT64_C(0x9E3779B97F4A7C15);
    bits = (bits ^ bits >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    return bits ^ bits >> 31;
}
