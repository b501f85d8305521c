/* Containers, users and clocks: processes that share nothing but the segment.  What needs root,
 * or namespaces that the system does not give, is skipped and says so. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "confine.h"
#include "shm/sweep.h"

static cachify_lease_t lease;

/* Nobody is told of a death yet, so waiters see one when they next look. */
static void setup_polling_often(void)
{
    setup_here();
    here.config.poll_interval_ms = 50;
    reopen_here(here.config);
}

#define assert_blocks(answer) ck_assert_int_eq((answer).verdict, WOULD_BLOCK)

/* By an act of the test's own that ends in act_open. */
static struct agent_answer open_by(struct agent *agent, agent_act *act, int64_t number)
{
    struct agent_answer answer = agent_run(agent, act, number);
    agent->owner = (uint64_t)answer.number; /* by which its waiting is seen */
    return answer;
}

static void assert_gets_it(struct agent *agent, uint32_t how)
{
    struct agent_answer answer = agent_finish(agent);
    ck_assert_msg(answer.status == CACHIFY_OK, "%s: %s", status_name(answer.status), answer.error);
    ck_assert_uint_eq(answer.origin.how, how);
}

/* ---- PID namespaces ---- */

/* pitfall 31: a pid is no name for a process.  Both are number 1, each to itself. */
START_TEST(a_waiter_with_its_holders_pid_waits_for_the_living_and_not_for_the_dead)
{
    struct agent *holder = agent_start_in(CLONE_NEWPID), *waiter = agent_start_in(CLONE_NEWPID);
    if (holder == NULL || waiter == NULL)
        SKIP("no permission to make namespaces");
    assert_ok(agent_open(holder).status);
    assert_ok(agent_open(waiter).status);
    assert_ok(agent_take(holder, "job", CACHIFY_NEVER).status);
    ck_assert_int_eq(query("job").pid, 1);
    assert_blocks(agent_wait(waiter, "job", 0, CACHIFY_NEVER));
    STAYS(agent_is_busy(waiter), 300);
    agent_kill(holder);
    assert_gets_it(waiter, CACHIFY_OWNER_DIED);
    ck_assert_int_eq(query("job").pid, 1);
}
END_TEST

/* The first process of a namespace takes all others in it with it. */
static cachify_status_t act_have_a_holder(struct agent_self *self, const struct agent_order *order,
                                          struct agent_answer *answer)
{
    _Atomic cachify_status_t *status = shared(sizeof *status);
    (void)answer;
    *status = CACHIFY_PENDING;
    pid_t pid = fork();
    if (pid == 0) {
        cachify_t *instance;
        cachify_lock_t lock = {.key = order->key, .exp_ms = CACHIFY_NEVER};
        cachify_status_t result = cachify_open(&here.config, &instance);
        if (result == CACHIFY_OK)
            result = cachify_acquire(instance, &lock, &self->lease[1]);
        *status = result;
        for (;;)
            pause();
    }
    while (*status == CACHIFY_PENDING)
        tick();
    return *status;
}

START_TEST(a_container_that_ends_sets_all_its_locks_free)
{
    struct agent *first = agent_start_in(CLONE_NEWPID);
    if (first == NULL)
        SKIP("no permission to make namespaces");
    struct agent_order order = {.act = act_have_a_holder, .key = "job"};
    assert_ok(agent_do(first, &order).status);
    ck_assert(is_locked("job"));
    ck_assert_int_eq(query("job").pid, 2);
    agent_kill(first);
    EVENTUALLY(take("job", 0, &lease) == CACHIFY_OK, LONG_MS);
    ck_assert_int_eq(cachify_lease_origin(&lease, NULL), CACHIFY_OWNER_DIED);
}
END_TEST

/* ---- Mount namespaces ---- */

static char elsewhere[PATH_ROOM];

