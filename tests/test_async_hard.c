/* Acquisitions for event loops under adversity: a thousand at once, no place in line, threads and
 * children, loops that are late, instances and segments that go. */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "confine.h"
#include "pending.h"

#define MANY 1000

static cachify_lease_t lease, second, got;

/* What is held still keeps its instance, and so the instance's threads. */
static void teardown(void)
{
    cachify_release(&lease);
    cachify_release(&second);
    cachify_release(&got);
    teardown_here();
}

static void reopen_with(uint32_t max_locks, int64_t poll_ms)
{
    cachify_config_t config = here.config;
    config.max_locks = max_locks;
    config.poll_interval_ms = poll_ms;
    reopen_here(config);
}

/* ---- Many ---- */

struct many {
    unsigned n;
    cachify_async_t *async[MANY]; /* NULL: served */
    int loop;
};

static struct many many;

static bool may_have_descriptors(rlim_t n)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < n && limit.rlim_max >= n)
        limit.rlim_cur = n;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= n;
}

/* n of them on one key, or on one each. */
static void pend_many(unsigned n, bool one_key)
{
    many = (struct many){.n = n, .loop = epoll_create1(EPOLL_CLOEXEC)};
    for (unsigned i = 0; i < n; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        many.async[i] = pend(one_key ? "job" : numbered("job", i), 0);
        int fd = cachify_async_fd(many.async[i]);
        ck_assert_int_eq(epoll_ctl(many.loop, EPOLL_CTL_ADD, fd, &event), 0);
    }
}

/* Finish one that is readable, and give the lock back. */
static bool serve_one(unsigned i)
{
    int fd = cachify_async_fd(many.async[i]);
    ck_assert_ptr_nonnull(many.async[i]); /* never twice */
    if (cachify_async_finish(many.async[i], &got) == CACHIFY_PENDING)
        return false;
    ck_assert_msg(cachify_lease_held(&got), "%u: %s", i, cachify_last_error());
    many.async[i] = NULL;
    epoll_ctl(many.loop, EPOLL_CTL_DEL, fd, NULL); /* fails where it is closed, as it is */
    assert_ok(cachify_release(&got));
    return true;
}

/* A loop's turns until all are served. */
static void serve_many(void)
{
    struct epoll_event events[64];
    int64_t until = now_ms() + LONG_MS;
    for (unsigned served = 0; served < many.n;) {
        int n = epoll_wait(many.loop, events, 64, TOLD_MS);
        ck_assert_int_gt(n, 0);
        ck_assert_int_lt(now_ms(), until);
        for (int i = 0; i < n; i++)
            served += serve_one(events[i].data.u32);
    }
    close(many.loop);
}

static const uint32_t room[] = {16384, 64};

/* 4096 places in line, and 256: who finds none is served once a poll interval. */
START_TEST(a_thousand_on_one_key_are_each_served_once)
{
    unsigned n = rounds(MANY), descriptors = count_descriptors();
    if (!may_have_descriptors(MANY + 100))
        SKIP("too few descriptors");
    reopen_with(room[_i], _i == 0 ? 5000 : 20);
    ck_assert(_i == 0 ? here.m->waiters > MANY : here.m->waiters < MANY);
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    pend_many(n, true);
    ck_assert_uint_eq(query("job").waiters, n < here.m->waiters ? n : here.m->waiters);
    assert_ok(cachify_release(&lease));
    serve_many();
    ck_assert_uint_eq(query("job").waiters, 0);
    ck_assert(!is_locked("job"));
    ck_assert_uint_eq(count_descriptors(), descriptors);
}
END_TEST

static cachify_status_t act_take_many(struct agent_self *self, const struct agent_order *order,
                                      struct agent_answer *answer)
{
    static cachify_lease_t leases[MANY];
    cachify_status_t status = CACHIFY_OK;
    (void)answer;
    for (unsigned i = 0; i < order->number && status == CACHIFY_OK; i++) {
        cachify_lock_t lock = {.key = numbered("job", i), .exp_ms = CACHIFY_NEVER};
        status = cachify_acquire(self->cachify, &lock, &leases[i]);
    }
    return status;
}

