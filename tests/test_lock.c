/* Semantics of a lock without waiting (design, section 3): the rows nowait, release by key, is locked,
 * not reentrant, prefix, error text.  Each test's name begins with its row. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent.h"

static cachify_lease_t lease, second;

static cachify_status_t wait_for(const char *key, int64_t timeout_ms)
{
    cachify_lock_t lock = {.key = key, .wait = true, .timeout_ms = timeout_ms};
    return cachify_acquire(here.cachify, &lock, &second);
}

/* ---- nowait ---- */

START_TEST(nowait_a_free_lock_is_taken)
{
    assert_ok(take("job", 0, &lease));
    ck_assert(cachify_lease_held(&lease));
    ck_assert_uint_ne(cachify_lease_token(&lease), 0);
    assert_ok(cachify_release(&lease));
    ck_assert(!is_locked("job"));
}
END_TEST

START_TEST(nowait_a_busy_lock_is_answered_at_once)
{
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "job", 0).status);
    int64_t start = now_ms();
    assert_status(take("job", 0, &lease), CACHIFY_LOCKED);
    ck_assert_int_lt(now_ms() - start, 1000); /* the poll interval is 5 s */
    assert_ok(agent_release(agent).status);
    assert_ok(take("job", 0, &lease));
    ck_assert_int_eq(agent_take(agent, "job", 0).status, CACHIFY_LOCKED);
    assert_ok(cachify_release(&lease));
}
END_TEST

/* pitfall 7 */
START_TEST(nowait_ignores_a_timeout)
{
    struct agent *agent = agent_start();
    cachify_lock_t lock = {.key = "job", .timeout_ms = LONG_MS};
    assert_ok(agent_take(agent, "job", 0).status);
    int64_t start = now_ms();
    assert_status(cachify_acquire(here.cachify, &lock, &lease), CACHIFY_LOCKED);
    ck_assert_int_lt(now_ms() - start, LONG_MS / 2);
}
END_TEST

START_TEST(nowait_a_failed_acquire_leaves_the_lease_alone)
{
    cachify_lease_t before;
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "job", 0).status);
    assert_ok(take("mine", 0, &lease));
    before = lease;
    assert_status(take("job", 0, &lease), CACHIFY_LOCKED);
    ck_assert_mem_eq(&lease, &before, sizeof lease);
    assert_ok(cachify_release(&lease));
    ck_assert(!is_locked("mine"));
}
END_TEST

START_TEST(nowait_many_locks_exclude_each_by_its_own_name)
{
    cachify_lease_t leases[50];
    struct agent *agent = agent_start();
    for (unsigned i = 0; i < 50; i++)
        assert_ok(take(numbered("job", i), 0, &leases[i]));
    for (unsigned i = 0; i < 50; i++)
        ck_assert_int_eq(agent_take(agent, numbered("job", i), 0).status, CACHIFY_LOCKED);
    for (unsigned i = 0; i < 50; i += 2)
        assert_ok(cachify_release(&leases[i]));
    for (unsigned i = 0; i < 50; i++) {
        struct agent_order order = {.act = act_take, .lease = i};
        snprintf(order.key, sizeof order.key, "job-%u", i);
        ck_assert_int_eq(agent_do(agent, &order).status, i % 2 == 0 ? CACHIFY_OK : CACHIFY_LOCKED);
    }
}
END_TEST

/* Tries, and stays alive until all have tried. */
static int64_t try_and_stay(unsigned i, void *context)
{
    _Atomic unsigned *tried = context;
    cachify_t *own;
    cachify_lease_t got;
    (void)i;
    if (cachify_open(&here.config, &own) != CACHIFY_OK)
        return -2;
    cachify_status_t status = cachify_acquire(own, &(cachify_lock_t){.key = "one"}, &got);
    atomic_fetch_add(tried, 1);
    for (int64_t until = now_ms() + LONG_MS; atomic_load(tried) < 8 && now_ms() < until;)
        tick();
    return (int64_t)status;
}

