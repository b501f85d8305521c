/* The line: who is served when, and who hears of a death.  The poll interval here is 5 s, so
 * whoever has the lock in less than half of that was called. */
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "agent.h"
#include "pending.h"
#include "shm/line.h"
#include "shm/liveness.h"
#include "shm/wait.h"

#define CALLED_MS 2500

static cachify_lease_t lease;

/* In line for the key, asleep for long, and patient. */
static struct agent *waiting(const char *key, int64_t timeout_ms, int64_t exp_ms)
{
    struct agent *agent = agent_start();
    struct agent_answer answer = agent_wait(agent, key, timeout_ms, exp_ms);
    ck_assert_msg(answer.verdict == WOULD_BLOCK, "answered %s", status_name(answer.status));
    agent_settle(agent);
    return agent;
}

static struct agent_answer gets_it(struct agent *agent, int64_t start)
{
    struct agent_answer answer = agent_finish(agent);
    int64_t took = now_ms() - start;
    ck_assert_int_eq(answer.verdict, ANSWERED);
    ck_assert_msg(answer.status == CACHIFY_OK, "%s", answer.error);
    ck_assert_msg(took < CALLED_MS, "after %d ms", (int)took);
    return answer;
}

static struct cf_waiter *waiter_of(const struct agent *agent)
{
    for (uint32_t i = cf_line_next(here.m, 0); i != CF_NO_WAITER; i = cf_line_next(here.m, i + 1))
        if (cf_load_acquire(&cf_waiter_at(here.m, i)->owner) == agent->owner)
            return cf_waiter_at(here.m, i);
    return NULL;
}

static cf_owner awaited_by(const struct agent *agent)
{
    const struct cf_waiter *w = waiter_of(agent);
    return w != NULL ? cf_load_relaxed(&w->awaited) : 0;
}

/* ---- Death ---- */

START_TEST(death_of_the_holder_is_heard_of_at_once)
{
    struct agent *holder = agent_start();
    assert_ok(agent_take(holder, "job", CACHIFY_NEVER).status);
    struct agent *agent = waiting("job", 0, 0);
    int64_t start = now_ms();
    send_signal(holder->pid, SIGKILL);
    struct agent_answer answer = gets_it(agent, start);
    ck_assert_uint_eq(answer.origin.how, CACHIFY_OWNER_DIED);
    ck_assert_int_eq(answer.origin.previous_pid, holder->pid);
    agent_reap(holder);
}
END_TEST

static cachify_status_t act_exec(struct agent_self *self, const struct agent_order *order,
                                 struct agent_answer *answer)
{
    char *const arguments[] = {(char *)"sleep", (char *)"30", NULL};
    (void)self, (void)order, (void)answer;
    execvp("sleep", arguments);
    return CACHIFY_SYSTEM;
}

/* pitfall 34: the process lives on, as another program. */
START_TEST(death_by_exec_is_heard_of_at_once)
{
    struct agent *holder = agent_start();
    assert_ok(agent_take(holder, "job", CACHIFY_NEVER).status);
    struct agent *agent = waiting("job", 0, 0);
    int64_t start = now_ms();
    ck_assert(agent_tell(holder, &(struct agent_order){.act = act_exec}));
    gets_it(agent, start);
}
END_TEST

/* T7, and death before the call (C10). */
static cachify_status_t act_free_and_die(struct agent_self *self, const struct agent_order *order,
                                         struct agent_answer *answer)
{
    uint32_t slot = (uint32_t)order->number;
    cf_word w = cf_load_seq(cf_slot_at(self->m, slot));
    (void)answer;
    keep_counts();
    if (cf_cas64(cf_slot_at(self->m, slot), w, cf_word_released(w)))
        raise(SIGKILL);
    return CACHIFY_LOST;
}

