/* A segment's counters for Prometheus: its text format, version 0.0.4. */
#ifndef CACHIFY_TOOLS_METRICS_H
#define CACHIFY_TOOLS_METRICS_H

#include <stdio.h>

#include "filter.h"
#include "sources.h"

/* per_key: with metrics of each lock that the filter (NULL: all) lets pass.  False if memory is
 * short. */
bool metrics_print(const struct sources *sources, bool per_key, const struct filter *filter,
                   FILE *out);

#endif
