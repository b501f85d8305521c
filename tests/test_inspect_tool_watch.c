/* cachify-shm-inspect --watch: on a terminal, driven in tmux and through a pty; and elsewhere. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "agent.h"
#include "tool.h"

static cachify_lease_t lease, second;

static const char *tool(void)
{
    const char *given = getenv("CACHIFY_INSPECT");
    return given != NULL ? given : "tools/cachify-shm-inspect";
}

/* ---- In tmux ---- */

/* What the terminal shows. */
static char shown[1 << 16];

/* A command of this test's own tmux server; its output is in `shown`. */
__attribute__((format(printf, 1, 2))) static int tmux(const char *format, ...)
{
    char command[1024];
    int len = snprintf(command, sizeof command, "env -u TMUX tmux -f /dev/null -L cachify-test-%d ",
                       (int)getpid());
    va_list args;
    va_start(args, format);
    vsnprintf(command + len, sizeof command - (size_t)len, format, args);
    va_end(args);
    FILE *out = popen(command, "re");
    ck_assert_ptr_nonnull(out);
    shown[fread(shown, 1, sizeof shown - 1, out)] = '\0';
    return pclose(out);
}

static bool shows(const char *text)
{
    return tmux("capture-pane -p 2>/dev/null") == 0 && strstr(shown, text) != NULL;
}

static bool has_tmux(void)
{
    return system("command -v tmux >/dev/null 2>&1") == 0;
}

/* The tool in a terminal, between two lines that a shell prints. */
static void watch_in_tmux(const char *options)
{
    ck_assert_int_eq(tmux("new-session -d -x 100 -y 20 \"echo BEFORE; %s --path %s %s; "
                          "echo AFTER \\$?; cat\" 2>&1",
                          tool(), here.path, options),
                     0);
}

static void end_tmux(void)
{
    tmux("kill-server 2>/dev/null");
    teardown_here();
}

START_TEST(it_redraws_in_place_until_q)
{
    if (!has_tmux())
        SKIP("needs tmux");
    assert_ok(take("the-first-job", CACHIFY_NEVER, &lease));
    watch_in_tmux("-w 0.1");
    EVENTUALLY(shows("the-first-job"), LONG_MS);
    ck_assert_ptr_nonnull(strstr(shown, "WAITERS"));
    ck_assert_ptr_nonnull(strstr(shown, "locks 1 held, 0 expired, 0 owner-dead, of 64"));
    ck_assert_ptr_nonnull(strstr(shown, "q quit"));
    ck_assert_ptr_null(strstr(shown, "BEFORE"));
    assert_ok(take("a-second-job", CACHIFY_NEVER, &second));
    EVENTUALLY(shows("a-second-job"), LONG_MS);
    assert_ok(cachify_release(&lease));
    EVENTUALLY(!shows("the-first-job"), LONG_MS);
    tmux("send-keys q");
    EVENTUALLY(shows("AFTER 0"), LONG_MS);
    ck_assert_ptr_nonnull(strstr(shown, "BEFORE")); /* the screen is as it was */
    ck_assert_ptr_null(strstr(shown, "WAITERS"));
}
END_TEST

START_TEST(letters_sort_and_r_reverses)
{
    if (!has_tmux())
        SKIP("needs tmux");
    assert_ok(take("aaa", CACHIFY_NEVER, &lease));
    assert_ok(take("zzz", CACHIFY_NEVER, &second));
    agent_in_line("aaa");
    watch_in_tmux("-w 60"); /* whatever comes in time, a key brought */
    EVENTUALLY(shows("zzz"), LONG_MS);
    ck_assert_ptr_nonnull(strstr(shown, ", by waited"));
    ck_assert(strstr(shown, "aaa") < strstr(shown, "zzz")); /* the one that is waited for */
    tmux("send-keys r");
    EVENTUALLY(shows("zzz") && strstr(shown, "zzz") < strstr(shown, "aaa"), LONG_MS);
    tmux("send-keys k");
    EVENTUALLY(shows(", by key") && strstr(shown, "aaa") < strstr(shown, "zzz"), LONG_MS);
    tmux("send-keys r");
    EVENTUALLY(shows("by key, falling") && strstr(shown, "zzz") < strstr(shown, "aaa"), LONG_MS);
    tmux("send-keys q");
    EVENTUALLY(shows("AFTER 0"), LONG_MS);
}
END_TEST

