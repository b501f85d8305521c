/* cachify-lock on a server: statuses, what the command and others are told, questions, waiting. */
/* NOLINTBEGIN(bugprone-suspicious-missing-comma): a command may go over several literals. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "lock_server.h"

#define SLEEPS SHELL("echo $$; exec sleep 40")

/* Ends it by its own signal. */
static void end_well(struct started *s)
{
    send_signal(s->pid, SIGTERM);
    lock_end(s);
    assert_ran(128 + SIGTERM, "", "");
}

START_TEST(status_is_the_commands_and_the_lock_is_given_back)
{
    LOCK_ON_SERVER("job", SHELL("echo done; exit 7"));
    assert_ran(7, "done\n", "");
    ck_assert(!server_has("job"));
    LOCK_ON_SERVER("job", "--", "no-such-program-anywhere");
    assert_ran(127, "", "cannot run \"no-such-program-anywhere\"");
    ck_assert(!server_has("job"));
}
END_TEST

START_TEST(environment_tells_the_token_and_no_segment)
{
    setenv("CACHIFY_SEGMENT", "/of/a/lock/around", 1);
    LOCK_ON_SERVER("job", SHELL("echo \"$CACHIFY_KEY [${CACHIFY_SEGMENT-none}] [$CACHIFY_DEADLINE] "
                                "[${CACHIFY_CLIENT-none}]\"; [ \"$CACHIFY_TOKEN\" -gt 0 ]"));
    assert_ran(0, "job [none] [never] [none]\n", "");
}
END_TEST

START_TEST(environment_names_the_server_to_all_below)
{
    setenv("CACHIFY_CLIENT", server.url, 1);
    lock_end(
        lock_begin((char *[]){"cachify-lock", "job", SHELL("echo \"$CACHIFY_CLIENT\""), NULL}));
    char expected[160];
    snprintf(expected, sizeof expected, "%s\n", server.url);
    assert_ran(0, expected, "");
    ck_assert_str_eq(SERVER("KEYS PYC-*"), "");
}
END_TEST

START_TEST(a_lease_ends_though_nobody_said_when)
{
    struct started *s = BEGIN_ON_SERVER("job", SLEEPS);
    command_of(s);
    ck_assert_int_le(server_left("job"), 30000);
    ck_assert_int_gt(server_left("job"), 1000);
    end_well(s);
    s = BEGIN_ON_SERVER("job", "--exp", "never", SLEEPS);
    command_of(s);
    ck_assert_int_eq(server_left("job"), -1);
    end_well(s);
}
END_TEST

START_TEST(a_lease_is_renewed_while_the_command_runs)
{
    struct started *s = BEGIN_ON_SERVER("job", "--exp", "1s", SLEEPS);
    command_of(s);
    char token[24];
    snprintf(token, sizeof token, "%s", server_who("job", "token"));
    STAYS(server_has("job"), 3000);
    ck_assert_str_eq(server_who("job", "token"), token);
    end_well(s);
    ck_assert(!server_has("job"));
}
END_TEST

START_TEST(questions_are_answered)
{
    LOCK_ON_SERVER("--is-locked", "job");
    assert_ran(1, "", "");
    LOCK_ON_SERVER("--who", "job");
    assert_ran(1, "", "");
    struct started *s = BEGIN_ON_SERVER("job", "--note", "release 17", SLEEPS);
    pid_t command = command_of(s);
    LOCK_ON_SERVER("--is-locked", "job");
    assert_ran(0, "", "");
    ck_assert_str_eq(server_who("job", "note"), "release 17");
    ck_assert_str_eq(server_who("job", "command"), "cachify-lock");
    ck_assert_int_gt(atoll(server_who("job", "left")), 1000);
    ck_assert_str_eq(server_who("job", "waiters"), "0");
    pid_t keeper = (pid_t)atol(server_who("job", "pid"));
    ck_assert_int_ne(keeper, s->pid);
    ck_assert(!is_gone(keeper));
    LOCK_ON_SERVER("--await", "job", "-w", "0.2", "--verbose");
    assert_ran(1, "", "\"job\" is still locked");
    struct started *waits = BEGIN_ON_SERVER("--await", "job");
    LOCK_ON_SERVER("--release", "job", "--verbose");
    assert_ran(0, "", "took \"job\" away from process ");
    lock_end(waits);
    assert_ran(0, "", "");
    lock_end(s);
    ck_assert(is_gone(command));
}
END_TEST

START_TEST(a_note_longer_than_an_answer_is_shown_whole)
{
    char note[201];
    memset(note, 'n', 200);
    note[200] = '\0';
    struct started *s = BEGIN_ON_SERVER("job", "--note", note, SLEEPS);
    command_of(s);
    ck_assert_str_eq(server_who("job", "note"), note);
    end_well(s);
}
END_TEST

