/* The client as a store: cachify_set and cachify_get, values of any size, and what callers that cannot read the
 * headers are told.  lock-reference: "Backend Requirements and nx Semantics". */
#include <errno.h>
#include <stdlib.h>

#include <cachify/client.h>
#include <cachify/shm.h>

#include "agent.h"

static cachify_lease_t lease;

static cachify_status_t set(const char *key, const char *value, int64_t exp_ms, bool nx)
{
    cachify_lock_t lock = {
        .key = key, .value = value, .value_len = (uint32_t)strlen(value), .exp_ms = exp_ms};
    return cachify_set(here.cachify, &lock, nx);
}

static void assert_value(const char *key, const char *expected)
{
    char value[64];
    uint32_t len = sizeof value;
    assert_ok(cachify_get(here.cachify, key, value, &len));
    ck_assert_uint_eq(len, strlen(expected));
    ck_assert_mem_eq(value, expected, len);
}

static void assert_none(const char *key)
{
    char value[64] = "as it was";
    uint32_t len = sizeof value;
    assert_status(cachify_get(here.cachify, key, value, &len), CACHIFY_LOST);
    ck_assert_str_eq(value, "as it was");
    ck_assert_uint_eq(len, sizeof value);
}

/* ---- Set and get ---- */

/* "When nx=True, a set call must atomically set the value only if the key does not already exist" */
START_TEST(with_nx_only_the_first_sets)
{
    errno = 77;
    assert_none("a");
    assert_ok(set("a", "first", 0, true));
    assert_status(set("a", "second", 0, true), CACHIFY_LOCKED);
    assert_says("a is already locked!");
    assert_says("first"); /* the holder's note */
    assert_value("a", "first");
    ck_assert(is_locked("a"));
    ck_assert_int_eq(errno, 77);
}
END_TEST

static int64_t set_in_a_process(unsigned i, void *context)
{
    const unsigned *round = context;
    cachify_t *mine;
    if (cachify_open(&here.config, &mine) != CACHIFY_OK)
        return -1;
    cachify_lock_t lock = {.key = numbered("contest", *round), .value = &i, .value_len = sizeof i};
    cachify_status_t status = cachify_set(mine, &lock, true);
    uint32_t winner, len = sizeof winner;
    cachify_status_t got = cachify_get(mine, lock.key, &winner, &len);
    /* Who set it sees it; whoever else may find that it ended with its process. */
    if (status == CACHIFY_OK)
        return got == CACHIFY_OK && winner == i ? CACHIFY_OK : -2;
    return status;
}

START_TEST(with_nx_of_many_processes_one_sets_or_comes_after_it)
{
    for (unsigned round = 0; round < rounds(10); round++) {
        int64_t got[6];
        unsigned winners = 0;
        processes_together(6, set_in_a_process, &round, got);
        for (unsigned i = 0; i < 6; i++) {
            ck_assert_msg(got[i] == CACHIFY_OK || got[i] == CACHIFY_LOCKED, "%d: %lld", i,
                          (long long)got[i]);
            winners += got[i] == CACHIFY_OK;
        }
        ck_assert_uint_ge(winners, 1);
    }
}
END_TEST

/* "When nx=False, a set call should behave like a normal upsert and overwrite existing values." */
START_TEST(without_nx_it_overwrites_and_ends_anothers_lease)
{
    struct agent *agent = agent_start();
    assert_ok(set("a", "fresh", 0, false));
    assert_ok(set("a", "again", 0, false));
    assert_value("a", "again");
    assert_ok(agent_take(agent, "b", 60000).status);
    assert_ok(set("b", "mine now", 0, false));
    assert_value("b", "mine now");
    ck_assert(!agent_look(agent).held);
    assert_status(agent_release(agent).status, CACHIFY_LOST);
    assert_value("b", "mine now");
}
END_TEST

