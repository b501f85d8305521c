/* Rule R6: what dead processes left, what expired, and what killed removers noted. */
#ifndef CF_SHM_SWEEP_H
#define CF_SHM_SWEEP_H

#include "shm/mapping.h"

/* Go over all records once; how many came free.  Any number may sweep at once. */
uint32_t cf_sweep(struct cf_mapping *m);

/* How many locks are held, live or not.  A look at every word, no more. */
uint32_t cf_count_held(const struct cf_mapping *m);

/* R5: free the record of a held word that somebody meant to take out, if it was. */
bool cf_intent_follow(struct cf_mapping *m, cf_word w);

#endif
