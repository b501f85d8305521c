/* What a cachify_shm_view_t is, to those who look through it (inspect.c, check.c). */
#ifndef CF_SHM_VIEW_H
#define CF_SHM_VIEW_H

#include <cachify/shm.h>

#include "shm/mapping.h"

struct cachify_shm_view {
    struct cf_mapping *mapping; /* read-only */
};

/* From cachify_shm_check's first look to the second.  For tests that check all the time. */
extern uint64_t cf_check_again_ns;

#endif
