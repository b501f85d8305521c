/* What changes something, and is done only when it is asked for by name. */
#ifndef CACHIFY_TOOLS_ACT_H
#define CACHIFY_TOOLS_ACT_H

#include "options.h"

/* Says what it did, or would do; the exit status. */
int act(const struct options *options);

#endif
