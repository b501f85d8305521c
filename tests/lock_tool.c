#include "lock_tool.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define STARTED 80

static struct started all[STARTED];
static unsigned count;

static void become_tool(char **arguments)
{
    const char *tool = getenv("CACHIFY_LOCK");
    for (int fd = 3; fd < 256; fd++)
        close(fd);
    unsetenv("LD_PRELOAD"); /* of an interpreter of instructions that runs the suite */
    setenv("SHELL", "/bin/sh", 1);
    execv(tool != NULL ? tool : "tools/lock/cachify-lock", arguments);
    _exit(99);
}

static struct started *add(struct started s)
{
    ck_assert_uint_lt(count, STARTED);
    all[count] = s;
    return &all[count++];
}

struct started *lock_begin(char **arguments)
{
    int out[2], error[2];
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(error, O_CLOEXEC), 0);
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        setpgid(0, 0); /* as a shell's job in the background */
        dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        dup2(error[1], STDERR_FILENO);
        become_tool(arguments);
    }
    close(out[1]);
    close(error[1]);
    return add((struct started){.pid = pid, .out = out[0], .error = error[0], .terminal = -1});
}

struct started *lock_begin_on_terminal(char **arguments)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(terminal, 0);
    ck_assert_int_eq(grantpt(terminal), 0);
    ck_assert_int_eq(unlockpt(terminal), 0);
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        setsid();
        int own = open(ptsname(terminal), O_RDWR);
        ioctl(own, TIOCSCTTY, 0);
        for (int fd = 0; fd < 3; fd++)
            dup2(own, fd);
        /* A shell's job: a group of its own, in the foreground, and a leader that waits. */
        pid_t job = fork();
        if (job == 0) {
            setpgid(0, 0);
            signal(SIGTTOU, SIG_IGN);
            tcsetpgrp(STDIN_FILENO, getpgrp());
            signal(SIGTTOU, SIG_DFL);
            become_tool(arguments);
        }
        int status;
        while (waitpid(job, &status, 0) != job)
            ;
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 200 + WTERMSIG(status));
    }
    return add((struct started){.pid = pid, .out = terminal, .error = -1, .terminal = terminal});
}

void lock_end(struct started *s)
{
    EVENTUALLY(lock_is_silent(s), LONG_MS);
    tool_read(s->out, ran.out, sizeof ran.out);
    ran.error[0] = '\0';
    if (s->error >= 0)
        tool_read(s->error, ran.error, sizeof ran.error);
    ck_assert_int_eq(waitpid(s->pid, &ran.status, 0), s->pid);
    ran.status = WIFEXITED(ran.status) ? WEXITSTATUS(ran.status) : -WTERMSIG(ran.status);
    s->pid = 0;
}

/* A byte, or -1 if there is none before the time is up. */
static int next_byte(const struct started *s, int64_t until)
{
    unsigned char byte;
    int64_t left = until - now_ms();
    struct pollfd on = {.fd = s->out, .events = POLLIN};
    if (left <= 0 || poll(&on, 1, (int)left) != 1 || read(s->out, &byte, 1) != 1)
        return -1;
    return byte;
}

const char *lock_line(struct started *s)
{
    static char line[512];
    int64_t until = now_ms() + LONG_MS;
    size_t used = 0;
    for (int byte; (byte = next_byte(s, until)) != '\n';) {
        line[used] = '\0';
        ck_assert_msg(byte >= 0 && used < sizeof line - 1, "no line, but \"%s\"", line);
        if (byte != '\r')
            line[used++] = (char)byte;
    }
    line[used] = '\0';
    return line;
}

bool lock_is_silent(const struct started *s)
{
    struct pollfd on = {.fd = s->out, .events = 0};
    return poll(&on, 1, 0) == 1 && (on.revents & POLLHUP) != 0;
}

void lock_teardown(void)
{
    for (unsigned i = 0; i < count; i++)
        if (all[i].pid > 0) {
            send_signal(all[i].pid, SIGKILL);
            waitpid(all[i].pid, NULL, 0);
        }
    count = 0;
}

pid_t lock_keeper(const char *key)
{
    int64_t until = now_ms() + LONG_MS;
    while (!is_locked(key) && now_ms() < until)
        tick();
    ck_assert(is_locked(key));
    return (pid_t)query(key).pid;
}

char process_state(pid_t pid)
{
    char path[64], text[512], state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    const char *rest = fgets(text, sizeof text, file) != NULL ? strrchr(text, ')') : NULL;
    fclose(file);
    if (rest != NULL)
        sscanf(rest, ") %c", &state);
    return state;
}

bool is_gone(pid_t pid)
{
    char state = process_state(pid);
    return state == 0 || state == 'Z' || state == 'X';
}

void assert_ran(int status, const char *out, const char *complaint)
{
    ck_assert_msg(ran.status == status, "status %d, expected %d: %s%s", ran.status, status, ran.out,
                  ran.error);
    ck_assert_str_eq(ran.out, out);
    ck_assert_msg(*complaint == '\0' ? *ran.error == '\0' : strstr(ran.error, complaint) != NULL,
                  "\"%s\" is not in \"%s\"", complaint, ran.error);
}
