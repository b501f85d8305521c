/* cachify-lock: its arguments and statuses, what the command and others are told, and questions. */
/* NOLINTBEGIN(bugprone-suspicious-missing-comma): a command may go over several literals. */
#include <stdlib.h>
#include <unistd.h>

#include "agent.h"
#include "lock_tool.h"

static cachify_lease_t lease;

static void teardown(void)
{
    lock_teardown();
    teardown_here();
}

/* ---- Statuses ---- */

START_TEST(status_is_the_commands)
{
    LOCK("job", "--", "true");
    assert_ran(0, "", "");
    LOCK("job", SHELL("echo done; exit 7"));
    assert_ran(7, "done\n", "");
    LOCK("job", SHELL("kill -KILL $$"));
    assert_ran(128 + 9, "", "");
    LOCK("job", "-c", "echo $0; exit 3");
    assert_ran(3, "/bin/sh\n", "");
    ck_assert(!is_locked("job"));
}
END_TEST

START_TEST(status_is_a_shells_where_the_command_cannot_be_run)
{
    LOCK("job", "--", "no-such-program-anywhere");
    assert_ran(127, "", "cannot run \"no-such-program-anywhere\": No such file");
    LOCK("job", "--", "/dev/null");
    assert_ran(126, "", "cannot run \"/dev/null\": Permission denied");
    ck_assert(!is_locked("job"));
}
END_TEST

START_TEST(status_of_conflict_is_1_or_what_was_asked)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    LOCK("job", "-n", "--", "echo", "no");
    assert_ran(1, "", "");
    LOCK("job", "--wait", "0", "-E", "0", "--", "echo", "no");
    assert_ran(0, "", "");
    int64_t began = now_ms();
    LOCK("job", "-w", ".15", "-E", "99", "--", "echo", "no");
    ck_assert_int_ge(now_ms() - began, 150);
    assert_ran(99, "", "");
    LOCK("--nonblock", "--verbose", "job", "echo", "no");
    assert_ran(1, "", "job is already locked! Held by process ");
    ck_assert(cachify_lease_held(&lease));
}
END_TEST

START_TEST(status_of_failures_is_of_sysexits)
{
    char path[PATH_ROOM], key[80];
    new_path(path);
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    fputs("this is no segment, but a text that somebody wrote and may want to keep", file);
    fclose(file);
    lock_end(lock_begin((char *[]){"cachify-lock", "k", "--path", path, "true", NULL}));
    assert_ran(69, "", "choose another segment");
    lock_end(lock_begin((char *[]){"cachify-lock", "k", "--path", "/no/such/f", "true", NULL}));
    assert_ran(73, "", "directory does not exist; see that --name or --path says");
    memset(key, 'k', sizeof key);
    key[79] = '\0';
    LOCK(key, "true");
    assert_ran(64, "", "64");
    LOCK("job", "--note", key, "true");
    assert_ran(64, "", "64");
}
END_TEST

START_TEST(status_of_a_full_segment_is_unavailable)
{
    static cachify_lease_t leases[64];
    for (unsigned i = 0; i < 64; i++)
        assert_ok(take(numbered("k", i), CACHIFY_NEVER, &leases[i]));
    LOCK("one-more", "--", "true");
    assert_ran(69, "", "full");
}
END_TEST

/* ---- Arguments ---- */

START_TEST(arguments_after_the_command_are_its_own)
{
    LOCK("job", "--", "echo", "-n", "--verbose", "--");
    assert_ran(0, "--verbose --", "");
    LOCK("-n", "--", "-job-", "-w", "1", "--", "echo", "a");
    assert_ran(0, "a\n", "");
    LOCK("job", "-n", "echo", "x", "-E", "--exp");
    assert_ran(0, "x -E --exp\n", "");
}
END_TEST

