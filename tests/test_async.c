/* Acquisitions for event loops, one or a few at a time: when the descriptor is readable, what
 * finish does, what is refused.  This process is the loop. */
#include <sys/epoll.h>
#include <unistd.h>

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

static cachify_origin_t origin_of(const cachify_lease_t *of)
{
    cachify_origin_t origin = {0};
    cachify_lease_origin(of, &origin);
    return origin;
}

static void assert_blocks(struct agent_answer answer)
{
    ck_assert_msg(answer.verdict == WOULD_BLOCK, "answered %s instead of blocking",
                  status_name(answer.status));
}

/* All of this process's waiters have been in line for more than the millisecond of patience. */
static void become_patient(void)
{
    cf_nanosleep(3 * CF_MS);
}

/* ---- Readable ---- */

START_TEST(a_free_lock_is_readable_at_once_and_finish_gives_it)
{
    cachify_async_t *async = pend("job", 0);
    ck_assert(is_readable(async));
    ck_assert(is_locked("job")); /* held from the start on */
    assert_ok(finish(async));
    ck_assert(cachify_lease_held(&got));
    ck_assert_uint_eq(origin_of(&got).how, CACHIFY_FRESH);
    assert_ok(cachify_release(&got));
    ck_assert(!is_locked("job"));
}
END_TEST

START_TEST(a_busy_lock_is_readable_after_its_release_and_not_before)
{
    for (unsigned i = 0; i < 10; i++) {
        assert_ok(take("job", 0, &lease));
        cachify_async_t *async = pend("job", 0);
        STAYS(!is_readable(async), 30);
        assert_ok(cachify_release(&lease));
        ck_assert(comes(async, TOLD_MS));
        assert_ok(finish(async));
        ck_assert_uint_eq(origin_of(&got).how, CACHIFY_FRESH);
        assert_ok(cachify_release(&got));
    }
}
END_TEST

START_TEST(a_busy_lock_is_readable_after_its_release_by_another_process)
{
    struct agent *holder = agent_start();
    assert_ok(agent_take(holder, "job", 0).status);
    cachify_async_t *async = pend("job", 0);
    STAYS(!is_readable(async), 30);
    assert_ok(agent_release(holder).status);
    ck_assert(comes(async, TOLD_MS));
    assert_ok(finish(async));
}
END_TEST

START_TEST(a_busy_lock_is_readable_when_its_lease_expires)
{
    struct agent *holder = agent_start();
    int64_t start = now_ms();
    struct agent_answer had = agent_take(holder, "job", 200);
    cachify_async_t *async = pend("job", 0);
    ck_assert(comes(async, TOLD_MS));
    ck_assert_int_ge(now_ms() - start, 194); /* the coarse clock may lag by a tick */
    assert_ok(finish(async));
    ck_assert_uint_eq(origin_of(&got).how, CACHIFY_EXPIRED);
    ck_assert_int_eq(origin_of(&got).previous_pid, holder->pid);
    ck_assert_uint_eq(origin_of(&got).previous_token, had.token);
    ck_assert(!agent_look(holder).held);
}
END_TEST

START_TEST(a_busy_lock_is_not_readable_when_its_lease_was_renewed)
{
    assert_ok(take("job", 150, &lease));
    cachify_async_t *async = pend("job", 0);
    int64_t renewed = now_ms(); /* before: from then on, at the earliest, the lease runs */
    assert_ok(cachify_extend(&lease, 500));
    do {
        ck_assert(comes(async, TOLD_MS));
    } while (finish(async) == CACHIFY_PENDING); /* a look too many is no fault */
    ck_assert(cachify_lease_held(&got));
    ck_assert_int_ge(now_ms() - renewed, 494);
}
END_TEST

