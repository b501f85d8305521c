/* cachify-lock: signals, terminals, a lease that is renewed or lost, and deaths of the processes
 * that look after the command. */
/* NOLINTBEGIN(bugprone-suspicious-missing-comma): a command may go over several literals. */
#include <ctype.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "lock_tool.h"

/* Longer than any test, but not for ever should one fail. */
#define SLEEP "sleep 40"
#define STUBBORN "i=0; while [ $((i += 1)) -lt 800 ]; do sleep 0.05; done"
/* Of the command: one that heeds TERM, one that does not, one in a session of its own; each first
 * says its number.  Then it sleeps. */
#define FAMILY                                                                                     \
    "echo $$; sh -c 'echo $$; exec " SLEEP "' & "                                                  \
    "sh -c 'trap \"\" TERM; echo $$; " STUBBORN "' & "                                             \
    "setsid sh -c 'echo $$; exec " SLEEP "' & wait"
#define MEMBERS 4

static cachify_lease_t lease;
static pid_t member[MEMBERS];

static void teardown(void)
{
    lock_teardown();
    teardown_here();
}

static void read_family(struct started *s)
{
    for (unsigned i = 0; i < MEMBERS; i++)
        member[i] = (pid_t)atol(lock_line(s));
}

static bool family_is_gone(void)
{
    for (unsigned i = 0; i < MEMBERS; i++)
        if (!is_gone(member[i]))
            return false;
    return true;
}

/* The lock must not come free while one of them is left. */
static void assert_protected_to_the_end(void)
{
    EVENTUALLY(!is_locked("job") || cachify_lease_held(&lease), LONG_MS);
    ck_assert(family_is_gone());
}

/* ---- Signals ---- */

START_TEST(signals_are_passed_on_to_the_whole_group)
{
    static const struct {
        int number;
        const char *name;
    } passed[] = {{SIGTERM, "TERM"}, {SIGINT, "INT"},   {SIGHUP, "HUP"},
                  {SIGQUIT, "QUIT"}, {SIGUSR1, "USR1"}, {SIGUSR2, "USR2"}};
    struct started *s = BEGIN("job", "--grace", "0.1", "--", "perl", "-e",
                              "$| = 1; for my $n (qw(TERM INT HUP QUIT USR1 "
                              "USR2)) { $SIG{$n} = sub { syswrite(STDOUT, \"$n\\n\") } } "
                              "fork(); syswrite(STDOUT, \"ready\\n\"); for (1 .. 40) { sleep 1 }");
    ck_assert_str_eq(lock_line(s), "ready");
    ck_assert_str_eq(lock_line(s), "ready");
    for (unsigned i = 0; i < 6; i++) {
        send_signal(s->pid, passed[i].number);
        ck_assert_str_eq(lock_line(s), passed[i].name);
        ck_assert_str_eq(lock_line(s), passed[i].name);
    }
    send_signal(lock_keeper("job"), SIGUSR1); /* the process that questions name does so, too */
    ck_assert_str_eq(lock_line(s), "USR1");
    send_signal(s->pid, SIGKILL);
    lock_end(s);
}
END_TEST

START_TEST(signals_that_end_the_command_are_its_status)
{
    struct started *s = BEGIN("job", "--", "sleep", "40");
    lock_keeper("job");
    EVENTUALLY((send_signal(s->pid, SIGTERM), lock_is_silent(s)), LONG_MS);
    lock_end(s);
    assert_ran(128 + SIGTERM, "", "");
    ck_assert(!is_locked("job"));
}
END_TEST

