/* cachify-shm-inspect, run as a process: its table, its JSON, its errors; and its texts. */
#include <stdlib.h>
#include <unistd.h>

#include "../tools/text.h"
#include "agent.h"
#include "json.h"
#include "tool.h"

static cachify_lease_t lease, second;

static void take_bytes(const char *key, const void *note, size_t note_len, cachify_lease_t *to)
{
    cachify_lock_t lock = {
        .key = key, .exp_ms = CACHIFY_NEVER, .value = note, .value_len = (uint32_t)note_len};
    assert_ok(cachify_acquire(here.cachify, &lock, to));
}

/* ---- The table ---- */

START_TEST(table_has_a_line_for_each_lock_oldest_first)
{
    char word[9][64];
    struct agent *agent = agent_start();
    uint64_t token = agent_take(agent, "old", 60000).token;
    int64_t later = now_ms() + 60;
    EVENTUALLY(now_ms() > later, LONG_MS);
    take_bytes("a-newer-one", "a note", 6, &lease);
    RUN_HERE("--noheadings");
    ck_assert_uint_eq(ran.lines, 2);
    ck_assert_int_eq(sscanf(ran.line[0], "%63s %63s %63s %63s %63s %63s %63s %63s %63s", word[0],
                            word[1], word[2], word[3], word[4], word[5], word[6], word[7], word[8]),
                     9);
    ck_assert_str_eq(word[0], "old");
    ck_assert_str_eq(word[1], "held");
    ck_assert_int_eq(atol(word[2]), agent->pid);
    ck_assert_ptr_nonnull(strchr(word[4], '.'));
    ck_assert_uint_eq(strtoull(word[6], NULL, 10), token);
    ck_assert_str_eq(word[7], "0");
    ck_assert_str_eq(word[8], "-");
    ck_assert_ptr_eq(strstr(ran.line[1], "a-newer-one"), ran.line[1]);
    ck_assert_ptr_nonnull(strstr(ran.line[1], " never "));
    ck_assert_ptr_nonnull(strstr(ran.line[1], " 0 a note"));
}
END_TEST

START_TEST(table_is_aligned_under_its_headings)
{
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "job", 60000).status);
    take_bytes("a-job-with-a-longer-name", NULL, 0, &lease);
    RUN("--path", here.path);
    ck_assert_uint_eq(ran.lines, 3);
    ck_assert_ptr_eq(strstr(ran.line[0], "KEY "), ran.line[0]);
    for (const char *heading = "STATE\0NOTE\0"; *heading != '\0'; heading += strlen(heading) + 1) {
        const char *at = strstr(ran.line[0], heading);
        ck_assert_ptr_nonnull(at);
        for (unsigned i = 0; i < 3; i++) {
            ck_assert_int_eq(ran.line[i][at - ran.line[0] - 1], ' ');
            ck_assert_int_ne(ran.line[i][at - ran.line[0]], ' ');
        }
    }
}
END_TEST

START_TEST(table_of_nothing_is_its_headings)
{
    RUN("--path", here.path);
    ck_assert_int_eq(ran.status, 0);
    ck_assert_uint_eq(ran.lines, 1);
    RUN_HERE("-n");
    ck_assert_str_eq(ran.out, "");
}
END_TEST

START_TEST(table_says_expired_and_dead)
{
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "dead", 60000).status);
    assert_ok(take("over", 1, &lease));
    agent_kill(agent);
    EVENTUALLY(!is_locked("over"), LONG_MS);
    RUN_HERE("-n");
    ck_assert_ptr_nonnull(strstr(ran.out, " owner-dead "));
    ck_assert_ptr_nonnull(strstr(ran.out, " expired "));
    ck_assert_ptr_nonnull(strstr(ran.out, " 0.000s "));
}
END_TEST

