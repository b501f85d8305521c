/* Locks that end with a block of code (scope.h): lock-reference, "as a context manager".  The
 * suite is compiled with -fexceptions, for the end of threads. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

#define JOB (&(cachify_lock_t){.key = "job", .exp_ms = 60000})
#define OTHER (&(cachify_lock_t){.key = "other"})

static cachify_lease_t lease;

/* ---- Running ---- */

/* "Acquire a lock for the specified key as a context manager" */
START_TEST(a_block_runs_once_while_the_lock_is_held)
{
    cachify_status_t status = CACHIFY_PENDING;
    unsigned runs = 0;
    ck_assert(!is_locked("job"));
    CACHIFY_WITH(held, here.cachify, JOB, &status)
    {
        runs++;
        assert_ok(status);
        assert_ok(held.status);
        ck_assert(is_locked("job") && cachify_lease_held(&held.lease));
        ck_assert_uint_eq(cachify_lease_token(&held.lease), query("job").token);
        ck_assert_int_gt(cachify_lease_remaining_ms(&held.lease), 50000);
        assert_ok(cachify_extend(&held.lease, 100000));
        ck_assert_int_gt(cachify_lease_remaining_ms(&held.lease), 90000);
    }
    ck_assert_uint_eq(runs, 1);
    ck_assert(!is_locked("job"));
    assert_ok(status);
    ck_assert_uint_eq(census(here.m).held, 0);
}
END_TEST

START_TEST(the_status_may_be_left_out)
{
    unsigned runs = 0;
    CACHIFY_WITH(held, here.cachify, JOB, NULL)
    {
        runs += is_locked("job") ? 1 : 0;
    }
    CACHIFY_WITH(held, here.cachify, JOB, NULL)
    runs += is_locked("job") ? 1 : 0; /* a block of one statement */
    ck_assert_uint_eq(runs, 2);
    assert_ok(take("job", 60000, &lease));
    CACHIFY_WITH(held, here.cachify, JOB, NULL)
    {
        runs++;
    }
    ck_assert_uint_eq(runs, 2);
    ck_assert(cachify_lease_held(&lease));
}
END_TEST

START_TEST(a_declaration_holds_to_the_end_of_its_block)
{
    {
        CACHIFY_SCOPED(held, here.cachify, JOB);
        assert_ok(held.status);
        ck_assert(is_locked("job") && cachify_lease_held(&held.lease));
        CACHIFY_SCOPED(too, here.cachify, OTHER);
        assert_ok(too.status);
        ck_assert(is_locked("job") && is_locked("other"));
    }
    ck_assert(!is_locked("job") && !is_locked("other"));
}
END_TEST

/* ---- Leaving ---- */

START_TEST(break_gives_back)
{
    cachify_status_t status = CACHIFY_PENDING;
    unsigned rounds_made = 0;
    bool locked_in_round = false;
    for (unsigned i = 0; i < 3; i++) {
        CACHIFY_WITH(held, here.cachify, JOB, &status)
        {
            locked_in_round = is_locked("job");
            if (locked_in_round)
                break; /* leaves the block, not the loop around it */
            ck_abort_msg("break went on");
        }
        ck_assert(locked_in_round && !is_locked("job"));
        assert_ok(status);
        rounds_made++;
    }
    ck_assert_uint_eq(rounds_made, 3);
    for (unsigned i = 0;; i++) { /* where the lock is a declaration, the loop */
        CACHIFY_SCOPED(held, here.cachify, JOB);
        assert_ok(held.status);
        if (i == 1)
            break;
    }
    ck_assert(!is_locked("job"));
}
END_TEST

START_TEST(continue_gives_back)
{
    cachify_status_t status = CACHIFY_PENDING;
    unsigned runs = 0;
    CACHIFY_WITH(held, here.cachify, JOB, &status)
    {
        runs++;
        if (is_locked("job"))
            continue; /* to the block's end */
        ck_abort_msg("continue went on");
    }
    ck_assert_uint_eq(runs, 1);
    ck_assert(!is_locked("job"));
    assert_ok(status);
    for (unsigned i = 0; i < 3; i++) {
        CACHIFY_SCOPED(held, here.cachify, JOB);
        assert_ok(held.status); /* the round before gave back */
        runs++;
        continue;
    }
    ck_assert_uint_eq(runs, 4);
    ck_assert(!is_locked("job"));
}
END_TEST

