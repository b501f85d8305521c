/* Instances: the global one and one's own; init, shutdown and close under running threads; what is given
 * back; errno and option structs. */
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cachify/shm.h>

#include "agent.h"

static cachify_lease_t lease, second;

static cachify_status_t take_global(const char *key, cachify_lease_t *got)
{
    return cachify_acquire(NULL, &(cachify_lock_t){.key = key, .exp_ms = 60000}, got);
}

static void teardown_global(void)
{
    cachify_shutdown();
    teardown_here();
}

/* ---- global use ---- */

START_TEST(global_use_before_init_is_NOT_INITIALIZED)
{
    bool locked;
    cachify_info_t info = {0};
    if (_i == 1) { /* and after shutdown */
        assert_ok(cachify_init(&here.config));
        assert_ok(cachify_shutdown());
    }
    assert_status(take_global("job", &lease), CACHIFY_NOT_INITIALIZED);
    assert_says("cachify_init");
    assert_status(cachify_is_locked(NULL, "job", &locked), CACHIFY_NOT_INITIALIZED);
    assert_status(cachify_query(NULL, "job", &info), CACHIFY_NOT_INITIALIZED);
    assert_status(cachify_release_key(NULL, "job"), CACHIFY_NOT_INITIALIZED);
    assert_status(cachify_shm_sweep(NULL), CACHIFY_NOT_INITIALIZED);
    assert_ok(cachify_shutdown());
}
END_TEST

START_TEST(global_use_after_init_works)
{
    bool locked = false;
    assert_ok(cachify_init(&here.config));
    assert_ok(take_global("job", &lease));
    assert_ok(cachify_is_locked(NULL, "job", &locked));
    ck_assert(locked && is_locked("job"));
    assert_ok(cachify_release(&lease));
    assert_ok(take_global("job", &lease));
    assert_ok(cachify_release_key(NULL, "job"));
    assert_ok(cachify_shutdown());
}
END_TEST

START_TEST(global_use_init_again_replaces_it_and_leases_stay_good)
{
    char path[PATH_ROOM];
    cachify_config_t config = here.config;
    new_path(path);
    assert_ok(cachify_init(&here.config));
    assert_ok(take_global("job", &lease));
    config.path = path;
    assert_ok(cachify_init(&config));
    assert_ok(take_global("job", &second)); /* another segment */
    ck_assert(cachify_lease_held(&lease) && is_locked("job"));
    assert_ok(cachify_extend(&lease, 70000));
    assert_ok(cachify_release(&lease));
    ck_assert(!is_locked("job"));
    ck_assert(cachify_lease_held(&second));
    assert_ok(cachify_release(&second));
}
END_TEST

START_TEST(global_use_a_failing_init_leaves_the_old_one)
{
    cachify_config_t config = here.config;
    assert_ok(cachify_init(&here.config));
    config.path = "/dev/null/nothing";
    assert_status(cachify_init(&config), CACHIFY_SYSTEM);
    assert_ok(take_global("job", &lease));
    ck_assert(is_locked("job"));
}
END_TEST

START_TEST(global_use_does_not_touch_other_instances)
{
    assert_ok(cachify_init(&here.config));
    assert_ok(take("job", 0, &lease));
    assert_status(take_global("job", &second), CACHIFY_LOCKED);
    assert_ok(cachify_shutdown());
    ck_assert(cachify_lease_held(&lease));
    assert_ok(take("other", 0, &second));
}
END_TEST

struct storm {
    _Atomic bool over;
    _Atomic unsigned ok, missing, wrong;
};

/* Counts and names what should not have happened. */
static void count_wrong(struct storm *storm, const char *call)
{
    atomic_fetch_add(&storm->wrong, 1);
    fprintf(stderr, "%s: %s\n", call, cachify_last_error());
}

static int64_t use_or_replace(unsigned i, void *context)
{
    struct storm *storm = context;
    if (i == 0) {
        for (unsigned n = 0; n < rounds(100); n++) {
            if (cachify_init(&here.config) != CACHIFY_OK)
                count_wrong(storm, "init");
            if (n % 5 == 4 && cachify_shutdown() != CACHIFY_OK)
                count_wrong(storm, "shutdown");
        }
        atomic_store(&storm->over, true);
        return 0;
    }
    const char *key = numbered("job", i);
    while (!atomic_load(&storm->over)) {
        cachify_lease_t mine;
        cachify_status_t status = take_global(key, &mine);
        if (status == CACHIFY_OK) {
            atomic_fetch_add(&storm->ok, 1);
            if (!cachify_lease_held(&mine))
                count_wrong(storm, "held");
            if (cachify_release(&mine) != CACHIFY_OK)
                count_wrong(storm, "release");
        } else if (status == CACHIFY_NOT_INITIALIZED) {
            atomic_fetch_add(&storm->missing, 1);
        } else {
            count_wrong(storm, "acquire");
        }
    }
    return 0;
}

