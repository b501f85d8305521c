/* Semantics of a lease (design, section 3): the rows release by lease, extend, threads, and what a
 * lease tells of itself; copies, children and leases that were lost. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

static cachify_lease_t lease, second;

/* ---- release by lease ---- */

START_TEST(release_frees_and_empties_the_lease)
{
    assert_ok(take("job", 0, &lease));
    assert_ok(cachify_release(&lease));
    ck_assert(!cachify_lease_held(&lease));
    ck_assert_uint_eq(cachify_lease_token(&lease), 0);
    ck_assert_int_eq(cachify_lease_remaining_ms(&lease), 0);
    ck_assert_int_eq(cachify_lease_origin(&lease, NULL), CACHIFY_FRESH);
    assert_status(cachify_extend(&lease, 1000), CACHIFY_LOST);
}
END_TEST

/* pitfall 11 */
START_TEST(release_twice_is_ok_and_hurts_nobody)
{
    struct agent *agent = agent_start();
    assert_ok(take("job", 0, &lease));
    assert_ok(cachify_release(&lease));
    assert_ok(agent_take(agent, "job", 0).status);
    assert_ok(cachify_release(&lease));
    assert_ok(cachify_release(&lease));
    ck_assert(agent_look(agent).held);
}
END_TEST

START_TEST(release_of_an_empty_lease_is_ok)
{
    cachify_lease_t empty = CACHIFY_LEASE_INIT;
    assert_ok(cachify_release(&empty));
    ck_assert(!cachify_lease_held(&empty));
    assert_status(cachify_extend(&empty, 0), CACHIFY_LOST);
}
END_TEST

START_TEST(release_of_what_is_no_lease_is_INVALID)
{
    cachify_lease_t garbage;
    memset(&garbage, 0x5a, sizeof garbage);
    assert_status(cachify_extend(&garbage, 0), CACHIFY_INVALID);
    ck_assert(!cachify_lease_held(&garbage));
    ck_assert_uint_eq(cachify_lease_token(&garbage), 0);
    assert_status(cachify_release(&garbage), CACHIFY_INVALID);
    assert_says("5a5a5a5a5a5a5a5a");
    assert_status(cachify_release(NULL), CACHIFY_INVALID);
    assert_status(cachify_extend(NULL, 0), CACHIFY_INVALID);
}
END_TEST

/* pitfall 1 */
START_TEST(release_after_expiry_untaken_gives_the_lock_back)
{
    assert_ok(take("job", 1, &lease));
    EVENTUALLY(!is_locked("job"), LONG_MS);
    assert_ok(cachify_release(&lease));
    assert_ok(take("job", 0, &lease));
    ck_assert_int_eq(cachify_lease_origin(&lease, NULL), CACHIFY_FRESH);
}
END_TEST

/* pitfall 1, pitfall 2 */
START_TEST(release_after_expiry_taken_is_LOST_and_frees_nothing_of_the_takers)
{
    struct agent *agent = agent_start();
    assert_ok(take("job", 1, &lease));
    EVENTUALLY(!is_locked("job"), LONG_MS);
    assert_ok(agent_take(agent, "job", 0).status);
    assert_status(cachify_release(&lease), CACHIFY_LOST);
    ck_assert(agent_look(agent).held);
    assert_status(take("job", 0, &lease), CACHIFY_LOCKED);
    assert_ok(cachify_release(&lease)); /* empty since it was lost */
}
END_TEST

/* pitfall 6: the slot is used again by the same process, the record too. */
START_TEST(a_copy_cannot_release_a_later_lease_of_the_same_thread)
{
    assert_ok(take("job", 0, &lease));
    second = lease;
    assert_ok(cachify_release(&lease));
    for (unsigned i = 0; i < 5; i++) {
        cachify_lease_t copy = second, later;
        assert_ok(take("job", 0, &later));
        ck_assert(!cachify_lease_held(&copy));
        assert_status(cachify_extend(&copy, 60000), CACHIFY_LOST);
        assert_status(cachify_release(&copy), CACHIFY_LOST);
        ck_assert(cachify_lease_held(&later));
        ck_assert(is_locked("job"));
        second = later;
        assert_ok(cachify_release(&later));
    }
    struct census c = census(here.m);
    ck_assert_uint_eq(c.held, 0);
    ck_assert_uint_le(c.taken, 1);
}
END_TEST

