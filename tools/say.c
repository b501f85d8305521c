#include "say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

void (*say_first)(void);

__attribute__((format(printf, 1, 0))) static void say_list(const char *format, va_list args)
{
    fflush(stdout);
    if (say_first != NULL)
        say_first();
    fputs(PROGRAM ": ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say_list(format, args);
    va_end(args);
}

void fail(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say_list(format, args);
    va_end(args);
    if (code == EX_USAGE)
        fputs("Try '" PROGRAM " --help' for what it can do.\n", stderr);
    exit(code);
}

void check_status(cachify_status_t status)
{
    if (status != CACHIFY_OK)
        fail(EXIT_FAILURE, "%s", cachify_last_error());
}

void print_out(void)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        fail(EXIT_FAILURE, "cannot write the list: %s", strerror(errno));
}