static const struct {
    char *arguments[6];
    const char *says;
} mistakes[] = {
    {{"-n"}, "no key; expected KEY [OPTIONS] -- COMMAND"},
    {{"k"}, "no command for the lock \"k\""},
    {{"", "true"}, "the key is empty"},
    {{"k", "-c", "x", "--", "true"}, "both -c \"x\" and the command \"true\""},
    {{"k", "--who", "true"}, "unexpected command \"true\""},
    {{"--who", "--await", "k"}, "more than one of --is-locked"},
    {{"k", "-w", "soon", "true"}, "--wait \"soon\": expected a duration such as 30, 1.5s"},
    {{"k", "-w", "-1", "true"}, "--wait \"-1\": expected a duration"},
    {{"k", "--exp", "5 s", "true"}, "--exp \"5 s\": expected a duration"},
    {{"k", "--exp", "0.01", "true"}, "--exp \"0.01\": expected 100ms or more"},
    {{"k", "--grace", ".", "true"}, "--grace \".\": expected a duration"},
    {{"k", "--exp", "99999999999999999999", "true"}, "expected a duration"},
    {{"k", "--max-hold", "0", "true"}, "--max-hold \"0\": expected more than nothing"},
    {{"k", "-E", "256", "true"}, "\"256\": expected a number from 0 to 255"},
    {{"k", "-E", "1x", "true"}, "\"1x\": expected a number from 0 to 255"},
    {{"k", "-x", "true"}, "option -x is unknown"},
    {{"k", "--no-such", "true"}, "option --no-such is unknown"},
    {{"k", "--note"}, "option --note needs an argument"},
    {{"k", "--name", "a", "true"}, "both --name a and --path"},
};

START_TEST(arguments_that_are_wrong_are_named_with_what_was_expected)
{
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        char *const *a = mistakes[i].arguments;
        LOCK(a[0], a[1], a[2], a[3], a[4], a[5]);
        assert_ran(64, "", mistakes[i].says);
        ck_assert_ptr_nonnull(strstr(ran.error, "try 'cachify-lock --help'"));
    }
}
END_TEST