/* In a mount namespace of its own, the segment's directory is bound to another, and opened there. */
static cachify_status_t act_open_elsewhere(struct agent_self *self, const struct agent_order *order,
                                           struct agent_answer *answer)
{
    char path[2 * PATH_ROOM];
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("/dev/shm", elsewhere, NULL, MS_BIND, NULL) != 0)
        return CACHIFY_PENDING;
    snprintf(path, sizeof path, "%s%s", elsewhere, strrchr(here.path, '/'));
    here.config.path = path;
    return act_open(self, order, answer);
}

START_TEST(one_file_under_two_paths_is_one_segment)
{
    new_directory(elsewhere);
    struct agent *agent = agent_start_in(CLONE_NEWNS | CLONE_NEWPID);
    if (agent == NULL || open_by(agent, act_open_elsewhere, 0).status == CACHIFY_PENDING)
        SKIP("no permission to make namespaces");
    assert_ok(take("ours", CACHIFY_NEVER, &lease));
    ck_assert_int_eq(agent_take(agent, "ours", 0).status, CACHIFY_LOCKED);
    assert_ok(agent_take(agent, "its", CACHIFY_NEVER).status);
    ck_assert(is_locked("its"));
    assert_blocks(agent_wait(agent, "ours", 0, 0));
    assert_ok(cachify_release(&lease));
    assert_gets_it(agent, CACHIFY_FRESH);
    agent_kill(agent);
    ck_assert(!is_locked("its"));
    ck_assert_int_eq(rmdir(elsewhere), 0);
}
END_TEST

static cachify_status_t act_have_a_dev_shm(struct agent_self *self, const struct agent_order *order,
                                           struct agent_answer *answer)
{
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/dev/shm", "tmpfs", 0, "size=16m") != 0)
        return CACHIFY_PENDING;
    return act_open(self, order, answer);
}

/* The limit that the README states: containers exclude each other only if they share the file. */
START_TEST(a_dev_shm_of_ones_own_is_another_segment)
{
    struct agent *agent = agent_start_in(CLONE_NEWNS | CLONE_NEWPID);
    if (agent == NULL || open_by(agent, act_have_a_dev_shm, 0).status == CACHIFY_PENDING)
        SKIP("no permission to make namespaces");
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_ok(agent_take(agent, "job", CACHIFY_NEVER).status);
    assert_ok(agent_release(agent).status);
    ck_assert(is_locked("job"));
    ck_assert_int_eq(query("job").pid, getpid());
}
END_TEST

/* ---- Clocks ---- */

static int64_t shift_s; /* by which the wall clock of this process is wrong */

/* In place of libc's, for the library as for the test: the wall clock can be set without
 * setting the machine's. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): libc's are reserved. */
int clock_gettime(clockid_t clock, struct timespec *t)
{
    int result = (int)syscall(SYS_clock_gettime, clock, t);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
        t->tv_sec += (time_t)shift_s;
    return result;
}

static cachify_status_t act_set_clock(struct agent_self *self, const struct agent_order *order,
                                      struct agent_answer *answer)
{
    (void)self, (void)answer;
    shift_s = order->number;
    return CACHIFY_OK;
}

static const int hours[] = {3600, -3600};

