/* What scripts ask about a lock without running a command. */
#ifndef CACHIFY_TOOLS_LOCK_QUESTIONS_H
#define CACHIFY_TOOLS_LOCK_QUESTIONS_H

#include "options.h"

/* The status to end with. */
int answer(const struct options *options);

#endif