START_TEST(arguments_that_ask_for_help_or_version)
{
    unsigned lines = 0;
    LOCK("--help");
    ck_assert_int_eq(ran.status, 0);
    for (const char *at = ran.out; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    ck_assert_uint_le(lines, 24);
    LOCK("-V");
    ck_assert_int_eq(strncmp(ran.out, "cachify-lock from cachify-shm ", 30), 0);
}
END_TEST

/* ---- What the command is told ---- */

static const char *value_in(const char *text, const char *name)
{
    static char value[256];
    const char *at = strstr(text, name);
    ck_assert_msg(at != NULL, "%s is not in %s", name, text);
    ck_assert_int_eq(sscanf(at + strlen(name), "%255[^\n]", value), 1);
    return value;
}

START_TEST(environment_says_which_lock_it_is)
{
    LOCK("job", "--", "env");
    ck_assert_str_eq(value_in(ran.out, "\nCACHIFY_KEY="), "job");
    ck_assert_str_eq(value_in(ran.out, "\nCACHIFY_SEGMENT="), here.path);
    ck_assert_str_eq(value_in(ran.out, "\nCACHIFY_DEADLINE="), "never");
    ck_assert_ptr_nonnull(strstr(ran.out, "\nCACHIFY_PREFIX=\n"));
    uint64_t token = strtoull(value_in(ran.out, "\nCACHIFY_TOKEN="), NULL, 10);
    ck_assert_uint_gt(token, 0);
    ck_assert_uint_eq(pass("job"), token + 1);
}
END_TEST

START_TEST(environment_says_when_it_has_to_end)
{
    LOCK("job", "--max-hold", "1h", "-c", "echo $CACHIFY_DEADLINE; date +%s");
    long long deadline, now;
    ck_assert_int_eq(sscanf(ran.out, "%lld %lld", &deadline, &now), 2);
    ck_assert_int_le(llabs(deadline / 1000 - now - 3600), LONG_MS / 1000);
}
END_TEST

START_TEST(environment_has_no_descriptors_of_ours)
{
    LOCK("job", "--", "ls", "/proc/self/fd");
    assert_ran(0, "0\n1\n2\n3\n", ""); /* 3 is the directory that ls reads */
}
END_TEST

/* As this suite's own, which may have been started with some ignored. */
START_TEST(signals_of_the_command_are_as_they_were)
{
    char own[4096] = "", ignored[64], blocked[64];
    FILE *status = fopen("/proc/self/status", "re");
    ck_assert_ptr_nonnull(status);
    ck_assert_uint_gt(fread(own, 1, sizeof own - 1, status), 0);
    fclose(status);
    snprintf(blocked, sizeof blocked, "%s", value_in(own, "SigBlk:\t"));
    snprintf(ignored, sizeof ignored, "%s", value_in(own, "SigIgn:\t"));
    LOCK("job", SHELL("grep -E 'Sig(Blk|Ign)' /proc/self/status"));
    ck_assert_str_eq(value_in(ran.out, "SigBlk:\t"), blocked);
    ck_assert_str_eq(value_in(ran.out, "SigIgn:\t"), ignored);
}
END_TEST

/* ---- What others are told ---- */

static void assert_note(const char *expected)
{
    cachify_info_t info = query("job");
    ck_assert_uint_eq(info.value_len, strlen(expected));
    ck_assert_mem_eq(info.value, expected, info.value_len);
}

START_TEST(note_is_the_command_line_or_what_was_given)
{
    struct started *s = BEGIN("job", "--", "sh", "-c", "read x </dev/null; sleep 20");
    lock_keeper("job");
    assert_note("sh -c read x </dev/null; sleep 20");
    ck_assert_int_eq(query("job").remaining_ms, CACHIFY_NEVER);
    assert_ok(cachify_release_key(here.cachify, "job"));
    lock_end(s);
    s = BEGIN("job", "--note", "nightly", "--", "sleep", "20");
    lock_keeper("job");
    assert_note("nightly");
    assert_ok(cachify_release_key(here.cachify, "job"));
    lock_end(s);
}
END_TEST

START_TEST(note_is_cut_between_characters)
{
    struct started *s = BEGIN("job", "-c",
                              "sleep 20;#23456789 123456789 123456789 123456789 123456789 12"
                              "\xc3\xbc\xc3\xbc\xc3\xbc and more");
    lock_keeper("job");
    assert_note("sleep 20;#23456789 123456789 123456789 123456789 123456789 12\xc3\xbc");
    assert_ok(cachify_release_key(here.cachify, "job"));
    lock_end(s);
}
END_TEST

START_TEST(verbose_says_how_the_lock_was_got)
{
    struct agent *agent = agent_start();
    LOCK("job", "--verbose", "--", "true");
    assert_ran(0, "", "acquired \"job\" after 0.0");
    ck_assert_ptr_nonnull(strstr(ran.error, "it was free"));
    assert_ok(agent_take(agent, "job", 50).status);
    LOCK("job", "--verbose", "--", "true");
    assert_ran(0, "", "had expired, and that process may still be at work");
    assert_ok(agent_take(agent, "job", CACHIFY_NEVER).status);
    uint64_t token = query("job").token;
    int pid = agent->pid;
    agent_kill(agent);
    char expected[128];
    snprintf(expected, sizeof expected, "process %d, which held it (token %llu), died", pid,
             (unsigned long long)token);
    LOCK("job", "--verbose", "--", "true");
    assert_ran(0, "", expected);
}
END_TEST

START_TEST(waits_without_limit_until_it_is_released)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    struct started *s = BEGIN("job", "--verbose", "--", "echo", "mine");
    EVENTUALLY(query("job").waiters == 1, LONG_MS);
    STAYS(!lock_is_silent(s), 20);
    assert_ok(cachify_release(&lease));
    lock_end(s);
    assert_ran(0, "mine\n", "waiting for \"job\": job is already locked! Held by process ");
}
END_TEST

/* ---- Questions ---- */

START_TEST(question_who)
{
    char expected[128];
    LOCK("--who", "job");
    assert_ran(1, "", "");
    cachify_lock_t lock = {.key = "job", .exp_ms = 60000, .value = "a\nb", .value_len = 3};
    assert_ok(cachify_acquire(here.cachify, &lock, &lease));
    LOCK("--who", "job");
    ck_assert_int_eq(ran.status, 0);
    ck_assert_str_eq(value_in(ran.out, "key="), "job");
    ck_assert_int_eq(atoi(value_in(ran.out, "\npid=")), getpid());
    ck_assert_str_eq(value_in(ran.out, "\nnote="), "a\\x0ab");
    ck_assert_str_eq(value_in(ran.out, "\nwaiters="), "0");
    long left = atol(value_in(ran.out, "\nleft="));
    ck_assert(left > 60000 - LONG_MS && left <= 60000);
    ck_assert_int_ge(atoll(value_in(ran.out, "\nsince=")), 1500000000000);
    snprintf(expected, sizeof expected, "%llu", (unsigned long long)cachify_lease_token(&lease));
    ck_assert_str_eq(value_in(ran.out, "\ntoken="), expected);
    value_in(ran.out, "\ncommand=");
}
END_TEST

