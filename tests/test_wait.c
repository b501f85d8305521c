/* Semantics of waiting (design, section 3): the rows wait and poll interval; who wakes whom.
 * The poll interval here is 5 s, so whoever has the lock in less than half of that was woken. */
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "agent.h"
#include "shm/line.h"

#define WOKEN_MS 2500

static cachify_lease_t lease, second;

static cachify_status_t wait_for(const char *key, int64_t timeout_ms, cachify_lease_t *got)
{
    cachify_lock_t lock = {.key = key, .wait = true, .timeout_ms = timeout_ms};
    return cachify_acquire(here.cachify, &lock, got);
}

#define assert_blocks(call)                                                                        \
    do {                                                                                           \
        struct agent_answer got_ = (call);                                                         \
        ck_assert_msg(got_.verdict == WOULD_BLOCK, "%s answered %s instead of blocking", #call,    \
                      status_name(got_.status));                                                   \
    } while (0)

/* The order under way ends with this status, and took less than ms from start on. */
#define assert_ends(agent, expected, start, ms)                                                    \
    do {                                                                                           \
        struct agent_answer got_ = agent_finish(agent);                                            \
        int64_t took_ = now_ms() - (start);                                                        \
        ck_assert_int_eq(got_.verdict, ANSWERED);                                                  \
        ck_assert_msg(got_.status == (expected), "%s: %s", status_name(got_.status), got_.error);  \
        ck_assert_int_lt(took_, ms);                                                               \
    } while (0)

/* Which of them has the lock; which one it is nobody promised. */
static struct agent *holder_among(struct agent **agents, unsigned n, const char *key)
{
    EVENTUALLY(query(key).state == CACHIFY_STATE_HELD, WOKEN_MS);
    int64_t pid = query(key).pid;
    for (unsigned i = 0; i < n; i++)
        if (agents[i]->pid == pid)
            return agents[i];
    ck_abort_msg("process %d has %s", (int)pid, key);
}

static void poll_every(int64_t ms)
{
    cachify_config_t config = here.config;
    config.poll_interval_ms = ms;
    reopen_here(config);
}

/* ---- wait ---- */

START_TEST(wait_for_a_free_lock_takes_it_at_once)
{
    assert_ok(wait_for("job", 0, &lease));
    assert_ok(cachify_release(&lease));
    assert_ok(wait_for("job", 1, &lease));
}
END_TEST

START_TEST(wait_is_woken_by_release_long_before_the_poll_interval)
{
    struct agent *agent = agent_start();
    for (unsigned i = 0; i < 20; i++) {
        assert_ok(take("job", 0, &lease));
        assert_blocks(agent_wait(agent, "job", 0, 0));
        int64_t start = now_ms();
        assert_ok(cachify_release(&lease));
        assert_ends(agent, CACHIFY_OK, start, WOKEN_MS);
        assert_ok(agent_release(agent).status);
    }
}
END_TEST

/* pitfall 21 */
START_TEST(wait_is_woken_by_release_by_key)
{
    struct agent *agent = agent_start();
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_blocks(agent_wait(agent, "job", 0, 0));
    int64_t start = now_ms();
    assert_ok(cachify_release_key(here.cachify, "job"));
    assert_ends(agent, CACHIFY_OK, start, WOKEN_MS);
    assert_status(cachify_release(&lease), CACHIFY_LOST);
}
END_TEST

/* pitfall 20: nobody wakes anybody when a lease runs out. */
START_TEST(wait_ends_when_the_holders_lease_expires)
{
    struct agent *agent = agent_start();
    int64_t start = now_ms();
    assert_ok(take("job", 300, &lease));
    assert_blocks(agent_wait(agent, "job", 0, 0));
    struct agent_answer got = agent_finish(agent);
    ck_assert_int_eq(got.status, CACHIFY_OK);
    ck_assert_uint_eq(got.origin.how, CACHIFY_EXPIRED);
    ck_assert_int_ge(now_ms() - start, 294);
    ck_assert_int_lt(now_ms() - start, WOKEN_MS);
    ck_assert(!cachify_lease_held(&lease));
}
END_TEST

/* pitfall 20 */
START_TEST(wait_goes_on_when_the_holder_renews)
{
    struct agent *agent = agent_start();
    assert_ok(take("job", 200, &lease));
    assert_blocks(agent_wait(agent, "job", 0, 0));
    int64_t renewed = now_ms(); /* before: from then on, at the earliest, the lease runs */
    assert_ok(cachify_extend(&lease, 700));
    struct agent_answer got = agent_finish(agent);
    ck_assert_int_eq(got.status, CACHIFY_OK);
    ck_assert_int_ge(now_ms() - renewed, 694);
    ck_assert_int_lt(now_ms() - renewed, WOKEN_MS + 700);
}
END_TEST

