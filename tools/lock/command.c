#include "command.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "descent.h"
#include "say.h"

static void set_number(const char *name, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, number);
    setenv(name, text, 1);
}

void command_environment_set(const struct command_environment *e)
{
    char absolute[PATH_MAX];
    setenv("CACHIFY_KEY", e->key, 1);
    setenv("CACHIFY_PREFIX", e->prefix, 1);
    if (e->segment != NULL)
        setenv("CACHIFY_SEGMENT", realpath(e->segment, absolute) != NULL ? absolute : e->segment,
               1);
    else
        unsetenv("CACHIFY_SEGMENT"); /* of a lock around this one */
    set_number("CACHIFY_TOKEN", e->token);
    if (e->deadline_ms == CACHIFY_NEVER)
        setenv("CACHIFY_DEADLINE", "never", 1);
    else
        set_number("CACHIFY_DEADLINE", (uint64_t)e->deadline_ms);
}

static void enter_group(pid_t command, const struct page *page)
{
    /* Where the runner's group has ended meanwhile, so will the command. */
    if (page->terminal_group == 0 || setpgid(command, page->terminal_group) != 0)
        setpgid(command, command);
}

_Noreturn static void become(char **command, struct page *page, pid_t keeper,
                             const struct signals *was)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != keeper)
        _exit(EX_SIGNAL + SIGKILL); /* it died before we asked to be told */
    enter_group(getpid(), page);
    page->command = getpid();
    signals_end(was);
    execvp(command[0], command);
    int found = errno;
    say("cannot run \"%s\": %s; expected a program's path, or its name in PATH", command[0],
        strerror(found));
    _exit(found == ENOENT ? EX_NOT_FOUND : EX_CANNOT_EXECUTE);
}

pid_t command_start(char **command, struct page *page, const struct signals *was)
{
    pid_t keeper = getpid(), pid = fork();
    if (pid == 0)
        become(command, page, keeper, was);
    if (pid > 0) {
        enter_group(pid, page); /* before anybody signals the group; fails after the exec */
        page->command = pid;
    }
    return pid;
}

/* Where descent cannot be told there is always the command. */
static void signal_descent(pid_t command, int number, pid_t group)
{
    if (!descent_signal(number, group, 0) && command != 0)
        kill(command, number);
}

void command_signal(const struct page *page, pid_t command, int number)
{
    if (page->terminal_group == 0)
        kill(-command, number);
    else
        signal_descent(command, number, page->terminal_group);
}

void command_signal_all(const struct page *page, pid_t command, int number)
{
    if (page->terminal_group != 0 || command == 0) {
        signal_descent(command, number, 0);
        return;
    }
    kill(-command, number); /* at one moment, so that none forks away from it */
    descent_signal(number, 0, command);
}