START_TEST(goto_gives_back)
{
    cachify_status_t status = CACHIFY_PENDING;
    unsigned runs = 0;
again:
    CACHIFY_WITH(held, here.cachify, JOB, &status)
    {
        assert_ok(status);
        ck_assert(is_locked("job"));
        if (++runs < 3)
            goto again; /* backward, out of the block: it is had anew */
        goto out;
    }
    ck_abort_msg("goto out did not leave");
out:
    ck_assert_uint_eq(runs, 3);
    ck_assert(!is_locked("job"));
    assert_ok(status);
}
END_TEST

static int return_from_with(void)
{
    CACHIFY_WITH(held, here.cachify, JOB, NULL)
    {
        return is_locked("job") ? 1 : 2;
    }
    return 3;
}

static int return_from_scoped(void)
{
    CACHIFY_SCOPED(held, here.cachify, JOB);
    if (held.status != CACHIFY_OK)
        return 3;
    return is_locked("job") ? 1 : 2;
}

START_TEST(return_gives_back_after_the_value_was_computed)
{
    ck_assert_int_eq(return_from_with(), 1);
    ck_assert(!is_locked("job"));
    ck_assert_int_eq(return_from_scoped(), 1);
    ck_assert(!is_locked("job"));
    assert_ok(take("job", 60000, &lease));
    ck_assert_int_eq(return_from_with(), 3);
    ck_assert_int_eq(return_from_scoped(), 3);
    ck_assert(cachify_lease_held(&lease));
}
END_TEST

/* ---- Nesting ---- */

START_TEST(blocks_nest_and_end_from_within)
{
    cachify_status_t outer = CACHIFY_PENDING, inner = CACHIFY_PENDING;
    CACHIFY_WITH(held, here.cachify, JOB, &outer)
    {
        CACHIFY_WITH(too, here.cachify, OTHER, &inner)
        {
            ck_assert(is_locked("job") && is_locked("other"));
            break;
        }
        assert_ok(inner);
        ck_assert(is_locked("job") && !is_locked("other"));
        ck_assert(cachify_lease_held(&held.lease));
    }
    assert_ok(outer);
    ck_assert(!is_locked("job"));
}
END_TEST

/* Not reentrant, as no lock here is. */
START_TEST(a_block_within_one_on_the_same_key_is_not_run)
{
    cachify_status_t outer = CACHIFY_PENDING, inner = CACHIFY_PENDING;
    unsigned runs = 0;
    CACHIFY_WITH(held, here.cachify, (&(cachify_lock_t){.key = "job", .exp_ms = CACHIFY_NEVER}),
                 &outer)
    {
        runs++;
        CACHIFY_WITH(too, here.cachify, JOB, &inner)
        {
            ck_abort_msg("run twice at once");
        }
        assert_status(inner, CACHIFY_LOCKED);
        CACHIFY_WITH(too, here.cachify, (&(cachify_lock_t){.key = "job", .wait = true}), &inner)
        {
            ck_abort_msg("run twice at once");
        }
        assert_status(inner, CACHIFY_DEADLOCK);
        ck_assert(cachify_lease_held(&held.lease)); /* the inner ends gave back nothing */
    }
    ck_assert_uint_eq(runs, 1);
    assert_ok(outer);
    ck_assert(!is_locked("job"));
}
END_TEST

/* ---- Not to be had ---- */

static cachify_status_t attempt(cachify_t *instance, const cachify_lock_t *lock)
{
    cachify_status_t status = CACHIFY_PENDING;
    CACHIFY_WITH(held, instance, lock, &status)
    {
        ck_abort_msg("run without the lock");
    }
    CACHIFY_SCOPED(held, instance, lock);
    ck_assert_int_eq(held.status, status);
    ck_assert(!cachify_lease_held(&held.lease));
    ck_assert_uint_eq(cachify_lease_token(&held.lease), 0);
    return status;
}