/* pitfall 16 */
START_TEST(death_between_release_and_call_is_heard_of_at_once)
{
    struct agent *holder = agent_start();
    uint32_t slot;
    assert_ok(agent_take(holder, "job", CACHIFY_NEVER).status);
    struct agent *agent = waiting("job", 0, 0);
    word_of("job", &slot);
    int64_t start = now_ms();
    ck_assert_int_eq(agent_run(holder, act_free_and_die, slot).verdict, AGENT_DIED);
    gets_it(agent, start);
    agent_reap(holder);
}
END_TEST

/* As a caller does it who took the word out, but for the wake: the called one stands between
 * its wake and its look. */
static void call_silently(const struct agent *agent)
{
    struct cf_waiter *w = waiter_of(agent);
    uint32_t word = cf_load_seq(&w->word);
    cf_store_relaxed(&w->turn, cf_now(here.m) + CF_TURN_NS);
    ck_assert(cf_cas32(&w->word, word, word | CF_WORD_CALLED));
}

/* pitfall 17: the one behind it hears of that (C11). */
START_TEST(death_of_the_called_waiter_is_heard_of_at_once)
{
    uint32_t slot;
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    struct agent *first = waiting("job", 0, 0), *next = waiting("job", 0, 0);
    ck_assert_uint_eq(awaited_by(first), cf_self(here.m));
    ck_assert_uint_eq(awaited_by(next), first->owner);
    cf_word w = word_of("job", &slot);
    call_silently(first);
    int64_t start = now_ms();
    ck_assert(cf_cas64(cf_slot_at(here.m, slot), w, cf_word_released(w)));
    agent_kill(first);
    gets_it(next, start);
}
END_TEST

START_TEST(death_of_who_was_served_is_heard_of_by_the_one_behind)
{
    assert_ok(take("job", 0, &lease));
    struct agent *first = waiting("job", 0, CACHIFY_NEVER), *next = waiting("job", 0, 0);
    assert_ok(cachify_release(&lease));
    gets_it(first, now_ms());
    int64_t start = now_ms();
    send_signal(first->pid, SIGKILL);
    ck_assert_uint_eq(gets_it(next, start).origin.how, CACHIFY_OWNER_DIED);
    agent_reap(first);
}
END_TEST

/* How many requests for a byte's lock the kernel has waiting; -1: it does not tell. */
static int blocked_on(cf_owner owner)
{
    char line[256];
    long long byte = CF_LIVE_BYTES + (long long)cf_owner_entry(owner), from;
    unsigned long long inode;
    int blocked = 0;
    FILE *file = fopen("/proc/locks", "r");
    if (file == NULL)
        return -1;
    while (fgets(line, sizeof line, file) != NULL)
        blocked += sscanf(line, "%*d: -> %*s %*s %*s %*d %*x:%*x:%llu %lld", &inode, &from) == 2 &&
                   inode == (unsigned long long)here.m->inode && from == byte;
    fclose(file);
    return blocked;
}

/* Many wait, each watches one, and each is watched by one. */
START_TEST(death_is_watched_for_by_one_however_many_wait)
{
    struct agent *holder = agent_start(), *agents[12];
    assert_ok(agent_take(holder, "job", CACHIFY_NEVER).status);
    for (unsigned i = 0; i < 12; i++)
        agents[i] = waiting("job", 0, 0);
    if (blocked_on(holder->owner) < 0)
        SKIP("/proc/locks cannot be read");
    EVENTUALLY(blocked_on(holder->owner) == 1, LONG_MS);
    for (unsigned i = 0; i + 1 < 12; i++)
        EVENTUALLY(blocked_on(agents[i]->owner) == 1, LONG_MS);
    int64_t start = now_ms();
    agent_kill(holder);
    for (unsigned i = 0; i < 12; i++) {
        gets_it(agents[i], start);
        start = now_ms();
        assert_ok(agent_release(agents[i]).status);
    }
}
END_TEST

/* ---- Spinning ---- */