START_TEST(table_counts_waiters)
{
    struct agent *agent = agent_start();
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    ck_assert_int_eq(agent_wait(agent, "job", 0, 0).verdict, WOULD_BLOCK);
    RUN_HERE("-J");
    ck_assert_ptr_nonnull(strstr(ran.out, "\"waiters\": 1,"));
}
END_TEST

START_TEST(table_lets_nothing_at_the_terminal)
{
    take_bytes("\x1b[2J\n\xff\x7f\\x41\\\xc2\x9b", "\xe2\x80\xae\t", 4, &lease);
    take_bytes("gr\xc3\xbc\xc3\x9f", NULL, 0, &second);
    RUN_HERE("-n");
    ck_assert_uint_eq(ran.lines, 2);
    ck_assert_ptr_nonnull(strstr(ran.out, "\\x1b[2J\\x0a\\xff\\x7f\\x5cx41\\\\xc2\\x9b "));
    ck_assert_ptr_nonnull(strstr(ran.out, " \\xe2\\x80\\xae\\x09\n"));
    ck_assert_ptr_nonnull(strstr(ran.out, "gr\xc3\xbc\xc3\x9f "));
}
END_TEST

/* ---- JSON ---- */

START_TEST(json_has_typed_fields)
{
    char number[PATH_ROOM + 2];
    size_t len;
    take_bytes("job", "17 of 20", 8, &lease);
    RUN_HERE("--json");
    assert_json();
    const char *object = object_in(3);
    assert_member(object, "key", "\"job\"");
    assert_member(object, "state", "\"held\"");
    snprintf(number, sizeof number, "%d", (int)getpid());
    assert_member(object, "pid", number);
    assert_member(object, "left_ms", "null");
    snprintf(number, sizeof number, "\"%llu\"", (unsigned long long)cachify_lease_token(&lease));
    assert_member(object, "token", number);
    assert_member(object, "waiters", "0");
    assert_member(object, "note", "\"17 of 20\"");
    ck_assert_ptr_null(json_member(object, "key_hex", &len));
    const char *held = json_member(object, "held_ms", &len);
    ck_assert_int_lt(atol(held), LONG_MS);
    snprintf(number, sizeof number, "\"%s\"", here.path);
    assert_member(ran.out, "segment", number);
}
END_TEST

START_TEST(json_of_nothing_is_an_empty_list)
{
    RUN_HERE("-J");
    assert_json();
    assert_member(ran.out, "locks", "[]");
}
END_TEST

START_TEST(json_is_valid_for_any_bytes_and_says_them_exactly)
{
    uint64_t state = seed();
    for (unsigned i = rounds(60); i > 0; i--) {
        char key[64], note[64];
        size_t len = 1 + chance(&state) % 63, note_len = 1 + chance(&state) % 64;
        /* Half of the time from few bytes, so that characters of more than one come about. */
        const char few[] = "a\"\\\n\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80/\x7f";
        for (size_t at = 0; at < 64; at++) {
            key[at] = (char)(i % 2 != 0 ? 1 + (int)(chance(&state) % 255)
                                        : few[chance(&state) % (sizeof few - 1)]);
            note[at] = (char)chance(&state);
        }
        key[len] = '\0';
        take_bytes(key, note, note_len, &lease);
        RUN_HERE("-J");
        assert_json();
        assert_bytes(object_in(3), "key", key, len);
        assert_bytes(object_in(3), "note", note, note_len);
        assert_ok(cachify_release(&lease));
    }
}
END_TEST

/* ---- Looking only ---- */

START_TEST(it_changes_nothing_and_registers_nothing)
{
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "dead", 0).status);
    agent_kill(agent);
    assert_ok(take("job", 0, &lease));
    uint8_t *before = malloc(here.m->size);
    ck_assert_ptr_nonnull(before);
    memcpy(before, here.m->base, here.m->size);
    RUN_HERE("-J");
    ck_assert_uint_eq(ran.lines, 7);
    ck_assert_mem_eq(here.m->base, before, here.m->size);
    free(before);
}
END_TEST

