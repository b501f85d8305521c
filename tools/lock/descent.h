/* All that a process has started, whatever group or session it moved to. */
#ifndef CACHIFY_TOOLS_LOCK_DESCENT_H
#define CACHIFY_TOOLS_LOCK_DESCENT_H

#include <stdbool.h>
#include <sys/types.h>

/* Send a signal to the children of this process, their children and so on; of those only the ones
 * in a process group, or not in one (0: whatever).  As long as this process adopts the orphans among
 * them (PR_SET_CHILD_SUBREAPER) all are found, but for those that are made at this moment.  False:
 * they cannot be told, for want of memory or of a /proc of this PID namespace, and none was sent. */
bool descent_signal(int number, pid_t group, pid_t other_than_group);

#endif