/* Waits so often for what stays held; answers how often it spun, and what it learnt of it. */
static cachify_status_t act_wait_often(struct agent_self *self, const struct agent_order *order,
                                       struct agent_answer *answer)
{
    cachify_lock_t lock = {.key = "job", .wait = true, .timeout_ms = 1};
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((unsigned)sched_getcpu(), &one);
    if (order->number == 1 && sched_setaffinity(0, sizeof one, &one) != 0)
        return CACHIFY_SYSTEM;
    cachify_status_t status = act_open(self, order, answer);
    for (unsigned i = 0; i < 40 && (status == CACHIFY_OK || status == CACHIFY_TIMEOUT); i++)
        status = cachify_acquire(self->cachify, &lock, &self->lease[0]);
    answer->number =
        cf_load_relaxed(&self->m->spin_waits) * 1000 + cf_load_relaxed(&self->m->spins);
    return status;
}

START_TEST(spinning_never_on_one_processor_and_not_where_it_did_not_pay)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    struct agent_answer alone = agent_run(agent_start_idle(), act_wait_often, 1);
    ck_assert_int_eq(alone.status, CACHIFY_TIMEOUT);
    ck_assert_int_eq(alone.number, 0);
    struct agent_answer beside = agent_run(agent_start_idle(), act_wait_often, 2);
    ck_assert_int_eq(beside.status, CACHIFY_TIMEOUT);
    if (here.m->processors > 1)
        ck_assert_int_eq(beside.number, INT64_C(40000)); /* asked each time, and learnt: never */
}
END_TEST

/* ---- Order ---- */

START_TEST(fair_in_order_of_arrival)
{
    struct agent *agents[6];
    uint64_t token = 0;
    assert_ok(take("job", 0, &lease));
    for (unsigned i = 0; i < 6; i++)
        agents[i] = waiting("job", 0, 0);
    assert_ok(cachify_release(&lease));
    for (unsigned i = 0; i < 6; i++) {
        struct agent_answer answer = gets_it(agents[i], now_ms());
        ck_assert_uint_gt(answer.token, token);
        token = answer.token;
        for (unsigned later = i + 1; later < 6; later++)
            ck_assert(agent_is_busy(agents[later]));
        assert_ok(agent_release(agents[i]).status);
    }
}
END_TEST

/* Whoever releases and asks again at once comes after who has waited. */
START_TEST(fair_to_who_waited_before_who_comes)
{
    struct agent *agent = agent_start();
    for (unsigned i = 0; i < 30; i++) {
        assert_ok(take("job", 0, &lease));
        ck_assert_int_eq(agent_wait(agent, "job", 0, 0).verdict, WOULD_BLOCK);
        agent_settle(agent);
        int64_t start = now_ms();
        uint64_t released = cf_monotonic_ns();
        assert_ok(cachify_release(&lease));
        cachify_status_t status = take("job", 0, &lease);
        if (cf_monotonic_ns() - released < CF_TURN_NS) /* else the turn may be over */
            assert_status(status, CACHIFY_LOCKED);
        if (status == CACHIFY_OK)
            assert_ok(cachify_release(&lease));
        gets_it(agent, start);
        assert_ok(agent_release(agent).status);
    }
}
END_TEST

/* pitfall 19: it costs nobody a turn, and keeps its place. */
START_TEST(fair_past_a_stopped_waiter_without_delay)
{
    assert_ok(take("job", 0, &lease));
    struct agent *first = waiting("job", 0, 0), *next = waiting("job", 0, 0);
    agent_stop(first);
    int64_t start = now_ms();
    assert_ok(cachify_release(&lease));
    gets_it(next, start);
    struct agent *last = agent_start(); /* who passes over a stopped one looks again and again */
    ck_assert_int_eq(agent_wait(last, "job", 0, 0).verdict, WOULD_BLOCK);
    agent_continue(first);
    EVENTUALLY((cf_load_seq(&waiter_of(first)->word) & CF_WORD_FLAGS) == 0, LONG_MS);
    start = now_ms();
    assert_ok(agent_release(next).status);
    gets_it(first, start);
    ck_assert(agent_is_busy(last));
    start = now_ms();
    assert_ok(agent_release(first).status);
    gets_it(last, start);
}
END_TEST

