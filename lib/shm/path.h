/* A key's path over the groups: its overflow bits, and making room on it.  Steps 2 and 3 of
 * README.md, "Acquire", and the clearing after them. */
#ifndef CF_SHM_PATH_H
#define CF_SHM_PATH_H

#include "shm/mapping.h"

#define CF_OVERFLOW UINT64_C(1) /* group.control: some key passed this group */
#define CF_EPOCH UINT64_C(2)    /* and how often that was said */

static inline uint32_t cf_next_group(const struct cf_mapping *m, uint32_t g)
{
    return g + 1 == m->groups ? 0 : g + 1;
}

static inline bool cf_overflows(const struct cf_mapping *m, uint32_t g)
{
    return (cf_load_seq(&m->group_at[g].control) & CF_OVERFLOW) != 0;
}

/* Step 2: no slot is empty on the path from home to last.  One whose word is idle is
 * emptied (T9), else the path is made longer.  The slot; 0: there is none in the table. */
uint32_t cf_path_make_room(struct cf_mapping *m, uint32_t home, uint32_t last);

/* Step 3's second half: say again, from the slot's group back to home, that somebody passed.
 * The other order gave two holders (tests/model). */
void cf_path_mark_again(struct cf_mapping *m, uint32_t home, uint32_t group);

/* A key was not found on its path from home to last: clear what bits need not be. */
void cf_path_clear(struct cf_mapping *m, uint32_t home, uint32_t last);

#endif
