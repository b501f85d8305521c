#include "ground/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>

#include "ground/atomics.h"
#include "ground/os.h"

#define STACK (UINT64_C(256) * 1024)

static int start(pthread_t *thread, void *(*run)(void *), void *context)
{
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return error;
    pthread_attr_setstacksize(&attributes, STACK);
    error = pthread_create(thread, &attributes, run, context);
    pthread_attr_destroy(&attributes);
    /* A program with much thread-local memory needs more stack than that. */
    return error == EINVAL ? pthread_create(thread, NULL, run, context) : error;
}

bool cf_thread_start(pthread_t *thread, void *(*run)(void *), void *context, const char *name)
{
    sigset_t all, old;
    sigfillset(&all);
    if (cf_load_relaxed(&cf_futexes_refused) || pthread_sigmask(SIG_SETMASK, &all, &old) != 0)
        return false;
    int error = start(thread, run, context);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error == 0)
        pthread_setname_np(*thread, name);
    return error == 0;
}
