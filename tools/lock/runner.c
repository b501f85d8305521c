#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "descent.h"
#include "keeper.h"
#include "say.h"

struct runner {
    const struct options *options;
    struct page *page;
    pid_t keeper;
    bool adopts;      /* what the keeper and the command leave behind */
    bool interrupted; /* by the terminal's key */
};

/* The group of this process, if the keys of a terminal reach it now. */
static pid_t terminal_group(void)
{
    int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    pid_t foreground = tcgetpgrp(fd);
    close(fd);
    return foreground == getpgrp() ? foreground : 0;
}

/* The keeper was killed, and the lock with it: the command must not run on. */
static int end_command(const struct runner *r, int number)
{
    pid_t command = r->page->command;
    long pause = 1000000;
    if (command != 0 && r->page->terminal_group == 0)
        kill(-command, SIGKILL);
    while (r->adopts && waitpid(-1, NULL, WNOHANG) >= 0) {
        if (command != 0)
            descent_signal(SIGKILL, 0, 0); /* its number may be another's by now */
        nanosleep(&(struct timespec){.tv_nsec = pause}, NULL);
        pause = pause < 100000000 ? 2 * pause : pause;
    }
    say("process %d, which kept the lock \"%s\", was ended by signal %d (%s)%s", (int)r->keeper,
        r->options->key, number, strsignal(number),
        command == 0                 ? ""
        : r->options->client != NULL ? "; the command was killed, and the lock comes free when its "
                                       "lease is over"
                                     : "; the lock is lost, and the command was killed");
    return EX_TEMPFAIL;
}

/* True when the keeper has ended. */
static bool reap(const struct runner *r, int *code)
{
    int status;
    if (waitpid(r->keeper, &status, WNOHANG) != r->keeper)
        return false;
    if (WIFSIGNALED(status)) {
        *code = end_command(r, WTERMSIG(status));
        return true;
    }
    *code = WEXITSTATUS(status);
    if (*code == EX_SIGNAL + SIGINT && r->interrupted) {
        /* A script around us ends at the key only if it sees us die of it. */
        signal(SIGINT, SIG_DFL);
        signals_obey(SIGINT);
    }
    return true;
}

/* The command is in our group, so that it has heard of the terminal's keys itself. */
static bool has_heard(const struct runner *r, const siginfo_t *info)
{
    return info->si_code == SI_KERNEL && r->page->terminal_group != 0 && r->page->command != 0;
}

static void pass_on(struct runner *r, const siginfo_t *info)
{
    if (info->si_code == SI_KERNEL && info->si_signo == SIGINT)
        r->interrupted = true;
    if (!has_heard(r, info))
        kill(r->keeper, info->si_signo);
    if (info->si_signo == SIGTSTP)
        signals_obey(SIGTSTP);
}

static int look_after(struct runner *r)
{
    sigset_t set = signals_read();
    siginfo_t info;
    int code;
    for (;;) {
        if (sigwaitinfo(&set, &info) < 0)
            continue;
        if (info.si_signo != SIGCHLD)
            pass_on(r, &info);
        else if (reap(r, &code))
            return code;
    }
}

int run(const struct options *options)
{
    struct runner r = {.options = options};
    struct signals was;
    int alive[2]; /* ends when this process does */
    signals_begin(&was);
    r.page = mmap(NULL, sizeof *r.page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (r.page == MAP_FAILED || pipe2(alive, O_CLOEXEC) != 0)
        fail(EX_OSERR, "cannot start: %s; try again when the machine has room", strerror(errno));
    r.page->terminal_group = terminal_group();
    /* A program that was replaced by this one may have left it children: not ours to end. */
    r.adopts = waitid(P_ALL, 0, &(siginfo_t){0}, WEXITED | WNOHANG | WNOWAIT) != 0 &&
               errno == ECHILD && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
    r.keeper = fork();
    if (r.keeper < 0)
        fail(EX_OSERR, "cannot start a process: %s; try again when there are fewer",
             strerror(errno));
    if (r.keeper == 0) {
        close(alive[1]);
        keep(options, r.page, alive[0], &was);
    }
    close(alive[0]);
    return look_after(&r);
}
