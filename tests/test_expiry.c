/* Semantics of time (design, section 3): the row expiry, and times in general. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "shm/who.h"

static cachify_lease_t lease;

/* The deadline that others honour, in ns on the segment's clock. */
static uint64_t deadline_of(const char *key)
{
    cf_word w = word_of(key, NULL);
    ck_assert_int_eq(cf_word_state(w), CF_HELD);
    return cf_load_relaxed(&cf_record_at(here.m, cf_word_record(w))->deadline);
}

/* How far the deadline may be from what was asked for, by the length asked for. */
static uint64_t allowed(int64_t exp_ms)
{
    return (exp_ms < 1000 ? 5 : 25) * CF_MS;
}

static const int64_t lengths[] = {1, 2, 10, 100, 500, 999, 1000, 1001, 5000, 30000, 3600000};

/* ---- expiry ---- */

START_TEST(expiry_is_exact_to_25_ms_and_to_5_under_a_second)
{
    int64_t exp = lengths[_i];
    uint64_t before = cf_now(here.m);
    assert_ok(take("job", exp, &lease));
    uint64_t after = cf_now(here.m), deadline = deadline_of("job");
    ck_assert_uint_ge(deadline + allowed(exp), before + (uint64_t)exp * CF_MS);
    ck_assert_uint_le(deadline, after + (uint64_t)exp * CF_MS + allowed(exp));
}
END_TEST

START_TEST(expiry_after_an_extend_is_as_exact)
{
    int64_t exp = lengths[_i];
    assert_ok(take("job", 60000, &lease));
    uint64_t before = cf_now(here.m);
    assert_ok(cachify_extend(&lease, exp));
    uint64_t after = cf_now(here.m), deadline = deadline_of("job");
    ck_assert_uint_ge(deadline + allowed(exp), before + (uint64_t)exp * CF_MS);
    ck_assert_uint_le(deadline, after + (uint64_t)exp * CF_MS + allowed(exp));
}
END_TEST

START_TEST(expiry_comes_when_it_was_asked_for)
{
    struct agent *agent = agent_start();
    uint64_t before = cf_monotonic_ns();
    assert_ok(take("job", 300, &lease));
    while (agent_take(agent, "job", 0).status == CACHIFY_LOCKED)
        tick();
    uint64_t lasted = cf_monotonic_ns() - before;
    ck_assert_uint_ge(lasted, 295 * CF_MS);
    ck_assert_uint_lt(lasted, 3000 * CF_MS);
    ck_assert(!cachify_lease_held(&lease));
}
END_TEST

START_TEST(expiry_the_holder_is_never_told_more_than_others_honour)
{
    bool held = true;
    assert_ok(take("job", 100, &lease));
    while (held) {
        uint64_t before = cf_now(here.m);
        held = cachify_lease_held(&lease);
        ck_assert(!held || deadline_of("job") > before);
        int64_t theirs = query("job").remaining_ms;
        int64_t ours = cachify_lease_remaining_ms(&lease); /* asked later: it may be less */
        ck_assert_int_le(ours, theirs);
    }
    ck_assert_int_eq(cachify_lease_remaining_ms(&lease), 0);
}
END_TEST

START_TEST(expiry_defaults_to_the_instances)
{
    cachify_t *other;
    cachify_config_t config = here.config;
    assert_ok(take("a", 0, &lease));
    ck_assert_int_le(cachify_lease_remaining_ms(&lease), 30000);
    ck_assert_int_gt(cachify_lease_remaining_ms(&lease), 30000 - LONG_MS);
    config.default_exp_ms = 700000;
    assert_ok(cachify_open(&config, &other));
    assert_ok(cachify_acquire(other, &(cachify_lock_t){.key = "b"}, &lease));
    ck_assert_int_gt(cachify_lease_remaining_ms(&lease), 600000);
    ck_assert_int_le(cachify_lease_remaining_ms(&lease), 700000);
    assert_ok(cachify_release(&lease));
    config.default_exp_ms = CACHIFY_NEVER;
    assert_ok(cachify_close(other));
    assert_ok(cachify_open(&config, &other));
    assert_ok(cachify_acquire(other, &(cachify_lock_t){.key = "c"}, &lease));
    ck_assert_int_eq(cachify_lease_remaining_ms(&lease), CACHIFY_NEVER);
    assert_ok(cachify_release(&lease));
    assert_ok(cachify_close(other));
}
END_TEST

