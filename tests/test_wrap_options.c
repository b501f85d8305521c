/* Wrapped functions: once, the instance they lock on, and options. */
#include "agent.h"
#include "wrapping.h"

/* ---- Once ---- */

START_TEST(once_has_another_suffix)
{
    wrap_again((cachify_lock_t){.key = "my_lock_key-{arg}"}, CACHIFY_ONCE);
    snprintf(seen.key, sizeof seen.key, "my_lock_key-7-once");
    assert_ok(call(7, NULL));
    ck_assert(seen.locked);
}
END_TEST

START_TEST(once_a_busy_lock_is_an_error_or_the_chosen_result)
{
    const int chosen = 99;
    int result = 5;
    struct agent *agent = agent_start();
    cachify_lock_t lock = {.key = "my_lock_key-{arg}"};
    cachify_wrap_options_t o = wrap_options(&lock);
    o.flags = CACHIFY_ONCE;
    assert_ok(cachify_wrap_free(wrapped));
    assert_ok(cachify_wrap(here.cachify, &o, &wrapped));
    assert_ok(agent_take(agent, "my_lock_key-7-once", 60000).status);
    assert_status(call(7, &result), CACHIFY_LOCKED);
    ck_assert_int_eq(result, 5);
    assert_ok(cachify_wrap_free(wrapped));

    o.result_if_locked = &chosen;
    o.result_size = sizeof chosen;
    assert_ok(cachify_wrap(here.cachify, &o, &wrapped));
    assert_ok(call(7, &result));
    ck_assert_int_eq(result, 99);
    assert_ok(call(7, NULL));
    ck_assert_uint_eq(seen.calls, 0);
    assert_ok(agent_release(agent).status);
    assert_ok(call(7, &result));
    ck_assert_int_eq(result, 8);
    ck_assert_uint_eq(seen.calls, 1);
}
END_TEST

START_TEST(once_waiting_in_vain_gives_the_chosen_result)
{
    const int chosen = 99;
    int result = 5;
    struct agent *agent = agent_start();
    cachify_lock_t lock = {.key = "my_lock_key-{arg}", .wait = true, .timeout_ms = 30};
    cachify_wrap_options_t o = wrap_options(&lock);
    o.flags = CACHIFY_ONCE;
    o.result_if_locked = &chosen;
    o.result_size = sizeof chosen;
    assert_ok(cachify_wrap_free(wrapped));
    assert_ok(cachify_wrap(here.cachify, &o, &wrapped));
    assert_ok(agent_take(agent, "my_lock_key-7-once", 60000).status);
    int64_t begun = now_ms();
    assert_ok(call(7, &result));
    ck_assert_int_ge(now_ms() - begun, 30);
    ck_assert_int_eq(result, 99);
}
END_TEST

/* ---- Instances ---- */

START_TEST(made_from_an_instance_it_locks_on_that_instance)
{
    char other_path[PATH_ROOM];
    cachify_config_t config = here.config;
    cachify_t *other;
    cachify_wrapped_t *there;
    cachify_lock_t lock = {.key = "my_lock_key-{arg}"};
    cachify_wrap_options_t o = wrap_options(&lock);
    new_path(other_path);
    config.path = other_path;
    assert_ok(cachify_open(&config, &other));
    assert_ok(cachify_wrap(other, &o, &there));
    cachify_arg_t a = cachify_int(7);
    assert_ok(cachify_wrap_call(there, &a, 1, NULL));
    ck_assert(!seen.locked); /* not on this one */
    assert_ok(cachify_close(other));
    assert_status(cachify_wrap_call(there, &a, 1, NULL), CACHIFY_INVALID);
    assert_ok(cachify_wrap_free(there));
}
END_TEST

/* "If py-cachify is not initialized ..., using the global lock factory or decorators will raise" */
START_TEST(made_from_none_it_locks_on_the_global_one_of_the_moment)
{
    cachify_wrapped_t *global;
    cachify_lock_t lock = {.key = "my_lock_key-{arg}"};
    cachify_wrap_options_t o = wrap_options(&lock);
    cachify_arg_t a = cachify_int(7);
    bool locked;
    assert_ok(cachify_wrap(NULL, &o, &global));
    assert_status(cachify_wrap_call(global, &a, 1, NULL), CACHIFY_NOT_INITIALIZED);
    assert_status(cachify_wrap_is_locked(global, &a, 1, &locked), CACHIFY_NOT_INITIALIZED);
    assert_status(cachify_wrap_release(global, &a, 1), CACHIFY_NOT_INITIALIZED);
    assert_ok(cachify_init(&here.config));
    assert_ok(cachify_wrap_call(global, &a, 1, NULL));
    ck_assert(seen.locked); /* it is the same segment */
    assert_ok(cachify_shutdown());
    assert_status(cachify_wrap_call(global, &a, 1, NULL), CACHIFY_NOT_INITIALIZED);
    assert_ok(cachify_wrap_free(global));
}
END_TEST

/* ---- Options ---- */