/* I1 */
START_TEST(nowait_of_many_processes_at_once_one_gets_it)
{
    _Atomic unsigned *tried = shared(sizeof *tried);
    for (unsigned round = 0; round < rounds(20); round++) {
        int64_t got[8];
        unsigned winners = 0;
        atomic_store(tried, 0);
        processes_together(8, try_and_stay, tried, got);
        for (unsigned i = 0; i < 8; i++) {
            ck_assert_msg(got[i] == CACHIFY_OK || got[i] == CACHIFY_LOCKED, "%d", (int)got[i]);
            winners += got[i] == CACHIFY_OK;
        }
        ck_assert_uint_eq(winners, 1);
        assert_sound(here.m);
    }
}
END_TEST

/* ---- release by key ---- */

START_TEST(release_by_key_ends_anothers_lease)
{
    struct agent *holder = agent_start(), *other = agent_start();
    assert_ok(agent_take(holder, "job", 0).status);
    assert_ok(agent_force(other, "job").status);
    ck_assert(!is_locked("job"));
    ck_assert(!agent_look(holder).held);
    ck_assert_int_eq(agent_look(holder).remaining_ms, 0);
    assert_ok(take("job", 0, &lease));
    ck_assert_int_eq(agent_extend(holder, 1000).status, CACHIFY_LOST);
    ck_assert_int_eq(agent_release(holder).status, CACHIFY_LOST);
    ck_assert(cachify_lease_held(&lease));
    assert_ok(cachify_release(&lease));
}
END_TEST

START_TEST(release_by_key_of_a_free_lock_is_ok)
{
    assert_ok(cachify_release_key(here.cachify, "never seen"));
    ck_assert_uint_ne(pass("job"), 0);
    assert_ok(cachify_release_key(here.cachify, "job"));
    assert_ok(cachify_release_key(here.cachify, "job"));
    ck_assert(!is_locked("job"));
}
END_TEST

START_TEST(release_by_key_of_ones_own_lease_loses_it)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_ok(cachify_release_key(here.cachify, "job"));
    ck_assert(!cachify_lease_held(&lease));
    assert_status(cachify_release(&lease), CACHIFY_LOST);
    struct census c = census(here.m);
    ck_assert_uint_eq(c.held, 0);
}
END_TEST

START_TEST(release_by_key_hits_no_other_key)
{
    assert_ok(take("job", 0, &lease));
    assert_ok(take("job2", 0, &second));
    assert_ok(cachify_release_key(here.cachify, "job"));
    ck_assert(!cachify_lease_held(&lease));
    ck_assert(cachify_lease_held(&second));
}
END_TEST

/* ---- is locked, and query ---- */

START_TEST(is_locked_is_true_only_for_a_live_lease)
{
    struct agent *agent = agent_start();
    ck_assert(!is_locked("job"));
    assert_ok(agent_take(agent, "job", 0).status);
    ck_assert(is_locked("job"));
    ck_assert(!is_locked("jo"));
    ck_assert(!is_locked("job2"));
    assert_ok(agent_release(agent).status);
    ck_assert(!is_locked("job"));
    assert_ok(agent_take(agent, "job", 0).status);
    agent_kill(agent);
    EVENTUALLY(!is_locked("job"), 1000);
}
END_TEST

START_TEST(query_tells_who_holds_it_since_when_until_when)
{
    struct agent *agent = agent_start();
    ck_assert_uint_eq(query("job").state, CACHIFY_STATE_FREE);
    struct agent_answer taken = agent_take(agent, "job", 60000);
    cachify_info_t info = query("job");
    ck_assert_uint_eq(info.state, CACHIFY_STATE_HELD);
    ck_assert_int_eq(info.pid, agent->pid);
    ck_assert_int_eq(info.thread, agent->pid); /* its main thread */
    ck_assert_uint_eq(info.token, taken.token);
    ck_assert_int_gt(info.remaining_ms, 60000 - LONG_MS);
    ck_assert_int_le(info.remaining_ms, 60000);
    ck_assert_int_ge(info.held_ms, 0);
    ck_assert_int_lt(info.held_ms, LONG_MS);
    ck_assert_uint_eq(info.waiters, 0);
    ck_assert_str_ne(info.command, "");
    EVENTUALLY(query("job").held_ms > info.held_ms, LONG_MS);
}
END_TEST

