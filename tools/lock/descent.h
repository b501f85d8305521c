/* All that a process has started, whatever group or session it moved to. */
#ifndef CACHIFY_TOOLS_LOCK_DESCENT_H
#define CACHIFY_TOOLS_LOCK_DESCENT_H

#include <sys/types.h>

/* Send a signal to the children of this process, their children and so on; with a group: to those
 * in it.  As long as this process adopts the orphans among them (PR_SET_CHILD_SUBREAPER) all are
 * found, but for those that are made at this moment.  Without a /proc of this PID namespace it
 * does nothing. */
void descent_signal(int number, pid_t group);

#endif
