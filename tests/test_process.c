/* Process entries: registration, a full table of them, instances of one process; and what an
 * application does with its descriptors. */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "ground/fork.h"
#include "shm/liveness.h"
#include "shm/process.h"

static cachify_lease_t lease;

static struct cf_process *entry_of(cf_owner owner)
{
    return &here.m->process_at[cf_owner_entry(owner)];
}

/* The library's calls between locking an entry's byte and being registered: there this process
 * may stop. */
static enum { STOPS_NOWHERE, STOPS_LOCKED, STOPS_COUNTED } stops;

static unsigned bytes_asked_for;

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): libc's are reserved. */
int fcntl(int fd, int what, ...)
{
    va_list rest;
    va_start(rest, what);
    void *with = va_arg(rest, void *);
    va_end(rest);
    int result = (int)syscall(SYS_fcntl, fd, what, with);
    bytes_asked_for += what == F_OFD_SETLK;
    if (stops == STOPS_LOCKED && what == F_OFD_SETLK && result == 0)
        raise(SIGSTOP);
    return result;
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): libc's are reserved. */
int madvise(void *at, size_t size, int advice)
{
    if (stops == STOPS_COUNTED && advice == MADV_DONTFORK)
        raise(SIGSTOP);
    return (int)syscall(SYS_madvise, at, size, advice);
}

/* ---- Registration ---- */

START_TEST(an_entry_says_who_it_is)
{
    struct agent *agent = agent_start();
    struct cf_process *p = entry_of(agent->owner);
    ck_assert_uint_eq(cf_load_relaxed(&p->generation), cf_owner_generation(agent->owner));
    ck_assert_uint_eq(cf_load_relaxed(&p->pid), (uint64_t)agent->pid);
    ck_assert_uint_eq(cf_load_relaxed(&p->pid_namespace), cf_pid_namespace());
    ck_assert_uint_le(cf_load_relaxed(&p->registered), cf_now(here.m));
    ck_assert_int_eq(cf_byte_ask(here.m, cf_owner_entry(agent->owner)), CF_BYTE_LOCKED);
    ck_assert_uint_eq(census(here.m).entries, 2);
    agent_kill(agent);
    ck_assert_uint_eq(census(here.m).entries, 1);
}
END_TEST

START_TEST(closing_gives_the_entry_back_and_ends_its_leases)
{
    struct agent *agent = agent_start();
    cachify_t *other;
    assert_ok(cachify_open(&here.config, &other));
    cf_owner owner = cf_self(mapping_of(other));
    ck_assert_uint_eq(census(here.m).entries, 3);
    assert_ok(cachify_close(other));
    ck_assert_uint_eq(census(here.m).entries, 2);
    ck_assert_uint_eq(cf_load_relaxed(&entry_of(owner)->generation),
                      cf_owner_generation(owner) + 1);
    ck_assert_int_eq(agent_take(agent, "job", 0).status, CACHIFY_OK);
}
END_TEST

START_TEST(an_entry_used_again_has_another_generation)
{
    cf_owner owners[200];
    for (unsigned i = 0; i < 200; i++) {
        cachify_t *other;
        assert_ok(cachify_open(&here.config, &other));
        owners[i] = cf_self(mapping_of(other));
        for (unsigned k = 0; k < i; k++)
            ck_assert_uint_ne(owners[k], owners[i]);
        assert_ok(cachify_close(other));
    }
}
END_TEST

START_TEST(two_instances_of_one_process_exclude_each_other)
{
    cachify_t *other;
    cachify_lease_t second;
    assert_ok(cachify_open(&here.config, &other));
    assert_ok(take("job", 0, &lease));
    assert_status(cachify_acquire(other, &(cachify_lock_t){.key = "job"}, &second), CACHIFY_LOCKED);
    assert_ok(cachify_acquire(other, &(cachify_lock_t){.key = "other"}, &second));
    assert_ok(cachify_release(&second));
    assert_ok(cachify_close(other)); /* pitfall 37: ours stays */
    struct agent *agent = agent_start();
    ck_assert_int_eq(agent_take(agent, "job", 0).status, CACHIFY_LOCKED);
    ck_assert(cachify_lease_held(&lease));
}
END_TEST