/* pitfall 21 */
START_TEST(wait_is_woken_when_the_deadline_is_shortened)
{
    struct agent *agent = agent_start();
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_blocks(agent_wait(agent, "job", 0, 0));
    int64_t start = now_ms();
    assert_ok(cachify_extend(&lease, 50));
    assert_ends(agent, CACHIFY_OK, start, WOKEN_MS);
}
END_TEST

START_TEST(wait_without_limit_goes_on)
{
    poll_every(20);
    struct agent *agents[2] = {agent_start(), agent_start()};
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_blocks(agent_wait(agents[0], "job", 0, 0));
    assert_blocks(agent_wait(agents[1], "job", CACHIFY_NEVER, 0));
    STAYS(agent_is_busy(agents[0]) && agent_is_busy(agents[1]) && is_locked("job"),
          200); /* ten poll intervals */
    EVENTUALLY(query("job").waiters == 2, LONG_MS);
    assert_ok(cachify_release(&lease));
    for (unsigned i = 0; i < 2; i++) {
        struct agent *holder = holder_among(agents, 2, "job");
        assert_ends(holder, CACHIFY_OK, now_ms(), LONG_MS);
        assert_ok(agent_release(holder).status);
    }
}
END_TEST

/* pitfall 7, pitfall 8: shorter and longer than the poll interval. */
static const int64_t timeouts[] = {1, 7, 50, 250, 600};

START_TEST(wait_ends_at_its_timeout)
{
    int64_t timeout = timeouts[_i];
    if (timeout == 600)
        poll_every(100);
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "job", CACHIFY_NEVER).status);
    uint64_t start = cf_monotonic_ns();
    assert_status(wait_for("job", timeout, &lease), CACHIFY_TIMEOUT);
    uint64_t took = cf_monotonic_ns() - start;
    ck_assert_uint_ge(took, (uint64_t)timeout * CF_MS);
    ck_assert_uint_lt(took, (uint64_t)(timeout + 1000) * CF_MS);
    ck_assert_int_eq(query("job").waiters, 0);
}
END_TEST

/* Takes somebody's word out of its slot, as a release does, and wakes nobody: what a
 * releaser that is killed between the two leaves (crash C10). */
static cachify_status_t take_out_silently(const char *key)
{
    uint32_t slot;
    cf_word w = word_of(key, &slot);
    return cf_cas64(cf_slot_at(here.m, slot), w, 0) ? CACHIFY_OK : CACHIFY_LOST;
}

/* pitfall 8 */
START_TEST(wait_tries_a_last_time_at_its_deadline)
{
    struct agent *agent = agent_start();
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    int64_t start = now_ms();
    assert_blocks(agent_wait(agent, "job", 400, 0));
    assert_ok(take_out_silently("job"));
    assert_ends(agent, CACHIFY_OK, start, WOKEN_MS);
}
END_TEST

START_TEST(wait_takes_a_lock_that_expires_with_its_timeout)
{
    struct agent *agent = agent_start();
    assert_ok(take("job", 300, &lease));
    assert_blocks(agent_wait(agent, "job", 320, 0));
    assert_ends(agent, CACHIFY_OK, now_ms(), WOKEN_MS);
}
END_TEST

/* ---- poll interval ---- */

/* pitfall 16 */
START_TEST(poll_interval_ends_a_sleep_that_nobody_woke)
{
    poll_every(100);
    struct agent *agent = agent_start();
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_blocks(agent_wait(agent, "job", 0, 0));
    int64_t start = now_ms();
    assert_ok(take_out_silently("job"));
    assert_ends(agent, CACHIFY_OK, start, 100 + 1000);
}
END_TEST

START_TEST(poll_interval_finds_a_dead_holder)
{
    poll_every(100);
    struct agent *holder = agent_start(), *agent = agent_start();
    assert_ok(agent_take(holder, "job", CACHIFY_NEVER).status);
    assert_blocks(agent_wait(agent, "job", 0, 0));
    int64_t start = now_ms();
    agent_kill(holder);
    struct agent_answer got = agent_finish(agent);
    ck_assert_int_eq(got.status, CACHIFY_OK);
    ck_assert_uint_eq(got.origin.how, CACHIFY_OWNER_DIED);
    ck_assert_int_lt(now_ms() - start, 100 + 1000);
}
END_TEST