/* All come free at once, by one death. */
START_TEST(a_thousand_keys_of_one_owner_are_told_of_its_death)
{
    unsigned n = rounds(MANY);
    if (!may_have_descriptors(MANY + 100))
        SKIP("too few descriptors");
    reopen_with(16384, 5000);
    struct agent *holder = agent_start();
    assert_ok(agent_run(holder, act_take_many, n).status);
    pend_many(n, false);
    await_watch();
    ck_assert_int_eq(poll(&(struct pollfd){.fd = many.loop, .events = POLLIN}, 1, 30), 0);
    agent_kill(holder);
    serve_many();
}
END_TEST

/* Of 400 ms, while nothing happens. */
START_TEST(a_thousand_pending_cost_next_to_no_processor_time)
{
    if (SANITIZED || under_valgrind())
        SKIP("a checker takes its own");
    if (!may_have_descriptors(MANY + 100))
        SKIP("too few descriptors");
    reopen_with(16384, _i == 0 ? 5000 : 100);
    struct agent *holder = agent_start();
    assert_ok(agent_take(holder, "job", CACHIFY_NEVER).status);
    pend_many(MANY, true);
    await_watch();
    int64_t before = used_us();
    ck_assert_int_eq(poll(&(struct pollfd){.fd = many.loop, .events = POLLIN}, 1, 400), 0);
    ck_assert_int_lt(used_us() - before, _i == 0 ? 40000 : 80000);
    for (unsigned i = 0; i < MANY; i++)
        assert_ok(cachify_async_cancel(many.async[i]));
    close(many.loop);
    ck_assert_uint_eq(query("job").waiters, 0);
}
END_TEST

/* ---- The attendant ---- */

START_TEST(its_thread_ends_when_nothing_is_pending_and_begins_again)
{
    for (unsigned i = 0; i < 2; i++) {
        assert_ok(take("job", 0, &lease));
        cachify_async_t *async = pend("job", 0);
        ck_assert(has_thread("cachify-attend"));
        assert_ok(cachify_release(&lease));
        ck_assert(comes(async, TOLD_MS));
        assert_ok(cachify_async_finish(async, &got));
        assert_ok(cachify_release(&got));
        EVENTUALLY(!has_thread("cachify-attend"), LONG_MS);
    }
}
END_TEST

/* Where a free lock was taken already, it is given back. */
START_TEST(without_a_descriptor_nothing_begins)
{
    struct rlimit limit;
    cachify_async_t *async = NULL;
    cachify_lock_t lock = {.key = "free", .wait = true};
    assert_ok(take("job", 0, &lease));
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){3, limit.rlim_max}), 0);
    cachify_status_t free = cachify_acquire_start(here.cachify, &lock, &async);
    lock.key = "job";
    cachify_status_t busy = cachify_acquire_start(here.cachify, &lock, &async);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(free, CACHIFY_SYSTEM);
    ck_assert_int_eq(busy, CACHIFY_SYSTEM);
    assert_says("no descriptor");
    ck_assert_ptr_null(async);
    ck_assert(!is_locked("free"));
    ck_assert_uint_eq(query("job").waiters, 0);
    assert_ok(cachify_release(&lease));
}
END_TEST

static cachify_status_t act_pend_without_futex(struct agent_self *self,
                                               const struct agent_order *order,
                                               struct agent_answer *answer)
{
    cachify_async_t *async;
    cachify_lock_t lock = {.key = "job", .wait = true, .timeout_ms = LONG_MS};
    if (!forbid_call(SYS_futex, (int)order->number))
        return CACHIFY_SYSTEM;
    cachify_status_t status = cachify_acquire_start(self->cachify, &lock, &async);
    if (status != CACHIFY_OK)
        return status;
    answer->number = 1; /* it began */
    do {
        comes(async, LONG_MS);
        status = cachify_async_finish(async, &self->lease[0]);
    } while (status == CACHIFY_PENDING);
    return status;
}

