/* Functions under a lock: lock-reference, "as a decorator". */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent.h"
#include "wrapping.h"

/* ---- Calls ---- */

/* "Decorator to acquire a lock for the wrapped function on call" */
START_TEST(the_lock_is_held_during_the_call_and_the_result_comes_back)
{
    int result = 0;
    errno = 77;
    assert_ok(call(7, &result));
    ck_assert_int_eq(errno, 77);
    ck_assert_int_eq(result, 8);
    ck_assert_uint_eq(seen.calls, 1);
    ck_assert_int_eq(seen.arg, 7);
    ck_assert(seen.locked && seen.held && seen.has_lease);
    ck_assert(!is_locked(seen.key));
    assert_ok(call(7, NULL));
    ck_assert_uint_eq(seen.calls, 2);
}
END_TEST

/* "is_locked(*args, **kwargs): Check if the function is currently locked." */
static void look_at_both(const cachify_call_t *c)
{
    (void)c;
    ck_assert(wrap_is_locked(7));
    ck_assert(!wrap_is_locked(8));
}

START_TEST(is_locked_goes_by_the_arguments)
{
    seen.also = look_at_both;
    ck_assert(!wrap_is_locked(7));
    assert_ok(call(7, NULL));
    ck_assert(!wrap_is_locked(7));
    ck_assert_uint_eq(seen.calls, 1);
}
END_TEST

/* "nowait ... raise immediately" */
START_TEST(a_busy_lock_is_LOCKED_and_the_function_not_called)
{
    struct agent *agent = agent_start();
    int result = 5;
    assert_ok(agent_take(agent, seen.key, 60000).status);
    assert_status(call(7, &result), CACHIFY_LOCKED);
    assert_says("my_lock_key-7-lock is already locked!");
    ck_assert_int_eq(result, 5);
    ck_assert_uint_eq(seen.calls, 0);
    ck_assert(wrap_is_locked(7));
    assert_ok(call(8, &result)); /* other arguments, another lock */
}
END_TEST

/* "release(*args, **kwargs): Release the lock associated with the function." */
START_TEST(release_goes_by_the_arguments_and_is_forceful)
{
    struct agent *agent = agent_start();
    cachify_arg_t a = cachify_int(7);
    assert_ok(agent_take(agent, seen.key, 60000).status);
    assert_ok(cachify_wrap_release(wrapped, &a, 1));
    ck_assert(!wrap_is_locked(7));
    ck_assert(!agent_look(agent).held);
    assert_ok(call(7, NULL));
    assert_ok(cachify_wrap_release(wrapped, &a, 1)); /* free: OK too */
}
END_TEST

static void force(const cachify_call_t *c)
{
    assert_ok(cachify_wrap_release(wrapped, c->args, c->count));
}

START_TEST(a_lease_lost_during_the_call_is_told)
{
    int result = 0;
    seen.also = force;
    assert_status(call(7, &result), CACHIFY_LOST);
    ck_assert_int_eq(result, 8); /* it was called all the same */
}
END_TEST

static void give_back_early(const cachify_call_t *c)
{
    assert_ok(cachify_release(c->lease));
    ck_assert(!is_locked(seen.key));
}

START_TEST(a_function_may_release_its_lease_early)
{
    seen.also = give_back_early;
    assert_ok(call(7, NULL));
}
END_TEST

static void renew(const cachify_call_t *c)
{
    assert_ok(cachify_extend(c->lease, 60000));
    ck_assert_int_gt(cachify_lease_remaining_ms(c->lease), 59000);
}

START_TEST(a_function_may_renew_its_lease)
{
    wrap_again((cachify_lock_t){.key = "my_lock_key-{arg}", .exp_ms = 1000}, 0);
    seen.also = renew;
    assert_ok(call(7, NULL));
}
END_TEST

/* Not reentrant, as no lock here is. */
static void again(const cachify_call_t *c)
{
    assert_status(cachify_wrap_call(wrapped, c->args, c->count, NULL), CACHIFY_LOCKED);
    cachify_arg_t other = cachify_int(9);
    seen.also = NULL;
    assert_ok(cachify_wrap_call(wrapped, &other, 1, NULL));
}