START_TEST(fair_when_a_stopped_waiter_is_first_and_the_lease_expires)
{
    assert_ok(take("job", 700, &lease));
    struct agent *first = waiting("job", 0, 0), *next = waiting("job", 0, 0);
    agent_stop(first);
    int64_t start = now_ms();
    gets_it(next, start);
    ck_assert_int_lt(now_ms() - start, 700 + CALLED_MS);
}
END_TEST

/* Who is behind has to hear the holder from then on. */
START_TEST(giving_up_calls_the_one_behind)
{
    struct agent *holder = agent_start();
    assert_ok(agent_take(holder, "job", CACHIFY_NEVER).status);
    struct agent *first = waiting("job", 1000, 0), *next = waiting("job", 0, 0);
    ck_assert_uint_eq(awaited_by(next), first->owner);
    ck_assert_int_eq(agent_finish(first).status, CACHIFY_TIMEOUT);
    EVENTUALLY(awaited_by(next) == holder->owner, CALLED_MS);
    agent_settle(next);
    int64_t start = now_ms();
    agent_kill(holder);
    gets_it(next, start);
}
END_TEST

/* pitfall 21: the next holder's lease is short, as nobody who sleeps could know. */
START_TEST(expiry_of_the_next_holder_is_waited_for)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    struct agent *first = waiting("job", 0, 60), *next = waiting("job", 0, 0);
    int64_t start = now_ms();
    assert_ok(cachify_release(&lease));
    gets_it(first, start);
    ck_assert_uint_eq(gets_it(next, start).origin.how, CACHIFY_EXPIRED);
    ck_assert_int_ge(now_ms() - start, 54);
}
END_TEST

/* More than there are places in line. */
START_TEST(waiting_without_a_place_in_line_ends_by_poll_interval)
{
    cachify_config_t config = here.config;
    config.poll_interval_ms = 100;
    reopen_here(config);
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    for (uint32_t i = 0; i < here.m->waiters; i++)
        ck_assert_uint_eq(cf_line_enter(here.m, 1, 0, false), i);
    ck_assert_uint_eq(cf_line_enter(here.m, 1, 0, false), CF_NO_WAITER);
    struct agent *agent = agent_start();
    struct agent_order order = {.act = act_take, .wait = true, .key = "job"};
    ck_assert(agent_tell(agent, &order));
    STAYS(query("job").waiters == 0 && query("job").pid == getpid(), 150);
    assert_ok(cachify_release(&lease));
    ck_assert_int_eq(agent_finish(agent).status, CACHIFY_OK);
    for (uint32_t i = 0; i < here.m->waiters; i++)
        cf_line_leave(here.m, i);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("line");
    TCase *t = group(s, "death", setup_here, teardown_here);
    tcase_add_test(t, death_of_the_holder_is_heard_of_at_once);
    tcase_add_test(t, death_by_exec_is_heard_of_at_once);
    tcase_add_test(t, death_between_release_and_call_is_heard_of_at_once);
    tcase_add_test(t, death_of_the_called_waiter_is_heard_of_at_once);
    tcase_add_test(t, death_of_who_was_served_is_heard_of_by_the_one_behind);
    tcase_add_test(t, death_is_watched_for_by_one_however_many_wait);
    t = group(s, "spinning", setup_here, teardown_here);
    tcase_add_test(t, spinning_never_on_one_processor_and_not_where_it_did_not_pay);
    t = group(s, "order", setup_here, teardown_here);
    tcase_add_test(t, fair_in_order_of_arrival);
    tcase_add_test(t, fair_to_who_waited_before_who_comes);
    tcase_add_test(t, fair_past_a_stopped_waiter_without_delay);
    tcase_add_test(t, fair_when_a_stopped_waiter_is_first_and_the_lease_expires);
    tcase_add_test(t, giving_up_calls_the_one_behind);
    tcase_add_test(t, expiry_of_the_next_holder_is_waited_for);
    tcase_add_test(t, waiting_without_a_place_in_line_ends_by_poll_interval);
    return run_suite(s);
}
