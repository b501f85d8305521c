/* Times as people give them. */
#ifndef CACHIFY_TOOLS_DURATION_H
#define CACHIFY_TOOLS_DURATION_H

#include <stdbool.h>
#include <stdint.h>

#define DURATION_EXPECTED "a time such as 10s, 5m, 1.5h, 2d or 250ms"

/* Milliseconds of "5m", "1.5h", "1h30m", "250ms"; a number alone is of seconds.  False: it is
 * none, or longer than CACHIFY_MAX_MS. */
bool duration_parse(const char *text, int64_t *ms);

#endif