START_TEST(signals_stop_the_command_and_its_lease_is_kept)
{
    struct started *s = BEGIN("job", "--exp", "200ms", SHELL("echo $$; exec " SLEEP));
    pid_t command = (pid_t)atol(lock_line(s));
    send_signal(s->pid, SIGTSTP);
    EVENTUALLY(process_state(command) == 'T' && process_state(s->pid) == 'T', LONG_MS);
    STAYS(is_locked("job"), 500);
    send_signal(s->pid, SIGCONT);
    EVENTUALLY(process_state(command) == 'S' && process_state(s->pid) == 'S', LONG_MS);
    send_signal(s->pid, SIGTERM);
    lock_end(s);
    assert_ran(128 + SIGTERM, "", "");
}
END_TEST

START_TEST(signals_end_the_waiting)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    struct started *s = BEGIN("job", "--verbose", "--", "echo", "no");
    EVENTUALLY(query("job").waiters == 1, LONG_MS);
    send_signal(s->pid, SIGTSTP);
    EVENTUALLY(process_state(s->pid) == 'T', LONG_MS);
    assert_ok(cachify_release(&lease));
    STAYS(!is_locked("job"), 50);
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    send_signal(s->pid, SIGCONT);
    send_signal(s->pid, SIGTERM);
    lock_end(s);
    assert_ran(128 + SIGTERM, "", "gave up waiting for \"job\": signal 15");
    ck_assert_uint_eq(query("job").waiters, 0);
}
END_TEST

START_TEST(signals_that_were_ignored_stay_so)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    signal(SIGHUP, SIG_IGN); /* as nohup does */
    struct started *s = BEGIN("job", SHELL("kill -HUP $$; echo alive"));
    signal(SIGHUP, SIG_DFL);
    EVENTUALLY(query("job").waiters == 1, LONG_MS);
    send_signal(s->pid, SIGHUP);
    STAYS(query("job").waiters == 1, 50);
    assert_ok(cachify_release(&lease));
    lock_end(s);
    assert_ran(0, "alive\n", "");
}
END_TEST

/* ---- A terminal ---- */

static void type(const struct started *s, const char *keys)
{
    ck_assert_int_eq(write(s->terminal, keys, strlen(keys)), (ssize_t)strlen(keys));
}

#define BEGIN_ON_TERMINAL(...) lock_begin_on_terminal(HERE_ARGUMENTS(__VA_ARGS__))

START_TEST(terminal_can_be_read_and_its_keys_reach_the_command_once)
{
    struct started *s = BEGIN_ON_TERMINAL(
        "job", "--", "perl", "-e",
        "$| = 1; my $n = 0; $SIG{INT} = sub { $n++ }; print \"ready\\n\"; my $line; "
        "while (!defined($line = <STDIN>)) { } print \"got $line\"; select(undef, undef, undef, "
        "0.3); print \"ints $n\\n\"");
    ck_assert_str_eq(lock_line(s), "ready");
    type(s, "\003");
    type(s, "word\n");
    for (const char *line = ""; strcmp(line, "got word") != 0;)
        line = lock_line(s);
    ck_assert_str_eq(lock_line(s), "ints 1");
    lock_end(s);
    ck_assert_int_eq(ran.status, 0);
}
END_TEST

START_TEST(terminal_interrupt_ends_both_as_scripts_need_it)
{
    struct started *s = BEGIN_ON_TERMINAL("job", SHELL("echo ready; exec " SLEEP));
    ck_assert_str_eq(lock_line(s), "ready");
    type(s, "\003");
    lock_end(s);
    ck_assert_int_eq(ran.status, 200 + SIGINT); /* it died of it */
    ck_assert(!is_locked("job"));
}
END_TEST

START_TEST(terminal_signals_to_the_runner_reach_what_the_command_started)
{
    struct started *s =
        BEGIN_ON_TERMINAL("job", SHELL("sh -c 'echo $PPID $$; exec " SLEEP "'; echo no"));
    int command, child;
    ck_assert_int_eq(sscanf(lock_line(s), "%d %d", &command, &child), 2);
    pid_t runner = getpgid(command); /* in its group the command is */
    send_signal(runner, SIGTERM);
    lock_end(s);
    ck_assert_int_eq(ran.status, 128 + SIGTERM);
    ck_assert(is_gone(child));
}
END_TEST