START_TEST(a_busy_lock_is_readable_when_its_lease_is_shortened)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    cachify_async_t *async = pend("job", 0);
    int64_t start = now_ms();
    assert_ok(cachify_extend(&lease, 50));
    do {
        ck_assert(comes(async, TOLD_MS));
    } while (finish(async) == CACHIFY_PENDING);
    ck_assert(cachify_lease_held(&got));
    ck_assert_int_lt(now_ms() - start, TOLD_MS);
}
END_TEST

START_TEST(a_busy_lock_is_readable_when_it_is_forced)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    cachify_async_t *async = pend("job", 0);
    assert_ok(cachify_release_key(here.cachify, "job"));
    ck_assert(comes(async, TOLD_MS));
    assert_ok(finish(async));
    assert_status(cachify_release(&lease), CACHIFY_LOST);
    ck_assert(cachify_lease_held(&got));
}
END_TEST

START_TEST(a_busy_lock_is_readable_when_its_owner_is_killed)
{
    struct agent *holder = agent_start();
    struct agent_answer had = agent_take(holder, "job", CACHIFY_NEVER);
    cachify_async_t *async = pend("job", 0);
    await_watch();
    ck_assert(!is_readable(async));
    pid_t pid = holder->pid;
    agent_kill(holder);
    ck_assert(comes(async, TOLD_MS));
    assert_ok(finish(async));
    ck_assert_uint_eq(origin_of(&got).how, CACHIFY_OWNER_DIED);
    ck_assert_int_eq(origin_of(&got).previous_pid, pid);
    ck_assert_uint_eq(origin_of(&got).previous_token, had.token);
}
END_TEST

static const int64_t timeouts[] = {1, 40, 300};

START_TEST(at_its_timeout_it_is_readable_and_TIMEOUT_names_the_holder)
{
    struct agent *holder = agent_start();
    char pid[32];
    assert_ok(agent_take(holder, "job", CACHIFY_NEVER).status);
    uint64_t start = cf_monotonic_ns();
    cachify_async_t *async = pend("job", timeouts[_i]);
    ck_assert(comes(async, LONG_MS));
    uint64_t took = cf_monotonic_ns() - start;
    ck_assert_uint_ge(took, (uint64_t)timeouts[_i] * CF_MS);
    ck_assert_uint_lt(took, (uint64_t)(timeouts[_i] + 1000) * CF_MS);
    assert_status(finish(async), CACHIFY_TIMEOUT);
    assert_says("job is already locked!");
    snprintf(pid, sizeof pid, "process %d ", (int)holder->pid);
    assert_says(pid);
    assert_says("Waited ");
    ck_assert_ptr_null(strstr(cachify_last_error(), "waiting")); /* nobody but it did */
    ck_assert_uint_eq(query("job").waiters, 0);
}
END_TEST

START_TEST(a_lock_that_comes_free_before_finish_is_had_even_after_the_timeout)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    cachify_async_t *async = pend("job", 20);
    ck_assert(comes(async, LONG_MS));
    cf_nanosleep(20 * CF_MS);
    assert_ok(cachify_release(&lease));
    assert_ok(finish(async));
}
END_TEST

START_TEST(without_wait_a_busy_lock_is_LOCKED_at_the_start)
{
    struct agent *holder = agent_start();
    char pid[32];
    cachify_async_t *async = (cachify_async_t *)&lease; /* whatever it was */
    cachify_lock_t lock = {.key = "job"};
    assert_ok(agent_take(holder, "job", 0).status);
    unsigned descriptors = count_descriptors();
    assert_status(cachify_acquire_start(here.cachify, &lock, &async), CACHIFY_LOCKED);
    snprintf(pid, sizeof pid, "process %d ", (int)holder->pid);
    assert_says("job is already locked!");
    assert_says(pid);
    ck_assert_ptr_eq(async, (cachify_async_t *)&lease);
    ck_assert_uint_eq(count_descriptors(), descriptors);
    ck_assert_uint_eq(query("job").waiters, 0);
    assert_ok(agent_release(holder).status);
    assert_ok(cachify_acquire_start(here.cachify, &lock, &async));
    ck_assert(is_readable(async));
    assert_ok(finish(async));
}
END_TEST

