/* What must be true afterwards. */
#ifndef CF_TESTS_STEPS_JUDGE_H
#define CF_TESTS_STEPS_JUDGE_H

#include "operations.h"

/* The judge's life, in a process of its own that has not used the library before. */
_Noreturn void judge(const struct operation *operation);

/* The witness: its leases are as they were. */
void witness_look(void);
/* The victim and the judge are gone: nothing but the witness's is left, and that is whole;
 * then the witness closes, and nothing is left at all. */
void witness_end(void);

#endif