START_TEST(what_the_options_point_to_is_copied)
{
    char template[] = "my_lock_key-{arg}", name[] = "arg", note[] = "note";
    const char *list[] = {name};
    cachify_lock_t lock = {.key = template, .value = note, .value_len = 4};
    cachify_wrap_options_t o = wrap_options(&lock);
    o.parameters = list;
    assert_ok(cachify_wrap_free(wrapped));
    assert_ok(cachify_wrap(here.cachify, &o, &wrapped));
    memset(template, 'x', sizeof template - 1);
    memset(name, 'x', sizeof name - 1);
    memset(note, 'x', sizeof note - 1);
    list[0] = NULL;
    lock = (cachify_lock_t){0};
    assert_ok(call(7, NULL));
    ck_assert(seen.locked);
}
END_TEST

START_TEST(options_that_cannot_be_right_are_refused)
{
    cachify_lock_t lock = {.key = "k"};
    cachify_wrapped_t *none = NULL;
    const char *bad_names[] = {"1a", "a b", "", "a-b", NULL};
    const char *twice[] = {"a", "b", "a"};
    const int chosen = 1;
    cachify_wrap_options_t o = wrap_options(&lock);
    assert_status(cachify_wrap(NULL, NULL, &none), CACHIFY_INVALID);
    assert_status(cachify_wrap(NULL, &o, NULL), CACHIFY_INVALID);
    o.function = NULL;
    assert_status(cachify_wrap(NULL, &o, &none), CACHIFY_INVALID);
    assert_says("function is NULL");
    o = wrap_options(NULL);
    assert_status(cachify_wrap(NULL, &o, &none), CACHIFY_INVALID);
    assert_says("lock is NULL");
    o = wrap_options(&lock);
    o.flags = 2;
    assert_status(cachify_wrap(NULL, &o, &none), CACHIFY_INVALID);
    assert_says("flags are 0x2");
    o = wrap_options(&lock);
    o.result_if_locked = &chosen;
    assert_status(cachify_wrap(NULL, &o, &none), CACHIFY_INVALID);
    assert_says("CACHIFY_ONCE");
    o = wrap_options(&lock);
    o.parameters = NULL;
    assert_status(cachify_wrap(NULL, &o, &none), CACHIFY_INVALID);
    assert_says("parameters is NULL");
    for (unsigned i = 0; i < 5; i++) {
        o = wrap_options(&lock);
        o.parameters = &bad_names[i];
        assert_status(cachify_wrap(NULL, &o, &none), CACHIFY_INVALID);
        assert_says("letters, digits and _");
    }
    o = wrap_options(&lock);
    o.parameters = twice;
    o.parameter_count = 3;
    assert_status(cachify_wrap(NULL, &o, &none), CACHIFY_INVALID);
    assert_says("both named \"a\"");
    o.parameter_count = 65;
    assert_status(cachify_wrap(NULL, &o, &none), CACHIFY_INVALID);
    assert_says("at most 64");
    o = wrap_options(&lock);
    o.size = 8;
    assert_status(cachify_wrap(NULL, &o, &none), CACHIFY_INVALID);
    assert_says("cachify_wrap_options_t");
    ck_assert_ptr_null(none);
}
END_TEST

START_TEST(locks_that_cannot_be_right_are_refused)
{
    const cachify_lock_t bad[] = {
        {.key = NULL},
        {.key = "a\0b", .key_len = 3},
        {.key = "k", .exp_ms = -1},
        {.key = "k", .timeout_ms = -1},
        {.key = "k", .value_len = 1},
        {.key = "k", .size = 4},
    };
    const char *said[] = {"key is NULL", "NUL byte",      "exp_ms",
                          "timeout_ms",  "value is NULL", "cachify_lock_t"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cachify_wrapped_t *none = NULL;
        cachify_wrap_options_t o = wrap_options(&bad[i]);
        assert_status(cachify_wrap(NULL, &o, &none), CACHIFY_INVALID);
        assert_says(said[i]);
        ck_assert_ptr_null(none);
    }
}
END_TEST

START_TEST(a_key_too_long_for_the_segment_is_told_at_the_call)
{
    char text[100];
    memset(text, 'x', sizeof text);
    cachify_arg_t a = {.type = CACHIFY_ARG_STRING, .len = sizeof text, .as.s = text};
    assert_status(cachify_wrap_call(wrapped, &a, 1, NULL), CACHIFY_KEY_TOO_LONG);
    ck_assert_uint_eq(seen.calls, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wrap, options");
    TCase *t = group(s, "once", setup_wrapped, teardown_wrapped);
    tcase_add_test(t, once_has_another_suffix);
    tcase_add_test(t, once_a_busy_lock_is_an_error_or_the_chosen_result);
    tcase_add_test(t, once_waiting_in_vain_gives_the_chosen_result);
    t = group(s, "instances", setup_wrapped, teardown_wrapped);
    tcase_add_test(t, made_from_an_instance_it_locks_on_that_instance);
    tcase_add_test(t, made_from_none_it_locks_on_the_global_one_of_the_moment);
    t = group(s, "options", setup_wrapped, teardown_wrapped);
    tcase_add_test(t, what_the_options_point_to_is_copied);
    tcase_add_test(t, options_that_cannot_be_right_are_refused);
    tcase_add_test(t, locks_that_cannot_be_right_are_refused);
    tcase_add_test(t, a_key_too_long_for_the_segment_is_told_at_the_call);
    return run_suite(s);
}
