/* Several copies of the library in one process, as where a program and its plugins bring their
 * own: the shared library opened by dlopen, a copy of its file likewise, and, as a third, the one
 * that this suite is linked with.  They share a segment, and nothing else. */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <urcu/urcu-bp.h>

#include "agent.h"
#include "waiting.h"

/* What tests call of a copy. */
struct copy {
    void *handle;
    cachify_t *cachify; /* on here's segment */
    __typeof__(&cachify_open) open;
    __typeof__(&cachify_close) close;
    __typeof__(&cachify_init) init;
    __typeof__(&cachify_shutdown) shutdown;
    __typeof__(&cachify_acquire) acquire;
    __typeof__(&cachify_release) release;
    __typeof__(&cachify_extend) extend;
    __typeof__(&cachify_lease_held) held;
    __typeof__(&cachify_lease_token) token;
    __typeof__(&cachify_lease_origin) origin;
    __typeof__(&cachify_release_key) release_key;
    __typeof__(&cachify_last_error) last_error;
};

static struct copy copies[2];
static const char *missing; /* why there are none */
static cachify_lease_t lease, second;

#define NEEDS_COPIES()                                                                             \
    do {                                                                                           \
        if (missing != NULL)                                                                       \
            SKIP(missing);                                                                         \
    } while (0)

#define assert_in(copy, call, expected)                                                            \
    do {                                                                                           \
        cachify_status_t got_ = (copy)->call;                                                      \
        ck_assert_msg(got_ == (expected), "%s is %s (%s), expected %s", #call, status_name(got_),  \
                      (copy)->last_error(), status_name(expected));                                \
    } while (0)

#define JOB (&(cachify_lock_t){.key = "job", .exp_ms = 60000})

#define COPIED ".so.copy-"

static void *symbol(void *handle, const char *name)
{
    void *found = dlsym(handle, name);
    ck_assert_msg(found != NULL, "%s: %s", name, dlerror());
    return found;
}

#define FIND(copy, member, name) (*(void **)&(copy)->member = symbol((copy)->handle, #name))

static void load(struct copy *copy, const char *path)
{
    *copy = (struct copy){.handle = dlopen(path, RTLD_LOCAL | RTLD_NOW)};
    if (strstr(path, COPIED) != NULL)
        (void)unlink(path);
    ck_assert_msg(copy->handle != NULL, "%s", dlerror());
    FIND(copy, open, cachify_open);
    FIND(copy, close, cachify_close);
    FIND(copy, init, cachify_init);
    FIND(copy, shutdown, cachify_shutdown);
    FIND(copy, acquire, cachify_acquire);
    FIND(copy, release, cachify_release);
    FIND(copy, extend, cachify_extend);
    FIND(copy, held, cachify_lease_held);
    FIND(copy, token, cachify_lease_token);
    FIND(copy, origin, cachify_lease_origin);
    FIND(copy, release_key, cachify_release_key);
    FIND(copy, last_error, cachify_last_error);
}

/* The build's, beside the directory of this program. */
static bool find_library(char path[PATH_ROOM], size_t room)
{
    char program[PATH_ROOM];
    ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
    for (unsigned up = 0; up < 2 && len > 0; up++)
        while (len > 0 && program[--len] != '/')
            ;
    if (len <= 0)
        return false;
    program[len] = '\0';
    if (snprintf(path, room, "%s/.libs/libcachify.so.0.0.0", program) >= (int)room)
        return false;
    return access(path, R_OK) == 0;
}

/* Beside it, for /dev/shm and /tmp may not be executed from. */
static bool copy_file(const char *from, char to[PATH_ROOM])
{
    char command[3 * PATH_ROOM];
    int stem = (int)(strstr(from, ".so.") - from);
    if (snprintf(to, PATH_ROOM, "%.*s" COPIED "%d", stem, from, (int)getpid()) >= PATH_ROOM)
        return false;
    snprintf(command, sizeof command, "cp '%s' '%s'", from, to);
    return system(command) == 0;
}

static void setup_copies(void)
{
    char path[PATH_ROOM], copied[PATH_ROOM];
    setup_here();
    missing = NULL;
    if (SANITIZED)
        missing = "built with a sanitizer, whose runtime is one a process";
    else if (!find_library(path, sizeof path))
        missing = "there is no .libs/libcachify.so.0.0.0 (built without shared libraries)";
    if (missing != NULL)
        return;
    ck_assert_msg(copy_file(path, copied), "%s could not be copied", path);
    load(&copies[0], path);
    load(&copies[1], copied);
    for (unsigned i = 0; i < 2; i++)
        assert_in(&copies[i], open(&here.config, &copies[i].cachify), CACHIFY_OK);
}

