/* Pending acquisitions, for suites that are the event loop themselves. */
#ifndef CF_TESTS_PENDING_H
#define CF_TESTS_PENDING_H

#include "support.h"

/* The poll interval of the suites is 5 s: whoever is told in half of that was told. */
#define TOLD_MS 2500

/* Begun on here.cachify, waiting if need be; fails if it is refused. */
cachify_async_t *pend(const char *key, int64_t timeout_ms);

/* Whether the descriptor is readable now; whether it is within ms, which is waited for in poll(). */
bool is_readable(const cachify_async_t *async);
bool comes(const cachify_async_t *async, int64_t ms);

/* Whether this process's thread for event loops has nothing to do now. */
bool attendant_sleeps(void);

/* Whether this process has a thread of this name. */
bool has_thread(const char *name);

/* Returns when the death of whom this process's only waiter waits for is watched: the thread that
 * does it sleeps.  A process that forks while a thread starts leaves its child a checker's locks. */
void await_watch(void);
void await_watch_of(pid_t pid); /* another process's */
/* How many such threads a process has, and one of them. */
unsigned watches_of(pid_t pid, pid_t *one);

/* Processor time of this process, in microseconds. */
int64_t used_us(void);

#endif