START_TEST(terminal_loss_ends_the_whole_family_and_no_other)
{
    struct started *s = BEGIN_ON_TERMINAL("job", "--grace", "0.2", SHELL(FAMILY));
    read_family(s);
    assert_ok(cachify_release_key(here.cachify, "job"));
    lock_end(s);
    ck_assert_int_eq(ran.status, 75);
    ck_assert(family_is_gone());
}
END_TEST

/* ---- The lease ---- */

START_TEST(lease_is_renewed_while_the_command_runs)
{
    struct started *s = BEGIN("job", "--exp", "300ms", SHELL("sleep 1; echo done"));
    lock_keeper("job");
    uint64_t token = query("job").token;
    STAYS(query("job").token == token && query("job").remaining_ms <= 300, 750);
    lock_end(s);
    assert_ran(0, "done\n", "");
    ck_assert_uint_eq(pass("job"), token + 1);
}
END_TEST

START_TEST(lease_is_not_renewed_beyond_max_hold)
{
    int64_t began = now_ms();
    LOCK("job", "--exp", "300ms", "--max-hold", "400ms", "--", "sleep", "40");
    ck_assert_int_ge(now_ms() - began, 400);
    assert_ran(75, "", "it was held for as long as --max-hold allows; ending the command");
    LOCK("job", "--max-hold", "100ms", "--", "sleep", "40");
    assert_ran(75, "", "--max-hold");
    ck_assert(!is_locked("job"));
}
END_TEST

START_TEST(lease_that_runs_out_at_max_hold_outlives_a_stubborn_command)
{
    struct started *s =
        BEGIN("job", "--exp", "600ms", "--max-hold", "150ms", "--grace", "never", SHELL(FAMILY));
    read_family(s);
    /* A waiter gets it when it comes free: by release, not by expiry. */
    cachify_lock_t lock = {.key = "job", .wait = true, .timeout_ms = LONG_MS};
    assert_ok(cachify_acquire(here.cachify, &lock, &lease));
    ck_assert(family_is_gone());
    ck_assert_int_eq(cachify_lease_origin(&lease, NULL), CACHIFY_FRESH);
    lock_end(s);
    ck_assert_int_eq(ran.status, 75);
}
END_TEST

START_TEST(lease_taken_by_force_ends_all_the_command_started)
{
    struct started *s = BEGIN("job", "--grace", "0.2", SHELL(FAMILY));
    read_family(s);
    int64_t began = now_ms();
    assert_ok(cachify_release_key(here.cachify, "job"));
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    lock_end(s);
    ck_assert_int_ge(now_ms() - began, 200); /* the stubborn one had its time */
    ck_assert_int_eq(ran.status, 75);
    ck_assert_ptr_nonnull(strstr(ran.error, "taken away by force"));
    ck_assert(family_is_gone());
    ck_assert(cachify_lease_held(&lease));
}
END_TEST

START_TEST(lease_lost_lets_the_command_clean_up)
{
    struct started *s = BEGIN("job", "--exp", "10s",
                              SHELL("trap 'echo clean; exit 0' TERM; echo on; " SLEEP " & wait"));
    ck_assert_str_eq(lock_line(s), "on");
    assert_ok(cachify_release_key(here.cachify, "job"));
    lock_end(s);
    ck_assert_int_eq(ran.status, 75);
    ck_assert_str_eq(ran.out, "clean\n");
}
END_TEST

START_TEST(lease_lost_is_told_each_process_once)
{
    struct started *s = BEGIN("job", "--", "perl", "-e",
                              "$| = 1; my $n = 0; $SIG{TERM} = sub { $n++ }; fork(); "
                              "syswrite(STDOUT, \"on\\n\"); while (!$n) { select undef, undef, "
                              "undef, 0.02 } for (1..10) { select undef, undef, undef, 0.02 } "
                              "syswrite(STDOUT, \"$n\\n\"); wait");
    ck_assert_str_eq(lock_line(s), "on");
    ck_assert_str_eq(lock_line(s), "on");
    assert_ok(cachify_release_key(here.cachify, "job"));
    ck_assert_str_eq(lock_line(s), "1");
    ck_assert_str_eq(lock_line(s), "1");
    lock_end(s);
    ck_assert_int_eq(ran.status, 75);
}
END_TEST

