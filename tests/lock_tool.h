/* cachify-lock, run as a process: at once, or begun and looked at while it runs.  What it said,
 * and its status, are in `ran` (tool.h) afterwards. */
#ifndef CF_TESTS_LOCK_TOOL_H
#define CF_TESTS_LOCK_TOOL_H

#include "tool.h"

struct started {
    pid_t pid; /* the runner; 0: reaped */
    int out;   /* the reading end of its output, and the command's */
    int error;
    int terminal; /* the other end of its terminal, or -1 */
};

/* In the background, if there is a terminal; with no descriptor beyond the third. */
struct started *lock_begin(char **arguments);
/* With a terminal of its own, in whose foreground it is; that is where all output goes. */
struct started *lock_begin_on_terminal(char **arguments);

/* Reads to the end of its output, when all who could write there are gone; and reaps it.  The
 * status is negative if a signal ended it. */
void lock_end(struct started *s);

/* The next line of its output; fails if there is none in LONG_MS.  Good until the next. */
const char *lock_line(struct started *s);

/* Whether nobody can write its output any more. */
bool lock_is_silent(const struct started *s);

/* Kill what a test began and did not end. */
void lock_teardown(void);

/* The process that keeps the lock: that of the runner's which holds it. */
pid_t lock_keeper(const char *key);

/* The state of a process as /proc has it ('T': stopped), 0 if there is none. */
char process_state(pid_t pid);

/* Whether it is gone, or a zombie that nobody reaps. */
bool is_gone(pid_t pid);

#define HERE_ARGUMENTS(...)                                                                        \
    (char *[])                                                                                     \
    {                                                                                              \
        "cachify-lock", "--path", here.path, "--prefix", "", __VA_ARGS__, NULL                     \
    }
/* On this test's segment, without a prefix. */
#define BEGIN(...) lock_begin(HERE_ARGUMENTS(__VA_ARGS__))
#define LOCK(...) lock_end(BEGIN(__VA_ARGS__))
#define SHELL(...) "--", "sh", "-c", __VA_ARGS__

/* Its status, what it printed, and a part of what it complained about ("": nothing). */
void assert_ran(int status, const char *out, const char *complaint);

#endif
