/* A wrapped function for tests: my_lock_key-{arg} of here.cachify, one integer argument, and what
 * the function saw when it was called. */
#ifndef CF_TESTS_WRAPPING_H
#define CF_TESTS_WRAPPING_H

#include "support.h"

struct seen {
    unsigned calls;
    char key[64]; /* that has to be locked meanwhile */
    bool locked, held, has_lease;
    int64_t arg;
    void (*also)(const cachify_call_t *call);
};
extern struct seen seen;
extern cachify_wrapped_t *wrapped;

void setup_wrapped(void);
void teardown_wrapped(void);

/* Of the function, whose result is its argument and one. */
cachify_wrap_options_t wrap_options(const cachify_lock_t *lock);
void wrap_again(cachify_lock_t lock, uint32_t flags);

cachify_status_t call(int64_t arg, int *result);
bool wrap_is_locked(int64_t arg);

#endif