/* pitfall 39 */
START_TEST(a_full_table_of_processes_is_FULL_and_says_how_many)
{
    struct agent *agents[64];
    uint32_t n = here.m->processes;
    char number[16];
    ck_assert_uint_eq(n, 64);
    for (uint32_t i = 0; i < n - 1; i++)
        agents[i] = agent_start();
    struct agent *late = agent_start_idle();
    struct agent_answer answer = agent_open(late);
    ck_assert_int_eq(answer.status, CACHIFY_FULL);
    snprintf(number, sizeof number, "%u", n);
    ck_assert_msg(strstr(answer.error, number) != NULL, "%s", answer.error);
    ck_assert_int_eq(agent_take(agents[5], "job", 0).status, CACHIFY_OK); /* the others go on */
    ck_assert_int_eq(agent_take(agents[9], "job", 0).status, CACHIFY_LOCKED);
    agent_kill(agents[5]);
    assert_ok(agent_open(late).status); /* what the dead had is used again */
    ck_assert_int_eq(agent_take(late, "job", 0).status, CACHIFY_OK);
}
END_TEST

static int64_t open_and_close(unsigned i, void *context)
{
    (void)i;
    for (unsigned k = 0; k < *(unsigned *)context; k++) {
        cachify_t *own;
        cachify_lease_t mine;
        if (cachify_open(&here.config, &own) != CACHIFY_OK)
            return 1;
        if (cachify_acquire(own, &(cachify_lock_t){.key = numbered("job", i)}, &mine) != CACHIFY_OK)
            return 2;
        if (cachify_release(&mine) != CACHIFY_OK)
            return 3;
        if (cachify_close(own) != CACHIFY_OK)
            return 4;
    }
    return 0;
}

START_TEST(many_register_at_once_each_in_an_entry_of_its_own)
{
    int64_t got[8];
    unsigned n = rounds(100);
    processes_together(8, open_and_close, &n, got);
    for (unsigned i = 0; i < 8; i++)
        ck_assert_int_eq(got[i], 0);
    threads_together(8, open_and_close, &n, got);
    for (unsigned i = 0; i < 8; i++)
        ck_assert_int_eq(got[i], 0);
    ck_assert_uint_eq(census(here.m).entries, 1);
}
END_TEST

/* Only asking the kernel finds a place then. */
static void look_taken(void)
{
    for (uint32_t e = 0; e < here.m->processes; e++)
        atomic_fetch_or(&here.m->process_at[e].generation, 1);
}

START_TEST(a_newcomer_asks_about_the_entry_that_looks_free)
{
    cachify_t *other;
    uint32_t free =
        (cf_process_place(here.m, getpid()) + here.m->processes / 2) % here.m->processes;
    look_taken();
    ck_assert_uint_ne(free, cf_owner_entry(cf_self(here.m)));
    cf_store_relaxed(&here.m->process_at[free].generation, 2);
    bytes_asked_for = 0;
    assert_ok(cachify_open(&here.config, &other));
    ck_assert_uint_eq(cf_owner_entry(cf_self(mapping_of(other))), free);
    ck_assert_uint_eq(bytes_asked_for, 1);
    assert_ok(cachify_close(other));
}
END_TEST

