/* Waiting under adversity: waiters and wakers that are killed, stopped, signalled, cancelled or
 * deprived of futexes; segments that go away; what a releaser does when nobody waits. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "agent.h"
#include "confine.h"
#include "shm/line.h"
#include <cachify/shm.h>

static cachify_lease_t lease;

static void setup_polling(void)
{
    cachify_config_t config;
    setup_here();
    config = here.config;
    config.poll_interval_ms = 100;
    reopen_here(config);
}

static void assert_blocks(struct agent_answer answer)
{
    ck_assert_msg(answer.verdict == WOULD_BLOCK, "answered %s instead of blocking",
                  status_name(answer.status));
}

static void assert_gets_it(struct agent *agent)
{
    struct agent_answer answer = agent_finish(agent);
    ck_assert_int_eq(answer.verdict, ANSWERED);
    ck_assert_msg(answer.status == CACHIFY_OK, "%s", answer.error);
}

static uint32_t armed_classes(const char *key)
{
    return cf_load_seq(&here.m->group_at[cf_home(here.m, hash_of(key))].wait) & 0xff;
}

/* ---- The dead and the stopped ---- */

/* pitfall 16 */
START_TEST(a_releaser_killed_before_it_woke_delays_by_a_poll_interval_at_most)
{
    struct agent *agent = agent_start();
    uint32_t slot;
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_blocks(agent_wait(agent, "job", 0, 0));
    cf_word w = word_of("job", &slot);
    int64_t start = now_ms();
    ck_assert(cf_cas64(cf_slot_at(here.m, slot), w, cf_word_released(w))); /* T7 and no wake */
    assert_gets_it(agent);
    ck_assert_int_lt(now_ms() - start, 1100);
}
END_TEST

/* pitfall 17: the kernel wakes the one that slept first; it never gets to run. */
START_TEST(a_woken_waiter_killed_before_it_took_the_lock_is_no_obstacle)
{
    struct agent *first = agent_start(), *next = agent_start();
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_blocks(agent_wait(first, "job", 0, 0));
    agent_stop(first);
    assert_blocks(agent_wait(next, "job", 0, 0));
    int64_t start = now_ms();
    assert_ok(cachify_release(&lease));
    agent_kill(first);
    assert_gets_it(next);
    ck_assert_int_lt(now_ms() - start, 1100);
}
END_TEST

/* pitfall 19 */
START_TEST(a_stopped_waiter_at_the_head_is_no_obstacle)
{
    struct agent *first = agent_start(), *next = agent_start();
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_blocks(agent_wait(first, "job", 0, 0));
    agent_stop(first);
    assert_blocks(agent_wait(next, "job", 0, 0));
    int64_t start = now_ms();
    assert_ok(cachify_release(&lease));
    assert_gets_it(next);
    ck_assert_int_lt(now_ms() - start, 1100);
    assert_ok(agent_release(next).status);
    agent_continue(first);
    assert_gets_it(first);
}
END_TEST

/* pitfall 18, pitfall 19: neither the count nor the flag outlives killed waiters. */
START_TEST(killed_waiters_leave_no_count_and_no_flag)
{
    struct agent *agents[8];
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    for (unsigned i = 0; i < 8; i++) {
        agents[i] = agent_start();
        assert_blocks(agent_wait(agents[i], "job", 0, 0));
    }
    ck_assert_uint_ne(armed_classes("job"), 0);
    for (unsigned i = 0; i < 8; i++)
        agent_kill(agents[i]);
    assert_ok(cachify_shm_sweep(here.cachify));
    EVENTUALLY(query("job").waiters == 0, 1000);
    assert_ok(cachify_release(&lease)); /* its wake finds nobody */
    ck_assert_uint_eq(armed_classes("job"), 0);
    for (unsigned i = 0; i < 8; i++) {
        agents[i] = agent_start();
        ck_assert_int_eq(agent_take(agents[i], "job", 0).status,
                         i == 0 ? CACHIFY_OK : CACHIFY_LOCKED);
    }
}
END_TEST