/* ---- Calling it ---- */

START_TEST(wrong_calls_are_64_and_named)
{
    RUN("--unknown");
    assert_fails(64, "--unknown");
    RUN("-x");
    assert_fails(64, "-x");
    RUN("--json=3");
    assert_fails(64, "--json=3");
    RUN("--path");
    assert_fails(64, "--path needs an argument");
    RUN("-J", "something");
    assert_fails(64, "something");
    RUN("--name", "a", "--path", "b");
    assert_fails(64, "both --name a and --path b");
    ck_assert_ptr_nonnull(strstr(ran.error, "--help"));
    RUN("--waiters", "--check");
    assert_fails(64, "both --check and --waiters");
}
END_TEST

START_TEST(what_is_no_segment_is_1_and_named)
{
    char path[PATH_ROOM];
    new_path(path);
    RUN("--path", path);
    assert_fails(1, path);
    RUN("--name", path + strlen("/dev/shm/"));
    assert_fails(1, path);
    RUN("--name", "a/b");
    assert_fails(1, "a/b");
    RUN("--path", "/dev/shm");
    assert_fails(1, "is a directory");
    RUN("--path", "/proc/self/exe");
    assert_fails(1, "symbolic link");
    ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(a_list_that_cannot_be_written_is_1)
{
    take_bytes("job", NULL, 0, &lease);
    run_to("/dev/full", (char *[]){"cachify-shm-inspect", "--path", here.path, NULL});
    assert_fails(1, "cannot write");
}
END_TEST

START_TEST(name_is_a_file_in_dev_shm)
{
    take_bytes("job", NULL, 0, &lease);
    RUN("--name", here.path + strlen("/dev/shm/"), "-n");
    ck_assert_int_eq(ran.status, 0);
    ck_assert_uint_eq(ran.lines, 1);
}
END_TEST

START_TEST(help_fits_a_screen)
{
    RUN("-h");
    ck_assert_int_eq(ran.status, 0);
    ck_assert_uint_le(ran.lines, 24);
    for (unsigned i = 0; i < ran.lines; i++)
        ck_assert_msg(strlen(ran.line[i]) <= 79, "too wide: %s", ran.line[i]);
    RUN("-V");
    ck_assert_int_eq(ran.status, 0);
    ck_assert_ptr_nonnull(strstr(ran.out, cachify_version()));
}
END_TEST

static char manual[TOOL_ROOM];

static void assert_in_manual(const char *format, const char *word)
{
    char expected[64];
    snprintf(expected, sizeof expected, format, word);
    ck_assert_msg(strstr(manual, expected) != NULL, "the manual lacks %s", expected);
}

/* Each option of the help that was printed is in the manual; how many. */
static unsigned options_in_manual(void)
{
    char word[32];
    unsigned found = 0;
    for (unsigned i = 0; i < ran.lines; i++)
        for (const char *at = ran.line[i]; (at = strstr(at, " --")) != NULL; at += 3) {
            ck_assert_int_eq(sscanf(at, " --%31s", word), 1);
            word[strcspn(word, "[")] = '\0';
            assert_in_manual("Fl Fl %s\n", word);
            found++;
        }
    return found;
}

/* Its columns, each under a heading of its own. */
static void assert_columns_in_manual(unsigned count)
{
    char word[32];
    ck_assert_uint_eq(ran.lines, 1 + count);
    for (unsigned i = 1; i < ran.lines; i++) {
        ck_assert_int_eq(sscanf(ran.line[i], "%31s", word), 1);
        assert_in_manual(".It Cm %s\n", word);
    }
}

START_TEST(the_manual_has_what_the_help_has)
{
    tool_read_source("tools/cachify-shm-inspect.1", manual, sizeof manual);
    char *at = manual; /* arguments are on the line of their option */
    while ((at = strstr(at, " Ar ")) != NULL)
        *at = '\n';
    RUN("--help");
    ck_assert_uint_eq(options_in_manual(), 32);
    RUN("-H");
    assert_columns_in_manual(11);
    RUN("-H", "--waiters-list");
    assert_columns_in_manual(9);
    RUN("-H", "--waiters");
    assert_columns_in_manual(10);
    RUN("-H", "--processes");
    assert_columns_in_manual(11);
    RUN("-H", "--watch");
    assert_columns_in_manual(11);
    RUN("-H", "--stats");
    assert_columns_in_manual(5);
}
END_TEST

/* ---- Its texts ---- */

static void assert_duration(int64_t ms, const char *expected)
{
    struct text t = {0};
    text_duration(&t, ms);
    text_fill(&t, '\0', 1);
    ck_assert_str_eq(t.bytes, expected);
    text_free(&t);
}

START_TEST(times_are_for_people)
{
    assert_duration(0, "0.000s");
    assert_duration(1234, "1.234s");
    assert_duration(59999, "59.999s");
    assert_duration(60000, "1m00s");
    assert_duration(302000, "5m02s");
    assert_duration(3599999, "59m59s");
    assert_duration(11220000, "3h07m");
    assert_duration(86400000, "1d00h");
    assert_duration(CACHIFY_MAX_MS, "36525d00h");
    assert_duration(CACHIFY_NEVER, "never");
}
END_TEST

START_TEST(utf8_is_told_from_other_bytes)
{
    const char *const good[] = {"",
                                "a",
                                "\xc2\x80",
                                "\xe0\xa0\x80",
                                "\xed\x9f\xbf",
                                "\xf0\x90\x80\x80",
                                "\xf4\x8f\xbf\xbf"};
    const char *const bad[] = {"\x80",
                               "\xc0\x80",
                               "\xc1\xbf",
                               "\xc3",
                               "\xe0\x9f\xbf",
                               "\xed\xa0\x80",
                               "\xe2\x82",
                               "\xf0\x8f\xbf\xbf",
                               "\xf4\x90\x80\x80",
                               "\xf5\x80\x80\x80",
                               "\xff",
                               "\xc3\xc3"};
    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert_msg(utf8_valid(good[i], strlen(good[i])), "good %u", i);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!utf8_valid(bad[i], strlen(bad[i])), "bad %u", i);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("inspect, the tool");
    TCase *t = group(s, "table", setup_here, teardown_here);
    tcase_add_test(t, table_has_a_line_for_each_lock_oldest_first);
    tcase_add_test(t, table_is_aligned_under_its_headings);
    tcase_add_test(t, table_of_nothing_is_its_headings);
    tcase_add_test(t, table_says_expired_and_dead);
    tcase_add_test(t, table_counts_waiters);
    tcase_add_test(t, table_lets_nothing_at_the_terminal);
    t = group(s, "JSON", setup_here, teardown_here);
    tcase_add_test(t, json_has_typed_fields);
    tcase_add_test(t, json_of_nothing_is_an_empty_list);
    tcase_add_test(t, json_is_valid_for_any_bytes_and_says_them_exactly);
    t = group(s, "calls", setup_here, teardown_here);
    tcase_add_test(t, it_changes_nothing_and_registers_nothing);
    tcase_add_test(t, wrong_calls_are_64_and_named);
    tcase_add_test(t, what_is_no_segment_is_1_and_named);
    tcase_add_test(t, a_list_that_cannot_be_written_is_1);
    tcase_add_test(t, name_is_a_file_in_dev_shm);
    tcase_add_test(t, help_fits_a_screen);
    tcase_add_test(t, the_manual_has_what_the_help_has);
    t = group(s, "texts", NULL, NULL);
    tcase_add_test(t, times_are_for_people);
    tcase_add_test(t, utf8_is_told_from_other_bytes);
    return run_suite(s);
}
