/* A walk over every word, record and entry of a segment, where only the caller's process lives. */
#ifndef CF_TESTS_STEPS_CENSUS_H
#define CF_TESTS_STEPS_CENSUS_H

#include "room.h"

/* So many words are held, none is a candidate; each names a taken record of its generation that
 * knows its slot and lies where walks find it; owners live.  No other record is taken but what
 * threads keep whose idle word was evicted: so many at most. */
void census_check(const struct cf_mapping *m, uint32_t held, uint32_t spares);

/* The process's own intents are struck out. */
void census_intents(const struct cf_mapping *m);

/* R7: a process without a lease has one record for each thread at most: this one has one thread. */
void census_idle(const struct cf_mapping *m, pid_t pid);

uint32_t census_overflowing(const struct cf_mapping *m);

#endif