START_TEST(it_follows_the_size_of_the_terminal)
{
    if (!has_tmux())
        SKIP("needs tmux");
    cachify_lease_t leases[30];
    for (unsigned i = 0; i < 30; i++)
        assert_ok(take(numbered("job", 10 + i), CACHIFY_NEVER, &leases[i]));
    watch_in_tmux("-w 60 --sort KEY");
    EVENTUALLY(shows("q quit"), LONG_MS);
    ck_assert_ptr_nonnull(strstr(shown, "job-25")); /* 20 lines, 4 of them not of locks */
    ck_assert_ptr_null(strstr(shown, "job-26"));
    tmux("resize-window -x 100 -y 10 2>/dev/null");
    EVENTUALLY(shows("q quit") && strstr(shown, "job-15") != NULL &&
                   strstr(shown, "job-16") == NULL,
               LONG_MS);
    tmux("resize-window -x 120 -y 40 2>/dev/null");
    EVENTUALLY(shows("job-39"), LONG_MS);
    tmux("send-keys q");
    EVENTUALLY(shows("AFTER 0"), LONG_MS);
}
END_TEST

START_TEST(the_end_of_the_segment_gives_the_terminal_back)
{
    if (!has_tmux())
        SKIP("needs tmux");
    char path[PATH_ROOM];
    cachify_config_t config = here.config;
    cachify_t *other;
    new_path(path);
    config.path = path;
    assert_ok(cachify_open(&config, &other));
    ck_assert_int_eq(tmux("new-session -d -x 150 -y 20 \"echo BEFORE; %s --path %s -w 0.1; "
                          "echo AFTER \\$?; cat\" 2>&1",
                          tool(), path),
                     0);
    EVENTUALLY(shows("q quit"), LONG_MS);
    unlink(path);
    EVENTUALLY(shows("AFTER 1"), LONG_MS);
    ck_assert_ptr_nonnull(strstr(shown, "No such file"));
    ck_assert_ptr_nonnull(strstr(shown, "BEFORE"));
    assert_ok(cachify_close(other));
}
END_TEST

START_TEST(other_views_are_redrawn_too)
{
    if (!has_tmux())
        SKIP("needs tmux");
    watch_in_tmux("--processes -w 0.1");
    EVENTUALLY(shows("byte-locked"), LONG_MS);
    ck_assert_ptr_null(strstr(shown, " dead "));
    agent_kill(agent_start());
    EVENTUALLY(shows("byte-free"), LONG_MS);
    tmux("send-keys q");
    EVENTUALLY(shows("AFTER 0"), LONG_MS);
}
END_TEST

/* ---- Through a pty ---- */

static char written[1 << 18];

static pid_t start_on_pty(int *master, const char *term, const char *no_color)
{
    struct winsize size = {.ws_row = 20, .ws_col = 100};
    fflush(NULL);
    pid_t pid = forkpty(master, NULL, NULL, &size);
    ck_assert_int_ge(pid, 0);
    if (pid != 0)
        return pid;
    setenv("TERM", term, 1);
    unsetenv("LD_PRELOAD");
    if (no_color != NULL)
        setenv("NO_COLOR", no_color, 1);
    else
        unsetenv("NO_COLOR");
    execl(tool(), "cachify-shm-inspect", "--path", here.path, "-w", "0.05", (char *)NULL);
    _exit(127);
}

static unsigned count_of(const char *text)
{
    unsigned count = 0;
    for (const char *at = written; (at = strstr(at, text)) != NULL; at += strlen(text))
        count++;
    return count;
}

/* Reads until the text has come so many times. */
static void read_until(int master, const char *text, unsigned times)
{
    size_t len = 0;
    int64_t until = now_ms() + LONG_MS;
    written[0] = '\0';
    while (count_of(text) < times) {
        struct pollfd poll_it = {.fd = master, .events = POLLIN};
        ck_assert_msg(now_ms() < until, "\"%s\" did not come in: %s", text, written);
        if (poll(&poll_it, 1, 100) <= 0)
            continue;
        ssize_t n = read(master, written + len, sizeof written - 1 - len);
        ck_assert_int_gt(n, 0);
        len += (size_t)n;
        written[len] = '\0';
    }
}