START_TEST(lease_of_a_segment_that_is_gone_is_lost)
{
    struct started *s = BEGIN("job", SHELL("echo on; exec " SLEEP));
    ck_assert_str_eq(lock_line(s), "on");
    unlink(here.path);
    lock_end(s);
    ck_assert_int_eq(ran.status, 75);
}
END_TEST

START_TEST(lease_ends_with_the_command_not_with_what_it_left)
{
    struct started *s = BEGIN("job", SHELL("sh -c 'echo $$; exec " SLEEP "' & echo end"));
    pid_t left = 0;
    for (unsigned i = 0; i < 2; i++) {
        const char *line = lock_line(s);
        left = isdigit((unsigned char)*line) ? (pid_t)atol(line) : left;
    }
    EVENTUALLY(!is_locked("job"), LONG_MS);
    ck_assert(!is_gone(left));
    send_signal(left, SIGKILL);
    lock_end(s);
    ck_assert_int_eq(ran.status, 0);
}
END_TEST

/* ---- Deaths ---- */

START_TEST(death_of_the_runner_ends_the_command_before_the_lock_comes_free)
{
    struct started *s = BEGIN("job", "--grace", "0.2", SHELL(FAMILY));
    read_family(s);
    send_signal(s->pid, SIGKILL);
    assert_protected_to_the_end();
    lock_end(s);
}
END_TEST

START_TEST(death_of_the_runner_leaves_the_lease_renewed_until_then)
{
    struct started *s = BEGIN("job", "--exp", "500ms", "--grace", "0.8", SHELL(FAMILY));
    read_family(s);
    send_signal(s->pid, SIGKILL);
    assert_protected_to_the_end();
    ck_assert_int_eq(take("job", 0, &lease), CACHIFY_OK);
    ck_assert_int_eq(cachify_lease_origin(&lease, NULL), CACHIFY_FRESH);
    lock_end(s);
}
END_TEST

START_TEST(death_of_the_keeper_ends_the_command_at_once)
{
    struct started *s = BEGIN("job", "--grace", "never", SHELL(FAMILY));
    read_family(s);
    int64_t began = now_ms();
    send_signal(lock_keeper("job"), SIGKILL);
    EVENTUALLY(family_is_gone(), LONG_MS);
    ck_assert_int_lt(now_ms() - began, 2000);
    lock_end(s);
    ck_assert_int_eq(ran.status, 75);
    ck_assert_ptr_nonnull(strstr(ran.error, "was ended by signal 9"));
}
END_TEST

START_TEST(death_of_both_ends_the_command_itself)
{
    struct started *s = BEGIN("job", SHELL("trap '' TERM HUP; echo on; " STUBBORN));
    ck_assert_str_eq(lock_line(s), "on");
    pid_t keeper = lock_keeper("job");
    send_signal(s->pid, SIGSTOP); /* so that it can do nothing more */
    EVENTUALLY(process_state(s->pid) == 'T', LONG_MS);
    send_signal(keeper, SIGKILL);
    send_signal(s->pid, SIGKILL);
    lock_end(s); /* its output has come to an end */
    ck_assert_int_eq(ran.status, -SIGKILL);
    ck_assert(!is_locked("job"));
}
END_TEST

START_TEST(death_of_the_runner_ends_the_waiting)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    struct started *s = BEGIN("job", "--", "echo", "no");
    EVENTUALLY(query("job").waiters == 1, LONG_MS);
    send_signal(s->pid, SIGKILL);
    lock_end(s);
    ck_assert_str_eq(ran.out, "");
    EVENTUALLY(query("job").waiters == 0, LONG_MS);
}
END_TEST