START_TEST(without_the_lock_the_block_is_not_run_and_the_status_says_why)
{
    cachify_t *closed;
    assert_ok(cachify_open(&here.config, &closed));
    assert_ok(cachify_close(closed));
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "job", 60000).status);
    assert_status(attempt(here.cachify, JOB), CACHIFY_LOCKED);
    assert_says("job is already locked!");
    int64_t before = now_ms();
    assert_status(
        attempt(here.cachify, &(cachify_lock_t){.key = "job", .wait = true, .timeout_ms = 30}),
        CACHIFY_TIMEOUT);
    ck_assert_int_ge(now_ms() - before, 60); /* both waited */
    assert_status(attempt(here.cachify, &(cachify_lock_t){.key = ""}), CACHIFY_INVALID);
    assert_status(attempt(here.cachify, NULL), CACHIFY_INVALID);
    assert_status(attempt(closed, JOB), CACHIFY_INVALID);
    assert_status(attempt(NULL, JOB), CACHIFY_NOT_INITIALIZED);
    assert_says("cachify_init");
    ck_assert(agent_look(agent).held);
    ck_assert_uint_eq(census(here.m).held, 1);
}
END_TEST

START_TEST(a_block_may_have_the_global_instance)
{
    unsigned runs = 0;
    assert_ok(cachify_init(&here.config));
    CACHIFY_WITH(held, NULL, JOB, NULL)
    {
        runs += is_locked("job") ? 1 : 0;
        assert_ok(cachify_shutdown()); /* the lease keeps what it needs */
    }
    ck_assert_uint_eq(runs, 1);
    ck_assert(!is_locked("job"));
}
END_TEST

/* ---- Lost, or given back early ---- */

START_TEST(a_lease_that_ended_within_the_block_is_told_as_LOST)
{
    cachify_status_t status = CACHIFY_PENDING;
    struct agent *agent = agent_start();
    CACHIFY_WITH(held, here.cachify, JOB, &status)
    {
        assert_ok(cachify_release_key(here.cachify, "job"));
        ck_assert(!cachify_lease_held(&held.lease));
        assert_ok(agent_take(agent, "job", 60000).status);
    }
    assert_status(status, CACHIFY_LOST);
    ck_assert(agent_look(agent).held); /* the end hurt nobody */
    assert_ok(agent_release(agent).status);

    CACHIFY_WITH(held, here.cachify, (&(cachify_lock_t){.key = "job", .exp_ms = 10}), &status)
    {
        EVENTUALLY(!cachify_lease_held(&held.lease), LONG_MS);
        assert_ok(agent_take(agent, "job", 60000).status);
    }
    assert_status(status, CACHIFY_LOST);
    ck_assert(agent_look(agent).held);
}
END_TEST

START_TEST(what_was_given_back_early_is_not_given_back_again)
{
    cachify_status_t status = CACHIFY_PENDING;
    struct agent *agent = agent_start();
    CACHIFY_WITH(held, here.cachify, JOB, &status)
    {
        assert_ok(cachify_release(&held.lease));
        ck_assert(!is_locked("job"));
        assert_ok(agent_take(agent, "job", 60000).status);
    }
    assert_ok(status);
    ck_assert(agent_look(agent).held);
    assert_ok(agent_release(agent).status);
    CACHIFY_WITH(held, here.cachify, JOB, &status)
    {
        cachify_scope_end(&held); /* by hand, and at the end of the block */
        ck_assert(!is_locked("job"));
        assert_ok(status);
        assert_ok(held.status);
        cachify_scope_end(&held);
        status = CACHIFY_PENDING;
    }
    assert_status(status, CACHIFY_PENDING); /* it was told once */
}
END_TEST

/* ---- Threads and processes ---- */

static _Atomic int inside;

/* Not in a call that waits: ThreadSanitizer follows no thread that is cancelled in one. */
static void stay(void)
{
    for (;;) {
        pthread_testcancel();
        sched_yield();
    }
}

static void *stay_in_with(void *how)
{
    CACHIFY_WITH(held, here.cachify, JOB, NULL)
    {
        atomic_store(&inside, 1);
        if (how != NULL)
            pthread_exit(how);
        stay();
    }
    return NULL;
}

static void *stay_in_scoped(void *how)
{
    CACHIFY_SCOPED(held, here.cachify, JOB);
    if (held.status != CACHIFY_OK)
        return NULL;
    atomic_store(&inside, 1);
    if (how != NULL)
        pthread_exit(how);
    stay();
    return NULL;
}

