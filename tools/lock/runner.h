/* The process that was started: it passes signals on to the keeper, and ends the command when
 * the keeper is killed. */
#ifndef CACHIFY_TOOLS_LOCK_RUNNER_H
#define CACHIFY_TOOLS_LOCK_RUNNER_H

#include "options.h"

/* The status to end with. */
int run(const struct options *options);

#endif