START_TEST(of_a_lease_and_its_copy_one_releases)
{
    struct agent *agent = agent_start();
    assert_ok(take("job", 0, &lease));
    second = lease;
    assert_ok(cachify_release(&second));
    assert_ok(agent_take(agent, "job", 0).status);
    assert_status(cachify_release(&lease), CACHIFY_LOST);
    ck_assert(agent_look(agent).held);
    ck_assert_uint_eq(census(here.m).held, 1);
}
END_TEST

/* Not even beside waiters that stand still, or a holder that does: an event loop may call these. */
START_TEST(release_and_is_locked_never_block)
{
    struct rusage before, after;
    struct agent *holder = agent_start();
    assert_ok(agent_take(holder, "other", CACHIFY_NEVER).status);
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    for (unsigned i = 0; i < 3; i++)
        agent_stop(agent_in_line("job"));
    agent_stop(holder);
    ck_assert_int_eq(getrusage(RUSAGE_THREAD, &before), 0);
    for (unsigned i = 0; i < 100; i++) {
        bool locked;
        cachify_is_locked(here.cachify, "job", &locked);
        cachify_is_locked(here.cachify, "other", &locked);
        cachify_release(&lease);
        take("job", CACHIFY_NEVER, &lease); /* or it is kept for one of those */
        cachify_release_key(here.cachify, "job");
    }
    assert_ok(cachify_release_key(here.cachify, "other"));
    ck_assert_int_eq(getrusage(RUSAGE_THREAD, &after), 0);
    if (!under_valgrind()) /* whose threads wait for each other */
        ck_assert_int_eq(after.ru_nvcsw - before.ru_nvcsw, 0); /* it never slept */
    cachify_release(&lease);
}
END_TEST

/* ---- extend ---- */

START_TEST(extend_gives_a_new_deadline_and_keeps_the_token)
{
    assert_ok(take("job", 1000, &lease));
    uint64_t token = cachify_lease_token(&lease);
    assert_ok(cachify_extend(&lease, 60000));
    ck_assert_int_gt(cachify_lease_remaining_ms(&lease), 1000);
    ck_assert_int_gt(query("job").remaining_ms, 1000);
    ck_assert_uint_eq(cachify_lease_token(&lease), token);
    ck_assert_uint_eq(query("job").token, token);
    assert_ok(cachify_extend(&lease, CACHIFY_NEVER));
    ck_assert_int_eq(cachify_lease_remaining_ms(&lease), CACHIFY_NEVER);
    assert_ok(cachify_extend(&lease, 0)); /* the default */
    ck_assert_int_le(cachify_lease_remaining_ms(&lease), 30000);
    ck_assert_uint_eq(cachify_lease_token(&lease), token);
    assert_ok(cachify_release(&lease));
    ck_assert(!is_locked("job"));
}
END_TEST

START_TEST(extend_counts_from_now_and_may_shorten)
{
    assert_ok(take("job", 60000, &lease));
    assert_ok(cachify_extend(&lease, 10));
    ck_assert_int_le(cachify_lease_remaining_ms(&lease), 10);
    EVENTUALLY(!is_locked("job"), LONG_MS);
    ck_assert(!cachify_lease_held(&lease));
}
END_TEST

/* pitfall 5 */
START_TEST(extend_late_but_untaken_succeeds_with_the_same_token)
{
    assert_ok(take("job", 1, &lease));
    uint64_t token = cachify_lease_token(&lease);
    EVENTUALLY(!is_locked("job"), LONG_MS);
    assert_ok(cachify_extend(&lease, 60000));
    ck_assert(cachify_lease_held(&lease) && is_locked("job"));
    ck_assert_uint_eq(cachify_lease_token(&lease), token);
    assert_ok(cachify_release(&lease));
}
END_TEST