/* pitfall 26 */
static cachify_status_t act_wait_and_count(struct agent_self *self, const struct agent_order *order,
                                           struct agent_answer *answer)
{
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    cachify_status_t status = act_take(self, order, answer);
    getrusage(RUSAGE_SELF, &after);
    answer->number = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 +
                     (after.ru_utime.tv_usec - before.ru_utime.tv_usec) +
                     (after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000 +
                     (after.ru_stime.tv_usec - before.ru_stime.tv_usec);
    return status;
}

START_TEST(poll_interval_costs_a_waiter_next_to_no_processor_time)
{
    poll_every(20);
    struct agent *agent = agent_start();
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    struct agent_order order = {
        .act = act_wait_and_count, .wait = true, .timeout_ms = 1000, .key = "job"};
    assert_blocks(agent_do(agent, &order));
    struct agent_answer got = agent_finish(agent);
    ck_assert_int_eq(got.status, CACHIFY_TIMEOUT);
    if (!under_valgrind())
        ck_assert_int_lt(got.number, 100000); /* us, of a second */
}
END_TEST

static int64_t wait_holding_nothing(unsigned i, void *context)
{
    (void)i;
    return wait_for(context, 0, &second);
}

/* A default of 100 ms: an instance opened without a wish. */
START_TEST(poll_interval_defaults_to_100_ms)
{
    poll_every(0);
    struct agent *agent = agent_start();
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_blocks(agent_wait(agent, "job", 0, 0));
    int64_t start = now_ms();
    assert_ok(take_out_silently("job"));
    assert_ends(agent, CACHIFY_OK, start, 100 + 1000);
}
END_TEST

/* ---- many ---- */

/* pitfall 25: each release lets one in, and nobody is forgotten. */
START_TEST(many_waiters_are_all_served)
{
    struct agent *agents[12];
    for (unsigned i = 0; i < 12; i++)
        agents[i] = agent_start();
    assert_ok(take("job", 0, &lease));
    for (unsigned i = 0; i < 12; i++)
        assert_blocks(agent_wait(agents[i], "job", 0, 0));
    ck_assert_uint_eq(query("job").waiters, 12);
    assert_ok(cachify_release(&lease));
    for (unsigned served = 0; served < 12; served++) {
        int64_t start = now_ms();
        struct agent *holder = holder_among(agents, 12, "job");
        assert_ends(holder, CACHIFY_OK, start, WOKEN_MS);
        EVENTUALLY(query("job").waiters == 11 - served, WOKEN_MS);
        assert_ok(agent_release(holder).status);
    }
    ck_assert(!is_locked("job"));
}
END_TEST

/* pitfall 25, pitfall 71: two keys of one group and one class; the call for the one goes to its
 * own waiter, and the other sleeps on. */
START_TEST(many_keys_of_a_group_do_not_wake_each_other)
{
    char a[16]; /* a copy: the search may go once round the places of key_at */
    const char *b = NULL;
    snprintf(a, sizeof a, "%s", key_at(3, -1, 0));
    for (unsigned n = 1; b == NULL; n++)
        if (cf_wait_class(hash_of(key_at(3, -1, n))) == cf_wait_class(hash_of(a)))
            b = key_at(3, -1, n);
    struct agent *wrong = agent_start(), *right = agent_start();
    assert_ok(take(a, 0, &lease));
    assert_ok(take(b, 0, &second));
    assert_blocks(agent_wait(wrong, b, 0, 0)); /* first to sleep, first to be woken */
    assert_blocks(agent_wait(right, a, 0, 0));
    int64_t start = now_ms();
    assert_ok(cachify_release(&lease));
    assert_ends(right, CACHIFY_OK, start, WOKEN_MS);
    ck_assert(agent_is_busy(wrong));
    start = now_ms();
    assert_ok(cachify_release(&second));
    assert_ends(wrong, CACHIFY_OK, start, WOKEN_MS);
}
END_TEST

START_TEST(threads_wait_for_each_other)
{
    int64_t got[1];
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "job", 100).status);
    threads_together(1, wait_holding_nothing, "job", got);
    assert_ok((cachify_status_t)got[0]);
    assert_ok(cachify_release(&second));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wait");
    TCase *t = group(s, "wait", setup_here, teardown_here);
    tcase_add_test(t, wait_for_a_free_lock_takes_it_at_once);
    tcase_add_test(t, wait_is_woken_by_release_long_before_the_poll_interval);
    tcase_add_test(t, wait_is_woken_by_release_by_key);
    tcase_add_test(t, wait_ends_when_the_holders_lease_expires);
    tcase_add_test(t, wait_goes_on_when_the_holder_renews);
    tcase_add_test(t, wait_is_woken_when_the_deadline_is_shortened);
    tcase_add_test(t, wait_without_limit_goes_on);
    tcase_add_loop_test(t, wait_ends_at_its_timeout, 0, 5);
    tcase_add_test(t, wait_tries_a_last_time_at_its_deadline);
    tcase_add_test(t, wait_takes_a_lock_that_expires_with_its_timeout);
    t = group(s, "poll interval", setup_here, teardown_here);
    tcase_add_test(t, poll_interval_ends_a_sleep_that_nobody_woke);
    tcase_add_test(t, poll_interval_finds_a_dead_holder);
    tcase_add_test(t, poll_interval_costs_a_waiter_next_to_no_processor_time);
    tcase_add_test(t, poll_interval_defaults_to_100_ms);
    t = group(s, "many", setup_here, teardown_here);
    tcase_add_test(t, many_waiters_are_all_served);
    tcase_add_test(t, many_keys_of_a_group_do_not_wake_each_other);
    tcase_add_test(t, threads_wait_for_each_other);
    return run_suite(s);
}
