/* The command: how it is started, and signalled with all that it has started. */
#ifndef CACHIFY_TOOLS_LOCK_COMMAND_H
#define CACHIFY_TOOLS_LOCK_COMMAND_H

#include <stdbool.h>
#include <sys/types.h>

#include "options.h"
#include "signals.h"

/* Shared by the runner and the keeper, of whom one may be killed at any moment. */
struct page {
    _Atomic pid_t command; /* 0: not started, or ended */
    pid_t terminal_group;  /* the runner's group if it has the terminal; else 0 */
};

/* What it finds in its environment. */
struct command_environment {
    const char *key;
    const char *prefix;
    const char *segment; /* NULL: none, but a server */
    uint64_t token;
    int64_t deadline_ms; /* of the wall clock; CACHIFY_NEVER */
};

void command_environment_set(const struct command_environment *e);

/* Its process, which is killed when this one dies; -1: there is none, and errno.  With a terminal
 * in the runner's group, where the terminal's keys reach it; else in one of its own. */
pid_t command_start(char **command, struct page *page, const struct signals *was);

/* To its process group; in the runner's group to those there that it has started. */
void command_signal(const struct page *page, pid_t command, int number);

/* To it and all that it has started.  command: 0 if it has ended, when its number may be that of
 * a stranger's group. */
void command_signal_all(const struct page *page, pid_t command, int number);

#endif