START_TEST(a_function_may_call_itself_with_other_arguments_only)
{
    seen.also = again;
    assert_ok(call(7, NULL));
    ck_assert_uint_eq(seen.calls, 2);
    ck_assert(!wrap_is_locked(7));
    ck_assert(!wrap_is_locked(9));
}
END_TEST

struct counting {
    cachify_wrapped_t *wrapped;
    int64_t count; /* guarded by the lock only */
};

static void count_up(const cachify_call_t *c)
{
    struct counting *counting = c->context;
    int64_t was = *(volatile int64_t *)&counting->count;
    for (volatile int i = 0; i < 50; i++)
        ;
    counting->count = was + 1;
}

static int64_t call_often(unsigned i, void *context)
{
    struct counting *counting = context;
    cachify_arg_t a = cachify_int(7);
    (void)i;
    for (unsigned n = 0; n < 200; n++)
        if (cachify_wrap_call(counting->wrapped, &a, 1, NULL) != CACHIFY_OK)
            return 1;
    return 0;
}

START_TEST(threads_share_a_wrapped_function)
{
    struct counting counting = {0};
    int64_t got[4];
    cachify_lock_t lock = {.key = "count-{arg}", .wait = true, .timeout_ms = LONG_MS};
    cachify_wrap_options_t o = wrap_options(&lock);
    o.function = count_up;
    o.context = &counting;
    assert_ok(cachify_wrap(here.cachify, &o, &counting.wrapped));
    threads_together(4, call_often, &counting, got);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(got[i], 0);
    ck_assert_int_eq(counting.count, 800);
    assert_ok(cachify_wrap_free(counting.wrapped));
}
END_TEST

/* ---- Ways out ---- */

static jmp_buf env;

static void jump(const cachify_call_t *c)
{
    (void)c;
    longjmp(env, 1);
}

static cachify_status_t call_and_jump(void)
{
    uint64_t mark = cachify_wrap_mark();
    if (setjmp(env) == 0)
        return call(7, NULL);
    ck_assert(wrap_is_locked(7));
    return cachify_wrap_unwind(mark);
}

START_TEST(left_by_longjmp_it_is_released_by_unwind)
{
    seen.also = jump;
    assert_ok(call_and_jump());
    ck_assert(!wrap_is_locked(7));
    assert_ok(cachify_wrap_unwind(0)); /* nothing is left */
}
END_TEST

/* Two calls deep; unwind to between them, then to before both. */
static uint64_t between;

static void jump_from_within(const cachify_call_t *c)
{
    cachify_arg_t other = cachify_int(9);
    (void)c;
    between = cachify_wrap_mark();
    seen.also = jump;
    cachify_wrap_call(wrapped, &other, 1, NULL);
}

START_TEST(unwind_gives_back_what_began_after_the_mark)
{
    uint64_t mark = cachify_wrap_mark();
    seen.also = jump_from_within;
    if (setjmp(env) == 0)
        call(7, NULL);
    ck_assert_uint_eq(seen.calls, 2);
    ck_assert(wrap_is_locked(7) && wrap_is_locked(9));
    assert_ok(cachify_wrap_unwind(between));
    ck_assert(wrap_is_locked(7) && !wrap_is_locked(9));
    force(&(cachify_call_t){.args = &(cachify_arg_t){.type = CACHIFY_ARG_INT, .as.i = 7},
                            .count = 1});
    assert_status(cachify_wrap_unwind(mark), CACHIFY_LOST);
}
END_TEST

static void *call_and_leave(void *unused)
{
    jmp_buf *mine = &env;
    if (setjmp(*mine) == 0)
        call(7, NULL);
    return unused;
}

