/* Instances beside each other: lock-reference, "Instance-based usage".  test_instance.c has the
 * life of one; test_copies.c two copies of the library. */
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "waiting.h"

static cachify_lease_t lease, second;

/* On here's segment. */
static cachify_t *open_with(const char *prefix, int64_t default_exp_ms)
{
    cachify_t *instance;
    cachify_config_t config = here.config;
    config.prefix = prefix;
    config.default_exp_ms = default_exp_ms;
    assert_ok(cachify_open(&config, &instance));
    return instance;
}

static cachify_t *open_elsewhere(char path[PATH_ROOM])
{
    cachify_t *instance;
    cachify_config_t config = here.config;
    new_path(path);
    config.path = path;
    assert_ok(cachify_open(&config, &instance));
    return instance;
}

static cachify_status_t take_in(cachify_t *instance, const char *key, cachify_lease_t *got)
{
    return cachify_acquire(instance, &(cachify_lock_t){.key = key}, got);
}

static bool locked_in(cachify_t *instance, const char *key)
{
    bool locked = false;
    assert_ok(cachify_is_locked(instance, key, &locked));
    return locked;
}

static void teardown_global(void)
{
    cachify_shutdown();
    teardown_here();
}

/* ---- Wrapped functions ---- */

static unsigned calls;

static void function(const cachify_call_t *call)
{
    (void)call;
    calls++;
}

/* @lock('my_lock_key-{arg}'), of one integer argument. */
static cachify_wrapped_t *wrap(cachify_t *instance)
{
    static const char *const names[] = {"arg"};
    const cachify_lock_t lock = {.key = "my_lock_key-{arg}"};
    const cachify_wrap_options_t options = {
        .function = function, .parameters = names, .parameter_count = 1, .lock = &lock};
    cachify_wrapped_t *wrapped;
    assert_ok(cachify_wrap(instance, &options, &wrapped));
    calls = 0;
    return wrapped;
}

static const cachify_arg_t seven = {.type = CACHIFY_ARG_INT, .as.i = 7};

/* ---- Before init ---- */

static int visit(void *context, const cachify_waiter_t *waiter)
{
    (void)context, (void)waiter;
    return 0;
}

/* "If py-cachify is not initialized through init_cachify with is_global=True, using the global
 * lock factory or decorators will raise a CachifyInitError." */
START_TEST(before_init_nothing_global_can_be_used)
{
    char value[8];
    uint32_t len = sizeof value;
    bool locked;
    cachify_async_t *async = NULL;
    if (_i == 1) { /* and after shutdown */
        assert_ok(cachify_init(&here.config));
        assert_ok(cachify_shutdown());
    }
    cachify_wrapped_t *wrapped = wrap(NULL); /* decorating needs no client, the call does */
    assert_status(cachify_wrap_call(wrapped, &seven, 1, NULL), CACHIFY_NOT_INITIALIZED);
    assert_says("cachify_init");
    ck_assert_uint_eq(calls, 0);
    assert_status(cachify_wrap_is_locked(wrapped, &seven, 1, &locked), CACHIFY_NOT_INITIALIZED);
    assert_status(cachify_wrap_release(wrapped, &seven, 1), CACHIFY_NOT_INITIALIZED);
    assert_status(take_in(NULL, "job", &lease), CACHIFY_NOT_INITIALIZED);
    assert_status(cachify_acquire_start(NULL, &(cachify_lock_t){.key = "job"}, &async),
                  CACHIFY_NOT_INITIALIZED);
    ck_assert_ptr_null(async);
    assert_status(cachify_set(NULL, &(cachify_lock_t){.key = "job"}, true),
                  CACHIFY_NOT_INITIALIZED);
    assert_status(cachify_get(NULL, "job", value, &len), CACHIFY_NOT_INITIALIZED);
    assert_status(cachify_waiters(NULL, "job", visit, NULL), CACHIFY_NOT_INITIALIZED);
    assert_says("cachify_init");
    assert_ok(cachify_wrap_free(wrapped));
}
END_TEST