START_TEST(global_use_init_and_shutdown_under_running_threads)
{
    struct storm storm = {0};
    unsigned before = count_descriptors();
    assert_ok(cachify_init(&here.config));
    threads_together(6, use_or_replace, &storm, NULL);
    ck_assert_uint_eq(storm.wrong, 0);
    ck_assert_uint_gt(storm.ok, 0);
    assert_ok(cachify_shutdown());
    ck_assert_uint_eq(count_descriptors(), before);
    ck_assert_uint_eq(census(here.m).entries, 1);
    ck_assert_uint_eq(census(here.m).held, 0);
}
END_TEST

/* ---- Closing ---- */

START_TEST(use_after_close_is_INVALID)
{
    bool locked;
    cachify_info_t info = {0};
    cachify_t *instance;
    assert_ok(cachify_open(&here.config, &instance));
    assert_ok(cachify_close(instance));
    assert_status(cachify_acquire(instance, &(cachify_lock_t){.key = "a"}, &lease),
                  CACHIFY_INVALID);
    assert_says("closed");
    assert_status(cachify_is_locked(instance, "a", &locked), CACHIFY_INVALID);
    assert_status(cachify_query(instance, "a", &info), CACHIFY_INVALID);
    assert_status(cachify_release_key(instance, "a"), CACHIFY_INVALID);
    assert_status(cachify_shm_sweep(instance), CACHIFY_INVALID);
    assert_status(cachify_close(instance), CACHIFY_INVALID);
    assert_ok(cachify_close(NULL));
}
END_TEST

START_TEST(a_handle_never_opened_is_INVALID)
{
    static _Alignas(64) char nothing[4096];
    assert_status(
        cachify_acquire((cachify_t *)(void *)nothing, &(cachify_lock_t){.key = "a"}, &lease),
        CACHIFY_INVALID);
    assert_status(cachify_close((cachify_t *)(void *)nothing), CACHIFY_INVALID);
}
END_TEST

START_TEST(leases_keep_what_they_need_of_a_closed_instance)
{
    cachify_t *instance;
    unsigned before = count_descriptors();
    assert_ok(cachify_open(&here.config, &instance));
    assert_ok(cachify_acquire(instance, &(cachify_lock_t){.key = "a"}, &lease));
    assert_ok(cachify_acquire(instance, &(cachify_lock_t){.key = "b"}, &second));
    assert_ok(cachify_close(instance));
    ck_assert(cachify_lease_held(&lease) && is_locked("a"));
    assert_ok(cachify_extend(&lease, 60000));
    assert_ok(cachify_release(&lease));
    ck_assert(!is_locked("a") && is_locked("b"));
    ck_assert_uint_eq(census(here.m).entries, 2);
    assert_ok(cachify_release(&second)); /* the last: now all of it goes */
    ck_assert(!is_locked("b"));
    ck_assert_uint_eq(census(here.m).entries, 1);
    ck_assert_uint_eq(count_descriptors(), before);
}
END_TEST

static int64_t use_until_closed(unsigned i, void *context)
{
    cachify_t *instance = context;
    for (unsigned n = 0;; n++) {
        cachify_lease_t mine;
        if (i == 0 && n == 200)
            return cachify_close(instance);
        cachify_status_t status =
            cachify_acquire(instance, &(cachify_lock_t){.key = numbered("job", i)}, &mine);
        if (status == CACHIFY_INVALID)
            return CACHIFY_OK;
        if (status != CACHIFY_OK || cachify_release(&mine) != CACHIFY_OK)
            return status + 100;
    }
}

START_TEST(close_under_running_threads_is_safe)
{
    for (unsigned round = 0; round < rounds(30); round++) {
        int64_t got[4];
        cachify_t *instance;
        assert_ok(cachify_open(&here.config, &instance));
        threads_together(4, use_until_closed, instance, got);
        for (unsigned i = 0; i < 4; i++)
            ck_assert_int_eq(got[i], 0);
        ck_assert_uint_eq(census(here.m).entries, 1);
        ck_assert_uint_eq(census(here.m).taken, 0);
    }
}
END_TEST