/* pitfall 27: either no thread is to be had, and start says so, or the poll interval serves. */
START_TEST(without_futexes_nothing_hangs)
{
    struct agent *agent = agent_start();
    struct agent_order order = {.act = act_pend_without_futex, .number = ENOSYS};
    reopen_with(64, 100);
    assert_ok(agent_open(agent).status);
    assert_ok(take("job", 0, &lease));
    ck_assert(agent_tell(agent, &order));
    cf_nanosleep(20 * CF_MS); /* it is in line, or refused; either will do */
    assert_ok(cachify_release(&lease));
    struct agent_answer answer = agent_finish(agent);
    ck_assert_int_eq(answer.verdict, ANSWERED);
    if (answer.status == CACHIFY_SYSTEM && answer.number == 0)
        SKIP("no seccomp here");
    if (answer.status == CACHIFY_NO_MEMORY)
        ck_assert_msg(strstr(answer.error, "thread") != NULL, "%s", answer.error);
    else
        ck_assert_int_eq(answer.status, CACHIFY_OK);
}
END_TEST

/* ---- Threads ---- */

static cachify_async_t *of_a_thread;

static int64_t begin_and_end(unsigned i, void *context)
{
    cachify_lock_t lock = {.key = context, .wait = true};
    (void)i;
    return cachify_acquire_start(here.cachify, &lock, &of_a_thread);
}

static int64_t finish_it(unsigned i, void *context)
{
    (void)i;
    return cachify_async_finish(context, &got);
}

START_TEST(threads_one_may_finish_or_cancel_what_another_began)
{
    int64_t result[1];
    assert_ok(take("job", 0, &lease));
    threads_together(1, begin_and_end, "job", result);
    assert_ok((cachify_status_t)result[0]);
    assert_status(cachify_async_finish(of_a_thread, &got), CACHIFY_PENDING);
    assert_ok(cachify_release(&lease));
    ck_assert(comes(of_a_thread, TOLD_MS));
    threads_together(1, finish_it, of_a_thread, result);
    assert_ok((cachify_status_t)result[0]);
    ck_assert(cachify_lease_held(&got));
    assert_ok(cachify_release(&got));
    threads_together(1, begin_and_end, "job", result); /* granted, to a thread that is no more */
    assert_ok((cachify_status_t)result[0]);
    assert_ok(cachify_async_cancel(of_a_thread));
    ck_assert(!is_locked("job"));
}
END_TEST

struct race {
    _Atomic unsigned inside; /* of the lock */
    _Atomic bool two;
};

/* A loop of its own: take, look at it twice, give back. */
static int64_t contend(unsigned i, void *context)
{
    struct race *race = context;
    unsigned n = rounds(100);
    for (unsigned k = 0; k < n; k++) {
        cachify_async_t *async;
        cachify_lease_t mine;
        cachify_lock_t lock = {.key = "job", .wait = true};
        cachify_status_t status = cachify_acquire_start(here.cachify, &lock, &async);
        if (status != CACHIFY_OK)
            return status;
        if ((i + k) % 8 == 7) {
            cachify_async_cancel(async);
            continue;
        }
        do {
            if (k % 4 != 0 && !comes(async, TOLD_MS)) /* else in a tight loop */
                return CACHIFY_TIMEOUT;
            status = cachify_async_finish(async, &mine);
        } while (status == CACHIFY_PENDING);
        if (status != CACHIFY_OK)
            return status;
        if (cf_add_seq(&race->inside, 1) != 0)
            race->two = true;
        cf_add_seq(&race->inside, (unsigned)-1);
        cachify_release(&mine);
    }
    return CACHIFY_OK;
}

