/* A thread that waits without end for "job" of here's segment, in any instance, of any copy of the
 * library. */
#ifndef CF_TESTS_WAITING_H
#define CF_TESTS_WAITING_H

#include <pthread.h>

#include "support.h"

typedef cachify_status_t acquire_function(cachify_t *instance, const cachify_lock_t *lock,
                                          cachify_lease_t *lease);

struct waiter {
    acquire_function *acquire;
    cachify_t *instance;
    pthread_t thread;
    cachify_lease_t lease;
    cachify_status_t status;
    _Atomic bool back;
};

/* Returns when it is in line. */
void start_waiting(struct waiter *w, acquire_function *acquire, cachify_t *instance);
bool is_back(struct waiter *w);
/* It is back in half a poll interval, so it was woken; and w->lease is its. */
void assert_woken(struct waiter *w);

#endif