START_TEST(expiry_NEVER_is_none)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    ck_assert_int_eq(cachify_lease_remaining_ms(&lease), CACHIFY_NEVER);
    ck_assert_int_eq(query("job").remaining_ms, CACHIFY_NEVER);
    ck_assert_uint_eq(deadline_of("job"), UINT64_MAX);
}
END_TEST

/* pitfall 7, pitfall 49 */
START_TEST(expiry_negative_or_absurd_is_refused)
{
    const int64_t absurd[] = {-1, -1000, INT64_MIN, CACHIFY_MAX_MS + 1, INT64_MAX - 1};
    char given[32];
    for (unsigned i = 0; i < 5; i++) {
        cachify_lock_t wait = {.key = "job", .wait = true, .timeout_ms = absurd[i]};
        snprintf(given, sizeof given, "%lld", (long long)absurd[i]);
        assert_status(take("job", absurd[i], &lease), CACHIFY_INVALID);
        assert_says("exp_ms");
        assert_says(given);
        assert_status(cachify_acquire(here.cachify, &wait, &lease), CACHIFY_INVALID);
        assert_says("timeout_ms");
        assert_says(given);
        ck_assert(!is_locked("job"));
        assert_ok(take("job", 60000, &lease));
        assert_status(cachify_extend(&lease, absurd[i]), CACHIFY_INVALID);
        assert_says(given);
        ck_assert(cachify_lease_held(&lease)); /* as it was */
        assert_ok(cachify_release(&lease));
    }
}
END_TEST

/* pitfall 49 */
START_TEST(expiry_of_a_hundred_years_does_not_overflow)
{
    assert_ok(take("job", CACHIFY_MAX_MS, &lease));
    ck_assert_int_gt(cachify_lease_remaining_ms(&lease), CACHIFY_MAX_MS - LONG_MS);
    ck_assert_int_le(cachify_lease_remaining_ms(&lease), CACHIFY_MAX_MS);
    ck_assert(is_locked("job"));
    assert_ok(cachify_extend(&lease, CACHIFY_MAX_MS));
    ck_assert(is_locked("job"));
}
END_TEST

/* pitfall 4 */
START_TEST(expiry_over_the_lock_is_no_longer_locked)
{
    assert_ok(take("job", 1, &lease));
    EVENTUALLY(!is_locked("job"), LONG_MS);
    cachify_info_t info = query("job");
    ck_assert_uint_eq(info.state, CACHIFY_STATE_EXPIRED);
    ck_assert_int_eq(info.remaining_ms, 0);
    ck_assert_int_eq(info.pid, getpid());
    ck_assert(!cachify_lease_held(&lease));
}
END_TEST

/* pitfall 49: a deadline that is now is over. */
START_TEST(expiry_at_the_very_deadline_is_over)
{
    assert_ok(take("job", 60000, &lease));
    struct cf_record *r = cf_record_at(here.m, cf_word_record(word_of("job", NULL)));
    cf_store_relaxed(&r->deadline, cf_now(here.m));
    ck_assert(!is_locked("job"));
    ck_assert(!cachify_lease_held(&lease));
    ck_assert_int_eq(cf_remaining_ms(5, 5), 0);
    ck_assert_int_eq(cf_remaining_ms(4, 5), 0);
    ck_assert_int_eq(cf_remaining_ms(5 + CF_MS, 5), 1);
    ck_assert_int_eq(cf_remaining_ms(UINT64_MAX, 5), CACHIFY_NEVER);
}
END_TEST

