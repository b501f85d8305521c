/* The processes of a segment, those that registered first at the top. */
#ifndef CACHIFY_TOOLS_PROCESSES_H
#define CACHIFY_TOOLS_PROCESSES_H

#include <cachify/shm.h>

#include "listing.h"

extern const struct kind processes;

/* cachify_shm_processes' callback; context: the listing.  1 if memory is short. */
int processes_add(void *context, const cachify_shm_process_t *process);

#endif