START_TEST(query_shows_the_note_kept_with_the_lease)
{
    char longest[64];
    memset(longest, 'x', sizeof longest);
    cachify_lock_t lock = {.key = "job", .value = "nightly\0\1", .value_len = 9};
    assert_ok(cachify_acquire(here.cachify, &lock, &lease));
    cachify_info_t info = query("job");
    ck_assert_uint_eq(info.value_len, 9);
    ck_assert_mem_eq(info.value, "nightly\0\1", 9);
    assert_ok(cachify_extend(&lease, 1000)); /* the note goes along */
    ck_assert_mem_eq(query("job").value, "nightly\0\1", 9);
    assert_ok(cachify_release(&lease));
    lock = (cachify_lock_t){.key = "job", .value = longest, .value_len = 64};
    assert_ok(cachify_acquire(here.cachify, &lock, &lease));
    ck_assert_mem_eq(query("job").value, longest, 64);
    assert_ok(cachify_release(&lease));
    assert_ok(take("job", 0, &lease));
    ck_assert_uint_eq(query("job").value_len, 0);
}
END_TEST

/* pitfall 3 */
START_TEST(is_locked_changes_nothing)
{
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "dead", 0).status);
    agent_kill(agent);
    assert_ok(take("short", 1, &lease));
    assert_ok(take("live", 0, &lease));
    ck_assert_uint_ne(pass("idle"), 0);
    EVENTUALLY(!is_locked("short") && !is_locked("dead"), LONG_MS);
    size_t from = (size_t)((uint8_t *)here.m->group_at - here.m->base);
    uint8_t *before = malloc(here.m->size - from);
    memcpy(before, here.m->base + from, here.m->size - from);
    const char *const keys[] = {"dead", "short", "live", "idle", "unknown"};
    for (unsigned i = 0; i < 5; i++) {
        is_locked(keys[i]);
        query(keys[i]);
    }
    ck_assert_mem_eq(here.m->base + from, before, here.m->size - from);
    free(before);
}
END_TEST

/* What a thread keeps of the key that it asked for last is never used for another: one of few keys
 * is taken, given back, asked about, and waited for in an event loop, in any order. */
START_TEST(is_locked_is_said_of_the_key_that_was_asked)
{
    static const char *const keys[] = {"job", "nob", "a key of more than a few words' length"};
    cachify_lease_t leases[3] = {0};
    cachify_async_t *async;
    uint64_t random = seed();
    for (unsigned i = 0; i < 3000; i++) {
        uint64_t k = chance(&random) % 3, what = chance(&random) % 6;
        bool mine = cachify_lease_held(&leases[k]);
        cachify_lock_t lock = {.key = keys[k], .wait = true};
        if (what == 0) {
            assert_status(take(keys[k], 0, mine ? &second : &leases[k]),
                          mine ? CACHIFY_LOCKED : CACHIFY_OK);
        } else if (what == 1) {
            assert_ok(cachify_release(&leases[k]));
        } else if (what == 2) {
            ck_assert_int_eq(query(keys[k]).state, mine ? CACHIFY_STATE_HELD : CACHIFY_STATE_FREE);
        } else if (what == 3) {
            assert_ok(cachify_acquire_start(here.cachify, &lock, &async));
            assert_ok(cachify_async_cancel(async));
        } else {
            ck_assert_msg(is_locked(keys[k]) == mine, "\"%s\" is%s locked, it says", keys[k],
                          mine ? " not" : "");
        }
    }
    for (unsigned k = 0; k < 3; k++)
        assert_ok(cachify_release(&leases[k]));
}
END_TEST

/* ---- not reentrant ---- */

START_TEST(not_reentrant_without_waiting_is_LOCKED)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_status(take("job", 0, &second), CACHIFY_LOCKED);
    ck_assert(cachify_lease_held(&lease));
}
END_TEST

/* pitfall 12 */
START_TEST(not_reentrant_waiting_without_end_is_DEADLOCK)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_status(wait_for("job", 0), CACHIFY_DEADLOCK);
    assert_says("job");
    assert_status(wait_for("job", CACHIFY_NEVER), CACHIFY_DEADLOCK);
    ck_assert(cachify_lease_held(&lease));
    assert_ok(cachify_release(&lease));
    assert_ok(wait_for("job", 0));
}
END_TEST

