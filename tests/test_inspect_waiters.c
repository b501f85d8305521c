/* Who waits: as a view lists them (cachify_shm_waiters), as an instance does for one key
 * (cachify_waiters), and as many as the text of a busy lock says. */
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"
#include "looking.h"
#include "shm/line.h"

#define MANY 16

static cachify_lease_t lease, second;

/* ---- A listing, kept until the next ---- */

static struct told {
    char key[CF_KEY_MAX_LIMIT + 1];
    cachify_waiter_t waiter; /* but its key */
} told[MANY];
static unsigned told_count;

static int tell(void *context, const cachify_waiter_t *waiter)
{
    (void)context;
    ck_assert_uint_lt(told_count, MANY);
    struct told *t = &told[told_count++];
    memcpy(t->key, waiter->key, waiter->key_len);
    t->key[waiter->key_len] = '\0';
    t->waiter = *waiter;
    t->waiter.key = NULL;
    return 0;
}

static unsigned list_all(void)
{
    told_count = 0;
    assert_ok(cachify_shm_waiters(view, tell, NULL, NULL));
    return told_count;
}

static unsigned list_of(const char *key)
{
    told_count = 0;
    assert_ok(cachify_waiters(here.cachify, key, tell, NULL));
    return told_count;
}

/* The i-th told is this agent, and this process goes first. */
static void assert_told(unsigned i, const char *key, const struct agent *agent, pid_t awaited)
{
    ck_assert_uint_lt(i, told_count);
    const struct told *t = &told[i];
    char command[16];
    cf_command(command);
    ck_assert_str_eq(t->key, key);
    ck_assert_int_eq(t->waiter.pid, agent->pid);
    ck_assert_int_eq(t->waiter.thread, agent->pid);
    ck_assert_str_eq(t->waiter.command, command);
    ck_assert(!t->waiter.event_loop);
    ck_assert_int_eq(t->waiter.awaited_pid, awaited);
    ck_assert_str_eq(t->waiter.awaited_command, awaited != 0 ? command : "");
}

/* ---- Who is listed ---- */

START_TEST(nobody_is_listed_where_nobody_waits)
{
    ck_assert_uint_eq(list_all(), 0);
    ck_assert_uint_eq(list_of("job"), 0);
    assert_ok(take("job", 0, &lease));
    ck_assert_uint_eq(list_all(), 0);
    ck_assert_uint_eq(list_of("job"), 0);
}
END_TEST

START_TEST(those_who_wait_for_one_key_are_listed_as_they_came)
{
    struct agent *agents[3];
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    for (unsigned i = 0; i < 3; i++)
        agents[i] = agent_in_line("job");
    for (unsigned by_key = 0; by_key < 2; by_key++) {
        ck_assert_uint_eq(by_key != 0 ? list_of("job") : list_all(), 3);
        assert_told(0, "job", agents[0], getpid());
        assert_told(1, "job", agents[1], agents[0]->pid);
        assert_told(2, "job", agents[2], agents[1]->pid);
        ck_assert_int_ge(told[0].waiter.waited_ms, told[1].waiter.waited_ms);
        ck_assert_int_ge(told[1].waiter.waited_ms, told[2].waiter.waited_ms);
        ck_assert_int_lt(told[0].waiter.waited_ms, LONG_MS);
    }
}
END_TEST

START_TEST(the_time_they_waited_grows_and_a_handover_does_not_end_it)
{
    struct agent *holder = agent_start();
    assert_ok(agent_take(holder, "job", CACHIFY_NEVER).status);
    struct agent *first = agent_in_line("job");
    agent_in_line("job");
    list_of("job");
    int64_t waited = told[1].waiter.waited_ms;
    ck_assert_int_gt(waited, 0); /* it settled after it had slept once */
    EVENTUALLY(list_of("job") == 2 && told[1].waiter.waited_ms >= waited + 20, LONG_MS);
    waited = told[1].waiter.waited_ms;
    assert_ok(agent_release(holder).status);
    assert_ok(agent_finish(first).status);
    EVENTUALLY(list_of("job") == 1 && told[0].waiter.awaited_pid == first->pid, LONG_MS);
    ck_assert_int_ge(told[0].waiter.waited_ms, waited);
}
END_TEST

