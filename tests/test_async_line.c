/* Loops and sleepers in one line: whose turn it is, and what becomes of it when a loop cancels or
 * does not come.  This process is the loop, agents sleep. */
#include <poll.h>

#include "agent.h"
#include "pending.h"

static cachify_lease_t lease, got;

/* What is held still keeps its instance, and so the instance's threads. */
static void teardown(void)
{
    cachify_release(&lease);
    cachify_release(&got);
    teardown_here();
}

static cachify_status_t finish(cachify_async_t *async)
{
    return cachify_async_finish(async, &got);
}

static void assert_blocks(struct agent_answer answer)
{
    ck_assert_msg(answer.verdict == WOULD_BLOCK, "answered %s instead of blocking",
                  status_name(answer.status));
}

static void assert_gets_it(struct agent *agent, int64_t start, int64_t ms)
{
    struct agent_answer answer = agent_finish(agent);
    ck_assert_int_eq(answer.verdict, ANSWERED);
    ck_assert_msg(answer.status == CACHIFY_OK, "%s", answer.error);
    ck_assert_int_lt(now_ms() - start, ms);
}

/* All of this process's waiters have been in line for more than the millisecond of patience. */
static void become_patient(void)
{
    cf_nanosleep(3 * CF_MS);
}

/* ---- Cancel ---- */

/* pitfall 76 */
START_TEST(cancel_leaves_nothing)
{
    unsigned descriptors = count_descriptors();
    assert_ok(take("job", 0, &lease));
    cachify_async_t *async = pend("job", 0);
    ck_assert_uint_eq(query("job").waiters, 1);
    assert_ok(cachify_async_cancel(async));
    ck_assert_uint_eq(query("job").waiters, 0);
    ck_assert_uint_eq(count_descriptors(), descriptors);
    ck_assert(cachify_lease_held(&lease));
    assert_ok(cachify_release(&lease));
    ck_assert_uint_ne(pass("job"), 0);
    assert_ok(cachify_async_cancel(NULL));
}
END_TEST

/* pitfall 76 */
START_TEST(cancel_after_the_grant_gives_the_lock_back)
{
    unsigned descriptors = count_descriptors();
    struct agent *agent = agent_start();
    cachify_async_t *async = pend("job", 0);
    ck_assert_int_eq(agent_take(agent, "job", 0).status, CACHIFY_LOCKED);
    assert_blocks(agent_wait(agent, "job", 0, 0));
    int64_t start = now_ms();
    assert_ok(cachify_async_cancel(async));
    assert_gets_it(agent, start, TOLD_MS);
    ck_assert_uint_eq(count_descriptors(), descriptors + 1); /* the agent's socket */
}
END_TEST

/* pitfall 76: it is readable, the lock is kept for it; then the loop loses interest. */
START_TEST(cancel_of_one_whose_turn_it_is_passes_the_turn_on)
{
    struct agent *behind = agent_start();
    assert_ok(take("job", 0, &lease));
    cachify_async_t *async = pend("job", 0);
    become_patient();
    assert_blocks(agent_wait(behind, "job", 0, 0));
    int64_t start = now_ms();
    assert_ok(cachify_release(&lease));
    ck_assert(comes(async, TOLD_MS));
    assert_ok(cachify_async_cancel(async));
    assert_gets_it(behind, start, TOLD_MS);
    ck_assert_uint_eq(query("job").waiters, 0);
}
END_TEST

START_TEST(cancel_of_one_in_the_middle_hurts_neither_side)
{
    struct agent *behind = agent_start();
    assert_ok(take("job", 0, &lease));
    cachify_async_t *before = pend("job", 0);
    become_patient();
    cachify_async_t *middle = pend("job", 0);
    become_patient();
    assert_blocks(agent_wait(behind, "job", 0, 0));
    agent_settle(behind);
    assert_ok(cachify_async_cancel(middle));
    STAYS(!is_readable(before) && agent_is_busy(behind), 20);
    int64_t start = now_ms();
    assert_ok(cachify_release(&lease));
    ck_assert(comes(before, TOLD_MS));
    assert_ok(cachify_async_cancel(before));
    assert_gets_it(behind, start, TOLD_MS);
}
END_TEST

/* ---- In line ---- */

/* How the lock comes free, for a loop that is not there. */
enum { RELEASED, EXPIRED, KILLED };

/* pitfall 76: it is not there when its turn comes, but it is still interested. */
START_TEST(a_loop_that_does_not_come_is_passed_over_and_served_later)
{
    struct agent *holder = agent_start(), *behind = agent_start();
    assert_ok(agent_take(holder, "job", _i == EXPIRED ? 400 : CACHIFY_NEVER).status);
    cachify_async_t *async = pend("job", 0);
    become_patient();
    assert_blocks(agent_wait(behind, "job", 0, 0));
    if (_i != EXPIRED)
        await_watch();
    int64_t start = now_ms();
    if (_i == RELEASED)
        assert_ok(agent_release(holder).status);
    else if (_i == KILLED)
        agent_kill(holder);
    assert_gets_it(behind, start, TOLD_MS);
    ck_assert(is_readable(async));
    assert_status(finish(async), CACHIFY_PENDING);
    ck_assert(!is_readable(async));
    assert_ok(agent_release(behind).status);
    ck_assert(comes(async, TOLD_MS));
    assert_ok(finish(async));
}
END_TEST

/* A loop's, or a sleeper's, never both. */
struct entrant {
    cachify_async_t *async;
    struct agent *agent;
};

/* If it has the lock: released again. */
static bool is_served(struct entrant *e)
{
    if (e->agent != NULL) {
        ck_assert_int_eq(agent_finish(e->agent).status, CACHIFY_OK);
        assert_ok(agent_release(e->agent).status);
        return true;
    }
    if (finish(e->async) == CACHIFY_PENDING)
        return false; /* it was passed over */
    assert_ok(cachify_release(&got));
    e->async = NULL;
    return true;
}

