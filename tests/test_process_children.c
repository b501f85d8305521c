/* Children of a process: entries of their own, and nothing of their parent's. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "ground/fork.h"
#include "shm/process.h"

static cachify_lease_t lease;

struct child_saw {
    cf_owner owner;
    uint64_t serial;
    cachify_status_t taken, second;
    _Atomic bool go;
};

static void be_child(struct child_saw *saw)
{
    cachify_lease_t mine;
    saw->taken = take("child's", CACHIFY_NEVER, &mine);
    saw->owner = cf_self(here.m);
    saw->serial = cf_process_serial();
    saw->second = take("parent's", 0, &lease);
    for (int64_t until = now_ms() + LONG_MS; !atomic_load(&saw->go) && now_ms() < until;)
        tick();
    end_child();
}

/* By fork, or without the library being told. */
START_TEST(a_child_registers_itself_at_its_first_call)
{
#ifdef CF_TSAN
    if (_i == 1)
        SKIP("ThreadSanitizer does not see a raw clone");
#endif
    struct child_saw *saw = shared(sizeof *saw);
    cf_owner own = cf_self(here.m);
    assert_ok(take("parent's", CACHIFY_NEVER, &lease));
    pid_t pid = _i == 0 ? fork() : (pid_t)syscall(SYS_clone, (long)SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        be_child(saw);
    EVENTUALLY(query("child's").state == CACHIFY_STATE_HELD, LONG_MS);
    ck_assert_int_eq(query("child's").pid, pid);
    ck_assert_uint_eq(census(here.m).entries, 2);
    ck_assert_uint_eq(cf_self(here.m), own);
    ck_assert(cachify_lease_held(&lease));
    atomic_store(&saw->go, true);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_int_eq(saw->taken, CACHIFY_OK);
    ck_assert_int_eq(saw->second, CACHIFY_LOCKED);
    ck_assert_uint_ne(saw->owner, own);
    ck_assert_uint_ne(saw->serial, cf_process_serial());
    tick();
    tick();
    ck_assert(!is_locked("child's"));
    ck_assert(cachify_lease_held(&lease)); /* pitfall 10 */
    ck_assert_uint_eq(census(here.m).entries, 1);
}
END_TEST

/* pitfall 10, pitfall 43: also what the library does at exit. */
START_TEST(a_child_that_exits_in_the_ordinary_way_touches_nothing)
{
    assert_ok(take("parent's", CACHIFY_NEVER, &lease));
    for (unsigned i = 0; i < 4; i++) {
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            cachify_lease_t mine;
            if (i % 2 == 1)
                take("child's", 0, &mine);
            if (i >= 2)
                cachify_close(here.cachify);
            _Exit(0);
        }
        waitpid(pid, NULL, 0);
        ck_assert(cachify_lease_held(&lease));
        ck_assert(is_locked("parent's"));
    }
    assert_ok(cachify_release(&lease));
}
END_TEST

START_TEST(a_grandchild_too_is_a_process_of_its_own)
{
    cachify_status_t *status = shared(2 * sizeof *status);
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    pid_t pid = fork();
    if (pid == 0) {
        cachify_lease_t mine;
        status[0] = take("mine", CACHIFY_NEVER, &mine);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            status[1] = cachify_release(&mine);
            end_child();
        }
        waitpid(grandchild, NULL, 0);
        if (!cachify_lease_held(&mine))
            status[0] = CACHIFY_LOST;
        end_child();
    }
    waitpid(pid, NULL, 0);
    ck_assert_int_eq(status[0], CACHIFY_OK);
    ck_assert_int_eq(status[1], CACHIFY_INVALID);
    ck_assert(cachify_lease_held(&lease));
}
END_TEST

#ifndef CF_TSAN /* it does not follow children of a process with threads */

struct busy {
    _Atomic bool over;
    _Atomic unsigned failures;
};

static int64_t fork_or_work(unsigned i, void *context)
{
    struct busy *busy = context;
    cachify_lease_t mine;
    unsigned n = 0;
    for (; i > 0 && !atomic_load(&busy->over); n++) {
        cachify_t *own;
        if (pass(numbered("job", i)) == 0)
            atomic_fetch_add(&busy->failures, 1);
        if (i == 2 &&
            (cachify_open(&here.config, &own) != CACHIFY_OK || cachify_close(own) != CACHIFY_OK))
            atomic_fetch_add(&busy->failures, 1);
    }
    for (unsigned k = 0; i == 0 && k < rounds(150); k++) {
        pid_t pid = fork();
        if (pid == 0) {
            alarm(60);
            if (take("child's", 0, &mine) == CACHIFY_OK)
                end_child();
            _exit(1);
        }
        int status;
        if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
            n++;
    }
    if (i == 0)
        atomic_store(&busy->over, true);
    return i == 0 ? n : 0;
}

/* pitfall 43: nothing that another thread was doing is half done in the child. */
START_TEST(a_fork_amid_the_work_of_other_threads_gives_a_working_child)
{
    int64_t got[4];
    struct busy busy = {0};
    threads_together(4, fork_or_work, &busy, got);
    ck_assert_int_eq(got[0], 0);
    ck_assert_uint_eq(busy.failures, 0);
}
END_TEST

static void *register_beside(void *context)
{
    struct busy *busy = context;
    while (!atomic_load(&busy->over)) {
        cachify_t *own;
        if (cachify_open(&here.config, &own) != CACHIFY_OK || cachify_close(own) != CACHIFY_OK)
            atomic_fetch_add(&busy->failures, 1);
    }
    return NULL;
}

/* pitfall 38: the descriptor that a registration opens is not inherited in between. */
START_TEST(a_fork_amid_a_registration_inherits_nothing_of_it)
{
    pthread_t thread;
    pid_t pids[40];
    struct busy busy = {0};
    ck_assert_int_eq(pthread_create(&thread, NULL, register_beside, &busy), 0);
    for (unsigned k = 0; k < 40; k++) {
        pids[k] = fork();
        if (pids[k] == 0) {
            alarm(60);
            for (;;)
                pause();
        }
    }
    atomic_store(&busy.over, true);
    pthread_join(thread, NULL);
    /* All of them live, but only this process has an entry. */
    uint32_t entries = census(here.m).entries;
    for (unsigned k = 0; k < 40; k++) {
        send_signal(pids[k], SIGKILL);
        waitpid(pids[k], NULL, 0);
    }
    ck_assert_uint_eq(busy.failures, 0);
    ck_assert_uint_eq(entries, 1);
}
END_TEST

#endif

int main(void)
{
    Suite *s = suite_create("process_children");
    TCase *t = group(s, "children", setup_here, teardown_here);
    tcase_add_loop_test(t, a_child_registers_itself_at_its_first_call, 0, 2);
    tcase_add_test(t, a_child_that_exits_in_the_ordinary_way_touches_nothing);
    tcase_add_test(t, a_grandchild_too_is_a_process_of_its_own);
#ifndef CF_TSAN
    if (!SANITIZED) /* a child of threads may hang in AddressSanitizer's own allocator */
        tcase_add_test(t, a_fork_amid_the_work_of_other_threads_gives_a_working_child);
    tcase_add_test(t, a_fork_amid_a_registration_inherits_nothing_of_it);
#endif
    return run_suite(s);
}