START_TEST(each_is_listed_with_its_own_key_and_by_key_alone)
{
    cachify_config_t config = here.config;
    config.prefix = "PYC-";
    cachify_shm_close(view);
    reopen_here(config);
    here.config.prefix = ""; /* the agents', which say it themselves */
    view = NULL;
    assert_ok(cachify_shm_open(NULL, here.path, &view));
    assert_ok(take("a", CACHIFY_NEVER, &lease));
    assert_ok(take("b", CACHIFY_NEVER, &second));
    struct agent *agents[2];
    for (unsigned i = 0; i < 2; i++)
        agents[i] = agent_in_line(i == 0 ? "PYC-b" : "PYC-a");
    ck_assert_uint_eq(list_all(), 2);
    assert_told(0, "PYC-b", agents[0], getpid());
    assert_told(1, "PYC-a", agents[1], getpid());
    ck_assert_uint_eq(list_of("a"), 1);
    assert_told(0, "PYC-a", agents[1], getpid());
    ck_assert_uint_eq(list_of("c"), 0);
}
END_TEST

/* ---- Threads and event loops ---- */

static _Atomic int64_t thread_id;

static void *wait_in_thread(void *context)
{
    cachify_lock_t lock = {.key = "job", .wait = true};
    thread_id = syscall(SYS_gettid);
    if (cachify_acquire(here.cachify, &lock, context) != CACHIFY_OK)
        return context;
    return cachify_release(context) == CACHIFY_OK ? NULL : context;
}

START_TEST(a_thread_is_listed_with_its_own_number)
{
    pthread_t thread;
    void *failed;
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_in_thread, &second), 0);
    EVENTUALLY(list_of("job") == 1 && told[0].waiter.awaited_pid != 0, LONG_MS);
    ck_assert_int_eq(told[0].waiter.pid, getpid());
    ck_assert_int_eq(told[0].waiter.thread, thread_id);
    ck_assert_int_ne(told[0].waiter.thread, getpid());
    ck_assert_int_eq(told[0].waiter.awaited_pid, getpid());
    ck_assert_uint_eq(list_all(), 1);
    ck_assert_int_eq(told[0].waiter.thread, thread_id);
    assert_ok(cachify_release(&lease));
    pthread_join(thread, &failed);
    ck_assert_ptr_null(failed);
    ck_assert_uint_eq(list_of("job"), 0);
}
END_TEST

START_TEST(a_pending_acquisition_is_listed_as_an_event_loops)
{
    cachify_async_t *async;
    cachify_lock_t lock = {.key = "job", .wait = true};
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "job", CACHIFY_NEVER).status);
    assert_ok(cachify_acquire_start(here.cachify, &lock, &async));
    for (unsigned by_key = 0; by_key < 2; by_key++) {
        ck_assert_uint_eq(by_key != 0 ? list_of("job") : list_all(), 1);
        ck_assert(told[0].waiter.event_loop);
        ck_assert_int_eq(told[0].waiter.pid, getpid());
        ck_assert_int_eq(told[0].waiter.thread, syscall(SYS_gettid));
        ck_assert_int_eq(told[0].waiter.awaited_pid, agent->pid);
    }
    struct agent *behind = agent_in_line("job");
    ck_assert_uint_eq(list_all(), 2);
    assert_told(1, "job", behind, getpid());
    assert_ok(cachify_async_cancel(async));
    ck_assert_uint_eq(list_all(), 1);
    ck_assert_int_eq(told[0].waiter.pid, behind->pid);
}
END_TEST

/* ---- Who is not ---- */

START_TEST(the_dead_are_not_listed_from_the_moment_they_are_dead)
{
    struct agent *agents[3];
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    for (unsigned i = 0; i < 3; i++)
        agents[i] = agent_in_line("job");
    agent_kill(agents[2]); /* nobody waits for the last: nobody but who lists them asks */
    ck_assert_uint_eq(list_of("job"), 2);
    agent_kill(agents[1]);
    ck_assert_uint_eq(list_all(), 1);
    assert_told(0, "job", agents[0], getpid());
}
END_TEST

START_TEST(who_left_is_not_listed)
{
    struct agent *agent = agent_start();
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_status(agent_wait(agent, "job", 1, 0).verdict == WOULD_BLOCK ? agent_finish(agent).status
                                                                        : CACHIFY_TIMEOUT,
                  CACHIFY_TIMEOUT);
    ck_assert_uint_eq(list_all(), 0);
    agent = agent_in_line("job");
    assert_ok(cachify_release(&lease));
    assert_ok(agent_finish(agent).status);
    ck_assert_uint_eq(list_all(), 0);
}
END_TEST

START_TEST(in_a_copy_nobody_is_alive)
{
    char path[PATH_ROOM];
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    agent_in_line("job");
    ck_assert_uint_eq(list_all(), 1);
    copy_segment(path);
    view_instead(path);
    ck_assert_uint_eq(list_all(), 0);
}
END_TEST

