/* What the caller gives: URLs, options; refused with what is wrong, and without the password.  And
 * the value under a key. */
#include <stdlib.h>

#include "redis/settings.h"
#include "redis/value.h"
#include "support.h"

static struct cr_settings s;

static cachify_status_t make(const char *url)
{
    return cr_settings_make(&s, url, NULL);
}

#define assert_same(a, b)                                                                          \
    do {                                                                                           \
        const char *a_ = (a), *b_ = (b);                                                           \
        ck_assert_msg((a_ == NULL) == (b_ == NULL) && (a_ == NULL || strcmp(a_, b_) == 0),         \
                      "%s is %s, expected %s", #a, a_ != NULL ? a_ : "NULL",                       \
                      b_ != NULL ? b_ : "NULL");                                                   \
    } while (0)

START_TEST(urls_are_read)
{
    static const struct {
        const char *url, *host, *path, *user, *password, *address;
        uint32_t port, database;
    } cases[] = {
        {NULL, "localhost", NULL, NULL, NULL, "localhost:6379", 6379, 0},
        {"redis://", "localhost", NULL, NULL, NULL, "localhost:6379", 6379, 0},
        {"redis://h", "h", NULL, NULL, NULL, "h:6379", 6379, 0},
        {"redis://h:77/", "h", NULL, NULL, NULL, "h:77", 77, 0},
        {"redis://h/5", "h", NULL, NULL, NULL, "h:6379", 6379, 5},
        {"redis://h?db=5", "h", NULL, NULL, NULL, "h:6379", 6379, 5},
        {"redis://u:p@h:1/2", "h", NULL, "u", "p", "h:1", 1, 2},
        {"redis://u@h", "h", NULL, "u", NULL, "h:6379", 6379, 0},
        {"redis://:p@h", "h", NULL, NULL, "p", "h:6379", 6379, 0},
        {"redis://u:p:q@h", "h", NULL, "u", "p:q", "h:6379", 6379, 0},
        {"redis://u:p@q@h", "h", NULL, "u", "p@q", "h:6379", 6379, 0},
        {"redis://a%40b:%2f%3F%25@h", "h", NULL, "a@b", "/?%", "h:6379", 6379, 0},
        {"redis://[::1]:7/3", "::1", NULL, NULL, NULL, "[::1]:7", 7, 3},
        {"redis://[fe80::1]", "fe80::1", NULL, NULL, NULL, "[fe80::1]:6379", 6379, 0},
        {"unix:///a/b", NULL, "/a/b", NULL, NULL, "/a/b", 6379, 0},
        {"unix:///a%20b?db=4", NULL, "/a b", NULL, NULL, "/a b", 6379, 4},
        {"unix://u:p@/a@b", NULL, "/a@b", "u", "p", "/a@b", 6379, 0},
        {"redis+unix:///a", NULL, "/a", NULL, NULL, "/a", 6379, 0},
        {"redis-socket://:p@/a", NULL, "/a", NULL, "p", "/a", 6379, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_ok(make(cases[i].url));
        assert_same(s.host, cases[i].host);
        assert_same(s.path, cases[i].path);
        assert_same(s.user, cases[i].user);
        assert_same(s.password, cases[i].password);
        assert_same(s.address, cases[i].address);
        ck_assert_uint_eq(s.port, cases[i].port);
        ck_assert_uint_eq(s.database, cases[i].database);
        cr_settings_free(&s);
    }
}
END_TEST

START_TEST(urls_that_are_none_are_INVALID_and_say_no_password)
{
    static const char *const urls[] = {
        "",
        "s3cret",
        "http://u:s3cret@h",
        "u:s3cret@h",
        "redis:/u:s3cret@h",
        "redis://u:s3cret@h:port",
        "redis://u:s3cret", /* its host forgotten */
        "redis://u:s3cret@h/x",
        "redis://u:s3cret/x@h",
        "redis://u:s3cret?x@h",
        "redis://u:s3cret#x@h",
        "redis://u:s3cret@[::1",
        "redis://u:s3cret@[::1]x",
        "redis://u:s3cret@h:65536",
        "redis://u:s3cret%@h",
        "redis://u:s3cret%0x@h",
        "redis://u:s3cret%00@h",
        "redis://u:s3cret@h?db=x",
        "redis://u:s3cret@h?db=-1",
        "redis://u:s3cret@h?unknown=1",
        "redis://u:s3cret@h?password=s3cret",
        "redis://u:s3cret@h?connect_timeout_ms=99999999",
        "redis://u:s3cret@h?max_connections=1025",
        "unix://u:s3cret@",
        "unix://u:s3cret@a/b",
        "unix://relative",
#ifndef CR_TLS
        "rediss://u:s3cret@h",
#endif
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        cachify_report(CACHIFY_SYSTEM, "nothing");
        cachify_status_t status = make(urls[i]);
        ck_assert_msg(status == CACHIFY_INVALID, "%s is %s", urls[i], status_name(status));
        ck_assert_msg(strstr(cachify_last_error(), "s3cret") == NULL, "%s: %s", urls[i],
                      cachify_last_error());
        ck_assert_str_ne(cachify_last_error(), "nothing");
    }
}
END_TEST

START_TEST(options_come_before_the_url)
{
    cachify_redis_options_t o = {.password = "mine", .port = 5, .command_timeout_ms = 7};
    assert_ok(cr_settings_make(&s, "redis://u:theirs@h:9/1?command_timeout_ms=8", &o));
    assert_same(s.password, "mine");
    assert_same(s.user, "u");
    ck_assert_uint_eq(s.port, 5);
    ck_assert_uint_eq(s.database, 1);
    ck_assert_uint_eq(s.command_ns, 7000000);
    ck_assert_uint_eq(s.max_connections, 16);
    cr_settings_free(&s);
    o = (cachify_redis_options_t){.path = "/a"};
    assert_ok(cr_settings_make(&s, "redis://h", &o));
    assert_same(s.address, "/a");
    cr_settings_free(&s);
}
END_TEST

START_TEST(options_that_are_none_are_INVALID)
{
    cachify_client_t client;
    struct {
        cachify_redis_options_t o;
        uint64_t more;
    } newer = {.o = {.size = sizeof newer}};
    cachify_redis_options_t bad[] = {
        {.size = 8},
        {.port = 65536},
        {.flags = 2},
        {.command_timeout_ms = -1},
        {.host = "h", .path = "/a"},
        {.max_connections = 5000},
        {.path = "a"},
        {.connect_timeout_ms = CACHIFY_NEVER},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_status(cachify_redis_client(NULL, &bad[i], &client), CACHIFY_INVALID);
    assert_status(cachify_redis_client(NULL, NULL, NULL), CACHIFY_INVALID);
    assert_ok(cr_settings_make(&s, NULL, &newer.o));
    cr_settings_free(&s);
    newer.more = 1;
    assert_status(cr_settings_make(&s, NULL, &newer.o), CACHIFY_INVALID);
    cachify_redis_options_init(&newer.o);
    ck_assert_uint_eq(newer.o.size, sizeof newer.o);
    cachify_redis_options_init(NULL);
}
END_TEST

/* ---- Values ---- */

static const char stamps[] = "0000000000000006 0000000000000007"; /* as the script fills in */

static size_t written(char *value, const char *note, size_t note_len)
{
    struct cr_holder h = {.client = {1, 2},
                          .number = 3,
                          .pid = 4,
                          .thread = 5,
                          .host = "host",
                          .command = "command",
                          .note = note,
                          .note_len = note_len};
    size_t len = cr_value_write(value, &h);
    memcpy(value + CR_HEAD_LEN, stamps, sizeof stamps - 1);
    return len;
}

START_TEST(values_are_read_as_written_and_cut_ones_too)
{
    static char value[CR_VALUE_MAX], note[CR_NOTE_MAX];
    struct cr_holder h;
    memset(note, '\n', sizeof note);
    for (size_t n = 0; n <= sizeof note; n += n < 3 ? 1 : 1021) {
        size_t len = written(value, note, n);
        ck_assert(cr_value_read(value, len, &h));
        ck_assert_uint_eq(h.number, 3);
        ck_assert_uint_eq(h.token, 6);
        ck_assert_int_eq(h.since, 7);
        ck_assert_int_eq(h.pid, 4);
        ck_assert_str_eq(h.command, "command");
        ck_assert_uint_eq(h.note_len, n);
        ck_assert(n == 0 || memcmp(h.note, note, n) == 0);
    }
    size_t len = written(value, note, 100);
    for (size_t cut = 0; cut < len; cut++) {
        char *copy = malloc(cut + 1); /* checkers see a byte too many */
        memcpy(copy, value, cut);
        if (cr_value_read(copy, cut, &h))
            ck_assert_uint_le((size_t)(h.note - copy) + h.note_len, cut);
        free(copy);
    }
}
END_TEST

START_TEST(any_bytes_are_a_value_of_which_little_is_known)
{
    static char value[CR_VALUE_MAX];
    uint64_t state = seed();
    struct cr_holder h;
    cachify_info_t info;
    for (unsigned i = 0; i < 20000; i++) {
        size_t len = written(value, "note", 4);
        for (unsigned j = 0; j < 3; j++)
            value[chance(&state) % len] = (char)chance(&state);
        char *copy = malloc(len);
        memcpy(copy, value, len);
        if (cr_value_read(copy, len, &h))
            ck_assert_uint_le((size_t)(h.note - copy) + h.note_len, len);
        cr_value_describe(&info, copy, len, 5, 5);
        ck_assert_int_eq(info.state, CACHIFY_STATE_HELD);
        free(copy);
    }
    cr_value_describe(&info, "\x80\x04K\x01.", 5, -1, 0); /* Python's */
    ck_assert_int_eq(info.pid, 0);
    ck_assert_uint_eq(info.value_len, 0);
    ck_assert_int_eq(info.remaining_ms, CACHIFY_NEVER);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis: settings");
    TCase *given = group(suite, "given", NULL, NULL);
    tcase_add_test(given, urls_are_read);
    tcase_add_test(given, urls_that_are_none_are_INVALID_and_say_no_password);
    tcase_add_test(given, options_come_before_the_url);
    tcase_add_test(given, options_that_are_none_are_INVALID);
    TCase *values = group(suite, "values", NULL, NULL);
    tcase_add_test(values, values_are_read_as_written_and_cut_ones_too);
    tcase_add_test(values, any_bytes_are_a_value_of_which_little_is_known);
    return run_suite(suite);
}
