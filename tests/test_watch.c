/* The thread that hears of an owner's death: when there is one, and for how long.  The poll
 * interval here is 5 s, so whoever has the lock in less than half of that was called. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "pending.h"
#include "shm/watch.h"

#define CALLED_MS 2500
#define KEPT_MS ((int64_t)(CF_WATCH_KEPT_NS / CF_MS))
#define TICK_MS 20 /* more than the coarse clock is behind */

/* ---- One wait ---- */

static unsigned count_watches(const struct agent *agent)
{
    pid_t one;
    return watches_of(agent->pid, &one);
}

/* In line, and the holder is watched. */
static void waits_long(struct agent *agent, const char *key, int64_t timeout_ms)
{
    ck_assert_int_eq(agent_wait(agent, key, timeout_ms, 0).verdict, WOULD_BLOCK);
    agent_settle(agent);
}

static void gets_it(struct agent *agent, int64_t start)
{
    struct agent_answer answer = agent_finish(agent);
    ck_assert_msg(answer.status == CACHIFY_OK, "%s", answer.error);
    ck_assert_int_lt(now_ms() - start, CALLED_MS);
}

static struct agent *holder_of(const char *key)
{
    struct agent *holder = agent_start();
    assert_ok(agent_take(holder, key, CACHIFY_NEVER).status);
    return holder;
}

START_TEST(watch_ends_with_a_wait_in_vain)
{
    holder_of("job");
    struct agent *agent = agent_start();
    waits_long(agent, "job", 400);
    EVENTUALLY(count_watches(agent) == 1, LONG_MS);
    ck_assert_int_eq(agent_finish(agent).status, CACHIFY_TIMEOUT);
    EVENTUALLY(count_watches(agent) == 0, LONG_MS);
}
END_TEST

START_TEST(watch_ends_with_the_release_after_the_wait)
{
    struct agent *holder = holder_of("job"), *agent = agent_start();
    waits_long(agent, "job", 0);
    EVENTUALLY(count_watches(agent) == 1, LONG_MS);
    int64_t start = now_ms();
    assert_ok(agent_release(holder).status);
    gets_it(agent, start);
    assert_ok(agent_release(agent).status);
    EVENTUALLY(count_watches(agent) == 0, LONG_MS);
}
END_TEST

static void *wait_long(void *result)
{
    cachify_lease_t mine = CACHIFY_LEASE_INIT;
    cachify_lock_t lock = {.key = "job", .wait = true};
    cachify_status_t status = cachify_acquire(here.cachify, &lock, &mine);
    cachify_release(&mine);
    *(_Atomic int *)result = (int)status;
    return NULL;
}

/* The child has neither its parent's wait nor its watch, and waits by itself. */
static int fork_and_wait(void)
{
    _Atomic int *answer = shared(sizeof *answer);
    *answer = -1;
    pid_t pid = fork();
    if (pid == 0) {
        cachify_lease_t mine;
        cachify_lock_t lock = {.key = "job", .wait = true, .timeout_ms = 200};
        *answer = (int)cachify_acquire(here.cachify, &lock, &mine);
        end_child();
    }
    waitpid(pid, NULL, 0);
    return *answer;
}

START_TEST(watch_is_none_of_a_forked_childs)
{
#ifdef CF_TSAN
    SKIP("ThreadSanitizer does not follow threads that a child of a threaded process starts");
#endif
    struct agent *holder = agent_start();
    _Atomic int result = -1;
    pthread_t thread;
    assert_ok(agent_take(holder, "job", CACHIFY_NEVER).status);
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_long, (void *)&result), 0);
    await_watch();
    ck_assert_int_eq(fork_and_wait(), CACHIFY_TIMEOUT);
    ck_assert_int_eq(result, -1);
    int64_t start = now_ms();
    agent_kill(holder);
    pthread_join(thread, NULL);
    ck_assert_int_eq(result, CACHIFY_OK);
    ck_assert_int_lt(now_ms() - start, CALLED_MS);
}
END_TEST

/* ---- Waits that follow each other closely ---- */

struct turn {
    pid_t watch;    /* during the wait */
    int64_t begun;  /* ms, not before the wait was watched */
    int64_t ending; /* not after it was over */
    int64_t ended;  /* not before its release was */
};

