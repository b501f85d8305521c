#include "signals.h"

#include <stddef.h>

static const int passed_on[] = {SIGTERM, SIGINT,  SIGHUP,  SIGQUIT,
                                SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT};

/* A terminal or a pipe must neither stop nor end who looks after the command; and children have
 * to be waited for, whatever was inherited. */
static const struct {
    int number;
    void (*action)(int);
} changes[SIGNALS_CHANGED] = {
    {SIGPIPE, SIG_IGN}, {SIGTTIN, SIG_IGN}, {SIGTTOU, SIG_IGN}, {SIGCHLD, SIG_DFL}};

sigset_t signals_read(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof passed_on / sizeof passed_on[0]; i++)
        sigaddset(&set, passed_on[i]);
    sigaddset(&set, SIGCHLD);
    return set;
}

void signals_begin(struct signals *was)
{
    sigset_t set = signals_read();
    sigprocmask(SIG_BLOCK, &set, &was->mask);
    for (size_t i = 0; i < SIGNALS_CHANGED; i++) {
        struct sigaction action = {.sa_handler = changes[i].action};
        sigaction(changes[i].number, &action, &was->changed[i]);
    }
}

void signals_end(const struct signals *was)
{
    for (size_t i = 0; i < SIGNALS_CHANGED; i++)
        sigaction(changes[i].number, &was->changed[i], NULL);
    sigprocmask(SIG_SETMASK, &was->mask, NULL);
}

bool signals_ignored(int number)
{
    struct sigaction action;
    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

void signals_obey(int number)
{
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, number);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    sigprocmask(SIG_BLOCK, &only, NULL);
}
