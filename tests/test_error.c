/* What a caller may give wrong, and what it is told: a status, a message that names what was given and what
 * was expected, out-parameters and errno as they were. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent.h"

static cachify_lease_t lease, second;

/* ---- Texts ---- */

START_TEST(every_status_has_a_text_of_its_own)
{
    for (int i = CACHIFY_OK; i <= CACHIFY_SYSTEM; i++) {
        const char *text = cachify_strerror((cachify_status_t)i);
        ck_assert_str_ne(text, "");
        ck_assert_str_ne(text, cachify_strerror((cachify_status_t)(CACHIFY_SYSTEM + 1)));
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(text, cachify_strerror((cachify_status_t)k));
    }
    ck_assert_str_ne(cachify_strerror((cachify_status_t)-1), "");
    ck_assert_str_ne(cachify_strerror((cachify_status_t)1000000), "");
}
END_TEST

/* Fixed once and for all: other languages have them as numbers. */
START_TEST(statuses_have_their_numbers)
{
    const cachify_status_t statuses[] = {
        CACHIFY_OK,        CACHIFY_LOCKED,       CACHIFY_TIMEOUT,
        CACHIFY_LOST,      CACHIFY_DEADLOCK,     CACHIFY_NOT_INITIALIZED,
        CACHIFY_INVALID,   CACHIFY_KEY_TOO_LONG, CACHIFY_FULL,
        CACHIFY_NO_MEMORY, CACHIFY_PERMISSION,   CACHIFY_INCOMPATIBLE,
        CACHIFY_CORRUPT,   CACHIFY_GONE,         CACHIFY_CANCELLED,
        CACHIFY_PENDING,   CACHIFY_SYSTEM};
    for (int i = 0; i < (int)(sizeof statuses / sizeof statuses[0]); i++)
        ck_assert_int_eq(statuses[i], i);
}
END_TEST

static int64_t last_error_is_empty(unsigned i, void *context)
{
    (void)context;
    if (strcmp(cachify_last_error(), "") != 0)
        return 1;
    /* Each thread has its own. */
    char given[32];
    snprintf(given, sizeof given, "-%u ms", 1000 + i);
    for (unsigned n = 0; n < 100; n++) {
        take("job", -(int64_t)(1000 + i), &(cachify_lease_t){0});
        if (strstr(cachify_last_error(), given) == NULL)
            return 2;
    }
    return 0;
}

START_TEST(the_last_error_is_the_threads_own)
{
    int64_t got[4];
    assert_status(take("", 0, &lease), CACHIFY_INVALID);
    threads_together(4, last_error_is_empty, NULL, got);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(got[i], 0);
    assert_says("key is empty");
}
END_TEST

START_TEST(the_version_is_three_numbers)
{
    int numbers[3], end = 0;
    ck_assert_int_eq(
        sscanf(cachify_version(), "%d.%d.%d%n", &numbers[0], &numbers[1], &numbers[2], &end), 3);
    ck_assert_int_eq(cachify_version()[end], '\0');
}
END_TEST

/* ---- Keys (pitfall 14) ---- */

static cachify_status_t take_bytes(const char *key, uint32_t len)
{
    cachify_lock_t lock = {.key = key, .key_len = len};
    cachify_status_t status = cachify_acquire(here.cachify, &lock, &lease);
    return status == CACHIFY_OK ? cachify_release(&lease) : status;
}

START_TEST(a_key_that_is_none_is_refused)
{
    bool locked;
    cachify_info_t info = {0};
    assert_status(take_bytes(NULL, 0), CACHIFY_INVALID);
    assert_says("key is NULL; expected 1 to 64 bytes");
    assert_status(take_bytes(NULL, 5), CACHIFY_INVALID);
    assert_status(take_bytes("", 0), CACHIFY_INVALID);
    assert_says("key is empty; expected 1 to 64 bytes");
    assert_status(cachify_is_locked(here.cachify, NULL, &locked), CACHIFY_INVALID);
    assert_status(cachify_is_locked(here.cachify, "", &locked), CACHIFY_INVALID);
    assert_status(cachify_query(here.cachify, NULL, &info), CACHIFY_INVALID);
    assert_status(cachify_query(here.cachify, "", &info), CACHIFY_INVALID);
    assert_status(cachify_release_key(here.cachify, NULL), CACHIFY_INVALID);
    assert_status(cachify_release_key(here.cachify, ""), CACHIFY_INVALID);
}
END_TEST

