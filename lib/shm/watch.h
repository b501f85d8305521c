/* Hearing of an owner's death at once.
 *
 * A watch is a thread of this process, asleep in the kernel until it is given a read lock
 * on the byte that the owner holds (liveness.h): that is proof of the owner's death.  Then it
 * counts the owner's generation on, and calls those waiters of this process that await it.
 *
 * A process has one watch an owner, however many of its threads await that one; and as each
 * waiter awaits only who is before it in line, an owner has few watches, however many wait.
 * It lives while somebody awaits the owner, and until the end of the release that follows:
 * ending a thread costs more than handing a lock over does.  A process that waits long again
 * within a second keeps one idle for the next time, until it was not needed for a second: two
 * that take turns with long holds would each begin and end a thread a turn, and the scheduler
 * would move them to different processors meanwhile, so that each was woken with cold caches
 * (bench/README.md, handoff).
 * It is of this process only: a forked child has none and begins its own.
 */
#ifndef CF_SHM_WATCH_H
#define CF_SHM_WATCH_H

#include "shm/mapping.h"

#define CF_WATCHES 32u /* of a process; who needs more looks once a poll interval */
#define CF_WATCH_KEPT_NS (1000 * CF_MS)

struct cf_watch;

/* Any thread.  NULL: there are too many, or no thread is to be had. */
struct cf_watch *cf_watch_begin(struct cf_mapping *m, cf_owner owner);

/* NULL is fine.  The thread is ended by the next reaping. */
void cf_watch_end(struct cf_mapping *m, struct cf_watch *watch);

void cf_watch_reap_slow(struct cf_mapping *m);

/* End what nobody needs any more, but for the one that is kept. */
static inline void cf_watch_reap(struct cf_mapping *m)
{
    if (__builtin_expect(cf_load_relaxed(&m->idle_watches) != 0, 0))
        cf_watch_reap_slow(m);
}

/* Nobody waits, nor will: end all. */
void cf_watch_end_all(struct cf_mapping *m);

#endif