START_TEST(what_is_set_goes_by_expiry_or_by_key)
{
    assert_ok(set("a", "short", 30, true));
    EVENTUALLY(!is_locked("a"), LONG_MS);
    assert_none("a");
    assert_ok(set("b", "long", CACHIFY_NEVER, true));
    ck_assert_int_eq(query("b").remaining_ms, CACHIFY_NEVER);
    assert_ok(cachify_release_key(here.cachify, "b"));
    assert_none("b");
    assert_ok(set("c", "default", 0, true));
    ck_assert_int_gt(query("c").remaining_ms, 29000);
}
END_TEST

static cachify_status_t set_there(struct agent_self *self, const struct agent_order *order,
                                  struct agent_answer *answer)
{
    cachify_lock_t lock = {.key = "a", .exp_ms = CACHIFY_NEVER, .value = "x", .value_len = 1};
    (void)order, (void)answer;
    return cachify_set(self->cachify, &lock, true);
}

START_TEST(what_is_set_goes_with_its_process)
{
    struct agent *agent = agent_start();
    assert_ok(agent_run(agent, set_there, 0).status);
    assert_value("a", "x");
    agent_kill(agent);
    EVENTUALLY(!is_locked("a"), LONG_MS);
    assert_none("a");
    assert_ok(set("a", "y", 0, true));
}
END_TEST

START_TEST(the_value_is_what_the_lease_was_taken_with)
{
    cachify_lock_t lock = {.key = "a", .value = "note", .value_len = 4};
    assert_ok(cachify_acquire(here.cachify, &lock, &lease));
    assert_value("a", "note");
    assert_ok(cachify_extend(&lease, 60000));
    assert_value("a", "note");
    assert_ok(cachify_release(&lease));
    assert_none("a");
    assert_ok(take("a", 0, &lease)); /* none */
    assert_value("a", "");
}
END_TEST

START_TEST(store_calls_with_bad_arguments_are_refused)
{
    char value[8];
    uint32_t len = 8;
    cachify_lock_t lock = {.key = NULL};
    assert_status(cachify_set(here.cachify, NULL, true), CACHIFY_INVALID);
    assert_status(cachify_set(here.cachify, &lock, true), CACHIFY_INVALID);
    assert_says("key is NULL");
    assert_status(set("a", "", -5, true), CACHIFY_INVALID);
    assert_says("exp_ms");
    assert_status(cachify_get(here.cachify, NULL, value, &len), CACHIFY_INVALID);
    assert_status(cachify_get(here.cachify, "a", NULL, &len), CACHIFY_INVALID);
    assert_says("value is NULL");
    assert_status(cachify_get(here.cachify, "a", value, NULL), CACHIFY_INVALID);
    assert_says("len is NULL");
    lock.key = "a";
    assert_status(cachify_set(NULL, &lock, true), CACHIFY_NOT_INITIALIZED);
    assert_status(cachify_get(NULL, "a", value, &len), CACHIFY_NOT_INITIALIZED);
}
END_TEST

/* ---- Values of the size that the segment was made for ---- */

static void check_sizes(uint32_t value_max)
{
    cachify_config_t config = here.config;
    config.value_max = value_max;
    reopen_here(config);
    uint32_t most = value_max != 0 ? value_max : 64;
    unsigned char *value = malloc(most + 1), *back = malloc(most + 1);
    for (uint32_t i = 0; i <= most; i++)
        value[i] = (unsigned char)(i * 7 + 3);
    for (uint32_t n = 0; n <= most; n += most / 40 + 1) {
        cachify_lock_t lock = {.key = "a", .value = value, .value_len = n};
        assert_ok(cachify_set(here.cachify, &lock, false));
        uint32_t len = n;
        assert_ok(cachify_get(here.cachify, "a", back, &len)); /* just fits */
        ck_assert_uint_eq(len, n);
        if (n > 0)
            ck_assert_mem_eq(back, value, n);
        cachify_info_t info = query("a");
        ck_assert_uint_eq(info.value_len, n < 64 ? n : 64);
        ck_assert(info.value_len == 0 || memcmp(info.value, value, info.value_len) == 0);
        if (n == 0)
            continue;
        len = n - 1;
        back[0] = (unsigned char)~value[0];
        assert_status(cachify_get(here.cachify, "a", back, &len), CACHIFY_INVALID);
        ck_assert_uint_eq(len, n - 1);
        ck_assert_uint_eq(back[0], (unsigned char)~value[0]);
    }
    cachify_lock_t lock = {.key = "a", .value = value, .value_len = most + 1};
    assert_status(cachify_set(here.cachify, &lock, false), CACHIFY_INVALID);
    char said[32];
    snprintf(said, sizeof said, "at most %u", most);
    assert_says(said);
    free(value);
    free(back);
    assert_sound(here.m);
}