/* ---- Finish ---- */

START_TEST(finish_before_it_is_readable_is_PENDING_and_harmless)
{
    struct agent *behind = agent_start();
    assert_ok(take("job", 0, &lease));
    cachify_async_t *async = pend("job", 0);
    become_patient();
    assert_blocks(agent_wait(behind, "job", 0, 0));
    cachify_lease_t untouched = got;
    for (unsigned i = 0; i < rounds(200); i++) {
        assert_status(finish(async), CACHIFY_PENDING);
        ck_assert(!is_readable(async));
    }
    ck_assert_mem_eq(&untouched, &got, sizeof got);
    ck_assert_uint_eq(query("job").waiters, 2);
    assert_ok(cachify_release(&lease));
    ck_assert(comes(async, TOLD_MS));        /* it has kept its place */
    while (finish(async) == CACHIFY_PENDING) /* unless it was too slow for it */
        ck_assert(agent_finish(behind).status == CACHIFY_OK &&
                  agent_release(behind).status == CACHIFY_OK && comes(async, TOLD_MS));
    ck_assert(cachify_lease_held(&got));
}
END_TEST

START_TEST(it_stays_readable_until_finish)
{
    assert_ok(take("job", 0, &lease));
    cachify_async_t *async = pend("job", 0);
    int loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    ck_assert_int_eq(epoll_ctl(loop, EPOLL_CTL_ADD, cachify_async_fd(async), &event), 0);
    ck_assert_int_eq(epoll_wait(loop, &event, 1, 0), 0);
    assert_ok(cachify_release(&lease));
    ck_assert_int_eq(epoll_wait(loop, &event, 1, TOLD_MS), 1);
    STAYS(epoll_wait(loop, &event, 1, 0) == 1, 50); /* beyond its turn, too */
    assert_ok(take("job", 0, &lease));
    ck_assert_int_eq(epoll_wait(loop, &event, 1, 0), 1);
    assert_status(finish(async), CACHIFY_PENDING); /* another was quicker */
    STAYS(epoll_wait(loop, &event, 1, 0) == 0, 30);
    assert_ok(cachify_release(&lease));
    ck_assert_int_eq(epoll_wait(loop, &event, 1, TOLD_MS), 1);
    close(loop); /* before the descriptor goes */
    assert_ok(finish(async));
}
END_TEST

START_TEST(finish_leaves_no_waiter_and_no_descriptor)
{
    unsigned descriptors = count_descriptors();
    assert_ok(take("job", 0, &lease));
    cachify_async_t *async = pend("job", 0);
    ck_assert_uint_eq(query("job").waiters, 1);
    ck_assert_uint_eq(count_descriptors(), descriptors + 1);
    assert_ok(cachify_release(&lease));
    ck_assert(comes(async, TOLD_MS));
    assert_ok(finish(async));
    ck_assert_uint_eq(query("job").waiters, 0);
    ck_assert_uint_eq(count_descriptors(), descriptors);
}
END_TEST

START_TEST(key_and_note_are_copied)
{
    char key[] = "job of mine", note[] = "a note";
    cachify_lock_t lock = {.key = key,
                           .key_len = 3,
                           .wait = true,
                           .exp_ms = CACHIFY_NEVER,
                           .value = note,
                           .value_len = 6};
    cachify_async_t *async;
    assert_ok(take("job", 0, &lease));
    assert_ok(cachify_acquire_start(here.cachify, &lock, &async));
    memset(key, 'x', sizeof key);
    memset(note, 'y', sizeof note);
    memset(&lock, 0x5a, sizeof lock);
    ck_assert_uint_ne(pass("another"), 0); /* what the thread keeps of a key is another's now */
    assert_ok(cachify_release(&lease));
    ck_assert(comes(async, TOLD_MS));
    assert_ok(finish(async));
    cachify_info_t info = query("job");
    ck_assert_uint_eq(info.state, CACHIFY_STATE_HELD);
    ck_assert_int_eq(info.remaining_ms, CACHIFY_NEVER);
    ck_assert_uint_eq(info.value_len, 6);
    ck_assert_mem_eq(info.value, "a note", 6);
    ck_assert_uint_ne(pass("another"), 0);
    assert_ok(cachify_release(&got));
}
END_TEST