START_TEST(a_function_wrapped_before_init_works_after_it)
{
    cachify_wrapped_t *wrapped = wrap(NULL);
    assert_status(cachify_wrap_call(wrapped, &seven, 1, NULL), CACHIFY_NOT_INITIALIZED);
    assert_ok(cachify_init(&here.config));
    assert_ok(cachify_wrap_call(wrapped, &seven, 1, NULL));
    ck_assert_uint_eq(calls, 1);
    assert_ok(take("my_lock_key-7-lock", 0, &lease));
    assert_status(cachify_wrap_call(wrapped, &seven, 1, NULL), CACHIFY_LOCKED);
    ck_assert_uint_eq(calls, 1);
    assert_ok(cachify_shutdown());
    assert_status(cachify_wrap_call(wrapped, &seven, 1, NULL), CACHIFY_NOT_INITIALIZED);
    assert_ok(cachify_wrap_free(wrapped));
}
END_TEST

/* "Cachify instances created with is_global=False do not depend on global initialization and can
 * be used independently." */
START_TEST(an_own_instance_needs_no_init)
{
    for (unsigned round = 0; round < 2; round++) {
        cachify_t *local = open_with("LOCAL-", 0);
        cachify_wrapped_t *wrapped = wrap(local);
        assert_ok(take_in(local, "job", &lease));
        ck_assert(cachify_lease_held(&lease) && locked_in(local, "job"));
        assert_ok(cachify_wrap_call(wrapped, &seven, 1, NULL));
        ck_assert_uint_eq(calls, 1);
        assert_status(take_in(NULL, "job", &second), CACHIFY_NOT_INITIALIZED);
        if (round == 0)
            assert_ok(cachify_init(&here.config));
        assert_ok(cachify_shutdown());
        ck_assert(cachify_lease_held(&lease)); /* nor minds shutdown */
        assert_ok(cachify_wrap_call(wrapped, &seven, 1, NULL));
        assert_ok(cachify_release(&lease));
        assert_ok(cachify_wrap_free(wrapped));
        assert_ok(cachify_close(local));
    }
}
END_TEST

/* ---- Independence ---- */

/* "local_cachify = init_cachify(is_global=False, prefix='LOCAL-')": on the same segment, and yet
 * "completely independent from the global one" */
START_TEST(prefix_LOCAL_keeps_keys_apart)
{
    cachify_config_t config = here.config;
    cachify_t *local = open_with("LOCAL-", 0);
    config.prefix = NULL; /* the default one */
    assert_ok(cachify_init(&config));
    assert_ok(take_in(NULL, "local-lock-a", &lease));
    assert_ok(take_in(local, "local-lock-a", &second));
    ck_assert(is_locked("PYC-local-lock-a") && is_locked("LOCAL-local-lock-a"));
    ck_assert(!is_locked("local-lock-a"));
    assert_ok(cachify_release_key(local, "local-lock-a"));
    ck_assert(cachify_lease_held(&lease) && !cachify_lease_held(&second));
    ck_assert(locked_in(NULL, "local-lock-a") && !locked_in(local, "local-lock-a"));
    assert_ok(take_in(local, "local-lock-a", &second));
    assert_ok(cachify_release(&lease));
    ck_assert(!locked_in(NULL, "local-lock-a") && locked_in(local, "local-lock-a"));
    assert_status(take_in(local, "local-lock-a", &lease), CACHIFY_LOCKED);
    assert_ok(cachify_close(local));
}
END_TEST

/* "Create a dedicated instance that does not affect the global client" */
START_TEST(opening_and_closing_one_leaves_the_global_one_as_it_was)
{
    char path[PATH_ROOM];
    cachify_t *refused;
    cachify_config_t wrong = here.config;
    assert_ok(cachify_close(open_elsewhere(path)));
    assert_status(take_in(NULL, "job", &lease), CACHIFY_NOT_INITIALIZED);
    assert_ok(cachify_init(&here.config));
    cachify_t *local = open_elsewhere(path);
    wrong.path = "/dev/null/nothing";
    assert_status(cachify_open(&wrong, &refused), CACHIFY_SYSTEM);
    assert_ok(take_in(NULL, "job", &lease));
    ck_assert(is_locked("job") && !locked_in(local, "job"));
    assert_ok(cachify_close(local));
    ck_assert(cachify_lease_held(&lease) && locked_in(NULL, "job"));
    assert_ok(cachify_release(&lease));
}
END_TEST

