/* Times as people give them. */
#ifndef CACHIFY_TOOLS_DURATION_H
#define CACHIFY_TOOLS_DURATION_H

#include <stdbool.h>
#include <stdint.h>

#define DURATION_EXPECTED "a duration such as 30, 1.5s, 250ms, 5m, 2h or 1d"

/* Milliseconds of "5m", "1.5h", "1h30m", "250ms"; a number alone is of seconds.  The nearest, but
 * 0 of none other than 0.  False: it is
 * none, or longer than CACHIFY_MAX_MS. */
bool duration_parse(const char *text, int64_t *ms);

#endif