/* The next to lock a dead process's byte must not make it look alive. */
START_TEST(a_registration_stopped_half_way_revives_nobody)
{
    struct agent *agent = agent_start();
    uint32_t entry = cf_owner_entry(agent->owner);
    assert_ok(agent_take(agent, "job", CACHIFY_NEVER).status);
    agent_kill(agent);
    look_taken();
    for (unsigned tries = 0; tries < 5000; tries++) {
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            cachify_t *own;
            alarm(60);
            if (cf_process_place(here.m, getpid()) != entry)
                _exit(0);
            stops = _i == 0 ? STOPS_LOCKED : STOPS_COUNTED;
            (void)cachify_open(&here.config, &own);
            _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
        if (!WIFSTOPPED(status))
            continue;
        cachify_status_t got = take("job", CACHIFY_NEVER, &lease);
        send_signal(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        assert_ok(got);
        ck_assert_int_eq(cachify_lease_origin(&lease, NULL), CACHIFY_OWNER_DIED);
        return;
    }
    ck_abort_msg("no child's number led to entry %u", entry);
}
END_TEST

/* ---- Descriptors ---- */

START_TEST(opening_costs_one_descriptor_and_closing_gives_it_back)
{
    cachify_t *other;
    unsigned before = count_descriptors();
    assert_ok(cachify_open(&here.config, &other));
    ck_assert_uint_le(count_descriptors(), before + 1);
    assert_ok(cachify_close(other));
    ck_assert_uint_eq(count_descriptors(), before);
}
END_TEST

START_TEST(no_descriptor_survives_exec)
{
    for (int fd = 3; fd < 64; fd++) {
        struct stat st;
        if (fstat(fd, &st) == 0 && st.st_ino == here.m->inode && st.st_dev == here.m->device)
            ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    }
}
END_TEST

/* The application closed ours, and another file got its number. */
START_TEST(closing_does_not_close_anothers_descriptor)
{
    cachify_t *other;
    assert_ok(cachify_open(&here.config, &other));
    int number = mapping_of(other)->fd;
    ck_assert_int_ge(number, 0);
    int mine = open("/dev/null", O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(dup2(mine, number), number);
    assert_ok(cachify_close(other));
    ck_assert_int_ge(fcntl(number, F_GETFD), 0);
    close(number);
    close(mine);
}
END_TEST

static cachify_status_t act_daemonise(struct agent_self *self, const struct agent_order *order,
                                      struct agent_answer *answer)
{
    cachify_lease_t mine;
    (void)order;
    for (int fd = 0; fd < 256; fd++)
        if (fd != self->socket)
            close(fd);
    answer->number = setsid();
    /* Opened by its parent; registered by itself, now. */
    cachify_status_t status = take("daemon", CACHIFY_NEVER, &mine);
    return status;
}

START_TEST(a_child_that_closed_everything_registers_and_works)
{
    struct agent *agent = agent_start_idle();
    struct agent_answer answer = agent_run(agent, act_daemonise, 0);
    ck_assert_msg(answer.status == CACHIFY_OK, "%s", answer.error);
    ck_assert(is_locked("daemon"));
    ck_assert_uint_eq(census(here.m).entries, 2);
    agent_kill(agent);
    ck_assert(!is_locked("daemon"));
}
END_TEST

/* A program may have closed them, and print all the same. */
static int64_t open_without_stdio(unsigned i, void *context)
{
    cachify_t *mine;
    cachify_async_t *async;
    cachify_lock_t lock = {.key = "job", .wait = true};
    (void)i, (void)context;
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    if (cachify_open(&here.config, &mine) != CACHIFY_OK ||
        cachify_acquire_start(mine, &lock, &async) != CACHIFY_OK)
        return 1;
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) != -1)
            return 2 + fd;
    return cachify_async_cancel(async);
}

START_TEST(standard_descriptors_are_never_the_librarys)
{
    int64_t result;
    processes_together(1, open_without_stdio, NULL, &result);
    ck_assert_int_eq(result, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("process");
    TCase *t = group(s, "registration", setup_here, teardown_here);
    tcase_add_test(t, an_entry_says_who_it_is);
    tcase_add_test(t, closing_gives_the_entry_back_and_ends_its_leases);
    tcase_add_test(t, an_entry_used_again_has_another_generation);
    tcase_add_test(t, two_instances_of_one_process_exclude_each_other);
    tcase_add_test(t, a_full_table_of_processes_is_FULL_and_says_how_many);
    tcase_add_test(t, many_register_at_once_each_in_an_entry_of_its_own);
    tcase_add_test(t, a_newcomer_asks_about_the_entry_that_looks_free);
    tcase_add_loop_test(t, a_registration_stopped_half_way_revives_nobody, 0, 2);
    t = group(s, "descriptors", setup_here, teardown_here);
    tcase_add_test(t, opening_costs_one_descriptor_and_closing_gives_it_back);
    tcase_add_test(t, no_descriptor_survives_exec);
    tcase_add_test(t, closing_does_not_close_anothers_descriptor);
    tcase_add_test(t, a_child_that_closed_everything_registers_and_works);
    t = group(s, "standard descriptors", setup_here, teardown_here);
    tcase_add_test(t, standard_descriptors_are_never_the_librarys);
    return run_suite(s);
}