/* ---- Bad arguments ---- */

START_TEST(bad_arguments_are_INVALID_and_named)
{
    cachify_async_t *async = NULL;
    cachify_lock_t lock = {.key = "job"}, empty = {.key = ""}, long_ago = {.key = "job"};
    cachify_lock_t big = {.key = "job", .value = "x", .value_len = 65};
    unsigned descriptors = count_descriptors();
    assert_status(cachify_acquire_start(here.cachify, NULL, &async), CACHIFY_INVALID);
    assert_says("lock is NULL");
    assert_status(cachify_acquire_start(here.cachify, &lock, NULL), CACHIFY_INVALID);
    assert_says("async is NULL");
    assert_status(cachify_acquire_start(here.cachify, &empty, &async), CACHIFY_INVALID);
    assert_says("key");
    long_ago.timeout_ms = -1;
    assert_status(cachify_acquire_start(here.cachify, &long_ago, &async), CACHIFY_INVALID);
    assert_says("timeout_ms");
    assert_status(cachify_acquire_start(here.cachify, &big, &async), CACHIFY_INVALID);
    assert_says("65 bytes");
    lock.key = "a key that is longer than the sixty-four bytes that this segment takes";
    assert_status(cachify_acquire_start(here.cachify, &lock, &async), CACHIFY_KEY_TOO_LONG);
    lock.key = "job";
    assert_status(cachify_acquire_start(NULL, &lock, &async), CACHIFY_NOT_INITIALIZED);
    ck_assert_ptr_null(async);
    ck_assert_int_eq(cachify_async_fd(NULL), -1);
    assert_status(cachify_async_finish(NULL, &got), CACHIFY_INVALID);
    assert_says("async is NULL");
    ck_assert_uint_eq(count_descriptors(), descriptors);
    async = pend("job", 0);
    assert_status(cachify_async_finish(async, NULL), CACHIFY_INVALID);
    assert_says("lease is NULL");
    assert_ok(finish(async)); /* it lived on */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("async");
    TCase *t = group(s, "readable", setup_here, teardown);
    tcase_add_test(t, a_free_lock_is_readable_at_once_and_finish_gives_it);
    tcase_add_test(t, a_busy_lock_is_readable_after_its_release_and_not_before);
    tcase_add_test(t, a_busy_lock_is_readable_after_its_release_by_another_process);
    tcase_add_test(t, a_busy_lock_is_readable_when_its_lease_expires);
    tcase_add_test(t, a_busy_lock_is_not_readable_when_its_lease_was_renewed);
    tcase_add_test(t, a_busy_lock_is_readable_when_its_lease_is_shortened);
    tcase_add_test(t, a_busy_lock_is_readable_when_it_is_forced);
    tcase_add_test(t, a_busy_lock_is_readable_when_its_owner_is_killed);
    tcase_add_loop_test(t, at_its_timeout_it_is_readable_and_TIMEOUT_names_the_holder, 0, 3);
    tcase_add_test(t, a_lock_that_comes_free_before_finish_is_had_even_after_the_timeout);
    tcase_add_test(t, without_wait_a_busy_lock_is_LOCKED_at_the_start);
    t = group(s, "finish", setup_here, teardown);
    tcase_add_test(t, finish_before_it_is_readable_is_PENDING_and_harmless);
    tcase_add_test(t, it_stays_readable_until_finish);
    tcase_add_test(t, finish_leaves_no_waiter_and_no_descriptor);
    tcase_add_test(t, key_and_note_are_copied);
    tcase_add_test(t, bad_arguments_are_INVALID_and_named);
    return run_suite(s);
}