/* pitfall 45: only the monotonic clock is asked, but for the seed of tokens at creation. */
START_TEST(expiry_lies_on_the_monotonic_clock)
{
    uint64_t before = cf_monotonic_ns();
    assert_ok(take("job", 5000, &lease));
    uint64_t on_ours = deadline_of("job") + (uint64_t)here.m->clock_offset;
    ck_assert_uint_le(on_ours, cf_monotonic_ns() + 5000 * CF_MS);
    ck_assert_uint_ge(on_ours + 25 * CF_MS, before + 5000 * CF_MS);
}
END_TEST

/* The agent goes on as a child in another time namespace, number seconds ahead. */
static cachify_status_t act_shift_clock(struct agent_self *self, const struct agent_order *order,
                                        struct agent_answer *answer)
{
    char text[64];
    (void)self, (void)answer;
    snprintf(text, sizeof text, "monotonic %lld 0\n", (long long)order->number);
    if (unshare(CLONE_NEWTIME) != 0)
        return CACHIFY_PENDING;
    int fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
    ssize_t written = write(fd, text, strlen(text));
    close(fd);
    if (written < 0)
        return CACHIFY_PENDING;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        return CACHIFY_OK;
    }
    waitpid(pid, NULL, 0);
    end_child();
}

static const int shifts[] = {100000, -50};

/* pitfall 47 */
START_TEST(expiry_is_the_same_in_another_time_namespace)
{
    struct agent *agent = agent_start_idle();
    if (agent_run(agent, act_shift_clock, shifts[_i]).status != CACHIFY_OK)
        SKIP("no permission to make time namespaces");
    assert_ok(agent_open(agent).status);
    struct agent_answer answer = agent_take(agent, "its", 60000);
    ck_assert_int_le(query("its").remaining_ms, answer.remaining_ms);
    ck_assert_int_gt(query("its").remaining_ms, 60000 - LONG_MS);
    assert_ok(take("ours", 60000, &lease));
    ck_assert_int_eq(agent_take(agent, "ours", 0).status, CACHIFY_LOCKED);
    assert_ok(take("short", 100, &lease));
    ck_assert_int_eq(agent_take(agent, "short", 0).status, CACHIFY_LOCKED);
    EVENTUALLY(agent_take(agent, "short", 100).status == CACHIFY_OK, 3000);
    EVENTUALLY(take("short", 0, &lease) == CACHIFY_OK, 3000);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("expiry");
    int n = (int)(sizeof lengths / sizeof lengths[0]);
    TCase *t = group(s, "exact", setup_here, teardown_here);
    tcase_add_loop_test(t, expiry_is_exact_to_25_ms_and_to_5_under_a_second, 0, n);
    tcase_add_loop_test(t, expiry_after_an_extend_is_as_exact, 0, n);
    tcase_add_test(t, expiry_comes_when_it_was_asked_for);
    tcase_add_test(t, expiry_the_holder_is_never_told_more_than_others_honour);
    tcase_add_test(t, expiry_lies_on_the_monotonic_clock);
    tcase_add_loop_test(t, expiry_is_the_same_in_another_time_namespace, 0, 2);
    t = group(s, "lengths", setup_here, teardown_here);
    tcase_add_test(t, expiry_defaults_to_the_instances);
    tcase_add_test(t, expiry_NEVER_is_none);
    tcase_add_test(t, expiry_negative_or_absurd_is_refused);
    tcase_add_test(t, expiry_of_a_hundred_years_does_not_overflow);
    t = group(s, "over", setup_here, teardown_here);
    tcase_add_test(t, expiry_over_the_lock_is_no_longer_locked);
    tcase_add_test(t, expiry_at_the_very_deadline_is_over);
    return run_suite(s);
}