START_TEST(a_key_with_a_NUL_byte_is_refused)
{
    assert_status(take_bytes("a\0b", 3), CACHIFY_INVALID);
    assert_says("key of 3 bytes has a NUL byte at 1");
    assert_status(take_bytes("\0", 1), CACHIFY_INVALID);
    assert_status(take_bytes("ab\0", 3), CACHIFY_INVALID);
    assert_ok(take_bytes("ab\0", 2));
}
END_TEST

START_TEST(a_key_may_be_as_long_as_key_max_and_is_never_cut)
{
    char key[5000];
    bool locked;
    cachify_info_t info = {0};
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    assert_ok(take_bytes(key, 64));
    assert_ok(take_bytes(key + sizeof key - 1 - 64, 0));
    const uint32_t lengths[] = {65, 66, 4096, 4097, 4999};
    for (unsigned i = 0; i < 5; i++) {
        const char *text = key + sizeof key - 1 - lengths[i];
        assert_status(take_bytes(key, lengths[i]), CACHIFY_KEY_TOO_LONG);
        assert_says("64");
        assert_says("kkkkkkkk");
        assert_status(take_bytes(text, 0), CACHIFY_KEY_TOO_LONG);
        assert_status(cachify_is_locked(here.cachify, text, &locked), CACHIFY_KEY_TOO_LONG);
        assert_status(cachify_query(here.cachify, text, &info), CACHIFY_KEY_TOO_LONG);
        assert_status(cachify_release_key(here.cachify, text), CACHIFY_KEY_TOO_LONG);
    }
}
END_TEST

START_TEST(the_prefix_counts_to_the_length_of_a_key)
{
    cachify_t *instance;
    cachify_config_t config = here.config;
    char key[64];
    memset(key, 'k', 60);
    key[60] = '\0';
    config.prefix = "PYC-";
    assert_ok(cachify_open(&config, &instance));
    assert_ok(cachify_acquire(instance, &(cachify_lock_t){.key = key}, &lease));
    assert_ok(cachify_release(&lease));
    key[60] = 'k';
    key[61] = '\0';
    assert_status(cachify_acquire(instance, &(cachify_lock_t){.key = key}, &lease),
                  CACHIFY_KEY_TOO_LONG);
    assert_says("60");
    assert_says("PYC-");
    assert_ok(cachify_close(instance));
    char prefix[65];
    memset(prefix, 'p', 64);
    prefix[64] = '\0';
    config.prefix = prefix;
    assert_status(cachify_open(&config, &instance), CACHIFY_INVALID);
    assert_says("64");
}
END_TEST

START_TEST(a_key_may_be_any_bytes_but_NUL)
{
    char key[2] = "", all[64];
    for (int c = 1; c < 256; c++) {
        key[0] = (char)c;
        assert_ok(take_bytes(key, 1));
    }
    for (int i = 0; i < 64; i++)
        all[i] = (char)(i * 4 + 1);
    assert_ok(take_bytes(all, 64));
    assert_ok(take_bytes("\xff\xfe not UTF-8 \xc0\x80", 0));
    assert_ok(take("\x80", 0, &lease));
    assert_status(take("\x80", 0, &second), CACHIFY_LOCKED);
    assert_ok(take("\x81", 0, &second));
}
END_TEST

/* A length that is given means those bytes, whatever follows them. */
START_TEST(a_key_of_given_length_needs_no_end)
{
    char *key = malloc(3); /* ASan sees a fourth byte read */
    for (unsigned i = 0; i < 3; i++)
        key[i] = "job"[i];
    cachify_lock_t lock = {.key = key, .key_len = 3};
    assert_ok(cachify_acquire(here.cachify, &lock, &lease));
    ck_assert(is_locked("job"));
    free(key);
    assert_status(take("job", 0, &second), CACHIFY_LOCKED);
}
END_TEST

/* ---- Other arguments ---- */

START_TEST(NULL_where_something_is_needed_is_INVALID)
{
    assert_status(cachify_acquire(here.cachify, NULL, &lease), CACHIFY_INVALID);
    assert_says("lock is NULL");
    assert_status(cachify_acquire(here.cachify, &(cachify_lock_t){.key = "a"}, NULL),
                  CACHIFY_INVALID);
    assert_says("lease is NULL");
    assert_status(cachify_is_locked(here.cachify, "a", NULL), CACHIFY_INVALID);
    assert_status(cachify_query(here.cachify, "a", NULL), CACHIFY_INVALID);
    assert_status(cachify_open(&here.config, NULL), CACHIFY_INVALID);
    ck_assert(!cachify_lease_held(NULL));
    ck_assert_uint_eq(cachify_lease_token(NULL), 0);
    ck_assert_int_eq(cachify_lease_remaining_ms(NULL), 0);
    ck_assert_int_eq(cachify_lease_origin(NULL, NULL), CACHIFY_FRESH);
}
END_TEST

