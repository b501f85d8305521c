/* What cachify-shm-inspect --check prints: each thing that is wrong in a segment. */
#ifndef CACHIFY_TOOLS_FINDINGS_H
#define CACHIFY_TOOLS_FINDINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <cachify/shm.h>

/* Checks and prints, as elements of an array if it is JSON; named: each finding after the
 * segment's path.  *count goes on.  False with cachify_last_error, or *no_memory. */
bool findings_print(const cachify_shm_view_t *view, bool json, bool named, FILE *out,
                    uint64_t *count, bool *no_memory);

#endif