START_TEST(a_thread_that_ends_within_gives_back)
{
#ifndef __GLIBC__
    SKIP("this C library does not unwind threads");
#endif
    static char exits;
    void *const how = _i % 2 == 1 ? &exits : NULL; /* by pthread_exit, or cancelled */
    void *got;
    pthread_t thread;
    atomic_store(&inside, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, _i < 2 ? stay_in_with : stay_in_scoped, how), 0);
    EVENTUALLY(atomic_load(&inside) == 1, LONG_MS);
    if (how == NULL) {
        ck_assert(is_locked("job"));
        ck_assert_int_eq(pthread_cancel(thread), 0);
    }
    ck_assert_int_eq(pthread_join(thread, &got), 0);
    ck_assert_ptr_eq(got, how != NULL ? how : PTHREAD_CANCELED);
    ck_assert(!is_locked("job"));
    ck_assert_uint_eq(census(here.m).held, 0);
    assert_ok(take("job", 60000, &lease));
}
END_TEST

struct counter {
    _Atomic int64_t within;
    int64_t sum;
};

/* How often it was wrong. */
static int64_t count_up(unsigned i, void *context)
{
    struct counter *counter = context;
    cachify_t *mine;
    int64_t wrong = 0;
    (void)i;
    if (cachify_open(&here.config, &mine) != CACHIFY_OK)
        return 1000000;
    for (unsigned n = 0; n < rounds(500); n++) {
        cachify_status_t status = CACHIFY_PENDING;
        const cachify_lock_t lock = {.key = "job", .wait = true, .exp_ms = CACHIFY_NEVER};
        CACHIFY_WITH(held, mine, &lock, &status)
        {
            wrong += atomic_fetch_add(&counter->within, 1);
            counter->sum++;
            atomic_fetch_sub(&counter->within, 1);
        }
        wrong += status != CACHIFY_OK;
    }
    return wrong + (cachify_close(mine) != CACHIFY_OK);
}

START_TEST(processes_exclude_each_other)
{
    int64_t wrong[2];
    struct counter *counter = shared(sizeof *counter);
    processes_together(2, count_up, counter, wrong);
    ck_assert_int_eq(wrong[0], 0);
    ck_assert_int_eq(wrong[1], 0);
    ck_assert_int_eq(counter->sum, 2 * (int64_t)rounds(500));
    ck_assert(!is_locked("job"));
}
END_TEST

START_TEST(a_child_that_leaves_its_parents_block_gives_back_nothing)
{
    struct {
        cachify_status_t status;
        bool locked;
    } *seen = shared(sizeof *seen);
    cachify_status_t status = CACHIFY_PENDING;
    pid_t child = -1;
    CACHIFY_WITH(held, here.cachify, JOB, &status)
    {
        child = fork();
        if (child == 0)
            break;
        waitpid(child, NULL, 0);
        ck_assert(cachify_lease_held(&held.lease));
    }
    if (child == 0) {
        seen->status = status;
        (void)cachify_is_locked(here.cachify, "job", &seen->locked);
        end_child();
    }
    assert_status(seen->status, CACHIFY_INVALID);
    ck_assert(seen->locked);
    assert_ok(status);
    ck_assert(!is_locked("job"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scope");
    TCase *t = group(s, "running", setup_here, teardown_here);
    tcase_add_test(t, a_block_runs_once_while_the_lock_is_held);
    tcase_add_test(t, the_status_may_be_left_out);
    tcase_add_test(t, a_declaration_holds_to_the_end_of_its_block);
    t = group(s, "leaving", setup_here, teardown_here);
    tcase_add_test(t, break_gives_back);
    tcase_add_test(t, continue_gives_back);
    tcase_add_test(t, goto_gives_back);
    tcase_add_test(t, return_gives_back_after_the_value_was_computed);
    t = group(s, "nesting", setup_here, teardown_here);
    tcase_add_test(t, blocks_nest_and_end_from_within);
    tcase_add_test(t, a_block_within_one_on_the_same_key_is_not_run);
    t = group(s, "not to be had", setup_here, teardown_here);
    tcase_add_test(t, without_the_lock_the_block_is_not_run_and_the_status_says_why);
    tcase_add_test(t, a_block_may_have_the_global_instance);
    t = group(s, "lost or early", setup_here, teardown_here);
    tcase_add_test(t, a_lease_that_ended_within_the_block_is_told_as_LOST);
    tcase_add_test(t, what_was_given_back_early_is_not_given_back_again);
    t = group(s, "threads and processes", setup_here, teardown_here);
    tcase_add_loop_test(t, a_thread_that_ends_within_gives_back, 0, 4);
    tcase_add_test(t, processes_exclude_each_other);
    tcase_add_test(t, a_child_that_leaves_its_parents_block_gives_back_nothing);
    return run_suite(s);
}