/* "Global lock(...) uses the client configured by a global init_cachify() call." */
START_TEST(the_global_one_is_where_init_said)
{
    char path[PATH_ROOM];
    cachify_t *local = open_elsewhere(path);
    cachify_config_t config = here.config;
    config.prefix = "GLOBAL-";
    config.default_exp_ms = 70000;
    assert_ok(cachify_init(&config));
    assert_ok(take_in(NULL, "job", &lease));
    ck_assert(is_locked("GLOBAL-job") && !locked_in(local, "GLOBAL-job"));
    ck_assert_int_gt(cachify_lease_remaining_ms(&lease), 60000);
    assert_ok(cachify_close(local));
}
END_TEST

START_TEST(each_has_its_own_defaults)
{
    cachify_t *brief = open_with("", 5000), *endless = open_with("", CACHIFY_NEVER);
    assert_ok(take_in(brief, "a", &lease));
    assert_ok(take_in(endless, "b", &second));
    ck_assert_int_le(cachify_lease_remaining_ms(&lease), 5000);
    ck_assert_int_eq(cachify_lease_remaining_ms(&second), CACHIFY_NEVER);
    assert_ok(cachify_extend(&lease, 20000));
    assert_ok(cachify_extend(&second, 20000));
    ck_assert_int_gt(cachify_lease_remaining_ms(&lease), 5000);
    assert_ok(cachify_extend(&lease, 0)); /* each to its own default */
    assert_ok(cachify_extend(&second, 0));
    ck_assert_int_le(cachify_lease_remaining_ms(&lease), 5000);
    ck_assert_int_eq(cachify_lease_remaining_ms(&second), CACHIFY_NEVER);
    assert_ok(cachify_close(brief));
    assert_ok(cachify_close(endless));
}
END_TEST

/* ---- Many on one segment ---- */

#define MANY 64

/* "If you need multiple, independent locking backends (for example, per module or subsystem), you
 * can create dedicated Cachify instances" */
START_TEST(as_many_as_the_segment_has_entries_and_they_exclude_each_other)
{
    static cachify_t *all[MANY];
    static cachify_lease_t got[MANY];
    unsigned n = 0, before = count_descriptors();
    reopen_here((cachify_config_t){.max_locks = 1024, .prefix = "", .poll_interval_ms = 5000});
    cachify_status_t status;
    while ((status = cachify_open(&here.config, &all[n])) == CACHIFY_OK) {
        assert_ok(take_in(all[n], numbered("own", n), &got[n]));
        ck_assert_uint_lt(++n, MANY);
    }
    assert_status(status, CACHIFY_FULL);
    ck_assert_uint_eq(n, here.m->processes - 1); /* and here's */
    assert_ok(take_in(all[n / 2], "common", &second));
    for (unsigned i = 0; i < n; i++) {
        ck_assert(cachify_lease_held(&got[i]));
        assert_status(take_in(all[i], "common", &lease), CACHIFY_LOCKED);
        assert_status(take_in(all[i], numbered("own", (i + 1) % n), &lease), CACHIFY_LOCKED);
    }
    assert_ok(cachify_release(&got[0]));
    assert_ok(cachify_close(all[0]));
    assert_ok(cachify_open(&here.config, &all[0])); /* its place is free again */
    assert_ok(take_in(all[0], numbered("own", 0), &got[0]));
    for (unsigned i = 0; i < n; i++) {
        assert_ok(cachify_release(&got[i]));
        assert_ok(cachify_close(all[i]));
        ck_assert(cachify_lease_held(&second) == (i < n / 2));
        if (i == n / 2 - 1)
            assert_ok(cachify_release(&second));
    }
    ck_assert_uint_eq(census(here.m).entries, 1);
    ck_assert_uint_eq(census(here.m).held, 0);
    ck_assert_uint_eq(count_descriptors(), before);
}
END_TEST

struct counter {
    _Atomic int64_t within;
    int64_t sum;
};