START_TEST(not_reentrant_with_a_timeout_in_reach_is_TIMEOUT)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_status(wait_for("job", 50), CACHIFY_TIMEOUT);
}
END_TEST

START_TEST(not_reentrant_with_an_expiry_in_reach_waits_for_it)
{
    assert_ok(take("job", 200, &lease));
    assert_ok(wait_for("job", 0));
    ck_assert(!cachify_lease_held(&lease));
    ck_assert_int_eq(cachify_lease_origin(&second, NULL), CACHIFY_EXPIRED);
}
END_TEST

START_TEST(not_reentrant_an_extend_to_never_counts)
{
    assert_ok(take("job", 60000, &lease));
    assert_ok(cachify_extend(&lease, CACHIFY_NEVER));
    assert_status(wait_for("job", 0), CACHIFY_DEADLOCK);
}
END_TEST

static int64_t take_forever(unsigned i, void *context)
{
    (void)i, (void)context;
    return take("job", CACHIFY_NEVER, &lease);
}

static int64_t wait_without_end(unsigned i, void *context)
{
    (void)context;
    if (i == 0)
        return wait_for("job", 0);
    while (query("job").waiters == 0)
        tick();
    return cachify_release(&lease);
}

/* pitfall 35: a serial of the library's own, so a later thread is not taken for the one that
 * ended, whatever the system calls it; and a handed-on lease is no deadlock. */
START_TEST(not_reentrant_is_not_said_of_another_thread)
{
    int64_t got[2];
    threads_together(1, take_forever, NULL, got);
    assert_ok((cachify_status_t)got[0]);
    ck_assert(cachify_lease_held(&lease));
    threads_together(2, wait_without_end, NULL, got);
    assert_ok((cachify_status_t)got[0]);
    assert_ok((cachify_status_t)got[1]);
    ck_assert(cachify_lease_held(&second));
}
END_TEST

/* ---- prefix ---- */

static cachify_t *open_with_prefix(const char *prefix)
{
    cachify_t *instance;
    cachify_config_t config = here.config;
    config.prefix = prefix;
    assert_ok(cachify_open(&config, &instance));
    return instance;
}

START_TEST(prefix_defaults_to_that_of_the_python_library)
{
    bool locked;
    cachify_t *plain = open_with_prefix(NULL);
    assert_ok(cachify_acquire(plain, &(cachify_lock_t){.key = "job"}, &lease));
    ck_assert(is_locked("PYC-job"));
    ck_assert(!is_locked("job"));
    assert_ok(cachify_is_locked(plain, "job", &locked));
    ck_assert(locked);
    assert_ok(cachify_release_key(plain, "job"));
    ck_assert(!is_locked("PYC-job"));
    assert_status(cachify_release(&lease), CACHIFY_LOST);
    assert_ok(cachify_close(plain));
}
END_TEST

/* pitfall 13: prefix and key are one name; who wants more says so. */
START_TEST(prefix_and_key_make_one_name)
{
    cachify_t *a = open_with_prefix("A"), *ab = open_with_prefix("AB");
    assert_ok(cachify_acquire(a, &(cachify_lock_t){.key = "BC"}, &lease));
    assert_status(cachify_acquire(ab, &(cachify_lock_t){.key = "C"}, &second), CACHIFY_LOCKED);
    assert_ok(cachify_acquire(ab, &(cachify_lock_t){.key = "BC"}, &second));
    ck_assert(is_locked("ABC") && is_locked("ABBC"));
    assert_ok(cachify_close(a));
    assert_ok(cachify_close(ab));
    assert_ok(cachify_release(&lease));
    assert_ok(cachify_release(&second));
}
END_TEST

START_TEST(prefix_is_copied_and_kept)
{
    char prefix[] = "mine-";
    cachify_t *instance = open_with_prefix(prefix);
    memset(prefix, 'x', sizeof prefix - 1);
    assert_ok(cachify_acquire(instance, &(cachify_lock_t){.key = "job"}, &lease));
    ck_assert(is_locked("mine-job"));
    assert_ok(cachify_release(&lease));
    assert_ok(cachify_close(instance));
}
END_TEST

