/* --watch: the view again and again, in place on a terminal, as plain lines elsewhere. */
#ifndef CACHIFY_TOOLS_WATCH_H
#define CACHIFY_TOOLS_WATCH_H

#include "options.h"

/* Until it is ended; the exit status. */
int watch(struct options *options);

#endif