START_TEST(values_may_be_as_long_as_the_segment_was_made_for)
{
    static const uint32_t sizes[] = {0, 1, 7, 8, 63, 65, 100, 4096};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        check_sizes(sizes[i]);
}
END_TEST

START_TEST(a_value_max_beyond_the_limit_is_refused)
{
    cachify_config_t config = here.config;
    char path[PATH_ROOM];
    cachify_t *none = NULL;
    new_path(path);
    config.path = path;
    config.value_max = 4097;
    assert_status(cachify_open(&config, &none), CACHIFY_INVALID);
    assert_says("value_max is 4097; expected 1 to 4096");
    ck_assert_ptr_null(none);
}
END_TEST

START_TEST(the_limits_are_told)
{
    cachify_config_t config = here.config;
    uint32_t key_max = 0, value_max = 0;
    config.prefix = "seven--";
    config.key_max = 100;
    config.value_max = 200;
    reopen_here(config);
    assert_ok(cachify_limits(here.cachify, &key_max, &value_max));
    ck_assert_uint_eq(key_max, 93);
    ck_assert_uint_eq(value_max, 200);
    assert_ok(cachify_limits(here.cachify, NULL, NULL));
    assert_status(cachify_limits(NULL, &key_max, NULL), CACHIFY_NOT_INITIALIZED);
}
END_TEST

/* "One that exists stays as it is." */
START_TEST(a_segment_that_exists_keeps_its_value_max)
{
    cachify_config_t config = here.config;
    cachify_t *second;
    char value[100] = "";
    config.value_max = 100;
    assert_ok(cachify_open(&config, &second));
    cachify_lock_t lock = {.key = "a", .value = value, .value_len = sizeof value};
    assert_status(cachify_set(second, &lock, true), CACHIFY_INVALID);
    assert_says("at most 64");
    assert_ok(cachify_close(second));
}
END_TEST

/* What a reader gets is what one holder wrote, however fast they change. */
struct writing {
    _Atomic bool stop;
    uint64_t seed;
};

static int64_t write_or_read(unsigned i, void *context)
{
    struct writing *w = context;
    unsigned char value[200];
    uint64_t state = w->seed + i;
    if (i == 0) {
        for (unsigned n = 0; n < rounds(20000); n++) {
            uint32_t len = (uint32_t)(chance(&state) % sizeof value);
            memset(value, (int)len, sizeof value);
            cachify_lock_t lock = {.key = "a", .value = value, .value_len = len};
            if (cachify_set(here.cachify, &lock, false) != CACHIFY_OK)
                return 1;
        }
        w->stop = true;
        return 0;
    }
    while (!w->stop) {
        uint32_t len = sizeof value;
        if (cachify_get(here.cachify, "a", value, &len) != CACHIFY_OK)
            return 2; /* overwritten is not lost for a moment */
        for (uint32_t k = 0; k < len; k++)
            if (value[k] != (unsigned char)len)
                return 3;
    }
    return 0;
}

START_TEST(a_value_is_overwritten_in_one_step_and_read_whole)
{
    cachify_config_t config = here.config;
    struct writing writing = {.seed = seed()};
    int64_t got[3];
    config.value_max = 200;
    reopen_here(config);
    assert_ok(set("a", "", 0, true));
    threads_together(3, write_or_read, &writing, got);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(got[i], 0);
}
END_TEST

/* ---- Callers that cannot read the headers ---- */