static void teardown_copies(void)
{
    for (unsigned i = 0; i < 2 && missing == NULL; i++) {
        if (copies[i].cachify != NULL)
            assert_in(&copies[i], close(copies[i].cachify), CACHIFY_OK);
        copies[i].shutdown();
        dlclose(copies[i].handle);
    }
    teardown_here();
}

/* One of them, and the other. */
static struct copy *one(int i)
{
    return &copies[i % 2];
}

static cachify_status_t take_in(struct copy *copy, const char *key, cachify_lease_t *got)
{
    return copy->acquire(copy->cachify, &(cachify_lock_t){.key = key, .exp_ms = 60000}, got);
}

/* ---- Excluding ---- */

START_TEST(they_are_two_and_neither_is_this_programs)
{
    NEEDS_COPIES();
    ck_assert(copies[0].acquire != copies[1].acquire);
    ck_assert(copies[0].acquire != cachify_acquire && copies[1].acquire != cachify_acquire);
    ck_assert_uint_eq(census(here.m).entries, 3);
    assert_in(one(0), init(&here.config), CACHIFY_OK); /* each has its own global instance */
    assert_in(one(1), acquire(NULL, JOB, &lease), CACHIFY_NOT_INITIALIZED);
    assert_status(cachify_acquire(NULL, JOB, &lease), CACHIFY_NOT_INITIALIZED);
    assert_in(one(0), acquire(NULL, JOB, &lease), CACHIFY_OK);
    assert_in(one(0), release(&lease), CACHIFY_OK);
}
END_TEST

START_TEST(they_exclude_each_other)
{
    NEEDS_COPIES();
    struct copy *a = one(_i), *b = one(_i + 1);
    ck_assert_int_eq(take_in(a, "job", &lease), CACHIFY_OK);
    ck_assert_int_eq(take_in(b, "job", &second), CACHIFY_LOCKED);
    ck_assert_ptr_nonnull(strstr(b->last_error(), "job is already locked!"));
    ck_assert_int_eq(take("job", 0, &second), CACHIFY_LOCKED);
    ck_assert(is_locked("job") && a->held(&lease));
    ck_assert_int_eq(query("job").pid, getpid());
    ck_assert_int_eq(take_in(b, "other", &second), CACHIFY_OK);
    ck_assert(a->held(&lease) && b->held(&second));
    assert_in(a, release(&lease), CACHIFY_OK);
    ck_assert(!is_locked("job") && is_locked("other"));
    uint64_t token = query("other").token;
    assert_in(b, release(&second), CACHIFY_OK);
    ck_assert_int_eq(take_in(a, "other", &lease), CACHIFY_OK);
    ck_assert_uint_gt(a->token(&lease), token);
    assert_in(a, release(&lease), CACHIFY_OK);
}
END_TEST

START_TEST(one_forces_what_the_other_holds_and_takes_what_expired)
{
    NEEDS_COPIES();
    struct copy *a = one(_i), *b = one(_i + 1);
    cachify_origin_t origin = {0};
    ck_assert_int_eq(take_in(a, "job", &lease), CACHIFY_OK);
    assert_in(b, release_key(b->cachify, "job"), CACHIFY_OK);
    ck_assert(!a->held(&lease));
    assert_in(a, release(&lease), CACHIFY_LOST);
    assert_in(a, acquire(a->cachify, &(cachify_lock_t){.key = "job", .exp_ms = 10}, &lease),
              CACHIFY_OK);
    uint64_t token = a->token(&lease);
    EVENTUALLY(!a->held(&lease), LONG_MS);
    ck_assert_int_eq(take_in(b, "job", &second), CACHIFY_OK);
    ck_assert_int_eq(b->origin(&second, &origin), CACHIFY_EXPIRED);
    ck_assert_uint_eq(origin.previous_token, token);
    assert_in(a, extend(&lease, 1000), CACHIFY_LOST);
    assert_in(a, release(&lease), CACHIFY_LOST);
    assert_in(b, release(&second), CACHIFY_OK);
}
END_TEST

struct counter {
    _Atomic int64_t within;
    int64_t sum;
};

/* How often it was wrong.  Each thread uses the two copies in turn. */
static int64_t count_up(unsigned i, void *context)
{
    struct counter *counter = context;
    const cachify_lock_t lock = {.key = "job", .wait = true, .exp_ms = CACHIFY_NEVER};
    int64_t wrong = 0;
    for (unsigned n = 0; n < rounds(500); n++) {
        cachify_lease_t got;
        struct copy *copy = one((int)(i + n));
        if (copy->acquire(copy->cachify, &lock, &got) != CACHIFY_OK)
            return 1000000;
        wrong += atomic_fetch_add(&counter->within, 1);
        counter->sum++;
        atomic_fetch_sub(&counter->within, 1);
        wrong += copy->release(&got) != CACHIFY_OK;
    }
    return wrong;
}