/* pitfall 45 */
START_TEST(the_wall_clock_set_by_an_hour_changes_nothing)
{
    struct agent *agent = agent_start();
    struct timespec t;
    uint64_t before = pass("job");
    assert_ok(take("long", 60000, &lease));
    assert_ok(agent_take(agent, "its", 60000).status);
    assert_ok(agent_run(agent, act_set_clock, hours[_i]).status);
    time_t true_time = time(NULL);
    shift_s = hours[_i];
    clock_gettime(CLOCK_REALTIME, &t);
    ck_assert_int_ge(llabs((long long)(t.tv_sec - true_time)), 3599); /* it is set, for all of us */

    ck_assert(cachify_lease_held(&lease) && is_locked("its"));
    ck_assert_int_gt(cachify_lease_remaining_ms(&lease), 60000 - LONG_MS);
    ck_assert_int_le(cachify_lease_remaining_ms(&lease), 60000);
    ck_assert_int_le(query("its").held_ms, LONG_MS);
    ck_assert_int_eq(agent_take(agent, "long", 0).status, CACHIFY_LOCKED);
    int64_t start = now_ms();
    struct agent_answer answer = agent_wait(agent, "long", 100, 0);
    if (answer.verdict == WOULD_BLOCK)
        answer = agent_finish(agent);
    ck_assert_int_eq(answer.status, CACHIFY_TIMEOUT);
    ck_assert_int_ge(now_ms() - start, 99);
    assert_ok(cachify_extend(&lease, 100));
    EVENTUALLY(take("long", 0, &lease) == CACHIFY_OK, 3000);
    ck_assert_int_eq(cachify_lease_origin(&lease, NULL), CACHIFY_EXPIRED);
    ck_assert_uint_gt(pass("job"), before);
    shift_s = 0;
}
END_TEST

/* ---- System calls refused ---- */

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

/* What container runtimes of some years ago refuse: calls that they do not know. */
static cachify_status_t act_open_in_an_old_container(struct agent_self *self,
                                                     const struct agent_order *order,
                                                     struct agent_answer *answer)
{
    static const int unknown[] = {SYS_futex_waitv, SYS_membarrier, SYS_getrandom, SYS_memfd_create};
    for (unsigned i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        if (!forbid_call(unknown[i], (int)order->number))
            return CACHIFY_PENDING;
    return act_open(self, order, answer);
}

static const int refusals[] = {ENOSYS, EPERM};

START_TEST(without_the_newer_calls_all_works)
{
    struct agent *agent = agent_start_idle();
    struct agent_answer answer = open_by(agent, act_open_in_an_old_container, refusals[_i]);
    if (answer.status == CACHIFY_PENDING)
        SKIP("no seccomp here");
    ck_assert_msg(answer.status == CACHIFY_OK, "%s", answer.error);
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    ck_assert_int_eq(agent_take(agent, "job", 0).status, CACHIFY_LOCKED);
    assert_blocks(agent_wait(agent, "job", 0, CACHIFY_NEVER));
    assert_ok(cachify_release(&lease));
    assert_gets_it(agent, CACHIFY_FRESH);
    assert_ok(agent_release(agent).status);
}
END_TEST

/* ---- Users ---- */

#define SOMEBODY 12345
#define THEIR_GROUP 12346

/* number: with the group, or without. */
static cachify_status_t act_open_as_somebody(struct agent_self *self,
                                             const struct agent_order *order,
                                             struct agent_answer *answer)
{
    const gid_t group = THEIR_GROUP;
    if (setgroups(order->number != 0, &group) != 0 || setgid(SOMEBODY) != 0 ||
        setuid(SOMEBODY) != 0)
        return CACHIFY_PENDING;
    return act_open(self, order, answer);
}

START_TEST(a_group_shares_a_segment_by_its_mode)
{
    if (geteuid() != 0)
        SKIP("needs root");
    here.config.mode = 0660;
    here.config.flags = CACHIFY_ANY_OWNER;
    reopen_here(here.config);
    ck_assert_int_eq(chown(here.path, 0, THEIR_GROUP), 0);
    struct agent *outsider = agent_start_idle(), *member = agent_start_idle();
    ck_assert_int_eq(open_by(outsider, act_open_as_somebody, 0).status, CACHIFY_PERMISSION);
    assert_ok(open_by(member, act_open_as_somebody, 1).status);
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    ck_assert_int_eq(agent_take(member, "job", 0).status, CACHIFY_LOCKED);
    assert_blocks(agent_wait(member, "job", 0, CACHIFY_NEVER));
    assert_ok(cachify_release(&lease));
    assert_gets_it(member, CACHIFY_FRESH);
    agent_kill(member);
    assert_ok(take("job", 0, &lease)); /* a death across users is seen */
    ck_assert_int_eq(cachify_lease_origin(&lease, NULL), CACHIFY_OWNER_DIED);
}
END_TEST

/* ---- Many at once ---- */

struct muster {
    _Atomic unsigned holding;
    _Atomic int failed; /* a status */
};

/* A child that holds one lock until it is killed. */
static pid_t start_holder(struct muster *muster, unsigned i)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    cachify_t *instance;
    cachify_lock_t lock = {.key = numbered("held", i), .exp_ms = CACHIFY_NEVER};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    cachify_status_t status = cachify_open(&here.config, &instance);
    if (status == CACHIFY_OK)
        status = cachify_acquire(instance, &lock, &lease);
    if (status != CACHIFY_OK)
        muster->failed = (int)status;
    muster->holding++;
    for (;;)
        pause();
}