/* pitfall 5 */
START_TEST(extend_after_the_lock_was_taken_is_LOST)
{
    struct agent *agent = agent_start();
    assert_ok(take("job", 1, &lease));
    EVENTUALLY(!is_locked("job"), LONG_MS);
    assert_ok(agent_take(agent, "job", 60000).status);
    assert_status(cachify_extend(&lease, 60000), CACHIFY_LOST);
    ck_assert(agent_look(agent).held);
    assert_ok(agent_release(agent).status);
    assert_status(cachify_extend(&lease, 60000), CACHIFY_LOST); /* it was taken in between */
}
END_TEST

START_TEST(extend_of_a_lease_released_by_force_is_LOST)
{
    assert_ok(take("job", 0, &lease));
    assert_ok(cachify_release_key(here.cachify, "job"));
    assert_status(cachify_extend(&lease, 60000), CACHIFY_LOST);
    ck_assert(!is_locked("job"));
}
END_TEST

START_TEST(extend_many_times_uses_no_room)
{
    assert_ok(take("job", 0, &lease));
    struct census before = census(here.m);
    for (unsigned i = 0; i < rounds(10000); i++)
        assert_ok(cachify_extend(&lease, 60000));
    struct census after = census(here.m);
    ck_assert_uint_eq(after.held, 1);
    ck_assert_uint_le(after.taken, before.taken + 1);
    assert_ok(cachify_release(&lease));
    ck_assert(!is_locked("job"));
}
END_TEST

/* pitfall 9 */
START_TEST(a_holder_stopped_beyond_its_lease_is_told_that_it_lost_it)
{
    struct agent *agent = agent_start();
    struct agent_answer had = agent_take(agent, "job", 100);
    agent_stop(agent);
    EVENTUALLY(!is_locked("job"), LONG_MS);
    assert_ok(take("job", 0, &lease));
    ck_assert_uint_gt(cachify_lease_token(&lease), had.token); /* what it writes to may refuse it */
    agent_continue(agent);
    struct agent_answer now = agent_look(agent);
    ck_assert(!now.held);
    ck_assert_int_eq(now.remaining_ms, 0);
    ck_assert_int_eq(agent_extend(agent, 60000).status, CACHIFY_LOST);
    ck_assert_int_eq(agent_release(agent).status, CACHIFY_LOST);
    ck_assert(cachify_lease_held(&lease));
}
END_TEST

/* ---- origin ---- */

START_TEST(origin_is_fresh_after_a_release)
{
    cachify_origin_t origin = {0};
    ck_assert_uint_ne(pass("job"), 0);
    assert_ok(take("job", 0, &lease));
    ck_assert_int_eq(cachify_lease_origin(&lease, &origin), CACHIFY_FRESH);
    ck_assert_uint_eq(origin.how, CACHIFY_FRESH);
    ck_assert_int_eq(origin.previous_pid, 0);
    ck_assert_uint_eq(origin.previous_token, 0);
}
END_TEST

START_TEST(origin_is_expired_with_whose_it_was)
{
    cachify_origin_t origin = {.size = sizeof origin};
    struct agent *agent = agent_start();
    struct agent_answer had = agent_take(agent, "job", 1);
    EVENTUALLY(!is_locked("job"), LONG_MS);
    assert_ok(take("job", 0, &lease));
    ck_assert_int_eq(cachify_lease_origin(&lease, &origin), CACHIFY_EXPIRED);
    ck_assert_uint_eq(origin.how, CACHIFY_EXPIRED);
    ck_assert_int_eq(origin.previous_pid, agent->pid);
    ck_assert_uint_eq(origin.previous_token, had.token);
    ck_assert_uint_eq(origin.size, sizeof origin);
}
END_TEST

START_TEST(origin_is_owner_died_with_whose_it_was)
{
    cachify_origin_t origin = {0};
    struct agent *agent = agent_start();
    pid_t pid = agent->pid;
    struct agent_answer had = agent_take(agent, "job", CACHIFY_NEVER);
    agent_kill(agent);
    EVENTUALLY(take("job", 0, &lease) == CACHIFY_OK, LONG_MS);
    ck_assert_int_eq(cachify_lease_origin(&lease, &origin), CACHIFY_OWNER_DIED);
    ck_assert_int_eq(origin.previous_pid, pid);
    ck_assert_uint_eq(origin.previous_token, had.token);
    ck_assert_uint_gt(cachify_lease_token(&lease), had.token);
}
END_TEST

