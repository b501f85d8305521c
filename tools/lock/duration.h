/* Durations as people write them. */
#ifndef CACHIFY_TOOLS_LOCK_DURATION_H
#define CACHIFY_TOOLS_LOCK_DURATION_H

#include <stdbool.h>
#include <stdint.h>

/* What durations look like, for messages. */
#define DURATION_EXPECTED "a duration such as 30, 1.5s, 250ms, 5m, 2h, 1d or never"

/* To milliseconds, rounded up; a number alone is seconds, "never" is CACHIFY_NEVER.  False if
 * it is no duration, or one beyond a hundred years. */
bool duration_parse(const char *text, int64_t *ms);

/* By a clock that goes on evenly; milliseconds. */
int64_t monotonic_ms(void);
/* Since 1970. */
int64_t wall_ms(void);

#endif
