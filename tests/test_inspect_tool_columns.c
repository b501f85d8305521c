/* cachify-shm-inspect's columns: which are shown, in which order, and of which locks. */
#include <stdlib.h>

#include "../tools/duration.h"
#include "agent.h"
#include "json.h"
#include "tool.h"

static cachify_lease_t leases[4];

/* Four locks: a note and no expiry, ten seconds, an hour, expired. */
static void take_four(void)
{
    cachify_lock_t lock = {
        .key = "delta one", .exp_ms = CACHIFY_NEVER, .value = "a note", .value_len = 6};
    assert_ok(cachify_acquire(here.cachify, &lock, &leases[0]));
    int64_t later = now_ms() + 5;
    EVENTUALLY(now_ms() > later, LONG_MS);
    assert_ok(take("bravo", 10000, &leases[1]));
    assert_ok(take("alpha", 3600000, &leases[2]));
    assert_ok(take("charlie", 1, &leases[3]));
    EVENTUALLY(!is_locked("charlie"), LONG_MS);
}

static void assert_out(const char *expected)
{
    ck_assert_str_eq(ran.out, expected);
}

/* ---- Which columns ---- */

START_TEST(output_shows_these_columns_in_this_order)
{
    take_four();
    RUN_HERE("-o", "STATE,KEY", "--sort", "KEY");
    assert_out("STATE   KEY\n"
               "held    alpha\n"
               "held    bravo\n"
               "expired charlie\n"
               "held    delta one\n");
    RUN_HERE("--output=key,Note", "-n", "--key", "delta*");
    assert_out("delta one a note\n");
}
END_TEST

START_TEST(output_plus_adds_columns)
{
    RUN_HERE("-o", "+THREAD,SEGMENT");
    assert_out("KEY STATE PID COMMAND HELD LEFT TOKEN WAITERS NOTE THREAD SEGMENT\n");
    RUN_HERE("-W", "-o", "+SEGMENT");
    assert_out("KEY PID THREAD COMMAND WAITED LOOP HOLDER HOLDER-COMMAND SEGMENT\n");
}
END_TEST

START_TEST(output_all_shows_every_column)
{
    RUN_HERE("--output-all");
    assert_out("KEY STATE PID COMMAND HELD LEFT TOKEN WAITERS NOTE THREAD SEGMENT\n");
}
END_TEST

START_TEST(a_column_that_is_not_there_is_an_error_that_lists_them)
{
    RUN("-o", "KEY,NOSUCH");
    assert_fails(64, "no column \"NOSUCH\" of locks; expected some of: KEY, STATE, PID, COMMAND, "
                     "HELD, LEFT, TOKEN, WAITERS, NOTE, THREAD, SEGMENT\n");
    RUN("-W", "--sort", "-LEFT");
    assert_fails(64, "no column \"LEFT\" of waiters; expected some of: KEY, PID, THREAD");
    RUN("-o", "");
    assert_fails(64, "no column \"\"");
    RUN("-o", "KEY,");
    assert_fails(64, "no column \"\"");
}
END_TEST

START_TEST(list_columns_says_what_there_is)
{
    RUN("-H");
    ck_assert_int_eq(ran.status, 0);
    ck_assert_uint_eq(ran.lines, 12);
    ck_assert_str_eq(ran.line[0], "COLUMN         TYPE   USUAL CONTENT");
    ck_assert_ptr_eq(strstr(ran.line[1], "KEY            bytes  yes   the lock's name"),
                     ran.line[1]);
    ck_assert_ptr_nonnull(strstr(ran.out, "SEGMENT        bytes  no "));
}
END_TEST

/* ---- In which order ---- */

