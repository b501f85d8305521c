/* Threads of the library's own. */
#ifndef CF_GROUND_THREAD_H
#define CF_GROUND_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* Start one with all signals blocked, so that the program's handlers never run on it, on a
 * small stack, and under this name for people (15 bytes).  To be joined.  False: none is to
 * be had. */
bool cf_thread_start(pthread_t *thread, void *(*run)(void *), void *context, const char *name);

/* For thread-local variables: reached without a call.  glibc has room for a few hundred bytes of
 * such in libraries that are loaded while a program runs, so keep them few; musl has none, and
 * refuses the library. */
#ifdef __GLIBC__
#define CF_FAST_TLS __attribute__((tls_model("initial-exec")))
#else
#define CF_FAST_TLS
#endif

#endif