/* Serves all of them; whether they came in the order in which they stand. */
static bool serve(struct entrant *entrants, nfds_t n)
{
    struct pollfd p[4];
    nfds_t served = 0;
    bool in_order = true;
    for (nfds_t i = 0; i < n; i++) {
        struct entrant *e = &entrants[i];
        int fd = e->agent != NULL ? e->agent->socket : cachify_async_fd(e->async);
        p[i] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    while (served < n) {
        ck_assert_int_gt(poll(p, n, TOLD_MS), 0);
        for (nfds_t i = 0; i < n; i++)
            if (p[i].fd >= 0 && p[i].revents != 0 && is_served(&entrants[i])) {
                in_order &= i == served++;
                p[i].fd = -1;
                break;
            }
    }
    return in_order;
}

/* Loop, sleeper, loop, sleeper, all patient. */
static bool come_and_be_served(struct agent **agents)
{
    struct entrant entrants[4] = {{0}};
    assert_ok(take("job", 0, &lease));
    for (unsigned i = 0; i < 4; i++) {
        if (i % 2 == 0)
            entrants[i].async = pend("job", 0);
        else
            entrants[i].agent = agents[i / 2];
        if (i % 2 == 1)
            assert_blocks(agent_wait(agents[i / 2], "job", 0, 0));
        become_patient();
    }
    assert_ok(cachify_release(&lease));
    return serve(entrants, 4);
}

/* Who is not there within 2 ms is passed over, and on a busy machine that happens. */
START_TEST(loops_and_sleepers_are_served_in_order_of_arrival)
{
    struct agent *agents[2] = {agent_start(), agent_start()};
    unsigned in_order = 0;
    for (unsigned i = 0; i < 10; i++)
        in_order += come_and_be_served(agents);
    ck_assert_uint_ge(in_order, 3);
}
END_TEST

/* pitfall 77: of two tasks of one thread one has the lock, and only that one gives it back. */
START_TEST(two_of_one_thread_exclude_each_other)
{
    cachify_lease_t first, second;
    cachify_async_t *a = pend("job", 0), *b = pend("job", 0);
    assert_ok(cachify_async_finish(a, &first));
    STAYS(!is_readable(b), 30);
    assert_status(cachify_async_finish(b, &second), CACHIFY_PENDING);
    assert_status(take("job", 0, &second), CACHIFY_LOCKED);
    assert_ok(cachify_release(&first));
    ck_assert(comes(b, TOLD_MS));
    assert_ok(cachify_async_finish(b, &second));
    ck_assert_uint_gt(cachify_lease_token(&second), 0);
    assert_ok(cachify_release(&first)); /* empty: the other's is not touched */
    ck_assert(cachify_lease_held(&second));
    assert_ok(cachify_release(&second));
}
END_TEST

/* ---- Two locks of one process's loop, released within a microsecond ---- */

static cachify_status_t act_release_two(struct agent_self *self, const struct agent_order *order,
                                        struct agent_answer *answer)
{
    (void)order, (void)answer;
    cachify_status_t status = cachify_release(&self->lease[0]);
    return cachify_release(&self->lease[1]) == CACHIFY_OK ? status : CACHIFY_LOST;
}

/* Whether the loop had its turn for the second, before the sleeper behind it. */
static bool had_its_turn(struct agent *holder, struct agent *behind)
{
    struct agent_order order = {.act = act_take, .lease = 1, .key = "b"};
    assert_ok(agent_take(holder, "a", 0).status);
    assert_ok(agent_do(holder, &order).status);
    cachify_async_t *a = pend("a", 0), *b = pend("b", 0);
    become_patient();
    assert_blocks(agent_wait(behind, "b", 0, 0));
    agent_settle(behind);
    assert_ok(agent_run(holder, act_release_two, 0).status);
    ck_assert(comes(b, TOLD_MS));
    bool had = finish(b) == CACHIFY_OK;
    if (had)
        assert_ok(cachify_release(&got));
    else
        assert_ok(cachify_async_cancel(b));
    ck_assert_int_eq(agent_finish(behind).status, CACHIFY_OK);
    assert_ok(agent_release(behind).status);
    ck_assert(comes(a, TOLD_MS));
    assert_ok(finish(a));
    assert_ok(cachify_release(&got));
    return had;
}

/* Its attendant is woken once, and was called twice: that is no reason to pass it over.  Too
 * slow for a turn of 2 ms it may be, on a busy machine. */
START_TEST(two_calls_of_one_process_at_once_are_both_its_turns)
{
    struct agent *holder = agent_start(), *behind = agent_start();
    unsigned had = 0;
    for (unsigned i = 0; i < 10; i++)
        had += had_its_turn(holder, behind);
    ck_assert_uint_ge(had, 5);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("async_line");
    TCase *t = group(s, "cancel", setup_here, teardown);
    tcase_add_test(t, cancel_leaves_nothing);
    tcase_add_test(t, cancel_after_the_grant_gives_the_lock_back);
    tcase_add_test(t, cancel_of_one_whose_turn_it_is_passes_the_turn_on);
    tcase_add_test(t, cancel_of_one_in_the_middle_hurts_neither_side);
    t = group(s, "in line", setup_here, teardown);
    tcase_add_loop_test(t, a_loop_that_does_not_come_is_passed_over_and_served_later, 0, 3);
    tcase_add_test(t, loops_and_sleepers_are_served_in_order_of_arrival);
    tcase_add_test(t, two_calls_of_one_process_at_once_are_both_its_turns);
    tcase_add_test(t, two_of_one_thread_exclude_each_other);
    return run_suite(s);
}