START_TEST(death_of_the_runner_at_any_moment_leaves_no_command_and_no_lock)
{
    uint64_t state = seed();
    for (unsigned i = 0; i < rounds(15); i++) {
        struct started *s = BEGIN("job", "--grace", "0", "--", "sleep", "40");
        int64_t until = now_ms() + (int64_t)(chance(&state) % 60);
        while (now_ms() < until)
            tick();
        send_signal(s->pid, SIGKILL);
        lock_end(s); /* its output has come to an end: there is no command */
        EVENTUALLY(!is_locked("job"), LONG_MS);
    }
}
END_TEST

START_TEST(death_of_the_keeper_at_any_moment_leaves_no_command)
{
    uint64_t state = seed();
    for (unsigned i = 0; i < rounds(15); i++) {
        struct started *s = BEGIN("job", "--", "sleep", "40");
        pid_t keeper = lock_keeper("job"); /* it is about to start the command */
        int64_t until = now_ms() + (int64_t)(chance(&state) % 3);
        while (now_ms() < until)
            tick();
        send_signal(keeper, SIGKILL);
        lock_end(s);
        ck_assert_int_eq(ran.status, 75);
        ck_assert(!is_locked("job"));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lock tool, hard");
    TCase *tcase = group(suite, "signals", setup_here, teardown);
    tcase_add_test(tcase, signals_are_passed_on_to_the_whole_group);
    tcase_add_test(tcase, signals_that_end_the_command_are_its_status);
    tcase_add_test(tcase, signals_stop_the_command_and_its_lease_is_kept);
    tcase_add_test(tcase, signals_end_the_waiting);
    tcase_add_test(tcase, signals_that_were_ignored_stay_so);
    tcase = group(suite, "terminal", setup_here, teardown);
    tcase_add_test(tcase, terminal_can_be_read_and_its_keys_reach_the_command_once);
    tcase_add_test(tcase, terminal_interrupt_ends_both_as_scripts_need_it);
    tcase_add_test(tcase, terminal_signals_to_the_runner_reach_what_the_command_started);
    tcase_add_test(tcase, terminal_loss_ends_the_whole_family_and_no_other);
    tcase = group(suite, "lease", setup_here, teardown);
    tcase_add_test(tcase, lease_is_renewed_while_the_command_runs);
    tcase_add_test(tcase, lease_is_not_renewed_beyond_max_hold);
    tcase_add_test(tcase, lease_that_runs_out_at_max_hold_outlives_a_stubborn_command);
    tcase_add_test(tcase, lease_taken_by_force_ends_all_the_command_started);
    tcase_add_test(tcase, lease_lost_lets_the_command_clean_up);
    tcase_add_test(tcase, lease_lost_is_told_each_process_once);
    tcase_add_test(tcase, lease_of_a_segment_that_is_gone_is_lost);
    tcase_add_test(tcase, lease_ends_with_the_command_not_with_what_it_left);
    tcase = group(suite, "deaths", setup_here, teardown);
    tcase_add_test(tcase, death_of_the_runner_ends_the_command_before_the_lock_comes_free);
    tcase_add_test(tcase, death_of_the_runner_leaves_the_lease_renewed_until_then);
    tcase_add_test(tcase, death_of_the_keeper_ends_the_command_at_once);
    tcase_add_test(tcase, death_of_both_ends_the_command_itself);
    tcase_add_test(tcase, death_of_the_runner_ends_the_waiting);
    tcase_add_test(tcase, death_of_the_runner_at_any_moment_leaves_no_command_and_no_lock);
    tcase_add_test(tcase, death_of_the_keeper_at_any_moment_leaves_no_command);
    return run_suite(suite);
}
/* NOLINTEND(bugprone-suspicious-missing-comma) */