/* Between two holders: who waits has its key's hash alone. */
START_TEST(a_key_that_nobody_holds_is_not_named)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    struct agent *agent = agent_in_line("job");
    cf_store_relaxed(&agent_waiter(agent)->hash, hash_of("other"));
    ck_assert_uint_eq(list_all(), 1);
    ck_assert_uint_eq(told[0].waiter.key_len, 0);
    assert_told(0, "", agent, getpid());
    ck_assert_uint_eq(list_of("job"), 0);
    ck_assert_uint_eq(list_of("other"), 1);
    assert_told(0, "other", agent, getpid());
}
END_TEST

START_TEST(who_is_awaited_is_not_told_if_that_is_not_known)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    struct agent *agent = agent_in_line("job");
    struct cf_waiter *w = agent_waiter(agent);
    const uint64_t unknown[] = {0, UINT64_MAX, agent->owner + (UINT64_C(1) << 40)};
    for (unsigned i = 0; i < 3; i++) {
        cf_store_relaxed(&w->awaited, unknown[i]);
        ck_assert_uint_eq(list_all(), 1);
        assert_told(0, "job", agent, 0);
    }
}
END_TEST

/* ---- The calls ---- */

START_TEST(a_listing_changes_nothing)
{
    static uint8_t before[1 << 20];
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    struct agent *agent = agent_in_line("job");
    agent_stop(agent);
    ck_assert_uint_le(here.m->size, sizeof before);
    memcpy(before, here.m->base, here.m->size);
    ck_assert_uint_eq(list_all(), 1);
    ck_assert_mem_eq(here.m->base, before, here.m->size);
    agent_continue(agent);
}
END_TEST

static int second_ends(void *context, const cachify_waiter_t *waiter)
{
    (void)waiter;
    return ++*(int *)context == 2 ? 17 : 0;
}

START_TEST(a_listing_ends_when_the_callback_says_so)
{
    int calls = 0, ended = -1;
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    for (unsigned i = 0; i < 4; i++)
        agent_in_line("job");
    assert_ok(cachify_shm_waiters(view, second_ends, &calls, &ended));
    ck_assert_int_eq(calls, 2);
    ck_assert_int_eq(ended, 17);
    told_count = 0;
    assert_ok(cachify_shm_waiters(view, tell, NULL, &ended));
    ck_assert_uint_eq(told_count, 4);
    ck_assert_int_eq(ended, 0);
    calls = 0;
    assert_ok(cachify_waiters(here.cachify, "job", second_ends, &calls));
    ck_assert_int_eq(calls, 2);
}
END_TEST

START_TEST(wrong_calls_are_INVALID)
{
    int ended = 5;
    told_count = 0;
    assert_status(cachify_shm_waiters(NULL, tell, NULL, &ended), CACHIFY_INVALID);
    assert_says("view is NULL");
    assert_status(cachify_shm_waiters(view, NULL, NULL, &ended), CACHIFY_INVALID);
    assert_says("fn is NULL");
    ck_assert_int_eq(ended, 5);
    assert_status(cachify_waiters(here.cachify, "job", NULL, NULL), CACHIFY_INVALID);
    assert_says("fn is NULL");
    assert_status(cachify_waiters(here.cachify, NULL, tell, NULL), CACHIFY_INVALID);
    assert_status(cachify_waiters(here.cachify, "", tell, NULL), CACHIFY_INVALID);
    assert_says("key is empty");
    assert_status(cachify_waiters(NULL, "job", tell, NULL), CACHIFY_NOT_INITIALIZED);
    ck_assert_uint_eq(told_count, 0);
}
END_TEST

/* ---- The text of a busy lock ---- */

static void assert_says_nothing_of_waiters(void)
{
    ck_assert_msg(strstr(cachify_last_error(), "waiting") == NULL, "%s", cachify_last_error());
}

START_TEST(LOCKED_says_how_many_wait)
{
    struct agent *agents[2];
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_status(take("job", 0, &second), CACHIFY_LOCKED);
    assert_says_nothing_of_waiters();
    for (unsigned i = 0; i < 2; i++) {
        agents[i] = agent_in_line("job");
        assert_status(take("job", 0, &second), CACHIFY_LOCKED);
        assert_says(i == 0 ? "; 1 waiting." : "; 2 waiting.");
    }
    agent_kill(agents[0]);
    assert_status(take("job", 0, &second), CACHIFY_LOCKED);
    assert_says("; 1 waiting.");
    assert_ok(take("another", 0, &second));
    assert_status(take("another", 0, &second), CACHIFY_LOCKED);
    assert_says_nothing_of_waiters();
}
END_TEST