/* The agent waits long for the key, which the holder has, and holds it. */
static struct turn take_turn(struct agent *holder, struct agent *agent, const char *key)
{
    struct turn turn = {0};
    assert_ok(agent_take(holder, key, CACHIFY_NEVER).status);
    waits_long(agent, key, 0);
    turn.begun = now_ms();
    ck_assert_uint_ge(watches_of(agent->pid, &turn.watch), 1);
    turn.ending = now_ms();
    assert_ok(agent_release(holder).status);
    gets_it(agent, turn.ending);
    assert_ok(agent_release(agent).status);
    turn.ended = now_ms();
    return turn;
}

/* Turns, until two came so close that the watch is kept whatever the machine did in between. */
static struct turn take_turns(struct agent *holder, struct agent *agent, const char *key)
{
    struct turn last, now = take_turn(holder, agent, key);
    unsigned tries = 0;
    do {
        ck_assert_uint_lt(tries++, 100);
        last = now;
        now = take_turn(holder, agent, key);
    } while (now.begun - last.ending > KEPT_MS - TICK_MS ||
             now.ended - now.ending > KEPT_MS - TICK_MS);
    return now;
}

START_TEST(watch_is_kept_by_who_waits_long_again_within_a_second)
{
    struct agent *holder = agent_start(), *agent = agent_start();
    struct turn turn = take_turns(holder, agent, "job");
    ck_assert_uint_eq(count_watches(agent), 1);
    struct turn next = take_turn(holder, agent, "job");
    ck_assert_int_eq(next.watch, turn.watch);
}
END_TEST

static bool has_ended_after_a_release(struct agent *agent)
{
    assert_ok(agent_take(agent, "other", 0).status);
    assert_ok(agent_release(agent).status);
    return count_watches(agent) == 0;
}

START_TEST(kept_watch_ends_with_a_release_once_it_was_not_needed_for_a_second)
{
    struct agent *holder = agent_start(), *agent = agent_start();
    struct turn turn = take_turns(holder, agent, "job");
    EVENTUALLY(has_ended_after_a_release(agent), LONG_MS);
    ck_assert_int_gt(now_ms() - turn.ending, KEPT_MS - TICK_MS);
}
END_TEST

START_TEST(kept_watch_is_one_however_many_owners_are_awaited)
{
    struct agent *holders[] = {agent_start(), agent_start(), agent_start()};
    struct agent *agent = agent_start();
    for (unsigned i = 0; i < 3; i++) {
        take_turns(holders[i], agent, "job");
        EVENTUALLY(count_watches(agent) == 1, LONG_MS);
    }
}
END_TEST

START_TEST(kept_watch_ends_with_the_owner_and_is_no_ones_then)
{
    struct agent *holder = agent_start(), *agent = agent_start();
    take_turns(holder, agent, "job");
    agent_kill(holder);
    EVENTUALLY(count_watches(agent) == 0, LONG_MS);
    holder = holder_of("job");
    waits_long(agent, "job", 0);
    EVENTUALLY(count_watches(agent) == 1, LONG_MS);
    int64_t start = now_ms();
    agent_kill(holder);
    gets_it(agent, start);
}
END_TEST

static cachify_status_t act_close(struct agent_self *self, const struct agent_order *order,
                                  struct agent_answer *answer)
{
    (void)order, (void)answer;
    cachify_t *cachify = self->cachify;
    self->cachify = NULL;
    return cachify_close(cachify);
}

START_TEST(kept_watch_ends_with_the_instance)
{
    struct agent *holder = agent_start(), *agent = agent_start();
    take_turns(holder, agent, "job");
    ck_assert_uint_eq(count_watches(agent), 1);
    assert_ok(agent_run(agent, act_close, 0).status);
    EVENTUALLY(count_watches(agent) == 0, LONG_MS);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("watch");
    TCase *t = group(s, "one wait", setup_here, teardown_here);
    tcase_add_test(t, watch_ends_with_a_wait_in_vain);
    tcase_add_test(t, watch_ends_with_the_release_after_the_wait);
    tcase_add_test(t, watch_is_none_of_a_forked_childs);
    t = group(s, "kept", setup_here, teardown_here);
    tcase_add_test(t, watch_is_kept_by_who_waits_long_again_within_a_second);
    tcase_add_test(t, kept_watch_ends_with_a_release_once_it_was_not_needed_for_a_second);
    tcase_add_test(t, kept_watch_is_one_however_many_owners_are_awaited);
    tcase_add_test(t, kept_watch_ends_with_the_owner_and_is_no_ones_then);
    tcase_add_test(t, kept_watch_ends_with_the_instance);
    return run_suite(s);
}