/* Through four instances in turn; how often it was wrong. */
static int64_t count_up(unsigned i, void *context)
{
    struct counter *counter = context;
    cachify_t *mine[4];
    cachify_lease_t got;
    const cachify_lock_t lock = {.key = "job", .wait = true};
    int64_t wrong = 0;
    for (unsigned k = 0; k < 4; k++)
        if (cachify_open(&here.config, &mine[k]) != CACHIFY_OK)
            return 1000000;
    for (unsigned n = 0; n < rounds(400); n++) {
        if (cachify_acquire(mine[(n + i) % 4], &lock, &got) != CACHIFY_OK)
            return 1000001;
        wrong += atomic_fetch_add(&counter->within, 1);
        counter->sum++;
        atomic_fetch_sub(&counter->within, 1);
        wrong += cachify_release(&got) != CACHIFY_OK;
    }
    for (unsigned k = 0; k < 4; k++)
        wrong += cachify_close(mine[k]) != CACHIFY_OK;
    return wrong;
}

START_TEST(processes_and_threads_with_many_each)
{
    int64_t wrong[3];
    struct counter *counter = shared(sizeof *counter);
    (_i == 0 ? processes_together : threads_together)(3, count_up, counter, wrong);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(wrong[i], 0);
    ck_assert_int_eq(counter->sum, 3 * (int64_t)rounds(400));
    ck_assert_uint_eq(census(here.m).entries, 1);
}
END_TEST

/* ---- Several segments ---- */

#define SEGMENTS 8

START_TEST(a_process_may_use_many_segments)
{
    char path[SEGMENTS][PATH_ROOM];
    cachify_t *in[SEGMENTS];
    cachify_lease_t got[SEGMENTS];
    bool locked;
    unsigned descriptors = count_descriptors(), mappings = count_mappings();
    for (unsigned i = 0; i < SEGMENTS; i++) {
        in[i] = open_elsewhere(path[i]);
        assert_ok(take_in(in[i], "job", &got[i]));
    }
    assert_ok(cachify_release_key(in[3], "job"));
    for (unsigned i = 0; i < SEGMENTS; i++)
        ck_assert(cachify_lease_held(&got[i]) == (i != 3) && locked_in(in[i], "job") == (i != 3));
    assert_status(cachify_release(&got[3]), CACHIFY_LOST);
    ck_assert_int_eq(unlink(path[5]), 0); /* one is removed: the others do not mind */
    EVENTUALLY(cachify_is_locked(in[5], "job", &locked) == CACHIFY_GONE, LONG_MS);
    assert_status(take_in(in[5], "new", &lease), CACHIFY_GONE);
    for (unsigned i = 0; i < SEGMENTS; i++) {
        if (i != 5) {
            assert_ok(take_in(in[i], "new", &lease));
            assert_ok(cachify_release(&lease));
        }
        assert_status(cachify_release(&got[i]), i == 5 ? CACHIFY_GONE : CACHIFY_OK);
        assert_ok(cachify_close(in[i]));
    }
    ck_assert_uint_eq(count_descriptors(), descriptors);
    ck_assert_uint_le(count_mappings(), mappings + 1); /* malloc's */
}
END_TEST

START_TEST(a_release_wakes_in_its_own_segment_only)
{
    char path[PATH_ROOM];
    struct waiter waiter;
    cachify_t *elsewhere = open_elsewhere(path);
    assert_ok(take("job", 60000, &lease));
    assert_ok(take_in(elsewhere, "job", &second));
    start_waiting(&waiter, cachify_acquire, here.cachify);
    assert_ok(cachify_release(&second));
    STAYS(!is_back(&waiter) && query("job").waiters == 1, 50);
    assert_ok(cachify_release(&lease));
    assert_woken(&waiter);
    assert_ok(cachify_release(&waiter.lease));
    assert_ok(cachify_close(elsewhere));
}
END_TEST

/* ---- Closed while others use it ---- */

START_TEST(who_waits_in_an_instance_that_is_closed_goes_on_waiting)
{
    struct waiter waiter;
    cachify_t *brief = open_with("", 60000);
    assert_ok(take("job", 60000, &lease));
    start_waiting(&waiter, cachify_acquire, brief);
    assert_ok(cachify_close(brief));
    assert_status(take_in(brief, "other", &second), CACHIFY_INVALID);
    STAYS(!is_back(&waiter) && query("job").waiters == 1, 50);
    assert_ok(cachify_release(&lease));
    assert_woken(&waiter);
    assert_ok(cachify_release(&waiter.lease));
    ck_assert_uint_eq(census(here.m).entries, 1); /* and with that the rest of it went */
}
END_TEST