START_TEST(sort_is_by_any_column_both_ways)
{
    take_four();
    RUN_HERE("-n", "-o", "KEY", "--sort", "-KEY");
    assert_out("delta one\ncharlie\nbravo\nalpha\n");
    RUN_HERE("-n", "-o", "KEY", "--sort", "LEFT");
    assert_out("charlie\nbravo\nalpha\ndelta one\n");
    RUN_HERE("-n", "-o", "KEY", "--sort=-left");
    assert_out("delta one\nalpha\nbravo\ncharlie\n");
    RUN_HERE("-n", "-o", "KEY", "--sort", "-NOTE"); /* falling: what has none comes last */
    ck_assert_str_eq(ran.line[0], "delta one");
}
END_TEST

/* ---- Forms ---- */

START_TEST(raw_has_one_blank_between_cells_and_none_in_them)
{
    take_four();
    assert_ok(cachify_release(&leases[1]));
    assert_ok(take("-", 10000, &leases[1]));
    RUN_HERE("--raw", "-o", "KEY,NOTE,STATE", "--sort", "KEY");
    assert_out("KEY NOTE STATE\n"
               "\\x2d - held\n"
               "alpha - held\n"
               "charlie - expired\n"
               "delta\\x20one a\\x20note held\n");
}
END_TEST

START_TEST(notruncate_changes_nothing)
{
    take_four();
    RUN_HERE("-o", "KEY,STATE,NOTE", "--sort", "KEY"); /* HELD may be the same */
    char *before = strdup(ran.out);
    ck_assert_ptr_nonnull(before);
    RUN_HERE("-u", "-o", "KEY,STATE,NOTE", "--sort", "KEY");
    assert_out(before);
    free(before);
}
END_TEST

START_TEST(json_has_the_chosen_fields_and_the_version)
{
    char expected[512];
    take_four();
    RUN_HERE("-J", "-o", "KEY,LEFT,NOTE", "--key", "delta*");
    snprintf(expected, sizeof expected,
             "{\"version\": 1,\n"
             "   \"segment\": \"%s\",\n"
             "   \"locks\": [\n"
             "      {\"key\": \"delta one\", \"left_ms\": null, \"note\": \"a note\"}\n"
             "   ]\n"
             "}\n",
             here.path);
    assert_out(expected);
    assert_json();
}
END_TEST

/* ---- Which rows ---- */

START_TEST(key_is_a_pattern)
{
    take_four();
    RUN_HERE("-n", "-o", "KEY", "--sort", "KEY", "--key", "[ab]*");
    assert_out("alpha\nbravo\n");
    RUN_HERE("-n", "-o", "KEY", "--key", "bravo");
    assert_out("bravo\n");
    RUN_HERE("-n", "-o", "KEY", "--key", "brav");
    assert_out("");
}
END_TEST

START_TEST(state_is_a_list)
{
    take_four();
    RUN_HERE("-n", "-o", "KEY", "--state", "expired");
    assert_out("charlie\n");
    RUN_HERE("-n", "-o", "KEY", "--state", "owner-dead,expired");
    assert_out("charlie\n");
    RUN_HERE("-n", "-o", "KEY", "--sort", "KEY", "--state", "held");
    assert_out("alpha\nbravo\ndelta one\n");
    RUN("--state", "held,lost");
    assert_fails(64, "no state \"lost\" of locks; expected some of: held, expired, owner-dead");
    RUN("-W", "--state", "held");
    assert_fails(64, "--state is given, but the view of waiters has nothing");
}
END_TEST

START_TEST(pid_is_of_the_holder)
{
    char number[16];
    struct agent *agent = agent_start();
    take_four();
    assert_ok(agent_take(agent, "its", 0).status);
    snprintf(number, sizeof number, "%d", (int)agent->pid);
    RUN_HERE("-n", "-o", "KEY", "--pid", number);
    assert_out("its\n");
    RUN("--pid", "0");
    assert_fails(64, "--pid is \"0\"; expected the number of a process");
    RUN("--pid", "12x");
    assert_fails(64, "--pid is \"12x\"");
}
END_TEST