/* ---- Signals and cancellation ---- */

static void on_alarm(int signal)
{
    (void)signal;
}

static cachify_status_t act_wait_alarmed(struct agent_self *self, const struct agent_order *order,
                                         struct agent_answer *answer)
{
    struct itimerval every = {{0, 3000}, {0, 3000}}, never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = on_alarm,
                               .sa_flags = order->number != 0 ? SA_RESTART : 0};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
    uint64_t start = cf_monotonic_ns();
    cachify_status_t status = act_take(self, order, answer);
    answer->number = (int64_t)(cf_monotonic_ns() - start);
    setitimer(ITIMER_REAL, &never, NULL);
    return status;
}

/* pitfall 22 */
START_TEST(signals_neither_end_a_wait_nor_prolong_it)
{
    struct agent *agent = agent_start();
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    struct agent_order order = {
        .act = act_wait_alarmed, .number = _i, .timeout_ms = 300, .key = "job"};
    order.wait = true;
    struct agent_answer answer = agent_do(agent, &order);
    if (answer.verdict == WOULD_BLOCK)
        answer = agent_finish(agent);
    ck_assert_int_eq(answer.status, CACHIFY_TIMEOUT);
    ck_assert_int_ge(answer.number, 300 * (int64_t)CF_MS);
    ck_assert_int_lt(answer.number, 3000 * (int64_t)CF_MS);
}
END_TEST

static void *wait_a_while(void *result)
{
    cachify_lease_t mine;
    cachify_lock_t lock = {.key = "job", .wait = true, .timeout_ms = 300};
    *(_Atomic int *)result = (int)cachify_acquire(here.cachify, &lock, &mine);
    pthread_testcancel();
    return NULL;
}

/* pitfall 42 */
START_TEST(a_cancelled_thread_ends_its_wait_first)
{
    _Atomic int result = -1;
    pthread_t thread;
    void *ended;
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_a_while, &result), 0);
    EVENTUALLY(query("job").waiters == 1, LONG_MS);
    pthread_cancel(thread);
    pthread_join(thread, &ended);
    ck_assert_ptr_eq(ended, PTHREAD_CANCELED);
    ck_assert_int_eq(result, CACHIFY_TIMEOUT);
    ck_assert_uint_eq(query("job").waiters, 0);
    assert_ok(cachify_release(&lease));
    ck_assert_uint_ne(pass("job"), 0);
    ck_assert_uint_le(census(here.m).taken, 1);
}
END_TEST

/* ---- Without futexes, in other namespaces ---- */

static cachify_status_t act_forbid_futex(struct agent_self *self, const struct agent_order *order,
                                         struct agent_answer *answer)
{
    (void)self, (void)answer;
    return forbid_call(SYS_futex, (int)order->number) ? CACHIFY_OK : CACHIFY_SYSTEM;
}

static const int refusals[] = {ENOSYS, EPERM, EACCES};

/* pitfall 27 */
START_TEST(without_futexes_a_waiter_looks_at_every_poll_interval)
{
    struct agent *agent = agent_start();
    if (agent_run(agent, act_forbid_futex, refusals[_i]).status != CACHIFY_OK)
        SKIP("no seccomp here");
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_blocks(agent_wait(agent, "job", 0, 0));
    int64_t start = now_ms();
    assert_ok(cachify_release(&lease));
    assert_gets_it(agent);
    ck_assert_int_lt(now_ms() - start, 1100);
    assert_ok(agent_release(agent).status);
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    start = now_ms();
    struct agent_answer answer = agent_wait(agent, "job", 250, 0);
    if (answer.verdict == WOULD_BLOCK)
        answer = agent_finish(agent);
    ck_assert_int_eq(answer.status, CACHIFY_TIMEOUT);
    ck_assert_int_ge(now_ms() - start, 249);
}
END_TEST

