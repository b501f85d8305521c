/* Threads of the library's own. */
#ifndef CF_GROUND_THREAD_H
#define CF_GROUND_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* Start one with all signals blocked, so that the program's handlers never run on it, on a
 * small stack, and under this name for people (15 bytes).  To be joined.  False: none is to
 * be had. */
bool cf_thread_start(pthread_t *thread, void *(*run)(void *), void *context, const char *name);

#endif