START_TEST(older_and_expiring_are_times)
{
    take_four();
    RUN_HERE("-n", "-o", "KEY", "--expiring", "10s");
    assert_out("bravo\n");
    RUN_HERE("-n", "-o", "KEY", "--sort", "KEY", "--expiring", "1.5h");
    assert_out("alpha\nbravo\n");
    RUN_HERE("-n", "-o", "KEY", "--older", "1h");
    assert_out("");
    RUN_HERE("-n", "-o", "KEY", "--sort", "KEY", "--older", "0");
    assert_out("alpha\nbravo\ncharlie\ndelta one\n");
    RUN("--older", "soon");
    assert_fails(64, "--older is \"soon\"; expected a duration such as 30, 1.5s, 250ms");
    RUN("-W", "--expiring", "1s");
    assert_fails(64, "--expiring is given, but the view of waiters has nothing");
}
END_TEST

START_TEST(filters_all_apply)
{
    take_four();
    RUN_HERE("-n", "-o", "KEY", "--key", "*a*", "--state", "held", "--expiring", "1m");
    assert_out("bravo\n");
}
END_TEST

START_TEST(waiters_are_filtered_too)
{
    take_four();
    agent_in_line("alpha");
    struct agent *agent = agent_in_line("bravo");
    char number[16], line[64];
    snprintf(number, sizeof number, "%d", (int)agent->pid);
    snprintf(line, sizeof line, "bravo %s\n", number);
    RUN_HERE("-Wn", "-o", "KEY,PID", "--key", "b*");
    assert_out(line);
    RUN_HERE("-Wn", "-o", "KEY,PID", "--pid", number);
    assert_out(line);
    RUN_HERE("-Wn", "--older", "1h");
    assert_out("");
}
END_TEST

/* ---- Times ---- */

static void assert_time(const char *text, int64_t expected)
{
    int64_t ms = -1;
    ck_assert_msg(duration_parse(text, &ms), "no time: %s", text);
    ck_assert_int_eq(ms, expected);
}

START_TEST(times_are_numbers_with_units)
{
    assert_time("10", 10000);
    assert_time("250ms", 250);
    assert_time("10s", 10000);
    assert_time("5m", 300000);
    assert_time("1.5h", 5400000);
    assert_time("2d", 172800000);
    assert_time("5m02s", 302000);
    assert_time("1h30m", 5400000);
    assert_time(".5", 500);
    assert_time("0", 0);
    const char *const bad[] = {"", "s", "5x", "-1", "1.5.2", "1 s", "m5", ".", "99999999d", "1e3"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!duration_parse(bad[i], &(int64_t){0}), "a time: %s", bad[i]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("inspect, the tool's columns");
    TCase *t = group(s, "columns", setup_here, teardown_here);
    tcase_add_test(t, output_shows_these_columns_in_this_order);
    tcase_add_test(t, output_plus_adds_columns);
    tcase_add_test(t, output_all_shows_every_column);
    tcase_add_test(t, a_column_that_is_not_there_is_an_error_that_lists_them);
    tcase_add_test(t, list_columns_says_what_there_is);
    tcase_add_test(t, sort_is_by_any_column_both_ways);
    t = group(s, "forms", setup_here, teardown_here);
    tcase_add_test(t, raw_has_one_blank_between_cells_and_none_in_them);
    tcase_add_test(t, notruncate_changes_nothing);
    tcase_add_test(t, json_has_the_chosen_fields_and_the_version);
    t = group(s, "filters", setup_here, teardown_here);
    tcase_add_test(t, key_is_a_pattern);
    tcase_add_test(t, state_is_a_list);
    tcase_add_test(t, pid_is_of_the_holder);
    tcase_add_test(t, older_and_expiring_are_times);
    tcase_add_test(t, filters_all_apply);
    tcase_add_test(t, waiters_are_filtered_too);
    tcase_add_test(t, times_are_numbers_with_units);
    return run_suite(s);
}