START_TEST(a_note_that_is_too_long_or_missing_is_INVALID)
{
    char note[65] = "";
    cachify_lock_t lock = {.key = "a", .value = note, .value_len = 65};
    assert_status(cachify_acquire(here.cachify, &lock, &lease), CACHIFY_INVALID);
    assert_says("65 bytes; expected at most 64");
    lock = (cachify_lock_t){.key = "a", .value_len = 1};
    assert_status(cachify_acquire(here.cachify, &lock, &lease), CACHIFY_INVALID);
    assert_says("value is NULL");
    ck_assert(!is_locked("a"));
}
END_TEST

START_TEST(a_config_out_of_range_is_INVALID_and_says_what)
{
    const struct {
        cachify_config_t config;
        const char *says, *says_too;
    } wrong[] = {
        {{.default_exp_ms = -1}, "default_exp_ms", "-1"},
        {{.default_exp_ms = CACHIFY_MAX_MS + 1}, "default_exp_ms", "3155760000001"},
        {{.poll_interval_ms = -5}, "poll_interval_ms", "-5"},
        {{.poll_interval_ms = INT64_MAX - 1}, "poll_interval_ms", "9223372036854775806"},
        {{.flags = 2}, "flags", "2"},
        {{.flags = 0xffffffff}, "flags", "ffffffff"},
        {{.mode = 010000}, "mode", "10000"},
        {{.max_locks = 6000001}, "max_locks", "6000001"},
        {{.key_max = 4097}, "key_max", "4097"},
        {{.size = 1}, "size 1", "expected"},
        {{.size = sizeof(cachify_config_t) - 1}, "size", "expected"},
    };
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cachify_t *instance = (cachify_t *)(void *)&lease;
        cachify_config_t config = wrong[i].config;
        config.path = here.path;
        assert_status(cachify_open(&config, &instance), CACHIFY_INVALID);
        assert_says(wrong[i].says);
        assert_says(wrong[i].says_too);
        ck_assert_ptr_eq(instance, &lease); /* untouched */
    }
}
END_TEST

/* ---- Option structs of other versions ---- */

/* An option struct, followed by what a later version may have. */
#define LATER(type)                                                                                \
    struct {                                                                                       \
        type known;                                                                                \
        uint64_t later[2];                                                                         \
    }

START_TEST(option_structs_may_be_larger_if_the_rest_is_zero)
{
    LATER(cachify_config_t) config = {.known = here.config};
    LATER(cachify_lock_t) lock = {.known = {.size = sizeof lock, .key = "job"}};
    cachify_t *instance;
    config.known.size = sizeof config;
    assert_ok(cachify_open(&config.known, &instance));
    assert_ok(cachify_acquire(instance, &lock.known, &lease));
    assert_ok(cachify_release(&lease));
    config.later[1] = 1;
    cachify_t *none = NULL;
    assert_status(cachify_open(&config.known, &none), CACHIFY_INVALID);
    assert_says("cachify_config_t");
    ck_assert_ptr_null(none);
    lock.later[0] = 1;
    assert_status(cachify_acquire(instance, &lock.known, &lease), CACHIFY_INVALID);
    assert_says("cachify_lock_t");
    assert_ok(cachify_close(instance));
}
END_TEST

START_TEST(option_structs_may_say_their_own_size_or_none)
{
    cachify_lock_t lock = {.size = sizeof lock, .key = "job"};
    assert_ok(cachify_acquire(here.cachify, &lock, &lease));
    cachify_info_t info = {.size = sizeof info};
    assert_ok(cachify_query(here.cachify, "job", &info));
    ck_assert_uint_eq(info.size, sizeof info);
    ck_assert_uint_eq(info.state, CACHIFY_STATE_HELD);
    lock.size = sizeof lock - 4;
    assert_status(cachify_acquire(here.cachify, &lock, &second), CACHIFY_INVALID);
    assert_says("cachify_lock_t has size");
    info.size = 4;
    assert_status(cachify_query(here.cachify, "job", &info), CACHIFY_INVALID);
    assert_says("cachify_info_t has size 4");
    cachify_origin_t origin = {.size = 4, .how = 77};
    ck_assert_int_eq(cachify_lease_origin(&lease, &origin), CACHIFY_FRESH);
    ck_assert_uint_eq(origin.how, 77); /* too small to be filled */
}
END_TEST