START_TEST(a_conflict_is_1_and_names_the_holder)
{
    struct started *s = BEGIN_ON_SERVER("job", SLEEPS);
    command_of(s);
    LOCK_ON_SERVER("job", "-n", "--verbose", "echo", "no");
    assert_ran(1, "", "job is already locked! Held by process ");
    int64_t began = now_ms();
    LOCK_ON_SERVER("job", "-w", "0.3", "-E", "9", "echo", "no");
    ck_assert_int_ge(now_ms() - began, 300);
    assert_ran(9, "", "");
    end_well(s);
}
END_TEST

START_TEST(who_waits_is_counted_and_gets_the_lock)
{
    struct started *s = BEGIN_ON_SERVER("job", SLEEPS);
    command_of(s);
    struct started *waits = BEGIN_ON_SERVER("job", "--verbose", "echo", "mine");
    EVENTUALLY(strcmp(server_who("job", "waiters"), "1") == 0, LONG_MS);
    end_well(s);
    lock_end(waits);
    assert_ran(0, "mine\n", "it was free");
}
END_TEST

START_TEST(waiting_is_given_up_by_a_signal)
{
    struct started *s = BEGIN_ON_SERVER("job", SLEEPS);
    command_of(s);
    struct started *waits = BEGIN_ON_SERVER("job", "--verbose", "echo", "no");
    EVENTUALLY(strcmp(server_who("job", "waiters"), "1") == 0, LONG_MS);
    send_signal(waits->pid, SIGTERM);
    lock_end(waits);
    assert_ran(128 + SIGTERM, "", "gave up waiting for \"job\"");
    ck_assert_str_eq(server_who("job", "waiters"), "0");
    end_well(s);
}
END_TEST

START_TEST(what_pythons_client_holds_is_locked)
{
    const char one[] = "\x80\x04K\x01."; /* pickle.dumps(1) */
    SERVER("SET job %b EX 30", one, sizeof one - 1);
    LOCK_ON_SERVER("job", "-n", "echo", "no");
    assert_ran(1, "", "");
    ck_assert_str_eq(server_who("job", "pid"), "0");
    struct started *waits = BEGIN_ON_SERVER("job", "echo", "mine");
    EVENTUALLY(strcmp(server_who("job", "waiters"), "1") == 0, LONG_MS);
    SERVER("DEL job");
    lock_end(waits);
    assert_ran(0, "mine\n", "");
}
END_TEST

/* ---- A password ---- */

static void setup_password(void)
{
    static const char *const args[] = {"--requirepass", "se cret@", NULL};
    unsetenv("CACHIFY_CLIENT");
    ck_assert(server_start(&server, args));
}

START_TEST(a_password_is_given_and_never_said)
{
    char url[160], wrong[160];
    snprintf(url, sizeof url, "unix://:se%%20cret%%40@%s", server.path);
    snprintf(wrong, sizeof wrong, "unix://:se%%20cred@%s", server.path);
    setenv("CACHIFY_CLIENT", url, 1);
    lock_end(lock_begin((char *[]){"cachify-lock", "job", "--verbose", "echo", "mine", NULL}));
    assert_ran(0, "mine\n", "acquired \"job\"");
    ck_assert_ptr_null(strstr(ran.error, "cret"));
    setenv("CACHIFY_CLIENT", wrong, 1);
    lock_end(lock_begin((char *[]){"cachify-lock", "job", "--verbose", "echo", "no", NULL}));
    assert_ran(77, "", server.path);
    ck_assert_ptr_null(strstr(ran.error, "cred"));
    LOCK_ON_SERVER("job", "echo", "no");
    assert_ran(77, "", "NOAUTH");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("lock, the tool: on a server");
    TCase *t = group(s, "server", setup_server, teardown_server);
    tcase_add_test(t, status_is_the_commands_and_the_lock_is_given_back);
    tcase_add_test(t, environment_tells_the_token_and_no_segment);
    tcase_add_test(t, environment_names_the_server_to_all_below);
    tcase_add_test(t, a_lease_ends_though_nobody_said_when);
    tcase_add_test(t, a_lease_is_renewed_while_the_command_runs);
    tcase_add_test(t, questions_are_answered);
    tcase_add_test(t, a_note_longer_than_an_answer_is_shown_whole);
    tcase_add_test(t, a_conflict_is_1_and_names_the_holder);
    tcase_add_test(t, who_waits_is_counted_and_gets_the_lock);
    tcase_add_test(t, waiting_is_given_up_by_a_signal);
    tcase_add_test(t, what_pythons_client_holds_is_locked);
    t = group(s, "password", setup_password, teardown_server);
    tcase_add_test(t, a_password_is_given_and_never_said);
    return run_server_suite(s);
}
/* NOLINTEND(bugprone-suspicious-missing-comma) */
