/* What is said on standard error, and how the program ends. */
#ifndef CACHIFY_TOOLS_SAY_H
#define CACHIFY_TOOLS_SAY_H

#include <cachify/cachify.h>

#define PROGRAM "cachify-shm-inspect"

/* Exit statuses beside EXIT_SUCCESS, EXIT_FAILURE and EX_USAGE. */
#define EXIT_NOTHING 2 /* asked to act, and there was nothing to do */

/* Called before anything is said, if it is set: what has the terminal gives it back. */
extern void (*say_first)(void);

__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

/* What was printed before goes out first. */
__attribute__((format(printf, 2, 3), noreturn)) void fail(int code, const char *format, ...);

/* Ends with cachify_last_error unless it is OK. */
void check_status(cachify_status_t status);

/* What was printed is written, or the program ends. */
void print_out(void);

#endif