START_TEST(question_is_it_locked)
{
    LOCK("--is-locked", "job");
    assert_ran(1, "", "");
    assert_ok(take("job", 60000, &lease));
    LOCK("job", "--is-locked");
    assert_ran(0, "", "");
}
END_TEST

START_TEST(question_release_takes_it_away)
{
    LOCK("--release", "job", "--verbose");
    assert_ran(0, "", "\"job\" was free");
    assert_ok(take("job", 60000, &lease));
    LOCK("--release", "job", "--verbose");
    assert_ran(0, "", "took \"job\" away from process ");
    ck_assert(!cachify_lease_held(&lease));
}
END_TEST

START_TEST(question_await_ends_when_it_is_free_and_takes_nothing)
{
    LOCK("--await", "job");
    assert_ran(0, "", "");
    assert_ok(take("job", 60000, &lease));
    LOCK("--await", "job", "-n");
    assert_ran(1, "", "");
    int64_t began = now_ms();
    LOCK("--await", "job", "-w", "0.1", "-E", "5");
    assert_ran(5, "", "");
    ck_assert_int_ge(now_ms() - began, 100);
    uint64_t token = cachify_lease_token(&lease);
    struct started *s = BEGIN("--await", "job");
    STAYS(!lock_is_silent(s), 50);
    assert_ok(cachify_release(&lease));
    lock_end(s);
    assert_ran(0, "", "");
    ck_assert_uint_eq(pass("job"), token + 1);
}
END_TEST

START_TEST(question_makes_no_segment)
{
    char path[PATH_ROOM];
    const char *const questions[] = {"--is-locked", "--who", "--release", "--await"};
    const int expected[] = {1, 1, 0, 0};
    new_path(path);
    for (unsigned i = 0; i < 4; i++) {
        lock_end(lock_begin(
            (char *[]){"cachify-lock", "--path", path, (char *)questions[i], "job", NULL}));
        assert_ran(expected[i], "", "");
        ck_assert_int_ne(access(path, F_OK), 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lock tool");
    TCase *tcase = group(suite, "statuses", setup_here, teardown);
    tcase_add_test(tcase, status_is_the_commands);
    tcase_add_test(tcase, status_is_a_shells_where_the_command_cannot_be_run);
    tcase_add_test(tcase, status_of_conflict_is_1_or_what_was_asked);
    tcase_add_test(tcase, status_of_failures_is_of_sysexits);
    tcase_add_test(tcase, status_of_a_full_segment_is_unavailable);
    tcase = group(suite, "arguments", setup_here, teardown);
    tcase_add_test(tcase, arguments_after_the_command_are_its_own);
    tcase_add_test(tcase, arguments_that_are_wrong_are_named_with_what_was_expected);
    tcase_add_test(tcase, arguments_that_ask_for_help_or_version);
    tcase = group(suite, "what is told", setup_here, teardown);
    tcase_add_test(tcase, environment_says_which_lock_it_is);
    tcase_add_test(tcase, environment_says_when_it_has_to_end);
    tcase_add_test(tcase, environment_has_no_descriptors_of_ours);
    tcase_add_test(tcase, signals_of_the_command_are_as_they_were);
    tcase_add_test(tcase, note_is_the_command_line_or_what_was_given);
    tcase_add_test(tcase, note_is_cut_between_characters);
    tcase_add_test(tcase, verbose_says_how_the_lock_was_got);
    tcase_add_test(tcase, waits_without_limit_until_it_is_released);
    tcase = group(suite, "questions", setup_here, teardown);
    tcase_add_test(tcase, question_who);
    tcase_add_test(tcase, question_is_it_locked);
    tcase_add_test(tcase, question_release_takes_it_away);
    tcase_add_test(tcase, question_await_ends_when_it_is_free_and_takes_nothing);
    tcase_add_test(tcase, question_makes_no_segment);
    return run_suite(suite);
}
/* NOLINTEND(bugprone-suspicious-missing-comma) */