/* ---- error text ---- */

START_TEST(error_text_names_key_holder_and_times)
{
    char expected[64];
    struct agent *agent = agent_start();
    struct agent_answer taken = agent_take(agent, "job", 60000);
    assert_status(take("job", 0, &lease), CACHIFY_LOCKED);
    ck_assert_msg(strncmp(cachify_last_error(), "job is already locked!", 22) == 0, "%s",
                  cachify_last_error());
    snprintf(expected, sizeof expected, "process %d ", (int)agent->pid);
    assert_says(expected);
    snprintf(expected, sizeof expected, "token %llu", (unsigned long long)taken.token);
    assert_says(expected);
    assert_says(" ms");
    assert_status(wait_for("job", 30), CACHIFY_TIMEOUT);
    assert_says("job is already locked!");
    assert_says("Waited ");
}
END_TEST

START_TEST(error_text_shows_the_note_and_escapes_control_characters)
{
    cachify_lock_t lock = {.key = "a\x1b[1mb", .value = "by\nme", .value_len = 5};
    assert_ok(cachify_acquire(here.cachify, &lock, &lease));
    assert_status(cachify_acquire(here.cachify, &lock, &second), CACHIFY_LOCKED);
    assert_says("a\\x1b[1mb is already locked!");
    assert_says("note \"by\\x0ame\"");
}
END_TEST

START_TEST(error_text_of_a_lock_without_expiry_says_so)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_status(take("job", 0, &second), CACHIFY_LOCKED);
    assert_says("without expiry");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("lock");
    TCase *t = group(s, "nowait", setup_here, teardown_here);
    tcase_add_test(t, nowait_a_free_lock_is_taken);
    tcase_add_test(t, nowait_a_busy_lock_is_answered_at_once);
    tcase_add_test(t, nowait_ignores_a_timeout);
    tcase_add_test(t, nowait_a_failed_acquire_leaves_the_lease_alone);
    tcase_add_test(t, nowait_many_locks_exclude_each_by_its_own_name);
    tcase_add_test(t, nowait_of_many_processes_at_once_one_gets_it);
    t = group(s, "release by key", setup_here, teardown_here);
    tcase_add_test(t, release_by_key_ends_anothers_lease);
    tcase_add_test(t, release_by_key_of_a_free_lock_is_ok);
    tcase_add_test(t, release_by_key_of_ones_own_lease_loses_it);
    tcase_add_test(t, release_by_key_hits_no_other_key);
    t = group(s, "is locked", setup_here, teardown_here);
    tcase_add_test(t, is_locked_is_true_only_for_a_live_lease);
    tcase_add_test(t, query_tells_who_holds_it_since_when_until_when);
    tcase_add_test(t, query_shows_the_note_kept_with_the_lease);
    tcase_add_test(t, is_locked_changes_nothing);
    tcase_add_test(t, is_locked_is_said_of_the_key_that_was_asked);
    t = group(s, "not reentrant", setup_here, teardown_here);
    tcase_add_test(t, not_reentrant_without_waiting_is_LOCKED);
    tcase_add_test(t, not_reentrant_waiting_without_end_is_DEADLOCK);
    tcase_add_test(t, not_reentrant_with_a_timeout_in_reach_is_TIMEOUT);
    tcase_add_test(t, not_reentrant_with_an_expiry_in_reach_waits_for_it);
    tcase_add_test(t, not_reentrant_an_extend_to_never_counts);
    tcase_add_test(t, not_reentrant_is_not_said_of_another_thread);
    t = group(s, "prefix", setup_here, teardown_here);
    tcase_add_test(t, prefix_defaults_to_that_of_the_python_library);
    tcase_add_test(t, prefix_and_key_make_one_name);
    tcase_add_test(t, prefix_is_copied_and_kept);
    t = group(s, "error text", setup_here, teardown_here);
    tcase_add_test(t, error_text_names_key_holder_and_times);
    tcase_add_test(t, error_text_shows_the_note_and_escapes_control_characters);
    tcase_add_test(t, error_text_of_a_lock_without_expiry_says_so);
    return run_suite(s);
}
