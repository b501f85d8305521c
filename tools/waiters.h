/* Those who waited during one look, key by key, in the order in which they came. */
#ifndef CACHIFY_TOOLS_WAITERS_H
#define CACHIFY_TOOLS_WAITERS_H

#include <cachify/shm.h>

#include "listing.h"

extern const struct kind waiters;

/* cachify_shm_waiters' callback; context: the listing.  1 if memory is short. */
int waiters_add(void *context, const cachify_waiter_t *waiter);

#endif