/* ---- children ---- */

struct child_saw {
    cachify_status_t extend, release, again, take, own;
    bool held;
    int64_t remaining;
};

/* pitfall 10 */
START_TEST(a_child_has_no_part_in_its_parents_lease)
{
    struct child_saw *saw = shared(sizeof *saw);
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    pid_t pid = fork();
    if (pid == 0) {
        saw->held = cachify_lease_held(&lease);
        saw->remaining = cachify_lease_remaining_ms(&lease);
        saw->extend = cachify_extend(&lease, 1);
        saw->release = cachify_release(&lease);
        saw->again = cachify_release(&lease);
        saw->take = take("job", 0, &lease);
        saw->own = take("mine", 0, &lease);
        if (saw->own == CACHIFY_OK)
            saw->own = cachify_release(&lease);
        end_child();
    }
    waitpid(pid, NULL, 0);
    ck_assert(!saw->held);
    ck_assert_int_eq(saw->remaining, 0);
    ck_assert_int_eq(saw->extend, CACHIFY_INVALID);
    ck_assert_int_eq(saw->release, CACHIFY_INVALID);
    ck_assert_int_eq(saw->again, CACHIFY_OK); /* empty by then */
    ck_assert_int_eq(saw->take, CACHIFY_LOCKED);
    ck_assert_int_eq(saw->own, CACHIFY_OK);
    ck_assert(cachify_lease_held(&lease));
    ck_assert_int_eq(cachify_lease_remaining_ms(&lease), CACHIFY_NEVER);
    assert_ok(cachify_release(&lease));
}
END_TEST

/* ---- threads ---- */

static int64_t release_it(unsigned i, void *context)
{
    (void)i;
    return cachify_release(context);
}

START_TEST(threads_one_may_release_what_another_took)
{
    int64_t got[1];
    assert_ok(take("job", 0, &lease));
    threads_together(1, release_it, &lease, got);
    assert_ok((cachify_status_t)got[0]);
    ck_assert(!is_locked("job"));
    ck_assert(!cachify_lease_held(&lease));
}
END_TEST

static int64_t extend_or_release(unsigned i, void *context)
{
    if (i == 0)
        return cachify_release(context);
    cachify_status_t status = cachify_extend(context, 60000);
    return status == CACHIFY_OK ? cachify_extend(context, 70000) : status;
}

START_TEST(threads_release_wins_over_extend)
{
    for (unsigned round = 0; round < rounds(1000); round++) {
        int64_t got[3];
        assert_ok(take("job", 60000, &lease));
        threads_together(3, extend_or_release, &lease, got);
        ck_assert_int_eq(got[0], CACHIFY_OK);
        for (unsigned i = 1; i < 3; i++)
            ck_assert_msg(got[i] == CACHIFY_OK || got[i] == CACHIFY_LOST, "extend said %s",
                          status_name((cachify_status_t)got[i]));
        ck_assert_msg(!is_locked("job"), "still locked after the release in round %u", round);
        ck_assert(!cachify_lease_held(&lease));
    }
    struct census c = census(here.m);
    ck_assert_uint_eq(c.held, 0);
    ck_assert_uint_le(c.taken, 1); /* this thread's spare: the others gave theirs back */
    assert_sound(here.m);
}
END_TEST

START_TEST(threads_of_two_releases_one_acts)
{
    struct agent *agent = agent_start();
    for (unsigned round = 0; round < rounds(300); round++) {
        int64_t got[2];
        assert_ok(take("job", 60000, &lease));
        threads_together(2, release_it, &lease, got);
        ck_assert_int_eq(got[0], CACHIFY_OK);
        ck_assert_int_eq(got[1], CACHIFY_OK);
        assert_ok(agent_take(agent, "job", 0).status);
        assert_ok(agent_release(agent).status);
    }
    ck_assert_uint_eq(census(here.m).held, 0);
}
END_TEST