/* pitfall 44 */
START_TEST(a_thousand_holders_killed_at_once_leave_nothing)
{
    enum { MANY = 1000 };
    static pid_t pids[MANY];
    unsigned n = rounds(MANY);
    here.config.max_locks = 16 * 1024; /* for so many processes */
    reopen_here(here.config);
    struct census before = census(here.m);
    struct muster *muster = shared(sizeof *muster);
    for (unsigned i = 0; i < n; i++) {
        pids[i] = start_holder(muster, i);
        ck_assert_int_gt(pids[i], 0);
    }
    EVENTUALLY(muster->holding == n, 60000);
    ck_assert_int_eq(muster->failed, 0);
    struct agent *waiter = agent_start();
    assert_blocks(agent_wait(waiter, numbered("held", n / 2), 0, 0));
    ck_assert_uint_eq(census(here.m).held, n);

    for (unsigned i = 0; i < n; i++)
        send_signal(pids[i], SIGKILL);
    for (unsigned i = 0; i < n; i++)
        ck_assert_int_eq(waitpid(pids[i], NULL, 0), pids[i]);
    int64_t start = now_ms();
    assert_gets_it(waiter, CACHIFY_OWNER_DIED);
    for (unsigned i = 0; i < n / 2; i++) {
        assert_ok(take(numbered("held", i), 0, &lease));
        ck_assert_int_eq(cachify_lease_origin(&lease, NULL), CACHIFY_OWNER_DIED);
        assert_ok(cachify_release(&lease));
    }
    ck_assert_int_lt(now_ms() - start, 60000 / 4); /* no lease of theirs was waited for */
    agent_kill(waiter);
    cf_sweep(here.m);
    assert_sound(here.m);
    struct census after = census(here.m);
    ck_assert_uint_eq(after.held, before.held);
    ck_assert_uint_eq(after.unnamed, 0);
    ck_assert_uint_eq(after.entries, before.entries);
    ck_assert_uint_eq(after.overflowing, 0);
    munmap(muster, sizeof *muster);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("contained");
    TCase *t = group(s, "namespaces", setup_polling_often, teardown_here);
    tcase_add_test(t, a_waiter_with_its_holders_pid_waits_for_the_living_and_not_for_the_dead);
    tcase_add_test(t, a_container_that_ends_sets_all_its_locks_free);
    tcase_add_test(t, one_file_under_two_paths_is_one_segment);
    tcase_add_test(t, a_dev_shm_of_ones_own_is_another_segment);
    t = group(s, "clocks", setup_polling_often, teardown_here);
    tcase_add_loop_test(t, the_wall_clock_set_by_an_hour_changes_nothing, 0, 2);
    t = group(s, "refused and shared", setup_polling_often, teardown_here);
    tcase_add_loop_test(t, without_the_newer_calls_all_works, 0, 2);
    tcase_add_test(t, a_group_shares_a_segment_by_its_mode);
    tcase_add_test(t, a_thousand_holders_killed_at_once_leave_nothing);
    return run_suite(s);
}
