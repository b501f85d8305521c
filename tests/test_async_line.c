/* Loops and sleepers in one line: whose turn it is, and what becomes of it when a loop cancels or
 * does not come.  This process is the loop, agents sleep. */
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent.h"
#include "ground/hash.h"
#include "pending.h"
#include "shm/line.h"

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
    for (int64_t until = now_ms() + 20; now_ms() < until; tick())
        if (is_readable(before)) /* a look too many is no fault */
            assert_status(finish(before), CACHIFY_PENDING);
    ck_assert(agent_is_busy(behind));
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
    agent_settle(behind); /* it will not look by itself while the test lasts, but at expiry */
    int64_t start = now_ms();
    if (_i == RELEASED)
        assert_ok(agent_release(holder).status);
    else if (_i == KILLED)
        agent_kill(holder);
    assert_gets_it(behind, start, TOLD_MS);
    ck_assert(is_readable(async) || _i == EXPIRED); /* who is up first at expiry has it */
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

/* Loop, sleeper, loop, sleeper, all patient and asleep.  Who is called has its turn for a while:
 * if all of them were served in less, nobody was passed over. */
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
    for (unsigned i = 0; i < 2; i++)
        agent_settle(agents[i]);
    EVENTUALLY(attendant_sleeps(), LONG_MS);
    uint64_t begin = cf_monotonic_ns();
    assert_ok(cachify_release(&lease));
    bool in_order = serve(entrants, 4);
    ck_assert(in_order || cf_monotonic_ns() - begin > CF_TURN_NS);
    return in_order;
}

/* A program may close all that it did not open itself: the watch is asleep in the kernel by then. */
START_TEST(a_death_is_told_where_the_watchs_descriptor_was_closed)
{
#ifdef CF_TSAN
    SKIP("ThreadSanitizer minds that a thread is asleep with it");
#else
    struct agent *holder = agent_start();
    assert_ok(agent_take(holder, "job", CACHIFY_NEVER).status);
    cachify_async_t *async = pend("job", 0);
    await_watch();
    cf_nanosleep(20 * CF_MS);
    ck_assert_int_eq(close(here.m->fd), 0);
    agent_kill(holder);
    ck_assert(comes(async, TOLD_MS));
    assert_ok(finish(async));
#endif
}
END_TEST

/* On a busy machine some are not there when it is their turn, and are passed over: not always. */
START_TEST(loops_and_sleepers_are_served_in_order_of_arrival)
{
    struct agent *agents[2] = {agent_start(), agent_start()};
    for (unsigned in_order = 0; in_order < 3;)
        in_order += come_and_be_served(agents);
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

/* Whether some waiter for the key was called, and passed over since. */
static bool is_passed_over(const struct cf_mapping *m, const char *key)
{
    uint64_t hash = cf_hash(key, strlen(key), m->hash_seed);
    for (uint32_t i = cf_line_next(m, 0); i != CF_NO_WAITER; i = cf_line_next(m, i + 1)) {
        const struct cf_waiter *w = cf_waiter_at(m, i);
        if (cf_load_relaxed(&w->hash) == hash && (cf_load_seq(&w->word) & CF_WORD_ABSENT) != 0)
            return true;
    }
    return false;
}

/* When both were released, by the monotonic clock; 0 if a turn can have run out by then, negative
 * if one of them was passed over. */
static cachify_status_t act_release_two(struct agent_self *self, const struct agent_order *order,
                                        struct agent_answer *answer)
{
    (void)order;
    uint64_t begin = cf_monotonic_ns();
    cachify_status_t first = cachify_release(&self->lease[0]);
    cachify_status_t status = cachify_release(&self->lease[1]);
    bool passed_over = is_passed_over(self->m, "a") || is_passed_over(self->m, "b");
    int64_t end = (int64_t)cf_monotonic_ns();
    if (end - (int64_t)begin < (int64_t)CF_TURN_NS)
        answer->number = passed_over ? -end : end;
    return first != CACHIFY_OK ? first : status;
}

/* Until then at least the descriptor was not readable; 0 if it was at the first look. */
static int64_t unready_until(const cachify_async_t *async)
{
    int64_t before, now = 0, limit = now_ms() + LONG_MS;
    do {
        before = now;
        now = (int64_t)cf_monotonic_ns();
        ck_assert_int_lt(now_ms(), limit);
    } while (!is_readable(async));
    return before;
}

enum seen { NOTHING, CALLED, PASSED_OVER };

/* What became of both; NOTHING if a turn can have run out, or if the attendant may have been on its
 * way to sleep again when it was called for the second: those cannot be told from the stopped. */
static enum seen release_two(struct agent *holder)
{
    struct agent_order order = {.act = act_take, .lease = 1, .key = "b"};
    assert_ok(agent_take(holder, "a", 0).status);
    assert_ok(agent_do(holder, &order).status);
    cachify_async_t *async[2] = {pend("a", 0), pend("b", 0)};
    cf_nanosleep(30 * CF_MS); /* the attendant has looked, and watched */
    EVENTUALLY(attendant_sleeps(), LONG_MS);
    order = (struct agent_order){.act = act_release_two};
    ck_assert(agent_tell(holder, &order));
    int64_t unready = unready_until(async[0]);
    struct agent_answer answer = agent_finish(holder);
    assert_ok(answer.status);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert(comes(async[i], TOLD_MS));
        assert_ok(finish(async[i]));
        assert_ok(cachify_release(&got));
    }
    if (answer.number == 0 || unready < llabs(answer.number))
        return NOTHING;
    return answer.number < 0 ? PASSED_OVER : CALLED;
}

/* Its attendant is woken once, and was called twice: that is no reason to pass it over. */
START_TEST(two_calls_of_one_process_at_once_are_both_its_turns)
{
    struct agent *holder = agent_start();
    for (unsigned called = 0; called < 15;) {
        enum seen seen = release_two(holder);
        ck_assert_int_ne(seen, PASSED_OVER);
        called += seen == CALLED;
    }
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
    tcase_add_test(t, a_death_is_told_where_the_watchs_descriptor_was_closed);
    tcase_add_test(t, loops_and_sleepers_are_served_in_order_of_arrival);
    tcase_add_test(t, two_calls_of_one_process_at_once_are_both_its_turns);
    tcase_add_test(t, two_of_one_thread_exclude_each_other);
    return run_suite(s);
}
