/* Who counts as dead, and who does not (design, section 7).  The proof of death is a free byte of the
 * segment's file; everything else is "not known", which counts as alive. */
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "shm/liveness.h"

#define FOR_A_WHILE 120 /* seconds: children that a failed test leaves behind end by themselves */

static cachify_lease_t lease;
static struct agent *agent;

/* An agent that holds "job" without expiry. */
static void setup_holder(void)
{
    setup_here();
    agent = agent_start();
    ck_assert_int_eq(agent_take(agent, "job", CACHIFY_NEVER).status, CACHIFY_OK);
}

/* The next to ask gets the lock, and is told that its owner died. */
static void assert_dead(pid_t pid)
{
    cachify_origin_t origin = {0};
    tick();
    tick(); /* that somebody lives is believed for a millisecond */
    ck_assert(!is_locked("job"));
    ck_assert_uint_eq(query("job").state, CACHIFY_STATE_OWNER_DEAD);
    assert_ok(take("job", 0, &lease));
    ck_assert_int_eq(cachify_lease_origin(&lease, &origin), CACHIFY_OWNER_DIED);
    ck_assert_int_eq(origin.previous_pid, pid);
}

static void assert_alive(void)
{
    for (unsigned i = 0; i < 5; i++) {
        tick();
        tick();
        ck_assert(is_locked("job"));
        assert_status(take("job", 0, &lease), CACHIFY_LOCKED);
    }
}