START_TEST(threads_that_use_both_exclude_each_other)
{
    NEEDS_COPIES();
    int64_t wrong[4];
    struct counter counter = {0};
    threads_together(4, count_up, &counter, wrong);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(wrong[i], 0);
    ck_assert_int_eq(counter.sum, 4 * (int64_t)rounds(500));
    ck_assert_uint_eq(census(here.m).held, 0);
}
END_TEST

/* ---- Waking ---- */

START_TEST(a_release_in_one_wakes_who_waits_in_the_other)
{
    NEEDS_COPIES();
    struct copy *a = one(_i), *b = one(_i + 1);
    struct waiter waiter;
    ck_assert_int_eq(take_in(a, "job", &lease), CACHIFY_OK);
    start_waiting(&waiter, b->acquire, b->cachify);
    STAYS(!is_back(&waiter), 20);
    assert_in(a, release(&lease), CACHIFY_OK);
    assert_woken(&waiter);
    ck_assert(b->held(&waiter.lease));
    ck_assert_int_eq(take_in(a, "job", &lease), CACHIFY_LOCKED);
    assert_in(b, release(&waiter.lease), CACHIFY_OK);
    ck_assert(!is_locked("job"));
}
END_TEST

/* ---- Children ---- */

struct report {
    bool held[2];
    cachify_status_t busy[2], own[2], inherited[2];
    _Atomic bool holds;
};

/* Uses both as a child does that has inherited a lease of each. */
static void use_in_child(struct report *report, cachify_lease_t inherited[2])
{
    static cachify_lease_t own[2];
    for (unsigned i = 0; i < 2; i++) {
        struct copy *copy = one((int)i);
        cachify_lease_t none;
        report->held[i] = copy->held(&inherited[i]);
        report->busy[i] = take_in(copy, numbered("parents", i), &none);
        report->own[i] = take_in(copy, numbered("childs", i), &own[i]);
        report->inherited[i] = copy->release(&inherited[i]);
    }
}

START_TEST(a_child_may_use_both_and_its_death_is_seen_by_both)
{
    NEEDS_COPIES();
    static cachify_lease_t mine[2];
    struct report *report = shared(sizeof *report);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(take_in(one(i), numbered("parents", (unsigned)i), &mine[i]), CACHIFY_OK);
    pid_t child = fork();
    if (child == 0) {
        use_in_child(report, mine);
        atomic_store(&report->holds, true);
        for (;;)
            pause();
    }
    EVENTUALLY(atomic_load(&report->holds), LONG_MS);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert(!report->held[i]);
        ck_assert_int_eq(report->busy[i], CACHIFY_LOCKED);
        ck_assert_int_eq(report->own[i], CACHIFY_OK);
        ck_assert_int_eq(report->inherited[i], CACHIFY_INVALID);
        ck_assert_int_eq(query(numbered("childs", i)).pid, child);
    }
    ck_assert_uint_eq(census(here.m).entries, 5);
    send_signal(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    for (int i = 0; i < 2; i++) {
        struct copy *copy = one(i + 1); /* what the child took through the other */
        ck_assert(one(i)->held(&mine[i]));
        EVENTUALLY(take_in(copy, numbered("childs", (unsigned)i), &lease) == CACHIFY_OK, LONG_MS);
        ck_assert_int_eq(copy->origin(&lease, NULL), CACHIFY_OWNER_DIED);
        assert_in(copy, release(&lease), CACHIFY_OK);
        assert_in(one(i), release(&mine[i]), CACHIFY_OK);
    }
}
END_TEST

START_TEST(a_child_waits_in_one_for_its_parent_in_the_other)
{
    NEEDS_COPIES();
    struct copy *a = one(_i), *b = one(_i + 1);
    cachify_status_t *status = shared(sizeof *status);
    *status = CACHIFY_PENDING;
    ck_assert_int_eq(take_in(a, "job", &lease), CACHIFY_OK);
    pid_t child = fork();
    if (child == 0) {
        const cachify_lock_t lock = {.key = "job", .wait = true, .timeout_ms = 4000};
        *status = b->acquire(b->cachify, &lock, &second);
        end_child();
    }
    EVENTUALLY(query("job").waiters == 1, LONG_MS);
    assert_in(a, release(&lease), CACHIFY_OK);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_int_eq(*status, CACHIFY_OK);
}
END_TEST

/* ---- Closing ---- */