START_TEST(who_waits_in_the_global_one_when_it_is_replaced_goes_on_in_the_old)
{
    char path[PATH_ROOM];
    struct waiter waiter;
    cachify_config_t config = here.config;
    assert_ok(cachify_init(&config));
    assert_ok(take("job", 60000, &lease));
    start_waiting(&waiter, cachify_acquire, NULL);
    new_path(path);
    config.path = path;
    assert_ok(cachify_init(&config));
    assert_ok(take_in(NULL, "job", &second)); /* another segment's */
    assert_ok(cachify_release(&second));
    STAYS(!is_back(&waiter), 20);
    assert_ok(cachify_release(&lease));
    assert_woken(&waiter);
    assert_ok(cachify_release(&waiter.lease));
    ck_assert(!is_locked("job"));
}
END_TEST

START_TEST(other_instances_and_processes_do_not_notice_a_close)
{
    cachify_t *brief = open_with("", 60000), *other = open_with("", 60000);
    assert_ok(take_in(brief, "brief", &second));
    assert_ok(take_in(other, "job", &lease));
    struct agent *agent = agent_in_line("job");
    assert_ok(cachify_close(brief));
    ck_assert(cachify_lease_held(&lease) && cachify_lease_held(&second));
    ck_assert(locked_in(other, "job") && agent_is_busy(agent));
    ck_assert_uint_eq(query("job").waiters, 1);
    assert_ok(cachify_release(&second));
    assert_ok(cachify_release(&lease));
    assert_ok(agent_finish(agent).status);
    assert_status(take_in(other, "job", &lease), CACHIFY_LOCKED);
    assert_ok(cachify_close(other));
}
END_TEST

START_TEST(a_child_that_closes_what_it_inherited_leaves_the_parents)
{
    cachify_status_t *closed = shared(2 * sizeof *closed);
    cachify_t *instance = open_with("", 60000);
    closed[0] = closed[1] = CACHIFY_PENDING;
    assert_ok(cachify_init(&here.config));
    assert_ok(take_in(instance, "job", &lease));
    pid_t child = fork();
    if (child == 0) {
        closed[0] = cachify_close(instance);
        closed[1] = cachify_shutdown();
        end_child();
    }
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    assert_ok(closed[0]);
    assert_ok(closed[1]);
    ck_assert(cachify_lease_held(&lease));
    assert_ok(take_in(instance, "other", &second));
    ck_assert(locked_in(NULL, "other") && locked_in(NULL, "job"));
    assert_ok(cachify_release(&lease));
    assert_ok(cachify_release(&second));
    assert_ok(cachify_close(instance));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("instances");
    TCase *t = group(s, "before init", setup_here, teardown_global);
    tcase_add_loop_test(t, before_init_nothing_global_can_be_used, 0, 2);
    tcase_add_test(t, a_function_wrapped_before_init_works_after_it);
    tcase_add_test(t, an_own_instance_needs_no_init);
    t = group(s, "independence", setup_here, teardown_global);
    tcase_add_test(t, prefix_LOCAL_keeps_keys_apart);
    tcase_add_test(t, opening_and_closing_one_leaves_the_global_one_as_it_was);
    tcase_add_test(t, the_global_one_is_where_init_said);
    tcase_add_test(t, each_has_its_own_defaults);
    t = group(s, "many on one segment", setup_here, teardown_here);
    tcase_add_test(t, as_many_as_the_segment_has_entries_and_they_exclude_each_other);
    tcase_add_loop_test(t, processes_and_threads_with_many_each, 0, 2);
    t = group(s, "several segments", setup_here, teardown_here);
    tcase_add_test(t, a_process_may_use_many_segments);
    tcase_add_test(t, a_release_wakes_in_its_own_segment_only);
    t = group(s, "closed while used", setup_here, teardown_global);
    tcase_add_test(t, who_waits_in_an_instance_that_is_closed_goes_on_waiting);
    tcase_add_test(t, who_waits_in_the_global_one_when_it_is_replaced_goes_on_in_the_old);
    tcase_add_test(t, other_instances_and_processes_do_not_notice_a_close);
    tcase_add_test(t, a_child_that_closes_what_it_inherited_leaves_the_parents);
    return run_suite(s);
}