/* pitfall 24 */
START_TEST(a_wake_reaches_other_pid_and_mount_namespaces)
{
    struct agent *agent = agent_start_in(CLONE_NEWPID | CLONE_NEWNS);
    if (agent == NULL)
        SKIP("no permission to make namespaces");
    here.config.poll_interval_ms = 5000;
    assert_ok(agent_open(agent).status);
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_blocks(agent_wait(agent, "job", 0, 0));
    int64_t start = now_ms();
    assert_ok(cachify_release(&lease));
    assert_gets_it(agent);
    ck_assert_int_lt(now_ms() - start, 2500);
}
END_TEST

/* ---- The segment goes ---- */

/* pitfall 55 */
START_TEST(a_waiter_is_told_when_the_segment_is_gone)
{
    struct agent *agent = agent_start();
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_blocks(agent_wait(agent, "job", 0, 0));
    int64_t start = now_ms();
    ck_assert_int_eq(unlink(here.path), 0);
    struct agent_answer answer = agent_finish(agent);
    ck_assert_int_eq(answer.status, CACHIFY_GONE);
    ck_assert_int_lt(now_ms() - start, 2000); /* a poll interval and a look at the file */
}
END_TEST

/* ---- Nobody waits ---- */

#if SANITIZED || defined(CF_COVERAGE)
#define COUNTED 1
#else
#define COUNTED 0
#endif

static cachify_status_t act_without_calls(struct agent_self *self, const struct agent_order *order,
                                          struct agent_answer *answer)
{
    /* The looks at the file every 100 ms, the answer, and clocks where they are calls. */
    const int allowed[] = {SYS_fstat,    SYS_newfstatat,    SYS_sendto,
                           SYS_recvfrom, SYS_clock_gettime, SYS_exit_group};
    cachify_lock_t lock = {.key = "job"};
    cachify_status_t status = cachify_acquire(self->cachify, &lock, &self->lease[0]);
    (void)answer;
    if (!allow_only(allowed, sizeof allowed / sizeof allowed[0]))
        return CACHIFY_SYSTEM;
    for (int64_t i = 0; i < order->number && status == CACHIFY_OK; i++) {
        cachify_extend(&self->lease[0], 1000);
        status = cachify_release(&self->lease[0]);
        if (status == CACHIFY_OK)
            status = cachify_acquire(self->cachify, &lock, &self->lease[0]);
        lock.key = i % 2 == 0 ? "job" : "another job";
    }
    return status;
}

START_TEST(nobody_waits_and_nobody_is_called)
{
    if (COUNTED || under_valgrind())
        SKIP("the checker makes other calls");
    struct agent *agent = agent_start();
    struct agent_answer answer = agent_run(agent, act_without_calls, 200000);
    ck_assert_msg(answer.verdict == ANSWERED, "it made a system call, and was killed for it");
    if (answer.status == CACHIFY_SYSTEM)
        SKIP("no seccomp here");
    ck_assert_int_eq(answer.status, CACHIFY_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wait_hard");
    TCase *t = group(s, "the dead and the stopped", setup_polling, teardown_here);
    tcase_add_test(t, a_releaser_killed_before_it_woke_delays_by_a_poll_interval_at_most);
    tcase_add_test(t, a_woken_waiter_killed_before_it_took_the_lock_is_no_obstacle);
    tcase_add_test(t, a_stopped_waiter_at_the_head_is_no_obstacle);
    tcase_add_test(t, killed_waiters_leave_no_count_and_no_flag);
    t = group(s, "signals and cancellation", setup_polling, teardown_here);
    tcase_add_loop_test(t, signals_neither_end_a_wait_nor_prolong_it, 0, 2);
    tcase_add_test(t, a_cancelled_thread_ends_its_wait_first);
    t = group(s, "futexes", setup_polling, teardown_here);
    tcase_add_loop_test(t, without_futexes_a_waiter_looks_at_every_poll_interval, 0, 3);
    tcase_add_test(t, a_wake_reaches_other_pid_and_mount_namespaces);
    tcase_add_test(t, a_waiter_is_told_when_the_segment_is_gone);
    tcase_add_test(t, nobody_waits_and_nobody_is_called);
    return run_suite(s);
}
