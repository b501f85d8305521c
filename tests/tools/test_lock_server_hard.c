/* cachify-lock on a server that dies, stands still or forgets; locks taken away; and deaths of the
 * processes that look after the command. */
/* NOLINTBEGIN(bugprone-suspicious-missing-comma): a command may go over several literals. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "lock_server.h"

#define SLEEPS SHELL("echo $$; exec sleep 40")
/* Heeds no TERM. */
#define STUBBORN                                                                                   \
    SHELL("trap '' TERM; echo $$; i=0; while [ $((i += 1)) -lt 800 ]; do sleep 0.05; done")
/* Its sleep is ended, too: just forked it may still have the shell's trap, and miss the group's. */
#define ENDS_BY_USR1(status)                                                                       \
    SHELL("trap 'kill $! 2>/dev/null; exit " #status "' USR1; sleep 40 & echo $$; wait")

/* Gone while the lock still kept others away: at the latest it was renewed when the server went. */
static void assert_gone_before_the_lease(pid_t command, int64_t went, int64_t exp_ms)
{
    EVENTUALLY(is_gone(command), LONG_MS);
    ck_assert_int_le(now_ms() - went, exp_ms);
}

static pid_t keeper_of(const char *key)
{
    pid_t keeper = (pid_t)atol(server_who(key, "pid"));
    ck_assert_int_gt(keeper, 1);
    return keeper;
}

/* ---- The server ---- */

START_TEST(server_killed_ends_the_command_within_the_lease)
{
    struct started *s = BEGIN_ON_SERVER("job", "--exp", "4s", SLEEPS);
    pid_t command = command_of(s);
    int64_t went = now_ms();
    server_kill(&server);
    assert_gone_before_the_lease(command, went, 4000);
    ck_assert_int_ge(now_ms() - went, 1500); /* it was given time to come back */
    lock_end(s);
    assert_ran(75, "", "and could not be renewed: cannot connect to the server at ");
}
END_TEST

START_TEST(server_standing_still_ends_a_stubborn_command_within_the_lease)
{
    struct started *s = BEGIN_ON_SERVER("job", "--exp", "6s", STUBBORN);
    pid_t command = command_of(s);
    int64_t went = now_ms();
    server_stop(&server);
    assert_gone_before_the_lease(command, went, 6000);
    lock_end(s);
    assert_ran(75, "", "and could not be renewed");
}
END_TEST

START_TEST(server_that_stood_still_for_less_than_the_lease_is_forgiven)
{
    struct started *s = BEGIN_ON_SERVER("job", "--exp", "9s", ENDS_BY_USR1(6));
    pid_t command = command_of(s);
    char token[24];
    snprintf(token, sizeof token, "%s", server_who("job", "token"));
    server_stop(&server);
    STAYS(!is_gone(command), 3000); /* longer than a call's timeout */
    server_continue(&server);
    EVENTUALLY(server_left("job") > 8000, LONG_MS);
    ck_assert_str_eq(server_who("job", "token"), token);
    send_signal(s->pid, SIGUSR1);
    lock_end(s);
    assert_ran(6, "", "");
    ck_assert(!server_has("job"));
}
END_TEST

START_TEST(server_standing_still_delays_no_signal)
{
    struct started *s = BEGIN_ON_SERVER("job", "--exp", "20s", ENDS_BY_USR1(6));
    pid_t command = command_of(s);
    server_stop(&server);
    /* Longer than two renewals: one of them waits for its answer. */
    STAYS(!is_gone(command), 2500);
    int64_t sent = now_ms();
    send_signal(s->pid, SIGUSR1);
    EVENTUALLY(is_gone(command), LONG_MS);
    ck_assert_int_lt(now_ms() - sent, 1000);
    server_continue(&server);
    lock_end(s);
    assert_ran(6, "", "");
}
END_TEST

START_TEST(server_that_forgot_everything_ends_the_command)
{
    struct started *s = BEGIN_ON_SERVER("job", SLEEPS);
    pid_t command = command_of(s);
    server_kill(&server);
    ck_assert(server_restart(&server));
    lock_end(s);
    assert_ran(75, "", "had ended");
    ck_assert(is_gone(command));
}
END_TEST

START_TEST(server_gone_at_the_end_leaves_the_status_the_commands)
{
    struct started *s = BEGIN_ON_SERVER("job", ENDS_BY_USR1(6));
    command_of(s);
    server_kill(&server);
    send_signal(s->pid, SIGUSR1);
    lock_end(s);
    assert_ran(6, "", "could not be given back, and comes free when its lease is over");
}
END_TEST

START_TEST(server_that_died_while_it_was_waited_for_is_unavailable)
{
    struct started *s = BEGIN_ON_SERVER("job", "--exp", "3s", SLEEPS);
    command_of(s);
    struct started *waits = BEGIN_ON_SERVER("job", "echo", "no");
    EVENTUALLY(strcmp(server_who("job", "waiters"), "1") == 0, LONG_MS);
    server_kill(&server);
    lock_end(waits);
    assert_ran(69, "", "server");
    lock_end(s);
}
END_TEST

/* ---- The lock ---- */

START_TEST(taken_away_by_key_ends_the_command)
{
    struct started *s = BEGIN_ON_SERVER("job", SLEEPS);
    pid_t command = command_of(s);
    int64_t began = now_ms();
    LOCK_ON_SERVER("--release", "job");
    assert_ran(0, "", "");
    EVENTUALLY(is_gone(command), LONG_MS);
    ck_assert_int_lt(now_ms() - began, 15000); /* of a lease of 30 s */
    lock_end(s);
    assert_ran(75, "", "had ended");
}
END_TEST

START_TEST(taken_by_another_is_left_to_him)
{
    struct started *s = BEGIN_ON_SERVER("job", "--exp", "2s", SLEEPS);
    command_of(s);
    SERVER("SET job theirs");
    lock_end(s);
    assert_ran(75, "", "had ended");
    ck_assert_str_eq(SERVER("GET job"), "theirs");
}
END_TEST

START_TEST(held_for_too_long_is_given_back)
{
    struct started *s = BEGIN_ON_SERVER("job", "--max-hold", "0.5", SLEEPS);
    pid_t command = command_of(s);
    lock_end(s);
    assert_ran(75, "", "it was held for as long as --max-hold allows");
    ck_assert(is_gone(command));
    ck_assert(!server_has("job"));
}
END_TEST

/* ---- Deaths ---- */

START_TEST(runner_killed_ends_the_command_and_then_frees_the_lock)
{
    struct started *s = BEGIN_ON_SERVER("job", "--grace", "1.5", "--exp", "60s", STUBBORN);
    pid_t command = command_of(s);
    send_signal(s->pid, SIGKILL);
    EVENTUALLY(!server_has("job"), LONG_MS); /* long before the lease's end */
    ck_assert(is_gone(command));
    lock_end(s);
    ck_assert_int_eq(ran.status, -SIGKILL);
    ck_assert_ptr_nonnull(strstr(ran.error, "its runner has died"));
}
END_TEST

START_TEST(runner_killed_while_the_server_is_gone_ends_the_command_all_the_same)
{
    struct started *s = BEGIN_ON_SERVER("job", "--exp", "6s", "--grace", "60", STUBBORN);
    pid_t command = command_of(s);
    int64_t went = now_ms();
    server_kill(&server);
    send_signal(s->pid, SIGKILL);
    assert_gone_before_the_lease(command, went, 6000);
    lock_end(s);
    ck_assert_int_eq(ran.status, -SIGKILL);
}
END_TEST

START_TEST(keeper_killed_ends_the_command_at_once_and_the_lease_frees_the_lock)
{
    struct started *s = BEGIN_ON_SERVER("job", "--exp", "3s", STUBBORN);
    pid_t command = command_of(s);
    send_signal(keeper_of("job"), SIGKILL);
    EVENTUALLY(is_gone(command), LONG_MS);
    ck_assert(server_has("job")); /* nobody else had it before the command was gone */
    EVENTUALLY(!server_has("job"), LONG_MS);
    lock_end(s);
    assert_ran(75, "", "the lock comes free when its lease is over");
}
END_TEST

START_TEST(keeper_stopped_beyond_the_lease_ends_the_command_and_hurts_nobody)
{
    struct started *s = BEGIN_ON_SERVER("job", "--exp", "1s", SLEEPS);
    pid_t command = command_of(s), keeper = keeper_of("job");
    send_signal(keeper, SIGSTOP);
    struct started *next = BEGIN_ON_SERVER("job", SLEEPS);
    pid_t theirs = command_of(next); /* it has the lock */
    send_signal(keeper, SIGCONT);
    EVENTUALLY(is_gone(command), LONG_MS);
    lock_end(s);
    assert_ran(75, "", "ending the command");
    ck_assert(!is_gone(theirs));
    ck_assert(server_has("job"));
    send_signal(next->pid, SIGTERM);
    lock_end(next);
    assert_ran(128 + SIGTERM, "", "");
}
END_TEST

START_TEST(all_killed_frees_the_lock_by_its_lease)
{
    struct started *s = BEGIN_ON_SERVER("job", "--exp", "2s", SLEEPS);
    pid_t command = command_of(s), keeper = keeper_of("job");
    send_signal(s->pid, SIGSTOP); /* so that it cannot act before it dies */
    send_signal(keeper, SIGKILL);
    send_signal(s->pid, SIGKILL);
    EVENTUALLY(is_gone(command), LONG_MS);
    struct started *next = BEGIN_ON_SERVER("job", "--verbose", "echo", "mine");
    lock_end(next);
    assert_ran(0, "mine\n", "had expired, and that process may still be at work");
    lock_end(s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("lock, the tool: on a server, mishaps");
    TCase *t = group(s, "server", setup_server, teardown_server);
    tcase_add_test(t, server_killed_ends_the_command_within_the_lease);
    tcase_add_test(t, server_standing_still_ends_a_stubborn_command_within_the_lease);
    tcase_add_test(t, server_that_stood_still_for_less_than_the_lease_is_forgiven);
    tcase_add_test(t, server_standing_still_delays_no_signal);
    tcase_add_test(t, server_that_forgot_everything_ends_the_command);
    tcase_add_test(t, server_gone_at_the_end_leaves_the_status_the_commands);
    tcase_add_test(t, server_that_died_while_it_was_waited_for_is_unavailable);
    t = group(s, "lock", setup_server, teardown_server);
    tcase_add_test(t, taken_away_by_key_ends_the_command);
    tcase_add_test(t, taken_by_another_is_left_to_him);
    tcase_add_test(t, held_for_too_long_is_given_back);
    t = group(s, "deaths", setup_server, teardown_server);
    tcase_add_test(t, runner_killed_ends_the_command_and_then_frees_the_lock);
    tcase_add_test(t, runner_killed_while_the_server_is_gone_ends_the_command_all_the_same);
    tcase_add_test(t, keeper_killed_ends_the_command_at_once_and_the_lease_frees_the_lock);
    tcase_add_test(t, keeper_stopped_beyond_the_lease_ends_the_command_and_hurts_nobody);
    tcase_add_test(t, all_killed_frees_the_lock_by_its_lease);
    return run_server_suite(s);
}
/* NOLINTEND(bugprone-suspicious-missing-comma) */