static int64_t take_and_leave(unsigned i, void *context)
{
    (void)i;
    return take("job", CACHIFY_NEVER, context);
}

/* pitfall 35: a lease is the process's, whatever its threads do. */
START_TEST(threads_a_lease_outlives_the_thread_that_took_it)
{
    int64_t got[1];
    struct agent *agent = agent_start();
    threads_together(1, take_and_leave, &lease, got);
    assert_ok((cachify_status_t)got[0]);
    ck_assert(cachify_lease_held(&lease));
    ck_assert_int_eq(agent_take(agent, "job", 0).status, CACHIFY_LOCKED);
    assert_ok(cachify_extend(&lease, 60000));
    assert_ok(cachify_release(&lease));
    assert_ok(agent_take(agent, "job", 0).status);
}
END_TEST

struct shared_count {
    _Atomic int inside;
    _Atomic int worst;
    unsigned turns;
};

static int64_t work_in_turn(unsigned i, void *context)
{
    struct shared_count *count = context;
    cachify_lease_t mine;
    (void)i;
    for (unsigned turn = 0; turn < count->turns; turn++) {
        cachify_lock_t lock = {.key = "job", .wait = true, .exp_ms = CACHIFY_NEVER};
        if (cachify_acquire(here.cachify, &lock, &mine) != CACHIFY_OK)
            return -1;
        int others = atomic_fetch_add(&count->inside, 1);
        if (others > atomic_load(&count->worst))
            atomic_store(&count->worst, others);
        atomic_fetch_sub(&count->inside, 1);
        if (cachify_release(&mine) != CACHIFY_OK)
            return -2;
    }
    return 0;
}

/* I1 */
START_TEST(threads_exclude_each_other)
{
    int64_t got[4];
    struct shared_count count = {.turns = rounds(5000)};
    threads_together(4, work_in_turn, &count, got);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(got[i], 0);
    ck_assert_int_eq(count.worst, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("lease");
    TCase *t = group(s, "release by lease", setup_here, teardown_here);
    tcase_add_test(t, release_frees_and_empties_the_lease);
    tcase_add_test(t, release_twice_is_ok_and_hurts_nobody);
    tcase_add_test(t, release_of_an_empty_lease_is_ok);
    tcase_add_test(t, release_and_is_locked_never_block);
    tcase_add_test(t, release_of_what_is_no_lease_is_INVALID);
    tcase_add_test(t, release_after_expiry_untaken_gives_the_lock_back);
    tcase_add_test(t, release_after_expiry_taken_is_LOST_and_frees_nothing_of_the_takers);
    tcase_add_test(t, a_copy_cannot_release_a_later_lease_of_the_same_thread);
    tcase_add_test(t, of_a_lease_and_its_copy_one_releases);
    t = group(s, "extend", setup_here, teardown_here);
    tcase_add_test(t, extend_gives_a_new_deadline_and_keeps_the_token);
    tcase_add_test(t, extend_counts_from_now_and_may_shorten);
    tcase_add_test(t, extend_late_but_untaken_succeeds_with_the_same_token);
    tcase_add_test(t, extend_after_the_lock_was_taken_is_LOST);
    tcase_add_test(t, extend_of_a_lease_released_by_force_is_LOST);
    tcase_add_test(t, extend_many_times_uses_no_room);
    tcase_add_test(t, a_holder_stopped_beyond_its_lease_is_told_that_it_lost_it);
    t = group(s, "origin", setup_here, teardown_here);
    tcase_add_test(t, origin_is_fresh_after_a_release);
    tcase_add_test(t, origin_is_expired_with_whose_it_was);
    tcase_add_test(t, origin_is_owner_died_with_whose_it_was);
    t = group(s, "children and threads", setup_here, teardown_here);
    tcase_add_test(t, a_child_has_no_part_in_its_parents_lease);
    tcase_add_test(t, threads_one_may_release_what_another_took);
    tcase_add_test(t, threads_release_wins_over_extend);
    tcase_add_test(t, threads_of_two_releases_one_acts);
    tcase_add_test(t, threads_a_lease_outlives_the_thread_that_took_it);
    tcase_add_test(t, threads_exclude_each_other);
    return run_suite(s);
}