START_TEST(closing_one_leaves_the_other_and_closing_both_leaves_nothing)
{
    NEEDS_COPIES();
    struct copy *a = one(_i), *b = one(_i + 1);
    struct waiter waiter;
    unsigned descriptors = 0, mappings = 0;
    for (unsigned round = 0; round < 10; round++) {
        ck_assert_int_eq(take_in(a, "job", &lease), CACHIFY_OK);
        start_waiting(&waiter, b->acquire, b->cachify);
        assert_in(a, close(a->cachify), CACHIFY_OK); /* b's waiter stays in line */
        ck_assert(a->held(&lease) && !is_back(&waiter));
        assert_in(a, release(&lease), CACHIFY_OK);
        assert_woken(&waiter);
        ck_assert_uint_eq(census(here.m).entries, 2);
        assert_in(b, release(&waiter.lease), CACHIFY_OK);
        assert_in(b, close(b->cachify), CACHIFY_OK);
        ck_assert_uint_eq(census(here.m).entries, 1);
        ck_assert_uint_eq(census(here.m).taken, 0);
        if (round == 1) {
            descriptors = count_descriptors();
            mappings = count_mappings();
        }
        if (round < 9)
            for (unsigned i = 0; i < 2; i++)
                assert_in(&copies[i], open(&here.config, &copies[i].cachify), CACHIFY_OK);
    }
    a->cachify = b->cachify = NULL;
    ck_assert_uint_eq(count_descriptors(), descriptors);
    ck_assert_uint_le(count_mappings(), mappings + 2); /* malloc's */
}
END_TEST

/* They stay loaded, for threads and forks call back into them; and are the same when they are
 * opened again. */
START_TEST(what_was_closed_by_dlclose_does_not_hurt_and_may_be_opened_again)
{
    NEEDS_COPIES();
    char path[PATH_ROOM];
    struct copy *a = &copies[0];
    acquire_function *before = a->acquire;
    assert_in(a, close(a->cachify), CACHIFY_OK);
    ck_assert_int_eq(dlclose(a->handle), 0);
    ck_assert_int_eq(take_in(&copies[1], "job", &lease), CACHIFY_OK);
    pid_t child = fork(); /* by the handlers of both */
    if (child == 0)
        end_child();
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert(find_library(path, sizeof path));
    load(a, path);
    ck_assert(a->acquire == before);
    assert_in(a, open(&here.config, &a->cachify), CACHIFY_OK);
    ck_assert_int_eq(take_in(a, "job", &second), CACHIFY_LOCKED);
    assert_in(&copies[1], release(&lease), CACHIFY_OK);
    ck_assert_int_eq(take_in(a, "job", &second), CACHIFY_OK);
    assert_in(a, release(&second), CACHIFY_OK);
}
END_TEST

/* ---- Others that use liburcu ---- */

/* As its manual wants of programs that fork. */
static int64_t fork_with_handlers_of_ones_own(unsigned i, void *context)
{
    (void)i, (void)context;
    pthread_atfork(urcu_bp_before_fork, urcu_bp_after_fork_parent, urcu_bp_after_fork_child);
    pid_t child = fork();
    if (child == 0) {
        cachify_t *mine;
        bool done =
            cachify_open(&here.config, &mine) == CACHIFY_OK && cachify_close(mine) == CACHIFY_OK;
        _exit(done ? 0 : 1);
    }
    int status = -1;
    return waitpid(child, &status, 0) == child ? status : -1;
}

START_TEST(a_program_may_have_its_own_fork_handlers_of_liburcu)
{
    int64_t result;
#ifdef CF_TSAN
    SKIP("ThreadSanitizer reports that locks are now taken in another order than before");
#endif
    processes_together(1, fork_with_handlers_of_ones_own, NULL, &result);
    ck_assert_int_eq(result, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("copies");
    TCase *t = group(s, "excluding", setup_copies, teardown_copies);
    tcase_add_test(t, they_are_two_and_neither_is_this_programs);
    tcase_add_loop_test(t, they_exclude_each_other, 0, 2);
    tcase_add_loop_test(t, one_forces_what_the_other_holds_and_takes_what_expired, 0, 2);
    tcase_add_test(t, threads_that_use_both_exclude_each_other);
    t = group(s, "waking", setup_copies, teardown_copies);
    tcase_add_loop_test(t, a_release_in_one_wakes_who_waits_in_the_other, 0, 2);
    t = group(s, "children", setup_copies, teardown_copies);
    tcase_set_timeout(t, 30); /* a fork that hangs blocks all signals */
    tcase_add_test(t, a_child_may_use_both_and_its_death_is_seen_by_both);
    tcase_add_loop_test(t, a_child_waits_in_one_for_its_parent_in_the_other, 0, 2);
    t = group(s, "closing", setup_copies, teardown_copies);
    tcase_set_timeout(t, 30);
    tcase_add_loop_test(t, closing_one_leaves_the_other_and_closing_both_leaves_nothing, 0, 2);
    tcase_add_test(t, what_was_closed_by_dlclose_does_not_hurt_and_may_be_opened_again);
    t = group(s, "liburcu's other users", setup_here, teardown_here);
    tcase_set_timeout(t, 30);
    tcase_add_test(t, a_program_may_have_its_own_fork_handlers_of_liburcu);
    return run_suite(s);
}