START_TEST(out_parameters_are_untouched_on_failure)
{
    bool locked = true;
    cachify_info_t info, before;
    cachify_lease_t lease_before;
    memset(&info, 0x5a, sizeof info);
    info.size = sizeof info;
    before = info;
    memset(&lease, 0x5a, sizeof lease);
    lease_before = lease;
    assert_status(cachify_is_locked(here.cachify, "", &locked), CACHIFY_INVALID);
    ck_assert(locked);
    assert_status(cachify_query(here.cachify, "", &info), CACHIFY_INVALID);
    ck_assert_mem_eq(&info, &before, sizeof info);
    assert_status(take("", 0, &lease), CACHIFY_INVALID);
    ck_assert_mem_eq(&lease, &lease_before, sizeof lease);
}
END_TEST

/* ---- errno ---- */

#define KEEPS_ERRNO(call)                                                                          \
    do {                                                                                           \
        errno = 77;                                                                                \
        (void)(call);                                                                              \
        ck_assert_msg(errno == 77, "%s set errno to %d", #call, errno);                            \
    } while (0)

START_TEST(errno_is_left_alone)
{
    cachify_t *instance = NULL, *none = NULL;
    cachify_config_t missing = {.path = "/dev/null/nothing"}, directory = {.path = "/tmp"};
    cachify_info_t info = {0};
    bool locked;
    cachify_lock_t wait = {.key = "job", .wait = true, .timeout_ms = 20};
    KEEPS_ERRNO(cachify_open(&missing, &none));
    KEEPS_ERRNO(cachify_open(&directory, &none));
    KEEPS_ERRNO(cachify_open(&here.config, &instance));
    KEEPS_ERRNO(cachify_acquire(instance, &(cachify_lock_t){.key = "job"}, &lease));
    KEEPS_ERRNO(take("job", 0, &second));
    KEEPS_ERRNO(cachify_last_error());
    KEEPS_ERRNO(cachify_acquire(here.cachify, &wait, &second));
    KEEPS_ERRNO(cachify_is_locked(here.cachify, "job", &locked));
    KEEPS_ERRNO(cachify_query(here.cachify, "job", &info));
    KEEPS_ERRNO(cachify_extend(&lease, 1000));
    KEEPS_ERRNO(cachify_lease_held(&lease));
    KEEPS_ERRNO(cachify_close(instance));
    KEEPS_ERRNO(cachify_release(&lease)); /* and with it all of that instance */
    KEEPS_ERRNO(take("", 0, &second));
    KEEPS_ERRNO(cachify_release_key(here.cachify, "job"));
    KEEPS_ERRNO(cachify_init(&here.config));
    KEEPS_ERRNO(cachify_shutdown());
    unlink(here.path);
    EVENTUALLY(take("job", 0, &lease) == CACHIFY_GONE, LONG_MS);
    KEEPS_ERRNO(take("job", 0, &lease));
}
END_TEST

START_TEST(errno_is_left_alone_beside_the_dead)
{
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "job", CACHIFY_NEVER).status);
    agent_kill(agent);
    KEEPS_ERRNO(take("job", 0, &lease));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("error");
    TCase *t = group(s, "texts", setup_here, teardown_here);
    tcase_add_test(t, every_status_has_a_text_of_its_own);
    tcase_add_test(t, statuses_have_their_numbers);
    tcase_add_test(t, the_last_error_is_the_threads_own);
    tcase_add_test(t, the_version_is_three_numbers);
    t = group(s, "keys", setup_here, teardown_here);
    tcase_add_test(t, a_key_that_is_none_is_refused);
    tcase_add_test(t, a_key_with_a_NUL_byte_is_refused);
    tcase_add_test(t, a_key_may_be_as_long_as_key_max_and_is_never_cut);
    tcase_add_test(t, the_prefix_counts_to_the_length_of_a_key);
    tcase_add_test(t, a_key_may_be_any_bytes_but_NUL);
    tcase_add_test(t, a_key_of_given_length_needs_no_end);
    t = group(s, "arguments", setup_here, teardown_here);
    tcase_add_test(t, NULL_where_something_is_needed_is_INVALID);
    tcase_add_test(t, a_note_that_is_too_long_or_missing_is_INVALID);
    tcase_add_test(t, a_config_out_of_range_is_INVALID_and_says_what);
    tcase_add_test(t, option_structs_may_be_larger_if_the_rest_is_zero);
    tcase_add_test(t, option_structs_may_say_their_own_size_or_none);
    tcase_add_test(t, out_parameters_are_untouched_on_failure);
    t = group(s, "errno", setup_here, teardown_here);
    tcase_add_test(t, errno_is_left_alone);
    tcase_add_test(t, errno_is_left_alone_beside_the_dead);
    return run_suite(s);
}
