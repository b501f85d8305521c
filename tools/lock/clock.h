/* Times, in milliseconds. */
#ifndef CACHIFY_TOOLS_LOCK_CLOCK_H
#define CACHIFY_TOOLS_LOCK_CLOCK_H

#include <stdint.h>

/* By a clock that goes on evenly. */
int64_t monotonic_ms(void);
/* Since 1970. */
int64_t wall_ms(void);

#endif
