/* The signals that are passed on, and what the command inherits of those that are not. */
#ifndef CACHIFY_TOOLS_LOCK_SIGNALS_H
#define CACHIFY_TOOLS_LOCK_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

#define SIGNALS_CHANGED 4

/* As they were when the program was started. */
struct signals {
    sigset_t mask;
    struct sigaction changed[SIGNALS_CHANGED];
};

/* From now on those that are passed on, and SIGCHLD, are read and not delivered. */
void signals_begin(struct signals *was);

/* In the command: all as it was. */
void signals_end(const struct signals *was);

/* Those that signals_begin blocked. */
sigset_t signals_read(void);

/* Whether who started this program had it ignored, as nohup does. */
bool signals_ignored(int number);

/* End or stop this process by a signal, as if it were not read. */
void signals_obey(int number);

#endif