static int state_of(pid_t pid)
{
    char name[64], text[512] = "";
    snprintf(name, sizeof name, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(name, "r");
    if (file == NULL)
        return '\0';
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    char *after = strrchr(text, ')');
    return after != NULL ? after[2] : '\0';
}

/* ---- Dead ---- */

START_TEST(killed_is_dead)
{
    pid_t pid = agent->pid;
    agent_kill(agent);
    assert_dead(pid);
}
END_TEST

static cachify_status_t act_exit(struct agent_self *self, const struct agent_order *order,
                                 struct agent_answer *answer)
{
    (void)self, (void)answer;
    if (order->number == 0)
        _exit(0);
    if (order->number == 1)
        exit(0);
    abort();
}

START_TEST(ended_is_dead)
{
    pid_t pid = agent->pid;
    ck_assert_int_eq(agent_run(agent, act_exit, _i).verdict, AGENT_DIED);
    agent_reap(agent);
    assert_dead(pid);
}
END_TEST

/* pitfall 32 */
START_TEST(a_zombie_is_dead)
{
    agent_kill_unreaped(agent);
    ck_assert_int_eq(state_of(agent->pid), 'Z');
    assert_dead(agent->pid);
}
END_TEST

static cachify_status_t act_exec(struct agent_self *self, const struct agent_order *order,
                                 struct agent_answer *answer)
{
    (void)self, (void)answer;
    execl("/bin/sh", "sh", "-c", ": >\"$0\"; exec sleep 1000", order->key, (char *)NULL);
    return CACHIFY_SYSTEM;
}

/* pitfall 34: its pid and start time are those of the holder. */
START_TEST(after_exec_it_is_dead)
{
    struct agent_order order = {.act = act_exec};
    new_path(order.key);
    ck_assert_int_eq(agent_do(agent, &order).verdict, AGENT_DIED); /* its socket closed */
    /* The kernel closes the rest on the way back to user mode: the new program has to have run. */
    EVENTUALLY(access(order.key, F_OK) == 0, LONG_MS);
    send_signal(agent->pid, 0);
    assert_dead(agent->pid);
}
END_TEST

/* Children that outlive the agent, each made in another way. */
static cachify_status_t act_have_a_child(struct agent_self *self, const struct agent_order *order,
                                         struct agent_answer *answer)
{
    pid_t pid = -1;
    char seconds[16];
    char *const arguments[] = {(char *)"sleep", seconds, NULL};
    snprintf(seconds, sizeof seconds, "%d", FOR_A_WHILE);
    switch (order->number) {
    case 0:
        pid = fork();
        break;
    case 1:
        pid = (pid_t)syscall(SYS_clone, (long)SIGCHLD, NULL, NULL, NULL, NULL);
        break;
    case 2:
        posix_spawn(&pid, "/bin/sleep", NULL, NULL, arguments, NULL);
        break;
    default: /* and one that shares all descriptors with it */
        pid = (pid_t)syscall(SYS_clone, (long)(SIGCHLD | CLONE_FILES), NULL, NULL, NULL, NULL);
        break;
    }
    if (pid == 0) {
        if (order->number != 3)
            close(self->socket);
        alarm(FOR_A_WHILE);
        for (;;)
            pause();
    }
    answer->number = pid;
    return pid > 0 ? CACHIFY_OK : CACHIFY_SYSTEM;
}

/* pitfall 38 */
START_TEST(its_children_do_not_keep_it_alive)
{
    if (_i == 3 && under_valgrind())
        SKIP("valgrind knows no such clone");
#ifdef CF_TSAN
    if (_i == 1 || _i == 3)
        SKIP("ThreadSanitizer does not see a raw clone");
#endif
    pid_t pid = agent->pid;
    struct agent_answer answer = agent_run(agent, act_have_a_child, _i);
    ck_assert_int_eq(answer.status, CACHIFY_OK);
    agent_kill(agent);
    send_signal((pid_t)answer.number, 0);
    assert_dead(pid);
    send_signal((pid_t)answer.number, SIGKILL);
}
END_TEST

/* The same pid, given to another process by the kernel. */
static pid_t make_process_with(pid_t pid)
{
    struct clone_args args = {
        .exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&pid, .set_tid_size = 1};
    pid_t made = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (made == 0) {
        alarm(FOR_A_WHILE);
        for (;;)
            pause();
    }
    return made;
}

/* pitfall 30 */
START_TEST(a_pid_used_again_does_not_keep_it_alive)
{
#ifdef CF_TSAN
    SKIP("ThreadSanitizer does not see a raw clone");
#endif
    pid_t pid = agent->pid;
    agent_kill(agent);
    pid_t again = make_process_with(pid);
    if (again < 0)
        SKIP("no permission to choose a pid");
    ck_assert_int_eq(again, pid);
    assert_dead(pid);
    send_signal(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}
END_TEST

/* pitfall 30: even if it is the pid of this very process. */
START_TEST(an_entry_that_names_a_living_process_does_not_keep_it_alive)
{
    uint32_t entry = cf_owner_entry(agent->owner);
    pid_t pid = agent->pid;
    agent_kill(agent);
    cf_store_relaxed(&here.m->process_at[entry].pid, (uint64_t)getpid());
    assert_dead(pid); /* the lease knows whose it was */
}
END_TEST

/* ---- Alive ---- */

/* pitfall 9 */
START_TEST(a_stopped_process_is_alive)
{
    agent_stop(agent);
    ck_assert_int_eq(state_of(agent->pid), 'T');
    assert_alive();
    agent_continue(agent);
    ck_assert(agent_look(agent).held);
}
END_TEST

static cachify_status_t act_close_all(struct agent_self *self, const struct agent_order *order,
                                      struct agent_answer *answer)
{
    (void)order, (void)answer;
    for (int fd = 0; fd < 1024; fd++)
        if (fd != self->socket)
            close(fd);
    return CACHIFY_OK;
}

/* pitfall 38: as daemon() and many a program do. */
START_TEST(with_every_descriptor_closed_it_is_alive)
{
    assert_ok(agent_run(agent, act_close_all, 0).status);
    assert_alive();
    struct agent_answer answer = agent_extend(agent, CACHIFY_NEVER);
    ck_assert_msg(answer.status == CACHIFY_OK && answer.held, "%s", answer.error);
    assert_ok(agent_release(agent).status);
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    ck_assert_int_eq(agent_take(agent, "job", 0).status, CACHIFY_LOCKED);
    assert_ok(cachify_release(&lease));
    assert_ok(agent_take(agent, "job", CACHIFY_NEVER).status);
    pid_t pid = agent->pid;
    agent_kill(agent);
    assert_dead(pid);
}
END_TEST

static void *serve_on(void *self)
{
    struct agent_answer answer = {.verdict = ANSWERED};
    send(((struct agent_self *)self)->socket, &answer, sizeof answer, 0);
    agent_serve(self);
}

static cachify_status_t act_end_main_thread(struct agent_self *self,
                                            const struct agent_order *order,
                                            struct agent_answer *answer)
{
    pthread_t thread;
    (void)order, (void)answer;
    if (pthread_create(&thread, NULL, serve_on, self) != 0)
        return CACHIFY_SYSTEM;
    pthread_exit(NULL);
}

/* pitfall 33: /proc calls it a zombie. */
START_TEST(with_its_main_thread_ended_it_is_alive)
{
    assert_ok(agent_run(agent, act_end_main_thread, 0).status);
    EVENTUALLY(state_of(agent->pid) == 'Z', LONG_MS);
    assert_alive();
    ck_assert(agent_look(agent).held);
    assert_ok(agent_release(agent).status);
    assert_ok(agent_take(agent, "job", CACHIFY_NEVER).status);
    pid_t pid = agent->pid;
    agent_kill(agent);
    assert_dead(pid);
}
END_TEST

/* pitfall 37: POSIX locks would fall with any descriptor of the file. */
static cachify_status_t act_open_and_close_the_file(struct agent_self *self,
                                                    const struct agent_order *order,
                                                    struct agent_answer *answer)
{
    cachify_t *second;
    (void)self, (void)order, (void)answer;
    int fd = open(here.path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return CACHIFY_SYSTEM;
    close(fd);
    cachify_status_t status = cachify_open(&here.config, &second);
    return status == CACHIFY_OK ? cachify_close(second) : status;
}

START_TEST(a_second_copy_that_opens_and_closes_does_not_end_it)
{
    for (unsigned i = 0; i < 3; i++)
        assert_ok(agent_run(agent, act_open_and_close_the_file, 0).status);
    assert_alive();
    ck_assert(agent_look(agent).held);
}
END_TEST

START_TEST(a_child_that_ends_does_not_end_it)
{
    for (int64_t how = 0; how < 2; how++) {
#ifdef CF_TSAN
        if (how == 1)
            break;
#endif
        struct agent_answer answer = agent_run(agent, act_have_a_child, how);
        assert_ok(answer.status);
        send_signal((pid_t)answer.number, SIGKILL);
        EVENTUALLY(state_of((pid_t)answer.number) == 'Z', LONG_MS);
        assert_alive();
    }
    ck_assert(agent_look(agent).held);
}
END_TEST

/* ---- Not known ---- */

/* pitfall 36: it fails closed; the deadline decides. */
START_TEST(what_cannot_be_asked_counts_as_alive)
{
    uint32_t entry = cf_owner_entry(agent->owner);
    char elsewhere[PATH_ROOM];
    new_path(elsewhere);
    ck_assert_int_eq(cf_byte_ask(here.m, entry), CF_BYTE_LOCKED);
    assert_ok(agent_extend(agent, 1500).status);
    agent_kill(agent);
    ck_assert_int_eq(cf_byte_ask(here.m, entry), CF_BYTE_FREE);
    /* Our descriptor is closed, and the path leads nowhere. */
    ck_assert_int_eq(rename(here.path, elsewhere), 0);
    int kept = fcntl(here.m->fd, F_DUPFD_CLOEXEC, 0);
    close(here.m->fd);
    ck_assert_int_eq(cf_byte_ask(here.m, entry), CF_BYTE_UNKNOWN);
    ck_assert(is_locked("job"));
    assert_status(take("job", 0, &lease), CACHIFY_LOCKED);
    EVENTUALLY(take("job", 0, &lease) == CACHIFY_OK, LONG_MS);
    ck_assert_int_eq(cachify_lease_origin(&lease, NULL), CACHIFY_EXPIRED);
    dup2(kept, here.m->fd);
    close(kept);
    ck_assert_int_eq(rename(elsewhere, here.path), 0);
}
END_TEST

/* The number of our descriptor means another file by now. */
START_TEST(another_file_under_our_number_is_not_asked)
{
    uint32_t entry = cf_owner_entry(agent->owner);
    int kept = fcntl(here.m->fd, F_DUPFD_CLOEXEC, 0);
    int other = open("/dev/null", O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(dup2(other, here.m->fd), 0);
    ck_assert_int_eq(cf_byte_ask(here.m, entry), CF_BYTE_LOCKED); /* asked by its path */
    assert_alive();
    agent_kill(agent);
    ck_assert_int_eq(cf_byte_ask(here.m, entry), CF_BYTE_FREE);
    dup2(kept, here.m->fd);
    close(kept);
    close(other);
}
END_TEST

/* ---- Namespaces ---- */

/* pitfall 31: the same pid in two namespaces, and both ways. */
START_TEST(pid_namespaces_do_not_matter)
{
    agent_kill(agent);
    struct agent *a = agent_start_in(CLONE_NEWPID), *b = agent_start_in(CLONE_NEWPID);
    if (a == NULL || b == NULL)
        SKIP("no permission to make namespaces");
    assert_ok(agent_open(a).status);
    assert_ok(agent_open(b).status);
    ck_assert_int_eq(agent_take(a, "job", CACHIFY_NEVER).status, CACHIFY_OK);
    ck_assert_int_eq(query("job").pid, 1); /* as it sees itself; so does b */
    assert_alive();
    ck_assert_int_eq(agent_take(b, "job", 0).status, CACHIFY_LOCKED);
    agent_kill(a);
    struct agent_answer answer = agent_take(b, "job", CACHIFY_NEVER);
    ck_assert_int_eq(answer.status, CACHIFY_OK);
    ck_assert_uint_eq(answer.origin.how, CACHIFY_OWNER_DIED);
    assert_alive();
    agent_kill(b);
    assert_dead(1);
    struct agent *c = agent_start_in(CLONE_NEWPID);
    assert_ok(agent_open(c).status);
    ck_assert_int_eq(agent_take(c, "job", 0).status, CACHIFY_LOCKED); /* ours, from within */
}
END_TEST

static cachify_status_t act_lose_proc(struct agent_self *self, const struct agent_order *order,
                                      struct agent_answer *answer)
{
    (void)self, (void)order, (void)answer;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
        umount2("/proc", MNT_DETACH) != 0)
        return CACHIFY_PENDING;
    return access("/proc/self/stat", F_OK) == 0 ? CACHIFY_PENDING : CACHIFY_OK;
}

/* pitfall 36: without /proc this boot cannot be told, which must not pass for another boot. */
START_TEST(without_proc_locks_are_honoured)
{
    struct agent *blind = agent_start_idle();
    if (agent_run(blind, act_lose_proc, 0).status != CACHIFY_OK)
        SKIP("no permission to unmount /proc");
    struct agent_answer answer = agent_open(blind);
    ck_assert_msg(answer.status == CACHIFY_OK || answer.status == CACHIFY_INCOMPATIBLE, "%s",
                  answer.error);
    STAYS(is_locked("job"), 150); /* a look at the file: it is neither gone nor replaced */
    if (answer.status != CACHIFY_OK)
        return;
    ck_assert_int_eq(agent_take(blind, "job", 0).status, CACHIFY_LOCKED);
    agent_kill(agent);
    answer = agent_take(blind, "job", 0);
    ck_assert_int_eq(answer.status, CACHIFY_OK);
    ck_assert_uint_eq(answer.origin.how, CACHIFY_OWNER_DIED);
    assert_alive();
    agent_kill(blind);
    ck_assert(!is_locked("job"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("liveness");
    TCase *t = group(s, "dead", setup_holder, teardown_here);
    tcase_add_test(t, killed_is_dead);
    tcase_add_loop_test(t, ended_is_dead, 0, 3);
    tcase_add_test(t, a_zombie_is_dead);
    tcase_add_test(t, after_exec_it_is_dead);
    tcase_add_loop_test(t, its_children_do_not_keep_it_alive, 0, 4);
    tcase_add_test(t, a_pid_used_again_does_not_keep_it_alive);
    tcase_add_test(t, an_entry_that_names_a_living_process_does_not_keep_it_alive);
    t = group(s, "alive", setup_holder, teardown_here);
    tcase_add_test(t, a_stopped_process_is_alive);
    tcase_add_test(t, with_every_descriptor_closed_it_is_alive);
    tcase_add_test(t, with_its_main_thread_ended_it_is_alive);
    tcase_add_test(t, a_second_copy_that_opens_and_closes_does_not_end_it);
    tcase_add_test(t, a_child_that_ends_does_not_end_it);
    t = group(s, "not known", setup_holder, teardown_here);
    tcase_add_test(t, what_cannot_be_asked_counts_as_alive);
    tcase_add_test(t, another_file_under_our_number_is_not_asked);
    t = group(s, "namespaces", setup_holder, teardown_here);
    tcase_add_test(t, pid_namespaces_do_not_matter);
    tcase_add_test(t, without_proc_locks_are_honoured);
    return run_suite(s);
}
