/* What the engine asks of the system: clocks, futexes, identity.  Linux. */
#ifndef CF_GROUND_OS_H
#define CF_GROUND_OS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define CF_MS UINT64_C(1000000)
#define CF_SECOND UINT64_C(1000000000)

static inline uint64_t cf_clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * CF_SECOND + (uint64_t)t.tv_nsec;
}

/* This process's monotonic clock.  The coarse one is a few ns to read and behind by up
 * to a timer tick (8 ms seen idle, 19 ms under load). */
static inline uint64_t cf_monotonic_ns(void)
{
    return cf_clock_ns(CLOCK_MONOTONIC);
}

static inline uint64_t cf_monotonic_coarse_ns(void)
{
    return cf_clock_ns(CLOCK_MONOTONIC_COARSE);
}

static inline uint64_t cf_realtime_ns(void)
{
    return cf_clock_ns(CLOCK_REALTIME);
}

/* Sleep while *word == expected, for at most ns.  True if woken by cf_futex_wake.  The futex
 * is shared between processes.  Where the kernel refuses futexes it sleeps for ns (a poll
 * interval at most, by its callers). */
bool cf_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t ns);

/* Wake at most count waiters; how many it were. */
int cf_futex_wake(_Atomic uint32_t *word, int count);

/* Once the kernel has refused a futex.  The C library's own threads may not live then: they
 * are not begun, for it ends the process where it cannot join them. */
extern _Atomic bool cf_futexes_refused;

/* Sleep for ns or until a signal. */
void cf_nanosleep(uint64_t ns);

/* open(2), but never 0, 1 or 2, where a program that has closed one of these finds its standard
 * output: what it prints would come to lie in the file.  mode is used with O_CREAT. */
int cf_open(const char *path, int flags, unsigned mode);

/* A descriptor that polls readable from a time on (timerfd); -1 with errno.  It is set to an
 * absolute time of the monotonic clock, UINT64_MAX for never; or made readable at once. */
int cf_timer_open(void);
void cf_timer_set(int timer, uint64_t at);
void cf_timer_now(int timer);

/* This boot's identity; all zero where /proc does not tell.  */
void cf_boot_id(uint8_t id[16]);

/* How far this process's monotonic clock is ahead of the host's, by its time namespace.
 * False if it is in one whose offset cannot be told.  *inode: the namespace's, 0 unknown. */
bool cf_time_namespace(int64_t *offset_ns, uint64_t *inode);

/* Inode number of this process's PID namespace, 0 unknown. */
uint64_t cf_pid_namespace(void);

/* How many processors this thread may run on; 1 where that is not told. */
uint32_t cf_processors(void);

/* This thread's id in the kernel. */
uint32_t cf_thread_id(void);

/* The name of this process's main thread, NUL-padded to 16 bytes. */
void cf_command(char command[16]);

/* Random bits, not for secrets worth money: unpredictable from outside. */
uint64_t cf_random(void);

#endif
