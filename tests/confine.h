/* Taking things from a process: in agents and children only, for it is for good.
 * False where the system does not permit it. */
#ifndef CF_TESTS_CONFINE_H
#define CF_TESTS_CONFINE_H

#include <stdbool.h>

/* From now on the system call fails with this error. */
bool forbid_call(int number, int error);

/* From now on it does if argument `which` has one of these flags. */
bool forbid_flags(int number, unsigned which, unsigned flags, int error);

/* From now on every call but these ends the process. */
bool allow_only(const int *numbers, unsigned count);

#endif
