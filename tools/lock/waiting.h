/* Getting the lock. */
#ifndef CACHIFY_TOOLS_LOCK_WAITING_H
#define CACHIFY_TOOLS_LOCK_WAITING_H

#include "options.h"

/* Takes the lock for this process, or ends the program: on conflict, on failure, by a signal, and
 * when the runner is no more.  signals: a signalfd; runner: as of keep(). */
void wait_for_lock(const struct options *options, cachify_t *instance, int signals, int runner,
                   cachify_lease_t *lease);

#endif