START_TEST(left_by_longjmp_it_is_released_at_the_end_of_the_thread)
{
    pthread_t thread;
    seen.also = jump;
    ck_assert_int_eq(pthread_create(&thread, NULL, call_and_leave, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(seen.calls, 1);
    ck_assert(!wrap_is_locked(7));
}
END_TEST

static _Atomic bool inside;

static void wait_to_be_cancelled(const cachify_call_t *c)
{
    (void)c;
    inside = true;
    for (;;) {
        pthread_testcancel();
        sched_yield();
    }
}

static void leave_the_thread(const cachify_call_t *c)
{
    (void)c;
    pthread_exit(NULL);
}

static void *call_once(void *unused)
{
    call(7, NULL);
    return unused;
}

START_TEST(a_thread_cancelled_in_it_releases)
{
    pthread_t thread;
    void *result;
    inside = false;
    seen.also = wait_to_be_cancelled;
    ck_assert_int_eq(pthread_create(&thread, NULL, call_once, NULL), 0);
    EVENTUALLY(inside, LONG_MS);
    ck_assert(wrap_is_locked(7));
    ck_assert_int_eq(pthread_cancel(thread), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert(result == PTHREAD_CANCELED);
    ck_assert(!wrap_is_locked(7));
}
END_TEST

START_TEST(a_thread_that_exits_in_it_releases)
{
    pthread_t thread;
    seen.also = leave_the_thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, call_once, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(seen.calls, 1);
    ck_assert(!wrap_is_locked(7));
}
END_TEST

static pid_t forked;

static void fork_in_it(const cachify_call_t *c)
{
    (void)c;
    forked = fork();
}

START_TEST(a_child_forked_in_it_comes_back_with_LOST_and_hurts_nobody)
{
    int *child = shared(2 * sizeof *child);
    seen.also = fork_in_it;
    cachify_status_t status = call(7, NULL);
    if (forked == 0) {
        child[0] = (int)status;
        child[1] = 1;
        end_child();
    }
    ck_assert_int_gt(forked, 0);
    assert_ok(status);
    EVENTUALLY(child[1] == 1, LONG_MS);
    ck_assert_int_eq(child[0], CACHIFY_LOST);
    EVENTUALLY(!wrap_is_locked(7), LONG_MS);
}
END_TEST

/* A holder that is killed: the lock goes to the next, as any other. */
static cachify_status_t call_for_ever(struct agent_self *self, const struct agent_order *order,
                                      struct agent_answer *answer)
{
    cachify_lock_t lock = {.key = "my_lock_key-{arg}", .exp_ms = CACHIFY_NEVER};
    cachify_wrap_options_t o = wrap_options(&lock);
    cachify_wrapped_t *mine;
    (void)order, (void)answer;
    cachify_status_t status = cachify_wrap(self->cachify, &o, &mine);
    if (status != CACHIFY_OK)
        return status;
    seen.also = wait_to_be_cancelled;
    cachify_arg_t a = cachify_int(7);
    return cachify_wrap_call(mine, &a, 1, NULL);
}

START_TEST(a_process_killed_in_it_holds_it_no_more)
{
    struct agent *agent = agent_start();
    struct agent_order order = {.act = call_for_ever};
    ck_assert(agent_tell(agent, &order));
    EVENTUALLY(wrap_is_locked(7), LONG_MS);
    agent_kill(agent);
    EVENTUALLY(!wrap_is_locked(7), LONG_MS);
    assert_ok(call(7, NULL));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wrap");
    TCase *t = group(s, "calls", setup_wrapped, teardown_wrapped);
    tcase_add_test(t, the_lock_is_held_during_the_call_and_the_result_comes_back);
    tcase_add_test(t, is_locked_goes_by_the_arguments);
    tcase_add_test(t, a_busy_lock_is_LOCKED_and_the_function_not_called);
    tcase_add_test(t, release_goes_by_the_arguments_and_is_forceful);
    tcase_add_test(t, a_lease_lost_during_the_call_is_told);
    tcase_add_test(t, a_function_may_release_its_lease_early);
    tcase_add_test(t, a_function_may_renew_its_lease);
    tcase_add_test(t, a_function_may_call_itself_with_other_arguments_only);
    tcase_add_test(t, threads_share_a_wrapped_function);
    t = group(s, "ways out", setup_wrapped, teardown_wrapped);
    tcase_add_test(t, left_by_longjmp_it_is_released_by_unwind);
    tcase_add_test(t, unwind_gives_back_what_began_after_the_mark);
    tcase_add_test(t, left_by_longjmp_it_is_released_at_the_end_of_the_thread);
    tcase_add_test(t, a_thread_cancelled_in_it_releases);
    tcase_add_test(t, a_thread_that_exits_in_it_releases);
    tcase_add_test(t, a_child_forked_in_it_comes_back_with_LOST_and_hurts_nobody);
    tcase_add_test(t, a_process_killed_in_it_holds_it_no_more);
    return run_suite(s);
}