START_TEST(sizes_are_told_by_name)
{
#define ASSERT_SIZE(type) ck_assert_uint_eq(cachify_sizeof(#type), sizeof(type))
    ASSERT_SIZE(cachify_config_t);
    ASSERT_SIZE(cachify_lock_t);
    ASSERT_SIZE(cachify_lease_t);
    ASSERT_SIZE(cachify_origin_t);
    ASSERT_SIZE(cachify_info_t);
    ASSERT_SIZE(cachify_waiter_t);
    ASSERT_SIZE(cachify_scope_t);
    ASSERT_SIZE(cachify_arg_t);
    ASSERT_SIZE(cachify_call_t);
    ASSERT_SIZE(cachify_wrap_options_t);
    ASSERT_SIZE(cachify_client_t);
    ASSERT_SIZE(cachify_caller_t);
    ASSERT_SIZE(cachify_request_t);
    ASSERT_SIZE(cachify_grant_t);
    ASSERT_SIZE(cachify_shm_header_t);
    ASSERT_SIZE(cachify_shm_lease_t);
    ASSERT_SIZE(cachify_shm_counts_t);
    ASSERT_SIZE(cachify_shm_process_t);
    ck_assert_uint_eq(cachify_sizeof("cachify_t"), 0);
    ck_assert_uint_eq(cachify_sizeof(""), 0);
    ck_assert_uint_eq(cachify_sizeof(NULL), 0);
}
END_TEST

#define ASSERT_INIT(type, init)                                                                    \
    do {                                                                                           \
        type got_, zero_;                                                                          \
        memset(&got_, 0xff, sizeof got_);                                                          \
        memset(&zero_, 0, sizeof zero_);                                                           \
        init(&got_);                                                                               \
        ck_assert_uint_eq(got_.size, sizeof got_);                                                 \
        got_.size = 0;                                                                             \
        ck_assert_mem_eq(&got_, &zero_, sizeof got_);                                              \
        init(NULL);                                                                                \
    } while (0)

START_TEST(structs_are_filled_with_their_defaults)
{
    cachify_lease_t empty;
    ASSERT_INIT(cachify_config_t, cachify_config_init);
    ASSERT_INIT(cachify_lock_t, cachify_lock_init);
    ASSERT_INIT(cachify_origin_t, cachify_origin_init);
    ASSERT_INIT(cachify_info_t, cachify_info_init);
    ASSERT_INIT(cachify_wrap_options_t, cachify_wrap_options_init);
    ASSERT_INIT(cachify_client_t, cachify_client_init);
    memset(&empty, 0xff, sizeof empty);
    cachify_lease_init(&empty);
    cachify_lease_init(NULL);
    assert_ok(cachify_release(&empty)); /* is empty */
    ck_assert(!cachify_lease_held(&empty));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store");
    TCase *t = group(s, "set and get", setup_here, teardown_here);
    tcase_add_test(t, with_nx_only_the_first_sets);
    tcase_add_test(t, with_nx_of_many_processes_one_sets_or_comes_after_it);
    tcase_add_test(t, without_nx_it_overwrites_and_ends_anothers_lease);
    tcase_add_test(t, what_is_set_goes_by_expiry_or_by_key);
    tcase_add_test(t, what_is_set_goes_with_its_process);
    tcase_add_test(t, the_value_is_what_the_lease_was_taken_with);
    tcase_add_test(t, store_calls_with_bad_arguments_are_refused);
    t = group(s, "values", setup_here, teardown_here);
    tcase_add_test(t, values_may_be_as_long_as_the_segment_was_made_for);
    tcase_add_test(t, a_value_max_beyond_the_limit_is_refused);
    tcase_add_test(t, the_limits_are_told);
    tcase_add_test(t, a_segment_that_exists_keeps_its_value_max);
    tcase_add_test(t, a_value_is_overwritten_in_one_step_and_read_whole);
    t = group(s, "foreign callers", NULL, NULL);
    tcase_add_test(t, sizes_are_told_by_name);
    tcase_add_test(t, structs_are_filled_with_their_defaults);
    return run_suite(s);
}
