/* What must hold: at every change of a slot's word, at every answer, and at the end. */
#ifndef CF_INTERLEAVE_MONITOR_H
#define CF_INTERLEAVE_MONITOR_H

#include "world.h"

/* I1 to I3 by the words: called after an actor's access to one. */
void monitor_changed(unsigned actor, uint32_t word, uint64_t old);

/* A call about a key begins: from now on it is noted whether the key is held or free. */
void monitor_call(enum who who, unsigned key);

/* Time has passed. */
void monitor_passed(void);

/* Whether a word says that the key is held, by a lease that lives. */
bool monitor_held(unsigned key);

/* Both have ended: every record is where it should be, every word is sound. */
void monitor_census(void);

/* Somebody has swept: nothing is left of the dead. */
void monitor_swept(void);

#endif
