#include "waiting.h"

#include <stdatomic.h>

static void *wait_for_job(void *given)
{
    struct waiter *w = given;
    const cachify_lock_t lock = {.key = "job", .wait = true, .exp_ms = 60000};
    w->status = w->acquire(w->instance, &lock, &w->lease);
    atomic_store(&w->back, true);
    return NULL;
}

void start_waiting(struct waiter *w, acquire_function *acquire, cachify_t *instance)
{
    *w = (struct waiter){.acquire = acquire, .instance = instance};
    ck_assert_int_eq(pthread_create(&w->thread, NULL, wait_for_job, w), 0);
    EVENTUALLY(query("job").waiters == 1, LONG_MS);
}

bool is_back(struct waiter *w)
{
    return atomic_load(&w->back);
}

void assert_woken(struct waiter *w)
{
    EVENTUALLY(is_back(w), 2500);
    ck_assert_int_eq(pthread_join(w->thread, NULL), 0);
    ck_assert_msg(w->status == CACHIFY_OK, "the waiter got %s", status_name(w->status));
    ck_assert_uint_eq(query("job").token, cachify_lease_token(&w->lease));
}
