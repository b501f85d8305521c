/* A lease in another record: what T6 publishes. */
#ifndef CF_SHM_MOVE_H
#define CF_SHM_MOVE_H

#include "shm/table.h"

/* Write the lease of record `from`, which is held, into record `to`, which is in hand, with
 * another deadline.  Whole only if from's word still stands at the CAS. */
void cf_lease_copy(struct cf_mapping *m, uint32_t from, uint32_t to, uint64_t deadline);

/* R9: if the lease came to lie in a spare, move it into the record of the word `old` that it
 * took the place of.  If that cannot be had any more, it stays where it is. */
void cf_lease_move_back(struct cf_mapping *m, struct cf_lease *lease, cf_word old);

#endif