START_TEST(open_and_close_a_thousand_times_leaks_nothing)
{
    unsigned descriptors = 0, mappings = 0;
    for (unsigned i = 0; i < rounds(1000); i++) {
        cachify_t *instance;
        assert_ok(cachify_open(&here.config, &instance));
        assert_ok(cachify_acquire(instance, &(cachify_lock_t){.key = "job"}, &lease));
        if (i % 2 == 0)
            assert_ok(cachify_release(&lease));
        assert_ok(cachify_close(instance));
        if (i % 2 == 1)
            assert_ok(cachify_release(&lease));
        if (i == 20) {
            descriptors = count_descriptors();
            mappings = count_mappings();
        }
    }
    if (descriptors != 0) {
        ck_assert_uint_eq(count_descriptors(), descriptors);
        ck_assert_uint_le(count_mappings(), mappings + 1); /* malloc's */
    }
    ck_assert_uint_eq(census(here.m).entries, 1);
}
END_TEST

START_TEST(instances_on_two_segments_are_independent)
{
    char path[PATH_ROOM];
    cachify_t *other;
    cachify_config_t config = here.config;
    new_path(path);
    config.path = path;
    assert_ok(cachify_open(&config, &other));
    assert_ok(take("job", 0, &lease));
    assert_ok(cachify_acquire(other, &(cachify_lock_t){.key = "job"}, &second));
    assert_ok(cachify_release_key(other, "job"));
    ck_assert(cachify_lease_held(&lease) && !cachify_lease_held(&second));
    assert_ok(cachify_close(other));
    ck_assert(cachify_lease_held(&lease));
    assert_status(cachify_release(&second), CACHIFY_LOST);
}
END_TEST

static int64_t use_many(unsigned i, void *context)
{
    cachify_t **instances = context;
    cachify_lease_t mine;
    for (unsigned n = 0; n < rounds(2000); n++) {
        cachify_lock_t lock = {.key = numbered("job", i)};
        if (cachify_acquire(instances[(n + i) % 3], &lock, &mine) != CACHIFY_OK)
            return 1;
        if (cachify_release(&mine) != CACHIFY_OK)
            return 2;
    }
    return 0;
}

START_TEST(threads_may_use_several_in_turn)
{
    cachify_t *instances[3];
    int64_t got[3];
    for (unsigned i = 0; i < 3; i++)
        assert_ok(cachify_open(&here.config, &instances[i]));
    threads_together(3, use_many, instances, got);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(got[i], 0);
    for (unsigned i = 0; i < 3; i++)
        assert_ok(cachify_close(instances[i]));
}
END_TEST

/* In a /dev/shm of its own, lest it meets the user's real one. */
static cachify_status_t act_use_defaults(struct agent_self *self, const struct agent_order *order,
                                         struct agent_answer *answer)
{
    char path[64];
    (void)order;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/dev/shm", "tmpfs", 0, "size=64m") != 0) /* a container's */
        return CACHIFY_PENDING;
    cachify_status_t status = cachify_init(NULL);
    if (status == CACHIFY_OK)
        status = take_global("job", &self->lease[0]);
    snprintf(path, sizeof path, "/dev/shm/cachify.%lu", (unsigned long)geteuid());
    answer->number = access(path, F_OK);
    return status;
}

/* pitfall 54 */
START_TEST(all_defaults_fit_a_containers_dev_shm)
{
    struct agent_answer answer = agent_run(agent_start_idle(), act_use_defaults, 0);
    if (answer.status == CACHIFY_PENDING)
        SKIP("no permission to mount");
    ck_assert_msg(answer.status == CACHIFY_OK, "%s", answer.error);
    ck_assert_int_eq(answer.number, 0);
    ck_assert(answer.held);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("instance");
    TCase *t = group(s, "global use", setup_here, teardown_global);
    tcase_add_loop_test(t, global_use_before_init_is_NOT_INITIALIZED, 0, 2);
    tcase_add_test(t, global_use_after_init_works);
    tcase_add_test(t, global_use_init_again_replaces_it_and_leases_stay_good);
    tcase_add_test(t, global_use_a_failing_init_leaves_the_old_one);
    tcase_add_test(t, global_use_does_not_touch_other_instances);
    tcase_add_test(t, global_use_init_and_shutdown_under_running_threads);
    t = group(s, "closing", setup_here, teardown_here);
    tcase_add_test(t, use_after_close_is_INVALID);
    tcase_add_test(t, a_handle_never_opened_is_INVALID);
    tcase_add_test(t, leases_keep_what_they_need_of_a_closed_instance);
    tcase_add_test(t, close_under_running_threads_is_safe);
    tcase_add_test(t, open_and_close_a_thousand_times_leaks_nothing);
    t = group(s, "several", setup_here, teardown_here);
    tcase_add_test(t, instances_on_two_segments_are_independent);
    tcase_add_test(t, threads_may_use_several_in_turn);
    tcase_add_test(t, all_defaults_fit_a_containers_dev_shm);
    return run_suite(s);
}