static int end_with(int master, pid_t pid, const char *key)
{
    int status;
    char rest[4096];
    ck_assert_int_eq(write(master, key, 1), 1);
    while (read(master, rest, sizeof rest) > 0) {
    }
    close(master);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

START_TEST(frames_overwrite_and_never_clear)
{
    int master;
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    pid_t pid = start_on_pty(&master, "xterm", NULL);
    read_until(master, "\033[J", 4);
    ck_assert_uint_eq(count_of("\033[2J"), 1); /* at the beginning */
    ck_assert_uint_eq(count_of("\033[?1049h"), 1);
    ck_assert_uint_ge(count_of("\033[H"), 4);
    ck_assert_int_eq(end_with(master, pid, "q"), 0);
}
END_TEST

START_TEST(control_c_ends_it)
{
    int master;
    pid_t pid = start_on_pty(&master, "xterm", NULL);
    read_until(master, "\033[J", 2);
    ck_assert_int_eq(end_with(master, pid, "\003"), 0);
}
END_TEST

START_TEST(colours_are_for_who_wants_them)
{
    int master;
    assert_ok(take("over", 1, &lease));
    EVENTUALLY(!is_locked("over"), LONG_MS);
    pid_t pid = start_on_pty(&master, "xterm", NULL);
    read_until(master, "\033[J", 1);
    ck_assert_uint_eq(count_of("\033[33m"), 1); /* expired */
    end_with(master, pid, "q");
    pid = start_on_pty(&master, "xterm", "1");
    read_until(master, "\033[J", 1);
    ck_assert_uint_eq(count_of("\033[3"), 0);
    end_with(master, pid, "q");
}
END_TEST

START_TEST(a_terminal_that_cannot_gets_plain_lines)
{
    int master;
    pid_t pid = start_on_pty(&master, "dumb", NULL);
    read_until(master, "locks 0 held", 2);
    ck_assert_uint_eq(count_of("\033"), 0);
    kill(pid, SIGTERM);
    close(master);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

/* ---- Elsewhere ---- */

START_TEST(elsewhere_it_prints_plain_lines)
{
    int out[2];
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        unsetenv("LD_PRELOAD");
        execl(tool(), "cachify-shm-inspect", "--path", here.path, "--watch=50ms", (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    read_until(out[0], "locks 1 held", 3);
    ck_assert_uint_eq(count_of("\033"), 0);
    ck_assert_uint_ge(count_of("WAITERS WAITED TAKEN/S STATE"), 2);
    ck_assert_uint_ge(count_of(" job "), 2);
    close(out[0]); /* and then it ends by itself */
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

/* A busy lock has a rate from the second look on. */
START_TEST(rates_are_told_of_locks_that_are_taken)
{
    int out[2];
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        unsetenv("LD_PRELOAD");
        execl(tool(), "cachify-shm-inspect", "--path", here.path, "-w", "0.25", "-n", "-o",
              "KEY,TAKEN/S", (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    read_until(out[0], "job -", 1);
    int64_t until = now_ms() + LONG_MS;
    for (unsigned rate = 0; rate == 0;) {
        ck_assert_msg(now_ms() < until, "no rate in: %s", written);
        for (unsigned i = 0; i < 100; i++) {
            assert_ok(cachify_release(&lease));
            assert_ok(take("job", CACHIFY_NEVER, &lease));
        }
        read_until(out[0], "\njob ", 1);
        sscanf(strstr(written, "\njob "), "\njob %u", &rate);
    }
    close(out[0]);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

START_TEST(wrong_calls_are_64)
{
    RUN("-w", "0.01");
    assert_fails(64, "--watch is 0.01; expected 50 ms or more");
    RUN("-w", "soon");
    assert_fails(64, "unexpected argument \"soon\"");
    RUN("--watch=soon");
    assert_fails(64, "--watch is \"soon\"; expected a duration such as");
    RUN("-w", "-J");
    assert_fails(64, "--watch draws tables");
    RUN("-w", "--sweep");
    assert_fails(64, "--sweep shows nothing");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("inspect, the tool's watch");
    TCase *t = group(s, "tmux", setup_here, end_tmux);
    tcase_add_test(t, it_redraws_in_place_until_q);
    tcase_add_test(t, letters_sort_and_r_reverses);
    tcase_add_test(t, it_follows_the_size_of_the_terminal);
    tcase_add_test(t, the_end_of_the_segment_gives_the_terminal_back);
    tcase_add_test(t, other_views_are_redrawn_too);
    t = group(s, "pty", setup_here, teardown_here);
    tcase_add_test(t, frames_overwrite_and_never_clear);
    tcase_add_test(t, control_c_ends_it);
    tcase_add_test(t, colours_are_for_who_wants_them);
    tcase_add_test(t, a_terminal_that_cannot_gets_plain_lines);
    t = group(s, "elsewhere", setup_here, teardown_here);
    tcase_add_test(t, elsewhere_it_prints_plain_lines);
    tcase_add_test(t, rates_are_told_of_locks_that_are_taken);
    tcase_add_test(t, wrong_calls_are_64);
    return run_suite(s);
}