START_TEST(threads_each_with_a_loop_exclude_each_other)
{
    static struct race race;
    int64_t results[4];
    reopen_with(64, 10); /* the attendant looks while they do */
    threads_together(4, contend, &race, results);
    for (unsigned i = 0; i < 4; i++)
        assert_ok((cachify_status_t)results[i]);
    ck_assert(!race.two);
    ck_assert(!is_locked("job"));
    ck_assert_uint_eq(query("job").waiters, 0);
    assert_sound(here.m);
}
END_TEST

/* ---- Children ---- */

struct child_saw {
    cachify_status_t finish, cancel, granted, start, own;
    bool held, came;
};

static void be_child(struct child_saw *saw, cachify_async_t **inherited)
{
    cachify_lock_t lock = {.key = "the child's", .wait = true};
    cachify_lease_t mine = CACHIFY_LEASE_INIT;
    cachify_async_t *async = NULL;
    saw->finish = cachify_async_finish(inherited[0], &mine);
    saw->held = cachify_lease_held(&mine);
    saw->cancel = cachify_async_cancel(inherited[1]);
    saw->granted = cachify_async_finish(inherited[2], &mine);
    saw->start = cachify_acquire_start(here.cachify, &lock, &async);
    saw->came = saw->start == CACHIFY_OK && comes(async, LONG_MS);
    if (saw->came)
        saw->own = cachify_async_finish(async, &mine);
    end_child();
}

START_TEST(a_child_has_no_part_in_its_parents_and_can_have_its_own)
{
    struct child_saw *saw = shared(sizeof *saw);
    memset(saw, 0xff, sizeof *saw);
    assert_ok(take("job", 0, &lease));
    assert_ok(take("the child's", 0, &second));
    cachify_async_t *inherited[] = {pend("job", 0), pend("job", 0), pend("free", 0)};
    if (SANITIZED) /* a child inherits the allocator as it is, locked by a thread that begins */
        EVENTUALLY(attendant_sleeps(), LONG_MS);
    pid_t pid = fork();
    if (pid == 0)
        be_child(saw, inherited);
    EVENTUALLY(query("the child's").waiters == 1, LONG_MS);
    STAYS(!is_readable(inherited[0]) && !is_readable(inherited[1]), 20);
    assert_ok(cachify_release(&second));
    waitpid(pid, NULL, 0);
    ck_assert_int_eq(saw->finish, CACHIFY_CANCELLED);
    ck_assert(!saw->held);
    ck_assert_int_eq(saw->cancel, CACHIFY_OK);
    ck_assert_int_eq(saw->granted, CACHIFY_CANCELLED);
    ck_assert_int_eq(saw->start, CACHIFY_OK);
    ck_assert(saw->came);
    ck_assert_int_eq(saw->own, CACHIFY_OK);
    ck_assert_uint_eq(query("job").waiters, 2);
    ck_assert(is_locked("free"));
    assert_ok(cachify_async_finish(inherited[2], &second));
    for (unsigned i = 0; i < 2; i++) {
        assert_ok(cachify_release(i == 0 ? &lease : &got));
        ck_assert(comes(inherited[i], TOLD_MS));
        assert_ok(cachify_async_finish(inherited[i], &got));
    }
}
END_TEST

/* ---- The instance closes, the segment goes ---- */

START_TEST(an_instance_closed_while_one_is_pending_goes_with_its_lease)
{
    cachify_t *other;
    cachify_async_t *async;
    cachify_lock_t lock = {.key = "job", .wait = true};
    unsigned descriptors = count_descriptors(), entries = census(here.m).entries;
    assert_ok(take("job", 0, &lease));
    assert_ok(cachify_open(&here.config, &other));
    assert_ok(cachify_acquire_start(other, &lock, &async));
    ck_assert_uint_eq(census(here.m).entries, entries + 1);
    assert_ok(cachify_close(other));
    assert_ok(cachify_release(&lease));
    ck_assert(comes(async, TOLD_MS));
    assert_ok(cachify_async_finish(async, &got));
    ck_assert(cachify_lease_held(&got));
    assert_ok(cachify_extend(&got, 1000));
    ck_assert(is_locked("job"));
    assert_ok(cachify_release(&got));
    ck_assert(!is_locked("job"));
    ck_assert_uint_eq(census(here.m).entries, entries);
    ck_assert_uint_eq(count_descriptors(), descriptors);
}
END_TEST