START_TEST(TIMEOUT_says_how_many_wait_besides)
{
    cachify_lock_t wait = {.key = "job", .wait = true, .timeout_ms = 20};
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_status(cachify_acquire(here.cachify, &wait, &second), CACHIFY_TIMEOUT);
    assert_says_nothing_of_waiters();
    for (unsigned i = 0; i < 2; i++)
        agent_in_line("job");
    assert_status(cachify_acquire(here.cachify, &wait, &second), CACHIFY_TIMEOUT);
    assert_says("; 2 waiting. Waited ");
}
END_TEST

static cachify_status_t finish_at_last(cachify_async_t *async)
{
    struct pollfd ready = {.fd = cachify_async_fd(async), .events = POLLIN};
    cachify_status_t status;
    do {
        ck_assert_int_eq(poll(&ready, 1, LONG_MS), 1);
        status = cachify_async_finish(async, &second);
    } while (status == CACHIFY_PENDING);
    return status;
}

START_TEST(TIMEOUT_of_an_event_loop_says_so_too)
{
    cachify_async_t *async;
    cachify_lock_t wait = {.key = "job", .wait = true, .timeout_ms = 20};
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_ok(cachify_acquire_start(here.cachify, &wait, &async));
    assert_status(finish_at_last(async), CACHIFY_TIMEOUT);
    assert_says_nothing_of_waiters();
    agent_in_line("job");
    assert_ok(cachify_acquire_start(here.cachify, &wait, &async));
    assert_status(finish_at_last(async), CACHIFY_TIMEOUT);
    assert_says("; 1 waiting. Waited ");
}
END_TEST

/* Called by hand and not woken: it has the turn, and sleeps on. */
static void give_turn(struct cf_waiter *w)
{
    uint32_t word = cf_load_seq(&w->word);
    cf_store_relaxed(&w->turn, cf_now(here.m) + 900 * CF_MS); /* a second is nonsense */
    ck_assert(cf_cas32(&w->word, word, word | CF_WORD_CALLED));
}

START_TEST(LOCKED_and_free_says_for_whom_it_is_kept)
{
    char expected[80];
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    struct agent *agent = agent_in_line("job"); /* patient: it has slept for 10 ms */
    struct cf_waiter *w = agent_waiter(agent);
    give_turn(w);
    assert_ok(cachify_release(&lease));
    ck_assert(!is_locked("job"));
    snprintf(expected, sizeof expected, "job is already locked! It is kept for process %d (",
             (int)agent->pid);
    assert_status(take("job", 0, &second), CACHIFY_LOCKED);
    assert_says(expected);
    assert_says("), which has waited longest; 1 waiting.");
    ck_assert_uint_eq(query("job").state, CACHIFY_STATE_FREE);
    cf_futex_wake(&w->word, 1);
    assert_ok(agent_finish(agent).status);
    assert_status(take("job", 0, &second), CACHIFY_LOCKED);
    assert_says("Held by process ");
    assert_says_nothing_of_waiters();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("inspect, who waits");
    TCase *t = group(s, "listed", setup_view, teardown_view);
    tcase_add_test(t, nobody_is_listed_where_nobody_waits);
    tcase_add_test(t, those_who_wait_for_one_key_are_listed_as_they_came);
    tcase_add_test(t, the_time_they_waited_grows_and_a_handover_does_not_end_it);
    tcase_add_test(t, each_is_listed_with_its_own_key_and_by_key_alone);
    tcase_add_test(t, a_thread_is_listed_with_its_own_number);
    tcase_add_test(t, a_pending_acquisition_is_listed_as_an_event_loops);
    t = group(s, "not listed", setup_view, teardown_view);
    tcase_add_test(t, the_dead_are_not_listed_from_the_moment_they_are_dead);
    tcase_add_test(t, who_left_is_not_listed);
    tcase_add_test(t, in_a_copy_nobody_is_alive);
    tcase_add_test(t, a_key_that_nobody_holds_is_not_named);
    tcase_add_test(t, who_is_awaited_is_not_told_if_that_is_not_known);
    t = group(s, "calls", setup_view, teardown_view);
    tcase_add_test(t, a_listing_changes_nothing);
    tcase_add_test(t, a_listing_ends_when_the_callback_says_so);
    tcase_add_test(t, wrong_calls_are_INVALID);
    t = group(s, "texts", setup_here, teardown_here);
    tcase_add_test(t, LOCKED_says_how_many_wait);
    tcase_add_test(t, TIMEOUT_says_how_many_wait_besides);
    tcase_add_test(t, TIMEOUT_of_an_event_loop_says_so_too);
    tcase_add_test(t, LOCKED_and_free_says_for_whom_it_is_kept);
    return run_suite(s);
}
