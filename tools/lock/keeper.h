/* The process that takes the lock, and keeps it until all that the command started has ended, or
 * the command has ended of itself. */
#ifndef CACHIFY_TOOLS_LOCK_KEEPER_H
#define CACHIFY_TOOLS_LOCK_KEEPER_H

#include "command.h"

/* runner: a descriptor that comes to its end when the runner dies.  Ends with the status that
 * the program is to end with. */
_Noreturn void keep(const struct options *options, struct page *page, int runner,
                    const struct signals *was);

#endif