START_TEST(an_instance_closed_while_one_is_pending_goes_with_its_cancel)
{
    unsigned entries = census(here.m).entries, descriptors = count_descriptors();
    cachify_t *other;
    cachify_async_t *async;
    cachify_lock_t lock = {.key = "job", .wait = true};
    assert_ok(take("job", 0, &lease));
    assert_ok(cachify_open(&here.config, &other));
    assert_ok(cachify_acquire_start(other, &lock, &async));
    assert_ok(cachify_close(other));
    assert_ok(cachify_async_cancel(async));
    ck_assert_uint_eq(census(here.m).entries, entries);
    ck_assert_uint_eq(count_descriptors(), descriptors);
    ck_assert(!has_thread("cachify-attend"));
}
END_TEST

/* pitfall 55 */
START_TEST(a_loop_is_told_when_the_segment_is_unlinked)
{
    reopen_with(64, 100);
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    cachify_async_t *async = pend("job", 0);
    ck_assert_int_eq(unlink(here.path), 0);
    ck_assert(comes(async, TOLD_MS)); /* a poll interval, and a look at the file */
    assert_status(cachify_async_finish(async, &got), CACHIFY_GONE);
    ck_assert(!cachify_lease_held(&got));
}
END_TEST

/* pitfall 53: also when it has been readable for long, and nothing is left to look at. */
START_TEST(a_loop_is_told_when_the_segment_is_cut_short)
{
    reopen_with(64, _i == 0 ? 200 : CACHIFY_NEVER);
    unsigned descriptors = count_descriptors();
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    cachify_async_t *async = pend("job", 0);
    if (_i == 1) {
        assert_ok(cachify_release(&lease));
        ck_assert(comes(async, TOLD_MS));
    }
    cf_nanosleep(110 * CF_MS); /* the next call asks the kernel, the attendant sleeps */
    ck_assert_int_eq(truncate(here.path, 0), 0);
    ck_assert(comes(async, TOLD_MS));
    assert_status(cachify_async_finish(async, &got), CACHIFY_GONE);
    ck_assert_uint_eq(count_descriptors(), descriptors);
    int64_t start = now_ms();
    assert_ok(cachify_close(here.cachify)); /* nobody waits for a thread that nobody wakes */
    here.cachify = NULL;
    ck_assert_int_lt(now_ms() - start, TOLD_MS);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("async_hard");
    TCase *t = group(s, "many", setup_here, teardown);
    tcase_add_loop_test(t, a_thousand_on_one_key_are_each_served_once, 0, 2);
    tcase_add_test(t, a_thousand_keys_of_one_owner_are_told_of_its_death);
    tcase_add_loop_test(t, a_thousand_pending_cost_next_to_no_processor_time, 0, 2);
    t = group(s, "threads, children, refusals", setup_here, teardown);
    tcase_add_test(t, its_thread_ends_when_nothing_is_pending_and_begins_again);
    tcase_add_test(t, without_a_descriptor_nothing_begins);
    tcase_add_test(t, without_futexes_nothing_hangs);
    tcase_add_test(t, threads_one_may_finish_or_cancel_what_another_began);
    tcase_add_test(t, threads_each_with_a_loop_exclude_each_other);
    tcase_add_test(t, a_child_has_no_part_in_its_parents_and_can_have_its_own);
    t = group(s, "ends", setup_here, teardown);
    tcase_add_test(t, an_instance_closed_while_one_is_pending_goes_with_its_lease);
    tcase_add_test(t, an_instance_closed_while_one_is_pending_goes_with_its_cancel);
    tcase_add_test(t, a_loop_is_told_when_the_segment_is_unlinked);
    tcase_add_loop_test(t, a_loop_is_told_when_the_segment_is_cut_short, 0, 2);
    return run_suite(s);
}
