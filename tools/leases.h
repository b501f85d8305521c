/* The leases of one look, those held longest first. */
#ifndef CACHIFY_TOOLS_LEASES_H
#define CACHIFY_TOOLS_LEASES_H

#include <cachify/shm.h>

#include "listing.h"

extern const struct kind leases;

/* cachify_shm_leases' callback; context: the listing.  1 if memory is short. */
int leases_add(void *context, const cachify_shm_lease_t *lease);

/* What people call a cachify_state_t of a lease. */
const char *lease_state_word(uint32_t state);

#endif
